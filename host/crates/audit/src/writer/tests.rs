use std::net::SocketAddr;

use bulkhead_core::receipt::{About, CallEnd, Exchange, ExchangeEnd, Identity, MAX_EXCHANGES, Outcomes};
use bulkhead_core::{LaneId, Seq, Tenant};
use tempfile::TempDir;

use super::*;
use crate::line::MAX_LINE;
use crate::read::{Filter, Outcome, list, show};
use crate::verify::verify;

fn settings(dir: &TempDir) -> AuditSettings {
    AuditSettings { dir: dir.path().join("audit"), max_bytes: 16 << 20, sync: Duration::from_millis(50) }
}

fn receipt(instance: &str, end: CallEnd) -> Receipt {
    let identity = Identity {
        tenant: Tenant::default(),
        instance: instance.into(),
        connector: "splunk-hec".into(),
        digest: "ab".repeat(32).into(),
        policy: "cd".repeat(32).into(),
        configuration: "ef".repeat(32).into(),
    };
    Receipt {
        identity: Arc::new(identity),
        call: "deliver",
        begun: 1_762_000_000_123_456_789,
        ended: 1_762_000_001_000_000_000,
        about: Some(About { lane: LaneId::new(instance, "cef"), first: Seq(7), last: Seq(9), replayed: 2 }),
        events: 3,
        attempt: 2,
        exchanges: vec![Exchange {
            protocol: "http",
            destination: "primary".into(),
            method: "POST".into(),
            path: "/services/collector/event".into(),
            address: Some(SocketAddr::from(([127, 0, 0, 1], 8088))),
            certificate: Some([1; 32]),
            sent: 1_000,
            received: 27,
            end: ExchangeEnd::Status(200),
            took: Duration::from_micros(1_500),
            // Never among what is written.
            excerpt: Some("of the body".into()),
        }],
        more_exchanges: 0,
        sent: 1_000,
        received: 27,
        outcomes: Outcomes { accepted: 3, ..Outcomes::default() },
        end,
        fuel: 12,
        guest_cpu: Duration::from_micros(80),
        host_cpu: Duration::from_micros(40),
    }
}

async fn put(receipts: &Receipts, receipt: Receipt) {
    receipts.room().await.put(receipt);
}

#[tokio::test]
async fn receipts_are_written_synced_and_ended() {
    let dir = TempDir::new().expect("a folder");
    let (settings, metrics) = (settings(&dir), Metrics::new());
    let receipts = Receipts::open(&settings, &metrics).expect("opens");
    for _ in 0..10 {
        put(&receipts, receipt("siem", CallEnd::Answered)).await;
    }
    receipts.close();
    assert_eq!((metrics.receipts.get(), metrics.receipts_lost.get()), (10, 0));
    let report = verify(&settings.dir, None).expect("reads");
    assert_eq!(report.fault, None);
    assert_eq!((report.counts.receipts, report.counts.starts, report.counts.records), (10, 1, 13));
    assert_eq!(metrics.receipts_bytes.get(), report.files[0].bytes.cast_signed());
    let last = show(&settings.dir, 13).expect("reads").expect("there");
    assert_eq!(last["kind"], "stop");
}

/// The record as documents show it.
#[tokio::test]
async fn a_receipt_says_who_what_to_whom_and_at_what_cost() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir);
    let receipts = Receipts::open(&settings, &Metrics::new()).expect("opens");
    put(&receipts, receipt("siem", CallEnd::Answered)).await;
    receipts.close();
    let mut record = show(&settings.dir, 3).expect("reads").expect("there");
    assert!(record.shift_remove("prev").is_some() && record.shift_remove("hash").is_some());
    let (digest, policy, configuration) = (format!("sha256:{}", "ab".repeat(32)), "cd".repeat(32), "ef".repeat(32));
    assert_eq!(
        serde_json::Value::Object(record),
        json!({
            "n": 3, "kind": "deliver", "begun": "2025-11-01T12:26:40.123456Z", "ended": "2025-11-01T12:26:41Z", "tenant": "default", "instance": "siem",
            "lane": "siem/cef", "connector": "splunk-hec", "digest": digest, "policy": policy, "configuration": configuration,
            "events": {"count": 3, "first": 7, "last": 9, "replayed": 2}, "attempt": 2,
            "exchanges": [{
                "protocol": "http", "destination": "primary", "method": "POST", "path": "/services/collector/event", "address": "127.0.0.1:8088",
                "certificate": format!("sha256:{}", "01".repeat(32)), "sent": 1000, "received": 27, "status": 200, "took_us": 1500
            }],
            "sent": 1000, "received": 27, "outcomes": {"accepted": 3, "retry": 0, "rejected": 0, "pending": 0}, "end": "answered",
            "fuel": 12, "guest_cpu_us": 80, "host_cpu_us": 40
        })
    );
}

