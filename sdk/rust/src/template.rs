//! Text with holes that an event fills: `/api/{{ /metadata/team }}/events`.
//!
//! `{{ /pointer }}` is a field of the event, `{{ record }}` the formatted record, `{{ message_id }}` an id that is the
//! same on every attempt; `{{ base64 … }}` encodes any of them. There is nothing else: no conditions, no loops.
//!
//! Promised: what fills a hole is escaped for its place, so that no event's text ends a string, a header or a segment of
//! a path. Inside of JSON the place is seen from the template: between quotes a hole is text, elsewhere a JSON value.

use std::borrow::Cow;

use crate::batch::{Event, Field, Pointers};
use crate::value::{Kind, Value};
use crate::writer::{JsonEscape, Writer};
use crate::{base64, http, json};

/// Bytes of one value in a header.
const HEADER_BYTES: usize = 1024;

/// What the whole text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A path with an optional query (RFC 3986); literal text stays as it is, values are percent-encoded.
    Path,
    /// The value of a header field.
    Header,
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    Xml,
    /// Text without rules of its own.
    Text,
}

impl Place {
    /// The place that a body of this media type is.
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "application/x-ndjson" | "application/jsonl" => Self::Json,
            text if text.ends_with("/json") || text.ends_with("+json") => Self::Json,
            text if text.ends_with("/xml") || text.ends_with("+xml") => Self::Xml,
            _ => Self::Text,
        }
    }
}

/// How a template is read and filled.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The configuration's key, for messages.
    pub key: &'a str,
    pub place: Place,
    /// Records are of the place's own kind (JSON in JSON), so that one stands in it as it is.
    pub records_fit: bool,
    /// JSON is put on one line.
    pub one_line: bool,
    /// An event without a field that is asked for is refused; otherwise the hole stays empty, `null` as a JSON value.
    pub refuse_missing: bool,
}

/// A template, read.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
    one_line: bool,
    refuse_missing: bool,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Hole(Hole),
}

#[derive(Debug, Clone)]
struct Hole {
    source: Source,
    base64: bool,
    spot: Spot,
}

#[derive(Debug, Clone)]
enum Source {
    /// The pointer is for messages.
    Field(Field, String),
    Record,
    MessageId,
}

/// Where a hole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spot {
    /// Before the query.
    Path,
    Query,
    Header,
    /// Between quotes.
    JsonText,
    JsonValue,
    Form,
    Xml,
    Text,
    /// The record as it is.
    Verbatim,
}

/// What holes are filled from.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub event: Event<'a>,
    pub record: &'a [u8],
    pub message_id: &'a str,
}

impl Template {
    /// Reads a template; the fields that it names are added to `pointers`.
    pub fn parse(text: &str, rules: &Rules<'_>, pointers: &mut Pointers) -> Result<Self, String> {
        let key = rules.key;
        let (mut parts, mut rest, mut quotes, mut query) = (Vec::new(), text, Quotes::default(), false);
        while let Some(start) = rest.find("{{") {
            let (literal, behind) = (&rest[..start], &rest[start + 2..]);
            let end = behind.find("}}").ok_or_else(|| format!("`{key}`: a `{{{{` is not closed by `}}}}`"))?;
            quotes.pass(literal);
            query |= literal.contains('?');
            let (source, base64) = source(behind[..end].trim(), key, pointers)?;
            let record = matches!(source, Source::Record) && !base64;
            let spot = match rules.place {
                Place::Path if query => Spot::Query,
                Place::Path => Spot::Path,
                Place::Header => Spot::Header,
                Place::Form => Spot::Form,
                Place::Xml if record && rules.records_fit => Spot::Verbatim,
                Place::Xml => Spot::Xml,
                Place::Text => Spot::Text,
                Place::Json if quotes.inside => Spot::JsonText,
                Place::Json if record && !rules.records_fit => {
                    return Err(format!(
                        "`{key}`: the lane's format makes no JSON; put `{{{{ record }}}}` between quotes, or take a format whose records are JSON"
                    ));
                }
                Place::Json => Spot::JsonValue,
            };
            if !literal.is_empty() {
                parts.push(Part::Text(literal.to_owned()));
            }
            parts.push(Part::Hole(Hole { source, base64, spot }));
            rest = &behind[end + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts, one_line: rules.one_line, refuse_missing: rules.refuse_missing })
    }

    /// True where nothing in it depends on an event.
    pub fn is_fixed(&self) -> bool {
        self.holes().all(|hole| matches!(hole.source, Source::MessageId))
    }

    /// True where it asks for the message id.
    pub fn names_message_id(&self) -> bool {
        self.holes().any(|hole| matches!(hole.source, Source::MessageId))
    }

