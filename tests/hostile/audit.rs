//! Receipts against receivers and connectors that lie: what is on record is what went over the wire.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bulkhead_tests::host::{self, Host, Spec};
use serde_json::Value;
use tempfile::TempDir;

const SECRET: &str = "hunter2-hunter2-hunter2";
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps the bytes of each request as they came, and answers 400 with all of it: head, body, secret.
fn echoing() -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let addr = listener.local_addr().expect("bound");
    let requests: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&requests);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = Vec::new();
            let mut chunk = [0; 16 << 10];
            let length = loop {
                if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                    let body: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok()).unwrap_or(0);
                    break end + 4 + body;
                }
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => break 0,
                    Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                }
            };
            while bytes.len() < length {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                }
            }
            if length == 0 {
                continue;
            }
            let head =
                format!("HTTP/1.1 400 {SECRET}\r\nx-echo: {SECRET}\r\nlocation: /{SECRET}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
            // Whoever hangs up meanwhile has seen enough.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
            kept.lock().expect("lock").push(bytes);
        }
    });
    (addr, requests)
}

fn start(dir: &Path, config: &str) -> Host {
    let path = dir.join("bulkhead.yaml");
    fs::write(&path, format!("data_dir: ./data\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\n{config}")).expect("written");
    let spec = Spec {
        binary: host::binary("release").expect("built before"),
        config: path,
        data_dir: dir.join("data"),
        log: dir.join("host.log"),
        env: Vec::new(),
        dir: dir.to_owned(),
        args: Vec::new(),
        through: Vec::new(),
    };
    Host::start(spec).expect("starts")
}

fn audit(dir: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let binary = host::binary("release").expect("built before");
    let output = Command::new(binary).arg("audit").args(args).arg("--json").current_dir(dir).stdin(Stdio::null()).output().expect("runs");
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// The request as sent, byte for byte, and nothing of what the receiver echoes. The base of the URL and
/// its query, where tokens live, are not on record, nor is the query that the credential added.
#[test]
fn h60d_a_receipt_says_what_was_sent_and_holds_nothing_that_came_back() {
    let begun = Instant::now();
    let (addr, requests) = echoing();
    let dir = TempDir::new().expect("a folder");
    let mut host = start(
        dir.path(),
        &format!(
            "credentials:\n  key: {{type: query, name: api_key, value: {SECRET}}}\ninstances:\n  hook:\n    connector: webhook\n    config: {{path: \"/in/box%20a?kind=x\"}}\n    destinations: {{primary: {{url: \"http://{addr}/services/T0-SECRET-TOKEN?sig=SECRET-QUERY\", methods: [POST], credential: key}}}}\ndefault_route: [{{instance: hook, format: json}}]\n"
        ),
    );
    let accepted = host.post("application/json", br#"{"event_id":"private-1","event_type":"Test","note":"private-body"}"#).expect("answers");
    assert_eq!(accepted.status, 202);
    host.settled(PATIENCE).expect("settles");
    assert!(host.terminate(PATIENCE).expect("ends").success());

    let requests = requests.lock().expect("lock").clone();
    let (code, listed) = audit(dir.path(), &["list", "--instance", "hook"]);
    assert_eq!(code, Some(0));
    let mut receipts = listed["data"].as_array().expect("a list").clone();
    receipts.reverse();
    assert_eq!(receipts.len(), requests.len(), "one for each request: {listed:#}");
    for (receipt, request) in receipts.iter().zip(&requests) {
        let end = memchr::memmem::find(request, b"\r\n\r\n").expect("a head") + 4;
        let line = String::from_utf8_lossy(&request[..end]).lines().next().expect("a line").to_owned();
        let exchange = &receipt["exchanges"][0];
        let (method, path) = (exchange["method"].as_str().expect("a method"), exchange["path"].as_str().expect("a path"));
        let sent = format!("{method} /services/T0-SECRET-TOKEN{path}?sig=SECRET-QUERY&kind=x&api_key={SECRET} HTTP/1.1");
        assert_eq!(line, sent, "the wire says {line}");
        assert_eq!(path, "/in/box%20a");
        assert_eq!((exchange["sent"].as_u64(), exchange["status"].as_u64()), (Some((request.len() - end) as u64), Some(400)));
        assert_eq!(exchange["address"].as_str(), Some(addr.to_string().as_str()));
    }
    let (code, report) = audit(dir.path(), &["verify"]);
    assert_eq!((code, report["valid"].as_bool()), (Some(0), Some(true)), "{report:#}");
    for entry in fs::read_dir(dir.path().join("data/audit")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = String::from_utf8_lossy(&fs::read(&path).expect("reads")).into_owned();
        for part in [SECRET, "T0-SECRET-TOKEN", "SECRET-QUERY", "private-1", "private-body"] {
            assert!(!text.contains(part), "{part} in {}", path.display());
        }
    }
    let log = host.log();
    assert!(!log.contains(SECRET), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
