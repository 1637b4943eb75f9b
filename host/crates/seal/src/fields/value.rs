//! A sealed value as text: `bhs1:<id of the key>:<period>:<nonce, JSON text and tag in base64url>`.
//!
//! * The period is the second since 1970 at which the time of the key's use began: each has a key of its
//!   own, derived from the operator's. It is that of the event's receipt, so that sealing again gives the
//!   same text.
//! * The nonce is a keyed digest of event id, pointer and value: the same only where all three are.
//! * The event's id and the pointer of the rule are sealed with it.
//! * What is sealed is the value's JSON text, so that a number opens as that number.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;

use crate::cipher::{Cipher, NONCE, TAG};
use crate::key::{Key, KeyId, Keyring};

const PREFIX: &str = "bhs1:";
const PURPOSE: &str = "fields";
/// Length of a key's id as text.
const ID: usize = 16;

#[derive(Debug)]
pub(super) struct Sealer {
    key: Key,
    every: u64,
    nonces: hmac::Key,
    /// Of the period that was sealed for last.
    recent: Mutex<Option<(u64, Arc<Cipher>)>>,
}

impl Sealer {
    pub fn new(key: &Key, every: u64) -> Self {
        Self { key: key.clone(), every: every.max(1), nonces: key.mac("nonces of fields"), recent: Mutex::default() }
    }

    /// Seals a value of an event that came in at `received`, in nanoseconds since 1970.
    pub fn seal(&self, id: &str, pointer: &str, json: &[u8], received: u64) -> String {
        let seconds = received / 1_000_000_000;
        let period = seconds - seconds % self.every;
        let associated = associated(id, pointer);
        let mut digest = hmac::Context::with_key(&self.nonces);
        digest.update(&period.to_le_bytes());
        digest.update(&associated);
        digest.update(json);
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&digest.sign().as_ref()[..NONCE]);
        let mut sealed = Vec::with_capacity(NONCE + json.len() + TAG);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(json);
        let tag = self.cipher(period).seal(nonce, &associated, &mut sealed[NONCE..]);
        sealed.extend_from_slice(&tag);
        format!("{PREFIX}{}:{period}:{}", self.key.id(), BASE64.encode(sealed))
    }

    fn cipher(&self, period: u64) -> Arc<Cipher> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, cipher)) = &*recent
            && *known == period
        {
            return Arc::clone(cipher);
        }
        let cipher = Arc::new(cipher(&self.key, period));
        *recent = Some((period, Arc::clone(&cipher)));
        cipher
    }
}

fn cipher(key: &Key, period: u64) -> Cipher {
    key.cipher(PURPOSE, &period.to_le_bytes())
}

fn associated(id: &str, pointer: &str) -> Vec<u8> {
    let mut out = (id.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(pointer.as_bytes());
    out
}

/// Why a text cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    #[error("not a sealed value, or cut short")]
    Form,
    #[error("it is sealed with key {0}, which is not configured")]
    Key(KeyId),
    #[error("it was sealed for another event or another pointer, or it was changed")]
    Broken,
}

/// The JSON text that a sealed value stands for.
pub fn open_value(keys: &Keyring, text: &str, id: &str, pointer: &str) -> Result<String, OpenFault> {
    let mut parts = text.strip_prefix(PREFIX).ok_or(OpenFault::Form)?.splitn(3, ':');
    let mut part = || parts.next().ok_or(OpenFault::Form);
    let key: KeyId = part()?.parse().map_err(|()| OpenFault::Form)?;
    let period: u64 = part()?.parse().map_err(|_| OpenFault::Form)?;
    let mut sealed = BASE64.decode(part()?).map_err(|_| OpenFault::Form)?;
    let (nonce, text) = sealed.split_first_chunk_mut::<NONCE>().ok_or(OpenFault::Form)?;
    let key = keys.get(key).ok_or(OpenFault::Key(key))?;
    let opened = cipher(key, period).open(*nonce, &associated(id, pointer), text).map_err(|_| OpenFault::Broken)?;
    String::from_utf8(opened.to_vec()).map_err(|_| OpenFault::Broken)
}

/// The places of sealed values in a text, in order.
pub fn sealed_values(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(PREFIX).map(|start| start + at) {
        let head = start + PREFIX.len();
        at = head;
        let bytes = text.as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if bytes.get(head + ID) != Some(&b':') {
            continue;
        }
        let period = digits(head + ID + 1);
        let body = head + ID + 1 + period + 1;
        if period == 0 || bytes.get(body - 1) != Some(&b':') {
            continue;
        }
        let length = bytes[body..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).count();
        found.push(start..body + length);
        at = body + length;
    }
    found
}
