//! Why the store refused or failed.

use std::path::PathBuf;
use std::time::Duration;

use bulkhead_core::FailureClass;
use bulkhead_seal::KeyId;

use crate::database::UrlError;

/// `Display` speaks for the store; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the store {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("the store {store} has schema version {found}, this release knows up to {known}; run the newer release or restore a backup")]
    Newer { store: String, found: i64, known: i64 },
    #[error("`store.url` {source}")]
    Url {
        #[source]
        source: UrlError,
    },
    #[error("cannot connect to {place} (store.url) within {}s (store.start_timeout): the host knows neither its instances nor its keys without it", waited.as_secs())]
    Connect {
        place: String,
        waited: Duration,
        #[source]
        source: sqlx::Error,
    },
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
    #[error("the database of the store cannot be reached, or does not answer, while {doing}")]
    Unavailable {
        doing: &'static str,
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
            Self::Query { .. } | Self::Unavailable { .. } => FailureClass::Retry,
            Self::Open { .. } | Self::Newer { .. } | Self::Migrate { .. } | Self::KeyMissing { .. } | Self::Url { .. } | Self::Connect { .. } => {
                FailureClass::Fatal
            }
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

    /// The database is away: it may be back at the next try, and nothing is wrong with what was asked.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// No room: waits for an operator, then works again by itself.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::StoreFull { .. } | Self::DiskFull { .. })
    }
}

/// Whether the reason of an error, however deep, is a database that is away.
pub fn is_unavailable(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|error| {
        let store = error.downcast_ref::<StoreError>().is_some_and(StoreError::is_unavailable);
        store || error.downcast_ref::<sqlx::Error>().is_some_and(is_lost)
    })
}

/// SQLITE_FULL and SQLITE_IOERR, <https://sqlite.org/rescode.html>.
const FULL: i64 = 13;
const IO: i64 = 10;

/// The primary result code.
fn code(error: &sqlx::Error) -> Option<i64> {
    error.as_database_error()?.code()?.parse::<i64>().ok().map(|code| code & 0xff)
}

/// Names what was going on; a full disk and a lost database are told apart.
pub(crate) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| {
        if code(&source) == Some(FULL) {
            StoreError::DiskFull { source }
        } else if is_lost(&source) {
            StoreError::Unavailable { doing, source }
        } else {
            StoreError::Query { doing, source }
        }
    }
}

/// Whether the database, and not the statement, is what failed.
fn is_lost(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => true,
        // <https://www.postgresql.org/docs/current/errcodes-appendix.html>: connection exceptions, no resources,
        // operator's interventions (shutdown, a cancelled statement), no lock in time, a server that only reads (a
        // replica after a failover), a session that was ended. SQLite's codes are numbers below three digits, or with
        // an extension, four, and begin with none of these.
        Error::Database(error) => error.code().is_some_and(|code| {
            code.len() == 5 && (["08", "53", "57"].iter().any(|class| code.starts_with(class)) || ["55P03", "25006", "25P03"].contains(&&*code))
        }),
        _ => false,
    }
}
