//! Time: guests that do not end, end too late, or are dropped in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bulkhead_core::{BoxFuture, DeliverError, Inbound, OpenError};
use bulkhead_sandbox::{ConnectorGrants, MemoryState, StateError, StateQuota, StateScope, StateStore};

use crate::toolkit::guests::{ACCEPT, Connector, Formatter, SPIN, STATE};
use crate::toolkit::{GONE, Host, NOW, SECONDS, bounded, event, events, json, limits, records};

const FUEL: &str = "fuel of 10M reached; raise `limits.fuel` to allow more";

/// A loop without end, wherever a guest has code: nothing is left that runs unbounded.
#[tokio::test]
async fn h10_endless_loops_end_wherever_they_are() {
    let host = Host::default();
    let few = &[("fuel", "10M")];
    let realloc = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (loop $l (br $l)) unreachable)"#;
    let post = r#"(func (export "cabi_post_bulkhead:connector/formatting@0.1.0#format") (param i32) (loop $l (br $l)))"#;
    for (name, guest) in [
        ("format", Formatter { format: SPIN, ..Formatter::default() }),
        ("configure", Formatter { configure: SPIN, ..Formatter::default() }),
        ("the allocator that the host calls", Formatter { realloc, ..Formatter::default() }),
        ("post-return", Formatter { extra: post, ..Formatter::default() }),
    ] {
        assert_eq!(bounded(NOW, SECONDS, host.fault(guest, few)).await, FUEL, "{name}");
    }
    let guest = Formatter { format: "(call $drop (call $new (i32.const 7))) unreachable", ..Formatter::default() };
    let destructor = guest.build_owner("(loop $l (br $l))");
    assert_eq!(bounded(NOW, SECONDS, host.fault_of(&destructor, few)).await.to_string(), FUEL, "a resource's destructor");
    for (name, guest) in
        [("deliver", Connector { deliver: SPIN, ..Connector::default() }), ("configure of a connector", Connector { configure: SPIN, ..Connector::default() })]
    {
        let grants = ConnectorGrants { limits: limits(few), ..ConnectorGrants::default() };
        assert_eq!(bounded(NOW, SECONDS, host.refused(guest, grants)).await, FUEL, "{name}");
    }
    for (name, guest) in [
        ("check", Connector { check: SPIN, ..Connector::default() }),
        ("settle", Connector { settle: SPIN, ..Connector::default() }),
        ("receive", Connector { receive: SPIN, ..Connector::default() }),
    ] {
        let grants = ConnectorGrants { limits: limits(few), ..ConnectorGrants::default() };
        let mut opened = host.connector(&guest.build(), grants).expect("sets up").open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
        let error = match name {
            "check" => bounded(NOW, SECONDS, opened.check()).await.map(drop),
            "receive" => bounded(NOW, SECONDS, opened.receive(&Inbound::default())).await.map(drop),
            _ => bounded(NOW, SECONDS, opened.settle(&["t".to_owned()])).await.map(drop),
        };
        assert_eq!(error.expect_err("a fault").to_string(), FUEL, "{name}");
    }
}

/// With fuel to spare, processor time ends it, and with that to spare, the deadline; neither early nor late.
#[tokio::test]
async fn h10_a_spinner_ends_by_the_clock_where_fuel_lasts() {
    let host = Host::default();
    let spin = Formatter { format: SPIN, ..Formatter::default() };
    let cpu = &[("fuel", "20G"), ("cpu", "100ms"), ("deadline", "60s")];
    // Ticks are counted, not time: on a busy machine a tick may find the guest off the processor.
    let fault = bounded(Duration::from_millis(50), SECONDS, host.fault(spin, cpu)).await;
    assert_eq!(fault, "cpu of 100ms reached; raise `limits.cpu` to allow more");
    let deadline = &[("fuel", "20G"), ("cpu", "60s"), ("deadline", "100ms")];
    let fault = bounded(Duration::from_millis(100), SECONDS, host.fault(spin, deadline)).await;
    assert_eq!(fault, "deadline of 100ms reached; raise `limits.deadline` to allow more");
}

