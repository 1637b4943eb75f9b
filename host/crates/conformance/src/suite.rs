//! The checks of a guest by name, and how they are run: beside each other, each with a result of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};

use crate::bench::Bench;
use crate::guest::Guest;
use crate::{case, connector, formatter, manifest, streams, table};

type Run = Box<dyn Fn(&Bench, &Guest) -> Result<()> + Send + Sync>;

/// A named check of one guest.
pub struct Check {
    /// `status::503`, `case::…`.
    pub name: String,
    pub guest: Arc<Guest>,
    run: Run,
}

impl Check {
    pub fn new(name: impl Into<String>, guest: &Arc<Guest>, run: impl Fn(&Bench, &Guest) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), guest: Arc::clone(guest), run: Box::new(run) }
    }

    /// What is wrong, if anything.
    pub fn failure(&self, bench: &Bench) -> Option<String> {
        // A panic of one check is its own failure.
        match catch_unwind(AssertUnwindSafe(|| (self.run)(bench, &self.guest))) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some("panicked; the message is above".to_owned()),
        }
    }
}

/// Every check that a guest must pass: what holds for its kind, then its own cases.
pub fn checks(guest: &Arc<Guest>) -> Result<Vec<Check>> {
    let mut checks = vec![
        Check::new("manifest_is_valid", guest, |_, guest| manifest::is_valid(guest)),
        Check::new("imports_are_wanted", guest, |_, guest| manifest::imports_are_wanted(guest)),
    ];
    let mut add = |name: &str, run: fn(&Bench, &Guest) -> Result<()>| checks.push(Check::new(name, guest, run));
    if guest.is_formatter() {
        add("refuses_unknown_configuration", formatter::refuses_unknown_configuration);
        add("same_events_same_bytes", formatter::same_events_same_bytes);
        add("takes_the_largest_batch", formatter::takes_the_largest_batch);
        add("takes_every_sample", formatter::takes_every_sample);
    } else {
        add("refuses_unknown_configuration", connector::refuses_unknown_configuration);
        if guest.does("deliver") {
            add("takes_the_largest_batch", connector::takes_the_largest_batch);
            delivering(guest, &mut checks);
        } else {
            let config = guest.cases.iter().find(|case| case.is_pull()).map_or_else(|| guest.least_config(), |case| case.config())?;
            checks.extend(table::ROWS.iter().map(|row| {
                let config = config.clone();
                Check::new(format!("status::{}", row.name), guest, move |bench, guest| table::pull(bench, guest, row, &config))
            }));
        }
    }
    if guest.cases.is_empty() {
        checks.push(Check::new("has_cases", guest, |_, guest| {
            let folder = guest.folder.as_ref().map_or_else(|| "cases".to_owned(), |folder| folder.display().to_string());
            bail!("there are no cases in {folder}; docs/authors/testing.md says how they look")
        }));
    }
    for case in &guest.cases {
        let own = Arc::clone(case);
        checks.push(Check::new(format!("case::{}", case.name.replace(' ', "_")), guest, move |bench, guest| case::play(bench, guest, &own)));
    }
    Ok(checks)
}

fn delivering(guest: &Arc<Guest>, checks: &mut Vec<Check>) {
    if guest.wants("http") {
        checks.push(Check::new("same_batch_same_requests", guest, connector::same_batch_same_requests));
        checks.push(Check::new("keeps_what_was_accepted", guest, connector::keeps_what_was_accepted));
        checks.extend(table::ROWS.iter().map(|row| Check::new(format!("status::{}", row.name), guest, move |bench, guest| table::play(bench, guest, row))));
    } else if guest.wants("tcp") {
        checks.extend(streams::ROWS.iter().map(|row| Check::new(format!("peer::{}", row.name), guest, move |bench, guest| streams::play(bench, guest, row))));
    }
}

/// Checks that run beside each other: most of their time they wait for a receiver that is slow on purpose.
const BESIDE: usize = 8;

/// Runs checks and hands each with its failure to `heard`, in the order in which they end. Answers how many failed.
pub fn run(bench: &Bench, checks: &[Check], heard: impl Fn(&Check, Option<&str>) + Sync) -> usize {
    let (next, failed, turn) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(()));
    std::thread::scope(|scope| {
        for _ in 0..BESIDE.min(checks.len()) {
            scope.spawn(|| {
                while let Some(check) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let failure = check.failure(bench);
                    if failure.is_some() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    let _one = turn.lock().unwrap_or_else(PoisonError::into_inner);
                    heard(check, failure.as_deref());
                }
            });
        }
    });
    failed.into_inner()
}
