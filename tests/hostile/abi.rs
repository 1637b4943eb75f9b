//! The boundary itself: values that no compiler emits, at every place where the host reads a guest's
//! memory or the guest's allocator is called.

use std::time::Duration;

use bulkhead_core::{DeliverError, Delivery, EventBatch, Failure, Outcome};
use bulkhead_sandbox::ConnectorGrants;
use wit_component::StringEncoding;

use crate::toolkit::guests::{self, ACCEPT, Connector, Formatter, HTTP, LOG, each, failure, formatted, rejected, stores};
use crate::toolkit::{GONE, Host, NOW, SECONDS, bounded, destination, events, json, records};

const CONTRACT: &str = "the guest broke the contract: ";

/// Guests that speak UTF-16, or Latin-1 where it fits: texts arrive as they are, both ways.
#[tokio::test]
async fn h30_other_encodings_of_text() {
    let host = Host::default();
    // configure answers the format's name `t` and `text/plain`, in the guest's own encoding.
    let wide: String = "ttext/plain".bytes().map(|byte| format!("\\{byte:02x}\\00")).collect();
    let configured = r#"(data (i32.const 64) "\00\00\00\00" "\00\00\00\00" "\00\00\00\00" "\00\20\00\00" "\01\00\00\00" "\02\20\00\00" "\0a\00\00\00")"#;
    for (name, encoding, text, units, want) in [
        ("utf-16", StringEncoding::UTF16, "\\68\\00\\e4\\00\\3d\\d8\\00\\de", 4, "hä😀"),
        ("latin-1", StringEncoding::CompactUTF16, "\\68\\e4\\ff", 3, "häÿ"),
        // The top bit of the length says that it is UTF-16 after all.
        ("utf-16 by tag", StringEncoding::CompactUTF16, "\\68\\00\\e4\\00\\3d\\d8\\00\\de", 4 | (1 << 31), "hä😀"),
    ] {
        let names = if encoding == StringEncoding::UTF16 { wide.clone() } else { "ttext/plain".into() };
        let names = if encoding == StringEncoding::UTF16 { names } else { format!("t\\00{}", &names[1..]) };
        let extra = format!(r#"{configured} (data (i32.const 8192) "{names}") (data (i32.const 9000) "{text}")"#);
        let format = format!("(call $log (i32.const 1) (i32.const 9000) (i32.const {units})) {}", guests::ECHO);
        let guest = Formatter { imports: LOG, extra: &extra, format: &format, encoding, ..Formatter::default() };
        let source = host.formatter(&guest.build(), &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        formatter.format(&crate::toolkit::event(b"x")).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(host.lines.all().pop().as_deref(), Some(format!("siem info {want}").as_str()), "{name}");
    }
}

/// Odd addresses, halves of a pair, lengths that lead out: a fault of the guest and nothing else
/// (RUSTSEC-2026-0091, 0092 and 0093).
#[tokio::test]
async fn h30_misaligned_and_broken_text() {
    let host = Host::default();
    let wide: String = "ttext/plain".bytes().map(|byte| format!("\\{byte:02x}\\00")).collect();
    let configured = r#"(data (i32.const 64) "\00\00\00\00" "\00\00\00\00" "\00\00\00\00" "\00\20\00\00" "\01\00\00\00" "\02\20\00\00" "\0a\00\00\00")"#;
    let extra = format!(r#"{configured} (data (i32.const 8192) "{wide}") (data (i32.const 9000) "\00\d8\41\00")"#);
    for (name, at, units, want) in [
        ("an odd address", "9001", "1", "not aligned"),
        ("half of a pair", "9000", "2", "unpaired surrogate"),
        ("out by one", "131071", "1", "not aligned"),
        ("out by two", "131070", "2", "out of bounds"),
        ("too long for the address space", "9000", "0x7fffffff", "out of bounds"),
        ("more bytes than there are numbers", "9000", "-1", "out of bounds"),
    ] {
        let format = format!("(call $log (i32.const 1) (i32.const {at}) (i32.const {units})) unreachable");
        let guest = Formatter { imports: LOG, extra: &extra, format: &format, encoding: StringEncoding::UTF16, ..Formatter::default() };
        let fault = bounded(NOW, SECONDS, host.fault(guest, &[])).await;
        assert!(fault.starts_with(CONTRACT) && fault.contains(want), "{name}: {fault}");
    }
    let extra = format!(r#"{configured} (data (i32.const 8192) "t\00text/plain")"#);
    for (name, at, units, want) in [
        ("an odd address", "8193", "0x80000001", "not aligned"),
        ("out of memory", "131072", "0x80000001", "out of bounds"),
        ("Latin-1 out of memory", "131070", "4", "out of bounds"),
    ] {
        let format = format!("(call $log (i32.const 1) (i32.const {at}) (i32.const {units})) unreachable");
        let guest = Formatter { imports: LOG, extra: &extra, format: &format, encoding: StringEncoding::CompactUTF16, ..Formatter::default() };
        let fault = bounded(NOW, SECONDS, host.fault(guest, &[])).await;
        assert!(fault.starts_with(CONTRACT) && fault.contains(want), "{name}: {fault}");
    }
}

/// Discriminants that stand for no case, wherever the contract has one: enums, variants, results,
/// options. (The contract has neither flags nor characters.)
#[tokio::test]
async fn h31_discriminants_that_do_not_exist() {
    let host = Host::default();
    let byte = |at: u32, value: u32| format!("(i32.store8 (i32.const {at}) (i32.const {value}))");
    let level = "(call $log (i32.const 4) (i32.const 1100) (i32.const 7)) unreachable";
    let fault = host.fault(Formatter { imports: LOG, format: level, ..Formatter::default() }, &[]).await;
    assert!(fault.starts_with(CONTRACT) && fault.contains("unexpected discriminant: 4"), "enum: {fault}");
    let configure = format!("{} (i32.const 64)", byte(64, 7));
    let fault = host.fault(Formatter { configure: &configure, ..Formatter::default() }, &[]).await;
    assert!(fault.starts_with(CONTRACT) && fault.contains("invalid expected discriminant"), "result of configure: {fault}");
    let send = |encoding: i64, option: i64| {
        format!(
            "(call $send (i32.const 1100) (i32.const 7) (i32.const 1110) (i32.const 4) (i32.const 1120) (i32.const 3) (i32.const 0) (i32.const 0) \
             (i32.const 0) (i32.const 0) (i32.const {encoding}) (i32.const {option}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000)) unreachable"
        )
    };
    for (name, deliver, want) in [
        ("result", format!("{ACCEPT} drop {} (i32.const 4096)", byte(4096, 2)), "invalid expected discriminant"),
        ("delivery", format!("{ACCEPT} drop {} (i32.const 4096)", byte(4104, 2)), "unexpected discriminant: 2"),
        ("outcome", format!("{ACCEPT} drop {} (i32.const 4096)", byte(4112, 4)), "unexpected discriminant: 4"),
        ("option of a receipt", format!("{ACCEPT} drop {} (i32.const 4096)", byte(4120, 2)), "invalid option discriminant"),
        ("failure", failure(6, "(i32.const 1100)", "(i32.const 7)"), "unexpected discriminant: 6"),
        ("encoding of a body", send(2, 0), "unexpected discriminant: 2"),
        ("option of a time", send(0, 2), "invalid option discriminant"),
        ("all bits", format!("{ACCEPT} drop {} (i32.const 4096)", byte(4112, 255)), "unexpected discriminant: 255"),
    ] {
        let imports = if deliver.contains("$send") { HTTP } else { "" };
        let grants = ConnectorGrants { destinations: vec![destination("http://127.0.0.1:1")], ..ConnectorGrants::default() };
        let error = bounded(NOW, SECONDS, host.refused(Connector { imports, deliver: &deliver, ..Connector::default() }, grants)).await;
        assert!(error.starts_with(CONTRACT) && error.contains(want), "{name}: {error}");
    }
}

/// Pointers at the very end, answers that lie over each other, allocators that lie.
#[tokio::test]
async fn h32_pointers_at_the_end_of_memory() {
    let host = Host::default();
    for (name, format, want) in [
        ("a block of 4 GiB", formatted(65_536, -1, 2048, 2), "out of bounds"),
        ("a block behind the end", formatted(-65_536, 65_536, 2048, 2), "out of bounds"),
        ("a block out by one", formatted(131_071, 2, 2048, 2), "out of bounds"),
        ("offsets at an odd place", formatted(0, 0, 2049, 2), "not aligned"),
        ("offsets out by one", formatted(0, 0, 131_068, 2), "out of bounds"),
        ("offsets for more than memory", formatted(0, 0, 2048, 0x4000_0000), "out of bounds"),
        ("the answer behind the end", "(i32.const -4)".into(), "pointer out of bounds"),
        ("the answer at an odd place", "(i32.const 3)".into(), "pointer not aligned"),
        ("the answer over the edge", "(i32.const 131064)".into(), "pointer out of bounds"),
        ("offsets that do not divide", formatted(0, 4, 2048, 2), "offsets do not divide the block of 4 bytes"),
        ("too many offsets", formatted(0, 0, 2048, 3), "3 offsets for 1 records, expected 2"),
        ("no offsets", formatted(0, 0, 2048, 0), "0 offsets for 1 records, expected 2"),
    ] {
        let fault = bounded(NOW, SECONDS, host.fault(Formatter { format: &format, ..Formatter::default() }, &[])).await;
        assert!(fault.starts_with(CONTRACT) && fault.contains(want), "{name}: {fault}");
    }
    // Block and offsets are the very same bytes, and the answer lies among them: read as what they are.
    let over = format!("(i32.store (i32.const 3000) (i32.const 0)) {}", stores(3000, &[3000, 0, 3012, 2, 0, 0]));
    let fault = host.fault(Formatter { format: &over, ..Formatter::default() }, &[]).await;
    assert_eq!(fault, "the guest broke the contract: offsets do not divide the block of 0 bytes");
    for (name, answer) in [("the highest address", "(i32.const -1)"), ("the end of memory", "(i32.const 131072)"), ("far outside", "(i32.const 0x7fffffff)")] {
        let realloc = format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {answer})"#);
        let fault = bounded(NOW, SECONDS, host.fault(Formatter { realloc: &realloc, ..Formatter::default() }, &[])).await;
        assert!(fault.starts_with(CONTRACT), "an allocator that answers {name}: {fault}");
    }
    // Null and odd addresses: what lies there is the guest's own loss; numbers need their alignment.
    let odd = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65537))"#;
    let source = host.formatter(&Formatter { realloc: odd, format: "unreachable", ..Formatter::default() }.build(), &[]).expect("sets up");
    let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    let spans = EventBatch { count: 1, block: b"x".to_vec(), spans: vec![0, 1, 4] };
    let fault = formatter.format(&spans).await.expect_err("a fault").to_string();
    assert!(fault.starts_with(CONTRACT) && fault.contains("not aligned"), "{fault}");
    let trap = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#;
    let fault = host.fault(Formatter { realloc: trap, ..Formatter::default() }, &[]).await;
    assert_eq!(fault, "the guest trapped: wasm trap: wasm `unreachable` instruction executed");
}

/// The allocator runs while the host is in the middle of a call: it may not call out.
#[tokio::test]
async fn h33_an_allocator_that_calls_the_host() {
    let host = Host::default();
    let reenter = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $log (i32.const 1) (i32.const 1100) (i32.const 7)) (call $alloc (local.get 3)))"#;
    let fault = bounded(NOW, SECONDS, host.fault(Formatter { imports: LOG, realloc: reenter, ..Formatter::default() }, &[])).await;
    assert_eq!(fault, "the guest trapped: wasm trap: cannot leave component instance");
    assert!(host.lines.all().is_empty(), "nothing was written");
    let post = r#"(func (export "cabi_post_bulkhead:connector/formatting@0.1.0#format") (param i32) (call $log (i32.const 1) (i32.const 1100) (i32.const 7)))"#;
    let fault = bounded(NOW, SECONDS, host.fault(Formatter { imports: LOG, extra: post, ..Formatter::default() }, &[])).await;
    assert_eq!(fault, "the guest trapped: wasm trap: cannot leave component instance");
    assert!(host.lines.all().is_empty(), "nothing was written");
}

