//! JSON text that the host has already checked: decoding of strings, walking over containers. Total
//! all the same: what is malformed ends the walk, nothing panics.

use crate::value::{Kind, Value};
use crate::writer::{Escape, scan};

mod reader;

pub use reader::Reader;

/// Nesting that a walk follows; intake bounds events well below.
const MAX_DEPTH: usize = 512;

/// Decodes the text between a string's quotes. An escape that is none, and a surrogate that stands
/// alone, becomes U+FFFD.
pub fn decode(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let Some(escape) = rest.get(at + 1) else { return };
        rest = &rest[at + 2..];
        let letter = match escape {
            b'"' | b'\\' | b'/' => char::from(*escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (letter, used) = unicode(rest);
                rest = &rest[used..];
                letter
            }
            _ => char::REPLACEMENT_CHARACTER,
        };
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.extend_from_slice(rest);
}

/// The character of `\u`, and how many bytes behind the `u` it took.
fn unicode(rest: &[u8]) -> (char, usize) {
    let Some(code) = hex4(rest) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if (0xd800..0xdc00).contains(&code)
        && let Some(low) = rest.get(4..).and_then(|rest| rest.strip_prefix(b"\\u")).and_then(hex4)
        && (0xdc00..0xe000).contains(&low)
    {
        return (char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

fn hex4(text: &[u8]) -> Option<u32> {
    text.get(..4)?.iter().try_fold(0, |code, byte| Some(code << 4 | char::from(*byte).to_digit(16)?))
}

/// The value that a text is; `None` where it is not one value with nothing behind it.
pub fn value(text: &str) -> Option<Value<'_>> {
    let mut walk = Walk { block: text.as_bytes(), at: 0, end: text.len(), started: false, complete: false };
    let value = walk.value()?;
    walk.skip_space();
    (walk.at == walk.end).then_some(value)
}

/// Whether a text is one value exactly as RFC 8259 spells it. The walks below take the host's own word for that;
/// this is for text that people wrote, such as a template.
pub fn is_strict(text: &str) -> bool {
    value(text).is_some_and(|value| strict(value, MAX_DEPTH))
}

fn strict(value: Value<'_>, depth: usize) -> bool {
    let raw = value.raw();
    match value.kind() {
        Kind::Missing => false,
        Kind::Null => raw == b"null",
        Kind::Bool => matches!(raw, b"true" | b"false"),
        Kind::Number => number(raw),
        Kind::String | Kind::EscapedString => string(raw),
        Kind::Array | Kind::Object if depth == 0 => false,
        // A walk takes either closing bracket.
        Kind::Array if !raw.ends_with(b"]") => false,
        Kind::Object if !raw.ends_with(b"}") => false,
        Kind::Array => {
            let mut elements = value.elements();
            elements.by_ref().all(|element| strict(element, depth - 1)) && elements.is_complete()
        }
        Kind::Object => {
            let mut members = value.members();
            members.by_ref().all(|(name, value)| string(name.raw()) && strict(value, depth - 1)) && members.is_complete()
        }
    }
}

/// RFC 8259 §6.
fn number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || whole > 1 && text.starts_with(b"0") {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(behind) = rest.strip_prefix(b".") {
        let fraction = digits(behind);
        if fraction == 0 {
            return false;
        }
        rest = &behind[fraction..];
    }
    if let Some(behind) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let behind = behind.strip_prefix(b"+").or_else(|| behind.strip_prefix(b"-")).unwrap_or(behind);
        return !behind.is_empty() && digits(behind) == behind.len();
    }
    rest.is_empty()
}

/// RFC 8259 §7, without the quotes.
fn string(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\' || *byte < 0x20) {
        let escape = if rest[at] == b'\\' { rest.get(at + 1) } else { None };
        rest = match escape {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => &rest[at + 2..],
            Some(b'u') if hex4(&rest[at + 2..]).is_some() => &rest[at + 6..],
            _ => return false,
        };
    }
    true
}

/// Elements of an array.
#[derive(Debug)]
pub struct Elements<'a> {
    walk: Walk<'a>,
}

impl<'a> Elements<'a> {
    pub(crate) fn of(value: Value<'a>) -> Self {
        Self { walk: Walk::new(value, Kind::Array) }
    }

