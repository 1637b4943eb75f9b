//! What was seen lately: keys, with a value each, for a time and up to a weight. Pure: time is an
//! argument.
//!
//! A key is claimed before the work that it stands for and kept once that is done, or forgotten where it
//! failed: what was refused is never taken for seen. The time of a key begins when it is kept; seeing it
//! again does not make it longer. Beyond the weight the oldest go before their time, and that is counted.
//! Claims weigh nothing: their number is that of the requests under way, which is bounded elsewhere.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// The first half of a SHA-256 over the parts of what is to be seen once: two that differ and share a
/// key are not to be found, whoever looks for them. The same in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; Self::BYTES]);

impl Key {
    pub const BYTES: usize = 16;

    /// The parts count with their lengths, so that no two lists of parts run together.
    pub fn of(parts: &[&[u8]]) -> Self {
        // In one piece where it is short, as it mostly is: that costs half of feeding the hash piece by piece.
        let mut short = [0; 256];
        let mut used = 0;
        let mut whole = true;
        for part in parts {
            let end = used + 4 + part.len();
            let Some(place) = short.get_mut(used..end) else {
                whole = false;
                break;
            };
            place[..4].copy_from_slice(&(part.len() as u32).to_le_bytes());
            place[4..].copy_from_slice(part);
            used = end;
        }
        let digest = if whole {
            Sha256::digest(&short[..used])
        } else {
            let mut hash = Sha256::new();
            for part in parts {
                hash.update((part.len() as u32).to_le_bytes());
                hash.update(part);
            }
            hash.finalize()
        };
        let mut key = [0; Self::BYTES];
        key.copy_from_slice(&digest[..Self::BYTES]);
        Self(key)
    }

    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim<'a, V> {
    /// Nothing: it is the caller's now, to be kept or forgotten.
    New,
    /// Somebody else has claimed it.
    UnderWay,
    Seen(&'a V),
}

/// Keys seen lately.
#[derive(Debug)]
pub struct Seen<V> {
    span: Duration,
    most: u64,
    weight: u64,
    keys: HashMap<Key, Entry<V>>,
    /// Kept keys in the order of their ends.
    order: VecDeque<Key>,
    last_end: u64,
    forgotten: u64,
}

/// Laid out to be small: there may be millions.
#[derive(Debug)]
struct Entry<V> {
    /// Nanoseconds.
    end: u64,
    weight: u32,
    /// Nothing while it is only claimed.
    kept: Option<V>,
}

impl<V> Entry<V> {
    fn claimed() -> Self {
        Self { end: u64::MAX, weight: 0, kept: None }
    }
}

impl<V> Seen<V> {
    /// Keys are kept for `span`, and together weigh no more than `most`.
    pub fn new(span: Duration, most: u64) -> Self {
        Self { span, most, weight: 0, keys: HashMap::new(), order: VecDeque::new(), last_end: 0, forgotten: 0 }
    }

    /// What is known of a key; where that is nothing, the caller has claimed it.
    pub fn claim(&mut self, key: Key, now: Duration) -> Claim<'_, V> {
        self.expire(now);
        match self.keys.entry(key) {
            Slot::Vacant(slot) => {
                slot.insert(Entry::claimed());
                Claim::New
            }
            Slot::Occupied(slot) => match &slot.into_mut().kept {
                None => Claim::UnderWay,
                Some(value) => Claim::Seen(value),
            },
        }
    }

    /// What a claimed key stands for is done.
    pub fn keep(&mut self, key: Key, value: V, weight: u32, now: Duration) {
        self.put(key, value, weight, now.saturating_add(self.span));
    }

    /// What a claimed key stands for failed: the next one may claim it.
    pub fn forget(&mut self, key: &Key) {
        if self.keys.get(key).is_some_and(|entry| entry.kept.is_none()) {
            self.keys.remove(key);
        }
    }

    /// Keeps a key of an earlier process, kept `age` ago; to be called with the oldest first.
    pub fn restore(&mut self, key: Key, value: V, weight: u32, age: Duration, now: Duration) {
        if let Some(left) = self.span.checked_sub(age).filter(|left| !left.is_zero()) {
            self.put(key, value, weight, now.saturating_add(left));
        }
    }

    /// Keys that are kept.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Keys that went before their time, for their weight, since this was last asked.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    fn put(&mut self, key: Key, value: V, weight: u32, end: Duration) {
        let entry = self.keys.entry(key).or_insert_with(Entry::claimed);
        if entry.kept.is_some() {
            return;
        }
        // Of an earlier process they come by its wall clock, which may have jumped.
        self.last_end = nanos(end).max(self.last_end);
        *entry = Entry { end: self.last_end, weight, kept: Some(value) };
        self.order.push_back(key);
        self.weight += u64::from(weight);
        while self.weight > self.most && self.drop_oldest() {
            self.forgotten += 1;
        }
    }

    fn expire(&mut self, now: Duration) {
        let now = nanos(now);
        while self.order.front().is_some_and(|key| self.keys.get(key).is_none_or(|entry| entry.end <= now)) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(key) = self.order.pop_front() else { return false };
        self.weight -= self.keys.remove(&key).map_or(0, |entry| u64::from(entry.weight));
        true
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
