//! Conformance: walks `connectors/*` and makes one named test for each guest and check. Authors add
//! only `cases/*.toml` (see docs/authors/testing.md); a folder without cases fails.
//!
//! It is its own harness, so that a failure names the guest and the case: `format-cef::case::escapes`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bulkhead_tests::host::root;

mod bench;
mod case;
mod connector;
mod formatter;
mod page;
mod pattern;
mod sink;
mod streams;
mod table;

use bench::Bench;

/// A named check.
struct Check {
    name: String,
    run: Box<dyn Fn() -> Result<()>>,
}

impl Check {
    fn new(name: String, run: impl Fn() -> Result<()> + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let list = std::env::args().any(|arg| arg == "--list");
    let all = match checks() {
        Ok(all) => all,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            std::process::exit(101);
        }
    };
    let (chosen, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|check| wanted.is_empty() || wanted.iter().any(|part| check.name.contains(part.as_str())));
    if list {
        chosen.iter().for_each(|check| println!("{}: test", check.name));
        return;
    }
    println!("\nrunning {} tests", chosen.len());
    let start = Instant::now();
    let mut failures = BTreeMap::new();
    for check in &chosen {
        // A panic of one check is its own failure.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (check.run)()));
        let failure = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some("panicked; the message is above".to_owned()),
        };
        println!("test {} ... {}", check.name, if failure.is_none() { "ok" } else { "FAILED" });
        if let Some(failure) = failure {
            failures.insert(&check.name, failure);
        }
    }
    for (name, failure) in &failures {
        println!("\n---- {name} ----\n{failure}");
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        chosen.len() - failures.len(),
        failures.len(),
        others.len(),
        start.elapsed().as_secs_f64()
    );
    if !failures.is_empty() {
        std::process::exit(101);
    }
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
    let bench = Arc::new(Bench::new()?);
    let mut checks = Vec::new();
    for folder in guests {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        checks.extend(of_guest(&bench, &name, folder).with_context(|| name.clone())?);
    }
    Ok(checks)
}

fn of_guest(bench: &Arc<Bench>, name: &str, folder: PathBuf) -> Result<Vec<Check>> {
    let guest = Arc::new(bench::Guest { name: name.to_owned(), folder });
    let cases: Vec<Arc<case::Case>> = case::read(&guest.folder)?.into_iter().map(Arc::new).collect();
    let willing = cases.iter().find(|case| case.willing).cloned();
    let mut checks = Vec::new();
    let mut add = |check: &str, run: fn(&Bench, &bench::Guest) -> Result<()>| {
        let (bench, guest) = (Arc::clone(bench), Arc::clone(&guest));
        checks.push(Check::new(format!("{name}::{check}"), move || run(&bench, &guest)));
    };
    add("manifest_is_valid", bench::manifest_is_valid);
    add("imports_are_wanted", bench::imports_are_wanted);
    add("page_is_true", page::page_is_true);
    if name.starts_with("format-") {
        add("refuses_unknown_configuration", formatter::refuses_unknown_configuration);
        add("same_events_same_bytes", formatter::same_events_same_bytes);
        add("takes_the_largest_batch", formatter::takes_the_largest_batch);
        add("takes_every_sample", formatter::takes_every_sample);
    } else {
        add("refuses_unknown_configuration", connector::refuses_unknown_configuration);
        if !bench.does(&guest, "deliver")? {
            let config = match cases.iter().find(|case| case.is_pull()) {
                Some(case) => case.config()?,
                None => connector::least_config(bench, &guest)?,
            };
            for row in table::ROWS {
                let (bench, guest, config) = (Arc::clone(bench), Arc::clone(&guest), config.clone());
                checks.push(Check::new(format!("{name}::status::{}", row.name), move || table::pull(&bench, &guest, row, &config)));
            }
            return Ok(with_cases(bench, &guest, cases, checks));
        }
        let (own, of, receiver) = (Arc::clone(bench), Arc::clone(&guest), willing.clone());
        checks.push(Check::new(format!("{name}::takes_the_largest_batch"), move || connector::takes_the_largest_batch(&own, &of, receiver.as_deref())));
        if bench.wants(&guest, "http")? {
            for row in table::ROWS {
                let (bench, guest) = (Arc::clone(bench), Arc::clone(&guest));
                checks.push(Check::new(format!("{name}::status::{}", row.name), move || table::play(&bench, &guest, row)));
            }
        } else if bench.wants(&guest, "tcp")? {
            for row in streams::ROWS {
                let (bench, guest, willing) = (Arc::clone(bench), Arc::clone(&guest), willing.clone());
                checks.push(Check::new(format!("{name}::peer::{}", row.name), move || streams::play(&bench, &guest, row, willing.as_deref())));
            }
        }
    }
    Ok(with_cases(bench, &guest, cases, checks))
}

fn with_cases(bench: &Arc<Bench>, guest: &Arc<bench::Guest>, cases: Vec<Arc<case::Case>>, mut checks: Vec<Check>) -> Vec<Check> {
    let name = &guest.name;
    if cases.is_empty() {
        let folder = guest.folder.join("cases");
        checks.push(Check::new(format!("{name}::has_cases"), move || bail!("{} has no cases; docs/authors/testing.md says how they look", folder.display())));
    }
    for case in cases {
        let (bench, guest) = (Arc::clone(bench), Arc::clone(guest));
        checks.push(Check::new(format!("{name}::case::{}", case.name.replace(' ', "_")), move || case::play(&bench, &guest, &case)));
    }
    checks
}
