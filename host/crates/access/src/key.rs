//! The text of a key: `bhk_<id>_<secret>`, an id of 16 characters that may be shown and a secret of 64 that
//! may not. Both are letters and digits, so that a key survives shells, headers and configuration files.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

const PREFIX: &str = "bhk_";
const ID: usize = 16;
const SECRET: usize = 64;
/// Bytes of the whole text.
const LENGTH: usize = PREFIX.len() + ID + 1 + SECRET;
pub(crate) const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Names a key; 16 lower-case letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// Nothing for a text that is no id.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == ID && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        fits.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key with its secret; `Debug` shows the id alone.
pub struct ApiKey {
    id: KeyId,
    secret: SecretString,
}

impl ApiKey {
    /// A new key; fails only where the system has no random numbers.
    pub fn mint() -> Result<Self, getrandom::Error> {
        Ok(Self { id: KeyId(random(ID, &LETTERS[..36])?.into()), secret: random(SECRET, LETTERS)?.into() })
    }

    /// Another secret for a key that is there.
    pub fn renew(id: &KeyId) -> Result<Self, getrandom::Error> {
        Ok(Self { id: id.clone(), secret: random(SECRET, LETTERS)?.into() })
    }

    /// Nothing for a text that is no key, whatever it is.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let fits = secret.len() == SECRET && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Some(Self { id: KeyId::parse(id)?, secret: fits.then(|| secret.to_owned().into())? })
    }

    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The whole text, to be shown once.
    pub fn expose(&self) -> SecretString {
        format!("{PREFIX}{}_{}", self.id, self.secret.expose_secret()).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

/// Characters drawn evenly: bytes beyond the last whole multiple of the alphabet are thrown away.
pub(crate) fn random(count: usize, letters: &[u8]) -> Result<String, getrandom::Error> {
    let even = 256 / letters.len() * letters.len();
    let (mut text, mut bytes) = (String::with_capacity(count), [0; 64]);
    while text.len() < count {
        getrandom::fill(&mut bytes)?;
        let drawn = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < even);
        text.extend(drawn.map(|byte| char::from(letters[byte % letters.len()])).take(count - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_minted_reads_back_and_is_never_the_same() {
        let (one, other) = (ApiKey::mint().expect("random"), ApiKey::mint().expect("random"));
        let text = one.expose().expose_secret().to_owned();
        let read = ApiKey::parse(&text).expect("a key");
        assert_eq!((read.id(), read.expose().expose_secret()), (one.id(), text.as_str()));
        assert_ne!(one.id(), other.id());
        let renewed = ApiKey::renew(one.id()).expect("random");
        assert_eq!(renewed.id(), one.id());
        assert_ne!(renewed.expose().expose_secret(), text);
        assert_eq!(format!("{one:?}"), format!("ApiKey({})", one.id()));
    }

    #[test]
    fn what_is_no_key_is_none() {
        let text = ApiKey::mint().expect("random").expose().expose_secret().to_owned();
        let (head, secret) = text.split_at(PREFIX.len() + ID + 1);
        for bad in [
            String::new(),
            "bhk_".into(),
            text[..LENGTH - 1].into(),
            format!("{text}0"),
            format!("{text} "),
            text.replacen("bhk_", "bhx_", 1),
            text.to_uppercase(),
            format!("{head}{}_", &secret[..SECRET - 1]),
            format!("{head}{}ä", &secret[..SECRET - 2]),
            format!("bhk_{}_{secret}", "' OR '1'='1' -- "),
            format!("bhk_{}_{secret}", "../../etc/passwd"),
            format!("bhk_{}_{secret}", "ABCDEFGHIJKLMNOP"),
            "\0".repeat(LENGTH),
            "é".repeat(LENGTH),
            "x".repeat(1 << 20),
        ] {
            assert!(ApiKey::parse(&bad).is_none(), "{}", bad.escape_debug().take(100).collect::<String>());
        }
        for bad in ["", "short", "ABCDEFGHIJKLMNOP", "abcdefghijklmno\u{e9}", "abcdefghijklmnop1", "abcdefgh/jklmnop"] {
            assert_eq!(KeyId::parse(bad), None, "{bad}");
        }
    }
}
