//! Clocks that jump.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{Delivery, Outcome};
use bulkhead_sandbox::ConnectorGrants;
use bulkhead_sandbox::egress::retry_after;

use crate::toolkit::guests::{Connector, LOG};
use crate::toolkit::{FakeClock, Host, NOW, SECONDS, bounded, events, json, records};

const CLOCKS: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $monotonic (result i64)))
    (import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))"#;

/// The wall clock goes back by a year, the monotonic one stands still or even goes back: calls work, the
/// log's rate holds, and nothing overflows.
#[tokio::test]
async fn h78_clocks_that_go_back() {
    let clock = Arc::new(FakeClock::default());
    let host = Host::with(|settings| settings.clock = Arc::clone(&clock) as _);
    // ok(all(pending("t", monotonic))), after a line whose text is the wall clock's seconds, raw.
    let deliver = "(call $wall (i32.const 7000)) (call $log (i32.const 1) (i32.const 1100) (i32.const 7))
        (i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 3))
        (i32.store (i32.const 4120) (i32.const 1024)) (i32.store (i32.const 4124) (i32.const 1))
        (i64.store (i32.const 4128) (i64.add (i64.mul (i64.load (i32.const 7000)) (i64.const 1000000)) (i64.div_u (call $monotonic) (i64.const 1000000)))) (i32.const 4096)";
    let imports = format!("{CLOCKS}{LOG}");
    let source = host.connector(&Connector { imports: &imports, deliver, ..Connector::default() }.build(), ConnectorGrants::default()).expect("sets up");
    let year = 365 * 86_400;
    let work = async {
        clock.set(Duration::from_secs(2 * year), Duration::from_secs(100));
        let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
        for (wall, monotonic) in [(2 * year, 100), (year, 101), (0, 101), (2 * year, 200), (2 * year, 50), (u64::MAX / 1_000_000_000, 201), (1, 202)] {
            clock.set(Duration::from_secs(wall), Duration::from_secs(monotonic));
            let got = guest.deliver(&records(&["x"]), &events(1), 1).await.unwrap_or_else(|error| panic!("at {wall}: {error}"));
            let want = Duration::from_millis(wall * 1_000_000 + monotonic * 1_000);
            assert_eq!(got, Delivery::All(Outcome::Pending { token: "t".into(), poll_after: want }), "the time of the call");
        }
    };
    bounded(NOW, SECONDS, work).await;
    assert_eq!(host.lines.all().len(), 7, "one line a call: {:?}", host.lines.all());
    // A hundred lines a second, counted by the clock that does not go back.
    clock.set(Duration::from_secs(5), Duration::from_secs(202));
    let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
    for i in 0..300 {
        clock.set(Duration::from_secs(300 - i), Duration::from_secs(202));
        guest.deliver(&records(&["x"]), &events(1), 1).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let taken = host.lines.all().iter().filter(|line| line.ends_with(" primary")).count();
    assert!((100..=107).contains(&taken), "{taken} lines in one second");
    // A date that lies ahead by a century because our clock is wrong is a wait of a day.
    assert_eq!(retry_after::parse(b"Fri, 31 Dec 2100 23:59:59 GMT", Duration::ZERO), Some(Duration::from_secs(86_400)));
    assert_eq!(retry_after::parse(b"Wed, 21 Oct 2015 07:28:30 GMT", Duration::MAX), Some(Duration::ZERO));
    host.serves().await;
}
