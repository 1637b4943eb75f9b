//! Log records of OpenTelemetry in both of its encodings, JSON and Protocol Buffers.
//! Sources: OpenTelemetry, "Logs Data Model", "OTLP Specification" (JSON Protobuf Encoding), opentelemetry-proto
//! 1.x `logs.proto` and `common.proto`; W3C, "Trace Context".
//!
//! Promised: any value of an event becomes a value of OpenTelemetry; whole numbers that 64 bits hold stay exact.
//! Values nested deeper than [`MAX_DEPTH`] are written as JSON text, as readers of Protocol Buffers refuse what
//! is nested a hundred deep, and each level of JSON takes three.

use crate::protobuf::Message;
use crate::value::{Kind, Value};
use crate::writer::Writer;

/// Levels of lists and maps that stay lists and maps.
pub const MAX_DEPTH: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Protobuf,
}

impl Encoding {
    /// Of requests and answers (OTLP/HTTP).
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// What every log record has; what is missing is left out.
#[derive(Debug)]
pub struct Head<'a> {
    /// Nanoseconds since 1970; 0 where it is not known.
    pub time: i64,
    /// When the event was received.
    pub observed: i64,
    /// 1 to 24; 0 where it is not known.
    pub severity: u32,
    pub severity_text: Value<'a>,
    pub name: Value<'a>,
    pub trace: Option<Trace<'a>>,
}

/// A trace and a span in it: the text of `traceparent`, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace<'a> {
    /// 32 hexadecimal digits in lower case, not all of them 0.
    pub trace_id: &'a [u8],
    /// 16 of them.
    pub span_id: &'a [u8],
    pub flags: u8,
}

impl<'a> Trace<'a> {
    /// Reads `00-<trace id>-<span id>-<flags>`; later versions may have more behind that.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(55)?;
        let (version, trace_id, span_id, flags) = (head.get(..2)?, head.get(3..35)?, head.get(36..52)?, head.get(53..55)?);
        let dashes = [2, 35, 52].iter().all(|at| head.get(*at) == Some(&b'-'));
        let behind = rest.is_empty() || (version != b"00" && rest.starts_with(b"-"));
        let hex = |digits: &[u8]| digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let some = |digits: &[u8]| hex(digits) && digits.iter().any(|digit| *digit != b'0');
        if !dashes || !behind || !hex(version) || version == b"ff" || !some(trace_id) || !some(span_id) || !hex(flags) {
            return None;
        }
        let mut byte = [0];
        unhex(flags, &mut byte);
        Some(Self { trace_id, span_id, flags: byte[0] })
    }
}

fn unhex<const N: usize>(digits: &[u8], out: &mut [u8; N]) {
    let number = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or_default() as u8;
    for (byte, pair) in out.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = number(&pair[0]) << 4 | number(&pair[1]);
    }
}

/// The name of an attribute: text of our own, and behind it a name of the event's own.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    pub own: &'a str,
    pub name: Value<'a>,
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(own: &'a str) -> Self {
        Self { own, name: Value::MISSING }
    }
}

/// Attributes that are being written, of a record or of a resource.
#[derive(Debug)]
pub struct Attributes<'w> {
    encoding: Encoding,
    out: &'w mut Writer,
    /// Their field number in the message around them.
    field: u32,
    start: usize,
}

impl<'w> Attributes<'w> {
    /// Of a resource. In JSON the members of a list, with commas between them.
    pub fn of_resource(encoding: Encoding, out: &'w mut Writer) -> Self {
        let start = out.len();
        Self { encoding, out, field: 1, start }
    }

    /// An attribute; nothing where the value is missing, null or an empty text.
    pub fn add<'a>(&mut self, key: impl Into<Key<'a>>, value: Value<'_>) {
        if value.is_some() && !value.raw().is_empty() {
            self.put(key.into(), |encoding, out| any(encoding, value, MAX_DEPTH, out));
        }
    }

    /// An attribute with bytes of text.
    pub fn add_bytes<'a>(&mut self, key: impl Into<Key<'a>>, text: &[u8]) {
        self.put(key.into(), |encoding, out| bytes_value(encoding, text, out));
    }

    fn put(&mut self, key: Key<'_>, value: impl FnOnce(Encoding, &mut Writer)) {
        if self.encoding == Encoding::Json && self.out.len() > self.start {
            self.out.byte(b',');
        }
        match self.encoding {
            Encoding::Json => key_value_json(key, value, self.out),
            Encoding::Protobuf => Message::new(self.out).message(self.field, |message| key_value(key, value, message)),
        }
    }
}

fn key_value_json(key: Key<'_>, value: impl FnOnce(Encoding, &mut Writer), out: &mut Writer) {
    out.literal(b"{\"key\":\"");
    out.json_fragment(key.own.as_bytes());
    out.raw(key.name);
    out.literal(b"\",\"value\":");
    value(Encoding::Json, out);
    out.byte(b'}');
}