/// Slow for some input, quick for other: four slow calls at once all fail, and the same source serves on
/// (wasmCloud #5451).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h11_slow_input_fails_alone_and_service_recovers() {
    let host = Host::default();
    let slow = format!(r#"(if (i32.eq (i32.load8_u (local.get 0)) (i32.const 0x78)) (then {SPIN})) {ACCEPT}"#);
    let grants = ConnectorGrants { limits: limits(&[("fuel", "20G"), ("cpu", "200ms")]), ..ConnectorGrants::default() };
    let source = host.connector(&Connector { deliver: &slow, ..Connector::default() }.build(), grants).expect("sets up");
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let source = Arc::clone(&source);
            tokio::spawn(async move {
                let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
                guest.deliver(&records(&["good"]), &events(1), 1).await.expect("quick input passes");
                let error = guest.deliver(&records(&["xxxx"]), &events(1), 1).await.expect_err("slow input");
                (error.to_string(), guest.deliver(&records(&["good"]), &events(1), 1).await.expect_err("dead").to_string())
            })
        })
        .collect();
    let all = async {
        for call in calls {
            let (error, again) = call.await.expect("no panic");
            assert_eq!(error, "cpu of 200ms reached; raise `limits.cpu` to allow more");
            assert_eq!(again, GONE);
        }
    };
    bounded(Duration::from_millis(100), SECONDS, all).await;
    let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
    guest.deliver(&records(&["good"]), &events(1), 1).await.expect("the source serves on");
    host.serves().await;
}

/// One instruction that works on a whole memory runs to its end, but costs by the byte.
#[tokio::test]
async fn h12_bulk_operations_are_paid_by_size() {
    let host = Host::default();
    let large = &[("fuel", "1G"), ("memory", "512MiB"), ("cpu", "20s"), ("deadline", "60s")];
    for (name, again) in [
        ("memory.fill", "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 0x8000000))"),
        ("memory.copy", "(memory.copy (i32.const 65536) (i32.const 131072) (i32.const 0x8000000))"),
    ] {
        let format = format!("(drop (memory.grow (i32.const 2050))) (loop $l {again} (br $l)) unreachable");
        let fault = bounded(NOW, SECONDS, host.fault(Formatter { format: &format, ..Formatter::default() }, large)).await;
        assert_eq!(fault, "fuel of 1G reached; raise `limits.fuel` to allow more", "{name}");
    }
    let table = Formatter {
        extra: "(table $t 20000 funcref)",
        format: "(loop $l (table.fill $t (i32.const 0) (ref.null func) (i32.const 20000)) (br $l)) unreachable",
        ..Formatter::default()
    };
    assert_eq!(bounded(NOW, SECONDS, host.fault(table, &[("fuel", "10M")])).await, FUEL, "table.fill");
}

/// Growth without end is refused by number; what is declared is refused before anything is allocated.
#[tokio::test]
async fn h13_huge_tables_and_endless_growth() {
    let host = Host::default();
    for (elements, want) in [("4294967295", "4294967295"), ("100000", "100000")] {
        let extra = format!("(table {elements} funcref)");
        let setup = host.formatter(&Formatter { extra: &extra, ..Formatter::default() }.build(), &[]);
        let error = setup.map(drop).expect_err("too many").to_string();
        assert_eq!(error, format!("component `evil`: table_elements of 20000 reached: {want} asked for; raise `limits.table_elements` to allow more"));
    }
    let memory = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let fault = bounded(NOW, SECONDS, host.fault(Formatter { format: memory, ..Formatter::default() }, &[])).await;
    assert_eq!(fault, "memory of 64 MiB reached; raise `limits.memory` to allow more");
    // Growth costs by the element, too: asking for 4 G of them at once is too dear before it is too much.
    for (step, want) in [
        ("1000", "table_elements of 20000 reached; raise `limits.table_elements` to allow more"),
        ("-1", "fuel of 1G reached; raise `limits.fuel` to allow more"),
    ] {
        let format = format!("(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const {step})) (i32.const -1)))) unreachable");
        let table = Formatter { extra: "(table $t 1 funcref)", format: &format, ..Formatter::default() };
        let fault = bounded(NOW, SECONDS, host.fault(table, &[])).await;
        assert_eq!(fault, want, "by {step}");
    }
    // Asking for ever without taking the refusal for an answer: growth is work of the host.
    let stubborn = "(loop $l (drop (memory.grow (i32.const 65535))) (br $l)) unreachable";
    let fault = bounded(NOW, SECONDS, host.fault(Formatter { format: stubborn, ..Formatter::default() }, &[("host_calls", "10000")])).await;
    assert_eq!(fault, "host_calls of 10000 reached; raise `limits.host_calls` to allow more");
}

