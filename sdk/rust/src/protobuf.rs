//! Protocol Buffers on the wire, written field by field without generated code, and read back as far as answers
//! of receivers need it. Source: Protocol Buffers documentation, "Encoding".
//!
//! Promised: integers take their shortest form; a message inside another is written in place, and moves by at
//! most four bytes once its length is known. What is written appears even where it is a default, which readers
//! must take. Not offered: groups. A packed list is `bytes` of what `varint` wrote.

use crate::value::{Kind, Value};
use crate::writer::Writer;

const VARINT: u32 = 0;
const I64: u32 = 1;
const LEN: u32 = 2;
const I32: u32 = 5;

/// A message that is being written.
#[derive(Debug)]
pub struct Message<'w> {
    out: &'w mut Writer,
}

impl<'w> Message<'w> {
    /// What is written goes behind what is there.
    pub fn new(out: &'w mut Writer) -> Self {
        Self { out }
    }

    fn tag(&mut self, field: u32, wire: u32) {
        varint(u64::from(field << 3 | wire), self.out);
    }

    /// `uint32`, `uint64`, `enum` and `bool`.
    pub fn unsigned(&mut self, field: u32, number: u64) {
        self.tag(field, VARINT);
        varint(number, self.out);
    }

    /// `int32` and `int64`: a negative one takes ten bytes.
    pub fn integer(&mut self, field: u32, number: i64) {
        self.unsigned(field, number as u64);
    }

    pub fn fixed64(&mut self, field: u32, number: u64) {
        self.tag(field, I64);
        self.out.literal(&number.to_le_bytes());
    }

    pub fn fixed32(&mut self, field: u32, number: u32) {
        self.tag(field, I32);
        self.out.literal(&number.to_le_bytes());
    }

    pub fn double(&mut self, field: u32, number: f64) {
        self.fixed64(field, number.to_bits());
    }

    /// `bytes`, and `string` where the text is UTF-8.
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.length(field, bytes.len());
        self.out.bytes(bytes);
    }

    /// `string`; what is not UTF-8 becomes U+FFFD, as readers refuse it.
    pub fn string(&mut self, field: u32, text: &[u8]) {
        match std::str::from_utf8(text) {
            Ok(_) => self.bytes(field, text),
            Err(_) => self.bytes(field, String::from_utf8_lossy(text).as_bytes()),
        }
    }

    /// A value of an event as `string`: escapes decoded, containers as JSON.
    pub fn text(&mut self, field: u32, value: Value<'_>) {
        if value.kind() == Kind::EscapedString {
            self.delimited(field, |out| out.text(value));
        } else {
            self.length(field, value.raw().len());
            self.out.raw(value);
        }
    }

    /// Fields that are encoded already.
    pub fn raw(&mut self, fields: Value<'_>) {
        self.out.raw(fields);
    }

    /// A message inside this one.
    pub fn message(&mut self, field: u32, fill: impl FnOnce(&mut Message<'_>)) {
        self.delimited(field, |out| fill(&mut Message { out }));
    }

    /// The head of a field whose `length` bytes the caller writes next, for messages whose length is known.
    pub fn length(&mut self, field: u32, length: usize) {
        self.tag(field, LEN);
        varint(length as u64, self.out);
    }

    /// A field whose length shows in the end.
    pub fn delimited(&mut self, field: u32, fill: impl FnOnce(&mut Writer)) {
        self.tag(field, LEN);
        let start = self.out.len();
        self.out.byte(0);
        fill(self.out);
        self.out.put_length(start);
    }
}

/// Bytes of a field with this many bytes inside, its head included.
pub fn field_bytes(field: u32, length: usize) -> usize {
    varint_bytes(u64::from(field << 3)) + varint_bytes(length as u64) + length
}

/// `sint32` and `sint64` as the varint that stands for them.
pub fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn varint_bytes(number: u64) -> usize {
    // Seven bits a byte; zero takes one too.
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Seven bits a byte from the lowest on.
pub fn varint(mut number: u64, out: &mut Writer) {
    while number >= 0x80 {
        out.byte(number as u8 | 0x80);
        number >>= 7;
    }
    out.byte(number as u8);
}

impl Writer {
    /// Puts the number of bytes behind `place` into it; the one byte there makes room.
    fn put_length(&mut self, place: usize) {
        let end = self.len();
        let length = end.saturating_sub(place + 1);
        let more = varint_bytes(length as u64) - 1;
        let out = self.vec();
        if more > 0 {
            out.resize(end + more, 0);
            out.copy_within(place + 1..end, place + 1 + more);
        }
        let mut rest = length;
        for (at, byte) in out.iter_mut().skip(place).take(more + 1).enumerate() {
            *byte = rest as u8 & 0x7f | if at < more { 0x80 } else { 0 };
            rest >>= 7;
        }
    }
}

/// What stands in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire<'a> {
    Varint(u64),
    I64(u64),
    Len(&'a [u8]),
    I32(u32),
}

/// The fields of a message in their order; what is malformed ends the walk.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
    complete: bool,
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message, complete: false }
    }

    /// After the walk: it ended at the end of the message, not at something malformed.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            // Of the tenth byte one bit belongs to the number.
            if place == 9 && *byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Wire<'a>);

    fn next(&mut self) -> Option<(u32, Wire<'a>)> {
        if self.rest.is_empty() {
            self.complete = true;
            return None;
        }
        let tag = u32::try_from(self.varint()?).ok()?;
        let value = match tag & 7 {
            VARINT => Wire::Varint(self.varint()?),
            I64 => Wire::I64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            LEN => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Len(self.take(length)?)
            }
            I32 => Wire::I32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        (tag >> 3 > 0).then_some((tag >> 3, value))
    }
}

#[cfg(test)]
mod tests;
