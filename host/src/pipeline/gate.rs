//! What stands before the journal, as the configuration wants it, and what follows the journal for it.

use std::sync::Arc;

use bulkhead_core::Clock;
use bulkhead_ingest::{Answers, Follower, Gate, REPEATS_LANE, Repeats};
use bulkhead_journal::Journal;
use bulkhead_observe::Metrics;

use super::StartError;
use crate::config::Config;

/// Blocks for the time to read what an earlier process knew.
pub(super) fn open(config: &Config, journal: &Journal, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Result<(Gate, Option<Follower>), StartError> {
    let (repeats, follower) = match &config.repeats {
        Some(settings) => {
            let (repeats, follower) = Repeats::open(settings, &config.data_dir.join("dedup"), journal, Arc::clone(clock), metrics.window("events"))?;
            (Some(repeats), Some(follower))
        }
        None => {
            if journal.lane_names().iter().any(|name| name == REPEATS_LANE) {
                // Switched off: nobody would read on, and the journal would keep everything for it.
                let removed = journal.remove_lane(REPEATS_LANE);
                removed.map_err(|source| StartError::RemoveLane { lane: REPEATS_LANE.into(), source })?;
            }
            (None, None)
        }
    };
    let answers = match config.idempotency_window {
        Some(window) => {
            let answers = Answers::open(window, &config.data_dir.join("idempotency"), Arc::clone(clock), metrics.window("answers"));
            Some(answers.map_err(StartError::Answers)?)
        }
        None => None,
    };
    Ok((Gate::new(journal.clone(), repeats, answers), follower))
}
