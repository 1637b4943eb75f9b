use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText};

use super::*;

fn text() -> RecordFormat {
    RecordFormat::new("cef", "text/plain; charset=utf-8")
}

fn json() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

fn answer(status: u16, body: &str) -> Result<http::Response, http::Error> {
    Ok(http::Response { status, body: body.as_bytes().to_vec(), retry_after: (status == 503).then(|| Duration::from_secs(3)), ..http::Response::default() })
}

fn ok() -> Result<http::Response, http::Error> {
    answer(200, r#"{"text":"Success","code":0}"#)
}

type Answers<'a> = &'a [Result<http::Response, http::Error>];

fn run(config: &str, format: &RecordFormat, answers: Answers<'_>, batch: &[(&str, &str)]) -> (Result<Delivery, Failure>, Vec<String>) {
    let bodies = Rc::new(RefCell::new(Vec::new()));
    let (seen, mut answers) = (Rc::clone(&bodies), Vec::from(answers).into_iter());
    native::on_http(move |request| {
        assert_eq!((request.method.as_str(), request.destination.as_str(), request.path.as_str()), ("POST", "primary", "/services/collector/event"));
        seen.borrow_mut().push(String::from_utf8(request.body).unwrap());
        answers.next().expect("no more requests than answers")
    });
    let mut splunk = native::connector::<SplunkHec>(config, format).unwrap();
    let batch: Vec<_> = batch.iter().map(|(record, event)| (*record, EventText::new(event))).collect();
    let result = splunk.deliver_texts(&batch);
    native::reset();
    (result, bodies.take())
}

#[track_caller]
fn check_body(config: &str, format: &RecordFormat, record: &str, event: &str, want: &str) {
    let (result, bodies) = run(config, format, &[ok()], &[(record, event)]);
    assert_eq!(result, Ok(Delivery::accepted()));
    assert_eq!(bodies, [want]);
}

#[test]
fn envelopes() {
    check_body(
        "{}",
        &json(),
        "{\"a\": 1.50}\n",
        r#"{"time":"2026-01-02T03:04:05.123456Z","host":"h","source":"s"}"#,
        r#"{"time":1767323045.123,"host":"h","source":"s","event":{"a": 1.50}}"#,
    );
    check_body("{}", &text(), "CEF:0|a\\|\"b\"\n", r#"{"received":"2026-01-02T03:04:05Z","time":"never"}"#, r#"{"time":1767323045,"event":"CEF:0|a\\|\"b\""}"#);
    check_body("{}", &text(), "x", r#"{"host":7,"source":""}"#, r#"{"event":"x"}"#);
    check_body(
        r#"{"index":"audit","source":"sr\"c","sourcetype":"copybook:audit","host":"H","gzip":true}"#,
        &json(),
        "{}",
        r#"{"host":"h","source":"s"}"#,
        r#"{"host":"H","source":"sr\"c","sourcetype":"copybook:audit","index":"audit","event":{}}"#,
    );
}

#[test]
fn indexed_fields_are_texts_and_lists_of_texts() {
    let config = r#"{"fields":{"severity":"/severity","team":"/metadata/team","roles":"/roles","port":"/dstport","mixed":"/data/list","gone":"/data/none"}}"#;
    let event = r#"{"severity":"high","metadata":{"team":"a\nb"},"roles":["x","y"],"dstport":443,"data":{"list":["x",1]}}"#;
    check_body(config, &json(), "{}", event, r#"{"fields":{"mixed":"[\"x\",1]","port":"443","roles":["x","y"],"severity":"high","team":"a\nb"},"event":{}}"#);
    check_body(config, &json(), "{}", "{}", r#"{"event":{}}"#);
}

const FIVE: [(&str, &str); 5] = [("a", "{}"), ("b", "{}"), ("c", "{}"), ("d", "{}"), ("e", "{}")];

fn words(result: &Result<Delivery, Failure>) -> String {
    match result {
        Ok(Delivery::All(Outcome::Accepted(None))) => "all".into(),
        Ok(Delivery::Each(each)) => each
            .iter()
            .map(|outcome| match outcome {
                Outcome::Accepted(None) => 'a',
                Outcome::Rejected(_) => 'x',
                Outcome::Retry(Some(Duration::ZERO)) => '0',
                Outcome::Retry(Some(_)) => 'w',
                Outcome::Retry(None) => 'r',
                _ => '?',
            })
            .collect(),
        Ok(other) => format!("{other:?}"),
        Err(failure) => format!("{failure:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
    }
}

#[track_caller]
fn check(answers: Answers<'_>, want: &str, requests: usize) {
    let (result, bodies) = run("{}", &text(), answers, &FIVE);
    assert_eq!((words(&result).as_str(), bodies.len()), (want, requests), "{result:?}");
}

fn refused(code: u8, number: usize) -> Result<http::Response, http::Error> {
    answer(400, &format!(r#"{{"text":"Invalid data format","code":{code},"invalid-event-number":{number}}}"#))
}

#[test]
fn a_refused_event_costs_only_itself() {
    for code in [6, 12, 13, 15] {
        check(&[refused(code, 2), ok()], "aaxaa", 2);
    }
    check(&[refused(6, 0), ok()], "xaaaa", 2);
    check(&[refused(6, 4)], "aaaax", 1);
    check(&[refused(6, 1), refused(12, 0), ok()], "axxaa", 3);
    // The others are sent again without what is settled.
    let (_, bodies) = run("{}", &text(), &[refused(6, 2), ok()], &FIVE);
    assert_eq!(bodies[1], r#"{"event":"d"}{"event":"e"}"#);
    // What fails afterwards leaves the outcomes before it.
    check(&[refused(6, 1), answer(503, "")], "axwww", 2);
    check(&[refused(6, 1), answer(401, r#"{"code":3}"#)], "axrrr", 2);
    check(&[refused(6, 0), answer(503, "")], "xwwww", 2);
}

#[test]
fn refusals_without_end_are_bounded() {
    let batch: Vec<_> = (0..10).map(|_| ("x", "{}")).collect();
    let answers: Vec<_> = (0..MAX_REQUESTS).map(|_| refused(6, 0)).collect();
    let (result, bodies) = run("{}", &text(), &answers, &batch);
    assert_eq!((words(&result).as_str(), bodies.len()), ("xxxxxxxx00", MAX_REQUESTS));
}

#[test]
fn empty_records_are_rejected_here() {
    let (result, bodies) = run("{}", &text(), &[ok()], &[("a", "{}"), (" \n", "{}"), ("b", "{}")]);
    assert_eq!((words(&result).as_str(), bodies), ("axa", vec![r#"{"event":"a"}{"event":"b"}"#.to_owned()]));
    let (result, bodies) = run("{}", &text(), &[], &[("", "{}")]);
    assert_eq!((words(&result).as_str(), bodies.len()), ("x", 0));
    let (result, _) = run("{}", &text(), &[answer(503, "")], &[("", "{}"), ("b", "{}")]);
    assert_eq!(words(&result), "xw");
}

#[test]
fn every_code_has_its_outcome() {
    for (status, codes, want) in [
        (200, &[0, 24, 25][..], "all"),
        (200, &[5, 17, 99], "Other"),
        (401, &[2, 3], "Unauthorized"),
        (403, &[1, 4], "Unauthorized"),
        (400, &[21, 22], "Unauthorized"),
        (400, &[7, 10, 11, 14, 16, 28], "Configuration"),
        (500, &[8], "Unavailable"),
        (503, &[9, 18, 19, 20, 23], "Unavailable"),
        (429, &[26, 27], "Unavailable"),
        (404, &[404], "Configuration"),
    ] {
        for code in codes {
            check(&[answer(status, &format!(r#"{{"text":"t","code":{code}}}"#))], want, 1);
        }
    }
    for (status, want) in
        [(200, "Other"), (302, "Configuration"), (401, "Unauthorized"), (405, "Configuration"), (413, "TooLarge"), (429, "Unavailable"), (502, "Unavailable")]
    {
        for garbage in ["", "<html>", "[1]", "{\"code\":", "{\"code\":\"x\"}"] {
            check(&[answer(status, garbage)], want, 1);
        }
    }
    for (error, want) in [
        (http::Error::Connect("x".into()), "Unavailable"),
        (http::Error::Timeout, "Unavailable"),
        (http::Error::Broken("x".into()), "Unavailable"),
        (http::Error::Denied("x".into()), "Configuration"),
        (http::Error::Limit("x".into()), "Configuration"),
    ] {
        check(&[Err(error)], want, 1);
    }
    for (status, body) in [(400, r#"{"text":"No data","code":5}"#), (400, ""), (413, ""), (422, "{}")] {
        let (result, _) = run("{}", &text(), &[answer(status, body)], &[("a", "{}")]);
        assert_eq!(words(&result), "x", "{status} {body}");
    }
}

/// Few events are sent singly, many in halves.
#[test]
fn a_refusal_that_names_no_event() {
    for body in [
        r#"{"text":"No data","code":5}"#,
        r#"{"code":6}"#,
        r#"{"code":12}"#,
        r#"{"code":6,"invalid-event-number":99}"#,
        r#"{"code":6,"invalid-event-number":-1}"#,
        "",
        "<html>",
    ] {
        let refusal = || answer(400, body);
        check(&[refusal(), ok(), refusal(), ok(), ok(), refusal()], "axaax", 6);
        check(&[refusal(), ok(), answer(503, "")], "awwww", 3);
        let many: Vec<_> = (0..MAX_REQUESTS).map(|_| ("x", "{}")).collect();
        let (result, bodies) = run("{}", &text(), &[refusal()], &many);
        assert_eq!((words(&result).as_str(), bodies.len()), ("TooLarge", 1));
    }
    let (_, bodies) = run("{}", &text(), &[answer(400, ""), ok(), ok()], &[("a", "{}"), ("b", "{}")]);
    assert_eq!(bodies, [r#"{"event":"a"}{"event":"b"}"#, r#"{"event":"a"}"#, r#"{"event":"b"}"#]);
}

#[test]
fn a_forbidden_index_is_the_operators_fault() {
    check(&[refused(7, 1)], "Configuration", 1);
    // Events before it were indexed already.
    check(&[refused(7, 3)], "aarrr", 1);
    check(&[refused(7, 99)], "aaaar", 1);
}

#[test]
fn a_body_beyond_the_cloud_limit_is_halved() {
    let large =
        answer::read(&http::Response { status: 400, body: br#"{"code":6,"invalid-event-number":0}"#.to_vec(), ..http::Response::default() }, 2, 5_000_001);
    assert!(matches!(large, Verdict::Failed(Failure::TooLarge(_))), "{large:?}");
    for (count, want) in [(2, "Failed(TooLarge"), (1, "Refused")] {
        assert!(format!("{:?}", answer::error(http::Error::TooLarge("8 MiB".into()), count)).starts_with(want));
    }
}

#[test]
fn check_asks_for_health_and_token() {
    let run = |answers: Answers<'_>| {
        let mut answers = Vec::from(answers).into_iter();
        native::on_http(move |_| answers.next().expect("no more requests than answers"));
        let mut splunk = native::connector::<SplunkHec>("{}", &json()).unwrap();
        let result = splunk.connector.check();
        native::reset();
        match result {
            Ok(_) => "ok".to_owned(),
            Err(failure) => format!("{failure:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        }
    };
    let healthy = || answer(200, r#"{"text":"HEC is healthy","code":17}"#);
    for (answers, want) in [
        (vec![healthy(), answer(400, r#"{"text":"No data","code":5}"#)], "ok"),
        (vec![healthy(), answer(400, "")], "ok"),
        (vec![healthy(), answer(403, r#"{"text":"Invalid token","code":4}"#)], "Unauthorized"),
        (vec![healthy(), answer(400, r#"{"code":10}"#)], "Configuration"),
        (vec![answer(503, r#"{"code":18}"#)], "Unavailable"),
        (vec![answer(400, r#"{"code":21}"#)], "Unauthorized"),
        (vec![answer(404, r#"{"code":404}"#)], "Configuration"),
        (vec![answer(400, "")], "Other"),
        (vec![Err(http::Error::Connect("x".into()))], "Unavailable"),
    ] {
        assert_eq!(run(&answers), want);
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (config, words) in [
        (r#"{"channel":"x"}"#, "which is no GUID"),
        (r#"{"fields":{"a":"severity"}}"#, "it is a pointer"),
        (r#"{"index":""}"#, "`index` is 0, the least is 1"),
        (r#"{"token":"x"}"#, "`token` is unknown; known here are index, source"),
    ] {
        let error = native::connector::<SplunkHec>(config, &json()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let many: Vec<String> = (0..=60).map(|i| format!("\"f{i}\":\"/data/{i}\"")).collect();
    let error = native::connector::<SplunkHec>(&format!("{{\"fields\":{{{}}}}}", many.join(",")), &json()).unwrap_err();
    assert!(error.contains("more than the 64 fields"), "{error}");
}
