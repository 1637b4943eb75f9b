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
    match clean(id) {
        Some(text) if id.len() >= 32 => text.to_owned(),
        _ => of_event_and_source(source, id),
    }
}

/// Like [`of_event`], and different for each source whatever the id is: for stores that hold events of many.
pub fn of_event_and_source(source: &[u8], id: &[u8]) -> String {
    match clean(id) {
        Some(text) => format!("{text}_{:016x}", digest(&[source])),
        None => format!("evt_{:016x}{:016x}", digest(&[source, b"\0", id]), digest(&[id, b"\0", source])),
    }
}

/// An id that every receiver takes.
fn clean(id: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    std::str::from_utf8(id).ok().filter(|_| !id.is_empty() && id.len() <= MAX_BYTES && id.iter().all(plain))
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

#[cfg(test)]
mod tests {
    use super::{of_event, of_event_and_source};

    #[test]
    fn a_store_of_many_sources_tells_them_apart_whatever_the_id_is() {
        let uuid = b"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11";
        assert_eq!(of_event(b"a", uuid), of_event(b"b", uuid));
        for id in [&uuid[..], b"1", b"a b", b""] {
            assert_ne!(of_event_and_source(b"a", id), of_event_and_source(b"b", id));
        }
        assert_eq!(of_event_and_source(b"a", b"1"), of_event(b"a", b"1"));
    }
}
