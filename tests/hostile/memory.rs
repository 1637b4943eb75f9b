//! Memory and other things that a host holds for a guest.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{DeliverError, Delivery, Failure, Inbound, Outcome, Tenant};
use bulkhead_format::{FormatFault, FormatterSlot};
use bulkhead_sandbox::{ConnectorGrants, MemoryState, StateScope, StateStore};

use crate::toolkit::guests::{self, Connector, Formatter, HTTP, LOG, STATE, STDERR, failure, rejected};
use crate::toolkit::probe::{self, Ask};
use crate::toolkit::receiver::{Answer, Receiver};
use crate::toolkit::{GONE, Host, NOW, SECONDS, bounded, destination, event, events, json, limits, records};

const MEMORY: &str = "memory of 64 MiB reached; raise `limits.memory` to allow more";

/// Four memories that are each small enough are too much together.
#[tokio::test]
async fn h20_memories_count_together() {
    let host = Host::default();
    let three = "(memory $b 1) (memory $c 1) (memory $d 1)";
    // 300 pages each: three fit into 64 MiB, the fourth does not.
    let grow =
        |name: &str| format!("(if (i32.eq (memory.grow {name} (i32.const 300)) (i32.const -1)) (then (i32.store (i32.const 0) (i32.const 1)) unreachable))");
    let fits = format!("{}{}{} {}", grow("0"), grow("$b"), grow("$c"), crate::toolkit::guests::ECHO);
    let source = host.formatter(&Formatter { extra: three, format: &fits, ..Formatter::default() }.build(), &[]).expect("sets up");
    let mut guest = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(guest.format(&event(b"x")).await.expect("three fit").records.get(0), b"x");
    let over = format!("{}{}{}{} unreachable", grow("0"), grow("$b"), grow("$c"), grow("$d"));
    let fault = bounded(NOW, SECONDS, host.fault(Formatter { extra: three, format: &over, ..Formatter::default() }, &[])).await;
    assert_eq!(fault, MEMORY);
    // Too many of them are refused before one is made.
    let five = "(memory 1) (memory 1) (memory 1) (memory 1)";
    let error = host.formatter(&Formatter { extra: five, ..Formatter::default() }.build(), &[]).map(drop).expect_err("five").to_string();
    assert_eq!(error, "component `evil`: memories of 4 reached: 5 asked for; raise `limits.memories` to allow more");
    let nine = "(table 1 funcref)".repeat(9);
    let error = host.formatter(&Formatter { extra: &nine, ..Formatter::default() }.build(), &[]).map(drop).expect_err("nine").to_string();
    assert_eq!(error, "component `evil`: tables of 8 reached: 9 asked for; raise `limits.tables` to allow more");
    // Imports make the component of several core instances.
    let fault = host.fault(Formatter { imports: LOG, ..Formatter::default() }, &[("instances", "1")]).await;
    assert_eq!(fault, "instances of 1 reached; raise `limits.instances` to allow more");
}

/// A refused growth is an answer: a guest that lives with it goes on.
#[tokio::test]
async fn h20_a_refused_growth_is_an_answer() {
    let host = Host::default();
    let polite = format!("(drop (memory.grow (i32.const 2000))) {}", crate::toolkit::guests::ECHO);
    let source = host.formatter(&Formatter { format: &polite, ..Formatter::default() }.build(), &[]).expect("sets up");
    let mut guest = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..3 {
        assert_eq!(guest.format(&event(b"x")).await.expect("goes on").records.get(0), b"x");
    }
}

/// Handles that are never dropped: the guest's own, and the host's.
#[tokio::test]
async fn h21_handles_are_bounded() {
    const HANDLES: &str = "handles of 256 reached; raise `limits.handles` to allow more";
    let host = Host::default();
    let many = "(local $i i32) (loop $l (drop (call $new (i32.const 1))) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 10000)))) unreachable";
    let own = Formatter { format: many, ..Formatter::default() }.build_owner("");
    assert_eq!(bounded(NOW, SECONDS, host.fault_of(&own, &[])).await.to_string(), HANDLES);
    let many = many.replace("(call $new (i32.const 1))", "(call $stderr)");
    let guest = Formatter { imports: STDERR, format: &many, ..Formatter::default() };
    assert_eq!(bounded(NOW, SECONDS, host.fault(guest, &[])).await, HANDLES);
}

