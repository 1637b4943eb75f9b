use std::time::Duration;

use bulkhead_sdk::native::{self, EventText};

use super::*;

type Answer = Result<http::Response, http::Error>;

const NEW: &str = RESPONSE;
const OLD: &str = "application/json; charset=utf-8";
const EVENT: &str = r#"{"id":"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11","source":"s","user":"A \"b\"","severity":"high"}"#;

fn json() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

fn answer(status: u16, content_type: &str, body: &str) -> Answer {
    let headers = vec![("content-type".to_owned(), content_type.as_bytes().to_vec())];
    Ok(http::Response { status, headers, body: body.as_bytes().to_vec(), ..http::Response::default() })
}

fn run(config: &str, format: &RecordFormat, answers: &[Answer], batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, Vec<http::Request>) {
    let requests = native::answers(answers.to_vec());
    let mut connector = native::connector::<GraphQl>(config, format).unwrap();
    let batch: Vec<_> = batch.iter().map(|(record, event)| (*record, EventText::new(event))).collect();
    let result = connector.deliver_texts(&batch);
    native::reset();
    (result, requests.take())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const DONE: &str = r#"{"data":{"add":{"id":"a-1"}}}"#;
const QUERY: &str = r#""query":"mutation Add($event: Event!) {\n  add(event: $event) { id }\n}""#;

#[test]
fn an_event_is_a_variable_of_the_operation() {
    let config = format!(
        r#"{{{QUERY},"path":"/graphql","operation":"Add","receipt":"/data/add/id","idempotency_key":"idempotency-key","headers":{{"x-team":"blue"}}}}"#
    );
    let (result, requests) = run(&config, &json(), &[answer(200, NEW, DONE)], &[("{\"r\":1}\n", EVENT)]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(Some("a-1".into()))])));
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/graphql"));
    assert_eq!(
        text(&request.body),
        r#"{"query":"mutation Add($event: Event!) {\n  add(event: $event) { id }\n}","operationName":"Add","variables":{"event":{"r":1}}}"#
    );
    let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
    let id = "0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11";
    let accept = "application/graphql-response+json, application/json;q=0.9";
    assert_eq!(headers, [("content-type", "application/json"), ("accept", accept), ("x-team", "blue"), ("idempotency-key", id)]);
    assert_eq!(request.message_id, id);
}

