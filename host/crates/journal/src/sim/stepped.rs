//! A journal without threads: the simulation says when the committer and the keeper take their turns, so
//! that the same seed is the same run.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crate::commit::Committer;
use crate::fs::Fs;
use crate::keeper::Keeper;
use crate::shared::Shared;
use crate::{AppendBatch, AppendError, Appended, Durability, Journal, JournalSettings, LaneState, OpenError, Recovery, recover};

pub struct Stepped {
    pub journal: Journal,
    shared: Arc<Shared>,
    committer: Committer,
    keeper: Keeper,
}

impl Stepped {
    pub fn open(settings: JournalSettings, fs: Arc<dyn Fs>) -> Result<(Self, Recovery), OpenError> {
        let opened = recover::open(settings, fs)?;
        opened.shared.reads_inline.store(true, Ordering::Relaxed);
        let journal = Journal::without_threads(opened.shared.clone());
        Ok((Self { journal, shared: opened.shared, committer: opened.committer, keeper: opened.keeper }, opened.recovery))
    }

    /// Appends and commits in one turn; `None` where the queue has no room now.
    pub fn append(&mut self, batch: AppendBatch, durability: Durability) -> Option<Result<Appended, AppendError>> {
        let mut append = pin!(self.journal.append(batch, durability));
        let mut task = Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = append.as_mut().poll(&mut task) {
            return Some(answer);
        }
        self.committer.turn();
        match append.poll(&mut task) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// What a lane has in memory: more than is on disk until it is flushed.
    pub fn lane_state(&self, name: &str) -> Option<LaneState> {
        let lane = self.shared.lanes().get(name).cloned()?;
        lane.look(Clone::clone)
    }

    /// The keeper's turn: lanes' logs are synced, settled segments go.
    pub fn keep(&mut self) {
        self.keeper.turn();
    }
}
