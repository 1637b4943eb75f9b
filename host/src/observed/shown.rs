//! An event as JSON text for people: its attributes, and its body where that is wanted. The caller sees to it that the
//! event is one that may be shown ([`Guise`](super::Guise)).

use bulkhead_core::{Attr, EventRef, Kind, Shape};
use serde_json::Value;

/// Bytes of one attribute; a longer one is left out and named in `left_out`.
const MOST_ATTRIBUTE: usize = 4 << 10;
/// Bytes of a body; of a longer one only the size is said.
pub const MOST_BODY: usize = 64 << 10;

/// Members of an object, without its braces: `"id":"e-1","type":…`. Digits and escapes stay as they came.
pub fn attributes(event: &EventRef<'_>) -> String {
    let mut out = String::with_capacity(256);
    let mut left_out = Vec::new();
    for (attr, kind, range) in event.attrs() {
        if matches!(attr, Attr::Data | Attr::DataBase64 | Attr::Lane) {
            continue;
        }
        let raw = &event.body()[range];
        if raw.len() > MOST_ATTRIBUTE {
            left_out.push(attr.name());
            continue;
        }
        member(&mut out, attr.name());
        match kind {
            Kind::String | Kind::EscapedString => {
                out.push('"');
                out.push_str(&String::from_utf8_lossy(raw));
                out.push('"');
            }
            Kind::Missing | Kind::Null => out.push_str("null"),
            Kind::Bool | Kind::Number | Kind::Array | Kind::Object => one_line(raw, &mut out),
        }
    }
    member(&mut out, "received");
    out.push_str(&Value::from(crate::api::rfc3339(i64::try_from(event.received() / 1_000_000).unwrap_or(i64::MAX))).to_string());
    member(&mut out, "shape");
    out.push_str(&Value::from(shape(event.shape())).to_string());
    if let Some(lane) = event.lane() {
        member(&mut out, "replayed_for");
        out.push_str(&Value::from(lane).to_string());
    }
    if !left_out.is_empty() {
        member(&mut out, "left_out");
        out.push_str(&Value::from(left_out).to_string());
    }
    out
}

/// The body as one line of JSON: as it is where it is JSON, else a string. An error says how many bytes were too many.
pub fn body(event: &EventRef<'_>) -> Result<String, usize> {
    let original = event.original();
    if original.len() > MOST_BODY {
        return Err(original.len());
    }
    let text = String::from_utf8_lossy(original);
    if serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok() {
        let mut out = String::with_capacity(text.len());
        one_line(text.trim().as_bytes(), &mut out);
        return Ok(out);
    }
    Ok(Value::from(text).to_string())
}

/// Line breaks in JSON text stand between its tokens and nowhere else, so that a space says the same.
fn one_line(json: &[u8], out: &mut String) {
    out.extend(String::from_utf8_lossy(json).chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
}

fn member(out: &mut String, name: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::CloudEvents => "cloudevents",
        Shape::Copybook => "copybook",
        Shape::Intelliguard => "intelliguard",
        Shape::Datavault => "datavault",
        Shape::Plain => "plain",
        Shape::Own => "own",
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_ingest::{Form, Normaliser, Rules};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn shown(text: &str, check: impl FnOnce(Value, Result<String, usize>)) {
        let mut stored = Vec::new();
        assert!(Normaliser::new(Rules::default()).event(text.as_bytes(), 0, Form::Json, 1_700_000_000_000_000_000, &mut stored).is_ok());
        let event = EventRef::new(&stored).expect("an event");
        let members = attributes(&event);
        assert!(!members.contains(['\n', '\r']), "{members}");
        check(serde_json::from_str(&format!("{{{members}}}")).expect("JSON"), body(&event));
    }

    #[test]
    fn attributes_are_json_on_one_line_whatever_stands_in_them() {
        let text = "{\"id\":\"a\\n\\\"b\",\"type\":\"t\",\"user\":\"\u{202e}x\",\n\"metadata\":{\n\"k\":\"v\"}}";
        shown(text, |members, body| {
            assert_eq!(members["id"], "a\n\"b");
            assert_eq!(members["metadata"], json!({"k": "v"}));
            assert_eq!(members["received"], "2023-11-14T22:13:20Z");
            let body = body.expect("short");
            assert!(!body.contains('\n'), "{body}");
            assert_eq!(serde_json::from_str::<Value>(&body).expect("JSON")["metadata"], json!({"k": "v"}));
        });
    }

    #[test]
    fn what_is_too_long_is_said_and_left_out() {
        let long = "u".repeat(MOST_ATTRIBUTE + 1);
        let text = format!(r#"{{"id":"a","type":"t","user":"{long}","pad":"{}"}}"#, "p".repeat(MOST_BODY));
        shown(&text, |members, body| {
            assert_eq!((&members["user"], &members["left_out"]), (&Value::Null, &json!(["user"])));
            assert!(body.is_err_and(|bytes| bytes > MOST_BODY));
        });
    }
}
