//! Checks of connectors that hold for every receiver.

use anyhow::{Result, bail, ensure};
use bulkhead_core::{BatchLimits, Connector, DeliverError, Delivery, EventRef, Outcome, RecordBatch, RecordFormat};
use bulkhead_fault_server::receiver::{Kept, Script, Step};
use bulkhead_format::BatchBuilder;

use crate::bench::{Bench, RECEIVED, refs, store};
use crate::guest::Guest;
use crate::samples::samples;
use crate::sink::Rules;
use crate::world::World;

/// How long a call may take that has much to do.
const LONG: &str = "30s";

/// Hands over the events from `start` to `end` with their records, and waits for what is said of them.
pub fn deliver(
    bench: &Bench,
    connector: &mut dyn Connector,
    events: &[EventRef<'_>],
    records: &RecordBatch,
    (start, end): (usize, usize),
    attempt: u32,
) -> Result<Delivery, DeliverError> {
    let offsets = &records.offsets[start..=end];
    let part = RecordBatch {
        block: records.block[offsets[0] as usize..offsets[end - start] as usize].to_vec(),
        offsets: offsets.iter().map(|offset| offset - offsets[0]).collect(),
    };
    let mut builder = BatchBuilder::default();
    let batch = builder.fill(connector.projection(), events[start..end].iter().copied());
    bench.runtime.block_on(connector.deliver(&part, batch, attempt))
}

/// The outcomes of so many events.
pub fn outcomes(delivery: &Delivery, count: usize) -> Vec<Outcome> {
    match delivery {
        Delivery::All(outcome) => vec![outcome.clone(); count],
        Delivery::Each(outcomes) => outcomes.clone(),
    }
}

pub fn refuses_unknown_configuration(bench: &Bench, guest: &Guest) -> Result<()> {
    let world = World::with_sink(&Rules::default())?;
    let mut config: serde_json::Value = serde_json::from_str(&guest.config()?)?;
    config["no_such_key_here"] = 1.into();
    let format = RecordFormat { name: "json".to_owned(), content_type: "application/json".to_owned() };
    match bench.connector(guest, &config.to_string(), &format, world.grants(guest)?) {
        Ok(_) => bail!("an unknown key was accepted"),
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains("no_such_key_here"), "the refusal does not name the key: {text}");
            Ok(())
        }
    }
}

/// How many of these records a lane hands over at once: at least one, the rest within the connector's limits.
fn fits(limits: BatchLimits, offsets: &[u32]) -> usize {
    let most = limits.max_events.map_or(usize::MAX, |most| most as usize).min(offsets.len() - 1);
    let within = |count: &usize| limits.max_bytes.is_none_or(|most| offsets[*count] - offsets[0] <= most);
    (2..=most).take_while(within).last().unwrap_or(1)
}

/// A world whose receiver takes everything: the HTTP one, or a sink that answers as the guest's own case says.
pub fn willing_world(guest: &Guest) -> Result<World> {
    World::new(guest.accepting()?, &guest.willing().map(|case| case.sink.clone()).unwrap_or_default())
}

/// Hands over all events, as many at once as the guest takes, as the attempt of this number.
pub fn deliver_all(bench: &Bench, guest: &Guest, world: &World, events: &[EventRef<'_>], attempt: u32) -> Result<()> {
    let (format, records) = bench.records(guest.format(), events)?;
    let mut grants = world.grants(guest)?;
    grants.limits.set_text("deadline", LONG)?;
    let mut connector = bench.connector(guest, &guest.config()?, &format, grants)?;
    let mut start = 0;
    while start < events.len() {
        let end = start + fits(connector.limits(), &records.offsets[start..]);
        let delivery = deliver(bench, &mut *connector, events, &records, (start, end), attempt)?;
        let accepted = outcomes(&delivery, end - start);
        let willing = accepted.len() == end - start && accepted.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. }));
        ensure!(willing, "a willing receiver, and yet {delivery:?}");
        start = end;
    }
    Ok(())
}

