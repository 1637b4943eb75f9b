use std::net::{TcpListener, TcpStream};
use std::thread;

use tungstenite::handshake::server::{Request, Response};

use super::*;
use crate::native::{self, Peer};

const LONG: Duration = Duration::from_secs(20);

/// A server on a real socket; this thread's connections lead to it.
fn serve(each: impl Fn(tungstenite::WebSocket<TcpStream>) + Send + 'static) -> native::Heard {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(LONG)).expect("set");
            // The library's callback gives the whole answer as its error.
            #[expect(clippy::result_large_err, reason = "the library's signature")]
            let check = |request: &Request, mut response: Response| {
                let chosen = request.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok()?.split(", ").last());
                if let Some(chosen) = chosen {
                    response.headers_mut().insert("sec-websocket-protocol", chosen.parse().expect("a value"));
                }
                match request.headers().get("authorization").map(tungstenite::http::HeaderValue::as_bytes) {
                    None | Some(b"Bearer sesame-token") => Ok(response),
                    Some(_) => Err(tungstenite::http::Response::builder().status(401).body(None).expect("a response")),
                }
            };
            if let Ok(socket) = tungstenite::accept_hdr(stream, check) {
                each(socket);
            }
        }
    });
    native::on_tcp(move |_, _| {
        let stream = TcpStream::connect(address).map_err(|error| tcp::Error::Connect(error.to_string()))?;
        Ok(Peer::socket(stream, true).expect("a second handle"))
    })
}

fn echo(mut socket: tungstenite::WebSocket<TcpStream>) {
    while let Ok(message) = socket.read() {
        if message.is_text() || message.is_binary() {
            let _ = socket.send(message);
        }
    }
}

#[test]
fn messages_go_both_ways() {
    serve(echo);
    let mut socket = WebSocket::open("primary", &Handshake::new("siem.example", "/in?x=1").protocol("v1").protocol("v2"), LONG).expect("opens");
    assert_eq!(socket.protocol(), Some("v2"));
    socket.send_text("gr\u{fc}n").expect("sends");
    assert_eq!(socket.receive(), Ok(Message::Text("gr\u{fc}n".to_owned())));
    let large: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    socket.send_binary(&large).expect("sends");
    assert_eq!(socket.receive(), Ok(Message::Binary(large)));
    socket.ping(b"there?").expect("sends");
    assert_eq!(socket.receive(), Ok(Message::Pong(b"there?".to_vec())));
    socket.close().expect("closes");
}

#[test]
fn pings_of_the_peer_are_answered_and_its_reason_for_closing_is_heard() {
    serve(|mut socket| {
        socket.send(Frame::Ping(b"you?".to_vec().into())).expect("sends");
        let pong = socket.read().expect("reads");
        socket.send(Frame::text(format!("{:?}", pong.is_pong()))).expect("sends");
        let reason = tungstenite::protocol::CloseFrame { code: 1013.into(), reason: "try again later".into() };
        socket.close(Some(reason)).expect("closes");
        while socket.read().is_ok() {}
    });
    let mut socket = WebSocket::open("primary", &Handshake::new("siem.example", "/"), LONG).expect("opens");
    // Reading the ping answers it.
    let first = socket.receive();
    assert_eq!(first, Ok(Message::Text("true".to_owned())));
    assert_eq!(socket.receive(), Err(Error::Closed { code: 1013, reason: "try again later".to_owned() }));
}

#[test]
fn the_host_writes_the_credential_into_the_handshake() {
    let heard = serve(echo);
    native::bind_credential("primary", "token", None, "sesame-token");
    let handshake = Handshake::new("siem.example", "/").header("x-client", "test").credential("authorization", "Bearer ", "token");
    let mut socket = WebSocket::open("primary", &handshake, LONG).expect("opens");
    socket.send_text("in").expect("sends");
    assert_eq!(socket.receive(), Ok(Message::Text("in".to_owned())));
    let head = String::from_utf8_lossy(&heard.borrow()[0].1).into_owned();
    // The server has one thread.
    drop(socket);
    assert!(head.contains("\r\nauthorization: Bearer sesame-token\r\n\r\n") && head.contains("x-client: test\r\n"), "{head}");
    native::bind_credential("primary", "token", None, "another-token");
    let refused = WebSocket::open("primary", &handshake, LONG).expect_err("refused");
    assert_eq!(refused, Error::Refused(401));
    assert!(matches!(Failure::from(refused), Failure::Unauthorized(_)));
    let wrong = Handshake::new("siem.example", "/").credential("authorization", "Bearer ", "other");
    assert!(matches!(WebSocket::open("primary", &wrong, LONG), Err(Error::Credential(credentials::Error::Denied(_)))));
}

