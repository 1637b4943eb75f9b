use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText, NativeConnector, Peer};
use bulkhead_sdk::tcp;

use super::*;

const EVENT: &str =
    r#"{"id":"1","time":"2026-11-02T08:42:58.123Z","severity":"high","host":"mf-01","source":"/mainframe/copybook","process":4711,"type":"copybook.audit"}"#;

fn connector(config: &str, format: &str) -> NativeConnector<Syslog> {
    native::connector(config, &RecordFormat::new(format, "text/plain")).expect("configured")
}

/// What one batch of these records, each of the same event, writes.
#[track_caller]
fn written(config: &str, format: &str, records: &[&str]) -> (String, Delivery) {
    let heard = native::on_tcp(|_, _| Ok(Peer::silent(false)));
    let batch: Vec<_> = records.iter().map(|record| (*record, EventText::new(EVENT))).collect();
    let delivery = connector(config, format).deliver_texts(&batch).expect("delivers");
    let bytes = heard.borrow().iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    (String::from_utf8(bytes).expect("text"), delivery)
}

#[track_caller]
fn check(config: &str, format: &str, records: &[&str], want: &str) {
    let (text, delivery) = written(config, format, records);
    assert_eq!(text, want);
    assert_eq!(delivery, Delivery::Each(vec![Outcome::Accepted(None); records.len()]));
}

#[test]
fn octets_are_counted_and_lines_end() {
    let header = "<107>1 2026-11-02T08:42:58.123Z mf-01 copybook 4711 copybook.audit - ";
    check("{}", "json", &["{\"a\":\n1}", "é\n"], &format!("77 {header}{{\"a\": 1}}71 {header}é"));
    check(r#"{"framing":"newline"}"#, "json", &["{\"a\":\n1}", "b\r\nc\0d"], &format!("{header}{{\"a\": 1}}\n{header}b  c d\n"));
}

#[test]
fn headers_by_format_and_by_configuration() {
    let old = r#"{"framing":"newline","header":"rfc3164"}"#;
    check(old, "text", &["x"], "<107>Nov  2 08:42:58 mf-01 copybook[4711]: x\n");
    check(old, "leef", &["LEEF:1.0|a"], "<107>Nov  2 08:42:58 mf-01 LEEF:1.0|a\n");
    check(old, "cef", &["CEF:0|a"], "<107>Nov  2 08:42:58 mf-01 CEF:0|a\n");
    let tagged = r#"{"framing":"newline","header":"rfc3164","tag":true,"hostname":"relay","app_name":"CEF","facility":4,"severity":{"high":2}}"#;
    check(tagged, "cef", &["0|a"], "<34>Nov  2 08:42:58 relay CEF[4711]: 0|a\n");
    check(r#"{"framing":"newline","header":"rfc3164","tag":false}"#, "json", &["{}"], "<107>Nov  2 08:42:58 mf-01 {}\n");
    check("{}", "syslog", &["<13>1 - - - - - - x"], "19 <13>1 - - - - - - x");
    check(r#"{"header":"none","framing":"newline"}"#, "json", &["{}"], "{}\n");
}

#[test]
fn long_messages_are_cut_or_refused_alone() {
    let long = "é".repeat(600);
    let (text, _) = written(r#"{"max_bytes":480}"#, "text", &[&long]);
    // 69 bytes of header: the 206th character would end at 481.
    assert!(text.starts_with("479 <107>1 ") && text.len() == 483, "{text}");
    let (text, delivery) = written(r#"{"max_bytes":480,"too_long":"reject","framing":"newline"}"#, "text", &["a", &long, "b"]);
    assert_eq!(text.lines().count(), 2);
    let Delivery::Each(outcomes) = delivery else { panic!("{delivery:?}") };
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted(None), &Outcome::Accepted(None)));
    assert!(matches!(&outcomes[1], Outcome::Rejected(reason) if reason.contains("1269 bytes, `max_bytes` is 480")), "{outcomes:?}");
    // A cut that would leave nothing: no byte begins a character, and a header that is as long as all may be.
    let binary = vec![0x80; 481];
    let heard = native::on_tcp(|_, _| Ok(Peer::silent(false)));
    let delivered = connector(r#"{"max_bytes":480,"header":"none"}"#, "text").deliver((&binary, &[0, 481]), (&[], &[0; 8]), 1);
    assert!(
        matches!(&delivered, Ok(Delivery::Each(outcomes)) if matches!(&outcomes[..], [Outcome::Rejected(reason)] if reason.contains("nothing of the record"))),
        "{delivered:?}"
    );
    assert!(heard.borrow().is_empty());
    // Nothing is left to send.
    let (text, delivery) = written(r#"{"header":"none"}"#, "text", &["\n"]);
    assert_eq!(text, "");
    assert!(matches!(&delivery, Delivery::Each(outcomes) if matches!(&outcomes[0], Outcome::Rejected(reason) if reason.contains("empty"))), "{delivery:?}");
}

/// Takes what is written until a write, and says nothing.
struct Breaks(Rc<RefCell<u32>>);

impl Read for Breaks {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Breaks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut left = self.0.borrow_mut();
        *left = left.checked_sub(1).ok_or_else(|| io::Error::other("broken pipe"))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_batch_whose_write_failed_is_sent_again_whole_over_a_fresh_connection() {
    let writes = Rc::new(RefCell::new(1));
    let own = Rc::clone(&writes);
    let heard = native::on_tcp(move |_, _| Ok(Peer::stream(Breaks(Rc::clone(&own)), false)));
    let mut connector = connector(r#"{"framing":"newline","header":"none"}"#, "text");
    let batch = [("a", EventText::new(EVENT)), ("b", EventText::new(EVENT))];
    connector.deliver_texts(&batch).expect("delivers");
    let failure = connector.deliver_texts(&batch).expect_err("broken");
    assert_eq!(failure, Failure::Unavailable { reason: "the stream broke off: broken pipe".to_owned(), after: None });
    *writes.borrow_mut() = 1;
    connector.deliver_texts(&batch).expect("delivers");
    assert_eq!(heard.borrow().iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), [b"a\nb\n", b"a\nb\n"]);
}

#[test]
fn check_connects_and_writes_nothing() {
    let heard = native::on_tcp(|_, _| Ok(Peer::silent(true)));
    let words = connector("{}", "json").connector.check().expect("connects");
    assert!(words.contains("under TLS"), "{words}");
    assert_eq!(heard.borrow().as_slice(), [("primary".to_owned(), Vec::new())]);
    native::on_tcp(|_, _| Err(tcp::Error::Connect("refused".to_owned())));
    let failure = connector("{}", "json").connector.check().expect_err("nobody there");
    assert_eq!(failure, Failure::Unavailable { reason: "cannot connect: refused".to_owned(), after: None });
}

#[test]
fn configuration() {
    for (config, format, words) in [
        (r#"{"header":"rfc5424"}"#, "syslog", "bring their header"),
        (r#"{"hostname":"a b"}"#, "json", "`hostname` is printable ASCII"),
        (r#"{"facility":24}"#, "json", "`facility` is 24, the most is 23"),
        (r#"{"max_bytes":100}"#, "json", "`max_bytes` is 100, the least is 480"),
        (r#"{"framing":"lines"}"#, "json", "octet_counting"),
    ] {
        let error = native::connector::<Syslog>(config, &RecordFormat::new(format, "text/plain")).expect_err("refused");
        assert!(error.contains(words), "{error}");
    }
}
