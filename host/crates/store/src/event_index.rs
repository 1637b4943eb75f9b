//! The index of accepted events, as guests see them. Bounded by age and by number; what came in first goes first.
//!
//! An event is known by its id together with its source and its tenant; one that comes again replaces itself. Where
//! hosts share a database their events stand side by side, each with the journal that it came from.

use bulkhead_core::Tenant;
use sqlx::AssertSqlSafe;

use crate::database::{Database, Row, Value};
use crate::error::{StoreError, failed};
use crate::params;

/// Rows that are deleted in one transaction, so that nobody waits long for it.
const CHUNK: i64 = 2_000;
/// Matches that are counted; beyond it only that there are more.
pub const MOST_COUNTED: u64 = 100_000;

/// In the place of a tenant: no tenant has such a name.
pub const OF_HOST: &str = "@host";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedEvent {
    pub event_id: String,
    pub source: String,
    /// Empty for the default one, [`OF_HOST`] for what the host tells of itself.
    pub tenant: String,
    /// Which host's journal it lies in, and where.
    pub journal: String,
    pub seq: i64,
    pub event_type: String,
    pub severity: String,
    /// When it happened and when it was received, milliseconds since 1970.
    pub time_ms: i64,
    pub received_ms: i64,
    /// As `IpAddr` writes it.
    pub source_ip: Option<String>,
    /// A JSON object.
    pub attributes: String,
    /// JSON, where bodies are kept.
    pub body: Option<String>,
    /// A JSON array of the lanes that it was for.
    pub lanes: String,
}

/// Which events a list holds; all where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this tenant.
    pub tenant: Option<String>,
    pub types: Vec<String>,
    pub severities: Vec<String>,
    pub source_ip: Option<String>,
    /// Of the event's own time: from this moment on, and before that one.
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// How far a journal was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexPosition {
    pub position: i64,
    /// Events that were gone before they were read.
    pub missed: i64,
}

/// The index. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventIndex {
    database: Database,
}

const COLUMNS: &str =
    "SELECT event_id, source, tenant, journal, seq, event_type, severity, time_ms, received_ms, source_ip, attributes, body, lanes FROM indexed_events";
const PUT: &str = "INSERT INTO indexed_events (event_id, source, tenant, journal, seq, event_type, severity, time_ms, received_ms, source_ip, attributes, body, lanes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (event_id, source, tenant) DO UPDATE SET journal = excluded.journal, seq = excluded.seq, event_type = excluded.event_type, severity = excluded.severity, time_ms = excluded.time_ms, received_ms = excluded.received_ms, source_ip = excluded.source_ip, attributes = excluded.attributes, body = excluded.body, lanes = excluded.lanes";
const MOVE: &str = "INSERT INTO event_index (journal, position, missed) VALUES ($1, $2, $3) ON CONFLICT (journal) DO UPDATE SET position = excluded.position, missed = excluded.missed";

impl EventIndex {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Events together with how far the journal was read: both or neither. Cancel safe, like all of these.
    pub async fn put(&self, journal: &str, events: &[IndexedEvent], to: IndexPosition) -> Result<(), StoreError> {
        let fail = || failed("writing the event index");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for event in events {
            let IndexedEvent { event_id, source, tenant, journal, seq, event_type, severity, time_ms, received_ms, source_ip, attributes, body, lanes } = event;
            let values = params![event_id, source, tenant, journal, seq, event_type, severity, time_ms, received_ms, source_ip, attributes, body, lanes];
            tx.execute(PUT, values).await.map_err(fail())?;
        }
        tx.execute(MOVE, params![journal, to.position, to.missed]).await.map_err(fail())?;
        tx.commit().await.map_err(fail())
    }

    /// How far a journal was read; nothing where it never was.
    pub async fn position(&self, journal: &str) -> Result<Option<IndexPosition>, StoreError> {
        let row = self.database.fetch_optional("SELECT position, missed FROM event_index WHERE journal = $1", params![journal]).await;
        let read = |row: Row| Ok(IndexPosition { position: row.get("position")?, missed: row.get("missed")? });
        row.and_then(|row| row.map(read).transpose()).map_err(failed("reading the event index"))
    }

