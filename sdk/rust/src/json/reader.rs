//! JSON read in one pass, for those who write all of a value in another encoding.
//!
//! [`Elements`](super::Elements) and [`Members`](super::Members) walk over what lies deeper to find where it ends, and
//! a walk within looks at it again: a value three levels down is looked at six times. A reader looks once. Total as
//! they are: what is malformed ends it, and [`is_complete`](Reader::is_complete) tells.

use super::Walk;
use crate::value::{Kind, Value};

/// Stands before a value, or within a container before its next item.
#[derive(Debug)]
pub struct Reader<'a> {
    walk: Walk<'a>,
    /// Just inside of a bracket, where no comma stands.
    first: bool,
    failed: bool,
}

impl<'a> Reader<'a> {
    /// Reads a container of an event.
    pub fn of(value: Value<'a>) -> Self {
        let (block, start, end) = value.place();
        Self { walk: Walk { block: block.get(..end).unwrap_or_default(), at: start, end, started: false, complete: false }, first: false, failed: false }
    }

    /// Reads a text that may be no JSON.
    pub fn text(text: &'a [u8]) -> Self {
        Self { walk: Walk { block: text, at: 0, end: text.len(), started: false, complete: false }, first: false, failed: false }
    }

    /// Goes inside of the list or the object that stands here; nothing where a scalar does.
    pub fn open(&mut self) -> Option<Kind> {
        self.walk.skip_space();
        let kind = match self.walk.peek()? {
            b'[' => Kind::Array,
            b'{' => Kind::Object,
            _ => return None,
        };
        self.walk.at += 1;
        self.first = true;
        Some(kind)
    }

    /// Moves to the next item of the container that was opened last; without one, out of it.
    #[inline]
    pub fn more(&mut self) -> bool {
        let first = std::mem::take(&mut self.first);
        self.walk.skip_space();
        match self.walk.peek() {
            Some(b']' | b'}') => {
                self.walk.at += 1;
                false
            }
            Some(b',') if !first => {
                self.walk.at += 1;
                true
            }
            Some(_) if first => true,
            _ => self.fail(),
        }
    }

    /// The name of a member; its value stands next.
    #[inline]
    pub fn name(&mut self) -> Option<Value<'a>> {
        self.walk.skip_space();
        let name = if self.walk.peek() == Some(b'"') { self.walk.value() } else { None };
        self.walk.skip_space();
        if name.is_none() || self.walk.expect(b':').is_none() {
            self.fail();
            return None;
        }
        name
    }

    /// The value that stands here, a container as a whole; missing where none does.
    #[inline]
    pub fn value(&mut self) -> Value<'a> {
        self.walk.value().unwrap_or_else(|| {
            self.fail();
            Value::MISSING
        })
    }

    /// Nothing was malformed, and nothing stands behind.
    pub fn is_complete(&mut self) -> bool {
        self.walk.skip_space();
        !self.failed && self.walk.at == self.walk.end
    }

    /// Nothing more comes.
    fn fail(&mut self) -> bool {
        self.failed = true;
        self.walk.at = self.walk.end;
        false
    }
}

#[cfg(test)]
mod tests;
