//! Appends on their way to the committer: bounded by bytes, each append counting some more for
//! itself so that the number is bounded too. A full queue makes producers wait, first come first served.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::error::AppendError;
use crate::layout::FrameHeader;
use crate::settings::{Appended, Durability};
use crate::stored::Stored;

/// What one append counts for besides its bytes.
const APPEND_COST: u64 = 1024;
/// Most bytes of one group, so that its first producer does not wait for all others' writing.
pub(crate) const GROUP_BYTES: usize = 8 << 20;

/// Refused appends get their frame back, so that it can be tried again without a copy.
pub(crate) type Answer = oneshot::Sender<Result<Appended, (AppendError, Vec<u8>)>>;

pub(crate) struct Pending {
    /// The frame as lanes read it.
    pub bytes: Vec<u8>,
    pub header: FrameHeader,
    /// The frame as it goes to the disk.
    pub stored: Stored,
    pub durability: Durability,
    /// Gone once answered.
    pub answer: Option<Answer>,
    pub cost: u32,
}

impl Pending {
    pub fn reply(&mut self, reply: Result<Appended, AppendError>) {
        if let Some(answer) = self.answer.take() {
            // A producer that went away needs no answer.
            let _ = answer.send(reply.map_err(|error| (error, std::mem::take(&mut self.bytes))));
        }
    }

    pub fn appended(&self) -> Appended {
        Appended { first: bulkhead_core::Seq(self.header.first), last: bulkhead_core::Seq(self.header.last()) }
    }
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Pending>,
    closed: bool,
    /// The committer sleeps until this many wait; 0: it does not sleep.
    wake_at: usize,
}

pub(crate) struct Queue {
    room: Semaphore,
    capacity: u32,
    inner: Mutex<Inner>,
    arrived: Condvar,
}

impl Queue {
    pub fn new(bytes: usize) -> Self {
        let capacity = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(64 << 10, 1 << 30);
        Self { room: Semaphore::new(capacity as usize), capacity, inner: Mutex::default(), arrived: Condvar::new() }
    }

    /// Waits for room. Cancel safe: nothing is queued before it returns.
    pub async fn reserve(&self, bytes: u64) -> Result<u32, AppendError> {
        // An append larger than the queue has it for itself.
        let cost = u32::try_from(bytes + APPEND_COST).unwrap_or(u32::MAX).min(self.capacity);
        let permit = self.room.acquire_many(cost).await.map_err(|_| AppendError::Closed)?;
        permit.forget();
        Ok(cost)
    }

    pub fn release(&self, cost: usize) {
        self.room.add_permits(cost);
    }

    pub fn push(&self, pending: Pending) {
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            self.release(pending.cost as usize);
            let mut pending = pending;
            return pending.reply(Err(AppendError::Closed));
        }
        inner.waiting.push_back(pending);
        if inner.wake_at > 0 && inner.waiting.len() >= inner.wake_at {
            inner.wake_at = 0;
            self.arrived.notify_one();
        }
    }

    /// Nothing more is taken; what waits is still committed.
    pub fn close(&self) {
        self.room.close();
        let mut inner = self.lock();
        inner.closed = true;
        inner.wake_at = 0;
        self.arrived.notify_one();
    }

    /// Number of waiting appends.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Sleeps until something waits, the queue is closed (false), or `limit` is over.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let inner = self.lock();
        if inner.waiting.is_empty() && !inner.closed {
            let inner = self.sleep(inner, 1, limit);
            return !(inner.closed && inner.waiting.is_empty());
        }
        !(inner.closed && inner.waiting.is_empty())
    }

    /// Sleeps until `count` wait, at most `limit`.
    pub fn linger(&self, count: usize, limit: Duration) {
        let inner = self.lock();
        if inner.waiting.len() < count && !inner.closed {
            drop(self.sleep(inner, count, Some(limit)));
        }
    }

    fn sleep<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, count: usize, limit: Option<Duration>) -> MutexGuard<'a, Inner> {
        inner.wake_at = count;
        // `push` and `close` set it back; waking for nothing is waited out again.
        let sleeping = |inner: &mut Inner| inner.wake_at > 0;
        let mut inner = match limit {
            None => self.arrived.wait_while(inner, sleeping).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => self.arrived.wait_timeout_while(inner, limit, sleeping).unwrap_or_else(PoisonError::into_inner).0,
        };
        inner.wake_at = 0;
        inner
    }

    /// Moves the next group into `group`.
    pub fn take(&self, group: &mut Vec<Pending>) {
        let mut inner = self.lock();
        let mut bytes = 0;
        while let Some(next) = inner.waiting.front() {
            bytes += next.stored.header.length as usize;
            if bytes > GROUP_BYTES && !group.is_empty() {
                break;
            }
            group.extend(inner.waiting.pop_front());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
