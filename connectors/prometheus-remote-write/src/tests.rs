use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText, answer};
use bulkhead_sdk::protobuf::{Fields, Wire};

use super::*;

type Requests = Rc<RefCell<Vec<http::Request>>>;

thread_local! { static NOW: Cell<i64> = const { Cell::new(0) }; }

/// Answers in turn, then 204.
fn play(replies: Vec<Result<http::Response, http::Error>>) -> Requests {
    NOW.set(1_767_323_045_000);
    let requests = Requests::default();
    let (seen, mut replies) = (Rc::clone(&requests), replies.into_iter());
    native::on_http(move |request| {
        seen.borrow_mut().push(request);
        replies.next().unwrap_or_else(|| answer(204, ""))
    });
    requests
}

fn connector(config: &str) -> native::NativeConnector<RemoteWrite> {
    let mut made = native::connector::<RemoteWrite>(config, &RecordFormat::new("json", "application/json")).unwrap();
    made.connector.clock = || NOW.get();
    made
}

fn events(count: usize) -> Vec<(&'static str, EventText)> {
    (0..count).map(|_| ("", EventText::new(r#"{"type":"t","severity":"low","data":{"duration_ms":7}}"#))).collect()
}

fn inside(message: &[u8], field: u32) -> Vec<&[u8]> {
    Fields::new(message).filter_map(|(own, value)| if let Wire::Len(bytes) = value { (own == field).then_some(bytes) } else { None }).collect()
}

/// `name{label="value"} number @millis` of each series.
fn told(request: &http::Request) -> Vec<String> {
    let message = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let series = |series: &[u8]| {
        let labels: Vec<(String, String)> = inside(series, 1).iter().map(|label| (text(inside(label, 1)[0]), text(inside(label, 2)[0]))).collect();
        assert!(labels.is_sorted_by(|one, two| one.0 < two.0), "{labels:?}");
        let (name, rest) = labels.split_first().unwrap();
        let rest: Vec<String> = rest.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let sample: Vec<_> = Fields::new(inside(series, 2)[0]).collect();
        let [(1, Wire::I64(number)), (2, Wire::Varint(millis))] = sample[..] else { panic!("{sample:?}") };
        format!("{}{{{}}} {} @{millis}", name.1, rest.join(","), f64::from_bits(number))
    };
    inside(&message, 1).into_iter().map(series).collect()
}

#[test]
fn sums_are_series_with_a_time() {
    let requests = play(Vec::new());
    let mut writer = connector(r#"{"labels":{"job":"audit","instance":"h:1"},"headers":{"x-scope-orgid":"t1"}}"#);
    assert_eq!(writer.deliver_texts(&events(2)), Ok(Delivery::accepted()));
    native::reset();
    let request = requests.borrow_mut().pop().unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v1/write"));
    let header = |name: &str| request.headers.iter().find(|(own, _)| own == name).map(|(_, value)| String::from_utf8(value.clone()).unwrap());
    for (name, value) in
        [("content-type", "application/x-protobuf"), ("content-encoding", "snappy"), ("x-prometheus-remote-write-version", "0.1.0"), ("x-scope-orgid", "t1")]
    {
        assert_eq!(header(name).as_deref(), Some(value));
    }
    let told = told(&request);
    assert_eq!(told[0], "copybook_audit_events_total{event_type=t,instance=h:1,job=audit,severity=low} 2 @1767323045000");
    let bucket = |bound: &str, count: u32| {
        format!("copybook_audit_event_processing_duration_seconds_bucket{{event_type=t,instance=h:1,job=audit,le={bound}}} {count} @1767323045000")
    };
    assert_eq!(told[1..4], [bucket("0.001", 0), bucket("0.005", 0), bucket("0.01", 2)]);
    assert_eq!(told[8], bucket("+Inf", 2));
    assert_eq!(told[9], "copybook_audit_event_processing_duration_seconds_sum{event_type=t,instance=h:1,job=audit} 0.014 @1767323045000");
    assert_eq!(told[10], "copybook_audit_event_processing_duration_seconds_count{event_type=t,instance=h:1,job=audit} 2 @1767323045000");
    assert_eq!(told.len(), 12);
}

fn first(requests: &Requests) -> Vec<String> {
    requests.borrow().iter().map(|request| told(request)[0].rsplit_once("} ").unwrap().1.to_owned()).collect()
}

#[test]
fn sums_and_times_go_on() {
    let requests = play(vec![answer(204, ""), Err(http::Error::Timeout), answer(503, "")]);
    let mut writer = connector("{}");
    writer.deliver_texts(&events(1)).unwrap();
    // Lost twice: the samples come again, each with a time of its own.
    writer.deliver_texts(&events(1)).unwrap_err();
    writer.deliver_texts(&events(1)).unwrap_err();
    writer.deliver_texts(&events(1)).unwrap();
    // Another guest, after the clock was set back.
    NOW.set(5);
    connector("{}").deliver_texts(&events(1)).unwrap();
    NOW.set(1_767_323_046_000);
    writer.deliver_texts(&events(1)).unwrap();
    native::reset();
    assert_eq!(first(&requests), ["1 @1767323045000", "2 @1767323045001", "2 @1767323045002", "2 @1767323045003", "3 @1767323045004", "4 @1767323046000"]);
}

#[test]
fn series_without_events_are_sent_again() {
    let requests = play(Vec::new());
    let mut writer = connector(r#"{"refresh_seconds":30}"#);
    // Nothing to send yet.
    assert_eq!(writer.connector.maintain(), Ok(Some(Duration::from_secs(30))));
    assert!(requests.borrow().is_empty());
    writer.deliver_texts(&events(1)).unwrap();
    NOW.set(NOW.get() + 29_999);
    writer.connector.maintain().unwrap();
    assert_eq!(requests.borrow().len(), 1);
    NOW.set(NOW.get() + 1);
    writer.connector.maintain().unwrap();
    writer.connector.maintain().unwrap();
    // A guest of a new start tells at once what was kept.
    connector("{}").connector.maintain().unwrap();
    assert_eq!(first(&requests), ["1 @1767323045000", "1 @1767323075000", "1 @1767323075001"]);
    native::reset();
    // A receiver that is away costs nothing.
    play(vec![answer(204, ""), answer(503, "")]);
    let mut writer = connector("{}");
    writer.deliver_texts(&events(1)).unwrap();
    NOW.set(NOW.get() + 60_000);
    assert_eq!(writer.connector.maintain(), Ok(Some(Duration::from_secs(60))));
    native::reset();
}

#[test]
fn answers() {
    for (reply, want) in [
        (answer(200, ""), "Ok("),
        (answer(400, "out of order sample"), "Err(Configuration(\"the receiver answered 400: out of order sample; does another"),
        (answer(409, ""), "Err(Configuration"),
        (answer(413, ""), "Err(Configuration(\"the receiver answered 413; each request carries all sums: lower `max_series`"),
        (answer(422, ""), "Err(Configuration"),
        (Err(http::Error::TooLarge("limits.http_request".to_owned())), "Err(Configuration(\"limits.http_request; each request"),
        (answer(401, ""), "Err(Unauthorized"),
        (answer(404, ""), "Err(Configuration"),
        (answer(429, ""), "Err(Unavailable"),
        (answer(500, ""), "Err(Unavailable"),
        (answer(200, "<html>"), "Err(Other"),
        (Err(http::Error::Connect("refused".to_owned())), "Err(Unavailable"),
    ] {
        play(vec![reply]);
        let heard = connector("{}").deliver_texts(&events(1));
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}, wanted {want}");
        native::reset();
    }
}

#[test]
fn configuration_and_check() {
    for (config, words) in [
        (r#"{"prefix":"Copy"}"#, "`prefix` is \"Copy\""),
        (r#"{"path":"api"}"#, "`path` is \"api\""),
        (r#"{"labels":{"severity":"x"}}"#, "`labels` names \"severity\", which is a label of the metrics"),
        (r#"{"labels":{"le":"x"}}"#, "`labels` names \"le\""),
        (r#"{"labels":{"__name__":"x"}}"#, "`labels` names \"__name__\"; a label is"),
        (r#"{"labels":{"a":""}}"#, "`labels.a` is empty"),
        (r#"{"headers":{"A":"x"}}"#, "`headers` names \"A\""),
        (r#"{"refresh_seconds":5}"#, "`refresh_seconds` is 5"),
    ] {
        let error = native::connector::<RemoteWrite>(config, &RecordFormat::new("json", "application/json")).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    for (status, want) in
        [(204, "Ok("), (400, "Err(Configuration"), (401, "Err(Unauthorized"), (404, "Err(Configuration"), (422, "Err(Configuration"), (503, "Err(Unavailable")]
    {
        let requests = play(vec![answer(status, "")]);
        let heard = connector("{}").connector.check();
        assert!(format!("{heard:?}").starts_with(want), "{heard:?}");
        // An empty block.
        assert_eq!(requests.borrow()[0].body, [0]);
        native::reset();
    }
}
