//! Where a rendering goes: the records' own writer, with an eye on JSON's quotes.

use std::cell::Cell;
use std::io;

use bulkhead_sdk::Writer;

thread_local! {
    /// What was written last left a JSON string open.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the next value stands between quotes.
pub fn inside_string() -> bool {
    INSIDE.get()
}

pub struct Sink<'w> {
    out: &'w mut Writer,
    /// The last byte was a backslash inside a string.
    escaped: bool,
}

impl<'w> Sink<'w> {
    pub fn new(out: &'w mut Writer) -> Self {
        INSIDE.set(false);
        Self { out, escaped: false }
    }
}

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inside = INSIDE.get();
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = inside,
                b'"' => inside = !inside,
                _ => {}
            }
        }
        INSIDE.set(inside);
        self.out.bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
