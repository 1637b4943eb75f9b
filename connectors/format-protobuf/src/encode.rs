//! Values of an event as fields of a message.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;

use bulkhead_sdk::protobuf::{self, varint, zigzag};
use bulkhead_sdk::{Kind as Json, Timestamp, Value, Writer, json};

use crate::schema::{Field, Kind, Label, Message, Scalar, Schema};

/// How deep messages go; readers take 100.
const MOST_DEPTH: usize = 64;
/// Values of one event that are looked at.
const MOST_VALUES: u32 = 1_000_000;

pub struct Encoder<'s> {
    schema: &'s Schema,
    looked: Cell<u32>,
}

/// Why a value is none of its type; text about the type, never the value.
type Refusal = Cow<'static, str>;

/// What a scalar is on the wire.
enum Wire {
    Varint(u64),
    I32(u32),
    I64(u64),
    Bytes(Vec<u8>),
}

impl<'s> Encoder<'s> {
    /// For one event.
    pub fn new(schema: &'s Schema) -> Self {
        Self { schema, looked: Cell::new(0) }
    }

    /// Writes the fields that have a value.
    pub fn message<'f, 'v>(&self, values: impl Iterator<Item = (&'f Field, Option<Value<'v>>)>, out: &mut Writer) -> Result<(), Refusal> {
        self.fields(values, MOST_DEPTH, out)
    }

    fn fields<'f, 'v>(&self, values: impl Iterator<Item = (&'f Field, Option<Value<'v>>)>, depth: usize, out: &mut Writer) -> Result<(), Refusal> {
        let depth = depth.checked_sub(1).ok_or("messages are nested too deep")?;
        let mut chosen = BTreeSet::new();
        for (field, value) in values {
            let Some(value) = value.filter(Value::is_some) else { continue };
            // Of a oneof the first one that is there is written.
            if field.oneof.is_some_and(|oneof| !chosen.insert(oneof)) {
                continue;
            }
            self.field(field, value, depth, out).map_err(|refusal| format!("`{}`: {refusal}", field.name))?;
        }
        Ok(())
    }

    fn look(&self) -> Result<(), Refusal> {
        self.looked.set(self.looked.get() + 1);
        if self.looked.get() > MOST_VALUES { Err("the event holds more than is looked at".into()) } else { Ok(()) }
    }

    fn field(&self, field: &Field, value: Value<'_>, depth: usize, out: &mut Writer) -> Result<(), Refusal> {
        match field.label {
            Label::Implicit => self.one(field.number, field.kind, value, true, depth, out),
            Label::Optional => self.one(field.number, field.kind, value, false, depth, out),
            Label::Repeated => self.list(field, value, depth, out),
            Label::Map(key) => self.map(field, key, value, depth, out),
        }
    }

    fn list(&self, field: &Field, value: Value<'_>, depth: usize, out: &mut Writer) -> Result<(), Refusal> {
        if value.kind() != Json::Array {
            return Err("it is no list".into());
        }
        let is_packed = match field.kind {
            Kind::Scalar(scalar) => scalar.is_packed(),
            Kind::Enum(_) => true,
            Kind::Message(_) | Kind::Timestamp => false,
        };
        if !is_packed {
            return value.elements().try_for_each(|element| self.one(field.number, field.kind, element, false, depth, out));
        }
        let mut packed = Writer::default();
        for element in value.elements() {
            self.look()?;
            match self.scalar(field.kind, element)? {
                Wire::Varint(number) => varint(number, &mut packed),
                Wire::I32(number) => packed.bytes(&number.to_le_bytes()),
                Wire::I64(number) => packed.bytes(&number.to_le_bytes()),
                Wire::Bytes(_) => return Err("it is no number".into()),
            }
        }
        if !packed.is_empty() {
            protobuf::Message::new(out).bytes(field.number, packed.as_bytes());
        }
        Ok(())
    }

    fn map(&self, field: &Field, key: Scalar, value: Value<'_>, depth: usize, out: &mut Writer) -> Result<(), Refusal> {
        if value.kind() != Json::Object {
            return Err("it is no object".into());
        }
        for (name, member) in value.members() {
            let mut entry = Writer::default();
            // Keys and values of an entry are written whatever they are.
            self.one(1, Kind::Scalar(key), name, false, depth, &mut entry)?;
            self.one(2, field.kind, member, false, depth, &mut entry)?;
            protobuf::Message::new(out).bytes(field.number, entry.as_bytes());
        }
        Ok(())
    }

