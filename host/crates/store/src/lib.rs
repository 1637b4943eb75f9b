//! The store: what is not on the hot path and must survive. SQLite in `data_dir/bulkhead.db`, write-ahead log,
//! synced at every commit; what a team shares lies in PostgreSQL instead where one is named.
//!
//! Promises: a call that returned `Ok` is on disk; tables move forward by numbered migrations and a file
//! of a newer release is refused, never guessed at; a dead letter is only ever deleted by an operator's
//! command or an operator's explicit setting. Refuses: unbounded growth (every table has a limit) and
//! knowledge of events beyond the columns it is given.

mod api_answers;
mod api_keys;
mod changes;
mod connector_state;
mod copy;
mod cursors;
mod database;
mod dead_letters;
mod entries;
mod error;
mod event_index;
mod inactive;
mod lane_replays;
mod leases;
mod logs;
mod owners;
mod people;
mod periods;
mod refresh_tokens;
mod store;
mod sync_executions;
mod wanted_runs;
mod webhooks;

pub use api_answers::{ApiAnswers, KeptAnswer};
pub use api_keys::ApiKeys;
pub use changes::{Changes, Generations, Topic};
pub use connector_state::{ConnectorState, StateError, StateLimits};
pub use copy::{Copied, CopyError, copy};
pub use cursors::PullCursors;
pub use database::{Database, FromColumn, PostgresSettings, PostgresTls, Row, Tx, UrlError, Value};
pub use dead_letters::{
    Added, Attempt, By, Cause, DeadLetter, DeadLetterFilter, DeadLetterSettings, DeadLetters, Edited, Expired, NewDeadLetter, OWN, OnFull, Replaying, State,
    Totals,
};
pub use entries::{Entries, Entry, KEPT_VERSIONS, Raced, Version};
pub use error::{StoreError, is_unavailable};
pub use event_index::{EventFilter, EventIndex, IndexPosition, IndexedEvent, MOST_COUNTED, OF_HOST};
pub use inactive::Inactive;
pub use lane_replays::{Busy, LaneReplay, LaneReplays, MOST_RUNNING, NewLaneReplay, ReplayState};
pub use leases::{Fence, Lease, Leases};
pub use logs::{LogEntry, LogFilter, LogType, Logs};
pub use owners::{Owner, Owners};
pub use people::{People, PeopleChange};
pub use periods::{Period, PeriodFilter, PeriodRow, Periods, Sums};
pub use refresh_tokens::StoredTokens;
pub use store::{SealedWith, Store};
pub use sync_executions::{SyncExecutions, SyncFilter};
pub use wanted_runs::{WantedRun, WantedRuns};
pub use webhooks::{DeliveryStatus, WebhookAttempt, WebhookDeliveries, WebhookDelivery, WebhookState};

#[cfg(test)]
mod testing;
