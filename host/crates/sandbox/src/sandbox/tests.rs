//! Real engine, hostile guests: each ends in a typed error within its time, and the host serves on.

mod bill;
#[path = "../../../../../tests/hostile/toolkit/guests.rs"]
mod guests;
mod handles;
mod limits;
mod machine;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bulkhead_core::{DeliverError, Delivery, EventBatch, Failure, GuestFault, OpenError, Outcome, RecordBatch, RecordFormat};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::guests::{ACCEPT, ECHO, FILES, HTTP, LOG, METRICS, SEND, STATE};
use super::*;
use crate::credentials::Credential;
use crate::egress::DestinationSettings;
use crate::host::files::FileAccess;
use crate::host::log::Level;
use crate::host::state::MemoryState;
use crate::limits::LimitError;

type Connector = guests::Connector<'static>;
type Formatter = guests::Formatter<'static>;

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, _instance: &str, _component: &str, level: Level, text: &str) {
        self.0.lock().expect("lock").push(format!("{level:?} {text}"));
    }
}

struct Host {
    sandbox: Sandbox,
    metrics: Metrics,
    lines: Arc<Lines>,
}

fn host() -> Host {
    let (metrics, lines) = (Metrics::new(), Arc::new(Lines::default()));
    let settings = SandboxSettings { log: Arc::clone(&lines) as _, ..SandboxSettings::default() };
    Host { sandbox: Sandbox::new(settings, metrics.clone()).expect("starts"), metrics, lines }
}

fn limits(values: &[(&str, &str)]) -> Limits {
    let mut limits = Limits::default();
    let set: Result<(), LimitError> = values.iter().try_for_each(|(name, value)| limits.set_text(name, value));
    set.expect("within");
    limits
}

fn batch(text: &[u8]) -> EventBatch {
    EventBatch { count: 1, block: text.to_vec(), spans: Vec::new() }
}

impl Host {
    fn formatter(&self, wasm: &[u8], values: &[(&str, &str)]) -> Result<Arc<dyn FormatterSource>, SetupError> {
        let component = self.sandbox.load("evil", wasm).expect("loads");
        self.sandbox.formatter(&component, "{}".into(), FormatterGrants { instance: "siem".into(), limits: limits(values) })
    }

    /// The fault of one call, of opening it where that already faults. Neighbours are checked after.
    async fn fault(&self, guest: Formatter, values: &[(&str, &str)]) -> GuestFault {
        let source = self.formatter(&guest.build(), values).expect("sets up");
        let fault = match source.open().await {
            Ok(mut formatter) => {
                let fault = formatter.format(&batch(b"hello")).await.expect_err("a fault");
                let again = formatter.format(&batch(b"hello")).await.expect_err("dead");
                assert_eq!(again, crate::connector::gone(), "after {fault}");
                fault
            }
            Err(OpenError::Fault(fault)) => fault,
            Err(other) => panic!("{other}"),
        };
        self.serves().await;
        fault
    }

    async fn serves(&self) {
        let source = self.formatter(&Formatter::default().build(), &[]).expect("sets up");
        let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
        let made = formatter.format(&batch(b"neighbour")).await.expect("formats");
        assert_eq!(made.records.get(0), b"neighbour");
    }
}

/// Neither hangs nor ends by itself before `least`.
async fn within<T>(least: Duration, most: Duration, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = tokio::time::timeout(most, work).await.unwrap_or_else(|_| panic!("still running after {most:?}"));
    assert!(started.elapsed() >= least, "over after {:?}", started.elapsed());
    done
}

const SPIN: &str = "(loop $l (br $l)) unreachable";
const SECONDS: Duration = Duration::from_secs(20);

#[track_caller]
fn is(fault: &GuestFault, want: &str) {
    assert!(fault.to_string().contains(want), "{fault}; want {want}");
}

#[tokio::test]
async fn a_good_formatter_formats_again_and_again() {
    let host = host();
    let source = host.formatter(&Formatter::default().build(), &[]).expect("sets up");
    let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(formatter.record_format(), &RecordFormat { name: "t".into(), content_type: "text/plain".into() });
    assert!(formatter.projection().is_empty());
    for text in ["a", "", "some longer text", &"x".repeat(1 << 20)] {
        let made = formatter.format(&batch(text.as_bytes())).await.expect("formats");
        assert_eq!(made.records.get(0), text.as_bytes());
    }
    let text = String::from_utf8(host.metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_guest_calls_total{call=\"format\",component=\"evil\",instance=\"siem\"} 4"), "{text}");
    let fuel = host.metrics.guest("siem", "evil").fuel.get();
    assert!((10..1_000_000).contains(&fuel), "{fuel}");
    assert!(host.metrics.guest("siem", "evil").memory.get() >= 2 << 16);
}

