//! MessagePack, read: what a receiver may say. Total: what is malformed or too large is an error, and nothing is
//! reserved on its word.

use std::fmt;

use bulkhead_sdk::tcp::{self, Connection};

/// Most bytes of one message of a receiver.
const LONGEST: usize = 64 << 10;
/// Containers within one another.
const DEEPEST: usize = 8;

/// A value of a receiver; numbers and extensions have no meaning here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Nil,
    Bool(bool),
    /// Strings and binaries alike: senders mix them.
    Bytes(Vec<u8>),
    Array(Vec<Said>),
    Map(Vec<(Said, Said)>),
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// More bytes may make it a value.
    Short,
    Malformed,
}

impl Said {
    pub fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The text of a string, whatever it holds.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes().unwrap_or_default()).into_owned()
    }

    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(own, _)| own.bytes() == Some(name.as_bytes())).map(|(_, value)| value)
    }
}

/// Reads one value; `None` where more bytes are needed.
pub fn value(bytes: &[u8]) -> Result<Option<(Said, usize)>, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.value(0) {
        Ok(said) => Ok(Some((said, reader.at))),
        Err(Stop::Short) if bytes.len() <= LONGEST => Ok(None),
        Err(_) => Err(Malformed),
    }
}

/// What a receiver said is no MessagePack, or more than any receiver has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver does not speak the forward protocol")
    }
}

/// Messages of a receiver, of which several may come at once.
#[derive(Debug, Default)]
pub struct Inbox(Vec<u8>);

impl Inbox {
    pub fn next(&mut self, connection: &mut Connection) -> Result<Said, tcp::Error> {
        loop {
            match value(&self.0) {
                Ok(Some((said, length))) => {
                    self.0.drain(..length);
                    return Ok(said);
                }
                Ok(None) => {
                    let more = connection.receive(LONGEST)?;
                    self.0.extend_from_slice(&more);
                }
                Err(malformed) => return Err(tcp::Error::Broken(malformed.to_string())),
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        if count > LONGEST {
            return Err(Stop::Malformed);
        }
        let taken = self.bytes.get(self.at..self.at + count).ok_or(Stop::Short)?;
        self.at += count;
        Ok(taken)
    }

    /// A number of so many bytes, most significant first.
    fn number(&mut self, width: usize) -> Result<usize, Stop> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn value(&mut self, depth: usize) -> Result<Said, Stop> {
        let first = self.number(1)?;
        match first {
            0x00..=0x7f | 0xe0..=0xff => Ok(Said::Other),
            0x80..=0x8f => self.map(first & 15, depth),
            0x90..=0x9f => self.array(first & 15, depth),
            0xa0..=0xbf => self.text(first & 31),
            0xc0 => Ok(Said::Nil),
            0xc2 | 0xc3 => Ok(Said::Bool(first == 0xc3)),
            // Binaries and strings, with 1, 2 or 4 bytes of length.
            0xc4..=0xc6 => self.long(1 << (first - 0xc4)),
            0xd9..=0xdb => self.long(1 << (first - 0xd9)),
            0xc7..=0xc9 => {
                let length = self.number(1 << (first - 0xc7))?;
                self.other(length.saturating_add(1))
            }
            0xca => self.other(4),
            0xcb => self.other(8),
            0xcc..=0xcf => self.other(1 << (first - 0xcc)),
            0xd0..=0xd3 => self.other(1 << (first - 0xd0)),
            0xd4..=0xd8 => self.other((1 << (first - 0xd4)) + 1),
            0xdc | 0xdd => {
                let length = self.number(if first == 0xdc { 2 } else { 4 })?;
                self.array(length, depth)
            }
            0xde | 0xdf => {
                let length = self.number(if first == 0xde { 2 } else { 4 })?;
                self.map(length, depth)
            }
            _ => Err(Stop::Malformed),
        }
    }

    fn text(&mut self, length: usize) -> Result<Said, Stop> {
        Ok(Said::Bytes(self.take(length)?.to_vec()))
    }

    fn long(&mut self, width: usize) -> Result<Said, Stop> {
        let length = self.number(width)?;
        self.text(length)
    }

    fn other(&mut self, length: usize) -> Result<Said, Stop> {
        self.take(length).map(|_| Said::Other)
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<Said, Stop> {
        self.room(length, depth)?;
        (0..length).map(|_| self.value(depth + 1)).collect::<Result<_, _>>().map(Said::Array)
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Said, Stop> {
        self.room(length, depth)?;
        (0..length).map(|_| Ok((self.value(depth + 1)?, self.value(depth + 1)?))).collect::<Result<_, _>>().map(Said::Map)
    }

    fn room(&self, length: usize, depth: usize) -> Result<(), Stop> {
        if length > LONGEST || depth >= DEEPEST { Err(Stop::Malformed) } else { Ok(()) }
    }
}
