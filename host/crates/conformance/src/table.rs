//! The status table: what a receiver answers, and what the host must hear from any connector that
//! speaks HTTP. Three events each; a credential is set, and must not show up in a log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bulkhead_core::{DeliverError, Delivery, Failure, Outcome};
use bulkhead_fault_server::receiver::{Script, Step};
use bulkhead_sandbox::{Credential, Destination, DestinationSettings};

use crate::bench::{Bench, RECEIVED, refs, store};
use crate::case::HUGE_MIB;
use crate::connector::deliver;
use crate::guest::Guest;
use crate::sink::Rules;
use crate::world::World;

pub struct Row {
    pub name: &'static str,
    /// What the receiver answers; what the guest's own receiver says of events it takes where there is none.
    step: Option<fn() -> Step>,
    want: Want,
}

#[derive(Clone, Copy)]
enum Want {
    Accepted,
    /// The receiver will never take it, or people must change something: not tried again by itself.
    Permanent,
    Unauthorized,
    TooLarge,
    /// Accepted, or tried again where the body must be the receiver's own.
    AcceptedOrAgain,
    /// Tried again, after this wait where the receiver named one.
    Again(Option<u64>),
}

pub static ROWS: &[Row] = &[
    Row { name: "200", step: None, want: Want::Accepted },
    Row { name: "400", step: Some(|| Step::status(400)), want: Want::Permanent },
    Row { name: "401", step: Some(|| Step::status(401)), want: Want::Unauthorized },
    Row { name: "403", step: Some(|| Step::status(403)), want: Want::Unauthorized },
    Row { name: "408", step: Some(|| Step::status(408)), want: Want::Again(None) },
    Row { name: "413", step: Some(|| Step::status(413)), want: Want::TooLarge },
    Row { name: "429", step: Some(|| Step::status(429)), want: Want::Again(None) },
    Row { name: "429_retry_after", step: Some(|| Step::retry_after(429, 7)), want: Want::Again(Some(7)) },
    Row { name: "500", step: Some(|| Step::status(500)), want: Want::Again(None) },
    Row { name: "502", step: Some(|| Step::status(502)), want: Want::Again(None) },
    Row { name: "503", step: Some(|| Step::status(503)), want: Want::Again(None) },
    Row { name: "503_retry_after", step: Some(|| Step::retry_after(503, 11)), want: Want::Again(Some(11)) },
    Row {
        name: "redirect",
        step: Some(|| Step::Answer { status: 302, headers: vec![("Location".to_owned(), "http://127.0.0.1:1/".to_owned())], body: String::new() }),
        want: Want::Permanent,
    },
    Row { name: "timeout", step: Some(|| Step::Hang(Duration::from_secs(20))), want: Want::Again(None) },
    Row { name: "reset", step: Some(|| Step::Reset), want: Want::Again(None) },
    Row { name: "garbage", step: Some(|| Step::Garbage), want: Want::Again(None) },
    Row { name: "slow_body", step: Some(|| Step::Drip(Duration::from_secs(20))), want: Want::Again(None) },
    Row { name: "truncated_body", step: Some(|| Step::Truncated), want: Want::Again(None) },
    Row { name: "huge_body", step: Some(|| Step::Huge(HUGE_MIB)), want: Want::AcceptedOrAgain },
    Row { name: "200_with_a_strange_body", step: Some(|| Step::answer(200, "<html>welcome</html>")), want: Want::AcceptedOrAgain },
];

const SECRET: &str = "conformance-secret-5b1f";

impl Row {
    fn script(&self, guest: &Guest) -> Result<Script> {
        Ok(Script::always(match self.step {
            Some(step) => step(),
            None => guest.acceptance()?,
        }))
    }
}

