//! Answers of the API to changes that came with an `Idempotency-Key`. What a key and an answer mean is not known
//! here: a key is the hash of whose it is and of what it is, an answer is bytes.
//!
//! Bounded: [`MOST`] rows, the oldest go first, and none older than the caller says.

use crate::database::{Database, Row};
use crate::error::{StoreError, failed};
use crate::params;

/// Answers that are kept.
pub const MOST: i64 = 10_000;

/// The answers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiAnswers {
    database: Database,
}

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Of the request.
    pub fingerprint: Vec<u8>,
    /// Nothing: its change was under way when this was written.
    pub answer: Option<Vec<u8>>,
}

impl ApiAnswers {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes down that a change begins, unless something stands under its key that is not older than `since_ms`:
    /// that comes back. On disk when it returns. Cancel safe.
    pub async fn begin(&self, scope: &[u8], fingerprint: &[u8], now_ms: i64, since_ms: i64) -> Result<Option<KeptAnswer>, StoreError> {
        let fail = || failed("keeping an idempotency key");
        let mut tx = self.database.begin().await.map_err(fail())?;
        tx.execute("DELETE FROM api_answers WHERE created_ms < $1", params![since_ms]).await.map_err(fail())?;
        let row = tx.fetch_optional("SELECT fingerprint, answer FROM api_answers WHERE scope = $1", params![scope]).await.map_err(fail())?;
        if let Some(row) = row {
            let read = |row: &Row| Ok::<_, sqlx::Error>(KeptAnswer { fingerprint: row.get("fingerprint")?, answer: row.get("answer")? });
            return read(&row).map(Some).map_err(fail());
        }
        let many = "DELETE FROM api_answers WHERE created_ms <= (SELECT created_ms FROM api_answers ORDER BY created_ms DESC LIMIT 1 OFFSET $1)";
        tx.execute(many, params![MOST - 1]).await.map_err(fail())?;
        let sql = "INSERT INTO api_answers (scope, fingerprint, created_ms) VALUES ($1, $2, $3)";
        tx.execute(sql, params![scope, fingerprint, now_ms]).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(None)
    }

    /// The answer under a key. On disk when it returns.
    pub async fn keep(&self, scope: &[u8], answer: &[u8]) -> Result<(), StoreError> {
        let sql = "UPDATE api_answers SET answer = $2 WHERE scope = $1";
        self.database.execute(sql, params![scope, answer]).await.map(drop).map_err(failed("keeping an answer"))
    }

    /// The key stands for nothing.
    pub async fn forget(&self, scope: &[u8]) -> Result<(), StoreError> {
        self.database.execute("DELETE FROM api_answers WHERE scope = $1", params![scope]).await.map(drop).map_err(failed("forgetting an idempotency key"))
    }
}

#[cfg(test)]
mod tests;
