//! The fast writer: one growing block that all records of a batch are written into.
//!
//! WebAssembly pays for each small copy of unknown length (a call of `memory.copy`), so copies go in
//! steps of 16 bytes that become vector loads and stores, and may run a little over before the length
//! is set right. Escaping looks for what must be escaped in the same 16 bytes while they are copied.

pub(crate) mod scan;

use crate::json;
use crate::value::{Kind, Value};

/// Bytes of one step.
const STEP: usize = 16;
/// Longer than this, one copy by the engine is faster than steps.
const LONG: usize = 192;

/// A rule for escaping: which bytes are special, and what is written for one. The set is given as
/// constants, so that 16 bytes are looked at with a handful of vector instructions.
pub trait Escape {
    /// Every byte below this is special; 0 for none.
    const BELOW: u8;
    /// These are special too; doubles where there are fewer.
    const BYTES: [u8; 3];
    fn write(byte: u8, out: &mut Vec<u8>);
}

/// The inside of a JSON string (RFC 8259 §7).
#[derive(Debug)]
pub struct JsonEscape;

impl Escape for JsonEscape {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [b'"', b'\\', b'\\'];

    fn write(byte: u8, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
}

/// Line breaks between JSON tokens become spaces. Inside strings JSON has none, so nothing else changes.
struct OneLine;

impl Escape for OneLine {
    const BELOW: u8 = 0;
    const BYTES: [u8; 3] = [b'\n', b'\r', b'\r'];

    fn write(_: u8, out: &mut Vec<u8>) {
        out.push(b' ');
    }
}

/// Both at once: JSON text on one line, as the inside of a JSON string.
struct OneLineText;

impl Escape for OneLineText {
    const BELOW: u8 = JsonEscape::BELOW;
    const BYTES: [u8; 3] = JsonEscape::BYTES;

    fn write(byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'\n' | b'\r' => out.push(b' '),
            _ => JsonEscape::write(byte, out),
        }
    }
}

