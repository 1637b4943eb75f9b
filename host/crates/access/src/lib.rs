//! Who may do what: permissions, the roles that carry them, the keys that prove a role, people with their
//! passwords, codes and sessions, and how often somebody may guess.
//!
//! Promises: a secret of a key leaves this room once, when it is minted; what is kept is its keyed hash,
//! found by the key's id and compared in constant time, so that neither the store nor a backup of it lets
//! anybody in without the pepper. Passwords are kept as argon2id hashes, tokens of sessions as plain ones. Whoever shows a wrong secret learns nothing of the key: expiry,
//! revocation and networks are told only to somebody who has the secret. Refuses: HTTP, tables, clocks;
//! time is an argument.

mod allow;
mod claims;
mod guesses;
mod jwt;
mod key;
mod keys;
mod password;
mod pepper;
mod permission;
mod person;
mod record;
mod role;
mod scope;
mod session;
mod token;
mod totp;
mod user;

pub use allow::{Allow, AllowError, MOST_NETWORKS};
pub use claims::{RoleMap, RoleRow, SeveralTenants, claim_texts};
pub use guesses::{Guesses, MOST_SOURCES, Source};
pub use jwt::{JwtAlgorithm, JwtFault, JwtKeys, JwtRules, KeySetFault, MOST_TOKEN, check_token, looks_like_token};
pub use key::{ApiKey, KeyId};
pub use keys::{Admitted, Denied, Keys, MOST_KEYS, MOST_OF_TENANT, Now, Room, SignIn};
pub use password::{HashError, LONGEST_PASSWORD, PasswordFault, PasswordHash, SHORTEST_PASSWORD, check_password};
pub use pepper::{KeyHash, Pepper, PepperError, SHORTEST_PEPPER};
pub use permission::{Permission, Permissions};
pub use person::{DirectoryName, Granted, Person};
pub use record::{KeyRecord, Previous, Revoked, State};
pub use role::Role;
pub use scope::Scope;
pub use session::{Lives, MOST_OF_ONE, MOST_SESSIONS, Pair, Refreshed, Session, Sessions, TokenDenied};
pub use token::{AccessToken, RefreshToken, SessionId, TokenHash};
pub use totp::Totp;
pub use user::{MOST_USERS, User, UserName};

use bulkhead_core::Tenant;

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For records: `key:<id>`, `user:<name>`, `ldap:<name>`, `oidc:<name>`, `token 1 of listen.api.tokens`, or whoever is on
    /// this machine.
    pub actor: String,
    pub permissions: Permissions,
    /// Whose things they see and change; nothing: everybody's, for they are the host's own people.
    pub tenant: Option<Tenant>,
}

impl Principal {
    pub fn scope(&self) -> Scope {
        Scope::new(self.tenant.clone())
    }
}
