//! Lists and maps as attributes: JSON arrays and objects, and the two ways in which CloudEvents
//! extensions carry them (strings with commas, JSON as text).

use std::borrow::Cow;

use bulkhead_core::Kind;
use bulkhead_core::json::{Group, Ignore, Limits, Scanner, decode_string, skip_space, skip_value, write_escaped};

use crate::names::{is_snake, write_snake};

/// The strings of an array's text that was validated; `None` where an element is none.
pub(crate) fn strings(array: &[u8]) -> Option<Vec<Cow<'_, str>>> {
    let mut out = Vec::new();
    let mut at = skip_space(array, 1);
    if array.first() != Some(&b'[') || array.get(at) == Some(&b']') {
        return (array.first() == Some(&b'[')).then_some(out);
    }
    loop {
        let value = skip_value(array, at)?;
        let raw = array.get(value.span.clone())?;
        out.push(match value.kind {
            Kind::String => std::str::from_utf8(raw).ok()?.into(),
            Kind::EscapedString => decode_string(raw)?.into(),
            _ => return None,
        });
        at = skip_space(array, value.end);
        match array.get(at)? {
            b',' => at += 1,
            _ => return Some(out),
        }
    }
}

/// The strings of a list that is text: JSON, or parts between commas.
pub(crate) fn strings_in_text(list: &str) -> Option<Vec<Cow<'_, str>>> {
    if list.trim_start().starts_with('[') {
        let list = list.trim().as_bytes();
        Scanner::new(Limits::default()).document(list, Group::NONE, &mut Ignore).ok()?;
        return strings(list);
    }
    Some(list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Into::into).collect())
}

/// Text that is a JSON object, checked; without the space around it.
pub(crate) fn object_in_text(text: &str) -> Option<&str> {
    let text = text.trim();
    let scanned = Scanner::new(Limits::default()).document(text.as_bytes(), Group::NONE, &mut Ignore).ok()?;
    (scanned.kind == Kind::Object).then_some(text)
}

/// The value of a member of an object's text that was validated.
pub(crate) fn member<'t>(object: &'t [u8], name: &str) -> Option<(Kind, &'t [u8])> {
    let mut at = skip_space(object, 1);
    while object.get(at) == Some(&b'"') {
        let key = skip_value(object, at)?;
        let raw = object.get(key.span)?;
        let value = skip_value(object, skip_space(object, key.end) + 1)?;
        if raw == name.as_bytes() || (key.kind == Kind::EscapedString && decode_string(raw).as_deref() == Some(name)) {
            return Some((value.kind, object.get(value.span)?));
        }
        at = skip_space(object, value.end);
        at = skip_space(object, at + 1);
    }
    None
}

/// Whether profiles are spelled as inside already, so that the array can stay where it is.
pub(crate) fn all_snake(list: &[Cow<'_, str>]) -> bool {
    list.iter().all(|name| is_snake(name))
}

/// Appends a JSON array of strings.
pub(crate) fn write_array(list: &[Cow<'_, str>], snake: bool, out: &mut Vec<u8>) {
    out.push(b'[');
    for (place, name) in list.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"\"" } else { b",\"" });
        if snake {
            write_snake(name, out);
        } else {
            write_escaped(name, out);
        }
        out.push(b'"');
    }
    out.push(b']');
}
