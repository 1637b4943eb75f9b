//! `bulkhead:connector/files`: files below directories that the operator named. Paths are checked by
//! text and then by the system (`cap-std`: no symbolic link leads outside). Operations of one instance
//! go one after another, so that an append never meets a rename.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use tokio::sync::Mutex;

use crate::bindings::files as wit;
use crate::store::Guest;

/// Longest path, segment, nesting; most bytes of one read; most entries of one list.
const MAX_PATH: usize = 1_024;
const MAX_SEGMENT: usize = 255;
const MAX_DEPTH: usize = 16;
const MAX_READ: u32 = 1 << 20;
const MAX_ENTRIES: usize = 1_000;
/// Entries that are looked at for a list; a directory may hold more than is answered.
const MAX_LOOKED_AT: usize = 100_000;

/// What a guest may do in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAccess {
    /// Look and read.
    Read,
    /// Look, read, append, rename and remove.
    Write,
}

/// A directory as the configuration grants it.
#[derive(Debug, Clone)]
pub struct FilesGrant {
    /// Name under which the guest knows it.
    pub name: String,
    pub dir: PathBuf,
    pub access: FileAccess,
}

/// Why a directory cannot be granted.
#[derive(Debug, thiserror::Error)]
#[error("files `{name}`: cannot open the directory {}", dir.display())]
pub struct FilesError {
    pub name: String,
    pub dir: PathBuf,
    #[source]
    pub source: io::Error,
}

/// The directories of one instance.
#[derive(Debug, Default)]
pub struct Files {
    directories: BTreeMap<String, (Arc<Dir>, FileAccess)>,
    /// Held over each operation, also by one whose caller has gone.
    turn: Arc<Mutex<()>>,
}

impl Files {
    /// Opens the directories; those for writing are made where missing.
    pub fn open(grants: &[FilesGrant]) -> Result<Self, FilesError> {
        let mut directories = BTreeMap::new();
        for grant in grants {
            let fault = |source| FilesError { name: grant.name.clone(), dir: grant.dir.clone(), source };
            if grant.access == FileAccess::Write {
                std::fs::create_dir_all(&grant.dir).map_err(fault)?;
            }
            let dir = Dir::open_ambient_dir(&grant.dir, ambient_authority()).map_err(fault)?;
            directories.insert(grant.name.clone(), (Arc::new(dir), grant.access));
        }
        Ok(Self { directories, turn: Arc::default() })
    }

    fn find(&self, name: &str, writes: bool) -> Result<Arc<Dir>, wit::Error> {
        let Some((dir, access)) = self.directories.get(name) else {
            let known = self.directories.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let shown: String = name.escape_default().take(64).collect();
            return Err(wit::Error::Denied(format!("no directory `{shown}`; granted: {known}")));
        };
        if writes && *access != FileAccess::Write {
            return Err(wit::Error::Denied(format!("directory `{name}` is granted for reading only")));
        }
        Ok(Arc::clone(dir))
    }
}

impl Guest {
    /// Runs one operation away from the executor's threads, after those before it. Not cancel safe:
    /// what has begun ends.
    async fn file<T, F>(&mut self, directory: &str, writes: bool, work: F) -> wasmtime::Result<Result<T, wit::Error>>
    where
        T: Send + 'static,
        F: FnOnce(&Dir) -> Result<T, wit::Error> + Send + 'static,
    {
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let dir = match capabilities.files.find(directory, writes) {
            Ok(dir) => dir,
            Err(error) => return Ok(Err(error)),
        };
        let since = self.meter.wait();
        let turn = Arc::clone(&capabilities.files.turn).lock_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&dir)
        });
        let done = done.await;
        self.meter.waited(since);
        Ok(done.unwrap_or_else(|_| Err(wit::Error::Io("the host is stopping".into()))))
    }
}

impl wit::Host for Guest {
    async fn append(&mut self, directory: String, path: String, bytes: Vec<u8>, sync: bool) -> wasmtime::Result<Result<u64, wit::Error>> {
        self.file(&directory, true, move |dir| append(dir, &checked(&path)?, &bytes, sync)).await
    }

    async fn size(&mut self, directory: String, path: String) -> wasmtime::Result<Result<u64, wit::Error>> {
        self.file(&directory, false, move |dir| regular(dir, &checked(&path)?)).await
    }

