use bulkhead_sdk::native::{self, EventText, NativeConnector};

use super::*;

const EVENT: &str = r#"{"id":"1","time":"2026-11-02T08:42:58.123Z","severity":"low","host":"mf-01","source":"copybook","type":"t"}"#;

fn connector(config: &str, format: &str) -> NativeConnector<SyslogUdp> {
    native::connector(config, &RecordFormat::new(format, "text/plain")).expect("configured")
}

fn deliver(config: &str, format: &str, records: &[&str]) -> Result<Delivery, Failure> {
    let batch: Vec<_> = records.iter().map(|record| (*record, EventText::new(EVENT))).collect();
    connector(config, format).deliver_texts(&batch)
}

#[test]
fn a_datagram_for_each_message() {
    let sent = native::on_udp(|_, _| Ok(()));
    deliver("{}", "json", &["{\"a\":\n1}\n", "two"]).expect("delivers");
    deliver(r#"{"header":"rfc3164"}"#, "cef", &["CEF:0|x"]).expect("delivers");
    let texts: Vec<_> = sent.borrow().iter().map(|(to, bytes)| (to.clone(), String::from_utf8(bytes.clone()).expect("text"))).collect();
    let to = |text: &str| ("primary".to_owned(), text.to_owned());
    let header = "<109>1 2026-11-02T08:42:58.123Z mf-01 copybook - t - ";
    assert_eq!(texts, [to(&format!("{header}{{\"a\": 1}}")), to(&format!("{header}two")), to("<109>Nov  2 08:42:58 mf-01 CEF:0|x")]);
}

#[test]
fn long_messages_are_cut_between_characters_or_refused_alone() {
    let long = "é".repeat(3000);
    let sent = native::on_udp(|_, _| Ok(()));
    deliver("{}", "text", &[&long]).expect("delivers");
    // 53 bytes of header: a whole character more would be one byte too many.
    assert_eq!(sent.borrow()[0].1.len(), 2047);
    deliver(r#"{"max_bytes":1024}"#, "text", &[&long]).expect("delivers");
    assert_eq!(sent.borrow()[1].1.len(), 1023);
    let delivery = deliver(r#"{"max_bytes":480,"too_long":"reject"}"#, "text", &["a", &long, "b"]).expect("delivers");
    assert!(
        matches!(&delivery, Delivery::Each(outcomes) if matches!(outcomes.as_slice(), [Outcome::Accepted(None), Outcome::Rejected(_), Outcome::Accepted(None)])),
        "{delivery:?}"
    );
    assert_eq!(sent.borrow().len(), 4);
}

#[test]
fn what_left_is_not_sent_again() {
    let mut count = 0;
    native::on_udp(move |_, _| {
        count += 1;
        if count == 2 { Err(udp::Error::Broken("network is unreachable".to_owned())) } else { Ok(()) }
    });
    let delivery = deliver("{}", "text", &["a", "b", "c"]).expect("delivers");
    assert_eq!(delivery, Delivery::Each(vec![Outcome::Accepted(None), Outcome::Retry(None), Outcome::Retry(None)]));
    native::on_udp(|_, _| Err(udp::Error::Limit("bytes_out".to_owned())));
    assert_eq!(deliver("{}", "text", &["a"]), Err(Failure::Unavailable { reason: "bytes_out".to_owned(), after: None }));
    native::on_udp(|_, _| Err(udp::Error::Denied("rule 1".to_owned())));
    assert!(matches!(deliver("{}", "text", &["a"]), Err(Failure::Configuration(_))));
}
