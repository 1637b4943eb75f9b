use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::attr::Kind;

/// Records what the scanner hands over, following the names `a` and `b`.
#[derive(Default)]
struct Record(Vec<(u8, String, Kind, String)>);

impl Collect for Record {
    fn enter(&mut self, parent: Group, key: &[u8]) -> Group {
        match (parent, key) {
            (Group(1), b"a") => Group(2),
            (Group(2), b"b") => Group(3),
            _ => Group::NONE,
        }
    }

    fn member(&mut self, text: &[u8], member: Member) {
        let show = |range| String::from_utf8_lossy(&text[range]).into_owned();
        self.0.push((member.group.0, show(member.key), member.kind, show(member.value)));
    }
}

fn scan(text: &[u8]) -> Result<Scanned, Fault> {
    Scanner::new(Limits::default()).document(text, Group(1), &mut Record::default())
}

#[track_caller]
fn refused(text: &str, kind: FaultKind, at: usize, pointer: &str) -> Fault {
    let fault = scan(text.as_bytes()).expect_err(text);
    assert_eq!((fault.kind, fault.at, fault.pointer.as_str()), (kind, at, pointer), "{text}");
    fault
}

#[test]
fn members_of_the_named_objects_are_handed_over_once() {
    let mut record = Record::default();
    let text = br#" {"x":[{"a":{"q":1}}] , "a" : {"b":{"c":-1.50e+3},"d":"e\n"}, "\u0061b":null,"t":true,"f":false,"o":{}} "#;
    let scanned = Scanner::default().document(text, Group(1), &mut record).expect("valid");
    assert_eq!((scanned.kind, scanned.span.start), (Kind::Object, 1));
    let found: Vec<_> = record.0.iter().map(|(group, key, kind, value)| (*group, key.as_str(), *kind, value.as_str())).collect();
    assert_eq!(
        found,
        [
            (1, "x", Kind::Array, r#"[{"a":{"q":1}}]"#),
            (3, "c", Kind::Number, "-1.50e+3"),
            (2, "b", Kind::Object, r#"{"c":-1.50e+3}"#),
            (2, "d", Kind::EscapedString, r"e\n"),
            (1, "a", Kind::Object, r#"{"b":{"c":-1.50e+3},"d":"e\n"}"#),
            (1, r"\u0061b", Kind::Null, "null"),
            (1, "t", Kind::Bool, "true"),
            (1, "f", Kind::Bool, "false"),
            (1, "o", Kind::Object, "{}"),
        ]
    );
}

#[test]
fn malformed_text_is_refused_with_its_place() {
    let syntax = FaultKind::Syntax;
    for (text, reason, at, pointer) in [
        ("", "the text ends where a value was expected", 0, ""),
        ("  ", "the text ends where a value was expected", 2, ""),
        ("{", "expected a key in double quotes", 1, ""),
        ("{}x", "more text behind the value", 2, ""),
        ("{} {}", "more text behind the value", 3, ""),
        (r#"{"a":1,}"#, "expected a key in double quotes", 7, ""),
        (r#"{"a" 1}"#, "expected a colon behind the key", 5, "/a"),
        (r#"{"a":1 "b":2}"#, "expected , or }", 7, "/a"),
        (r#"{"a":{"b":[1,2 3]}}"#, "expected , or ]", 15, "/a/b/1"),
        (r#"{"a":[1,]}"#, "expected a value", 8, "/a/1"),
        (r#"{"a":1]"#, "expected , or }", 6, "/a"),
        (r#"{"a":"#, "the text ends where a value was expected", 5, "/a"),
        (r#"{"a":"x"#, "the text ends within a string", 7, "/a"),
        (r#"{"a":1"#, "the text ends within an object", 6, "/a"),
        ("[1", "the text ends within an array", 2, "/0"),
        ("{a:1}", "expected a key in double quotes", 1, ""),
        ("{'a':1}", "expected a key in double quotes", 1, ""),
        ("[nul]", "expected true, false or null", 1, "/0"),
        ("[NaN]", "expected a value", 1, "/0"),
        ("[01]", "a number must not begin with a needless 0", 1, "/0"),
        ("[-]", "digits must follow the minus sign", 2, "/0"),
        ("[1.]", "digits must follow the decimal point", 3, "/0"),
        ("[.5]", "expected a value", 1, "/0"),
        ("[+1]", "expected a value", 1, "/0"),
        ("[1e]", "digits must follow the exponent sign", 3, "/0"),
        ("[\"a\tb\"]", "a control character in a string must be escaped", 3, "/0"),
        ("[\"a\u{0}b\"]", "a control character in a string must be escaped", 3, "/0"),
        (r#"["\x41"]"#, "unknown escape in a string", 2, "/0"),
        (r#"["\u12g4"]"#, "four hexadecimal digits must follow \\u", 2, "/0"),
        ("[1]\u{b}", "more text behind the value", 3, ""),
        ("\u{feff}{}", "expected a value", 0, ""),
        ("[/* no */1]", "expected a value", 1, "/0"),
        (r#"{"a/b":{"~":[tru]}}"#, "expected true, false or null", 13, "/a~1b/~0/0"),
    ] {
        assert_eq!(refused(text, syntax(reason), at, pointer).end, None);
    }
}

#[test]
fn duplicate_keys_are_refused_at_every_level_and_the_end_is_known() {
    for (text, at, pointer) in [
        (r#"{"a":1,"b":2,"a":3}"#, 14, "/a"),
        (r#"{"a":{"x":[{"k":1,"k":2}]}}"#, 19, "/a/x/0/k"),
        (r#"{"ab":1,"\u0061b":2}"#, 9, "/ab"),
        (r#"{"\u0061":1,"a":2}"#, 13, "/a"),
        (r#"{"":1,"":2}"#, 7, "/"),
        (r#"{"a-long-key-1":1,"a-long-key-2":2,"a-long-key-1":1}"#, 36, "/a-long-key-1"),
        (r#"{"J\u00f6rg":1,"Jörg":2}"#, 16, "/Jörg"),
    ] {
        assert_eq!(refused(text, FaultKind::DuplicateKey, at, pointer).end, Some(text.len()));
    }
    // The same key in different objects is no duplicate.
    scan(br#"{"a":{"a":{"a":[{"a":1},{"a":1}]}},"b":{"a":1}}"#).expect("valid");
}

#[test]
fn large_objects_are_checked_too() {
    let object = |keys: &mut dyn Iterator<Item = String>| format!("{{{}}}", keys.map(|key| format!("\"{key}\":{{\"in\":1}}")).collect::<Vec<_>>().join(","));
    let fine = object(&mut (0..50_000).map(|i| format!("key-{i:05}-end")));
    scan(fine.as_bytes()).expect("no duplicates");
    for twice in [0, 63, 64, 65, 200] {
        let text = object(&mut (0..300).map(|i| format!("k{i}")).chain([format!("k{twice}"), "last".into()]));
        let fault = scan(text.as_bytes()).expect_err("a duplicate");
        assert_eq!((fault.kind, fault.pointer, fault.end), (FaultKind::DuplicateKey, format!("/k{twice}"), Some(text.len())));
    }
    // Escaped and plain spellings meet in the hash set as well.
    let text = object(&mut (0..100).map(|i| format!("k{i}")).chain(["\\u006b7".into()]));
    assert_eq!(scan(text.as_bytes()).expect_err("a duplicate").kind, FaultKind::DuplicateKey);
    // A large object within a large one within an array.
    let inner = object(&mut (0..80).map(|i| format!("i{i}")));
    let outer = format!("[{{{}}}]", (0..80).map(|i| format!("\"o{i}\":{inner}")).collect::<Vec<_>>().join(","));
    scan(outer.as_bytes()).expect("no duplicates");
    let many = object(&mut (0..70_000).map(|i| format!("k{i}")));
    let fault = scan(many.as_bytes()).expect_err("too many");
    assert_eq!((fault.kind, fault.pointer.as_str(), fault.end), (FaultKind::Members(65_536), "/k65536", Some(many.len())));
}

#[test]
fn surrogates_need_their_partner() {
    for (text, at) in
        [(r#"["\ud83d"]"#, 2), (r#"["\ude00"]"#, 2), (r#"["\ud83d\ud83d"]"#, 2), (r#"["\ud83dx\ude00"]"#, 2), (r#"["\ud83d\n"]"#, 2), (r#"["ab\uDC00"]"#, 4)]
    {
        assert_eq!(refused(text, FaultKind::Surrogate, at, "/0").end, Some(text.len()));
    }
    refused(r#"{"\ud800":1}"#, FaultKind::Surrogate, 2, "");
    scan(r#"["\ud83d\ude00","\uD83D\uDE00","😀","\u0000","\uffff"]"#.as_bytes()).expect("valid");
}

#[test]
fn nesting_is_bounded_without_recursion() {
    scan(format!("{}{}", "[".repeat(128), "]".repeat(128)).as_bytes()).expect("within the limit");
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let text = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let fault = scan(text.as_bytes()).expect_err("too deep");
        assert_eq!((fault.kind, fault.at, fault.end), (FaultKind::Depth(128), 128 * open.len(), None));
    }
}

#[test]
fn a_pointer_in_a_fault_is_bounded() {
    let text = format!("{{\"{}\":{{\"b\":01}}}}", "k".repeat(100_000));
    assert_eq!(scan(text.as_bytes()).expect_err("malformed").pointer, "/…");
}

#[test]
fn numbers_keep_their_digits() {
    for digits in ["0", "-0", "123456789012345678901234567890.123456789e-9999", "1E400", "-0.0e+0", "18446744073709551616"] {
        let text = format!("[{digits} ,{digits}]");
        scan(text.as_bytes()).expect("valid");
        let value = skip_value(text.as_bytes(), 1).expect("skips");
        assert_eq!((value.kind, &text[value.span]), (Kind::Number, digits));
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
        "[a-z\"\\\\\u{0}-\u{1f}é😀]{0,30}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 100, 80, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..10).prop_map(Into::into),
            prop::collection::vec(("[a-c~/\"\\\\é]{0,9}", inner), 0..80).prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn whatever_serde_json_writes_is_accepted(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.expect("serialises");
        let scanned = scan(&text).expect("valid");
        let skipped = skip_value(&text, 0).expect("skips");
        prop_assert_eq!((scanned.kind, scanned.span, scanned.end), (skipped.kind, skipped.span, skipped.end));
    }

    #[test]
    fn validity_agrees_with_serde_json(value in any_json(), edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, prop::sample::select(b"{}[]\",:\\u0dDeE+-.1 \ntfn/\x01".to_vec())), 1..4)) {
        let mut text = serde_json::to_vec(&value).expect("serialises");
        for (place, edit, byte) in edits {
            let at = place.index(text.len().max(1)).min(text.len());
            match edit {
                0 => text.insert(at, byte),
                1 => text.truncate(at),
                2 if at < text.len() => { text.remove(at); }
                _ => if at < text.len() { text[at] = byte },
            }
        }
        prop_assume!(std::str::from_utf8(&text).is_ok());
        // `RawValue` checks the grammar alone: neither ranges of numbers, nor surrogates, nor keys.
        let grammar = serde_json::from_slice::<&RawValue>(&text).is_ok();
        match scan(&text) {
            Ok(_) => prop_assert!(grammar, "{}", String::from_utf8_lossy(&text)),
            Err(Fault { kind: FaultKind::Syntax(reason), .. }) => prop_assert!(!grammar, "{reason}: {}", String::from_utf8_lossy(&text)),
            // A soft fault comes before what stands behind the value.
            Err(fault) => prop_assert!(grammar || fault.end.is_some(), "{}", String::from_utf8_lossy(&text)),
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\u0d8e-1 tn\xff\x00".to_vec()), 0..60)) {
        let _ = scan(&bytes);
        let _ = skip_value(&bytes, 0);
    }

    #[test]
    fn fingerprints_do_not_depend_on_what_lies_behind(key in prop::collection::vec(any::<u8>(), 0..30), behind in prop::collection::vec(any::<u8>(), 0..12)) {
        let text = [&b"xy"[..], &key, &behind].concat();
        prop_assert_eq!(fingerprint(&key), fingerprint_at(&text, 2, key.len()));
    }
}
