//! Opening the file and moving its tables forward.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bulkhead_seal::{AtRest, KeyId, Keyring};
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlitePool};

use crate::api_answers::ApiAnswers;
use crate::api_keys::ApiKeys;
use crate::changes::Changes;
use crate::connector_state::ConnectorState;
use crate::cursors::PullCursors;
use crate::database::{self, Database, PostgresSettings};
use crate::dead_letters::{DeadLetterSettings, DeadLetters, Vault};
use crate::entries::{Entries, key};
use crate::error::{StoreError, failed};
use crate::event_index::EventIndex;
use crate::inactive::Inactive;
use crate::lane_replays::LaneReplays;
use crate::leases::Leases;
use crate::logs::Logs;
use crate::owners::Owners;
use crate::params;
use crate::people::People;
use crate::periods::Periods;
use crate::refresh_tokens::StoredTokens;
use crate::sync_executions::SyncExecutions;
use crate::wanted_runs::WantedRuns;
use crate::webhooks::WebhookDeliveries;

/// A key, and how many values are sealed with it.
pub type SealedWith = (Option<KeyId>, u64);

const FILE: &str = "bulkhead.db";
/// Room for a start on a full disk.
const RESERVE: &str = "bulkhead.reserve";
const RESERVE_BYTES: usize = 1 << 20;
/// Readers beside the one writer.
const READERS: u32 = 4;
/// How long a statement waits for another process that holds the file, such as a backup.
const BUSY: Duration = Duration::from_secs(10);

/// The store: what belongs to this machine's journal in a file beside it, what a team shares in the same file, or
/// in a database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// One connection: SQLite has one writer, and queueing here is fair where its own lock is not.
    pub(crate) write: SqlitePool,
    pub(crate) read: SqlitePool,
    shared: Database,
    reserve: PathBuf,
}

impl Store {
    /// Opens or creates `data_dir/bulkhead.db`. Not cancel safe, but a migration is one transaction.
    ///
    /// SQLite cannot open a file on a disk that is full to the last byte, and a host that does not start
    /// delivers nothing and frees nothing. So there is a reserve, given up then.
    pub async fn open(data_dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(data_dir, None).await
    }

    /// The same, with what is shared in a database where one is named. Waits for the server as its settings say.
    pub async fn open_with(data_dir: &Path, server: Option<&PostgresSettings>) -> Result<Self, StoreError> {
        let store = Self::open_local(data_dir).await?;
        match server {
            Some(server) => Ok(Self { shared: Database::postgres(server).await?, ..store }),
            None => Ok(store),
        }
    }

    async fn open_local(data_dir: &Path) -> Result<Self, StoreError> {
        let reserve = data_dir.join(RESERVE);
        let store = match Self::open_file(data_dir).await {
            Err(error) if error.wants_room() && give_up(&reserve) => Self::open_file(data_dir).await?,
            opened => opened?,
        };
        if !reserve.exists() && make_reserve(&reserve).is_err() {
            // As it was: no room for it now, and half of it helps nobody.
            let _ = std::fs::remove_file(&reserve);
        }
        Ok(store)
    }

    async fn open_file(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        let open_error = |source| StoreError::Open { path: path.clone(), source };
        std::fs::create_dir_all(data_dir).map_err(|source| open_error(source.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .disable_statement_logging();
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            // On a full disk SQLite ends a transaction by itself; the pool's own ROLLBACK then fails, and the
            // connection would count as inside that transaction, refusing every other, for ever.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await
            .map_err(open_error)?;
        let read = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.pragma("query_only", "1"));
        database::migrate_file(&write, &path).await?;
        Ok(Self { shared: Database::sqlite(write.clone(), read.clone()), write, read, reserve: data_dir.join(RESERVE) })
    }

    /// What a team shares.
    pub fn shared(&self) -> &Database {
        &self.shared
    }

    /// A step of a start that may write: on a full disk it is tried again on the reserve.
    pub async fn with_room<T>(&self, step: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match step().await {
            Err(StoreError::DiskFull { .. }) if give_up(&self.reserve) => step().await,
            done => done,
        }
    }

    /// The dead letters under these limits, in the clear. Not cancel safe: reads the totals.
    pub async fn dead_letters(&self, settings: DeadLetterSettings) -> Result<DeadLetters, StoreError> {
        self.dead_letters_at_rest(settings, AtRest::default()).await
    }

    /// The same, sealed as `at_rest` says; refused where a key is missing that some letter needs.
    pub async fn dead_letters_at_rest(&self, settings: DeadLetterSettings, at_rest: AtRest) -> Result<DeadLetters, StoreError> {
        DeadLetters::open(self.clone(), settings, Vault::new(at_rest)).await
    }

    /// Lanes that are read again.
    pub fn lane_replays(&self) -> LaneReplays {
        LaneReplays::new(self.clone())
    }

    /// Keys of the API.
    pub fn api_keys(&self) -> ApiKeys {
        ApiKeys::new(self.shared.clone())
    }

    /// Deliveries to webhooks, at most so many of each: this host's own, for they name places in its journal.
    pub fn webhook_deliveries(&self, most: u64) -> WebhookDeliveries {
        WebhookDeliveries::new(Database::sqlite(self.write.clone(), self.read.clone()), most)
    }

    /// Answers of the API that are kept for their keys.
    pub fn api_answers(&self) -> ApiAnswers {
        ApiAnswers::new(self.shared.clone())
    }

    /// How one host tells the others what it changed.
    pub fn changes(&self) -> Changes {
        Changes::new(self.shared.clone())
    }

    /// Which host does what only one may do.
    pub fn leases(&self) -> Leases {
        Leases::new(self.shared.clone())
    }

    /// How far pull connectors have come.
    pub fn pull_cursors(&self) -> PullCursors {
        PullCursors::new(self.shared.clone())
    }

    /// Runs of pull connectors.
    pub fn sync_executions(&self) -> SyncExecutions {
        SyncExecutions::new(self.shared.clone())
    }

    /// Runs of pulls that events asked for.
    pub fn wanted_runs(&self) -> WantedRuns {
        WantedRuns::new(self.shared.clone())
    }

    /// The log of each instance.
    pub fn logs(&self) -> Logs {
        Logs::new(self.shared.clone())
    }

    /// Whose instances are.
    pub fn owners(&self) -> Owners {
        Owners::new(self.shared.clone())
    }

    /// Figures of instances.
    pub fn periods(&self) -> Periods {
        Periods::new(self.shared.clone())
    }

    /// Accepted events, to be looked up.
    pub fn event_index(&self) -> EventIndex {
        EventIndex::new(self.shared.clone())
    }

    /// Whether what a team shares can be reached. Cancel safe.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.shared.fetch_optional("SELECT 1 AS one", Vec::new()).await.map(drop).map_err(failed("asked whether it is there"))
    }

