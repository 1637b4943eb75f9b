//! The files as they are written: records appended, each continuing from the one before; files begun,
//! and the oldest removed, so that all together stay within their bound.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::blind::private;
use crate::files::{self, files};
use crate::line::{FORMAT, GENESIS, Line, MAX_LINE, hex, parse, seal};
use crate::record::time;

/// How receipts are kept.
#[derive(Debug, Clone)]
pub struct AuditSettings {
    pub dir: PathBuf,
    /// Bytes of all files together; the oldest goes first.
    pub max_bytes: u64,
    /// Longest that a receipt waits for its sync.
    pub sync: Duration,
}

/// The bound is kept in this many steps.
const FILES: u64 = 8;
/// Largest file.
const MAX_FILE: u64 = 32 << 20;

/// Something to be said in the chain about the chain itself.
pub type Mark = (&'static str, Map<String, Value>);

/// The end of the chain.
#[derive(Debug, Clone)]
struct End {
    /// Number of the next record.
    n: u64,
    prev: String,
    /// Length of the file.
    len: u64,
}

/// A file that is full.
#[derive(Debug)]
struct Kept {
    number: u64,
    first: u64,
    last: u64,
    hash: String,
    bytes: u64,
}

#[derive(Debug)]
pub struct Chain {
    settings: AuditSettings,
    kept: VecDeque<Kept>,
    number: u64,
    file: File,
    /// Number of the first record in the file.
    first: u64,
    /// What is in the file, and what will be with the buffer.
    done: End,
    next: End,
    buffer: Vec<u8>,
    /// A failed write could not be taken back: what the file holds must be looked at again.
    unsure: bool,
    /// Bytes that may still be written, for tests of a full disk.
    #[cfg(test)]
    pub room: Option<usize>,
}

impl Chain {
    /// Continues the chain that is there, or begins one. Answers what is to be said about it first.
    pub fn open(settings: &AuditSettings) -> io::Result<(Self, Vec<Mark>)> {
        let dir = &settings.dir;
        fs::create_dir_all(dir)?;
        let mut marks = Vec::new();
        let mut there = files(dir)?;
        let mut open = None;
        while let Some((number, path)) = there.pop() {
            match Continued::from(&path)? {
                // A crash left nothing but the beginning of its first line.
                Continued { end: None, cut, .. } => {
                    marks.push(torn(&cut));
                    fs::remove_file(&path)?;
                }
                continued => {
                    open = Some((number, path, continued));
                    break;
                }
            }
        }
        let mut kept = VecDeque::new();
        for (number, path) in there {
            let end = Continued::ends(&path)?;
            let first = first_line(&path)?.map_or(0, |line| line.n);
            kept.push_back(Kept { number, first, last: end.n.saturating_sub(1), hash: end.prev, bytes: end.len });
        }
        let mut chain = match open {
            None => {
                let number = 1;
                let file = create(&files::path(dir, number))?;
                let end = End { n: 1, prev: GENESIS.into(), len: 0 };
                Self::at(settings, kept, number, file, 1, end)
            }
            Some((number, path, continued)) => {
                let mut file = private(File::options().append(true)).open(&path)?;
                if !continued.cut.is_empty() {
                    marks.push(torn(&continued.cut));
                    file.set_len(continued.len)?;
                    file.sync_all()?;
                }
                let mut end = continued.end.unwrap_or(End { n: 1, prev: GENESIS.into(), len: 0 });
                let first = first_line(&path)?.map_or(end.n, |line| line.n);
                let mut number = number;
                if continued.damaged {
                    // It stays as it is, for whoever wants to know; the chain goes on over it.
                    marks.push(("damaged", fields(json!({"file": files::name(number)}))));
                    kept.push_back(Kept { number, first, last: end.n - 1, hash: end.prev.clone(), bytes: end.len });
                    number += 1;
                    file = create(&files::path(dir, number))?;
                    end.len = 0;
                }
                Self::at(settings, kept, number, file, first, end)
            }
        };
        if chain.done.len == 0 {
            chain.first = chain.done.n;
        }
        Ok((chain, marks))
    }

    fn at(settings: &AuditSettings, kept: VecDeque<Kept>, number: u64, file: File, first: u64, end: End) -> Self {
        Self {
            settings: settings.clone(),
            kept,
            number,
            file,
            first,
            next: end.clone(),
            done: end,
            buffer: Vec::new(),
            unsure: false,
            #[cfg(test)]
            room: None,
        }
    }

    /// Largest file under this bound.
    fn file_bytes(&self) -> u64 {
        (self.settings.max_bytes / FILES).min(MAX_FILE)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.kept.iter().map(|kept| kept.bytes).sum::<u64>() + self.done.len
    }

    /// Appends a record to what [`Self::flush`] writes. On an error nothing since the last flush is kept.
    pub fn push(&mut self, kind: &str, fields: &Map<String, Value>) -> io::Result<()> {
        if self.unsure {
            self.look_again()?;
        }
        let (line, _) = seal(self.next.n, kind, fields, &self.next.prev);
        if self.next.len > 0 && self.next.len + line.len() as u64 > self.file_bytes() {
            self.rotate()?;
        }
        if self.next.len == 0 {
            self.begin();
            self.prune()?;
        }
        self.append(kind, fields);
        Ok(())
    }

    fn begin(&mut self) {
        self.first = self.next.n;
        let fields = fields(json!({"format": FORMAT, "file": self.number, "at": now(), "by": concat!("bulkhead ", env!("CARGO_PKG_VERSION"))}));
        self.append("begin", &fields);
    }

    fn append(&mut self, kind: &str, fields: &Map<String, Value>) {
        let (line, hash) = seal(self.next.n, kind, fields, &self.next.prev);
        self.next = End { n: self.next.n + 1, prev: hash, len: self.next.len + line.len() as u64 };
        self.buffer.extend_from_slice(&line);
    }

    /// Hands the records to the system. On an error none of them is in the chain.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match self.write() {
            Ok(()) => {
                self.buffer.clear();
                self.done = self.next.clone();
                Ok(())
            }
            Err(error) => {
                self.buffer.clear();
                self.next = self.done.clone();
                self.unsure = self.file.set_len(self.done.len).is_err();
                Err(error)
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if let Some(room) = &mut self.room {
            if *room < self.buffer.len() {
                self.file.write_all(&self.buffer[..*room])?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= self.buffer.len();
        }
        self.file.write_all(&self.buffer)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Begins the next file.
    fn rotate(&mut self) -> io::Result<()> {
        self.flush()?;
        self.sync()?;
        let number = self.number + 1;
        let file = create(&files::path(&self.settings.dir, number))?;
        // The new name itself must survive a power cut.
        File::open(&self.settings.dir)?.sync_all()?;
        let full = Kept { number: self.number, first: self.first, last: self.done.n - 1, hash: self.done.prev.clone(), bytes: self.done.len };
        self.kept.push_back(full);
        (self.number, self.file) = (number, file);
        self.done.len = 0;
        self.next = self.done.clone();
        Ok(())
    }

    /// Removes the oldest files until the one being written may become full. Each is on record, and the
    /// record on disk, before it goes.
    pub fn prune(&mut self) -> io::Result<()> {
        while self.kept.iter().map(|kept| kept.bytes).sum::<u64>() + self.file_bytes().max(self.next.len) > self.settings.max_bytes {
            let Some(oldest) = self.kept.front() else { return Ok(()) };
            let path = files::path(&self.settings.dir, oldest.number);
            let fields = fields(json!({
                "at": now(), "file": oldest.number, "first": oldest.first, "last": oldest.last, "bytes": oldest.bytes, "ended": oldest.hash,
            }));
            self.append("dropped", &fields);
            self.flush()?;
            self.sync()?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.kept.pop_front(),
            };
        }
        Ok(())
    }

    fn look_again(&mut self) -> io::Result<()> {
        let (chain, marks) = Self::open(&self.settings)?;
        *self = chain;
        marks.iter().try_for_each(|(kind, fields)| self.push(kind, fields))
    }
}

/// How a file can be continued.
struct Continued {
    /// `None` where there is no whole line.
    end: Option<End>,
    /// Bytes after the last line feed.
    cut: Vec<u8>,
    /// Length without them.
    len: u64,
    /// The last line is no record.
    damaged: bool,
}

impl Continued {
    fn from(path: &Path) -> io::Result<Self> {
        let (line, cut, len) = last_line(path)?;
        let Some(line) = line else { return Ok(Self { end: None, cut, len: 0, damaged: false }) };
        let (end, damaged) = match parse(&line) {
            Ok(line) => (End { n: line.n + 1, prev: line.hash, len }, false),
            Err(_) => (Self::behind(path, &line, len)?, true),
        };
        Ok(Self { end: Some(end), cut, len, damaged })
    }

    fn ends(path: &Path) -> io::Result<End> {
        Ok(Self::from(path)?.end.unwrap_or(End { n: 1, prev: GENESIS.into(), len: 0 }))
    }

    /// Behind a line that is no record: numbers go on from the last one that is, one for each line.
    fn behind(path: &Path, line: &[u8], len: u64) -> io::Result<End> {
        let bytes = fs::read(path)?;
        let lines: Vec<&[u8]> = bytes[..usize::try_from(len).unwrap_or(bytes.len()).min(bytes.len())].split(|byte| *byte == b'\n').collect();
        let lines = &lines[..lines.len().saturating_sub(1)];
        let good = lines.iter().rposition(|line| parse(line).is_ok());
        let n = match good.and_then(|at| Some((at, parse(lines[at]).ok()?))) {
            Some((at, line)) => line.n + (lines.len() - at) as u64,
            None => lines.len() as u64 + 1,
        };
        Ok(End { n, prev: hex(&Sha256::digest(line)), len })
    }
}

/// The last whole line without its line feed, what stands behind it, and the length up to there.
fn last_line(path: &Path) -> io::Result<(Option<Vec<u8>>, Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    // A window that holds a longest line and a torn one; where it does not, the whole file.
    for window in [4 * MAX_LINE as u64, len] {
        let from = len.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&mut file).take(window.min(len)).read_to_end(&mut bytes)?;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            if from == 0 {
                return Ok((None, bytes, 0));
            }
            continue;
        };
        let before = bytes[..end].iter().rposition(|byte| *byte == b'\n');
        if before.is_none() && from > 0 {
            continue;
        }
        let cut = bytes.split_off(end + 1);
        let line = bytes[before.map_or(0, |at| at + 1)..end].to_vec();
        return Ok((Some(line), cut, from + end as u64 + 1));
    }
    Ok((None, Vec::new(), 0))
}

fn first_line(path: &Path) -> io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_LINE as u64).read_to_end(&mut bytes)?;
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    Ok(parse(&bytes[..end]).ok())
}

fn create(path: &Path) -> io::Result<File> {
    private(File::options().append(true).create(true)).open(path)
}

fn torn(cut: &[u8]) -> Mark {
    ("torn", fields(json!({"at": now(), "cut_bytes": cut.len(), "sha256": hex(&Sha256::digest(cut))})))
}

pub fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Wall time; what receipts say of calls comes with them.
pub fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    time(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
