//! `bulkhead audit`: the receipts of deliveries and the trail, from their files alone; the host may run or not.

use std::path::{Path, PathBuf};

use bulkhead_audit::{Expected, Fault, Filter, Outcome, Report};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::print;
use super::{DEFAULT_CONFIG, Exit, Failure, Output, validate};

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Debug, Subcommand)]
enum AuditVerb {
    /// Check the whole chain; the first record that is not as it was written is named, exit code 1.
    Verify {
        #[command(flatten)]
        place: Place,
        /// A head noted earlier, `<number>:<hash>` or `<hash>`: without one, nothing tells that the end is missing.
        #[arg(long, value_name = "HEAD")]
        expect_head: Option<Expected>,
    },
    /// Number and hash of the last record, to be kept somewhere else.
    Head(Place),
    /// Receipts, or the trail of what people did; newest first.
    List {
        #[command(flatten)]
        place: Place,
        /// Who changed what, who was not let through, what was done to events: in place of receipts.
        #[arg(long, conflicts_with_all = ["instance", "outcome"])]
        trail: bool,
        /// Of the trail: who, `key:…` for example.
        #[arg(long, requires = "trail")]
        actor: Option<String>,
        /// Of the trail: what, `instances.pause` for example.
        #[arg(long, requires = "trail")]
        action: Option<String>,
        #[arg(long)]
        instance: Option<String>,
        /// `deliver`, `settle`, `check`, `configure`; `change`, `refusal`, `sign_in`, `act`; or a mark of the chain: `start`, `stop`, `torn`, `lost`, `dropped`.
        #[arg(long)]
        call: Option<String>,
        /// One of accepted, retry, rejected, pending, failed, fault, dropped, refused.
        #[arg(long, value_parser = outcome)]
        outcome: Option<Outcome>,
        /// RFC 3339 in UTC, for example 2026-11-02T08:00:00Z.
        #[arg(long, value_parser = utc)]
        since: Option<String>,
        #[arg(long, value_parser = utc)]
        until: Option<String>,
        /// Only records before this one.
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
    },
    /// One record with everything that it holds.
    Show {
        #[command(flatten)]
        place: Place,
        number: u64,
    },
}

#[derive(Debug, Args)]
struct Place {
    #[arg(short, long, env = "BULKHEAD_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The folder of receipts itself, in place of a configuration: `audit` below `data_dir`.
    #[arg(long, conflicts_with = "config")]
    dir: Option<PathBuf>,
}

impl Place {
    fn dir(&self, output: Output) -> Result<PathBuf, NoFolder> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => match validate::load(&self.config) {
                Ok(config) => Ok(bulkhead_audit::folder(&config.data_dir)),
                Err(faults) => Err(validate::report(&self.config, &faults, output).map_or_else(NoFolder::Failed, |()| NoFolder::Configuration)),
            },
        }
    }
}

/// Why there is no folder to look into.
enum NoFolder {
    Configuration,
    Failed(Failure),
}

fn outcome(text: &str) -> Result<Outcome, String> {
    Outcome::named(text).ok_or_else(|| format!("known are {}", Outcome::ALL.map(Outcome::name).join(", ")))
}

fn utc(text: &str) -> Result<String, String> {
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    if parsed.is_ok() && text.ends_with('Z') { Ok(text.into()) } else { Err("expected a time in UTC, for example 2026-11-02T08:00:00Z".into()) }
}

pub fn run(args: &AuditArgs, output: Output) -> Result<Exit, Failure> {
    let place = match &args.verb {
        AuditVerb::Verify { place, .. } | AuditVerb::List { place, .. } | AuditVerb::Show { place, .. } | AuditVerb::Head(place) => place,
    };
    let dir = match place.dir(output) {
        Ok(dir) => dir,
        Err(NoFolder::Configuration) => return Ok(Exit::Configuration),
        Err(NoFolder::Failed(failure)) => return Err(failure),
    };
    if !dir.is_dir() {
        let message = format!("there are no receipts in {}", dir.display());
        return Err(Failure::new(Exit::NotFound, "audit.none", message).hint("a host writes them while `audit.receipts` is true"));
    }
    let unreadable = |error: std::io::Error| Failure::new(Exit::Failed, "audit.read", format!("cannot read the receipts in {}: {error}", dir.display()));
    match &args.verb {
        AuditVerb::Verify { expect_head, .. } => {
            let report = bulkhead_audit::verify(&dir, expect_head.as_ref()).map_err(unreadable)?;
            show_report(&report, &dir, expect_head.is_some(), output)
        }
        AuditVerb::Head(_) => match bulkhead_audit::head(&dir).map_err(unreadable)? {
            None => Err(Failure::new(Exit::NotFound, "audit.none", format!("there are no receipts in {}", dir.display()))),
            Some(Err(fault)) => Err(Failure::new(Exit::Failed, "audit.fault", fault_line(&fault))),
            Some(Ok((n, hash))) => {
                match output {
                    Output::Json => print(json!({"schema_version": 1, "n": n, "hash": hash}))?,
                    Output::Text => print(format!("{n}:{hash}"))?,
                }
                Ok(Exit::Ok)
            }
        },
        AuditVerb::List { trail, actor, action, instance, call, outcome, since, until, before, limit, .. } => {
            let filter = Filter {
                trail: *trail,
                actor: actor.clone(),
                action: action.clone(),
                instance: instance.clone(),
                kind: call.clone(),
                outcome: *outcome,
                since: since.clone(),
                until: until.clone(),
                before: *before,
                ..Filter::default()
            };
            let found = bulkhead_audit::list(&dir, &filter, usize::from(*limit)).map_err(unreadable)?;
            match output {
                Output::Json => print(json!({"schema_version": 1, "data": found}))?,
                Output::Text => found.iter().try_for_each(|record| print(line(record)))?,
            }
            Ok(Exit::Ok)
        }
        AuditVerb::Show { number, .. } => {
            let record = bulkhead_audit::show(&dir, *number).map_err(unreadable)?;
            let record = record.ok_or_else(|| Failure::new(Exit::NotFound, "audit.not_found", format!("there is no record {number}")))?;
            match output {
                Output::Json => print(json!({"schema_version": 1, "data": record}))?,
                Output::Text => print(format!("{:#}", Value::Object(record)))?,
            }
            Ok(Exit::Ok)
        }
    }
}

