use std::io::{Read as _, Write as _};

use super::*;
use crate::native;
use crate::{Failure, credentials, udp};

#[test]
fn a_connection_reads_and_writes_like_any_stream() {
    let log = native::on_tcp(|destination, member| match (destination, member) {
        ("primary", "") => Ok(native::Peer::new(b"hello\nworld\n", true)),
        ("primary", "broker-1:9") => Ok(native::Peer::new(b"", false)),
        _ => Err(Error::Denied("no such destination (rule 1)".to_owned())),
    });
    let mut connection = Connection::open("primary", Duration::from_secs(1)).expect("connects");
    assert!(connection.is_secure());
    connection.write_all(b"GET\n").expect("writes");
    connection.send(b"MORE\n").expect("writes");
    let mut text = String::new();
    connection.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "hello\nworld\n");
    assert_eq!(connection.receive(10), Err(Error::Closed));
    connection.finish().expect("finishes");
    assert!(matches!(connection.send(b"x"), Err(Error::Broken(_))));
    assert_eq!(log.borrow().as_slice(), [("primary".to_owned(), b"GET\nMORE\n".to_vec())]);
    assert!(!Connection::open_member("primary", "broker-1:9", Duration::from_secs(1)).expect("connects").is_secure());
    let error = Connection::open("other", Duration::from_secs(1)).expect_err("denied");
    assert_eq!(Failure::from(error), Failure::Configuration("the connection was denied: no such destination (rule 1)".to_owned()));
}

#[test]
fn errors_come_back_from_behind_a_library() {
    for error in [Error::Timeout, Error::Closed, Error::Limit("l".to_owned()), Error::Broken("b".to_owned()), Error::Denied("d".to_owned())] {
        assert_eq!(Error::behind(&io::Error::from(error.clone())), error);
    }
    assert_eq!(Error::behind(&io::Error::from(io::ErrorKind::UnexpectedEof)), Error::Closed);
}

#[test]
fn secrets_go_into_the_stream_without_the_guest() {
    let log = native::on_tcp(|destination, _| Ok(native::Peer::new(b"", destination == "secure")));
    native::bind_credential("secure", "bus", Some("ada"), "pass-word-1");
    let mut connection = Connection::open("secure", Duration::from_secs(1)).expect("connects");
    connection.send(b"AUTH PLAIN ").expect("writes");
    credentials::write_secret(&connection, "bus", credentials::Encoding::SaslPlainBase64).expect("writes");
    credentials::write_secret(&connection, "bus", credentials::Encoding::Plain).expect("writes");
    // printf '\0ada\0pass-word-1' | base64
    assert_eq!(log.borrow()[0].1, b"AUTH PLAIN AGFkYQBwYXNzLXdvcmQtMQ==pass-word-1");
    assert_eq!(credentials::secret_length(&connection, "bus", credentials::Encoding::Base64), Ok(16));
    let denied = |result| matches!(result, Err(credentials::Error::Denied(_)));
    assert!(denied(credentials::write_secret(&connection, "other", credentials::Encoding::Plain)));
    native::bind_credential("plain", "bus", None, "pass-word-1");
    let plain = Connection::open("plain", Duration::from_secs(1)).expect("connects");
    assert!(denied(credentials::write_secret(&plain, "bus", credentials::Encoding::Plain)), "not without TLS");
    native::on_digest(|name, _, digest| match digest {
        native::Digest::Hash { before, after } => [name.as_bytes(), before, after].concat(),
        native::Digest::Hmac { message } => [name.as_bytes(), message].concat(),
    });
    assert_eq!(credentials::hash_with(&plain, "bus", credentials::Algorithm::Sha256, b"<", b">"), Ok(b"bus<>".to_vec()));
    assert_eq!(credentials::hmac(&plain, "bus", credentials::Algorithm::Sha512, b"m"), Ok(b"busm".to_vec()));
}

#[test]
fn datagrams_are_handed_over() {
    let sent = native::on_udp(|destination, _| if destination == "primary" { Ok(()) } else { Err(udp::Error::Denied("rule 1".to_owned())) });
    udp::send("primary", b"one").expect("sent");
    assert_eq!(udp::send("other", b"two"), Err(udp::Error::Denied("rule 1".to_owned())));
    assert_eq!(sent.borrow().as_slice(), [("primary".to_owned(), b"one".to_vec()), ("other".to_owned(), b"two".to_vec())]);
}

/// Answers reads from a list: bytes, nothing yet, or an end.
struct Turns(std::collections::VecDeque<io::Result<&'static [u8]>>);

impl io::Read for Turns {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let said = self.0.pop_front().unwrap_or(Ok(b""))?;
        buffer[..said.len()].copy_from_slice(said);
        Ok(said.len())
    }
}

