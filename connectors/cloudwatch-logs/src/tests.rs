use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText, answer};

use super::*;

type Requests = Vec<(String, serde_json::Value)>;

fn error(name: &str) -> Result<http::Response, http::Error> {
    answer(400, format!(r#"{{"__type":"com.amazonaws.logs#{name}","message":"because"}}"#))
}

fn connector(config: &str) -> native::NativeConnector<CloudWatchLogs> {
    native::connector(config, &RecordFormat::new("json", "application/json")).unwrap()
}

/// Delivers records with their times; what was asked, by operation.
fn run(config: &str, replies: Vec<Result<http::Response, http::Error>>, batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, Requests) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (requests, mut replies) = (Rc::clone(&seen), replies.into_iter());
    native::on_http(move |request| {
        let target = request.headers.iter().find(|(name, _)| name == "x-amz-target").expect("a target");
        let operation = String::from_utf8(target.1.clone()).unwrap().strip_prefix("Logs_20140328.").unwrap().to_owned();
        assert!(request.headers.contains(&("content-type".to_owned(), b"application/x-amz-json-1.1".to_vec())));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
        requests.borrow_mut().push((operation, serde_json::from_slice(&request.body).unwrap()));
        replies.next().unwrap_or_else(|| answer(200, "{}"))
    });
    let batch: Vec<_> = batch.iter().map(|(time, record)| (*record, EventText::new(&format!(r#"{{"time":"{time}"}}"#)))).collect();
    let result = connector(config).deliver_texts(&batch);
    native::reset();
    (result, seen.take())
}

const CONFIG: &str = r#"{"group":"app/audit","stream":"s1"}"#;
const BATCH: [(&str, &str); 3] = [("2026-01-02T03:04:07Z", "three\n"), ("2026-01-02T03:04:05.123Z", "one \"x\""), ("2026-01-02T03:04:06Z", "two")];

fn accepted(count: usize) -> Result<Delivery, Failure> {
    Ok(Delivery::Each(vec![Outcome::Accepted(None); count]))
}

#[test]
fn events_are_in_the_order_of_their_times() {
    let (result, requests) = run(CONFIG, Vec::new(), &BATCH);
    assert_eq!(result, accepted(3));
    let want = serde_json::json!({"logGroupName": "app/audit", "logStreamName": "s1", "logEvents": [
        {"timestamp": 1_767_323_045_123_u64, "message": "one \"x\""}, {"timestamp": 1_767_323_046_000_u64, "message": "two"},
        {"timestamp": 1_767_323_047_000_u64, "message": "three"}]});
    assert_eq!(requests, [("PutLogEvents".to_owned(), want)]);
}

#[test]
fn what_was_not_stored_is_rejected_alone() {
    let rejected = |reason: &str| Outcome::Rejected(format!("CloudWatch Logs did not store the event: it is {reason}"));
    // In the order of times: 1, 2, 0.
    let reply = r#"{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1,"expiredLogEventEndIndex":2,"tooNewLogEventStartIndex":2}}"#;
    let (result, _) = run(CONFIG, vec![answer(200, reply)], &BATCH);
    assert_eq!(
        result,
        Ok(Delivery::Each(vec![rejected("more than 2 hours in the future"), rejected("older than 14 days"), rejected("older than the log group's retention")]))
    );
    let (result, _) = run(CONFIG, vec![answer(200, r#"{"rejectedLogEventsInfo":{"tooNewLogEventStartIndex":2}}"#)], &BATCH);
    assert_eq!(result, Ok(Delivery::Each(vec![rejected("more than 2 hours in the future"), Outcome::Accepted(None), Outcome::Accepted(None)])));
}

#[test]
fn a_request_spans_less_than_a_day() {
    let batch = [("2026-01-02T00:00:00Z", "a"), ("2026-01-02T23:59:59.999Z", "b"), ("2026-01-03T00:00:00Z", "c"), ("1950-01-01T00:00:00Z", "d")];
    let (result, requests) = run(CONFIG, Vec::new(), &batch);
    assert_eq!(result, accepted(4));
    let texts: Vec<Vec<&str>> =
        requests.iter().map(|(_, body)| body["logEvents"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect()).collect();
    assert_eq!(texts, [vec!["d"], vec!["a", "b"], vec!["c"]]);
    assert_eq!(requests[0].1["logEvents"][0]["timestamp"], 0);
}

#[test]
fn a_request_keeps_within_the_sizes_of_the_service() {
    // Two that fit exactly, and one byte more.
    let half = "x".repeat(plan::REQUEST_BYTES / 2 - plan::EVENT_BYTES);
    let time = "2026-01-02T03:04:05Z";
    for (second, want) in [(half.clone(), 1), (format!("{half}x"), 2)] {
        let (result, requests) = run(CONFIG, Vec::new(), &[(time, &half), (time, &second)]);
        assert_eq!((result, requests.len()), (accepted(2), want));
    }
    let many = vec![(time, "x"); plan::REQUEST_EVENTS + 1];
    let (result, requests) = run(CONFIG, Vec::new(), &many);
    assert_eq!(result, accepted(many.len()));
    assert_eq!(requests.iter().map(|(_, body)| body["logEvents"].as_array().unwrap().len()).collect::<Vec<_>>(), [10_000, 1]);
}

#[test]
fn what_the_service_never_takes_is_not_sent() {
    let long = "x".repeat(1_048_551);
    let time = "2026-01-02T03:04:05Z";
    let (result, requests) = run(CONFIG, Vec::new(), &[(time, "a"), (time, &long), (time, " \n"), (time, &long[1..])]);
    let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
    assert_eq!(outcomes[1], Outcome::Rejected("the record has 1048551 bytes, the most is 1048550 (`max_event`)".to_owned()));
    assert_eq!(outcomes[2], Outcome::Rejected("the record is empty, and the service takes no empty message".to_owned()));
    assert_eq!((&outcomes[0], &outcomes[3], requests.len()), (&Outcome::Accepted(None), &Outcome::Accepted(None), 2));
    let (result, requests) = run(r#"{"group":"g","stream":"s","max_event":2}"#, Vec::new(), &[(time, "abc")]);
    assert!(format!("{result:?}").contains("the record has 3 bytes, the most is 2") && requests.is_empty(), "{result:?}");
}

#[test]
fn calls_are_bounded() {
    let days: Vec<String> = (1..=MAX_REQUESTS + 2).map(|day| format!("2026-01-{day:02}T00:00:00Z")).collect();
    let batch: Vec<_> = days.iter().map(|day| (day.as_str(), "x")).collect();
    let (result, requests) = run(CONFIG, Vec::new(), &batch);
    let Ok(Delivery::Each(outcomes)) = result else { panic!("{result:?}") };
    assert_eq!(requests.len(), MAX_REQUESTS);
    assert_eq!(outcomes[MAX_REQUESTS - 1..], [Outcome::Accepted(None), Outcome::Retry(Some(Duration::ZERO)), Outcome::Retry(Some(Duration::ZERO))]);
}

#[test]
fn missing_streams_and_groups_are_created_where_that_is_wanted() {
    let config = r#"{"group":"g","stream":"s","create":true}"#;
    let missing = || error("ResourceNotFoundException");
    let operations = |requests: &Requests| requests.iter().map(|(operation, _)| operation.clone()).collect::<Vec<_>>().join(" ");
    let (result, requests) = run(config, vec![missing()], &BATCH);
    assert_eq!((result, operations(&requests).as_str()), (accepted(3), "PutLogEvents CreateLogStream PutLogEvents"));
    assert_eq!(requests[1].1, serde_json::json!({"logGroupName": "g", "logStreamName": "s"}));
    let (result, requests) = run(config, vec![missing(), missing(), error("ResourceAlreadyExistsException")], &BATCH);
    assert_eq!((result, operations(&requests).as_str()), (accepted(3), "PutLogEvents CreateLogStream CreateLogGroup CreateLogStream PutLogEvents"));
    assert_eq!(requests[2].1, serde_json::json!({"logGroupName": "g"}));
    // Not allowed to, or missing for ever.
    let (result, _) = run(config, vec![missing(), error("AccessDeniedException")], &BATCH);
    assert!(matches!(result, Err(Failure::Unauthorized(_))), "{result:?}");
    let (result, _) = run(config, vec![missing(), error("InvalidParameterException")], &BATCH);
    assert_eq!(result, Err(Failure::Configuration("CreateLogStream: InvalidParameterException: because".to_owned())));
    let (result, requests) = run(config, (0..9).map(|_| missing()).collect(), &BATCH);
    assert!(matches!(result, Err(Failure::Configuration(_))) && requests.len() <= 5, "{result:?}");
    let (result, requests) = run(CONFIG, vec![missing()], &BATCH);
    assert_eq!(
        (operations(&requests).as_str(), matches!(&result, Err(Failure::Configuration(words)) if words.contains("`create: true`"))),
        ("PutLogEvents", true)
    );
}

#[test]
fn errors_have_a_type() {
    for (name, want) in [
        ("ThrottlingException", "Err(Unavailable"),
        ("ServiceUnavailableException", "Err(Unavailable"),
        ("AccessDeniedException", "Err(Unauthorized"),
        ("InvalidSignatureException", "Err(Unauthorized"),
        ("ExpiredTokenException", "Err(Unauthorized"),
        ("UnrecognizedClientException", "Err(Unauthorized"),
        ("LimitExceededException", "Err(Configuration"),
        ("UnknownOperationException", "Err(Configuration"),
        ("InvalidParameterException", "Err(TooLarge"),
        ("DataAlreadyAcceptedException", "Ok(Each([Accepted(None), Accepted(None), Accepted(None)]"),
    ] {
        let (result, _) = run(CONFIG, vec![error(name)], &BATCH);
        assert!(format!("{result:?}").starts_with(want), "{name}: {result:?}");
    }
    // In the header too, and with an address behind it.
    let headers = vec![("x-amzn-errortype".to_owned(), b"ThrottlingException:http://internal.amazon.com/coral/".to_vec())];
    let throttled = Ok(http::Response { status: 400, headers, retry_after: Some(Duration::from_secs(2)), ..http::Response::default() });
    let (result, _) = run(CONFIG, vec![throttled], &BATCH);
    assert_eq!(result, Err(Failure::Unavailable { reason: "ThrottlingException: ".to_owned(), after: Some(Duration::from_secs(2)) }));
    for (status, want) in [(400, "Err(TooLarge"), (401, "Err(Unauthorized"), (404, "Err(Configuration"), (413, "Err(TooLarge"), (500, "Err(Unavailable")] {
        let (result, _) = run(CONFIG, vec![answer(status, "<html>")], &BATCH);
        assert!(format!("{result:?}").starts_with(want), "{status}: {result:?}");
    }
    let (result, _) = run(CONFIG, vec![answer(200, "<html>")], &BATCH);
    assert!(matches!(result, Err(Failure::Other(_))), "{result:?}");
    let (result, _) = run(CONFIG, vec![error("InvalidParameterException")], &BATCH[..1]);
    assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Rejected("InvalidParameterException: because".to_owned())])));
    let (result, _) = run(CONFIG, vec![Err(http::Error::TooLarge("http_request is 8 MiB".to_owned()))], &BATCH);
    assert!(matches!(result, Err(Failure::TooLarge(_))), "{result:?}");
}

/// What was stored stays so; the rest comes again.
#[test]
fn a_failure_of_a_later_request_spares_the_earlier() {
    let batch = [("2026-01-02T00:00:00Z", "a"), ("2026-01-05T00:00:00Z", "b")];
    for failing in [error("ThrottlingException"), Err(http::Error::Timeout), answer(503, "")] {
        let (result, _) = run(CONFIG, vec![answer(200, "{}"), failing], &batch);
        assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Accepted(None), Outcome::Retry(None)])));
    }
}

#[test]
fn configuration() {
    for (config, words) in [
        (r#"{"group":"a b","stream":"s"}"#, "`group` contains ' '"),
        (r#"{"group":"aws/a","stream":"s"}"#, "`group` begins with aws/"),
        (r#"{"group":"g","stream":"a:b"}"#, "`stream` contains ':'"),
        (r#"{"group":"g","stream":"a*b"}"#, "`stream` contains '*'"),
        (r#"{"group":"g"}"#, "`stream` is missing"),
        (r#"{"group":"","stream":"s"}"#, "`group` is 0"),
        (r#"{"group":"g","stream":"s","max_event":"2MiB"}"#, "`max_event` is 2097152"),
    ] {
        let error = native::connector::<CloudWatchLogs>(config, &RecordFormat::new("json", "application/json")).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_check_looks_for_the_stream() {
    let listed = r#"{"logStreams":[{"logStreamName":"s1"}]}"#;
    let other = r#"{"logStreams":[{"logStreamName":"s10"}]}"#;
    for (create, reply, want) in [
        (false, answer(200, listed), "Ok(\"log stream"),
        (false, answer(200, other), "Err(Configuration"),
        (true, answer(200, other), "Ok(\"the service takes"),
        (false, error("ResourceNotFoundException"), "Err(Configuration"),
        (true, error("ResourceNotFoundException"), "Ok(\"the service takes"),
        (true, error("AccessDeniedException"), "Err(Unauthorized"),
        (true, error("InvalidParameterException"), "Err(Configuration"),
        (true, answer(200, "<html>"), "Err(Configuration"),
        (true, answer(404, "<html>"), "Err(Configuration"),
        (true, Err(http::Error::Connect("refused".to_owned())), "Err(Unavailable"),
    ] {
        native::on_http(move |request| {
            assert!(request.headers.contains(&("x-amz-target".to_owned(), b"Logs_20140328.DescribeLogStreams".to_vec())));
            assert_eq!(request.body, br#"{"logGroupName":"app/audit","logStreamNamePrefix":"s1","limit":1}"#);
            reply.clone()
        });
        let heard = connector(&format!(r#"{{"group":"app/audit","stream":"s1","create":{create}}}"#)).connector.check();
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}, wanted {want}");
    }
    native::reset();
}