    /// Newest first by their own time; how many there are, [`MOST_COUNTED`] standing for that many or more.
    pub async fn list(&self, filter: &EventFilter, offset: u64, limit: u32) -> Result<(Vec<IndexedEvent>, u64), StoreError> {
        let fail = || failed("reading the event index");
        let (condition, mut values) = filter.sql();
        let place = values.len() + 1;
        let count = format!("SELECT COUNT(*) AS total FROM (SELECT 1 AS one FROM indexed_events WHERE {condition} LIMIT ${place}) AS counted");
        let mut counted = values.clone();
        counted.extend(params![i64::try_from(MOST_COUNTED).unwrap_or(i64::MAX)]);
        let total = self.database.fetch_optional(AssertSqlSafe(count), counted).await.and_then(|row| row.map_or(Ok(0), |row| row.get::<i64>("total")));
        let page = format!("{COLUMNS} WHERE {condition} ORDER BY time_ms DESC, received_ms DESC, event_id LIMIT ${place} OFFSET ${}", place + 1);
        values.extend(params![i64::from(limit), i64::try_from(offset).unwrap_or(i64::MAX)]);
        let rows = self.database.fetch_all(AssertSqlSafe(page), values).await;
        let events = rows.and_then(|rows| rows.iter().map(read).collect()).map_err(fail())?;
        Ok((events, total.map_err(fail())?.cast_unsigned()))
    }

    /// The one of this id, of a tenant's where one is named; where sources share it, the one that came last.
    pub async fn get(&self, event_id: &str, tenant: Option<&str>) -> Result<Option<IndexedEvent>, StoreError> {
        let mut params = params![event_id];
        let of = tenant.map(|tenant| of_tenant(tenant, 2)).unwrap_or_default();
        params.extend(tenant.map(Value::from));
        let sql = format!("{COLUMNS} WHERE event_id = $1{of} ORDER BY received_ms DESC LIMIT 1");
        let row = self.database.fetch_optional(AssertSqlSafe(sql), params).await;
        row.and_then(|row| row.as_ref().map(read).transpose()).map_err(failed("reading the event index"))
    }

    pub async fn count(&self) -> Result<u64, StoreError> {
        self.database.count("indexed_events", "1 = 1", params![]).await.map_err(failed("counting the event index"))
    }

    /// Deletes some of what was received before this moment; true where there may be more.
    pub async fn expire(&self, before_ms: i64) -> Result<(u64, bool), StoreError> {
        let sql = "DELETE FROM indexed_events WHERE (event_id, source, tenant) IN (SELECT event_id, source, tenant FROM indexed_events WHERE received_ms < $1 ORDER BY received_ms LIMIT $2)";
        let gone = self.database.execute(sql, params![before_ms, CHUNK]).await.map_err(failed("deleting from the event index"))?;
        Ok((gone, gone >= CHUNK.cast_unsigned()))
    }

    /// Deletes the oldest, so many at most.
    pub async fn drop_oldest(&self, events: u64) -> Result<u64, StoreError> {
        let most = i64::try_from(events).unwrap_or(CHUNK).min(CHUNK);
        let sql = "DELETE FROM indexed_events WHERE (event_id, source, tenant) IN (SELECT event_id, source, tenant FROM indexed_events ORDER BY received_ms LIMIT $1)";
        self.database.execute(sql, params![most]).await.map_err(failed("deleting from the event index"))
    }
}

