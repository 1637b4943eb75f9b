//! Which dead letters are meant.

use sqlx::{QueryBuilder, Sqlite};

use super::{Cause, State};

/// All given parts must match; an empty filter matches every letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Any id where empty, like every part that is not given.
    pub ids: Vec<i64>,
    pub instance: Option<String>,
    pub format: Option<String>,
    /// Whose the instance was when the event died.
    pub owner: Option<String>,
    /// Whose the event is.
    pub tenant: Option<String>,
    /// Any of these.
    pub causes: Vec<Cause>,
    /// Any of these.
    pub states: Vec<State>,
    pub event_type: Option<String>,
    pub event_id: Option<String>,
    /// Of the event at this place of the journal.
    pub seq: Option<i64>,
    /// Added at this time or later, milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Added before this time.
    pub until_ms: Option<i64>,
    /// Handed back by `dead_letters.retry` less often than this.
    pub retries_below: Option<u32>,
}

impl DeadLetterFilter {
    pub(super) fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        let words: [(&str, Vec<&'static str>); 2] =
            [("cause", self.causes.iter().map(|cause| cause.name()).collect()), ("state", self.states.iter().map(|state| state.name()).collect())];
        for (column, words) in words.into_iter().filter(|(_, words)| !words.is_empty()) {
            query.push(" AND ").push(column).push(" IN (");
            let mut list = query.separated(", ");
            words.into_iter().for_each(|word| {
                list.push_bind(word);
            });
            query.push(")");
        }
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
            (" AND owner = ", self.owner.as_deref()),
            (" AND tenant = ", self.tenant.as_deref()),
            (" AND event_type = ", self.event_type.as_deref()),
            (" AND event_id = ", self.event_id.as_deref()),
        ];
        for (sql, text) in texts {
            if let Some(text) = text {
                query.push(sql).push_bind(text.to_owned());
            }
        }
        let numbers = [
            (" AND seq = ", self.seq),
            (" AND added_ms >= ", self.since_ms),
            (" AND added_ms < ", self.until_ms),
            (" AND retries < ", self.retries_below.map(i64::from)),
        ];
        for (sql, number) in numbers {
            if let Some(number) = number {
                query.push(sql).push_bind(number);
            }
        }
    }
}
