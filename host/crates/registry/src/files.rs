//! The registry's folder: the index and the components, each written whole, synced and renamed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tempfile::NamedTempFile;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::index::Index;

const INDEX: &str = "index.json";
const INCOMING: &str = "incoming";
/// Largest index that is read: the bounds of [`Index`] keep it far below.
const MAX_INDEX: u64 = 256 << 20;

/// Uploaded components of one data directory. Readers see one state or the next, never half of one.
#[derive(Debug)]
pub struct Registry {
    dir: PathBuf,
    index: RwLock<Arc<Index>>,
}

/// An upload under way; gone when it is dropped.
#[derive(Debug)]
pub struct Incoming(NamedTempFile);

impl Incoming {
    /// A handle of its own to write to.
    pub fn file(&self) -> io::Result<File> {
        self.0.reopen()
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Registry {
    /// Opens or makes the registry, and throws away what a crash left: uploads under way, components that no
    /// index names. Only for the process that holds the data directory.
    pub fn open(data_dir: &Path) -> Result<Self, RegistryError> {
        let dir = data_dir.join("registry");
        let incoming = dir.join(INCOMING);
        fs::create_dir_all(&incoming).map_err(failed("make", &incoming))?;
        let registry = Self { index: RwLock::new(Arc::new(load(&dir)?)), dir };
        for path in listed(&incoming) {
            let _ = fs::remove_file(path);
        }
        let index = registry.index();
        for path in listed(&registry.dir) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let digest = name.strip_suffix(".wasm").and_then(|name| name.replacen('-', ":", 1).parse::<Digest>().ok());
            let stray = digest.is_some_and(|digest| index.find(&digest).is_none());
            if stray || name.starts_with(".tmp") {
                let _ = fs::remove_file(path);
            }
        }
        Ok(registry)
    }

    /// What is there, without changing anything; an empty one where there is none.
    pub fn look(data_dir: &Path) -> Result<Self, RegistryError> {
        let dir = data_dir.join("registry");
        Ok(Self { index: RwLock::new(Arc::new(load(&dir)?)), dir })
    }

    /// The state in force.
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another state in force; on disk when it returns. Blocks for a sync. Callers change one at a time.
    pub fn commit(&self, index: Index) -> Result<(), RegistryError> {
        let path = self.dir.join(INDEX);
        let write = || -> io::Result<()> {
            let mut fresh = NamedTempFile::new_in(&self.dir)?;
            serde_json::to_writer(io::BufWriter::new(&mut fresh), &index)?;
            fresh.as_file().sync_all()?;
            fresh.persist(&path).map_err(|error| error.error)?;
            sync_dir(&self.dir)
        };
        write().map_err(failed("write", &path))?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
        Ok(())
    }

    /// A place for an upload.
    pub fn incoming(&self) -> Result<Incoming, RegistryError> {
        let dir = self.dir.join(INCOMING);
        NamedTempFile::new_in(&dir).map(Incoming).map_err(failed("write below", &dir))
    }

    /// Keeps an upload under its digest. Until an index names it, the next start throws it away.
    pub fn keep(&self, incoming: Incoming, digest: &Digest) -> Result<(), RegistryError> {
        let path = self.path(digest);
        let Incoming(file) = incoming;
        let keep = || -> io::Result<()> {
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            sync_dir(&self.dir)
        };
        keep().map_err(failed("write", &path))
    }

    /// A component's bytes, held against their digest.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(failed("read", &path))?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed("read", &path))?;
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(RegistryError::Changed { path, digest: *digest }) }
    }

    /// Deletes bytes that the index does not name any more.
    pub fn discard(&self, digest: &Digest) {
        if self.index().find(digest).is_none() {
            let _ = fs::remove_file(self.path(digest));
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("sha256-{}.wasm", digest.hex()))
    }
}

fn load(dir: &Path) -> Result<Index, RegistryError> {
    let path = dir.join(INDEX);
    let damaged = |problem: String| RegistryError::Damaged { path: path.clone(), problem };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::default()),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let index: Index = serde_json::from_reader(io::BufReader::new(file.take(MAX_INDEX))).map_err(|error| damaged(error.to_string()))?;
    if index.is_known_schema() { Ok(index) } else { Err(damaged("it was written by a newer release".into())) }
}

fn listed(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use crate::asks::Asks;
    use crate::index::{NewVersion, Stamp};

    fn new(digest: Digest) -> NewVersion {
        let (name, kind, version) = ("hec".into(), "connector".into(), "1.0.0".into());
        NewVersion { name, kind, version, digest, size: 3, asks: Asks::new(), signature: None, signed_by: None, base: Asks::new() }
    }

    fn put(registry: &Registry, bytes: &[u8]) -> Digest {
        let incoming = registry.incoming().expect("a place");
        incoming.file().expect("opens").write_all(bytes).expect("writes");
        let digest = Digest::of(bytes);
        registry.keep(incoming, &digest).expect("kept");
        digest
    }

    #[test]
    fn a_restart_keeps_what_was_committed_and_nothing_else() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let registry = Registry::open(dir.path()).expect("opens");
        let kept = put(&registry, b"abc");
        let mut index = (*registry.index()).clone();
        index.add(new(kept), Stamp { at_ms: 1, by: "ada".into() }).expect("taken");
        registry.commit(index).expect("commits");
        // A crash between keeping the bytes and the commit; another in the middle of an upload.
        let stray = put(&registry, b"stray");
        let half = dir.path().join("registry/incoming/half");
        fs::write(&half, b"ha").expect("writes");
        let again = Registry::open(dir.path()).expect("opens");
        assert_eq!(again.read(&kept, 100).expect("there"), b"abc");
        assert!(!half.exists() && matches!(again.read(&stray, 100), Err(RegistryError::Io { .. })));
        assert_eq!(Registry::look(dir.path()).expect("looks").index().find(&kept).map(|(name, _)| name.to_owned()).as_deref(), Some("hec"));
    }

    #[test]
    fn bytes_that_changed_on_disk_are_not_used() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let registry = Registry::open(dir.path()).expect("opens");
        let digest = put(&registry, b"abc");
        fs::write(registry.path(&digest), b"abd").expect("writes");
        let error = registry.read(&digest, 100).expect_err("changed").to_string();
        assert!(error.contains("was changed on disk") && error.contains(&digest.to_string()), "{error}");
        fs::write(registry.path(&digest), vec![0; 1_000]).expect("writes");
        assert!(matches!(registry.read(&digest, 100), Err(RegistryError::Changed { .. })), "no more is read than allowed");
    }

    #[test]
    fn a_damaged_index_is_said_and_not_guessed_at() {
        let dir = tempfile::TempDir::new().expect("a folder");
        drop(Registry::open(dir.path()).expect("opens"));
        for text in ["{", "{}", r#"{"schema":2,"names":{},"revoked":{}}"#] {
            fs::write(dir.path().join("registry/index.json"), text).expect("writes");
            assert!(matches!(Registry::open(dir.path()), Err(RegistryError::Damaged { .. })), "{text}");
        }
    }

    #[test]
    fn looking_makes_nothing() {
        let dir = tempfile::TempDir::new().expect("a folder");
        assert_eq!(Registry::look(dir.path()).expect("empty").index().names().count(), 0);
        assert!(!dir.path().join("registry").exists());
    }
}
