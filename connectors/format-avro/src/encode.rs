//! Values of an event as data of a schema.

use std::borrow::Cow;
use std::cell::Cell;

use bulkhead_sdk::{Kind, Timestamp, Value, Writer};

use crate::decimal;
use crate::schema::{At, Field, Integer, Node, Schema};
use crate::varint::{bytes, long};

/// How deep a datum goes; events are nested less deep.
const MOST_DEPTH: usize = 160;
/// Values of one event that are tried: each type of a union may be, at every depth.
const MOST_TRIES: u32 = 1_000_000;

pub struct Encoder<'s> {
    schema: &'s Schema,
    tries: Cell<u32>,
}

/// Why a value is none of its type; text about the type, never the value.
type Refusal = Cow<'static, str>;

impl<'s> Encoder<'s> {
    /// For one event.
    pub fn new(schema: &'s Schema) -> Self {
        Self { schema, tries: Cell::new(0) }
    }

    /// The first value that fits, else the default, else null where the type has it.
    pub fn field<'v>(&self, field: &Field, values: impl Iterator<Item = Value<'v>>, out: &mut Writer) -> Result<(), String> {
        self.member(field, values, MOST_DEPTH, out).map_err(|refusal| format!("field `{}`: {refusal}", field.name))
    }

    fn member<'v>(&self, field: &Field, values: impl Iterator<Item = Value<'v>>, depth: usize, out: &mut Writer) -> Result<(), Refusal> {
        let start = out.len();
        let mut refused = None;
        for value in values {
            if value.kind() == Kind::Missing {
                continue;
            }
            match self.value(field.node, value, depth, out) {
                Ok(()) => return Ok(()),
                Err(refusal) => {
                    out.truncate(start);
                    // Null is missing where the type does not have it.
                    if value.is_some() {
                        refused.get_or_insert(refusal);
                    }
                }
            }
        }
        match (refused, &field.default) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(default)) => self.default(field.node, bulkhead_sdk::json::value(default).unwrap_or(Value::MISSING), out),
            (None, None) => self.null(field.node, out),
        }
    }

    fn null(&self, node: At, out: &mut Writer) -> Result<(), Refusal> {
        match self.schema.node(node) {
            Some(Node::Null) => Ok(()),
            Some(Node::Union(branches)) => match branches.iter().position(|branch| matches!(self.schema.node(*branch), Some(Node::Null))) {
                Some(place) => {
                    long(place as i64, out);
                    Ok(())
                }
                None => Err("the event does not have it, and the schema has neither null nor a default".into()),
            },
            _ => Err("the event does not have it, and the schema has neither null nor a default".into()),
        }
    }

    /// A default: it belongs to the first type of a union, and bytes are spelled by code points.
    pub fn default(&self, node: At, value: Value<'_>, out: &mut Writer) -> Result<(), Refusal> {
        match self.schema.node(node) {
            Some(Node::Union(branches)) => {
                long(0, out);
                branches.first().map_or(Ok(()), |first| self.default(*first, value, out))
            }
            Some(Node::Bytes | Node::Fixed(_) | Node::Decimal { .. }) => {
                let text = text(value).filter(|_| value.is_string()).ok_or("it is no text")?;
                let code = |letter: char| u8::try_from(u32::from(letter)).map_err(|_| "a letter of it is no byte");
                let raw = text.chars().map(code).collect::<Result<Vec<u8>, _>>()?;
                match self.schema.node(node) {
                    Some(Node::Fixed(size) | Node::Decimal { size: Some(size), .. }) if raw.len() != *size => {
                        Err(format!("it is not {size} bytes long").into())
                    }
                    Some(Node::Fixed(_) | Node::Decimal { size: Some(_), .. }) => {
                        out.bytes(&raw);
                        Ok(())
                    }
                    _ => {
                        bytes(&raw, out);
                        Ok(())
                    }
                }
            }
            _ => self.value(node, value, MOST_DEPTH, out),
        }
    }

    fn value(&self, node: At, value: Value<'_>, depth: usize, out: &mut Writer) -> Result<(), Refusal> {
        let node = self.schema.node(node).ok_or("the schema has no such type")?;
        let depth = depth.checked_sub(1).ok_or("it is nested too deep")?;
        self.tries.set(self.tries.get() + 1);
        if self.tries.get() > MOST_TRIES {
            return Err("the event holds more than is looked at".into());
        }
        match node {
            Node::Null if value.kind() == Kind::Null => {}
            Node::Null => return Err("it is not null".into()),
            Node::Boolean => out.byte(u8::from(truth(value)?)),
            Node::Int(meaning) => {
                let number = integer(value, *meaning)?;
                long(i32::try_from(number).map_err(|_| "it does not fit an int")?.into(), out);
            }
            Node::Long(meaning) => long(integer(value, *meaning)?, out),
            Node::Float => {
                let number = number(value)?.parse::<f32>().ok().filter(|number| number.is_finite()).ok_or("it does not fit a float")?;
                out.bytes(&number.to_le_bytes());
            }
            Node::Double => {
                let number = number(value)?.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or("it does not fit a double")?;
                out.bytes(&number.to_le_bytes());
            }
            Node::Bytes | Node::String if value.kind() == Kind::Null => return Err("it is null".into()),
            Node::Bytes | Node::String => match value.text() {
                Some(text) => bytes(&text, out),
                // Containers as JSON.
                None => bytes(value.raw(), out),
            },
            Node::Fixed(size) => {
                let text = value.text().filter(|_| value.is_string()).filter(|text| text.len() == *size);
                out.bytes(&text.ok_or_else(|| format!("it is no text of {size} bytes"))?);
            }
            Node::Decimal { precision, scale, size } => {
                let digits = number(value)?;
                let unscaled = decimal::unscaled(&digits, *precision, *scale).ok_or_else(|| format!("it is no decimal({precision}, {scale})"))?;
                match size {
                    Some(size) => out.bytes(&decimal::fixed(&unscaled, *size).ok_or_else(|| format!("it does not fit {size} bytes"))?),
                    None => bytes(&unscaled, out),
                }
            }
            Node::Enum { symbols, default } => {
                let text = text(value).filter(|_| value.is_string()).unwrap_or_default();
                let exact = symbols.iter().position(|symbol| *symbol == text);
                let found = exact.or_else(|| symbols.iter().position(|symbol| symbol.eq_ignore_ascii_case(&text))).or(*default);
                long(found.ok_or("it is none of the symbols")? as i64, out);
            }
            Node::Record { fields, .. } => {
                if value.kind() != Kind::Object {
                    return Err("it is no object".into());
                }
                for field in fields {
                    self.member(field, std::iter::once(value.member(&field.name)), depth, out).map_err(|refusal| format!("`{}`: {refusal}", field.name))?;
                }
            }
            Node::Array(items) => {
                if value.kind() != Kind::Array {
                    return Err("it is no list".into());
                }
                let count = value.elements().count();
                if count > 0 {
                    long(count as i64, out);
                    value.elements().try_for_each(|element| self.value(*items, element, depth, out))?;
                }
                long(0, out);
            }
            Node::Map(values) => {
                if value.kind() != Kind::Object {
                    return Err("it is no object".into());
                }
                let count = value.members().count();
                if count > 0 {
                    long(count as i64, out);
                    for (name, member) in value.members() {
                        bytes(&name.text().unwrap_or_default(), out);
                        self.value(*values, member, depth, out)?;
                    }
                }
                long(0, out);
            }
            Node::Union(branches) => return self.union(branches, value, depth, out),
        }
        Ok(())
    }

    /// The branch of the value's own kind, else the first that takes it.
    fn union(&self, branches: &[At], value: Value<'_>, depth: usize, out: &mut Writer) -> Result<(), Refusal> {
        let natural = |place: &usize| branches.get(*place).and_then(|branch| self.schema.node(*branch)).is_some_and(|node| is_natural(node, value.kind()));
        let places = || 0..branches.len();
        let start = out.len();
        for place in places().filter(natural).chain(places().filter(|place| !natural(place))) {
            let Some(branch) = branches.get(place) else { continue };
            long(place as i64, out);
            if self.value(*branch, value, depth, out).is_ok() {
                return Ok(());
            }
            out.truncate(start);
        }
        Err("it is of no type of the union".into())
    }
}

