//! Contracts of other versions, time that a guest sleeps through, instances that serve for long, and
//! random numbers without measure.

use std::time::{Duration, Instant};

use bulkhead_core::{DeliverError, Delivery, GuestFault, Outcome};
use bulkhead_sandbox::{ConnectorGrants, MachineGrants};

use crate::toolkit::guests::Connector;
use crate::toolkit::{GONE, Host, NOW, SECONDS, bounded, events, json, limits, records};

fn component(imports: &str) -> Vec<u8> {
    let text = format!(r#"(component {imports} (instance $i) (export "bulkhead:connector/delivering@0.1.0" (instance $i)))"#);
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[tokio::test]
async fn h05_asynchronous_components_need_a_newer_contract() {
    let host = Host::default();
    // By the name of what it imports.
    for (import, want) in [("wasi:cli/stdout@0.3.0", "wasi:cli/stdout@0.3.0"), ("wasi:http/handler@0.3.0", "wasi:http/handler@0.3.0")] {
        let error = host.load_error(&component(&format!(r#"(import "{import}" (instance))"#)));
        let hint = "(WASI 0.3 is asynchronous and contract 0.1.0 is not; build against WASI 0.2)";
        assert_eq!(error, format!("component `evil`: the component imports what no host of contract 0.1.0 offers: {want} {hint}"));
    }
    // By what its functions are, whatever their names.
    let needs = "component `evil` needs a newer contract: its functions are asynchronous, those of contract 0.1.0 are not; build it with synchronous ones";
    for body in [
        r#"(import "bulkhead:connector/log@0.1.0" (instance (export "write" (func async (param "message" string)))))"#,
        r#"(import "bulkhead:connector/log@0.1.0" (instance (export "write" (func (param "messages" (stream string))))))"#,
        r#"(import "bulkhead:connector/log@0.1.0" (instance (export "write" (func (result (future string))))))"#,
        "(core func $wait (canon waitable-set.new))",
        "(core func $cancel (canon task.cancel))",
    ] {
        assert_eq!(bounded(NOW, SECONDS, async { host.load_error(&component(body)) }).await, needs, "{body}");
    }
    host.serves().await;
}

#[tokio::test]
async fn h06_imports_outside_the_catalogue_and_of_newer_contracts() {
    let host = Host::default();
    let error = host.load_error(&component(
        r#"(import "acme:gpu/compute@1.0.0" (instance)) (import "wasi:sockets/tcp@0.2.6" (instance)) (import "wasi:keyvalue/store@0.2.0" (instance))
           (import "wasi:http/incoming-handler@0.2.6" (instance)) (import "bulkhead:connector/telepathy@0.1.0" (instance)) (import "env" (func))"#,
    ));
    assert_eq!(
        error,
        "component `evil`: the component imports what no host of contract 0.1.0 offers: acme:gpu/compute@1.0.0, \
         wasi:sockets/tcp@0.2.6 (sockets are never offered; use bulkhead:connector/tcp, or build with --stub-wasi), wasi:keyvalue/store@0.2.0, \
         wasi:http/incoming-handler@0.2.6 (use bulkhead:connector/http), bulkhead:connector/telepathy@0.1.0, env"
    );
    // Known here, in a version that is not: said as that, and not as an unknown name.
    for version in ["0.1.1", "0.2.0", "1.0.0"] {
        let error = host.load_error(&component(&format!(r#"(import "bulkhead:connector/http@{version}" (instance))"#)));
        let want = format!("the component was built for contract {version}, this host has 0.1.0; use a newer host, or build against wit 0.1.0");
        assert_eq!(error, format!("component `evil`: {want}"));
    }
    let error = host.load_error(&component(r#"(import "bulkhead:connector/http@0.0.1" (instance))"#));
    assert_eq!(error, "component `evil`: the component was built for contract 0.0.1, which this host (0.1.0) no longer speaks; build it against wit 0.1.0");
    host.serves().await;
}

const SLEEP: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.6" "[resource-drop]pollable" (func $over (param i32)))
    (import "wasi:random/random@0.2.6" "get-random-bytes" (func $bytes (param i64 i32)))"#;

async fn deliver(host: &Host, deliver: &str, grants: ConnectorGrants) -> Result<Delivery, String> {
    let wasm = Connector { imports: SLEEP, deliver, ..Connector::default() }.build();
    host.deliver(&wasm, grants, &[b"x"]).await.map_err(|error| error.to_string())
}

fn under(values: &[(&str, &str)]) -> ConnectorGrants {
    ConnectorGrants { limits: limits(values), ..ConnectorGrants::default() }
}

#[tokio::test]
async fn h14_sleeps_of_nothing_and_for_ever() {
    let host = Host::default();
    let accept = crate::toolkit::guests::ACCEPT;
    // For ever ends with the call's own deadline; sleeping is no processor time.
    let ever = format!("(call $block (call $sleep (i64.const -1))) {accept}");
    let error = bounded(Duration::from_millis(300), SECONDS, deliver(&host, &ever, under(&[("deadline", "300ms"), ("cpu", "50ms")]))).await;
    assert_eq!(error, Err("deadline of 300ms reached; raise `limits.deadline` to allow more".to_owned()));
    // Of nothing, again and again: the thread is given back each time, and a limit ends it.
    let never = "(loop $l (local.set $a (call $sleep (i64.const 0))) (call $block (local.get $a)) (call $over (local.get $a)) (br $l)) unreachable";
    for (values, want) in [
        (&[("host_calls", "3000")][..], "host_calls of 3000 reached; raise `limits.host_calls` to allow more"),
        (
            &[("deadline", "200ms"), ("host_calls", "100000000"), ("fuel", "20G"), ("cpu", "60s")],
            "deadline of 200ms reached; raise `limits.deadline` to allow more",
        ),
    ] {
        let spinner = async { bounded(NOW, SECONDS, deliver(&host, never, under(values))).await };
        let mut turns = 0_u64;
        let neighbour = async {
            loop {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        let error = tokio::select! { error = spinner => error, () = neighbour => unreachable!("never ends") };
        assert_eq!(error, Err(want.to_owned()));
        assert!(turns > 100, "{turns} turns of the neighbour");
    }
    // Without dropping what it polled, it runs out of handles.
    let leaks = "(loop $l (call $block (call $sleep (i64.const 0))) (br $l)) unreachable";
    let error = bounded(NOW, SECONDS, deliver(&host, leaks, under(&[]))).await;
    assert_eq!(error, Err("handles of 256 reached; raise `limits.handles` to allow more".to_owned()));
}

#[tokio::test]
async fn h18_a_warm_instance_outlives_its_first_deadline() {
    let host = Host::default();
    let sleep = format!("(call $block (call $sleep (i64.const 60000000))) {}", crate::toolkit::guests::ACCEPT);
    let wasm = Connector { imports: SLEEP, deliver: &sleep, ..Connector::default() }.build();
    let source = host.connector(&wasm, under(&[("deadline", "1s")])).unwrap_or_else(|error| panic!("{error}"));
    let mut connector = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
    let started = Instant::now();
    // Each call has the whole of it anew: long past the first deadline none has been used up.
    for _ in 0..20 {
        let answer = bounded(Duration::from_millis(60), SECONDS, connector.deliver(&records(&[b"x"]), &events(1), 1)).await;
        assert_eq!(answer.expect("within its own deadline"), Delivery::All(Outcome::Accepted { receipt: None }));
    }
    assert!(started.elapsed() >= Duration::from_millis(1_200));
}

/// Sleeps to the very end of its time: an answer or the fault, and after the fault nothing more.
#[tokio::test]
async fn h19_a_guest_that_ends_at_its_deadline_has_one_outcome() {
    let host = Host::default();
    let (mut answered, mut late) = (0, 0);
    for micros in (94_000..106_000).step_by(400) {
        let sleep = format!("(call $block (call $sleep (i64.const {}))) {}", micros * 1_000, crate::toolkit::guests::ACCEPT);
        let wasm = Connector { imports: SLEEP, deliver: &sleep, ..Connector::default() }.build();
        let source = host.connector(&wasm, under(&[("deadline", "100ms")])).unwrap_or_else(|error| panic!("{error}"));
        let mut connector = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
        let first = bounded(Duration::from_millis(90), SECONDS, connector.deliver(&records(&[b"x"]), &events(1), 1)).await;
        let second = bounded(NOW, SECONDS, connector.deliver(&records(&[b"x"]), &events(1), 2)).await;
        match first {
            Ok(delivery) => {
                answered += 1;
                assert_eq!(delivery, Delivery::All(Outcome::Accepted { receipt: None }));
                // It lives, and has the whole of its time again.
                let dead = matches!(&second, Err(DeliverError::Fault(fault)) if fault.to_string() == GONE);
                assert!(!dead, "answered and gone");
            }
            Err(error) => {
                late += 1;
                assert_eq!(error.to_string(), "deadline of 100ms reached; raise `limits.deadline` to allow more");
                let Err(DeliverError::Fault(GuestFault::Trap(text))) = second else { panic!("it was late and goes on: {second:?}") };
                assert_eq!(format!("the guest trapped: {text}"), GONE);
            }
        }
    }
    assert_eq!(answered + late, 30);
    assert!(late > 0, "some are beyond their time for certain");
}

#[tokio::test]
async fn h25_random_numbers_without_measure() {
    let host = Host::default();
    let much = |bytes: &str| format!("(call $bytes (i64.const {bytes}) (i32.const 7000)) {}", crate::toolkit::guests::ACCEPT);
    for (asked, shown) in [("1073741824", "1073741824"), ("-1", "18446744073709551615"), ("65537", "65537")] {
        for random in [false, true] {
            let grants = ConnectorGrants { machine: MachineGrants { random, ..MachineGrants::default() }, ..ConnectorGrants::default() };
            let error = bounded(NOW, Duration::from_secs(10), deliver(&host, &much(asked), grants)).await;
            assert_eq!(error, Err(format!("the guest broke the contract: it asked for {shown} random bytes at once; at most 65536 are given")));
        }
    }
    let enough = deliver(&host, &much("65536"), ConnectorGrants::default()).await;
    assert_eq!(enough, Ok(Delivery::All(Outcome::Accepted { receipt: None })));
}