/// Delivers `count` events to a connector of this code; the answer, and whether the guest lives on.
async fn answers(host: &Host, deliver: &str, count: u32) -> (Result<Delivery, DeliverError>, bool) {
    let source = host.connector(&Connector { deliver, ..Connector::default() }.build(), ConnectorGrants::default()).expect("sets up");
    let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
    let texts = vec!["x"; count as usize];
    let answer = bounded(NOW, SECONDS, guest.deliver(&records(&texts), &events(count), 1)).await;
    let again = guest.deliver(&records(&texts), &events(count), 1).await;
    let alive = !matches!(&again, Err(DeliverError::Fault(fault)) if fault.to_string() == GONE);
    (answer, alive)
}

/// Answers for other events than those that there are.
#[tokio::test]
async fn h34_too_few_and_too_many_outcomes() {
    let host = Host::default();
    // Zeroes are `accepted(none)`; an outcome has 24 bytes.
    for (count, want) in
        [("0", "0 outcomes for 3 events"), ("2", "2 outcomes for 3 events"), ("4", "4 outcomes for 3 events"), ("1000", "1000 outcomes for 3 events")]
    {
        let deliver = each("(i32.const 16384)", &format!("(i32.const {count})"));
        let (answer, alive) = answers(&host, &deliver, 3).await;
        assert_eq!(answer.expect_err(want).to_string(), format!("{CONTRACT}{want}"));
        assert!(!alive, "a guest that broke the contract is gone");
    }
    let deliver = each("(i32.const 16384)", "(i32.const 3)");
    let (answer, alive) = answers(&host, &deliver, 3).await;
    assert_eq!((answer.expect("three for three"), alive), (Delivery::Each(vec![Outcome::Accepted { receipt: None }; 3]), true));
    // A million that are really there are more than a call may hand over.
    let million = each("(call $alloc (i32.const 24000000))", "(i32.const 1000000)");
    let (answer, _) = answers(&host, &million, 3).await;
    let text = answer.expect_err("a million").to_string();
    assert!(
        text == format!("{CONTRACT}1000000 outcomes for 3 events") || text == "hostcall_data of 16 MiB reached; raise `limits.hostcall_data` to allow more",
        "{text}"
    );
    host.serves().await;
}

