//! Who may do what: permissions, the roles that carry them, the keys that prove a role, and how often
//! somebody may guess.
//!
//! Promises: a secret of a key leaves this room once, when it is minted; what is kept is its keyed hash,
//! found by the key's id and compared in constant time, so that neither the store nor a backup of it lets
//! anybody in without the pepper. Whoever shows a wrong secret learns nothing of the key: expiry,
//! revocation and networks are told only to somebody who has the secret. Refuses: HTTP, tables, clocks;
//! time is an argument.

mod allow;
mod guesses;
mod key;
mod keys;
mod pepper;
mod permission;
mod record;
mod role;

pub use allow::{Allow, AllowError, MOST_NETWORKS};
pub use guesses::{Guesses, MOST_SOURCES};
pub use key::{ApiKey, KeyId};
pub use keys::{Admitted, Denied, Keys, MOST_KEYS, Now, Room, SignIn};
pub use pepper::{KeyHash, Pepper, PepperError, SHORTEST_PEPPER};
pub use permission::{Permission, Permissions};
pub use record::{KeyRecord, Previous, Revoked, State};
pub use role::Role;

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For records: `key:<id>`, `token 1 of listen.api.tokens`, or whoever is on this machine.
    pub actor: String,
    pub permissions: Permissions,
}
