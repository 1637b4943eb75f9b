//! Figures of instances by the hour and by the day. Only sums are kept; what is shown is made of them.

use sqlx::AssertSqlSafe;

use crate::database::{Database, Row};
use crate::error::{StoreError, failed};
use crate::params;

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    Hour,
    Day,
}

impl Period {
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    pub fn ms(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// Begin of the period that a moment lies in, in UTC.
    pub fn start(self, at_ms: i64) -> i64 {
        at_ms - at_ms.rem_euclid(self.ms())
    }
}

/// Sums of one instance in one period, or what is to be added to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls into the connector that do something for somebody, and those of them that failed.
    pub operations: i64,
    pub failed: i64,
    /// Time that they took, in microseconds.
    pub busy_us: i64,
    pub sent: i64,
    pub received: i64,
    /// Exchanges with the other system, and those that it refused for being too many.
    pub api_calls: i64,
    pub throttled: i64,
    /// Looks at the instance, and those that found it able to deliver.
    pub looks: i64,
    pub available: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodRow {
    pub instance: String,
    pub period: Period,
    /// Milliseconds since 1970.
    pub start_ms: i64,
    pub sums: Sums,
}

/// Which rows a list holds.
#[derive(Debug, Clone)]
pub struct PeriodFilter {
    /// Of instances of this tenant; the figures of whoever had one before went with it.
    pub tenant: Option<String>,
    pub instance: Option<String>,
    pub period: Period,
    /// Periods that begin from this moment on, and before that one.
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// The figures. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Periods {
    database: Database,
}

const ADD: &str = "INSERT INTO metric_periods (instance, period, start_ms, operations, failed, busy_us, sent, received, api_calls, throttled, looks, available) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (instance, period, start_ms) DO UPDATE SET operations = metric_periods.operations + excluded.operations, failed = metric_periods.failed + excluded.failed, busy_us = metric_periods.busy_us + excluded.busy_us, sent = metric_periods.sent + excluded.sent, received = metric_periods.received + excluded.received, api_calls = metric_periods.api_calls + excluded.api_calls, throttled = metric_periods.throttled + excluded.throttled, looks = metric_periods.looks + excluded.looks, available = metric_periods.available + excluded.available";

impl Periods {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Adds to what is there: all rows or none. Not to be repeated after an error that left open whether it was done.
    pub async fn add(&self, rows: &[PeriodRow]) -> Result<(), StoreError> {
        let fail = || failed("adding to the figures of instances");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for PeriodRow { instance, period, start_ms, sums } in rows {
            let Sums { operations, failed, busy_us, sent, received, api_calls, throttled, looks, available } = *sums;
            let values =
                params![instance.as_str(), period.name(), *start_ms, operations, failed, busy_us, sent, received, api_calls, throttled, looks, available];
            tx.execute(ADD, values).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// Newest first and then by instance, and how many there are.
    pub async fn list(&self, filter: &PeriodFilter, offset: u64, limit: u32) -> Result<(Vec<PeriodRow>, u64), StoreError> {
        let fail = || failed("reading the figures of instances");
        let mut condition = "period = $1 AND start_ms >= $2 AND start_ms < $3".to_owned();
        let mut values = params![filter.period.name(), filter.since_ms.unwrap_or(i64::MIN), filter.until_ms.unwrap_or(i64::MAX)];
        if let Some(instance) = &filter.instance {
            condition.push_str(" AND instance = $4");
            values.extend(params![instance.as_str()]);
        }
        if let Some(tenant) = &filter.tenant {
            condition.push_str(&format!(" AND instance IN (SELECT instance FROM owners WHERE tenant = ${})", values.len() + 1));
            values.extend(params![tenant.as_str()]);
        }
        let database = &self.database;
        let total = database.count("metric_periods", &condition, values.clone()).await.map_err(fail())?;
        let place = values.len() + 1;
        let page = format!(
            "SELECT instance, period, start_ms, operations, failed, busy_us, sent, received, api_calls, throttled, looks, available FROM metric_periods WHERE {condition} ORDER BY start_ms DESC, instance LIMIT ${place} OFFSET ${}",
            place + 1
        );
        values.extend(params![i64::from(limit), i64::try_from(offset).unwrap_or(i64::MAX)]);
        let rows = database.fetch_all(AssertSqlSafe(page), values).await;
        let rows = rows.and_then(|rows| rows.iter().map(read).collect()).map_err(fail())?;
        Ok((rows, total))
    }

    /// Deletes periods that began before this moment.
    pub async fn shrink(&self, period: Period, before_ms: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM metric_periods WHERE period = $1 AND start_ms < $2";
        self.database.execute(sql, params![period.name(), before_ms]).await.map_err(failed("deleting the figures of instances"))
    }
}

fn read(row: &Row) -> Result<PeriodRow, sqlx::Error> {
    let period: String = row.get("period")?;
    Ok(PeriodRow {
        instance: row.get("instance")?,
        period: Period::named(&period).ok_or_else(|| sqlx::Error::Decode(format!("unknown period `{period}`").into()))?,
        start_ms: row.get("start_ms")?,
        sums: Sums {
            operations: row.get("operations")?,
            failed: row.get("failed")?,
            busy_us: row.get("busy_us")?,
            sent: row.get("sent")?,
            received: row.get("received")?,
            api_calls: row.get("api_calls")?,
            throttled: row.get("throttled")?,
            looks: row.get("looks")?,
            available: row.get("available")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::each_engine;

    fn row(instance: &str, start_ms: i64, operations: i64) -> PeriodRow {
        PeriodRow { instance: instance.into(), period: Period::Hour, start_ms, sums: Sums { operations, ..Sums::default() } }
    }

    #[tokio::test]
    async fn sums_are_added_up_and_old_ones_go() {
        each_engine("sums_are_added_up", async |place| add_up(&place.open().await.periods()).await).await;
    }

    async fn add_up(periods: &Periods) {
        periods.add(&[row("a", 0, 2), row("b", 0, 1)]).await.expect("added");
        periods.add(&[row("a", 0, 3), row("a", 3_600_000, 7)]).await.expect("added");
        let filter = PeriodFilter { tenant: None, instance: Some("a".into()), period: Period::Hour, since_ms: None, until_ms: None };
        let (rows, total) = periods.list(&filter, 0, 10).await.expect("listed");
        assert_eq!(total, 2);
        assert_eq!(rows.iter().map(|row| (row.start_ms, row.sums.operations)).collect::<Vec<_>>(), [(3_600_000, 7), (0, 5)]);
        assert_eq!(periods.shrink(Period::Hour, 1).await.expect("deleted"), 2);
        assert_eq!(periods.list(&PeriodFilter { instance: None, ..filter }, 0, 10).await.expect("listed").1, 1);
    }

    #[test]
    fn a_period_begins_in_utc_before_1970_too() {
        assert_eq!(Period::Hour.start(3_600_001), 3_600_000);
        assert_eq!(Period::Day.start(-1), -86_400_000);
    }
}
