//! What a mapping is configured with.

use bulkhead_sdk::time::format::DateFormat;
use bulkhead_sdk::{Config, Value, json};

pub use crate::transform::Transform;

/// One member of the object.
#[derive(Debug, Config)]
pub struct Row {
    /// Where it goes: `alert.severity`, or as a pointer `/alert/severity`. Of rows with the same place the first
    /// that gives a value counts.
    #[config(min = 1, max = 1024)]
    pub to: String,
    /// A field of the event, as a pointer.
    #[config(max = 1024)]
    pub from: Option<String>,
    /// A constant.
    pub value: Option<Constant>,
    /// An expression in CEL over the event's fields.
    #[config(max = 4096)]
    pub expr: Option<String>,
    /// An expression in CEL; the row counts only where it holds.
    #[config(max = 4096)]
    pub when: Option<String>,
    /// What takes the place of a value that is missing or null.
    pub default: Option<Constant>,
    /// An event that has no value here is refused.
    #[config(default = false)]
    pub required: bool,
    /// Type of the value.
    #[config(rename = "type")]
    pub kind: Option<Kind>,
    /// What is done to the value, one after the other.
    #[config(max = 32)]
    pub transform: Option<Vec<Transform>>,
    /// What the value must be like.
    pub check: Option<Check>,
}

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Kind {
    /// Containers become JSON text.
    String,
    /// A whole number; also from text.
    Integer,
    /// Also from text.
    Number,
    /// Also from the texts true, false, 1 and 0.
    Boolean,
    /// RFC 3339 in UTC; also from a number since 1970.
    Timestamp,
    /// Text that holds JSON becomes what it holds.
    Json,
}

/// What a value must be like.
#[derive(Debug, Config)]
pub struct Check {
    /// Its text is one of these.
    #[config(min = 1, max = 1000)]
    pub one_of: Option<Vec<String>>,
    /// A regular expression that its text contains.
    #[config(min = 1, max = 512)]
    pub pattern: Option<String>,
    /// Least number.
    pub min: Option<f64>,
    /// Greatest number.
    pub max: Option<f64>,
    /// Least characters of a text, or elements of a list.
    pub min_length: Option<u32>,
    /// Most characters of a text, or elements of a list.
    pub max_length: Option<u32>,
}

/// A rule of the whole event.
#[derive(Debug, Config)]
pub struct Rule {
    /// An expression in CEL that must hold.
    #[config(min = 1, max = 4096)]
    pub that: String,
    /// Why an event that breaks it is refused.
    #[config(min = 1, max = 512)]
    pub reason: String,
}

/// Any JSON value, kept as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant(String);

impl Constant {
    pub fn value(&self) -> Value<'_> {
        json::value(&self.0).unwrap_or(Value::MISSING)
    }
}

impl Config for Constant {
    const BODY: &'static str = "\"type\":[\"string\",\"number\",\"boolean\",\"array\",\"object\"]";

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        let raw = String::from_utf8_lossy(value.raw());
        let text = if value.is_string() { format!("\"{raw}\"") } else { raw.into_owned() };
        if json::is_strict(&text) { Ok(Self(text)) } else { Err(format!("`{at}` must be well-formed JSON")) }
    }
}

impl Config for Transform {
    const BODY: &'static str = concat!(
        "\"oneOf\":[{\"enum\":[\"trim\",\"lower\",\"upper\",\"hash_sha256\"]},{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":1,",
        "\"additionalProperties\":false,\"properties\":{\"split\":{\"type\":\"string\"},\"join\":{\"type\":\"string\"},",
        "\"replace\":{\"type\":\"object\",\"required\":[\"from\",\"to\"]},\"regex_extract\":{\"type\":[\"string\",\"object\"]},",
        "\"truncate\":{\"type\":\"integer\",\"minimum\":1},\"at\":{\"type\":\"integer\"},\"map\":{\"type\":\"object\"},\"date\":{\"type\":\"string\"}}}]"
    );

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        let named = |name: &str| match name {
            "trim" => Some(Self::Trim),
            "lower" => Some(Self::Lower),
            "upper" => Some(Self::Upper),
            "hash_sha256" => Some(Self::HashSha256),
            _ => None,
        };
        let unknown = || {
            let known = "trim, lower, upper, hash_sha256, and as {name: …} split, join, replace, regex_extract, truncate, at, map, date";
            format!("`{at}` is none of {known}")
        };
        if value.is_string() {
            let name = String::read(value, at)?;
            return named(&name).ok_or_else(unknown);
        }
        let mut members = value.members();
        let (Some((name, argument)), None) = (members.next(), members.next()) else { return Err(unknown()) };
        let name = String::from_utf8_lossy(&name.text().unwrap_or_default()).into_owned();
        let inside = format!("{at}.{name}");
        match name.as_str() {
            "split" => Ok(Self::Split(filled(String::read(argument, &inside)?, &inside)?)),
            "join" => String::read(argument, &inside).map(Self::Join),
            "replace" => {
                let Replace { from, to } = Replace::read(argument, &inside)?;
                Ok(Self::Replace { from, to })
            }
            "regex_extract" if argument.is_string() => Self::regex_extract(&String::read(argument, &inside)?, None, &inside),
            "regex_extract" => {
                let Extract { pattern, group } = Extract::read(argument, &inside)?;
                Self::regex_extract(&pattern, group.as_deref(), &inside)
            }
            "truncate" => u32::read(argument, &inside).map(|length| Self::Truncate(length as usize)),
            "at" => i64::read(argument, &inside).map(Self::At),
            "map" => Self::table(argument, &inside),
            "date" => {
                let format = String::read(argument, &inside)?;
                DateFormat::parse(&format).map(Self::Date).map_err(|problem| format!("`{inside}`: {problem}"))
            }
            _ => Err(unknown()),
        }
    }
}

fn filled(text: String, at: &str) -> Result<String, String> {
    if text.is_empty() { Err(format!("`{at}` is empty")) } else { Ok(text) }
}

/// Text for text.
#[derive(Debug, Config)]
struct Replace {
    #[config(min = 1, max = 1024)]
    from: String,
    #[config(max = 1024)]
    to: String,
}

/// What a regular expression finds.
#[derive(Debug, Config)]
struct Extract {
    #[config(min = 1, max = 512)]
    pattern: String,
    /// Name or number of the group.
    group: Option<String>,
}
