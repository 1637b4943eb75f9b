//! Events on their way to a worker and back: places in frames, not copies.

use std::ops::Range;
use std::sync::Arc;

use bulkhead_core::{EventRef, Seq};
use bulkhead_journal::Frame;

use crate::jumps::Expiry;
use crate::schedule::Tries;

/// One event of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    frame: u32,
    index: u32,
    /// Events right before this one that the lane does not want: they settle with it, so that the lane's
    /// log says one range for a whole batch.
    lead: u32,
}

/// Events that are handed over together.
#[derive(Debug, Default)]
pub(crate) struct Job {
    frames: Vec<Arc<Frame>>,
    items: Vec<Item>,
    /// Keys of the events; empty where the lane keeps no order by key.
    keys: Vec<u64>,
    /// What is known of earlier attempts; empty where there were none.
    tries: Vec<Tries>,
    /// Memory that the frames hold.
    pinned: usize,
}

impl Job {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn pinned(&self) -> usize {
        self.pinned
    }

    pub fn push(&mut self, frame: &Arc<Frame>, index: usize, lead: u32, key: Option<u64>) {
        if !self.frames.last().is_some_and(|last| Arc::ptr_eq(last, frame)) {
            self.pinned += frame.bytes();
            self.frames.push(Arc::clone(frame));
        }
        self.items.push(Item { frame: self.frames.len() as u32 - 1, index: index as u32, lead });
        self.keys.extend(key);
    }

    /// The same with what is known of earlier attempts; all events of a job or none.
    pub fn push_tried(&mut self, frame: &Arc<Frame>, index: usize, key: Option<u64>, tries: Tries) {
        self.push(frame, index, 0, key);
        self.tries.push(tries);
    }

    pub fn seq(&self, i: usize) -> Seq {
        let item = self.items[i];
        self.frames[item.frame as usize].seq(item.index as usize)
    }

    pub fn stored(&self, i: usize) -> &[u8] {
        let item = self.items[i];
        self.frames[item.frame as usize].stored(item.index as usize)
    }

    pub fn event(&self, i: usize) -> EventRef<'_> {
        let item = self.items[i];
        self.frames[item.frame as usize].event(item.index as usize)
    }

    pub fn events(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        self.items[range].iter().map(|item| self.frames[item.frame as usize].event(item.index as usize))
    }

    /// How many of the first events have waited too long.
    pub fn count_older(&self, expiry: &Expiry) -> usize {
        self.events(0..self.len()).enumerate().take_while(|(i, event)| expiry.is_past(self.seq(*i), event.received())).count()
    }

    /// Frame by frame: the receipt of its first event here and how many follow from it. A frame is one
    /// request, so its events came in together.
    pub fn receipts(&self, range: Range<usize>) -> impl Iterator<Item = (u64, usize)> + '_ {
        self.items[range].chunk_by(|a, b| a.frame == b.frame).map(|run| {
            let first = run[0];
            (self.frames[first.frame as usize].event(first.index as usize).received(), run.len())
        })
    }

    /// How many were handed to the lane again. They come in requests of their own, so the first event of
    /// a frame speaks for all.
    pub fn replayed(&self, range: Range<usize>) -> u32 {
        let runs = self.items[range].chunk_by(|a, b| a.frame == b.frame);
        let again = runs.filter(|run| self.frames[run[0].frame as usize].event(run[0].index as usize).lane().is_some());
        again.map(|run| run.len() as u32).sum()
    }

    pub fn key(&self, i: usize) -> Option<u64> {
        self.keys.get(i).copied()
    }

    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    pub fn tries(&self, i: usize) -> Tries {
        self.tries.get(i).cloned().unwrap_or_default()
    }

    /// Whether its events waited for another attempt.
    pub fn is_retry(&self) -> bool {
        !self.tries.is_empty()
    }

    /// Number of the attempt that is about to be made, as the connector hears it.
    pub fn attempt(&self, range: Range<usize>) -> u32 {
        self.tries.get(range).into_iter().flatten().map(|tries| tries.attempts).max().unwrap_or(0).saturating_add(1)
    }

    /// The places that event `i` settles: its own and the unwanted ones before it.
    pub fn covers(&self, i: usize) -> (Seq, Seq) {
        let seq = self.seq(i);
        (Seq(seq.0 - u64::from(self.items[i].lead)), seq)
    }

    /// The unwanted places before event `i`, for when it does not settle itself. They are given once.
    pub fn take_lead(&mut self, i: usize) -> Option<(Seq, Seq)> {
        let (first, seq) = self.covers(i);
        self.items[i].lead = 0;
        (first < seq).then(|| (first, Seq(seq.0 - 1)))
    }

    /// The first `most` events as a job of their own; the rest stays.
    pub fn split_to(&mut self, most: usize) -> Self {
        if most >= self.len() {
            return std::mem::take(self);
        }
        let rest: Vec<usize> = (most..self.len()).collect();
        let rest = self.pick(&rest);
        self.truncate(most);
        std::mem::replace(self, rest)
    }

    /// The named events, in this order, as a job of their own.
    pub fn pick(&self, which: &[usize]) -> Self {
        let mut picked = Self::default();
        for i in which {
            let item = self.items[*i];
            picked.push(&self.frames[item.frame as usize], item.index as usize, item.lead, self.key(*i));
            picked.tries.extend(self.tries.get(*i).cloned());
        }
        picked
    }

    /// Puts another job's events behind these.
    pub fn append(&mut self, other: Self) {
        let frames = self.frames.len() as u32;
        self.items.extend(other.items.iter().map(|item| Item { frame: item.frame + frames, ..*item }));
        self.frames.extend(other.frames);
        self.keys.extend(other.keys);
        self.tries.extend(other.tries);
        self.pinned += other.pinned;
    }

    fn truncate(&mut self, most: usize) {
        self.items.truncate(most);
        self.keys.truncate(most);
        self.tries.truncate(most);
        self.frames.truncate(self.items.last().map_or(0, |item| item.frame as usize + 1));
        self.pinned = self.frames.iter().map(|frame| frame.bytes()).sum();
    }

    /// Forgets the events and keeps the buffers.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.items.clear();
        self.keys.clear();
        self.tries.clear();
        self.pinned = 0;
    }
}
