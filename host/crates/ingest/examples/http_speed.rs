//! Prints requests and events a second through the HTTP listener, clients in the same process, nothing
//! synced: the cost of intake alone.
//! `cargo run --release -p bulkhead-ingest --example http_speed [connections] [events in a request]`.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_core::SystemClock;
use bulkhead_ingest::{HttpIntakeSettings, serve};
use bulkhead_journal::{Durability, Journal, JournalSettings, RealFs};
use bulkhead_observe::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const EVENT: &str = r#"{"event_id":"audit-0001-6f2c","timestamp":"2026-11-20T08:42:58.123456789Z","event_type":"SecurityEvent","severity":"High","integrity_hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","payload":{"security_event_type":"UnauthorizedAccess","affected_resources":["/data/ledger.cpy","/data/accounts.cpy"]},"context":{"operation_id":"op-77","user":"j.doe","started_at":"2026-11-20T08:42:57Z","environment":{"hostname":"mf-01","process_id":4711,"system_arch":"x86_64","version":"0.3.1","command_line":"copybook parse"},"security":{"classification":"MaterialTransaction"},"compliance_profiles":["SOX"],"metadata":{"team":"blue"}}}"#;
const TIME: Duration = Duration::from_secs(3);

async fn client(addr: std::net::SocketAddr, request: Arc<[u8]>, until: Instant) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (mut sent, mut answer) = (0, [0; 1024]);
    while Instant::now() < until {
        stream.write_all(&request).await?;
        let length = stream.read(&mut answer).await?;
        if !answer[..length].starts_with(b"HTTP/1.1 202") {
            return Err(std::io::Error::other("not accepted"));
        }
        sent += 1;
    }
    Ok(sent)
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (connections, events) = (arguments.next().unwrap_or(64), arguments.next().unwrap_or(1).max(1));
    let dir = tempfile::tempdir()?;
    let (journal, _) = Journal::open(JournalSettings::new(dir.path(), 8 << 30), Arc::new(RealFs))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let settings = HttpIntakeSettings { durability: Durability::Os, ..HttpIntakeSettings::new(addr) };
    let cancel = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, settings, journal.clone(), Metrics::new(), Arc::new(SystemClock::default()), cancel.clone()));
    let body = if events == 1 { EVENT.to_owned() } else { format!("[{}]", vec![EVENT; events].join(",")) };
    let request = format!("POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let request: Arc<[u8]> = request.into_bytes().into();
    let until = Instant::now() + TIME;
    let clients: Vec<_> = (0..connections).map(|_| tokio::spawn(client(addr, Arc::clone(&request), until))).collect();
    let mut requests = 0;
    for client in clients {
        requests += client.await??;
    }
    cancel.cancel();
    serving.await?;
    journal.close().await;
    let rate = requests as f64 / TIME.as_secs_f64();
    println!("{connections} connections, {events} events a request: {rate:.0} requests/s, {:.0} events/s", rate * events as f64);
    Ok(())
}
