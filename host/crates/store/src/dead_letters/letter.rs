//! One dead letter, going in and coming out.

use bulkhead_core::{LaneId, Seq, Tenant};
use bulkhead_seal::KeyId;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::vault::Vault;

/// Longest reason kept, in bytes.
const MAX_REASON: usize = 4096;
/// What a row weighs beside the event and the reason, so that many small letters count too.
const ROW_BYTES: u64 = 512;

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Why an event became a dead letter; the names are part of the interface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause { $($(#[$doc])* $variant,)* }
        impl Cause {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
            pub fn from_name(name: &str) -> Option<Self> { match name { $($name => Some(Self::$variant),)* _ => None } }
        }
    };
}

causes! {
    /// The receiver will never take it.
    Rejected = "rejected";
    /// The retry budget is used up.
    RetriesExhausted = "retries-exhausted";
    /// Alone and still too large for the receiver.
    TooLarge = "too-large";
    /// Alone it broke a guest twice on fresh stores.
    GuestFault = "guest-fault";
    /// The formatter's own rules refuse it.
    FormatRefused = "format-refused";
    /// Older than the lane's `backlog.max_age`.
    BacklogAge = "backlog-age";
    /// Beyond the lane's `backlog.max_bytes`.
    BacklogSize = "backlog-size";
    /// The stored bytes are not an event any more.
    Corrupt = "corrupt";
}

impl Cause {
    /// Why in the coarse: `transient` may end by itself, `permanent` will not, `guest` is the connector's fault.
    pub fn class(self) -> &'static str {
        match self {
            Self::RetriesExhausted | Self::BacklogAge | Self::BacklogSize => "transient",
            Self::Rejected | Self::TooLarge | Self::FormatRefused | Self::Corrupt => "permanent",
            Self::GuestFault => "guest",
        }
    }

    /// The causes that a word stands for: one cause, or all of a class.
    pub fn named(word: &str) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|cause| cause.name() == word || cause.class() == word).collect()
    }
}

/// Where a letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing happens with it by itself, but for `dead_letters.retry`.
    Open,
    /// Its event is in the journal again, for its lane.
    Replaying,
    /// The lane is done with it; kept because it was edited.
    Delivered,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Open, Self::Replaying, Self::Delivered];

    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replaying => "replaying",
            Self::Delivered => "delivered",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// What came of it, one word: `retry`, `unavailable`, `unauthorized`, …
    pub code: String,
}

/// A letter to be added; borrows what the lane holds anyway.
#[derive(Debug, Clone)]
pub struct NewDeadLetter<'a> {
    pub lane: &'a LaneId,
    pub tenant: &'a Tenant,
    /// Whose the instance is; empty: the host's. With [`OWN`] in front where the event is of the host's own.
    pub owner: &'a str,
    pub event_id: &'a str,
    pub event_type: &'a str,
    pub seq: Seq,
    pub cause: Cause,
    /// Words for people; cut at 4 KiB.
    pub reason: &'a str,
    /// All attempts, more than the log lists where it was cut.
    pub attempts: u32,
    pub attempt_log: Vec<Attempt>,
    pub received_ms: i64,
    /// First and last attempt.
    pub first_ms: i64,
    pub last_ms: i64,
    pub added_ms: i64,
    /// Digest of the connector that tried.
    pub connector: &'a str,
    /// The stored form of the event.
    pub event: &'a [u8],
    /// The letter that the event was replayed from: it takes this one in.
    pub letter: Option<i64>,
}

/// Attempts listed for one letter: the first ones and the latest.
const KEPT_FIRST: usize = 4;
const KEPT_LAST: usize = 12;

/// What a letter lists once its event died again: in the middle the oldest go.
pub(super) fn merged(mut log: Vec<Attempt>, more: &[Attempt]) -> Vec<Attempt> {
    log.extend_from_slice(more);
    let excess = log.len().saturating_sub(KEPT_FIRST + KEPT_LAST);
    log.drain(KEPT_FIRST.min(log.len())..(KEPT_FIRST + excess).min(log.len()));
    log
}