impl io::Write for Turns {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn quiet() -> io::Result<&'static [u8]> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Two calls with a session; answers what each connection heard and how the calls went.
fn two_calls(mut session: Session, secure: bool, turns: Vec<io::Result<&'static [u8]>>) -> (Vec<Vec<u8>>, [Result<(), Failure>; 2]) {
    let mut turns = Some(turns);
    let log = native::on_tcp(move |_, _| {
        Ok(match turns.take() {
            Some(turns) => native::Peer::stream(Turns(turns.into()), secure),
            None => native::Peer::silent(secure),
        })
    });
    let mut call = |text: &[u8]| session.with(|connection| Ok(connection.send(b"hi ")?), |connection| Ok(connection.send(text)?));
    let calls = [call(b"one"), call(b"two")];
    let heard = log.borrow().iter().map(|(_, bytes)| bytes.clone()).collect();
    (heard, calls)
}

#[test]
fn a_session_keeps_its_connection_until_the_peer_leaves() {
    let timeout = Duration::from_secs(1);
    let kept = |bytes: &[u8]| (vec![bytes.to_vec()], [Ok(()), Ok(())]);
    let again = || (vec![b"hi one".to_vec(), b"hi two".to_vec()], [Ok(()), Ok(())]);
    // Looked at after the first call, before the second and after it.
    assert_eq!(two_calls(Session::one_way("p", timeout), false, vec![quiet(), quiet(), quiet()]), kept(b"hi onetwo"));
    assert_eq!(two_calls(Session::one_way("p", timeout), true, vec![quiet(), quiet(), quiet(), quiet()]), kept(b"hi onetwo"));
    // A peer that talks, though nobody asked.
    assert_eq!(two_calls(Session::one_way("p", timeout), false, vec![quiet(), Ok(b"welcome"), quiet(), quiet()]), kept(b"hi onetwo"));
    assert_eq!(two_calls(Session::new("p", timeout), false, vec![Ok(b"late answer")]), again());
    assert_eq!(two_calls(Session::new("p", timeout), false, vec![quiet()]), kept(b"hi onetwo"));
    // One that has closed.
    assert_eq!(two_calls(Session::one_way("p", timeout), false, vec![quiet(), Ok(b"")]), again());
    assert_eq!(two_calls(Session::new("p", timeout), false, vec![Ok(b"")]), again());
    // One that talks without end.
    let endless: Vec<_> = std::iter::once(quiet()).chain((0..100).map(|_| Ok(&b"blah"[..]))).collect();
    assert_eq!(two_calls(Session::one_way("p", timeout), false, endless), again());
}

#[test]
fn a_session_fails_where_the_peer_breaks_off() {
    let timeout = Duration::from_secs(1);
    let reset = || Err(io::Error::other("reset"));
    let (heard, calls) = two_calls(Session::one_way("p", timeout), false, vec![reset()]);
    assert_eq!(heard, [b"hi one".to_vec(), b"hi two".to_vec()]);
    assert_eq!(calls, [Err(Failure::Unavailable { reason: "the stream broke off: reset".to_owned(), after: None }), Ok(())]);
    // A peer that stood and leaves behind the write may not have read it.
    let (heard, calls) = two_calls(Session::one_way("p", timeout), false, vec![quiet(), quiet(), Ok(b"")]);
    assert_eq!(heard, [b"hi onetwo".to_vec()]);
    assert_eq!(calls, [Ok(()), Err(Failure::Unavailable { reason: "the receiver closed the stream".to_owned(), after: None })]);
    // One that closes its side of a fresh connection at once reads all the same.
    let (heard, calls) = two_calls(Session::one_way("p", timeout), false, vec![Ok(b"")]);
    assert_eq!((heard, calls), (vec![b"hi one".to_vec(), b"hi two".to_vec()], [Ok(()), Ok(())]));
    // Under TLS 1.3 a refused certificate shows after the handshake, before the work begins.
    let alert = Err(io::Error::other("TLS: received fatal alert: CertificateRequired"));
    let (heard, calls) = two_calls(Session::one_way("p", timeout), true, vec![alert]);
    assert_eq!(heard, [b"hi ".to_vec(), b"hi two".to_vec()]);
    assert!(matches!(&calls[0], Err(Failure::Unauthorized(text)) if text.contains("`tls.client_cert`")), "{calls:?}");
    // A failure of the work lets go of the connection.
    let log = native::on_tcp(|_, _| Ok(native::Peer::silent(false)));
    let mut session = Session::new("p", timeout);
    assert_eq!(session.with(|_| Ok(()), |_| Err::<(), _>(Failure::Unsupported)), Err(Failure::Unsupported));
    session.with(|_| Ok(()), |connection| Ok(connection.send(b"x")?)).expect("a fresh one");
    assert_eq!(log.borrow().len(), 2);
    assert_eq!(session.try_out(|_| Ok(())), Ok(false));
}
