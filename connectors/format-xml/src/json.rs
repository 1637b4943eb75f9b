//! JSON as elements: W3C, "XPath and XQuery Functions and Operators 3.1", §17.5.3 `json-to-xml`.

use bulkhead_sdk::{Kind, Value, Writer};

use crate::text;

/// Writes a value; `key` is its name within an object. Events nest 128 levels at most.
pub fn write(value: Value<'_>, key: Option<Value<'_>>, out: &mut Writer) {
    let name: &[u8] = match value.kind() {
        Kind::Missing | Kind::Null => b"null",
        Kind::Bool => b"boolean",
        Kind::Number => b"number",
        Kind::String | Kind::EscapedString => b"string",
        Kind::Array => b"array",
        Kind::Object => b"map",
    };
    out.literal(b"<j:");
    out.bytes(name);
    if let Some(key) = key {
        out.literal(b" key=\"");
        text::attribute(key, out);
        out.literal(b"\"");
    }
    out.literal(b">");
    match value.kind() {
        Kind::Array => value.elements().for_each(|element| write(element, None, out)),
        Kind::Object => value.members().for_each(|(key, member)| write(member, Some(key), out)),
        Kind::Null | Kind::Missing => {}
        _ => text::content(value, out),
    }
    out.literal(b"</j:");
    out.bytes(name);
    out.literal(b">");
}