    async fn read(&mut self, directory: String, path: String, offset: u64, max: u32) -> wasmtime::Result<Result<Vec<u8>, wit::Error>> {
        let work = move |dir: &Dir| {
            let path = checked(&path)?;
            regular(dir, &path)?;
            let mut file = dir.open(&path).map_err(|error| failed(&error))?;
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&error))?;
            file.take(max.min(MAX_READ).into()).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
            Ok(bytes)
        };
        self.file(&directory, false, work).await
    }

    async fn rename(&mut self, directory: String, source: String, target: String) -> wasmtime::Result<Result<(), wit::Error>> {
        let work = move |dir: &Dir| {
            let (source, target) = (checked(&source)?, checked(&target)?);
            regular(dir, &source)?;
            make_parent(dir, &target)?;
            dir.rename(&source, dir, &target).map_err(|error| failed(&error))
        };
        self.file(&directory, true, work).await
    }

    async fn remove(&mut self, directory: String, path: String) -> wasmtime::Result<Result<(), wit::Error>> {
        self.file(&directory, true, move |dir| dir.remove_file(checked(&path)?).map_err(|error| failed(&error))).await
    }

    async fn entries(&mut self, directory: String, path: String) -> wasmtime::Result<Result<Vec<wit::Entry>, wit::Error>> {
        self.file(&directory, false, move |dir| entries(dir, &path)).await
    }
}

fn append(dir: &Dir, path: &Path, bytes: &[u8], sync: bool) -> Result<u64, wit::Error> {
    match regular(dir, path) {
        Ok(_) => {}
        Err(wit::Error::NotFound) => make_parent(dir, path)?,
        Err(error) => return Err(error),
    }
    let mut file = dir.open_with(path, OpenOptions::new().append(true).create(true)).map_err(|error| failed(&error))?;
    let before = file.metadata().map_err(|error| failed(&error))?.len();
    if let Err(error) = file.write_all(bytes) {
        // A record is there as a whole or not at all.
        if let Err(undo) = file.set_len(before) {
            tracing::warn!(%undo, "a file could not be cut back after a failed append");
        }
        return Err(failed(&error));
    }
    if sync {
        file.sync_data().map_err(|error| failed(&error))?;
        if before == 0
            && let Some(parent) = path.parent()
        {
            // The name of a new file is durable with its directory.
            sync_directory(dir, parent).map_err(|error| failed(&error))?;
        }
    }
    Ok(before + bytes.len() as u64)
}

fn sync_directory(dir: &Dir, path: &Path) -> io::Result<()> {
    // As a file: handles of `open_dir` are for names only and cannot be synced.
    dir.open(if path.as_os_str().is_empty() { Path::new(".") } else { path })?.sync_all()
}

/// Size of a regular file. Pipes and devices, which could block for ever, are refused.
fn regular(dir: &Dir, path: &Path) -> Result<u64, wit::Error> {
    let metadata = dir.metadata(path).map_err(|error| failed(&error))?;
    if !metadata.is_file() {
        return Err(wit::Error::Denied("the path leads to something that is no regular file".into()));
    }
    Ok(metadata.len())
}

fn make_parent(dir: &Dir, path: &Path) -> Result<(), wit::Error> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => dir.create_dir_all(parent).map_err(|error| failed(&error)),
        _ => Ok(()),
    }
}

fn entries(dir: &Dir, path: &str) -> Result<Vec<wit::Entry>, wit::Error> {
    let listing = if matches!(path, "" | ".") { dir.entries() } else { dir.read_dir(checked(path)?) };
    let mut found = Vec::new();
    for entry in listing.map_err(|error| failed(&error))?.take(MAX_LOOKED_AT) {
        let entry = entry.map_err(|error| failed(&error))?;
        // Names that are no UTF-8 cannot be spoken of in the contract.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() {
            continue;
        }
        let modified = metadata.modified().ok().and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        found.push(wit::Entry { name, size: metadata.len(), modified });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.truncate(MAX_ENTRIES);
    Ok(found)
}

/// A relative path of plain names.
fn checked(path: &str) -> Result<PathBuf, wit::Error> {
    let deny = |problem: &str| Err(wit::Error::Denied(format!("the path {problem}")));
    if path.is_empty() || path.len() > MAX_PATH {
        return deny("must have 1 to 1024 bytes");
    }
    if path.starts_with('/') {
        return deny("is absolute; paths are relative to the granted directory");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return deny("has a backslash or a control character");
    }
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() > MAX_DEPTH {
        return deny("is nested deeper than 16 directories");
    }
    for segment in &segments {
        match *segment {
            "" => return deny("has an empty segment"),
            "." | ".." => return deny("has a `.` or `..` segment"),
            long if long.len() > MAX_SEGMENT => return deny("has a segment of more than 255 bytes"),
            _ => {}
        }
    }
    Ok(segments.iter().collect())
}

fn failed(error: &io::Error) -> wit::Error {
    match error.kind() {
        io::ErrorKind::NotFound => wit::Error::NotFound,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => wit::Error::NoSpace,
        // What cap-std answers for a link that leads outside.
        io::ErrorKind::PermissionDenied => wit::Error::Denied("the system or the grant does not allow this path".into()),
        _ => wit::Error::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
