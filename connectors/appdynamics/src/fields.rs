//! Fields of an event: flat, each of the type that the schema says.

use std::collections::BTreeMap;

use bulkhead_sdk::attributes::{ATTRIBUTES, write_flat};
use bulkhead_sdk::writer::cut;
use bulkhead_sdk::{Config, Event, Field, Kind, Pointers, Timestamp, Value, Writer};

const BASE: [&str; 2] = ["/time", "/received"];
const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);

/// Longest text.
const TEXT_BYTES: usize = 4096;
/// Names that the service keeps for itself.
const RESERVED: [&str; 3] = ["eventTimestamp", "pickupTimestamp", "record"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Type {
    String,
    Integer,
    Float,
    Boolean,
    Date,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Date => "date",
        }
    }
}

#[derive(Debug)]
pub struct Fields {
    list: Vec<(String, Field, Type)>,
    record: bool,
    pointers: Pointers,
}

/// A letter first, letters, digits and `_`.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Fields {
    pub fn new(more: Option<&BTreeMap<String, String>>, types: Option<&BTreeMap<String, Type>>, record: bool) -> Result<Self, String> {
        let mut pointers = Pointers::new(&BASE);
        let mut list = Vec::new();
        for (name, pointer) in ATTRIBUTES {
            if more.is_some_and(|more| more.contains_key(name)) {
                continue;
            }
            let kind = if name == "dstport" { Type::Integer } else { Type::String };
            list.push((name.to_owned(), pointers.add(name, pointer)?, kind));
        }
        for (name, pointer) in more.into_iter().flatten() {
            if !is_name(name) || RESERVED.contains(&name.as_str()) {
                return Err(format!(
                    "`fields` names \"{name}\"; a field begins with a letter, has letters, digits and _, and is none of {}",
                    RESERVED.join(", ")
                ));
            }
            let kind = types.and_then(|types| types.get(name)).copied().unwrap_or(Type::String);
            list.push((name.clone(), pointers.add(&format!("fields.{name}"), pointer)?, kind));
        }
        if let Some(name) = types.into_iter().flatten().map(|(name, _)| name).find(|name| more.is_none_or(|more| !more.contains_key(*name))) {
            return Err(format!("`types.{name}` is the type of no field in `fields`"));
        }
        Ok(Self { list, record, pointers })
    }

    pub fn pointers(&self) -> Vec<&str> {
        self.pointers.all()
    }

    /// `{"schema":{"id":"string",…}}`
    pub fn schema(&self) -> Vec<u8> {
        let record = self.record.then_some(("record", Type::String));
        let all = self.list.iter().map(|(name, _, kind)| (name.as_str(), *kind)).chain(record);
        let members: Vec<String> = all.map(|(name, kind)| format!("\"{name}\":\"{}\"", kind.name())).collect();
        format!("{{\"schema\":{{{}}}}}", members.join(",")).into_bytes()
    }

    pub fn write(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) {
        out.byte(b'{');
        let inside = out.len();
        if let Some(moment) = event.time([TIME, RECEIVED]) {
            out.literal(b"\"eventTimestamp\":");
            out.number(moment.millis());
            out.byte(b',');
        }
        for (name, field, kind) in &self.list {
            let start = out.len();
            out.json_string(name.as_bytes());
            out.byte(b':');
            if write(event.get(*field), *kind, out) {
                out.byte(b',');
            } else {
                out.truncate(start);
            }
        }
        if self.record {
            out.literal(b"\"record\":");
            out.json_string(cut(record.trim_ascii_end(), TEXT_BYTES));
            out.byte(b',');
        }
        if out.len() > inside {
            out.truncate(out.len() - 1);
        }
        out.byte(b'}');
    }
}

/// Writes a value of this type; false where it is none.
fn write(value: Value<'_>, kind: Type, out: &mut Writer) -> bool {
    if !value.is_some() || value.raw().is_empty() {
        return false;
    }
    let raw = std::str::from_utf8(value.raw()).unwrap_or_default();
    match kind {
        Type::String => write_flat(value, TEXT_BYTES, out),
        Type::Integer => match value.integer() {
            Some(number) => out.number(number),
            None => return false,
        },
        Type::Float if value.kind() == Kind::Number && raw.parse::<f64>().is_ok_and(f64::is_finite) => out.json(value),
        Type::Boolean if value.kind() == Kind::Bool => out.json(value),
        Type::Date => match Timestamp::parse(value.raw()) {
            Some(moment) => out.number(moment.millis()),
            None => return false,
        },
        Type::Float | Type::Boolean => return false,
    }
    true
}
