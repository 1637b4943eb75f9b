//! The operator's keys.
//!
//! A key is 32 random bytes. It seals nothing itself: each purpose and each place has a key of its own
//! that is derived from it (HKDF-SHA256, RFC 5869), so that no key of AES-GCM comes near its limits and
//! nothing sealed for one place opens in another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use ring::aead::AES_256_GCM;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::hmac;
use secrecy::zeroize::Zeroizing;

use crate::cipher::Cipher;

const LENGTH: usize = 32;
/// Part of every derivation; another one would make other keys of the same bytes.
const CONTEXT: &[u8] = b"bulkhead keys 1";
/// Fewer different bytes than any 32 random ones have.
const LEAST_DIFFERENT: usize = 12;
const LENIENT: GeneralPurposeConfig = general_purpose::NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Names a key without saying anything else about it: 16 hexadecimal digits that follow from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 16 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(());
        }
        u64::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| ())
    }
}

/// Why a text is no key. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("a key is 32 random bytes in base64 or hexadecimal digits; `openssl rand -base64 32` makes one")]
    Form,
    #[error("the bytes of this key are not random; `openssl rand -base64 32` makes one that is")]
    Weak,
}

/// A key of the operator's.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    prk: Prk,
}

impl Key {
    /// Reads the 32 bytes in base64 (either alphabet, padded or not) or as 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let bytes = Zeroizing::new(decode(text.trim()).ok_or(KeyFault::Form)?);
        let mut seen = [false; 256];
        bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        if seen.iter().filter(|seen| **seen).count() < LEAST_DIFFERENT {
            return Err(KeyFault::Weak);
        }
        let prk = Salt::new(HKDF_SHA256, CONTEXT).extract(&*bytes);
        let mut id = [0; 8];
        prk.expand(&[b"id"], IdLength).and_then(|okm| okm.fill(&mut id)).expect("short enough for HKDF");
        Ok(Self { id: KeyId(id), prk })
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A key for HMAC-SHA256, for a purpose.
    pub(crate) fn mac(&self, purpose: &'static str) -> hmac::Key {
        self.prk.expand(&[purpose.as_bytes()], hmac::HMAC_SHA256).expect("short enough for HKDF").into()
    }

    /// The cipher for a purpose at a place of it.
    pub fn cipher(&self, purpose: &'static str, place: &[u8]) -> Cipher {
        Cipher::new(self.prk.expand(&[purpose.as_bytes(), &[0], place], &AES_256_GCM).expect("short enough for HKDF"))
    }
}

fn decode(text: &str) -> Option<[u8; LENGTH]> {
    if text.len() == 2 * LENGTH {
        let mut bytes = [0; LENGTH];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = (digit(digits[0])? << 4 | digit(digits[1])?) as u8;
        }
        return Some(bytes);
    }
    let alphabets = [&base64::alphabet::STANDARD, &base64::alphabet::URL_SAFE];
    let decoded = alphabets.into_iter().find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(text).ok());
    Zeroizing::new(decoded?).as_slice().try_into().ok()
}

struct IdLength;

impl KeyType for IdLength {
    fn len(&self) -> usize {
        8
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// The key that seals, and those that only open what was sealed before.
#[derive(Clone)]
pub struct Keyring(Arc<[Key]>);

impl Keyring {
    pub fn new(current: Key, older: impl IntoIterator<Item = Key>) -> Self {
        Self(std::iter::once(current).chain(older).collect())
    }

    pub fn current(&self) -> &Key {
        &self.0[0]
    }

    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }

    /// All of them, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.0.iter().map(|key| key.id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// What is done with event data on disk.
#[derive(Debug, Clone, Default)]
pub struct AtRest {
    /// Keys that open what is sealed.
    pub keyring: Option<Keyring>,
    /// Whether what is written is sealed, with the current key.
    pub seal: bool,
}

impl AtRest {
    /// The key that seals what is written.
    pub fn seals_with(&self) -> Option<&Key> {
        self.keyring.as_ref().filter(|_| self.seal).map(Keyring::current)
    }

    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.keyring.as_ref()?.get(id)
    }

    /// Those of `needed` that are not there.
    pub fn missing(&self, needed: impl IntoIterator<Item = KeyId>) -> Vec<KeyId> {
        needed.into_iter().filter(|id| self.get(*id).is_none()).collect()
    }
}

/// Words for keys that are missing.
pub fn missing(keys: &[KeyId]) -> String {
    let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let (noun, one) = if ids.len() == 1 { ("key", "no key of that id is") } else { ("keys", "not all keys of these ids are") };
    format!("{noun} {}, and {one} configured. Nothing was changed. Name what is missing as encryption.key or under encryption.older_keys", ids.join(", "))
}

#[cfg(test)]
mod tests;
