//! Batches, seen in place.

use crate::cover::MOST;
use crate::time::Timestamp;
use crate::value::{Kind, Value};
use crate::writer::Writer;

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

    /// The first of these fields that holds a time: when it happened, or when it was received.
    pub fn time(&self, fields: [Field; 2]) -> Option<Timestamp<'a>> {
        fields.into_iter().find_map(|field| Timestamp::parse(self.get(field).raw()))
    }
}

/// Pointers to fields that the configuration names, behind those that a guest always wants.
#[derive(Debug, Clone)]
pub struct Pointers(Vec<String>);

impl Pointers {
    pub fn new(always: &[&str]) -> Self {
        Self(always.iter().map(|pointer| (*pointer).to_owned()).collect())
    }

    /// The field behind a pointer that was configured under `key`.
    pub fn add(&mut self, key: &str, pointer: &str) -> Result<Field, String> {
        if !pointer.starts_with('/') {
            return Err(format!("`{key}` is \"{pointer}\"; it is a pointer such as /severity or /metadata/team"));
        }
        let place = match self.0.iter().position(|known| known == pointer) {
            Some(place) => place,
            None => {
                self.0.push(pointer.to_owned());
                self.0.len() - 1
            }
        };
        if place >= MOST {
            return Err(format!("`{key}`: the configuration names more than the {MOST} fields that can be asked for"));
        }
        Ok(Field(place as u16))
    }

    /// For `fields()`.
    pub fn all(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
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

    /// JSON records as one JSON array.
    pub fn json_array(self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.block.len() + self.len() + 2);
        for (place, record) in self.iter().enumerate() {
            out.byte(if place == 0 { b'[' } else { b',' });
            out.bytes(record);
        }
        out.byte(b']');
        out.into_bytes()
    }

    /// A line for each record. JSON is put on one line; with `json` unset a record goes as it is, line breaks
    /// inside it too.
    pub fn lines(self, json: bool) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.block.len() + self.len());
        for record in self.iter() {
            let record = record.trim_ascii_end();
            if json {
                out.one_line(record);
            } else {
                out.bytes(record);
            }
            out.byte(b'\n');
        }
        out.into_bytes()
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
