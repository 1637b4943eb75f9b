//! What components say of themselves, read once: lists are asked for often, and a component may have
//! many megabytes, all of which would be hashed and parsed for each answer.
//!
//! An upload is known by its digest, which was held against its bytes when they came and is again at
//! every load. A file is known by its path and by what the file system says of it; one that is replaced
//! has another inode or time of change.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_registry::Digest;
use bulkhead_sandbox::{Inspection, Limit};

/// Components that are remembered; the one that was not asked for longest goes.
const MOST: usize = 256;

/// What the bytes of one component are.
#[derive(Debug)]
pub struct Described {
    pub digest: Digest,
    /// None for bytes that are no component.
    pub inspection: Option<Inspection>,
}

impl Described {
    pub fn of(bytes: &[u8]) -> Self {
        let inspection = Inspection::read(bytes, Limit::ComponentSize.row().ceiling).ok();
        let digest = inspection.as_ref().map_or_else(|| Digest::of(bytes), |inspection| Digest::new(inspection.digest));
        Self { digest, inspection }
    }
}

/// What bytes are known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Upload(Digest),
    File(PathBuf, Stamp),
    Embedded(&'static str),
}

/// State of a file: device, inode, size, time of change in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp([i128; 5]);

impl From<&Metadata> for Stamp {
    #[cfg(unix)]
    fn from(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self([metadata.dev().into(), metadata.ino().into(), metadata.size().into(), metadata.ctime().into(), metadata.ctime_nsec().into()])
    }

    #[cfg(not(unix))]
    fn from(metadata: &Metadata) -> Self {
        let since = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let modified = metadata.modified().map_or(0, since);
        Self([0, 0, metadata.len().into(), i128::try_from(modified).unwrap_or(i128::MAX), 0])
    }
}

/// Descriptions of the process.
#[derive(Debug, Default)]
pub struct Catalogue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<Key, (u64, Arc<Described>)>,
    asked: u64,
}

impl Catalogue {
    /// What is known of `key`, found out with `read` the first time; nothing where that fails.
    pub fn get(&self, key: Key, read: impl FnOnce() -> Option<Described>) -> Option<Arc<Described>> {
        if let Some(known) = self.known(&key) {
            return Some(known);
        }
        // Not under the lock: others ask for other components meanwhile.
        let fresh = Arc::new(read()?);
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = inner.asked;
        if inner.known.len() >= MOST
            && let Some(oldest) = inner.known.iter().min_by_key(|(_, (asked, _))| *asked).map(|(key, _)| key.clone())
        {
            inner.known.remove(&oldest);
        }
        inner.known.insert(key, (asked, Arc::clone(&fresh)));
        Some(fresh)
    }

    fn known(&self, key: &Key) -> Option<Arc<Described>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.asked += 1;
        let now = inner.asked;
        let (asked, described) = inner.known.get_mut(key)?;
        *asked = now;
        Some(Arc::clone(described))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_a_file_is_read_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.wasm");
        let catalogue = Catalogue::default();
        let mut reads = 0;
        let mut ask = || {
            let stamp = Stamp::from(&std::fs::metadata(&path).expect("there"));
            let described = catalogue.get(Key::File(path.clone(), stamp), || {
                reads += 1;
                Some(Described::of(&std::fs::read(&path).expect("read")))
            });
            described.expect("described").digest
        };
        std::fs::write(&path, b"one").expect("written");
        assert_eq!((ask(), ask()), (Digest::of(b"one"), Digest::of(b"one")));
        // As a deployment does it: another file of the same size takes its place.
        let fresh = dir.path().join("fresh");
        std::fs::write(&fresh, b"two").expect("written");
        std::fs::rename(&fresh, &path).expect("moved");
        assert_eq!(ask(), Digest::of(b"two"));
        assert_eq!(reads, 2);
    }

    #[test]
    fn it_is_bounded_and_forgets_what_was_not_asked_for_longest() {
        let catalogue = Catalogue::default();
        let key = |at: usize| Key::Upload(Digest::of(&at.to_le_bytes()));
        let read = |at: usize| Some(Described { digest: Digest::of(&at.to_le_bytes()), inspection: None });
        for at in 0..MOST + 10 {
            catalogue.get(key(at), || read(at)).expect("read");
            catalogue.get(key(0), || panic!("the first stays")).expect("known");
        }
        assert_eq!(catalogue.0.lock().expect("not poisoned").known.len(), MOST);
        let mut again = false;
        catalogue.get(key(1), || {
            again = true;
            read(1)
        });
        assert!(again, "the second went");
        assert!(catalogue.get(key(MOST * 2), || None).is_none(), "what cannot be read is not remembered");
    }
}
