//! What servers say that no server should: against the wire itself, without TLS.

use tokio::io::duplex;

use super::*;

/// What becomes of a bind that is answered with these bytes, and then with silence.
async fn answered(bytes: &[u8]) -> Result<Answer, Fault> {
    let (ours, mut theirs) = duplex(8 << 20);
    let mut wire = Wire::new(ours);
    theirs.write_all(bytes).await.expect("room");
    theirs.shutdown().await.expect("ends");
    wire.ask(|id| message::bind(id, "cn=x", "pw")).await
}

const YES: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";

#[tokio::test]
async fn an_answer_comes_in_whatever_pieces() {
    assert!(matches!(answered(YES).await, Ok(Answer::Bind(outcome)) if outcome.code == code::SUCCESS));
    let (ours, mut theirs) = duplex(1);
    let mut wire = Wire::new(ours);
    let peer = tokio::spawn(async move {
        let mut request = vec![0; message::bind(1, "cn=x", "pw").len()];
        theirs.read_exact(&mut request).await.expect("is asked");
        theirs.write_all(YES).await.expect("is read");
        request
    });
    assert!(matches!(wire.ask(|id| message::bind(id, "cn=x", "pw")).await, Ok(Answer::Bind(_))));
    assert_eq!(peer.await.expect("ends"), message::bind(1, "cn=x", "pw"));
}

#[tokio::test]
async fn no_answer_is_larger_or_other_than_asked() {
    let closed = |fault: Result<Answer, Fault>| matches!(fault, Err(Fault::Io(_)));
    let malformed = |fault: Result<Answer, Fault>| matches!(fault, Err(Fault::Malformed(_)));
    assert!(closed(answered(b"").await));
    assert!(closed(answered(&YES[..7]).await), "cut off");
    assert!(closed(answered(b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00").await), "a goodbye");
    assert!(malformed(answered(b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00").await), "of another request");
    assert!(malformed(answered(b"HTTP/1.1 400 Bad Request\r\n\r\n").await));
    assert!(malformed(answered(b"\x30\x80\x02\x01\x01").await), "a length that is not said");
    assert!(matches!(answered(b"\x30\x84\x7f\xff\xff\xff").await, Err(Fault::TooLarge)), "before any of it is waited for");
    // Nesting takes no stack: it is not gone into.
    let mut deep = vec![0x30; 200_000];
    deep.extend([0x30, 0]);
    let mut nested = Vec::new();
    ber::put(&mut nested, ber::SEQUENCE, &deep);
    assert!(malformed(answered(&nested).await));
}

#[tokio::test]
async fn a_server_that_never_ends_is_left() {
    let (ours, mut theirs) = duplex(64 << 10);
    let mut wire = Wire::new(ours);
    let mut entry = Vec::new();
    ber::put(&mut entry, ber::OCTETS, &vec![b'x'; 500_000]);
    ber::put(&mut entry, ber::SEQUENCE, &[]);
    let mut content = b"\x02\x01\x01".to_vec();
    ber::put(&mut content, 0x64, &entry);
    let mut message = Vec::new();
    ber::put(&mut message, ber::SEQUENCE, &content);
    tokio::spawn(async move { while theirs.write_all(&message).await.is_ok() {} });
    let mut seen = 0;
    let ended = loop {
        match wire.answer(1).await {
            Ok(Answer::Entry(_)) => seen += 1,
            Ok(_) => panic!("nothing else is sent"),
            Err(fault) => break fault,
        }
    };
    assert!(matches!(ended, Fault::TooLarge) && (5..=10).contains(&seen), "{seen}");
}
