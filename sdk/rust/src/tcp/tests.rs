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
