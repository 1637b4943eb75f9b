//! `instances.*.pull` → when runs are due: by an interval or by cron, one of the two.

use std::time::Duration;

use bulkhead_ingest::{Cron, CronFault, MissedRuns, PullSchedule, time_zones};

use super::checked::Fields;
use super::fault::{FaultKind, Faults};
use super::nearest;

/// Between two looks where nothing is said.
const INTERVAL: Duration = Duration::from_secs(60);
/// What goes with `cron` alone.
const OF_CRON: [&str; 2] = ["timezone", "missed"];

/// Nothing where it is at fault.
pub(super) fn schedule(fields: &Fields, key: &str, faults: &mut Faults) -> Option<PullSchedule> {
    let Some(text) = fields.text("cron") else {
        for name in OF_CRON.into_iter().filter(|name| fields.get(name).is_some()) {
            let hint = Some("write `cron: \"0 6 * * *\"`, or leave it out: an interval knows no clock, and begins with a run".to_owned());
            faults.push(FaultKind::Conflict, fields.span(name), format!("{key}.{name}"), format!("`{name}` goes with `cron`"), hint);
        }
        return Some(PullSchedule::Interval(fields.duration("interval").unwrap_or(INTERVAL)));
    };
    if fields.get("interval").is_some() {
        let hint = Some("leave one of them out".to_owned());
        faults.push(FaultKind::Conflict, fields.span("interval"), format!("{key}.interval"), "`interval` and `cron` exclude each other", hint);
    }
    let missed = if fields.text("missed").as_deref() == Some("skip") { MissedRuns::Skip } else { MissedRuns::Run };
    let zone = fields.text("timezone").unwrap_or_else(|| "UTC".to_owned());
    match Cron::new(&text, &zone) {
        Ok(cron) => return Some(PullSchedule::Cron(cron, missed)),
        Err(fault @ CronFault::Zone(_)) => {
            faults.push(FaultKind::UnknownReference, fields.span("timezone"), format!("{key}.timezone"), fault.to_string(), Some(near(&zone)));
        }
        Err(fault) => {
            let hint = "minute, hour, day of the month, month, weekday, perhaps seconds before them: `0 6 * * MON-FRI`, `*/15 * * * *`, `@daily`";
            let message = format!("`{}` is no cron expression: {fault}", text.escape_debug());
            faults.push(FaultKind::WrongType, fields.span("cron"), format!("{key}.cron"), message, Some(hint.to_owned()));
        }
    }
    None
}

/// The zone that was perhaps meant; there are too many to name them all.
fn near(written: &str) -> String {
    let zones = time_zones();
    let lower: Vec<String> = zones.iter().map(|zone| zone.to_ascii_lowercase()).collect();
    let known: Vec<&str> = lower.iter().map(String::as_str).collect();
    let found = nearest::nearest(written, &known).and_then(|near| zones.iter().find(|zone| zone.eq_ignore_ascii_case(near)));
    found.map_or_else(
        || "zones are named as in the IANA database: `Europe/Berlin`, `America/New_York`, `UTC`".to_owned(),
        |zone| format!("did you mean `{zone}`?"),
    )
}
