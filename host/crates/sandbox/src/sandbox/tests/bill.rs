//! What calls cost and what is put on record about them, against what the thread and the receiver count
//! themselves.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead_core::BoxFuture;
use bulkhead_core::receipt::{About, CallEnd, ExchangeEnd, Receipt, ReceiptRoom, ReceiptSink};
use bulkhead_core::{LaneId, Seq};

use super::*;
use crate::attempt::Receipting;
use crate::bill::thread_time;

/// Keeps receipts.
#[derive(Default)]
struct Sink(Arc<Mutex<Vec<Receipt>>>);

struct Room(Arc<Mutex<Vec<Receipt>>>);

impl ReceiptSink for Sink {
    fn room(&self) -> BoxFuture<'_, Box<dyn ReceiptRoom>> {
        Box::pin(async { Box::new(Room(Arc::clone(&self.0))) as Box<dyn ReceiptRoom> })
    }
}

impl ReceiptRoom for Room {
    fn put(self: Box<Self>, receipt: Receipt) {
        self.0.lock().expect("lock").push(receipt);
    }
}

impl Sink {
    fn taken(&self) -> Vec<Receipt> {
        std::mem::take(&mut *self.0.lock().expect("lock"))
    }
}

/// A receiver on a thread of its own, so that its work is on no bill. Counts the bytes of bodies.
struct Counting {
    url: String,
    bodies: Arc<AtomicU64>,
}

fn counting(answer: &'static str) -> Counting {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let bodies = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&bodies);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut chunk = [0; 64 << 10];
                loop {
                    let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n").map(|end| end + 4) else {
                        match stream.read(&mut chunk) {
                            Ok(0) | Err(_) => return,
                            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                        }
                        continue;
                    };
                    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok()).unwrap_or(0);
                    while bytes.len() < end + length {
                        match stream.read(&mut chunk) {
                            Ok(0) | Err(_) => return,
                            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                        }
                    }
                    bytes.drain(..end + length);
                    counted.fetch_add(length as u64, Ordering::SeqCst);
                    if answer.is_empty() {
                        continue;
                    }
                    let body = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                    if stream.write_all(body.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Counting { url, bodies }
}

fn grants(url: &str, sink: &Arc<Sink>, values: &[(&str, &str)]) -> ConnectorGrants {
    let credential = Credential::bearer("hec", secrecy::SecretString::from("hunter2-hunter2")).expect("a credential");
    let settings = DestinationSettings {
        url: format!("{url}/base/"),
        methods: vec!["POST".into()],
        credential: Some(Arc::new(credential)),
        ..DestinationSettings::default()
    };
    ConnectorGrants {
        destinations: vec![crate::Destination::new("primary", settings).expect("a destination")],
        limits: limits(values),
        receipts: Some(Receipting { sink: Arc::clone(sink) as _, policy: "policy".into(), configuration: "configuration".into(), excerpt: 0 }),
        ..ConnectorGrants::default()
    }
}

fn sending() -> Connector {
    Connector { imports: HTTP, deliver: SEND, ..Connector::default() }
}

/// A loop of some milliseconds, then the answer.
const BUSY: &str = "(local $i i32) (local.set $i (i32.const 3000000)) (loop $l (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))";

/// Within 10 % of what the thread itself says it worked, and never above it. One thread, so that there
/// is nothing else on it.
#[tokio::test]
async fn formatting_is_billed_as_the_thread_counts_it() {
    let host = host();
    let busy = format!("{BUSY}{ECHO}");
    let guest = Formatter { format: Box::leak(busy.into_boxed_str()), ..Formatter::default() };
    let source = host.formatter(&guest.build(), &[]).expect("sets up");
    let mut formatter = source.open().await.unwrap_or_else(|error| panic!("{error}"));
    let costs = Arc::clone(&host.metrics.guest("siem", "evil").costs);
    let (guest_before, host_before, begun) = (costs.cpu_guest.get(), costs.cpu_host.get(), thread_time());
    for _ in 0..40 {
        formatter.format(&batch(b"hello")).await.expect("formats");
    }
    let thread = (thread_time() - begun).as_secs_f64();
    let (guest, own) = (costs.cpu_guest.get() - guest_before, costs.cpu_host.get() - host_before);
    assert!(guest + own <= thread * 1.001 && guest + own >= thread * 0.9, "{guest} + {own} of {thread}");
    assert!(guest > own * 4.0, "a busy guest: {guest} of its own, {own} of the host");
}

