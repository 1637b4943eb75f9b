//! Cases of authors: `cases/*.toml`, as docs/authors/testing.md says. Unknown keys are errors, so that a
//! misspelt expectation does not pass as none.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bulkhead_core::{DeliverError, Delivery, EventRef, Outcome};
use bulkhead_format::BatchBuilder;
use bulkhead_tests::receiver::{Kept, Script, Step};
use serde::Deserialize;
use serde_json::Value;

use crate::bench::{Bench, Guest, RECEIVED, refs, store};
use crate::connector::World;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    #[serde(default)]
    config: toml::Table,
    #[serde(default = "json")]
    format: String,
    received: Option<String>,
    events: Vec<Event>,
    #[serde(default)]
    replies: Vec<Answer>,
    #[serde(default)]
    requests: Option<Vec<Request>>,
    #[serde(default)]
    records: Vec<String>,
    #[serde(default)]
    refused: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    outcomes: Vec<String>,
    failure: Option<String>,
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

/// The cases of a folder, sorted by file.
pub fn read(guest: &Path) -> Result<Vec<Case>> {
    let folder = guest.join("cases");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let case = |path: &std::path::PathBuf| toml::from_str(&std::fs::read_to_string(path)?).with_context(|| path.display().to_string());
    paths.iter().map(case).collect()
}

pub fn play(bench: &Bench, guest: &Guest, case: &Case) -> Result<()> {
    let received = match &case.received {
        Some(text) => nanos(text)?,
        None => RECEIVED,
    };
    let stored = store(case.events.iter().map(|event| event.json.as_str()), received)?;
    let events = refs(&stored)?;
    let config = serde_json::to_string(&case.config)?;
    if guest.name.starts_with("format-") { format(bench, guest, case, &config, &events) } else { deliver(bench, guest, case, &config, &events) }
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
    ensure!(case.records.len() == events.len(), "{} records for {} events; a refused one has the empty record", case.records.len(), events.len());
    let mut formatter = bench.formatter(&guest.name, config)?;
    let mut builder = BatchBuilder::default();
    let batch = builder.fill(formatter.projection(), events.iter().copied());
    let made = bench.runtime.block_on(formatter.format(batch))?;
    for (i, want) in case.records.iter().enumerate() {
        let have = String::from_utf8_lossy(made.records.get(i));
        ensure!(have == *want, "record {i}\nwant {want}\nhave {have}");
    }
    let refused: BTreeMap<String, String> = made.refused.iter().map(|refusal| (refusal.event.to_string(), refusal.reason.clone())).collect();
    ensure!(refused == case.refused, "refused: {refused:?}, wanted {:?}", case.refused);
    Ok(())
}

fn deliver(bench: &Bench, guest: &Guest, case: &Case, config: &str, events: &[EventRef<'_>]) -> Result<()> {
    ensure!(case.failure.is_some() != (case.outcomes.len() == events.len()), "a case names either one outcome for each event or a failure");
    let steps: Vec<Step> = case.replies.iter().map(step).collect::<Result<_>>()?;
    let world = World::new(Script::new(steps))?;
    let (format, records) = bench.records(&case.format, events)?;
    let mut connector = bench.connector(&guest.name, config, &format, world.grants(bench, guest)?)?;
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
    if let Some(requests) = &case.requests {
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

fn step(answer: &Answer) -> Result<Step> {
    Ok(match answer.fault.as_deref() {
        None => Step::Answer { status: answer.status, headers: answer.headers.clone().into_iter().collect(), body: answer.body.clone() },
        Some("reset") => Step::Reset,
        Some("garbage") => Step::Garbage,
        Some("timeout") => Step::Hang(Duration::from_secs(20)),
        Some(other) => bail!("fault = {other} is none of reset, timeout, garbage"),
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
