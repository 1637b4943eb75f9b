//! Parts of requests as checked values; what cannot be read is a problem document like every other refusal.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::problem::Problem;

/// The number in the path.
pub struct Id(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| text).unwrap_or_default();
        match text.parse() {
            Ok(id) if id > 0 => Ok(Self(id)),
            _ => Err(Problem::bad_request("bad_id", format!("`{}` is no id: ids are whole numbers from 1", text.escape_default()))),
        }
    }
}

/// The query or the body of a request by name. Both are read by the same words.
#[derive(Debug, Default)]
pub struct Words {
    words: Map<String, Value>,
}

impl<S: Send + Sync> FromRequestParts<S> for Words {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad_request("bad_query", "the query is not `name=value&…` in UTF-8"))?;
        let mut words = Map::new();
        for (name, value) in pairs {
            // A repeated name is a list, like one with commas.
            match words.get_mut(&name) {
                Some(Value::String(text)) => {
                    text.push(',');
                    text.push_str(&value);
                }
                _ => {
                    words.insert(name, value.into());
                }
            }
        }
        Ok(Self { words })
    }
}

impl Words {
    /// A JSON object; an empty body is an empty object.
    pub fn body(body: &Bytes) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(words)) => Ok(Self { words }),
            Ok(_) => Err(Problem::bad_request("bad_body", "the body is no JSON object")),
            Err(error) => Err(Problem::bad_request("bad_body", format!("the body is no JSON (line {}, column {})", error.line(), error.column()))),
        }
    }

    /// Refuses what is not among these.
    pub fn known(&self, known: &[&str]) -> Result<(), Problem> {
        match self.words.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Problem::bad_request("unknown_field", format!("there is no field `{}`; known are {}", name.escape_default(), known.join(", ")))),
        }
    }

    /// Nothing for an absent or a null field.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.words.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "text")),
        }
    }

    /// Words in a list, or with commas between them.
    pub fn list(&self, name: &str) -> Result<Vec<String>, Problem> {
        let one = |value: &Value| match value {
            Value::String(text) => Some(text.split(',').map(|word| word.trim().to_owned()).collect()),
            Value::Number(number) => Some(vec![number.to_string()]),
            _ => None,
        };
        let all: Option<Vec<Vec<String>>> = match self.words.get(name) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(one).collect(),
            Some(value) => one(value).map(|words| vec![words]),
        };
        all.map(|all| all.concat()).ok_or_else(|| wrong(name, "a word or a list of words"))
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        match self.words.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => number.as_i64().map(Some).ok_or_else(|| wrong(name, "a whole number")),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| wrong(name, "a whole number")),
            Some(_) => Err(wrong(name, "a whole number")),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.words.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" || text == "false" => Ok(text == "true"),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A moment as RFC 3339 writes it, in nanoseconds since 1970.
    pub fn time(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let time = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
        let nanos = time.ok().and_then(|time| u64::try_from(time.unix_timestamp_nanos()).ok());
        let problem =
            || Problem::bad_request("bad_time", format!("`{name}` is no RFC 3339 time since 1970, such as 2026-11-02T08:00:00Z: `{}`", text.escape_default()));
        nanos.map(Some).ok_or_else(problem)
    }

    /// How many things a page holds, 1 to 1,000.
    pub fn limit(&self) -> Result<u32, Problem> {
        let limit = self.number("limit")?.unwrap_or(100);
        u32::try_from(limit)
            .ok()
            .filter(|limit| (1..=1000).contains(limit))
            .ok_or_else(|| Problem::bad_request("bad_limit", format!("`limit` is {limit}; it must be 1 to 1000")))
    }

    /// As a query again, without these.
    pub fn query_without(&self, left_out: &[&str]) -> String {
        let kept = self.words.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
        kept.map(|(name, value)| format!("{}={}&", percent(name), percent(value.as_str().unwrap_or_default()))).collect()
    }
}

/// Part of a query (RFC 3986 §2.1).
pub fn percent(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~,".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn wrong(name: &str, want: &str) -> Problem {
    Problem::bad_request("bad_field", format!("`{name}` is not {want}"))
}
