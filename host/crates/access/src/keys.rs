//! The keys that are there, and the judgement over one that is shown. In memory as a whole, so that no
//! request waits for a table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bulkhead_core::{Tenant, TokenBucket};

use crate::Principal;
use crate::key::{ApiKey, KeyId};
use crate::pepper::{KeyHash, Pepper};
use crate::permission::Permission;
use crate::record::{KeyRecord, State};
use crate::role::Role;

/// Keys of one host, those that are revoked or expired among them.
pub const MOST_KEYS: usize = 1_000;
/// Keys of one tenant, and users of one.
pub const MOST_OF_TENANT: usize = 100;
/// A key that is used from changing places is on record this often.
const SIGN_INS: Duration = Duration::from_secs(60);

/// Both clocks: ends of lives go by the wall, rates by the other.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub unix_ms: i64,
    pub monotonic: Duration,
}

/// Why a key does not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No such key, or not its secret: which of both is not told.
    Unknown,
    /// The secret was right until a rotation.
    Replaced,
    Revoked,
    Expired,
    /// The key may not be used from there.
    Address,
    /// Beyond the key's rate, and for how long.
    Rate(Duration),
}

/// Somebody with a right key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    pub principal: Principal,
    /// News for the record: the first use since the start, or from another place.
    pub sign_in: Option<SignIn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    pub name: String,
    pub roles: Vec<Role>,
    /// Where it was used before, as far as that is known.
    pub before: Option<IpAddr>,
}

/// Room for one more key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    Free,
    /// Once this one is gone.
    After(KeyId),
    /// Every key is in use.
    Full,
}

struct Entry {
    record: KeyRecord,
    bucket: TokenBucket,
    /// Where the use came from that was put on record, and when.
    on_record: Option<(IpAddr, Duration)>,
    /// Its last use is not kept yet.
    unkept: bool,
}

/// All keys, found by their ids.
pub struct Keys {
    pepper: Pepper,
    by_id: HashMap<KeyId, Entry>,
}

impl Keys {
    pub fn new(pepper: Pepper, records: Vec<KeyRecord>) -> Self {
        let mut keys = Self { pepper, by_id: HashMap::with_capacity(records.len()) };
        records.into_iter().for_each(|record| keys.put(record));
        keys
    }

    pub fn hash(&self, key: &ApiKey) -> KeyHash {
        self.pepper.hash(key)
    }

    /// Mark of the pepper that the hashes are made with.
    pub fn mark(&self) -> [u8; 32] {
        self.pepper.mark()
    }

    /// Whether a key lets in now, from there.
    pub fn admit(&mut self, shown: &ApiKey, from: IpAddr, now: Now) -> Result<Admitted, Denied> {
        // Also for an id that is not there, so that the time does not tell.
        let hash = self.pepper.hash(shown);
        let entry = self.by_id.get_mut(shown.id()).ok_or(Denied::Unknown)?;
        let record = &mut entry.record;
        let current = record.hash.is(&hash);
        let previous = record.previous.filter(|previous| previous.hash.is(&hash));
        if !current {
            let previous = previous.ok_or(Denied::Unknown)?;
            if previous.until_ms <= now.unix_ms && record.revoked.is_none() {
                return Err(Denied::Replaced);
            }
        }
        match record.state(now.unix_ms) {
            State::Active => {}
            State::Revoked => return Err(Denied::Revoked),
            State::Expired => return Err(Denied::Expired),
        }
        if !record.allow.holds(from) {
            return Err(Denied::Address);
        }
        entry.bucket.take(now.monotonic).map_err(Denied::Rate)?;
        let before = record.used.map(|(_, from)| from);
        record.used = Some((now.unix_ms, from));
        entry.unkept = true;
        let told = entry.on_record.is_some_and(|(place, at)| place == from || now.monotonic.saturating_sub(at) < SIGN_INS);
        let sign_in = (!told).then(|| SignIn { name: record.name.clone(), roles: record.roles.clone(), before });
        if sign_in.is_some() {
            entry.on_record = Some((from, now.monotonic));
        }
        let principal = Principal { actor: format!("key:{}", record.id), permissions: Role::union(&record.roles), tenant: record.tenant.clone() };
        Ok(Admitted { principal, sign_in })
    }

    /// Adds a key, or puts it in the place of the one with its id.
    pub fn put(&mut self, record: KeyRecord) {
        match self.by_id.get_mut(&record.id) {
            Some(entry) => {
                // Used while the change was on its way to disk.
                let used = entry.record.used.max(record.used);
                entry.record = KeyRecord { used, ..record };
            }
            None => {
                let bucket = TokenBucket::per_second(record.rate.into());
                self.by_id.insert(record.id.clone(), Entry { record, bucket, on_record: None, unkept: false });
            }
        }
    }

    pub fn get(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.by_id.get(id).map(|entry| &entry.record)
    }

    /// All, the newest first.
    pub fn all(&self) -> Vec<&KeyRecord> {
        let mut all: Vec<&KeyRecord> = self.by_id.values().map(|entry| &entry.record).collect();
        all.sort_unstable_by(|a, b| (b.created_ms, &b.id).cmp(&(a.created_ms, &a.id)));
        all
    }

    /// Whether another key of this owner may come. Of those that do not let in any more the oldest dead goes first; one
    /// tenant takes no place from another.
    pub fn room(&self, tenant: Option<&Tenant>, now_ms: i64) -> Room {
        let of_owner = || self.by_id.values().map(|entry| &entry.record).filter(|record| tenant.is_none() || record.tenant.as_ref() == tenant);
        if self.by_id.len() < MOST_KEYS && (tenant.is_none() || of_owner().count() < MOST_OF_TENANT) {
            return Room::Free;
        }
        let records = of_owner();
        let dead = records.filter(|record| record.state(now_ms) != State::Active);
        let ended = |record: &&KeyRecord| record.revoked.as_ref().map_or(record.expires_ms, |revoked| revoked.at_ms);
        dead.min_by_key(ended).map_or(Room::Full, |record| Room::After(record.id.clone()))
    }

    pub fn remove(&mut self, id: &KeyId) {
        self.by_id.remove(id);
    }

    /// Whether somebody else could still give keys of the host out if this one went.
    pub fn another_admin(&self, without: &KeyId, now_ms: i64) -> bool {
        let admin =
            |record: &KeyRecord| record.tenant.is_none() && record.state(now_ms) == State::Active && Role::union(&record.roles).has(Permission::SystemAdmin);
        self.by_id.values().any(|entry| entry.record.id != *without && admin(&entry.record))
    }

    /// Uses that are not kept yet; they count as kept from now on.
    pub fn take_uses(&mut self) -> Vec<(KeyId, i64, IpAddr)> {
        let take = |entry: &mut Entry| {
            std::mem::take(&mut entry.unkept).then_some(entry.record.used).flatten().map(|(at_ms, from)| (entry.record.id.clone(), at_ms, from))
        };
        self.by_id.values_mut().filter_map(take).collect()
    }

    /// They were not kept after all.
    pub fn give_back_uses(&mut self, uses: &[(KeyId, i64, IpAddr)]) {
        for (id, ..) in uses {
            if let Some(entry) = self.by_id.get_mut(id) {
                entry.unkept = true;
            }
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("keys", &self.by_id.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
