//! Sums over events, for receivers that are told sums: bounded, written as text, kept across restarts.

use std::collections::BTreeMap;

use super::{FAMILIES, Family, Metric, samples};
use crate::batch::Event;
use crate::protobuf::{Fields, Message, Wire};
use crate::writer::{Escape, Writer};

/// Stands for all label values of what came when there was no more room.
const OTHER: &str = "other";
/// Most bytes of the kept form; a value of the contract's state holds 64 KiB.
const MAX_BYTES: usize = 48 << 10;

#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A counter or a gauge.
    Number(f64),
    /// Observations at or below each bound and above the one before, those above the last, and their sum.
    Histogram { counts: Vec<u64>, sum: f64 },
}

/// Series by family and label values.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    /// By the place of the family.
    series: BTreeMap<(usize, Vec<String>), Sample>,
    most: usize,
    bytes: usize,
    /// Samples that fell into `other`.
    pub folded: u64,
}

impl Registry {
    /// At most this many series, and one more for each metric that has `other`.
    pub fn new(most: usize) -> Self {
        Self { series: BTreeMap::new(), most, bytes: 0, folded: 0 }
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Series in the order of their families.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Family, &[String], &Sample)> {
        self.series.iter().filter_map(|((family, values), sample)| Some((*FAMILIES.get(*family)?, values.as_slice(), sample)))
    }

    /// Adds what an event adds.
    pub fn add(&mut self, event: &Event<'_>) {
        samples(event, &mut |family, values, number| self.sample(family, values, number));
    }

    /// Adds to a counter or a histogram, sets a gauge.
    pub fn sample(&mut self, family: &'static Family, values: &[String], number: f64) {
        let Some(place) = FAMILIES.iter().position(|own| *own == family) else { return };
        let mut key = (place, values.to_vec());
        if !self.series.contains_key(&key) && (self.series.len() >= self.most || self.bytes + kept_bytes(family, values) > MAX_BYTES) {
            self.folded += 1;
            key.1.iter_mut().for_each(|value| OTHER.clone_into(value));
        }
        self.slot(key, family).add(family.metric, number);
    }

    fn slot(&mut self, key: (usize, Vec<String>), family: &Family) -> &mut Sample {
        let bytes = kept_bytes(family, &key.1);
        self.series.entry(key).or_insert_with(|| {
            self.bytes += bytes;
            Sample::empty(family.metric)
        })
    }

    /// The text that Prometheus reads (format 0.0.4).
    pub fn text(&self, prefix: &str, out: &mut Writer) {
        let mut told = None;
        for (family, values, sample) in self.iter() {
            if told != Some(family.name) {
                told = Some(family.name);
                head(prefix, family, out);
            }
            let line = |suffix: &str, bound: Option<&str>, number: f64, out: &mut Writer| {
                name(prefix, family, suffix, out);
                labels(family, values, bound, out);
                float(number, out);
                out.byte(b'\n');
            };
            match (sample, family.metric) {
                (Sample::Histogram { sum, .. }, Metric::Histogram(bounds)) => {
                    let total = sample.cumulative(|place, count| {
                        let bound = bounds.get(place).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                        line("_bucket", Some(&bound), count, out);
                    });
                    line("_sum", None, *sum, out);
                    line("_count", None, total, out);
                }
                (Sample::Number(number), _) => line("", None, *number, out),
                _ => {}
            }
        }
    }

