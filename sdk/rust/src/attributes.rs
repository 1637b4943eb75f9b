//! The attributes of an event that have one value each, by name and pointer, for stores that know no nesting.

use crate::value::Value;
use crate::writer::{JsonEscape, Writer};

/// Lists among them (`roles`, `compliance`) are written with commas between their elements.
pub const ATTRIBUTES: [(&str, &str); 20] = [
    ("id", "/id"),
    ("source", "/source"),
    ("type", "/type"),
    ("severity", "/severity"),
    ("subject", "/subject"),
    ("classification", "/classification"),
    ("compliance", "/compliance"),
    ("user", "/user"),
    ("roles", "/roles"),
    ("operation", "/operation"),
    ("parentoperation", "/parentoperation"),
    ("outcome", "/outcome"),
    ("action", "/action"),
    ("category", "/category"),
    ("host", "/host"),
    ("process", "/process"),
    ("srcip", "/srcip"),
    ("dstip", "/dstip"),
    ("dstport", "/dstport"),
    ("tenant", "/tenant"),
];

/// A value as a JSON string of at most `limit` bytes before escaping: texts as they are, lists joined by commas,
/// everything else as its JSON text.
pub fn write_flat(value: Value<'_>, limit: usize, out: &mut Writer) {
    out.byte(b'"');
    out.escaped_list::<JsonEscape>(value, limit);
    out.byte(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn any_value_becomes_one_text() {
        for (json_text, limit, want) in [
            (r#""plain""#, 99, r#""plain""#),
            (r#""a \"b\" \u00e9\u0001""#, 99, "\"a \\\"b\\\" é\\u0001\""),
            (r#"["SOX","a\"b",7]"#, 99, r#""SOX,a\"b,7""#),
            (r#"{"a":["b"]}"#, 99, r#""{\"a\":[\"b\"]}""#),
            ("12.50", 99, r#""12.50""#),
            ("true", 99, r#""true""#),
            ("null", 99, r#""""#),
            (r#""éé""#, 3, r#""é""#),
            (r#"["ab","cd"]"#, 4, r#""ab,c""#),
        ] {
            let mut out = Writer::default();
            write_flat(json::value(json_text).unwrap(), limit, &mut out);
            assert_eq!(String::from_utf8(out.into_bytes()).unwrap(), want);
        }
    }
}
