//! Files: records appended to files below a granted directory, one line each, by date and by size.
//!
//! Promised: what a batch has for a file is appended in one write; a record without a line break at its end gets
//! one; rotation renames whole files between batches and removes only what is older than `keep`; with `sync` a
//! delivered batch is on disk; compressed, each batch is a gzip member of its own, so that a file is whole after
//! every batch (RFC 1952 §2.2). Refused: two writers of one file (`concurrency = 1` in the
//! manifest), paths that lead out of the directory.

use std::borrow::Cow;
use std::io::Write as _;

use bulkhead_sdk::time::format::DateFormat;
use bulkhead_sdk::{Batch, ByteSize, Config, Connector, Delivery, Failure, Limits, Outcome, RecordFormat, Timestamp, Writer, fields, files};
use flate2::Compression;
use flate2::write::GzEncoder;

fields! { mod field { TIME = "/time", RECEIVED = "/received" } }

/// Where records go.
#[derive(Debug, Config)]
pub struct Settings {
    /// File name, with folders below the directory if wanted. `%Y`, `%m`, `%d`, `%H` … are the event's time in UTC, as in
    /// `audit-%Y-%m-%d.ndjson`: a file for each day.
    #[config(min = 1, max = 255)]
    path: String,
    /// Name of the granted directory.
    #[config(default = "primary", min = 1, max = 64)]
    directory: String,
    /// Starts a new file when this one is full; without it the file grows.
    rotate: Option<Rotate>,
    /// Waits until each batch is on disk.
    #[config(default = true)]
    sync: bool,
    /// Compresses: each batch is a gzip member, and `zcat` reads the file.
    #[config(default = false)]
    gzip: bool,
}

/// Rotation: `audit.log` becomes `audit.log.1`, that becomes `audit.log.2`, and so on.
#[derive(Debug, Clone, Copy, Config)]
pub struct Rotate {
    /// Size that a file does not pass, unless one batch alone is larger.
    #[config(default = "100MiB", min = 1)]
    max_bytes: ByteSize,
    /// Full files that are kept beside the current one.
    #[config(default = 10, min = 1, max = 1000)]
    keep: u32,
}

#[derive(Debug)]
pub struct File {
    settings: Settings,
    /// Where the path has a date in it.
    dated: Option<DateFormat>,
    /// Records are JSON: line breaks between their tokens become spaces.
    json: bool,
    /// The file that was written last, and its size; unknown before the first batch and after an error.
    last: Option<(String, u64)>,
}

impl File {
    /// Records by file, in the order of their first ones.
    fn files(&self, batch: &Batch<'_>) -> Vec<(String, Vec<usize>)> {
        let Some(dated) = &self.dated else { return vec![(self.settings.path.clone(), (0..batch.len()).collect())] };
        let mut files: Vec<(String, Vec<usize>)> = Vec::new();
        for place in 0..batch.len() {
            let time = batch.event(place).time([field::TIME, field::RECEIVED]).unwrap_or(Timestamp { seconds: 0, fraction: b"" });
            let mut path = Writer::default();
            dated.write(&time, &mut path);
            let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
            match files.iter_mut().find(|(known, _)| *known == path) {
                Some((_, places)) => places.push(place),
                None => files.push((path, vec![place])),
            }
        }
        files
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(Rotate { max_bytes, keep }) = self.settings.rotate {
            let size = self.size(path)?;
            if size > 0 && size + bytes.len() as u64 > max_bytes.0 {
                self.last = None;
                self.rotate(path, keep)?;
            }
        }
        // After an error the size is asked for again.
        self.last = None;
        let size = files::append(&self.settings.directory, path, bytes, self.settings.sync)?;
        self.last = Some((path.to_owned(), size));
        Ok(())
    }

    /// The current size, from the last append or from the system.
    fn size(&self, path: &str) -> Result<u64, Failure> {
        if let Some((_, size)) = self.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(*size);
        }
        match files::size(&self.settings.directory, path) {
            Ok(size) => Ok(size),
            Err(files::Error::NotFound) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves files one place back, the oldest first, so that a stop in between loses none, and only those before the
    /// first free place, so that an attempt after a failed one moves nothing twice.
    fn rotate(&self, path: &str, keep: u32) -> Result<(), Failure> {
        let name = |place: u32| if place == 0 { path.to_owned() } else { format!("{path}.{place}") };
        let mut free = keep;
        for place in 1..=keep {
            match files::size(&self.settings.directory, &name(place)) {
                Err(files::Error::NotFound) => {
                    free = place;
                    break;
                }
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for place in (0..free).rev() {
            match files::rename(&self.settings.directory, &name(place), &name(place + 1)) {
                Ok(()) | Err(files::Error::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Connector for File {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        // The host refuses these too; here the message names the key.
        if settings.path.split('/').any(|segment| matches!(segment, "" | "." | "..")) || settings.path.contains(['\\', '\0']) {
            return Err(format!("`path` is \"{}\"; it must be relative and stay below the directory", settings.path));
        }
        let dated = if settings.path.contains('%') { Some(DateFormat::parse(&settings.path).map_err(|problem| format!("`path`: {problem}"))?) } else { None };
        Ok(Self { settings, dated, json: format.is_json(), last: None })
    }

    fn fields(&self) -> Vec<&str> {
        if self.dated.is_some() { field::ALL.to_vec() } else { Vec::new() }
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(10_000), max_bytes: Some(8 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let mut outcomes = vec![None; batch.len()];
        for (path, places) in self.files(batch) {
            let lines = lines(batch, &places, self.json);
            let written = if self.settings.gzip { self.append(&path, &member(&lines)?) } else { self.append(&path, &lines) };
            match written {
                Ok(()) if places.len() == batch.len() => return Ok(Delivery::accepted()),
                Ok(()) => places.into_iter().for_each(|place| outcomes[place] = Some(Outcome::Accepted(None))),
                // What is in other files already does not come again.
                Err(failure) => return Delivery::with_failure(outcomes, failure),
            }
        }
        Ok(Delivery::accepted())
    }

    fn check(&mut self) -> Result<String, Failure> {
        if self.dated.is_some() {
            // Only a batch says which file it is; whether the directory is there is the same for all.
            files::entries(&self.settings.directory, "")?;
            return Ok("the directory can be read".to_owned());
        }
        self.last = None;
        let size = self.size(&self.settings.path)?;
        Ok(format!("{} holds {size} bytes", self.settings.path))
    }
}

/// These records as lines. Where every record of the batch is one line already, nothing is copied.
fn lines<'a>(batch: &Batch<'a>, places: &[usize], json: bool) -> Cow<'a, [u8]> {
    let is_line = |record: &[u8]| record.ends_with(b"\n") && !(json && record[..record.len() - 1].contains(&b'\n'));
    if places.len() == batch.len() && batch.records.iter().all(is_line) {
        return batch.records.bytes().into();
    }
    let mut lines = Writer::with_capacity(batch.records.bytes().len() + batch.len());
    for place in places {
        let record = batch.record(*place);
        if json {
            lines.one_line(record.trim_ascii_end());
            lines.byte(b'\n');
        } else {
            lines.bytes(record);
            if !record.ends_with(b"\n") {
                lines.byte(b'\n');
            }
        }
    }
    lines.into_bytes().into()
}

/// A gzip member.
fn member(lines: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::fast());
    let packed = encoder.write_all(lines).and_then(|()| encoder.finish());
    packed.map_err(|error| Failure::Other(format!("cannot compress: {error}")))
}

bulkhead_sdk::export_connector!(File);

#[cfg(test)]
mod tests;
