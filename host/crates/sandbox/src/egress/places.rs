//! Places for requests of all guests together, so that guests never take the last open file of the
//! host. An instance asks for one only after it has one of its own limit, and all wait in line.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Open files kept for the host: listeners, journal, store, producers.
const RESERVE: u64 = 256;
/// More than this is never derived; an operator may set it.
const MOST_DERIVED: u64 = 16_384;

/// Leave to have one request under way; given back when dropped.
pub type Place = OwnedSemaphorePermit;

/// The places of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places {
    all: Arc<Semaphore>,
    count: usize,
}

impl Places {
    /// At least one.
    pub fn new(count: usize) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(count)), count }
    }

    /// Half of the open files that are left beside the host's own: a connection that waits in a pool
    /// holds one, too.
    pub fn derived(open_files: u64) -> usize {
        let places = (open_files.saturating_sub(RESERVE) / 2).clamp(16, MOST_DERIVED);
        usize::try_from(places).unwrap_or(usize::MAX)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Waits in line. Cancel safe. `None` where the process is stopping.
    pub async fn take(&self) -> Option<Place> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// What a request is told that found no place in its time.
    pub fn refusal(&self) -> String {
        format!("max_egress of {} reached over all instances; raise `delivery.max_egress` and the limit of open files to allow more", self.count)
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::new(usize::try_from(MOST_DERIVED).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_derived_from_open_files() {
        for (files, want) in [(0, 16), (256, 16), (1_024, 384), (4_096, 1_920), (65_536, 16_384), (u64::MAX, 16_384)] {
            assert_eq!(Places::derived(files), want, "{files}");
        }
    }
}
