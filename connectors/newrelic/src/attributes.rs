//! Attributes: flat, texts and numbers only, values of at most 4,094 bytes.

use bulkhead_sdk::attributes::{ATTRIBUTES, write_flat};
use bulkhead_sdk::{Event, Field, Kind, Pointers, Timestamp, Value, Writer};

use crate::Settings;

const BASE: [&str; 2] = ["/time", "/received"];
const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);

/// The Event API takes 4,096 characters, the Log API keeps 4,094 that can be searched; bytes are never fewer.
const VALUE_BYTES: usize = 4094;
const NAME_BYTES: usize = 255;
/// Of the 254 that an event may have, what the contract's 64 fields and plain texts need.
const MOST: usize = 100;
/// Names that New Relic keeps for itself.
const RESERVED: [&str; 6] = ["accountId", "appId", "eventType", "timestamp", "message", "entity.guid"];

/// Where the attributes of the configuration stand.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// Once in the request.
    Common,
    /// In every event, with its `eventType` and the event's own attributes.
    Event(&'a str),
}

#[derive(Debug)]
pub struct Attributes {
    /// `"environment":"prod",` of the configuration.
    fixed: Vec<u8>,
    /// Whether these stand in every entry.
    each: bool,
    /// `"name":` and its field.
    fields: Vec<(Vec<u8>, Field)>,
    pointers: Pointers,
}

fn key(name: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.json_string(name.as_bytes());
    out.byte(b':');
    out.into_bytes()
}

fn check(map: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES || RESERVED.contains(&name) || name.contains('`') {
        return Err(format!("`{map}` names \"{name}\"; a name has 1 to {NAME_BYTES} bytes, no backtick, and is none of {}", RESERVED.join(", ")));
    }
    Ok(())
}

impl Attributes {
    pub fn new(settings: &Settings, source: Source<'_>) -> Result<Self, String> {
        let mut pointers = Pointers::new(&BASE);
        let mut fixed = Writer::default();
        let mut fields = Vec::new();
        let mut add = |name: &str, key_of: &str, pointer: &str| -> Result<(), String> {
            fields.push((key(name), pointers.add(key_of, pointer)?));
            Ok(())
        };
        let configured = |name: &str| {
            let there = |map: &Option<std::collections::BTreeMap<String, String>>| map.as_ref().is_some_and(|map| map.contains_key(name));
            there(&settings.attributes) || there(&settings.attribute_fields)
        };
        if let Source::Event(event_type) = source {
            fixed.literal(b"\"eventType\":");
            fixed.json_string(event_type.as_bytes());
            fixed.byte(b',');
            for (name, pointer) in ATTRIBUTES.iter().filter(|(name, _)| !configured(name)) {
                add(name, name, pointer)?;
            }
        } else {
            for (name, pointer) in [("event.id", "/id"), ("hostname", "/host"), ("level", "/severity")] {
                if !configured(name) {
                    add(name, name, pointer)?;
                }
            }
        }
        for (name, pointer) in settings.attribute_fields.iter().flatten() {
            check("attribute_fields", name)?;
            if settings.attributes.as_ref().is_some_and(|attributes| attributes.contains_key(name)) {
                return Err(format!("\"{name}\" is in `attributes` and in `attribute_fields`"));
            }
            add(name, &format!("attribute_fields.{name}"), pointer)?;
        }
        for (name, value) in settings.attributes.iter().flatten() {
            check("attributes", name)?;
            if value.len() > VALUE_BYTES {
                return Err(format!("`attributes.{name}` has {} bytes, New Relic keeps {VALUE_BYTES}", value.len()));
            }
            fixed.bytes(&key(name));
            fixed.json_string(value.as_bytes());
            fixed.byte(b',');
        }
        let count = fields.len() + settings.attributes.as_ref().map_or(0, std::collections::BTreeMap::len);
        if count > MOST {
            return Err(format!("an event would have {count} attributes, at most {MOST} are possible"));
        }
        Ok(Self { fixed: fixed.into_bytes(), each: matches!(source, Source::Event(_)), fields, pointers })
    }

    pub fn pointers(&self) -> Vec<&str> {
        self.pointers.all()
    }

    pub fn time<'a>(&self, event: &Event<'a>) -> Option<Timestamp<'a>> {
        event.time([TIME, RECEIVED])
    }

    /// The attributes that stand once in a request.
    pub fn write_common(&self, out: &mut Writer) {
        out.bytes(self.fixed.strip_suffix(b",").unwrap_or(&self.fixed));
    }

    /// The attributes of an entry, with commas between them.
    pub fn write(&self, event: &Event<'_>, out: &mut Writer) {
        let inside = out.len();
        if self.each {
            out.bytes(&self.fixed);
        }
        for (key, field) in &self.fields {
            let value = event.get(*field);
            if !value.is_some() || value.raw().is_empty() {
                continue;
            }
            out.bytes(key);
            write(value, out);
            out.byte(b',');
        }
        if out.len() > inside {
            out.truncate(out.len() - 1);
        }
    }
}

/// Numbers that a 64-bit float holds stay numbers, everything else becomes text.
fn write(value: Value<'_>, out: &mut Writer) {
    let number = value.kind() == Kind::Number && std::str::from_utf8(value.raw()).is_ok_and(|digits| digits.parse::<f64>().is_ok_and(f64::is_finite));
    if number { out.json(value) } else { write_flat(value, VALUE_BYTES, out) }
}
