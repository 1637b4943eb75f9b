//! Small records on disk that outlive the process for a time: files written from front to back, the
//! oldest deleted as a whole once all in it is over, or once they take too much room.
//!
//! ```text
//! <20 digits>.log   magic "BHREC01\n", then records:
//! record            length of the payload u32, checksum of what follows u32 (CRC-32C), time u64 (ns
//!                   since 1970), payload; little endian
//! ```
//!
//! A record that does not read ends its file: it was torn, and never promised. Each process begins a file
//! of its own, so nothing is ever written behind a torn end. Blocks on the disk.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MAGIC: [u8; 8] = *b"BHREC01\n";
const HEAD: usize = 16;
const SUFFIX: &str = ".log";

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// A file that is longer is followed by the next.
    pub file: u64,
    /// Of all files.
    pub total: u64,
    /// How long a record counts.
    pub age: Duration,
}

pub(crate) struct RecordLog {
    dir: PathBuf,
    bounds: Bounds,
    /// Files of which nothing more is written, the oldest first.
    full: VecDeque<Written>,
    current: Option<(File, Written)>,
    next: u64,
    pending: Vec<u8>,
    pending_newest: u64,
}

struct Written {
    path: PathBuf,
    bytes: u64,
    newest: u64,
}

impl RecordLog {
    /// Opens the folder, or makes it, and hands out the time and payload of every record, oldest first.
    pub fn open(dir: &Path, bounds: Bounds, mut each: impl FnMut(u64, &[u8])) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|digits| digits.len() == 20);
            numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let next = numbers.last().map_or(1, |last| last + 1);
        let mut log = Self { dir: dir.into(), bounds, full: VecDeque::new(), current: None, next, pending: Vec::new(), pending_newest: 0 };
        for number in numbers {
            let path = log.path(number);
            let bytes = fs::read(&path)?;
            let newest = read(&bytes, &mut each);
            log.full.push_back(Written { path, bytes: bytes.len() as u64, newest });
        }
        Ok(log)
    }

    /// Adds a record to what the next [`write`](Self::write) writes.
    pub fn push(&mut self, time: u64, payload: &[u8]) {
        let at = self.pending.len();
        self.pending.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        self.pending.extend_from_slice(&[0; 4]);
        self.pending.extend_from_slice(&time.to_le_bytes());
        self.pending.extend_from_slice(payload);
        let checksum = crc32c::crc32c(&self.pending[at + 8..]);
        self.pending[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        self.pending_newest = self.pending_newest.max(time);
    }

    /// Bytes that wait to be written.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Writes and syncs what waits, and deletes what is over. What cannot be written is given up, and the
    /// next write begins a new file.
    pub fn write(&mut self, now: u64) -> io::Result<()> {
        let done = self.write_pending();
        self.pending.clear();
        self.pending_newest = 0;
        if done.is_err()
            && let Some((_, written)) = self.current.take()
        {
            self.full.push_back(written);
        }
        self.tidy(now);
        done
    }

    fn write_pending(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Some((_, written)) = self.current.take_if(|(_, written)| written.bytes >= self.bounds.file) {
            self.full.push_back(written);
        }
        let (file, written) = match &mut self.current {
            Some(current) => current,
            None => {
                let path = self.path(self.next);
                self.next += 1;
                let mut file = File::options().write(true).create_new(true).open(&path)?;
                file.write_all(&MAGIC)?;
                File::open(&self.dir)?.sync_all()?;
                self.current.insert((file, Written { path, bytes: MAGIC.len() as u64, newest: 0 }))
            }
        };
        file.write_all(&self.pending)?;
        written.bytes += self.pending.len() as u64;
        written.newest = written.newest.max(self.pending_newest);
        file.sync_data()
    }

    fn tidy(&mut self, now: u64) {
        let age = u64::try_from(self.bounds.age.as_nanos()).unwrap_or(u64::MAX);
        let current = self.current.as_ref().map_or(0, |(_, written)| written.bytes);
        let mut total = current + self.full.iter().map(|written| written.bytes).sum::<u64>();
        while let Some(oldest) = self.full.front().filter(|oldest| oldest.newest.saturating_add(age) <= now || total > self.bounds.total) {
            // One that cannot be removed is tried again at the next start.
            let _ = fs::remove_file(&oldest.path);
            total -= oldest.bytes;
            self.full.pop_front();
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}{SUFFIX}"))
    }
}

/// The time of the newest record.
fn read(bytes: &[u8], each: &mut impl FnMut(u64, &[u8])) -> u64 {
    let Some(mut rest) = bytes.strip_prefix(&MAGIC) else { return 0 };
    let mut newest = 0;
    while let Some((head, behind)) = rest.split_at_checked(HEAD) {
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = number(0) as usize;
        let Some(payload) = behind.get(..length).filter(|_| crc32c::crc32c(&rest[8..HEAD + length]) == number(4)) else { break };
        let time = u64::from(number(8)) | u64::from(number(12)) << 32;
        newest = newest.max(time);
        each(time, payload);
        rest = &behind[length..];
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { file: 100, total: 1_000, age: Duration::from_nanos(50) };

    fn all(dir: &Path) -> (RecordLog, Vec<(u64, Vec<u8>)>) {
        let mut records = Vec::new();
        let log = RecordLog::open(dir, BOUNDS, |time, payload| records.push((time, payload.to_vec()))).expect("opens");
        (log, records)
    }

    fn files(dir: &Path) -> usize {
        fs::read_dir(dir).expect("lists").count()
    }

    #[test]
    fn records_come_back_in_order_and_go_with_their_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut log, _) = all(dir.path());
        for time in 1..=8 {
            log.push(time, &[time as u8; 30]);
            log.write(time).expect("writes");
        }
        drop(log);
        let (mut log, records) = all(dir.path());
        assert_eq!(records, (1..=8).map(|time| (time, vec![time as u8; 30])).collect::<Vec<_>>());
        // 30 and 16 bytes each and 8 in front: two to a file.
        assert_eq!(files(dir.path()), 4);
        log.push(53, b"new");
        log.write(53).expect("writes");
        drop(log);
        let (log, records) = all(dir.path());
        assert_eq!(records.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 53], "the first file was over");
        assert_eq!(log.full.len(), 4);
    }

    #[test]
    fn a_torn_end_costs_what_is_behind_it_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut log, _) = all(dir.path());
        log.push(1, b"one");
        log.push(2, b"two");
        log.write(2).expect("writes");
        let path = log.path(1);
        drop(log);
        let bytes = fs::read(&path).expect("reads");
        for cut in MAGIC.len() + HEAD + 3..bytes.len() {
            fs::write(&path, &bytes[..cut]).expect("writes");
            assert_eq!(all(dir.path()).1, [(1, b"one".to_vec())], "cut at {cut}");
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().expect("bytes") ^= 1;
        fs::write(&path, &flipped).expect("writes");
        let (mut log, records) = all(dir.path());
        assert_eq!(records.len(), 1);
        log.push(3, b"three");
        log.write(3).expect("writes");
        assert_eq!(all(dir.path()).1.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [1, 3], "not written behind the torn end");
    }

    #[test]
    fn the_oldest_files_go_when_there_are_too_many() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut log, _) = all(dir.path());
        for time in 1..=40u64 {
            log.push(time, &[0; 84]);
            log.write(time).expect("writes");
        }
        // Each file holds one record of 100 bytes and its magic.
        assert!(files(dir.path()) <= 10, "{}", files(dir.path()));
        drop(log);
        assert_eq!(all(dir.path()).1.last().expect("some").0, 40);
    }
}