/// The bytes are those that the receiver counted, to the byte; the processor time is what the thread
/// worked, less the tasks that drive the connection.
#[tokio::test]
async fn delivering_is_billed_as_thread_and_receiver_count_it() {
    let (host, sink) = (host(), Arc::new(Sink::default()));
    let receiver = counting("thanks");
    let source = host.connector(sending(), grants(&receiver.url, &sink, &[])).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    let body = vec![b'x'; 100_000];
    let costs = Arc::clone(&host.metrics.guest("siem", "evil").costs);
    let (cpu_before, begun) = (costs.cpu_guest.get() + costs.cpu_host.get(), thread_time());
    for _ in 0..50 {
        connector.deliver(&records(&body), &batch(b""), 1).await.expect("delivers");
    }
    let (cpu, thread) = (costs.cpu_guest.get() + costs.cpu_host.get() - cpu_before, (thread_time() - begun).as_secs_f64());
    assert_eq!(costs.bytes_out.get(), receiver.bodies.load(Ordering::SeqCst));
    assert_eq!((costs.bytes_out.get(), costs.bytes_in.get()), (50 * 100_000, 50 * 6));
    assert!(cpu <= thread * 1.001 && cpu >= thread * 0.25, "{cpu} of {thread}");
    let receipts = sink.taken();
    assert_eq!(receipts.iter().map(|receipt| receipt.sent).sum::<u64>(), costs.bytes_out.get(), "receipts and metrics agree");
    let billed: Duration = receipts.iter().map(|receipt| receipt.guest_cpu + receipt.host_cpu).sum();
    assert!((billed.as_secs_f64() - cpu).abs() < cpu * 0.01, "{billed:?} {cpu}");
    drop(connector);
    let held = costs.byte_seconds.get();
    assert!(held > 0.0, "memory over time");
}

#[tokio::test]
async fn a_delivery_is_on_record_with_what_was_sent() {
    let (host, sink) = (host(), Arc::new(Sink::default()));
    let receiver = counting("thanks");
    let source = host.connector(sending(), grants(&receiver.url, &sink, &[])).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(sink.taken().is_empty(), "nothing left the host yet");
    let about = About { lane: LaneId::new("siem", "cef"), first: Seq(3), last: Seq(9), replayed: 0 };
    connector.about(about.clone());
    connector.deliver(&records(b"hello"), &batch(b""), 2).await.expect("delivers");
    connector.deliver(&records(b"hello"), &batch(b""), 3).await.expect("delivers");
    let receipts = sink.taken();
    let [first, second] = &receipts[..] else { panic!("{receipts:?}") };
    assert_eq!((first.call, first.attempt, first.events, first.end), ("deliver", 2, 1, CallEnd::Answered));
    assert_eq!((first.about.as_ref(), second.about.as_ref()), (Some(&about), None), "each call is about its own events");
    assert_eq!((&*first.identity.instance, &*first.identity.connector, &*first.identity.policy), ("siem", "evil", "policy"));
    assert_eq!(first.outcomes.rejected, 1, "the guest rejects with the answer's body");
    assert!(first.fuel > 0 && first.guest_cpu > Duration::ZERO && first.host_cpu > Duration::ZERO && first.ended >= first.begun, "{first:?}");
    let [exchange] = &first.exchanges[..] else { panic!("{:?}", first.exchanges) };
    assert_eq!((exchange.method.as_str(), exchange.path.as_str()), ("POST", "/in"), "below the base");
    assert_eq!((exchange.sent, exchange.received, exchange.end), (5, 6, ExchangeEnd::Status(200)));
    assert_eq!(exchange.address.map(|address| format!("http://{address}")), Some(receiver.url));
    assert!(!format!("{receipts:?}").contains("hunter2"), "no secret");
}

#[tokio::test]
async fn a_refusal_is_on_record_with_its_rule_and_nothing_else() {
    let (host, sink) = (host(), Arc::new(Sink::default()));
    let mut grants = grants("http://127.0.0.1:9", &sink, &[]);
    let settings = DestinationSettings { url: "http://127.0.0.1:9".into(), methods: vec!["GET".into()], ..DestinationSettings::default() };
    grants.destinations = vec![crate::Destination::new("primary", settings).expect("a destination")];
    let source = host.connector(sending(), grants).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    connector.deliver(&records(b"hello"), &batch(b""), 1).await.expect_err("refused");
    let receipts = sink.taken();
    let exchange = &receipts[0].exchanges[0];
    assert_eq!(exchange.end, ExchangeEnd::Refused { rule: 2, class: "denied" });
    assert_eq!((exchange.method.as_str(), exchange.path.as_str(), exchange.sent, exchange.address), ("", "", 0, None), "nothing was sent");
    assert_eq!((receipts[0].end, receipts[0].sent), (CallEnd::Failed("other"), 0));
}

