//! Events for the programs beside this folder.

use anyhow::Result;
use bulkhead_ingest::{Form, Normaliser, Rules};
use bulkhead_tests::template::{Batch, Layout};

/// Events as the journal keeps them.
pub fn stored(events: usize) -> Result<Vec<Vec<u8>>> {
    let mut batch = Batch::new(events, Layout::Lines);
    batch.stamp(1, 0, 1_762_000_000_000_000_000);
    let mut normaliser = Normaliser::new(Rules::default());
    let store = |line: &[u8]| {
        let mut out = Vec::new();
        normaliser.event(line, 0, Form::Json, 1_762_000_000_000_000_000, &mut out).map_err(|refused| anyhow::anyhow!("{:?}", refused.fault))?;
        Ok(out)
    };
    batch.body.split(|byte| *byte == b'\n').map(store).collect()
}