/// Numbers and texts beyond all measure are cut, not believed.
#[tokio::test]
async fn h34_outcomes_beyond_all_measure() {
    let host = Host::default();
    // retry(u64::MAX): the wait is capped where it is used, by the instance's retry settings.
    let retry = "(i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 1)) \
                 (i64.store (i32.const 4120) (i64.const 1)) (i64.store (i32.const 4128) (i64.const -1)) (i32.const 4096)";
    let (answer, alive) = answers(&host, retry, 1).await;
    assert_eq!((answer.expect("an answer"), alive), (Delivery::All(Outcome::Retry { after: Some(Duration::from_millis(u64::MAX)) }), true));
    // A reason of 10 MiB: 4 KiB are kept.
    let fill = "(local.set $a (call $alloc (i32.const 10485760))) (memory.fill (local.get $a) (i32.const 0x72) (i32.const 10485760))";
    let (answer, alive) = answers(&host, &format!("{fill} {}", rejected("(local.get $a)", "(i32.const 10485760)")), 1).await;
    let Ok(Delivery::All(Outcome::Rejected { reason })) = answer else { panic!("{answer:?}") };
    assert_eq!((reason, alive), (format!("{}…", "r".repeat(4 << 10)), true));
    let (answer, alive) = answers(&host, &format!("{fill} {}", failure(5, "(local.get $a)", "(i32.const 10485760)")), 1).await;
    let Err(DeliverError::Failure(Failure::Other(text))) = answer else { panic!("{answer:?}") };
    assert_eq!((text, alive), (format!("{}…", "r".repeat(4 << 10)), true));
    // Control characters of a reason do not reach people.
    let (answer, _) = answers(&host, &rejected("(i32.const 1140)", "(i32.const 9)"), 1).await;
    assert_eq!(answer.expect("an answer"), Delivery::All(Outcome::Rejected { reason: "\\u{1b}[31mbad\\u{0}".into() }));
    // pending with a token of no length, and of too much.
    let pending = |length: u32| {
        format!(
            "(i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 3)) \
             (i32.store (i32.const 4120) (i32.const 16384)) (i32.store (i32.const 4124) (i32.const {length})) (i64.store (i32.const 4128) (i64.const -1)) (i32.const 4096)"
        )
    };
    for length in [0, 129, 100_000] {
        let (answer, alive) = answers(&host, &pending(length), 1).await;
        assert_eq!(answer.expect_err("a bad token").to_string(), format!("{CONTRACT}a token of {length} bytes, expected 1 to 128"));
        assert!(!alive);
    }
    let (answer, _) = answers(&host, &pending(128), 2).await;
    assert_eq!(answer.expect_err("one for two").to_string(), format!("{CONTRACT}one token for 2 events; pending needs one for each"));
    host.serves().await;
}

