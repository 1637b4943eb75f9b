//! Protocol Buffers: each event as one message, plain or behind the prefix of a registry.
//! Sources: Protocol Buffers documentation, "Encoding" and "Proto3 Language Specification"; Confluent
//! documentation, "Formats, Serializers, and Deserializers".
//!
//! Promised: a message is one of the schema, whatever the event holds; numbers that do not fit are refused and
//! never cut; fields that the event does not have are not written. Refused before the first event: schemas that
//! are none, with the line of what is wrong, and what proto3 has that is not read here.

use std::collections::BTreeMap;

use bulkhead_sdk::cover::{Cover, Place};
use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Writer, pointer};

mod encode;
mod parse;
mod schema;
#[cfg(test)]
mod tests;
mod tokens;

use encode::Encoder;
use schema::{Field, Kind, Label, Message, Scalar, Schema};

/// Schema and framing of the messages.
#[derive(Debug, Config)]
pub struct Settings {
    /// The message as a list of fields; or `proto`.
    #[config(min = 1, max = 512)]
    fields: Option<Vec<Row>>,
    /// The message as the text of a `.proto` file (proto3).
    #[config(min = 1, max = 131072)]
    proto: Option<String>,
    /// Which message of `proto`; the first one where it is not named.
    message: Option<String>,
    /// Where a field of the message of `proto` is found: a pointer by its name. Without one: the event's attribute
    /// of that name, else the member of that name in `data`.
    from: Option<BTreeMap<String, String>>,
    /// What stands before each message.
    #[config(default = "plain")]
    framing: Framing,
    /// The id that the registry gave the schema; with `framing: confluent`.
    schema_id: Option<u32>,
}

/// A field of the message.
#[derive(Debug, Config)]
pub struct Row {
    /// Number of the field.
    #[config(min = 1, max = 536870911)]
    number: u32,
    /// Its name, for messages to people.
    #[config(min = 1, max = 255)]
    name: String,
    /// Type of its value.
    #[config(rename = "type")]
    kind: RowKind,
    /// A field of the event, as a pointer.
    from: String,
    /// It holds a list.
    #[config(default = false)]
    repeated: bool,
}

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum RowKind {
    Double,
    Float,
    #[config(rename = "int32")]
    Int32,
    #[config(rename = "int64")]
    Int64,
    #[config(rename = "uint32")]
    Uint32,
    #[config(rename = "uint64")]
    Uint64,
    #[config(rename = "sint32")]
    Sint32,
    #[config(rename = "sint64")]
    Sint64,
    #[config(rename = "fixed32")]
    Fixed32,
    #[config(rename = "fixed64")]
    Fixed64,
    #[config(rename = "sfixed32")]
    Sfixed32,
    #[config(rename = "sfixed64")]
    Sfixed64,
    Bool,
    String,
    Bytes,
    /// `google.protobuf.Timestamp`.
    Timestamp,
}

impl RowKind {
    fn kind(self) -> Kind {
        Kind::Scalar(match self {
            Self::Double => Scalar::Double,
            Self::Float => Scalar::Float,
            Self::Int32 => Scalar::Int32,
            Self::Int64 => Scalar::Int64,
            Self::Uint32 => Scalar::Uint32,
            Self::Uint64 => Scalar::Uint64,
            Self::Sint32 => Scalar::Sint32,
            Self::Sint64 => Scalar::Sint64,
            Self::Fixed32 => Scalar::Fixed32,
            Self::Fixed64 => Scalar::Fixed64,
            Self::Sfixed32 => Scalar::Sfixed32,
            Self::Sfixed64 => Scalar::Sfixed64,
            Self::Bool => Scalar::Bool,
            Self::String => Scalar::String,
            Self::Bytes => Scalar::Bytes,
            Self::Timestamp => return Kind::Timestamp,
        })
    }
}

/// What stands before each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Framing {
    /// Nothing.
    Plain,
    /// Its length.
    Delimited,
    /// A zero byte, the schema's id and the message's place in the schema, as Confluent's registry clients expect.
    Confluent,
}

#[derive(Debug)]
pub struct Protobuf {
    schema: Schema,
    /// The message's fields, each with where its value may be.
    fields: Vec<(Field, Vec<Place>)>,
    cover: Cover,
    framing: Framing,
    prefix: Vec<u8>,
}

