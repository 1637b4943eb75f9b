//! Between a frame in memory and the same frame on disk: packed, then sealed, and back. `layout` draws
//! the forms.
//!
//! Promises: what does not shrink is not packed; no nonce is used twice under one key; what is opened is
//! bounded by what its frame says, and that by what its bytes can stand for. Refuses to hand out a body
//! whose seal is broken.

use bulkhead_seal::{AtRest, Cipher, KeyId, NONCE, TAG, random};
use bytes::Bytes;

use crate::frame::Frame;
use crate::layout::{FRAME_HEADER, FrameHeader, PACKED, SEALED, SEALED_HEAD, SEALED_ROOM, padded, u32_at};
use crate::settings::Compression;

/// What every key of the journal is derived for.
const PURPOSE: &str = "journal segment";
/// Length of the body before the block that stands for it.
const PACKED_HEAD: usize = 4;
/// Most bytes that one byte of an LZ4 block stands for.
const MOST_RATIO: usize = 255;

/// How a journal writes frames, and what it can open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    pub compression: Compression,
    pub at_rest: AtRest,
}

impl Form {
    /// The key that new frames are sealed with.
    pub fn seals_with(&self) -> Option<KeyId> {
        self.at_rest.seals_with().map(|key| key.id())
    }

    /// Bytes that a frame may be longer by on disk.
    pub fn room(&self) -> u64 {
        if self.seals_with().is_some() { SEALED_ROOM as u64 } else { 0 }
    }

    pub fn sealer(&self, salt: u64, first: u64) -> Option<Sealer> {
        let key = self.at_rest.seals_with()?;
        Some(Sealer { key: key.id(), cipher: key.cipher(PURPOSE, &place(salt, first)), salt, opened: random(), count: 0 })
    }

    pub fn opener(&self, salt: u64, first: u64) -> Opener {
        Opener { at_rest: self.at_rest.clone(), salt, first, last: None }
    }
}

/// A segment, as keys are derived for it.
fn place(salt: u64, first: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&salt.to_le_bytes());
    place[8..].copy_from_slice(&first.to_le_bytes());
    place
}

/// A frame as it goes to the disk.
pub(crate) struct Stored {
    pub header: FrameHeader,
    /// Room for a header, the packed body, padding; where it is smaller than the body.
    packed: Option<Vec<u8>>,
}

impl Stored {
    /// `bytes` is the plain frame of this header, so far without a place.
    pub fn new(bytes: &[u8], plain: &FrameHeader, form: &Form) -> Self {
        let mut header = *plain;
        let mut packed = None;
        if form.compression == Compression::Lz4
            && let Some(mut smaller) = pack(&bytes[FRAME_HEADER..FRAME_HEADER + plain.body as usize])
        {
            header.flags |= PACKED;
            header.body = (smaller.len() - FRAME_HEADER) as u32;
            header.length = padded(smaller.len() as u64) as u32;
            header.body_checksum = crc32c::crc32c(&smaller[FRAME_HEADER..]);
            smaller.resize(header.length as usize, 0);
            packed = Some(smaller);
        }
        if form.seals_with().is_some() {
            header.flags |= SEALED;
            header.body += SEALED_ROOM as u32;
            header.length = padded(FRAME_HEADER as u64 + u64::from(header.body)) as u32;
        }
        Self { header, packed }
    }

    /// The bytes where nothing seals them; `plain` is the frame in memory.
    pub fn encode<'a>(&'a mut self, plain: &'a mut [u8], salt: u64) -> &'a [u8] {
        let bytes = self.packed.as_deref_mut().unwrap_or(plain);
        self.header.encode_into(bytes, salt);
        bytes
    }
}

/// Room for a frame's header, then the body in its packed form; nothing where it would not be smaller.
fn pack(body: &[u8]) -> Option<Vec<u8>> {
    let head = FRAME_HEADER + PACKED_HEAD;
    let mut out = vec![0; head + lz4_flex::block::get_maximum_output_size(body.len())];
    let length = lz4_flex::block::compress_into(body, &mut out[head..]).ok()?;
    out.truncate(head + length);
    out[FRAME_HEADER..head].copy_from_slice(&(body.len() as u32).to_le_bytes());
    (PACKED_HEAD + length < body.len()).then_some(out)
}

/// Seals the frames of one segment for as long as it is open.
pub(crate) struct Sealer {
    key: KeyId,
    cipher: Cipher,
    salt: u64,
    /// Random at each opening: what an earlier process wrote at the same place, and a crash took back, had
    /// another.
    opened: [u8; 8],
    count: u32,
}