/// However a call ends it is on record: at its deadline, by a trap, dropped by the host.
#[tokio::test]
async fn calls_that_end_badly_are_on_record() {
    let (host, sink) = (host(), Arc::new(Sink::default()));
    let silent = counting("");
    let source = host.connector(sending(), grants(&silent.url, &sink, &[("deadline", "300ms")])).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    connector.deliver(&records(b"hello"), &batch(b""), 1).await.expect_err("no answer");
    let receipts = sink.taken();
    assert_eq!((receipts[0].end, receipts[0].exchanges[0].end), (CallEnd::Failed("other"), ExchangeEnd::Error("timeout")));
    assert_eq!(receipts[0].sent, 5, "the receiver may have seen it");
    let dialled = |receipt: &Receipt| receipt.exchanges[0].address.map(|address| format!("http://{address}"));
    assert_eq!(dialled(&receipts[0]).as_ref(), Some(&silent.url), "no answer, and no doubt who it was");

    {
        let (text, events) = (records(b"hello"), batch(b""));
        let mut call = connector.deliver(&text, &events, 1);
        let reached = async {
            while silent.bodies.load(Ordering::SeqCst) < 10 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = &mut call => panic!("no answer comes"), () = reached => {} }
    }
    drop(connector);
    let receipts = sink.taken();
    assert_eq!((receipts[0].end, receipts[0].exchanges[0].end, receipts[0].sent), (CallEnd::Dropped, ExchangeEnd::CutOff, 5));
    assert_eq!(dialled(&receipts[0]).as_ref(), Some(&silent.url));

    let trap = Connector { imports: HTTP, deliver: "unreachable", ..Connector::default() };
    let source = host.connector(trap, grants(&silent.url, &sink, &[])).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    connector.deliver(&records(b"hello"), &batch(b""), 1).await.expect_err("a trap");
    connector.deliver(&records(b"hello"), &batch(b""), 1).await.expect_err("dead");
    let receipts = sink.taken();
    assert_eq!(receipts.iter().map(|receipt| receipt.end).collect::<Vec<_>>(), [CallEnd::Fault("trap")], "a dead one is not called");
}

/// The engine writes fuel down at the end of a call, and in steps: what the clock stops has used some.
#[tokio::test]
async fn a_guest_that_the_clock_stops_is_billed_its_fuel() {
    let (host, sink) = (host(), Arc::new(Sink::default()));
    let spinner = Connector { imports: HTTP, deliver: "(loop $spin (br $spin)) unreachable", ..Connector::default() };
    let source = host.connector(spinner, grants("http://127.0.0.1:9", &sink, &[("cpu", "200ms")])).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    connector.deliver(&records(b"hello"), &batch(b""), 1).await.expect_err("stopped");
    let receipts = sink.taken();
    assert_eq!(receipts[0].end, CallEnd::Fault("cpu"));
    assert!(receipts[0].fuel >= 5_000_000 && receipts[0].fuel < 1_000_000_000, "{}", receipts[0].fuel);
}

/// A connector that sends while it is configured cannot do so unseen.
#[tokio::test]
async fn nothing_leaves_without_a_receipt() {
    let (host, sink) = (host(), Arc::new(Sink::default()));
    let receiver = counting("thanks");
    let configure = r#"
        (call $send (i32.const 1100) (i32.const 7) (i32.const 1110) (i32.const 4) (i32.const 1120) (i32.const 3) (i32.const 0) (i32.const 0)
            (i32.const 1024) (i32.const 11) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000))
        (i32.const 128)"#;
    let early = Connector { imports: HTTP, configure, ..Connector::default() };
    let source = host.connector(early, grants(&receiver.url, &sink, &[])).expect("sets up");
    let _connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    let receipts = sink.taken();
    assert_eq!(receipts.iter().map(|receipt| (receipt.call, receipt.sent)).collect::<Vec<_>>(), [("configure", 11)]);
    assert_eq!(receiver.bodies.load(Ordering::SeqCst), 11);
}
