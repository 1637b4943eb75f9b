//! `cargo xtask bench`: drives the release binary over loopback sockets, generator and receiver as
//! processes of their own on the same cores, the disk's own speed measured beside. Rows are those of
//! the figures table in ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bulkhead_tests::args::Args;

use crate::build;
use crate::command::{cargo, read};

mod beside;
mod case;
mod each;
mod neighbour;
mod report;
mod sink;
mod subjects;
mod yardstick;

use case::{Bench, Case};
use report::Report;

/// The rows at hand, with what makes each.
const ROWS: [(&str, Source); 19] = [
    ("P1", Source::Case(&case::FULL)),
    ("P2", Source::Case(&case::FULL)),
    ("P3", Source::Case(&case::STEADY)),
    ("P4", Source::Case(&case::STEADY)),
    ("P5", Source::Ways),
    ("P6", Source::Case(&case::SINGLE)),
    ("P7", Source::Harness("guest")),
    ("P8", Source::Harness("formatters")),
    ("P9", Source::Case(&case::FIVE)),
    ("P10", Source::Harness("journal")),
    ("P11", Source::Harness("replay")),
    ("P12", Source::Case(&case::THREE)),
    ("P13", Source::Start),
    ("P14", Source::Harness("instances")),
    ("P15", Source::Neighbour),
    ("P16", Source::Beside),
    ("C1", Source::Harness("control")),
    ("C2", Source::Harness("control")),
    ("C3", Source::Harness("control")),
];

#[derive(Clone, Copy)]
enum Source {
    Case(&'static Case),
    /// A program of `tests/benches`.
    Harness(&'static str),
    Start,
    Ways,
    Neighbour,
    Beside,
}

pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let args = Args::parse(args.iter().cloned(), &["rows", "repeats", "seconds", "profile", "connector", "events"], &["quick", "no-build"])?;
    let quick = args.flag("quick");
    let profile = args.text("profile").unwrap_or(if quick { "release" } else { "dist" });
    let repeats = args.number("repeats", if quick { 1 } else { 5 }, 1..=50)?;
    let seconds = args.number("seconds", if quick { 1 } else { 10 }, 1..=300)?;
    let rows = rows(args.text("rows"))?;
    if !args.flag("no-build") {
        build::guests(root)?;
        build::host(root, profile)?;
    }
    let dir = build::fresh(root, "bench")?;
    let bench = Bench { tools: build::folder(root, profile), dir: dir.clone(), seconds };
    if let Some(names) = args.text("connector") {
        let table = each::run(&bench, root, names, args.number("events", if quick { 5_000 } else { 50_000 }, 1_000..=10_000_000)?)?;
        let path = dir.join("connectors.md");
        fs::write(&path, &table)?;
        println!("\n{table}\nwritten to {}", path.display());
        return Ok(());
    }
    let mut report = Report::new(profile, quick);
    for repeat in 1..=repeats {
        eprintln!("\nrepeat {repeat} of {repeats}");
        report.disk(yardstick::measure(&dir, Duration::from_millis(if quick { 200 } else { 1_000 }))?);
        for case in cases(&rows) {
            bench.run(case, &mut report).with_context(|| format!("case `{}`", case.name))?;
        }
        if rows.contains("P5") {
            each::ways(&bench, root, &mut report).context("case `ways`")?;
        }
        if rows.contains("P13") {
            bench.starts(&mut report, if quick { 2 } else { 5 })?;
        }
        if rows.contains("P15") {
            neighbour::run(&bench, &mut report).context("case `neighbour`")?;
        }
        if rows.contains("P16") {
            bench.beside(&mut report)?;
        }
        for name in harnesses(&rows) {
            harness(root, profile, name, quick, &mut report)?;
        }
    }
    let (json, markdown) = (dir.join("result.json"), dir.join("result.md"));
    fs::write(&json, format!("{:#}\n", report.json()))?;
    fs::write(&markdown, report.markdown())?;
    println!("\n{}", report.markdown());
    println!("written to {} and {}", json.display(), markdown.display());
    Ok(())
}

fn rows(given: Option<&str>) -> Result<BTreeSet<&str>> {
    let known: BTreeSet<&str> = ROWS.iter().map(|(row, _)| *row).collect();
    let Some(given) = given else { return Ok(known) };
    let rows: BTreeSet<&str> = given.split(',').map(str::trim).collect();
    for row in &rows {
        ensure!(known.contains(row), "row {row} is none of {}", ROWS.map(|(row, _)| row).join(", "));
    }
    Ok(rows)
}

/// Each case once, in the order of the table. Five lanes are measured against one, other ways against the first.
fn cases(rows: &BTreeSet<&str>) -> Vec<&'static Case> {
    let mut cases: Vec<&'static Case> = Vec::new();
    for (row, source) in ROWS {
        let wanted: &[&Case] = match (row, source) {
            ("P5", _) => &[&case::FULL],
            (_, Source::Case(case)) if row == "P9" => &[&case::FULL, case],
            (_, Source::Case(case)) => &[case],
            _ => &[],
        };
        for case in wanted.iter().filter(|_| rows.contains(row)) {
            if !cases.iter().any(|known| known.name == case.name) {
                cases.push(case);
            }
        }
    }
    cases
}

/// Each once: one program may make several rows.
fn harnesses(rows: &BTreeSet<&str>) -> BTreeSet<&'static str> {
    let wanted = ROWS.iter().filter(|(row, _)| rows.contains(row));
    wanted
        .filter_map(|(_, source)| match source {
            Source::Harness(name) => Some(*name),
            Source::Case(_) | Source::Start | Source::Ways | Source::Neighbour | Source::Beside => None,
        })
        .collect()
}

/// Runs a program of `tests/benches`; each JSON line of its output is a figure.
fn harness(root: &Path, profile: &str, name: &str, quick: bool, report: &mut Report) -> Result<()> {
    eprintln!("  {name}");
    let mut command = cargo();
    // The whole workspace is selected, as for the tests, so that the engine is not compiled once more for
    // another set of features.
    command.current_dir(root).args(["bench", "--quiet", "--profile", profile, "--workspace", "--bench", name, "--"]);
    command.env("BULKHEAD_TOOLS", build::folder(root, profile));
    if quick {
        command.arg("--quick");
    }
    let output = read(&mut command)?;
    let mut found = false;
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let value: serde_json::Value = serde_json::from_str(line).with_context(|| format!("bench {name}: {line}"))?;
        let figure = value["figure"].as_str().zip(value["value"].as_f64());
        let (figure, value) = figure.with_context(|| format!("bench {name}: not a figure: {line}"))?;
        report.add(figure, value)?;
        found = true;
    }
    ensure!(found, "bench {name} printed no figure");
    Ok(())
}
