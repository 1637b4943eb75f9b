//! How values are written: as text, as JSON, and under the escape rules of formats.

use std::borrow::Cow;
use std::fmt::Write as _;

use bulkhead_sdk::{Writer, digits};
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use crate::event::Json;
use crate::{DEPTH, Escape, number, sink};

/// Writes the value of `{{ … }}`. What a filter escaped already stays as it is.
pub fn write(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value, escape: Escape) -> Result<(), Error> {
    known(state, value)?;
    if value.is_safe() {
        return Ok(out.write_str(value.as_str().unwrap_or_default())?);
    }
    if escape == Escape::Json && !sink::inside_string() {
        return Ok(out.write_str(&json(state, value)?)?);
    }
    let text = text(state, value)?;
    Ok(out.write_str(&match escape {
        Escape::None => text,
        Escape::Json => Cow::Owned(json_inside(&text)),
        Escape::Xml => xml(&text),
        Escape::Csv => csv(&text),
        Escape::Url => url(&text),
    })?)
}

/// Refuses a field that the event does not have, where the configuration says so.
pub fn known(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() && state.undefined_behavior() == UndefinedBehavior::SemiStrict {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Ok(())
}

/// A value as text: numbers with the digits of the event, containers as JSON, nothing for null.
pub fn text<'v>(state: &State<'_, '_>, value: &'v Value) -> Result<Cow<'v, str>, Error> {
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Cow::Borrowed(""),
        ValueKind::Bool => Cow::Borrowed(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => Cow::Owned(number::digits(value).unwrap_or_default()),
        ValueKind::String => Cow::Borrowed(value.as_str().unwrap_or_default()),
        _ => Cow::Owned(json(state, value)?),
    })
}

/// A value as JSON on one line.
pub fn json(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut out = Writer::default();
    write_json(state, value, DEPTH, &mut out)?;
    Ok(String::from_utf8_lossy(out.as_bytes()).into_owned())
}

fn write_json(state: &State<'_, '_>, value: &Value, depth: usize, out: &mut Writer) -> Result<(), Error> {
    let wrong = |words: &str| Error::new(ErrorKind::InvalidOperation, words.to_owned());
    state.consume_fuel(1)?;
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.literal(b"null"),
        ValueKind::Bool => out.bytes(if value.is_true() { b"true" } else { b"false" }),
        ValueKind::Number => {
            let digits = number::digits(value).filter(|digits| digits::are_json(digits));
            out.bytes(digits.as_deref().unwrap_or("null").as_bytes());
        }
        ValueKind::String => out.json_string(value.as_str().unwrap_or_default().as_bytes()),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            if let Some(part) = value.downcast_object_ref::<Json>() {
                state.consume_fuel(part.raw().len() as u64 / 64)?;
                out.one_line(part.raw());
                return Ok(());
            }
            if depth == 0 {
                return Err(wrong("containers lie too deep in each other"));
            }
            let is_map = value.kind() == ValueKind::Map;
            out.byte(if is_map { b'{' } else { b'[' });
            for (place, item) in value.try_iter()?.enumerate() {
                if place > 0 {
                    out.byte(b',');
                }
                if is_map {
                    out.json_string(text(state, &item)?.as_bytes());
                    out.byte(b':');
                    write_json(state, &value.get_item(&item)?, depth - 1, out)?;
                } else {
                    write_json(state, &item, depth - 1, out)?;
                }
            }
            out.byte(if is_map { b'}' } else { b']' });
        }
        _ => return Err(wrong("this is no value that can be written")),
    }
    Ok(())
}

/// The inside of a JSON string.
fn json_inside(text: &str) -> String {
    let mut out = Writer::default();
    out.json_fragment(text.as_bytes());
    String::from_utf8_lossy(out.as_bytes()).into_owned()
}

/// Letters replaced by what `special` gives for them.
fn replaced<'a>(text: &'a str, special: impl Fn(char) -> Option<&'static str>) -> Cow<'a, str> {
    if text.chars().all(|letter| special(letter).is_none()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match special(letter) {
            Some(instead) => out.push_str(instead),
            None => out.push(letter),
        }
    }
    Cow::Owned(out)
}

/// Inside of elements and of attributes (XML 1.0 §2.2, §2.4, §3.3.3). Line breaks and tabs are references, so
/// that parsers do not change them; what is no character of XML is U+FFFD.
pub fn xml(text: &str) -> Cow<'_, str> {
    replaced(text, |letter| {
        Some(match letter {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            '\t' => "&#9;",
            '\n' => "&#10;",
            '\r' => "&#13;",
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
            _ => return None,
        })
    })
}

/// A value of a CEF extension ("CEF Implementation Standard", character encoding).
pub fn cef(text: &str) -> Cow<'_, str> {
    replaced(text, |letter| {
        Some(match letter {
            '\\' => "\\\\",
            '=' => "\\=",
            '\n' => "\\n",
            '\r' => "\\r",
            '\0'..='\u{1f}' | '\u{7f}' => " ",
            _ => return None,
        })
    })
}

/// A field of a CEF header.
pub fn cef_header(text: &str) -> Cow<'_, str> {
    replaced(text, |letter| {
        Some(match letter {
            '\\' => "\\\\",
            '|' => "\\|",
            '\0'..='\u{1f}' | '\u{7f}' => " ",
            _ => return None,
        })
    })
}

/// A field (RFC 4180 §2): in quotes where it holds what parts fields, or begins or ends with a space.
pub fn csv(text: &str) -> Cow<'_, str> {
    if !text.contains(['"', ',', '\r', '\n']) && !text.starts_with(' ') && !text.ends_with(' ') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
}

/// Everything but the unreserved characters is percent-encoded (RFC 3986 §2.1, §2.3).
pub fn url(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            // Into a string: it never fails.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Cow::Owned(out)
}