#[tokio::test]
async fn endless_loops_run_out_of_fuel_wherever_they_are() {
    let host = host();
    let few = &[("fuel", "10M")];
    let at = |formatter: Formatter| within(Duration::ZERO, SECONDS, host.fault(formatter, few));
    for fault in [
        at(Formatter { format: SPIN, ..Formatter::default() }).await,
        at(Formatter { configure: SPIN, ..Formatter::default() }).await,
        at(Formatter { extra: "(func $s (loop $l (br $l))) (start $s)", ..Formatter::default() }).await,
        at(Formatter {
            realloc: r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (loop $l (br $l)) unreachable)"#,
            ..Formatter::default()
        })
        .await,
        at(Formatter {
            extra: r#"(func (export "cabi_post_bulkhead:connector/formatting@0.1.0#format") (param i32) (loop $l (br $l)))"#,
            ..Formatter::default()
        })
        .await,
        // Filling costs by the byte.
        at(Formatter { format: "(loop $l (memory.fill (i32.const 65536) (i32.const 1) (i32.const 65536)) (br $l)) unreachable", ..Formatter::default() }).await,
    ] {
        assert_eq!(fault.to_string(), "fuel of 10M reached; raise `limits.fuel` to allow more");
    }
}

#[tokio::test]
async fn a_spinner_ends_at_its_processor_time_and_lets_others_run() {
    let host = host();
    let spin = Formatter { format: SPIN, ..Formatter::default() };
    let source = host.formatter(&spin.build(), &[("fuel", "20G"), ("cpu", "100ms"), ("deadline", "60s")]).expect("sets up");
    let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    // One thread for both: the neighbour gets a turn at every tick.
    let turns = std::cell::Cell::new(0_u32);
    let events = batch(b"x");
    let neighbour = async {
        loop {
            turns.set(turns.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let fault = tokio::select! {
        result = within(Duration::from_millis(20), SECONDS, formatter.format(&events)) => result.expect_err("a fault"),
        () = neighbour => unreachable!("never ends"),
    };
    assert_eq!(fault.to_string(), "cpu of 100ms reached; raise `limits.cpu` to allow more");
    assert!(turns.get() >= 20, "{} turns", turns.get());
    host.serves().await;
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let host = host();
    let values = &[("fuel", "20G"), ("cpu", "60s"), ("deadline", "100ms")];
    let work = host.fault(Formatter { format: SPIN, ..Formatter::default() }, values);
    let fault = within(Duration::from_millis(100), SECONDS, work).await;
    assert_eq!(fault.to_string(), "deadline of 100ms reached; raise `limits.deadline` to allow more");
}

#[tokio::test]
async fn work_that_the_host_does_for_a_guest_counts() {
    // Hardly any fuel and hardly any loop of its own: each line costs the host a copy of 8 MiB.
    let host = host();
    let flood = Formatter {
        imports: LOG,
        format: "(drop (call $alloc (i32.const 8388608))) (loop $l (call $log (i32.const 0) (i32.const 65536) (i32.const 8388608)) (br $l)) unreachable",
        ..Formatter::default()
    };
    let fault = within(Duration::from_millis(50), SECONDS, host.fault(flood, &[("fuel", "20G"), ("cpu", "200ms"), ("deadline", "60s")])).await;
    is(&fault, "cpu of 200ms reached");
    let lines = host.lines.0.lock().expect("lock");
    assert!(lines.len() < 140 && lines.iter().all(|line| line.len() < 8_192), "{}", lines.len());
    assert!(lines.last().expect("a line").contains("log lines of one call were cut"), "{:?}", lines.last());
}

#[tokio::test]
async fn memory_is_bounded_in_sum() {
    let host = host();
    let grow = Formatter { format: "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable", ..Formatter::default() };
    is(&host.fault(grow, &[]).await, "memory of 64 MiB reached; raise `limits.memory` to allow more");
    // The refusal is an answer: a guest that lives with it goes on.
    let polite = Formatter {
        format: "(drop (memory.grow (i32.const 2000))) (i32.store (i32.const 3000) (i32.const 0)) (i32.store (i32.const 3004) (i32.const 0)) \
                 (i32.store (i32.const 2048) (i32.const 0)) (i32.store (i32.const 2052) (i32.const 0)) (i32.store (i32.const 3008) (i32.const 2048)) \
                 (i32.store (i32.const 3012) (i32.const 2)) (i32.store (i32.const 3016) (i32.const 0)) (i32.store (i32.const 3020) (i32.const 0)) (i32.const 3000)",
        ..Formatter::default()
    };
    let source = host.formatter(&polite.build(), &[]).expect("sets up");
    let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(formatter.format(&batch(b"x")).await.expect("goes on").records.get(0), b"");
    // A batch that does not fit.
    let mut formatter =
        host.formatter(&Formatter::default().build(), &[("memory", "1MiB")]).expect("sets up").open().await.unwrap_or_else(|error| panic!("{error}"));
    is(&formatter.format(&batch(&vec![b'x'; 4 << 20])).await.expect_err("too large"), "memory of 1 MiB reached");
    // What it declares is refused before anything is allocated.
    let table = Formatter { extra: "(table 100000 funcref)", ..Formatter::default() };
    let error = host.formatter(&table.build(), &[]).map(|_| ()).expect_err("too many");
    assert_eq!(error.to_string(), "component `evil`: table_elements of 20000 reached: 100000 asked for; raise `limits.table_elements` to allow more");
    let error = host.formatter(&Formatter::default().build(), &[("memory", "64KiB")]).map(|_| ()).expect_err("too large");
    assert_eq!(error.to_string(), "component `evil`: memory of 64 KiB reached: 128 KiB asked for; raise `limits.memory` to allow more");
    let bomb = Formatter {
        extra: "(table $t 1 funcref)",
        format: "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable",
        ..Formatter::default()
    };
    is(&host.fault(bomb, &[]).await, "table_elements of 20000 reached");
}

#[tokio::test]
async fn traps_say_what_happened() {
    let host = host();
    let recursion = Formatter {
        extra: "(func $r (param i64) (result i64) (i64.add (call $r (local.get 0)) (i64.const 1)))",
        format: "(drop (call $r (i64.const 1))) unreachable",
        ..Formatter::default()
    };
    is(&host.fault(recursion, &[]).await, "the guest trapped: its calls are nested too deep: the stack of 512 KiB is used up");
    is(
        &host.fault(Formatter { format: "unreachable", ..Formatter::default() }, &[]).await,
        "the guest trapped: wasm trap: wasm `unreachable` instruction executed",
    );
    let beyond = Formatter { format: "(i32.load (i32.const -8))", ..Formatter::default() };
    is(&host.fault(beyond, &[]).await, "out of bounds memory access");
    let divide = Formatter { format: "(i32.div_u (i32.const 1) (i32.const 0))", ..Formatter::default() };
    is(&host.fault(divide, &[]).await, "integer divide by zero");
    let text = String::from_utf8(host.metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_guest_faults_total{component=\"evil\",fault=\"trap\",instance=\"siem\"} 4"), "{text}");
}

/// `formatted` at 3000 from four numbers.
macro_rules! answer {
    ($block:literal, $length:literal, $offsets:literal, $count:literal) => {
        concat!(
            "(i32.store (i32.const 3000) (i32.const ",
            $block,
            ")) (i32.store (i32.const 3004) (i32.const ",
            $length,
            ")) (i32.store (i32.const 3008) (i32.const ",
            $offsets,
            ")) (i32.store (i32.const 3012) (i32.const ",
            $count,
            ")) (i32.store (i32.const 3016) (i32.const 0)) (i32.store (i32.const 3020) (i32.const 0)) (i32.const 3000)"
        )
    };
}

#[tokio::test]
async fn answers_that_break_the_contract() {
    let host = host();
    for (format, want) in [
        // A list of 40 MiB that is really there, and one of 4 GiB that is not.
        (concat!("(drop (call $alloc (i32.const 41943040)))", answer!("65536", "41943040", "2048", "2")), "hostcall_data of 16 MiB reached"),
        (answer!("65536", "-1", "2048", "2"), "contract"),
        (answer!("-65536", "65536", "2048", "2"), "contract"),
        (answer!("0", "0", "2049", "2"), "contract"),
        (answer!("0", "4", "2048", "2"), "offsets do not divide the block of 4 bytes"),
        (answer!("0", "0", "2048", "3"), "3 offsets for 1 records"),
        (answer!("0", "0", "2048", "0"), "0 offsets for 1 records"),
        // The place of the answer itself.
        ("(i32.const -4)", "contract"),
        ("(i32.const 3)", "contract"),
        ("(i32.const 131064)", "contract"),
    ] {
        is(&host.fault(Formatter { format, ..Formatter::default() }, &[]).await, want);
    }
    for realloc in ["(i32.const -1)", "(i32.const 131072)", "(i32.const 0x7fffffff)"] {
        let realloc: &'static str = format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})"#).leak();
        is(&host.fault(Formatter { realloc, ..Formatter::default() }, &[]).await, "contract");
    }
}

#[tokio::test]
async fn configure_is_checked() {
    let host = host();
    let open =
        async |configure: &'static str| match host.formatter(&Formatter { configure, ..Formatter::default() }.build(), &[]).expect("sets up").open().await {
            Ok(_) => panic!("{configure} passed"),
            Err(error) => error.to_string(),
        };
    // err("\x1b[31mbad\0") without its last byte, which is not UTF-8; then with it.
    let refuse =
        open("(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 1140)) (i32.store (i32.const 72) (i32.const 9)) (i32.const 64)")
            .await;
    assert_eq!(refuse, "the configuration was refused: \\u{1b}[31mbad\\u{0}");
    let refuse =
        open("(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 1140)) (i32.store (i32.const 72) (i32.const 10)) (i32.const 64)")
            .await;
    assert!(refuse.contains("utf-8"), "{refuse}");
    assert!(open("(i32.store8 (i32.const 64) (i32.const 7)) (i32.const 64)").await.contains("contract"));
    // A field that no event has: "ttex".
    let field = "(i32.store (i32.const 200) (i32.const 1024)) (i32.store (i32.const 204) (i32.const 4)) (i32.store (i32.const 68) (i32.const 200)) (i32.store (i32.const 72) (i32.const 1)) (i32.const 64)";
    assert!(open(field).await.contains("field \"ttex\""));
    // 65,536 fields that alias the same text.
    let many = "(i32.store (i32.const 68) (i32.const 0)) (i32.store (i32.const 72) (i32.const 8192)) (i32.const 64)";
    let error = open(many).await;
    assert!(error.contains("contract") || error.contains("hostcall_data"), "{error}");
    // A format without a name.
    assert!(open("(i32.store (i32.const 80) (i32.const 0)) (i32.const 64)").await.contains("the format's name"));
    host.serves().await;
}

#[tokio::test]
async fn a_cancelled_call_leaves_a_dead_instance_and_a_sound_host() {
    let host = host();
    let source = host.formatter(&Formatter { format: SPIN, ..Formatter::default() }.build(), &[("fuel", "20G")]).expect("sets up");
    for millis in [0, 1, 2, 3, 5, 8] {
        let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
        assert!(tokio::time::timeout(Duration::from_millis(millis), formatter.format(&batch(b"x"))).await.is_err());
        assert_eq!(formatter.format(&batch(b"x")).await.expect_err("dead"), crate::connector::gone());
    }
    host.serves().await;
}

fn records(text: &[u8]) -> RecordBatch {
    RecordBatch { block: text.to_vec(), offsets: vec![0, u32::try_from(text.len()).expect("short")] }
}

fn format() -> RecordFormat {
    RecordFormat { name: "json".into(), content_type: "application/json".into() }
}

impl Host {
    fn connector(&self, guest: Connector, grants: ConnectorGrants) -> Result<Arc<dyn ConnectorSource>, SetupError> {
        let component = self.sandbox.load("evil", &guest.build()).expect("loads");
        self.sandbox.connector(&component, "{}".into(), ConnectorGrants { instance: "siem".into(), ..grants })
    }

    async fn deliver(&self, guest: Connector, grants: ConnectorGrants, text: &[u8]) -> Result<Delivery, DeliverError> {
        let source = self.connector(guest, grants).expect("sets up");
        let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
        connector.deliver(&records(text), &batch(b""), 1).await
    }
}

#[tokio::test]
async fn connectors_answer_for_each_event() {
    let host = host();
    let none = ConnectorGrants::default;
    assert_eq!(host.deliver(Connector::default(), none(), b"x").await.expect("delivers"), Delivery::All(Outcome::Accepted { receipt: None }));
    // ok(each([])) for one event.
    let short = "(i32.store8 (i32.const 4104) (i32.const 1)) (i64.store (i32.const 4112) (i64.const 0)) (i32.const 4096)";
    let error = host.deliver(Connector { deliver: short, ..Connector::default() }, none(), b"x").await.expect_err("too few");
    assert!(matches!(&error, DeliverError::Fault(GuestFault::Contract(text)) if text == "0 outcomes for 1 events"), "{error}");
    // err(unavailable("t", some(7000))).
    let down = "(i32.store8 (i32.const 4096) (i32.const 1)) (i32.store8 (i32.const 4104) (i32.const 2)) (i32.store (i32.const 4112) (i32.const 1024)) \
                (i32.store (i32.const 4116) (i32.const 1)) (i32.store8 (i32.const 4120) (i32.const 1)) (i64.store (i32.const 4128) (i64.const 7000)) (i32.const 4096)";
    let source = host.connector(Connector { deliver: down, ..Connector::default() }, none()).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..3 {
        // A failure is an answer: the instance lives.
        let error = connector.deliver(&records(b"x"), &batch(b""), 1).await.expect_err("down");
        assert!(
            matches!(&error, DeliverError::Failure(Failure::Unavailable { reason, after }) if reason == "t" && *after == Some(Duration::from_secs(7))),
            "{error}"
        );
    }
    assert!(matches!(connector.check().await, Err(DeliverError::Failure(Failure::Unsupported))));
    assert!(matches!(connector.settle(&["t".to_owned()]).await, Err(DeliverError::Failure(Failure::Unsupported))));
    assert_eq!(connector.limits(), bulkhead_core::BatchLimits::default());
    let spin = host.deliver(Connector { deliver: SPIN, ..Connector::default() }, ConnectorGrants { limits: limits(&[("fuel", "10M")]), ..none() }, b"x").await;
    assert!(matches!(&spin, Err(DeliverError::Fault(GuestFault::Limit { limit: "fuel", .. }))), "{spin:?}");
}

#[tokio::test]
async fn what_is_not_granted_is_not_linked() {
    let host = host();
    for (imports, deliver, want) in [
        (HTTP, SEND, "http (name a destination with an http:// or https:// URL under `destinations` of the instance)"),
        (
            FILES,
            "(call $append (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000)) unreachable",
            "files (name a directory under `files` of the instance)",
        ),
        (
            STATE,
            "(call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000)) unreachable",
            "state (give the host a state store (`data_dir`))",
        ),
        (
            r#"(import "bulkhead:connector/udp@0.1.0" "send" (func $udp (param i32 i32 i32 i32 i32)))"#,
            "(call $udp (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000)) unreachable",
            "udp (name a destination with a udp:// URL under `destinations` of the instance)",
        ),
    ] {
        let error = host.connector(Connector { imports, deliver, ..Connector::default() }, ConnectorGrants::default()).map(|_| ()).expect_err(want);
        assert_eq!(error.to_string(), format!("component `evil` needs what instance `siem` does not grant: {want}"));
    }
    let formatter = host.sandbox.load("f", &Formatter::default().build()).expect("loads");
    let error = host.sandbox.connector(&formatter, "{}".into(), ConnectorGrants::default()).map(|_| ()).expect_err("a formatter");
    assert_eq!(error.to_string(), "component `f` is a formatter; a connector is needed here");
    let error = host
        .sandbox
        .formatter(&formatter, "[]".into(), FormatterGrants { instance: "siem".into(), ..FormatterGrants::default() })
        .map(|_| ())
        .expect_err("no object");
    assert_eq!(error.to_string(), "the configuration of instance `siem` is no JSON object");
}

#[tokio::test]
async fn an_interface_of_the_right_name_and_the_wrong_type_does_not_fit() {
    let host = host();
    let text = r#"(component
        (core module $m (func (export "f") (param i32)))
        (core instance $m (instantiate $m))
        (func $f (param "events" u32) (canon lift (core func $m "f")))
        (instance $i (export "format" (func $f)) (export "configure" (func $f)))
        (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#;
    let component = host.sandbox.load("wrong", &wat::parse_str(text).expect("text")).expect("loads");
    let error = host.sandbox.formatter(&component, "{}".into(), FormatterGrants::default());
    let problem = match error {
        Err(error) => error.to_string(),
        Ok(source) => match source.open().await {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it fits"),
        },
    };
    assert!(problem.contains("does not fit its world") && problem.contains("expected `string` found `u32`"), "{problem}");
}

#[tokio::test]
async fn http_goes_out_with_a_credential_and_comes_back_without() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut got = vec![0; 4_096];
        let length = stream.read(&mut got).await.expect("reads");
        let body = "thanks for hunter2-secret";
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.expect("writes");
        String::from_utf8_lossy(&got[..length]).into_owned()
    });
    let credential = Credential::bearer("token", secrecy::SecretString::from("hunter2-secret".to_owned())).expect("valid");
    let settings =
        DestinationSettings { url: format!("http://127.0.0.1:{port}/base"), credential: Some(Arc::new(credential)), ..DestinationSettings::default() };
    let destinations = vec![Destination::new("primary", settings).expect("valid")];
    let host = host();
    let grants = ConnectorGrants { destinations, ..ConnectorGrants::default() };
    let source = host.connector(Connector { imports: HTTP, deliver: SEND, ..Connector::default() }, grants).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    let delivery = connector.deliver(&records(b"{\"id\":1}"), &batch(b""), 1).await.expect("delivers");
    assert_eq!(delivery, Delivery::All(Outcome::Rejected { reason: "thanks for [redacted]".into() }));
    let request = server.await.expect("served");
    assert!(request.starts_with("POST /base/in HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{\"id\":1}"), "{request}");
    assert!(request.contains("authorization: Bearer hunter2-secret\r\n"), "{request}");
    // The receiver is gone: an answer for the guest, not a fault.
    let error = connector.deliver(&records(b"x"), &batch(b""), 2).await.expect_err("nobody there");
    assert!(matches!(&error, DeliverError::Failure(Failure::Other(text)) if text.contains("refused")), "{error}");
    let text = String::from_utf8(host.metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_egress_requests_total{destination=\"primary\",instance=\"siem\",result=\"2xx\"} 1"), "{text}");
    assert!(text.contains("result=\"connect\"} 1"), "{text}");
}

