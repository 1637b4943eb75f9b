//! What `top` shows: two looks at a host and what lies between them, the order, what is selected. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::sample::{Guest, Lane, Sample};
use super::screen::Key;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    Name,
    Delivered,
    Backlog,
    Latency,
    Fuel,
    Memory,
}

impl Sort {
    const ALL: [Self; 6] = [Self::Name, Self::Delivered, Self::Backlog, Self::Latency, Self::Fuel, Self::Memory];

    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Delivered => "delivered",
            Self::Backlog => "backlog",
            Self::Latency => "latency",
            Self::Fuel => "fuel",
            Self::Memory => "memory",
        }
    }
}

/// An instance, or one of its lanes, over the last interval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub name: String,
    /// Events a second.
    pub delivered: f64,
    pub retried: f64,
    pub rejected: f64,
    pub backlog: u64,
    pub oldest_seconds: f64,
    pub in_flight: u64,
    pub retrying: u64,
    /// Seconds; none where nothing was delivered.
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    /// `closed`, or what is worse; a hold goes before.
    pub state: String,
    pub error: Option<String>,
    /// Of guests: a second, and bytes now.
    pub fuel: Option<f64>,
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
    pub buckets: Vec<(f64, f64)>,
    pub lanes: Vec<Row>,
}

/// The whole host over the last interval.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub status: String,
    pub version: String,
    pub seconds: f64,
    pub accepted: f64,
    pub delivered: f64,
    pub rejected: f64,
    pub backlog: u64,
    pub letters: u64,
    pub journal_bytes: u64,
    pub with_metrics: bool,
}

#[derive(Debug)]
pub struct View {
    last: Option<Sample>,
    pub totals: Totals,
    pub rows: Vec<Row>,
    pub sort: Sort,
    pub paused: bool,
    /// By name: the order changes.
    selected: Option<String>,
    /// Why there was no answer.
    pub lost: Option<String>,
}

impl View {
    pub fn new(sort: Sort) -> Self {
        Self { last: None, totals: Totals::default(), rows: Vec::new(), sort, paused: false, selected: None, lost: None }
    }

    pub fn take(&mut self, sample: Sample) {
        let before = self.last.as_ref();
        let seconds = before.map_or(0.0, |before| sample.at.saturating_duration_since(before.at).as_secs_f64());
        let mut by_instance: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
        for ((instance, format), lane) in &sample.lanes {
            let known = before.and_then(|before| before.lanes.get(&(instance.clone(), format.clone())));
            by_instance.entry(instance).or_default().push(Row::of_lane(format, lane, known, seconds));
        }
        self.rows = by_instance
            .into_iter()
            .map(|(name, lanes)| {
                let guest = sample.guests.get(name).map(|now| (*now, before.and_then(|before| before.guests.get(name)).copied()));
                Row::of_instance(name, lanes, guest, seconds)
            })
            .collect();
        let sum = |of: fn(&Row) -> f64| self.rows.iter().map(of).sum();
        self.totals = Totals {
            status: sample.status.clone(),
            version: sample.version.clone(),
            seconds,
            accepted: rate(sample.head, before.map(|before| before.head), seconds),
            delivered: sum(|row| row.delivered),
            rejected: sum(|row| row.rejected),
            backlog: self.rows.iter().map(|row| row.backlog).sum(),
            letters: sample.letters,
            journal_bytes: sample.journal_bytes,
            with_metrics: sample.with_metrics,
        };
        self.lost = None;
        self.last = Some(sample);
        self.order();
    }

    pub fn lost(&mut self, why: String) {
        self.lost = Some(why);
    }

    pub fn press(&mut self, key: Key) {
        let at = self.selected();
        let to = match key {
            Key::Sort => {
                let now = Sort::ALL.iter().position(|sort| *sort == self.sort).unwrap_or_default();
                self.sort = Sort::ALL[(now + 1) % Sort::ALL.len()];
                return self.order();
            }
            Key::Pause => {
                self.paused = !self.paused;
                return;
            }
            Key::Up => at.saturating_sub(1),
            Key::Down => at + 1,
            Key::First => 0,
            Key::Last => usize::MAX,
            Key::Quit | Key::Other => return,
        };
        self.selected = self.rows.get(to.min(self.rows.len().saturating_sub(1))).map(|row| row.name.clone());
    }

    /// The place of what is selected; the first where it is gone.
    pub fn selected(&self) -> usize {
        self.selected.as_ref().and_then(|name| self.rows.iter().position(|row| row.name == *name)).unwrap_or_default()
    }

    /// Greatest first, but for names.
    fn order(&mut self) {
        let sort = self.sort;
        let key = |row: &Row| match sort {
            Sort::Name => 0.0,
            Sort::Delivered => row.delivered,
            Sort::Backlog => row.backlog as f64,
            Sort::Latency => row.p99.unwrap_or_default(),
            Sort::Fuel => row.fuel.unwrap_or_default(),
            Sort::Memory => row.memory.unwrap_or_default(),
        };
        self.rows.sort_by(|one, other| key(other).total_cmp(&key(one)).then_with(|| one.name.cmp(&other.name)));
    }

