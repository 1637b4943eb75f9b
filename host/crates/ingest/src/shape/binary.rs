//! CloudEvents in binary mode (CloudEvents HTTP binding §3.1): attributes in headers, the payload as
//! the body. It is written as the structured form, which is the same event; from there on there is
//! one way. A JSON payload goes in byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_core::json::{Group, Ignore, Limits, Scanner, write_escaped};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::normalise::EventFault;

const PREFIX: &str = "ce-";

/// The attributes of an event in binary mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BinaryHead {
    attributes: Vec<(String, String)>,
    content_type: Option<String>,
}

impl BinaryHead {
    /// Whether headers are those of the binary mode.
    pub fn is_in(headers: &HeaderMap) -> bool {
        headers.contains_key("ce-specversion")
    }

    pub fn from_headers(headers: &HeaderMap) -> Result<Self, EventFault> {
        let mut head = Self::default();
        for (name, value) in headers {
            let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
            let pointer = format!("/{name}");
            let known = head.attributes.iter().any(|(other, _)| other == name);
            if known || matches!(name, "data" | "data_base64" | "datacontenttype") {
                return Err(EventFault::new(&pointer, if known { "the header occurs twice" } else { "no attribute in binary mode" }));
            }
            let text = std::str::from_utf8(value.as_bytes()).ok().and_then(decode_header);
            head.attributes.push((name.to_owned(), text.ok_or_else(|| EventFault::new(&pointer, "the header's value is not percent-encoded UTF-8"))?));
        }
        if let Some(value) = headers.get(CONTENT_TYPE) {
            head.content_type = Some(value.to_str().map_err(|_| EventFault::new("/datacontenttype", "not ASCII"))?.to_owned());
        }
        Ok(head)
    }

    /// Whether the payload is JSON: by its type's name, or by default (JSON event format §3.1).
    fn is_json(&self) -> bool {
        let Some(full) = &self.content_type else { return true };
        let essence = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
    }

    /// Appends the structured form. A payload that is called JSON must be one value, or it could
    /// bring attributes of its own.
    pub(crate) fn write_structured(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), EventFault> {
        out.push(b'{');
        for (name, value) in self
            .attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(self.content_type.as_deref().map(|value| ("datacontenttype", value)))
        {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            out.push(b'"');
            write_escaped(name, out);
            out.extend_from_slice(b"\":\"");
            write_escaped(value, out);
            out.push(b'"');
        }
        if payload.is_empty() {
            out.push(b'}');
            return Ok(());
        }
        if self.is_json() {
            let place = |at: usize, pointer: &str, reason: String| EventFault { pointer: format!("/data{pointer}"), reason, at: Some(at) };
            std::str::from_utf8(payload).map_err(|error| place(error.valid_up_to(), "", "not UTF-8".into()))?;
            let read = Scanner::new(Limits::default()).document(payload, Group::NONE, &mut Ignore);
            read.map_err(|fault| place(fault.at, &fault.pointer, fault.kind.to_string()))?;
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(payload);
        } else if let Ok(text) = std::str::from_utf8(payload) {
            out.extend_from_slice(b",\"data\":\"");
            write_escaped(text, out);
            out.push(b'"');
        } else {
            out.extend_from_slice(b",\"data_base64\":\"");
            out.extend_from_slice(STANDARD.encode(payload).as_bytes());
            out.push(b'"');
        }
        out.push(b'}');
        Ok(())
    }
}

/// Decodes a header's value (HTTP binding §3.1.3.2): quotes around it, then percent-encoding.
fn decode_header(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut rest = inner.unwrap_or(value).bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                (digit(rest.next())? * 16 + digit(rest.next())?) as u8
            }
            b'\\' if inner.is_some() => rest.next()?,
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
