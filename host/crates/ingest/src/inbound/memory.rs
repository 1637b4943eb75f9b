//! What one address accepted: the window in memory, and a [`RecordLog`] beside it, so that a killed process
//! remembers. The record of a request, its key, is on disk before the request is answered.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::record_log::{self, RecordLog};
use crate::seen::{Claim, Key, Seen};

/// Bytes of a record on disk.
const RECORD: u64 = 16 + Key::BYTES as u64;
/// Least bytes of a file before the next begins.
const LEAST_FILE: u64 = 4 << 10;

/// How long requests are remembered, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub time: Duration,
    pub requests: u32,
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Seconds since 1970.
    pub unix: u64,
    pub monotonic: Duration,
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    New,
    UnderWay,
    Repeated,
}

pub(crate) struct Memory {
    seen: Mutex<Seen<()>>,
    log: Mutex<RecordLog>,
}

impl Memory {
    /// Reads what is there; `dir` is of this address alone. Blocks on the disk.
    pub fn open(dir: &Path, bounds: Bounds, now: Moment) -> io::Result<Self> {
        let mut seen = Seen::new(bounds.time, bounds.requests.into());
        let all = u64::from(bounds.requests) * RECORD;
        let file = (all / 8).max(LEAST_FILE);
        // Whatever goes first, as many requests as are remembered are there.
        let on_disk = record_log::Bounds { file, total: all + 2 * file, age: bounds.time };
        let log = RecordLog::open(dir, on_disk, |at, key| {
            // What lies in the future is of a clock that was wrong; it counts as of now.
            let age = Duration::from_nanos(nanos(now).saturating_sub(at));
            if let Ok(key) = key.try_into() {
                seen.restore(Key::from_bytes(key), (), 1, age, now.monotonic);
            }
        })?;
        // What did not fit any more is no news of this process.
        seen.take_forgotten();
        Ok(Self { seen: Mutex::new(seen), log: Mutex::new(log) })
    }

    pub fn claim(&self, key: Key, now: Moment) -> Known {
        match lock(&self.seen).claim(key, now.monotonic) {
            Claim::New => Known::New,
            Claim::UnderWay => Known::UnderWay,
            Claim::Seen(()) => Known::Repeated,
        }
    }

    /// Keeps a claimed request, then writes it down. Answers how many older ones had to go before their
    /// time. Blocks on the disk.
    fn keep(&self, key: Key, now: Moment) -> io::Result<u64> {
        let forgotten = {
            let mut seen = lock(&self.seen);
            seen.keep(key, (), 1, now.monotonic);
            seen.take_forgotten()
        };
        let mut log = lock(&self.log);
        log.push(nanos(now), key.as_bytes());
        log.write(nanos(now)).map(|()| forgotten)
    }

    /// Requests that are remembered.
    pub fn len(&self) -> usize {
        lock(&self.seen).len()
    }
}

/// A claimed request. Dropped without being kept, it may come again.
pub(crate) struct UnderWay {
    memory: Arc<Memory>,
    key: Key,
    ended: bool,
}

impl UnderWay {
    pub fn new(memory: &Arc<Memory>, key: Key) -> Self {
        Self { memory: Arc::clone(memory), key, ended: false }
    }

    /// Blocks on the disk; see [`Memory::open`].
    pub fn keep(mut self, now: Moment) -> io::Result<u64> {
        self.ended = true;
        self.memory.keep(self.key, now)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.ended {
            lock(&self.memory.seen).forget(&self.key);
        }
    }
}

/// Nanoseconds since 1970.
fn nanos(now: Moment) -> u64 {
    now.unix.saturating_mul(1_000_000_000)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { time: Duration::from_secs(100), requests: 10 };

    fn at(unix: u64) -> Moment {
        Moment { unix, monotonic: Duration::from_secs(unix) }
    }

    fn key(n: u32) -> Key {
        Key::of(&[&n.to_le_bytes()])
    }

    #[test]
    fn what_was_accepted_is_known_to_the_next_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("inbound/github");
        let memory = Arc::new(Memory::open(&path, BOUNDS, at(1_000)).expect("opens"));
        for n in 0..20 {
            assert_eq!(memory.claim(key(n), at(1_000)), Known::New);
            let under_way = UnderWay::new(&memory, key(n));
            assert_eq!(memory.claim(key(n), at(1_000)), Known::UnderWay);
            assert_eq!(under_way.keep(at(1_000)).expect("written"), u64::from(n >= 10));
        }
        assert_eq!(memory.claim(key(99), at(1_000)), Known::New, "under way, and so not on disk");
        drop(UnderWay::new(&memory, key(99)));
        assert_eq!(memory.claim(key(99), at(1_000)), Known::New, "broken off, it may come again");
        drop(memory);
        // The monotonic clock of the next process begins anew.
        let later = |unix| Moment { unix, monotonic: Duration::from_secs(unix - 1_050) };
        let memory = Memory::open(&path, BOUNDS, later(1_050)).expect("opens");
        assert_eq!(memory.len(), 10);
        assert_eq!(memory.claim(key(19), later(1_050)), Known::Repeated);
        assert_eq!(memory.claim(key(9), later(1_050)), Known::New, "beyond the number");
        assert_eq!(memory.claim(key(99), later(1_050)), Known::New);
        assert_eq!(memory.claim(key(19), later(1_101)), Known::New, "its time is over");
        let memory = Memory::open(&path, BOUNDS, later(1_101)).expect("opens");
        assert_eq!(memory.len(), 0);
    }

    #[test]
    fn the_disk_holds_what_is_remembered_and_little_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let bounds = Bounds { requests: 100, ..BOUNDS };
        let memory = Memory::open(dir.path(), bounds, at(0)).expect("opens");
        for n in 0..1_000 {
            memory.keep(key(n), at(7)).expect("written");
        }
        let bytes: u64 = std::fs::read_dir(dir.path()).expect("there").map(|entry| entry.expect("an entry").metadata().expect("there").len()).sum();
        assert!(bytes <= 100 * RECORD + 3 * LEAST_FILE, "{bytes} bytes");
        let memory = Memory::open(dir.path(), bounds, at(8)).expect("opens");
        assert_eq!((memory.len(), memory.claim(key(999), at(8)), memory.claim(key(899), at(8))), (100, Known::Repeated, Known::New));
    }
}