fn show_report(report: &Report, dir: &Path, expected: bool, output: Output) -> Result<Exit, Failure> {
    let counts = &report.counts;
    match output {
        Output::Json => print(json!({
            "schema_version": 1, "dir": dir, "valid": report.fault.is_none(), "begins": report.begins,
            "head": report.head.as_ref().map(|(n, hash)| json!({"n": n, "hash": hash})),
            "counts": {
                "records": counts.records, "receipts": counts.receipts, "trail": counts.trail, "lost": counts.lost, "torn": counts.torn, "damaged": counts.damaged,
                "dropped_files": counts.dropped, "starts": counts.starts,
            },
            "files": report.files.iter().map(|file| json!({"file": file.file, "first": file.first, "last": file.last, "bytes": file.bytes})).collect::<Vec<_>>(),
            "expected": report.found.as_ref().map(|found| json!({"n": found.n, "since": found.since})),
            "fault": report.fault.as_ref().map(|fault| json!({"file": fault.file, "line": fault.line, "n": fault.n, "what": fault.what})),
        }))?,
        Output::Text => {
            let (head, hash) = report.head.clone().unwrap_or_default();
            if let Some(fault) = &report.fault {
                print(format!("whole up to record {head}, {} records in {} whole files", counts.records, report.files.len()))?;
                eprintln!("fault: {}", fault_line(fault));
                return Ok(Exit::Failed);
            }
            let (begins, files) = (report.begins, report.files.len());
            print(format!("the chain is whole: records {begins} to {head} in {files} files, {} receipts, {} of the trail", counts.receipts, counts.trail))?;
            if report.begins > 1 {
                print(format!("  begins at record {}: older files were dropped to keep to audit.max_bytes", report.begins))?;
            }
            for (count, what) in [
                (counts.lost, "receipts were lost while the disk took nothing"),
                (counts.torn, "times a crash left an unfinished record, which was cut"),
                (counts.damaged, "times a damaged end was found at a start"),
            ] {
                if count > 0 {
                    print(format!("  {count} {what}"))?;
                }
            }
            print(format!("  head {head}:{hash}"))?;
            match &report.found {
                Some(found) => print(format!("  the expected record {} is there, {} came after it", found.n, found.since))?,
                None if !expected => print("  whether records are missing at the end cannot be told without --expect-head")?,
                None => {}
            }
        }
    }
    Ok(if report.fault.is_none() { Exit::Ok } else { Exit::Failed })
}

fn fault_line(fault: &Fault) -> String {
    format!("{} line {}, record {}: {}", fault.file.display(), fault.line, fault.n, fault.what)
}

/// One line for people.
fn line(record: &Map<String, Value>) -> String {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let n = record.get("n").map(number).unwrap_or(0);
    let Some(events) = record.get("events") else {
        let mark: Map<String, Value> = record
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "n" | "kind" | "at" | "prev" | "hash"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // What a stranger wrote into a path must not steer a terminal; JSON escapes what is below a space, not all.
        return clean(&format!("{n}  {}  {}  {}", text("at"), text("kind"), Value::Object(mark)));
    };
    let mut out = format!("{n}  {}  {}  {}", text("begun"), text("kind"), if text("lane").is_empty() { text("instance") } else { text("lane") });
    if !events["first"].is_null() {
        out.push_str(&format!("  events {} to {} ({})", number(&events["first"]), number(&events["last"]), number(&events["count"])));
    }
    for exchange in record.get("exchanges").and_then(Value::as_array).into_iter().flatten() {
        let word = |name: &str| exchange[name].as_str().unwrap_or_default();
        let end = match (&exchange["status"], &exchange["refused"], word("error"), word("end")) {
            (status, ..) if !status.is_null() => status.to_string(),
            (_, refused, ..) if !refused.is_null() => format!("refused by rule {}", refused["rule"]),
            (.., "", end) => end.to_owned(),
            (_, _, error, _) => error.to_owned(),
        };
        let what = if word("method").is_empty() { word("protocol").to_owned() } else { format!("{} {}", word("method"), word("path")) };
        out.push_str(&format!("  [{} {what} -> {} {end}]", word("destination"), if word("address").is_empty() { "-" } else { word("address") }));
    }
    let outcomes = record.get("outcomes").and_then(Value::as_object);
    for (name, count) in outcomes.into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0)) {
        out.push_str(&format!("  {count} {name}"));
    }
    match record.get("end") {
        Some(Value::String(end)) if end == "answered" => {}
        Some(Value::String(end)) => out.push_str(&format!("  {end}")),
        Some(end) => out.push_str(&format!("  {}", end.to_string().trim_matches(['{', '}']).replace('"', ""))),
        None => {}
    }
    // What guests wrote into paths must not steer a terminal.
    clean(&out)
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
