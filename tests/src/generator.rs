//! Load: N connections that post batches of generated events as fast as they are acknowledged, or at a
//! steady rate. One thread and one epoll for all of them. At a rate, latencies count from the moment a
//! batch was due, so that a stalled host cannot hide its stall.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

use crate::histogram::Histogram;
use crate::marker;
use crate::process;
use crate::template::{Batch, Layout};

const TIMER: u64 = u64::MAX;
/// Waiting for the last answers.
const PATIENCE: Duration = Duration::from_secs(30);
const RECONNECT: Duration = Duration::from_millis(20);
const MAX_CONNECTIONS: usize = 2_000;

#[derive(Debug, Clone)]
pub struct Options {
    pub to: SocketAddr,
    pub path: String,
    pub connections: usize,
    /// Events a request.
    pub batch: usize,
    pub layout: Layout,
    /// Events a second; as fast as possible where absent.
    pub rate: Option<f64>,
    /// Most events that are sent.
    pub count: u64,
    /// Longest time that events are sent.
    pub duration: Duration,
    /// Put into every id.
    pub run: u32,
    /// Number of the first event.
    pub first: u64,
    pub token: Option<String>,
    /// Connect again when the host goes away, until the duration is over.
    pub reconnect: bool,
    /// Acknowledged numbers go here, a `first-last` line for each answer.
    pub acked: Option<PathBuf>,
}

impl Options {
    pub fn to(addr: SocketAddr) -> Self {
        Self {
            to: addr,
            path: "/events".to_owned(),
            connections: 4,
            batch: 100,
            layout: Layout::Lines,
            rate: None,
            count: 100_000_000,
            duration: Duration::from_secs(10),
            run: 1,
            first: 0,
            token: None,
            reconnect: false,
            acked: None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Report {
    pub sent: u64,
    pub acked: u64,
    /// Answers other than 2xx, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Connections that failed with a request under way.
    pub broken: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    pub cpu_seconds: f64,
    /// Request due (or sent, without a rate) to answer read.
    pub latency: Histogram,
    /// Request sent to answer read.
    pub service: Histogram,
}

impl Report {
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "sent": self.sent, "acked": self.acked, "broken": self.broken, "seconds": self.seconds,
            "refused": self.refused.iter().map(|(status, count)| (status.to_string(), (*count).into())).collect::<serde_json::Map<_, _>>(),
            "events_per_second": if self.seconds > 0.0 { self.acked as f64 / self.seconds } else { 0.0 },
            "cpu_seconds": self.cpu_seconds, "cpu_seconds_per_million": if self.sent > 0 { self.cpu_seconds * 1e6 / self.sent as f64 } else { 0.0 },
            "latency": self.latency.summary(), "service": self.service.summary(),
        })
    }
}

struct Connection {
    stream: Option<TcpStream>,
    batch: Batch,
    state: State,
    first: u64,
    due: u64,
    sent: u64,
    answer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Writing(usize),
    Reading,
    /// Until that time, in nanoseconds since 1970.
    Waiting(u64),
}

struct Run {
    options: Options,
    epoll: OwnedFd,
    timer: OwnedFd,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    next_number: u64,
    /// At a rate: when the next batch is due and how far they lie apart.
    next_due: u64,
    interval: u64,
    stop_at: Instant,
    acked: Option<BufWriter<std::fs::File>>,
    report: Report,
}

pub fn run(options: Options) -> Result<Report> {
    ensure!(options.to.ip().is_loopback(), "{} is not a loopback address", options.to);
    ensure!((1..=MAX_CONNECTIONS).contains(&options.connections), "{} connections are outside 1..={MAX_CONNECTIONS}", options.connections);
    ensure!((1..=10_000).contains(&options.batch), "{} events a batch are outside 1..=10000", options.batch);
    ensure!(options.layout != Layout::Object || options.batch == 1, "a single object holds one event");
    let (cpu, start) = (process::cpu_seconds(std::process::id())?, Instant::now());
    let mut run = Run::new(options)?;
    run.drive()?;
    if let Some(acked) = &mut run.acked {
        acked.flush()?;
    }
    run.report.seconds = start.elapsed().as_secs_f64();
    run.report.cpu_seconds = process::cpu_seconds(std::process::id())? - cpu;
    Ok(run.report)
}

