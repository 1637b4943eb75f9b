//! Names and places of the files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of receipts below a data directory.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}

pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}

pub fn name(number: u64) -> String {
    format!("receipts-{number:08}.jsonl")
}

/// The files of receipts, by number.
pub fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(number);
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("receipts-")?.strip_suffix(".jsonl")?;
    let number = digits.parse().ok()?;
    // One spelling for each number, so that no file hides behind another.
    (self::name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_in_one_spelling_only() {
        assert_eq!(name(7), "receipts-00000007.jsonl");
        assert_eq!(number("receipts-00000007.jsonl"), Some(7));
        assert_eq!(number("receipts-123456789.jsonl"), Some(123_456_789));
        for other in ["receipts-7.jsonl", "receipts-00000007.jsonl.bak", "receipts-0000000x.jsonl", "key"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
