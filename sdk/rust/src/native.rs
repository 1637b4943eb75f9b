//! The host's stand-in where guests run natively: unit tests, and the native side of measurements.
//!
//! It takes and returns what crosses the boundary (one block, spans, offsets). Requests, connections
//! and datagrams go to functions of the test's own, files and state live in memory; all of it belongs to the calling thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::batch::{Batch, Events, Records};
use crate::config;
use crate::connector::Connector;
use crate::delivery::{Delivery, Failure};
use crate::formatter::{Formatted, Formatter, RecordFormat, format_all};
use crate::http;
use crate::json;
use crate::log::Level;
use crate::value::Kind;

mod streams;

pub use streams::{Digest, Duplex, Heard, Peer, bind_credential, on_digest, on_tcp, on_udp};
pub(crate) use streams::{credentials_host as credentials, tcp_host as tcp, udp};

type Transport = Box<dyn FnMut(http::Request) -> Result<http::Response, http::Error>>;

#[derive(Default)]
struct Host {
    transport: Option<Transport>,
    files: BTreeMap<(String, String), Vec<u8>>,
    state: BTreeMap<String, Vec<u8>>,
    log: Vec<(Level, String)>,
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<String, f64>,
    now: Option<i64>,
    /// Bounds, observations.
    histograms: BTreeMap<String, (Vec<f64>, Vec<f64>)>,
}

/// The clock of a thread that set none: 2026-01-02T03:04:05Z.
const NOW: i64 = 1_767_323_045;

thread_local! { static HOST: RefCell<Host> = RefCell::default(); }

/// A configured formatter.
#[derive(Debug)]
pub struct NativeFormatter<F> {
    pub formatter: F,
    fields: Vec<String>,
    room: Cell<usize>,
}

/// Configures a formatter from JSON.
pub fn formatter<F: Formatter>(config: &str) -> Result<NativeFormatter<F>, String> {
    let formatter = F::configure(config::read(config)?)?;
    let fields = formatter.fields().into_iter().map(str::to_owned).collect();
    Ok(NativeFormatter { formatter, fields, room: Cell::default() })
}

impl<F: Formatter> NativeFormatter<F> {
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    pub fn record_format(&self) -> RecordFormat {
        self.formatter.record_format()
    }

    /// Formats a batch as the component would.
    pub fn format(&self, count: usize, block: &[u8], spans: &[u32]) -> Formatted {
        let mut room = self.room.get();
        let made = format_all(&self.formatter, Events::new(block, spans, count, self.fields.len()), &mut room);
        self.room.set(room);
        made
    }

    /// Formats one event given as JSON text in Bulkhead's own shape, its bytes as they stand (digits, escapes,
    /// spaces), as the host hands them over; for tests.
    pub fn record(&self, event: &str) -> Result<Vec<u8>, String> {
        let whole = json::value(event).ok_or("an event is one JSON text")?;
        let span = |pointer: &String| {
            let value = whole.at(pointer);
            let (_, start, end) = value.place();
            [start as u32, (end - start) as u32, value.kind() as u32]
        };
        let spans: Vec<u32> = self.fields.iter().flat_map(span).collect();
        let made = self.format(1, event.as_bytes(), &spans);
        made.refused.into_iter().next().map_or(Ok(made.block), |refusal| Err(refusal.reason))
    }

    /// Formats one event given as its fields' values; for tests.
    pub fn line(&self, event: &EventText) -> Result<String, String> {
        let (block, spans) = event.batch(&self.fields);
        let made = self.format(1, &block, &spans);
        match made.refused.into_iter().next() {
            Some(refusal) => Err(refusal.reason),
            None => String::from_utf8(made.block).map_err(|error| error.to_string()),
        }
    }
}

/// A configured connector.
#[derive(Debug)]
pub struct NativeConnector<C> {
    pub connector: C,
    fields: Vec<String>,
}

/// Configures a connector from JSON.
pub fn connector<C: Connector>(config: &str, format: &RecordFormat) -> Result<NativeConnector<C>, String> {
    let connector = C::configure(config::read(config)?, format)?;
    let fields = connector.fields().into_iter().map(str::to_owned).collect();
    Ok(NativeConnector { connector, fields })
}

impl<C: Connector> NativeConnector<C> {
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Delivers a batch as the component would: records by offsets, events by spans.
    pub fn deliver(&mut self, records: (&[u8], &[u32]), events: (&[u8], &[u32]), attempt: u32) -> Result<Delivery, Failure> {
        let records = Records::new(records.0, records.1);
        let events = Events::new(events.0, events.1, records.len(), self.fields.len());
        self.connector.deliver(&Batch { records, events }, attempt)
    }