impl EventFilter {
    /// What follows `WHERE`, and its values.
    fn sql(&self) -> (String, Vec<Value>) {
        let mut parts = vec!["1 = 1".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        if let Some(tenant) = &self.tenant {
            parts[0].push_str(&of_tenant(tenant, 1));
            values.push(tenant.into());
        }
        for (column, words) in [("event_type", &self.types), ("severity", &self.severities)] {
            if !words.is_empty() {
                let places: Vec<String> = (1..=words.len()).map(|n| format!("${}", values.len() + n)).collect();
                parts.push(format!("{column} IN ({})", places.join(", ")));
                values.extend(words.iter().map(Value::from));
            }
        }
        let one = [
            ("source_ip =", self.source_ip.as_ref().map(Value::from)),
            ("time_ms >=", self.since_ms.map(Value::from)),
            ("time_ms <", self.until_ms.map(Value::from)),
        ];
        for (part, value) in one {
            if let Some(value) = value {
                values.push(value);
                parts.push(format!("{part} ${}", values.len()));
            }
        }
        (parts.join(" AND "), values)
    }
}

/// Events that say nothing are the default tenant's.
fn of_tenant(tenant: &str, place: usize) -> String {
    if tenant == Tenant::DEFAULT { format!(" AND tenant IN (${place}, '')") } else { format!(" AND tenant = ${place}") }
}

fn read(row: &Row) -> Result<IndexedEvent, sqlx::Error> {
    Ok(IndexedEvent {
        event_id: row.get("event_id")?,
        source: row.get("source")?,
        tenant: row.get("tenant")?,
        journal: row.get("journal")?,
        seq: row.get("seq")?,
        event_type: row.get("event_type")?,
        severity: row.get("severity")?,
        time_ms: row.get("time_ms")?,
        received_ms: row.get("received_ms")?,
        source_ip: row.get("source_ip")?,
        attributes: row.get("attributes")?,
        body: row.get("body")?,
        lanes: row.get("lanes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::each_engine;

    fn event(event_id: &str, time_ms: i64) -> IndexedEvent {
        IndexedEvent {
            event_id: event_id.into(),
            source: "/s".into(),
            tenant: String::new(),
            journal: "j".into(),
            seq: time_ms,
            event_type: "login".into(),
            severity: "high".into(),
            time_ms,
            received_ms: time_ms,
            source_ip: Some("2001:db8::1".into()),
            attributes: "{}".into(),
            body: None,
            lanes: "[]".into(),
        }
    }

    #[tokio::test]
    async fn an_event_that_comes_again_replaces_itself_and_the_position_moves_with_it() {
        each_engine("an_event_that_comes_again", async |place| replaces_itself(&place.open().await.event_index()).await).await;
    }

    async fn replaces_itself(index: &EventIndex) {
        assert_eq!(index.position("j").await.expect("read"), None);
        let to = IndexPosition { position: 2, missed: 0 };
        index.put("j", &[event("a", 1), event("b", 2)], to).await.expect("put");
        index.put("j", &[IndexedEvent { severity: "low".into(), ..event("b", 3) }], IndexPosition { position: 3, missed: 4 }).await.expect("put");
        assert_eq!(index.position("j").await.expect("read"), Some(IndexPosition { position: 3, missed: 4 }));
        assert_eq!(index.count().await.expect("counted"), 2);
        assert_eq!(index.get("b", None).await.expect("read").map(|event| event.severity), Some("low".into()));
        let ids = async |filter: EventFilter| index.list(&filter, 0, 10).await.expect("listed").0.into_iter().map(|event| event.event_id).collect::<Vec<_>>();
        assert_eq!(ids(EventFilter::default()).await, ["b", "a"]);
        assert_eq!(ids(EventFilter { severities: vec!["high".into(), "info".into()], ..EventFilter::default() }).await, ["a"]);
        assert_eq!(ids(EventFilter { since_ms: Some(2), source_ip: Some("2001:db8::1".into()), ..EventFilter::default() }).await, ["b"]);
        assert!(ids(EventFilter { types: vec!["' OR 1=1 --".into()], ..EventFilter::default() }).await.is_empty());
        let of = |tenant: &str| IndexedEvent { tenant: tenant.into(), ..event("c", 9) };
        index.put("j", &[of("acme"), of(OF_HOST)], to).await.expect("put");
        let seen = async |tenant: &str| {
            let one = index.get("c", Some(tenant)).await.expect("read").map(|event| event.tenant);
            (one, index.list(&EventFilter { tenant: Some(tenant.into()), ..EventFilter::default() }, 0, 10).await.expect("listed").1)
        };
        assert_eq!(seen("acme").await, (Some("acme".into()), 1));
        assert_eq!((seen("other").await, seen("default").await), ((None, 0), (None, 2)), "what the host tells is no tenant's");
        assert_eq!(index.drop_oldest(0).await.expect("nothing"), 0);
        assert_eq!(index.expire(2).await.expect("deleted"), (1, false));
        assert_eq!(index.drop_oldest(5).await.expect("deleted"), 3);
        assert_eq!(index.count().await.expect("counted"), 0);
    }
}
