//! AES-256-GCM (NIST SP 800-38D) under one derived key.

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::Okm;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Length of a nonce. Who seals sees to it that none repeats under one cipher.
pub const NONCE: usize = 12;
/// Length of the tag behind what is sealed.
pub const TAG: usize = 16;

/// It was not sealed so: another key, other associated data, or bytes that were changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seal is broken")]
pub struct Broken;

pub struct Cipher(LessSafeKey);

impl Cipher {
    pub(crate) fn new(key: Okm<'_, &'static ring::aead::Algorithm>) -> Self {
        Self(LessSafeKey::new(UnboundKey::from(key)))
    }

    /// Seals in place; the tag goes behind. At most some 64 GiB, which no caller reaches.
    pub fn seal(&self, nonce: [u8; NONCE], associated: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let tag = self.0.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), text);
        let mut out = [0; TAG];
        out.copy_from_slice(tag.expect("shorter than what AES-GCM takes").as_ref());
        out
    }

    /// Opens text with its tag in place; the clear text is at the front of it.
    pub fn open<'t>(&self, nonce: [u8; NONCE], associated: &[u8], text: &'t mut [u8]) -> Result<&'t mut [u8], Broken> {
        self.0.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(associated), text).map_err(|_| Broken)
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

/// Bytes of the system's random source.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("a system without random numbers runs nothing");
    bytes
}
