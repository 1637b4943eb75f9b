//! Events as metrics: what an event adds to counters, gauges and histograms. Names, labels and buckets are those
//! that dashboards of copybook's audit trail use; events of any other shape count where they have what is asked for.
//!
//! Promised: a copybook event keeps its own spelling of types, severities, classifications and profiles; what an
//! event does not have becomes the label `unknown`, or no sample; label values are at most [`VALUE_BYTES`] long.

use crate::batch::Event;
use crate::delivery::{Delivery, Failure, Outcome};
use crate::value::{Kind, Value};
use crate::{fields, http, writer};

mod registry;

pub use registry::{Registry, Sample};

fields! {
    pub mod field {
        TYPE = "/type", SEVERITY = "/severity", CLASSIFICATION = "/classification", COMPLIANCE = "/compliance",
        NATIVE_TYPE = "/data/event_type", NATIVE_SEVERITY = "/data/severity", NATIVE_CLASSIFICATION = "/data/context/security/classification",
        NATIVE_COMPLIANCE = "/data/context/compliance_profiles", OPERATION = "/data/payload/operation_name",
        THROUGHPUT = "/data/payload/throughput_mbps", MEMORY = "/data/payload/memory_used_mb", CPU = "/data/payload/cpu_usage_percent",
        DURATION = "/data/payload/duration_ms", PLAIN_DURATION = "/data/duration_ms", VIOLATIONS = "/data/payload/violations",
        SECURITY_TYPE = "/data/payload/security_event_type", RESOURCES = "/data/payload/affected_resources",
    }
}

/// What became of a request that carries sums. A refusal concerns these and no event: it waits for people, with a hint.
pub fn delivered(answer: Result<http::Response, http::Error>, events: usize, hint: &str) -> Result<Delivery, Failure> {
    const SMALLER: &str = "each request carries all sums: lower `max_series`";
    let hint = match &answer {
        // In halves it would be as large.
        Err(http::Error::TooLarge(limit)) => return Err(Failure::Configuration(format!("{limit}; {SMALLER}"))),
        Ok(response) if response.status == 413 => SMALLER,
        _ => hint,
    };
    match Delivery::of(answer, events)? {
        Delivery::All(Outcome::Rejected(reason)) => Err(Failure::Configuration(format!("{reason}; {hint}"))),
        delivery => Ok(delivery),
    }
}

/// Longest value of a label.
pub const VALUE_BYTES: usize = 64;
/// Stands where an event does not say.
const UNKNOWN: &str = "unknown";

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    Counter,
    Gauge,
    /// Upper bounds, in their order; the last one, without a bound, is not named.
    Histogram(&'static [f64]),
}

/// A metric and its labels.
#[derive(Debug, PartialEq)]
pub struct Family {
    /// Behind the prefix, which is `copybook_` unless configured otherwise.
    pub name: &'static str,
    pub help: &'static str,
    pub metric: Metric,
    pub labels: &'static [&'static str],
}

/// Of the source program.
const PROCESSING: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];
/// Operations take from milliseconds to minutes.
const OPERATION: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];
const RESOURCES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

const fn family(name: &'static str, help: &'static str, metric: Metric, labels: &'static [&'static str]) -> Family {
    Family { name, help, metric, labels }
}

pub static EVENTS: Family = family("audit_events_total", "Events by type and severity.", Metric::Counter, &["event_type", "severity"]);
pub static PROCESSING_SECONDS: Family =
    family("audit_event_processing_duration_seconds", "Time that events say their processing took, by type.", Metric::Histogram(PROCESSING), &["event_type"]);
pub static COMPLIANCE_EVENTS: Family =
    family("compliance_events_total", "Events by active compliance profile; one with two profiles counts twice.", Metric::Counter, &["profile"]);
pub static VIOLATIONS: Family = family("compliance_violations_total", "Violations that compliance checks found.", Metric::Counter, &["regulation", "severity"]);
pub static VIOLATIONS_BY_IMPACT: Family =
    family("compliance_violations_by_impact_total", "Violations that compliance checks found, by business impact.", Metric::Counter, &["impact"]);
pub static SECURITY_EVENTS: Family = family("security_events_total", "Security events by their own type.", Metric::Counter, &["event_type", "severity"]);
pub static AFFECTED_RESOURCES: Family =
    family("security_affected_resources", "Resources that security events name.", Metric::Histogram(RESOURCES), &["event_type"]);
