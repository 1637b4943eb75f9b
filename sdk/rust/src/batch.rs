//! Batches, seen in place.

use crate::value::{Kind, Value};

/// A requested field, by its place in the list of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field(pub u16);

/// Names the fields that a guest wants: `fields! { mod field { ID = "/id", .. } }` makes a module with
/// `field::ID` for [`Event::get`] and `field::ALL` for `fields()`.
#[macro_export]
macro_rules! fields {
    ($vis:vis mod $module:ident { $($name:ident = $pointer:literal),* $(,)? }) => {
        $vis mod $module {
            #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "only counts the names")]
            enum Place { $($name),* }
            $(pub const $name: $crate::Field = $crate::Field(Place::$name as u16);)*
            pub const ALL: &[&str] = &[$($pointer),*];
        }
    };
}

/// Events of a batch through the requested fields.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a> {
    block: &'a [u8],
    spans: &'a [u32],
    count: usize,
    width: usize,
}

impl<'a> Events<'a> {
    /// `spans` holds three numbers for each event and field; what is too short reads as missing.
    pub fn new(block: &'a [u8], spans: &'a [u32], count: usize, fields: usize) -> Self {
        Self { block, spans, count, width: fields * 3 }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the block that all values lie in.
    pub fn bytes(&self) -> usize {
        self.block.len()
    }

    /// Event `i`; all fields missing where out of range.
    #[inline]
    pub fn get(&self, i: usize) -> Event<'a> {
        let start = i * self.width;
        Event { block: self.block, spans: self.spans.get(start..start + self.width).unwrap_or_default() }
    }

    pub fn iter(self) -> impl Iterator<Item = Event<'a>> {
        (0..self.count).map(move |i| self.get(i))
    }
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    block: &'a [u8],
    spans: &'a [u32],
}

impl<'a> Event<'a> {
    #[inline]
    pub fn get(&self, field: Field) -> Value<'a> {
        let at = usize::from(field.0) * 3;
        match self.spans.get(at..at + 3) {
            Some(&[start, length, kind]) if kind != 0 => {
                let start = start as usize;
                Value::new(self.block, start, start.saturating_add(length as usize), Kind::from_code(kind))
            }
            _ => Value::MISSING,
        }
    }
}

/// Formatted records of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    block: &'a [u8],
    offsets: &'a [u32],
}

impl<'a> Records<'a> {
    pub fn new(block: &'a [u8], offsets: &'a [u32]) -> Self {
        Self { block, offsets }
    }

    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records, one behind the other.
    pub fn bytes(&self) -> &'a [u8] {
        self.block
    }

    /// Record `i`; empty where out of range.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        match self.offsets.get(i..i + 2) {
            Some(&[start, end]) => self.block.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |i| self.get(i))
    }
}

/// What `deliver` is handed: the records, and beside each the fields that the connector asked for.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub records: Records<'a>,
    pub events: Events<'a>,
}

impl<'a> Batch<'a> {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    #[inline]
    pub fn record(&self, i: usize) -> &'a [u8] {
        self.records.get(i)
    }

    #[inline]
    pub fn event(&self, i: usize) -> Event<'a> {
        self.events.get(i)
    }

    /// Records with their events.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Event<'a>)> {
        (0..self.len()).map(move |i| (self.record(i), self.event(i)))
    }
}