pub fn play(bench: &Bench, guest: &Guest, row: &Row) -> Result<()> {
    let world = World::new(row.script(guest)?, &Rules::default())?;
    let mut grants = world.grants(guest)?;
    let credential = Credential::bearer("conformance", secrecy::SecretString::from(SECRET.to_owned()))?;
    let settings = DestinationSettings { url: world.receiver.url(), credential: Some(Arc::new(credential)), ..DestinationSettings::default() };
    grants.destinations = vec![Destination::new("primary", settings)?];
    let events =
        [r#"{"id":"1","type":"a","time":"2026-01-02T03:04:05Z"}"#, r#"{"id":"2","type":"b","time":"2026-01-02T03:04:06Z"}"#, r#"{"id":"3","message":"c"}"#];
    let stored = store(events, RECEIVED)?;
    let events = refs(&stored)?;
    let (format, records) = bench.records(guest.format(), &events)?;
    let mut connector = bench.connector(guest, &guest.config()?, &format, grants)?;
    // A connector of one event a request is handed one event.
    let count = connector.limits().max_events.map_or(events.len(), |most| events.len().min(most as usize));
    let mut heard = deliver(bench, &mut *connector, &events, &records, (0, count), 1);
    // A batch refused as a whole may be sent in halves, if one event alone is rejected in the end.
    let halves = matches!((row.want, &heard), (Want::Permanent, Err(DeliverError::Failure(Failure::TooLarge(_)))));
    let count = if halves && count > 1 {
        heard = deliver(bench, &mut *connector, &events, &records, (0, 1), 1);
        1
    } else {
        count
    };
    let log = bench.log();
    ensure!(!log.iter().any(|line| line.contains(SECRET)), "the secret is in the log: {log:?}");
    ensure!(!format!("{heard:?}").contains(SECRET), "the secret is in the outcome: {heard:?}");
    ensure!(!world.receiver.kept().is_empty(), "no request came; {heard:?}");
    judge(row.want, &heard, count)
}

/// The same for guests that only bring records. What a page is, its own cases say.
pub fn pull(bench: &Bench, guest: &Guest, row: &Row, config: &str) -> Result<()> {
    let world = World::new(row.script(guest)?, &Rules::default())?;
    let format = bulkhead_core::RecordFormat { name: "json".to_owned(), content_type: "application/json".to_owned() };
    let mut connector = bench.connector(guest, config, &format, world.grants(guest)?)?;
    match (row.want, bench.runtime.block_on(connector.pull(b""))) {
        (_, Err(DeliverError::Fault(fault))) => bail!("the guest fails: {fault}"),
        (Want::Accepted | Want::AcceptedOrAgain, _) | (Want::Permanent | Want::TooLarge, Err(DeliverError::Failure(Failure::Other(_)))) => Ok(()),
        (want, Err(DeliverError::Failure(failure))) => judge_failure(want, &failure),
        (_, Ok(page)) => bail!("a page of {} events", page.events.len()),
    }
}

fn judge(want: Want, heard: &Result<Delivery, DeliverError>, count: usize) -> Result<()> {
    let outcomes = match heard {
        Ok(Delivery::All(outcome)) => vec![outcome.clone(); count],
        Ok(Delivery::Each(outcomes)) => outcomes.clone(),
        Err(DeliverError::Failure(failure)) => return judge_failure(want, failure),
        Err(DeliverError::Fault(fault)) => bail!("the guest fails: {fault}"),
    };
    ensure!(outcomes.len() == count, "{} outcomes for {count} events", outcomes.len());
    for outcome in outcomes {
        let right = match (want, &outcome) {
            (Want::Accepted | Want::AcceptedOrAgain, Outcome::Accepted { .. }) | (Want::Permanent | Want::TooLarge, Outcome::Rejected { .. }) => true,
            (Want::Again(seconds), Outcome::Retry { after }) => *after == seconds.map(Duration::from_secs),
            _ => false,
        };
        ensure!(right, "{outcome:?}");
    }
    Ok(())
}

fn judge_failure(want: Want, failure: &Failure) -> Result<()> {
    let right = match (want, failure) {
        (Want::Permanent, Failure::Configuration(_)) | (Want::Unauthorized, Failure::Unauthorized(_)) | (Want::TooLarge, Failure::TooLarge(_)) => true,
        (Want::Again(seconds), Failure::Unavailable { after, .. }) => *after == seconds.map(Duration::from_secs),
        // "Anything else" is tried again, but names no wait.
        (Want::Again(None) | Want::AcceptedOrAgain, Failure::Other(_) | Failure::Unavailable { .. }) => true,
        // In halves is again.
        (Want::AcceptedOrAgain, Failure::TooLarge(_)) => true,
        _ => false,
    };
    ensure!(right, "{failure:?}");
    Ok(())
}