#[tokio::test]
async fn the_largest_receipt_is_far_below_the_longest_line() {
    let mut largest = receipt(&"i".repeat(64), CallEnd::Fault("hostcall_data"));
    let name = "d".repeat(64);
    let mut exchange = largest.exchanges[0].clone();
    // Quotes double when they are escaped; controls do not occur in paths.
    (exchange.destination, exchange.method, exchange.path) = (name, "M".repeat(16), "\"".repeat(256));
    exchange.end = ExchangeEnd::Refused { rule: 7, class: "denied" };
    largest.exchanges = vec![exchange; MAX_EXCHANGES];
    let line = serde_json::Value::Object(record::receipt(&largest)).to_string();
    assert!(line.len() < MAX_LINE / 2, "{}", line.len());
}

#[tokio::test]
async fn receipts_are_found_by_what_they_say() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir);
    let receipts = Receipts::open(&settings, &Metrics::new()).expect("opens");
    for (instance, end) in [
        ("siem", CallEnd::Answered),
        ("archive", CallEnd::Answered),
        ("siem", CallEnd::Fault("fuel")),
        ("siem", CallEnd::Failed("unavailable")),
        ("siem", CallEnd::Dropped),
    ] {
        let mut one = receipt(instance, end);
        if end != CallEnd::Answered {
            one.outcomes = Outcomes::default();
            one.exchanges[0].end = ExchangeEnd::Refused { rule: 4, class: "denied" };
        }
        put(&receipts, one).await;
    }
    receipts.close();
    let numbers = |filter: Filter, limit: usize| -> Vec<u64> {
        list(&settings.dir, &filter, limit).expect("reads").iter().filter_map(|record| record["n"].as_u64()).collect()
    };
    let all = Filter::default;
    assert_eq!(numbers(all(), 10), [7, 6, 5, 4, 3]);
    assert_eq!(numbers(all(), 2), [7, 6]);
    assert_eq!(numbers(Filter { before: Some(6), ..all() }, 2), [5, 4]);
    assert_eq!(numbers(Filter { instance: Some("archive".into()), ..all() }, 10), [4]);
    assert_eq!(numbers(Filter { kind: Some("start".into()), ..all() }, 10), [2]);
    for (outcome, want) in [
        (Outcome::Accepted, &[4, 3][..]),
        (Outcome::Fault, &[5]),
        (Outcome::Failed, &[6]),
        (Outcome::Dropped, &[7]),
        (Outcome::Refused, &[7, 6, 5]),
        (Outcome::Rejected, &[]),
    ] {
        assert_eq!(numbers(Filter { outcome: Some(outcome), ..all() }, 10), want, "{outcome:?}");
        assert_eq!(Outcome::named(outcome.name()), Some(outcome));
    }
    let since = |text: &str| Filter { since: Some(text.into()), ..all() };
    assert_eq!(numbers(since("2025-11-01T12:26:40Z"), 10).len(), 5);
    assert_eq!(numbers(since("2025-11-01T12:26:41Z"), 10).len(), 0);
    assert_eq!(numbers(Filter { until: Some("2025-11-01T12:26:41Z".into()), ..all() }, 10).len(), 5);
    assert_eq!(numbers(Filter { until: Some("2025-11-01T12:26:40Z".into()), ..all() }, 10).len(), 0);
}

