//! How far the reading is. While the pages of one list follow each other two things are kept: where the list
//! began, by which records are known, and how far it has come, where the next one will begin.

use bulkhead_sdk::Cursor;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The latest records when the list was begun.
    pub began: Cursor,
    /// The latest records now.
    pub seen: Cursor,
    /// The last record's id when the list was begun, and now.
    pub first: String,
    pub last: String,
    /// The page that follows; empty where the next list begins.
    pub path: String,
}

impl Place {
    /// What cannot be read is a beginning.
    pub fn read(bytes: &[u8]) -> Self {
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let [began, seen, first, last, path] = parts[..] else { return Self::default() };
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        Self { began: Cursor::read(began), seen: Cursor::read(seen), first: text(first), last: text(last), path: text(path) }
    }

    /// The list as it was asked for at its first page.
    pub fn anew(&self) -> Self {
        let (began, first) = (self.began.clone(), self.first.clone());
        Self { seen: began.clone(), last: first.clone(), began, first, path: String::new() }
    }

    /// Five lines.
    pub fn write(&self) -> Vec<u8> {
        let line = |text: &str| text.replace('\n', " ").into_bytes();
        [self.began.write(), self.seen.write(), line(&self.first), line(&self.last), line(&self.path)].join(&b'\n')
    }
}