/// Outcomes have places, not ids, so that none can be invented or given twice; where a formatter names
/// events by place, each may be named once, in order, and must exist.
#[tokio::test]
async fn h36_events_named_twice_or_not_at_all() {
    let host = Host::default();
    // refusal: event u32, reason string.
    let refusals = |places: &[i64]| {
        let list: Vec<i64> = places.iter().flat_map(|place| [*place, 1024, 1]).collect();
        format!(
            "{} drop (i32.store (i32.const 2048) (i32.const 0)) (i32.store (i32.const 2052) (i32.const 0)) (i32.store (i32.const 2056) (i32.const 0)) {}",
            stores(2500, &list),
            stores(3000, &[0, 0, 2048, 3, 2500, places.len() as i64])
        )
    };
    let two = EventBatch { count: 2, block: b"ab".to_vec(), spans: Vec::new() };
    for (places, want) in [
        (&[1_i64, 1][..], "event 1 is refused out of order or out of 2 events"),
        (&[1, 0], "event 0 is refused out of order or out of 2 events"),
        (&[2], "event 2 is refused out of order or out of 2 events"),
        (&[-1], "event 4294967295 is refused out of order or out of 2 events"),
        (&[0, 1, 1], "3 refusals for 2 events"),
    ] {
        let format = refusals(places);
        let source = host.formatter(&Formatter { format: &format, ..Formatter::default() }.build(), &[]).expect("sets up");
        let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
        let fault = bounded(NOW, SECONDS, formatter.format(&two)).await.expect_err(want);
        assert_eq!(fault.to_string(), format!("{CONTRACT}{want}"));
        assert_eq!(formatter.format(&two).await.expect_err("dead").to_string(), GONE);
    }
    let format = refusals(&[0, 1]);
    let source = host.formatter(&Formatter { format: &format, ..Formatter::default() }.build(), &[]).expect("sets up");
    let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(formatter.format(&two).await.expect("both refused").refused.len(), 2);
}
