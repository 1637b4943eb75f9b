//! Which dead letters are meant.

use sqlx::{QueryBuilder, Sqlite};

use super::Cause;

/// All given parts must match; an empty filter matches every letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Any id where empty, like every part that is not given.
    pub ids: Vec<i64>,
    pub instance: Option<String>,
    pub format: Option<String>,
    pub tenant: Option<String>,
    pub cause: Option<Cause>,
    pub event_type: Option<String>,
    pub event_id: Option<String>,
    /// Added at this time or later, milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Added before this time.
    pub until_ms: Option<i64>,
}

impl DeadLetterFilter {
    pub(super) fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        if !self.ids.is_empty() {
            query.push(" AND id IN (");
            let mut list = query.separated(", ");
            for id in &self.ids {
                list.push_bind(*id);
            }
            query.push(")");
        }
        let texts = [
            (" AND instance = ", self.instance.as_deref()),
            (" AND format = ", self.format.as_deref()),
            (" AND tenant = ", self.tenant.as_deref()),
            (" AND cause = ", self.cause.map(Cause::name)),
            (" AND event_type = ", self.event_type.as_deref()),
            (" AND event_id = ", self.event_id.as_deref()),
        ];
        for (sql, text) in texts {
            if let Some(text) = text {
                query.push(sql).push_bind(text.to_owned());
            }
        }
        for (sql, time) in [(" AND added_ms >= ", self.since_ms), (" AND added_ms < ", self.until_ms)] {
            if let Some(time) = time {
                query.push(sql).push_bind(time);
            }
        }
    }
}
