//! Formatters in the sandbox: every built one, over events of any shape, with the configurations of its cases and
//! with mutations of them. None may break a rule of the host, whatever it is handed.

use std::collections::BTreeMap;
use std::path::Path;

use bulkhead_core::{Attr, EventRef, Formatted, Formatter, RecordFormat};
use bulkhead_format::BatchBuilder;
use bulkhead_ingest::{Form, Normaliser, Rules};
use bulkhead_observe::Metrics;
use bulkhead_sandbox::{Component, FormatterGrants, Sandbox, SandboxSettings};
use bulkhead_tests::host::root;
use serde_json::Value;

use crate::mutate::Mutations;

/// Events that every configuration is tried with.
const EVENTS: usize = 1_500;
/// Mutations of each configuration.
const CONFIGURATIONS: usize = 150;
/// Events in a call.
const BATCH: usize = 100;

/// Values that stand where others are expected.
fn hostile() -> Vec<Value> {
    let mut values: Vec<Value> = [
        "",
        " ",
        "\u{0}",
        "\n\"\\",
        "=|^\t",
        "2026-13-01T00:00:00Z",
        "9999-12-31T23:59:60.999999999+23:59",
        "-1",
        "1e309",
        "\u{feff}é\u{ffff}\u{10ffff}",
        "{{ id }}",
        "]]>",
    ]
    .map(Value::from)
    .into();
    values.extend([Value::Null, true.into(), 0.into(), i64::MIN.into(), u64::MAX.into(), (-0.0).into(), 1e300.into()]);
    values.extend([
        serde_json::json!([]),
        serde_json::json!({}),
        serde_json::json!([[null], {"": {"": [1]}}, "x"]),
        serde_json::json!({"a/b": 1, "~": 2, "a.b": [true]}),
    ]);
    values.push("x".repeat(5_000).into());
    values.push((0..60).fold(Value::from(1), |inner, level| if level % 2 == 0 { serde_json::json!([inner]) } else { serde_json::json!({"d": inner}) }));
    values
}

/// The sample events with hostile values in places of theirs, as the journal keeps them.
fn events(count: usize) -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for name in ["copybook", "intelliguard", "datavault", "cloudevents", "plain"] {
        let text = std::fs::read_to_string(root().join("examples/events").join(name).with_extension("ndjson")).expect("samples are committed");
        samples.extend(text.lines().take(12).map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
    }
    let hostile = hostile();
    let mut draw = Draw(0x2545_f491_4f6c_dd1d);
    let mut normaliser = Normaliser::new(Rules::default());
    let mut stored = Vec::new();
    while stored.len() < count {
        let mut event = samples[draw.below(samples.len())].clone();
        for _ in 0..draw.below(6) {
            let value = hostile[draw.below(hostile.len())].clone();
            place(&mut event, &mut draw, value);
        }
        let mut out = Vec::new();
        // What intake refuses no formatter sees.
        if event.is_object() && normaliser.event(event.to_string().as_bytes(), 0, Form::Json, 1_700_000_000_000_000_000, &mut out).is_ok() {
            stored.push(out);
        }
    }
    stored
}

/// Puts a value into a random place.
fn place(target: &mut Value, draw: &mut Draw, value: Value) {
    let deeper = match target {
        Value::Object(members) if !members.is_empty() => {
            let at = draw.below(members.len());
            members.values_mut().nth(at)
        }
        Value::Array(elements) if !elements.is_empty() => {
            let at = draw.below(elements.len());
            elements.get_mut(at)
        }
        _ => None,
    };
    match deeper {
        Some(inner) if draw.below(3) > 0 => place(inner, draw, value),
        Some(inner) => *inner = value,
        None => *target = value,
    }
}

