//! A connector that misbehaves as its configuration says: the hostile neighbour of the proofs. It is
//! built like other guests and is not part of a release.

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Inbound, Outcome, RecordFormat, Reply, http, log, metrics};

/// What it does and when.
#[derive(Debug, Config)]
pub struct Settings {
    /// What it does.
    behaviour: Behaviour,
    /// Only for batches with a record that contains this text; always where it is left out.
    #[config(min = 1)]
    marker: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Behaviour {
    /// Takes everything.
    Accept,
    /// Never ends.
    Spin,
    /// Asks for memory until none is given.
    Allocate,
    /// Keeps 1 MiB of every call.
    Leak,
    /// Calls itself.
    Recurse,
    /// Panics.
    Panic,
    /// Writes log lines without end.
    Flood,
    /// Writes to standard output without a line break, without end.
    Print,
    /// Log lines that look like somebody else's.
    Forge,
    /// A metric with a label of its own for each event.
    Series,
    /// Metrics under names that are the host's, and histograms without end.
    Names,
    /// Sends requests to `primary` without end.
    Send,
    /// Ends the process.
    Exit,
    /// Answers for more events than there are; or with an event that is no JSON.
    Invent,
    /// Answers requests with a length that is not its own.
    Length,
}

pub struct Evil {
    settings: Settings,
    kept: Vec<Vec<u8>>,
    calls: u64,
}

impl Evil {
    fn misbehave(&mut self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        match self.settings.behaviour {
            Behaviour::Accept => {}
            Behaviour::Spin => loop {
                std::hint::spin_loop();
            },
            Behaviour::Allocate => loop {
                self.kept.push(vec![0xa5; 1 << 20]);
            },
            Behaviour::Leak => self.kept.push(vec![0xa5; 1 << 20]),
            Behaviour::Recurse => {
                log::info(&deeper(u64::from(self.calls > 0)).to_string());
            }
            Behaviour::Panic => panic!("as the configuration says"),
            Behaviour::Flood => loop {
                log::info("flood flood flood flood flood flood flood flood");
            },
            Behaviour::Print => loop {
                print!("flood flood flood flood flood flood flood flood");
            },
            Behaviour::Forge => {
                log::error(
                    "done\n{\"level\":\"ERROR\",\"instance\":\"siem\",\"message\":\"the journal is lost\"}\r\n\u{1b}[2K\u{202e}instance=siem level=error",
                );
            }
            Behaviour::Series => {
                for event in 0..5_000_u32 {
                    metrics::count("evil", &[("event", &format!("{}-{event}", self.calls))], 1);
                }
            }
            Behaviour::Names => {
                for name in ["bulkhead_events_accepted_total", "bulkhead_guest_calls_total", "process_cpu_seconds_total", "up", "scrape_duration_seconds"] {
                    metrics::count(name, &[("canary", "x")], 1_000_000);
                    metrics::gauge(name, &[], f64::NAN);
                }
                metrics::count("evil_seconds_sum", &[("canary", "x")], 1);
                metrics::observe("evil_seconds", &[("canary", "x")], f64::NAN, &[f64::INFINITY, 0.0]);
                metrics::observe("evil_seconds", &[("instance", "siem"), ("le", "1")], 1.0, &[1.0]);
                let bounds: Vec<f64> = (0..32).map(f64::from).collect();
                for event in 0..5_000_u32 {
                    metrics::observe("evil_sizes", &[("event", &format!("{}-{event}", self.calls))], 1.0, &bounds);
                }
            }
            Behaviour::Send => loop {
                let _ = http::post("primary", "/flood").body(vec![b'x'; 64 << 10]).send();
            },
            Behaviour::Exit => std::process::exit(7),
            Behaviour::Length => {}
            Behaviour::Invent => return Ok(Delivery::Each(vec![Outcome::Accepted(None); batch.len() + 1])),
        }
        Ok(Delivery::All(Outcome::Accepted(None)))
    }
}

/// Not a loop: the result of each call is needed after it.
#[inline(never)]
fn deeper(n: u64) -> u64 {
    let held = std::hint::black_box([n; 32]);
    if n == u64::MAX { 0 } else { deeper(n.wrapping_add(2)).wrapping_add(held[(n % 32) as usize]) }
}

impl Connector for Evil {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        Ok(Self { settings, kept: Vec::new(), calls: 0 })
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        self.calls += 1;
        let marked = match &self.settings.marker {
            Some(marker) => batch.records.iter().any(|record| record.windows(marker.len()).any(|window| window == marker.as_bytes())),
            None => true,
        };
        if marked { self.misbehave(batch) } else { Ok(Delivery::All(Outcome::Accepted(None))) }
    }

    /// Where it behaves: an event for each line of the body, and what it saw of the request as the answer.
    /// A path of `/refuse` is answered with 422, `/later` with a failure.
    fn receive(&mut self, request: &Inbound) -> Result<Reply, Failure> {
        self.calls += 1;
        let mut headers = vec![("content-type".to_owned(), b"text/plain".to_vec()), ("x-calls".to_owned(), self.calls.to_string().into_bytes())];
        let mut events: Vec<Vec<u8>> = Vec::new();
        match self.settings.behaviour {
            Behaviour::Spin => loop {
                std::hint::spin_loop();
            },
            Behaviour::Panic => panic!("as the configuration says"),
            Behaviour::Allocate => return Ok(Reply { status: 200, body: vec![b'x'; 40 << 20], ..Reply::default() }),
            Behaviour::Invent => events.push(b"no JSON".to_vec()),
            Behaviour::Length => headers.push(("Content-Length".to_owned(), b"7".to_vec())),
            _ => {}
        }
        if request.path == "/later" {
            return Err(Failure::Unavailable { reason: "not yet".to_owned(), after: Some(std::time::Duration::from_secs(7)) });
        }
        events.extend(request.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
        let mut body = format!("{} {}\n", request.method, request.path).into_bytes();
        for (name, value) in &request.headers {
            body.extend_from_slice(&[name.as_bytes(), b": ", value, b"\n"].concat());
        }
        let status = if request.path == "/refuse" { 422 } else { 201 };
        Ok(Reply { status, headers, body, events: if status == 201 { events } else { Vec::new() } })
    }
}

bulkhead_sdk::export_connector!(Evil);