    /// What connectors keep between restarts.
    pub fn connector_state(&self) -> ConnectorState {
        ConnectorState::new(self.shared.clone())
    }

    /// Parts of the configuration that were made through the API, sealed with the newest key. Not cancel safe.
    pub async fn entries(&self, keyring: Option<Keyring>) -> Result<Entries, StoreError> {
        Entries::open(self.shared.clone(), keyring).await
    }

    /// How many values are sealed with which key, in every table that holds some; nothing: in the clear. Opens none, and
    /// needs no key.
    pub async fn sealed_with(&self) -> Result<Vec<SealedWith>, StoreError> {
        let fail = || failed("reading the keys of what is sealed");
        let sql = "SELECT key, COUNT(*) AS n FROM (SELECT key FROM entries UNION ALL SELECT key FROM entry_versions \
                   UNION ALL SELECT totp_key AS key FROM users WHERE totp IS NOT NULL UNION ALL SELECT key FROM refresh_tokens) AS sealed GROUP BY key";
        let rows = self.shared.fetch_all(sql, params![]).await.map_err(fail())?;
        rows.iter().map(|row| Ok((key(row)?, row.get::<i64>("n")?.unsigned_abs()))).collect::<Result<_, sqlx::Error>>().map_err(fail())
    }

    /// Seals all of it with the newest key, in batches. Refused as a whole where a key is missing. Not cancel safe, but
    /// what was sealed anew stays so.
    pub async fn seal_anew(&self, keyring: &Keyring) -> Result<(), StoreError> {
        let missing: Vec<_> = self.sealed_with().await?.into_iter().filter_map(|(key, _)| key).filter(|key| keyring.get(*key).is_none()).collect();
        if !missing.is_empty() {
            return Err(StoreError::KeyMissing { what: "values in the store", missing });
        }
        self.entries(Some(keyring.clone())).await?;
        self.people(Some(keyring.clone())).await?;
        self.refresh_tokens(keyring.clone()).await?;
        Ok(())
    }

    /// Refresh tokens that servers gave, sealed with the newest key. Not cancel safe.
    pub async fn refresh_tokens(&self, keyring: Keyring) -> Result<StoredTokens, StoreError> {
        StoredTokens::open(self.shared.clone(), keyring).await
    }

    /// People and their sessions; secrets of codes are sealed with the newest key. Not cancel safe.
    pub async fn people(&self, keyring: Option<Keyring>) -> Result<People, StoreError> {
        People::open(self.shared.clone(), keyring).await
    }

    /// Instances that are switched off.
    pub fn inactive(&self) -> Inactive {
        Inactive::new(self.shared.clone())
    }

    /// Waits for running statements and writes the log back into the file.
    pub async fn close(&self) {
        self.shared.close().await;
        self.read.close().await;
        self.write.close().await;
    }
}

fn give_up(reserve: &Path) -> bool {
    let given_up = std::fs::remove_file(reserve).is_ok();
    if given_up {
        tracing::warn!(reserve = %reserve.display(), "the disk is full: the store starts on its reserve");
    }
    given_up
}

/// Written in full: room that is only announced is not there when it is needed.
fn make_reserve(path: &Path) -> std::io::Result<()> {
    std::fs::write(path, vec![0xB5; RESERVE_BYTES])
}

#[cfg(test)]
mod tests;
