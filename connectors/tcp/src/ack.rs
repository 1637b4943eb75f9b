//! Lines by which a receiver says what became of records.

use bulkhead_sdk::tcp::{self, Connection};
use bulkhead_sdk::{Config, Outcome};

/// Longest line of a receiver.
const LINE: usize = 4096;
/// Bytes of it that go into a reason.
const REASON: usize = 512;

/// What the receiver answers.
#[derive(Debug, Config)]
pub struct Ack {
    /// How a line begins that says: taken.
    #[config(min = 1, max = 256)]
    prefix: String,
    /// How a line begins that says: never. Any other line is tried again.
    #[config(min = 1, max = 256)]
    reject: Option<String>,
    /// A line for each record, in their order, in place of one for the batch.
    #[config(default = false)]
    each: bool,
}

impl Ack {
    pub fn check(&self) -> Result<(), String> {
        if self.reject.as_ref().is_some_and(|reject| reject.starts_with(&self.prefix) || self.prefix.starts_with(reject)) {
            return Err("`ack.prefix` and `ack.reject`: one begins with the other, so that a line could mean both".to_owned());
        }
        Ok(())
    }

    pub fn is_each(&self) -> bool {
        self.each
    }

    pub fn outcome(&self, line: &[u8]) -> Outcome {
        if line.starts_with(self.prefix.as_bytes()) {
            Outcome::Accepted(None)
        } else if self.reject.as_ref().is_some_and(|reject| line.starts_with(reject.as_bytes())) {
            let words = String::from_utf8_lossy(bulkhead_sdk::writer::cut(line, REASON));
            Outcome::Rejected(format!("the receiver answered: {}", words.trim_end()))
        } else {
            Outcome::Retry(None)
        }
    }
}

/// Reads lines, of which several may come at once.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    pub fn next(&mut self, connection: &mut Connection) -> Result<Vec<u8>, tcp::Error> {
        loop {
            if let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.0.drain(..=end).collect();
                line.truncate(end);
                return Ok(line);
            }
            if self.0.len() > LINE {
                return Err(tcp::Error::Broken(format!("the receiver's answer has no end within {LINE} bytes")));
            }
            let more = connection.receive(LINE)?;
            self.0.extend_from_slice(&more);
        }
    }

    /// More was said than was asked for.
    pub fn is_left(&self) -> bool {
        !self.0.is_empty()
    }
}
