use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use bulkhead_sdk::native::{self, EventText, NativeConnector, Peer};

use super::*;

fn connector(config: &str) -> Result<NativeConnector<Tcp>, String> {
    native::connector(config, &RecordFormat::new("json", "application/json"))
}

/// What a peer hears of these records that says this, and what comes of them.
fn deliver(config: &str, says: &'static [u8], records: &[&str]) -> (Vec<u8>, Result<Delivery, Failure>) {
    let heard = native::on_tcp(move |_, _| Ok(if says.is_empty() { Peer::silent(false) } else { Peer::new(says, false) }));
    let batch: Vec<_> = records.iter().map(|record| (*record, EventText::new("{}"))).collect();
    let delivery = connector(config).expect("configured").deliver_texts(&batch);
    let bytes = heard.borrow().iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    (bytes, delivery)
}

fn accepted(n: usize) -> Result<Delivery, Failure> {
    Ok(Delivery::Each(vec![Outcome::Accepted(None); n]))
}

#[test]
fn framings() {
    for (config, want) in [
        ("{}", &b"{\"a\": 1}\n\xc3\xa9\n"[..]),
        (r#"{"framing":"octet_counting"}"#, b"8 {\"a\":\n1}2 \xc3\xa9"),
        (r#"{"framing":"length_prefix"}"#, b"\0\0\0\x08{\"a\":\n1}\0\0\0\x02\xc3\xa9"),
        (r#"{"framing":"delimiter","delimiter":"\u0000"}"#, b"{\"a\":\n1}\0\xc3\xa9\0"),
        (r#"{"framing":"delimiter","delimiter":"\r\n"}"#, b"{\"a\":\n1}\r\n\xc3\xa9\r\n"),
    ] {
        let (bytes, delivery) = deliver(config, b"", &["{\"a\":\n1}\n", "é"]);
        assert_eq!(bytes, want, "{config}");
        assert_eq!(delivery, accepted(2));
    }
}

#[test]
fn records_that_do_not_fit_are_rejected_alone() {
    let long = "x".repeat(65);
    for (config, record, words) in [
        (r#"{"max_bytes":64}"#, long.as_str(), "65 bytes, `max_bytes` is 64"),
        (r#"{"framing":"delimiter","delimiter":"||"}"#, "a||b", "contains the `delimiter`"),
        (r#"{"framing":"delimiter","delimiter":"||"}"#, "a|", "ends so"),
        ("{}", "\n", "empty"),
    ] {
        let (bytes, delivery) = deliver(config, b"", &["a", record, "b"]);
        let Ok(Delivery::Each(outcomes)) = delivery else { panic!("{delivery:?}") };
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted(None), &Outcome::Accepted(None)));
        assert!(matches!(&outcomes[1], Outcome::Rejected(reason) if reason.contains(words)), "{outcomes:?}");
        assert!(bytes.starts_with(b"a") && bytes.len() < 8, "{bytes:?}");
    }
    // Nothing is left to write: nobody is called.
    let heard = native::on_tcp(|_, _| Err(bulkhead_sdk::tcp::Error::Connect("nobody".to_owned())));
    let delivery = connector("{}").expect("configured").deliver_texts(&[("", EventText::new("{}"))]);
    assert!(matches!(delivery, Ok(Delivery::Each(outcomes)) if matches!(outcomes.as_slice(), [Outcome::Rejected(_)])));
    assert!(heard.borrow().is_empty());
}

#[test]
fn one_line_for_a_batch() {
    let config = r#"{"ack":{"prefix":"OK","reject":"ERR"}}"#;
    assert_eq!(deliver(config, b"OK 2\r\n", &["a", "b"]).1, accepted(2));
    assert_eq!(deliver(config, b"ERR no\r\n", &["a"]).1, Ok(Delivery::Each(vec![Outcome::Rejected("the receiver answered: ERR no".to_owned())])));
    // Which of the two is at fault shows when each stands alone.
    assert!(matches!(deliver(config, b"ERR no\n", &["a", "b"]).1, Err(Failure::TooLarge(_))));
    let failed = |says, words: &str| match deliver(config, says, &["a", "b"]).1 {
        Err(Failure::Unavailable { reason, .. }) => assert!(reason.contains(words), "{reason}"),
        other => panic!("{other:?}"),
    };
    failed(b"BUSY\n", "neither `ack.prefix`");
    failed(b"OK", "closed the stream");
    static ENDLESS: [u8; 10_000] = [b'O'; 10_000];
    failed(&ENDLESS, "no end within 4096");
}

#[test]
fn a_line_for_each_record() {
    let config = r#"{"ack":{"prefix":"+","reject":"-","each":true},"max_bytes":64}"#;
    let long = "x".repeat(65);
    let (_, delivery) = deliver(config, b"+\n-bad\nwhat?\n+\n", &["a", &long, "b", "c", "d"]);
    let Ok(Delivery::Each(outcomes)) = delivery else { panic!("{delivery:?}") };
    assert!(
        matches!(
            outcomes.as_slice(),
            [Outcome::Accepted(None), Outcome::Rejected(own), Outcome::Rejected(theirs), Outcome::Retry(None), Outcome::Accepted(None)]
                if own.contains("max_bytes") && theirs == "the receiver answered: -bad"
        ),
        "{outcomes:?}"
    );
    // What was answered stays so, the rest comes again.
    let (_, delivery) = deliver(config, b"+\n+", &["a", "b", "c"]);
    assert_eq!(delivery, Ok(Delivery::Each(vec![Outcome::Accepted(None), Outcome::Retry(None), Outcome::Retry(None)])));
}

/// Takes so many writes and then breaks off; what it said before can be read.
struct Breaks(usize, io::Cursor<&'static [u8]>);

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.read(buffer)
    }
}

impl Write for Breaks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("broken pipe"))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn answers_before_a_failed_write_count() {
    let broken = |config: &str, writes: usize, says: &'static [u8], records: usize| {
        native::on_tcp(move |_, _| Ok(Peer::stream(Breaks(writes, io::Cursor::new(says)), false)));
        connector(config).expect("configured").deliver_texts(&vec![("a", EventText::new("{}")); records])
    };
    let unwritten = Err(Failure::Unavailable { reason: "the stream broke off: broken pipe".to_owned(), after: None });
    let each = r#"{"ack":{"prefix":"+","reject":"-","each":true}}"#;
    let refused = Outcome::Rejected("the receiver answered: -bad".to_owned());
    assert_eq!(broken(each, 0, b"+\n-bad\n", 3), Ok(Delivery::Each(vec![Outcome::Accepted(None), refused.clone(), Outcome::Retry(None)])));
    assert_eq!(broken(each, 0, b"", 3), unwritten);
    let all = r#"{"ack":{"prefix":"+","reject":"-"}}"#;
    assert_eq!(broken(all, 0, b"-bad\n", 1), Ok(Delivery::Each(vec![refused])));
    assert!(matches!(broken(all, 0, b"-bad\n", 2), Err(Failure::TooLarge(_))));
    assert_eq!(broken(all, 0, b"", 2), unwritten);
    assert_eq!(broken(all, 0, b"+\n", 2), unwritten, "it cannot have all of it");
}

/// Answers each line and takes no more while too many answers are unread.
struct Synchronous(Rc<RefCell<usize>>);

impl Read for Synchronous {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut unread = self.0.borrow_mut();
        *unread = unread.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
        (&b"+\n"[..]).read(buffer)
    }
}

impl Write for Synchronous {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let unread = *self.0.borrow() + bytes.iter().filter(|byte| **byte == b'\n').count();
        if unread > WINDOW {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.0.replace(unread);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_receiver_that_answers_one_by_one_is_listened_to() {
    native::on_tcp(|_, _| Ok(Peer::stream(Synchronous(Rc::default()), false)));
    let mut connector = connector(r#"{"ack":{"prefix":"+","each":true}}"#).expect("configured");
    assert_eq!(connector.deliver_texts(&vec![("a", EventText::new("{}")); 200]), accepted(200));
}

#[test]
fn a_receiver_that_says_too_much_is_let_go_of() {
    let heard = native::on_tcp(|_, _| Ok(Peer::new(b"OK\nOK\n", false)));
    let mut connector = connector(r#"{"ack":{"prefix":"OK"}}"#).expect("configured");
    for _ in 0..2 {
        connector.deliver_texts(&[("a", EventText::new("{}"))]).expect("delivers");
    }
    // Otherwise the second batch would take the answer that belongs to the first.
    assert_eq!(heard.borrow().len(), 2);
}

#[test]
fn configuration() {
    for (config, words) in [
        (r#"{"framing":"delimiter"}"#, "`delimiter` is missing"),
        (r#"{"delimiter":"x"}"#, "with `framing: delimiter` only"),
        (r#"{"ack":{}}"#, "`ack.prefix` is missing"),
        (r#"{"ack":{"prefix":"OK","reject":"O"}}"#, "could mean both"),
        (r#"{"max_bytes":1}"#, "the least is 64"),
    ] {
        let error = connector(config).expect_err("refused");
        assert!(error.contains(words), "{error}");
    }
}
