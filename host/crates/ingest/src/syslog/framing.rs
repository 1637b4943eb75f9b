//! Syslog over a byte stream (RFC 6587): where a message ends. Bytes in, messages out; no IO.
//!
//! Octet counting: `MSG-LEN SP MSG`. Newline: the message ends at LF, a CR before it is dropped. `Auto`
//! looks at the first byte of each message: a digit 1–9 means octet counting, anything else newline.

use crate::lines::{self, Cut};

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    #[default]
    Auto,
    OctetCounting,
    Newline,
}

impl Framing {
    pub const ALL: [Self; 3] = [Self::Auto, Self::OctetCounting, Self::Newline];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::OctetCounting => "octet_counting",
            Self::Newline => "newline",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|framing| framing.name() == name)
    }
}

/// Why a stream cannot be read on; the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("a message does not begin with its length and a space (RFC 6587 §3.4.1)")]
    Length,
    #[error("a message of {length} bytes is longer than the limit of {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("a line is longer than the limit of {limit} bytes")]
    Line { limit: usize },
}

/// Digits of a length at most; more could only announce what no limit allows.
const LENGTH_DIGITS: usize = 9;

/// Cuts a stream into messages.
#[derive(Debug)]
pub struct Deframer {
    framing: Framing,
    /// Longest message in bytes.
    limit: usize,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were handed out.
    taken: usize,
    /// Bytes of the buffer in which no newline was found yet.
    searched: usize,
}

impl Deframer {
    pub fn new(framing: Framing, limit: usize) -> Self {
        Self { framing, limit, buffer: Vec::new(), taken: 0, searched: 0 }
    }

    /// Adds bytes that were read. The caller hands over at most what one read brings, and takes all
    /// messages out before it reads on, so that the buffer holds at most one message and one read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, without its frame; empty messages are passed over.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, FramingError> {
        loop {
            let Some(first) = self.buffer.get(self.taken) else { return Ok(None) };
            let counted = match self.framing {
                Framing::OctetCounting => true,
                Framing::Newline => false,
                Framing::Auto => (b'1'..=b'9').contains(first),
            };
            let found = if counted { self.counted()? } else { self.line()? };
            match found {
                None => return Ok(None),
                Some((start, end)) if start == end => {}
                Some((start, end)) => return Ok(Some(&self.buffer[start..end])),
            }
        }
    }

    /// What is left when the peer has closed: a last line without its newline, if it is one.
    pub fn finish(&mut self) -> Option<&[u8]> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let counted = self.framing == Framing::OctetCounting || (self.framing == Framing::Auto && rest.first().is_some_and(|b| (b'1'..=b'9').contains(b)));
        self.taken = self.buffer.len();
        // Half of a counted message is not a message.
        if counted || rest.is_empty() || rest.len() > self.limit { None } else { Some(lines::without_cr(&self.buffer[self.buffer.len() - rest.len()..])) }
    }

    fn counted(&mut self) -> Result<Option<(usize, usize)>, FramingError> {
        let rest = &self.buffer[self.taken..];
        let digits = rest.iter().take(LENGTH_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
        match rest.get(digits) {
            _ if digits > LENGTH_DIGITS || rest[0] == b'0' => return Err(FramingError::Length),
            None => return Ok(None),
            Some(b' ') if digits > 0 => {}
            Some(_) => return Err(FramingError::Length),
        }
        let length = rest[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
        if length > self.limit {
            return Err(FramingError::TooLong { length, limit: self.limit });
        }
        let start = self.taken + digits + 1;
        if self.buffer.len() < start + length {
            return Ok(None);
        }
        self.taken = start + length;
        // Some senders count a trailing newline in.
        let end = start + self.buffer[start..start + length].trim_ascii_end().len();
        Ok(Some((start, end)))
    }

    fn line(&mut self) -> Result<Option<(usize, usize)>, FramingError> {
        let (start, rest) = (self.taken, &self.buffer[self.taken..]);
        match lines::cut(rest, self.searched.saturating_sub(start), self.limit, true) {
            Cut::Line { length, taken } => {
                self.taken += taken;
                self.searched = self.taken;
                Ok(Some((start, start + length)))
            }
            Cut::Open => {
                self.searched = self.buffer.len();
                Ok(None)
            }
            Cut::Long => Err(FramingError::Line { limit: self.limit }),
        }
    }
}

#[cfg(test)]
mod tests;
