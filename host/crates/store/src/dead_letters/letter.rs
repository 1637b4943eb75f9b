//! One dead letter, going in and coming out.

use bulkhead_core::{LaneId, Seq, Tenant};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

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
    /// The stored form of the event; only from `get`.
    pub event: Option<Vec<u8>>,
}

pub(super) const COLUMNS: &str =
    "id, instance, format, tenant, event_id, event_type, seq, cause, reason, attempts, attempt_log, received_ms, first_ms, last_ms, added_ms, connector, size";

pub(super) fn read(row: &SqliteRow) -> Result<DeadLetter, sqlx::Error> {
    let decode = |what: String| sqlx::Error::Decode(what.into());
    let cause: String = row.try_get("cause")?;
    let log: String = row.try_get("attempt_log")?;
    Ok(DeadLetter {
        id: row.try_get("id")?,
        lane: LaneId::new(row.try_get("instance")?, row.try_get("format")?),
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
        event: row.try_get("event")?,
    })
}