/// Handles that are no more, were never, or are of another kind.
#[tokio::test]
async fn h22_handles_of_nobody() {
    let host = Host::default();
    for (name, format, want) in [
        (
            "dropped twice",
            "(local $h i32) (local.set $h (call $new (i32.const 1))) (call $drop (local.get $h)) (call $drop (local.get $h)) unreachable",
            "unknown handle index 1",
        ),
        (
            "used after",
            "(local $h i32) (local.set $h (call $new (i32.const 1))) (call $drop (local.get $h)) (drop (call $rep (local.get $h))) unreachable",
            "unknown handle index 1",
        ),
        ("never made", "(call $drop (i32.const 77)) unreachable", "unknown handle index 77"),
        ("negative", "(call $drop (i32.const -1)) unreachable", "unknown handle index 4294967295"),
        ("zero", "(call $drop (i32.const 0)) unreachable", "unknown handle index 0"),
        (
            "of another kind",
            "(call $drop (call $stderr)) unreachable",
            "handle index 1 used with the wrong type, expected guest-defined resource but found a different guest-defined resource",
        ),
        (
            "a stream that is none",
            "(call $print (call $new (i32.const 1)) (i32.const 0) (i32.const 0) (i32.const 7000)) unreachable",
            "handle index 1 used with the wrong type",
        ),
        ("a stream of nobody", "(call $print (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 7000)) unreachable", "unknown handle index 5"),
    ] {
        let wasm = Formatter { imports: STDERR, format, ..Formatter::default() }.build_owner("");
        let fault = bounded(NOW, SECONDS, host.fault_of(&wasm, &[])).await.to_string();
        assert!(fault.starts_with("the guest broke the contract: ") && fault.contains(want), "{name}: {fault}");
    }
}

/// Lengths that are not there, and small things that stand for large ones.
#[tokio::test]
async fn h23_lists_that_are_too_long() {
    let host = Host::default();
    // 1 GiB of text in 128 KiB of memory; the whole address space; off the end by one.
    for (at, length) in [(0, 1 << 30), (0, -1), (-1, 1), (131_071, 2)] {
        let format = format!("(call $log (i32.const 0) (i32.const {at}) (i32.const {length})) unreachable");
        let fault = bounded(NOW, SECONDS, host.fault(Formatter { imports: LOG, format: &format, ..Formatter::default() }, &[])).await;
        assert!(fault.starts_with("the guest broke the contract: ") && fault.contains("out of bounds"), "{at} {length}: {fault}");
    }
    // Text that is there, and more than the host takes in one call.
    let there = "(drop (call $alloc (i32.const 41943040))) (call $log (i32.const 0) (i32.const 65536) (i32.const 41943040)) unreachable";
    let fault = bounded(NOW, SECONDS, host.fault(Formatter { imports: LOG, format: there, ..Formatter::default() }, &[])).await;
    assert_eq!(fault, "hostcall_data of 16 MiB reached; raise `limits.hostcall_data` to allow more");
    // 300 header fields, each the same 64 KiB: 19 MiB made of 69 KiB.
    let fields = "(loop $l (i32.store (i32.add (i32.const 8192) (local.get $a)) (i32.const 65536)) (i32.store offset=4 (i32.add (i32.const 8192) (local.get $a)) (i32.const 65536))
        (local.set $a (i32.add (local.get $a) (i32.const 8))) (br_if $l (i32.lt_u (local.get $a) (i32.const 4800))))";
    let send = |count: &str| {
        format!(
            "{fields} (call $send (i32.const 1100) (i32.const 7) (i32.const 1110) (i32.const 4) (i32.const 1120) (i32.const 3) (i32.const 8192) (i32.const {count}) \
             (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000)) unreachable"
        )
    };
    let grants = || ConnectorGrants { destinations: vec![destination("http://127.0.0.1:1")], ..ConnectorGrants::default() };
    let text = send("300");
    let error = bounded(NOW, SECONDS, host.refused(Connector { imports: HTTP, deliver: &text, ..Connector::default() }, grants())).await;
    assert_eq!(error, "hostcall_data of 16 MiB reached; raise `limits.hostcall_data` to allow more");
    // A reply of a gigabyte in 128 KiB of memory: in its header fields, its body, its events, their places.
    for (name, place) in [("header fields", 4), ("body", 6), ("events", 8), ("offsets", 10)] {
        let mut reply = [0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0];
        reply[place] = 1 << 30;
        let receive = guests::stores(4096, &reply);
        let source = host.connector(&Connector { receive: &receive, ..Connector::default() }.build(), ConnectorGrants::default()).expect("sets up");
        let mut opened = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
        let error = match bounded(NOW, SECONDS, opened.receive(&Inbound::default())).await {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{name}: taken"),
        };
        assert!(error.starts_with("the guest broke the contract: ") || error.starts_with("hostcall_data of 16 MiB reached"), "{name}: {error}");
        assert!(opened.receive(&Inbound::default()).await.is_err_and(|error| error.to_string() == GONE), "{name}: it is gone");
    }
    // 2^31 fields, and as many as wrap around.
    for count in ["0x80000000", "0x10000000", "-1"] {
        let text = send(count);
        let error = bounded(NOW, SECONDS, host.refused(Connector { imports: HTTP, deliver: &text, ..Connector::default() }, grants())).await;
        assert!(error.starts_with("the guest broke the contract: list ") || error.starts_with("hostcall_data of 16 MiB reached"), "{count}: {error}");
    }
}

