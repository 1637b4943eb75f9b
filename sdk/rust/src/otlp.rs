//! Log records of OpenTelemetry in both of its encodings, JSON and Protocol Buffers.
//! Sources: OpenTelemetry, "Logs Data Model", "OTLP Specification" (JSON Protobuf Encoding), opentelemetry-proto
//! 1.x `logs.proto` and `common.proto`; W3C, "Trace Context".
//!
//! Promised: any value of an event becomes a value of OpenTelemetry; whole numbers that 64 bits hold stay exact.
//! Values nested deeper than [`MAX_DEPTH`] are written as JSON text, as readers of Protocol Buffers refuse what
//! is nested a hundred deep, and each level of JSON takes three.

use crate::json::Reader;
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

/// Names of attributes that every record of a guest may have: what stands before their values is made once.
#[derive(Debug)]
pub struct Names {
    encoding: Encoding,
    /// Longer than its last name, so that copies may run over.
    block: Vec<u8>,
    /// Where each begins and ends.
    heads: Vec<(usize, usize)>,
}

impl Names {
    pub fn new<'n>(encoding: Encoding, names: impl IntoIterator<Item = &'n str>) -> Self {
        let (mut out, mut heads) = (Writer::default(), Vec::new());
        for name in names {
            let start = out.len();
            match encoding {
                Encoding::Json => key_json(name.into(), &mut out),
                Encoding::Protobuf => Message::new(&mut out).bytes(1, name.as_bytes()),
            }
            heads.push((start, out.len()));
        }
        out.literal(&[0; 16]);
        Self { encoding, block: out.into_bytes(), heads }
    }

    fn head(&self, place: usize) -> Value<'_> {
        let (start, end) = self.heads.get(place).copied().unwrap_or_default();
        Value::new(&self.block, start, end, Kind::String)
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
            self.put(key.into(), |encoding, out| any(encoding, value, out));
        }
    }

    /// An attribute with bytes of text.
    pub fn add_bytes<'a>(&mut self, key: impl Into<Key<'a>>, text: &[u8]) {
        self.put(key.into(), |encoding, out| bytes_value(encoding, text, out));
    }

    /// The attribute of this place among names of the same encoding; nothing where the value is missing, null or an
    /// empty text.
    pub fn add_named(&mut self, names: &Names, place: usize, value: Value<'_>) {
        debug_assert_eq!(names.encoding, self.encoding);
        if !value.is_some() || value.raw().is_empty() {
            return;
        }
        match self.encoding {
            Encoding::Json => {
                self.comma();
                self.out.raw(names.head(place));
                any_json(value, self.out);
                self.out.byte(b'}');
            }
            Encoding::Protobuf => Message::new(self.out).message(self.field, |message| {
                message.raw(names.head(place));
                message.delimited(2, |out| any_protobuf(value, &mut Message::new(out)));
            }),
        }
    }

    fn comma(&mut self) {
        if self.out.len() > self.start {
            self.out.byte(b',');
        }
    }

    fn put(&mut self, key: Key<'_>, value: impl FnOnce(Encoding, &mut Writer)) {
        match self.encoding {
            Encoding::Json => {
                self.comma();
                key_json(key, self.out);
                value(Encoding::Json, self.out);
                self.out.byte(b'}');
            }
            Encoding::Protobuf => Message::new(self.out).message(self.field, |message| {
                key_protobuf(key, message);
                message.delimited(2, |out| value(Encoding::Protobuf, out));
            }),
        }
    }
}

/// The beginning of a `KeyValue`, up to its value.
fn key_json(key: Key<'_>, out: &mut Writer) {
    out.literal(b"{\"key\":\"");
    if !key.own.is_empty() {
        out.json_fragment(key.own.as_bytes());
    }
    out.raw(key.name);
    out.literal(b"\",\"value\":");
}

fn key_protobuf(key: Key<'_>, message: &mut Message<'_>) {
    message.delimited(1, |out| {
        out.bytes(key.own.as_bytes());
        out.text(key.name);
    });
}

