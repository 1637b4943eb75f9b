use std::cell::RefCell;
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText, answer};

use super::*;

type Requests = Rc<RefCell<Vec<http::Request>>>;

/// Answers in turn, then 200.
fn play(replies: Vec<Result<http::Response, http::Error>>) -> Requests {
    let requests = Requests::default();
    let (seen, mut replies) = (Rc::clone(&requests), replies.into_iter());
    native::on_http(move |request| {
        seen.borrow_mut().push(request);
        replies.next().unwrap_or_else(|| answer(200, ""))
    });
    requests
}

fn connector(config: &str) -> native::NativeConnector<Pushgateway> {
    native::connector(config, &RecordFormat::new("json", "application/json")).unwrap()
}

fn events(severities: &[&str]) -> Vec<(&'static str, EventText)> {
    severities.iter().map(|severity| ("", EventText::new(&format!(r#"{{"type":"t","severity":"{severity}"}}"#)))).collect()
}

fn counts(request: &http::Request) -> Vec<String> {
    let text = String::from_utf8(request.body.clone()).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    text.lines().filter(|line| line.starts_with("copybook_audit_events_total")).map(str::to_owned).collect()
}

const LOW: &str = "copybook_audit_events_total{event_type=\"t\",severity=\"low\"}";

#[test]
fn sums_grow_from_push_to_push_and_over_restarts() {
    let requests = play(Vec::new());
    let mut first = connector(r#"{"grouping":{"instance":"h-1"}}"#);
    assert_eq!(first.deliver_texts(&events(&["low", "high"])), Ok(Delivery::accepted()));
    assert_eq!(first.deliver_texts(&events(&["low"])), Ok(Delivery::accepted()));
    // Another guest goes on where the first ended.
    assert_eq!(connector(r#"{"method":"post"}"#).deliver_texts(&events(&["low"])), Ok(Delivery::accepted()));
    native::reset();
    let requests = requests.take();
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("PUT", "/metrics/job/bulkhead/instance/h-1"));
    assert_eq!(requests[0].headers, [("content-type".to_owned(), b"text/plain; version=0.0.4; charset=utf-8".to_vec())]);
    assert_eq!((requests[2].method.as_str(), requests[2].path.as_str()), ("POST", "/metrics/job/bulkhead"));
    let sums: Vec<_> = requests.iter().map(|request| counts(request).pop().unwrap()).collect();
    assert_eq!(sums, [format!("{LOW} 1"), format!("{LOW} 2"), format!("{LOW} 3")]);
}

#[test]
fn what_was_not_pushed_is_not_counted() {
    for lost in [answer(503, ""), Err(http::Error::Timeout), answer(400, "inconsistent")] {
        let requests = play(vec![lost]);
        let mut gateway = connector("{}");
        assert!(gateway.deliver_texts(&events(&["low"])).is_err());
        assert_eq!(gateway.deliver_texts(&events(&["low"])), Ok(Delivery::accepted()));
        native::reset();
        let requests = requests.take();
        assert_eq!((counts(&requests[0]), counts(&requests[1])), (vec![format!("{LOW} 1")], vec![format!("{LOW} 1")]));
    }
}

#[test]
fn answers() {
    for (reply, want) in [
        (answer(202, ""), "Ok("),
        (answer(400, "pushed metrics are invalid"), "Err(Configuration(\"the receiver answered 400: pushed metrics are invalid; another group"),
        (answer(409, ""), "Err(Configuration"),
        (answer(413, ""), "Err(Configuration(\"the receiver answered 413; each request carries all sums: lower `max_series`"),
        (answer(422, ""), "Err(Configuration"),
        (Err(http::Error::TooLarge("limits.http_request".to_owned())), "Err(Configuration(\"limits.http_request; each request"),
        (answer(401, ""), "Err(Unauthorized"),
        (answer(404, ""), "Err(Configuration"),
        (answer(500, ""), "Err(Unavailable"),
        (answer(200, "<html>"), "Err(Other"),
        (Err(http::Error::Connect("refused".to_owned())), "Err(Unavailable"),
    ] {
        play(vec![reply]);
        let heard = connector("{}").deliver_texts(&events(&["low"]));
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}, wanted {want}");
        native::reset();
    }
}

#[test]
fn the_group_goes_with_the_connector_where_that_is_wanted() {
    for (config, deliver, want) in [(r#"{"delete_at_close":true}"#, true, 1), (r#"{"delete_at_close":true}"#, false, 0), ("{}", true, 0)] {
        let requests = play(Vec::new());
        let mut gateway = connector(config);
        if deliver {
            gateway.deliver_texts(&events(&["low"])).unwrap();
        }
        gateway.connector.close();
        native::reset();
        let deletes: Vec<_> = requests.take().into_iter().filter(|request| request.method == "DELETE").collect();
        assert_eq!(deletes.len(), want, "{config} {deliver}");
        assert!(deletes.iter().all(|request| request.path == "/metrics/job/bulkhead"));
    }
}

#[test]
fn configuration_and_check() {
    for (config, words) in [
        (r#"{"prefix":"Copy"}"#, "`prefix` is \"Copy\""),
        (r#"{"grouping":{"severity":"x"}}"#, "`grouping` names \"severity\""),
        (r#"{"job":""}"#, "`job` is 0"),
        (r#"{"max_series":5000}"#, "`max_series` is 5000"),
    ] {
        let error = native::connector::<Pushgateway>(config, &RecordFormat::new("json", "application/json")).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    for (status, want) in [(200, "Ok("), (401, "Err(Unauthorized"), (404, "Err(Configuration"), (503, "Err(Unavailable")] {
        let requests = play(vec![answer(status, "OK")]);
        let heard = connector("{}").connector.check();
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}");
        assert_eq!((requests.borrow()[0].method.as_str(), requests.borrow()[0].path.as_str()), ("GET", "/-/ready"));
        native::reset();
    }
}
