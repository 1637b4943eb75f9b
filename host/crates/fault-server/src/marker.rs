//! The id of a generated event: `bkm-<run>-<number>-<nanoseconds>` in hexadecimal, of fixed length and
//! made of characters that no format escapes. A receiver finds it in any output without parsing and
//! reads from it which event it is and when it was sent. Short enough for every field that ids go to
//! (CEF's `externalId` holds 40 characters).
//!
//! ```text
//! bkm-00002a-000000f4e1-18b3c2a1d4e5f607
//!     run    number     nanoseconds since 1970
//! ```

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem::Finder;

pub const LENGTH: usize = 38;
const PREFIX: &[u8] = b"bkm-";
const RUN: usize = 4;
const NUMBER: usize = 11;
const NANOS: usize = 22;
/// Runs are below this.
pub const RUNS: u32 = 1 << 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Below 2^24.
    pub run: u32,
    /// Below 2^40.
    pub number: u64,
    pub nanos: u64,
}

impl Marker {
    pub fn write(self, out: &mut [u8]) {
        out[..RUN].copy_from_slice(PREFIX);
        hex(u64::from(self.run), &mut out[RUN..NUMBER - 1]);
        out[NUMBER - 1] = b'-';
        hex(self.number, &mut out[NUMBER..NANOS - 1]);
        out[NANOS - 1] = b'-';
        hex(self.nanos, &mut out[NANOS..LENGTH]);
    }

    pub fn read(text: &[u8]) -> Option<Self> {
        if text.len() < LENGTH || !text.starts_with(PREFIX) || text[NUMBER - 1] != b'-' || text[NANOS - 1] != b'-' {
            return None;
        }
        Some(Self { run: u32::try_from(unhex(&text[RUN..NUMBER - 1])?).ok()?, number: unhex(&text[NUMBER..NANOS - 1])?, nanos: unhex(&text[NANOS..LENGTH])? })
    }
}

impl std::fmt::Display for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bkm-{:06x}-{:010x}-{:016x}", self.run, self.number, self.nanos)
    }
}

/// Nanoseconds since 1970, as markers carry them.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn hex(mut value: u64, out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(value & 15) as usize];
        value >>= 4;
    }
}

fn unhex(text: &[u8]) -> Option<u64> {
    const NONE: u8 = 255;
    const VALUES: [u8; 256] = {
        let mut table = [NONE; 256];
        let mut i = 0;
        while i < 10 {
            table[b'0' as usize + i] = i as u8;
            i += 1;
        }
        i = 0;
        while i < 6 {
            table[b'a' as usize + i] = 10 + i as u8;
            i += 1;
        }
        table
    };
    text.iter().try_fold(0_u64, |value, digit| match VALUES[usize::from(*digit)] {
        NONE => None,
        digit => Some(value << 4 | u64::from(digit)),
    })
}

/// Finds every marker of a body in order; an id that is written several times in a row counts once.
pub struct Markers<'a> {
    body: &'a [u8],
    at: usize,
    finder: &'a Finder<'static>,
    last: Option<Marker>,
}

impl<'a> Markers<'a> {
    pub fn new(body: &'a [u8], finder: &'a Finder<'static>) -> Self {
        Self { body, at: 0, finder, last: None }
    }

    /// Where to search: made once, used for every body.
    pub fn finder() -> Finder<'static> {
        Finder::new(PREFIX)
    }
}

impl Iterator for Markers<'_> {
    type Item = Marker;

    fn next(&mut self) -> Option<Marker> {
        loop {
            let found = self.at + self.finder.find(self.body.get(self.at..)?)?;
            match Marker::read(&self.body[found..]) {
                Some(marker) => {
                    self.at = found + LENGTH;
                    if self.last.replace(marker) != Some(marker) {
                        return Some(marker);
                    }
                }
                None => self.at = found + PREFIX.len(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_found_in_any_text() {
        let marker = Marker { run: 42, number: 0xf4e1, nanos: 1_762_000_000_123_456_789 };
        let mut id = [0; LENGTH];
        marker.write(&mut id);
        assert_eq!(std::str::from_utf8(&id).expect("ascii"), marker.to_string());
        let other = Marker { number: 7, ..marker };
        let body = format!("CEF:0|bkm-|x externalId={marker} cs1={marker}\nbkm-zz{{\"id\":\"{other}\"}} bkm-00002a-cut");
        let finder = Markers::finder();
        assert_eq!(Markers::new(body.as_bytes(), &finder).collect::<Vec<_>>(), [marker, other]);
        assert_eq!(Markers::new(b"", &finder).count(), 0);
    }
}
