//! Sealing of what a letter holds of its event: the event itself, and the reason, in which receivers like
//! to repeat it. Ids, types, lanes, causes and times stay readable: letters are found by them.
//!
//! Event, the event before an edit, and reason are each nonce (random), text and tag, sealed with the letter's lane, place and event
//! id, so that none opens as another's; the reason in base64, since its column is text.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bulkhead_core::{LaneId, Seq};
use bulkhead_seal::{AtRest, Cipher, Key, KeyId, NONCE, random};
use sqlx::Row;

use super::letter::{DeadLetter, NewDeadLetter};
use crate::error::{StoreError, failed};
use crate::store::Store;

const PURPOSE: &str = "dead letters";
/// In place of a reason that cannot be opened.
const BROKEN: &str = "(the seal of this letter is broken: it was changed in the store)";

#[derive(Debug)]
pub(crate) struct Vault(AtRest);

/// What of a letter may be sealed, and which letter it is.
pub(super) struct Parts<'a> {
    pub lane: &'a LaneId,
    pub seq: Seq,
    pub event_id: &'a str,
    pub reason: &'a str,
    pub event: &'a [u8],
    /// The event as it died, where `event` is an edited one.
    pub received: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    pub fn of(letter: &'a NewDeadLetter<'_>) -> Self {
        Self { lane: letter.lane, seq: letter.seq, event_id: letter.event_id, reason: letter.reason(), event: letter.event, received: None }
    }
}

/// The same as the store keeps it.
pub(super) struct Sealed<'a> {
    pub reason: Cow<'a, str>,
    pub event: Cow<'a, [u8]>,
    pub received: Option<Cow<'a, [u8]>>,
    pub key: Option<KeyId>,
}

impl Vault {
    pub fn new(at_rest: AtRest) -> Self {
        Self(at_rest)
    }

    /// Every letter can be opened.
    pub(super) async fn check(&self, store: &Store) -> Result<(), StoreError> {
        let fail = || failed("reading the keys of dead letters");
        let rows = sqlx::query("SELECT DISTINCT key FROM dead_letters WHERE key IS NOT NULL").fetch_all(&store.read).await.map_err(fail())?;
        let ids = rows.iter().map(|row| row.try_get::<Vec<u8>, _>(0)).collect::<Result<Vec<_>, _>>().map_err(fail())?;
        let missing = self.0.missing(ids.into_iter().filter_map(|id| id.try_into().ok()).map(KeyId));
        if missing.is_empty() { Ok(()) } else { Err(StoreError::KeyMissing { what: "the events of dead letters", missing }) }
    }

    pub(super) fn seal<'a>(&self, parts: &Parts<'a>) -> Sealed<'a> {
        let Some(key) = self.0.seals_with() else {
            return Sealed { reason: parts.reason.into(), event: parts.event.into(), received: parts.received.map(Cow::from), key: None };
        };
        let cipher = cipher(key, parts.lane, parts.seq, parts.event_id);
        let seal = |part: &str, text: &[u8]| {
            let nonce: [u8; NONCE] = random();
            let mut out = nonce.to_vec();
            out.extend_from_slice(text);
            let tag = cipher.seal(nonce, &place(part, parts.lane, parts.seq, parts.event_id), &mut out[NONCE..]);
            out.extend_from_slice(&tag);
            out
        };
        Sealed {
            reason: BASE64.encode(seal("reason", parts.reason.as_bytes())).into(),
            event: seal("event", parts.event).into(),
            received: parts.received.map(|received| seal("received", received).into()),
            key: Some(key.id()),
        }
    }

    /// What does not open is not there: the event, and words in place of the reason.
    pub(super) fn open(&self, key: KeyId, letter: &mut DeadLetter) {
        let cipher = self.0.get(key).map(|key| cipher(key, &letter.lane, letter.seq, &letter.event_id));
        let open = |part: &str, sealed: &[u8]| {
            let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
            let mut text = text.to_vec();
            let opened = cipher.as_ref()?.open(*nonce, &place(part, &letter.lane, letter.seq, &letter.event_id), &mut text).ok()?;
            Some(opened.to_vec())
        };
        let reason = BASE64.decode(&letter.reason).ok().and_then(|sealed| open("reason", &sealed)).and_then(|reason| String::from_utf8(reason).ok());
        let event = letter.event.as_deref().and_then(|sealed| open("event", sealed));
        let received = letter.received.as_deref().and_then(|sealed| open("received", sealed));
        letter.reason = reason.unwrap_or_else(|| BROKEN.into());
        letter.event = event;
        letter.received = received;
    }
}

/// Each letter has a key of its own, so that random nonces never come near their limit.
fn cipher(key: &Key, lane: &LaneId, seq: Seq, event_id: &str) -> Cipher {
    key.cipher(PURPOSE, &place("", lane, seq, event_id))
}

/// Which letter, and which part of it: no part can be read as another.
fn place(part: &str, lane: &LaneId, seq: Seq, event_id: &str) -> Vec<u8> {
    let mut place = seq.0.to_le_bytes().to_vec();
    for text in [part, &*lane.instance, &*lane.format, event_id] {
        place.extend_from_slice(&(text.len() as u64).to_le_bytes());
        place.extend_from_slice(text.as_bytes());
    }
    place
}
