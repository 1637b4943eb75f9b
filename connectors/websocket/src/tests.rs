use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use bulkhead_sdk::native::{self, EventText, NativeConnector, Peer};
use bulkhead_sdk::tcp;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message as Wire, WebSocket as Server};

use super::*;

type Heard = Arc<Mutex<Vec<Wire>>>;

/// A receiver on a real socket: `each` is called with its messages but pings, and answers or ends.
fn serve(each: impl Fn(&mut Server<TcpStream>, &Wire) -> bool + Send + 'static) -> (native::Heard, Heard) {
    greet(|_| {}, each)
}

/// The same, with `first` before anything is read.
fn greet(
    first: impl Fn(&mut Server<TcpStream>) + Send + 'static,
    each: impl Fn(&mut Server<TcpStream>, &Wire) -> bool + Send + 'static,
) -> (native::Heard, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (address, heard) = (listener.local_addr().expect("bound"), Heard::default());
    let kept = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            #[expect(clippy::result_large_err, reason = "the library's signature")]
            let check = |request: &Request, mut response: Response| {
                if let Some(offered) = request.headers().get("sec-websocket-protocol") {
                    response.headers_mut().insert("sec-websocket-protocol", offered.clone());
                }
                Ok(response)
            };
            let Ok(mut socket) = tungstenite::accept_hdr(stream, check) else { continue };
            first(&mut socket);
            while let Ok(message) = socket.read() {
                if message.is_ping() || message.is_close() {
                    continue;
                }
                kept.lock().expect("lock").push(message.clone());
                if !each(&mut socket, &message) {
                    break;
                }
            }
        }
    });
    let written = native::on_tcp(move |_, _| {
        let stream = TcpStream::connect(address).map_err(|error| tcp::Error::Connect(error.to_string()))?;
        Ok(Peer::socket(stream, true).expect("a second handle"))
    });
    (written, heard)
}

fn json() -> RecordFormat {
    RecordFormat::new("json", "application/json")
}

fn socket(config: &str) -> NativeConnector<Socket> {
    native::connector::<Socket>(config, &json()).expect("configured")
}

