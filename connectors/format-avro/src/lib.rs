//! Apache Avro: each event as one binary datum of a schema, plain or behind the prefix of a registry.
//! Sources: Apache Avro 1.12 specification; Confluent documentation, "Formats, Serializers, and Deserializers".
//!
//! Promised: a datum is one of the schema, whatever the event holds; numbers that do not fit are refused and
//! never cut; a field that the event does not have is null, the schema's default, or a reason to refuse the
//! event. Refused before the first event: schemas that are none, with the path to what is wrong.
//!
//! An encoder of our own: `apache-avro` is many times as large and reads, resolves and compresses too.

use bulkhead_sdk::cover::{Cover, Place};
use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Writer, pointer};
use std::collections::{BTreeMap, BTreeSet};

mod canonical;
mod decimal;
mod encode;
mod schema;
#[cfg(test)]
mod tests;
mod varint;

use encode::Encoder;
use schema::{Field, Node, Schema};

/// The security event of the streaming platforms' fact sheets. Its defaults are for events that lack a field; they
/// change neither the bytes nor the fingerprint.
const DEFAULT_SCHEMA: &str = r#"{"type":"record","name":"SecurityEvent","namespace":"example.security","fields":[
{"name":"id","type":"string"},
{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
{"name":"event_type","type":"string","default":""},
{"name":"severity","type":"string","default":""},
{"name":"source_ip","type":"string","default":""},
{"name":"payload","type":"string","default":""}]}"#;

/// Where its fields are found.
const DEFAULT_FIELDS: [(&str, &str); 5] = [("timestamp", "/time"), ("event_type", "/type"), ("source_ip", "/srcip"), ("payload", "/data"), ("id", "/id")];

/// Schema and framing of the data.
#[derive(Debug, Config)]
pub struct Settings {
    /// A record schema as JSON text. Without it: a security event with id, timestamp, event_type, severity,
    /// source_ip and payload.
    #[config(min = 2, max = 131072)]
    schema: Option<String>,
    /// Where a field of the record is found: a pointer by its name. Without one: the event's attribute of that
    /// name, else the member of that name in `data`.
    fields: Option<BTreeMap<String, String>>,
    /// What stands before each datum.
    #[config(default = "plain")]
    framing: Framing,
    /// The id that the registry gave the schema; with `framing: confluent`.
    schema_id: Option<u32>,
}

/// What stands before each datum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Framing {
    /// Nothing.
    Plain,
    /// A zero byte and the schema's id, as Confluent's registry clients expect.
    Confluent,
    /// C3 01 and the fingerprint of the schema.
    SingleObject,
}

#[derive(Debug)]
pub struct Avro {
    schema: Schema,
    /// The top-level record's fields, each with where its value may be.
    fields: Vec<(Field, Vec<Place>)>,
    cover: Cover,
    prefix: Vec<u8>,
}

impl Formatter for Avro {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let is_default = settings.schema.is_none();
        let text = settings.schema.unwrap_or_else(|| DEFAULT_SCHEMA.to_owned());
        let schema = Schema::parse(&text).map_err(|problem| format!("`schema`: {problem}"))?;
        let prefix = match (settings.framing, settings.schema_id) {
            (Framing::Plain, None) => Vec::new(),
            (Framing::Confluent, Some(id)) => [&[0], &id.to_be_bytes()[..]].concat(),
            (Framing::Confluent, None) => return Err("`schema_id` is missing; `framing: confluent` begins each datum with it".to_owned()),
            (Framing::SingleObject, None) => [&[0xc3, 0x01], &canonical::fingerprint(&schema.canonical).to_le_bytes()[..]].concat(),
            (Framing::Plain | Framing::SingleObject, Some(_)) => return Err("`schema_id` belongs to `framing: confluent`".to_owned()),
        };
        let Some(Node::Record { fields, .. }) = schema.node(schema.root) else { return Err("`schema` is no record".to_owned()) };
        let mut pointers = settings.fields.unwrap_or_default();
        if is_default {
            for (name, pointer) in DEFAULT_FIELDS {
                pointers.entry(name.to_owned()).or_insert_with(|| pointer.to_owned());
            }
        }
        for (name, pointer) in &pointers {
            pointer::check(&format!("fields.{name}"), pointer)?;
            if !fields.iter().any(|field| field.name == *name) {
                return Err(format!("`fields.{name}`: the schema's record has no field of that name"));
            }
        }
        let candidates: Vec<Vec<String>> = fields.iter().map(|field| candidates(&field.name, pointers.get(&field.name))).collect();
        let all: BTreeSet<&str> = candidates.iter().flatten().map(String::as_str).collect();
        let cover = Cover::new(all);
        let place = |pointers: &Vec<String>| pointers.iter().filter_map(|pointer| cover.place(pointer)).collect();
        let fields = fields.iter().cloned().zip(candidates.iter().map(place)).collect();
        Ok(Self { fields, cover, prefix, schema })
    }

    fn fields(&self) -> Vec<&str> {
        self.cover.fields()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("avro", "avro/binary")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        out.bytes(&self.prefix);
        let encoder = Encoder::new(&self.schema);
        for (field, places) in &self.fields {
            encoder.field(field, places.iter().map(|place| place.get(event)), out)?;
        }
        Ok(())
    }
}

/// Pointers that a field's value may be at, in their order.
fn candidates(name: &str, configured: Option<&String>) -> Vec<String> {
    match configured.map(String::as_str) {
        // Bulkhead's own time of receipt stands in for one that cannot be read.
        Some("/time") => vec!["/time".to_owned(), "/received".to_owned()],
        Some(pointer) => vec![pointer.to_owned()],
        None if pointer::is_root(name) => vec![format!("/{name}"), format!("/data/{name}")],
        None => vec![format!("/data/{name}")],
    }
}

bulkhead_sdk::export_formatter!(Avro);
