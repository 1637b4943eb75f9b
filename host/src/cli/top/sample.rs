//! One look at a host: counters and states of its lanes and guests, as `/health` and `/metrics` have them. Pure.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

/// Everything that was seen at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    pub at: Instant,
    pub status: String,
    pub version: String,
    /// Events ever accepted by this journal.
    pub head: u64,
    pub journal_bytes: u64,
    pub letters: u64,
    /// Whether guests were seen too.
    pub with_metrics: bool,
    pub lanes: BTreeMap<(String, String), Lane>,
    /// By instance; formatters count for the instance whose lane they serve.
    pub guests: BTreeMap<String, Guest>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lane {
    pub delivered: u64,
    pub retried: u64,
    pub rejected: u64,
    pub backlog: u64,
    pub oldest_seconds: f64,
    pub in_flight: u64,
    pub retrying: u64,
    pub breaker: String,
    pub held: Option<String>,
    pub error: Option<String>,
    /// Upper bounds in seconds, and how many deliveries took no longer.
    pub buckets: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Guest {
    pub fuel: f64,
    pub cpu_seconds: f64,
    pub memory: f64,
}

impl Sample {
    pub fn read(health: &Value, metrics: Option<&str>, at: Instant) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let lane = |lane: &Value| {
            let of = Lane {
                delivered: number(&lane["delivered"]),
                retried: number(&lane["retried"]),
                rejected: number(&lane["rejected"]),
                backlog: number(&lane["backlog"]),
                oldest_seconds: lane["oldest_seconds"].as_f64().unwrap_or_default(),
                in_flight: number(&lane["in_flight"]),
                retrying: number(&lane["retrying"]),
                breaker: text(&lane["breaker"]),
                held: lane["held"].as_str().map(str::to_owned),
                error: lane["last_error"]["text"].as_str().map(str::to_owned),
                buckets: Vec::new(),
            };
            ((text(&lane["instance"]), text(&lane["format"])), of)
        };
        let mut sample = Self {
            at,
            status: text(&health["status"]),
            version: text(&health["version"]),
            head: number(&health["journal"]["head"]),
            journal_bytes: number(&health["journal"]["bytes"]),
            letters: number(&health["dead_letters"]["letters"]),
            with_metrics: metrics.is_some(),
            lanes: health["lanes"].as_array().into_iter().flatten().map(lane).collect(),
            guests: BTreeMap::new(),
        };
        metrics.unwrap_or_default().lines().filter_map(Line::read).for_each(|line| sample.add(line));
        sample
    }

    fn add(&mut self, line: Line<'_>) {
        let Some(instance) = line.label("instance") else { return };
        if line.name == "bulkhead_lane_delivery_seconds_bucket" {
            let (Some(format), Some(bound)) = (line.label("format"), line.label("le")) else { return };
            let bound = bound.parse().unwrap_or(f64::INFINITY);
            if let Some(lane) = self.lanes.get_mut(&(instance, format)) {
                lane.buckets.push((bound, line.value));
            }
            return;
        }
        let guest: fn(&mut Guest, f64) = match line.name {
            "bulkhead_guest_fuel_total" => |guest, value| guest.fuel += value,
            "bulkhead_guest_cpu_seconds_total" => |guest, value| guest.cpu_seconds += value,
            "bulkhead_guest_memory_bytes" => |guest, value| guest.memory += value,
            _ => return,
        };
        guest(self.guests.entry(instance).or_default(), line.value);
    }
}

/// A line of the Prometheus text format, version 0.0.4.
struct Line<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').map_or((series, ""), |(name, labels)| (name, labels.trim_end_matches('}')));
        Some(Self { name, labels, value: value.parse().ok()? })
    }

    /// Values are in quotes, with `\\`, `\"` and `\n` in them.
    fn label(&self, wanted: &str) -> Option<String> {
        let mut rest = self.labels;
        while let Some((name, after)) = rest.split_once("=\"") {
            let (mut value, mut chars) = (String::new(), after.char_indices());
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, other) => value.push(other),
                }
            };
            if name.trim_start_matches(',') == wanted {
                return Some(value);
            }
            rest = after.get(end + 1..)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_text_format() {
        let line = Line::read(r#"a_total{format="x,y",instance="s\"i\\e\nm"} 1.5e3"#).expect("a line");
        assert_eq!((line.name, line.value), ("a_total", 1500.0));
        assert_eq!((line.label("instance").as_deref(), line.label("format").as_deref(), line.label("le")), (Some("s\"i\\e\nm"), Some("x,y"), None));
        assert!(Line::read("# HELP a_total x").is_none() && Line::read("").is_none() && Line::read("a b").is_none());
        assert_eq!(Line::read("up 1").map(|line| (line.name, line.label("x"))), Some(("up", None)));
    }
}
