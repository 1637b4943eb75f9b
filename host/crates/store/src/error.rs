//! Why the store refused or failed.

use std::path::PathBuf;

use bulkhead_core::FailureClass;
use bulkhead_seal::KeyId;

/// `Display` speaks for the store; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the store {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("the store {path} has schema version {found}, this release knows up to {known}; run the newer release or restore a backup")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("cannot migrate the store to schema version {version}")]
    Migrate {
        version: i64,
        #[source]
        source: sqlx::Error,
    },
    #[error("{what} are sealed with {}", bulkhead_seal::missing(missing))]
    KeyMissing { what: &'static str, missing: Vec<KeyId> },
    #[error(
        "the dead letter store is full: {used} of {limit} bytes in use, {wanted} more wanted; raise `dead_letters.max_bytes`, replay or purge dead letters, or set `dead_letters.on_full: drop_oldest`"
    )]
    StoreFull { used: u64, limit: u64, wanted: u64 },
    #[error("the disk of the store is full; free space below `data_dir`")]
    DiskFull {
        #[source]
        source: sqlx::Error,
    },
    #[error("the store failed while it was {doing}")]
    Query {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// The one thing callers branch on.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::StoreFull { .. } | Self::DiskFull { .. } => FailureClass::Operator,
            Self::Query { .. } => FailureClass::Retry,
            Self::Open { .. } | Self::Newer { .. } | Self::Migrate { .. } | Self::KeyMissing { .. } => FailureClass::Fatal,
        }
    }

    /// Whether more room may be what opening lacked; the index of SQLite's log, which is mapped into
    /// memory, reports a full disk as an input/output error.
    pub(crate) fn wants_room(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Migrate { source, .. } => matches!(code(source), Some(FULL | IO)),
            _ => false,
        }
    }

    /// No room: waits for an operator, then works again by itself.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::StoreFull { .. } | Self::DiskFull { .. })
    }
}

/// SQLITE_FULL and SQLITE_IOERR, <https://sqlite.org/rescode.html>.
const FULL: i64 = 13;
const IO: i64 = 10;

/// The primary result code.
fn code(error: &sqlx::Error) -> Option<i64> {
    error.as_database_error()?.code()?.parse::<i64>().ok().map(|code| code & 0xff)
}

/// Names what was going on; a full disk is told apart.
pub(crate) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| {
        if code(&source) == Some(FULL) { StoreError::DiskFull { source } } else { StoreError::Query { doing, source } }
    }
}
