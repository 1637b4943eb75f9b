//! The file system as the journal needs it: few operations, positioned reads and writes, explicit
//! syncs. Two kinds exist: [`RealFs`] and, for tests, [`SimFs`](crate::sim::SimFs).
//!
//! Promises asked of an implementation: a completed `sync_data` / `sync_all` makes everything written
//! to that file before it survive power loss, a completed `sync_dir` does so for names in that
//! folder. Nothing is asked about what lies between two syncs: it may survive in part and in any order.

use std::any::Any;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

mod real;
pub use real::RealFs;

/// What keeps a lock held; dropping it lets go.
pub type LockGuard = Box<dyn Any + Send + Sync>;

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub bytes: u64,
}

pub trait Fs: Send + Sync + 'static {
    /// Opens a file that exists, for reading and, where the file system lets us, writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Makes an empty file; one that exists under this name is emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Makes a folder and those above it; no error where it exists.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Replaces whatever has the name `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The plain files of a folder, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that this process could still write below `dir`.
    fn available(&self, dir: &Path) -> io::Result<u64>;
    /// Takes an exclusive lock that ends with the process; `WouldBlock` where another holds it.
    fn lock(&self, path: &Path) -> io::Result<LockGuard>;
}

#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait File: Send + Sync {
    /// Writes at `offset`, perhaps less than all: the number of bytes that went.
    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Reads at `offset`, perhaps less than all; 0 at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Contents, and what is needed to find them again.
    fn sync_data(&self) -> io::Result<()>;
    /// Contents and everything else about the file.
    fn sync_all(&self) -> io::Result<()>;
    /// Reserves room so that the file is at least `len` bytes long, zero where nothing was written.
    /// An error leaves the contents as they were, perhaps with a part of the room.
    fn allocate(&self, len: u64) -> io::Result<()>;
    fn truncate(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
}

/// Most slices of one write; the kernel's own bound (`IOV_MAX`).
const MAX_SLICES: usize = 1024;

/// Writes all of `bufs` one behind the other.
pub(crate) fn write_all_at(file: &dyn File, bufs: &[&[u8]], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(bufs.len().min(MAX_SLICES));
    let (mut index, mut skip) = (0, 0);
    while index < bufs.len() {
        slices.clear();
        slices.push(IoSlice::new(&bufs[index][skip..]));
        slices.extend(bufs[index + 1..].iter().take(MAX_SLICES - 1).map(|buf| IoSlice::new(buf)));
        if slices.iter().all(|slice| slice.is_empty()) {
            index += slices.len();
            skip = 0;
            continue;
        }
        let mut written = match file.write_at(&slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        offset += written as u64;
        while index < bufs.len() && written >= bufs[index].len() - skip {
            written -= bufs[index].len() - skip;
            index += 1;
            skip = 0;
        }
        skip += written;
    }
    Ok(())
}

/// Reads until `buf` is full or the file ends: the number of bytes read.
pub(crate) fn read_full_at(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether an error says that there is no room, on the disk or within a quota of it.
pub(crate) fn no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
