//! How a segment lies on disk.
//!
//! A segment is a file `seg-<first seq, 20 digits>.bhj`, room reserved ahead, written strictly from
//! front to back. All numbers are little endian, all checksums CRC-32C.
//!
//! ```text
//! segment   offset  size   field
//!           0       44     header            magic "BHSEG01\n", version u32, zero u32, first seq u64,
//!                                            salt u64, created u64 (ns since 1970), checksum u32
//!           2048    44     the same header again: one bad sector does not cost a segment
//!           4096    …      frames, one behind the other, each on a multiple of 8
//!           …       …      zeroes up to the reserved size; cut off once the segment is full
//!
//! frame     0       4      magic "BHF1"
//! (one      4       4      length of the whole frame, padding included: a multiple of 8
//! append    8       8      first seq
//! request)  16      4      n: number of events, at least 1
//!           20      4      durable: up to this offset the segment was known to be on disk
//!                          when this frame was written
//!           24      8      time of acceptance, ns since 1970
//!           32      4      b: length of the body
//!           36      4      checksum of the body as it lies there
//!           40      4      flags: bit 0 packed, bit 1 sealed; no other is known
//!           44      4      checksum of the segment's salt and of the 44 bytes before
//!           48      b      body
//!           …       0..7   zeroes
//!
//! body      0       b-4n   the stored events (`bulkhead_core::event`), one behind the other
//!           b-4n    4n     where each event ends, counted from the body's start
//!
//! packed    0       4      length of the body that it stands for
//! body      4       …      that body as an LZ4 block
//!
//! sealed    0       8      id of the key
//! body      8       12     nonce: 8 random bytes for each time that the segment was opened, a counter
//!           20      …      the body, or the packed body, under AES-256-GCM
//!           b-16    16     its tag
//! ```
//!
//! * The key of a sealed frame is derived from the operator's for this segment alone (its salt and first
//!   seq). The salt, the frame's header but for its two checksums, and the id of the key are sealed with
//!   it: a frame opens only at its own number in its own segment. What a failed write or a crash took back
//!   never shares a nonce with what is written in its place.
//! * Checksums are of what lies on disk, so torn tails and damage are told apart without a key. All
//!   frames of a segment are sealed with one key or none: with another key a new segment begins, and the
//!   first frame of each says which keys are needed.
//! * A request is one frame, so it is there as a whole or not at all.
//! * The ends lie behind the events so that a request is built, checksummed, written and read by
//!   lanes in one and the same buffer.
//! * The salt is random for each segment and enters every header's checksum: bytes inside an event
//!   cannot pass for a frame when a reader looks for the next one behind damage, and neither can what
//!   an earlier file left in the same blocks.
//! * `durable` tells damage from a torn tail. Bytes that are no frame, in front of a frame that calls
//!   them durable, were once acknowledged: that is damage, reported and never cut. All else at the end
//!   was never acknowledged: a torn tail.
//! * Sequence numbers rise from frame to frame, usually without a gap. Where there is one, something
//!   was lost, and readers say so.
//! * A file gets its name only after its header and its first frames are on disk: a named segment
//!   without a readable header is damage, never a half-made file.

use bulkhead_core::EventRef;
use bulkhead_seal::{KeyId, NONCE, TAG};

const SEGMENT_MAGIC: [u8; 8] = *b"BHSEG01\n";
const SEGMENT_VERSION: u32 = 1;
const SEGMENT_HEADER: usize = 44;
const SECOND_COPY: usize = 2048;
/// Bytes before the first frame.
pub(crate) const HEADER_BLOCK: usize = 4096;

pub(crate) const FRAME_MAGIC: [u8; 4] = *b"BHF1";
pub(crate) const FRAME_HEADER: usize = 48;
/// Flags of a frame.
pub(crate) const PACKED: u32 = 1 << 0;
pub(crate) const SEALED: u32 = 1 << 1;
const KNOWN_FLAGS: u32 = PACKED | SEALED;
/// What lies before and behind what is sealed.
pub(crate) const SEALED_HEAD: usize = 8 + NONCE;
pub(crate) const SEALED_ROOM: usize = SEALED_HEAD + TAG;
/// What frames are aligned to.
pub(crate) const ALIGN: usize = 8;

const PREFIX: &str = "seg-";
const SUFFIX: &str = ".bhj";

pub(crate) fn segment_name(first: u64) -> String {
    format!("{PREFIX}{first:020}{SUFFIX}")
}

/// The first sequence number that a file name stands for.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub first: u64,
    pub salt: u64,
    pub created: u64,
}

/// Why a segment's header says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    #[error("the header is damaged in both copies")]
    Damaged,
    #[error("the file has format version {0}, this program reads version 1")]
    Version(u32),
    #[error("the header is for another sequence number than the file's name")]
    Misplaced,
}

