//! Encodings of bodies: gzip (RFC 1952) and zstd (RFC 8878), decoded up to a limit. The ratio does not
//! matter: what counts is what comes out, and reading stops at the first byte too many.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// Largest window of a zstd frame; senders of `Content-Encoding: zstd` must not use a larger one
/// (RFC 9659 §3).
const ZSTD_WINDOW: u64 = 8 << 20;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    pub const ACCEPTED: &'static str = "gzip, zstd";

    /// Reads `Content-Encoding`; a body is packed once at most.
    pub fn from_header(value: &str) -> Option<Self> {
        [("identity", Self::Identity), ("gzip", Self::Gzip), ("x-gzip", Self::Gzip), ("zstd", Self::Zstd)]
            .into_iter()
            .find_map(|(name, encoding)| name.eq_ignore_ascii_case(value.trim()).then_some(encoding))
    }
}

/// Why a body could not be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFault {
    #[error("the body is larger than {limit} bytes once unpacked")]
    TooLarge { limit: usize },
    #[error("the body is not {0}, or damaged")]
    Malformed(&'static str),
}

/// Unpacks a body into `out`, which is cleared.
pub fn decode(encoding: Encoding, packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    out.clear();
    match encoding {
        Encoding::Identity => {
            if packed.len() > limit {
                return Err(DecodeFault::TooLarge { limit });
            }
            out.extend_from_slice(packed);
            Ok(())
        }
        Encoding::Gzip => fill(MultiGzDecoder::new(packed), limit, out, "gzip"),
        Encoding::Zstd => zstd(packed, limit, out),
    }
}

fn fill(from: impl Read, limit: usize, out: &mut Vec<u8>, name: &'static str) -> Result<(), DecodeFault> {
    let room = limit.saturating_sub(out.len());
    // One byte more tells "at the limit" from "beyond".
    from.take(room as u64 + 1).read_to_end(out).map_err(|_| DecodeFault::Malformed(name))?;
    if out.len() > limit { Err(DecodeFault::TooLarge { limit }) } else { Ok(()) }
}

fn zstd(mut packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    const MALFORMED: DecodeFault = DecodeFault::Malformed("zstd");
    if packed.is_empty() {
        return Err(MALFORMED);
    }
    while !packed.is_empty() {
        let magic = u32::from_le_bytes(*packed.first_chunk::<4>().ok_or(MALFORMED)?);
        if (0x184d_2a50..=0x184d_2a5f).contains(&magic) {
            // A skippable frame (RFC 8878 §3.1.2).
            let length = u32::from_le_bytes(*packed[4..].first_chunk::<4>().ok_or(MALFORMED)?) as usize;
            packed = packed.get(8 + length..).ok_or(MALFORMED)?;
            continue;
        }
        let mut frame = StreamingDecoder::new_with_max_window_size(&mut packed, ZSTD_WINDOW).map_err(|_| MALFORMED)?;
        fill(&mut frame, limit, out, "zstd")?;
        let decoder = frame.into_frame_decoder();
        let sent = decoder.get_checksum_from_data();
        if sent.is_some() && sent != decoder.get_calculated_checksum() {
            return Err(MALFORMED);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
