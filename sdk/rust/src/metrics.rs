//! Numbers of the connector's own; they appear as `bulkhead_guest_<name>` with the instance as a label, or under
//! their own names where the operator granted `plain_metrics`.

/// Adds to a counter. Names: `[a-z][a-z0-9_]{0,63}`; at most 4 labels.
pub fn count(name: &str, labels: &[(&str, &str)], value: u64) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::connector::bulkhead::connector::metrics::count(name, &owned(labels), value);
    #[cfg(not(target_arch = "wasm32"))]
    crate::native::count(name, labels, value);
}

/// Sets a gauge.
pub fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::connector::bulkhead::connector::metrics::gauge(name, &owned(labels), value);
    #[cfg(not(target_arch = "wasm32"))]
    crate::native::gauge(name, labels, value);
}

/// Adds to a histogram. `bounds` are the upper bounds of its buckets, ascending, at most 32, and the same for a
/// name ever after.
pub fn observe(name: &str, labels: &[(&str, &str)], value: f64, bounds: &[f64]) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::connector::bulkhead::connector::metrics::observe(name, &owned(labels), value, bounds);
    #[cfg(not(target_arch = "wasm32"))]
    crate::native::observe(name, labels, value, bounds);
}

#[cfg(target_arch = "wasm32")]
fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
