//! A journal on a simulated disk, driven step by step: the committer and the keeper take their turns
//! when a test says so, and appends are polled by hand.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bulkhead_core::{Clock, EventBuilder, Seq, Shape};

use crate::commit::Committer;
use crate::keeper::Keeper;
use crate::sim::SimFs;
use crate::{AppendBatch, AppendError, Appended, Durability, Frame, Fs, Journal, JournalSettings, OpenError, ReadError, Recovery, recover};

mod append;
mod concurrent;
mod keep;
mod lanes;
mod model;
mod reading;
mod recovery;
mod sealing;

pub(crate) const DIR: &str = "/data/journal";
pub(crate) const SEGMENT: u64 = 64 << 10;

/// The stored form of an event with these bytes: 16 more.
pub(crate) fn stored(original: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    EventBuilder::new().finish(Shape::Plain, None, 1, original, &mut out).unwrap();
    out
}

pub(crate) fn batch(originals: &[Vec<u8>]) -> AppendBatch {
    let mut batch = AppendBatch::new();
    for original in originals {
        batch.buffer().extend_from_slice(&stored(original));
        batch.push_event().unwrap();
    }
    batch
}

/// Time stands still unless told otherwise.
#[derive(Default)]
pub(crate) struct TestClock(pub std::sync::atomic::AtomicU64);

impl Clock for TestClock {
    fn unix_nanos(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// An append on its way.
pub(crate) struct Asked(Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>);

impl Asked {
    pub fn poll(&mut self) -> Option<Result<Appended, AppendError>> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }
}

pub(crate) struct Rig {
    pub journal: Journal,
    pub committer: Committer,
    pub keeper: Keeper,
    pub recovery: Recovery,
}

pub(crate) fn settings(max_bytes: u64) -> JournalSettings {
    JournalSettings {
        segment_bytes: SEGMENT,
        tail_bytes: 20_000,
        queue_bytes: 1 << 20,
        clock: Arc::new(TestClock::default()),
        ..JournalSettings::new(DIR, max_bytes)
    }
}

impl Rig {
    pub fn try_open(sim: &SimFs, settings: JournalSettings) -> Result<Self, OpenError> {
        let opened = recover::open(settings, sim.mount())?;
        let journal = Journal::without_threads(opened.shared);
        Ok(Self { journal, committer: opened.committer, keeper: opened.keeper, recovery: opened.recovery })
    }

    pub fn open(sim: &SimFs) -> Self {
        Self::try_open(sim, settings(16 * SEGMENT)).unwrap()
    }

    pub fn ask(&self, originals: &[Vec<u8>], durability: Durability) -> Asked {
        let (journal, batch) = (self.journal.clone(), batch(originals));
        let mut asked = Asked(Box::pin(async move { journal.append(batch, durability).await }));
        // Without this nothing is queued; a batch that is refused at once answers the next poll.
        if let Some(answer) = asked.poll() {
            asked = Asked(Box::pin(async move { answer }));
        }
        asked
    }

    pub fn append(&mut self, originals: &[Vec<u8>]) -> Result<Appended, AppendError> {
        let mut asked = self.ask(originals, Durability::Fsync);
        self.committer.turn();
        asked.poll().expect("answered in one turn")
    }

    /// Appends one event of this text, padded to `bytes`.
    pub fn event(&mut self, text: &str, bytes: usize) -> Result<Appended, AppendError> {
        self.append(&[padded(text, bytes)])
    }
}

pub(crate) fn padded(text: &str, bytes: usize) -> Vec<u8> {
    let mut original = text.as_bytes().to_vec();
    original.resize(bytes.max(original.len()), b'.');
    original
}

/// What a reader says, until it has no more.
pub(crate) fn read_all(journal: &Journal, after: u64) -> Vec<Result<Arc<Frame>, ReadError>> {
    let mut reader = journal.reader(Seq(after));
    let mut all = Vec::new();
    loop {
        match reader.try_next() {
            Ok(Some(frame)) => all.push(Ok(frame)),
            Ok(None) | Err(ReadError::Closed) => return all,
            Err(error @ ReadError::Io { .. }) => {
                all.push(Err(error));
                return all;
            }
            Err(error) => all.push(Err(error)),
        }
    }
}

/// The same in short: `3:text` for an event, `lost 4-5`, `gone 1-2`.
pub(crate) fn brief(journal: &Journal, after: u64) -> Vec<String> {
    let mut out = Vec::new();
    for item in read_all(journal, after) {
        match item {
            Ok(frame) => out.extend(frame.events().map(|(seq, event)| format!("{seq}:{}", String::from_utf8_lossy(event.original()).trim_end_matches('.')))),
            Err(ReadError::Lost { first, last, .. }) => out.push(format!("lost {first}-{last}")),
            Err(ReadError::Gone { first, last }) => out.push(format!("gone {first}-{last}")),
            Err(error) => out.push(error.to_string()),
        }
    }
    out
}

/// The segment files, by name.
pub(crate) fn segment_files(sim: &SimFs) -> Vec<(String, u64)> {
    let all = sim.list(Path::new(DIR)).unwrap();
    all.into_iter().filter(|entry| entry.name.starts_with("seg-")).map(|entry| (entry.name, entry.bytes)).collect()
}
