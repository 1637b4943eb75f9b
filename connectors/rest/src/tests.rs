use std::time::Duration;

use bulkhead_sdk::native::{self, EventText, answer};

use super::*;

type Answer = Result<http::Response, http::Error>;

fn json() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    answer(status, body).map(|response| http::Response { headers, ..response })
}

/// Delivers records with their events; answers come in turn.
fn run(config: &str, format: &RecordFormat, answers: &[Answer], batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, Vec<http::Request>) {
    let requests = native::answers(answers.to_vec());
    let mut rest = native::connector::<Rest>(config, format).unwrap();
    let batch: Vec<_> = batch.iter().map(|(record, event)| (*record, EventText::new(event))).collect();
    let result = rest.deliver_texts(&batch);
    native::reset();
    (result, requests.take())
}

fn one(config: &str, answer: Answer) -> (Result<Delivery, Failure>, http::Request) {
    let (result, mut requests) = run(config, &json(), &[answer], &[("{\"r\":1}\n", EVENT)]);
    (result, requests.remove(0))
}

const EVENT: &str = r#"{"id":"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11","source":"s","user":"a b/c","severity":"high","metadata":{"team":"blue"}}"#;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn headers(request: &http::Request) -> Vec<(&str, &str)> {
    request.headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
}

#[test]
fn without_configuration_the_record_is_posted() {
    let (result, request) = one("{}", answer(201, ""));
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(None)])));
    assert_eq!((request.method.as_str(), request.path.as_str(), text(&request.body), request.gzip), ("POST", "", "{\"r\":1}\n", false));
    assert_eq!(headers(&request), [("content-type", "application/json")]);
    assert_eq!(request.message_id, "0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11");
    let (_, requests) = run("{}", &RecordFormat::new("xml", "application/xml"), &[answer(200, "")], &[("<e/>", EVENT)]);
    assert_eq!((text(&requests[0].body), headers(&requests[0])), ("<e/>", vec![("content-type", "application/xml")]));
}

