//! `bulkhead:connector/metrics`: numbers of guests, shown as `bulkhead_guest_<name>` with the instance
//! as a label, or under their own names where the operator granted that. Names and labels are checked; an
//! instance has a bounded number of series, and the rest falls into one whose labels are `other`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_observe::metrics::FAMILIES;
use prometheus::Opts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::log::Level;
use crate::bindings::metrics as wit;
use crate::limits::Limit;
use crate::store::Guest;

mod shown;

const MAX_LABELS: usize = 4;
const MAX_VALUE: usize = 64;
const MAX_NAME: usize = 64;
const MAX_BOUNDS: usize = 32;
/// Families of all guests together; more are not shown.
const MAX_FAMILIES: usize = 10_000;
/// Series beyond an instance's limit that the label values `other` may make.
const MAX_FOLDED: usize = 16;
const PREFIX: &str = "bulkhead_guest_";
/// What a histogram shows beside its name.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

impl wit::Host for Guest {
    fn count(&mut self, name: String, labels: Vec<(String, String)>, value: u64) -> wasmtime::Result<()> {
        self.record(&name, labels, Number::Count(value));
        Ok(())
    }

    fn gauge(&mut self, name: String, labels: Vec<(String, String)>, value: f64) -> wasmtime::Result<()> {
        self.record(&name, labels, Number::Gauge(value));
        Ok(())
    }

    fn observe(&mut self, name: String, labels: Vec<(String, String)>, value: f64, bounds: Vec<f64>) -> wasmtime::Result<()> {
        self.record(&name, labels, Number::Observation(value, &bounds));
        Ok(())
    }
}

impl Guest {
    fn record(&mut self, name: &str, labels: Vec<(String, String)>, number: Number<'_>) {
        let Some(capabilities) = &self.capabilities else { return };
        let most = capabilities.limits.size(Limit::MetricSeries);
        let names = if capabilities.machine.plain_metrics { Names::Plain } else { Names::Prefixed };
        match capabilities.series.record(&capabilities.instance, names, name, labels, number, most) {
            Ok(true) => {}
            Ok(false) => capabilities.watch.reached(Limit::MetricSeries),
            Err(problem) => self.log.write(Level::Warn, &format!("a metric was not taken: {problem}")),
        }
    }
}

/// How the names of an instance appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Prefixed,
    /// As they are, without the instance as a label: instances add to the same series.
    Plain,
}

/// A number handed over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number<'a> {
    /// To be added.
    Count(u64),
    /// To be set.
    Gauge(f64),
    /// To be put into one of the buckets with these bounds.
    Observation(f64, &'a [f64]),
}

impl Number<'_> {
    fn check(&self) -> Result<(), &'static str> {
        let Self::Observation(value, bounds) = self else { return Ok(()) };
        let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        if bounds.is_empty() || bounds.len() > MAX_BOUNDS || !ascending || !bounds.iter().all(|bound| bound.is_finite()) {
            return Err("bounds of a histogram are 1 to 32 finite numbers, each larger than the one before");
        }
        if value.is_finite() { Ok(()) } else { Err("an observation is no finite number") }
    }

    /// Lines that a series of this kind shows.
    fn weight(&self) -> usize {
        match self {
            Self::Count(_) | Self::Gauge(_) => 1,
            // A bucket for each bound and one without, the sum and the count.
            Self::Observation(_, bounds) => bounds.len() + 3,
        }
    }
}

/// What a name stands for, from its first number on.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Histogram(Arc<[f64]>),
}

impl Kind {
    fn of(number: &Number<'_>) -> Self {
        match number {
            Number::Count(_) => Self::Counter,
            Number::Gauge(_) => Self::Gauge,
            Number::Observation(_, bounds) => Self::Histogram((*bounds).into()),
        }
    }