    pub fn json(&self) -> Value {
        let Totals { status, version, seconds, accepted, delivered, rejected, backlog, letters, journal_bytes, with_metrics } = &self.totals;
        json!({
            "schema_version": 1, "interval_seconds": seconds,
            "host": {
                "status": status, "version": version, "accepted_per_second": accepted, "delivered_per_second": delivered,
                "dead_lettered_per_second": rejected, "backlog": backlog, "dead_letters": letters, "journal_bytes": journal_bytes,
                "with_guests": with_metrics,
            },
            "instances": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

/// A second; a counter that went back began anew.
fn rate(now: u64, before: Option<u64>, seconds: f64) -> f64 {
    match before {
        Some(before) if seconds > 0.0 => now.checked_sub(before).unwrap_or(now) as f64 / seconds,
        _ => 0.0,
    }
}

impl Row {
    fn of_lane(format: &str, lane: &Lane, before: Option<&Lane>, seconds: f64) -> Self {
        let rate = |of: fn(&Lane) -> u64| rate(of(lane), before.map(of), seconds);
        let buckets = since(&lane.buckets, before.map(|before| before.buckets.as_slice()));
        let state = lane.held.as_ref().map_or_else(|| lane.breaker.clone(), |cause| format!("held: {cause}"));
        Self {
            name: format.to_owned(),
            delivered: rate(|lane| lane.delivered),
            retried: rate(|lane| lane.retried),
            rejected: rate(|lane| lane.rejected),
            backlog: lane.backlog,
            oldest_seconds: lane.oldest_seconds,
            in_flight: lane.in_flight,
            retrying: lane.retrying,
            p50: quantile(&buckets, 0.5),
            p99: quantile(&buckets, 0.99),
            state,
            error: lane.error.clone(),
            buckets,
            ..Self::default()
        }
    }

    fn of_instance(name: &str, lanes: Vec<Self>, guest: Option<(Guest, Option<Guest>)>, seconds: f64) -> Self {
        let sum = |of: fn(&Self) -> f64| lanes.iter().map(of).sum();
        let count = |of: fn(&Self) -> u64| lanes.iter().map(of).sum();
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (bound, count) in lanes.iter().flat_map(|lane| &lane.buckets) {
            match buckets.iter_mut().find(|(known, _)| known == bound) {
                Some((_, known)) => *known += count,
                None => buckets.push((*bound, *count)),
            }
        }
        // A fresh process counts from nothing.
        let used = |of: fn(&Guest) -> f64| {
            guest.map(|(now, before)| match before.map(|before| of(&now) - of(&before)) {
                Some(used) if seconds > 0.0 => used.max(0.0) / seconds,
                _ => 0.0,
            })
        };
        // A hold first, then what is open.
        let worst = lanes.iter().map(|lane| lane.state.as_str()).max_by_key(|state| match *state {
            "closed" => 0,
            "open" => 2,
            held if held.starts_with("held") => 3,
            _ => 1,
        });
        let error = lanes.iter().filter(|lane| lane.error.is_some()).max_by_key(|lane| Reverse(lane.name.clone())).and_then(|lane| lane.error.clone());
        Self {
            name: name.to_owned(),
            delivered: sum(|lane| lane.delivered),
            retried: sum(|lane| lane.retried),
            rejected: sum(|lane| lane.rejected),
            backlog: count(|lane| lane.backlog),
            oldest_seconds: lanes.iter().map(|lane| lane.oldest_seconds).fold(0.0, f64::max),
            in_flight: count(|lane| lane.in_flight),
            retrying: count(|lane| lane.retrying),
            p50: quantile(&buckets, 0.5),
            p99: quantile(&buckets, 0.99),
            state: worst.unwrap_or_default().to_owned(),
            error,
            fuel: used(|guest| guest.fuel),
            cpu: used(|guest| guest.cpu_seconds),
            memory: guest.map(|(now, _)| now.memory),
            buckets,
            lanes,
        }
    }

    fn json(&self) -> Value {
        let ms = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1_000.0);
        let mut shown = json!({
            "name": self.name, "state": self.state, "delivered_per_second": self.delivered, "retried_per_second": self.retried,
            "dead_lettered_per_second": self.rejected, "backlog": self.backlog, "oldest_seconds": self.oldest_seconds,
            "in_flight": self.in_flight, "retrying": self.retrying, "latency_p50_ms": ms(self.p50), "latency_p99_ms": ms(self.p99), "last_error": self.error,
        });
        if !self.lanes.is_empty() {
            shown["fuel_per_second"] = json!(self.fuel);
            shown["cpu_per_second"] = json!(self.cpu);
            shown["memory_bytes"] = json!(self.memory);
            shown["lanes"] = self.lanes.iter().map(Self::json).collect();
        }
        shown
    }
}

/// What came into each bucket between two looks, the smaller bounds included, as Prometheus counts.
fn since(now: &[(f64, f64)], before: Option<&[(f64, f64)]>) -> Vec<(f64, f64)> {
    let earlier = |bound: f64| before.and_then(|before| before.iter().find(|(known, _)| *known == bound)).map_or(0.0, |(_, count)| *count);
    // Without an earlier look it is not known when they came.
    if before.is_none() {
        return Vec::new();
    }
    let mut since: Vec<(f64, f64)> = now.iter().map(|(bound, count)| (*bound, (count - earlier(*bound)).max(0.0))).collect();
    since.sort_by(|one, other| one.0.total_cmp(&other.0));
    since
}

/// The upper bound of the bucket that a quantile lies in; the greatest finite one stands for all above it.
fn quantile(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let total = buckets.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    if total <= 0.0 {
        return None;
    }
    let finite = || buckets.iter().rev().find(|(bound, _)| bound.is_finite()).map(|(bound, _)| *bound);
    let found = buckets.iter().find(|(_, count)| *count >= quantile * total).map(|(bound, _)| *bound);
    found.filter(|bound| bound.is_finite()).or_else(finite)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