fn is_natural(node: &Node, kind: Kind) -> bool {
    match node {
        Node::Null => kind == Kind::Null,
        Node::Boolean => kind == Kind::Bool,
        Node::Int(_) | Node::Long(_) | Node::Float | Node::Double | Node::Decimal { .. } => kind == Kind::Number,
        Node::Enum { default: None, .. } | Node::String => matches!(kind, Kind::String | Kind::EscapedString),
        Node::Array(_) => kind == Kind::Array,
        Node::Record { .. } | Node::Map(_) => kind == Kind::Object,
        Node::Enum { .. } | Node::Bytes | Node::Fixed(_) | Node::Union(_) => false,
    }
}

fn text(value: Value<'_>) -> Option<String> {
    value.text().map(|text| String::from_utf8_lossy(&text).into_owned())
}

fn truth(value: Value<'_>) -> Result<bool, Refusal> {
    match text(value).as_deref().map(str::trim) {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err("it is neither true nor false".into()),
    }
}

/// The digits of a number, or of a text that is one.
fn number(value: Value<'_>) -> Result<String, Refusal> {
    let text = text(value).filter(|_| value.is_string() || value.kind() == Kind::Number).unwrap_or_default();
    let trimmed = text.trim();
    let is_number = trimmed.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-') && bulkhead_sdk::json::is_strict(trimmed);
    if is_number { Ok(trimmed.to_owned()) } else { Err("it is no number".into()) }
}

fn integer(value: Value<'_>, meaning: Integer) -> Result<i64, Refusal> {
    if meaning == Integer::Plain {
        let digits = number(value)?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        return fraction.bytes().all(|byte| byte == b'0').then(|| whole.parse().ok()).flatten().ok_or_else(|| "it is no whole number that fits".into());
    }
    let text = text(value).filter(|_| value.is_string() || value.kind() == Kind::Number).unwrap_or_default();
    let moment = Timestamp::read(text.trim().as_bytes()).ok_or("it is no time (RFC 3339, or a number since 1970)")?;
    Ok(match meaning {
        Integer::Since(3) => moment.millis(),
        Integer::Since(6) => moment.micros(),
        Integer::Since(_) if moment.seconds.checked_mul(1_000_000_000).is_none_or(|nanos| nanos == i64::MIN) => {
            return Err("it does not fit nanoseconds".into());
        }
        Integer::Since(_) => moment.nanos(),
        Integer::Date | Integer::Plain => moment.seconds.div_euclid(86_400),
    })
}
