//! Compiled components that stories lend each other: compiling takes a second of both cores, and most
//! stories are not about it. A story begins with copies of what an earlier one compiled; the key of
//! their checksums goes with them, so the host checks them as it checks its own.

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_tests::host;

/// Most compiled components kept; guests that are built anew leave their old ones behind.
const MOST: usize = 100;

fn shared() -> PathBuf {
    host::root().join("target/stories")
}

/// Copies what there is into a data directory that no host has seen.
pub fn borrow(data_dir: &Path) {
    let Ok(entries) = fs::read_dir(shared().join("cache")) else { return };
    fs::create_dir_all(data_dir.join("cache")).expect("a folder");
    // The permissions go with the file: the host takes a key only where others cannot read it.
    if fs::copy(shared().join("cache.key"), data_dir.join("cache.key")).is_err() {
        return;
    }
    for entry in entries.flatten() {
        let _ = fs::copy(entry.path(), data_dir.join("cache").join(entry.file_name()));
    }
}

/// Lends what a host has compiled, where it was compiled under the shared key.
pub fn lend(data_dir: &Path) {
    let cache = shared().join("cache");
    if fs::read_dir(&cache).is_ok_and(|entries| entries.count() > MOST) {
        let _ = fs::remove_dir_all(&cache);
    }
    fs::create_dir_all(&cache).expect("a folder");
    // The first one to come names the key.
    let (own, key) = (data_dir.join("cache.key"), shared().join("cache.key"));
    let _ = take(&own, &key);
    if fs::read(&own).ok() != fs::read(&key).ok() {
        return;
    }
    for entry in fs::read_dir(data_dir.join("cache")).into_iter().flatten().flatten() {
        let place = cache.join(entry.file_name());
        if !place.exists() {
            let _ = take(&entry.path(), &place);
        }
    }
}

/// A copy that appears as a whole or not at all, and never over another.
fn take(from: &Path, to: &Path) -> std::io::Result<()> {
    let half = tempfile::Builder::new().tempfile_in(shared())?.into_temp_path();
    fs::copy(from, &half)?;
    fs::hard_link(&half, to)
}
