//! Cases of authors: `cases/*.toml`, as docs/authors/testing.md says. Unknown keys are errors, so that a
//! misspelt expectation does not pass as none.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bulkhead_core::{DeliverError, Delivery, EventRef, Outcome};
use bulkhead_fault_server::receiver::{Kept, Script, Step};
use bulkhead_format::BatchBuilder;
use serde::Deserialize;
use serde_json::Value;

use crate::bench::{Bench, RECEIVED, refs, store};
use crate::guest::Guest;
use crate::pattern::{Pattern, shown};
use crate::sink::Rules;
use crate::world::World;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    #[serde(default)]
    config: toml::Table,
    #[serde(default = "json")]
    format: String,
    received: Option<String>,
    #[serde(default)]
    events: Vec<Event>,
    /// In place of a delivery.
    pull: Option<Pull>,
    query: Option<Query>,
    #[serde(default)]
    replies: Vec<Answer>,
    #[serde(default)]
    requests: Option<Vec<Request>>,
    #[serde(default)]
    records: Vec<String>,
    /// The same for records that are no text.
    #[serde(default)]
    records_hex: Vec<String>,
    #[serde(default)]
    refused: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    outcomes: Vec<String>,
    failure: Option<String>,
    /// What the receiver of streams says.
    #[serde(default)]
    pub sink: Rules,
    /// What it must have heard: an entry for each connection, or for each datagram.
    received_bytes: Option<Vec<String>>,
    /// Its receiver takes everything: other checks use it and this configuration.
    #[serde(default)]
    pub willing: bool,
}

impl Case {
    pub fn is_pull(&self) -> bool {
        self.pull.is_some()
    }

    pub fn config(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.config)?)
    }

    /// The format that makes its records.
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Its events as they are posted.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|event| event.json.as_str())
    }

    /// What its receiver answers in the end, if it says so.
    pub fn last_reply(&self) -> Result<Option<Step>> {
        self.replies.last().map(step).transpose()
    }
}

fn json() -> String {
    "json".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    json: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pull {
    /// Behind which the page begins.
    #[serde(default)]
    cursor: String,
    /// The page: its events as JSON, the cursor behind it, and whether there is more.
    events: Vec<String>,
    next: String,
    #[serde(default)]
    more: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    operation: String,
    #[serde(default = "object")]
    parameters: String,
    /// As JSON.
    answer: String,
}

fn object() -> String {
    "{}".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    fault: Option<String>,
}

fn ok() -> u16 {
    200
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: Option<String>,
    path: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_json: Option<String>,
}

/// More than any answer that a guest is handed.
pub const HUGE_MIB: usize = 32;

/// Most cases of a folder, and the largest file of one.
const MAX_CASES: usize = 10_000;
const MAX_CASE: u64 = 16 << 20;

/// The cases of a folder, sorted by file; none where the folder is not there.
pub fn read(folder: &Path) -> Result<Vec<Case>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    ensure!(paths.len() <= MAX_CASES, "{} has {} cases; at most {MAX_CASES} are read", folder.display(), paths.len());
    let case = |path: &std::path::PathBuf| {
        let read = || -> Result<Case> {
            let size = std::fs::metadata(path)?.len();
            ensure!(size <= MAX_CASE, "has {size} bytes; a case has at most {MAX_CASE}");
            Ok(toml::from_str(&std::fs::read_to_string(path)?)?)
        };
        read().with_context(|| path.display().to_string())
    };
    paths.iter().map(case).collect()
}

pub fn play(bench: &Bench, guest: &Guest, case: &Case) -> Result<()> {
    if case.pull.is_some() || case.query.is_some() {
        return ask(bench, guest, case);
    }
    let received = match &case.received {
        Some(text) => nanos(text)?,
        None => RECEIVED,
    };
    let stored = store(case.events.iter().map(|event| event.json.as_str()), received)?;
    let events = refs(&stored)?;
    let config = case.config()?;
    if guest.is_formatter() { format(bench, guest, case, &config, &events) } else { deliver(bench, guest, case, &config, &events) }
}

fn nanos(text: &str) -> Result<u64> {
    let time: toml::value::Datetime = text.parse().with_context(|| format!("received = {text}"))?;
    let (Some(date), Some(clock)) = (time.date, time.time) else { bail!("received = {text} is no full time") };
    // Days from the civil date (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let (year, month, day) = (i64::from(date.year) - i64::from(date.month <= 2), i64::from(date.month), i64::from(date.day));
    let (era, yoe) = (year.div_euclid(400), year.rem_euclid(400));
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    let seconds = days * 86_400 + i64::from(clock.hour) * 3600 + i64::from(clock.minute) * 60 + i64::from(clock.second.unwrap_or(0));
    Ok(u64::try_from(seconds)? * 1_000_000_000 + u64::from(clock.nanosecond.unwrap_or(0)))
}

