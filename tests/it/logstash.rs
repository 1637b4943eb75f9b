//! The connector `logstash` against a Lumberjack server that others wrote, under TLS too, and against one of the
//! tests' own that enforces the frames and acknowledges in parts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bulkhead_tests::{host, skip::skip};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;

use crate::counterpart::Counterpart;
use crate::independent::python;
use crate::pki::{self, Authority};
use crate::story::{Story, copybook};
use crate::syslog_send::instance;

#[test]
fn a_server_of_others_takes_windows() {
    let Some(python) = python("timbersnake") else {
        return skip("logstash::a_server_of_others_takes_windows", "no Python with timbersnake");
    };
    // Compressed windows are acknowledged whole, others event by event.
    for compress in [true, false] {
        let mut command = Command::new(&python);
        command.arg(host::root().join("tests/independent/lumberjack_server.py"));
        let server = Counterpart::start(command);
        let config = format!("{{compress: {compress}, beat: audit}}");
        let story = Story::start(&instance("logstash", &config, &format!("\"tcp://127.0.0.1:{}\"", server.port), "ecs"));
        story.accept("application/x-ndjson", &copybook("e", 250));
        let taken = server.taken(&story, 250);
        assert_eq!(taken.len(), 250, "each once");
        let ids: Vec<_> = taken.iter().map(|event| event["event"]["id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(ids, (0..250).map(|n| format!("e-{n}")).collect::<Vec<_>>(), "in order");
        assert_eq!((&taken[0]["@timestamp"], &taken[0]["@metadata"]["beat"]), (&"2026-11-02T08:00:00.123Z".into(), &"audit".into()));
        assert_eq!(story.settled().sum("bulkhead_lane_delivered_total", &[("instance", "out")]), 250.0);
    }
}

type Taken = Arc<Mutex<Vec<Value>>>;

/// Reads windows strictly: version, count, sequences from 1, JSON objects. Says `A 0` first, acknowledges in
/// parts, and in the first window hangs up behind event 7.
fn serve(mut stream: impl Read + std::io::Write, taken: &Taken, first: bool) -> std::io::Result<()> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("4 bytes"));
    loop {
        let mut head = [0; 6];
        stream.read_exact(&mut head)?;
        assert_eq!(&head[..2], b"2W", "a window comes first");
        let count = number(&head[2..]);
        stream.read_exact(&mut head)?;
        assert_eq!(&head[..2], b"2C", "compressed frames follow");
        let mut zlib = vec![0; number(&head[2..]) as usize];
        stream.read_exact(&mut zlib)?;
        let mut frames = Vec::new();
        flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut frames)?;
        let mut rest = &frames[..];
        stream.write_all(b"2A\0\0\0\0")?;
        for sequence in 1..=count {
            assert_eq!(&rest[..2], b"2J");
            assert_eq!(number(&rest[2..6]), sequence);
            let end = 10 + number(&rest[6..10]) as usize;
            taken.lock().expect("lock").push(serde_json::from_slice(&rest[10..end]).expect("JSON"));
            rest = &rest[end..];
            if sequence % 3 == 0 || sequence == count {
                stream.write_all(&[&b"2A"[..], &sequence.to_be_bytes()].concat())?;
                stream.flush()?;
            }
            if first && sequence == 7 {
                return Ok(());
            }
        }
        assert!(rest.is_empty(), "nothing behind the window");
    }
}

#[test]
fn what_was_acknowledged_before_a_break_does_not_come_again() {
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a folder");
    let ca = pki::write(dir.path(), "ca.pem", authority.pem());
    let (cert, key) = authority.client("bulkhead").write(dir.path(), "client");
    let config = pki::server(&authority.server(&["localhost"]), Some(&authority), &[&TLS12, &TLS13], &[]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (port, taken) = (listener.local_addr().expect("bound").port(), Taken::default());
    let kept = Arc::clone(&taken);
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).expect("a session"), stream);
            // Ends with an error when the other side hangs up.
            if serve(&mut stream, &kept, n == 0).is_ok() {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                // Without a reset, which would take acknowledgements with it that are still on their way.
                let _ = stream.sock.shutdown(Shutdown::Write);
                let _ = std::io::copy(&mut stream.sock, &mut std::io::sink());
            }
        }
    });
    let tls = format!("{{ca: {}, client_cert: {}, client_key: {}}}", ca.display(), cert.display(), key.display());
    let story = Story::start(&instance("logstash", "{}", &format!("{{url: \"tls://localhost:{port}\", tls: {tls}}}"), "json"));
    story.accept("application/x-ndjson", &copybook("e", 60));
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "out")]), 60.0);
    let mut times = BTreeMap::new();
    for event in taken.lock().expect("lock").iter() {
        *times.entry(event["id"].as_str().expect("an id").to_owned()).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 60, "each arrived");
    // Event 7 was taken and not acknowledged; events 1 to 6 were.
    let twice: BTreeSet<_> = times.into_iter().filter(|(_, count)| *count > 1).collect();
    assert_eq!(twice, BTreeSet::from([("e-6".to_owned(), 2)]));
}