/// A place is held from before the call to the end of writing: whoever comes when all are taken waits.
#[tokio::test]
async fn a_full_queue_makes_deliveries_wait_and_loses_nothing() {
    let dir = TempDir::new().expect("a folder");
    let (settings, metrics) = (settings(&dir), Metrics::new());
    let receipts = Receipts::open(&settings, &metrics).expect("opens");
    let mut rooms = Vec::new();
    for _ in 0..QUEUE {
        rooms.push(receipts.room().await);
    }
    let mut next = receipts.room();
    let waiting = std::future::poll_fn(|context| std::task::Poll::Ready(next.as_mut().poll(context).is_pending())).await;
    assert!(waiting, "there was room beyond the bound");
    // One that is dropped unused makes room, so does one that is written.
    drop(rooms.pop());
    let room = tokio::time::timeout(Duration::from_secs(10), next).await.expect("room again");
    rooms.push(room);
    rooms.into_iter().for_each(|room| room.put(receipt("siem", CallEnd::Answered)));
    let _room = tokio::time::timeout(Duration::from_secs(10), receipts.room()).await.expect("room again");
    receipts.close();
    assert_eq!(metrics.receipts.get(), QUEUE as u64);
    assert_eq!(verify(&settings.dir, None).expect("reads").counts.receipts, QUEUE as u64);
}

/// A folder that cannot be written is said at the start, not at the first delivery.
#[test]
fn a_place_that_cannot_be_written_stops_the_start() {
    let dir = TempDir::new().expect("a folder");
    std::fs::write(dir.path().join("audit"), b"a file").expect("written");
    let error = Receipts::open(&settings(&dir), &Metrics::new()).expect_err("refused");
    assert!(error.to_string().contains("cannot be continued (audit)"), "{error}");
}

/// The disk takes nothing for a while: deliveries go on, the counter and the chain say what is missing.
#[test]
fn a_full_disk_is_counted_and_the_chain_says_so_later() {
    let dir = TempDir::new().expect("a folder");
    let (settings, metrics) = (settings(&dir), Metrics::new());
    let (chain, _) = Chain::open(&settings).expect("opens");
    let mut writer = Writer { chain, sync: settings.sync, metrics: metrics.clone(), lost: 0, dirty: None, complained: None };
    let one = Entry::Receipt(Box::new(receipt("siem", CallEnd::Answered)));
    writer.write(&[&one]);
    writer.chain.room = Some(300);
    writer.write(&[&one, &one]);
    writer.write(&[&one]);
    assert_eq!((metrics.receipts.get(), metrics.receipts_lost.get()), (1, 3));
    writer.chain.room = None;
    writer.write(&[&one]);
    writer.end();
    let report = verify(&settings.dir, None).expect("reads");
    assert_eq!((report.fault, report.counts.receipts, report.counts.lost), (None, 2, 3));
    assert_eq!(metrics.receipts.get(), 2);
}

#[tokio::test]
async fn the_trail_is_of_the_chain_and_is_no_receipt() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir);
    let receipts = Receipts::open(&settings, &Metrics::new()).expect("opens");
    put(&receipts, receipt("siem", CallEnd::Answered)).await;
    receipts.trail(TrailKind::Act, "dead_letters.purge", fields(json!({"letters": 3}))).await;
    receipts.trail(TrailKind::Change, "instances.pause", fields(json!({"actor": "key:one", "status": 200}))).await;
    receipts.trail(TrailKind::Refusal, "instances.pause", fields(json!({"actor": "key:two", "status": 403}))).await;
    receipts.close();
    let report = verify(&settings.dir, None).expect("reads");
    assert_eq!((report.fault, report.counts.receipts, report.counts.trail), (None, 1, 3));
    let acts = list(&settings.dir, &Filter { kind: Some("act".into()), ..Filter::default() }, 10).expect("reads");
    assert_eq!(
        (acts.len(), acts[0]["action"].as_str(), acts[0]["letters"].as_u64(), acts[0]["at"].is_string()),
        (1, Some("dead_letters.purge"), Some(3), true)
    );
    let all = list(&settings.dir, &Filter::default(), 10).expect("reads");
    assert_eq!((all.len(), all[0]["events"]["replayed"].as_u64()), (1, Some(2)), "asked for by name only");
    let trail = |filter: Filter| {
        let found = list(&settings.dir, &Filter { trail: true, ..filter }, 10).expect("reads");
        found.iter().map(|record| record["kind"].as_str().expect("a kind").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(trail(Filter::default()), ["refusal", "change", "act"], "the newest first");
    assert_eq!(trail(Filter { actor: Some("key:one".into()), ..Filter::default() }), ["change"]);
    assert_eq!(trail(Filter { action: Some("instances.pause".into()), ..Filter::default() }), ["refusal", "change"]);
    assert_eq!(trail(Filter { actor: Some("nobody".into()), ..Filter::default() }), Vec::<String>::new());
}
