//! Handles of connections in a guest that no compiler would make: used after they are gone, dropped
//! twice, made up. The call ends, and what the guest held is closed.

use super::guests::HTTP;
use super::*;

const TCP: &str = r#"
    (import "bulkhead:connector/tcp@0.1.0" "connect" (func $connect (param i32 i32 i32 i32 i32 i32)))
    (import "bulkhead:connector/tcp@0.1.0" "[method]connection.secure" (func $secure (param i32) (result i32)))
    (import "bulkhead:connector/tcp@0.1.0" "[resource-drop]connection" (func $drop (param i32)))
    (import "bulkhead:connector/credentials@0.1.0" "secret-length" (func $length (param i32 i32 i32 i32 i32)))
    (global $kept (mut i32) (i32.const 0))
"#;

/// Connects to `primary`; the handle is at 5004.
const CONNECT: &str = "(call $connect (i32.const 1100) (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 10000) (i32.const 5000)) \
                       (if (i32.load8_u (i32.const 5000)) (then unreachable))";

async fn peer() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { stream.read(&mut [0; 16]).await });
        }
    });
    port
}

fn grants(port: u16) -> ConnectorGrants {
    let credential = Credential::bearer("token", secrecy::SecretString::from("hunter2-secret".to_owned())).expect("valid");
    let settings = DestinationSettings { url: format!("tcp://127.0.0.1:{port}"), credential: Some(Arc::new(credential)), ..DestinationSettings::default() };
    // One connection at a time: a handle that leaked would be in the way of the next case.
    ConnectorGrants {
        destinations: vec![Destination::new("primary", settings).expect("valid")],
        limits: limits(&[("tcp_connections", "1")]),
        ..ConnectorGrants::default()
    }
}

#[tokio::test]
async fn handles_that_are_gone_or_were_never_there_end_the_call() {
    let host = host();
    let port = peer().await;
    let drop = "(call $drop (i32.load (i32.const 5004)))";
    for (after, want) in [
        (format!("{drop} (drop (call $secure (i32.load (i32.const 5004))))"), "unknown handle index"),
        (format!("{drop} {drop}"), "unknown handle index"),
        (format!("{drop} (call $length (i32.load (i32.const 5004)) (i32.const 1100) (i32.const 7) (i32.const 0) (i32.const 6000))"), "unknown handle index"),
        ("(drop (call $secure (i32.const 77)))".to_owned(), "unknown handle index"),
        ("(drop (call $secure (i32.const -1)))".to_owned(), "handle index"),
        ("(call $drop (i32.const 0))".to_owned(), "unknown handle index"),
    ] {
        let deliver = format!("{CONNECT} {after} unreachable");
        // The text outlives the guest that is built from it.
        let guest = Connector { imports: TCP, deliver: Box::leak(deliver.into_boxed_str()), ..Connector::default() };
        let error = within(Duration::ZERO, SECONDS, host.deliver(guest, grants(port), b"x")).await.expect_err(want);
        assert!(matches!(&error, DeliverError::Fault(fault) if fault.to_string().contains(want)), "{error}; want {want}");
    }
    host.serves().await;
}

#[tokio::test]
async fn a_connection_that_a_guest_keeps_is_there_in_the_next_call_and_gone_with_it() {
    let host = host();
    let port = peer().await;
    // The first call connects and keeps the handle, later ones use it.
    let deliver = format!(
        "(if (i32.eqz (global.get $kept)) (then {CONNECT} (global.set $kept (i32.load (i32.const 5004))))) \
         (if (call $secure (global.get $kept)) (then unreachable)) {}",
        guests::ACCEPT
    );
    let guest = || Connector { imports: TCP, deliver: Box::leak(deliver.clone().into_boxed_str()), ..Connector::default() };
    for _ in 0..3 {
        let source = host.connector(guest(), grants(port)).expect("sets up");
        let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
        for _ in 0..3 {
            let delivery = connector.deliver(&records(b"x"), &batch(b""), 1).await.expect("delivers");
            assert_eq!(delivery, Delivery::All(Outcome::Accepted { receipt: None }));
        }
        // Another copy of the same instance finds the one permit taken, until this one goes.
        let mut other = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(other.deliver(&records(b"x"), &batch(b""), 1).await.is_err(), "the guest traps where it cannot connect");
        drop((connector, other));
        let mut next = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
        next.deliver(&records(b"x"), &batch(b""), 1).await.expect("delivers");
    }
    let text = String::from_utf8(host.metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_egress_open_connections{instance=\"siem\"} 0"), "{text}");
}

/// A guest that imports HTTP does not get it from a stream's destination.
#[tokio::test]
async fn a_destination_for_streams_grants_no_http() {
    let host = host();
    let error = host.connector(Connector { imports: HTTP, deliver: SEND, ..Connector::default() }, grants(1)).map(|_| ()).expect_err("no HTTP");
    assert!(error.to_string().contains("does not grant: http (name a destination with an http:// or https:// URL"), "{error}");
}
