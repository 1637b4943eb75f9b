//! Events seen through a projection, in buffers that live as long as the worker.

use bulkhead_core::{EventBatch, EventRef, Projection, RecordBatch};

/// Fills one [`EventBatch`] after the other without allocating anew.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    batch: EventBatch,
}

impl BatchBuilder {
    /// Replaces the batch by these events. The caller has bounded their number and bytes.
    pub fn fill<'a>(&mut self, projection: &Projection, events: impl ExactSizeIterator<Item = EventRef<'a>>) -> &EventBatch {
        self.batch.block.clear();
        self.batch.spans.clear();
        self.batch.count = events.len() as u32;
        // Many connectors want nothing beside the record; then the events are not even looked at.
        if !projection.is_empty() {
            for event in events {
                projection.extract(&event, &mut self.batch.block, &mut self.batch.spans);
            }
        }
        &self.batch
    }

    pub fn batch(&self) -> &EventBatch {
        &self.batch
    }
}

/// The records without those that the formatter refused; `refused` is sorted. Rare, so it copies.
pub fn without(records: &RecordBatch, refused: &[usize]) -> RecordBatch {
    let mut kept = RecordBatch { block: Vec::with_capacity(records.block.len()), offsets: Vec::with_capacity(records.offsets.len()) };
    kept.offsets.push(0);
    for i in 0..records.len() {
        if refused.binary_search(&i).is_err() {
            kept.block.extend_from_slice(records.get(i));
            kept.offsets.push(kept.block.len() as u32);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
