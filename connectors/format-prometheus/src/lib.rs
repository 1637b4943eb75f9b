//! Prometheus: an event as one sample with its labels and its time, in the text exposition format 0.0.4 or in
//! OpenMetrics 1.0.
//! Standards: Prometheus, "Exposition formats", "Data model"; OpenMetrics 1.0.
//!
//! Promised: records one behind the other are an exposition (of OpenMetrics, with `# EOF` behind them); label values
//! hold any text; numbers keep the digits of the event. An exposition shows a state and this format shows events:
//! sums over events are the connectors' (`prometheus`, `prometheus-pushgateway`, `prometheus-remote-write`). Refused:
//! an event without the number that is asked for, unless another one takes its place.

use std::collections::BTreeMap;

use bulkhead_sdk::{Config, Event, Field, Formatter, Kind, Pointers, RecordFormat, Writer};

mod text;

use text::{Help, Label, OpenHelp, is_label, is_metric, number};

/// Fields that every event is asked for.
const BASE: [&str; 2] = ["/time", "/received"];
const TIMES: [Field; 2] = [Field(0), Field(1)];
/// Labels of those who name none; the id keeps samples apart.
const LABELS: [(&str, &str); 4] = [("id", "/id"), ("source", "/source"), ("event_type", "/type"), ("severity", "/severity")];
const MOST_LABELS: usize = 32;

