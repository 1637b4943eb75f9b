//! Conformance: walks `connectors/*` and makes one named test for each guest and check of the suite, which is the one
//! that authors run with `bulkhead test`. Beside it, connectors that break one rule each show that the suite finds it.
//!
//! It is its own harness, so that a failure names the guest and the case: `format-cef::case::escapes`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bulkhead_conformance::{Bench, Check, Guest, suite};
use bulkhead_tests::host::root;

mod frozen;
mod page;
mod seeded;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let list = std::env::args().any(|arg| arg == "--list");
    let (bench, all) = match bench().and_then(|bench| Ok((bench, checks()?))) {
        Ok(all) => all,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            std::process::exit(101);
        }
    };
    let (chosen, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|check| wanted.is_empty() || wanted.iter().any(|part| title(check).contains(part.as_str())));
    if list {
        chosen.iter().for_each(|check| println!("{}: test", title(check)));
        return;
    }
    println!("\nrunning {} tests", chosen.len());
    let start = Instant::now();
    let failures = Mutex::new(Vec::new());
    let failed = suite::run(&bench, &chosen, |check, failure| {
        println!("test {} ... {}", title(check), if failure.is_none() { "ok" } else { "FAILED" });
        if let Some(failure) = failure {
            failures.lock().unwrap_or_else(PoisonError::into_inner).push((title(check), failure.to_owned()));
        }
    });
    for (name, failure) in failures.into_inner().unwrap_or_else(PoisonError::into_inner) {
        println!("\n---- {name} ----\n{failure}");
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        chosen.len() - failed,
        others.len(),
        start.elapsed().as_secs_f64()
    );
    if failed > 0 {
        std::process::exit(101);
    }
}

fn title(check: &Check) -> String {
    format!("{}::{}", check.guest.name, check.name)
}

/// The bytes of a built guest.
fn built(name: &str) -> Result<Vec<u8>> {
    let path = root().join("target/guests").join(format!("{name}.wasm"));
    std::fs::read(&path).with_context(|| format!("{}; `cargo xtask build-guests` makes it", path.display()))
}

fn bench() -> Result<Bench> {
    Bench::new(Box::new(built), None)
}

/// Every folder of `connectors/` is a guest.
fn checks() -> Result<Vec<Check>> {
    let folder = root().join("connectors");
    let mut guests: Vec<PathBuf> = std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    guests.retain(|path| path.join("Cargo.toml").is_file());
    guests.sort();
    if guests.is_empty() {
        bail!("no guest in {}", folder.display());
    }
    let mut checks = Vec::new();
    for folder in guests {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let guest = Arc::new(Guest::new(&name, built(&name)?, Some(&folder.join("cases")))?);
        checks.push(Check::new("page_is_true", &guest, |_, guest| page::page_is_true(guest)));
        checks.extend(suite::checks(&guest).with_context(|| name.clone())?);
    }
    checks.extend(frozen::checks()?);
    checks.extend(seeded::checks()?);
    Ok(checks)
}
