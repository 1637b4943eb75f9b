//! A story: one host on free ports with a configuration of its own, in a folder that goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bulkhead_tests::host::{self, Host, Spec};
use bulkhead_tests::prom::Scrape;
use bulkhead_tests::receiver::{self, Kept, Receiver, Script};
use bulkhead_tests::wait;
use serde_json::Value;
use tempfile::TempDir;

#[path = "warm.rs"]
mod warm;

/// Long enough for a busy machine; a story that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Story {
    pub dir: TempDir,
    pub host: Host,
}

/// The release binary, built before by `cargo xtask test`.
pub fn binary() -> PathBuf {
    host::binary("release").expect("the host is built before its stories run")
}

/// Plain loopback listeners on free ports.
const LISTEN: &str = r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#;

impl Story {
    /// Starts a host with this configuration; `data_dir` and `listen` are put in front. Files of file
    /// connectors belong below `out/`.
    pub fn start(config: &str) -> Self {
        Self::listening(LISTEN, config)
    }

    pub fn listening(listen: &str, config: &str) -> Self {
        let dir = TempDir::new().expect("a folder");
        let spec = spec(dir.path(), listen, config);
        warm::borrow(&spec.data_dir);
        let host = Host::start(spec).expect("the host starts");
        warm::lend(&host.spec.data_dir);
        Self { dir, host }
    }

    /// A host that has to compile its components itself.
    pub fn cold(config: &str) -> Self {
        let dir = TempDir::new().expect("a folder");
        let host = Host::start(spec(dir.path(), LISTEN, config)).expect("the host starts");
        Self { dir, host }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Kills the host and starts it again on the same data.
    pub fn crash(self) -> Self {
        Self { host: self.host.restart().expect("the host starts again"), dir: self.dir }
    }

    /// Posts and expects that all of it is accepted.
    #[track_caller]
    pub fn accept(&self, content_type: &str, body: &str) -> Value {
        let response = self.host.post(content_type, body.as_bytes()).expect("answers");
        assert_eq!(response.status, 202, "{}", response.text());
        response.json().expect("JSON")
    }

    #[track_caller]
    pub fn settled(&self) -> Scrape {
        self.host.settled(PATIENCE).expect("settles")
    }

    /// Lines of an output file. One that is still being written has no end yet, and is not there.
    pub fn lines(&self, name: &str) -> Vec<String> {
        whole_lines(&self.path("out").join(name))
    }

    /// Lines of an output file as JSON.
    #[track_caller]
    pub fn records(&self, name: &str) -> Vec<Value> {
        self.lines(name).iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The lane of an instance as health shows it, now. Gauges of `/metrics` lag behind by some tenths
    /// of a second.
    #[track_caller]
    pub fn lane(&self, instance: &str) -> Value {
        let health = self.host.get("/api/integration/health").expect("answers").json().expect("JSON");
        let lanes = health["lanes"].as_array().expect("lanes").clone();
        lanes.into_iter().find(|lane| lane["instance"] == instance).expect("the instance has a lane")
    }

    /// Waits for a condition on the metrics.
    #[track_caller]
    pub fn when(&self, what: &str, condition: impl Fn(&Scrape) -> bool) -> Scrape {
        wait::until(what, PATIENCE, || Ok(Some(self.host.metrics()?).filter(|scrape| condition(scrape))))
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.host.log()))
    }
}

pub fn spec(dir: &Path, listen: &str, config: &str) -> Spec {
    let path = dir.join("bulkhead.yaml");
    fs::create_dir_all(dir.join("out")).expect("a folder");
    fs::write(&path, format!("data_dir: ./data\nlisten: {listen}\n{config}")).expect("written");
    Spec {
        binary: binary(),
        config: path,
        data_dir: dir.join("data"),
        log: dir.join("host.log"),
        env: Vec::new(),
        dir: dir.to_owned(),
        args: Vec::new(),
        through: Vec::new(),
    }
}

