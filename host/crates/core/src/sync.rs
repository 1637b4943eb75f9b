//! A run of a pull connector as it is recorded, a "sync execution": from what set it off until nothing more is
//! there, or until it fails.

use std::sync::Arc;

use uuid::Uuid;

/// What set a run off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncTrigger {
    /// The start of the host, or of the pulling: the first of an interval, or one that was missed.
    Start,
    Scheduled,
    Manual,
    /// A subscription.
    Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncStatus {
    Running,
    Completed,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRun {
    pub id: Uuid,
    pub instance: Arc<str>,
    pub trigger: SyncTrigger,
    pub status: SyncStatus,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
    /// Pages that came, events of them that are in the journal, and records that were left out for being none.
    pub pages: u64,
    pub records: u64,
    pub left_out: u64,
    /// More than one where it was tried again and never got anywhere.
    pub attempts: u32,
    pub error: Option<String>,
    pub initiated_by: Arc<str>,
}

impl SyncTrigger {
    pub const ALL: [Self; 4] = [Self::Start, Self::Scheduled, Self::Manual, Self::Event];

    /// By somebody or something, not by the schedule.
    pub fn asked(self) -> bool {
        matches!(self, Self::Manual | Self::Event)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
            Self::Event => "event",
        }
    }
}

impl SyncStatus {
    pub const ALL: [Self; 3] = [Self::Running, Self::Completed, Self::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl SyncRun {
    /// One that begins; its id is of version 7 (RFC 9562).
    pub fn begin(instance: &Arc<str>, trigger: SyncTrigger, initiated_by: &str, started_ms: i64) -> Self {
        Self {
            id: Uuid::now_v7(),
            instance: Arc::clone(instance),
            trigger,
            status: SyncStatus::Running,
            started_ms,
            ended_ms: None,
            pages: 0,
            records: 0,
            left_out: 0,
            attempts: 1,
            error: None,
            initiated_by: initiated_by.into(),
        }
    }

    pub fn end(&mut self, status: SyncStatus, error: Option<String>, ended_ms: i64) {
        (self.status, self.error, self.ended_ms) = (status, error, Some(ended_ms));
    }
}