fn deliver(socket: &mut NativeConnector<Socket>, ids: &[&str]) -> Result<Delivery, Failure> {
    let batch: Vec<_> =
        ids.iter().map(|id| (format!("{{\"id\":\"{id}\"}}\n"), EventText::new(&format!(r#"{{"id":"{id}","source":"s","user":"a\"b"}}"#)))).collect();
    let batch: Vec<_> = batch.iter().map(|(record, event)| (record.as_str(), event.clone())).collect();
    socket.deliver_texts(&batch)
}

fn texts(heard: &Heard) -> Vec<String> {
    heard.lock().expect("lock").iter().map(|message| message.to_text().expect("text").to_owned()).collect()
}

fn accepted(count: usize) -> Result<Delivery, Failure> {
    Ok(Delivery::Each(vec![Outcome::Accepted(None); count]))
}

const ACK: &str = r#"{"host":"siem.example","timeout":5,"ack":{"id":"/re","pointer":"/status","equals":["ok"],"again":["busy"],"receipt":"/seq"}}"#;

/// The id in a message of these tests.
fn id(message: &Wire) -> String {
    let text = message.to_text().expect("text");
    bulkhead_sdk::json::value(text).expect("JSON").member("id").text().map(|id| String::from_utf8_lossy(&id).into_owned()).expect("an id")
}

fn answer(socket: &mut Server<TcpStream>, text: impl Into<String>) {
    let _ = socket.send(Wire::text(text.into()));
}

#[test]
fn without_acknowledgements_the_answer_to_a_ping_counts() {
    let (written, heard) = serve(|_, _| true);
    let mut connector = socket(r#"{"host":"siem.example:8443","path":"/in?x=1","headers":{"x-team":"blue"},"protocols":["v2.events"]}"#);
    let many: Vec<String> = (0..200).map(|i| format!("e-{i}")).collect();
    let ids: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(deliver(&mut connector, &ids), accepted(200));
    // By then the peer has read all of them.
    let want: Vec<String> = many.iter().map(|id| format!("{{\"id\":\"{id}\"}}")).collect();
    assert_eq!(texts(&heard), want);
    assert_eq!(deliver(&mut connector, &["again"]), accepted(1));
    let head = String::from_utf8_lossy(&written.borrow()[0].1).into_owned();
    assert!(head.starts_with("GET /in?x=1 HTTP/1.1\r\nHost: siem.example:8443\r\n"), "{head}");
    assert!(head.contains("x-team: blue\r\n") && head.to_lowercase().contains("sec-websocket-protocol: v2.events\r\n"), "{head}");
    assert_eq!(written.borrow().len(), 1, "one connection for both");
}

#[test]
fn binary_messages_and_templates() {
    let (_, heard) = serve(|_, _| true);
    let mut connector = socket(r#"{"host":"h","frame":"binary"}"#);
    assert_eq!(connector.deliver_texts(&[("{\"a\":1}\n", EventText::new("{}"))]), accepted(1));
    assert_eq!(heard.lock().expect("lock")[0], Wire::binary(b"{\"a\":1}\n".to_vec()));
    let (_, heard) = serve(|_, _| true);
    let mut connector = socket(r#"{"host":"h","missing":"refuse","body":"{\"k\":\"{{ message_id }}\",\"u\":{{ /user }},\"e\":{{ record }}}"}"#);
    let batch = [("{}", EventText::new(r#"{"id":"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11","user":"a\"b"}"#)), ("{}", EventText::new("{}"))];
    let delivered = connector.deliver_texts(&batch);
    let Ok(Delivery::Each(outcomes)) = delivered else { panic!("{delivered:?}") };
    assert!(matches!(&outcomes[..], [Outcome::Accepted(None), Outcome::Rejected(reason)] if reason.contains("no /user")), "{outcomes:?}");
    assert_eq!(texts(&heard), [r#"{"k":"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11","u":"a\"b","e":{}}"#]);
    let none = connector.deliver_texts(&batch[1..]);
    assert!(matches!(none, Ok(Delivery::Each(outcomes)) if matches!(outcomes[..], [Outcome::Rejected(_)])));
    // Bytes that are no text.
    let mut connector = socket(r#"{"host":"h"}"#);
    let delivered = connector.deliver((b"\xff", &[0, 1]), (&[], &[0, 0, 0, 0, 0, 0]), 1);
    assert!(
        matches!(&delivered, Ok(Delivery::Each(outcomes)) if matches!(&outcomes[..], [Outcome::Rejected(reason)] if reason.contains("no UTF-8"))),
        "{delivered:?}"
    );
}

#[test]
fn answers_find_their_events_by_id() {
    serve(|socket, message| {
        let id = id(message);
        match id.as_str() {
            // In the midst of things something that answers nothing.
            "1" => answer(socket, r#"{"hello":true}"#),
            // The last one answers for all, backwards.
            "4" => {
                for (id, status) in [("4", r#""ok""#), ("3", r#""no such user""#), ("2", r#""busy""#), ("9", r#""ok""#), ("1", r#""ok""#)] {
                    answer(socket, format!(r#"{{"re":"{id}","status":{status},"seq":{id}0}}"#));
                }
            }
            _ => {}
        }
        true
    });
    let mut connector = socket(ACK);
    let rejected = Outcome::Rejected(r#"the receiver answered: {"re":"3","status":"no such user","seq":30}"#.into());
    let yes = |seq: &str| Outcome::Accepted(Some(seq.into()));
    assert_eq!(deliver(&mut connector, &["1", "2", "3", "4"]), Ok(Delivery::Each(vec![yes("10"), Outcome::Retry(None), rejected, yes("40")])));
}

#[test]
fn answers_without_an_id_come_in_order() {
    serve(|socket, message| {
        let text = match id(message).as_str() {
            "2" => r#"{"ok":false}"#.to_owned(),
            "3" => "what?".to_owned(),
            _ => r#"{"ok":true}"#.to_owned(),
        };
        answer(socket, text);
        true
    });
    let mut connector = socket(r#"{"host":"h","ack":{"pointer":"/ok","equals":[true]}}"#);
    let rejected = Outcome::Rejected(r#"the receiver answered: {"ok":false}"#.into());
    let done = Outcome::Accepted(None);
    assert_eq!(deliver(&mut connector, &["1", "2", "3", "4"]), Ok(Delivery::Each(vec![done.clone(), rejected, Outcome::Retry(None), done])));
    // More than one window.
    let many: Vec<String> = (10..400).map(|i| i.to_string()).collect();
    let ids: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(deliver(&mut connector, &ids), accepted(390));
}

const IN_ORDER: &str = r#"{"host":"h","timeout":5,"ack":{"pointer":"/ok","equals":[true]}}"#;

/// Says no to the event "bad" and yes to all others.
fn judge(socket: &mut Server<TcpStream>, message: &Wire) {
    answer(socket, format!(r#"{{"ok":{}}}"#, id(message) != "bad"));
}

fn only_bad_is_refused(connector: &mut NativeConnector<Socket>) {
    let delivered = deliver(connector, &["bad", "1"]);
    let Ok(Delivery::Each(outcomes)) = delivered else { panic!("{delivered:?}") };
    assert!(matches!(outcomes[..], [Outcome::Rejected(_), Outcome::Accepted(None)]), "{outcomes:?}");
}

#[test]
fn a_greeting_is_no_answer() {
    let hello = |socket: &mut Server<TcpStream>| answer(socket, r#"{"ok":true}"#);
    greet(hello, |socket, message| {
        judge(socket, message);
        true
    });
    only_bad_is_refused(&mut socket(IN_ORDER));
}

#[test]
fn what_is_said_between_batches_is_no_answer() {
    let (written, _) = serve(|socket, message| {
        judge(socket, message);
        // One answer too many, after the connector may have looked.
        if id(message) == "twice" {
            thread::sleep(Duration::from_millis(20));
            answer(socket, r#"{"ok":true}"#);
        }
        true
    });
    let mut connector = socket(IN_ORDER);
    assert_eq!(deliver(&mut connector, &["0"]), accepted(1));
    assert_eq!(deliver(&mut connector, &["twice"]), accepted(1));
    assert_eq!(written.borrow().len(), 1, "a receiver that keeps to the order keeps its connection");
    thread::sleep(Duration::from_millis(60));
    only_bad_is_refused(&mut connector);
    assert_eq!(written.borrow().len(), 2);
}

#[test]
fn what_was_acknowledged_before_a_break_stays_so() {
    let (written, _) = serve(|socket, message| {
        let id = id(message);
        answer(socket, format!(r#"{{"re":"{id}","status":"ok"}}"#));
        id != "2"
    });
    let mut connector = socket(ACK);
    let done = Outcome::Accepted(None);
    assert_eq!(
        deliver(&mut connector, &["1", "2", "3", "4"]),
        Ok(Delivery::Each(vec![done.clone(), done.clone(), Outcome::Retry(None), Outcome::Retry(None)]))
    );
    assert_eq!(deliver(&mut connector, &["3", "4"]), Ok(Delivery::Each(vec![done.clone(), done])));
    assert_eq!(written.borrow().len(), 2, "the rest went over a fresh one");
}

#[test]
fn codes_of_closing() {
    for (code, events, config, want) in [
        (1000, 2, "", "Err(Unavailable"),
        (1001, 2, "", "Err(Unavailable"),
        (1011, 2, "", "Err(Unavailable { reason: \"the receiver closed the WebSocket with 1011\""),
        (1013, 2, "", "Err(Unavailable"),
        (4000, 2, "", "Err(Unavailable"),
        (1008, 2, "", "Err(Configuration"),
        (1003, 1, "", "Err(Configuration"),
        (3000, 2, "", "Err(Unauthorized"),
        (1009, 2, "", "Err(TooLarge"),
        (1009, 1, "", "Ok(Each([Rejected(\"the receiver closed the WebSocket: 1009 because\")"),
        (1007, 1, "", "Ok(Each([Rejected"),
        (4001, 2, r#","close":{"unauthorized":[4001]}"#, "Err(Unauthorized"),
        (3000, 2, r#","close":{"unauthorized":[4001]}"#, "Err(Unavailable"),
        (4400, 1, r#","close":{"refused":[4400]}"#, "Ok(Each([Rejected"),
        (1013, 1, r#","close":{"configuration":[1013]}"#, "Err(Configuration"),
    ] {
        for ack in ["", r#","ack":{}"#] {
            serve(move |socket, _| {
                let _ = socket.close(Some(CloseFrame { code: code.into(), reason: "because".into() }));
                // Reads until the other side is gone, so that no reset overtakes the words.
                while socket.read().is_ok() {}
                false
            });
            let mut connector = socket(&format!(r#"{{"host":"h"{config}{ack}}}"#));
            let ids = ["1", "2"];
            let heard = format!("{:?}", deliver(&mut connector, &ids[..events]));
            assert!(heard.starts_with(want), "{code} {config}{ack}: {heard}, wanted {want}");
            assert!(!heard.starts_with("Err") || !heard.contains("because"), "the receiver's words are in a failure: {heard}");
        }
    }
}

#[test]
fn nobody_there_and_nobody_who_knows_the_protocol() {
    for (says, want) in [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", "Err(Unauthorized"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "Err(Unauthorized"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "Err(Configuration"),
        ("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n", "Err(Unavailable"),
        ("SSH-2.0-OpenSSH_9\r\n", "Err(Unavailable"),
        ("", "Err(Unavailable"),
    ] {
        native::on_tcp(move |_, _| Ok(Peer::new(says.as_bytes(), false)));
        let mut connector = socket(r#"{"host":"h"}"#);
        for heard in [format!("{:?}", deliver(&mut connector, &["1"])), format!("{:?}", connector.connector.check())] {
            assert!(heard.starts_with(want), "{says}: {heard}");
        }
    }
    native::on_tcp(|_, _| Err(tcp::Error::Connect("refused".into())));
    assert!(matches!(deliver(&mut socket(r#"{"host":"h"}"#), &["1"]), Err(Failure::Unavailable { .. })));
    native::on_tcp(|_, _| Ok(Peer::silent(false)));
    assert!(matches!(deliver(&mut socket(r#"{"host":"h"}"#), &["1"]), Err(Failure::Unavailable { .. })));
}

#[test]
fn the_token_is_written_by_the_host() {
    let (written, _) = serve(|_, _| true);
    native::bind_credential("primary", "siem", None, "sesame-token");
    let mut connector = socket(r#"{"host":"h","credential":"siem","credential_header":"x-api-key","credential_prefix":"Key "}"#);
    assert_eq!(deliver(&mut connector, &["1"]), accepted(1));
    let head = String::from_utf8_lossy(&written.borrow()[0].1).into_owned();
    assert!(head.contains("\r\nx-api-key: Key sesame-token\r\n\r\n"), "{head}");
    let mut connector = socket(r#"{"host":"h","credential":"other"}"#);
    assert!(matches!(deliver(&mut connector, &["1"]), Err(Failure::Configuration(_))));
}

#[test]
fn the_connection_is_kept_alive_and_a_lost_one_let_go_of() {
    let (written, _) = serve(|_, message| id(message) != "last");
    let mut connector = socket(r#"{"host":"h","protocols":["v1"],"keepalive":7}"#);
    assert_eq!(connector.connector.maintain(), Ok(None), "nothing to keep yet");
    assert_eq!(connector.connector.check(), Ok("the receiver opens a WebSocket with the subprotocol v1 and answers pings".into()));
    assert_eq!(connector.connector.maintain(), Ok(Some(Duration::from_secs(7))));
    assert_eq!(deliver(&mut connector, &["1"]), accepted(1));
    assert_eq!(written.borrow().len(), 1);
    // The receiver hangs up behind this one, before it answers the ping.
    assert!(matches!(deliver(&mut connector, &["last"]), Err(Failure::Unavailable { .. })));
    assert_eq!(deliver(&mut connector, &["2"]), accepted(1));
    assert_eq!(written.borrow().len(), 2);
    // What dies in between is seen by the ping.
    let (_, _) = serve(|socket, _| {
        answer(socket, r#"{"re":"1"}"#);
        let _ = socket.close(None);
        true
    });
    let mut connector = socket(r#"{"host":"h","ack":{"id":"/re"}}"#);
    assert_eq!(deliver(&mut connector, &["1"]), accepted(1));
    assert_eq!(connector.connector.maintain(), Ok(None));
    assert!(native::log_lines().iter().any(|(_, line)| line.starts_with("the WebSocket was lost between deliveries")));
    connector.connector.close();
}

#[test]
fn a_peer_that_talks_about_nothing_is_let_go_of() {
    serve(|socket, _| {
        for _ in 0..=MOST_STRAY {
            answer(socket, r#"{"re":"nobody"}"#);
        }
        true
    });
    let heard = deliver(&mut socket(ACK), &["1"]);
    assert!(matches!(&heard, Err(Failure::Unavailable { reason, .. }) if reason.contains("answered nothing")), "{heard:?}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let cef = RecordFormat::new("cef", "text/plain");
    for (config, words) in [
        ("{}", "`host` is missing"),
        (r#"{"host":"a b"}"#, "`host` is \"a b\""),
        (r#"{"host":"h/x"}"#, "`host` is \"h/x\""),
        (r#"{"host":"h","path":"x"}"#, "`path` is \"x\""),
        (r#"{"host":"h","path":"/a b"}"#, "`path` is \"/a b\""),
        (r#"{"host":"h","headers":{"X":"1"}}"#, "a header name is lower case"),
        (r#"{"host":"h","headers":{"sec-websocket-key":"1"}}"#, "which the handshake sets"),
        (r#"{"host":"h","headers":{"authorization":"x"},"credential":"c"}"#, "which the handshake sets"),
        (r#"{"host":"h","protocols":["a b"]}"#, "`protocols` names \"a b\""),
        (r#"{"host":"h","credential":"c","credential_header":"A"}"#, "`credential_header` names \"A\""),
        (r#"{"host":"h","credential":"c","credential_prefix":"é"}"#, "`credential_prefix.value` contains"),
        (r#"{"host":"h","body":"{{ record }}"}"#, "makes no JSON"),
        (r#"{"host":"h","body":"{\"a\":}"}"#, "`body` is not well-formed JSON"),
        (r#"{"host":"h","ack":{"id":"re"}}"#, "`ack.id` is \"re\""),
        (r#"{"host":"h","ack":{"equals":[1]}}"#, "`ack.equals` needs `ack.pointer`"),
        (r#"{"host":"h","ack":{"again":[1]}}"#, "`ack.again` needs `ack.pointer`"),
        (r#"{"host":"h","ack":{"key":"id"},"timeout":0}"#, "`timeout` is 0, the least is 1"),
        (r#"{"host":"h","ack":{"key":"{{ id }}"}}"#, "`ack.key`: `{{ id }}` is none of"),
    ] {
        let error = native::connector::<Socket>(config, &cef).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}
