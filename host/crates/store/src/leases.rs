//! Which host runs what only one may run, told by terms: each time a lease changes hands its term grows, and
//! whatever is written under it names the term, so that a host which was frozen cannot write over its successor.
//!
//! No time stands in the table, since clocks of hosts differ. A holder moves its `beat`; another host that has seen
//! the same beat for longer than a lease lasts takes over, if it still is the same then.

use crate::database::{Database, Row};
use crate::error::{StoreError, failed};
use crate::params;

/// A lease as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    /// Empty where it is free.
    pub holder: String,
    pub term: i64,
    pub beat: i64,
}

/// Under which lease something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub name: String,
    pub holder: String,
    pub term: i64,
}

/// The table of leases. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leases {
    database: Database,
}

const COLUMNS: &str = "SELECT name, holder, term, beat FROM leases";

impl Leases {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// A sign of life for all leases of a holder; answers the whole table after that. Cancel safe.
    pub async fn beat(&self, holder: &str) -> Result<Vec<Lease>, StoreError> {
        let fail = || failed("renewing leases");
        let mut tx = self.database.begin().await.map_err(fail())?;
        tx.execute("UPDATE leases SET beat = beat + 1 WHERE holder = $1", params![holder]).await.map_err(fail())?;
        let rows = tx.fetch_all(COLUMNS, params![]).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(fail())
    }

    /// Takes a lease that is as it was seen, or not there where nothing was. The new term, or nothing where somebody
    /// was first. Cancel safe: the next look tells.
    pub async fn take(&self, name: &str, seen: Option<&Lease>, holder: &str) -> Result<Option<i64>, StoreError> {
        let (term, beat) = seen.map_or((-1, -1), |lease| (lease.term, lease.beat));
        let sql = "INSERT INTO leases (name, holder, term, beat) VALUES ($1, $2, 1, 0) \
                   ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, term = leases.term + 1, beat = leases.beat + 1 \
                   WHERE leases.term = $3 AND leases.beat = $4 RETURNING term";
        let row = self.database.fetch_optional(sql, params![name, holder, term, beat]).await;
        row.and_then(|row| row.map(|row| row.get("term")).transpose()).map_err(failed("taking a lease"))
    }

    /// Lets others have it at once. Cancel safe.
    pub async fn give_up(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "UPDATE leases SET holder = '', beat = beat + 1 WHERE name = $1 AND holder = $2";
        self.database.execute(sql, params![name, holder]).await.map(drop).map_err(failed("giving up a lease"))
    }
}

fn read(row: &Row) -> Result<Lease, sqlx::Error> {
    Ok(Lease { name: row.get("name")?, holder: row.get("holder")?, term: row.get("term")?, beat: row.get("beat")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::each_engine;

    #[tokio::test]
    async fn a_lease_changes_hands_once_for_each_term() {
        each_engine("a_lease_changes_hands_once_for_each_term", async |place| {
            let store = place.open().await;
            let leases = store.leases();
            assert_eq!(leases.take("pull/a", None, "one").await.expect("takes"), Some(1));
            assert_eq!(leases.take("pull/a", None, "two").await.expect("asks"), None, "it is taken");
            let seen = leases.beat("two").await.expect("looks");
            assert_eq!(seen, [Lease { name: "pull/a".into(), holder: "one".into(), term: 1, beat: 0 }]);
            // A sign of life in between: what was seen is not so any more.
            assert_eq!(leases.beat("one").await.expect("renews")[0].beat, 1);
            assert_eq!(leases.take("pull/a", seen.first(), "two").await.expect("asks"), None);
            let seen = leases.beat("two").await.expect("looks");
            assert_eq!(leases.take("pull/a", seen.first(), "two").await.expect("takes"), Some(2));
            assert_eq!(leases.take("pull/a", seen.first(), "three").await.expect("asks"), None, "one was first");
            // The former holder renews nothing any more, and gives up nothing that is another's.
            assert_eq!(leases.beat("one").await.expect("looks")[0].holder, "two");
            leases.give_up("pull/a", "one").await.expect("says nothing");
            leases.give_up("pull/a", "two").await.expect("gives up");
            let free = leases.beat("one").await.expect("looks");
            assert_eq!((free[0].holder.as_str(), free[0].term), ("", 2));
            assert_eq!(leases.take("pull/a", free.first(), "one").await.expect("takes"), Some(3));
        })
        .await;
    }
}