/// A store whose every answer takes one more turn: each call of the guest is a point to be dropped at.
#[derive(Default)]
struct Slow {
    inner: MemoryState,
    asked: AtomicUsize,
}

impl StateStore for Slow {
    fn get<'a>(&'a self, scope: &'a StateScope, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StateError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.inner.get(scope, key).await
        })
    }

    fn set<'a>(&'a self, scope: &'a StateScope, key: &'a str, value: Vec<u8>, quota: StateQuota) -> BoxFuture<'a, Result<(), StateError>> {
        self.inner.set(scope, key, value, quota)
    }

    fn delete<'a>(&'a self, scope: &'a StateScope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.inner.delete(scope, key)
    }
}

/// Polls a future at most `turns` times; its result where it ended.
fn poll<T>(turns: usize, future: &mut BoxFuture<'_, T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    (0..turns).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    })
}

/// Dropped at every point where it waits, thousands of times: the guest is dead, the host is sound
/// (RUSTSEC-2026-0022: dropping such a call panicked).
#[tokio::test]
async fn h15_cancelled_at_every_await_point() {
    const WAITS: usize = 12;
    const ROUNDS: usize = 5_000;
    let host = Host::default();
    let ask = "(call $get (i32.const 1100) (i32.const 7) (i32.const 5000))";
    let deliver = format!("{} {ACCEPT}", ask.repeat(WAITS));
    let configure = format!("{} (i32.const 128)", ask.repeat(WAITS));
    let slow = Arc::new(Slow::default());
    let grants = || ConnectorGrants { state: Some(Arc::clone(&slow) as _), ..ConnectorGrants::default() };
    let work = async {
        let source = host.connector(&Connector { imports: STATE, deliver: &deliver, ..Connector::default() }.build(), grants()).expect("sets up");
        let (format, records, events) = (json(), records(&["x"]), events(1));
        let (mut ended, mut dropped) = (0, 0);
        for round in 0..ROUNDS {
            let turns = round % (WAITS + 2);
            let mut guest = source.open(&format).await.unwrap_or_else(|error| panic!("{error}"));
            let done = poll(turns, &mut guest.deliver(&records, &events, 1));
            let again = guest.deliver(&records, &events, 1).await;
            match done {
                Some(result) => {
                    // One turn more than it waits and it is done, unless a tick of the clock took one.
                    assert_eq!(turns, WAITS + 1);
                    result.expect("delivered");
                    again.expect("and again");
                    ended += 1;
                }
                // Never polled is never begun.
                None if turns == 0 => drop(again.expect("untouched")),
                None => {
                    let Err(DeliverError::Fault(fault)) = again else { panic!("a guest that was dropped in the middle answers") };
                    assert_eq!(fault.to_string(), GONE);
                    dropped += 1;
                }
            }
        }
        assert!(ended > 0 && dropped >= ROUNDS / (WAITS + 2) * WAITS, "{ended} ended, {dropped} dropped");
        let source = host.connector(&Connector { imports: STATE, configure: &configure, ..Connector::default() }.build(), grants()).expect("sets up");
        let mut opened = 0;
        for round in 0..ROUNDS {
            let turns = round % (WAITS + 2);
            if poll(turns, &mut source.open(&format)).is_some() {
                assert_eq!(turns, WAITS + 1);
                opened += 1;
            }
        }
        assert!(opened > 0, "none was opened");
    };
    bounded(NOW, SECONDS * 2, work).await;
    assert!(slow.asked.load(Ordering::SeqCst) >= ROUNDS * WAITS, "it waited where it should");
    host.serves().await;
}

/// A call that was dropped says nothing of the next one: its limits are its own.
#[tokio::test]
async fn h15_a_dropped_spinner_leaves_nothing_behind() {
    let host = Host::default();
    let source = host.formatter(&Formatter { format: SPIN, ..Formatter::default() }.build(), &[("fuel", "20G")]).expect("sets up");
    for millis in [0, 1, 2, 3, 5, 8] {
        let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
        let event = event(b"x");
        assert!(tokio::time::timeout(Duration::from_millis(millis), formatter.format(&event)).await.is_err());
        assert_eq!(formatter.format(&event).await.expect_err("dead").to_string(), GONE);
    }
    host.serves().await;
}

