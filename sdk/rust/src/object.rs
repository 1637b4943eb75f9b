//! JSON objects written member by member, empty ones left out.

use crate::time::Timestamp;
use crate::value::{Kind, Value};
use crate::writer::Writer;

/// An open object. Each member brings its comma behind it; the last one is taken back at the end.
#[derive(Debug)]
pub struct Object<'w> {
    out: &'w mut Writer,
}

impl<'w> Object<'w> {
    pub fn begin(out: &'w mut Writer) -> Self {
        out.literal(b"{");
        Self { out }
    }

    /// The end of the outermost object.
    pub fn end(self) {
        if self.out.as_bytes().last() == Some(&b',') {
            self.out.truncate(self.out.len() - 1);
        }
        self.out.literal(b"}");
    }

    /// A member object; `key` is `"name":{`. Without members it is not written.
    #[inline]
    pub fn object<const N: usize>(&mut self, key: &[u8; N], fill: impl FnOnce(&mut Object<'_>)) {
        let start = self.out.len();
        self.out.literal(key);
        self.filled(start, fill);
    }

    /// The same under a key that the configuration gives.
    pub fn object_under(&mut self, key: &[u8], fill: impl FnOnce(&mut Object<'_>)) {
        let start = self.out.len();
        self.out.bytes(key);
        self.filled(start, fill);
    }

    #[inline]
    fn filled(&mut self, start: usize, fill: impl FnOnce(&mut Object<'_>)) {
        let inside = self.out.len();
        fill(&mut Object { out: self.out });
        if self.out.len() == inside {
            return self.out.truncate(start);
        }
        self.out.truncate(self.out.len() - 1);
        self.out.literal(b"},");
    }

    /// A member list of texts; `key` is `"name":[`. Without elements it is not written, doubles are
    /// written once.
    pub fn list<const N: usize>(&mut self, key: &[u8; N], values: &[Value<'_>]) {
        let start = self.out.len();
        self.out.literal(key);
        let inside = self.out.len();
        for (place, value) in values.iter().enumerate() {
            if value.raw().is_empty() || values[..place].iter().any(|earlier| earlier.raw() == value.raw()) {
                continue;
            }
            self.text_comma(*value);
        }
        if self.out.len() == inside {
            return self.out.truncate(start);
        }
        self.out.truncate(self.out.len() - 1);
        self.out.literal(b"],");
    }

    /// A value as it came; missing, null and empty text are left out. `key` is `"name":`, here and below.
    #[inline]
    pub fn json<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>) {
        if value.is_some() && !value.raw().is_empty() {
            self.exact(key, value);
        }
    }

    /// A value as it came, null and empty text too.
    #[inline]
    pub fn exact<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>) {
        if value.kind() != Kind::Missing {
            self.out.literal(key);
            self.json_comma(value);
        }
    }

    #[inline]
    fn json_comma(&mut self, value: Value<'_>) {
        if value.is_string() {
            self.quoted(value);
        } else {
            self.out.json(value);
            self.out.literal(b",");
        }
    }

    /// A text, number or boolean as a text, with its comma.
    #[inline]
    fn quoted(&mut self, value: Value<'_>) {
        self.out.literal(b"\"");
        self.out.raw(value);
        self.out.literal(b"\",");
    }

    #[inline]
    fn text_comma(&mut self, value: Value<'_>) {
        if matches!(value.kind(), Kind::Array | Kind::Object) {
            self.out.json_text(value);
            self.out.literal(b",");
        } else {
            self.quoted(value);
        }
    }

    /// A value as text, whatever it is.
    pub fn keyword<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>) {
        if value.is_some() && !value.raw().is_empty() {
            self.out.literal(key);
            self.text_comma(value);
        }
    }

    /// A member whose name is the event's own, its value as text.
    pub fn named(&mut self, name: Value<'_>, value: Value<'_>) {
        self.out.json(name);
        self.out.literal(b":");
        self.text_comma(value);
    }

    /// A word of our own, without anything that JSON escapes.
    pub fn word<const N: usize>(&mut self, key: &[u8; N], word: &str) {
        self.keyword(key, Value::plain_text(word));
    }

    /// Text of our own.
    pub fn text<const N: usize>(&mut self, key: &[u8; N], text: &str) {
        self.out.literal(key);
        self.out.json_string(text.as_bytes());
        self.out.literal(b",");
    }

    pub fn integer<const N: usize>(&mut self, key: &[u8; N], number: i64) {
        self.out.literal(key);
        self.out.number(number);
        self.out.literal(b",");
    }

    pub fn time<const N: usize>(&mut self, key: &[u8; N], moment: Timestamp<'_>) {
        self.out.literal(key);
        self.out.literal(b"\"");
        moment.write_utc(self.out);
        self.out.literal(b"\",");
    }
}
