//! Files: records appended to one file below a granted directory, one line each, with rotation by size.
//!
//! Promised: a batch is appended in one write; a record without a line break at its end gets one;
//! rotation renames whole files between batches and removes only what is older than `keep`; with
//! `sync` a delivered batch is on disk. Refused: two writers of one file (`concurrency = 1` in the
//! manifest), paths that lead out of the directory.

use bulkhead_sdk::{Batch, ByteSize, Config, Connector, Delivery, Failure, Limits, RecordFormat, files};

/// Where records go.
#[derive(Debug, Config)]
pub struct Settings {
    /// File name, with folders below the directory if wanted.
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
    /// Size of the current file; unknown before the first batch and after an error.
    size: Option<u64>,
}

impl File {
    /// The current size, from the last append or from the system.
    fn current_size(&self) -> Result<u64, Failure> {
        if let Some(size) = self.size {
            return Ok(size);
        }
        match files::size(&self.settings.directory, &self.settings.path) {
            Ok(size) => Ok(size),
            Err(files::Error::NotFound) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves every file one place back, the oldest first, so that a stop in between loses none.
    fn rotate(&self, keep: u32) -> Result<(), Failure> {
        let Settings { directory, path, .. } = &self.settings;
        for place in (0..keep).rev() {
            let from = if place == 0 { path.clone() } else { format!("{path}.{place}") };
            match files::rename(directory, &from, &format!("{path}.{}", place + 1)) {
                Ok(()) | Err(files::Error::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Connector for File {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        // The host refuses these too; here the message names the key.
        if settings.path.split('/').any(|segment| matches!(segment, "" | "." | "..")) || settings.path.contains(['\\', '\0']) {
            return Err(format!("`path` is \"{}\"; it must be relative and stay below the directory", settings.path));
        }
        Ok(Self { settings, size: None })
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(10_000), max_bytes: Some(8 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let lines = lines(batch);
        if let Some(Rotate { max_bytes, keep }) = self.settings.rotate {
            let size = self.current_size()?;
            if size > 0 && size + lines.len() as u64 > max_bytes.0 {
                self.size = None;
                self.rotate(keep)?;
            }
        }
        // After an error the size is asked for again.
        self.size = None;
        self.size = Some(files::append(&self.settings.directory, &self.settings.path, &lines, self.settings.sync)?);
        Ok(Delivery::accepted())
    }

    fn check(&mut self) -> Result<String, Failure> {
        self.size = None;
        let size = self.current_size()?;
        Ok(format!("{} holds {size} bytes", self.settings.path))
    }
}

/// The batch as lines. Where every record ends with a line break already, nothing is copied.
fn lines<'a>(batch: &Batch<'a>) -> std::borrow::Cow<'a, [u8]> {
    if batch.records.iter().all(|record| record.ends_with(b"\n")) {
        return batch.records.bytes().into();
    }
    let mut lines = Vec::with_capacity(batch.records.bytes().len() + batch.len());
    for record in batch.records.iter() {
        lines.extend_from_slice(record);
        if !record.ends_with(b"\n") {
            lines.push(b'\n');
        }
    }
    lines.into()
}

bulkhead_sdk::export_connector!(File);

#[cfg(test)]
mod tests;
