use bulkhead_core::{Attr, EventRef, Shape};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::normalise::Rules;

const CE: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;

fn read(media: &Media, body: &[u8]) -> Result<(AppendBatch, Summary), BodyFault> {
    let mut batch = AppendBatch::new();
    let mut normaliser = Normaliser::new(Rules::default());
    let summary = read_events(&mut normaliser, media, body, 0, Bounds { events: 1_000 }, &mut batch)?;
    Ok((batch, summary))
}

fn originals(batch: &AppendBatch) -> Vec<String> {
    (0..batch.len())
        .map(|i| String::from_utf8(EventRef::new(batch.stored(i).expect("there")).expect("well formed").original().to_vec()).expect("utf-8"))
        .collect()
}

#[track_caller]
fn accepted(media: &Media, body: &str, want: &[&str]) {
    let (batch, summary) = read(media, body.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {body}"));
    assert_eq!((summary.faulty, summary.listed, summary.broken), (0, vec![], false), "{body}");
    assert_eq!(originals(&batch), want, "{body}");
    assert_eq!(summary.events, want.len());
}

/// Checks index, pointer, reason and byte of each fault, and how many events were good.
#[track_caller]
fn faults(media: &Media, body: &[u8], good: usize, broken: bool, want: &[(usize, &str, &str, Option<usize>)]) {
    let shown = String::from_utf8_lossy(body);
    let (batch, summary) = read(media, body).unwrap_or_else(|fault| panic!("{fault}: {shown}"));
    let found: Vec<_> = summary.listed.iter().map(|l| (l.index, l.fault.pointer.as_str(), l.fault.reason.as_str(), l.fault.at)).collect();
    assert_eq!(found, want, "{shown}");
    assert_eq!((batch.len(), summary.broken, summary.faulty), (good, broken, want.len()), "{shown}");
}

#[test]
fn bodies_are_parted_into_their_events() {
    accepted(&Media::Json, r#" {"a":1} "#, &[r#"{"a":1}"#]);
    accepted(&Media::Json, "\n[ {\"a\":1}\r\n,{\"b\":[2]} ]\t", &[r#"{"a":1}"#, r#"{"b":[2]}"#]);
    accepted(&Media::Ndjson, "{\"a\":1}\n\n  \r\n{\"b\":2}\r\n{\"c\":3}", &[r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
    accepted(&Media::CloudEvent, CE, &[CE]);
    accepted(&Media::CloudEventBatch, &format!("[{CE},{CE}]"), &[CE, CE]);
}

#[test]
fn empty_bodies_are_refused() {
    for (media, body) in [
        (Media::Json, ""),
        (Media::Json, " \n"),
        (Media::Json, "[]"),
        (Media::Json, " [ ] "),
        (Media::Ndjson, ""),
        (Media::Ndjson, "\n\r\n \n"),
        (Media::CloudEvent, ""),
        (Media::CloudEventBatch, "[]"),
        (Media::CloudEventBatch, ""),
    ] {
        assert_eq!(read(&media, body.as_bytes()).err(), Some(BodyFault::Empty), "{media:?} {body:?}");
    }
}

#[test]
fn faults_in_an_array_name_event_and_place() {
    let duplicate = "the key occurs twice in its object";
    let json = &Media::Json;
    faults(
        json,
        br#"[{"a":1},{"b":{"c":1,"c":2}},{"x":"\ud800"},7,{"d":1}]"#,
        2,
        false,
        &[
            (1, "/b/c", duplicate, Some(22)),
            (2, "/x", "a surrogate escape stands without its partner", Some(35)),
            (3, "", "an event is a JSON object", Some(44)),
        ],
    );
    faults(json, br#"[{"a":1},{"b":01},{"c":1}]"#, 1, true, &[(1, "/b", "a number must not begin with a needless 0", Some(14))]);
    faults(json, br#"[{"a":1} {"b":1}]"#, 1, true, &[(1, "", "expected , or ] behind the event", Some(9))]);
    faults(json, br#"[{"a":1},"#, 1, true, &[(1, "", "the text ends where a value was expected", Some(9))]);
    faults(json, br#"[{"a":1},]"#, 1, true, &[(1, "", "expected a value", Some(9))]);
    faults(json, br#"[{"a":1}"#, 1, true, &[(1, "", "the text ends within the array of events", Some(8))]);
    faults(json, br#"[{"a":1}] x"#, 1, true, &[(1, "", "more text behind the array of events", Some(10))]);
    faults(json, br#"[] x"#, 0, true, &[(0, "", "more text behind the array of events", Some(3))]);
    let behind = "more text behind the event: several go into an array, or on a line each as application/x-ndjson";
    faults(json, b"{\"a\":1}\n{\"a\":2}", 0, true, &[(0, "", behind, Some(8))]);
    faults(json, b"nothing", 0, true, &[(0, "", "expected true, false or null", Some(0))]);
    faults(json, b"7", 0, false, &[(0, "", "an event is a JSON object", Some(0))]);
    let deep = format!("[{{\"a\":1}},{{\"d\":{}1{}}}]", "[".repeat(10_000), "]".repeat(10_000));
    let (batch, summary) = read(json, deep.as_bytes()).expect("read");
    assert_eq!((batch.len(), summary.broken, summary.listed[0].index, summary.listed[0].fault.reason.as_str()), (1, true, 1, "nested deeper than 128 levels"));
}

#[test]
fn a_line_stands_for_itself() {
    let body = b"{\"a\":1}\n\n{\"a\":01}\n{\"b\":1} {\"c\":1}\n{\"d\":\"\xff\"}\n[{}]\n{\"e\":1}\n{\"f\":";
    faults(
        &Media::Ndjson,
        body,
        2,
        false,
        &[
            (1, "/a", "a number must not begin with a needless 0", Some(14)),
            (2, "", "more text behind the event: several go into an array, or on a line each as application/x-ndjson", Some(26)),
            (3, "", "not UTF-8", Some(40)),
            (4, "", "an event is a JSON object", Some(44)),
            (6, "/f", "the text ends where a value was expected", Some(62)),
        ],
    );
}

#[test]
fn text_that_is_not_utf8_is_refused_in_its_place() {
    let json = &Media::Json;
    faults(json, b"{\"a\":\"\xff\"}", 0, true, &[(0, "/a", "not UTF-8", Some(6))]);
    faults(json, b"[{\"a\":1},{\"b\":{\"c\":\"x\xc3(\"}},{}]", 1, true, &[(1, "/b/c", "not UTF-8", Some(21))]);
    faults(json, b"[{\"a\":1}] \xff", 1, true, &[(1, "", "not UTF-8", Some(10))]);
    faults(json, b"\xff\xfe{\x00}\x00", 0, true, &[(0, "", "not UTF-8", Some(0))]);
    // A surrogate in UTF-8 (CESU-8).
    faults(json, b"{\"a\":\"\xed\xa0\x80\"}", 0, true, &[(0, "/a", "not UTF-8", Some(6))]);
}

#[test]
fn cloudevent_types_say_how_many() {
    faults(&Media::CloudEvent, format!("[{CE}]").as_bytes(), 0, false, &[(0, "", "an event is a JSON object", Some(0))]);
    faults(&Media::CloudEventBatch, CE.as_bytes(), 0, true, &[(0, "", "a batch of CloudEvents is a JSON array", None)]);
    faults(&Media::CloudEventBatch, format!("[{CE},{{}},{CE}]").as_bytes(), 2, false, &[(1, "/specversion", "required, the string 1.0", Some(2 + CE.len()))]);
}

#[test]
fn events_and_listed_faults_are_bounded() {
    let body = "{}\n".repeat(1_001);
    assert_eq!(read(&Media::Ndjson, body.as_bytes()).err(), Some(BodyFault::TooManyEvents { limit: 1_000 }));
    assert_eq!(read(&Media::Json, format!("[{}{{}}]", "{},".repeat(1_000)).as_bytes()).err(), Some(BodyFault::TooManyEvents { limit: 1_000 }));
    let (_, summary) = read(&Media::Ndjson, "7\n".repeat(1_000).as_bytes()).expect("read");
    assert_eq!((summary.faulty, summary.listed.len(), summary.events), (1_000, 100, 1_000));
}

fn head(headers: &[(&str, &str)]) -> Result<Media, EventFault> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).expect("a name"), HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    BinaryHead::from_headers(&map).map(Media::Binary)
}

const BINARY: [(&str, &str); 4] = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", "t")];

#[test]
fn binary_mode_is_the_structured_form_of_the_same_event() {
    let with = |more: &[(&str, &str)]| head(&[&BINARY[..], more].concat()).expect("headers");
    let base = r#"{"specversion":"1.0","id":"1","source":"s","type":"t""#;
    for (more, payload, rest) in [
        (&[("content-type", "application/json")][..], &br#" {"n":1.00} "#[..], r#","datacontenttype":"application/json","data": {"n":1.00} }"#),
        (&[("content-type", "application/vnd.x+json; v=1")], b"[1]", r#","datacontenttype":"application/vnd.x+json; v=1","data":[1]}"#),
        (&[], b"1", r#","data":1}"#),
        (&[("content-type", "text/plain")], "a\"b\né".as_bytes(), r#","datacontenttype":"text/plain","data":"a\"b\né"}"#),
        (&[("content-type", "application/octet-stream")], b"\xff\x00\x01", r#","datacontenttype":"application/octet-stream","data_base64":"/wAB"}"#),
        (&[("ce-subject", "\"caf%C3%A9%20\\\"x\\\"\""), ("ce-team", "blue")], b"", r#","subject":"café \"x\"","team":"blue"}"#),
    ] {
        let (batch, summary) = read(&with(more), payload).expect("read");
        assert_eq!((summary.faulty, summary.listed), (0, vec![]));
        assert_eq!(originals(&batch), [format!("{base}{rest}")]);
        let event = EventRef::new(batch.stored(0).expect("there")).expect("well formed");
        assert_eq!((event.shape(), event.id().as_ref()), (Shape::CloudEvents, "1"));
        assert_eq!(event.attr(Attr::Extensions).is_some(), rest.contains("team"));
    }
}

#[test]
fn a_binary_payload_brings_no_attributes_of_its_own() {
    let media = head(&[&BINARY[..], &[("content-type", "application/json")]].concat()).expect("headers");
    faults(&media, br#"{},"tenant":"evil""#, 0, false, &[(0, "/data", "more text behind the value", Some(2))]);
    faults(&media, br#"{"a":{"b":1,"b":2}}"#, 0, false, &[(0, "/data/a/b", "the key occurs twice in its object", Some(13))]);
    faults(&media, b"{\"a\":\"\xff\"}", 0, false, &[(0, "/data", "not UTF-8", Some(6))]);
    for (headers, pointer) in [
        (&[("ce-id", "1"), ("ce-id", "2")][..], "/id"),
        (&[("ce-data", "x")], "/data"),
        (&[("ce-datacontenttype", "x")], "/datacontenttype"),
        (&[("ce-subject", "%zz")], "/subject"),
        (&[("ce-subject", "%ff")], "/subject"),
    ] {
        assert_eq!(head(headers).expect_err(pointer).pointer, pointer);
    }
    let incomplete = head(&BINARY[..3]).expect("headers");
    faults(&incomplete, b"{}", 0, false, &[(0, "/type", "required, a string that is not empty", Some(0))]);
}

#[test]
fn media_types_are_known_by_name() {
    for (value, media) in [
        ("application/json", Some(Media::Json)),
        ("Application/JSON; charset=UTF-8", Some(Media::Json)),
        ("application/json; charset=latin1", None),
        ("application/x-ndjson", Some(Media::Ndjson)),
        ("application/cloudevents+json; charset=\"utf-8\"", Some(Media::CloudEvent)),
        ("application/cloudevents-batch+json", Some(Media::CloudEventBatch)),
        ("text/plain", None),
        ("application/x-www-form-urlencoded", None),
        ("", None),
    ] {
        assert_eq!(Media::from_content_type(value), media, "{value}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..proptest::prelude::ProptestConfig::with_cases(500) })]

    /// The fuzz entry of this room: whatever comes in, nothing panics, and what is taken is well formed.
    #[test]
    fn any_body_is_survived(parts in proptest::collection::vec(proptest::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\n", " ", "\"id\"", "\"context\"", "\"event\"", "\"specversion\":\"1.0\"", "\"metadata\":", "\"roles\":", "\"{\\\"user_role\\\":\\\"x\\\"}\"",
        "1", "-", "e9", "null", "\\ud800", "é", CE, "{}", "{\"a\":1}", "\"compliance\":\"a,b\"", "\"severity\":\"high\"",
    ]), 0..40)) {
        let body = parts.concat();
        for media in [Media::Json, Media::Ndjson, Media::CloudEvent, Media::CloudEventBatch, head(&BINARY).expect("headers")] {
            if let Ok((batch, summary)) = read(&media, body.as_bytes()) {
                proptest::prop_assert!(summary.faulty > 0 || batch.len() == summary.events);
                for index in 0..batch.len() {
                    let event = EventRef::new(batch.stored(index).expect("there")).expect("well formed");
                    proptest::prop_assert!(!event.id().is_empty());
                    proptest::prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(event.original()).is_ok());
                }
            }
        }
    }
}
