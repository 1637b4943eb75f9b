//! How far each file was read, and whether a file is still the one it was. Pure but for the file that
//! keeps the positions, which is written whole or not at all.
//!
//! A file is known by device and inode, and by its first bytes: an inode is given to another file once the
//! first is gone, and a file may be cut and written anew. Each gets an id when it is first seen, on disk
//! before anything of it is read; the ids of its events follow from that and from the place of their lines.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// First bytes of a file that tell it from others.
pub(super) const FINGERPRINT: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Inode {
    pub device: u64,
    pub inode: u64,
}

/// Of the first bytes of a file, as many as there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    length: usize,
    sha256: String,
}

impl Fingerprint {
    /// `head` are the first [`FINGERPRINT`] bytes of a file, or all.
    pub fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(FINGERPRINT)];
        let sha256 = Sha256::digest(head).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { length: head.len(), sha256 }
    }

    fn fits(&self, head: &[u8]) -> bool {
        head.get(..self.length).is_some_and(|head| Self::of(head) == *self)
    }
}

/// Where the next line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub offset: u64,
    /// Pieces that were taken of the line under way.
    pub pieces: u32,
}

impl Place {
    pub const START: Self = Self { offset: 0, pieces: 0 };
}

/// How far a file was read; what lies before is in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Where it was last.
    pub path: PathBuf,
    pub inode: Inode,
    #[serde(with = "text")]
    pub id: Uuid,
    pub place: Place,
    pub fingerprint: Fingerprint,
    /// When it was last there, seconds of Unix time.
    pub seen: u64,
}

impl Position {
    /// Looks at a file under this inode again: false where it is another one, or was cut, and begins
    /// anew under a new id.
    pub fn check(&mut self, size: u64, head: &[u8], new_id: impl FnOnce() -> Uuid) -> bool {
        let same = size >= self.place.offset && self.fingerprint.fits(head);
        if !same {
            (self.id, self.place) = (new_id(), Place::START);
        }
        if !same || self.fingerprint.length < FINGERPRINT {
            self.fingerprint = Fingerprint::of(head);
        }
        same
    }

    /// The id of the event whose line, or piece of one, begins at `offset`: a UUID of version 8 (RFC
    /// 9562 §5.8).
    pub fn event_id(&self, offset: u64) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(self.id.as_bytes());
        hash.update(offset.to_le_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// An id as text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(id: &uuid::Uuid, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<uuid::Uuid, D::Error> {
        uuid::Uuid::parse_str(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    files: Vec<Position>,
}

const VERSION: u32 = 1;
/// Largest file of positions that is read.
const MAX_KEPT: u64 = 64 << 20;

/// The positions of before; `None` where there never were any.
pub(super) fn load(path: &Path) -> Result<Option<Vec<Position>>, String> {
    use std::io::Read as _;
    let failed =
        |error: &dyn std::fmt::Display| format!("cannot read the positions in {}: {error}; mend it, or remove it and everything is read again", path.display());
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let mut text = Vec::new();
    file.take(MAX_KEPT).read_to_end(&mut text).map_err(|error| failed(&error))?;
    let kept: Kept = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    if kept.version != VERSION {
        return Err(failed(&format!("written by another version ({})", kept.version)));
    }
    Ok(Some(kept.files))
}

/// On disk when it returns, or as before.
pub(super) fn save(path: &Path, files: Vec<Position>) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(&serde_json::to_vec(&Kept { version: VERSION, files })?)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(head: &[u8], offset: u64) -> Position {
        let inode = Inode { device: 1, inode: 2 };
        Position { path: "/x".into(), inode, id: Uuid::from_u128(1), place: Place { offset, pieces: 0 }, fingerprint: Fingerprint::of(head), seen: 0 }
    }

    #[track_caller]
    fn check(old: &[u8], offset: u64, new: &[u8], same: bool) -> Position {
        let mut position = position(old, offset);
        let head = &new[..new.len().min(FINGERPRINT)];
        assert_eq!(position.check(new.len() as u64, head, || Uuid::from_u128(2)), same);
        assert_eq!(position.place == Place::START && position.id == Uuid::from_u128(2), !same);
        assert_eq!(position.fingerprint, Fingerprint::of(head));
        position
    }

    #[test]
    fn a_file_that_grew_is_the_same_and_one_that_was_cut_is_not() {
        let long = vec![b'x'; 3_000];
        check(b"one\n", 4, b"one\ntwo\n", true);
        check(b"", 0, b"one\n", true);
        check(&long, 3_000, &[&long[..], b"more"].concat(), true);
        check(b"one\ntwo\n", 8, b"one\n", false);
        check(b"one\ntwo\n", 8, b"", false);
        check(b"one\ntwo\n", 8, b"ONE\ntwo\nthree\n", false);
        check(&long, 3_000, &long[..2_999], false);
    }

    #[test]
    fn ids_of_events_are_those_of_file_and_place() {
        let (one, mut other) = (position(b"", 0), position(b"", 0));
        assert_eq!(one.event_id(7), other.event_id(7));
        assert_ne!(one.event_id(7), one.event_id(8));
        other.id = Uuid::from_u128(2);
        assert_ne!(one.event_id(7), other.event_id(7));
        assert_eq!(one.event_id(7).get_version_num(), 8);
    }

    #[test]
    fn positions_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.json");
        assert_eq!(load(&path), Ok(None));
        let files = vec![position(b"one", 3), position(b"two", 0)];
        save(&path, files.clone()).expect("written");
        assert_eq!(load(&path), Ok(Some(files)));
        std::fs::write(&path, "{").expect("written");
        assert!(load(&path).is_err_and(|error| error.contains("x.json") && error.contains("read again")));
    }
}