    fn takes(&self, number: &Number<'_>) -> Result<(), &'static str> {
        match (self, number) {
            (Self::Counter, Number::Count(_)) | (Self::Gauge, Number::Gauge(_)) => Ok(()),
            (Self::Histogram(own), Number::Observation(_, bounds)) if own.as_ref() == *bounds => Ok(()),
            (Self::Histogram(_), Number::Observation(..)) => Err("the histogram was begun with other bounds"),
            _ => Err("a counter, a gauge or a histogram has the same name"),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Series {
    Count(u64),
    Gauge(f64),
    /// Observations up to each bound and above the one before, those above the last, and their sum.
    Histogram {
        counts: Vec<u64>,
        sum: f64,
    },
}

impl Series {
    fn empty(kind: &Kind) -> Self {
        match kind {
            Kind::Counter => Self::Count(0),
            Kind::Gauge => Self::Gauge(0.0),
            Kind::Histogram(bounds) => Self::Histogram { counts: vec![0; bounds.len() + 1], sum: 0.0 },
        }
    }

    fn take(&mut self, number: &Number<'_>) {
        match (self, number) {
            (Self::Count(sum), Number::Count(more)) => *sum = sum.saturating_add(*more),
            (Self::Gauge(now), Number::Gauge(value)) => *now = *value,
            (Self::Histogram { counts, sum }, Number::Observation(value, bounds)) => {
                let place = bounds.iter().position(|bound| value <= bound).unwrap_or(bounds.len());
                if let Some(count) = counts.get_mut(place) {
                    *count = count.saturating_add(1);
                }
                *sum += value;
            }
            // The kind was checked.
            _ => {}
        }
    }
}

type Labels = Vec<(String, String)>;
/// Instance, which is empty for plain names, and labels.
type Key = (Arc<str>, Labels);

#[derive(Debug)]
struct Family {
    kind: Kind,
    series: BTreeMap<Key, Series>,
}

/// The metrics of all guests of the process.
#[derive(Debug, Clone, Default)]
pub struct GuestSeries(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// By the name that is shown.
    families: BTreeMap<String, Family>,
    /// Lines that each instance's series show.
    counts: BTreeMap<Arc<str>, usize>,
}

impl Inner {
    fn has(&self, name: &str, key: &Key) -> bool {
        self.families.get(name).is_some_and(|family| family.series.contains_key(key))
    }

    /// Whether a name would show lines of another's name.
    fn clashes(&self, name: &str, number: &Number<'_>) -> bool {
        let histogram = |name: &str| self.families.get(name).is_some_and(|family| matches!(family.kind, Kind::Histogram(_)));
        let new = matches!(number, Number::Observation(..));
        SUFFIXES.iter().any(|suffix| name.strip_suffix(suffix).is_some_and(histogram) || new && self.families.contains_key(&format!("{name}{suffix}")))
    }

    fn take(&mut self, instance: &Arc<str>, name: String, key: Key, number: &Number<'_>) -> Result<(), &'static str> {
        let families = self.families.len();
        let family = match self.families.entry(name) {
            Entry::Vacant(_) if families >= MAX_FAMILIES => return Err("the host shows no more names"),
            Entry::Vacant(entry) => entry.insert(Family { kind: Kind::of(number), series: BTreeMap::new() }),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        family.kind.takes(number)?;
        let Family { kind, series } = family;
        series
            .entry(key)
            .or_insert_with(|| {
                *self.counts.entry(Arc::clone(instance)).or_default() += number.weight();
                Series::empty(kind)
            })
            .take(number);
        Ok(())
    }
}

impl GuestSeries {
    /// Takes a number; false where it fell into `other`. The error says what is wrong with it.
    pub fn record(&self, instance: &Arc<str>, names: Names, name: &str, mut labels: Labels, number: Number<'_>, most: usize) -> Result<bool, &'static str> {
        check_name(name)?;
        check_labels(&mut labels)?;
        number.check()?;
        let (shown, owner) = match names {
            Names::Prefixed => (format!("{PREFIX}{name}"), Arc::clone(instance)),
            Names::Plain => (name.to_owned(), Arc::from("")),
        };
        check_free(&shown, names)?;
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.families.get(&shown) {
            Some(family) => family.kind.takes(&number)?,
            None if inner.clashes(&shown, &number) => return Err("a histogram has, or would have, a part of the same name"),
            None => {}
        }
        let held = inner.counts.get(instance).copied().unwrap_or(0);
        let mut key = (owner, labels);
        if inner.has(&shown, &key) || held + number.weight() <= most {
            return inner.take(instance, shown, key, &number).map(|()| true);
        }
        // The first beyond the limit makes the series that all others fall into.
        for (_, text) in &mut key.1 {
            "other".clone_into(text);
        }
        if inner.has(&shown, &key) || held < most + MAX_FOLDED {
            return inner.take(instance, shown, key, &number).map(|()| false);
        }
        // Where names are without end, too, only counts have a place left.
        if matches!(number, Number::Count(_)) {
            inner.take(instance, format!("{PREFIX}other"), (Arc::clone(instance), Labels::new()), &number)?;
        }
        Ok(false)
    }

    fn families(&self) -> Vec<MetricFamily> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.families.iter().map(|(name, family)| shown::family(name, family)).collect()
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let fits = name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits { Ok(()) } else { Err("a name is [a-z][a-z0-9_]{0,63}") }
}

fn check_labels(labels: &mut Labels) -> Result<(), &'static str> {
    if labels.len() > MAX_LABELS {
        return Err("more than 4 labels");
    }
    labels.sort();
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("a label is named twice");
    }
    for (label, text) in labels {
        check_name(label)?;
        if matches!(label.as_str(), "instance" | "tenant" | "job" | "le" | "quantile") {
            return Err("a label has a name that is the host's");
        }
        text.truncate(text.floor_char_boundary(MAX_VALUE));
    }
    Ok(())
}

/// Names of the host's own families, with the suffixes that histograms have, and names that look like the host's
/// or like Prometheus' own.
fn check_free(shown: &str, names: Names) -> Result<(), &'static str> {
    let of_others = ["bulkhead_", "process_", "scrape_"].iter().any(|prefix| shown.starts_with(prefix)) || shown == "up";
    if names == Names::Plain && of_others {
        return Err("a plain name begins with none of bulkhead_, process_ and scrape_, and is not `up`");
    }
    let own = |(family, ..): &(&str, &[&str], &str, &str)| shown.strip_prefix(family).is_some_and(|rest| rest.is_empty() || SUFFIXES.contains(&rest));
    if FAMILIES.iter().any(own) { Err("the host has a metric of that name") } else { Ok(()) }
}

/// Shows the series on `/metrics`.
pub struct GuestCollector {
    series: GuestSeries,
    /// The registry wants one to tell collectors apart; the real names come and go.
    desc: Desc,
}

impl GuestCollector {
    pub fn new(series: GuestSeries) -> Result<Self, prometheus::Error> {
        use prometheus::core::Describer as _;
        Ok(Self { series, desc: Opts::new("bulkhead_guest", "Connectors' own metrics.").describe()? })
    }
}

impl Collector for GuestCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.series.families()
    }
}

#[cfg(test)]
mod tests;
