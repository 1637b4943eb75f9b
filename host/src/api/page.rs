//! Pages of lists that are counted from their beginning.

use axum::Json;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;

/// Which page of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<usize>,
    offset: Option<usize>,
}

/// A page within its bounds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub limit: usize,
    pub offset: usize,
}

impl Page {
    pub fn bounds(&self) -> Result<Bounds, Problem> {
        let (limit, offset) = (self.limit.unwrap_or(100), self.offset.unwrap_or(0));
        if !(1..=1000).contains(&limit) {
            return Err(Problem::bad_request("bad_limit", format!("`limit` is {limit}; it must be 1 to 1000")));
        }
        Ok(Bounds { limit, offset })
    }
}

impl Bounds {
    /// The list's part of that page, with the way to its neighbours.
    pub fn answer<T>(self, path: &str, all: &[T], show: impl FnMut(&T) -> Value) -> Json<Value> {
        let Self { limit, offset } = self;
        let data: Vec<Value> = all.iter().skip(offset).take(limit).map(show).collect();
        let link = |offset: usize| format!("{path}?limit={limit}&offset={offset}");
        let end = offset.saturating_add(data.len());
        Json(json!({
            "meta": {"total": all.len(), "count": data.len(), "limit": limit, "offset": offset},
            "links": {
                "self": link(offset),
                "next": (end < all.len()).then(|| link(end)),
                "prev": (offset > 0).then(|| link(offset.saturating_sub(limit))),
            },
            "data": data,
        }))
    }
}
