//! A value on its way through a row.

use std::borrow::Cow;

use bulkhead_sdk::{Kind, Value, Writer, json};

/// Most elements of a list that are looked at one by one.
pub const MOST_ELEMENTS: usize = 100_000;

#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// As it stands in the event or in the configuration; neither missing nor null.
    Seen(Value<'a>),
    Text(Cow<'a, str>),
    /// A container of the event as a text, its JSON on one line.
    Spelled(Value<'a>),
    /// Digits of a number of JSON.
    Number(String),
    Bool(bool),
    /// A container as JSON text.
    Json(String),
    List(Vec<Item<'a>>),
}

impl<'a> Item<'a> {
    /// Nothing for what is missing or null.
    pub fn of(value: Value<'a>) -> Option<Self> {
        value.is_some().then_some(Self::Seen(value))
    }

    /// The text of a scalar; nothing for containers.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Seen(value) => Some(match value.text()? {
                Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
                Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
            }),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Spelled(value) => {
                let mut out = Writer::default();
                out.json_line(*value);
                Some(Cow::Owned(String::from_utf8_lossy(out.as_bytes()).into_owned()))
            }
            Self::Number(digits) => Some(Cow::Borrowed(digits)),
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Json(_) | Self::List(_) => None,
        }
    }

    /// Text that JSON writes in quotes.
    pub fn is_text(&self) -> bool {
        match self {
            Self::Seen(value) => value.is_string(),
            Self::Text(_) | Self::Spelled(_) => true,
            _ => false,
        }
    }

    /// The digits of a number.
    pub fn digits(&self) -> Option<&str> {
        match self {
            Self::Seen(value) if value.kind() == Kind::Number => std::str::from_utf8(value.raw()).ok(),
            Self::Number(digits) => Some(digits),
            _ => None,
        }
    }

    /// The elements of a list, nulls left out; nothing for what is none.
    pub fn elements(self) -> Result<Vec<Item<'a>>, Item<'a>> {
        match self {
            Self::List(items) => Ok(items),
            Self::Seen(value) if value.kind() == Kind::Array => Ok(value.elements().filter_map(Self::of).collect()),
            Self::Json(text) if text.starts_with('[') => {
                let owned = |value: Value<'_>| match value.kind() {
                    Kind::Missing | Kind::Null => None,
                    Kind::Bool => Some(Item::Bool(value.raw() == b"true")),
                    Kind::Number => Some(Item::Number(String::from_utf8_lossy(value.raw()).into_owned())),
                    Kind::String | Kind::EscapedString => Some(Item::Text(Cow::Owned(String::from_utf8_lossy(&value.text().unwrap_or_default()).into_owned()))),
                    Kind::Array | Kind::Object => Some(Item::Json(String::from_utf8_lossy(value.raw()).into_owned())),
                };
                Ok(json::value(&text).map(|list| list.elements().filter_map(owned).collect()).unwrap_or_default())
            }
            other => Err(other),
        }
    }

    /// How many elements a list has.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Seen(value) if value.kind() == Kind::Array => Some(value.elements().count()),
            Self::Json(text) if text.starts_with('[') => Some(json::value(text)?.elements().count()),
            _ => None,
        }
    }

    /// Writes it as JSON on one line.
    pub fn write(&self, out: &mut Writer) {
        match self {
            Self::Seen(value) => out.json_line(*value),
            Self::Text(text) => out.json_string(text.as_bytes()),
            Self::Spelled(value) => out.json_line_text(*value),
            Self::Number(digits) => out.bytes(digits.as_bytes()),
            Self::Bool(value) => out.bytes(if *value { b"true" } else { b"false" }),
            Self::Json(text) => out.one_line(text.as_bytes()),
            Self::List(items) => {
                out.byte(b'[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.byte(b',');
                    }
                    item.write(out);
                }
                out.byte(b']');
            }
        }
    }

    /// It as JSON text.
    pub fn json(&self) -> String {
        let mut out = Writer::default();
        self.write(&mut out);
        String::from_utf8_lossy(out.as_bytes()).into_owned()
    }
}
