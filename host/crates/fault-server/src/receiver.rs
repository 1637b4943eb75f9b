//! The receiver: speaks Splunk HEC, Elasticsearch bulk and plain webhooks over HTTP/1.1,
//! one thread a connection, and fails by script. It finds generated events by their markers without
//! parsing anything, so that it costs far less than what it measures.
//!
//! | path | answer |
//! |---|---|
//! | `/services/collector…` | `{"text":"Success","code":0}`; health is code 17 |
//! | `…/_bulk` | `{"errors":false,"items":[…]}`, one item per pair of lines |
//! | any that asks for `application/graphql-response+json` | `{"data":{"ok":true}}` |
//! | `GET /-/stats`, `GET /-/taken?run=N` | counts and latencies; ranges of taken numbers |
//! | `POST /-/script`, `POST /-/reset` | a new script; counts start again |
//! | any other | `{"ok":true}` |

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memchr::memmem::Finder;

use crate::http::{Connection, Head};
use crate::marker::{self, Marker, Markers};

mod hec;
mod protocol;
mod script;
mod stats;

pub use protocol::Protocol;
pub use script::{Script, Step};
pub use stats::Stats;

const MAX_CONNECTIONS: usize = 512;
const MAX_INFLATED: u64 = 256 * 1024 * 1024;
const MAX_SAVED: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct Options {
    pub bind: SocketAddr,
    /// The HEC token; any is taken where none is set.
    pub token: Option<String>,
    /// Check HEC envelopes as Splunk does. Costs a parse of every body.
    pub strict: bool,
    /// Requests kept for looking at; the oldest go first.
    pub keep: usize,
    /// Event numbers remembered, to tell duplicates.
    pub max_events: u64,
    /// Bodies of accepted requests go here, one behind the other.
    pub save: Option<PathBuf>,
    /// Answers instead of what stands above.
    pub protocol: Option<Protocol>,
}

impl Default for Options {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 0)), token: None, strict: false, keep: 0, max_events: 1 << 27, save: None, protocol: None }
    }
}

/// A request as it came in, its body inflated.
#[derive(Debug, Clone)]
pub struct Kept {
    pub head: Head,
    pub body: Vec<u8>,
    /// What it was answered with; 0 where there was no answer.
    pub status: u16,
    /// Nanoseconds since 1970.
    pub at: u64,
}

struct Shared {
    options: Options,
    script: Mutex<Script>,
    stats: Mutex<Stats>,
    kept: Mutex<VecDeque<Kept>>,
    save: Mutex<Option<(File, u64)>>,
    stop: AtomicBool,
    open: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
    finder: Finder<'static>,
}

/// Runs until dropped.
pub struct Receiver {
    shared: Arc<Shared>,
    addr: SocketAddr,
    accepting: Option<std::thread::JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    pub fn start(options: Options, script: Script) -> Result<Self> {
        ensure!(options.bind.ip().is_loopback(), "{} is not a loopback address", options.bind);
        let listener = TcpListener::bind(options.bind).with_context(|| format!("cannot listen on {}", options.bind))?;
        let addr = listener.local_addr()?;
        let save = match &options.save {
            Some(path) => Some((File::create(path).with_context(|| format!("cannot write {}", path.display()))?, 0)),
            None => None,
        };
        let shared = Arc::new(Shared {
            options,
            script: Mutex::new(script),
            stats: Mutex::default(),
            kept: Mutex::default(),
            save: Mutex::new(save),
            stop: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            streams: Mutex::default(),
            finder: Markers::finder(),
        });
        let accepting = std::thread::Builder::new().name("receiver".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        })?;
        Ok(Self { shared, addr, accepting: Some(accepting) })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Replaces the script.
    pub fn play(&self, script: Script) {
        *lock(&self.shared.script) = script;
    }

    /// Steps that were not played yet.
    pub fn steps_left(&self) -> usize {
        lock(&self.shared.script).left()
    }

    pub fn stats<T>(&self, look: impl FnOnce(&Stats) -> T) -> T {
        look(&lock(&self.shared.stats))
    }

    /// Delivery requests in the order of their answers, health checks left out.
    pub fn kept(&self) -> Vec<Kept> {
        lock(&self.shared.kept).iter().cloned().collect()
    }

