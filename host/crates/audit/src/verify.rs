//! Checks the chain from its files alone, and names the first record that is not as it was written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::{self, files};
use crate::line::{FORMAT, GENESIS, Line, MAX_LINE, parse};
use crate::trail::TrailKind;

/// What the files hold.
#[derive(Debug, Default)]
pub struct Report {
    pub files: Vec<FileReport>,
    /// Number of the first record; above 1 where older files were dropped.
    pub begins: u64,
    /// Number and hash of the last record.
    pub head: Option<(u64, String)>,
    pub counts: Counts,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
    /// The record that was expected, and how many came after it.
    pub found: Option<Found>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    pub file: PathBuf,
    pub first: u64,
    pub last: u64,
    pub bytes: u64,
}

/// Records by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    /// Calls into connectors.
    pub receipts: u64,
    /// What people and rules of theirs did.
    pub trail: u64,
    /// Receipts that could not be written, as the chain says.
    pub lost: u64,
    /// Unfinished lines that were cut after a crash.
    pub torn: u64,
    pub damaged: u64,
    /// Files that were dropped to keep to the bound.
    pub dropped: u64,
    pub starts: u64,
}

/// The first record that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub file: PathBuf,
    /// From 1.
    pub line: u64,
    /// Number of the record.
    pub n: u64,
    pub what: String,
}

/// A record that was noted elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub n: Option<u64>,
    pub hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub n: u64,
    /// Records after it.
    pub since: u64,
}

impl std::str::FromStr for Expected {
    type Err = String;

    /// `<hash>` or `<number>:<hash>`, as `audit head` prints it.
    fn from_str(text: &str) -> Result<Self, String> {
        let (n, hash) = match text.split_once(':') {
            Some((n, hash)) => (Some(n.parse().map_err(|_| format!("`{n}` is no record number"))?), hash),
            None => (None, text),
        };
        if !crate::line::is_hash(hash) {
            return Err("a head is 64 hexadecimal digits in lower case, perhaps behind its record number: 17:9f86…".into());
        }
        Ok(Self { n, hash: hash.into() })
    }
}

/// Kinds that say something about the chain itself.
pub const MARKS: [&str; 7] = ["begin", "start", "stop", "torn", "damaged", "lost", "dropped"];

/// Looks at every record. An error is one of reading; what is wrong with records is in the report. A
/// running host may write meanwhile: what it has not finished is waited for.
pub fn verify(dir: &Path, expected: Option<&Expected>) -> io::Result<Report> {
    // The oldest file may go while the list of files is still being worked through.
    match Walk::new(expected).run(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Walk::new(expected).run(dir),
        other => other,
    }
}

/// The last record, its own hash checked and nothing else.
pub fn head(dir: &Path) -> io::Result<Option<Result<(u64, String), Fault>>> {
    let Some((_, path)) = files(dir)?.pop() else { return Ok(None) };
    let mut lines = Lines::open(&path, true)?;
    let mut last = None;
    let mut number = 0;
    while let Some(line) = lines.next()? {
        number += 1;
        last = Some(line);
    }
    Ok(last.map(|line| {
        let fault = |n, what: String| Fault { file: path.clone(), line: number, n, what };
        match line {
            Raw::Line(bytes) => match parse(&bytes) {
                Ok(line) if line.hash == line.computed => Ok((line.n, line.hash)),
                Ok(line) => Err(fault(line.n, changed(&line))),
                Err(why) => Err(fault(0, format!("the last line is no record: {why}"))),
            },
            Raw::CutOff => Err(fault(0, "the last line is cut off".into())),
            Raw::TooLong => Err(fault(0, format!("the last line is longer than {MAX_LINE} bytes"))),
        }
    }))
}

struct Walk<'a> {
    expected: Option<&'a Expected>,
    report: Report,
    /// The record before, and where it stands.
    before: Option<(Line, PathBuf, u64)>,
    /// By number of the file: how the chain says that a dropped one ended.
    dropped: BTreeMap<u64, (u64, String, u64)>,
    /// What the first file says it continues from.
    anchor: Option<(u64, u64, String)>,
    /// What stands where the expected record should, if that is another.
    other: Option<String>,
}

impl<'a> Walk<'a> {
    fn new(expected: Option<&'a Expected>) -> Self {
        Self { expected, report: Report::default(), before: None, dropped: BTreeMap::new(), anchor: None, other: None }
    }

    fn run(mut self, dir: &Path) -> io::Result<Report> {
        let all = files(dir)?;
        let newest = all.last().map(|(number, _)| *number);
        self.report.begins = u64::from(all.first().is_some_and(|(number, _)| *number == 1));
        let mut previous: Option<u64> = None;
        for (number, path) in all {
            if let Some(gap) = previous.filter(|previous| previous + 1 != number) {
                let missing = files::path(dir, gap + 1);
                let due = self.due();
                return Ok(self.fail(&missing, 1, due, "the file is missing, with the records that it held".into()));
            }
            previous = Some(number);
            if let Some(fault) = self.file(number, &path, Some(number) == newest)? {
                return Ok(Report { fault: Some(fault), ..self.report });
            }
        }
        let fault = self.check_anchor(dir).or_else(|| self.check_expected(dir));
        Ok(Report { fault, ..self.report })
    }