    /// The template with harmless values, to see whether its fixed text is well formed.
    pub fn sample(&self) -> String {
        let shown = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Hole(Hole { spot: Spot::JsonValue, .. }) => "null".to_owned(),
            Part::Hole(_) => "x".to_owned(),
        };
        self.parts.iter().map(shown).collect()
    }

    /// Fills the holes. What was written before an error is the caller's to take back.
    pub fn write(&self, scope: &Scope<'_>, out: &mut Writer) -> Result<(), String> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.bytes(text.as_bytes()),
                Part::Hole(hole) => self.fill(hole, scope, out)?,
            }
        }
        Ok(())
    }

    fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Text(_) => None,
        })
    }

    fn fill(&self, hole: &Hole, scope: &Scope<'_>, out: &mut Writer) -> Result<(), String> {
        let value = match &hole.source {
            Source::Field(field, pointer) => {
                let value = scope.event.get(*field);
                if self.refuse_missing && value.kind() == Kind::Missing {
                    return Err(format!("the event has no {pointer}, which the configuration asks for"));
                }
                Some(value)
            }
            Source::Record | Source::MessageId => None,
        };
        match (hole.spot, value) {
            (Spot::JsonValue, Some(value)) if !hole.base64 => {
                if self.one_line {
                    out.json_line(value)
                } else {
                    out.json(value)
                }
                return Ok(());
            }
            (Spot::JsonText, Some(value)) if !hole.base64 => {
                match value.kind() {
                    Kind::Missing | Kind::Null => {}
                    Kind::Array | Kind::Object => out.escaped::<JsonEscape>(value.raw()),
                    _ => out.raw(value),
                }
                return Ok(());
            }
            _ => {}
        }
        let text: Cow<'_, [u8]> = match (&hole.source, value) {
            (Source::Record, _) => scope.record.trim_ascii_end().into(),
            (Source::MessageId, _) => scope.message_id.as_bytes().into(),
            (Source::Field(..), value) => value.map(text_of).unwrap_or_default(),
        };
        let record = matches!(hole.source, Source::Record);
        if hole.base64 {
            let mut encoded = Writer::default();
            base64::encode(if record { scope.record } else { &text }, &mut encoded);
            return put(hole.spot, encoded.as_bytes(), &hole.source, out);
        }
        if record && hole.spot == Spot::JsonValue {
            if self.one_line {
                out.one_line(&text)
            } else {
                out.bytes(&text)
            }
            return Ok(());
        }
        put(hole.spot, &text, &hole.source, out)
    }
}

/// Text, escaped for its spot.
fn put(spot: Spot, text: &[u8], source: &Source, out: &mut Writer) -> Result<(), String> {
    match spot {
        Spot::Path if text.is_empty() => return Err(format!("{} is empty, and the path would lead elsewhere", source.name())),
        Spot::Path | Spot::Query => percent(text, false, out),
        Spot::Header => out.bytes(&http::header_text(text, HEADER_BYTES)),
        Spot::JsonText => out.json_fragment(text),
        Spot::JsonValue => out.json_string(text),
        Spot::Form => percent(text, true, out),
        Spot::Xml => xml(text, out),
        Spot::Text | Spot::Verbatim => out.bytes(text),
    }
    Ok(())
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Field(_, pointer) => pointer,
            Self::Record => "the record",
            Self::MessageId => "the message id",
        }
    }
}

fn source(inside: &str, key: &str, pointers: &mut Pointers) -> Result<(Source, bool), String> {
    let (name, base64) = match inside.strip_prefix("base64 ") {
        Some(name) => (name.trim(), true),
        None => (inside, false),
    };
    let source = match name {
        "record" => Source::Record,
        "message_id" => Source::MessageId,
        pointer if pointer.starts_with('/') => Source::Field(pointers.add(key, pointer)?, pointer.to_owned()),
        _ => return Err(format!("`{key}`: `{{{{ {inside} }}}}` is none of a pointer such as /severity, record, message_id, or base64 and one of them")),
    };
    Ok((source, base64))
}

/// A value as text: strings decoded, lists and objects as JSON, nothing for null.
fn text_of(value: Value<'_>) -> Cow<'_, [u8]> {
    match value.kind() {
        Kind::Missing | Kind::Null => Cow::default(),
        Kind::Array | Kind::Object => value.raw().into(),
        _ => value.text().unwrap_or_default(),
    }
}

/// Everything but unreserved characters percent-encoded (RFC 3986 §2.3); in forms a space is `+`.
fn percent(text: &[u8], form: bool, out: &mut Writer) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        match byte {
            b' ' if form => out.byte(b'+'),
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => out.byte(*byte),
            _ => out.literal(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
}

/// Text of an element or an attribute. What XML 1.0 has no character for becomes U+FFFD.
fn xml(text: &[u8], out: &mut Writer) {
    for letter in String::from_utf8_lossy(text).chars() {
        match letter {
            '&' => out.literal(b"&amp;"),
            '<' => out.literal(b"&lt;"),
            '>' => out.literal(b"&gt;"),
            '"' => out.literal(b"&quot;"),
            '\'' => out.literal(b"&#39;"),
            '\r' => out.literal(b"&#13;"),
            '\n' | '\t' => out.byte(letter as u8),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.bytes("\u{fffd}".as_bytes()),
            _ => out.bytes(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Whether the text of a JSON template has come to the inside of a string.
#[derive(Debug, Default)]
struct Quotes {
    inside: bool,
}

impl Quotes {
    fn pass(&mut self, text: &str) {
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => self.inside = !self.inside,
                b'\\' if self.inside => _ = bytes.next(),
                _ => {}
            }
        }
    }
}

/// Checks a template's sample as JSON text: one value, or one value a line.
pub fn check_json(key: &str, sample: &str) -> Result<(), String> {
    let whole = json::is_strict(sample);
    let mut lines = sample.lines().filter(|line| !line.trim().is_empty()).peekable();
    if whole || lines.peek().is_some() && lines.all(json::is_strict) {
        return Ok(());
    }
    Err(format!("`{key}` is not well-formed JSON; with its holes filled it reads {sample}"))
}

#[cfg(test)]
mod tests;
