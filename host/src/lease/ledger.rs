//! What a host knows of leases, and what it does about it. Pure: the table and the clock are arguments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_store::Lease;

#[derive(Debug)]
pub(super) struct Ledger {
    lease: Duration,
    /// Other hosts may be there.
    shared: bool,
    /// How often each is wanted.
    wanted: BTreeMap<Arc<str>, usize>,
    held: BTreeMap<Arc<str>, Held>,
    /// Of others, or free.
    seen: BTreeMap<Arc<str>, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    term: i64,
    /// When the last sign of life was sent that arrived.
    renewed: Duration,
}

#[derive(Debug)]
struct Seen {
    lease: Lease,
    /// Since when it is like this.
    since: Duration,
}

/// A lease to be taken, as it was seen.
pub(super) type Take = (Arc<str>, Option<Lease>);

impl Ledger {
    pub fn new(lease: Duration, shared: bool) -> Self {
        Self { lease, shared, wanted: BTreeMap::new(), held: BTreeMap::new(), seen: BTreeMap::new() }
    }

    pub fn want(&mut self, name: &Arc<str>) {
        *self.wanted.entry(Arc::clone(name)).or_default() += 1;
    }

    pub fn release(&mut self, name: &Arc<str>) {
        if let Some(times) = self.wanted.get_mut(name) {
            *times -= 1;
            if *times == 0 {
                self.wanted.remove(name);
            }
        }
    }

    /// The whole table after this host's sign of life, which was sent at `asked`. What is to be taken, and whether
    /// something that was held is not any more.
    pub fn look(&mut self, me: &str, table: BTreeMap<Arc<str>, Lease>, asked: Duration, now: Duration) -> (Vec<Take>, bool) {
        let mut moved = false;
        self.held.retain(|name, held| {
            let ours = table.get(name).is_some_and(|lease| lease.holder == me && lease.term == held.term);
            moved |= !ours;
            if ours {
                held.renewed = asked;
            }
            ours
        });
        let others = |(name, lease): (&Arc<str>, &Lease)| (!self.held.contains_key(name)).then(|| (Arc::clone(name), lease.clone()));
        let seen: Vec<_> = table.iter().filter_map(others).collect();
        let mut before = std::mem::take(&mut self.seen);
        for (name, lease) in seen {
            let since = before.remove(&name).filter(|before| before.lease == lease).map_or(now, |before| before.since);
            self.seen.insert(name, Seen { lease, since });
        }
        let free = |name: &&Arc<str>| match self.seen.get(*name) {
            None => true,
            // Ours in name only: taken, and the answer was lost.
            Some(Seen { lease, .. }) if !self.shared || lease.holder.is_empty() || lease.holder == me => true,
            Some(Seen { since, .. }) => now.saturating_sub(*since) >= self.lease,
        };
        let takes = self.wanted.keys().filter(|name| !self.held.contains_key(*name)).filter(free);
        (takes.map(|name| (Arc::clone(name), self.seen.get(name).map(|seen| seen.lease.clone()))).collect(), moved)
    }

    pub fn took(&mut self, name: &Arc<str>, term: i64, asked: Duration) {
        self.seen.remove(name);
        self.held.insert(Arc::clone(name), Held { term, renewed: asked });
    }

    /// Wanted no more, and held, or ours in name only, for the table could not be told so before; they are not held from
    /// now on.
    pub fn given_up(&mut self, me: &str) -> Vec<Arc<str>> {
        let in_name = self.seen.iter().filter(|(_, seen)| seen.lease.holder == me).map(|(name, _)| name);
        let gone: Vec<Arc<str>> = self.held.keys().chain(in_name).filter(|name| !self.wanted.contains_key(*name)).cloned().collect();
        self.held.retain(|name, _| !gone.contains(name));
        gone
    }

    pub fn all_held(&self) -> Vec<Arc<str>> {
        self.held.keys().cloned().collect()
    }

    /// The term in which this host holds a lease: well before another one could take it.
    pub fn term(&self, name: &str, now: Duration) -> Option<i64> {
        let held = self.held.get(name)?;
        let good = !self.shared || now.saturating_sub(held.renewed) < self.lease * 2 / 3;
        good.then_some(held.term)
    }

    pub fn elsewhere(&self, name: &str, me: &str) -> Option<String> {
        let holder = &self.seen.get(name).filter(|_| self.shared)?.lease.holder;
        (!holder.is_empty() && holder != me).then(|| holder.clone())
    }
}

#[cfg(test)]
mod tests;