    /// Number of the next record.
    fn due(&self) -> u64 {
        self.before.as_ref().map_or(self.report.begins, |(line, ..)| line.n + 1)
    }

    fn fail(self, file: &Path, line: u64, n: u64, what: String) -> Report {
        Report { fault: Some(Fault { file: file.into(), line, n, what }), ..self.report }
    }

    fn file(&mut self, number: u64, path: &Path, newest: bool) -> io::Result<Option<Fault>> {
        let mut lines = Lines::open(path, newest)?;
        let mut at = 0;
        let mut file = FileReport { file: path.into(), first: self.due(), last: 0, bytes: 0 };
        while let Some(raw) = lines.next()? {
            at += 1;
            let fault = |n: u64, what: String| Ok(Some(Fault { file: path.into(), line: at, n, what }));
            let due = self.due();
            let bytes = match raw {
                Raw::Line(bytes) => bytes,
                Raw::CutOff => return fault(due, "the record is cut off: its line does not end; a host that starts again cuts such a line and says so".into()),
                Raw::TooLong => return fault(due, format!("the line is longer than {MAX_LINE} bytes; no record is")),
            };
            let line = match parse(&bytes) {
                Ok(line) => line,
                Err(why) => return fault(due, format!("the line is no record: {why}")),
            };
            if line.hash != line.computed {
                return fault(if due == 0 { line.n } else { due }, changed(&line));
            }
            if let Some(fault) = self.order(number, path, at, &line, &mut lines)? {
                return Ok(Some(fault));
            }
            self.count(&line);
            file.first = if at == 1 { line.n } else { file.first };
            file.last = line.n;
            file.bytes += bytes.len() as u64 + 1;
            self.before = Some((line, path.into(), at));
        }
        if at == 0 {
            let what = "the file is empty; it begins with a record".into();
            return Ok(Some(Fault { file: path.into(), line: 1, n: self.due(), what }));
        }
        self.report.files.push(file);
        Ok(None)
    }

    /// Whether a line that is whole stands where it belongs.
    fn order(&mut self, number: u64, path: &Path, at: u64, line: &Line, lines: &mut Lines) -> io::Result<Option<Fault>> {
        let fault = |n: u64, what: String| Ok(Some(Fault { file: path.into(), line: at, n, what }));
        if let Some((before, before_path, before_at)) = &self.before {
            let due = before.n + 1;
            if line.n > due {
                let rest = self.find(due, lines)?;
                let between = if line.n - 1 == due { format!("record {due} is missing") } else { format!("records {due} to {} are missing", line.n - 1) };
                return match rest {
                    Some(later) => fault(due, format!("records are out of order: record {} stands here, record {due} in line {}", line.n, at + later)),
                    // At the end of the file before.
                    None if at == 1 && line.kind == "begin" => {
                        let what = format!("{between}: the file ends too early, {} goes on with record {}", files::name(number), line.n);
                        Ok(Some(Fault { file: before_path.clone(), line: before_at + 1, n: due, what }))
                    }
                    None => fault(due, format!("{between}: record {} stands in this line", line.n)),
                };
            }
            if line.n < due {
                return fault(line.n, format!("record {} stands here again; record {due} is due", line.n));
            }
        }
        let begins = at == 1;
        if begins != (line.kind == "begin") {
            let what = if begins { "the file does not begin with a record of kind `begin`" } else { "a record of kind `begin` stands inside a file" };
            return fault(line.n, what.into());
        }
        if begins {
            let says = line.fields.get("file").and_then(serde_json::Value::as_u64);
            if says != Some(number) {
                return fault(line.n, format!("the file says that it is {}, not {}", says.map_or("none".into(), files::name), files::name(number)));
            }
            let format = line.fields.get("format").and_then(serde_json::Value::as_u64);
            if format != Some(FORMAT) {
                return fault(line.n, format!("the format is {}; this program knows {FORMAT}", format.map_or("missing".into(), |format| format.to_string())));
            }
        }
        let Some((before, before_path, before_at)) = &self.before else {
            self.report.begins = line.n;
            self.anchor = Some((number, line.n, line.prev.clone()));
            if number == 1 && (line.n != 1 || line.prev != GENESIS) {
                return fault(line.n, "the first file of the chain must begin with record 1, which continues from nothing".into());
            }
            return Ok(None);
        };
        if line.prev != before.hash {
            let what = format!("the record was replaced: its hash is {}, but record {} continues from {}", before.hash, line.n, line.prev);
            return Ok(Some(Fault { file: before_path.clone(), line: *before_at, n: before.n, what }));
        }
        Ok(None)
    }

    /// How many lines further the record with that number stands, in the same file.
    fn find(&self, n: u64, lines: &mut Lines) -> io::Result<Option<u64>> {
        let mut further = 0;
        while let Some(raw) = lines.next()? {
            further += 1;
            if let Raw::Line(bytes) = raw
                && parse(&bytes).is_ok_and(|line| line.n == n)
            {
                return Ok(Some(further));
            }
        }
        Ok(None)
    }