impl SegmentHeader {
    pub fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; HEADER_BLOCK];
        let mut header = Vec::with_capacity(SEGMENT_HEADER);
        header.extend_from_slice(&SEGMENT_MAGIC);
        header.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        header.extend_from_slice(&0u32.to_le_bytes());
        header.extend_from_slice(&self.first.to_le_bytes());
        header.extend_from_slice(&self.salt.to_le_bytes());
        header.extend_from_slice(&self.created.to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        for at in [0, SECOND_COPY] {
            block[at..at + SEGMENT_HEADER].copy_from_slice(&header);
        }
        block
    }

    /// Reads the first intact copy of a segment's first [`HEADER_BLOCK`] bytes (or fewer).
    pub fn decode(block: &[u8], named: u64) -> Result<Self, HeaderFault> {
        let copies = [0, SECOND_COPY].map(|at| block.get(at..at + SEGMENT_HEADER).and_then(Self::decode_copy));
        let Some(found) = copies.into_iter().flatten().next() else { return Err(HeaderFault::Damaged) };
        let header = found?;
        if header.first == named { Ok(header) } else { Err(HeaderFault::Misplaced) }
    }

    fn decode_copy(copy: &[u8]) -> Option<Result<Self, HeaderFault>> {
        let (covered, checksum) = copy.split_at(SEGMENT_HEADER - 4);
        if covered[..8] != SEGMENT_MAGIC || crc32c::crc32c(covered) != u32_at(checksum, 0) {
            return None;
        }
        let version = u32_at(covered, 8);
        if version != SEGMENT_VERSION {
            return Some(Err(HeaderFault::Version(version)));
        }
        Some(Ok(Self { first: u64_at(covered, 16), salt: u64_at(covered, 24), created: u64_at(covered, 32) }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub length: u32,
    pub first: u64,
    pub count: u32,
    pub durable: u32,
    pub time: u64,
    pub body: u32,
    pub body_checksum: u32,
    pub flags: u32,
}

impl FrameHeader {
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    pub fn encode_into(&self, out: &mut [u8], salt: u64) {
        out[..4].copy_from_slice(&FRAME_MAGIC);
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..16].copy_from_slice(&self.first.to_le_bytes());
        out[16..20].copy_from_slice(&self.count.to_le_bytes());
        out[20..24].copy_from_slice(&self.durable.to_le_bytes());
        out[24..32].copy_from_slice(&self.time.to_le_bytes());
        out[32..36].copy_from_slice(&self.body.to_le_bytes());
        out[36..40].copy_from_slice(&self.body_checksum.to_le_bytes());
        out[40..44].copy_from_slice(&self.flags.to_le_bytes());
        let checksum = header_checksum(&out[..44], salt);
        out[44..48].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The header at the front of `bytes`, where there is an intact one of this segment.
    pub fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let head = bytes.get(..FRAME_HEADER)?;
        if head[..4] != FRAME_MAGIC || header_checksum(&head[..44], salt) != u32_at(head, 44) {
            return None;
        }
        let header = Self {
            length: u32_at(head, 4),
            first: u64_at(head, 8),
            count: u32_at(head, 16),
            durable: u32_at(head, 20),
            time: u64_at(head, 24),
            body: u32_at(head, 32),
            body_checksum: u32_at(head, 36),
            flags: u32_at(head, 40),
        };
        let sound = header.count > 0
            && header.first > 0
            && header.first.checked_add(u64::from(header.count)).is_some()
            && (header.flags != 0 || u64::from(header.count) * 4 <= u64::from(header.body))
            && padded(FRAME_HEADER as u64 + u64::from(header.body)) == u64::from(header.length);
        sound.then_some(header)
    }

    /// Whether every flag is one that this program knows.
    pub fn is_known(&self) -> bool {
        self.flags & !KNOWN_FLAGS == 0
    }

    /// The key that the body is sealed with.
    pub fn key(&self, frame: &[u8]) -> Option<KeyId> {
        if self.flags & SEALED == 0 {
            return None;
        }
        frame.get(FRAME_HEADER..FRAME_HEADER + 8).and_then(|id| id.try_into().ok()).map(KeyId)
    }

    /// What is sealed with a frame beside its body: all that places it and is known beforehand.
    pub fn associated(&self, salt: u64, key: KeyId) -> [u8; 56] {
        let mut head = [0; FRAME_HEADER];
        self.encode_into(&mut head, salt);
        let mut out = [0; 56];
        out[..8].copy_from_slice(&salt.to_le_bytes());
        out[8..44].copy_from_slice(&head[..36]);
        out[44..48].copy_from_slice(&head[40..44]);
        out[48..].copy_from_slice(&key.0);
        out
    }

    /// Checks the rest of a frame whose header is sound: the checksum, and of a plain body all that
    /// [`check_events`](Self::check_events) does.
    pub fn check_body(&self, frame: &[u8]) -> Result<(), &'static str> {
        let Some(body) = frame.get(FRAME_HEADER..FRAME_HEADER + self.body as usize) else { return Err("the frame is cut short") };
        if crc32c::crc32c(body) != self.body_checksum {
            return Err("the checksum of the events is wrong");
        }
        if self.flags == 0 { self.check_events(body) } else { Ok(()) }
    }

    /// Checks the ends, and that every event can be read, so that nobody behind has to ask again.
    pub fn check_events(&self, body: &[u8]) -> Result<(), &'static str> {
        if (self.count as usize).checked_mul(4).is_none_or(|table| table > body.len()) {
            return Err("the table of ends is wrong");
        }
        let (events, ends) = body.split_at(body.len() - self.count as usize * 4);
        let mut start = 0;
        for end in ends.chunks_exact(4) {
            let end = u32_at(end, 0) as usize;
            let Some(stored) = events.get(start..end) else { return Err("the table of ends is wrong") };
            if EventRef::new(stored).is_err() {
                return Err("an event is of an unknown form");
            }
            start = end;
        }
        if start == events.len() { Ok(()) } else { Err("there are bytes behind the last event") }
    }
}

fn header_checksum(covered: &[u8], salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), covered)
}

/// `length` up to the next multiple of [`ALIGN`].
pub(crate) fn padded(length: u64) -> u64 {
    length.div_ceil(ALIGN as u64) * ALIGN as u64
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A number nobody outside can guess: the standard library's hash keys come from the system's
/// random source and differ at each call.
pub(crate) fn random_salt() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