/// Lines without end, by the byte, without a break, with what a terminal would obey.
#[tokio::test]
async fn h24_floods_of_the_log_are_cut_and_counted() {
    let host = Host::default();
    // One byte at a time, no line break, two million times: one line, cut.
    let bytes = "(local $i i32) (local $h i32) (local.set $h (call $stderr))
        (loop $l (call $print (local.get $h) (i32.const 1024) (i32.const 1) (i32.const 7000)) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 20000)))) unreachable";
    let fault = bounded(NOW, SECONDS, host.fault(Formatter { imports: STDERR, format: bytes, ..Formatter::default() }, &[])).await;
    assert_eq!(fault, "the guest trapped: wasm trap: wasm `unreachable` instruction executed");
    let lines = host.lines.all();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0], format!("siem warn {}…", "t".repeat(1_024)));

    // As many lines as fuel allows: 64 KiB of them are taken, the rest is one line.
    let host = Host::default();
    let flood = Formatter {
        imports: LOG,
        format: "(memory.fill (i32.const 16384) (i32.const 0x61) (i32.const 1000)) (loop $l (call $log (i32.const 1) (i32.const 16384) (i32.const 1000)) (br $l)) unreachable",
        ..Formatter::default()
    };
    let fault = bounded(NOW, SECONDS, host.fault(flood, &[("fuel", "10M")])).await;
    assert_eq!(fault, "fuel of 10M reached; raise `limits.fuel` to allow more");
    let lines = host.lines.all();
    assert_eq!(lines.len(), 66, "65 lines of 1,000 bytes are the 64 KiB of a call");
    let last = lines.last().expect("a line");
    assert!(
        last.starts_with("siem warn ")
            && last.ends_with(" log lines of one call were cut or held back; see limits.log_line, limits.log_call and limits.log_rate"),
        "{last}"
    );
    assert!(host.scrape().contains("bulkhead_guest_log_cut_total"), "cut lines are counted");

    // What a terminal or a reader of logs would obey.
    let host = Host::default();
    let ugly = r#"(data (i32.const 8192) "a\1b[31mred\07\00\0d\0aINFO forged \c2\9b31m \e2\80\ae\e2\81\a6 \e2\80\a8 end")"#;
    let format = format!("(call $log (i32.const 0) (i32.const 8192) (i32.const 45)) {}", crate::toolkit::guests::ECHO);
    let source = host.formatter(&Formatter { imports: LOG, extra: ugly, format: &format, ..Formatter::default() }.build(), &[]).expect("sets up");
    source.open().await.unwrap_or_else(|error| panic!("{error}")).format(&event(b"x")).await.expect("formats");
    assert_eq!(host.lines.all(), ["siem debug a\\u{1b}[31mred\\u{7}\\u{0}\\r\\nINFO forged \\u{9b}31m \\u{202e}\\u{2066} \\u{2028} end"]);

    // Bytes that are no text: as a string they break the contract, on standard error they are replaced.
    let host = Host::default();
    let invalid = Formatter { imports: LOG, format: "(call $log (i32.const 0) (i32.const 1140) (i32.const 10)) unreachable", ..Formatter::default() };
    let fault = host.fault(invalid, &[]).await;
    assert_eq!(fault, "the guest broke the contract: invalid utf-8 sequence of 1 bytes from index 9");
    let printed = Formatter {
        imports: STDERR,
        format: "(call $print (call $stderr) (i32.const 1140) (i32.const 10) (i32.const 7000)) unreachable",
        ..Formatter::default()
    };
    host.fault(printed, &[]).await;
    assert_eq!(host.lines.all(), ["siem warn \\u{1b}[31mbad\\u{0}\u{fffd}"]);
}