    /// Delivers records with their events; for tests.
    pub fn deliver_texts(&mut self, batch: &[(&str, EventText)]) -> Result<Delivery, Failure> {
        let (mut records, mut offsets, mut block, mut spans) = (Vec::new(), vec![0_u32], Vec::new(), Vec::new());
        for (record, event) in batch {
            records.extend_from_slice(record.as_bytes());
            offsets.push(records.len() as u32);
            event.append(&self.fields, &mut block, &mut spans);
        }
        self.deliver((&records, &offsets), (&block, &spans), 1)
    }
}

/// An event for tests: one JSON object in Bulkhead's own shape, looked into by pointers.
#[derive(Debug, Clone)]
pub struct EventText(serde_json::Map<String, serde_json::Value>);

impl EventText {
    /// Panics where the text is no JSON object: tests only.
    pub fn new(json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(serde_json::Value::Object(object)) => Self(object),
            _ => panic!("an event is one JSON object"),
        }
    }

    /// The block and the spans of a batch with this event alone.
    pub fn batch(&self, fields: &[String]) -> (Vec<u8>, Vec<u32>) {
        let (mut block, mut spans) = (Vec::new(), Vec::new());
        self.append(fields, &mut block, &mut spans);
        (block, spans)
    }

    fn append(&self, fields: &[String], block: &mut Vec<u8>, spans: &mut Vec<u32>) {
        for pointer in fields {
            let value = pointer.trim_start_matches('/').split('/').try_fold(None, |value: Option<&serde_json::Value>, token| {
                let token = token.replace("~1", "/").replace("~0", "~");
                match value {
                    None => self.0.get(&token).map(Some),
                    Some(serde_json::Value::Array(list)) => list.get(token.parse::<usize>().ok()?).map(Some),
                    Some(value) => value.get(&token).map(Some),
                }
            });
            let (kind, text) = match value.flatten() {
                None => (Kind::Missing, String::new()),
                Some(serde_json::Value::Null) => (Kind::Null, "null".to_owned()),
                Some(serde_json::Value::Bool(value)) => (Kind::Bool, value.to_string()),
                Some(serde_json::Value::Number(value)) => (Kind::Number, value.to_string()),
                Some(value @ serde_json::Value::String(text)) => {
                    let json = value.to_string();
                    let inside = json[1..json.len() - 1].to_owned();
                    (if inside == *text { Kind::String } else { Kind::EscapedString }, inside)
                }
                Some(value @ serde_json::Value::Array(_)) => (Kind::Array, value.to_string()),
                Some(value @ serde_json::Value::Object(_)) => (Kind::Object, value.to_string()),
            };
            spans.extend([block.len() as u32, text.len() as u32, kind as u32]);
            block.extend_from_slice(text.as_bytes());
        }
    }
}

/// Sets what answers this thread's requests from now on.
pub fn on_http(transport: impl FnMut(http::Request) -> Result<http::Response, http::Error> + 'static) {
    HOST.with_borrow_mut(|host| host.transport = Some(Box::new(transport)));
}

/// Sets this thread's clock: seconds since 1970. Until then it stands at 2026-01-02T03:04:05Z.
pub fn set_now(seconds: i64) {
    HOST.with_borrow_mut(|host| host.now = Some(seconds));
}

pub(crate) fn now() -> i64 {
    HOST.with_borrow(|host| host.now).unwrap_or(NOW)
}

/// A receiver that gives these answers in turn, and what it was asked. One request more than there are answers
/// panics: a test says how many there may be.
pub fn answers(answers: Vec<Result<http::Response, http::Error>>) -> Rc<RefCell<Vec<http::Request>>> {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let (seen, mut answers) = (Rc::clone(&asked), answers.into_iter());
    on_http(move |request| {
        seen.borrow_mut().push(request);
        answers.next().unwrap_or_else(|| panic!("more requests than answers"))
    });
    asked
}

/// An answer with this status and body.
pub fn answer(status: u16, body: impl AsRef<[u8]>) -> Result<http::Response, http::Error> {
    Ok(http::Response { status, body: body.as_ref().to_vec(), ..http::Response::default() })
}

/// Forgets transport, clock, files, state, log and numbers of this thread.
pub fn reset() {
    HOST.with_borrow_mut(|host| *host = Host::default());
}

/// The log lines of this thread so far.
pub fn log_lines() -> Vec<(Level, String)> {
    HOST.with_borrow(|host| host.log.clone())
}

/// The bytes of a file of this thread's directories.
pub fn file(directory: &str, path: &str) -> Option<Vec<u8>> {
    HOST.with_borrow(|host| host.files.get(&(directory.to_owned(), path.to_owned())).cloned())
}

pub(crate) fn send(request: http::Request) -> Result<http::Response, http::Error> {
    // Taken out for the call: the transport may itself use this thread's host.
    let transport = HOST.with_borrow_mut(|host| host.transport.take());
    let Some(mut transport) = transport else { return Err(http::Error::Denied("no transport is set on this thread; see native::on_http".to_owned())) };
    let answer = transport(request);
    HOST.with_borrow_mut(|host| {
        host.transport.get_or_insert(transport);
    });
    answer
}