/// A value of OpenTelemetry (`AnyValue`): in JSON the object, in Protocol Buffers what is inside the message.
fn any(encoding: Encoding, value: Value<'_>, out: &mut Writer) {
    match encoding {
        Encoding::Json => any_json(value, out),
        Encoding::Protobuf => any_protobuf(value, &mut Message::new(out)),
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

/// Digits that 64 bits hold whatever they are.
const SAFE_DIGITS: usize = 18;
/// Digits of a number without an exponent that a double holds whatever they are.
const FINITE_DIGITS: usize = 300;

fn any_json(value: Value<'_>, out: &mut Writer) {
    match value.kind() {
        Kind::Array | Kind::Object => nested_json(&mut Reader::of(value), MAX_DEPTH, out),
        _ => scalar_json(value, out),
    }
}

/// The value that stands next, containers down to `depth` as such.
fn nested_json(reader: &mut Reader<'_>, depth: usize, out: &mut Writer) {
    let inside = if depth > 0 { reader.open() } else { None };
    let Some(kind) = inside else { return scalar_json(reader.value(), out) };
    if kind == Kind::Array {
        out.literal(b"{\"arrayValue\":{\"values\":[");
    } else {
        out.literal(b"{\"kvlistValue\":{\"values\":[");
    }
    let start = out.len();
    while reader.more() {
        if out.len() > start {
            out.byte(b',');
        }
        if kind == Kind::Array {
            nested_json(reader, depth - 1, out);
            continue;
        }
        let Some(name) = reader.name() else { break };
        key_json(Key { own: "", name }, out);
        nested_json(reader, depth - 1, out);
        out.byte(b'}');
    }
    out.literal(b"]}}");
}

fn scalar_json(value: Value<'_>, out: &mut Writer) {
    match value.kind() {
        Kind::Missing | Kind::Null => out.literal(b"{}"),
        Kind::Bool => {
            out.literal(b"{\"boolValue\":");
            out.raw(value);
            out.byte(b'}');
        }
        Kind::Number => number_json(value, out),
        Kind::String | Kind::EscapedString => {
            out.literal(b"{\"stringValue\":\"");
            out.raw(value);
            out.literal(b"\"}");
        }
        Kind::Array | Kind::Object => text_value(Encoding::Json, value, out),
    }
}

/// A whole number that is written as it stands. Texts of digits count as numbers too, and may begin with zeros.
fn is_short(digits: &[u8]) -> bool {
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let zero = unsigned.first().is_none_or(|first| *first == b'0');
    unsigned.len() <= SAFE_DIGITS && unsigned.iter().all(u8::is_ascii_digit) && (!zero || digits == b"0")
}

fn number_json(value: Value<'_>, out: &mut Writer) {
    let digits = value.raw();
    // Most numbers need no look at what they are worth.
    if is_short(digits) {
        out.literal(b"{\"intValue\":\"");
        out.raw(value);
        return out.literal(b"\"}");
    }
    let plain = digits.contains(&b'.') && digits.len() <= FINITE_DIGITS && !digits.iter().any(|digit| matches!(digit, b'e' | b'E'));
    match if plain { Number::Double(0.0) } else { Number::of(value) } {
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
    }
}

fn any_protobuf(value: Value<'_>, message: &mut Message<'_>) {
    match value.kind() {
        Kind::Array | Kind::Object => nested_protobuf(&mut Reader::of(value), MAX_DEPTH, message),
        _ => scalar_protobuf(value, message),
    }
}

fn nested_protobuf(reader: &mut Reader<'_>, depth: usize, message: &mut Message<'_>) {
    let inside = if depth > 0 { reader.open() } else { None };
    match inside {
        None => scalar_protobuf(reader.value(), message),
        Some(Kind::Array) => message.message(5, |list| {
            while reader.more() {
                list.message(1, |inside| nested_protobuf(reader, depth - 1, inside));
            }
        }),
        Some(_) => message.message(6, |list| {
            while reader.more() {
                let Some(name) = reader.name() else { break };
                list.message(1, |inside| {
                    key_protobuf(Key { own: "", name }, inside);
                    inside.delimited(2, |out| nested_protobuf(reader, depth - 1, &mut Message::new(out)));
                });
            }
        }),
    }
}

fn scalar_protobuf(value: Value<'_>, message: &mut Message<'_>) {
    match value.kind() {
        Kind::Missing | Kind::Null => {}
        Kind::Bool => message.unsigned(2, u64::from(value.raw() == b"true")),
        Kind::Number => match Number::of(value) {
            Number::Int(number) => message.integer(3, number),
            Number::Double(number) => message.double(4, number),
            Number::Digits => message.text(1, value),
        },
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
        Body::Value(value) => any_json(value, out),
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
        Body::Value(value) => any_protobuf(value, message),
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
