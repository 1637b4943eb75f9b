//! A family as the registry shows it.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{Family, Kind, Series};

pub fn family(name: &str, family: &Family) -> MetricFamily {
    let mut shown = MetricFamily::default();
    shown.set_name(name.to_owned());
    shown.set_help("A connector's own metric.".to_owned());
    shown.set_field_type(match family.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram(_) => MetricType::HISTOGRAM,
    });
    let mut metrics = Vec::with_capacity(family.series.len());
    for ((instance, labels), series) in &family.series {
        let mut pairs = Vec::with_capacity(labels.len() + 1);
        if !instance.is_empty() {
            pairs.push(pair("instance", instance));
        }
        pairs.extend(labels.iter().map(|(name, text)| pair(name, text)));
        let mut metric = Metric::from_label(pairs);
        match (series, &family.kind) {
            (Series::Count(sum), _) => {
                let mut counter = Counter::default();
                #[expect(clippy::cast_precision_loss, reason = "the exposition format knows only floating point")]
                counter.set_value(*sum as f64);
                metric.set_counter(counter);
            }
            (Series::Gauge(now), _) => {
                let mut gauge = Gauge::default();
                gauge.set_value(*now);
                metric.set_gauge(gauge);
            }
            (Series::Histogram { counts, sum }, Kind::Histogram(bounds)) => metric.set_histogram(histogram(bounds, counts, *sum)),
            (Series::Histogram { .. }, _) => continue,
        }
        metrics.push(metric);
    }
    shown.set_metric(metrics);
    shown
}

fn pair(name: &str, text: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(text.to_owned());
    pair
}

/// Buckets count everything up to their bound; the encoder adds the one without.
fn histogram(bounds: &[f64], counts: &[u64], sum: f64) -> Histogram {
    let mut total = 0_u64;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (bound, count) in bounds.iter().zip(counts) {
        total = total.saturating_add(*count);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(total);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_sample_count(counts.iter().fold(0, |total, count| total.saturating_add(*count)));
    histogram.set_sample_sum(sum);
    histogram.set_bucket(buckets);
    histogram
}
