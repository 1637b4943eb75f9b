//! Guests that break one rule each: the suite must find every one, and nothing in the same guest without its fault.
//!
//! Left out is what no guest can do: a secret in the log needs a guest that knows one.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bulkhead_authoring::Manifest;
use bulkhead_conformance::{Bench, Check, Guest, suite};

use crate::built;

/// A fault, and the checks that must fail because of it.
const CONNECTOR: &[(&str, &[&str])] = &[
    ("any_key", &["refuses_unknown_configuration"]),
    ("few_events", &["takes_the_largest_batch"]),
    ("sends_attempt", &["same_batch_same_requests"]),
    ("forgets_taken", &["keeps_what_was_accepted"]),
    (
        "accepts_all",
        &[
            "status::400",
            "status::401",
            "status::403",
            "status::408",
            "status::413",
            "status::429",
            "status::500",
            "status::502",
            "status::503",
            "status::redirect",
        ],
    ),
    ("rejects_all", &["status::408", "status::429", "status::500", "status::502", "status::503"]),
    ("ignores_retry_after", &["status::429_retry_after", "status::503_retry_after"]),
    ("retries_unauthorized", &["status::401", "status::403"]),
    ("accepts_silence", &["status::timeout", "status::reset", "status::garbage", "status::slow_body", "status::truncated_body"]),
    ("follows_nothing", &["status::redirect"]),
    ("expects_json", &["status::200_with_a_strange_body"]),
    ("expects_short", &["status::huge_body"]),
];

const FORMATTER: &[(&str, &[&str])] = &[
    ("any_key", &["refuses_unknown_configuration"]),
    ("counts", &["same_events_same_bytes"]),
    ("refuses_long", &["takes_the_largest_batch"]),
    ("writes_nothing", &["takes_every_sample"]),
    ("writes_bytes", &["takes_every_sample"]),
];

const MANIFEST: &str = r#"
name = "misbehaved"
version = "0.1.0"
vendor = "Tests"
kind = "connector"
system = "nothing"
operations = ["deliver"]
accepts = ["*"]
docs = "none"
[[wants]]
interface = "http"
name = "primary"
methods = ["POST"]
reason = "to show what goes wrong"
"#;

fn formatter_manifest() -> String {
    let (head, _) = MANIFEST.split_once("[[wants]]").unwrap_or((MANIFEST, ""));
    head.replace("misbehaved", "misformatted").replace("\"connector\"", "\"formatter\"").replace("deliver", "format")
}

fn guest(component: &str, manifest: &str, case: Option<&str>) -> Result<Guest> {
    let mut bytes = built(component)?;
    Manifest::parse(manifest)?.append(&mut bytes, None)?;
    let dir = tempfile::TempDir::new()?;
    if let Some(case) = case {
        std::fs::write(dir.path().join("case.toml"), case)?;
    }
    Guest::of_manifest(bytes, Some(dir.path()))
}

fn connector_case(fault: &str) -> String {
    format!(
        "name = \"a case\"\nwilling = true\nconfig = {{fault = \"{fault}\"}}\noutcomes = [\"accepted\"]\n[[events]]\njson = '''{{\"id\":\"1\",\"time\":\"2026-01-02T03:04:05Z\"}}'''\n[[requests]]\nmethod = \"POST\"\npath = \"/events\"\n"
    )
}

fn formatter_case(fault: &str, record: &str) -> String {
    format!(
        "name = \"a case\"\nwilling = true\nconfig = {{fault = \"{fault}\"}}\nrecords = [{record:?}]\n[[events]]\njson = '''{{\"id\":\"1\",\"severity\":\"high\"}}'''\n"
    )
}

/// Checks of the suite that fail for this guest.
fn failing(bench: &Bench, guest: Guest, only: &[&str]) -> Result<Vec<(String, String)>> {
    let guest = Arc::new(guest);
    let checks = suite::checks(&guest)?.into_iter().filter(|check| only.is_empty() || only.contains(&check.name.as_str()));
    Ok(checks.filter_map(|check| Some((check.name.clone(), check.failure(bench)?))).collect())
}

fn finds(bench: &Bench, guest: Guest, wanted: &[&str]) -> Result<()> {
    let failed = failing(bench, guest, wanted)?;
    let missed: Vec<_> = wanted.iter().filter(|name| !failed.iter().any(|(own, _)| own == *name)).collect();
    ensure!(missed.is_empty(), "the suite does not find it: {missed:?} pass; failing are {failed:?}");
    Ok(())
}

type Run = Box<dyn Fn(&Bench) -> Result<()> + Send + Sync>;

pub fn checks() -> Result<Vec<Check>> {
    let carrier = Arc::new(guest("misbehaved", MANIFEST, None)?);
    let mut checks = Vec::new();
    let mut add = |name: String, run: Run| {
        checks.push(Check::new(format!("seeded::{name}"), &carrier, move |bench, _| run(bench)));
    };
    for (fault, wanted) in CONNECTOR {
        add((*fault).to_owned(), Box::new(move |bench| finds(bench, guest("misbehaved", MANIFEST, Some(&connector_case(fault)))?, wanted)));
    }
    for (fault, wanted) in FORMATTER {
        let record = if *fault == "counts" { "1\"1\"\n" } else { "\"1\"\n" };
        add(
            format!("formatter::{fault}"),
            Box::new(move |bench| finds(bench, guest("misformatted", &formatter_manifest(), Some(&formatter_case(fault, record)))?, wanted)),
        );
    }
    add("without_a_fault".to_owned(), Box::new(|bench| clean(bench, guest("misbehaved", MANIFEST, Some(&connector_case("none")))?)));
    add(
        "formatter::without_a_fault".to_owned(),
        Box::new(|bench| clean(bench, guest("misformatted", &formatter_manifest(), Some(&formatter_case("none", "\"1\"\n")))?)),
    );
    add("has_cases".to_owned(), Box::new(|bench| finds(bench, guest("misbehaved", MANIFEST, None)?, &["has_cases"])));
    add(
        "case".to_owned(),
        Box::new(|bench| finds(bench, guest("misbehaved", MANIFEST, Some(&connector_case("none").replace("/events", "/other")))?, &["case::a_case"])),
    );
    add(
        "a_reason".to_owned(),
        Box::new(|bench| finds(bench, guest("misbehaved", &MANIFEST.replace("to show what goes wrong", "so"), None)?, &["manifest_is_valid"])),
    );
    add(
        "unwanted".to_owned(),
        Box::new(|bench| {
            let (bare, _) = MANIFEST.split_once("[[wants]]").context("the manifest has wants")?;
            finds(bench, guest("misbehaved", bare, None)?, &["imports_are_wanted"])
        }),
    );
    Ok(checks)
}

fn clean(bench: &Bench, guest: Guest) -> Result<()> {
    let failed = failing(bench, guest, &[])?;
    ensure!(failed.is_empty(), "nothing is wrong with it, and yet {failed:?}");
    Ok(())
}
