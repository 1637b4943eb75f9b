//! `bulkhead test`: the author's cases and the conformance suite, and what an event costs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_authoring::build;
use bulkhead_conformance::{Check, Cost, Guest, cost, suite};
use clap::Args;
use serde_json::json;

use super::{Project, bench, clean};
use crate::cli::failure::print;
use crate::cli::{Exit, Failure, Output};

/// Where compiled components are kept between runs, below the author's `dist`.
pub const CACHE: &str = ".compiled";

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The component; without it, the one that `bulkhead build` wrote here.
    file: Option<PathBuf>,
    /// The author's cases; `cases` of the folder where absent.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Only checks whose names contain one of these.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    #[command(flatten)]
    project: Project,
}

/// What came of one check.
struct Verdict {
    name: String,
    failure: Option<String>,
}

pub fn run(args: &TestArgs, output: Output) -> Result<Exit, Failure> {
    let file = match &args.file {
        Some(file) => file.clone(),
        None => build::built(&args.project.folder)?,
    };
    let bytes = std::fs::read(&file)
        .map_err(|error| Failure::new(Exit::NotFound, "test.read", format!("cannot read {}: {error}", file.display())).hint("`bulkhead build` makes it"))?;
    let cases = args.cases.clone().unwrap_or_else(|| args.project.folder.join("cases"));
    if args.cases.is_some() && !cases.is_dir() {
        return Err(Failure::new(Exit::NotFound, "test.cases", format!("{} is no folder", cases.display())));
    }
    let unfit = |error: anyhow::Error| Failure::new(Exit::Configuration, "test.unfit", clean(&format!("{error:#}")));
    let guest = Arc::new(Guest::of_manifest(bytes, Some(&cases)).map_err(unfit)?);
    let kept = args.project.folder.join(build::OUT).join(CACHE);
    let bench = bench(args.file.is_none().then_some(kept.as_path()))?;
    bench.component(&guest).map_err(unfit)?;
    let checks: Vec<Check> = suite::checks(&guest)
        .map_err(unfit)?
        .into_iter()
        .filter(|check| args.only.is_empty() || args.only.iter().any(|part| check.name.contains(part)))
        .collect();
    if checks.is_empty() {
        return Err(Failure::new(Exit::Usage, "test.nothing", format!("no check's name contains {}", args.only.join(" or "))));
    }
    let results = Mutex::new(Vec::new());
    let failed = suite::run(&bench, &checks, |check, failure| {
        let failure = failure.map(clean);
        if output == Output::Text {
            eprintln!("{:<6} {}", if failure.is_none() { "ok" } else { "FAILED" }, clean(&check.name));
        }
        results.lock().unwrap_or_else(PoisonError::into_inner).push(Verdict { name: check.name.clone(), failure });
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Costs are measured where they mean something: of a guest that works, with nothing else running.
    let cost = (failed == 0 && args.only.is_empty() && (guest.is_formatter() || guest.does("deliver")))
        .then(|| cost::measure(&bench, &guest))
        .transpose()
        .map_err(unfit)?;
    match output {
        Output::Json => print(as_json(&guest, &results, cost.as_ref()))?,
        Output::Text => print(as_text(&guest, &results, cost.as_ref()))?,
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::TestsFailed })
}

fn as_json(guest: &Guest, results: &[Verdict], cost: Option<&Cost>) -> serde_json::Value {
    json!({
        "schema_version": 1, "component": guest.name, "digest": format!("sha256:{}", guest.inspection.digest_hex()),
        "passed": results.iter().filter(|result| result.failure.is_none()).count(),
        "failed": results.iter().filter(|result| result.failure.is_some()).count(),
        "checks": results.iter().map(|result| json!({"name": result.name, "ok": result.failure.is_none(), "failure": result.failure})).collect::<Vec<_>>(),
        "cost": cost.map(|cost| json!({
            "events": cost.events, "fuel_per_event": cost.fuel, "guest_nanoseconds_per_event": cost.nanos, "requests_per_event": cost.requests,
            "bytes_per_event": cost.bytes, "memory_bytes": cost.memory, "open_nanoseconds": cost.open, "events_per_second": cost.events_per_second(),
        })),
    })
}

fn as_text(guest: &Guest, results: &[Verdict], cost: Option<&Cost>) -> String {
    let mut text = String::new();
    for result in results.iter().filter(|result| result.failure.is_some()) {
        text.push_str(&format!("\n---- {} ----\n{}\n", clean(&result.name), result.failure.as_deref().unwrap_or_default()));
    }
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    text.push_str(&format!("\n{}: {} passed, {failed} failed", guest.name, results.len() - failed));
    if let Some(cost) = cost {
        text.push_str(&format!(
            "\n\nAn event costs, in batches of 100:\n  {:>12.0} units of fuel\n  {:>12.0} ns of processor time in the guest: {:.0} events a second, waiting left out\n  {:>12.2} requests\n  {:>12.0} bytes out\nThe guest holds {} KiB of memory; a fresh one opens in {:.1} ms.",
            cost.fuel,
            cost.nanos,
            cost.events_per_second(),
            cost.requests,
            cost.bytes,
            cost.memory >> 10,
            cost.open / 1e6
        ));
    }
    text.trim_start_matches('\n').to_owned()
}