/// Depth ends at the guest's own stack, long before the host's; and no way leads from a host function
/// back into the guest.
#[tokio::test]
async fn h16_recursion() {
    let host = Host::default();
    let deep = Formatter {
        extra: "(func $r (param i64) (result i64) (i64.add (call $r (local.get 0)) (i64.const 1)))",
        format: "(drop (call $r (i64.const 1))) unreachable",
        ..Formatter::default()
    };
    let fault = bounded(NOW, SECONDS, host.fault(deep, &[])).await;
    assert_eq!(fault, "the guest trapped: its calls are nested too deep: the stack of 512 KiB is used up");
    // The allocator, called by the host for an answer, asks the host again: the way in is closed then.
    let reenter = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (if (global.get $inside) (then (call $get (i32.const 1100) (i32.const 7) (i32.const 5000))))
        (call $alloc (local.get 3)))"#;
    let deliver = format!("(global.set $inside (i32.const 1)) (call $get (i32.const 1100) (i32.const 7) (i32.const 5000)) {ACCEPT}");
    let guest = Connector { imports: STATE, extra: "(global $inside (mut i32) (i32.const 0))", realloc: reenter, deliver: &deliver, ..Connector::default() };
    let state = Arc::new(MemoryState::default());
    let scope = StateScope { tenant: bulkhead_core::Tenant::default(), instance: "siem".into() };
    state.set(&scope, "primary", b"value".to_vec(), StateQuota { max_keys: 1, max_bytes: 100 }).await.expect("set");
    let grants = ConnectorGrants { state: Some(state as _), ..ConnectorGrants::default() };
    let error = bounded(NOW, SECONDS, host.refused(guest, grants)).await;
    assert_eq!(error, "the guest trapped: wasm trap: cannot leave component instance");
}

/// A start function of the core module runs at instantiation, under the same limits.
#[tokio::test]
async fn h09b_start_functions_and_configure_are_bounded() {
    let host = Host::default();
    let start = |body: &str| format!("(func $s {body}) (start $s)");
    for (body, want) in [
        ("(loop $l (br $l))", FUEL),
        ("unreachable", "the guest trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("(drop (memory.grow (i32.const 2000))) unreachable", "memory of 64 MiB reached; raise `limits.memory` to allow more"),
    ] {
        let extra = start(body);
        let fault = bounded(NOW, SECONDS, host.fault(Formatter { extra: &extra, ..Formatter::default() }, &[("fuel", "10M")])).await;
        assert_eq!(fault.trim_end_matches("; in s"), want, "start: {body}");
        let guest = Connector { extra: &extra, ..Connector::default() };
        let grants = ConnectorGrants { limits: limits(&[("fuel", "10M")]), ..ConnectorGrants::default() };
        let error = bounded(NOW, SECONDS, host.refused(guest, grants)).await;
        assert_eq!(error.trim_end_matches("; in s"), want, "start of a connector: {body}");
        let configure = format!("{body} unreachable");
        let fault = bounded(NOW, SECONDS, host.fault(Formatter { configure: &configure, ..Formatter::default() }, &[("fuel", "10M")])).await;
        assert_eq!(fault, want, "configure: {body}");
    }
    // By the clock, too.
    let extra = start("(loop $l (br $l))");
    let values = &[("fuel", "20G"), ("cpu", "60s"), ("deadline", "100ms")];
    let fault = bounded(Duration::from_millis(100), SECONDS, host.fault(Formatter { extra: &extra, ..Formatter::default() }, values)).await;
    assert_eq!(fault, "deadline of 100ms reached; raise `limits.deadline` to allow more");
    // `configure` that refuses is an answer, cut and made harmless.
    let refuse =
        "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 1140)) (i32.store (i32.const 72) (i32.const 9)) (i32.const 64)";
    let source = host.formatter(&Formatter { configure: refuse, ..Formatter::default() }.build(), &[]).expect("sets up");
    let Err(OpenError::Refused(text)) = source.open().await.map(drop) else { panic!("refused") };
    assert_eq!(text, "\\u{1b}[31mbad\\u{0}");
}
