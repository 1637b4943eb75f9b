//! A delivery that a host kept, run again: the guest is handed the same, the host answers the same, and nothing is
//! reached. What comes of it is held against what came of it then.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bulkhead_core::{BatchLimits, EventBatch, RecordBatch, RecordFormat};
use bulkhead_sandbox::capture::{self, Captured, End, FORM, Playback, Recording, Said};
use bulkhead_sandbox::{ConnectorGrants, Destination, DestinationSettings};

use crate::bench::{Bench, Source};
use crate::guest::Guest;

/// Largest file of captures.
pub const MAX_FILE: u64 = 64 << 20;

/// What came of one.
#[derive(Debug)]
pub struct Replayed {
    pub end: End,
    /// Empty where all was the same.
    pub differences: Vec<String>,
}

/// The captures of a file: one, or a list as hosts answer it.
pub fn read(text: &str) -> Result<Vec<Captured>> {
    let value: serde_json::Value = serde_json::from_str(text).context("the file is no JSON")?;
    let list = match value {
        serde_json::Value::Object(mut object) if object.contains_key("data") => object.remove("data").unwrap_or_default(),
        one @ serde_json::Value::Object(_) => serde_json::Value::Array(vec![one]),
        other => other,
    };
    let serde_json::Value::Array(list) = list else { bail!("the file holds no captures") };
    let read = |(place, one): (usize, serde_json::Value)| {
        let form = one["capture"].as_u64();
        ensure!(form == Some(FORM.into()), "capture {place} has the form {form:?}; this bulkhead reads {FORM}");
        let captured: Captured = serde_json::from_value(one).with_context(|| format!("capture {place} cannot be read"))?;
        fits(&captured).with_context(|| format!("capture {place}"))?;
        Ok(captured)
    };
    list.into_iter().enumerate().map(read).collect()
}

/// A file is a stranger's: spans and offsets lie within their blocks, as guests rely on.
fn fits(captured: &Captured) -> Result<()> {
    let (events, records) = (&captured.events, &captured.records);
    let count = events.count as usize;
    ensure!(
        count > 0 && events.spans.len() == count * captured.fields.len() * 3,
        "{} numbers for {count} events and {} fields",
        events.spans.len(),
        captured.fields.len()
    );
    let (spans, rest) = events.spans.as_chunks::<3>();
    let inside = |span: &[u32; 3]| (span[0] as usize).checked_add(span[1] as usize).is_some_and(|end| end <= events.block.0.len()) && span[2] <= 7;
    ensure!(rest.is_empty() && spans.iter().all(inside), "a span lies outside of its block");
    let batch = RecordBatch { block: records.block.0.clone(), offsets: records.offsets.clone() };
    batch.check(count).map_err(|problem| anyhow::anyhow!("{problem}"))
}

/// A bench whose clock stands where it stood then.
pub fn bench(source: Source, kept: Option<&Path>, captured: &Captured) -> Result<Bench> {
    Bench::at(source, kept, captured.at)
}

/// Runs one again, in a fresh guest.
pub fn run(bench: &Bench, guest: &Guest, captured: &Captured, config: Option<&str>) -> Result<Replayed> {
    ensure!(!guest.is_formatter(), "the component is a formatter; deliveries are captured of connectors");
    // The same bytes may go by another name at a host; another component is no comparison.
    ensure!(
        guest.name == captured.component || guest.inspection.digest_hex() == captured.digest,
        "the capture is of `{}`, the component is `{}`",
        captured.component,
        guest.name
    );
    if let Some(why) = capture::hindrance(guest.inspection.capabilities.iter().copied()) {
        bail!("{} cannot be run again: {why}", guest.name);
    }
    let playback = Arc::new(Playback::new(captured));
    // Never reached: every call is answered from the capture. It is there so that the interface is.
    let settings = DestinationSettings { url: "http://127.0.0.1:1".to_owned(), ..DestinationSettings::default() };
    let destinations = if guest.wants("http") { vec![Destination::new("primary", settings)?] } else { Vec::new() };
    let grants = ConnectorGrants { destinations, recording: Recording::Played(Arc::clone(&playback)), ..ConnectorGrants::default() };
    let format = RecordFormat { name: captured.format.name.clone(), content_type: captured.format.content_type.clone() };
    let config = config.map_or_else(|| captured.config.to_string(), str::to_owned);
    let mut connector = bench.connector(guest, &config, &format, grants)?;
    let records = RecordBatch { block: captured.records.block.0.clone(), offsets: captured.records.offsets.clone() };
    let events = EventBatch { count: captured.events.count, block: captured.events.block.0.clone(), spans: captured.events.spans.clone() };
    let limits = connector.limits();
    let end = End::of(&bench.runtime.block_on(connector.deliver(&records, &events, captured.attempt)));
    let end = if captured.redacted { end.masked_as(&captured.end) } else { end };
    let mut differences = playback.differences();
    differences.extend(too_much(limits, events.count, records.block.len()));
    if end != captured.end {
        differences.push(format!("the outcome was {}, now {}", in_words(&captured.end), in_words(&end)));
    }
    Ok(Replayed { end, differences })
}

