//! What hosts have in memory of the shared store, and how one tells the others that it changed it: a number for
//! each topic that moves in the same transaction as the change. Hosts look at the numbers about once a second.

use std::collections::BTreeMap;

use crate::database::{Database, Tx};
use crate::error::{StoreError, failed};
use crate::params;

/// What is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Stored entries of the configuration.
    Entries,
    ApiKeys,
    /// Instances that are switched off.
    Inactive,
    /// Users and their sessions.
    People,
    /// Runs that were asked for; the host with the lease begins them.
    WantedRuns,
}

impl Topic {
    pub const ALL: [Self; 5] = [Self::Entries, Self::ApiKeys, Self::Inactive, Self::People, Self::WantedRuns];

    fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::ApiKeys => "api_keys",
            Self::Inactive => "inactive_instances",
            Self::People => "people",
            Self::WantedRuns => "wanted_runs",
        }
    }
}

/// How often each topic was changed.
pub type Generations = BTreeMap<Topic, i64>;

/// The table of changes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Changes {
    database: Database,
}

impl Changes {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The numbers now; a topic that never changed is not among them. Cancel safe.
    pub async fn generations(&self) -> Result<Generations, StoreError> {
        let fail = || failed("looking for changes of other hosts");
        let rows = self.database.fetch_all("SELECT topic, generation FROM changes", params![]).await.map_err(fail())?;
        let mut generations = Generations::new();
        for row in rows {
            let name: String = row.get("topic").map_err(fail())?;
            // One of a newer release means nothing to this one.
            if let Some(topic) = Topic::ALL.into_iter().find(|topic| topic.name() == name) {
                generations.insert(topic, row.get("generation").map_err(fail())?);
            }
        }
        Ok(generations)
    }
}

/// Part of every transaction that changes something of a topic.
pub(crate) async fn changed(tx: &mut Tx, topic: Topic) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO changes (topic, generation) VALUES ($1, 1) ON CONFLICT (topic) DO UPDATE SET generation = changes.generation + 1";
    tx.execute(sql, params![topic.name()]).await.map(drop)
}
