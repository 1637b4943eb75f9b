//! What delivery tells the host, so that it can become an event of its own. Texts here are for people and
//! carry no event.

use std::sync::Arc;

use bulkhead_core::LaneId;
use bulkhead_store::Cause;

use crate::breaker::BreakerState;
use crate::hold::HoldCause;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    Breaker {
        instance: Arc<str>,
        state: BreakerState,
    },
    /// The instance sends nothing until people act or a probe succeeds.
    Held {
        instance: Arc<str>,
        cause: HoldCause,
        reason: String,
    },
    Released {
        instance: Arc<str>,
        cause: HoldCause,
    },
    DeadLetters {
        lane: LaneId,
        cause: Cause,
        count: u64,
        /// Of them Bulkhead's own events.
        own: u64,
    },
    /// Letters were deleted by a rule that the operator set: `retention` or `drop_oldest`.
    DeadLettersDropped {
        by: &'static str,
        count: u64,
        /// Only Bulkhead's own events were in need of the room.
        own: bool,
    },
    /// The lane stopped because the dead letter store takes nothing more.
    DeadLettersFull {
        lane: LaneId,
    },
    /// It goes on.
    DeadLettersRoom {
        lane: LaneId,
    },
    /// Accepted events that the journal cannot read any more.
    Lost {
        lane: LaneId,
        first: u64,
        last: u64,
    },
}

/// Called on delivery's tasks; must not block.
pub type NoticeSink = Arc<dyn Fn(Notice) + Send + Sync>;