#[tokio::test]
async fn waiting_for_a_receiver_is_no_processor_time_but_ends_before_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let settings = DestinationSettings { url: format!("http://127.0.0.1:{port}"), ..DestinationSettings::default() };
    let grants = ConnectorGrants {
        destinations: vec![Destination::new("primary", settings).expect("valid")],
        limits: limits(&[("cpu", "50ms"), ("deadline", "1s")]),
        ..ConnectorGrants::default()
    };
    let host = host();
    let silent = Connector { imports: HTTP, deliver: SEND, ..Connector::default() };
    let error = within(Duration::from_millis(800), SECONDS, host.deliver(silent, grants, b"x")).await.expect_err("silence");
    // error.timeout has no text: whatever lies where the text would be is empty.
    assert!(matches!(&error, DeliverError::Failure(Failure::Other(_))), "{error}");
}

#[tokio::test]
async fn files_and_state_are_reached_by_their_grants() {
    let host = host();
    let dir = tempfile::tempdir().expect("a directory");
    let files = vec![FilesGrant { name: "primary".into(), dir: dir.path().join("out"), access: FileAccess::Write }];
    let append = Connector {
        imports: FILES,
        deliver: "(call $append (i32.const 1100) (i32.const 7) (i32.const 1130) (i32.const 7) (local.get 0) (local.get 1) (i32.const 1) (i32.const 5000)) \
                  (if (i32.load8_u (i32.const 5000)) (then unreachable)) (i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) \
                  (i64.store (i32.const 4112) (i64.const 0)) (i64.store (i32.const 4120) (i64.const 0)) (i32.const 4096)",
        ..Connector::default()
    };
    let source = host.connector(append, ConnectorGrants { files, ..ConnectorGrants::default() }).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    for line in ["one\n", "two\n"] {
        connector.deliver(&records(line.as_bytes()), &batch(b""), 1).await.expect("delivers");
    }
    assert_eq!(std::fs::read(dir.path().join("out/out.log")).expect("reads"), b"one\ntwo\n");

    let store = Arc::new(MemoryState::default());
    let set = Connector {
        imports: STATE,
        deliver: "(call $set (i32.const 1100) (i32.const 7) (local.get 0) (local.get 1) (i32.const 5000)) \
                  (if (i32.load8_u (i32.const 5000)) (then ;; err(other(text)) \n \
                    (i32.store8 (i32.const 4096) (i32.const 1)) (i32.store8 (i32.const 4104) (i32.const 5)) \
                    (i32.store (i32.const 4112) (i32.load (i32.const 5008))) (i32.store (i32.const 4116) (i32.load (i32.const 5012))) (return (i32.const 4096)))) \
                  (i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 0)) \
                  (i64.store (i32.const 4120) (i64.const 0)) (i32.const 4096)",
        ..Connector::default()
    };
    let grants = ConnectorGrants { state: Some(Arc::clone(&store) as _), limits: limits(&[("state_value", "10")]), ..ConnectorGrants::default() };
    let source = host.connector(set, grants).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    connector.deliver(&records(b"value"), &batch(b""), 1).await.expect("delivers");
    let scope = StateScope { tenant: Tenant::default(), instance: "siem".into() };
    assert_eq!(store.get(&scope, "primary").await.expect("answers"), Some(b"value".to_vec()));
    let error = connector.deliver(&records(b"a value too long"), &batch(b""), 1).await.expect_err("too long");
    assert!(error.to_string().contains("state_value of 10 bytes reached: 16 bytes asked for; raise `limits.state_value`"), "{error}");
}

