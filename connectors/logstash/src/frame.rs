//! Frames of Lumberjack v2: a version, a letter, numbers of 4 bytes with the most significant first.
//!
//! ```text
//! 2 W count                     the window: so many events follow
//! 2 J sequence length JSON      an event
//! 2 C length zlib               frames, compressed
//! 2 A sequence                  from the receiver: everything up to this event is taken
//! ```

use std::io::Write as _;

use bulkhead_sdk::tcp::{self, Connection};
use flate2::Compression;
use flate2::write::ZlibEncoder;

const VERSION: u8 = b'2';

pub fn window(count: u32, out: &mut Vec<u8>) {
    out.extend([VERSION, b'W']);
    out.extend(count.to_be_bytes());
}

/// `json` is one object.
pub fn event(sequence: u32, json: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let length = u32::try_from(json.len()).map_err(|_| "the event is longer than 4 bytes can say".to_owned())?;
    out.extend([VERSION, b'J']);
    out.extend(sequence.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend_from_slice(json);
    Ok(())
}

pub fn compressed(frames: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(frames.len() / 4), Compression::fast());
    encoder.write_all(frames)?;
    let bytes = encoder.finish()?;
    out.extend([VERSION, b'C']);
    // Shorter than what it was made of, which memory bounds.
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
    Ok(())
}

/// Acknowledgements of a receiver.
#[derive(Debug, Default)]
pub struct Inbox(Vec<u8>);

impl Inbox {
    /// The sequence of the next one.
    pub fn next(&mut self, connection: &mut Connection) -> Result<u32, tcp::Error> {
        loop {
            if let Some((head, rest)) = self.0.split_first_chunk::<6>() {
                let &[version, kind, a, b, c, d] = head;
                if (version, kind) != (VERSION, b'A') {
                    return Err(tcp::Error::Broken("the receiver does not speak Lumberjack 2".to_owned()));
                }
                let rest = rest.to_vec();
                self.0 = rest;
                return Ok(u32::from_be_bytes([a, b, c, d]));
            }
            let more = connection.receive(4096)?;
            self.0.extend_from_slice(&more);
        }
    }
}
