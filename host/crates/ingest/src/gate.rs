//! What stands before the journal: the removal of repeated events and the answers kept for idempotency
//! keys, each where it is switched on. Without them appending costs what the journal's costs.

use std::sync::Arc;

use bulkhead_journal::{AppendBatch, AppendError, Durability, Journal};

use crate::answers::Answers;
use crate::repeats::Repeats;

/// The way of events into the journal; clones share it.
#[derive(Clone)]
pub struct Gate {
    journal: Journal,
    repeats: Option<Arc<Repeats>>,
    answers: Option<Arc<Answers>>,
}

impl Gate {
    pub fn new(journal: Journal, repeats: Option<Arc<Repeats>>, answers: Option<Arc<Answers>>) -> Self {
        Self { journal, repeats, answers }
    }

    /// Appends a batch; of its events, as many as this number were in the journal already. Cancel safe as
    /// the journal's append is.
    pub async fn append(&self, batch: AppendBatch, durability: Durability) -> Result<usize, AppendError> {
        match &self.repeats {
            Some(repeats) => repeats.append(&self.journal, batch, durability).await,
            None => self.journal.append(batch, durability).await.map(|_| 0),
        }
    }

    /// The same for senders that nobody answers: `again` as for the journal.
    pub(crate) async fn append_patiently<F: Future<Output = bool>>(
        &self,
        batch: AppendBatch,
        durability: Durability,
        again: impl FnMut(AppendError) -> F,
    ) -> Result<usize, AppendError> {
        match &self.repeats {
            Some(repeats) => repeats.append_patiently(&self.journal, batch, durability, again).await,
            None => self.journal.append_patiently(batch, durability, again).await.map(|_| 0),
        }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn answers(&self) -> Option<&Arc<Answers>> {
        self.answers.as_ref()
    }
}

impl From<Journal> for Gate {
    fn from(journal: Journal) -> Self {
        Self::new(journal, None, None)
    }
}