/// Takes records: a key and a value to set; then answers what the key holds.
fn keeper() -> Vec<u8> {
    let error = failure(5, "(i32.load (i32.const 5008))", "(i32.load (i32.const 5012))");
    let value = rejected("(i32.load (i32.const 5008))", "(i32.load (i32.const 5012))");
    let deliver = format!(
        "(local.set $a (i32.load offset=4 (local.get 2))) (local.set $b (i32.sub (i32.load offset=8 (local.get 2)) (local.get $a)))
         (if (local.get $b) (then
            (call $set (local.get 0) (local.get $a) (i32.add (local.get 0) (local.get $a)) (local.get $b) (i32.const 5000))
            (if (i32.load8_u (i32.const 5000)) (then (return {error})))))
         (i64.store (i32.const 5004) (i64.const 0)) (i64.store (i32.const 5012) (i64.const 0))
         (call $get (local.get 0) (local.get $a) (i32.const 5000))
         (if (result i32) (i32.load8_u (i32.const 5000)) (then {error}) (else {value}))"
    );
    Connector { imports: STATE, deliver: &deliver, ..Connector::default() }.build()
}

/// State stays within its quota and its scope, whatever keys are called.
#[tokio::test]
async fn h26_state_has_a_quota_and_a_scope() {
    let host = Host::default();
    let wasm = keeper();
    let state = Arc::new(MemoryState::default());
    let tenant = |name: &str| Tenant::new(name).expect("a name");
    let source = |of: &str, instance: &str| {
        let grants = ConnectorGrants { tenant: tenant(of), instance: instance.into(), state: Some(Arc::clone(&state) as _), ..ConnectorGrants::default() };
        host.connector(&wasm, grants).expect("sets up")
    };
    let mut guest = source("acme", "siem").open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
    let mut keep = async |key: &[u8], value: &[u8]| match guest.deliver(&records(&[key, value]), &events(1), 1).await {
        Ok(Delivery::All(Outcome::Rejected { reason })) => Ok(reason),
        Err(DeliverError::Failure(Failure::Other(text))) => Err(text),
        other => panic!("{other:?}"),
    };
    // Keys are names and no paths.
    for key in [&b"a"[..], b"/../", b"../../other/siem/a", b"acme/siem", b"%2e%2e"] {
        assert_eq!(keep(key, b"mine").await, Ok("mine".into()));
    }
    for key in [&b""[..], b"a\0b", b"a\nb", "ä".as_bytes(), &[b'k'; 129]] {
        assert_eq!(keep(key, b"x").await, Err("a key is 1 to 128 bytes of printable ASCII".into()), "{key:?}");
    }
    assert_eq!(
        keep(b"a", &vec![b'v'; (64 << 10) + 1]).await,
        Err("state_value of 64 KiB reached: 65537 bytes asked for; raise `limits.state_value` to allow more".into())
    );
    // 1,000 keys: the 257th is refused, and what is there stays.
    let mut refused = 0;
    for i in 5..1_000 {
        match keep(format!("key-{i}").as_bytes(), b"v").await {
            Ok(value) => assert_eq!((value.as_str(), i < 256), ("v", true), "{i}"),
            Err(text) => {
                assert_eq!(text, "state_keys of 256 reached: 257 asked for; raise `limits.state_keys` to allow more");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1_000 - 256);
    assert_eq!(keep(b"a", b"").await, Ok("mine".into()));
    for i in 0..16 {
        let (key, value) = (format!("key-{}", 5 + i), vec![b'v'; 64 << 10]);
        match keep(key.as_bytes(), &value).await {
            Ok(_) => assert!(i < 15, "{i}"),
            Err(text) => {
                assert!(i == 15 && text.starts_with("state of 1 MiB reached: ") && text.ends_with("; raise `limits.state` to allow more"), "{i}: {text}")
            }
        }
    }
    // The same key of another tenant, of another instance: nothing is there.
    for (of, instance) in [("other", "siem"), ("acme", "hook")] {
        let mut guest = source(of, instance).open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
        let got = guest.deliver(&records(&["a", ""]), &events(1), 1).await.expect("answers");
        assert_eq!(got, Delivery::All(Outcome::Rejected { reason: String::new() }), "{of} {instance}");
    }
    let scope = StateScope { tenant: tenant("acme"), instance: "siem".into() };
    assert_eq!(state.get(&scope, "/../").await, Ok(Some(b"mine".to_vec())));
}

/// A guest that goes away in the middle of an answer: its connection and its place are free again.
#[tokio::test]
async fn h27_an_answer_that_nobody_reads_to_its_end() {
    let drip = Answer::Drip([b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec(), vec![b'a'; 100_000]].concat(), Duration::from_millis(5));
    let slow = Receiver::start(Answer::Turns(vec![drip, Answer::ok("quick")])).await;
    let host = Host::default();
    let grants = ConnectorGrants {
        destinations: vec![destination(&slow.url())],
        limits: limits(&[("http_concurrent", "1"), ("deadline", "20s")]),
        ..ConnectorGrants::default()
    };
    let source = probe::source(&host, grants);
    let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
    let (request, one) = (probe::records_of(&Ask::default()), events(1));
    let gone = tokio::time::timeout(Duration::from_millis(300), guest.deliver(&request, &one, probe::NO_TIMEOUT)).await;
    assert!(gone.is_err(), "it waits for the slow answer");
    drop(guest);
    // The only place among requests at the same time is free: this one does not wait for it.
    let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
    let told = probe::told(bounded(NOW, Duration::from_secs(10), guest.deliver(&request, &one, probe::NO_TIMEOUT)).await);
    assert_eq!(told, "200 w quick");
    assert_eq!(slow.connections(), 2, "a connection that was broken off is not used again");
    // A slow answer ends by the request's own time.
    let drip = Answer::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc".to_vec(), Duration::from_secs(1));
    let slow = Receiver::start(drip).await;
    let grants = ConnectorGrants { destinations: vec![destination(&slow.url())], ..ConnectorGrants::default() };
    let ask = Ask { timeout: 300, ..Ask::default() };
    assert_eq!(bounded(Duration::from_millis(300), SECONDS, host.send(grants, &ask)).await, "timeout: ");
}

/// Memory that only grows: a guest is retired after so many calls, and one that is not is replaced when
/// it runs into its limit.
#[tokio::test]
async fn h28_a_guest_that_leaks_is_retired() {
    let host = Host::default();
    // 1 MiB a call, of 8.
    let leak = format!("(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) {}", crate::toolkit::guests::ECHO);
    let wasm = Formatter { format: &leak, ..Formatter::default() }.build();
    let source = || host.formatter(&wasm, &[("memory", "8MiB")]).expect("sets up");
    let mut slot = FormatterSlot::new(source(), 5);
    for call in 0..50 {
        assert_eq!(slot.format(&event(b"x")).await.unwrap_or_else(|error| panic!("call {call}: {error}")).records.get(0), b"x");
    }
    let mut slot = FormatterSlot::new(source(), 100_000);
    let mut faults = 0;
    for _ in 0..50 {
        match slot.format(&event(b"x")).await {
            Ok(_) => {}
            Err(FormatFault::Guest { fault, fresh }) => {
                assert_eq!((fault.to_string().as_str(), fresh), ("memory of 8 MiB reached; raise `limits.memory` to allow more", false));
                faults += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(faults, 6, "every eighth call finds it full");
    host.serves().await;
}