#[tokio::test]
async fn state_has_a_quota_for_each_scope() {
    let (store, quota) = (MemoryState::default(), crate::host::state::StateQuota { max_keys: 2, max_bytes: 20 });
    let scope = |instance: &str| StateScope { tenant: Tenant::default(), instance: instance.into() };
    let set = async |instance: &str, key: &str, value: &[u8]| store.set(&scope(instance), key, value.to_vec(), quota).await;
    assert_eq!(set("a", "k1", b"12345").await, Ok(()));
    assert_eq!(set("a", "k2", b"12345").await, Ok(()));
    assert_eq!(set("a", "k3", b"").await, Err(crate::host::state::StateError::Keys { keys: 3 }));
    assert_eq!(set("a", "k2", &[0; 14]).await, Err(crate::host::state::StateError::Bytes { bytes: 23 }));
    assert_eq!(set("a", "k2", &[0; 11]).await, Ok(()), "what it replaces does not count");
    assert_eq!(set("b", "k3", b"").await, Ok(()), "another instance");
    store.delete(&scope("a"), "k1").await.expect("removes");
    assert_eq!(store.get(&scope("a"), "k1").await, Ok(None));
    assert_eq!(store.get(&scope("b"), "k2").await, Ok(None));
}

#[tokio::test]
async fn loading_uses_the_cache_and_heals_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let wasm = Formatter { format: ECHO, ..Formatter::default() }.build();
    let settings = || SandboxSettings { data_dir: Some(dir.path().into()), ..SandboxSettings::default() };
    let artefact = || {
        let files: Vec<_> = std::fs::read_dir(dir.path().join("cache")).expect("lists").map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(files.len(), 1);
        files[0].clone()
    };
    let first = Sandbox::new(settings(), Metrics::new()).expect("starts");
    first.load("echo", &wasm).expect("compiles");
    let kept = std::fs::read(artefact()).expect("reads");
    let mut tampered = kept.clone();
    *tampered.last_mut().expect("not empty") ^= 1;
    for bytes in [kept.clone(), tampered] {
        std::fs::write(artefact(), &bytes).expect("writes");
        let sandbox = Sandbox::new(settings(), Metrics::new()).expect("starts");
        let component = sandbox.load("echo", &wasm).expect("loads");
        let source = sandbox.formatter(&component, "{}".into(), FormatterGrants::default()).expect("sets up");
        let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(formatter.format(&batch(b"x")).await.expect("formats").records.get(0), b"x");
        assert_ne!(std::fs::read(artefact()).expect("reads").last(), Some(&(kept.last().expect("not empty") ^ 1)), "replaced");
    }
}

