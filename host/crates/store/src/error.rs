//! Why the store refused or failed.

use std::path::PathBuf;

use bulkhead_core::FailureClass;

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
            Self::Open { .. } | Self::Newer { .. } | Self::Migrate { .. } => FailureClass::Fatal,
        }
    }

    /// No room: waits for an operator, then works again by itself.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::StoreFull { .. } | Self::DiskFull { .. })
    }
}

/// Names what was going on; SQLITE_FULL (13, <https://sqlite.org/rescode.html>) is told apart.
pub(crate) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| {
        let full = source.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i64>().ok()).is_some_and(|code| code & 0xff == 13);
        if full { StoreError::DiskFull { source } } else { StoreError::Query { doing, source } }
    }
}
