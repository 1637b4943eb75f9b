//! `bulkhead:connector/metrics`: numbers of guests, shown as `bulkhead_guest_<name>` with the instance
//! as a label. Names and labels are checked; an instance has a bounded number of series, and the rest
//! falls into one whose labels are `other`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_observe::metrics::FAMILIES;
use prometheus::Opts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::log::Level;
use crate::bindings::metrics as wit;
use crate::limits::Limit;
use crate::store::Guest;

const MAX_LABELS: usize = 4;
const MAX_VALUE: usize = 64;
const MAX_NAME: usize = 64;
/// Families of all guests together; more are not shown.
const MAX_FAMILIES: usize = 10_000;
const PREFIX: &str = "bulkhead_guest_";

impl wit::Host for Guest {
    fn count(&mut self, name: String, labels: Vec<(String, String)>, value: u64) -> wasmtime::Result<()> {
        self.record(&name, labels, Value::Count(value));
        Ok(())
    }

    fn gauge(&mut self, name: String, labels: Vec<(String, String)>, value: f64) -> wasmtime::Result<()> {
        self.record(&name, labels, Value::Gauge(value));
        Ok(())
    }
}

impl Guest {
    fn record(&mut self, name: &str, labels: Vec<(String, String)>, value: Value) {
        let Some(capabilities) = &self.capabilities else { return };
        let most = capabilities.limits.size(Limit::MetricSeries);
        match capabilities.series.record(&capabilities.instance, name, labels, value, most) {
            Ok(true) => {}
            Ok(false) => capabilities.watch.reached(Limit::MetricSeries),
            Err(problem) => self.log.write(Level::Warn, &format!("a metric was not taken: {problem}")),
        }
    }
}

/// A number handed over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// To be added.
    Count(u64),
    /// To be set.
    Gauge(f64),
}

type Labels = Vec<(String, String)>;

/// The metrics of all guests of the process.
#[derive(Debug, Clone, Default)]
pub struct GuestSeries(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    families: BTreeMap<String, BTreeMap<(Arc<str>, Labels), Value>>,
    /// Series of each instance.
    counts: BTreeMap<Arc<str>, usize>,
}

impl GuestSeries {
    /// Takes a number; false where it fell into `other`. The error says what is wrong with it.
    pub fn record(&self, instance: &Arc<str>, name: &str, mut labels: Labels, value: Value, most: usize) -> Result<bool, &'static str> {
        check_name(name)?;
        if labels.len() > MAX_LABELS {
            return Err("more than 4 labels");
        }
        labels.sort();
        if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("a label is named twice");
        }
        for (label, text) in &mut labels {
            check_name(label)?;
            if matches!(label.as_str(), "instance" | "tenant" | "job" | "le" | "quantile") {
                return Err("a label has a name that is the host's");
            }
            text.truncate(text.floor_char_boundary(MAX_VALUE));
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = inner.counts.get(instance).copied().unwrap_or(0);
        let known = inner.families.get(name).is_some_and(|family| family.contains_key(&(Arc::clone(instance), labels.clone())));
        let mut name = name;
        let own = known || held < most;
        if !own {
            // The first beyond the limit makes the series that all others fall into.
            for (_, text) in &mut labels {
                "other".clone_into(text);
            }
            let shared = inner.families.get(name).is_some_and(|family| family.contains_key(&(Arc::clone(instance), labels.clone())));
            if !shared && held >= most + MAX_LABELS {
                (name, labels) = ("other", Labels::new());
            }
        }
        let families = inner.families.len();
        let family = match inner.families.entry(name.to_owned()) {
            Entry::Vacant(_) if families >= MAX_FAMILIES => return Err("the host shows no more names"),
            Entry::Vacant(entry) => entry.insert(BTreeMap::new()),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        let kind = family.values().next().map(std::mem::discriminant);
        if kind.is_some_and(|kind| kind != std::mem::discriminant(&value)) {
            return Err("a counter and a gauge have the same name");
        }
        let fresh = match family.entry((Arc::clone(instance), labels)) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                true
            }
            Entry::Occupied(mut entry) => {
                let slot = entry.get_mut();
                *slot = match (*slot, value) {
                    (Value::Count(sum), Value::Count(more)) => Value::Count(sum.saturating_add(more)),
                    (_, value) => value,
                };
                false
            }
        };
        if fresh {
            *inner.counts.entry(Arc::clone(instance)).or_default() += 1;
        }
        Ok(own)
    }

    fn families(&self) -> Vec<MetricFamily> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.families.iter().map(|(name, series)| family(name, series)).collect()
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let fits = name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !fits {
        return Err("a name is [a-z][a-z0-9_]{0,63}");
    }
    // The host's own families, with the suffixes that histograms have.
    let own = FAMILIES.iter().filter_map(|(family, ..)| family.strip_prefix(PREFIX));
    for family in own {
        if name.strip_prefix(family).is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count")) {
            return Err("the host has a metric of that name");
        }
    }
    Ok(())
}