/// How samples look.
#[derive(Debug, Config)]
pub struct Settings {
    /// `text` (0.0.4) or `openmetrics` (1.0).
    #[config(default = "text")]
    version: Version,
    /// Name of the metric.
    #[config(default = "audit_event", min = 1, max = 128)]
    metric: String,
    /// Labels: name to pointer. Without them `id`, `source`, `event_type` and `severity`.
    labels: Option<BTreeMap<String, String>>,
    /// Most bytes of a label's value.
    #[config(default = 256, min = 1, max = 8192)]
    max_label: u32,
    /// Pointer to the number of the sample; without it every sample is 1.
    #[config(min = 1, max = 1024)]
    value: Option<String>,
    /// What takes the place of a number that an event does not have.
    default: Option<f64>,
    /// The event's time behind the number.
    #[config(default = true)]
    timestamp: bool,
    /// `sample`: a line; `exposition`: a whole exposition with `# HELP` and `# TYPE`, for receivers that are sent
    /// one record a request.
    #[config(default = "sample")]
    record: Shape,
    /// What `# TYPE` says.
    #[config(rename = "type", default = "gauge")]
    kind: Type,
    /// What `# HELP` says.
    #[config(default = "Audit events.", min = 1, max = 512)]
    help: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Version {
    Text,
    #[config(rename = "openmetrics")]
    OpenMetrics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Shape {
    Sample,
    Exposition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Type {
    Gauge,
    Counter,
    /// `untyped` in the text format.
    Unknown,
}

#[derive(Debug)]
pub struct Prometheus {
    version: Version,
    counter: bool,
    timestamp: bool,
    max_label: usize,
    /// Before the sample, `# EOF` apart.
    head: Vec<u8>,
    metric: Vec<u8>,
    /// `name="` and its field.
    labels: Vec<(Vec<u8>, Field)>,
    value: Option<(String, Field)>,
    default: Option<String>,
    foot: &'static [u8],
    pointers: Pointers,
}

/// `# HELP` and `# TYPE`; a family of OpenMetrics has no `_total` at the end of its name.
fn head(settings: &Settings) -> Vec<u8> {
    let open = settings.version == Version::OpenMetrics;
    let family = if open && settings.kind == Type::Counter { settings.metric.trim_end_matches("_total") } else { &settings.metric };
    let kind = match settings.kind {
        Type::Gauge => "gauge",
        Type::Counter => "counter",
        Type::Unknown if open => "unknown",
        Type::Unknown => "untyped",
    };
    let mut out = Writer::default();
    out.bytes(format!("# HELP {family} ").as_bytes());
    if open {
        out.escaped::<OpenHelp>(settings.help.as_bytes());
    } else {
        out.escaped::<Help>(settings.help.as_bytes());
    }
    out.bytes(format!("\n# TYPE {family} {kind}\n").as_bytes());
    out.into_bytes()
}

impl Formatter for Prometheus {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if !is_metric(&settings.metric) {
            return Err(format!("`metric` is \"{}\"; it is a letter, _ or :, then letters, digits, _ and :", settings.metric));
        }
        let open = settings.version == Version::OpenMetrics;
        if open && settings.kind == Type::Counter && (!settings.metric.ends_with("_total") || settings.metric == "_total") {
            return Err(format!("`metric` is \"{}\"; counters of OpenMetrics end in _total", settings.metric));
        }
        let mut pointers = Pointers::new(&BASE);
        let mut labels = Vec::new();
        let own = || LABELS.iter().map(|(name, pointer)| ((*name).to_owned(), (*pointer).to_owned())).collect();
        let wanted: Vec<(String, String)> = settings.labels.clone().map_or_else(own, |labels| labels.into_iter().collect());
        if wanted.len() > MOST_LABELS {
            return Err(format!("`labels` names {}, the most is {MOST_LABELS}", wanted.len()));
        }
        for (name, pointer) in &wanted {
            if !is_label(name) {
                return Err(format!("`labels` names \"{name}\"; a label is a letter or _, then letters, digits and _, and does not begin with __"));
            }
            labels.push((format!("{name}=\"").into_bytes(), pointers.add(&format!("labels.{name}"), pointer)?));
        }
        let value = settings.value.as_ref().map(|pointer| Ok::<_, String>((pointer.clone(), pointers.add("value", pointer)?))).transpose()?;
        if value.is_none() && settings.default.is_some() {
            return Err("`default` takes the place of a missing `value`, and `value` is not set: every sample is 1".to_owned());
        }
        if let Some(number) = settings.default {
            if !number.is_finite() {
                return Err("`default` is beyond what a number of Prometheus holds".to_owned());
            }
            if settings.kind == Type::Counter && number < 0.0 {
                return Err(format!("`default` is {number}; a counter is not negative"));
            }
        }
        let whole = settings.record == Shape::Exposition;
        Ok(Self {
            head: if whole { head(&settings) } else { Vec::new() },
            foot: if whole && open { b"# EOF\n" } else { b"" },
            version: settings.version,
            counter: settings.kind == Type::Counter,
            timestamp: settings.timestamp,
            max_label: settings.max_label as usize,
            metric: settings.metric.into_bytes(),
            labels,
            value,
            default: settings.default.map(|number| number.to_string()),
            pointers,
        })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn record_format(&self) -> RecordFormat {
        let content_type = match self.version {
            Version::Text => "text/plain; version=0.0.4; charset=utf-8",
            Version::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        };
        RecordFormat::new("prometheus", content_type)
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        out.bytes(&self.head);
        out.bytes(&self.metric);
        let mut between = b'{';
        for (name, field) in &self.labels {
            let value = event.get(*field);
            // To Prometheus a label without a value is none.
            if !value.is_some() || value.raw().is_empty() {
                continue;
            }
            out.byte(between);
            out.bytes(name);
            out.escaped_list::<Label>(value, self.max_label);
            out.byte(b'"');
            between = b',';
        }
        if between == b',' {
            out.byte(b'}');
        }
        out.byte(b' ');
        self.number(event, out)?;
        if self.timestamp
            && let Some(moment) = event.time(TIMES)
        {
            out.byte(b' ');
            match self.version {
                Version::Text => out.number(moment.millis()),
                Version::OpenMetrics => moment.write_seconds(9, out),
            }
        }
        out.byte(b'\n');
        out.bytes(self.foot);
        Ok(())
    }
}

impl Prometheus {
    fn number(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let Some((pointer, field)) = &self.value else {
            out.byte(b'1');
            return Ok(());
        };
        let value = event.get(*field);
        let digits = if value.kind() == Kind::Bool { Some(if value.raw() == b"true" { &b"1"[..] } else { b"0" }) } else { number(value) };
        match (digits.filter(|digits| !self.counter || !digits.starts_with(b"-")), &self.default) {
            (Some(digits), _) => out.bytes(digits),
            (None, Some(default)) => out.bytes(default.as_bytes()),
            (None, None) => {
                let counter = if self.counter { " of a counter" } else { "" };
                return Err(format!("{pointer} is no number{counter}; `default` would take its place"));
            }
        }
        Ok(())
    }
}

bulkhead_sdk::export_formatter!(Prometheus);

#[cfg(test)]
mod tests;