#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    /// Decoded text on its way to an escape.
    scratch: Vec<u8>,
}

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), scratch: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back what was written behind `length`.
    pub fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
    }

    /// Makes room, so that the writes that follow do not.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Puts `head` where one byte was left for it, for encodings that count what lies inside; what was written behind
    /// moves where `head` is longer.
    pub fn set_head(&mut self, place: usize, head: &[u8]) {
        match head {
            [byte] => {
                if let Some(left) = self.out.get_mut(place) {
                    *left = *byte;
                }
            }
            _ if place < self.out.len() => drop(self.out.splice(place..=place, head.iter().copied())),
            _ => {}
        }
    }

    /// The block itself, for encodings that put lengths in front of what was written.
    pub(crate) fn vec(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Text whose length is known when compiling: stores without a call.
    #[inline]
    pub fn literal<const N: usize>(&mut self, text: &[u8; N]) {
        self.out.extend_from_slice(text);
    }

    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Bytes as they are.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.copy(bytes, 0, bytes.len());
    }

    /// A value's bytes as they are: a string without quotes, escapes in place.
    #[inline]
    pub fn raw(&mut self, value: Value<'_>) {
        let (block, start, end) = value.place();
        self.copy(block, start, end);
    }

    /// A value as JSON: what came in goes out, strings with their quotes. Missing is `null`.
    #[inline]
    pub fn json(&mut self, value: Value<'_>) {
        match value.kind() {
            Kind::String | Kind::EscapedString => {
                self.out.push(b'"');
                self.raw(value);
                self.out.push(b'"');
            }
            Kind::Missing => self.literal(b"null"),
            _ => self.raw(value),
        }
    }

    /// As [`json`](Self::json) on one line: line breaks between tokens become spaces.
    #[inline]
    pub fn json_line(&mut self, value: Value<'_>) {
        match value.kind() {
            Kind::Array | Kind::Object => self.one_line(value.raw()),
            _ => self.json(value),
        }
    }

    /// JSON text on one line.
    pub fn one_line(&mut self, json: &[u8]) {
        self.escaped::<OneLine>(json);
    }

    /// A value as a JSON string, whatever its kind: text as it is, everything else as its JSON text.
    pub fn json_text(&mut self, value: Value<'_>) {
        self.out.push(b'"');
        match value.kind() {
            Kind::Array | Kind::Object => self.escaped::<JsonEscape>(value.raw()),
            _ => self.raw(value),
        }
        self.out.push(b'"');
    }

    /// As [`json_text`](Self::json_text), containers on one line.
    pub fn json_line_text(&mut self, value: Value<'_>) {
        match value.kind() {
            Kind::Array | Kind::Object => {
                self.out.push(b'"');
                self.escaped::<OneLineText>(value.raw());
                self.out.push(b'"');
            }
            _ => self.json_text(value),
        }
    }

    /// Bytes of text as a JSON string with its quotes. What is not UTF-8 becomes U+FFFD.
    pub fn json_string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.json_fragment(text);
        self.out.push(b'"');
    }

    /// Bytes of text as the inside of a JSON string.
    pub fn json_fragment(&mut self, text: &[u8]) {
        if is_utf8(text) {
            self.escaped::<JsonEscape>(text);
        } else {
            self.escaped::<JsonEscape>(String::from_utf8_lossy(text).as_bytes());
        }
    }

    /// A value's text, escapes decoded; containers as JSON.
    pub fn text(&mut self, value: Value<'_>) {
        match value.kind() {
            Kind::Missing | Kind::Null => {}
            Kind::EscapedString => json::decode(value.raw(), &mut self.out),
            _ => self.raw(value),
        }
    }

    /// A value's text under an escape rule, cut to at most `limit` bytes of the text before escaping.
    #[inline]
    pub fn escaped_text<E: Escape>(&mut self, value: Value<'_>, limit: usize) {
        match value.kind() {
            Kind::Missing | Kind::Null => {}
            Kind::EscapedString => {
                // Taken out, so that the text can be read while this writer is written to.
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                json::decode(value.raw(), &mut scratch);
                self.escaped::<E>(cut(&scratch, limit));
                self.scratch = scratch;
            }
            _ => {
                let (block, start, end) = value.place();
                let end = if end - start > limit { start + cut(value.raw(), limit).len() } else { end };
                self.escape::<E>(block, start, end);
            }
        }
    }

    /// The elements of a list with commas between them, or a text as it is, under an escape rule, at most
    /// `limit` bytes before escaping.
    pub fn escaped_list<E: Escape>(&mut self, value: Value<'_>, limit: usize) {
        if value.kind() != Kind::Array {
            return self.escaped_text::<E>(value, limit);
        }
        let (inside, mut left) = (self.out.len(), limit);
        for element in value.elements() {
            if self.out.len() > inside {
                self.literal(b",");
                left = left.saturating_sub(1);
            }
            if left == 0 {
                break;
            }
            self.escaped_text::<E>(element, left);
            // Decoded text is never longer than what stands in the event.
            left = left.saturating_sub(element.raw().len());
        }
    }

    /// Bytes under an escape rule.
    #[inline]
    pub fn escaped<E: Escape>(&mut self, text: &[u8]) {
        self.escape::<E>(text, 0, text.len());
    }

    /// A whole number in decimal.
    pub fn number(&mut self, number: i64) {
        if number < 0 {
            self.out.push(b'-');
        }
        self.unsigned(number.unsigned_abs());
    }

    pub fn unsigned(&mut self, mut number: u64) {
        // 20 digits, and room for the copy to run over.
        let mut digits = [0; 20 + STEP];
        let mut at = 20;
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.copy(&digits, at, 20);
    }

    #[inline]
    fn copy(&mut self, block: &[u8], start: usize, end: usize) {
        let length = end.saturating_sub(start);
        let steps = length.div_ceil(STEP);
        match block.get(start..start + steps * STEP) {
            Some(wide) if length <= LONG => {
                let target = self.out.len() + length;
                for step in wide.as_chunks::<STEP>().0 {
                    self.out.extend_from_slice(step);
                }
                self.out.truncate(target);
            }
            _ => self.exact(block.get(start..end).unwrap_or_default()),
        }
    }

    /// A copy that has nothing to read past its end: the last step lies over the one before it.
    fn exact(&mut self, text: &[u8]) {
        match text.len() {
            0..4 => text.iter().for_each(|byte| self.out.push(*byte)),
            4..8 => self.over::<4>(text),
            8..STEP => self.over::<8>(text),
            STEP..=LONG => self.over::<STEP>(text),
            _ => self.out.extend_from_slice(text),
        }
    }

    /// Steps of `N` bytes over a text of at least as many.
    #[inline]
    fn over<const N: usize>(&mut self, text: &[u8]) {
        let end = self.out.len() + text.len();
        for step in text.as_chunks::<N>().0 {
            self.out.extend_from_slice(step);
        }
        if let Some(last) = text.last_chunk::<N>() {
            self.out.truncate(end - N);
            self.out.extend_from_slice(last);
        }
    }

    #[inline]
    fn escape<E: Escape>(&mut self, block: &[u8], start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let Some(step) = block.get(at..).and_then(|rest| rest.first_chunk::<STEP>()) else {
                return self.escape_rest::<E>(block.get(at..end).unwrap_or_default());
            };
            let length = STEP.min(end - at);
            let target = self.out.len() + length;
            self.out.extend_from_slice(step);
            self.out.truncate(target);
            at += length;
            let specials = scan::specials::<E>(step) & mask(length);
            if specials != 0 {
                // Back to the first special byte; the search goes on behind it.
                let place = specials.trailing_zeros() as usize;
                self.out.truncate(target - length + place);
                E::write(step[place], &mut self.out);
                at = at - length + place + 1;
            }
        }
    }

    /// What is shorter than a step, with nothing behind it. Mostly there is nothing special in it: its first and last
    /// bytes are looked at together, some of them twice.
    fn escape_rest<E: Escape>(&mut self, text: &[u8]) {
        let both = |first: [u8; 8], last: [u8; 8]| {
            let mut step = [0; STEP];
            step[..8].copy_from_slice(&first);
            step[8..].copy_from_slice(&last);
            scan::specials::<E>(&step) == 0
        };
        let quiet = match (text.first_chunk::<8>(), text.last_chunk::<8>(), text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(first), Some(last), ..) => both(*first, *last),
            (.., Some(first), Some(last)) => {
                let mut word = [0; 8];
                word[..4].copy_from_slice(first);
                word[4..].copy_from_slice(last);
                both(word, word)
            }
            _ => false,
        };
        if quiet { self.exact(text) } else { self.escape_slowly::<E>(text) }
    }

    fn escape_slowly<E: Escape>(&mut self, text: &[u8]) {
        for byte in text {
            if scan::is_special::<E>(*byte) {
                E::write(*byte, &mut self.out);
            } else {
                self.out.push(*byte);
            }
        }
    }
}

/// The low `length` bits; at most 16.
fn mask(length: usize) -> u32 {
    (1 << length) - 1
}

/// Whether bytes are text; most are ASCII, which is seen sooner.
pub fn is_utf8(text: &[u8]) -> bool {
    scan::is_ascii(text) || std::str::from_utf8(text).is_ok()
}

/// At most `limit` bytes of UTF-8 text, whole characters only.
pub fn cut(text: &[u8], limit: usize) -> &[u8] {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    // A continuation byte at the cut means that a character would be split.
    while end > 0 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