impl Run {
    fn new(options: Options) -> Result<Self> {
        let mut batch = Batch::new(options.batch, options.layout);
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            options.path,
            options.to,
            options.layout.content_type(),
            batch.body.len()
        );
        if let Some(token) = &options.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        head.push_str("\r\n");
        batch.prefix(head.as_bytes());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
        let connections = (0..options.connections)
            .map(|_| Connection { stream: None, batch: batch.clone(), state: State::Idle, first: 0, due: 0, sent: 0, answer: Vec::new() })
            .collect();
        let acked = match &options.acked {
            Some(path) => Some(BufWriter::new(std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?)),
            None => None,
        };
        let interval = options.rate.map_or(0, |rate| (options.batch as f64 * 1e9 / rate.max(0.001)) as u64);
        Ok(Self {
            epoll,
            timer,
            connections,
            idle: (0..options.connections).collect(),
            next_number: options.first,
            next_due: marker::now(),
            interval,
            stop_at: Instant::now() + options.duration,
            acked,
            report: Report::default(),
            options,
        })
    }

    fn drive(&mut self) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(self.connections.len() + 1);
        loop {
            self.wake();
            self.dispatch()?;
            if self.over() {
                if self.connections.iter().all(|connection| matches!(connection.state, State::Idle | State::Waiting(_))) {
                    return Ok(());
                }
                ensure!(self.stop_at.elapsed() < PATIENCE, "no answer for {PATIENCE:?} after the last request");
            }
            self.set_timer()?;
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    TIMER => {
                        let mut expirations = [0; 8];
                        // Only drains it; `wake` and `dispatch` look at the clock themselves.
                        let _ = rustix::io::read(&self.timer, &mut expirations);
                    }
                    index => self.advance(index as usize)?,
                }
            }
        }
    }

    fn over(&self) -> bool {
        self.next_number + self.options.batch as u64 > self.options.first + self.options.count || Instant::now() >= self.stop_at
    }

    /// Connections whose pause has ended are idle again.
    fn wake(&mut self) {
        let now = marker::now();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if matches!(connection.state, State::Waiting(until) if until <= now) {
                connection.state = State::Idle;
                self.idle.push_back(index);
            }
        }
    }

    /// Hands batches that are due to idle connections.
    fn dispatch(&mut self) -> Result<()> {
        while !self.over() {
            let now = marker::now();
            if self.interval > 0 && self.next_due > now {
                return Ok(());
            }
            let Some(index) = self.idle.pop_front() else { return Ok(()) };
            if !self.connect(index)? {
                continue;
            }
            let due = if self.interval > 0 { self.next_due } else { now };
            self.next_due += self.interval;
            let connection = &mut self.connections[index];
            (connection.first, connection.due, connection.sent) = (self.next_number, due, now);
            connection.batch.stamp(self.options.run, self.next_number, due);
            connection.state = State::Writing(0);
            connection.answer.clear();
            self.next_number += self.options.batch as u64;
            self.report.sent += self.options.batch as u64;
            self.advance(index)?;
        }
        Ok(())
    }

    /// Sees to it that there is a connection; false where it has to wait.
    fn connect(&mut self, index: usize) -> Result<bool> {
        if self.connections[index].stream.is_some() {
            return Ok(true);
        }
        let connected = TcpStream::connect_timeout(&self.options.to, Duration::from_secs(2)).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
                epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(index as u64), flags)?;
                self.connections[index].stream = Some(stream);
                Ok(true)
            }
            Err(error) if self.options.reconnect => {
                let _ = error;
                self.pause(index, RECONNECT);
                Ok(false)
            }
            Err(error) => Err(error).with_context(|| format!("cannot connect to {}", self.options.to)),
        }
    }

    fn pause(&mut self, index: usize, wait: Duration) {
        self.connections[index].state = State::Waiting(marker::now() + wait.as_nanos() as u64);
    }

    /// Writes and reads as far as the socket lets us.
    fn advance(&mut self, index: usize) -> Result<()> {
        match self.transfer(index) {
            Ok(()) => Ok(()),
            Err(error) => self.broken(index, &error),
        }
    }

    fn transfer(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let Some(stream) = &mut connection.stream else { return Ok(()) };
        while let State::Writing(at) = connection.state {
            match stream.write(&connection.batch.body[at..]) {
                Ok(0) => bail!("closed"),
                Ok(written) if at + written == connection.batch.body.len() => connection.state = State::Reading,
                Ok(written) => connection.state = State::Writing(at + written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut bytes = [0; 8192];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) if matches!(connection.state, State::Idle | State::Waiting(_)) => {
                    connection.stream = None;
                    return Ok(());
                }
                Ok(0) => bail!("closed"),
                Ok(read) => {
                    ensure!(connection.answer.len() + read <= 1 << 20, "an answer of more than 1 MiB");
                    connection.answer.extend_from_slice(&bytes[..read]);
                    if let Some(answer) = answer(&connection.answer)? {
                        return self.finish(index, answer);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn finish(&mut self, index: usize, answer: Answer) -> Result<()> {
        let now = marker::now();
        let connection = &mut self.connections[index];
        let early = matches!(connection.state, State::Writing(_));
        let (first, batch) = (connection.first, self.options.batch as u64);
        if (200..300).contains(&answer.status) && !early {
            self.report.acked += batch;
            self.report.latency.record(now.saturating_sub(connection.due));
            self.report.service.record(now.saturating_sub(connection.sent));
            if let Some(acked) = &mut self.acked {
                writeln!(acked, "{first}-{}", first + batch - 1)?;
            }
        } else {
            *self.report.refused.entry(answer.status).or_default() += 1;
        }
        if answer.close || early {
            connection.stream = None;
        }
        if matches!(answer.status, 429 | 503) {
            let wait = answer.retry_after.clamp(Duration::from_millis(10), Duration::from_secs(1));
            self.pause(index, wait);
        } else {
            connection.state = State::Idle;
            self.idle.push_back(index);
        }
        Ok(())
    }

    fn broken(&mut self, index: usize, error: &anyhow::Error) -> Result<()> {
        if !matches!(self.connections[index].state, State::Idle | State::Waiting(_)) {
            self.report.broken += 1;
        }
        self.connections[index].stream = None;
        ensure!(self.options.reconnect, "connection to {} broke: {error:#}", self.options.to);
        self.pause(index, RECONNECT);
        Ok(())
    }

    /// Wakes us when the next batch is due or a pause ends.
    fn set_timer(&mut self) -> Result<()> {
        let pauses = self.connections.iter().filter_map(|connection| match connection.state {
            State::Waiting(until) => Some(until),
            _ => None,
        });
        let due = (self.interval > 0 && !self.idle.is_empty() && !self.over()).then_some(self.next_due);
        let Some(at) = pauses.chain(due).min() else { return Ok(()) };
        let at = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }
}

struct Answer {
    status: u16,
    close: bool,
    retry_after: Duration,
}

/// The answer, once all of it is there.
fn answer(bytes: &[u8]) -> Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).context("not an HTTP answer")? else { return Ok(None) };
    let field = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let length: usize = match field("content-length") {
        Some(text) => text.parse().context("content-length")?,
        None => bail!("an answer without content-length"),
    };
    if bytes.len() < head + length {
        return Ok(None);
    }
    Ok(Some(Answer {
        status: response.code.unwrap_or_default(),
        close: field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        retry_after: Duration::from_secs(field("retry-after").and_then(|text| text.parse().ok()).unwrap_or(0)),
    }))
}

/// Reads the ranges that a run acknowledged.
pub fn read_ranges(text: &str) -> Result<Vec<std::ops::RangeInclusive<u64>>> {
    let range = |line: &str| line.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    text.lines().map(|line| range(line).with_context(|| format!("not a range: {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::{self, Receiver, Script};

    fn options(receiver: &Receiver) -> Options {
        Options { connections: 3, batch: 10, count: 1_000, duration: Duration::from_secs(20), ..Options::to(receiver.addr()) }
    }

    #[test]
    fn every_event_arrives_once() {
        let receiver = Receiver::start(receiver::Options::default(), Script::default()).expect("starts");
        let report = run(options(&receiver)).expect("runs");
        assert_eq!((report.sent, report.acked, report.latency.count()), (1_000, 1_000, 100));
        assert_eq!(receiver.stats(|stats| (stats.events.ranges(1), stats.events.duplicates)), ("0-999\n".to_owned(), 0));
    }

    #[test]
    fn keeps_its_rate() {
        let receiver = Receiver::start(receiver::Options::default(), Script::default()).expect("starts");
        let report = run(Options { rate: Some(5_000.0), ..options(&receiver) }).expect("runs");
        assert_eq!(report.acked, 1_000);
        assert!(report.seconds >= 0.19, "{} s for 0.2 s of load", report.seconds);
    }

    #[test]
    fn refusals_and_resets_are_not_acknowledged() {
        let receiver = Receiver::start(receiver::Options::default(), Script::parse("503x2;400;reset;ok*").expect("script")).expect("starts");
        let acked = std::env::temp_dir().join(format!("bulkhead-acked-{}", std::process::id()));
        let report = run(Options { reconnect: true, acked: Some(acked.clone()), ..options(&receiver) }).expect("runs");
        assert_eq!((report.sent, report.acked, report.broken), (1_000, 960, 1));
        assert_eq!(report.refused, BTreeMap::from([(503, 2), (400, 1)]));
        let ranges = read_ranges(&std::fs::read_to_string(&acked).expect("written")).expect("ranges");
        assert!(ranges.iter().cloned().flatten().all(|number| receiver.stats(|stats| stats.events.has(1, number))));
        assert_eq!(ranges.into_iter().map(Iterator::count).sum::<usize>(), 960);
        std::fs::remove_file(acked).expect("removes its file");
    }

    #[test]
    fn says_that_nobody_listens() {
        let receiver = Receiver::start(receiver::Options::default(), Script::default()).expect("starts");
        let options = options(&receiver);
        drop(receiver);
        assert!(run(options).expect_err("refused").to_string().contains("cannot connect"));
    }
}
