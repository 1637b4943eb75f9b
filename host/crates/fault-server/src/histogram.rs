//! Latencies in nanoseconds, kept in log-linear buckets: 64 steps per power of two, so that a quantile
//! is at most 1.6 % above the true value. A few KiB, one addition per value.

const STEPS: u64 = 64;
const SHIFT: u32 = STEPS.trailing_zeros();
/// Values up to 2^42 ns (73 minutes); longer ones count as that.
const OCTAVES: usize = 42 - SHIFT as usize;

#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; (OCTAVES + 1) * STEPS as usize], count: 0, max: 0, sum: 0 }
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let octave = 63 - value.leading_zeros() - SHIFT;
    let step = (value >> octave) - STEPS;
    ((u64::from(octave) + 1) * STEPS + step) as usize
}

/// The largest value that falls into a bucket.
fn upper(bucket: usize) -> u64 {
    let (octave, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    if octave == 0 { step } else { ((STEPS + step + 1) << (octave - 1)) - 1 }
}

impl Histogram {
    pub fn record(&mut self, nanos: u64) {
        let index = bucket(nanos).min(self.buckets.len() - 1);
        self.buckets[index] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
        self.sum = self.sum.saturating_add(nanos);
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value that a share of `q` does not exceed; 0 where nothing was recorded.
    pub fn quantile(&self, q: f64) -> u64 {
        let wanted = ((self.count as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(index).min(self.max);
            }
        }
        self.max
    }

    /// Milliseconds, for people.
    pub fn summary(&self) -> serde_json::Value {
        let ms = |nanos: u64| (nanos as f64 / 1e3).round() / 1e3;
        let mean = self.sum.checked_div(self.count).unwrap_or(0);
        serde_json::json!({
            "count": self.count, "mean_ms": ms(mean), "p50_ms": ms(self.quantile(0.5)), "p90_ms": ms(self.quantile(0.9)),
            "p99_ms": ms(self.quantile(0.99)), "p999_ms": ms(self.quantile(0.999)), "max_ms": ms(self.max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_tight() {
        for value in (0..5000).chain([1 << 20, (1 << 20) + 12_345, 999_999_999, (1 << 41) + 7]) {
            let index = bucket(value);
            assert!(upper(index) >= value && (index == 0 || upper(index - 1) < value), "{value} in {index}");
            assert!(upper(index) as f64 <= value as f64 * 1.016 + 1.0, "{value} is widened to {}", upper(index));
        }
    }

    #[test]
    fn quantiles_of_a_line() {
        let mut all = Histogram::default();
        for half in 0..2 {
            let mut part = Histogram::default();
            (0..5000).for_each(|i| part.record((half * 5000 + i) * 1000));
            all.merge(&part);
        }
        for (q, want) in [(0.5, 5.0e6), (0.99, 9.9e6)] {
            let got = all.quantile(q) as f64;
            assert!((got / want - 1.0).abs() < 0.02, "{q}: {got}");
        }
        assert_eq!(all.quantile(1.0), 9_999_000);
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }

    #[test]
    fn absurd_values_stay_in_bounds() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!(histogram.count(), 1);
    }
}
