use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bulkhead_sdk::Writer;
use bulkhead_sdk::native::{self, Digest, EventText, NativeConnector, Peer};
use sha2::{Digest as _, Sha512};

use super::*;
use crate::unpack::value;

const EVENT: &str = r#"{"id":"1","time":"2026-01-02T03:04:05.123456789Z","severity":"high","metadata":{"team":"a b.ö"}}"#;

fn connector(config: &str, content_type: &str) -> NativeConnector<FluentForward> {
    native::connector(config, &RecordFormat::new("f", content_type)).expect("configured")
}

/// A receiver: takes messages, answers as it is told.
struct Receiver {
    answer: fn(&Said, &mut Receiver) -> Vec<u8>,
    heard: Vec<u8>,
    says: VecDeque<u8>,
    /// Salt and nonce of a handshake, and what the receiver calls itself.
    name: &'static str,
}

impl Receiver {
    fn peer(hello: &[u8], name: &'static str, answer: fn(&Said, &mut Receiver) -> Vec<u8>) -> Peer {
        Peer::stream(Self { answer, heard: Vec::new(), says: hello.to_vec().into(), name }, false)
    }
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.says.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Byte by byte: messages come in pieces.
        buffer[0] = self.says.pop_front().unwrap_or_default();
        Ok(1)
    }
}

