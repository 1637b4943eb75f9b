//! People who sign in with a password of this host.

use std::fmt;
use std::net::IpAddr;

use bulkhead_core::Tenant;

use crate::password::PasswordHash;
use crate::role::Role;
use crate::totp::Totp;

/// Users of one host.
pub const MOST_USERS: usize = 1_000;
const LONGEST_NAME: usize = 64;

/// Who somebody says they are: 1 to 64 letters, digits, `.`, `_`, `-`, `@`, beginning with a letter or digit. `Ada`
/// and `ada` are one; what is kept and shown is `ada`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Box<str>);

impl UserName {
    pub const RULE: &'static str = "1 to 64 letters, digits, `.`, `_`, `-`, `@`, beginning with a letter or digit; upper case counts as lower case";

    /// Nothing for a text that is no name.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=LONGEST_NAME).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte));
        fits.then(|| Self(text.to_ascii_lowercase().into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For records.
    pub fn actor(&self) -> String {
        format!("user:{}", self.0)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is kept of a user.
#[derive(Debug, Clone)]
pub struct User {
    /// Another one after a user was removed and made again: no secret of the one before counts for it.
    pub id: String,
    pub name: UserName,
    pub roles: Vec<Role>,
    /// Whose they are; nothing: the host's. It stays.
    pub tenant: Option<Tenant>,
    pub password: PasswordHash,
    pub enabled: bool,
    /// The second factor, and the last step of it that let in.
    pub totp: Option<Totp>,
    pub totp_step: Option<u64>,
    pub created_ms: i64,
    pub created_by: String,
    pub changed_ms: i64,
    pub changed_by: String,
    /// The last sign-in, and where from.
    pub signed_in: Option<(i64, IpAddr)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_of_one_case() {
        assert_eq!(UserName::parse("Ada.Lovelace@Example.org").map(|name| name.to_string()), Some("ada.lovelace@example.org".into()));
        assert_eq!(UserName::parse(&"a".repeat(64)).map(|name| name.as_str().len()), Some(64));
        for bad in ["", ".ada", "@", "ada lovelace", "ada:x", "ada/../root", "ad\u{e4}", "a\0", "a\n", "*)(uid=*", &"a".repeat(65)] {
            assert_eq!(UserName::parse(bad), None, "{bad:?}");
        }
    }
}