/// Lines of a file that somebody may be writing.
pub fn whole_lines(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    String::from_utf8_lossy(&bytes[..end]).lines().map(str::to_owned).collect()
}

/// A file connector that writes `out/<name>.ndjson`. One delivery at a time, so that lines stand in the order
/// in which events came; of deliveries side by side any may be the first.
pub fn file(name: &str) -> String {
    format!("  {name}:\n    connector: file\n    config: {{path: {name}.ndjson}}\n    files: {{primary: {{dir: ./out, access: write}}}}\n    concurrency: 1\n")
}

/// A Splunk HEC instance with quick retries; `more` is indented YAML.
pub fn hec(name: &str, receiver: &Receiver, more: &str) -> String {
    remote(name, "splunk-hec", receiver, more)
}

pub fn webhook(name: &str, receiver: &Receiver, more: &str) -> String {
    remote(name, "webhook", receiver, more)
}

fn remote(name: &str, connector: &str, receiver: &Receiver, more: &str) -> String {
    let retry = if more.contains("retry:") { "" } else { "    retry: {initial: 20ms, max: 200ms, jitter: none}\n" };
    let breaker = if more.contains("circuit_breaker:") { "" } else { "    circuit_breaker: {failure_threshold: 1000}\n" };
    let url = receiver.url();
    format!("  {name}:\n    connector: {connector}\n    destinations: {{primary: {{url: \"{url}\", methods: [POST, GET]}}}}\n{retry}{breaker}{more}")
}

/// A receiver that keeps what it sees.
pub fn receiver(script: &str) -> Receiver {
    let options = receiver::Options { keep: 10_000, strict: true, ..receiver::Options::default() };
    Receiver::start(options, Script::parse(script).expect("script")).expect("starts")
}

/// The HEC envelopes of a request.
#[track_caller]
pub fn envelopes(kept: &Kept) -> Vec<Value> {
    serde_json::Deserializer::from_slice(&kept.body).into_iter().map(|value| value.expect("an envelope")).collect()
}

/// `n` copybook events as lines, ids `<prefix>-0` and on.
pub fn copybook(prefix: &str, n: usize) -> String {
    let event = |i| {
        format!(
            r#"{{"event_id":"{prefix}-{i}","timestamp":"2026-11-02T08:00:00.123Z","event_type":"SecurityEvent","severity":"High","integrity_hash":"aa","payload":{{"security_event_type":"Test","affected_resources":["A"]}},"context":{{"operation_id":"op-{i}","user":"ada","started_at":"2026-11-02T08:00:00Z","environment":{{"hostname":"h1","process_id":7,"version":"1.0"}},"security":{{"classification":"Internal"}},"compliance_profiles":["SOX"],"metadata":{{}}}}}}"#
        )
    };
    (0..n).map(|i| format!("{}\n", event(i))).collect()
}

/// Ids of the form `<letter><i>-<n>` that the text of a kept request mentions, in one pass.
pub fn numbered(body: &[u8], letter: char) -> std::collections::BTreeSet<(usize, usize)> {
    let text = String::from_utf8_lossy(body);
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let id = |at: usize| {
        let rest = &text[at + letter.len_utf8()..];
        let (i, rest) = rest.split_at(digits(rest));
        let rest = rest.strip_prefix('-')?;
        Some((i.parse().ok()?, rest[..digits(rest)].parse().ok()?))
    };
    text.match_indices(letter).filter_map(|(at, _)| id(at)).collect()
}

/// Ids that the text of a kept request mentions, of those with this prefix.
pub fn ids(body: &[u8], prefix: &str, n: usize) -> Vec<usize> {
    let text = String::from_utf8_lossy(body);
    let found = |i: &usize| {
        let id = format!("{prefix}-{i}");
        // Not the beginning of a longer number.
        text.match_indices(&id).any(|(at, _)| !text[at + id.len()..].starts_with(|c: char| c.is_ascii_digit()))
    };
    (0..n).filter(found).collect()
}
