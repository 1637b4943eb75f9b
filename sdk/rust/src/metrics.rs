//! Numbers of the connector's own; they appear as `bulkhead_guest_<name>`.

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

#[cfg(target_arch = "wasm32")]
fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
