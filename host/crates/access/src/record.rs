//! What is kept of a key.

use std::net::IpAddr;

use bulkhead_core::Tenant;

use crate::allow::Allow;
use crate::key::KeyId;
use crate::pepper::KeyHash;
use crate::role::Role;

/// A key without its secret.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    pub id: KeyId,
    /// For people.
    pub name: String,
    pub roles: Vec<Role>,
    /// Whose it is; nothing: the host's.
    pub tenant: Option<Tenant>,
    pub hash: KeyHash,
    /// The secret before the last rotation.
    pub previous: Option<Previous>,
    pub allow: Allow,
    /// Requests a second; a second's worth may come at once.
    pub rate: u32,
    pub created_ms: i64,
    pub created_by: String,
    pub rotated_ms: Option<i64>,
    pub expires_ms: i64,
    pub revoked: Option<Revoked>,
    /// When, and from where; kept with some delay.
    pub used: Option<(i64, IpAddr)>,
    /// Somebody was told that it expires soon.
    pub reminded: bool,
}

/// A secret that was replaced and is let in for a while.
#[derive(Debug, Clone, Copy)]
pub struct Previous {
    pub hash: KeyHash,
    pub until_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    pub at_ms: i64,
    pub by: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Active,
    Expired,
    Revoked,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl KeyRecord {
    pub fn state(&self, now_ms: i64) -> State {
        if self.revoked.is_some() {
            State::Revoked
        } else if self.expires_ms <= now_ms {
            State::Expired
        } else {
            State::Active
        }
    }

    /// Puts another secret in its place. The old one is let in for `overlap_ms`, never for longer than the
    /// key was to live: a rotation does not bring an expired secret back.
    pub fn rotate(&mut self, hash: KeyHash, now_ms: i64, overlap_ms: i64, expires_ms: i64) {
        let until_ms = now_ms.saturating_add(overlap_ms).min(self.expires_ms);
        self.previous = (until_ms > now_ms).then_some(Previous { hash: self.hash, until_ms });
        (self.hash, self.rotated_ms, self.expires_ms, self.reminded) = (hash, Some(now_ms), expires_ms, false);
    }

    /// How long it was to live when its secret was made.
    pub fn lifetime_ms(&self) -> i64 {
        self.expires_ms - self.rotated_ms.unwrap_or(self.created_ms)
    }
}
