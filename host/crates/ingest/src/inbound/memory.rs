//! What one address accepted, kept on disk beside the window in memory, so that a killed process remembers it.
//!
//! ```text
//! offset  size  field
//! 0       8     "BHSEEN01"
//! then records of 28 bytes, oldest first:
//! 0       8     accepted, seconds since 1970, little endian
//! 8       16    key of the request
//! 24      4     CRC-32C of the 24 bytes before, little endian
//! ```
//! A record is written before the request is answered, and synced within a second: after a power cut the
//! last second may be missing, after a kill nothing is. What is torn or damaged is passed over. A file
//! that is mostly out of date is written anew beside the old one and put in its place.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::seen::{Claim, Key, Seen};

const MAGIC: &[u8; 8] = b"BHSEEN01";
const RECORD: usize = 28;
/// Largest file that is read: more records than any window has.
const MAX_FILE: u64 = 512 << 20;
/// Records out of date that are always put up with.
const SLACK: usize = 1_024;

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
    bounds: Bounds,
    seen: Mutex<Seen<()>>,
    file: Mutex<Records>,
}

struct Records {
    path: PathBuf,
    file: File,
    count: usize,
    /// When it was last synced, in seconds since 1970.
    synced: u64,
}

impl Memory {
    /// Reads what is there. Blocks on the disk.
    pub fn open(path: &Path, bounds: Bounds, now: Moment) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let kept = current(&read(path)?, bounds, now.unix);
        let mut seen = Seen::new(bounds.time, bounds.requests.into());
        for (at, key) in &kept {
            // What lies in the future is of a clock that was wrong; it counts as of now.
            seen.restore(*key, (), 1, Duration::from_secs(now.unix.saturating_sub(*at)), now.monotonic);
        }
        let records = Records { path: path.to_owned(), file: write(path, &kept)?, count: kept.len(), synced: now.unix };
        Ok(Self { bounds, seen: Mutex::new(seen), file: Mutex::new(records) })
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
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
        let (forgotten, kept) = {
            let mut seen = lock(&self.seen);
            seen.keep(key, (), 1, now.monotonic);
            (seen.take_forgotten(), seen.len())
        };
        let mut records = lock(&self.file);
        records.file.write_all(&record(now.unix, &key))?;
        records.count += 1;
        if records.count > kept * 2 + SLACK {
            let current = current(&read(&records.path)?, self.bounds, now.unix);
            (records.file, records.count, records.synced) = (write(&records.path, &current)?, current.len(), now.unix);
        } else if records.synced != now.unix {
            records.file.sync_data()?;
            records.synced = now.unix;
        }
        Ok(forgotten)
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

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_FILE).read_to_end(&mut bytes).map(|_| bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
        Err(error) => Err(error),
    }
}

/// The records of a file that are whole, of requests that are to be remembered still.
fn current(bytes: &[u8], bounds: Bounds, now: u64) -> Vec<(u64, Key)> {
    let records = bytes.strip_prefix(MAGIC).unwrap_or_default();
    let whole = records.chunks_exact(RECORD).filter_map(|record| {
        let (at, key, sum) = (record[..8].try_into().ok()?, record[8..24].try_into().ok()?, record[24..].try_into().ok()?);
        (crc32c::crc32c(&record[..24]) == u32::from_le_bytes(sum)).then(|| (u64::from_le_bytes(at), Key::from_bytes(key)))
    });
    let mut kept: Vec<_> = whole.filter(|(at, _)| now.saturating_sub(*at) < bounds.time.as_secs()).collect();
    let excess = kept.len().saturating_sub(bounds.requests as usize);
    kept.drain(..excess);
    kept
}

fn record(at: u64, key: &Key) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&at.to_le_bytes());
    record[8..24].copy_from_slice(key.as_bytes());
    let sum = crc32c::crc32c(&record[..24]);
    record[24..].copy_from_slice(&sum.to_le_bytes());
    record
}

/// Writes a file of its own and puts it in place; it is open for more.
fn write(path: &Path, kept: &[(u64, Key)]) -> io::Result<File> {
    let fresh = path.with_extension("seen.new");
    let mut bytes = MAGIC.to_vec();
    kept.iter().for_each(|(at, key)| bytes.extend_from_slice(&record(*at, key)));
    let mut file = File::create(&fresh)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(file)
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
        let path = dir.path().join("inbound/github.seen");
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
        // A torn record at the end, a damaged one at the begin of the last ten.
        let mut bytes = fs::read(&path).expect("readable");
        bytes[8 + 10 * RECORD] ^= 1;
        bytes.extend_from_slice(&[1, 2, 3]);
        fs::write(&path, bytes).expect("written");
        // The monotonic clock of the next process begins anew.
        let later = |unix| Moment { unix, monotonic: Duration::from_secs(unix - 1_050) };
        let memory = Memory::open(&path, BOUNDS, later(1_050)).expect("opens");
        assert_eq!(memory.claim(key(19), later(1_050)), Known::Repeated);
        assert_eq!(memory.claim(key(10), later(1_050)), Known::New, "its record was damaged");
        assert_eq!(memory.claim(key(99), later(1_050)), Known::New);
        assert_eq!(memory.claim(key(19), later(1_101)), Known::New, "its time is over");
    }

    #[test]
    fn a_file_stays_small_however_many_come() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.seen");
        let memory = Memory::open(&path, BOUNDS, at(0)).expect("opens");
        for n in 0..5_000 {
            memory.keep(key(n), at(7)).expect("written");
        }
        let bytes = fs::metadata(&path).expect("there").len();
        assert!(bytes <= (8 + RECORD * (10 * 2 + SLACK + 1)) as u64, "{bytes} bytes");
        assert_eq!(memory.len(), 10);
        let memory = Memory::open(&path, BOUNDS, at(8)).expect("opens");
        assert_eq!((memory.len(), memory.claim(key(4_999), at(8)), memory.claim(key(4_989), at(8))), (10, Known::Repeated, Known::New));
    }

    #[test]
    fn a_file_of_another_kind_is_no_record() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.seen");
        fs::write(&path, b"something else entirely, and long enough to be records").expect("written");
        assert_eq!(Memory::open(&path, BOUNDS, at(0)).expect("opens").len(), 0);
    }
}
