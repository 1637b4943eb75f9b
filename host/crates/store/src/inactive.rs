//! Instances that somebody switched off: they hold what is for them until somebody switches them on again.

use std::collections::BTreeSet;

use crate::changes::{Topic, changed};
use crate::database::Database;
use crate::error::{StoreError, failed};
use crate::params;

/// The table of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inactive {
    database: Database,
}

impl Inactive {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Cancel safe.
    pub async fn all(&self) -> Result<BTreeSet<String>, StoreError> {
        let rows = self.database.fetch_all("SELECT instance FROM inactive_instances", params![]).await;
        rows.and_then(|rows| rows.iter().map(|row| row.get("instance")).collect()).map_err(failed("reading inactive instances"))
    }

    /// Durable when it returns. Cancel safe: written or not, never in part.
    pub async fn set(&self, instance: &str, inactive: bool, now_ms: i64, by: &str) -> Result<(), StoreError> {
        let fail = || failed("switching an instance on or off");
        let mut tx = self.database.begin().await.map_err(fail())?;
        let touched = if inactive {
            let sql = "INSERT INTO inactive_instances (instance, since_ms, by) VALUES ($1, $2, $3) ON CONFLICT (instance) DO NOTHING";
            tx.execute(sql, params![instance, now_ms, by]).await
        } else {
            tx.execute("DELETE FROM inactive_instances WHERE instance = $1", params![instance]).await
        };
        if touched.map_err(fail())? > 0 {
            changed(&mut tx, Topic::Inactive).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }
}
