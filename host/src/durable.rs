//! Small files that are there as a whole or not at all, also after a power cut.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// On disk when it returns. Blocks.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The new name itself must survive, too.
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
