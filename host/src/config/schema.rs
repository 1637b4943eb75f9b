//! JSON Schema (2020-12) of the configuration for editors, made from the key table.

use serde_json::{Map, Value as Json, json};

use bulkhead_sandbox::limits;

use super::keys::{COMMAND, CONDITION, Key, Kind, Need, ROOT, Section};
use super::reader::{COUNT_ONLY, expected};

/// The schema of `bulkhead.yaml`.
pub fn schema() -> Json {
    let mut defs = Map::new();
    section(&ROOT, &mut defs);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bulkhead.yaml",
        "$ref": format!("#/$defs/{}", ROOT.name),
        "$defs": defs,
    })
}

/// Makes the definition of a section once and answers a reference to it.
fn section(section: &'static Section, defs: &mut Map<String, Json>) -> Json {
    if !defs.contains_key(section.name) {
        // First a mark: conditions hold conditions.
        defs.insert(section.name.into(), Json::Null);
        let schema = object(section, None, defs);
        defs.insert(section.name.into(), schema);
    }
    json!({"$ref": format!("#/$defs/{}", section.name)})
}

fn object(section: &'static Section, tag: Option<&str>, defs: &mut Map<String, Json>) -> Json {
    let mut properties = Map::new();
    properties.extend(tag.map(|tag| ("type".to_owned(), json!({"const": tag}))));
    for key in section.keys {
        properties.insert(key.name.into(), property(key, defs));
    }
    let required: Vec<_> =
        tag.map(|_| "type").into_iter().chain(section.keys.iter().filter(|key| matches!(key.need, Need::Required)).map(|key| key.name)).collect();
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn property(key: &'static Key, defs: &mut Map<String, Json>) -> Json {
    let mut schema = value(&key.kind, defs);
    if matches!(key.need, Need::Optional) {
        schema = json!({"anyOf": [schema, {"type": "null"}]});
    }
    if let Json::Object(schema) = &mut schema {
        schema.insert("description".into(), key.doc.into());
        if let Need::Default(default) = key.need
            && !matches!(default, "{}" | "[]" | "''")
        {
            schema.insert("default".into(), default.into());
        }
    }
    schema
}

/// `${…}` may stand for any single value, so each may be text.
fn value(kind: &'static Kind, defs: &mut Map<String, Json>) -> Json {
    match kind {
        Kind::Bool => single(json!({"type": "boolean"})),
        Kind::True => json!({"const": true}),
        Kind::Count { min, max } => single(json!({"type": "integer", "minimum": min, "maximum": max})),
        Kind::Integer { min, max } => single(json!({"type": "integer", "minimum": min, "maximum": max})),
        Kind::Factor { min, max } => single(json!({"type": "number", "minimum": min, "maximum": max})),
        Kind::Size { .. } | Kind::Fuel { .. } => json!({"type": ["string", "integer"], "examples": [example(kind)]}),
        Kind::Choice(choices) => single(json!({"enum": choices})),
        Kind::Severity => single(json!({"enum": ["info", "low", "medium", "high", "critical"]})),
        // `min_version: 1.2` is a number to an editor.
        Kind::Text | Kind::AnyText | Kind::Secret | Kind::Path => json!({"type": ["string", "number", "boolean"]}),
        Kind::Name | Kind::Component | Kind::Tenant | Kind::Address | Kind::Url | Kind::Cidr | Kind::Method | Kind::Duration { .. } => {
            json!({"type": "string", "examples": [example(kind)]})
        }
        Kind::List { of, min, max } => json!({"type": "array", "items": value(of, defs), "minItems": min, "maxItems": max}),
        Kind::OneOrMany(of) => {
            let one = value(of, defs);
            json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
        }
        Kind::Map(map) => section(map, defs),
        Kind::Condition => section(&CONDITION, defs),
        Kind::SecretValue => {
            let command = section(&COMMAND, defs);
            json!({"anyOf": [{"type": ["string", "number", "boolean"]}, command]})
        }
        Kind::Named(of) => json!({"type": "object", "additionalProperties": value(of, defs)}),
        Kind::Tagged(variants) => {
            let variants: Vec<_> = variants
                .iter()
                .map(|(tag, variant)| {
                    let schema = object(variant, Some(tag), defs);
                    defs.insert(variant.name.into(), schema);
                    json!({"$ref": format!("#/$defs/{}", variant.name)})
                })
                .collect();
            json!({"oneOf": variants})
        }
        Kind::Short { key, map } => {
            let long = section(map, defs);
            let short = map.keys.iter().find(|known| known.name == *key).map(|key| value(&key.kind, defs));
            json!({"anyOf": [short, long]})
        }
        Kind::Raw => json!({"type": "object"}),
        Kind::Limits => {
            let mut rows = Map::from_iter(limits::TABLE.iter().map(|row| (row.name.to_owned(), limit(row))));
            let items = json!({"enum": limits::countable()});
            let doc = "Limits that are counted and, below their ceiling, not enforced.";
            rows.insert(COUNT_ONLY.to_owned(), json!({"type": "array", "items": items, "uniqueItems": true, "description": doc}));
            json!({"type": "object", "additionalProperties": false, "properties": rows})
        }
    }
}

/// A limit with its default and its ceiling, which only words can give for values with units.
fn limit(row: &limits::Row) -> Json {
    let (default, ceiling) = (limits::page::configured(row.unit, row.default), limits::page::configured(row.unit, row.ceiling));
    match row.count_only {
        limits::CountOnly::Fixed => json!({"const": default, "description": format!("{} Fixed.", row.meaning)}),
        _ => {
            let description = format!("{} At most {ceiling}.", row.meaning);
            json!({"type": ["string", "integer"], "description": description, "default": default, "x-ceiling": ceiling})
        }
    }
}

fn single(schema: Json) -> Json {
    json!({"anyOf": [schema, {"type": "string", "pattern": r"\$\{"}]})
}

fn example(kind: &Kind) -> String {
    let words = expected(kind);
    words.split_once("such as ").map_or(words.clone(), |(_, example)| example.split([',', ' ']).next().unwrap_or_default().to_owned())
}