#[tokio::test]
async fn refused_at_load() {
    let host = host();
    let load = |wasm: &[u8]| host.sandbox.load("evil", wasm).map(|_| ()).expect_err("refused").to_string();
    assert!(load(b"garbage").starts_with("component `evil`: this is text; expected a WebAssembly component"));
    // Well formed on the outside, not inside.
    let mut broken = Formatter::default().build();
    let at = memchr::memmem::find(&broken, b"cabi_realloc").expect("exported");
    broken[at] = b'x';
    assert!(load(&broken).contains("does not compile"), "{}", load(&broken));
    for (module, want) in [
        (r#"(component (core module (memory i64 1)) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "memory64"),
        (r#"(component (core module (memory 1 1 shared)) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "threads"),
        (r#"(component (core module (type (struct))) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "gc"),
        (r#"(component (core module (tag)) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "exceptions"),
    ] {
        let error = load(&wat::parse_str(module).expect("text"));
        assert!(error.contains("does not compile") && error.contains(want), "{error}");
    }
    host.serves().await;
}

const WASI: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $monotonic (result i64)))
    (import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))
    (import "wasi:random/insecure-seed@0.2.6" "insecure-seed" (func $seed (param i32)))
    (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
    (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $print (param i32 i32 i32 i32)))
"#;

#[tokio::test]
async fn wasi_leads_nowhere_and_a_formatter_is_the_same_every_time() {
    let host = host();
    let format = r#"
        (i64.store (i32.const 7000) (call $monotonic)) (call $wall (i32.const 7008)) (call $seed (i32.const 7024)) (i64.store (i32.const 7040) (call $random))
        (call $print (call $stderr) (i32.const 1140) (i32.const 8) (i32.const 7100))
        (i32.store (i32.const 2048) (i32.const 0)) (i32.store (i32.const 2052) (i32.const 48))
        (i32.store (i32.const 3000) (i32.const 7000)) (i32.store (i32.const 3004) (i32.const 48)) (i32.store (i32.const 3008) (i32.const 2048))
        (i32.store (i32.const 3012) (i32.const 2)) (i32.store (i32.const 3016) (i32.const 0)) (i32.store (i32.const 3020) (i32.const 0)) (i32.const 3000)"#;
    let wasm = Formatter { imports: WASI, format, ..Formatter::default() }.build();
    let mut made = Vec::new();
    for _ in 0..2 {
        let mut formatter = host.formatter(&wasm, &[]).expect("sets up").open().await.unwrap_or_else(|error| panic!("{error}"));
        made.push(formatter.format(&batch(b"x")).await.expect("formats").records.block);
    }
    let expected = [vec![0; 24], vec![0x5a; 24]].concat();
    assert_eq!(made, [expected.clone(), expected]);
    // Standard error is the log: a line without its end is shown when the store goes.
    assert_eq!(*host.lines.0.lock().expect("lock"), ["Level::Warn \\u{1b}[31mbad"; 2]);
}

#[tokio::test]
async fn connectors_have_seeds_of_their_own() {
    let host = host();
    // ok(all(pending("t", seed)))
    let deliver = "(call $seed (i32.const 7000)) (i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 3)) \
                   (i32.store (i32.const 4120) (i32.const 1024)) (i32.store (i32.const 4124) (i32.const 1)) (i64.store (i32.const 4128) (i64.load (i32.const 7000))) (i32.const 4096)";
    let source = host.connector(Connector { imports: WASI, deliver, ..Connector::default() }, ConnectorGrants::default()).expect("sets up");
    let mut seeds = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
        let Ok(Delivery::All(Outcome::Pending { poll_after, .. })) = connector.deliver(&records(b"x"), &batch(b""), 1).await else { panic!("pending") };
        seeds.insert(poll_after);
    }
    assert_eq!(seeds.len(), 3);
}