pub static CLASSIFIED_EVENTS: Family = family("security_classification_events_total", "Events by data classification.", Metric::Counter, &["classification"]);
pub static THROUGHPUT: Family = family("processing_throughput_mbps", "Throughput in MB/s of the last measurement.", Metric::Gauge, &["operation"]);
pub static MEMORY: Family = family("memory_usage_mb", "Memory in MB of the last measurement.", Metric::Gauge, &["operation"]);
pub static CPU: Family = family("cpu_usage_percent", "Processor use in percent of the last measurement.", Metric::Gauge, &["operation"]);
pub static OPERATION_SECONDS: Family =
    family("processing_duration_seconds", "Time that measured operations took.", Metric::Histogram(OPERATION), &["operation"]);

pub static FAMILIES: [&Family; 12] = [
    &EVENTS,
    &PROCESSING_SECONDS,
    &COMPLIANCE_EVENTS,
    &VIOLATIONS,
    &VIOLATIONS_BY_IMPACT,
    &SECURITY_EVENTS,
    &AFFECTED_RESOURCES,
    &CLASSIFIED_EVENTS,
    &THROUGHPUT,
    &MEMORY,
    &CPU,
    &OPERATION_SECONDS,
];

/// What an event adds: each sample goes to `sink` with the values of its family's labels.
pub fn samples(event: &Event<'_>, sink: &mut impl FnMut(&'static Family, &[String], f64)) {
    let get = |field| event.get(field);
    let copybook = get(field::TYPE).raw().starts_with(b"copybook.") && get(field::NATIVE_TYPE).is_string();
    let native = |own, core| if copybook { get(own).or(get(core)) } else { get(core) };

    let (kind, severity) = (label(native(field::NATIVE_TYPE, field::TYPE)), label(native(field::NATIVE_SEVERITY, field::SEVERITY)));
    sink(&EVENTS, &[kind.clone(), severity.clone()], 1.0);
    sink(&CLASSIFIED_EVENTS, &[label(native(field::NATIVE_CLASSIFICATION, field::CLASSIFICATION))], 1.0);
    for profile in native(field::NATIVE_COMPLIANCE, field::COMPLIANCE).elements() {
        sink(&COMPLIANCE_EVENTS, &[label(profile)], 1.0);
    }
    let millis = number(get(field::DURATION)).or(number(get(field::PLAIN_DURATION))).filter(|millis| *millis >= 0.0);
    if let Some(millis) = millis {
        sink(&PROCESSING_SECONDS, &[kind], millis / 1000.0);
    }
    if get(field::OPERATION).is_string() {
        let operation = [label(get(field::OPERATION))];
        for (family, field) in [(&THROUGHPUT, field::THROUGHPUT), (&MEMORY, field::MEMORY), (&CPU, field::CPU)] {
            if let Some(number) = number(get(field)) {
                sink(family, &operation, number);
            }
        }
        if let Some(millis) = millis {
            sink(&OPERATION_SECONDS, &operation, millis / 1000.0);
        }
    }
    for violation in get(field::VIOLATIONS).elements() {
        sink(&VIOLATIONS, &[label(violation.member("regulation")), label(violation.member("severity"))], 1.0);
        sink(&VIOLATIONS_BY_IMPACT, &[label(violation.member("business_impact"))], 1.0);
    }
    if get(field::SECURITY_TYPE).is_string() {
        let kind = label(get(field::SECURITY_TYPE));
        if get(field::RESOURCES).kind() == Kind::Array {
            sink(&AFFECTED_RESOURCES, std::slice::from_ref(&kind), get(field::RESOURCES).elements().count() as f64);
        }
        sink(&SECURITY_EVENTS, &[kind, severity], 1.0);
    }
}

/// A value as a label: text, number or boolean.
fn label(value: Value<'_>) -> String {
    match value.text() {
        Some(text) if !text.is_empty() => String::from_utf8_lossy(writer::cut(&text, VALUE_BYTES)).into_owned(),
        _ => UNKNOWN.to_owned(),
    }
}

fn number(value: Value<'_>) -> Option<f64> {
    let digits = if value.kind() == Kind::Number { std::str::from_utf8(value.raw()).ok()? } else { return None };
    digits.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Checks a configured prefix of names: `copybook`, without the underscore behind it.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    let fits = prefix.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && prefix.len() <= 16
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !prefix.ends_with('_');
    if !fits {
        return Err(format!("`prefix` is \"{prefix}\"; it is a small letter, then small letters, digits and _, at most 16, with none of _ at its end"));
    }
    if ["bulkhead", "process", "scrape"].iter().any(|own| prefix.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))) {
        return Err(format!("`prefix` is \"{prefix}\"; names that begin like this are Bulkhead's or Prometheus' own"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
