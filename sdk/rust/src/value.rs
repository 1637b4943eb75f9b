//! One value of an event: its kind and its bytes, in place.

use std::borrow::Cow;

use crate::json;

/// What the bytes of a value are; the numbers are those of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Missing = 0,
    Null = 1,
    Bool = 2,
    /// Digits as sent.
    Number = 3,
    /// Text between the quotes; nothing in it is or needs an escape.
    String = 4,
    /// Text between the quotes with JSON escapes in place.
    EscapedString = 5,
    Array = 6,
    Object = 7,
}

impl Kind {
    /// Kinds that are not known yet count as missing.
    #[inline]
    pub fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Null,
            2 => Self::Bool,
            3 => Self::Number,
            4 => Self::String,
            5 => Self::EscapedString,
            6 => Self::Array,
            7 => Self::Object,
            _ => Self::Missing,
        }
    }
}

/// A value in place. It keeps the block it lies in, so that copies may read a few bytes past its end.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    block: &'a [u8],
    start: usize,
    end: usize,
    kind: Kind,
}

impl std::fmt::Debug for Value<'_> {
    // Never the bytes: they may carry what must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value").field("kind", &self.kind).field("bytes", &(self.end - self.start)).finish()
    }
}

impl<'a> Value<'a> {
    pub const MISSING: Value<'static> = Value { block: &[], start: 0, end: 0, kind: Kind::Missing };

    /// A value at `start..end` of a block; missing where that lies outside.
    #[inline]
    pub fn new(block: &'a [u8], start: usize, end: usize, kind: Kind) -> Self {
        if start <= end && end <= block.len() { Self { block, start, end, kind } } else { Value::MISSING }
    }

    /// Text of the guest's own, without anything that JSON escapes.
    pub fn plain_text(text: &'a str) -> Self {
        Self { block: text.as_bytes(), start: 0, end: text.len(), kind: Kind::String }
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// There, and not null.
    #[inline]
    pub fn is_some(&self) -> bool {
        !matches!(self.kind, Kind::Missing | Kind::Null)
    }

    /// A string, empty or not.
    #[inline]
    pub fn is_string(&self) -> bool {
        matches!(self.kind, Kind::String | Kind::EscapedString)
    }

    /// This value, or another where it is missing, null or an empty string.
    #[inline]
    pub fn or(self, other: Self) -> Self {
        if self.is_some() && self.start < self.end { self } else { other }
    }

    /// The bytes as in the contract: a string without its quotes, everything else as JSON.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        // The range was checked when the value was made.
        self.block.get(self.start..self.end).unwrap_or_default()
    }

    /// The block and the range, for copies that may read past the end.
    #[inline]
    pub(crate) fn place(&self) -> (&'a [u8], usize, usize) {
        (self.block, self.start, self.end)
    }

    /// The bytes of a string, escapes decoded; of a number or boolean its spelling.
    pub fn text(&self) -> Option<Cow<'a, [u8]>> {
        match self.kind {
            Kind::String | Kind::Number | Kind::Bool => Some(Cow::Borrowed(self.raw())),
            Kind::EscapedString => {
                let mut out = Vec::with_capacity(self.end - self.start);
                json::decode(self.raw(), &mut out);
                Some(Cow::Owned(out))
            }
            _ => None,
        }
    }

    /// Whether the value is this very string.
    pub fn is(&self, text: &str) -> bool {
        match self.kind {
            Kind::String => self.raw() == text.as_bytes(),
            Kind::EscapedString => self.text().is_some_and(|own| *own == *text.as_bytes()),
            _ => false,
        }
    }

    /// A whole number, from a number or from a string of digits.
    pub fn integer(&self) -> Option<i64> {
        match self.kind {
            Kind::Number | Kind::String => std::str::from_utf8(self.raw()).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Elements of an array; nothing for other kinds.
    pub fn elements(&self) -> json::Elements<'a> {
        json::Elements::of(*self)
    }

    /// The member of this name; missing where there is none.
    pub fn member(&self, name: &str) -> Value<'a> {
        self.members().find(|(own, _)| own.is(name)).map_or(Value::MISSING, |(_, value)| value)
    }

    /// What a JSON pointer (RFC 6901) leads to: this value itself for the empty one, missing where it leads nowhere.
    pub fn at(&self, pointer: &str) -> Value<'a> {
        let Some(path) = pointer.strip_prefix('/') else { return if pointer.is_empty() { *self } else { Value::MISSING } };
        path.split('/').fold(*self, |value, token| match value.kind() {
            Kind::Object if token.contains('~') => value.member(&token.replace("~1", "/").replace("~0", "~")),
            Kind::Object => value.member(token),
            Kind::Array if token.len() < 2 || !token.starts_with(['0', '+']) => {
                token.parse().ok().and_then(|place| value.elements().nth(place)).unwrap_or(Value::MISSING)
            }
            _ => Value::MISSING,
        })
    }

    /// Names and values of an object; nothing for other kinds.
    pub fn members(&self) -> json::Members<'a> {
        json::Members::of(*self)
    }
}

#[cfg(test)]
mod tests;