    fn count(&mut self, line: &Line) {
        let number = |name: &str| line.fields.get(name).and_then(serde_json::Value::as_u64);
        let counts = &mut self.report.counts;
        counts.records += 1;
        match line.kind.as_str() {
            "start" => counts.starts += 1,
            "torn" => counts.torn += 1,
            "damaged" => counts.damaged += 1,
            "lost" => counts.lost += number("count").unwrap_or(0),
            "dropped" => {
                counts.dropped += 1;
                if let (Some(file), Some(last), Some(ended)) = (number("file"), number("last"), line.fields.get("ended").and_then(|ended| ended.as_str())) {
                    self.dropped.insert(file, (last, ended.to_owned(), line.n));
                }
            }
            kind if MARKS.contains(&kind) => {}
            kind if TrailKind::named(kind).is_some() => counts.trail += 1,
            _ => counts.receipts += 1,
        }
        self.report.head = Some((line.n, line.hash.clone()));
        if let Some(expected) = self.expected {
            match expected.n {
                Some(n) if n == line.n && expected.hash != line.hash => self.other = Some(line.hash.clone()),
                Some(n) if n != line.n => {}
                _ if expected.hash == line.hash => self.report.found = Some(Found { n: line.n, since: 0 }),
                _ => {}
            }
        }
        if let Some(found) = &mut self.report.found {
            found.since = line.n - found.n;
        }
    }

    /// What the oldest file continues from must be what the chain says of the file before it.
    fn check_anchor(&self, dir: &Path) -> Option<Fault> {
        let (number, first, prev) = self.anchor.as_ref().filter(|(number, ..)| *number > 1)?;
        let gone = number - 1;
        let fault = |what: String| Some(Fault { file: files::path(dir, *number), line: 1, n: *first, what });
        match self.dropped.get(&gone) {
            None => fault(format!("the chain begins here, but no record says that {} was dropped to make room", files::name(gone))),
            Some((last, ended, n)) if last + 1 != *first || ended != prev => fault(format!(
                "the record continues from {prev} after record {}; record {n} says that {} ended with record {last} and {ended}",
                first - 1,
                files::name(gone)
            )),
            Some(_) => None,
        }
    }

    fn check_expected(&self, dir: &Path) -> Option<Fault> {
        let expected = self.expected.filter(|_| self.report.found.is_none())?;
        let (last, _) = self.report.head.clone().unwrap_or_default();
        let end = self.report.files.last();
        let file = end.map_or_else(|| files::path(dir, 1), |file| file.file.clone());
        let line = end.map_or(1, |file| file.last - file.first + 2);
        let (n, what) = match (expected.n, &self.other) {
            (Some(n), Some(other)) => (n, format!("the chain was written anew: record {n} has the hash {other}, expected was {}", expected.hash)),
            (Some(n), None) if n > last => (last + 1, format!("the end is missing: the chain ends with record {last}, expected was record {n}")),
            (Some(n), None) => {
                (n, format!("record {n} was dropped with its file: the chain begins with record {}; note the head more often", self.report.begins))
            }
            (None, _) => {
                (last + 1, "no record has the expected hash: the end is missing, the chain was written anew, or the record was dropped with its file".into())
            }
        };
        let place = (n <= last).then(|| self.report.files.iter().find(|file| (file.first..=file.last).contains(&n))).flatten();
        Some(match place {
            Some(place) => Fault { file: place.file.clone(), line: n - place.first + 1, n, what },
            None => Fault { file, line, n, what },
        })
    }
}

fn changed(line: &Line) -> String {
    format!("the record was changed: its content hashes to {}, it says {}", line.computed, line.hash)
}

/// A line as it stands in the file.
pub(crate) enum Raw {
    /// Without its line feed.
    Line(Vec<u8>),
    /// The file ends within it.
    CutOff,
    TooLong,
}

/// Reads lines within their bound.
pub(crate) struct Lines {
    file: BufReader<File>,
    /// A host may be writing the end of it.
    live: bool,
}

/// How long a line that is being written is waited for.
const PATIENCE: (u32, Duration) = (if cfg!(test) { 0 } else { 25 }, Duration::from_millis(20));

impl Lines {
    pub fn open(path: &Path, live: bool) -> io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(256 << 10, File::open(path)?), live })
    }

    pub fn next(&mut self) -> io::Result<Option<Raw>> {
        let mut bytes = Vec::new();
        let mut patience = if self.live { PATIENCE.0 } else { 0 };
        loop {
            let room = (MAX_LINE + 1 - bytes.len()) as u64;
            (&mut self.file).take(room).read_until(b'\n', &mut bytes)?;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
                return Ok(Some(Raw::Line(bytes)));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            if bytes.len() > MAX_LINE {
                return Ok(Some(Raw::TooLong));
            }
            if patience == 0 {
                return Ok(Some(Raw::CutOff));
            }
            patience -= 1;
            std::thread::sleep(PATIENCE.1);
        }
    }
}

#[cfg(test)]
mod tests;
