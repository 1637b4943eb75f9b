//! Reads the text exposition format 0.0.4 of Prometheus as far as the host writes it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

#[derive(Debug, Clone, Default)]
pub struct Scrape {
    pub samples: Vec<Sample>,
}

impl Scrape {
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self { samples: lines.map(|line| sample(line).with_context(|| format!("not a sample: {line}"))).collect::<Result<_>>()? })
    }

    /// Samples of one family that carry all of `labels`.
    pub fn of<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.name == name && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|have| have == value)))
    }

    /// Their sum; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // An empty sum of floats is -0.
        self.of(name, labels).map(|sample| sample.value).sum::<f64>() + 0.0
    }

    /// The lanes that show up, as (instance, format).
    pub fn lanes(&self) -> Vec<(String, String)> {
        let label = |sample: &Sample, name: &str| sample.labels.get(name).cloned().unwrap_or_default();
        self.of("bulkhead_lane_queue_depth", &[]).map(|sample| (label(sample, "instance"), label(sample, "format"))).collect()
    }

    /// A quantile of a histogram, interpolated within its bucket; `None` where nothing was observed.
    pub fn quantile(&self, name: &str, labels: &[(&str, &str)], q: f64) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.of(&format!("{name}_bucket"), labels) {
            let bound = sample.labels.get("le").and_then(|le| if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() })?;
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = buckets.last()?.1;
        if total == 0.0 {
            return None;
        }
        let (wanted, mut below) = (total * q, (0.0, 0.0));
        for (bound, count) in buckets {
            if count >= wanted {
                if bound.is_infinite() {
                    return Some(below.0);
                }
                let share = if count > below.1 { (wanted - below.1) / (count - below.1) } else { 1.0 };
                return Some(below.0 + (bound - below.0) * share);
            }
            below = (bound, count);
        }
        None
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().ok()? };
    let Some((name, labels)) = head.split_once('{') else { return Some(Sample { name: head.to_owned(), labels: BTreeMap::new(), value }) };
    Some(Sample { name: name.to_owned(), labels: parse_labels(labels.strip_suffix('}')?)?, value })
}

fn parse_labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
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
        labels.insert(name.to_owned(), value);
        text = rest[end + 1..].trim_start_matches(',');
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_host_writes() {
        let scrape = Scrape::parse(concat!(
            "# HELP a_total x\n# TYPE a_total counter\na_total 3\nb{x=\"1\",y=\"say \\\"hi, {you}\\\"\"} 2.5\nb{x=\"2\",y=\"\"} 4\n",
            "h_bucket{le=\"0.1\"} 50\nh_bucket{le=\"0.2\"} 99\nh_bucket{le=\"+Inf\"} 100\n",
        ))
        .expect("parses");
        assert_eq!(scrape.sum("a_total", &[]), 3.0);
        assert_eq!(scrape.sum("b", &[]), 6.5);
        assert_eq!(scrape.sum("b", &[("y", "say \"hi, {you}\"")]), 2.5);
        assert_eq!(scrape.quantile("h", &[], 0.5), Some(0.1));
        assert_eq!(scrape.quantile("h", &[], 0.99), Some(0.2));
        assert_eq!(scrape.quantile("none", &[], 0.5), None);
        assert!(Scrape::parse("b{x=\"1\" 2").is_err());
    }
}