fn key_value(key: Key<'_>, value: impl FnOnce(Encoding, &mut Writer), message: &mut Message<'_>) {
    message.delimited(1, |out| {
        out.bytes(key.own.as_bytes());
        out.text(key.name);
    });
    message.delimited(2, |out| value(Encoding::Protobuf, out));
}

/// A value of OpenTelemetry (`AnyValue`): in JSON the object, in Protocol Buffers what is inside the message.
fn any(encoding: Encoding, value: Value<'_>, depth: usize, out: &mut Writer) {
    match encoding {
        Encoding::Json => any_json(value, depth, out),
        Encoding::Protobuf => any_protobuf(value, depth, &mut Message::new(out)),
    }
}

/// What a number of an event is.
enum Number {
    Int(i64),
    Double(f64),
    /// Beyond both: its digits.
    Digits,
}

impl Number {
    fn of(value: Value<'_>) -> Self {
        let digits = std::str::from_utf8(value.raw()).unwrap_or_default();
        match digits.parse::<i64>() {
            Ok(number) => Self::Int(number),
            Err(_) => digits.parse::<f64>().ok().filter(|number| number.is_finite()).map_or(Self::Digits, Self::Double),
        }
    }
}

fn any_json(value: Value<'_>, depth: usize, out: &mut Writer) {
    match value.kind() {
        Kind::Missing | Kind::Null => out.literal(b"{}"),
        Kind::Bool => {
            out.literal(b"{\"boolValue\":");
            out.raw(value);
            out.byte(b'}');
        }
        Kind::Number => match Number::of(value) {
            Number::Int(number) => {
                out.literal(b"{\"intValue\":\"");
                out.number(number);
                out.literal(b"\"}");
            }
            Number::Double(_) => {
                out.literal(b"{\"doubleValue\":");
                out.raw(value);
                out.byte(b'}');
            }
            Number::Digits => text_value(Encoding::Json, value, out),
        },
        Kind::Array if depth > 0 => {
            out.literal(b"{\"arrayValue\":{\"values\":[");
            for (place, element) in value.elements().enumerate() {
                if place > 0 {
                    out.byte(b',');
                }
                any_json(element, depth - 1, out);
            }
            out.literal(b"]}}");
        }
        Kind::Object if depth > 0 => {
            out.literal(b"{\"kvlistValue\":{\"values\":[");
            for (place, (name, member)) in value.members().enumerate() {
                if place > 0 {
                    out.byte(b',');
                }
                key_value_json(Key { own: "", name }, |_, out| any_json(member, depth - 1, out), out);
            }
            out.literal(b"]}}");
        }
        _ => text_value(Encoding::Json, value, out),
    }
}

fn any_protobuf(value: Value<'_>, depth: usize, message: &mut Message<'_>) {
    match value.kind() {
        Kind::Missing | Kind::Null => {}
        Kind::Bool => message.unsigned(2, u64::from(value.raw() == b"true")),
        Kind::Number => match Number::of(value) {
            Number::Int(number) => message.integer(3, number),
            Number::Double(number) => message.double(4, number),
            Number::Digits => message.text(1, value),
        },
        Kind::Array if depth > 0 => message.message(5, |list| {
            for element in value.elements() {
                list.message(1, |inside| any_protobuf(element, depth - 1, inside));
            }
        }),
        Kind::Object if depth > 0 => message.message(6, |list| {
            for (name, member) in value.members() {
                list.message(1, |inside| key_value(Key { own: "", name }, |_, out| any_protobuf(member, depth - 1, &mut Message::new(out)), inside));
            }
        }),
        _ => message.text(1, value),
    }
}

fn text_value(encoding: Encoding, value: Value<'_>, out: &mut Writer) {
    match encoding {
        Encoding::Json => {
            out.literal(b"{\"stringValue\":");
            out.json_text(value);
            out.byte(b'}');
        }
        Encoding::Protobuf => Message::new(out).text(1, value),
    }
}

fn bytes_value(encoding: Encoding, text: &[u8], out: &mut Writer) {
    match encoding {
        Encoding::Json => {
            out.literal(b"{\"stringValue\":");
            out.json_string(text);
            out.byte(b'}');
        }
        Encoding::Protobuf => Message::new(out).string(1, text),
    }
}

