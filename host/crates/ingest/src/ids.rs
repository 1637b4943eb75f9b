//! Identifiers for events that came without one: UUIDv7 (RFC 9562 §5.7).

use std::hash::{BuildHasher, RandomState};

use uuid::Uuid;

/// Makes identifiers: the time of receipt, a counter, and bits of a keyed hash that nobody outside
/// knows the key of. Two makers in one process have different keys.
#[derive(Debug)]
pub(crate) struct IdMaker {
    keys: RandomState,
    made: u64,
    given: Option<Uuid>,
}

impl IdMaker {
    pub(crate) fn new() -> Self {
        Self { keys: RandomState::new(), made: 0, given: None }
    }

    /// From now on this one and no other; `None` makes new ones again.
    pub(crate) fn give(&mut self, id: Option<Uuid>) {
        self.given = id;
    }

    /// The next identifier as text. Those of one maker and one time come in rising order until the
    /// 12 bits of the counter turn over.
    pub(crate) fn next<'b>(&mut self, unix_nanos: u64, buffer: &'b mut [u8; 36]) -> &'b str {
        if let Some(given) = self.given {
            return given.hyphenated().encode_lower(buffer);
        }
        self.made = self.made.wrapping_add(1);
        let mut random = [0; 10];
        // The version takes the upper half of the first byte, the variant two bits of the third.
        random[..2].copy_from_slice(&(self.made as u16 & 0x0fff).to_be_bytes());
        random[2..].copy_from_slice(&self.keys.hash_one((unix_nanos, self.made)).to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(unix_nanos / 1_000_000, &random).into_uuid().hyphenated().encode_lower(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_of_version_7_and_differ() {
        let (mut one, mut other) = (IdMaker::new(), IdMaker::new());
        let mut seen = std::collections::HashSet::new();
        let mut last = String::new();
        for _ in 0..2_000 {
            let mut buffer = [0; 36];
            let id = one.next(1_763_628_178_123_000_000, &mut buffer).to_owned();
            let parsed = uuid::Uuid::parse_str(&id).expect("a uuid");
            assert_eq!((parsed.get_version_num(), parsed.get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!(parsed.as_u128() >> 80, 1_763_628_178_123);
            assert!(id > last, "{id} after {last}");
            last.clone_from(&id);
            assert!(seen.insert(id) && seen.insert(other.next(1_763_628_178_123_000_000, &mut buffer).to_owned()));
        }
    }
}
