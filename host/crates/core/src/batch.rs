//! Batches and outcomes as they cross the boundary to a guest; the shapes of `wit/types.wit`.

use std::time::Duration;

/// Events seen through a projection: one block of bytes and, per event and field, three numbers
/// (offset, length, kind).
#[derive(Debug, Clone, Default)]
pub struct EventBatch {
    pub count: u32,
    pub block: Vec<u8>,
    pub spans: Vec<u32>,
}

/// Formatted records: record `i` is `block[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordBatch {
    pub block: Vec<u8>,
    pub offsets: Vec<u32>,
}

impl RecordBatch {
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Record `i`; empty where out of range.
    pub fn get(&self, i: usize) -> &[u8] {
        match (self.offsets.get(i), self.offsets.get(i + 1)) {
            (Some(start), Some(end)) => self.block.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Checks what a guest returned: `count` records, offsets in order and within the block.
    pub fn check(&self, count: usize) -> Result<(), String> {
        if self.offsets.len() != count + 1 {
            return Err(format!("{} offsets for {count} records, expected {}", self.offsets.len(), count + 1));
        }
        if self.offsets.first() != Some(&0) || !self.offsets.is_sorted() || self.offsets.last().map(|end| *end as usize) != Some(self.block.len()) {
            return Err(format!("offsets do not divide the block of {} bytes", self.block.len()));
        }
        Ok(())
    }
}

/// Name and media type of what a formatter makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFormat {
    pub name: String,
    pub content_type: String,
}

/// An event that the formatter's own rules refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Place in the batch, from 0.
    pub event: u32,
    pub reason: String,
}

/// What `format` made: one record per event, empty where refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formatted {
    pub records: RecordBatch,
    pub refused: Vec<Refusal>,
}

/// What happened to one event at the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Accepted { receipt: Option<String> },
    Retry { after: Option<Duration> },
    Rejected { reason: String },
    Pending { token: String, poll_after: Duration },
}

/// One answer for all events of a batch, or one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    All(Outcome),
    Each(Vec<Outcome>),
}

/// A request to an inbound webhook, verified by the host.
#[derive(Clone, Default)]
pub struct Inbound {
    pub method: String,
    /// Path and query below the webhook's own address.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// The answer to one, checked: status, header fields that are not the host's, body; and events to take in,
/// each of which should be a JSON object.
#[derive(Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub events: RecordBatch,
}

/// What a pull brought: new events, each of which should be a JSON object, and where the next page begins.
#[derive(Clone, Default)]
pub struct Page {
    pub events: RecordBatch,
    pub cursor: Vec<u8>,
    /// Another page is there right now.
    pub more: bool,
}

/// A call that failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("configuration: {0}")]
    Configuration(String),
    #[error("unauthorized: {0}")]
    Unauthorized(String),
    #[error("unavailable: {reason}")]
    Unavailable { reason: String, after: Option<Duration> },
    #[error("too large for the receiver: {0}")]
    TooLarge(String),
    #[error("the connector does not offer this operation")]
    Unsupported,
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The word of the contract, as receipts and cases write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Configuration(_) => "configuration",
            Self::Unauthorized(_) => "unauthorized",
            Self::Unavailable { .. } => "unavailable",
            Self::TooLarge(_) => "too-large",
            Self::Unsupported => "unsupported",
            Self::Other(_) => "other",
        }
    }
}
