//! The journal as the configuration wants it, and what of it is counted.

use std::sync::Arc;

use bulkhead_core::Clock;
use bulkhead_journal::{JournalSettings, Observer};
use bulkhead_observe::Metrics;
use bulkhead_seal::AtRest;

use crate::config::Config;

pub(super) fn journal_settings(config: &Config, at_rest: AtRest, clock: &Arc<dyn Clock>, metrics: &Metrics) -> JournalSettings {
    let mut settings = JournalSettings::new(&config.journal.dir, config.journal.max_bytes);
    settings.segment_bytes = config.journal.segment_bytes;
    settings.keep = config.journal.keep;
    settings.compression = config.journal.compression;
    settings.at_rest = at_rest;
    settings.clock = Arc::clone(clock);
    settings.observer = Some(Arc::new(JournalMetrics(metrics.clone())));
    settings
}

struct JournalMetrics(Metrics);

impl Observer for JournalMetrics {
    fn committed(&self, _appends: u64, _events: u64, _bytes: u64, seconds: f64) {
        self.0.journal_syncs.inc();
        self.0.journal_sync_seconds.observe(seconds);
    }

    fn stored(&self, bytes: u64) {
        self.0.journal_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
