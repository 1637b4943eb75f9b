//! The four categorisation fields of ECS, which allow a closed set of values each.

use bulkhead_sdk::{Event, Value};

use crate::field;

const CATEGORIES: [&str; 20] = [
    "api",
    "authentication",
    "configuration",
    "database",
    "driver",
    "email",
    "file",
    "host",
    "iam",
    "intrusion_detection",
    "library",
    "malware",
    "network",
    "package",
    "process",
    "registry",
    "session",
    "threat",
    "vulnerability",
    "web",
];

/// Event types that are known, with kind, category and type. By the end of the type, so that the
/// prefix of a source does not matter.
const TYPES: [(&str, &str, &str, &str); 32] = [
    (".copybook_parse", "event", "file", "access"),
    (".data_validation", "event", "file", "info"),
    (".data_transformation", "event", "file", "change"),
    (".performance_measurement", "metric", "process", "info"),
    (".compliance_check", "event", "configuration", "info"),
    (".security_event", "event", "intrusion_detection", "info"),
    (".lineage_tracking", "event", "file", "info"),
    (".error_event", "event", "process", "error"),
    (".configuration_change", "event", "configuration", "change"),
    (".access_event", "event", "file", "access"),
    (".dataset.created", "event", "database", "creation"),
    (".dataset.updated", "event", "database", "change"),
    (".dataset.deleted", "event", "database", "deletion"),
    (".dataset.archived", "event", "database", "change"),
    (".version.created", "event", "database", "creation"),
    (".version.tagged", "event", "database", "change"),
    (".branch.created", "event", "database", "creation"),
    (".branch.merged", "event", "database", "change"),
    (".records.ingested", "event", "database", "change"),
    (".records.deleted", "event", "database", "deletion"),
    (".records.exported", "event", "database", "access"),
    (".anonymization.started", "event", "database", "start"),
    (".anonymization.completed", "event", "database", "end"),
    (".pii.detected", "alert", "database", "info"),
    (".access.granted", "event", "iam", "allowed"),
    (".access.revoked", "event", "iam", "change"),
    (".access.denied", "event", "iam", "denied"),
    (".policy.violation", "alert", "database", "info"),
    (".retention.expired", "event", "database", "info"),
    (".compliance.alert", "alert", "configuration", "info"),
    (".health.degraded", "state", "host", "info"),
    (".health.restored", "state", "host", "info"),
];

pub struct Class {
    pub kind: &'static str,
    pub category: Option<&'static str>,
    pub kind_of_change: Option<&'static str>,
    pub outcome: Option<&'static str>,
    /// The event's own category or outcome is what is written, or there is none.
    pub category_is_exact: bool,
    pub outcome_is_exact: bool,
}

impl Class {
    pub fn of(event: &Event<'_>) -> Self {
        let known = known(event.get(field::TYPE));
        let own = event.get(field::CATEGORY);
        let category = CATEGORIES.into_iter().find(|category| own.raw() == category.as_bytes());
        let outcome = event.get(field::OUTCOME);
        let mapped = outcome_of(outcome);
        Self {
            kind: known.map_or("event", |(kind, ..)| kind),
            category: category.or(known.map(|(_, category, _)| category)),
            kind_of_change: known.map(|(.., change)| change),
            outcome: mapped,
            category_is_exact: category.is_some() || !own.is_some(),
            outcome_is_exact: mapped.is_none_or(|mapped| mapped.as_bytes() == outcome.raw()),
        }
    }
}

fn known(kind: Value<'_>) -> Option<(&'static str, &'static str, &'static str)> {
    let raw = kind.raw();
    // Only types of the two sources that use these words so.
    if !raw.starts_with(b"copybook.") && !raw.starts_with(b"llm.data-vault.") {
        return None;
    }
    // The last four letters tell nearly all of them apart.
    let tail = raw.last_chunk::<4>();
    TYPES
        .iter()
        .find(|(end, ..)| end.as_bytes().last_chunk::<4>() == tail && raw.ends_with(end.as_bytes()))
        .map(|(_, kind, category, change)| (*kind, *category, *change))
}

/// ECS knows success, failure and unknown; the usual other words for the first two are understood.
fn outcome_of(value: Value<'_>) -> Option<&'static str> {
    if !value.is_some() {
        return None;
    }
    let is_one_of = |words: &[&str]| words.iter().any(|word| value.raw().eq_ignore_ascii_case(word.as_bytes()));
    Some(if is_one_of(&["success", "succeeded", "successful", "ok", "allowed", "granted", "passed", "true"]) {
        "success"
    } else if is_one_of(&["failure", "failed", "fail", "error", "denied", "blocked", "rejected", "false"]) {
        "failure"
    } else {
        "unknown"
    })
}
