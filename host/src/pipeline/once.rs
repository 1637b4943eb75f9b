//! One shot: standard input is taken to its end, and everything in the journal delivered.

use std::io::Read;
use std::time::Duration;

use bulkhead_ingest::{LineFormat, StdinSettings};
use tokio::time::Instant;

use super::Host;

/// Between two looks at the lanes.
const LOOK: Duration = Duration::from_millis(20);
/// Longest line; longer ones come in pieces.
const MAX_LINE: usize = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum StdinError {
    #[error("standard input was not taken to its end: {0}")]
    Read(String),
    #[error("nothing was delivered for {0:?} (drain), and {1} deliveries wait; they are on disk for the next start")]
    Stuck(Duration, u64),
}

impl Host {
    /// Takes the lines of a stream, then waits until every lane has settled all there is, or until nothing
    /// moves for as long as `patience`.
    pub async fn take_stdin(&self, reader: impl Read + Send + 'static, format: LineFormat, patience: Duration) -> Result<(), StdinError> {
        let settings = StdinSettings { format, max_line: MAX_LINE, tenant: bulkhead_core::Tenant::default() };
        let (journal, metrics, clock) = (self.journal.clone(), self.metrics.clone(), self.clock.clone());
        let events = bulkhead_ingest::serve_stdin(reader, settings, journal, metrics, clock, self.stop_intake.clone()).await.map_err(StdinError::Read)?;
        tracing::info!(events, "standard input is at its end");
        let (mut last, mut moved) = (u64::MAX, Instant::now());
        loop {
            let waiting: u64 = self.delivery.status().iter().map(|lane| lane.backlog).sum();
            if waiting == 0 {
                return Ok(());
            }
            if waiting != last {
                (last, moved) = (waiting, Instant::now());
            } else if moved.elapsed() >= patience {
                return Err(StdinError::Stuck(patience, waiting));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
