use bulkhead_sdk::native::{self, EventText};

use super::*;

#[track_caller]
fn check(event: &str, want: &str) {
    let line = native::formatter::<CloudEvents>("").unwrap().line(&EventText::new(event)).unwrap();
    assert_eq!(line, want);
    EventText::new(&line);
}

#[test]
fn attributes_and_extensions() {
    check(
        r#"{"id":"1","source":"/s","type":"t","time":"2026-11-20T08:42:58.10Z","subject":"x","datacontenttype":"application/json","dataschema":"https://x/s","severity":"high","compliance":["sox","a,b"],"user":"jörg","roles":["r"],"process":4711,"dstport":443,"metadata":{"team":"x"},"traceparent":"00-a-b-01","data":{"n":1}}"#,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2026-11-20T08:42:58.10Z","subject":"x","datacontenttype":"application/json","dataschema":"https://x/s","severity":"high","compliance":"[\"sox\",\"a,b\"]","user":"jörg","roles":"[\"r\"]","process":4711,"dstport":443,"metadata":"{\"team\":\"x\"}","traceparent":"00-a-b-01","data":{"n":1}}"#,
    );
}

#[test]
fn required_attributes_are_always_there() {
    let bare = r#"{"specversion":"1.0","id":"unknown","source":"/bulkhead/unknown","type":"bulkhead.unknown"}"#;
    check("{}", bare);
    check(r#"{"id":"","source":null,"type":7,"subject":"","datacontenttype":""}"#, bare);
    check(r#"{"id":"1","data":null}"#, r#"{"specversion":"1.0","id":"1","source":"/bulkhead/unknown","type":"bulkhead.unknown","data":null}"#);
}

#[test]
fn extensions_of_the_sender_keep_their_names() {
    check(
        r#"{"id":"1","source":"s","type":"t","extensions":{"partitionkey":"k\n1","weight":1.5,"flag":true,"sequence":7,"large":3000000000,"nested":{"a":[1]},"none":null,"Upper":1,"with-dash":1,"":1,"id":"2","severity":"x","data":1}}"#,
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","partitionkey":"k\n1","weight":"1.5","flag":true,"sequence":7,"large":"3000000000","nested":"{\"a\":[1]}"}"#,
    );
}

#[test]
fn one_payload() {
    let head = r#"{"specversion":"1.0","id":"1","source":"s","type":"t""#;
    let event = |more: &str| format!(r#"{{"id":"1","source":"s","type":"t",{more}}}"#);
    check(&event(r#""data_base64":"AAEC""#), &format!(r#"{head},"data_base64":"AAEC"}}"#));
    check(&event(r#""data":"te\"xt","datacontenttype":"text/plain""#), &format!(r#"{head},"datacontenttype":"text/plain","data":"te\"xt"}}"#));
    check(&event(r#""data_base64":"AAEC","data":1"#), &format!(r#"{head},"data_base64":"AAEC"}}"#));
}

#[test]
fn data_goes_out_byte_for_byte() {
    let block = b"1s t{ \"n\" : 1.5000e+02,\n\"x\":12345678901234567890 }";
    let mut spans = vec![0; 3 * field::ALL.len()];
    for (place, start, length, kind) in [(0, 0, 1, 4), (1, 1, 1, 4), (2, 3, 1, 4), (30, 4, block.len() as u32 - 4, 7)] {
        spans[place * 3..place * 3 + 3].copy_from_slice(&[start, length, kind]);
    }
    let made = native::formatter::<CloudEvents>("").unwrap().format(1, block, &spans);
    assert_eq!(
        std::str::from_utf8(&made.block).unwrap(),
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":{ \"n\" : 1.5000e+02,\n\"x\":12345678901234567890 }}"
    );
}
