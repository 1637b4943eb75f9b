//! Fields of a component's configuration that its own schema marks as secret (`"writeOnly": true` or
//! `"format": "password"`): a value from `${…}` there would hand a secret to a guest, so it is refused.

use serde_json::Value as Json;

use super::checked::RawConfig;
use super::fault::Span;

/// Deepest nesting of schemas that is followed, and most of them looked at for one field: they are a
/// stranger's, and references can make a few lines mean endlessly many.
const DEPTH: usize = 64;
const MOST: usize = 10_000;

/// A secret field that `${…}` filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretField {
    /// Its path as people write it: `auth.password`.
    pub path: String,
    pub span: Span,
}

/// All of them, in the order of their paths. A schema that cannot be read marks nothing.
pub fn secret_fields(schema: &str, config: &RawConfig) -> Vec<SecretField> {
    let Ok(schema) = serde_json::from_str::<Json>(schema) else { return Vec::new() };
    let marked = config.interpolated.keys().filter(|pointer| {
        let segments: Vec<String> = pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect();
        is_secret(&schema, &segments)
    });
    let field = |pointer: &String| SecretField {
        path: pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~"),
        span: config.spans.get(pointer).copied().unwrap_or_default(),
    };
    marked.map(field).collect()
}

/// Whether a schema marks what lies at a path, or anything on the way to it.
pub fn is_secret(schema: &Json, path: &[String]) -> bool {
    secret(schema, schema, path, DEPTH, &mut { MOST })
}

/// Whether the value below a schema, or anything on the way to it, is marked.
fn secret(root: &Json, schema: &Json, segments: &[String], depth: usize, most: &mut usize) -> bool {
    let Some(left) = depth.checked_sub(1).filter(|_| *most > 0) else { return false };
    *most -= 1;
    if schema["writeOnly"] == true || schema["format"] == "password" {
        return true;
    }
    let referred = schema["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    if referred.is_some_and(|referred| secret(root, referred, segments, left, most)) {
        return true;
    }
    let choices = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema[*word].as_array()).flatten();
    if choices.into_iter().any(|choice| secret(root, choice, segments, left, most)) {
        return true;
    }
    let Some((first, rest)) = segments.split_first() else { return false };
    let named = schema["properties"].get(first);
    let place = first.parse::<usize>().ok();
    let listed = place.and_then(|place| schema["prefixItems"].get(place)).or_else(|| place.and(schema.get("items")));
    let inner = named.or(listed).or_else(|| schema.get("additionalProperties"));
    inner.is_some_and(|inner| secret(root, inner, rest, left, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &Json, pointers: &[&str], want: &[&str]) {
        let interpolated = pointers.iter().map(|pointer| ((*pointer).to_owned(), "${X}".to_owned())).collect();
        let config = RawConfig { interpolated, ..RawConfig::default() };
        let found: Vec<String> = secret_fields(&schema.to_string(), &config).into_iter().map(|field| field.path).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn marked_fields_are_found_wherever_they_are() {
        let schema = serde_json::json!({
            "type": "object",
            "properties": {
                "user": {"type": "string"},
                "password": {"type": "string", "writeOnly": true},
                "pin": {"type": "string", "format": "password"},
                "auth": {"$ref": "#/$defs/auth"},
                "either": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"key": {"writeOnly": true}}}]},
                "list": {"type": "array", "items": {"properties": {"token": {"format": "password"}}}},
                "pair": {"prefixItems": [{"type": "string"}, {"writeOnly": true}]},
                "headers": {"additionalProperties": {"type": "string", "writeOnly": true}},
                "whole": {"writeOnly": true, "properties": {"part": {}}},
                "a/b~c": {"writeOnly": true},
                "not": {"writeOnly": false, "format": "uri"},
            },
            "$defs": {"auth": {"properties": {"secret": {"writeOnly": true}, "again": {"$ref": "#/$defs/auth"}}}},
        });
        check(&schema, &["/user", "/unknown", "/auth/user", "/list/0/name", "/pair/0", "/not", "/user/0"], &[]);
        let marked = [
            "/auth/again/again/secret",
            "/auth/secret",
            "/a~1b~0c",
            "/either/key",
            "/headers/x-api-key",
            "/list/7/token",
            "/pair/1",
            "/password",
            "/pin",
            "/whole/part",
        ];
        let paths =
            ["auth.again.again.secret", "auth.secret", "a/b~c", "either.key", "headers.x-api-key", "list.7.token", "pair.1", "password", "pin", "whole.part"];
        check(&schema, &marked, &paths);
    }

    #[test]
    fn strange_schemas_mark_nothing_and_end() {
        for schema in
            [serde_json::json!({"$ref": "#"}), serde_json::json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}), serde_json::json!(true), serde_json::json!([])]
        {
            check(&schema, &["/password"], &[]);
        }
        assert!(secret_fields("no json", &RawConfig::default()).is_empty());
    }
}
