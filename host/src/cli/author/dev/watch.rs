//! Which files have changed: looked at in intervals, which every file system allows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files that are looked at; a folder with more is watched in part.
const MAX_FILES: usize = 10_000;
/// Folders of what is made or brought, at any depth.
const PASSED: [&str; 8] = ["target", "dist", "vendor", "node_modules", "__pycache__", ".git", ".venv", "build"];

/// A file's time of change and length.
type Files = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// The sources of a folder as they were at the last look.
pub struct Watch {
    folder: PathBuf,
    files: Files,
}

impl Watch {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: look(folder) }
    }

    /// Whether anything is other than at the last look.
    pub fn changed(&mut self) -> bool {
        let now = look(&self.folder);
        std::mem::replace(&mut self.files, now) != self.files
    }
}

fn look(folder: &Path) -> Files {
    let (mut files, mut open) = (Files::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !PASSED.contains(&name.as_ref()) {
                open.push(entry.path());
            } else if kind.is_file() && name != "Cargo.lock" && files.len() < MAX_FILES {
                // Gone again since it was listed: the next look says so.
                let Ok(metadata) = entry.metadata() else { continue };
                files.insert(entry.path(), (metadata.modified().ok(), metadata.len()));
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_count_and_what_is_made_does_not() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write("src/lib.rs", "1");
        let mut watch = Watch::new(dir.path());
        assert!(!watch.changed());
        write("src/lib.rs", "12");
        assert!(watch.changed() && !watch.changed());
        write("target/x", "1");
        write("dist/y", "1");
        assert!(!watch.changed());
        write("cases/new.toml", "");
        assert!(watch.changed());
        std::fs::remove_file(dir.path().join("src/lib.rs")).expect("removed");
        assert!(watch.changed());
    }
}
