use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::Outcome;
use bulkhead_sdk::native::{self, EventText};

use super::*;

fn json() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

fn answer(status: u16, body: &str) -> Result<http::Response, http::Error> {
    Ok(http::Response { status, body: body.as_bytes().to_vec(), ..http::Response::default() })
}

/// Delivers records of events of which it is given id and time.
fn run(config: &str, reply: Result<http::Response, http::Error>, batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, http::Request) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    native::on_http(move |request| {
        requests.borrow_mut().push(request);
        reply.clone()
    });
    let mut connector = native::connector::<Elasticsearch>(config, &json()).unwrap();
    let batch: Vec<_> = batch.iter().map(|(event, record)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    let request = seen.borrow_mut().pop().expect("one request");
    (result, request)
}

const BATCH: [(&str, &str); 3] = [
    (r#"{"id":"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11","source":"s","time":"2026-01-02T03:04:05Z"}"#, "{\"a\":\n1}\n"),
    (r#"{"id":"2","source":"s","received":"2027-01-01T00:00:00Z"}"#, "{}"),
    (r#"{"id":"x\"}","time":"2027-01-04T00:00:00Z"}"#, "{\"b\":2}"),
];

#[test]
fn requests() {
    let (result, request) = run(r#"{"index":"logs-audit-default"}"#, answer(200, r#"{"errors":false}"#), &BATCH[..2]);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert_eq!((request.method.as_str(), request.path.as_str(), request.destination.as_str()), ("POST", PATH, "primary"));
    let body = String::from_utf8(request.body).unwrap();
    let second = message_id::of_event(b"s", b"2");
    assert_eq!(
        body,
        format!(
            "{{\"create\":{{\"_index\":\"logs-audit-default\",\"_id\":\"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11\"}}}}\n{{\"a\": 1}}\n{{\"create\":{{\"_index\":\"logs-audit-default\",\"_id\":\"{second}\"}}}}\n{{}}\n"
        )
    );
    for (config, suffixes) in [
        (r#"{"index":"audit","rotation":"daily","id":"cluster"}"#, ["-2026.01.02", "-2027.01.01", "-2027.01.04"]),
        (r#"{"index":"audit","rotation":"weekly","id":"cluster"}"#, ["-2026.w01", "-2026.w53", "-2027.w01"]),
        (r#"{"index":"audit","rotation":"monthly","id":"cluster"}"#, ["-2026.01", "-2027.01", "-2027.01"]),
        (r#"{"index":"audit","id":"cluster"}"#, ["", "", ""]),
    ] {
        let (_, request) = run(config, answer(200, r#"{"errors":false}"#), &BATCH);
        let body = String::from_utf8(request.body).unwrap();
        let lines: Vec<&str> = body.lines().step_by(2).collect();
        assert_eq!(lines, suffixes.map(|suffix| format!(r#"{{"create":{{"_index":"audit{suffix}"}}}}"#)), "{config}");
    }
    let (_, request) = run(r#"{"index":"a","op":"index","pipeline":"p\"q","gzip":true,"id":"cluster"}"#, answer(200, r#"{"errors":false}"#), &BATCH[..1]);
    assert!(request.gzip && request.body.starts_with(br#"{"index":{"pipeline":"p\"q","_index":"a"}}"#));
    // Whatever an event's id is, the action line stays JSON.
    let (_, request) = run(r#"{"index":"a"}"#, answer(200, r#"{"errors":false}"#), &BATCH[2..]);
    let line = String::from_utf8(request.body).unwrap();
    assert!(bulkhead_sdk::json::value(line.lines().next().unwrap()).is_some(), "{line}");
}

#[test]
fn each_item_has_its_outcome() {
    let items = |list: &str| answer(200, &format!(r#"{{"errors":true,"items":[{list}]}}"#));
    let ok = r#"{"create":{"status":201}}"#;
    let again = Outcome::Retry(None);
    let accepted = Outcome::Accepted(None);
    for (list, want) in [
        (r#"{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"queue"}}}"#, again.clone()),
        (r#"{"create":{"status":503,"error":{"type":"unavailable_shards_exception","reason":"x"}}}"#, again.clone()),
        (r#"{"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"read-only"}}}"#, again.clone()),
        (r#"{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}}"#, accepted.clone()),
        (
            r#"{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"failed to parse [n]"}}}"#,
            Outcome::Rejected("the cluster answered 400 document_parsing_exception: failed to parse [n]".into()),
        ),
        // The others are done: this one comes again, and fails as a call of its own then.
        (r#"{"create":{"status":404,"error":{"type":"index_not_found_exception","reason":"x"}}}"#, again.clone()),
        (r#"{"create":{}}"#, again.clone()),
    ] {
        let (result, _) = run(r#"{"index":"a"}"#, items(&format!("{ok},{list},{ok}")), &BATCH);
        assert_eq!(result, Ok(Delivery::Each(vec![accepted.clone(), want, accepted.clone()])), "{list}");
    }
    // With `index` a conflict is none of ours.
    let (result, _) = run(r#"{"index":"a","op":"index"}"#, items(r#"{"index":{"status":409,"error":{}}}"#), &BATCH[..1]);
    assert_eq!(result, Ok(Delivery::Each(vec![again])));
}

#[test]
fn what_is_wrong_for_all_waits() {
    for (status, kind, want) in [(404, "index_not_found_exception", "Configuration"), (403, "security_exception", "Unauthorized")] {
        let item = format!(r#"{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"r"}}}}}}"#);
        let (result, _) = run(r#"{"index":"a"}"#, answer(200, &format!(r#"{{"errors":true,"items":[{item},{item},{item}]}}"#)), &BATCH);
        assert!(format!("{result:?}").starts_with(&format!("Err({want}")), "{result:?}");
    }
}

#[test]
fn answers_to_the_request_as_a_whole() {
    for (reply, want) in [
        (answer(400, "bad"), "Err(TooLarge"),
        (answer(413, ""), "Err(TooLarge"),
        (answer(401, ""), "Err(Unauthorized"),
        (answer(406, ""), "Err(Configuration"),
        (answer(429, ""), "Err(Unavailable"),
        (answer(200, "<html>"), "Err(Other"),
        (answer(200, r#"{"errors":true,"items":[]}"#), "Err(Other"),
        (Err(http::Error::Timeout), "Err(Unavailable"),
        (Err(http::Error::Limit("l".into())), "Err(Configuration"),
    ] {
        let (result, _) = run(r#"{"index":"a"}"#, reply, &BATCH);
        assert!(format!("{result:?}").starts_with(want), "{result:?}, wanted {want}");
    }
    for status in [400, 413] {
        let (result, _) = run(r#"{"index":"a"}"#, answer(status, "no"), &BATCH[..1]);
        assert!(matches!(result, Ok(Delivery::All(Outcome::Rejected(_)))), "{result:?}");
    }
}

#[test]
fn configuration() {
    for (config, words) in [
        (r#"{"index":"Audit"}"#, "`index` contains 'A'"),
        (r#"{"index":"a b"}"#, "`index` contains ' '"),
        (r#"{"index":"-a"}"#, "begins with none of"),
        (r#"{"index":".."}"#, "neither . nor .."),
        (r#"{}"#, "`index`"),
    ] {
        let error = native::connector::<Elasticsearch>(config, &json()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let error = native::connector::<Elasticsearch>(r#"{"index":"a"}"#, &RecordFormat::new("cef", "text/plain")).unwrap_err();
    assert!(error.contains("documents are JSON"), "{error}");
}

#[test]
fn the_check_names_who_is_there() {
    for (reply, want) in [
        (answer(200, r#"{"version":{"number":"9.1.0"}}"#), Ok("Elasticsearch 9.1.0 answers and takes the credential".to_owned())),
        (answer(200, r#"{"version":{"distribution":"opensearch","number":"3.7.0"}}"#), Ok("opensearch 3.7.0 answers and takes the credential".to_owned())),
    ] {
        native::on_http(move |_| reply.clone());
        assert_eq!(Elasticsearch::configure(settings(), &json()).unwrap().check(), want);
    }
    for (reply, want) in [(answer(401, ""), "Unauthorized"), (answer(200, "{}"), "Configuration"), (answer(404, ""), "Configuration")] {
        native::on_http(move |_| reply.clone());
        let heard = Elasticsearch::configure(settings(), &json()).unwrap().check();
        assert!(format!("{heard:?}").starts_with(&format!("Err({want}")), "{heard:?}");
    }
    native::reset();
}

fn settings() -> Settings {
    Settings { index: "a".into(), rotation: Rotation::None, op: Op::Create, id: Id::Event, pipeline: None, gzip: false }
}