/// What a record says.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// A value of the event as one of OpenTelemetry.
    Value(Value<'a>),
    /// A value of the event as text, containers as JSON.
    Text(Value<'a>),
    /// Bytes of text.
    Bytes(&'a [u8]),
    /// Base64 of bytes, as the event has them.
    Base64(Value<'a>),
}

/// Writes one log record: a JSON object, or what is inside the message.
pub fn record(encoding: Encoding, head: &Head<'_>, body: Body<'_>, attributes: impl FnOnce(&mut Attributes<'_>), out: &mut Writer) {
    match encoding {
        Encoding::Json => record_json(head, body, attributes, out),
        Encoding::Protobuf => record_protobuf(head, body, attributes, out),
    }
}

fn record_json(head: &Head<'_>, body: Body<'_>, attributes: impl FnOnce(&mut Attributes<'_>), out: &mut Writer) {
    out.literal(b"{\"timeUnixNano\":\"");
    out.unsigned(nanos(head.time));
    out.literal(b"\",\"observedTimeUnixNano\":\"");
    out.unsigned(nanos(head.observed));
    out.byte(b'"');
    if head.severity > 0 {
        out.literal(b",\"severityNumber\":");
        out.unsigned(u64::from(head.severity));
    }
    if is_text(head.severity_text) {
        out.literal(b",\"severityText\":");
        out.json_text(head.severity_text);
    }
    if is_text(head.name) {
        out.literal(b",\"eventName\":");
        out.json_text(head.name);
    }
    out.literal(b",\"body\":");
    match body {
        Body::Value(value) => any_json(value, MAX_DEPTH, out),
        Body::Text(value) => text_value(Encoding::Json, value, out),
        Body::Bytes(bytes) => bytes_value(Encoding::Json, bytes, out),
        Body::Base64(value) => {
            out.literal(b"{\"bytesValue\":");
            out.json_text(value);
            out.byte(b'}');
        }
    }
    let before = out.len();
    out.literal(b",\"attributes\":[");
    let start = out.len();
    attributes(&mut Attributes { encoding: Encoding::Json, out, field: 0, start });
    if out.len() == start {
        out.truncate(before);
    } else {
        out.byte(b']');
    }
    if let Some(trace) = head.trace {
        out.literal(b",\"traceId\":\"");
        out.bytes(trace.trace_id);
        out.literal(b"\",\"spanId\":\"");
        out.bytes(trace.span_id);
        out.literal(b"\",\"flags\":");
        out.unsigned(u64::from(trace.flags));
    }
    out.byte(b'}');
}

fn record_protobuf(head: &Head<'_>, body: Body<'_>, attributes: impl FnOnce(&mut Attributes<'_>), out: &mut Writer) {
    let mut message = Message::new(out);
    message.fixed64(1, nanos(head.time));
    message.fixed64(11, nanos(head.observed));
    if head.severity > 0 {
        message.unsigned(2, u64::from(head.severity));
    }
    if is_text(head.severity_text) {
        message.text(3, head.severity_text);
    }
    if is_text(head.name) {
        message.text(12, head.name);
    }
    message.message(5, |message| match body {
        Body::Value(value) => any_protobuf(value, MAX_DEPTH, message),
        Body::Text(value) => message.text(1, value),
        Body::Bytes(bytes) => message.string(1, bytes),
        Body::Base64(value) => {
            let text = value.text().unwrap_or_default();
            match base64(&text) {
                Some(bytes) => message.bytes(7, &bytes),
                // Kept as it is rather than lost.
                None => message.string(1, &text),
            }
        }
    });
    if let Some(trace) = head.trace {
        message.fixed32(8, u32::from(trace.flags));
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        unhex(trace.trace_id, &mut trace_id);
        unhex(trace.span_id, &mut span_id);
        message.bytes(9, &trace_id);
        message.bytes(10, &span_id);
    }
    let start = out.len();
    attributes(&mut Attributes { encoding: Encoding::Protobuf, out, field: 6, start });
}

fn is_text(value: Value<'_>) -> bool {
    value.is_string() && !value.raw().is_empty()
}

/// Times are unsigned; what lies before 1970 is not known.
fn nanos(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

/// Decodes base64 with padding (RFC 4648 §4).
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (quads, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    for (place, quad) in quads.iter().enumerate() {
        let padding = if place + 1 == quads.len() { quad.iter().rev().take_while(|byte| **byte == b'=').count() } else { 0 };
        let digit = |byte: &u8| match byte {
            b'A'..=b'Z' => Some(byte - b'A'),
            b'a'..=b'z' => Some(byte - b'a' + 26),
            b'0'..=b'9' => Some(byte - b'0' + 52),
            b'+' => Some(62),
            b'/' => Some(63),
            _ => None,
        };
        if padding > 2 {
            return None;
        }
        let digits = quad.get(..4 - padding)?;
        let mut bits = 0_u32;
        for byte in digits {
            bits = bits << 6 | u32::from(digit(byte)?);
        }
        bits <<= 6 * padding;
        let [_, bytes @ ..] = bits.to_be_bytes();
        out.extend_from_slice(bytes.get(..3 - padding)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests;
