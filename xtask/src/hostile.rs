//! `cargo xtask hostile`: every case of the threat model with its tests and its time. A case that has no
//! test needs a reason in `docs/operators/threat-model.md`; without, the command fails. Each case runs
//! in a process of its own, so that its time is its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bulkhead_tests::cases::{self, CASES, Proof};

use crate::build;
use crate::command::{cargo, read, run};

/// Cases at the same time.
const TOGETHER: usize = 2;

/// How one case went.
struct Ran {
    case: String,
    took: Duration,
    /// The output where it failed.
    failed: Option<String>,
}

pub fn run_all(root: &Path, args: &[String], skips: Option<&Path>) -> Result<()> {
    let built = args.iter().any(|arg| arg == "--no-build");
    let wanted: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--no-build").collect();
    if let Some(unknown) = wanted.iter().find(|case| !CASES.contains(case)) {
        bail!("`{unknown}` is no case; known are {}", CASES.join(", "));
    }
    if !built {
        build::guests(root)?;
        run(cargo().current_dir(root).args(["build", "--release", "--workspace", "--lib", "--bins", "--tests"]))?;
    }
    let binary = binary(root)?;
    let listed = read(Command::new(&binary).args(["--list", "--format", "terse"]))?;
    let tests = cases::by_case(listed.lines().filter_map(|line| line.strip_suffix(": test")));
    let path = cases::document(root);
    let mut document = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        document = cases::rewritten(&document, &tests);
        fs::write(&path, &document)?;
    }
    let (wrong, unnamed) = cases::check(&document, &tests);
    let ran = all(&binary, root, skips, &tests, &wanted)?;
    print(&document, &tests, &ran, &wanted);
    for test in &unnamed {
        println!("not in {} yet: {test}; `UPDATE_GOLDEN=1 cargo xtask hostile` writes it", path.display());
    }
    let failed: Vec<&Ran> = ran.values().filter(|ran| ran.failed.is_some()).collect();
    for ran in &failed {
        println!("\n== {} failed\n{}", ran.case, ran.failed.as_deref().unwrap_or_default());
    }
    ensure!(wrong.is_empty(), "the threat model and the tests do not agree:\n  {}", wrong.join("\n  "));
    ensure!(failed.is_empty(), "{} of {} cases failed", failed.len(), ran.len());
    Ok(())
}

/// The test binary, built where it is not. Libraries and programs are named beside it, so that no
/// other set of features is built.
fn binary(root: &Path) -> Result<PathBuf> {
    let mut command = cargo();
    command.current_dir(root).args([
        "test",
        "--release",
        "--workspace",
        "--lib",
        "--bins",
        "--test",
        "hostile",
        "--no-run",
        "--quiet",
        "--message-format",
        "json",
    ]);
    let output = read(&mut command)?;
    let found = output.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let hostile = message["target"]["name"] == "hostile" && message["reason"] == "compiler-artifact";
        hostile.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    found.context("cargo built no test binary `hostile`")
}

/// Runs the cases that have tests, a few at a time.
fn all(binary: &Path, root: &Path, skips: Option<&Path>, tests: &BTreeMap<String, Vec<String>>, wanted: &[&str]) -> Result<BTreeMap<String, Ran>> {
    let cases: Vec<(&String, &Vec<String>)> = tests.iter().filter(|(case, _)| wanted.is_empty() || wanted.contains(&case.as_str())).collect();
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::sync_channel(CASES.len());
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            let (send, next, cases) = (send.clone(), &next, &cases);
            scope.spawn(move || {
                while let Some((case, tests)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ran = one(binary, root, skips, case, tests);
                    eprintln!("  {case} {}", if ran.as_ref().is_ok_and(|ran| ran.failed.is_none()) { "ok" } else { "FAILED" });
                    if send.send(ran).is_err() {
                        return;
                    }
                }
            });
        }
    });
    drop(send);
    receive.into_iter().map(|ran| ran.map(|ran| (ran.case.clone(), ran))).collect()
}

fn one(binary: &Path, root: &Path, skips: Option<&Path>, case: &str, tests: &[String]) -> Result<Ran> {
    let started = Instant::now();
    let mut command = Command::new(binary);
    // Where cargo starts the tests of that package.
    command.current_dir(root.join("tests")).arg("--exact").args(tests);
    if let Some(skips) = skips {
        command.env("BULKHEAD_SKIPS", skips);
    }
    let output = command.output().with_context(|| format!("cannot run {}", binary.display()))?;
    let failed = (!output.status.success()).then(|| format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)));
    Ok(Ran { case: case.to_owned(), took: started.elapsed(), failed })
}

fn print(document: &str, tests: &BTreeMap<String, Vec<String>>, ran: &BTreeMap<String, Ran>, wanted: &[&str]) {
    println!("\n{:<5} {:>9}  {:<6}  what, and by what it is proved", "case", "seconds", "");
    let rows = cases::rows(document);
    let (mut good, mut all) = (0, 0);
    for case in CASES.iter().filter(|case| wanted.is_empty() || wanted.contains(case)) {
        all += 1;
        let row = rows.iter().find(|row| row.case == *case);
        let what = row.map_or("", |row| row.what.as_str());
        match (ran.get(*case), row.map(|row| &row.proof)) {
            (Some(ran), _) => {
                let passed = ran.failed.is_none();
                good += usize::from(passed);
                println!("{case:<5} {:>9.2}  {:<6}  {what}", ran.took.as_secs_f64(), if passed { "ok" } else { "FAILED" });
                for test in tests.get(*case).into_iter().flatten() {
                    println!("{:<25}{test}", "");
                }
            }
            (None, Some(Proof::Reason(reason))) => {
                good += 1;
                println!("{case:<5} {:>9}  {:<6}  {what}\n{:<25}{reason}", "", "reason", "");
            }
            (None, _) => println!("{case:<5} {:>9}  {:<6}  {what}", "", "NOTHING"),
        }
    }
    let seconds: f64 = ran.values().map(|ran| ran.took.as_secs_f64()).sum();
    let count: usize = ran.keys().filter_map(|case| tests.get(case)).map(Vec::len).sum();
    println!("\n{good} of {all} cases, {count} tests, {seconds:.1} s of tests, {TOGETHER} at a time");
}