fn format(bench: &Bench, guest: &Guest, case: &Case, config: &str, events: &[EventRef<'_>]) -> Result<()> {
    let count = case.records.len() + case.records_hex.len();
    ensure!(count == events.len(), "{count} records for {} events; a refused one has the empty record", events.len());
    let mut formatter = bench.formatter(guest, config)?;
    let mut builder = BatchBuilder::default();
    let batch = builder.fill(formatter.projection(), events.iter().copied());
    let made = bench.runtime.block_on(formatter.format(batch))?;
    for (i, want) in case.records.iter().enumerate() {
        let have = String::from_utf8_lossy(made.records.get(i));
        ensure!(have == *want, "record {i}\nwant {want}\nhave {have}");
    }
    for (i, want) in case.records_hex.iter().enumerate() {
        let have: String = made.records.get(i).iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(have == *want, "record {i}\nwant {want}\nhave {have}");
    }
    let refused: BTreeMap<String, String> = made.refused.iter().map(|refusal| (refusal.event.to_string(), refusal.reason.clone())).collect();
    ensure!(refused == case.refused, "refused: {refused:?}, wanted {:?}", case.refused);
    Ok(())
}

fn deliver(bench: &Bench, guest: &Guest, case: &Case, config: &str, events: &[EventRef<'_>]) -> Result<()> {
    ensure!(case.failure.is_some() != (case.outcomes.len() == events.len()), "a case names either one outcome for each event or a failure");
    let steps: Vec<Step> = case.replies.iter().map(step).collect::<Result<_>>()?;
    let world = World::new(Script::new(steps), &case.sink)?;
    let (format, records) = bench.records(&case.format, events)?;
    let mut connector = bench.connector(guest, config, &format, world.grants(guest)?)?;
    let mut builder = BatchBuilder::default();
    let batch = builder.fill(connector.projection(), events.iter().copied());
    let heard = bench.runtime.block_on(connector.deliver(&records, batch, 1));
    match (&case.failure, heard) {
        (Some(want), Err(DeliverError::Failure(failure))) => ensure!(failure.name() == want, "{failure:?}, wanted {want}"),
        (None, Ok(delivery)) => {
            let have: Vec<&str> = match &delivery {
                Delivery::All(outcome) => vec![outcome_name(outcome); events.len()],
                Delivery::Each(outcomes) => outcomes.iter().map(outcome_name).collect(),
            };
            ensure!(have == case.outcomes, "{delivery:?}, wanted {:?}", case.outcomes);
        }
        (_, heard) => bail!("{heard:?}, wanted {:?} {:?}", case.failure, case.outcomes),
    }
    requested(case, &world)?;
    if let Some(want) = &case.received_bytes {
        heard_bytes(guest, &world, want)?;
    }
    for (path, want) in &case.files {
        let have = std::fs::read_to_string(world.dir.path().join(path)).with_context(|| path.clone())?;
        ensure!(have == *want, "{path}\nwant {want}\nhave {have}");
    }
    if !case.files.is_empty() {
        let there = std::fs::read_dir(world.dir.path())?.count();
        let wanted: std::collections::BTreeSet<_> = case.files.keys().filter_map(|path| path.split('/').next()).collect();
        ensure!(there == wanted.len(), "{there} entries in the directory, wanted {wanted:?}");
    }
    Ok(())
}

/// A pull or a query.
fn ask(bench: &Bench, guest: &Guest, case: &Case) -> Result<()> {
    let steps: Vec<Step> = case.replies.iter().map(step).collect::<Result<_>>()?;
    let world = World::new(Script::new(steps), &case.sink)?;
    let format = bulkhead_core::RecordFormat { name: "json".to_owned(), content_type: "application/json".to_owned() };
    let mut connector = bench.connector(guest, &case.config()?, &format, world.grants(guest)?)?;
    let heard = match (&case.pull, &case.query) {
        (Some(pull), None) => bench.runtime.block_on(connector.pull(pull.cursor.as_bytes())).map(|page| {
            let events: Vec<_> = (0..page.events.len()).map(|place| String::from_utf8_lossy(page.events.get(place)).into_owned()).collect();
            ensure!(events == pull.events, "events\n{}\nwanted\n{}", events.join("\n"), pull.events.join("\n"));
            let next = String::from_utf8_lossy(&page.cursor);
            ensure!(next == pull.next && page.more == pull.more, "cursor {next}, more {}; wanted {}, {}", page.more, pull.next, pull.more);
            Ok(())
        }),
        (None, Some(query)) => bench.runtime.block_on(connector.query(&query.operation, &query.parameters)).map(|answer| {
            let (have, want): (Value, Value) = (serde_json::from_str(&answer)?, serde_json::from_str(&query.answer)?);
            ensure!(have == want, "answer\n{have}\nwanted\n{want}");
            Ok(())
        }),
        _ => bail!("a case is one pull or one query"),
    };
    match (&case.failure, heard) {
        (Some(want), Err(DeliverError::Failure(failure))) => ensure!(failure.name() == want, "{failure:?}, wanted {want}"),
        (None, Ok(checked)) => checked?,
        (_, heard) => bail!("{heard:?}, wanted the failure {:?}", case.failure),
    }
    requested(case, &world)
}

/// What the receiver saw, where the case says.
fn requested(case: &Case, world: &World) -> Result<()> {
    let Some(requests) = &case.requests else { return Ok(()) };
    let kept = world.receiver.kept();
    ensure!(
        kept.len() == requests.len(),
        "{} requests, wanted {}: {}",
        kept.len(),
        requests.len(),
        kept.iter().map(|kept| kept.head.path.as_str()).collect::<Vec<_>>().join(", ")
    );
    for (i, (want, have)) in requests.iter().zip(&kept).enumerate() {
        compare(want, have).with_context(|| format!("request {i}"))?;
    }
    Ok(())
}

/// What the sink heard, once all of it is there: what a guest has written arrives a moment later.
fn heard_bytes(guest: &Guest, world: &World, want: &[String]) -> Result<()> {
    let sink = world.sink.as_ref().context("no sink")?;
    let datagrams = !guest.wants("tcp");
    let patterns: Vec<_> = want.iter().map(|text| Pattern::parse(text)).collect::<Result<_>>()?;
    let mut have: Vec<Vec<u8>> = Vec::new();
    let compare = || {
        if datagrams {
            have.extend(sink.datagrams()?);
        } else {
            have = sink.streams();
        }
        let same = have.len() == patterns.len() && patterns.iter().zip(&have).all(|(pattern, bytes)| pattern.is(bytes));
        Ok(same.then_some(()))
    };
    bulkhead_fault_server::wait::until("the sink has heard it all", Duration::from_secs(30), compare)
        .with_context(|| format!("heard\n{}\nwanted\n{}", have.iter().map(|bytes| shown(bytes)).collect::<Vec<_>>().join("\n"), want.join("\n")))
}

fn step(answer: &Answer) -> Result<Step> {
    Ok(match answer.fault.as_deref() {
        None => Step::Answer { status: answer.status, headers: answer.headers.clone().into_iter().collect(), body: answer.body.clone() },
        Some("reset") => Step::Reset,
        Some("garbage") => Step::Garbage,
        Some("timeout") => Step::Hang(Duration::from_secs(20)),
        Some("slow_body") => Step::Drip(Duration::from_secs(20)),
        Some("huge_body") => Step::Huge(HUGE_MIB),
        Some("truncated_body") => Step::Truncated,
        Some(other) => bail!("fault = {other} is none of reset, timeout, garbage, slow_body, huge_body, truncated_body"),
    })
}

fn compare(want: &Request, have: &Kept) -> Result<()> {
    if let Some(method) = &want.method {
        ensure!(have.head.method == *method, "{}, wanted {method}", have.head.method);
    }
    if let Some(path) = &want.path {
        ensure!(have.head.path == *path, "{}, wanted {path}", have.head.path);
    }
    for (name, value) in &want.headers {
        let there = have.head.headers.get(&name.to_ascii_lowercase());
        ensure!(there == Some(value.as_str()), "header {name} is {there:?}, wanted {value}");
    }
    let body = String::from_utf8_lossy(&have.body);
    if let Some(want) = &want.body {
        ensure!(body == *want, "body\nwant {want}\nhave {body}");
    }
    if let Some(want) = &want.body_json {
        let (want, have): (Value, Value) = (serde_json::from_str(want)?, serde_json::from_str(&body).with_context(|| format!("the body is not JSON: {body}"))?);
        ensure!(want == have, "body\nwant {want}\nhave {have}");
    }
    Ok(())
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Retry { .. } => "retry",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Pending { .. } => "pending",
    }
}