/// Cost of one call, printed by `cargo test -p bulkhead-sandbox --release call_overhead -- --nocapture`.
#[tokio::test]
async fn call_overhead() {
    let host = host();
    let source = host.connector(Connector { deliver: ACCEPT, ..Connector::default() }, ConnectorGrants::default()).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    let (records, events) = (records(&vec![b'x'; 64 << 10]), batch(b""));
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let started = Instant::now();
        for _ in 0..200 {
            connector.deliver(&records, &events, 1).await.expect("delivers");
        }
        best = best.min(started.elapsed() / 200);
    }
    let mut open = Duration::MAX;
    for _ in 0..100 {
        let started = Instant::now();
        drop(source.open(&format()).await.unwrap_or_else(|error| panic!("{error}")));
        open = open.min(started.elapsed());
    }
    println!("one call with 64 KiB of records: {best:?}; store, instantiation, configure: {open:?}");
    assert!(best < Duration::from_millis(1) && open < Duration::from_millis(10), "{best:?} {open:?}");
}

#[tokio::test]
async fn a_revoked_component_ends_before_its_next_call() {
    let host = host();
    let wasm = Formatter { extra: "(func $of_its_own)", ..Formatter::default() }.build();
    let component = host.sandbox.load("evil", &wasm).expect("loads");
    let source = host.sandbox.formatter(&component, "{}".into(), FormatterGrants::default()).expect("sets up");
    let warm = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    assert!(warm.may_run());
    host.sandbox.revoke(component.inspection().digest, "revoked by ada");
    assert!(!warm.may_run());
    assert!(matches!(source.open().await, Err(OpenError::Revoked(reason)) if reason == "revoked by ada"));
    assert!(matches!(host.sandbox.load("evil", &wasm), Err(LoadError::Revoked(reason)) if reason == "revoked by ada"));
    host.serves().await;
}