    /// Goes on where an earlier walk of the same value stood.
    pub fn resume(mut self, position: usize) -> Self {
        self.walk.resume(position);
        self
    }

    /// How far the walk is, for [`resume`](Self::resume).
    pub fn position(&self) -> usize {
        self.walk.at
    }

    /// After the walk: it ended at the closing bracket, not at something malformed.
    pub fn is_complete(&self) -> bool {
        self.walk.complete
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.walk.separator()?;
        self.walk.value()
    }
}

/// Names (as JSON text without quotes) and values of an object.
#[derive(Debug)]
pub struct Members<'a> {
    walk: Walk<'a>,
}

impl<'a> Members<'a> {
    pub(crate) fn of(value: Value<'a>) -> Self {
        Self { walk: Walk::new(value, Kind::Object) }
    }

    /// Goes on where an earlier walk of the same value stood.
    pub fn resume(mut self, position: usize) -> Self {
        self.walk.resume(position);
        self
    }

    /// How far the walk is, for [`resume`](Self::resume).
    pub fn position(&self) -> usize {
        self.walk.at
    }

    /// After the walk: it ended at the closing brace, not at something malformed.
    pub fn is_complete(&self) -> bool {
        self.walk.complete
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Value<'a>, Value<'a>);

    fn next(&mut self) -> Option<(Value<'a>, Value<'a>)> {
        self.walk.separator()?;
        let name = self.walk.value().filter(Value::is_string)?;
        self.walk.skip_space();
        self.walk.expect(b':')?;
        Some((name, self.walk.value()?))
    }
}

/// What a walk over a string stops at.
struct StringEnd;

impl Escape for StringEnd {
    const BELOW: u8 = 0;
    const BYTES: [u8; 3] = [b'"', b'\\', b'\\'];

    fn write(_: u8, _: &mut Vec<u8>) {}
}

#[derive(Debug)]
struct Walk<'a> {
    block: &'a [u8],
    at: usize,
    /// Behind the last byte inside the brackets.
    end: usize,
    started: bool,
    /// The end was reached where an item or a comma could have been.
    complete: bool,
}

impl<'a> Walk<'a> {
    fn new(value: Value<'a>, kind: Kind) -> Self {
        let (block, start, end) = value.place();
        let inside = if value.kind() == kind && end >= start + 2 { (start + 1, end - 1) } else { (0, 0) };
        Self { block: &block[..inside.1], at: inside.0, end: inside.1, started: false, complete: false }
    }

    fn resume(&mut self, position: usize) {
        if position > self.at {
            self.at = position;
            self.started = true;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.block.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there.then_some(())
    }

    /// Moves to the next item; `None` at the end.
    fn separator(&mut self) -> Option<()> {
        self.skip_space();
        if self.at >= self.end {
            self.complete = true;
            return None;
        }
        if self.started {
            self.expect(b',')?;
        }
        self.started = true;
        Some(())
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.skip_space();
        let start = self.at;
        match self.peek()? {
            b'"' => {
                let escaped = self.string()?;
                let kind = if escaped { Kind::EscapedString } else { Kind::String };
                Some(Value::new(self.block, start + 1, self.at - 1, kind))
            }
            open @ (b'[' | b'{') => {
                self.container()?;
                Some(Value::new(self.block, start, self.at, if open == b'[' { Kind::Array } else { Kind::Object }))
            }
            first => {
                while self.peek().is_some_and(|byte| !matches!(byte, b',' | b'}' | b']' | b':' | b' ' | b'\n' | b'\r' | b'\t')) {
                    self.at += 1;
                }
                let kind = match first {
                    b't' | b'f' => Kind::Bool,
                    b'n' => Kind::Null,
                    _ => Kind::Number,
                };
                (self.at > start).then(|| Value::new(self.block, start, self.at, kind))
            }
        }
    }

    /// Walks over a string; true where it has escapes.
    fn string(&mut self) -> Option<bool> {
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            self.at += scan::quiet::<StringEnd>(self.block.get(self.at..)?);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(escaped);
                }
                _ => {
                    escaped = true;
                    self.at += 2;
                }
            }
        }
    }

    fn container(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' | b'{' => {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return None;
                    }
                }
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
