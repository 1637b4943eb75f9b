//! Skipping values in text that was validated before. Total on any bytes: damaged text yields
//! `None` or a wrong span, never a panic and never a read outside.

use std::ops::Range;

use super::text::{is_space, skip_space, string_end};
use crate::attr::Kind;

/// A value that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub kind: Kind,
    /// Strings without their quotes.
    pub span: Range<usize>,
    /// Behind the value, the closing quote included.
    pub end: usize,
}

/// Passes over the value at `at`; space before it is allowed.
#[inline]
pub fn skip_value(text: &[u8], at: usize) -> Option<Skipped> {
    let at = skip_space(text, at);
    let plain = |kind, length: usize| (at + length <= text.len()).then(|| Skipped { kind, span: at..at + length, end: at + length });
    match text.get(at)? {
        b'"' => {
            let (end, escaped) = string_end(text, at + 1)?;
            Some(Skipped { kind: if escaped { Kind::EscapedString } else { Kind::String }, span: at + 1..end, end: end + 1 })
        }
        b'{' => skip_rest(text, at + 1).map(|end| Skipped { kind: Kind::Object, span: at..end, end }),
        b'[' => skip_rest(text, at + 1).map(|end| Skipped { kind: Kind::Array, span: at..end, end }),
        b't' => plain(Kind::Bool, 4),
        b'f' => plain(Kind::Bool, 5),
        b'n' => plain(Kind::Null, 4),
        b'-' | b'0'..=b'9' => {
            let length = text[at..].iter().position(|byte| matches!(byte, b',' | b'}' | b']') || is_space(*byte));
            plain(Kind::Number, length.unwrap_or(text.len() - at))
        }
        _ => None,
    }
}

/// Passes over the rest of a container whose opening bracket lies before `at`: the position behind
/// its closing one. Brackets are counted, not matched by kind: the text was validated.
pub fn skip_rest(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1_usize;
    loop {
        match text.get(at)? {
            b'"' => at = string_end(text, at + 1)?.0,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}
