//! Sealing of definitions: nonce (random), text and tag, sealed with the entry's id and version, so that
//! none opens as another's, nor as an older one's.

use bulkhead_seal::{Cipher, Key, KeyId, Keyring, NONCE, random};
use serde_json::Value;

const PURPOSE: &str = "stored entries";

#[derive(Debug, Clone)]
pub(crate) struct EntryVault(Option<Keyring>);

impl EntryVault {
    pub fn new(keyring: Option<Keyring>) -> Self {
        Self(keyring)
    }

    pub fn seals(&self) -> bool {
        self.0.is_some()
    }

    pub fn current(&self) -> Option<KeyId> {
        self.0.as_ref().map(|keyring| keyring.current().id())
    }

    pub fn missing(&self, needed: impl Iterator<Item = KeyId>) -> Vec<KeyId> {
        needed.filter(|id| self.0.as_ref().and_then(|keyring| keyring.get(*id)).is_none()).collect()
    }

    pub fn seal(&self, id: &str, version: i64, definition: &Value) -> (Vec<u8>, Option<KeyId>) {
        let text = definition.to_string().into_bytes();
        let Some(key) = self.0.as_ref().map(Keyring::current) else { return (text, None) };
        let nonce: [u8; NONCE] = random();
        let mut out = nonce.to_vec();
        out.extend_from_slice(&text);
        let tag = cipher(key, id).seal(nonce, &place(id, version), &mut out[NONCE..]);
        out.extend_from_slice(&tag);
        (out, Some(key.id()))
    }

    /// Fails where the row was changed by anybody else: nothing is guessed about what it said.
    pub fn open(&self, key: Option<KeyId>, id: &str, version: i64, mut stored: Vec<u8>) -> Result<Value, sqlx::Error> {
        let broken = |what: &str| sqlx::Error::Decode(format!("entry {id}, version {version}: {what}").into());
        let text = match key {
            None => stored.as_slice(),
            Some(key) => {
                let key = self.0.as_ref().and_then(|keyring| keyring.get(key)).ok_or_else(|| broken("its key is not there"))?;
                let (nonce, text) = stored.split_first_chunk_mut::<NONCE>().ok_or_else(|| broken("its seal is broken"))?;
                cipher(key, id).open(*nonce, &place(id, version), text).map_err(|_| broken("its seal is broken: it was changed in the store"))?
            }
        };
        // No error of the parser: it would repeat what it read.
        serde_json::from_slice(text).map_err(|_| broken("it is no JSON"))
    }
}

/// Each entry has a key of its own, so that random nonces never come near their limit.
fn cipher(key: &Key, id: &str) -> Cipher {
    key.cipher(PURPOSE, id.as_bytes())
}

fn place(id: &str, version: i64) -> Vec<u8> {
    let mut place = version.to_le_bytes().to_vec();
    place.extend_from_slice(id.as_bytes());
    place
}