    /// The form that is kept, at most 64 KiB.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.bytes + 1024);
        let mut message = Message::new(&mut out);
        for (family, values, sample) in self.iter() {
            message.message(1, |series| {
                series.string(1, family.name.as_bytes());
                values.iter().for_each(|value| series.string(2, value.as_bytes()));
                match sample {
                    Sample::Number(number) => series.double(3, *number),
                    Sample::Histogram { counts, sum } => {
                        counts.iter().for_each(|count| series.unsigned(4, *count));
                        series.double(5, *sum);
                    }
                }
            });
        }
        out.into_bytes()
    }

    /// Reads the kept form. What does not fit the families of today is left out: it begins anew.
    pub fn from_bytes(bytes: &[u8], most: usize) -> Self {
        let mut registry = Self::new(most);
        for (field, wire) in Fields::new(bytes) {
            if let (1, Wire::Len(series)) = (field, wire) {
                registry.read(series);
            }
        }
        registry
    }

    fn read(&mut self, series: &[u8]) -> Option<()> {
        let (mut name, mut values, mut counts, mut number) = (None, Vec::new(), Vec::new(), None);
        let mut fields = Fields::new(series);
        for field in fields.by_ref() {
            match field {
                (1, Wire::Len(text)) => name = Some(text),
                (2, Wire::Len(text)) => values.push(String::from_utf8_lossy(text).into_owned()),
                (3 | 5, Wire::I64(bits)) => number = Some(f64::from_bits(bits)),
                (4, Wire::Varint(count)) => counts.push(count),
                _ => {}
            }
        }
        let place = FAMILIES.iter().position(|family| Some(family.name.as_bytes()) == name)?;
        let family = FAMILIES.get(place)?;
        let sample = match family.metric {
            Metric::Histogram(bounds) if counts.len() == bounds.len() + 1 => Sample::Histogram { counts, sum: number? },
            Metric::Counter | Metric::Gauge if counts.is_empty() => Sample::Number(number?),
            _ => return None,
        };
        if !fields.is_complete() || values.len() != family.labels.len() {
            return None;
        }
        *self.slot((place, values), family) = sample;
        Some(())
    }
}

impl Sample {
    fn empty(metric: Metric) -> Self {
        match metric {
            Metric::Counter | Metric::Gauge => Self::Number(0.0),
            Metric::Histogram(bounds) => Self::Histogram { counts: vec![0; bounds.len() + 1], sum: 0.0 },
        }
    }

    fn add(&mut self, metric: Metric, number: f64) {
        match (self, metric) {
            (Self::Number(now), Metric::Counter) => *now += number,
            (Self::Number(now), _) => *now = number,
            (Self::Histogram { counts, sum }, Metric::Histogram(bounds)) => {
                let place = bounds.iter().position(|bound| number <= *bound).unwrap_or(bounds.len());
                if let Some(count) = counts.get_mut(place) {
                    *count = count.saturating_add(1);
                }
                *sum += number;
            }
            _ => {}
        }
    }

    /// Calls with each bucket's place and everything up to it; answers the number of all observations.
    pub fn cumulative(&self, mut bucket: impl FnMut(usize, f64)) -> f64 {
        let mut total = 0.0;
        if let Self::Histogram { counts, .. } = self {
            for (place, count) in counts.iter().enumerate() {
                total += *count as f64;
                bucket(place, total);
            }
        }
        total
    }
}

/// What a series takes in the kept form, at most.
fn kept_bytes(family: &Family, values: &[String]) -> usize {
    let numbers = if let Metric::Histogram(bounds) = family.metric { (bounds.len() + 1) * 11 } else { 0 };
    values.iter().map(|value| value.len() + 2).sum::<usize>() + family.name.len() + numbers + 16
}

/// `\`, `"` and line breaks of a label value.
struct Label;

impl Escape for Label {
    const BELOW: u8 = 0;
    const BYTES: [u8; 3] = [b'\\', b'"', b'\n'];

    fn write(byte: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(if byte == b'\n' {
            b"\\n"
        } else if byte == b'"' {
            b"\\\""
        } else {
            b"\\\\"
        });
    }
}

fn name(prefix: &str, family: &Family, suffix: &str, out: &mut Writer) {
    for part in [prefix, "_", family.name, suffix] {
        out.bytes(part.as_bytes());
    }
}

fn head(prefix: &str, family: &Family, out: &mut Writer) {
    out.literal(b"# HELP ");
    name(prefix, family, " ", out);
    out.bytes(family.help.as_bytes());
    out.literal(b"\n# TYPE ");
    name(prefix, family, "", out);
    out.bytes(match family.metric {
        Metric::Counter => b" counter\n",
        Metric::Gauge => b" gauge\n",
        Metric::Histogram(_) => b" histogram\n",
    });
}

fn labels(family: &Family, values: &[String], bound: Option<&str>, out: &mut Writer) {
    let mut open = b'{';
    let pairs = family.labels.iter().copied().zip(values.iter().map(String::as_str));
    for (name, value) in pairs.chain(bound.map(|bound| ("le", bound))) {
        out.byte(open);
        out.bytes(name.as_bytes());
        out.literal(b"=\"");
        out.escaped::<Label>(value.as_bytes());
        out.byte(b'"');
        open = b',';
    }
    out.literal(b"} ");
}

/// Finite numbers only; Rust's shortest spelling is one of Go's.
fn float(number: f64, out: &mut Writer) {
    out.bytes(number.to_string().as_bytes());
}
