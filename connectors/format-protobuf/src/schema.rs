//! Messages as the encoder needs them.

use std::collections::BTreeSet;

use bulkhead_sdk::Writer;
use bulkhead_sdk::protobuf::{varint, zigzag};

#[derive(Debug, Default)]
pub struct Schema {
    pub messages: Vec<Message>,
    pub enums: Vec<Enum>,
}

#[derive(Debug)]
pub struct Message {
    /// With its package and the messages around.
    pub name: String,
    pub fields: Vec<Field>,
    /// Its place among its siblings, and before it those of the messages around.
    pub place: Vec<usize>,
}

#[derive(Debug)]
pub struct Enum {
    pub name: String,
    pub values: Vec<(String, i32)>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub number: u32,
    pub kind: Kind,
    pub label: Label,
    /// Of the fields with the same number here one is written at most.
    pub oneof: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Scalar(Scalar),
    /// Places in the schema.
    Enum(usize),
    Message(usize),
    /// `google.protobuf.Timestamp`.
    Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Zero, false and empty are not written.
    Implicit,
    Optional,
    Repeated,
    Map(Scalar),
}

impl Scalar {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "double" => Self::Double,
            "float" => Self::Float,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint32" => Self::Uint32,
            "uint64" => Self::Uint64,
            "sint32" => Self::Sint32,
            "sint64" => Self::Sint64,
            "fixed32" => Self::Fixed32,
            "fixed64" => Self::Fixed64,
            "sfixed32" => Self::Sfixed32,
            "sfixed64" => Self::Sfixed64,
            "bool" => Self::Bool,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            _ => return None,
        })
    }

    /// Lists of it go as one field.
    pub fn is_packed(self) -> bool {
        !matches!(self, Self::String | Self::Bytes)
    }

    pub fn is_key(self) -> bool {
        !matches!(self, Self::Double | Self::Float | Self::Bytes)
    }
}

impl Message {
    /// Numbers and names are each there once, and numbers are none that the language keeps.
    pub fn check(&self) -> Result<(), String> {
        let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
        for field in &self.fields {
            if !(1..=536_870_911).contains(&field.number) || (19_000..=19_999).contains(&field.number) {
                return Err(format!("field `{}` has the number {}; numbers are 1 to 536870911 without 19000 to 19999", field.name, field.number));
            }
            if !numbers.insert(field.number) {
                return Err(format!("the number {} is there twice", field.number));
            }
            if !names.insert(field.name.as_str()) {
                return Err(format!("the field `{}` is there twice", field.name));
            }
        }
        Ok(())
    }

    /// The message's place as Confluent's registry clients write it: a length and the places, zigzag; the first
    /// message of all is one zero.
    pub fn write_place(&self, out: &mut Writer) {
        if self.place == [0] {
            return out.byte(0);
        }
        varint(zigzag(self.place.len() as i64), out);
        for place in &self.place {
            varint(zigzag(*place as i64), out);
        }
    }
}

impl Schema {
    /// A message by its name, with the package or without.
    pub fn find(&self, name: &str) -> Option<usize> {
        let exact = self.messages.iter().position(|message| message.name == name);
        exact.or_else(|| self.messages.iter().position(|message| message.name.strip_suffix(name).is_some_and(|before| before.ends_with('.'))))
    }

    pub fn names(&self) -> String {
        const SHOWN: usize = 20;
        self.messages.iter().take(SHOWN).map(|message| message.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}
