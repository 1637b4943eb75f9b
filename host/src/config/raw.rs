//! A component's `config:` as JSON, with the places of its values for faults that its schema finds later.

use serde_json::{Map, Number, Value as Json};

use super::checked::RawConfig;
use super::fault::Span;
use super::tree::{Node, Scalar, Value};

/// Turns a map into JSON. The error says where something is no JSON.
pub(super) fn config(node: &Node) -> Result<RawConfig, (Span, String)> {
    if !matches!(node.value, Value::Map(_)) && !node.is_null() {
        return Err((node.span, format!("expected a map, found {}", node.describe())));
    }
    let mut raw = RawConfig::default();
    raw.json = if node.is_null() { Json::Object(Map::new()) } else { json(node, "", &mut raw)? };
    raw.spans.insert(String::new(), node.span);
    Ok(raw)
}

fn json(node: &Node, pointer: &str, raw: &mut RawConfig) -> Result<Json, (Span, String)> {
    raw.spans.insert(pointer.to_owned(), node.span);
    match &node.value {
        Value::Scalar(scalar) => {
            if let Some(template) = &scalar.template {
                raw.interpolated.insert(pointer.to_owned(), template.clone());
            }
            scalar_json(scalar).map_err(|message| (node.span, message))
        }
        Value::List(items) => items.iter().enumerate().map(|(at, item)| json(item, &format!("{pointer}/{at}"), raw)).collect(),
        Value::Map(entries) => {
            let mut map = Map::new();
            for entry in entries {
                let name = entry.key.replace('~', "~0").replace('/', "~1");
                map.insert(entry.key.clone(), json(&entry.value, &format!("{pointer}/{name}"), raw)?);
            }
            Ok(Json::Object(map))
        }
    }
}

/// The YAML 1.2 core schema; what a variable put in is never null.
fn scalar_json(scalar: &Scalar) -> Result<Json, String> {
    let text = scalar.text.as_str();
    if !scalar.plain {
        return Ok(Json::from(text));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" if scalar.template.is_none() => Json::Null,
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        ".inf" | "-.inf" | "+.inf" | ".nan" | ".Inf" | "-.Inf" | ".NaN" => return Err(format!("`{text}` has no form in JSON")),
        _ => number(text).map_or_else(|| Json::from(text), Json::Number),
    })
}

fn number(text: &str) -> Option<Number> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !unsigned.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        // Beyond 64 bits a float would lose digits: it stays text, and the schema says what it thinks of that.
        return text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from)).ok();
    }
    if !unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}