pub(crate) fn log(level: Level, message: &str) {
    HOST.with_borrow_mut(|host| host.log.push((level, message.to_owned())));
}

pub(crate) fn count(name: &str, labels: &[(&str, &str)], value: u64) {
    HOST.with_borrow_mut(|host| *host.counters.entry(series(name, labels)).or_default() += value);
}

pub(crate) fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
    HOST.with_borrow_mut(|host| host.gauges.insert(series(name, labels), value));
}

pub(crate) fn observe(name: &str, labels: &[(&str, &str)], value: f64, bounds: &[f64]) {
    HOST.with_borrow_mut(|host| {
        let (known, observed) = host.histograms.entry(series(name, labels)).or_insert_with(|| (bounds.to_vec(), Vec::new()));
        assert_eq!(known, bounds, "{name} was begun with other bounds");
        observed.push(value);
    });
}

/// What this thread's guests counted, set and observed so far: `name,label=value number` each, and a histogram's
/// observations in their order.
pub fn numbers() -> Vec<String> {
    HOST.with_borrow(|host| {
        let counters = host.counters.iter().map(|(series, number)| format!("{series} {number}"));
        let gauges = host.gauges.iter().map(|(series, number)| format!("{series} {number}"));
        let histograms = host.histograms.iter().map(|(series, (_, observed))| format!("{series} {observed:?}"));
        counters.chain(gauges).chain(histograms).collect()
    })
}

fn series(name: &str, labels: &[(&str, &str)]) -> String {
    labels.iter().fold(name.to_owned(), |series, (label, value)| format!("{series},{label}={value}"))
}

/// Files in memory, with the errors of the contract.
pub(crate) mod files {
    use super::HOST;
    use crate::files::{Entry, Error};

    fn key(directory: &str, path: &str) -> Result<(String, String), Error> {
        if path.is_empty() || path.starts_with('/') || path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(Error::Denied(format!("`{path}` leads outside the directory")));
        }
        Ok((directory.to_owned(), path.to_owned()))
    }

    pub fn append(directory: &str, path: &str, bytes: &[u8], _sync: bool) -> Result<u64, Error> {
        let key = key(directory, path)?;
        HOST.with_borrow_mut(|host| {
            let file = host.files.entry(key).or_default();
            file.extend_from_slice(bytes);
            Ok(file.len() as u64)
        })
    }

    pub fn size(directory: &str, path: &str) -> Result<u64, Error> {
        let key = key(directory, path)?;
        HOST.with_borrow(|host| host.files.get(&key).map(|file| file.len() as u64).ok_or(Error::NotFound))
    }

    pub fn read(directory: &str, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
        let key = key(directory, path)?;
        HOST.with_borrow(|host| {
            let file = host.files.get(&key).ok_or(Error::NotFound)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
            Ok(file[start..].iter().take(max as usize).copied().collect())
        })
    }

    pub fn rename(directory: &str, source: &str, target: &str) -> Result<(), Error> {
        let (source, target) = (key(directory, source)?, key(directory, target)?);
        HOST.with_borrow_mut(|host| {
            let file = host.files.remove(&source).ok_or(Error::NotFound)?;
            host.files.insert(target, file);
            Ok(())
        })
    }

    pub fn remove(directory: &str, path: &str) -> Result<(), Error> {
        let key = key(directory, path)?;
        HOST.with_borrow_mut(|host| host.files.remove(&key).map(drop).ok_or(Error::NotFound))
    }

    pub fn entries(directory: &str, path: &str) -> Result<Vec<Entry>, Error> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        HOST.with_borrow(|host| {
            let inside = host.files.iter().filter(|((own, _), _)| own == directory);
            let names = inside.filter_map(|((_, name), file)| Some((name.strip_prefix(&prefix)?, file)));
            Ok(names
                .filter(|(name, _)| !name.contains('/'))
                .map(|(name, file)| Entry { name: name.to_owned(), size: file.len() as u64, modified: 0 })
                .collect())
        })
    }
}

/// State in memory.
pub(crate) mod state {
    use super::HOST;
    use crate::state::Error;

    fn check(key: &str) -> Result<(), Error> {
        let fits = (1..=128).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if fits { Ok(()) } else { Err(Error::Invalid("a key is 1 to 128 bytes of printable ASCII".to_owned())) }
    }

    pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        check(key)?;
        HOST.with_borrow(|host| Ok(host.state.get(key).cloned()))
    }

    pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        check(key)?;
        HOST.with_borrow_mut(|host| host.state.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub fn delete(key: &str) -> Result<(), Error> {
        check(key)?;
        HOST.with_borrow_mut(|host| host.state.remove(key));
        Ok(())
    }
}
