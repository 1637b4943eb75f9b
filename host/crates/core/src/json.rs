//! JSON text (RFC 8259): validation at intake, skipping where it was validated before, string
//! decoding. Nothing here builds a tree or turns a number into a float.
//!
//! Refused at intake beyond the grammar: duplicate keys at every level (compared decoded), surrogates
//! without their partner, nesting and objects beyond a limit. Whoever calls has checked UTF-8.

mod scan;
mod skip;
mod text;

pub use scan::{Collect, Fault, FaultKind, Group, Ignore, Limits, Member, Scanned, Scanner};
pub use skip::{Skipped, skip_rest, skip_value};
pub use text::{fingerprint, fingerprint_at, is_space, skip_space, string_end};

/// Decodes the text between a JSON string's quotes (RFC 8259 §7); `None` where an escape is malformed
/// or a surrogate stands alone.
pub fn decode_string(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    let mut out = String::with_capacity(raw.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = *rest.as_bytes().get(at + 1)?;
        rest = rest.get(at + 2..)?;
        out.push(match escape {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (mut code, mut used) = (hex4(rest)?, 4);
                if (0xd800..0xdc00).contains(&code) {
                    let low = hex4(rest[4..].strip_prefix("\\u")?)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return None;
                    }
                    (code, used) = (0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), 10);
                }
                rest = &rest[used..];
                char::from_u32(code)?
            }
            _ => return None,
        });
    }
    out.push_str(rest);
    Some(out)
}

fn hex4(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    if digits.bytes().all(|b| b.is_ascii_hexdigit()) { u32::from_str_radix(digits, 16).ok() } else { None }
}

/// Appends text as the inside of a JSON string; true where anything had to be escaped.
pub fn write_escaped(text: &str, out: &mut Vec<u8>) -> bool {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut escaped = false;
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        escaped = true;
        out.extend_from_slice(&text.as_bytes()[done..at]);
        done = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
    out.extend_from_slice(&text.as_bytes()[done..]);
    escaped
}

#[cfg(test)]
mod tests;
