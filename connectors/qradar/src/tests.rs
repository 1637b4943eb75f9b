use bulkhead_sdk::native::{self, answer, answers};

use super::*;

fn qradar(config: &str) -> Qradar {
    native::connector::<Qradar>(config, &RecordFormat::new("json", "application/json")).expect("configures").connector
}

fn header<'a>(request: &'a http::Request, name: &str) -> &'a str {
    let value = request.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_slice());
    std::str::from_utf8(value.unwrap_or_default()).expect("ASCII")
}

#[test]
fn offenses_come_in_the_order_of_their_changes_and_each_change_once() {
    let mut own = qradar(r#"{"filter":"status=OPEN","source":"siem.example"}"#);
    let two =
        r#"[{"id":7,"last_persisted_time":1767323045123,"magnitude":9,"description":"a\u00e9"},{"id":8,"last_persisted_time":1767323045123,"magnitude":1.0}]"#;
    let three = r#"[{"id":8,"last_persisted_time":1767323045123},{"id":7,"last_persisted_time":1767323045123},{"id":9,"last_persisted_time":1767323045123,"magnitude":5},{"id":7,"last_persisted_time":1767323046000,"magnitude":2}]"#;
    let asked = answers(vec![answer(200, two), answer(200, three), answer(200, "[]")]);
    let page = own.pull(b"").expect("a page");
    let events: Vec<String> = page.events.iter().map(|event| String::from_utf8(event.clone()).expect("UTF-8")).collect();
    assert_eq!(
        events,
        [
            r#"{"specversion":"1.0","id":"offense-7-1767323045123","source":"siem.example","type":"record.offense","subject":"7","time":"2026-01-02T03:04:05.123Z","severity":"critical","data":{"id":7,"last_persisted_time":1767323045123,"magnitude":9,"description":"a\u00e9"}}"#,
            r#"{"specversion":"1.0","id":"offense-8-1767323045123","source":"siem.example","type":"record.offense","subject":"8","time":"2026-01-02T03:04:05.123Z","data":{"id":8,"last_persisted_time":1767323045123,"magnitude":1.0}}"#,
        ]
    );
    assert_eq!((page.cursor.as_slice(), page.more), (&b"1767323045123;7,8"[..], false));
    let next = own.pull(&page.cursor).expect("a page");
    let ids: Vec<bool> = next.events.iter().map(|event| event.starts_with(br#"{"specversion":"1.0","id":"offense-9-1767323045123"#)).collect();
    assert_eq!((ids, next.cursor.as_slice()), (vec![true, false], &b"1767323046000;7"[..]));
    let last = own.pull(&next.cursor).expect("a page");
    assert_eq!((last.events.len(), last.cursor), (0, next.cursor));
    let asked = asked.borrow();
    assert_eq!(asked[0].path, "/api/siem/offenses?filter=last_persisted_time%3E%3D0%20and%20%28status%3DOPEN%29&sort=%2Blast_persisted_time");
    assert_eq!((header(&asked[0], "range"), header(&asked[0], "version")), ("items=0-99", "20.0"));
    // Those of the cursor's millisecond are asked for beside a whole page.
    assert_eq!((header(&asked[1], "range"), asked[1].path.contains("%3E%3D1767323045123%20")), ("items=0-101", true));
}

#[test]
fn a_full_page_has_more_behind_it() {
    let offenses: Vec<String> = (0..100).map(|id| format!("{{\"id\":{id},\"last_persisted_time\":5}}")).collect();
    answers(vec![answer(200, format!("[{}]", offenses.join(",")))]);
    let page = qradar("{}").pull(b"what nobody wrote").expect("a page");
    assert_eq!((page.events.len(), page.more), (100, true));
}

#[test]
fn refusals_are_told_apart() {
    let told = r#"{"http_response":{"code":404,"message":"x"},"code":1002,"description":"","details":{},"message":"no such offense"}"#;
    for (status, want) in
        [(401, "Unauthorized"), (403, "Unauthorized"), (404, "Other"), (422, "Other"), (500, "Unavailable"), (503, "Unavailable"), (302, "Configuration")]
    {
        answers(vec![answer(status, told)]);
        let failure = qradar("{}").pull(b"").expect_err("refused");
        assert!(format!("{failure:?}").starts_with(want), "{status}: {failure:?}");
    }
    for strange in ["", "{}", "[{}]", "[{\"id\":1}", "<html>", "[{\"id\":\"x\",\"last_persisted_time\":1}]"] {
        answers(vec![answer(200, strange)]);
        assert!(qradar("{}").pull(b"").is_err(), "{strange}");
    }
    answers(vec![Err(http::Error::Timeout)]);
    assert!(matches!(qradar("{}").check(), Err(Failure::Unavailable { .. })));
    answers(vec![answer(200, r#"{"release_name":"7.5.0 UP14"}"#)]);
    assert_eq!(qradar("{}").check().expect("checks"), "QRadar 7.5.0 UP14 answers and takes the token");
    answers(vec![answer(200, "{}")]);
    assert!(matches!(qradar("{}").check(), Err(Failure::Configuration(_))));
}

#[test]
fn searches_wait_and_can_be_asked_for_again() {
    let done = r#"{"search_id":"s-1","status":"COMPLETED"}"#;
    let asked = answers(vec![
        answer(201, r#"{"search_id":"s-1","status":"WAIT"}"#),
        answer(206, r#"{"search_id":"s-1","status":"EXECUTE"}"#),
        answer(200, done),
        answer(200, r#"{"events":[{"sourceip":"10.0.0.1","n":1.10}]}"#),
    ]);
    let mut own = qradar("{}");
    let standing = own.query("search", r#"{"aql":"SELECT sourceip FROM events LAST 10 MINUTES"}"#).expect("answers");
    assert_eq!(standing, r#"{"search_id":"s-1","status":"EXECUTE"}"#);
    let found = own.query("results", r#"{"search_id":"s-1","rows":10}"#).expect("answers");
    assert_eq!(found, r#"{"search_id":"s-1","status":"COMPLETED","results":{"events":[{"sourceip":"10.0.0.1","n":1.10}]}}"#);
    let asked = asked.borrow();
    assert_eq!(asked[0].path, "/api/ariel/searches?query_expression=SELECT%20sourceip%20FROM%20events%20LAST%2010%20MINUTES");
    assert_eq!((header(&asked[1], "prefer"), header(&asked[3], "range")), ("wait=5", "items=0-9"));
}

#[test]
fn offenses_are_noted_and_closed() {
    let asked = answers(vec![answer(201, "{\"id\":5}"), answer(200, "{\"status\":\"CLOSED\"}")]);
    let mut own = qradar("{}");
    assert_eq!(own.query("note", r#"{"id":7,"text":"seen & done"}"#).expect("answers"), "{\"id\":5}");
    own.query("close", r#"{"id":7,"closing_reason_id":1}"#).expect("answers");
    let asked = asked.borrow();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/api/siem/offenses/7/notes?note_text=seen%20%26%20done"));
    assert_eq!(asked[1].path, "/api/siem/offenses/7?status=CLOSED&closing_reason_id=1");
    for (operation, parameters, part) in [
        ("drop", "{}", "there is no operation `drop`"),
        ("note", "{}", "`id` is missing"),
        ("close", r#"{"id":-1}"#, "`id`"),
        ("search", r#"{"aql":""}"#, "`aql`"),
    ] {
        let failure = own.query(operation, parameters).expect_err("refused");
        assert!(matches!(&failure, Failure::Other(text) if text.contains(part)), "{failure:?}");
    }
}

#[test]
fn more_offenses_of_a_moment_than_can_be_told_apart_are_told() {
    let offenses: Vec<String> = (0..1100).map(|id| format!("{{\"id\":{id},\"last_persisted_time\":5}}")).collect();
    let seen: Vec<String> = (0..1000).map(|id| id.to_string()).collect();
    answers(vec![answer(200, format!("[{}]", offenses.join(",")))]);
    let failure = qradar("{}").pull(format!("5;{}", seen.join(",")).as_bytes()).expect_err("refused");
    assert!(matches!(&failure, Failure::Configuration(text) if text.contains("narrow `filter`")), "{failure:?}");
}