    /// One value; `implicit` leaves out what is zero, false or empty.
    fn one(&self, number: u32, kind: Kind, value: Value<'_>, implicit: bool, depth: usize, out: &mut Writer) -> Result<(), Refusal> {
        self.look()?;
        let message = match kind {
            Kind::Scalar(_) | Kind::Enum(_) => {
                let mut message = protobuf::Message::new(out);
                match self.scalar(kind, value)? {
                    Wire::Varint(0) | Wire::I32(0) | Wire::I64(0) if implicit => {}
                    Wire::Bytes(bytes) if implicit && bytes.is_empty() => {}
                    Wire::Varint(wire) => message.unsigned(number, wire),
                    Wire::I32(wire) => message.fixed32(number, wire),
                    Wire::I64(wire) => message.fixed64(number, wire),
                    Wire::Bytes(bytes) => message.bytes(number, &bytes),
                }
                return Ok(());
            }
            Kind::Message(at) => {
                let inner: &Message = self.schema.messages.get(at).ok_or("the schema has no such message")?;
                if value.kind() != Json::Object {
                    return Err("it is no object".into());
                }
                let mut message = Writer::default();
                self.fields(inner.fields.iter().map(|field| (field, Some(member(value, &field.name)))), depth, &mut message)?;
                message
            }
            Kind::Timestamp => {
                let text = value.text().filter(|_| value.is_string() || value.kind() == Json::Number).unwrap_or_default();
                let moment = Timestamp::read(text.trim_ascii()).ok_or("it is no time (RFC 3339, or a number since 1970)")?;
                let mut message = Writer::default();
                let mut parts = protobuf::Message::new(&mut message);
                if moment.seconds != 0 {
                    parts.integer(1, moment.seconds);
                }
                let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + moment.fraction.get(at).map_or(0, |digit| i64::from(digit.wrapping_sub(b'0'))));
                if nanos != 0 {
                    parts.integer(2, nanos);
                }
                message
            }
        };
        protobuf::Message::new(out).bytes(number, message.as_bytes());
        Ok(())
    }

    fn scalar(&self, kind: Kind, value: Value<'_>) -> Result<Wire, Refusal> {
        let Kind::Scalar(scalar) = kind else { return self.symbol(kind, value) };
        Ok(match scalar {
            Scalar::Double => Wire::I64(Some(decimal::<f64>(value)?).filter(|number| number.is_finite()).ok_or("it does not fit a double")?.to_bits()),
            Scalar::Float => Wire::I32(Some(decimal::<f32>(value)?).filter(|number| number.is_finite()).ok_or("it does not fit a float")?.to_bits()),
            Scalar::Int32 => Wire::Varint(i64::from(whole::<i32>(value)?) as u64),
            Scalar::Int64 => Wire::Varint(whole::<i64>(value)? as u64),
            Scalar::Uint32 => Wire::Varint(whole::<u32>(value)?.into()),
            Scalar::Uint64 => Wire::Varint(whole::<u64>(value)?),
            Scalar::Sint32 => Wire::Varint(zigzag(whole::<i32>(value)?.into())),
            Scalar::Sint64 => Wire::Varint(zigzag(whole::<i64>(value)?)),
            Scalar::Fixed32 => Wire::I32(whole::<u32>(value)?),
            Scalar::Fixed64 => Wire::I64(whole::<u64>(value)?),
            Scalar::Sfixed32 => Wire::I32(whole::<i32>(value)? as u32),
            Scalar::Sfixed64 => Wire::I64(whole::<i64>(value)? as u64),
            Scalar::Bool => match value.text().as_deref().map(<[u8]>::trim_ascii) {
                Some(b"true") => Wire::Varint(1),
                Some(b"false") => Wire::Varint(0),
                _ => return Err("it is neither true nor false".into()),
            },
            Scalar::String | Scalar::Bytes => match value.kind() {
                Json::Missing | Json::Null => return Err("it is null".into()),
                // Containers as JSON.
                _ => Wire::Bytes(value.text().map_or_else(|| value.raw().to_vec(), Cow::into_owned)),
            },
        })
    }

    /// An enum's value by its name, with the enum's own name before it or without, or by its number.
    fn symbol(&self, kind: Kind, value: Value<'_>) -> Result<Wire, Refusal> {
        let Kind::Enum(at) = kind else { return Err("it is no number".into()) };
        let own = self.schema.enums.get(at).ok_or("the schema has no such enum")?;
        let number = if value.kind() == Json::Number {
            whole::<i32>(value).ok().filter(|number| own.values.iter().any(|(_, known)| known == number))
        } else {
            let text = value.text().filter(|_| value.is_string()).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
            let prefix = upper_snake(own.name.rsplit('.').next().unwrap_or_default());
            let is = |name: &str| {
                name.eq_ignore_ascii_case(&text)
                    || name.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix('_')).is_some_and(|rest| rest.eq_ignore_ascii_case(&text))
            };
            own.values.iter().find(|(name, _)| is(name)).map(|(_, number)| *number)
        };
        number.map(|number| Wire::Varint(i64::from(number) as u64)).ok_or_else(|| format!("it is none of the values of `{}`", own.name).into())
    }
}

/// `SeverityLevel` as `SEVERITY_LEVEL`.
fn upper_snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

/// A member by the field's name, else by the name that JSON gives it (`fieldName`).
fn member<'v>(value: Value<'v>, name: &str) -> Value<'v> {
    let found = value.member(name);
    if found.is_some() || !name.contains('_') {
        return found;
    }
    let mut camel = String::new();
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            _ => camel.push(if std::mem::take(&mut upper) { letter.to_ascii_uppercase() } else { letter }),
        }
    }
    value.member(&camel)
}

/// The digits of a number, or of a text that is one.
fn digits(value: Value<'_>) -> Result<String, Refusal> {
    let text = value.text().filter(|_| value.is_string() || value.kind() == Json::Number).unwrap_or_default();
    let text = String::from_utf8_lossy(text.trim_ascii()).into_owned();
    let is_number = text.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-') && json::is_strict(&text);
    if is_number { Ok(text) } else { Err("it is no number".into()) }
}

fn whole<T: std::str::FromStr>(value: Value<'_>) -> Result<T, Refusal> {
    let digits = digits(value)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let number = if fraction.bytes().all(|byte| byte == b'0') { whole.parse().ok() } else { None };
    number.ok_or_else(|| "it is no whole number that fits".into())
}

fn decimal<T: std::str::FromStr>(value: Value<'_>) -> Result<T, Refusal> {
    digits(value)?.parse().map_err(|_| "it is no number".into())
}
