//! What one event costs in the rooms before the guests, as pieces that can be timed (`benches/rooms.rs`) and whose
//! instructions can be counted (`conformance/costs.rs`). Each run of a piece is a hundred events.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use bulkhead_core::json::{Group, Ignore, Limits, Scanner};
use bulkhead_core::{EventRef, Projection, Severity};
use bulkhead_format::BatchBuilder;
use bulkhead_ingest::{Bounds, Media, Normaliser, Rules, read_events};
use bulkhead_journal::{AppendBatch, Durability, Journal, JournalSettings, LaneLog, LaneStart, Reader, RealFs};
use bulkhead_route::{Condition, LaneIndex, Route, Router, TypeName};
use bulkhead_tests::template::{Batch, Layout};

use super::stored;

/// Events of one run of a piece.
pub const EVENTS: usize = 100;
const RECEIVED: u64 = 1_762_000_000_000_000_000;
/// What a formatter of records for a SIEM asks for.
const FIELDS: [&str; 12] = [
    "/id",
    "/type",
    "/time",
    "/severity",
    "/user",
    "/host",
    "/data/payload/security_event_type",
    "/data/payload/affected_resources",
    "/data/context/environment/version",
    "/data/context/security/classification",
    "/compliance",
    "/integrityhash",
];

/// A piece of the way of an event.
pub struct Piece {
    pub name: &'static str,
    pub run: Box<dyn FnMut() -> Result<()>>,
}

/// All of them; the journal's files go into `dir`, which is not there yet.
pub fn pieces(dir: &Path) -> Result<Vec<Piece>> {
    Ok(vec![
        Piece { name: "scan", run: scan() },
        Piece { name: "normalise", run: normalise() },
        Piece { name: "journal", run: journal(dir)? },
        Piece { name: "route", run: route()? },
        Piece { name: "extract", run: extract()? },
    ])
}

/// The scanner alone: is it JSON, how deep, how long.
fn scan() -> Box<dyn FnMut() -> Result<()>> {
    let body = Batch::new(EVENTS, Layout::Lines).body;
    let mut scanner = Scanner::new(Limits::default());
    Box::new(move || {
        for line in body.split(|byte| *byte == b'\n') {
            ensure!(scanner.value(black_box(line), 0, Group::NONE, &mut Ignore).is_ok(), "a generated event is no JSON");
        }
        Ok(())
    })
}

/// A request's body to events in their stored form.
fn normalise() -> Box<dyn FnMut() -> Result<()>> {
    let body = Batch::new(EVENTS, Layout::Array).body;
    let mut normaliser = Normaliser::new(Rules::default());
    Box::new(move || {
        let mut batch = AppendBatch::with_capacity(body.len() * 2, EVENTS);
        let summary = read_events(&mut normaliser, &Media::Json, black_box(&body), RECEIVED, Bounds { events: EVENTS }, &mut batch)?;
        ensure!(summary.events == EVENTS && summary.faulty == 0, "{summary:?}");
        black_box(batch);
        Ok(())
    })
}

/// A frame appended, read by a lane and settled there. Without the wait for the disk, which is no work.
fn journal(dir: &Path) -> Result<Box<dyn FnMut() -> Result<()>>> {
    struct Open {
        runtime: tokio::runtime::Runtime,
        journal: Journal,
        lane: LaneLog,
        reader: Reader,
    }
    let events = stored(EVENTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (journal, _) = Journal::open(JournalSettings::new(dir, 4 << 30), Arc::new(RealFs))?;
    let lane = journal.lane("bench/json", LaneStart::Now)?;
    journal.lanes_ready();
    let reader = journal.reader(lane.cursor());
    let mut open = Open { runtime, journal, lane, reader };
    Ok(Box::new(move || {
        let Open { runtime, journal, lane, reader } = &mut open;
        let mut batch = AppendBatch::with_capacity(EVENTS * 1024, EVENTS);
        for event in &events {
            batch.buffer().extend_from_slice(event);
            batch.push_event()?;
        }
        runtime.block_on(async {
            journal.append(batch, Durability::Os).await?;
            let frame = reader.next().await?;
            ensure!(frame.events().count() == EVENTS, "another frame came back");
            lane.settle(frame.first(), frame.last());
            Ok(())
        })
    }))
}

/// Twelve rules, of which each event matches two.
fn route() -> Result<Box<dyn FnMut() -> Result<()>>> {
    let rule = |id: String, when, lane| Route {
        id: id.as_str().into(),
        name: "".into(),
        when,
        to: vec![LaneIndex(lane)],
        exclusive: false,
        beside: false,
        tenant: None,
        priority: 100,
    };
    let of_type = |name: &str| Condition::EventType(vec![TypeName::new(name)]);
    let types = ["AccessEvent", "DataValidation", "SecurityEvent", "PerformanceMeasurement"];
    let mut rules: Vec<Route> = (0..).zip(types).map(|(lane, name)| rule(format!("type-{lane}"), of_type(name), lane)).collect();
    rules.extend((4..9).map(|lane| rule(format!("source-{lane}"), Condition::Source(vec![format!("/mainframe/{lane}").into()]), lane)));
    rules.push(rule("grave".into(), Condition::MinSeverity(Severity::Critical), 9));
    rules.push(rule("never".into(), Condition::And(vec![of_type("SecurityEvent"), Condition::Not(Box::new(Condition::MinSeverity(Severity::Info)))]), 10));
    rules.push(rule("all".into(), Condition::Always, 11));
    let router = Router::new(rules, &[], Vec::new(), 12)?;
    let events = stored(EVENTS)?;
    let mut lanes = router.lane_set();
    Ok(Box::new(move || {
        for event in &events {
            router.route(&EventRef::new(black_box(event))?, &mut lanes);
            ensure!(lanes.len() >= 2, "an event matches its type and `all`");
        }
        Ok(())
    }))
}

/// The fields that a formatter asks for, found and laid out for it.
fn extract() -> Result<Box<dyn FnMut() -> Result<()>>> {
    let projection = Projection::parse(&FIELDS.map(str::to_owned))?;
    let events = stored(EVENTS)?;
    let mut builder = BatchBuilder::default();
    Ok(Box::new(move || {
        let refs: Vec<EventRef<'_>> = events.iter().map(|event| EventRef::new(event)).collect::<Result<_, _>>()?;
        ensure!(!builder.fill(&projection, refs.into_iter()).block.is_empty(), "nothing was extracted");
        Ok(())
    }))
}
