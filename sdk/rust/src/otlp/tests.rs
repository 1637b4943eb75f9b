use super::*;
use crate::json;

fn head<'a>() -> Head<'a> {
    Head { time: 1, observed: 2, severity: 17, severity_text: Value::plain_text("high"), name: Value::plain_text("user.login"), trace: None }
}

fn written(encoding: Encoding, head: &Head<'_>, body: Body<'_>, attributes: &[(Key<'_>, &str)]) -> Vec<u8> {
    let mut out = Writer::default();
    record(encoding, head, body, |list| attributes.iter().for_each(|(key, value)| list.add(*key, json::value(value).unwrap())), &mut out);
    out.into_bytes()
}

fn text(head: &Head<'_>, body: Body<'_>, attributes: &[(Key<'_>, &str)]) -> String {
    String::from_utf8(written(Encoding::Json, head, body, attributes)).unwrap()
}

#[test]
fn a_record_in_json() {
    let trace = Trace::parse(b"00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01");
    let team = Key { own: "audit.metadata.", name: json::value(r#""te\"am""#).unwrap() };
    let body = json::value(r#"{"a":[1,-2.5,true,null,"x\n"],"big":123456789012345678901,"huge":1e999}"#).unwrap();
    assert_eq!(
        text(&Head { trace, ..head() }, Body::Value(body), &[("n".into(), "3"), (team, "\"b\""), ("none".into(), "null"), ("empty".into(), "\"\"")]),
        concat!(
            r#"{"timeUnixNano":"1","observedTimeUnixNano":"2","severityNumber":17,"severityText":"high","eventName":"user.login","#,
            r#""body":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},{"doubleValue":-2.5},{"boolValue":true},{},{"stringValue":"x\n"}]}}},"#,
            r#"{"key":"big","value":{"doubleValue":123456789012345678901}},{"key":"huge","value":{"stringValue":"1e999"}}]}},"#,
            r#""attributes":[{"key":"n","value":{"intValue":"3"}},{"key":"audit.metadata.te\"am","value":{"stringValue":"b"}}],"#,
            r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","flags":1}"#
        )
    );
    let bare = Head { time: -5, observed: 2, severity: 0, severity_text: Value::MISSING, name: Value::MISSING, trace: None };
    assert_eq!(text(&bare, Body::Bytes(b"a \"line\""), &[]), r#"{"timeUnixNano":"0","observedTimeUnixNano":"2","body":{"stringValue":"a \"line\""}}"#);
    assert_eq!(
        text(&bare, Body::Base64(json::value("\"AAEC\"").unwrap()), &[]),
        r#"{"timeUnixNano":"0","observedTimeUnixNano":"2","body":{"bytesValue":"AAEC"}}"#
    );
    let body = json::value(
        r#"{"a": "x
"}"#,
    )
    .unwrap();
    assert_eq!(text(&bare, Body::Text(body), &[]), r#"{"timeUnixNano":"0","observedTimeUnixNano":"2","body":{"stringValue":"{\"a\": \"x\n\"}"}}"#);
}

/// Hand-made from the field numbers of `logs.proto` and `common.proto`; others read it in tests/it/otlp.rs.
#[test]
fn a_record_in_protobuf() {
    let trace = Trace::parse(b"00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01");
    let key = Key { own: "m.", name: json::value(r#""\n""#).unwrap() };
    let body = json::value(r#"{"a":[1,0.5,true,null]}"#).unwrap();
    let mut want = Vec::new();
    want.extend_from_slice(b"\x09\x01\0\0\0\0\0\0\0");
    want.extend_from_slice(b"\x59\x02\0\0\0\0\0\0\0");
    want.extend_from_slice(b"\x10\x11\x1a\x04high\x62\x0auser.login");
    // body { kvlist_value { values { key: "a", value { array_value { values { int 1 } values { double } values { bool } values {} } } } } }
    let list = b"\x0a\x02\x18\x01\x0a\x09\x21\0\0\0\0\0\0\xe0\x3f\x0a\x02\x10\x01\x0a\x00";
    assert_eq!(list.len(), 21);
    want.extend_from_slice(b"\x2a\x20\x32\x1e\x0a\x1c\x0a\x01a\x12\x17\x2a\x15");
    want.extend_from_slice(list);
    want.extend_from_slice(b"\x45\x01\0\0\0\x4a\x10\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c\x52\x08\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74");
    want.extend_from_slice(b"\x32\x0b\x0a\x03m.\n\x12\x04\x0a\x02ab");
    assert_eq!(written(Encoding::Protobuf, &Head { trace, ..head() }, Body::Value(body), &[(key, "\"ab\"")]), want);
    let bare = Head { time: 0, observed: 0, severity: 0, severity_text: Value::MISSING, name: Value::MISSING, trace: None };
    let body = |body| written(Encoding::Protobuf, &bare, body, &[])[18..].to_vec();
    assert_eq!(body(Body::Base64(json::value("\"AAEC\"").unwrap())), b"\x2a\x05\x3a\x03\0\x01\x02");
    assert_eq!(body(Body::Base64(json::value("\"A*EC\"").unwrap())), b"\x2a\x06\x0a\x04A*EC");
    assert_eq!(body(Body::Bytes(b"x\xff")), "\x2a\x06\x0a\x04x\u{fffd}".as_bytes());
    assert_eq!(body(Body::Value(json::value("-1").unwrap())), b"\x2a\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    assert_eq!(body(Body::Value(json::value("1e999").unwrap())), b"\x2a\x07\x0a\x051e999");
}

#[test]
fn what_is_nested_deep_is_text() {
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let written = text(&head(), Body::Value(json::value(&deep).unwrap()), &[]);
    assert_eq!(written.matches("arrayValue").count(), MAX_DEPTH);
    assert!(written.contains(&format!("{{\"stringValue\":\"{}1{}\"}}", "[".repeat(500 - MAX_DEPTH), "]".repeat(500 - MAX_DEPTH))), "{written}");
}

#[test]
fn traces_are_checked() {
    let parse = |text: &'static str| Trace::parse(text.as_bytes());
    let good = Trace { trace_id: b"5b8efff798038103d269b633813fc60c", span_id: b"eee19b7ec3c1b174", flags: 0xff };
    assert_eq!(parse("00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-ff"), Some(good));
    assert_eq!(parse("01-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-ff-more"), Some(good));
    for bad in [
        "",
        "00",
        "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01-more",
        "ff-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01",
        "00-5B8EFFF798038103D269B633813FC60C-eee19b7ec3c1b174-01",
        "00-00000000000000000000000000000000-eee19b7ec3c1b174-01",
        "00-5b8efff798038103d269b633813fc60c-0000000000000000-01",
        "00_5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01",
        "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-0g",
    ] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}

/// RFC 4648 §10.
#[test]
fn base64_vectors() {
    for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmE=", "fooba"), ("Zm9vYmFy", "foobar")] {
        assert_eq!(base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()), "{text}");
    }
    for bad in ["Z", "Zg=", "Zg==Zg==", "Z===", "====", "Zm9*"] {
        assert_eq!(base64(bad.as_bytes()), None, "{bad}");
    }
}