#[test]
fn a_session_goes_on_after_its_peer_hung_up() {
    // Answers one message, then hangs up.
    serve(|mut socket| {
        let message = socket.read().expect("reads");
        let _ = socket.send(message);
    });
    let mut session = Session::new("primary", Handshake::new("siem.example", "/"), LONG);
    assert!(!session.is_open());
    session.heartbeat(|_| {}).expect("nobody to ask");
    let ask = |session: &mut Session, text: &str| {
        session.with(|socket| {
            socket.send_text(text)?;
            socket.receive()
        })
    };
    assert_eq!(ask(&mut session, "one"), Ok(Message::Text("one".to_owned())));
    assert!(session.is_open());
    assert!(matches!(ask(&mut session, "two"), Err(Error::Stream(_) | Error::Protocol(_))), "it hung up");
    assert!(!session.is_open());
    assert_eq!(ask(&mut session, "two"), Ok(Message::Text("two".to_owned())), "on a fresh one");
    session.close(LONG);
    assert!(!session.is_open());
}

#[test]
fn no_websocket_is_no_websocket() {
    native::on_tcp(|_, _| Ok(Peer::new(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false)));
    assert_eq!(WebSocket::open("primary", &Handshake::new("siem.example", "/"), LONG).expect_err("refused"), Error::Refused(404));
    native::on_tcp(|_, _| Ok(Peer::new(b"SSH-2.0-OpenSSH_9\r\n", false)));
    assert!(matches!(WebSocket::open("primary", &Handshake::new("siem.example", "/"), LONG), Err(Error::Protocol(_) | Error::Stream(_))));
    assert!(matches!(WebSocket::open("primary", &Handshake::new("siem example", "/"), LONG), Err(Error::Protocol(_))));
}

#[test]
fn a_ping_behind_a_batch_confirms_all_of_it() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&heard);
    serve(move |mut socket| {
        while let Ok(message) = socket.read() {
            if let Frame::Text(text) = &message {
                kept.lock().expect("lock").push(text.as_str().to_owned());
                let _ = socket.send(message);
            }
        }
    });
    let mut socket = WebSocket::open("primary", &Handshake::new("siem.example", "/"), LONG).expect("opens");
    let mut echoes = 0;
    for i in 0..100 {
        socket.queue_text(&format!("{i} {}", "x".repeat(2_000))).expect("queues");
        if i % 10 == 9 {
            socket.drain(|_| echoes += 1).expect("drains");
        }
    }
    socket.queue_binary(b"not kept").expect("queues");
    socket.confirm(b"all?", |_| echoes += 1).expect("confirms");
    // Nothing waits: what the peer has read is there now.
    assert_eq!(heard.lock().expect("lock").len(), 100);
    assert_eq!(echoes, 100);
}

#[test]
fn a_drain_ends_though_the_peer_goes_on() {
    serve(|mut socket| {
        let _ = socket.read();
        while socket.send(Frame::text("on and on")).is_ok() {}
    });
    let mut socket = WebSocket::open("primary", &Handshake::new("siem.example", "/"), LONG).expect("opens");
    assert_eq!(socket.look(), Ok(None), "it has said nothing yet");
    socket.send_text("go").expect("sends");
    assert!(matches!(socket.receive(), Ok(Message::Text(_))));
    let mut heard = 0;
    socket.drain(|_| heard += 1).expect("drains");
    assert!((1..=MOST_DRAINED).contains(&heard), "{heard}");
}

#[test]
fn a_peer_that_closes_while_it_is_written_to_is_heard() {
    /// Breaks off when more than so many bytes are written; what the peer said before can be read.
    struct Breaks(TcpStream, usize);
    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Write for Breaks {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = self.1.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().expect("accepts").0).expect("shakes hands");
        socket.send(Frame::text("before")).expect("sends");
        let _ = socket.close(Some(tungstenite::protocol::CloseFrame { code: 1009.into(), reason: "too big".into() }));
        while socket.read().is_ok() {}
    });
    native::on_tcp(move |_, _| {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(LONG)).expect("set");
        Ok(Peer::stream(Breaks(stream, 1_000), true))
    });
    let mut session = Session::new("primary", Handshake::new("siem.example", "/"), LONG);
    let closed = session.with(|socket| (0..100).try_for_each(|_| socket.send_text(&"more".repeat(10))));
    assert_eq!(closed, Err(Error::Closed { code: 1009, reason: "too big".to_owned() }));
    assert!(!session.is_open());
}
