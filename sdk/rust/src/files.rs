//! Files below directories that the operator named. Paths are relative, `/` between segments.

/// Why a file operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Refused by the grant; the text names the rule.
    Denied(String),
    NotFound,
    NoSpace,
    /// Anything else the system answered.
    Io(String),
    /// A limit was reached; the text names it, its value and the key to change.
    Limit(String),
}

/// One directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub size: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub modified: u64,
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::{Entry, Error};
    use crate::bindings::connector::bulkhead::connector::files as wit;

    fn error(error: wit::Error) -> Error {
        match error {
            wit::Error::Denied(text) => Error::Denied(text),
            wit::Error::NotFound => Error::NotFound,
            wit::Error::NoSpace => Error::NoSpace,
            wit::Error::Io(text) => Error::Io(text),
            wit::Error::Limit(text) => Error::Limit(text),
        }
    }

    pub fn append(directory: &str, path: &str, bytes: &[u8], sync: bool) -> Result<u64, Error> {
        wit::append(directory, path, bytes, sync).map_err(error)
    }
    pub fn size(directory: &str, path: &str) -> Result<u64, Error> {
        wit::size(directory, path).map_err(error)
    }
    pub fn read(directory: &str, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
        wit::read(directory, path, offset, max).map_err(error)
    }
    pub fn rename(directory: &str, source: &str, target: &str) -> Result<(), Error> {
        wit::rename(directory, source, target).map_err(error)
    }
    pub fn remove(directory: &str, path: &str) -> Result<(), Error> {
        wit::remove(directory, path).map_err(error)
    }
    pub fn entries(directory: &str, path: &str) -> Result<Vec<Entry>, Error> {
        let entries = wit::entries(directory, path).map_err(error)?;
        Ok(entries.into_iter().map(|entry| Entry { name: entry.name, size: entry.size, modified: entry.modified }).collect())
    }
}
#[cfg(not(target_arch = "wasm32"))]
use crate::native::files as host;

/// Appends in one write; the file is made where missing. With `sync` the bytes are on disk when the
/// call returns. Answers the file's size afterwards.
pub fn append(directory: &str, path: &str, bytes: &[u8], sync: bool) -> Result<u64, Error> {
    host::append(directory, path, bytes, sync)
}

pub fn size(directory: &str, path: &str) -> Result<u64, Error> {
    host::size(directory, path)
}

/// Reads at most `max` bytes (1 MiB at most) from an offset; empty at the end.
pub fn read(directory: &str, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
    host::read(directory, path, offset, max)
}

/// Renames within the directory, replacing the target.
pub fn rename(directory: &str, source: &str, target: &str) -> Result<(), Error> {
    host::rename(directory, source, target)
}

pub fn remove(directory: &str, path: &str) -> Result<(), Error> {
    host::remove(directory, path)
}

/// Files directly in a directory, sorted by name; at most 1,000.
pub fn entries(directory: &str, path: &str) -> Result<Vec<Entry>, Error> {
    host::entries(directory, path)
}