impl Sealer {
    /// Appends the finished frame; `body` is the plain one.
    pub fn seal(&mut self, stored: &Stored, body: &[u8], out: &mut Vec<u8>) {
        let header = &stored.header;
        let start = out.len();
        let inner = header.body as usize - SEALED_ROOM;
        let body = stored.packed.as_ref().map_or(body, |packed| &packed[FRAME_HEADER..FRAME_HEADER + inner]);
        let mut nonce = [0; NONCE];
        nonce[..8].copy_from_slice(&self.opened);
        nonce[8..].copy_from_slice(&self.count.to_le_bytes());
        self.count = self.count.wrapping_add(1);
        if self.count == 0 {
            // Writes that fail take numbers as well, for as long as a disk is full.
            self.opened = random();
        }
        out.resize(start + FRAME_HEADER, 0);
        out.extend_from_slice(&self.key.0);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(body);
        let at = start + FRAME_HEADER + SEALED_HEAD;
        let tag = self.cipher.seal(nonce, &header.associated(self.salt, self.key), &mut out[at..]);
        out.extend_from_slice(&tag);
        let header = FrameHeader { body_checksum: crc32c::crc32c(&out[start + FRAME_HEADER..]), ..*header };
        out.resize(start + header.length as usize, 0);
        header.encode_into(&mut out[start..start + FRAME_HEADER], self.salt);
    }
}

/// Why a frame whose checksum is right cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It can be, with this key.
    Key(KeyId),
    /// It can be, by a later version of this program.
    Newer,
    /// Nobody can.
    Broken(&'static str),
}

/// Opens the frames of one segment.
pub(crate) struct Opener {
    at_rest: AtRest,
    salt: u64,
    first: u64,
    /// Frames of a segment have one key.
    last: Option<(KeyId, Cipher)>,
}

impl Opener {
    /// `bytes` is a frame of this header whose checksum is right.
    pub fn open(&mut self, header: &FrameHeader, bytes: Bytes) -> Result<Frame, Unreadable> {
        if header.flags == 0 {
            return Ok(Frame::new(bytes, header));
        }
        if !header.is_known() {
            return Err(Unreadable::Newer);
        }
        let body = &bytes[FRAME_HEADER..FRAME_HEADER + header.body as usize];
        let plain = if header.flags & SEALED != 0 {
            let opened = self.unseal(header, &bytes, body)?;
            if header.flags & PACKED != 0 { unpack(&opened[FRAME_HEADER..])? } else { opened }
        } else {
            unpack(body)?
        };
        let header = FrameHeader { body: (plain.len() - FRAME_HEADER) as u32, flags: 0, ..*header };
        header.check_events(&plain[FRAME_HEADER..]).map_err(Unreadable::Broken)?;
        Ok(Frame::new(plain.into(), &header))
    }

    /// Room for a header, then the body in the clear.
    fn unseal(&mut self, header: &FrameHeader, frame: &[u8], body: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let key = header.key(frame).filter(|_| body.len() >= SEALED_ROOM).ok_or(Unreadable::Broken("the seal of the frame is cut short"))?;
        if self.last.as_ref().is_none_or(|(last, _)| *last != key) {
            let found = self.at_rest.get(key).ok_or(Unreadable::Key(key))?;
            self.last = Some((key, found.cipher(PURPOSE, &place(self.salt, self.first))));
        }
        let cipher = self.last.as_ref().map(|(_, cipher)| cipher).ok_or(Unreadable::Key(key))?;
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&body[8..SEALED_HEAD]);
        let mut out = vec![0; FRAME_HEADER + body.len() - SEALED_HEAD];
        out[FRAME_HEADER..].copy_from_slice(&body[SEALED_HEAD..]);
        let opened = cipher.open(nonce, &header.associated(self.salt, key), &mut out[FRAME_HEADER..]);
        opened.map_err(|_| Unreadable::Broken("the seal of the frame is broken: it was changed, or belongs elsewhere"))?;
        out.truncate(out.len() - TAG);
        Ok(out)
    }
}

/// Room for a header, then the body that a packed one stands for.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, Unreadable> {
    const WRONG: Unreadable = Unreadable::Broken("the packed events cannot be unpacked");
    let Some((head, block)) = packed.split_at_checked(PACKED_HEAD) else { return Err(WRONG) };
    let length = u32_at(head, 0) as usize;
    // Never more memory than the bytes can stand for, whatever they say.
    if length > block.len().saturating_mul(MOST_RATIO) {
        return Err(WRONG);
    }
    let mut out = vec![0; FRAME_HEADER + length];
    match lz4_flex::block::decompress_into(block, &mut out[FRAME_HEADER..]) {
        Ok(unpacked) if unpacked == length => Ok(out),
        _ => Err(WRONG),
    }
}

#[cfg(test)]
pub(crate) mod tests;
