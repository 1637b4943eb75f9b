//! How a lane's log lies on disk: `lanes/<name>.log`, slots of 40 bytes, little endian, appended.
//!
//! ```text
//! offset  size  field
//! 0       4     CRC-32C of the 36 bytes behind it
//! 4       4     kind: 1 header, 2 cursor, 3 settled, 4 retry
//! 8       8     header: magic "BHLANE1\n"   cursor: seq   settled: first   retry: seq
//! 16      8     settled: last               retry: wall time of the first attempt, ms
//! 24      8     retry: wall time of the next attempt, ms
//! 32      4     retry: attempts
//! 36      4     zero
//! ```
//! A log starts with a header and a cursor, then ranges and retries in any number and order: each
//! only adds to what was settled, so a slot that is damaged or torn costs a repetition and nothing
//! else. Without an intact cursor the lane's place is unknown, and that is an error for people.

use bulkhead_core::Seq;

use super::state::{LaneState, RetryEntry};
use crate::layout::{u32_at, u64_at};

pub(super) const SLOT: usize = 40;
const MAGIC: u64 = u64::from_le_bytes(*b"BHLANE1\n");

const HEADER: u32 = 1;
const CURSOR: u32 = 2;
const SETTLED: u32 = 3;
const RETRY: u32 = 4;

fn put(out: &mut Vec<u8>, kind: u32, a: u64, b: u64, c: u64, d: u32) {
    let mut slot = [0; SLOT];
    slot[4..8].copy_from_slice(&kind.to_le_bytes());
    slot[8..16].copy_from_slice(&a.to_le_bytes());
    slot[16..24].copy_from_slice(&b.to_le_bytes());
    slot[24..32].copy_from_slice(&c.to_le_bytes());
    slot[32..36].copy_from_slice(&d.to_le_bytes());
    let checksum = crc32c::crc32c(&slot[4..]);
    slot[..4].copy_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&slot);
}

pub(super) fn put_settled(out: &mut Vec<u8>, first: Seq, last: Seq) {
    put(out, SETTLED, first.0, last.0, 0, 0);
}

pub(super) fn put_retry(out: &mut Vec<u8>, seq: Seq, entry: &RetryEntry) {
    put(out, RETRY, seq.0, entry.first_ms, entry.due_ms, entry.attempts);
}

/// A whole log that says just this.
pub(super) fn snapshot(state: &LaneState) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, HEADER, MAGIC, 0, 0, 0);
    put(&mut out, CURSOR, state.cursor().0, 0, 0, 0);
    for (first, last) in state.settled_above() {
        put_settled(&mut out, first, last);
    }
    for (seq, entry) in state.retries() {
        put_retry(&mut out, seq, &entry);
    }
    out
}

/// A log that was read.
pub(super) struct Loaded {
    pub state: LaneState,
    /// Bytes that were no intact slot.
    pub damaged: u64,
}

pub(super) fn load(bytes: &[u8]) -> Result<Loaded, &'static str> {
    let (slots, rest) = bytes.as_chunks::<SLOT>();
    let mut damaged = rest.len() as u64;
    let mut state: Option<LaneState> = None;
    let mut known = true;
    for slot in slots {
        if crc32c::crc32c(&slot[4..]) != u32_at(slot, 0) {
            damaged += SLOT as u64;
            continue;
        }
        let (a, b) = (u64_at(slot, 8), u64_at(slot, 16));
        match (u32_at(slot, 4), &mut state) {
            (HEADER, _) => known &= a == MAGIC,
            (CURSOR, None) => state = Some(LaneState::at(Seq(a))),
            (CURSOR, Some(state)) => state.settle(Seq(1), Seq(a)),
            (SETTLED, Some(state)) => state.settle(Seq(a), Seq(b)),
            (RETRY, Some(state)) => state.retry(Seq(a), RetryEntry { attempts: u32_at(slot, 32), first_ms: b, due_ms: u64_at(slot, 24) }),
            (SETTLED | RETRY, None) => damaged += SLOT as u64,
            _ => known = false,
        }
    }
    match state {
        _ if !known => Err("it was written by another version of this program"),
        Some(state) => Ok(Loaded { state, damaged }),
        None if bytes.is_empty() => Err("the file is empty"),
        None => Err("no intact entry says where the lane stands"),
    }
}
