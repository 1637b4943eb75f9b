//! Keys of the documented file that this version does not act on. They are refused rather than ignored,
//! unless they say nothing (null, empty, `false`, `0s`). Making one work removes its row here.

use super::tree::{Node, Value};

/// Path of the key, `*` for a name or place, and what it is for.
const KEYS: &[(&str, &str)] = &[
    ("listen.metrics", "a listener of its own for metrics; /metrics is on the API listener"),
    ("listen.http.tls", "TLS on the intake listener"),
    ("listen.http.client_ca", "client certificates on the intake listener"),
    ("instances.*.health_check", "regular health checks of receivers"),
    ("telemetry.service_name", "a service name in telemetry"),
    ("telemetry.otlp_endpoint", "export of telemetry"),
    ("telemetry.sampling_ratio", "sampling of traces"),
    ("transports", "settings of transports"),
    ("alerts", "alerts of the host"),
];

/// What a key would be for, where this version does not act on it.
pub(super) fn purpose(path: &str) -> Option<&'static str> {
    KEYS.iter().find(|(pattern, _)| matches(pattern, path)).map(|(_, purpose)| *purpose)
}

/// Whether a value asks for nothing.
pub(super) fn inert(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(scalar) => node.is_null() || matches!(scalar.text.as_str(), "false" | "0s"),
        Value::List(items) => items.iter().all(inert),
        Value::Map(entries) => entries.iter().all(|entry| inert(&entry.value)),
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(want), Some(have)) if want == "*" || want == have => {}
            _ => return false,
        }
    }
}
