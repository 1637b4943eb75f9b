use std::collections::BTreeMap;
use std::sync::Arc;

use bulkhead_observe::Metrics;

use super::*;
use crate::egress::tls::tests::{Here, way_out};
use crate::egress::{DestinationSettings, MAX_DATAGRAM};
use crate::limits::Limits;

fn egress(destinations: &[(&str, String, &[&str])]) -> (Egress, Metrics) {
    let destinations: BTreeMap<String, Destination> = destinations
        .iter()
        .map(|(name, url, addresses)| {
            let settings =
                DestinationSettings { url: url.clone(), addresses: addresses.iter().map(ToString::to_string).collect(), ..DestinationSettings::default() };
            ((*name).to_owned(), Destination::new(name, settings).unwrap_or_else(|error| panic!("{error}")))
        })
        .collect();
    let metrics = Metrics::new();
    let egress = way_out(destinations, Arc::new(Here), Redactor::default(), Limits::default(), &metrics);
    (egress, metrics)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test]
async fn datagrams_arrive_whole() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let port = receiver.local_addr().expect("bound").port();
    let (egress, metrics) = egress(&[("primary", format!("udp://127.0.0.1:{port}"), &[]), ("named", format!("udp://siem.example:{port}"), &["127.0.0.1"])]);
    let bill = Bill::default();
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    for (destination, bytes) in [("primary", &b"one"[..]), ("primary", b""), ("named", b"two"), ("primary", &[7; MAX_DATAGRAM])] {
        egress.datagram(&bill, destination, bytes, soon()).await.expect("sent");
        let (length, _) = tokio::time::timeout(Duration::from_secs(20), receiver.recv_from(&mut buffer)).await.expect("comes").expect("received");
        assert_eq!(&buffer[..length], bytes);
    }
    let made = bill.take_exchanges().listed;
    assert_eq!((made[0].protocol, made[0].sent, made[0].address.map(|address| address.port())), ("udp", 3, Some(port)));
    let text = String::from_utf8(metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_egress_datagrams_total{destination=\"primary\",instance=\"siem\",result=\"sent\"} 3"), "{text}");
}

#[tokio::test]
async fn what_is_not_granted_is_refused_by_number() {
    let (egress, metrics) = egress(&[
        ("primary", "udp://127.0.0.1:9".into(), &[]),
        ("public", "udp://siem.example:9".into(), &[]),
        ("web", "https://h.example".into(), &[]),
        ("stream", "tcp://127.0.0.1:9".into(), &[]),
    ]);
    let bill = Bill::default();
    for (destination, length, rule, want) in [
        ("nowhere", 1, 1, "no destination `nowhere`"),
        ("web", 1, 2, "destination `web` is https://, which `udp` does not speak"),
        ("stream", 1, 2, "destination `stream` is tcp://, which `udp` does not speak"),
        ("primary", MAX_DATAGRAM + 1, 6, "a datagram has at most 65507 bytes: 65508 asked for"),
        ("public", 1, 7, "destination `public` leads to 127.0.0.1, a loopback address; add its network to `addresses` to allow it"),
    ] {
        let DatagramError::Refused(refusal) = egress.datagram(&bill, destination, &vec![0; length], soon()).await.expect_err(want) else { panic!("{want}") };
        assert_eq!((refusal.rule, refusal.text.contains(want)), (rule, true), "{refusal}");
    }
    let text = String::from_utf8(metrics.encode().expect("encodes")).expect("utf-8");
    assert!(text.contains("bulkhead_egress_datagrams_total{destination=\"none\",instance=\"siem\",result=\"denied\"} 1"), "{text}");
    assert!(text.contains("bulkhead_egress_datagrams_total{destination=\"primary\",instance=\"siem\",result=\"limit\"} 1"), "{text}");
}

#[tokio::test]
async fn that_nobody_listens_is_heard_of_later_and_does_not_last() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
    let port = receiver.local_addr().expect("bound").port();
    drop(receiver);
    let (egress, _) = egress(&[("primary", format!("udp://127.0.0.1:{port}"), &[])]);
    let bill = Bill::default();
    // The system tells of the first one when the second is sent.
    let mut broken = None;
    for _ in 0..100 {
        if let Err(error) = egress.datagram(&bill, "primary", b"x", soon()).await {
            broken = Some(error);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(matches!(&broken, Some(DatagramError::Broken(text)) if text.contains("refused")), "{broken:?}");
    let receiver = UdpSocket::bind(("127.0.0.1", port)).await.expect("binds");
    egress.datagram(&bill, "primary", b"back", soon()).await.expect("sent");
    let mut buffer = [0; 10];
    let (length, _) = tokio::time::timeout(Duration::from_secs(20), receiver.recv_from(&mut buffer)).await.expect("comes").expect("received");
    assert_eq!(&buffer[..length], b"back");
}