#[test]
fn variables_are_templates_of_json() {
    let config = r#"{"query":"q","variables":{"user":"{{ /user }}","input":"{\"s\":\"<{{ /severity }}>\",\"key\":\"{{ message_id }}\",\"none\":{{ /nothing }}}","raw":"\"{{ record }}\""}}"#;
    let (_, requests) = run(config, &RecordFormat::new("cef", "text/plain"), &[answer(200, OLD, DONE)], &[("CEF:0|\"\n", EVENT)]);
    assert_eq!(
        text(&requests[0].body),
        r#"{"query":"q","variables":{"input":{"s":"<high>","key":"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11","none":null},"raw":"CEF:0|\"","user":"A \"b\""}}"#
    );
    let (_, requests) = run(r#"{"query":"q","variables":{}}"#, &json(), &[answer(200, OLD, DONE)], &[("{}", EVENT)]);
    assert_eq!(text(&requests[0].body), r#"{"query":"q","variables":{}}"#);
    let (result, requests) = run(r#"{"query":"q","missing":"refuse","variables":{"a":"{{ /nothing }}"}}"#, &json(), &[], &[("{}", EVENT)]);
    assert!(requests.is_empty() && format!("{result:?}").contains("the event has no /nothing"), "{result:?}");
}

#[test]
fn a_list_variable_takes_a_batch() {
    let config = r#"{"query":"q","list":"events","missing":"refuse","variables":{"events":"{\"u\":{{ /user }},\"k\":\"{{ message_id }}\"}","key":"{{ message_id }}","from":"\"bulkhead\""}}"#;
    let batch = [("{}", r#"{"id":"1","user":"a"}"#), ("{}", r#"{"id":"2"}"#), ("{}", r#"{"id":"3","user":null}"#)];
    let (result, requests) = run(config, &json(), &[answer(200, NEW, DONE)], &batch);
    let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
    assert!(matches!(&outcomes[..], [Outcome::Accepted(None), Outcome::Rejected(_), Outcome::Accepted(None)]), "{outcomes:?}");
    let body = text(&requests[0].body);
    assert!(body.starts_with(r#"{"query":"q","variables":{"from":"bulkhead","key":"batch_3_"#), "{body}");
    assert!(body.contains(r#","events":[{"u":"a","k":"1_"#) && body.ends_with("\"}]}}") && bulkhead_sdk::json::is_strict(body), "{body}");
    let config = r#"{"query":"q","list":"events","variables":{"events":"{{ record }}"}}"#;
    let (result, requests) = run(config, &json(), &[answer(200, OLD, DONE)], &[("{}", EVENT), ("{}", EVENT)]);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert_eq!(text(&requests[0].body), r#"{"query":"q","variables":{"events":[{},{}]}}"#);
    // A refusal is sent in halves, one event alone is rejected.
    let refusal = || answer(200, OLD, r#"{"errors":[{"message":"no"}],"data":null}"#);
    let (result, _) = run(config, &json(), &[refusal()], &[("{}", EVENT), ("{}", EVENT)]);
    assert!(matches!(result, Err(Failure::TooLarge(_))), "{result:?}");
    let code = |code: &str| answer(200, OLD, &format!(r#"{{"errors":[{{"message":"x","extensions":{{"code":"{code}"}}}}],"data":null}}"#));
    let (result, _) = run(config, &json(), &[code("INTERNAL_SERVER_ERROR")], &[("{}", EVENT), ("{}", EVENT)]);
    assert!(matches!(result, Err(Failure::TooLarge(_))), "{result:?}");
    let (result, _) = run(config, &json(), &[code("THROTTLED")], &[("{}", EVENT), ("{}", EVENT)]);
    assert!(matches!(result, Err(Failure::Unavailable { .. })), "{result:?}");
    let (result, _) = run(config, &json(), &[code("INTERNAL_SERVER_ERROR")], &[("{}", EVENT)]);
    assert!(matches!(result, Err(Failure::Unavailable { .. })), "{result:?}");
    let (result, _) = run(config, &json(), &[refusal()], &[("{}", EVENT)]);
    assert_eq!(result, Ok(Delivery::All(Outcome::Rejected("the receiver answered 200: no".into()))));
}

#[test]
fn answers_by_media_type_and_status() {
    let errors = r#"{"errors":[{"message":"boom","extensions":{"code":"E"}}]}"#;
    let partial = r#"{"data":{"add":null},"errors":[{"message":"boom"}]}"#;
    let code = |code: &str| format!(r#"{{"errors":[{{"message":"x"}},{{"message":"boom","extensions":{{"code":"{code}"}}}}],"data":null}}"#);
    for (reply, want) in [
        (answer(200, NEW, DONE), "Ok(Each([Accepted"),
        (answer(202, OLD, DONE), "Ok(Each([Accepted"),
        (answer(294, NEW, partial), "Ok(Each([Rejected(\"the receiver answered 294: boom\")"),
        (answer(200, OLD, partial), "Ok(Each([Rejected(\"the receiver answered 200: boom\")"),
        (answer(200, OLD, errors), "Ok(Each([Rejected(\"the receiver answered 200: boom (E)\")"),
        (answer(200, NEW, r#"{"data":null,"errors":[{"message":"boom"}]}"#), "Ok(Each([Rejected"),
        (answer(400, NEW, errors), "Ok(Each([Rejected(\"the receiver answered 400: boom (E)\")"),
        (answer(422, NEW, errors), "Ok(Each([Rejected(\"the receiver answered 422: boom (E)\")"),
        // Beside the older type the body counts only on 2xx: by the table, in the receiver's own words.
        (answer(400, OLD, errors), "Ok(Each([Rejected(\"the receiver answered 400: {"),
        (answer(400, OLD, &code("UNAUTHENTICATED")), "Ok(Each([Rejected"),
        (answer(500, OLD, errors), "Err(Unavailable"),
        (answer(500, NEW, errors), "Err(Unavailable"),
        (answer(503, NEW, errors), "Err(Unavailable"),
        (answer(429, NEW, errors), "Err(Unavailable"),
        (answer(401, NEW, errors), "Err(Unauthorized"),
        (answer(403, NEW, errors), "Err(Unauthorized"),
        (answer(404, NEW, errors), "Err(Configuration"),
        (answer(405, NEW, errors), "Err(Configuration"),
        (answer(404, "text/html", "<html>"), "Err(Configuration"),
        (answer(413, NEW, errors), "Ok(Each([Rejected"),
        (answer(302, NEW, ""), "Err(Configuration"),
        (answer(200, OLD, &code("UNAUTHENTICATED")), "Err(Unauthorized(\"the server answered with code UNAUTHENTICATED;"),
        (answer(400, NEW, &code("FORBIDDEN")), "Err(Unauthorized"),
        (answer(200, OLD, &code("THROTTLED")), "Err(Unavailable"),
        (answer(200, OLD, &code("INTERNAL_SERVER_ERROR")), "Err(Unavailable"),
        (answer(400, NEW, &code("GRAPHQL_VALIDATION_FAILED")), "Err(Configuration"),
        (answer(200, OLD, &code("BAD_USER_INPUT")), "Ok(Each([Rejected"),
        // No GraphQL server speaks so.
        (answer(200, OLD, r#"{"ok":true}"#), "Err(Unavailable"),
        (answer(200, OLD, r#"{"errors":[]}"#), "Err(Unavailable"),
        (answer(200, OLD, r#"{"data":null}"#), "Err(Unavailable"),
        (answer(200, OLD, "[1]"), "Err(Unavailable"),
        (answer(200, "text/html", DONE), "Err(Unavailable"),
        (answer(200, "", DONE), "Err(Unavailable"),
        (answer(400, NEW, "oops"), "Ok(Each([Rejected(\"the receiver answered 400: oops\")"),
        (Err(http::Error::Timeout), "Err(Unavailable"),
    ] {
        let shown = format!("{reply:?}");
        let (result, _) = run("{\"query\":\"q\"}", &json(), &[reply], &[("{}", EVENT)]);
        let heard = format!("{result:?}");
        assert!(heard.starts_with(want), "{shown}: {heard}, wanted {want}");
        assert!(!heard.starts_with("Err") || !heard.contains("boom"), "the server's words are in a failure: {heard}");
    }
}

#[test]
fn partial_answers_and_codes_are_configurable() {
    let partial = r#"{"data":{"add":{"id":"a-1"}},"errors":[{"message":"boom","extensions":{"code":"SLOW_DOWN"}}]}"#;
    for (config, want) in [
        (r#"{"query":"q","partial":"accepted","receipt":"/data/add/id"}"#, "Ok(Each([Accepted(Some(\"a-1\"))]))"),
        (r#"{"query":"q","partial":"again"}"#, "Err(Unavailable"),
        (r#"{"query":"q","partial":"accepted","codes":{"again":["SLOW_DOWN"]}}"#, "Ok(Each([Accepted(None)]))"),
        (r#"{"query":"q","codes":{"again":["SLOW_DOWN"]}}"#, "Err(Unavailable { reason: \"the server answered with code SLOW_DOWN\", after: Some(7s) }"),
        (r#"{"query":"q","codes":{"unauthorized":["SLOW_DOWN"]}}"#, "Err(Unauthorized"),
        (r#"{"query":"q","codes":{"configuration":["SLOW_DOWN"]}}"#, "Err(Configuration"),
    ] {
        let reply = answer(200, NEW, partial).map(|response| http::Response { retry_after: Some(Duration::from_secs(7)), ..response });
        let (result, _) = run(config, &json(), &[reply], &[("{}", EVENT)]);
        assert!(format!("{result:?}").starts_with(want), "{config}: {result:?}");
    }
    // A list of one's own takes the place of the default.
    let (result, _) = run(
        r#"{"query":"q","codes":{"again":[]}}"#,
        &json(),
        &[answer(200, NEW, r#"{"errors":[{"message":"x","extensions":{"code":"THROTTLED"}}]}"#)],
        &[("{}", EVENT)],
    );
    assert!(matches!(result, Ok(Delivery::Each(_))), "{result:?}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let cef = RecordFormat::new("cef", "text/plain");
    for (config, words) in [
        ("{}", "`query` is missing"),
        (r#"{"query":""}"#, "`query` is 0, the least is 1"),
        (r#"{"query":"q"}"#, "`variables.event`: the lane's format makes no JSON"),
        (r#"{"query":"q","variables":{"a":"{{ /a"}}"#, "`variables.a`: a `{{` is not closed"),
        (r#"{"query":"q","variables":{"a":"high"}}"#, "`variables.a` is not well-formed JSON; with its holes filled it reads high"),
        (r#"{"query":"q","variables":{"a-b":"1"}}"#, "`variables` names \"a-b\""),
        (r#"{"query":"q","variables":{"a":"1"},"list":"b"}"#, "`list` is \"b\", but `variables` has none of that name"),
        (r#"{"query":"q","variables":{"a":"1","b":"{{ /id }}"},"list":"a"}"#, "`variables.b` names a field of an event"),
        (r#"{"query":"q","variables":{},"path":"graphql"}"#, "begins with `/`"),
        (r#"{"query":"q","variables":{},"operation":"a b"}"#, "`operation` is \"a b\""),
        (r#"{"query":"q","variables":{},"headers":{"Accept":"x"}}"#, "a header name is lower case"),
        (r#"{"query":"q","variables":{},"headers":{"accept":"x"}}"#, "`headers` names \"accept\", which is set already"),
        (r#"{"query":"q","variables":{},"idempotency_key":"A"}"#, "`idempotency_key` names"),
        (r#"{"query":"q","variables":{},"receipt":"data"}"#, "`receipt` is \"data\""),
    ] {
        let error = native::connector::<GraphQl>(config, &cef).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn the_check_validates_the_document_and_executes_nothing_of_it() {
    let named = format!(r#"{{{QUERY},"operation":"Add"}}"#);
    let invalid = r#"{"errors":[{"message":"Unknown type \"Event\"."}]}"#;
    for (config, reply, want) in [
        (named.as_str(), answer(200, NEW, r#"{"data":{"__typename":"Query"}}"#), "Ok(\"the server answers, and the document with Add is valid"),
        (r#"{"query":"q"}"#, answer(200, OLD, r#"{"data":{"__typename":"Query"}}"#), "Ok(\"the server answers; whether the document"),
        (&named, answer(422, NEW, invalid), "Err(Configuration(\"the receiver answered 422: Unknown type"),
        (&named, answer(200, OLD, invalid), "Err(Configuration"),
        (&named, answer(400, OLD, invalid), "Err(Configuration(\"the receiver answered 400 to a query"),
        (&named, answer(200, OLD, r#"{"errors":[{"message":"x","extensions":{"code":"UNAUTHENTICATED"}}]}"#), "Err(Unauthorized"),
        (&named, answer(401, NEW, ""), "Err(Unauthorized"),
        (&named, answer(404, "text/html", ""), "Err(Configuration"),
        (&named, answer(200, "text/html", "<html>"), "Err(Unavailable"),
        (&named, Err(http::Error::Connect("refused".into())), "Err(Unavailable"),
    ] {
        let mut reply = Some(reply);
        native::on_http(move |request| {
            let body = text(&request.body).to_owned();
            assert!(body.ends_with(r#"query BulkheadCheck { __typename }","operationName":"BulkheadCheck"}"#), "{body}");
            assert!(bulkhead_sdk::json::is_strict(&body));
            reply.take().expect("one request")
        });
        let heard = native::connector::<GraphQl>(config, &json()).unwrap().connector.check();
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}, wanted {want}");
    }
    native::reset();
}
