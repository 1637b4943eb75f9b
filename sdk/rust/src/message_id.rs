//! Message ids: the same for the same event on every retry, and never with a `.`, which parts id,
//! time and body where Standard Webhooks signs.

use crate::batch::{Batch, Event, Field};

/// Longest id that is sent as it is.
const MAX_BYTES: usize = 128;

/// The id of an event by its `/source` and `/id`.
pub fn of(event: &Event<'_>, [source, id]: [Field; 2]) -> String {
    of_event(&event.get(source).text().unwrap_or_default(), &event.get(id).text().unwrap_or_default())
}

/// One id for a batch by the `/source` and `/id` of its events.
pub fn of_all(batch: &Batch<'_>, [source, id]: [Field; 2]) -> String {
    of_batch(batch.iter().map(|(_, event)| (event.get(source).text().unwrap_or_default(), event.get(id).text().unwrap_or_default())))
}

/// The event's own id where it is one that every receiver takes, else a text made from it. Ids are
/// unique only together with their source, which a receiver of one source need not see: ids that are
/// UUIDs or as long as one stand alone, shorter ones bring a digest of the source.
pub fn of_event(source: &[u8], id: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let clean = !id.is_empty() && id.len() <= MAX_BYTES && id.iter().all(plain);
    match std::str::from_utf8(id) {
        Ok(text) if clean && id.len() >= 32 => text.to_owned(),
        Ok(text) if clean => format!("{text}_{:016x}", digest(&[source])),
        _ => format!("evt_{:016x}{:016x}", digest(&[source, b"\0", id]), digest(&[id, b"\0", source])),
    }
}

/// One id for all events of a batch.
pub fn of_batch<T: AsRef<[u8]>>(events: impl Iterator<Item = (T, T)>) -> String {
    let (mut hash, mut count) = (OFFSET, 0_usize);
    for (source, id) in events {
        for part in [source.as_ref(), b"\0", id.as_ref(), b"\0"] {
            hash = fold(hash, part);
        }
        count += 1;
    }
    format!("batch_{count}_{hash:016x}")
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: it only has to tell ids apart, not to resist anyone.
fn fold(hash: u64, part: &[u8]) -> u64 {
    part.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn digest(parts: &[&[u8]]) -> u64 {
    parts.iter().fold(OFFSET, |hash, part| fold(hash, part))
}
