//! Sums as the message of remote write: `WriteRequest{ timeseries=1 { labels=1 { name=1, value=2 }, samples=2 { value=1, timestamp=2 } } }`.

use std::collections::BTreeMap;

use bulkhead_sdk::Writer;
use bulkhead_sdk::event_metrics::{FAMILIES, Metric, Registry, Sample};
use bulkhead_sdk::protobuf::Message;

/// Labels of every series, checked.
pub fn labels(configured: Option<&BTreeMap<String, String>>) -> Result<Vec<(String, String)>, String> {
    let Some(configured) = configured else { return Ok(vec![("job".to_owned(), "bulkhead".to_owned())]) };
    for (name, value) in configured {
        let letters = name.bytes().enumerate().all(|(at, byte)| byte.is_ascii_alphabetic() || byte == b'_' || at > 0 && byte.is_ascii_digit());
        if name.is_empty() || !letters || name.starts_with("__") {
            return Err(format!("`labels` names \"{name}\"; a label is a letter or _, then letters, digits and _, and does not begin with __"));
        }
        if name == "le" || FAMILIES.iter().any(|family| family.labels.contains(&name.as_str())) {
            return Err(format!("`labels` names \"{name}\", which is a label of the metrics themselves"));
        }
        if value.is_empty() {
            return Err(format!("`labels.{name}` is empty; to Prometheus that is no label"));
        }
    }
    Ok(configured.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// All series with one sample each, at this time.
pub fn message(sums: &Registry, prefix: &str, everywhere: &[(String, String)], millis: i64) -> Vec<u8> {
    let mut out = Writer::with_capacity(sums.len() * 512);
    let mut message = Message::new(&mut out);
    for (family, values, sample) in sums.iter() {
        let mut put = |suffix: &str, bound: Option<String>, number: f64| {
            let name = format!("{prefix}_{}{suffix}", family.name);
            let own = family.labels.iter().copied().zip(values.iter().map(String::as_str));
            let mut labels: Vec<(&str, &str)> = everywhere.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(own).collect();
            labels.push(("__name__", &name));
            labels.extend(bound.as_deref().map(|bound| ("le", bound)));
            // The protocol wants them in the order of their names.
            labels.sort_unstable();
            message.message(1, |series| {
                for (name, value) in labels {
                    series.message(1, |label| {
                        label.string(1, name.as_bytes());
                        label.string(2, value.as_bytes());
                    });
                }
                series.message(2, |sample| {
                    sample.double(1, number);
                    sample.integer(2, millis);
                });
            });
        };
        match (sample, family.metric) {
            (Sample::Histogram { sum, .. }, Metric::Histogram(bounds)) => {
                let total = sample.cumulative(|place, count| {
                    put("_bucket", Some(bounds.get(place).map_or_else(|| "+Inf".to_owned(), f64::to_string)), count);
                });
                put("_sum", None, *sum);
                put("_count", None, total);
            }
            (Sample::Number(number), _) => put("", None, *number),
            _ => {}
        }
    }
    out.into_bytes()
}