    pub fn wait(mut self) {
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for stream in lock(&self.shared.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, so that the port is free when we return.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if shared.open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        let Ok(twin) = stream.try_clone() else { continue };
        lock(&shared.streams).push(twin);
        shared.open.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(shared);
        let started = std::thread::Builder::new().name("connection".to_owned()).stack_size(256 * 1024).spawn(move || {
            let peer = stream.peer_addr();
            // A peer that goes away or sends nonsense ends its own connection, nothing else.
            if let Err(error) = serve(stream, &shared)
                && std::env::var_os("RECEIVER_DEBUG").is_some()
            {
                eprintln!("receiver: {error:#}");
            }
            shared.open.fetch_sub(1, Ordering::Relaxed);
            if let Ok(peer) = peer {
                lock(&shared.streams).retain(|other| other.peer_addr().is_ok_and(|addr| addr != peer));
            }
        });
        if started.is_err() {
            return;
        }
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    let mut work = Work::default();
    while let Some(head) = connection.request()? {
        if shared.stop.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some(path) = head.path.strip_prefix("/-/") {
            let (status, body) = control(&head.method, path, connection.body(), shared);
            write(&mut connection.stream, status, &[], &body)?;
            continue;
        }
        if head.method == "GET" && head.path.starts_with("/services/collector/health") {
            write(&mut connection.stream, 200, &[], r#"{"text":"HEC is healthy","code":17}"#)?;
            continue;
        }
        if !answer(&mut connection, &head, shared, &mut work)? {
            return Ok(());
        }
    }
    Ok(())
}

#[derive(Default)]
struct Work {
    inflated: Vec<u8>,
    markers: Vec<Marker>,
}

/// Plays one step; false where the connection ends with it.
fn answer(connection: &mut Connection, head: &Head, shared: &Shared, work: &mut Work) -> Result<bool> {
    let gzip = head.headers.get("content-encoding").is_some_and(|value| value.eq_ignore_ascii_case("gzip"));
    if gzip {
        work.inflated.clear();
        flate2::read::MultiGzDecoder::new(connection.body()).take(MAX_INFLATED).read_to_end(&mut work.inflated).context("gzip")?;
    }
    let body = if gzip { &work.inflated[..] } else { connection.body() };
    work.markers.clear();
    work.markers.extend(Markers::new(body, &shared.finder));
    let mut next = || lock(&shared.script).step();
    let step = match &shared.options.protocol {
        Some(protocol) => protocol.answer(head, body, &mut next),
        None => next(),
    };
    if let Step::Delay(wait) = step {
        pause(wait, shared);
    }
    let reply = reply(head, body, &step, &shared.options);
    note(shared, head, body, &work.markers, &reply);
    match step {
        Step::Reset | Step::Lose => {
            rustix::net::sockopt::set_socket_linger(&connection.stream, Some(Duration::ZERO))?;
            Ok(false)
        }
        Step::Garbage => {
            connection.stream.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n")?;
            Ok(false)
        }
        // Seen at once, though it is never answered: who waits for it may look meanwhile.
        Step::Hang(wait) => {
            pause(wait, shared);
            Ok(false)
        }
        Step::Drip(wait) => {
            drip(&mut connection.stream, wait, shared)?;
            Ok(false)
        }
        Step::Huge(mib) => {
            flood(&mut connection.stream, mib)?;
            Ok(false)
        }
        Step::Truncated => {
            connection.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n{\"ok\":")?;
            Ok(false)
        }
        _ => {
            write(&mut connection.stream, reply.status, &reply.headers, &reply.body)?;
            Ok(true)
        }
    }
}

/// Longest that a receiver's own pauses within an answer are.
const DRIP: Duration = Duration::from_millis(100);

/// An answer of which a byte comes now and then.
fn drip(stream: &mut TcpStream, wait: Duration, shared: &Shared) -> Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n")?;
    let start = std::time::Instant::now();
    while !shared.stop.load(Ordering::Acquire) && start.elapsed() < wait {
        stream.write_all(b" ")?;
        pause(DRIP, shared);
    }
    Ok(())
}

/// An answer of so many MiB. A sender that has had enough closes: that is an end, no error of ours.
fn flood(stream: &mut TcpStream, mib: usize) -> Result<()> {
    let chunk = vec![b' '; 1 << 20];
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", mib << 20).as_bytes())?;
    for _ in 0..mib {
        if stream.write_all(&chunk).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn pause(wait: Duration, shared: &Shared) {
    let start = std::time::Instant::now();
    while !shared.stop.load(Ordering::Acquire) && start.elapsed() < wait {
        std::thread::sleep(Duration::from_millis(5).min(wait - start.elapsed().min(wait)));
    }
}

struct Reply {
    /// 0: none.
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// Events taken, from the front.
    taken: Taken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    All,
    First(usize),
}

impl Reply {
    fn new(status: u16, body: impl Into<String>) -> Self {
        let taken = if (200..300).contains(&status) { Taken::All } else { Taken::First(0) };
        Self { status, headers: Vec::new(), body: body.into(), taken }
    }

    fn hec(fault: hec::Fault) -> Self {
        Self { status: fault.status, headers: Vec::new(), body: fault.body(), taken: Taken::First(fault.index.unwrap_or(0)) }
    }
}

fn reply(head: &Head, body: &[u8], step: &Step, options: &Options) -> Reply {
    let hec = head.path.starts_with("/services/collector");
    match step {
        Step::Reset | Step::Garbage | Step::Hang(_) | Step::Drip(_) | Step::Truncated => Reply::new(0, ""),
        Step::Huge(_) => Reply::new(200, ""),
        Step::Answer { status, headers, body } => Reply { headers: headers.clone(), ..Reply::new(*status, body.as_str()) },
        Step::Status { status, retry_after } => {
            let body = if hec { hec_error(*status) } else { format!(r#"{{"error":"scripted {status}"}}"#) };
            Reply { headers: retry_after.iter().map(|value| ("Retry-After".to_owned(), value.clone())).collect(), ..Reply::new(*status, body) }
        }
        Step::Invalid(index) => Reply::hec(hec::Fault { code: 6, status: 400, text: "Invalid data format", index: Some(*index) }),
        Step::Lose => Reply { taken: Taken::All, ..Reply::new(0, "") },
        Step::Accept | Step::Delay(_) if hec => collect(head, body, options),
        Step::Accept | Step::Delay(_) if head.path.split('?').next().is_some_and(|path| path.ends_with("/_bulk")) => {
            let lines = memchr::memchr_iter(b'\n', body).count();
            let items = vec![r#"{"create":{"status":201}}"#; lines / 2].join(",");
            Reply::new(200, format!(r#"{{"took":1,"errors":false,"items":[{items}]}}"#))
        }
        Step::Accept | Step::Delay(_) if head.headers.get("accept").is_some_and(|accept| accept.starts_with("application/graphql-response+json")) => {
            Reply::new(200, r#"{"data":{"ok":true}}"#)
        }
        Step::Accept | Step::Delay(_) => Reply::new(200, r#"{"ok":true}"#),
    }
}

fn collect(head: &Head, body: &[u8], options: &Options) -> Reply {
    if let Some(token) = &options.token {
        match head.headers.get("authorization") {
            None => return Reply::new(401, r#"{"text":"Token is required","code":2}"#),
            Some(value) if value.strip_prefix("Splunk ") != Some(token) => return Reply::new(403, r#"{"text":"Invalid token","code":4}"#),
            Some(_) => {}
        }
    }
    if options.strict
        && let Err(fault) = hec::check(body)
    {
        return Reply::hec(fault);
    }
    Reply::new(200, r#"{"text":"Success","code":0}"#)
}

/// The body that Splunk sends with a status.
fn hec_error(status: u16) -> String {
    let (code, text) = match status {
        401 => (3, "Invalid authorization"),
        403 => (4, "Invalid token"),
        400 => (6, "Invalid data format"),
        429 => (26, "HEC queue at capacity and cannot process any more requests"),
        503 => (9, "Server is busy"),
        200..=299 => (0, "Success"),
        _ => (8, "Internal server error"),
    };
    format!(r#"{{"text":"{text}","code":{code}}}"#)
}

fn note(shared: &Shared, head: &Head, body: &[u8], markers: &[Marker], reply: &Reply) {
    let now = marker::now();
    let taken = match reply.taken {
        Taken::All => markers,
        Taken::First(count) => &markers[..count.min(markers.len())],
    };
    {
        let mut stats = lock(&shared.stats);
        *stats.answers.entry(reply.status).or_default() += 1;
        stats.bytes += body.len() as u64;
        stats.events.take(taken, now, shared.options.max_events);
        stats.events.refused += (markers.len() - taken.len()) as u64;
        if reply.status == 0 {
            stats.events.unanswered += taken.len() as u64;
        }
    }
    if reply.taken == Taken::All
        && let Some((file, written)) = lock(&shared.save).as_mut()
        && *written < MAX_SAVED
    {
        *written += body.len() as u64 + 1;
        let saved = file.write_all(body).and_then(|()| if body.ends_with(b"\n") { Ok(()) } else { file.write_all(b"\n") });
        if let Err(error) = saved {
            eprintln!("receiver: cannot save a body: {error}");
        }
    }
    if shared.options.keep > 0 {
        let mut kept = lock(&shared.kept);
        if kept.len() == shared.options.keep {
            kept.pop_front();
        }
        kept.push_back(Kept { head: head.clone(), body: body.to_vec(), status: reply.status, at: now });
    }
}

fn control(method: &str, path: &str, body: &[u8], shared: &Shared) -> (u16, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match (method, path) {
        ("GET", "stats") => (200, lock(&shared.stats).json().to_string()),
        ("GET", "taken") => match query.strip_prefix("run=").and_then(|run| run.parse().ok()) {
            Some(run) => (200, lock(&shared.stats).events.ranges(run)),
            None => (400, "wants ?run=N".to_owned()),
        },
        ("POST", "reset") => {
            *lock(&shared.stats) = Stats::default();
            (200, String::new())
        }
        ("POST", "script") => match Script::parse(&String::from_utf8_lossy(body)) {
            Ok(script) => {
                *lock(&shared.script) = script;
                (200, String::new())
            }
            Err(error) => (400, format!("{error:#}")),
        },
        _ => (404, "known: stats, taken?run=N, reset, script".to_owned()),
    }
}

fn write(stream: &mut TcpStream, status: u16, headers: &[(String, String)], body: &str) -> Result<()> {
    let mut wire = Vec::with_capacity(128 + body.len());
    wire.extend_from_slice(format!("HTTP/1.1 {status} {}\r\n", reason(status)).as_bytes());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        wire.extend_from_slice(b"Content-Type: application/json\r\n");
    }
    for (name, value) in headers {
        wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    // 204 and 304 carry no body, whatever the script says.
    let body = if matches!(status, 204 | 304) { "" } else { body };
    wire.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    stream.write_all(&wire)?;
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}

#[cfg(test)]
mod tests;