impl Formatter for Protobuf {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { fields, proto, message, from, framing, schema_id } = settings;
        let from = from.unwrap_or_default();
        let (schema, at, pointers) = match (fields, proto) {
            (Some(rows), None) => {
                if message.is_some() || !from.is_empty() {
                    return Err("`message` and `from` belong to `proto`; each of `fields` has a `from` of its own".to_owned());
                }
                of_rows(rows)?
            }
            (None, Some(text)) => of_proto(&text, message.as_deref(), &from)?,
            _ => return Err("one of `fields` and `proto` says what the message is".to_owned()),
        };
        let message = schema.messages.get(at).ok_or("the schema has no message")?;
        let prefix = match (framing, schema_id) {
            (Framing::Confluent, Some(id)) => {
                let mut prefix = Writer::default();
                prefix.byte(0);
                prefix.bytes(&id.to_be_bytes());
                message.write_place(&mut prefix);
                prefix.into_bytes()
            }
            (Framing::Confluent, None) => return Err("`schema_id` is missing; `framing: confluent` begins each message with it".to_owned()),
            (_, Some(_)) => return Err("`schema_id` belongs to `framing: confluent`".to_owned()),
            (_, None) => Vec::new(),
        };
        let cover = Cover::new(pointers.iter().flatten().map(String::as_str));
        let places = pointers.iter().map(|pointers| pointers.iter().filter_map(|pointer| cover.place(pointer)).collect());
        let fields = message.fields.iter().cloned().zip(places).collect();
        Ok(Self { fields, cover, framing, prefix, schema })
    }

    fn fields(&self) -> Vec<&str> {
        self.cover.fields()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("protobuf", "application/x-protobuf")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        out.bytes(&self.prefix);
        let encoder = Encoder::new(&self.schema);
        let values = self.fields.iter().map(|(field, places)| (field, places.iter().map(|place| place.get(event)).find(|value| value.is_some())));
        if self.framing == Framing::Delimited {
            let mut message = Writer::default();
            encoder.message(values, &mut message).map_err(String::from)?;
            bulkhead_sdk::protobuf::varint(message.len() as u64, out);
            out.bytes(message.as_bytes());
            return Ok(());
        }
        encoder.message(values, out).map_err(String::from)
    }
}

/// The message that a list of fields is, and where their values are.
fn of_rows(rows: Vec<Row>) -> Result<(Schema, usize, Vec<Vec<String>>), String> {
    let (mut fields, mut pointers) = (Vec::new(), Vec::new());
    for (at, row) in rows.into_iter().enumerate() {
        pointer::check(&format!("fields[{at}].from"), &row.from)?;
        let label = if row.repeated { Label::Repeated } else { Label::Implicit };
        fields.push(Field { name: row.name, number: row.number, kind: row.kind.kind(), label, oneof: None });
        pointers.push(vec![row.from]);
    }
    let message = Message { name: "Event".to_owned(), fields, place: vec![0] };
    message.check().map_err(|problem| format!("`fields`: {problem}"))?;
    Ok((Schema { messages: vec![message], enums: Vec::new() }, 0, pointers))
}

fn of_proto(text: &str, message: Option<&str>, from: &BTreeMap<String, String>) -> Result<(Schema, usize, Vec<Vec<String>>), String> {
    let schema = parse::schema(text).map_err(|problem| format!("`proto`: {problem}"))?;
    let at = match message {
        None => 0,
        Some(name) => schema.find(name).ok_or_else(|| format!("`message` is \"{name}\"; `proto` has {}", schema.names()))?,
    };
    let Some(message) = schema.messages.get(at) else { return Err("`proto` has no message".to_owned()) };
    for (name, pointer) in from {
        pointer::check(&format!("from.{name}"), pointer)?;
        if !message.fields.iter().any(|field| field.name == *name) {
            return Err(format!("`from.{name}`: the message has no field of that name"));
        }
    }
    let pointers = message.fields.iter().map(|field| candidates(&field.name, from.get(&field.name))).collect();
    Ok((schema, at, pointers))
}

/// Pointers that a field's value may be at, in their order.
fn candidates(name: &str, configured: Option<&String>) -> Vec<String> {
    match configured {
        Some(pointer) => vec![pointer.clone()],
        None if pointer::is_root(name) => vec![format!("/{name}"), format!("/data/{name}")],
        None => vec![format!("/data/{name}")],
    }
}

bulkhead_sdk::export_formatter!(Protobuf);
