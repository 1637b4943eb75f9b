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

mod costs;
mod frozen;
mod page;
mod seeded;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = costs::counted(&args) {
        if let Err(error) = result {
            eprintln!("conformance: {error:#}");
            std::process::exit(1);
        }
        return;
    }
    let wanted: Vec<String> = args.into_iter().filter(|arg| !arg.starts_with('-')).collect();
    let list = std::env::args().any(|arg| arg == "--list");
    let (bench, guests, all) = match bench().and_then(|bench| checks().map(|(guests, all)| (bench, guests, all))) {
        Ok(all) => all,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            std::process::exit(101);
        }
    };
    let is_wanted = |title: &str| wanted.is_empty() || wanted.iter().any(|part| title.contains(part.as_str()));
    let (chosen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|check| is_wanted(&title(check)));
    let costs: Vec<&str> = [costs::FUEL, costs::INSTRUCTIONS].into_iter().filter(|name| is_wanted(name)).collect();
    if list {
        chosen.iter().map(title).chain(costs.iter().map(|name| (*name).to_owned())).for_each(|title| println!("{title}: test"));
        return;
    }
    let count = chosen.len() + costs.len();
    println!("\nrunning {count} tests");
    let start = Instant::now();
    let failures = Mutex::new(Vec::new());
    let heard = |title: String, failure: Option<&str>| {
        println!("test {title} ... {}", if failure.is_none() { "ok" } else { "FAILED" });
        if let Some(failure) = failure {
            failures.lock().unwrap_or_else(PoisonError::into_inner).push((title, failure.to_owned()));
        }
    };
    suite::run(&bench, &chosen, |check, failure| heard(title(check), failure));
    // Behind the others: their calls would count too.
    for name in costs {
        heard(name.to_owned(), costs::check(name, &bench, &guests).err().map(|error| format!("{error:#}")).as_deref());
    }
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, failure) in &failures {
        println!("\n---- {name} ----\n{failure}");
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        count - failures.len(),
        failures.len(),
        others.len(),
        start.elapsed().as_secs_f64()
    );
    if !failures.is_empty() {
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
fn checks() -> Result<(Vec<Arc<Guest>>, Vec<Check>)> {
    let folder = root().join("connectors");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    folders.retain(|path| path.join("Cargo.toml").is_file());
    folders.sort();
    if folders.is_empty() {
        bail!("no guest in {}", folder.display());
    }
    let (mut guests, mut checks) = (Vec::new(), Vec::new());
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let guest = Arc::new(Guest::new(&name, built(&name)?, Some(&folder.join("cases")))?);
        checks.push(Check::new("page_is_true", &guest, |_, guest| page::page_is_true(guest)));
        checks.extend(suite::checks(&guest).with_context(|| name.clone())?);
        guests.push(guest);
    }
    checks.extend(frozen::checks()?);
    checks.extend(seeded::checks()?);
    Ok((guests, checks))
}
