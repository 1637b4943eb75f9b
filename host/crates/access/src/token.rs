//! The texts of a session's tokens: `bha_<id>_<secret>` lets in for minutes, `bhr_<id>_<secret>` brings the next pair.
//!
//! Both are random and mean nothing by themselves: what they stand for is looked up, so a session that is ended
//! has ended at once, everywhere. What is kept is a plain hash: with some 380 random bits there is nothing to guess.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::key::{LETTERS, random};

const ID: usize = 16;
const PART: usize = 64;

/// What names a session; 16 lower-case letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Box<str>);

impl SessionId {
    pub fn mint() -> Result<Self, getrandom::Error> {
        random(ID, &LETTERS[..36]).map(|text| Self(text.into()))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == ID && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        fits.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What is kept of a secret.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    pub fn kept(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// In constant time.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// Lets in.
pub struct AccessToken {
    id: SessionId,
    secret: SecretString,
}

/// Brings the next pair, once. It has two secrets: one stays for as long as the session does, the other is exchanged each
/// time. Whoever shows the first with an old second one holds a token that was used before.
pub struct RefreshToken {
    id: SessionId,
    chain: SecretString,
    turn: SecretString,
}

impl AccessToken {
    pub const PREFIX: &'static str = "bha_";

    pub fn mint(id: &SessionId) -> Result<Self, getrandom::Error> {
        Ok(Self { id: id.clone(), secret: random(PART, LETTERS)?.into() })
    }

    /// Nothing for a text that is none, whatever it is.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = parts(text, Self::PREFIX, PART)?;
        Some(Self { id, secret: secret.to_owned().into() })
    }

    pub fn id(&self) -> &SessionId {
        &self.id
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.secret.expose_secret())
    }

    /// The whole text, to be shown once.
    pub fn expose(&self) -> SecretString {
        format!("{}{}_{}", Self::PREFIX, self.id, self.secret.expose_secret()).into()
    }
}

impl RefreshToken {
    pub const PREFIX: &'static str = "bhr_";

    /// The first of a session.
    pub fn mint(id: &SessionId) -> Result<Self, getrandom::Error> {
        Ok(Self { id: id.clone(), chain: random(PART, LETTERS)?.into(), turn: random(PART, LETTERS)?.into() })
    }

    /// The one that takes this one's place.
    pub fn next(&self) -> Result<Self, getrandom::Error> {
        Ok(Self { id: self.id.clone(), chain: self.chain.clone(), turn: random(PART, LETTERS)?.into() })
    }

    /// Nothing for a text that is none, whatever it is.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = parts(text, Self::PREFIX, 2 * PART)?;
        let (chain, turn) = secret.split_at(PART);
        Some(Self { id, chain: chain.to_owned().into(), turn: turn.to_owned().into() })
    }

    pub fn id(&self) -> &SessionId {
        &self.id
    }

    pub fn chain(&self) -> TokenHash {
        TokenHash::of(self.chain.expose_secret())
    }

    pub fn turn(&self) -> TokenHash {
        TokenHash::of(self.turn.expose_secret())
    }

    /// The whole text, to be shown once.
    pub fn expose(&self) -> SecretString {
        format!("{}{}_{}{}", Self::PREFIX, self.id, self.chain.expose_secret(), self.turn.expose_secret()).into()
    }
}

/// Id and secret; the secret is ASCII.
fn parts<'t>(text: &'t str, prefix: &str, length: usize) -> Option<(SessionId, &'t str)> {
    if text.len() != prefix.len() + ID + 1 + length {
        return None;
    }
    let (id, secret) = text.strip_prefix(prefix)?.split_once('_')?;
    let fits = secret.len() == length && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Some((SessionId::parse(id)?, fits.then_some(secret)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_minted_reads_back() {
        let id = SessionId::mint().expect("random");
        let (access, refresh) = (AccessToken::mint(&id).expect("random"), RefreshToken::mint(&id).expect("random"));
        let read = AccessToken::parse(access.expose().expose_secret()).expect("a token");
        assert!(read.id() == &id && read.hash().is(&access.hash()));
        let read = RefreshToken::parse(refresh.expose().expose_secret()).expect("a token");
        assert!(read.id() == &id && read.chain().is(&refresh.chain()) && read.turn().is(&refresh.turn()));
        let next = refresh.next().expect("random");
        assert!(next.chain().is(&refresh.chain()) && !next.turn().is(&refresh.turn()));
    }

    #[test]
    fn what_is_none_is_none() {
        let id = SessionId::mint().expect("random");
        let access = AccessToken::mint(&id).expect("random").expose().expose_secret().to_owned();
        let refresh = RefreshToken::mint(&id).expect("random").expose().expose_secret().to_owned();
        assert!(AccessToken::parse(&refresh).is_none() && RefreshToken::parse(&access).is_none());
        for bad in [String::new(), access[..84].into(), format!("{access}0"), access.to_uppercase(), access.replace("bha_", "bhk_"), "é".repeat(50)] {
            assert!(AccessToken::parse(&bad).is_none() && RefreshToken::parse(&bad).is_none(), "{bad}");
        }
        assert!(AccessToken::parse(&format!("bha_{}_{}", "../../etc/passwd", "a".repeat(64))).is_none());
    }
}
