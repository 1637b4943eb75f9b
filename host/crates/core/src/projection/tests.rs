use proptest::prelude::*;

use super::*;
use crate::attr::{Severity, Shape};
use crate::event::EventBuilder;

fn fields(pointers: &[&str]) -> Vec<String> {
    pointers.iter().map(|pointer| (*pointer).to_owned()).collect()
}

/// A plain event whose payload is the whole original.
fn stored(original: &str) -> Vec<u8> {
    let mut builder = EventBuilder::new();
    builder.start();
    let value = skip_value(original.as_bytes(), 0).expect("a value");
    builder.span(Attr::Data, value.kind, value.span);
    builder.text(Attr::Id, "id-1");
    builder.text(Attr::User, "a\"b");
    builder.raw(Attr::Roles, Kind::Array, br#"["x","y"]"#);
    builder.raw(Attr::Metadata, Kind::Object, br#"{"team":"blue","n":"1"}"#);
    let mut out = Vec::new();
    builder.finish(Shape::Plain, Some(Severity::Low), 1_763_628_178_123_456_789, original.as_bytes(), &mut out).expect("fits");
    out
}

fn extracted(original: &str, pointers: &[&str]) -> Vec<(Kind, String)> {
    let bytes = stored(original);
    let event = EventRef::new(&bytes).expect("well formed");
    // A block that is in use already: offsets must not assume an empty one.
    let (mut block, mut spans) = (b"before".to_vec(), vec![7, 7, 7]);
    Projection::parse(&fields(pointers)).expect("parses").extract(&event, &mut block, &mut spans);
    assert_eq!(spans.len(), 3 + pointers.len() * 3);
    let value = |span: &[u32]| {
        let text = &block[span[0] as usize..(span[0] + span[1]) as usize];
        (Kind::from_code(span[2] as u8).expect("a kind"), String::from_utf8(text.to_vec()).expect("utf-8"))
    };
    spans[3..].chunks_exact(3).map(value).collect()
}

#[track_caller]
fn check(original: &str, pointer: &str, kind: Kind, text: &str) {
    let wide: Vec<_> = std::iter::once(pointer).chain(["/id", "/data/zz", "/data/yy/0", "/data", "/original"]).collect();
    for pointers in [&[pointer][..], &wide] {
        assert_eq!(extracted(original, pointers)[0], (kind, text.to_owned()), "{pointers:?} of {original}");
    }
}

#[test]
fn pointers_reach_attributes_and_payload() {
    let original = r#"{ "a" : {"b":[10,{"c":"x\ny"},[]], "d":1.50}, "a/b":true, "m~n":null, "":"empty", "0":"zero", "\u00e9":"é" }"#;
    for (pointer, kind, text) in [
        ("/id", Kind::String, "id-1"),
        ("/user", Kind::EscapedString, r#"a\"b"#),
        ("/subject", Kind::Missing, ""),
        ("/id/deeper", Kind::Missing, ""),
        ("/roles", Kind::Array, r#"["x","y"]"#),
        ("/roles/1", Kind::String, "y"),
        ("/roles/2", Kind::Missing, ""),
        ("/roles/01", Kind::Missing, ""),
        ("/roles/-", Kind::Missing, ""),
        ("/roles/99999999999999999999", Kind::Missing, ""),
        ("/metadata/team", Kind::String, "blue"),
        ("/data/a/b", Kind::Array, r#"[10,{"c":"x\ny"},[]]"#),
        ("/data/a/b/0", Kind::Number, "10"),
        ("/data/a/b/1/c", Kind::EscapedString, r"x\ny"),
        ("/data/a/b/2", Kind::Array, "[]"),
        ("/data/a/d", Kind::Number, "1.50"),
        ("/data/a~1b", Kind::Bool, "true"),
        ("/data/m~0n", Kind::Null, "null"),
        ("/data/", Kind::String, "empty"),
        ("/data/0", Kind::String, "zero"),
        ("/data/é", Kind::String, "é"),
        ("/data/a/x", Kind::Missing, ""),
        ("/data", Kind::Object, original),
        ("/original", Kind::Object, original),
        ("/received", Kind::String, "2025-11-20T08:42:58.123456789Z"),
    ] {
        check(original, pointer, kind, text);
    }
}

#[test]
fn a_field_may_lie_within_another_and_be_asked_for_twice() {
    let found = extracted(r#"{"a":{"b":{"c":1}},"d":2}"#, &["/data/a/b/c", "/data/a", "/data/a/b", "/data/a/b/c", "/data/d", "/id"]);
    let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["1", r#"{"b":{"c":1}}"#, r#"{"c":1}"#, "1", "2", "id-1"]);
}

#[test]
fn few_fields_of_a_long_event_are_copied_alone() {
    let original = format!(r#"{{"a":1,"long":"{}"}}"#, "x".repeat(5_000));
    let bytes = stored(&original);
    let event = EventRef::new(&bytes).expect("well formed");
    let length = |pointers: &[&str]| {
        let mut block = Vec::new();
        Projection::parse(&fields(pointers)).expect("parses").extract(&event, &mut block, &mut Vec::new());
        block.len()
    };
    assert_eq!(length(&["/data/a", "/id"]), 5);
    assert_eq!(length(&[]), 0);
    assert_eq!(length(&["/data", "/data/a", "/id"]), event.body().len());
    assert_eq!(length(&["/received"]), 30);
}

#[test]
fn faulty_lists_are_refused() {
    let refused = |pointer: &str| Projection::parse(&fields(&["/id", pointer])).expect_err(pointer);
    let malformed = |pointer: &str, problem| assert_eq!(refused(pointer), ProjectionError::Malformed { field: pointer.into(), problem });
    malformed("", "the whole event is not offered, ask for /original or for attributes");
    malformed("id", "it must begin with /");
    malformed("/data/a~2", "~ must be followed by 0 or 1");
    malformed("/data/a~", "~ must be followed by 0 or 1");
    malformed("/original/a", "nothing lies within this one");
    malformed("/received/", "nothing lies within this one");
    assert_eq!(refused("/nobody"), ProjectionError::Unknown { field: "/nobody".into() });
    assert_eq!(refused("/"), ProjectionError::Unknown { field: "/".into() });
    assert_eq!(refused(&format!("/data{}", "/a".repeat(128))), ProjectionError::TooDeep { field: format!("/data{}", "/a".repeat(128)) });
    assert_eq!(Projection::parse(&vec!["/id".to_owned(); 65]).expect_err("too many"), ProjectionError::TooMany { count: 65 });
    assert_eq!(Projection::parse(&vec!["/id".to_owned(); 64]).expect("as many as possible").len(), 64);
}

#[test]
fn times_are_written_in_utc() {
    for (nanos, text) in [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
        (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999999Z"),
        (1_709_251_200_000_000_000, "2024-03-01T00:00:00.000000000Z"),
        (4_102_444_799_000_000_000, "2099-12-31T23:59:59.000000000Z"),
        (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
    ] {
        let mut out = Vec::new();
        write_rfc3339(nanos, &mut out);
        assert_eq!(String::from_utf8(out).expect("ascii"), text);
    }
}

/// Every pointer of a value, the value's own included.
fn pointers(value: &serde_json::Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out));
        }
        serde_json::Value::Array(elements) => elements.iter().enumerate().for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), out)),
        _ => {}
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-z\"\\\\é\n]{0,9}".prop_map(Into::into)
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::vec(("[a-d~/\"é0-2]{0,3}|long-key-[0-9]{1,3}", inner), 0..8)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn every_pointer_extracts_its_value(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("serialises");
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        for chunk in all.chunks(20) {
            let asked: Vec<String> = chunk.iter().map(|pointer| format!("/data{pointer}")).collect();
            let found = extracted(&text, &asked.iter().map(String::as_str).collect::<Vec<_>>());
            for (pointer, (kind, text)) in chunk.iter().zip(found) {
                let json = if matches!(kind, Kind::String | Kind::EscapedString) { format!("\"{text}\"") } else { text };
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&json).expect("a value"), value.pointer(pointer).expect("its own pointer"));
            }
        }
    }

    #[test]
    fn damaged_events_are_survived(mut bytes in Just(stored(r#"{"a":{"b":[1,{"c":"d"}]},"e":"f"}"#)), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(event) = EventRef::new(&bytes) {
            let (mut block, mut spans) = (Vec::new(), Vec::new());
            let projection = Projection::parse(&fields(&["/data/a/b/1/c", "/data/e", "/metadata/team", "/original", "/received", "/roles/0"])).expect("parses");
            projection.extract(&event, &mut block, &mut spans);
            prop_assert!(spans.chunks_exact(3).all(|span| span[0] as usize + span[1] as usize <= block.len()));
        }
    }
}