/// xorshift64* (Vigna, 2016).
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as usize % limit
    }
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    sandbox: Sandbox,
    components: BTreeMap<String, Component>,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sandbox = runtime.block_on(async { Sandbox::new(SandboxSettings::default(), Metrics::new()) }).expect("a sandbox");
        let mut components = BTreeMap::new();
        for entry in std::fs::read_dir(root().join("connectors")).expect("connectors") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            if name.starts_with("format-") {
                let path = root().join("target/guests").join(&name).with_extension("wasm");
                let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask build-guests` makes it", path.display()));
                components.insert(name.clone(), sandbox.load(&name, &bytes).expect("loads"));
            }
        }
        Self { runtime, sandbox, components }
    }

    fn open(&self, name: &str, config: &str) -> Result<Box<dyn Formatter>, String> {
        let grants = FormatterGrants { instance: "fuzz".to_owned(), ..FormatterGrants::default() };
        let source = self.sandbox.formatter(&self.components[name], config.to_owned(), grants).map_err(|error| format!("{error:#}"))?;
        self.runtime.block_on(source.open()).map_err(|error| format!("{error:#}"))
    }

    /// Formats all events in batches and holds what comes back against what was promised.
    fn hold(&self, name: &str, config: &str, formatter: &mut dyn Formatter, events: &[Vec<u8>]) {
        let refs: Vec<EventRef<'_>> = events.iter().map(|bytes| EventRef::new(bytes).expect("stored")).collect();
        let mut builder = BatchBuilder::default();
        for batch in refs.chunks(BATCH) {
            let batch = builder.fill(formatter.projection(), batch.iter().copied());
            let count = batch.count as usize;
            let made = self.runtime.block_on(formatter.format(batch)).unwrap_or_else(|fault| panic!("{name} with {config}: {fault}"));
            check(name, config, formatter.record_format(), &made, count);
        }
    }
}

fn check(name: &str, config: &str, format: &RecordFormat, made: &Formatted, count: usize) {
    assert_eq!(made.records.len(), count, "{name} with {config}");
    for refusal in &made.refused {
        assert!(!refusal.reason.is_empty() && refusal.reason.len() < 4_096, "{name} with {config}: {:?}", refusal.reason);
        assert!(made.records.get(refusal.event as usize).is_empty(), "{name} with {config}: a refused event has a record");
    }
    let essence = format.content_type.split(';').next().unwrap_or_default();
    let is_json = essence.ends_with("/json") || essence.ends_with("+json") || matches!(essence, "application/x-ndjson" | "application/jsonl");
    let is_text = is_json || essence.starts_with("text/") || essence.ends_with("xml") || essence.ends_with("openmetrics-text");
    for (place, record) in (0..count).map(|place| (place, made.records.get(place))) {
        if made.refused.iter().any(|refusal| refusal.event as usize == place) {
            continue;
        }
        assert!(!is_text || std::str::from_utf8(record).is_ok(), "{name} with {config}: a record is no text");
        if is_json {
            // Numbers beyond what serde keeps are JSON all the same.
            let read = serde_json::from_slice::<serde::de::IgnoredAny>(record);
            assert!(read.is_ok(), "{name} with {config}: {:?} of {}", read.err(), String::from_utf8_lossy(record));
        }
    }
}

/// The configurations of a guest's cases, and none where it takes none.
fn configurations(name: &str) -> Vec<String> {
    let folder = root().join("connectors").join(name).join("cases");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).expect("cases").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let config = |path: &Path| {
        let case: toml::Table = toml::from_str(&std::fs::read_to_string(path).expect("readable")).expect("TOML");
        case.get("config").map_or_else(|| "{}".to_owned(), |config| serde_json::to_string(config).expect("JSON"))
    };
    let mut all: Vec<String> = paths.iter().map(|path| config(path.as_path())).collect();
    all.push("{}".to_owned());
    all.sort();
    all.dedup();
    all
}

#[test]
fn every_formatter_takes_any_event() {
    let bench = Bench::new();
    let events = events(EVENTS);
    for name in bench.components.keys() {
        let mut opened = 0;
        for config in configurations(name) {
            // Only those that say what the record is refuse to have no configuration.
            let Ok(mut formatter) = bench.open(name, &config) else {
                assert_eq!(config, "{}", "{name} refuses a configuration of its own cases");
                continue;
            };
            bench.hold(name, &config, formatter.as_mut(), &events);
            opened += 1;
        }
        assert!(opened > 0, "{name} was not tried");
    }
}

#[test]
fn any_configuration_is_taken_or_refused() {
    let bench = Bench::new();
    let events = events(BATCH);
    let rounds = std::env::var("BULKHEAD_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(CONFIGURATIONS);
    for name in bench.components.keys() {
        let seeds: Vec<Vec<u8>> = configurations(name).into_iter().map(String::into_bytes).collect();
        let mut mutations = Mutations::new(&seeds);
        for _ in 0..rounds * seeds.len() {
            let config = String::from_utf8_lossy(mutations.next()).into_owned();
            match bench.open(name, &config) {
                Ok(mut formatter) => bench.hold(name, &config, formatter.as_mut(), &events),
                Err(error) => assert!(error.len() < 8_192, "{name} with {config}: {} bytes of an error", error.len()),
            }
        }
    }
}

/// Guests check pointers of their configuration against this list.
#[test]
fn the_guests_know_the_attributes() {
    let mut names: Vec<&str> = Attr::ALL.iter().map(|attr| attr.name()).filter(|name| *name != "lane").collect();
    names.extend(["original", "received"]);
    assert_eq!(names, bulkhead_sdk::pointer::ROOTS);
}