impl Write for Receiver {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.extend_from_slice(bytes);
        while let Ok(Some((said, length))) = value(&self.heard) {
            self.heard.drain(..length);
            let says = (self.answer)(&said, self);
            self.says.extend(says);
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn packed(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    fill(&mut out);
    out.into_bytes()
}

fn parts(said: &Said) -> &[Said] {
    if let Said::Array(parts) = said { parts } else { panic!("{said:?}") }
}

/// `{"ack": …}` for a message.
fn ack(said: &Said, _: &mut Receiver) -> Vec<u8> {
    let chunk = parts(said)[2].member("chunk").and_then(Said::bytes).expect("a chunk").to_vec();
    packed(|out| {
        pack::map(1, out);
        pack::text(b"ack", out);
        pack::text(&chunk, out);
    })
}

fn sent(config: &str, content_type: &str, records: &[(&str, &str)]) -> Vec<u8> {
    let heard = native::on_tcp(|_, _| Ok(Receiver::peer(b"", "", ack)));
    let batch: Vec<_> = records.iter().map(|(record, event)| (*record, EventText::new(event))).collect();
    let delivery = connector(config, content_type).deliver_texts(&batch).expect("delivers");
    assert_eq!(delivery, Delivery::Each(vec![Outcome::Accepted(None); records.len()]));
    heard.borrow().iter().flat_map(|(_, bytes)| bytes.clone()).collect()
}

#[test]
fn a_chunk_is_written_as_the_protocol_says() {
    // Tag `t`, 1767323045.123456789, {"m":"hi"}: bytes that another implementation made.
    let heard = native::on_tcp(|_, _| Ok(Peer::silent(false)));
    connector(r#"{"ack":false,"tag":"t"}"#, "application/json").deliver_texts(&[(r#"{"m":"hi"}"#, EventText::new(EVENT))]).expect("delivers");
    let want = b"\x93\xa1t\xc4\x11\x92\xd7\x00\x69\x57\x35\xa5\x07\x5b\xcd\x15\x81\xa1m\xa2hi\x81\xa4size\x01";
    assert_eq!(heard.borrow()[0].1, want);
    let mut chunk = Chunk::new("t".to_owned(), "AAAA".to_owned());
    chunk.events.push(0);
    assert_eq!(chunk.message(Mode::Packed, true).expect("made"), b"\x93\xa1t\xc4\x00\x82\xa4size\x01\xa5chunk\xa4AAAA");
}

#[test]
fn modes() {
    let records = [(r#"{"a":1}"#, EVENT), (r#"{"a":2}"#, EVENT)];
    let entries = b"\x92\xd7\x00\x69\x57\x35\xa5\x07\x5b\xcd\x15\x81\xa1a\x01\x92\xd7\x00\x69\x57\x35\xa5\x07\x5b\xcd\x15\x81\xa1a\x02";
    let bytes = sent(r#"{"mode":"forward"}"#, "application/json", &records);
    assert!(bytes.starts_with(&[&b"\x93\xa8bulkhead\x92"[..], entries, b"\x82\xa4size\x02\xa5chunk\xd9\x20"].concat()), "{bytes:x?}");
    let bytes = sent(r#"{"mode":"forward","time":"seconds"}"#, "application/json", &records[..1]);
    assert!(bytes.starts_with(b"\x93\xa8bulkhead\x91\x92\xce\x69\x57\x35\xa5\x81\xa1a\x01"), "{bytes:x?}");
    let bytes = sent(r#"{"mode":"compressed"}"#, "application/json", &records);
    let (said, _) = value(&bytes).expect("MessagePack").expect("whole");
    let options = &parts(&said)[2];
    assert_eq!(options.member("compressed").and_then(Said::bytes), Some(&b"gzip"[..]));
    let mut inflated = Vec::new();
    flate2::read::GzDecoder::new(parts(&said)[1].bytes().expect("bytes")).read_to_end(&mut inflated).expect("gzip");
    assert_eq!(inflated, entries);
}

#[test]
fn tags_come_from_the_event_and_make_chunks() {
    let other = EVENT.replace("high", "low");
    let bytes = sent(r#"{"tag":"audit.{/severity}.{/metadata/team}.{/x}"}"#, "application/json", &[("{}", EVENT), ("{}", &other), ("{}", EVENT)]);
    let (first, length) = value(&bytes).expect("MessagePack").expect("whole");
    let (second, rest) = value(&bytes[length..]).expect("MessagePack").expect("whole");
    assert_eq!((parts(&first)[0].text(), parts(&second)[0].text()), ("audit.high.a_b__.none".to_owned(), "audit.low.a_b__.none".to_owned()));
    assert_eq!(length + rest, bytes.len());
    assert_ne!(parts(&first)[2].member("chunk"), parts(&second)[2].member("chunk"));
}

#[test]
fn records_that_are_no_objects_are_messages() {
    let json = "application/json";
    for (record, content_type) in [("CEF:0|é\n", "text/plain"), ("{}", "text/plain"), ("CEF:0|é", json), ("[1]", json), ("{\"a\":[1,2", json), ("{} {}", json)]
    {
        let bytes = sent(r#"{"mode":"forward","message_key":"log"}"#, content_type, &[(record, EVENT)]);
        let want = packed(|out| {
            pack::map(1, out);
            pack::text(b"log", out);
            pack::text(record.trim_end().as_bytes(), out);
        });
        assert_eq!(bytes.get(22..22 + want.len()), Some(&want[..]), "{bytes:x?}");
    }
}

#[track_caller]
fn json(text: &str, want: &[u8]) {
    assert_eq!(packed(|out| assert!(pack::json(text.as_bytes(), out))), want, "{text}");
}

#[test]
fn every_json_value_has_its_form() {
    json("null", b"\xc0");
    json("[true,false]", b"\x92\xc3\xc2");
    json(r#"{"a":{"b":[]}}"#, b"\x81\xa1a\x81\xa1b\x90");
    json(r#""\u00e9\n\ud83d\ude00""#, "\u{a7}é\n😀".as_bytes().get(1..).expect("the head is no character"));
    for (text, want) in [
        ("0", &b"\x00"[..]),
        ("127", b"\x7f"),
        ("128", b"\xcc\x80"),
        ("256", b"\xcd\x01\x00"),
        ("65536", b"\xce\x00\x01\x00\x00"),
        ("4294967296", b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
        ("18446744073709551615", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("-1", b"\xff"),
        ("-32", b"\xe0"),
        ("-33", b"\xd0\xdf"),
        ("-129", b"\xd1\xff\x7f"),
        ("-32769", b"\xd2\xff\xff\x7f\xff"),
        ("-2147483649", b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"),
        ("1.5", b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
        ("1e2", b"\xcb\x40\x59\x00\x00\x00\x00\x00\x00"),
        // Digits that would be lost stay.
        ("18446744073709551616", b"\xb418446744073709551616"),
        ("1e999", b"\xa51e999"),
    ] {
        json(text, want);
    }
    for length in [31, 32, 255, 256, 65_535, 65_536] {
        let head: Vec<u8> = match length {
            31 => vec![0xbf],
            32 => vec![0xd9, 32],
            255 => vec![0xd9, 255],
            256 => vec![0xda, 1, 0],
            65_535 => vec![0xda, 255, 255],
            _ => vec![0xdb, 0, 1, 0, 0],
        };
        json(&format!("\"{}\"", "x".repeat(length)), &[head, vec![b'x'; length]].concat());
    }
    for (length, head) in [(15, &b"\x9f"[..]), (16, b"\xdc\x00\x10"), (65_536, b"\xdd\x00\x01\x00\x00")] {
        let text = format!("[{}]", vec!["1"; length].join(","));
        json(&text, &[head, &vec![1; length]].concat());
    }
    // Deep ones stay readable for receivers with small stacks.
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let text = format!("{}1{}", "[".repeat(16), "]".repeat(16));
    json(&deep, &[&b"\x91".repeat(24)[..], b"\xd9\x21", text.as_bytes()].concat());
}

#[test]
fn acknowledgements_count_chunk_by_chunk() {
    // The second chunk gets none.
    let heard = native::on_tcp(|_, _| Ok(Receiver::peer(b"", "", |said, own| if parts(said)[0].text() == "low" { Vec::new() } else { ack(said, own) })));
    let other = EVENT.replace("high", "low");
    let mut connector = connector(r#"{"tag":"{/severity}"}"#, "application/json");
    let batch = [("{}", EventText::new(&other)), ("{}", EventText::new(EVENT)), ("{}", EventText::new(&other))];
    let delivery = connector.deliver_texts(&batch).expect("delivers");
    assert_eq!(delivery, Delivery::Each(vec![Outcome::Retry(None), Outcome::Accepted(None), Outcome::Retry(None)]));
    // Nothing at all is a failure, over a fresh connection: an answer that is late must not count for others.
    let failure = connector.deliver_texts(&batch[..1]).expect_err("no acknowledgement");
    assert_eq!(failure, Failure::Unavailable { reason: "the receiver did not answer in time".to_owned(), after: None });
    connector.deliver_texts(&batch[1..2]).expect("delivers");
    assert_eq!(heard.borrow().len(), 3);
}

#[test]
fn receivers_may_say_anything() {
    let answers: [(&'static [u8], &str); 7] = [
        (b"\xc1", "does not speak the forward protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else"),
        (b"\x81\xa3ack\xa5other", "something else"),
        (b"\x92\xa4HELO\x80", "wants a shared key"),
        (b"\xdd\xff\xff\xff\xff", "does not speak"),
        (b"\xc6\xff\xff\xff\xff", "does not speak"),
        (&[0x91; 64], "does not speak"),
    ];
    for (says, words) in answers {
        native::on_tcp(move |_, _| Ok(Receiver::peer(says, "", |_, _| Vec::new())));
        let mut connector = connector("{}", "application/json");
        let failure = connector.deliver_texts(&[("{}", EventText::new(EVENT))]).expect_err("no acknowledgement");
        assert!(format!("{failure:?}").contains(words), "{failure:?}");
    }
}

#[test]
fn bytes_of_a_receiver_never_hurt() {
    let whole = packed(|out| {
        pack::array(3, out);
        pack::text(&[b'x'; 40], out);
        pack::binary(&[0; 300], out);
        pack::map(2, out);
        pack::text(b"ack", out);
        pack::integer(-70_000, out);
        pack::event_time(bulkhead_sdk::Timestamp { seconds: 5, fraction: b"1" }, out);
        assert!(pack::json(b"[1.5,null,true,4294967296]", out));
    });
    assert!(matches!(value(&whole), Ok(Some((Said::Array(parts), length))) if parts.len() == 3 && length == whole.len()));
    // Cut anywhere it is not there yet; with any byte replaced it is something or nothing.
    for cut in 0..whole.len() {
        assert_eq!(value(&whole[..cut]), Ok(None), "{cut}");
        for byte in 0..=255 {
            let mut other = whole.clone();
            other[cut] = byte;
            let _ = value(&other);
        }
    }
}

/// HELO with this nonce and this salt for passwords.
fn helo(nonce: &[u8], auth: &[u8]) -> Vec<u8> {
    packed(|out| {
        pack::array(2, out);
        pack::text(b"HELO", out);
        pack::map(3, out);
        pack::text(b"nonce", out);
        pack::binary(nonce, out);
        pack::text(b"auth", out);
        pack::binary(auth, out);
        pack::text(b"keepalive", out);
        out.byte(0xc3);
    })
}

fn digest(parts: &[&[u8]]) -> String {
    handshake::hex(&parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part)).finalize())
}

const NONCE: &[u8] = &[0, 1, 2, 0xff];

/// PONG by the rules for a key, then acknowledgements.
fn with_key(said: &Said, own: &mut Receiver, key: &str) -> Vec<u8> {
    let ping = parts(said);
    if ping[0].bytes() != Some(b"PING") {
        return ack(said, own);
    }
    let (name, salt) = (ping[1].bytes().expect("a name"), ping[2].bytes().expect("a salt"));
    let right = ping.len() == 6 && ping[3].text() == digest(&[salt, name, NONCE, b"pass-word-1"]);
    packed(|out| {
        pack::array(5, out);
        pack::text(b"PONG", out);
        out.byte(if right { 0xc3 } else { 0xc2 });
        pack::text(if right { b"" } else { b"shared key mismatch" }, out);
        pack::text(own.name.as_bytes(), out);
        pack::text(digest(&[salt, own.name.as_bytes(), NONCE, key.as_bytes()]).as_bytes(), out);
    })
}

/// Delivers through a handshake with a key of ours.
fn greeted(ours: &'static str, hello: Vec<u8>, name: &'static str, answer: fn(&Said, &mut Receiver) -> Vec<u8>) -> Result<Delivery, Failure> {
    native::on_tcp(move |_, _| Ok(Receiver::peer(&hello, name, answer)));
    native::bind_credential("primary", "key", None, ours);
    native::on_digest(move |_, _, made_of| match made_of {
        Digest::Hash { before, after } => Sha512::new().chain_update(before).chain_update(ours).chain_update(after).finalize().to_vec(),
        Digest::Hmac { .. } => Vec::new(),
    });
    connector(r#"{"credential":"key"}"#, "application/json").deliver_texts(&[("{}", EventText::new(EVENT))])
}

#[test]
fn both_sides_show_that_they_know_the_key() {
    let right = |said: &Said, own: &mut Receiver| with_key(said, own, "pass-word-1");
    assert_eq!(greeted("pass-word-1", helo(NONCE, b""), "server", right), Ok(Delivery::Each(vec![Outcome::Accepted(None)])));
    let refused = |result: Result<Delivery, Failure>, words: &str| {
        let failure = result.expect_err("refused");
        assert!(format!("{failure:?}").contains(words), "{failure:?}");
        failure
    };
    assert!(matches!(refused(greeted("pass-word-2", helo(NONCE, b""), "server", right), "shared key mismatch"), Failure::Unauthorized(_)));
    let pretends = |said: &Said, own: &mut Receiver| with_key(said, own, "what?");
    assert!(matches!(refused(greeted("pass-word-1", helo(NONCE, b""), "server", pretends), "does not know the shared key"), Failure::Unauthorized(_)));
    assert!(matches!(refused(greeted("pass-word-1", helo(NONCE, b""), "bulkhead", right), "set `hostname`"), Failure::Configuration(_)));
    assert!(matches!(refused(greeted("pass-word-1", helo(NONCE, b"salt"), "server", right), "a user and a password"), Failure::Configuration(_)));
    assert!(matches!(refused(greeted("pass-word-1", b"\x01".to_vec(), "server", right), "has no shared key"), Failure::Configuration(_)));
    refused(greeted("pass-word-1", helo(NONCE, b""), "server", |_, _| b"\x01".to_vec()), "did not answer PING with PONG");
    refused(greeted("pass-word-1", helo(NONCE, b""), "server", |_, _| b"\x91\xa4PONG".to_vec()), "did not answer PING with PONG");
}

#[test]
fn who_wants_a_key_and_who_does_not_shows_before_anything_is_sent() {
    let heard = native::on_tcp(|_, _| Ok(Receiver::peer(&helo(NONCE, b""), "", |_, _| Vec::new())));
    let mut connector = connector(r#"{"ack":false}"#, "application/json");
    for result in [connector.deliver_texts(&[("{}", EventText::new(EVENT))]).map(|_| ()), connector.connector.check().map(|_| ())] {
        assert!(matches!(&result, Err(Failure::Configuration(text)) if text.contains("name a `credential`")), "{result:?}");
    }
    assert!(heard.borrow().iter().all(|(_, bytes)| bytes.is_empty()), "nothing was sent");
    let failure = greeted("pass-word-1", Vec::new(), "server", |_, _| Vec::new()).expect_err("no HELO");
    assert!(matches!(&failure, Failure::Unavailable { reason, .. } if reason.contains("has no shared key")), "{failure:?}");
}

#[test]
fn the_receiver_of_these_tests_makes_digests_as_others_do() {
    // Nonce 00..0f, salt 10..1f, client `client.example`, key `secret`: computed by another implementation.
    let (nonce, salt): (Vec<u8>, Vec<u8>) = ((0..16).collect(), (16..32).collect());
    let want = "857119d9b158e9e98506f52db93b7b30e365b9e5450b3d941139613beea0598374f7cd59184c7c24daf70dc11c07cd789c3de9ddde1dc11d10202721b552b5cc";
    assert_eq!(digest(&[&salt, b"client.example", &nonce, b"secret"]), want);
}

#[test]
fn check_shakes_hands_and_sends_nothing() {
    let heard = native::on_tcp(|_, _| Ok(Receiver::peer(b"", "", ack)));
    assert!(connector("{}", "application/json").connector.check().expect("connects").contains("whether it takes events"));
    assert_eq!(heard.borrow()[0].1, b"");
}

#[test]
fn configuration() {
    for (config, words) in [
        (r#"{"tag":"a b"}"#, "printable ASCII without spaces"),
        (r#"{"tag":"a{/b"}"#, "{ without }"),
        (r#"{"tag":"a{b}"}"#, "is a pointer such as"),
        (r#"{"tag":"a}"}"#, "printable ASCII"),
        (r#"{"hostname":"a b"}"#, "`hostname` is printable"),
    ] {
        let error = native::connector::<FluentForward>(config, &RecordFormat::new("json", "application/json")).expect_err("refused");
        assert!(error.contains(words), "{error}");
    }
}
