//! The canonical form of RFC 8785, as far as the samples need it: numbers here are integers below 2^53
//! or short decimals, for which Rust and ECMAScript print the same digits.

use serde_json::Value;

pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            // By UTF-16 code units (RFC 8785 §3.2.3).
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                string(key, out);
                out.push(':');
                write(&object[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::String(text) => string(text, out),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => out.push_str(&float.to_string()),
            _ => out.push_str(&number.to_string()),
        },
        Value::Bool(_) | Value::Null => out.push_str(&value.to_string()),
    }
}

fn string(text: &str, out: &mut String) {
    // serde_json escapes exactly what RFC 8785 §3.2.2.2 asks for, in lower-case hexadecimal.
    out.push_str(&Value::String(text.to_owned()).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_keys_and_keeps_text() {
        let value: Value = serde_json::from_str("{\"b\": [1, 2.50, true, null], \"a\": {\"\u{20ac}\": \"\\u000f\\n\", \"\\r\": 1}}").expect("parses");
        assert_eq!(canonical(&value), "{\"a\":{\"\\r\":1,\"\u{20ac}\":\"\\u000f\\n\"},\"b\":[1,2.5,true,null]}");
    }
}