/// Where a host would hand the batch over in parts now; a single event it hands over in any case.
fn too_much(limits: BatchLimits, events: u32, bytes: usize) -> Option<String> {
    let over = limits.max_events.is_some_and(|most| events > most.max(1)) || limits.max_bytes.is_some_and(|most| bytes > most.max(1) as usize);
    let said = |most: Option<u32>| most.map_or_else(|| "any number of".to_owned(), |most| most.to_string());
    (events > 1 && over).then(|| {
        format!("the connector takes {} events and {} bytes at once; it was handed {events} and {bytes}", said(limits.max_events), said(limits.max_bytes))
    })
}

/// How a call ended, in a line.
pub fn in_words(end: &End) -> String {
    let said = |said: &Said| {
        let text = said.text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        let wait = said.wait_ms.map(|wait| format!(" after {wait} ms")).unwrap_or_default();
        format!("{}{wait}{text}", said.word)
    };
    match end {
        End::All(one) => said(one),
        End::Each(all) => all.iter().map(said).collect::<Vec<_>>().join(", "),
        End::Failure(failure) => format!("a failure of the call: {}", said(failure)),
        End::Fault(text) => format!("a fault: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_would_come_in_parts_now_is_other() {
        let limits = |max_events, max_bytes| BatchLimits { max_events, max_bytes };
        assert_eq!(too_much(limits(None, None), 9, 90), None);
        assert_eq!(too_much(limits(Some(9), Some(90)), 9, 90), None);
        assert_eq!(too_much(limits(None, Some(10)), 1, 90), None, "one event is always handed over");
        let said = too_much(limits(Some(8), None), 9, 90).unwrap_or_default();
        assert!(said.contains("takes 8 events and any number of bytes at once; it was handed 9 and 90"), "{said}");
        assert!(too_much(limits(None, Some(89)), 9, 90).is_some());
    }

    #[test]
    fn files_that_are_none_say_so() {
        for (text, part) in [
            ("{", "no JSON"),
            ("7", "no captures"),
            (r#"{"data":{}}"#, "no captures"),
            (r#"{"capture":2}"#, "the form Some(2); this bulkhead reads 1"),
            (r#"[{"capture":1}]"#, "capture 0 cannot be read"),
        ] {
            let said = format!("{:#}", read(text).expect_err(part));
            assert!(said.contains(part), "{said}");
        }
        let whole = r#"{"capture":1,"instance":"i","component":"c","digest":"d","config":{},"format":{"name":"json","content_type":"application/json"},"fields":["/id"],"events":{"count":1,"block":"a","spans":[0,1,4]},"records":{"block":"{}","offsets":[0,2]},"attempt":1,"before":0,"at":0,"calls":[],"end":{"all":{"word":"accepted"}}}"#;
        assert_eq!(read(whole).expect("read").len(), 1);
        assert!(read(r#"{"data":[]}"#).expect("read").is_empty());
        for (from, to, part) in [("[0,1,4]", "[1,1,4]", "outside of its block"), ("[0,1,4]", "[0]", "1 numbers"), ("[0,2]", "[0,3]", "offsets")] {
            let said = format!("{:#}", read(&whole.replace(from, to)).expect_err(part));
            assert!(said.contains(part), "{said}");
        }
    }
}
