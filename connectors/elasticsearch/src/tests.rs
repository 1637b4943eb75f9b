use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::Outcome;
use bulkhead_sdk::native::{self, EventText, answer};

use super::*;

fn json() -> RecordFormat {
    RecordFormat::new("json", "application/json")
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
    let first = message_id::of_event_and_source(b"s", b"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11");
    let second = message_id::of_event_and_source(b"s", b"2");
    assert!(first.starts_with("0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11_"), "{first}");
    assert_eq!(
        body,
        format!(
            "{{\"create\":{{\"_index\":\"logs-audit-default\",\"_id\":\"{first}\"}}}}\n{{\"a\": 1}}\n{{\"create\":{{\"_index\":\"logs-audit-default\",\"_id\":\"{second}\"}}}}\n{{}}\n"
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
    let items = |list: &str| answer(200, format!(r#"{{"errors":true,"items":[{list}]}}"#));
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
        (
            r#"{"create":{"status":400,"error":{"type":"illegal_argument_exception","reason":"x"}}}"#,
            Outcome::Rejected("the cluster answered 400 illegal_argument_exception: x".into()),
        ),
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
    for (status, kind, reason, want) in [
        (404, "index_not_found_exception", "r", "Configuration"),
        (403, "security_exception", "r", "Unauthorized"),
        (400, "validation_exception", "this cluster currently has [1000]/[1000] maximum shards open", "Configuration"),
        (400, "index_closed_exception", "closed", "Configuration"),
        (400, "illegal_argument_exception", "pipeline with id [x] does not exist", "Configuration"),
    ] {
        let item = format!(r#"{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"{reason}"}}}}}}"#);
        let (result, _) = run(r#"{"index":"a"}"#, answer(200, format!(r#"{{"errors":true,"items":[{item},{item},{item}]}}"#)), &BATCH);
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
    native::on_http(|request| match request.path.as_str() {
        "/" => answer(200, r#"{"version":{"number":"9.1.0"}}"#),
        _ => answer(200, "{}"),
    });
    let mut connector = native::connector::<Elasticsearch>(TEMPLATED, &json()).unwrap().connector;
    assert_eq!(connector.check(), Ok("Elasticsearch 9.1.0 answers and takes the credential; the index template is there".to_owned()));
    native::reset();
}

fn settings() -> Settings {
    Settings { index: "a".into(), rotation: Rotation::None, op: Op::Create, id: Id::Event, pipeline: None, gzip: false, template: None }
}

const TEMPLATED: &str = r#"{"index":"audit","rotation":"daily","template":{"name":"audit-daily","shards":3}}"#;

type Results = Vec<Result<Delivery, Failure>>;
/// Methods, paths and bodies.
type Requests = Vec<(String, String, String)>;

/// Delivers twice and gives results and requests; `script` answers in turn.
fn templated(script: &[(u16, &str)]) -> (Results, Requests) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    let mut replies: std::collections::VecDeque<_> = script.iter().map(|(status, body)| answer(*status, body)).collect();
    native::on_http(move |request| {
        requests.borrow_mut().push((request.method, request.path, String::from_utf8(request.body).unwrap()));
        replies.pop_front().unwrap()
    });
    let mut connector = native::connector::<Elasticsearch>(TEMPLATED, &json()).unwrap();
    let results = (0..2).map(|_| connector.deliver_texts(&[("{}", EventText::new(BATCH[0].0))])).collect();
    native::reset();
    let requests = seen.borrow().clone();
    (results, requests)
}

const DONE: (u16, &str) = (200, r#"{"errors":false}"#);
const TAKEN: (u16, &str) = (400, r#"{"error":{"type":"illegal_argument_exception","reason":"index template [audit-daily] already exists"},"status":400}"#);

#[test]
fn a_template_is_put_once_where_there_is_none() {
    let accepted = || Ok(Delivery::accepted());
    let (results, requests) = templated(&[(404, "{}"), (200, r#"{"acknowledged":true}"#), DONE, DONE]);
    assert_eq!(results, [accepted(), accepted()]);
    let steps: Vec<_> = requests.iter().map(|(method, path, _)| (method.as_str(), path.as_str())).collect();
    assert_eq!(steps, [("GET", "/_index_template/audit-daily"), ("PUT", "/_index_template/audit-daily?create=true"), ("POST", PATH), ("POST", PATH)]);
    assert_eq!(
        requests[1].2,
        r#"{"index_patterns":["audit-*"],"priority":200,"template":{"settings":{"number_of_shards":3,"number_of_replicas":1,"refresh_interval":"30s"}}}"#
    );
    // There already, and put by another between the two requests.
    let (results, requests) = templated(&[(200, "{}"), DONE, DONE]);
    assert_eq!((results, requests.len()), (vec![accepted(), accepted()], 3));
    let (results, requests) = templated(&[(404, "{}"), TAKEN, (200, "{}"), DONE, DONE]);
    assert_eq!((results, requests.len()), (vec![accepted(), accepted()], 5));
}

#[test]
fn without_its_template_no_event_goes_out() {
    for (script, want) in [
        (vec![(403, ""), (403, "")], "Err(Unauthorized(\"index template audit-daily"),
        (vec![(404, ""), TAKEN, (404, ""), (404, ""), TAKEN, (404, "")], "Err(Configuration(\"index template audit-daily"),
        (vec![(503, ""), (503, "")], "Err(Unavailable"),
        (vec![(404, ""), (403, ""), (404, ""), (403, "")], "Err(Unauthorized"),
    ] {
        let (results, requests) = templated(&script);
        for result in results {
            assert!(format!("{result:?}").starts_with(want), "{result:?}, wanted {want}");
        }
        assert!(requests.iter().all(|(_, path, _)| path.starts_with("/_index_template/")), "{requests:?}");
    }
}

#[test]
fn templates_are_checked_at_the_start() {
    for (template, words) in [
        (r#"{"name":"Audit"}"#, "`template.name` is \"Audit\""),
        (r#"{"name":"_a"}"#, "begins with a letter or digit"),
        (r#"{"name":"a","refresh":"soon"}"#, "`template.refresh` is \"soon\""),
        (r#"{"name":"a","refresh":"é"}"#, "`template.refresh`"),
        (r#"{"name":"a","shards":0}"#, "`template.shards` is 0"),
        (r#"{"shards":1}"#, "`template.name` is missing"),
    ] {
        let error = native::connector::<Elasticsearch>(&format!(r#"{{"index":"a","template":{template}}}"#), &json()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    for refresh in ["-1", "500ms", "30s", "5m", "1h"] {
        assert!(native::connector::<Elasticsearch>(&format!(r#"{{"index":"a","template":{{"name":"a","refresh":"{refresh}"}}}}"#), &json()).is_ok());
    }
}

#[test]
fn searches_are_asked() {
    let asked = native::answers(vec![native::answer(200, "{\"hits\":{\"hits\":[]}}"), native::answer(200, "{}"), native::answer(400, "parsing_exception")]);
    let mut own = native::connector::<Elasticsearch>(r#"{"index":"logs-audit"}"#, &RecordFormat::new("json", "application/json")).unwrap().connector;
    assert_eq!(own.query("search", r#"{"body": {"size": 5, "n": 1.10}}"#), Ok("{\"hits\":{\"hits\":[]}}".to_owned()));
    own.query("search", r#"{"index":"a-*,b c"}"#).unwrap();
    assert!(matches!(own.query("search", "{}"), Err(Failure::Other(text)) if text.contains("parsing_exception")));
    let asked = asked.borrow();
    assert_eq!((asked[0].path.as_str(), asked[0].body.as_slice()), ("/logs-audit*/_search", &br#"{"size": 5, "n": 1.10}"#[..]));
    assert_eq!((asked[1].path.as_str(), asked[1].body.as_slice()), ("/a-*,b%20c/_search", &b"{}"[..]));
    for (operation, parameters, part) in [
        ("count", "{}", "there is search"),
        ("search", "{", "no JSON"),
        ("search", r#"{"q":1}"#, "`q` is unknown"),
        ("search", r#"{"body":[]}"#, "`body` is an object"),
        ("search", r#"{"body":{"from":9999,"size":2}}"#, "the most is 10000"),
        ("search", r#"{"index":"a,_all"}"#, "`index` is a name"),
    ] {
        assert!(matches!(own.query(operation, parameters), Err(Failure::Other(text)) if text.contains(part)), "{parameters}");
    }
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_in_halves() {
    let cut = || answer(200, r#"{"errors":true,"items":[{"create":{"sta"#).map(|response| http::Response { truncated: true, ..response });
    let (result, _) = run(r#"{"index":"a"}"#, cut(), &BATCH);
    assert!(matches!(result, Err(Failure::TooLarge(_))), "{result:?}");
    let (result, _) = run(r#"{"index":"a"}"#, cut(), &BATCH[..1]);
    assert!(matches!(result, Err(Failure::Other(_))), "{result:?}");
}