fn family(name: &str, series: &BTreeMap<(Arc<str>, Labels), Value>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("{PREFIX}{name}"));
    family.set_help("A connector's own metric.".to_owned());
    let mut metrics = Vec::with_capacity(series.len());
    for ((instance, labels), value) in series {
        let pair = |name: &str, text: &str| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(text.to_owned());
            pair
        };
        let mut pairs = vec![pair("instance", instance)];
        pairs.extend(labels.iter().map(|(name, text)| pair(name, text)));
        let mut metric = Metric::from_label(pairs);
        match value {
            Value::Count(sum) => {
                let mut counter = Counter::default();
                #[expect(clippy::cast_precision_loss, reason = "the exposition format knows only floating point")]
                counter.set_value(*sum as f64);
                metric.set_counter(counter);
                family.set_field_type(MetricType::COUNTER);
            }
            Value::Gauge(now) => {
                let mut gauge = Gauge::default();
                gauge.set_value(*now);
                metric.set_gauge(gauge);
                family.set_field_type(MetricType::GAUGE);
            }
        }
        metrics.push(metric);
    }
    family.set_metric(metrics);
    family
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
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_and_labels_are_checked() {
        let (series, instance) = (GuestSeries::default(), Arc::from("siem"));
        let check = |name: &str, pairs: &[(&str, &str)], want: Result<(), &str>| {
            assert_eq!(series.record(&instance, name, labels(pairs), Value::Count(1), 10), want.map(|()| true), "{name}");
        };
        check("rows", &[("table", "a")], Ok(()));
        check("", &[], Err("a name is [a-z][a-z0-9_]{0,63}"));
        check("Rows", &[], Err("a name is [a-z][a-z0-9_]{0,63}"));
        check("ro ws{}", &[], Err("a name is [a-z][a-z0-9_]{0,63}"));
        check(&"a".repeat(65), &[], Err("a name is [a-z][a-z0-9_]{0,63}"));
        check("rows", &[("Bad", "a")], Err("a name is [a-z][a-z0-9_]{0,63}"));
        check("rows", &[("instance", "other")], Err("a label has a name that is the host's"));
        check("rows", &[("a", "1"), ("a", "2")], Err("a label is named twice"));
        check("rows", &[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")], Err("more than 4 labels"));
        check("calls_total", &[], Err("the host has a metric of that name"));
        check("call_seconds_bucket", &[], Err("the host has a metric of that name"));
        assert_eq!(series.record(&instance, "rows", labels(&[("table", "a")]), Value::Gauge(1.0), 10), Err("a counter and a gauge have the same name"));
    }

    #[test]
    fn series_are_bounded_and_shown() {
        let metrics = bulkhead_observe::Metrics::new();
        let series = GuestSeries::default();
        metrics.registry().register(Box::new(GuestCollector::new(series.clone()).expect("desc"))).expect("registers");
        let instance: Arc<str> = Arc::from("siem");
        for i in 0..10_000 {
            series.record(&instance, "rows", labels(&[("table", &format!("t{i}\n\"x"))]), Value::Count(2), 5).expect("taken");
            series.record(&instance, &format!("name{i}"), Labels::new(), Value::Count(1), 5).expect("taken");
        }
        series.record(&Arc::from("b"), "level", Labels::new(), Value::Gauge(0.5), 5).expect("taken");
        let text = String::from_utf8(metrics.encode().expect("encodes")).expect("utf-8");
        assert!(text.contains("bulkhead_guest_rows{instance=\"siem\",table=\"t0\\n\\\"x\"} 2"), "{text}");
        assert!(text.contains("bulkhead_guest_rows{instance=\"siem\",table=\"other\"} 19994"), "{text}");
        assert!(text.contains("bulkhead_guest_level{instance=\"b\"} 0.5"), "{text}");
        assert!(text.lines().filter(|line| line.contains("instance=\"siem\"")).count() <= 5 + MAX_LABELS + 1, "{text}");
    }
}