#[test]
fn everything_is_a_template() {
    let config = r#"{"method":"PUT","path":"/teams/{{ /metadata/team }}/items/{{ message_id }}?u={{ /user }}",
        "headers":{"x-user":"{{ /user }}","x-key":"\"{{ message_id }}\""},"idempotency_key":"idempotency-key","gzip":true,
        "body":"{\"severity\":\"{{ /severity }}\",\"event\":{{ record }},\"raw\":\"{{ base64 record }}\",\"none\":{{ /nothing }}}"}"#;
    let (_, request) = one(config, answer(200, ""));
    assert_eq!((request.method.as_str(), request.gzip), ("PUT", true));
    assert_eq!(request.path, "/teams/blue/items/0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11?u=a%20b%2Fc");
    assert_eq!(text(&request.body), r#"{"severity":"high","event":{"r":1},"raw":"eyJyIjoxfQo=","none":null}"#);
    assert_eq!(
        headers(&request),
        [
            ("content-type", "application/json"),
            ("x-key", "\"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11\""),
            ("x-user", "a%20b/c"),
            ("idempotency-key", "0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11")
        ]
    );
    let (_, request) = one(r#"{"content_type":"application/x-www-form-urlencoded","body":"u={{ /user }}&e={{ record }}"}"#, answer(200, ""));
    assert_eq!(text(&request.body), "u=a+b%2Fc&e=%7B%22r%22%3A1%7D");
    let (_, request) = one(r#"{"method":"DELETE","path":"/items/{{ /id }}"}"#, answer(200, ""));
    assert_eq!((request.path.as_str(), request.body.len(), request.headers.len()), ("/items/0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11", 0, 0));
}

#[test]
fn an_event_that_fits_into_no_path_costs_itself() {
    for (path, words) in [
        ("/u/{{ /user }}", "servers read differently"),
        ("/u/{{ /dots }}/x", "`.` or `..` segment"),
        ("/u/{{ /nothing }}", "is empty, and the path would lead elsewhere"),
        ("/u/x?{{ /long }}", "at most 8192 are possible"),
    ] {
        let event = format!(r#"{{"id":"1","source":"s","user":"a/b","dots":"..","long":"{}"}}"#, "x".repeat(9000));
        let (result, requests) = run(&format!("{{\"path\":\"{path}\"}}"), &json(), &[], &[("{}", &event)]);
        let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
        assert!(matches!(&outcomes[..], [Outcome::Rejected(reason)] if reason.contains(words)), "{outcomes:?}");
        assert!(requests.is_empty());
    }
    // What a parameter would begin is a literal character here.
    let (_, requests) = run(r#"{"path":"/u/{{ /user }}"}"#, &json(), &[answer(200, "")], &[("{}", r#"{"user":";..'"}"#)]);
    assert_eq!(requests[0].path, "/u/%3B..%27");
}

#[test]
fn missing_fields_refuse_the_event_where_that_is_configured() {
    let config = r#"{"missing":"refuse","mode":"array","body":"{\"t\":\"{{ /metadata/team }}\"}"}"#;
    let batch = [("{}", r#"{"id":"1"}"#), ("{}", r#"{"id":"2","metadata":{"team":"blue"}}"#), ("{}", r#"{"id":"3"}"#)];
    let (result, requests) = run(config, &json(), &[answer(200, "")], &batch);
    assert_eq!(text(&requests[0].body), r#"[{"t":"blue"}]"#);
    let refused = Outcome::Rejected("the event has no /metadata/team, which the configuration asks for".to_owned());
    assert_eq!(result, Ok(Delivery::Each(vec![refused.clone(), Outcome::Accepted(None), refused.clone()])));
    let (result, requests) = run(config, &json(), &[], &[batch[0], batch[2]]);
    assert_eq!((result, requests.len()), (Ok(Delivery::Each(vec![refused.clone(), refused])), 0));
}

#[test]
fn batches() {
    let batch = [("{\"a\":\n1}\n", r#"{"id":"1","user":"x"}"#), ("{}", r#"{"id":"2","user":"y\"z"}"#)];
    for (config, format, body, content_type) in [
        (r#"{"mode":"array"}"#, json(), "[{\"a\":\n1},{}]", "application/json"),
        (r#"{"mode":"lines"}"#, json(), "{\"a\": 1}\n{}\n", "application/x-ndjson"),
        (r#"{"mode":"lines"}"#, RecordFormat::new("cef", "text/plain"), "{\"a\":\n1}\n{}\n", "text/plain"),
        (
            r#"{"mode":"array","body":"{\"u\":{{ /user }},\"e\":{{ record }}}"}"#,
            json(),
            "[{\"u\":\"x\",\"e\":{\"a\":\n1}},{\"u\":\"y\\\"z\",\"e\":{}}]",
            "application/json",
        ),
        (r#"{"mode":"lines","body":"{\"index\":{}}\n{{ record }}\n"}"#, json(), "{\"index\":{}}\n{\"a\": 1}\n{\"index\":{}}\n{}\n", "application/x-ndjson"),
        (r#"{"mode":"wrapped","wrapped":{"before":"{\"events\":[","after":"]}"}}"#, json(), "{\"events\":[{\"a\":\n1},{}]}", "application/json"),
        (
            r#"{"mode":"wrapped","wrapped":{"before":"<l>","between":"","after":"</l>"},"content_type":"application/xml","body":"<e u='{{ /user }}'/>"}"#,
            json(),
            "<l><e u='x'/><e u='y&quot;z'/></l>",
            "application/xml",
        ),
    ] {
        let (result, requests) = run(config, &format, &[answer(200, "")], &batch);
        assert_eq!(result, Ok(Delivery::All(Outcome::Accepted(None))), "{config}");
        assert_eq!(text(&requests[0].body), body, "{config}");
        assert_eq!(headers(&requests[0]), [("content-type", content_type)]);
        assert!(requests[0].message_id.starts_with("batch_2_"));
    }
    let (_, requests) = run(r#"{"mode":"array","path":"/b?k={{ message_id }}","body":"{{ message_id }}"}"#, &json(), &[answer(200, "")], &batch);
    assert!(requests[0].path.starts_with("/b?k=batch_2_") && text(&requests[0].body).starts_with("[\"1_"), "{:?}", requests[0]);
}

#[test]
fn a_refused_batch_is_halved_and_a_refused_event_rejected() {
    for config in [r#"{"mode":"array"}"#, r#"{"mode":"array","refused":{"statuses":[503]}}"#] {
        let status = if config.contains("refused") { 503 } else { 422 };
        let (result, _) = run(config, &json(), &[answer(status, "no")], &[("{}", EVENT), ("{}", EVENT)]);
        assert!(matches!(result, Err(Failure::TooLarge(_))), "{result:?}");
        let (result, _) = run(config, &json(), &[answer(status, "no")], &[("{}", EVENT)]);
        assert_eq!(result, Ok(Delivery::All(Outcome::Rejected(format!("the receiver answered {status}: no")))));
    }
}

#[test]
fn rules_by_status_and_body() {
    let rules = r#"{"success":{"statuses":["2xx",409],"pointer":"/ok","equals":[true,"yes"],"otherwise":"refused"},
        "again":{"statuses":[404],"pointer":"/error/code","equals":["busy",7]},"unauthorized":{"pointer":"/error/code","equals":["bad_token"]},
        "refused":{"statuses":["5xx"],"pointer":"/fatal"},"receipt":"/result/id"}"#;
    for (reply, want) in [
        (answer(200, r#"{"ok":true,"result":{"id":"a-1"}}"#), "Ok(Each([Accepted(Some(\"a-1\"))]))"),
        (answer(409, r#"{"ok":"yes","result":{"id":17}}"#), "Ok(Each([Accepted(Some(\"17\"))]))"),
        (answer(200, r#"{"ok":true,"result":{}}"#), "Ok(Each([Accepted(None)]))"),
        (answer(200, r#"{"ok":"true"}"#), "Ok(Each([Rejected"),
        (answer(200, "not JSON"), "Ok(Each([Rejected(\"the receiver answered 200: not JSON\")"),
        (answer(409, r#"{"ok":false}"#), "Ok(Each([Rejected"),
        (answer(200, r#"{"ok":true,"error":{"code":"busy"}}"#), "Err(Unavailable"),
        (answer(200, r#"{"error":{"code":7}}"#), "Err(Unavailable"),
        (answer(200, r#"{"error":{"code":"7"}}"#), "Ok(Each([Rejected"),
        (answer(404, ""), "Err(Unavailable"),
        (answer(200, r#"{"error":{"code":"bad_token"}}"#), "Err(Unauthorized"),
        (answer(503, ""), "Ok(Each([Rejected"),
        (answer(200, r#"{"ok":true,"fatal":""}"#), "Ok(Each([Rejected"),
        (answer(200, r#"{"ok":true,"fatal":null}"#), "Ok(Each([Accepted"),
        (answer(401, ""), "Err(Unauthorized"),
        (answer(302, ""), "Err(Configuration"),
        (answer(429, ""), "Err(Unavailable"),
        (Err(http::Error::Timeout), "Err(Unavailable"),
        (Err(http::Error::TooLarge("http_request of 8 reached".to_owned())), "Ok(Each([Rejected"),
    ] {
        let shown = format!("{reply:?}");
        let (result, _) = one(rules, reply);
        assert!(format!("{result:?}").starts_with(want), "{shown}: {result:?}, wanted {want}");
    }
    // By itself a 2xx answer that is not the API's own is tried again.
    for config in [r#"{"success":{"pointer":"/id"}}"#, r#"{"success":{"statuses":[201]}}"#] {
        let (result, _) = one(config, answer(200, "<html>welcome</html>"));
        assert!(matches!(&result, Err(Failure::Unavailable { reason, .. }) if !reason.contains("welcome")), "{result:?}");
    }
}

#[test]
fn receipts_are_cut_at_what_the_host_keeps() {
    let (result, _) = one(r#"{"receipt":"/id"}"#, answer(200, format!("{{\"id\":\"{}\"}}", "é".repeat(100))));
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(Some("é".repeat(64)))])));
}

#[test]
fn waits() {
    let header = |unit: &str| format!(r#"{{"wait":{{"header":"x-reset","pointer":"/retry","unit":"{unit}"}}}}"#);
    let date = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
    for (unit, headers, body, want) in [
        ("seconds", vec![("x-reset", "30")], "", Some(30_000)),
        ("seconds", vec![("x-reset", " 1.5 ")], "", Some(1_500)),
        ("seconds", vec![], r#"{"retry":2}"#, Some(2_000)),
        ("seconds", vec![("x-reset", "4")], r#"{"retry":2}"#, Some(4_000)),
        ("seconds", vec![("x-reset", "-1")], "", None),
        ("seconds", vec![("x-reset", "NaN")], "", None),
        ("seconds", vec![("x-reset", "1e3")], "", None),
        ("seconds", vec![("x-reset", "1.")], "", None),
        ("seconds", vec![("x-reset", "9999999999999999999999.99999")], "", Some(86_400_000)),
        ("seconds", vec![("x-reset", "soon")], r#"{"retry":2}"#, None),
        ("seconds", vec![], r#"{"retry":{}}"#, None),
        ("milliseconds", vec![("x-reset", "250")], "", Some(250)),
        ("unix", vec![("x-reset", "1445412510"), date], "", Some(30_000)),
        ("unix", vec![("x-reset", "1445412000"), date], "", Some(0)),
        ("unix", vec![("x-reset", "1445412510")], "", None),
        ("unix", vec![("x-reset", "1445412510"), ("date", "yesterday")], "", None),
        ("ratelimit", vec![("x-reset", "\"default\";r=50;t=30")], "", Some(30_000)),
        ("ratelimit", vec![("x-reset", "\"a;t=9,\\\"\";r=0;t=5, \"b\";r=3;t=60,\"c\";r=0;t=7")], "", Some(7_000)),
        ("ratelimit", vec![("x-reset", "\"a\";r=1;t=5, \"b\";r=3;t=60")], "", Some(60_000)),
        ("ratelimit", vec![("x-reset", "\"a\";r=0")], r#"{"retry":2}"#, None),
        ("ratelimit", vec![("x-reset", "\"a\";r=0;t=-1")], "", None),
    ] {
        let (result, _) = one(&header(unit), with(429, &headers, body));
        let Err(Failure::Unavailable { after, .. }) = result else { panic!("{result:?}") };
        assert_eq!(after, want.map(Duration::from_millis), "{unit} {headers:?} {body}");
    }
    let both = http::Response { retry_after: Some(Duration::from_secs(9)), ..with(429, &[("x-reset", "30")], "").unwrap() };
    let (result, _) = one(&header("seconds"), Ok(both));
    assert!(matches!(result, Err(Failure::Unavailable { after: Some(after), .. }) if after == Duration::from_secs(9)));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let cef = RecordFormat::new("cef", "text/plain");
    for (config, words) in [
        (r#"{"path":"x"}"#, "`path` does not begin with `/`"),
        (r#"{"path":"/a b"}"#, "`path` holds the byte ` `; percent-encode it"),
        (r#"{"path":"/a/../b"}"#, "`.` or `..` segment"),
        (r#"{"path":"/a#b"}"#, "holds the byte `#`"),
        (r#"{"path":"/%41"}"#, "writes `A` as `%41`"),
        (r#"{"path":"/%4"}"#, "without two hex digits"),
        (r#"{"path":"/a;/;b"}"#, "parameters only"),
        (r#"{"path":"/{{ user }}"}"#, "`path`: `{{ user }}` is none of"),
        (r#"{"headers":{"X-Up":"1"}}"#, "a header name is lower case"),
        (r#"{"headers":{"x":"é{{ /a }}"}}"#, "`headers.x` contains a character"),
        (r#"{"headers":{"x":"{{ /a"}}"#, "`headers.x`: a `{{` is not closed"),
        (r#"{"headers":{"content-type":"a"}}"#, "which `content_type` or `idempotency_key` sets"),
        (r#"{"idempotency_key":"A"}"#, "`idempotency_key` names \"A\""),
        (r#"{"mode":"array"}"#, "needs a `body`, or a format whose records are JSON; this lane's is cef"),
        (r#"{"mode":"array","body":"{{ record }}"}"#, "makes no JSON"),
        (r#"{"body":"{\"a\":{{ /a }}{{ /b }}}"}"#, "`body` is not well-formed JSON; with its holes filled it reads {\"a\":nullnull}"),
        (r#"{"mode":"wrapped"}"#, "needs `wrapped`"),
        (r#"{"wrapped":{"before":"","after":""}}"#, "`wrapped` is for `mode: wrapped`"),
        (r#"{"mode":"wrapped","body":"1","wrapped":{"before":"[","after":""}}"#, "`wrapped` is not well-formed JSON"),
        (r#"{"mode":"lines","path":"/{{ /id }}"}"#, "`path` names a field of an event, but with this `mode` a request has many"),
        (r#"{"mode":"lines","headers":{"x":"{{ record }}"}}"#, "`x` names a field of an event"),
        (r#"{"mode":"lines","method":"GET"}"#, "`method: GET` has no body"),
        (r#"{"again":{}}"#, "`again` says nothing"),
        (r#"{"refused":{"equals":[1]}}"#, "`refused.equals` needs `refused.pointer`"),
        (r#"{"success":{"pointer":"ok"}}"#, "`success.pointer` is \"ok\"; it is a pointer"),
        (r#"{"success":{"statuses":[100]}}"#, "`success.statuses[0]` must be a status from 200 to 599"),
        (r#"{"success":{"statuses":["6xx"]}}"#, "must be a status"),
        (r#"{"success":{"pointer":"/a","equals":[null]}}"#, "`success.equals[0]` must be a text"),
        (r#"{"receipt":"id"}"#, "`receipt` is \"id\""),
        (r#"{"wait":{}}"#, "`wait` needs `header` or `pointer`"),
        (r#"{"wait":{"pointer":"/a","unit":"ratelimit"}}"#, "needs `wait.header`"),
        (r#"{"wait":{"header":"x","pointer":"a"}}"#, "`wait.pointer` is \"a\""),
        (r#"{"check":{"path":"health"}}"#, "`check.path` does not begin"),
        (r#"{"method":"post"}"#, "`method` must be one of POST, PUT, PATCH, GET, DELETE"),
    ] {
        let error = native::connector::<Rest>(config, &cef).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
    let many: Vec<String> = (0..25).map(|i| format!("\"x{i}\":\"1\"")).collect();
    let error = native::connector::<Rest>(&format!("{{\"headers\":{{{}}}}}", many.join(",")), &cef).unwrap_err();
    assert!(error.contains("at most 24"), "{error}");
}

#[test]
fn hostile_events_never_break_a_request() {
    let config = r#"{"path":"/a?x={{ /user }}","headers":{"x":"{{ /user }}"},"body":"{\"a\":\"{{ /user }}\",\"b\":{{ /user }}}"}"#;
    let event = format!(r#"{{"id":1,"source":null,"user":"\r\nx: y\u0000\"\\{}"}}"#, "é".repeat(900));
    let (result, requests) = run(config, &json(), &[answer(200, "")], &[("{}", &event)]);
    assert!(result.is_ok());
    assert!(requests[0].headers.iter().all(|(_, value)| value.len() <= 1024 && value.iter().all(|byte| (0x20..0x7f).contains(byte))));
    assert!(bulkhead_sdk::json::is_strict(text(&requests[0].body)));
    assert!(requests[0].path.starts_with("/a?x=%0D%0Ax%3A%20y%00%22%5C%C3%A9"));
}

#[test]
fn the_check_asks_what_is_configured() {
    let mut rest = native::connector::<Rest>("{}", &json()).unwrap().connector;
    assert_eq!(rest.check(), Err(Failure::Unsupported));
    for (status, want) in [(204, "Ok("), (401, "Err(Unauthorized"), (404, "Err(Configuration"), (400, "Err(Configuration"), (503, "Err(Unavailable")] {
        native::on_http(move |request| {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("HEAD", "/health"));
            answer(status, "")
        });
        let mut rest = native::connector::<Rest>(r#"{"check":{"method":"HEAD","path":"/health"}}"#, &json()).unwrap().connector;
        let heard = rest.check();
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}");
    }
    native::reset();
}

#[test]
fn headers_that_are_too_long_reject_their_event_alone() {
    let headers: Vec<String> = (0..24).map(|at| format!(r#""x-{at}":"{{{{ /a }}}}{{{{ /a }}}}""#)).collect();
    let config = format!(r#"{{"headers":{{{}}}}}"#, headers.join(","));
    let long = format!(r#"{{"id":"1","a":"{}"}}"#, "x".repeat(1000));
    let (result, requests) = run(&config, &json(), &[answer(200, "")], &[("{}", &long), ("{}", r#"{"id":"2","a":"x"}"#)]);
    let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
    assert!(matches!(&outcomes[..], [Outcome::Rejected(reason), Outcome::Accepted(None)] if reason.contains("at most 24576")), "{outcomes:?}");
    assert_eq!(requests.len(), 1);
}