impl NewDeadLetter<'_> {
    /// What it counts against `max_bytes`.
    pub fn size(&self) -> u64 {
        (self.event.len() + self.reason().len()) as u64 + ROW_BYTES
    }

    pub(super) fn reason(&self) -> &str {
        let mut end = self.reason.len().min(MAX_REASON);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        &self.reason[..end]
    }
}

/// A letter in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: i64,
    pub lane: LaneId,
    /// See [`NewDeadLetter::owner`].
    pub owner: String,
    pub tenant: String,
    pub event_id: String,
    pub event_type: String,
    pub seq: Seq,
    pub cause: Cause,
    pub reason: String,
    pub attempts: u32,
    pub attempt_log: Vec<Attempt>,
    pub received_ms: i64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub added_ms: i64,
    pub connector: String,
    /// Bytes it takes in the store.
    pub size: u64,
    pub state: State,
    /// Where in the journal the event was put the last time.
    pub replay_seq: Option<Seq>,
    /// How often it was handed back by hand, and by `dead_letters.retry`.
    pub replays: u32,
    pub retries: u32,
    pub edited_ms: Option<i64>,
    /// The stored form of the event; only from `get`.
    pub event: Option<Vec<u8>>,
    /// The event as it died, where `event` is an edited one; only from `get`.
    pub received: Option<Vec<u8>>,
}

/// Marks letters of the host's own events: they are shown to no tenant.
pub const OWN: char = '@';

impl DeadLetter {
    /// Whose the instance was when the event died; empty: the host's.
    pub fn owner(&self) -> &str {
        self.owner.trim_start_matches(OWN)
    }
}

pub(super) const COLUMNS: &str = "id, instance, format, owner, tenant, event_id, event_type, seq, cause, reason, attempts, attempt_log, received_ms, first_ms, last_ms, added_ms, connector, size, state, replay_seq, replays, retries, edited_ms, key";

pub(super) fn read(row: &SqliteRow, vault: &Vault) -> Result<DeadLetter, sqlx::Error> {
    let decode = |what: String| sqlx::Error::Decode(what.into());
    let cause: String = row.try_get("cause")?;
    let log: String = row.try_get("attempt_log")?;
    let mut letter = DeadLetter {
        id: row.try_get("id")?,
        lane: LaneId::new(row.try_get("instance")?, row.try_get("format")?),
        owner: row.try_get("owner")?,
        tenant: row.try_get("tenant")?,
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("event_type")?,
        seq: Seq(row.try_get::<i64, _>("seq")?.cast_unsigned()),
        cause: Cause::from_name(&cause).ok_or_else(|| decode(format!("unknown cause `{cause}`")))?,
        reason: row.try_get("reason")?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        attempt_log: serde_json::from_str(&log).map_err(|error| decode(format!("attempt log: {error}")))?,
        received_ms: row.try_get("received_ms")?,
        first_ms: row.try_get("first_ms")?,
        last_ms: row.try_get("last_ms")?,
        added_ms: row.try_get("added_ms")?,
        connector: row.try_get("connector")?,
        size: row.try_get::<i64, _>("size")?.cast_unsigned(),
        state: State::from_name(row.try_get("state")?).ok_or_else(|| decode("unknown state".into()))?,
        replay_seq: row.try_get::<Option<i64>, _>("replay_seq")?.map(|seq| Seq(seq.cast_unsigned())),
        replays: u32::try_from(row.try_get::<i64, _>("replays")?).unwrap_or(u32::MAX),
        retries: u32::try_from(row.try_get::<i64, _>("retries")?).unwrap_or(u32::MAX),
        edited_ms: row.try_get("edited_ms")?,
        event: row.try_get("event")?,
        received: row.try_get("received")?,
    };
    let key: Option<Vec<u8>> = row.try_get("key")?;
    if let Some(key) = key {
        let key = key.try_into().map(KeyId).map_err(|_| decode("the id of a key is cut short".into()))?;
        vault.open(key, &mut letter);
    }
    Ok(letter)
}
