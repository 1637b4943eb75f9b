use bulkhead_sdk::native::{self, EventText, NativeConnector};

use super::*;

fn connector(config: &str) -> NativeConnector<File> {
    native::reset();
    native::connector(config, &RecordFormat::new("cef", "text/plain")).unwrap()
}

fn deliver(file: &mut NativeConnector<File>, records: &[&str]) {
    let batch: Vec<_> = records.iter().map(|record| (*record, EventText::new("{}"))).collect();
    assert_eq!(file.deliver_texts(&batch), Ok(Delivery::accepted()));
}

#[track_caller]
fn check(path: &str, want: Option<&str>) {
    assert_eq!(native::file("primary", path).map(|bytes| String::from_utf8(bytes).unwrap()).as_deref(), want, "{path}");
}

#[test]
fn records_are_lines() {
    let mut file = connector(r#"{"path":"logs/a.log"}"#);
    deliver(&mut file, &["one", "two\n", ""]);
    deliver(&mut file, &["three\n", "four\n"]);
    check("logs/a.log", Some("one\ntwo\n\nthree\nfour\n"));
}

#[test]
fn rotation_keeps_what_it_says() {
    let mut file = connector(r#"{"path":"a.log","rotate":{"max_bytes":10,"keep":2}}"#);
    for record in ["first", "1234", "second", "third", "fourth"] {
        deliver(&mut file, &[record]);
    }
    // "first\n" + "1234\n" would be 11 bytes.
    check("a.log", Some("fourth\n"));
    check("a.log.1", Some("third\n"));
    check("a.log.2", Some("second\n"));
    check("a.log.3", None);
    // A batch larger than a file has one of its own.
    deliver(&mut file, &["a line of twenty-five bytes"]);
    check("a.log", Some("a line of twenty-five bytes\n"));
    check("a.log.1", Some("fourth\n"));
}

#[test]
fn a_file_that_was_there_counts() {
    let mut file = connector(r#"{"path":"a.log","rotate":{"max_bytes":"10B"}}"#);
    bulkhead_sdk::files::append("primary", "a.log", b"12345678\n", false).unwrap();
    deliver(&mut file, &["x"]);
    check("a.log", Some("x\n"));
    check("a.log.1", Some("12345678\n"));
    assert_eq!(file.connector.check(), Ok("a.log holds 2 bytes".to_owned()));
}

#[test]
fn a_gap_left_by_a_stop_between_renames_loses_nothing() {
    let mut file = connector(r#"{"path":"a.log","rotate":{"max_bytes":4,"keep":3}}"#);
    for (path, text) in [("a.log", "cur\n"), ("a.log.1", "old\n"), ("a.log.3", "oldest\n")] {
        bulkhead_sdk::files::append("primary", path, text.as_bytes(), false).unwrap();
    }
    deliver(&mut file, &["new"]);
    for (path, text) in [("a.log", "new\n"), ("a.log.1", "cur\n"), ("a.log.2", "old\n"), ("a.log.3", "oldest\n")] {
        check(path, Some(text));
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["/etc/x", "../x", "a/../../x", "a//b", ".", "a/", "a\\\\b"] {
        let error = native::connector::<File>(&format!(r#"{{"path":"{path}"}}"#), &RecordFormat::new("json", "application/json")).unwrap_err();
        assert!(error.contains("must be relative"), "{error}");
    }
    assert!(native::connector::<File>("{}", &RecordFormat::new("json", "application/json")).unwrap_err().contains("`path` is missing"));
}

#[test]
fn a_date_in_the_path_makes_a_file_for_each_day() {
    let mut file = connector(r#"{"path":"%Y/audit-%m-%d.log","rotate":{"max_bytes":10,"keep":1}}"#);
    let event = |time: &str| EventText::new(&format!(r#"{{"time":"{time}","received":"2026-05-05T00:00:00Z"}}"#));
    let batch = [
        ("one", event("2026-01-02T23:59:59Z")),
        ("two", event("2026-01-03T00:30:00+01:00")),
        ("three", event("2026-01-03T00:00:00Z")),
        ("no time", event("yesterday")),
    ];
    assert_eq!(file.deliver_texts(&batch), Ok(Delivery::accepted()));
    check("2026/audit-01-02.log", Some("one\ntwo\n"));
    check("2026/audit-01-03.log", Some("three\n"));
    check("2026/audit-05-05.log", Some("no time\n"));
    // Each file is rotated by itself.
    assert_eq!(file.deliver_texts(&[("late one", event("2026-01-02T00:00:00Z"))]), Ok(Delivery::accepted()));
    check("2026/audit-01-02.log", Some("late one\n"));
    check("2026/audit-01-02.log.1", Some("one\ntwo\n"));
    let error = native::connector::<File>(r#"{"path":"a-%Q.log"}"#, &RecordFormat::new("json", "application/json")).unwrap_err();
    assert!(error.starts_with("`path`: "), "{error}");
}

#[test]
fn compressed_batches_are_members_of_one_file() {
    use std::io::Read as _;
    let mut file = connector(r#"{"path":"a.gz","gzip":true}"#);
    deliver(&mut file, &["one", "two\n"]);
    deliver(&mut file, &["three"]);
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(native::file("primary", "a.gz").unwrap().as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\nthree\n");
}

#[test]
fn json_records_are_one_line_each() {
    native::reset();
    let mut file: NativeConnector<File> = native::connector(r#"{"path":"a.ndjson"}"#, &RecordFormat::new("json", "application/json")).unwrap();
    deliver(&mut file, &["{\"a\":\n1,\"b\":\"x\"}", "{}\n"]);
    check("a.ndjson", Some("{\"a\": 1,\"b\":\"x\"}\n{}\n"));
}
