//! How records are told apart in a stream.

use bulkhead_sdk::{Config, Escape, Writer};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Framing {
    /// A line feed behind each; line breaks within a record become spaces.
    Newline,
    /// The length in bytes in decimal, a space, the record (RFC 6587 §3.4.1).
    OctetCounting,
    /// The length in 4 bytes, most significant first, the record.
    LengthPrefix,
    /// What `delimiter` says behind each; a record that contains it is rejected.
    Delimiter,
}

#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    delimiter: Vec<u8>,
    max_bytes: Option<u32>,
}

/// Line breaks become spaces.
struct OneLine;

impl Escape for OneLine {
    const BELOW: u8 = 0;
    const BYTES: [u8; 3] = [b'\n', b'\r', b'\r'];

    fn write(_: u8, out: &mut Vec<u8>) {
        out.push(b' ');
    }
}

impl Frames {
    pub fn new(framing: Framing, delimiter: Option<String>, max_bytes: Option<u32>) -> Result<Self, String> {
        let delimiter = match (framing, delimiter) {
            (Framing::Delimiter, Some(text)) => text.into_bytes(),
            (Framing::Delimiter, None) => return Err("`framing` is delimiter: `delimiter` is missing, for example \"\\u0000\"".to_owned()),
            (_, Some(_)) => return Err("`delimiter` has a meaning with `framing: delimiter` only".to_owned()),
            (_, None) => Vec::new(),
        };
        Ok(Self { framing, delimiter, max_bytes })
    }

    /// Writes one record in its frame, or says why it is rejected.
    pub fn write(&self, record: &[u8], out: &mut Writer) -> Result<(), String> {
        // The line break of line formats is the frame's, not the record's.
        let record = record.trim_ascii_end();
        if record.is_empty() {
            return Err("the record is empty".to_owned());
        }
        if let Some(most) = self.max_bytes.filter(|most| record.len() > *most as usize) {
            return Err(format!("the record has {} bytes, `max_bytes` is {most}", record.len()));
        }
        match self.framing {
            Framing::Newline => {
                out.escaped::<OneLine>(record);
                out.byte(b'\n');
            }
            Framing::OctetCounting => {
                out.unsigned(record.len() as u64);
                out.byte(b' ');
                out.bytes(record);
            }
            Framing::LengthPrefix => {
                let length = u32::try_from(record.len()).map_err(|_| "the record is longer than 4 bytes can say".to_owned())?;
                out.bytes(&length.to_be_bytes());
                out.bytes(record);
            }
            Framing::Delimiter => {
                let start = out.len();
                out.bytes(record);
                out.bytes(&self.delimiter);
                // With both together: the record may end with what the delimiter begins with.
                let framed = out.as_bytes().get(start..).unwrap_or_default();
                if framed.windows(self.delimiter.len()).position(|part| part == self.delimiter) != Some(record.len()) {
                    out.truncate(start);
                    return Err("the record contains the `delimiter`, or ends so that one would begin within it".to_owned());
                }
            }
        }
        Ok(())
    }
}
