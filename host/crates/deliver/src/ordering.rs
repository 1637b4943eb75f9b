//! Which events may be under way together.
//!
//! * `none`: all of them.
//! * `key`: of one key, the events of one batch. The key is the event's `subject`, where it has none its
//!   `source`. A later event of a key waits until the earlier ones are delivered or dead letters.
//! * `strict`: one batch, and nothing overtakes what is to be tried again.
//!
//! Within a batch the order is the journal's; what a receiver does with the rest of a batch of which it
//! refused a part is its own affair. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use bulkhead_core::{Attr, EventRef};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ordering {
    #[default]
    None,
    Key,
    Strict,
}

/// Keys under way and what waits for them. `T` is what is parked.
#[derive(Debug)]
pub struct Keys<T> {
    /// Keyed at random: a sender must not be able to choose keys that collide.
    hasher: RandomState,
    busy: HashMap<u64, Busy>,
    parked: HashMap<u64, VecDeque<T>>,
    /// Parked events whose key came free, in order.
    freed: VecDeque<(u64, T)>,
    waiting: usize,
}

#[derive(Debug, Clone, Copy)]
struct Busy {
    events: u32,
    /// The batch that may still take more events of this key; 0 where none may.
    batch: u64,
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), busy: HashMap::new(), parked: HashMap::new(), freed: VecDeque::new(), waiting: 0 }
    }
}

impl<T> Keys<T> {
    /// The key of an event. Two keys with one hash only wait for each other.
    pub fn key(&self, event: &EventRef<'_>) -> u64 {
        self.hasher.hash_one(event.attr(Attr::Subject).or_else(|| event.attr(Attr::Source)).map(|value| value.raw).unwrap_or_default())
    }

    /// Takes the event into the batch, or says that it must wait.
    pub fn enter(&mut self, key: u64, batch: u64) -> bool {
        if self.parked.contains_key(&key) || self.freed.iter().any(|(freed, _)| *freed == key) {
            return false;
        }
        self.take(key, batch)
    }

    /// Sets an event aside that may not enter.
    pub fn park(&mut self, key: u64, item: T) {
        self.waiting += 1;
        self.parked.entry(key).or_default().push_back(item);
    }

    /// The next parked event whose key is free, already taken into the batch.
    pub fn unpark(&mut self, batch: u64) -> Option<(u64, T)> {
        // A key that came free is busy again once the first of its events left in an earlier batch.
        let free = |keys: &Self, key: u64| keys.busy.get(&key).is_none_or(|busy| busy.events == 0 || busy.batch == batch);
        let at = self.freed.iter().position(|(key, _)| free(self, *key))?;
        let (key, item) = self.freed.remove(at)?;
        self.take(key, batch);
        self.waiting -= 1;
        Some((key, item))
    }

    /// An event that is under way without a batch: it waits for its retry.
    pub fn hold(&mut self, key: u64) {
        self.busy.entry(key).or_insert(Busy { events: 0, batch: 0 }).events += 1;
    }

    /// The batch has gone: no later event may join those of its keys.
    pub fn close(&mut self, key: u64) {
        if let Some(busy) = self.busy.get_mut(&key) {
            busy.batch = 0;
        }
    }

    /// One event of the key is settled.
    pub fn release(&mut self, key: u64) {
        let Some(busy) = self.busy.get_mut(&key) else { return };
        busy.events = busy.events.saturating_sub(1);
        if busy.events == 0 {
            self.busy.remove(&key);
            self.freed.extend(self.parked.remove(&key).into_iter().flatten().map(|item| (key, item)));
        }
    }

    /// Parked events, for the bound on them.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    fn take(&mut self, key: u64, batch: u64) -> bool {
        let busy = self.busy.entry(key).or_insert(Busy { events: 0, batch });
        if busy.events > 0 && busy.batch != batch {
            return false;
        }
        busy.events += 1;
        busy.batch = batch;
        true
    }
}

#[cfg(test)]
mod tests;
