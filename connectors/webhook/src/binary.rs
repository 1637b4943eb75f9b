//! CloudEvents in binary mode: attributes as `ce-` headers, the payload as the body.
//! Standard: CNCF CloudEvents 1.0.2, "HTTP Protocol Binding" §3.1 and "JSON Event Format" §3.1.
//!
//! The record is the event in the structured format, so that both modes carry the same attributes. Nothing is cut: an
//! event whose attributes do not fit into headers is refused.

use bulkhead_sdk::{Kind, Value, base64, http, json};

/// What the host takes is 128 fields and 32 KiB; the rest is for headers of the configuration and the credential.
const MAX_ATTRIBUTES: usize = 64;
const MAX_BYTES: usize = 24 << 10;

/// Headers and body of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// From an event in the structured format; the error is the event's.
pub fn parts(record: &[u8]) -> Result<Parts, String> {
    let event = std::str::from_utf8(record).ok().and_then(json::value).filter(|event| event.kind() == Kind::Object);
    let event = event.ok_or("the record is no CloudEvent in JSON")?;
    let content_type = event.member("datacontenttype").text().unwrap_or_default();
    let mut parts = Parts::default();
    let (mut attributes, mut bytes) = (0, content_type.len());
    for (name, value) in event.members() {
        let name = name.raw();
        match name {
            b"data" => parts.body = payload(value, &content_type),
            b"data_base64" => {
                let text = value.text().unwrap_or_default();
                parts.body = base64::decode(&text).ok_or("data_base64 is no base64")?;
            }
            b"datacontenttype" => {
                if !content_type.iter().all(|byte| (0x20..0x7f).contains(byte)) {
                    return Err("datacontenttype holds a character that a header cannot carry".to_owned());
                }
            }
            _ if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) => {
                return Err(format!("the attribute {} cannot be the name of a header", String::from_utf8_lossy(name).escape_debug()));
            }
            // An attribute that is null is absent.
            _ => {
                if let Some(text) = value.text() {
                    let value = http::header_text(&text, usize::MAX);
                    attributes += 1;
                    bytes += name.len() + value.len();
                    parts.headers.push((format!("ce-{}", String::from_utf8_lossy(name)), value));
                }
            }
        }
    }
    if attributes > MAX_ATTRIBUTES || bytes > MAX_BYTES {
        return Err(format!(
            "the event has {attributes} attributes of {bytes} bytes, at most {MAX_ATTRIBUTES} and {MAX_BYTES} fit into headers; send it with `mode: each`"
        ));
    }
    if !content_type.is_empty() {
        parts.headers.push(("content-type".to_owned(), content_type.into_owned()));
    } else if !parts.body.is_empty() {
        // What the JSON format assumes where the attribute is absent.
        parts.headers.push(("content-type".to_owned(), b"application/json".to_vec()));
    }
    Ok(parts)
}

/// JSON as it is; a text of another type is the text itself.
fn payload(data: Value<'_>, content_type: &[u8]) -> Vec<u8> {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let is_json = essence.is_empty() || essence.ends_with(b"/json") || essence.ends_with(b"+json");
    match data.text() {
        Some(text) if data.is_string() && !is_json => text.into_owned(),
        _ => {
            let mut out = bulkhead_sdk::Writer::default();
            out.json(data);
            out.into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(record: &str) -> Result<(Vec<String>, String), String> {
        let parts = parts(record.as_bytes())?;
        let headers = parts.headers.into_iter().map(|(name, value)| format!("{name}: {}", String::from_utf8(value).unwrap())).collect();
        Ok((headers, String::from_utf8_lossy(&parts.body).into_owned()))
    }

    #[test]
    fn attributes_are_headers_and_data_the_body() {
        let record = r#"{"specversion":"1.0","id":"e-1","source":"/a b","type":"t","time":"2026-01-02T03:04:05.100Z","datacontenttype":"application/json; charset=utf-8","sampled":true,"count":7,"none":null,"subject":"Euro € \ud83d\ude00 \"%\"","data":{"n":1.50, "a":[]}}"#;
        let (headers, body) = shown(record).unwrap();
        assert_eq!(
            headers,
            [
                "ce-specversion: 1.0",
                "ce-id: e-1",
                "ce-source: /a%20b",
                "ce-type: t",
                "ce-time: 2026-01-02T03:04:05.100Z",
                "ce-sampled: true",
                "ce-count: 7",
                "ce-subject: Euro%20%E2%82%AC%20%F0%9F%98%80%20%22%25%22",
                "content-type: application/json; charset=utf-8",
            ]
        );
        assert_eq!(body, r#"{"n":1.50, "a":[]}"#);
    }

    #[test]
    fn payloads() {
        for (record, content_type, body) in [
            (r#"{"id":"1","data":"a\nb","datacontenttype":"text/plain"}"#, Some("text/plain"), "a\nb"),
            (r#"{"id":"1","data":"a\nb","datacontenttype":"application/x+json"}"#, Some("application/x+json"), "\"a\\nb\""),
            (r#"{"id":"1","data":"a\nb"}"#, Some("application/json"), "\"a\\nb\""),
            (r#"{"id":"1","data":{"a":1},"datacontenttype":"text/plain"}"#, Some("text/plain"), r#"{"a":1}"#),
            (r#"{"id":"1","data":null}"#, Some("application/json"), "null"),
            (r#"{"id":"1","data_base64":"AGE=","datacontenttype":"application/octet-stream"}"#, Some("application/octet-stream"), "\0a"),
            (r#"{"id":"1"}"#, None, ""),
        ] {
            let (headers, have) = shown(record).unwrap();
            assert_eq!(headers.iter().find_map(|header| header.strip_prefix("content-type: ")), content_type, "{record}");
            assert_eq!(have, body, "{record}");
        }
    }

    #[test]
    fn what_fits_into_no_headers_is_refused() {
        let long = format!(r#"{{"id":"1","metadata":"{}"}}"#, "é".repeat(5_000));
        let many: Vec<String> = (0..65).map(|i| format!("\"a{i}\":\"x\"")).collect();
        for (record, words) in [
            ("CEF:0|", "no CloudEvent in JSON"),
            ("[1]", "no CloudEvent in JSON"),
            ("\u{feff}", "no CloudEvent in JSON"),
            (r#"{"id":"1","data_base64":"%"}"#, "no base64"),
            (r#"{"id":"1","datacontenttype":"a\r\nb: c"}"#, "a character that a header cannot carry"),
            (r#"{"Evil\r\n":"1"}"#, "cannot be the name of a header"),
            (&long, "at most 64 and 24576 fit into headers"),
            (&format!(r#"{{"id":"1","datacontenttype":"{}"}}"#, "x".repeat(24_600)), "at most 64 and 24576 fit into headers"),
            (&format!("{{{}}}", many.join(",")), "the event has 65 attributes"),
        ] {
            let error = shown(record).unwrap_err();
            assert!(error.contains(words), "{record}: {error}");
        }
    }
}
