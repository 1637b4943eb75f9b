//! `logs` and `event_index`: what is kept of what happened, and for how long.

use super::checked::Fields;
use crate::observed::index::IndexSettings;
use crate::observed::logs::LogRetention;

pub(super) fn logs(fields: &Fields) -> LogRetention {
    LogRetention { retention: fields.duration("retention").unwrap_or_default(), max_rows: fields.count("max_rows").unwrap_or_default() }
}

/// Nothing where it is switched off.
pub(super) fn event_index(fields: &Fields) -> Option<IndexSettings> {
    fields.bool("enabled").filter(|enabled| *enabled)?;
    Some(IndexSettings {
        retention: fields.duration("retention").unwrap_or_default(),
        max_events: fields.count("max_events").unwrap_or_default(),
        body: fields.bool("body").unwrap_or_default(),
    })
}