/// As many events as a lane hands over at once by default, all accepted by a willing receiver.
pub fn takes_the_largest_batch(bench: &Bench, guest: &Guest) -> Result<()> {
    let stored = store(samples().into_iter().cycle().take(500), RECEIVED)?;
    deliver_all(bench, guest, &willing_world(guest)?, &refs(&stored)?, 1)
}

/// What is sent again is what was sent: receivers tell duplicates by it. Another instance, a later attempt, and the
/// same requests with the same bytes.
pub fn same_batch_same_requests(bench: &Bench, guest: &Guest) -> Result<()> {
    // Taken in once: an event without an id is given one.
    let stored = store(samples().into_iter().step_by(31), RECEIVED)?;
    let events = refs(&stored)?;
    let sent = |attempt: u32| -> Result<Vec<Kept>> {
        let world = willing_world(guest)?;
        deliver_all(bench, guest, &world, &events, attempt)?;
        Ok(world.receiver.kept())
    };
    let (first, again) = (sent(1)?, sent(2)?);
    ensure!(first.len() == again.len(), "{} requests at the first attempt, {} at the second", first.len(), again.len());
    for (place, (first, again)) in first.iter().zip(&again).enumerate() {
        let head = |kept: &Kept| (kept.head.method.clone(), kept.head.path.clone());
        ensure!(head(first) == head(again), "request {place} was {:?} at the first attempt and is {:?} at the second", head(first), head(again));
        // Each attempt has a receiver of its own, on a port of its own.
        let headers = |kept: &Kept| kept.head.headers.0.iter().filter(|(name, _)| name != "host").cloned().collect::<Vec<_>>();
        for (one, two) in headers(first).iter().zip(&headers(again)) {
            ensure!(one == two, "request {place}: header {one:?} at the first attempt, {two:?} at the second");
        }
        ensure!(first.body == again.body, "request {place} has another body at the second attempt");
    }
    Ok(())
}

/// Ids that no other text of a request contains.
const IDS: [&str; 3] = ["partial-9f31c0-one", "partial-9f31c0-two", "partial-9f31c0-three"];

/// Where the receiver has taken a part of the batch and then fails, that part is not sent again: it counts as accepted,
/// and what is left is tried again.
pub fn keeps_what_was_accepted(bench: &Bench, guest: &Guest) -> Result<()> {
    let world = World::new(Script::new([guest.acceptance()?]).then(Step::status(503)), &Rules::default())?;
    let json: Vec<String> = IDS.iter().map(|id| format!(r#"{{"id":"{id}","type":"a","time":"2026-01-02T03:04:05Z"}}"#)).collect();
    let stored = store(json.iter().map(String::as_str), RECEIVED)?;
    let events = refs(&stored)?;
    let (format, records) = bench.records(guest.format(), &events)?;
    let mut connector = bench.connector(guest, &guest.config()?, &format, world.grants(guest)?)?;
    let count = connector.limits().max_events.map_or(events.len(), |most| events.len().min(most as usize));
    let heard = deliver(bench, &mut *connector, &events, &records, (0, count), 1);
    let kept = world.receiver.kept();
    let Some(first) = kept.first() else { bail!("no request came; {heard:?}") };
    let body = String::from_utf8_lossy(&first.body);
    let taken: Vec<bool> = IDS.iter().take(count).map(|id| body.contains(id)).collect();
    // A request with everything, or one that is no delivery: nothing was taken in part.
    if kept.len() < 2 || !taken[0] || taken.iter().all(|taken| *taken) {
        return Ok(());
    }
    let outcomes = match &heard {
        Ok(delivery) => outcomes(delivery, count),
        Err(error) => bail!("the receiver took {}, and the whole batch comes again: {error}", IDS[0]),
    };
    for (place, (outcome, taken)) in outcomes.iter().zip(&taken).enumerate() {
        match (outcome, taken) {
            (Outcome::Accepted { .. } | Outcome::Pending { .. }, true) | (Outcome::Retry { .. }, false) => {}
            (outcome, true) => bail!("the receiver took {}, and it is {outcome:?}", IDS[place]),
            (outcome, false) => bail!("the receiver answered 503 for {}, and it is {outcome:?}", IDS[place]),
        }
    }
    Ok(())
}
