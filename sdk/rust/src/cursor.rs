//! Cursors of pulls from systems that sort by the time of the last change: the time, and what was seen of that
//! very moment, so that nothing is lost between two pages and nothing comes twice.

/// Records of one moment beyond this come again rather than make the cursor grow.
const MOST: usize = 1_000;
/// Bytes of the list. The contract allows 64 KiB, and a connector may keep two of them and a page's address.
const BYTES: usize = 24 << 10;

/// `<time>;<id>,<id>…` on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    /// In the system's own unit; it only has to grow.
    pub time: i64,
    seen: Vec<String>,
}

impl Cursor {
    /// What cannot be read is a beginning: everything comes again.
    pub fn read(bytes: &[u8]) -> Self {
        let read = || {
            let (time, ids) = std::str::from_utf8(bytes).ok()?.split_once(';')?;
            Some(Self { time: time.parse().ok()?, seen: ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect() })
        };
        read().unwrap_or_default()
    }

    pub fn write(&self) -> Vec<u8> {
        format!("{};{}", self.time, self.seen.join(",")).into_bytes()
    }

    /// How many records of the cursor's moment the next page brings again.
    pub fn seen(&self) -> usize {
        self.seen.len()
    }

    /// Whether a record was seen, so that the page need not have it.
    pub fn knows(&self, id: &str, time: i64) -> bool {
        time < self.time || time == self.time && self.seen.contains(&written(id))
    }

    /// Takes note of a record, once; commas in its id become spaces.
    pub fn add(&mut self, id: &str, time: i64) {
        if time > self.time {
            (self.time, self.seen) = (time, Vec::new());
        }
        let (id, bytes) = (written(id), self.seen.iter().map(|seen| seen.len() + 1).sum::<usize>());
        if time == self.time && self.seen.len() < MOST && bytes + id.len() < BYTES && !self.seen.contains(&id) {
            self.seen.push(id);
        }
    }
}

fn written(id: &str) -> String {
    id.replace(',', " ")
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn what_was_seen_of_a_moment_is_known() {
        let mut cursor = Cursor::read(b"");
        assert_eq!((cursor.time, cursor.seen(), cursor.knows("a", 0)), (0, 0, false));
        for (id, time) in [("a", 5), ("b", 5), ("c", 4)] {
            cursor.add(id, time);
        }
        assert_eq!(cursor.write(), b"5;a,b");
        let mut cursor = Cursor::read(&cursor.write());
        assert!(cursor.knows("b", 5) && cursor.knows("z", 4) && !cursor.knows("c", 5) && !cursor.knows("a", 6));
        cursor.add("d", 7);
        assert_eq!(cursor.write(), b"7;d");
        cursor.add("e,f", 7);
        assert!(Cursor::read(&cursor.write()).knows("e,f", 7));
        for strange in [&b"x"[..], b"x;", b"\xff;a", b"5"] {
            assert_eq!(Cursor::read(strange), Cursor::default());
        }
        (0..5_000).for_each(|id| cursor.add(&format!("{id:040}"), 7));
        assert!(cursor.write().len() <= 30 << 10 && cursor.seen() > 500);
        let mut cursor = Cursor::default();
        ["a,b", "c", "a,b", "a b", "c"].into_iter().for_each(|id| cursor.add(id, 9));
        assert_eq!(cursor.write(), b"9;a b,c");
    }
}
