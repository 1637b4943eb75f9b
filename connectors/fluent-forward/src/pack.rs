//! MessagePack, written: what events need of it (MessagePack specification, "Formats").

use bulkhead_sdk::json::Reader;
use bulkhead_sdk::{Kind, Timestamp, Value, Writer};

/// Containers within a record that are written as such; what lies deeper goes as JSON text. The C library of
/// MessagePack refuses a message with more than 32 levels, and the chunk brings some of its own.
const DEEPEST: usize = 24;

/// Type 0 of Fluentd's extensions: EventTime.
const EVENT_TIME: u8 = 0;

/// A string.
pub fn text(bytes: &[u8], out: &mut Writer) {
    text_head(bytes.len(), out);
    out.bytes(bytes);
}

fn text_head(length: usize, out: &mut Writer) {
    match length {
        length @ 0..=31 => out.byte(0xa0 | length as u8),
        length @ 32..=0xff => out.literal(&[0xd9, length as u8]),
        length @ 0x100..=0xffff => {
            out.byte(0xda);
            out.literal(&(length as u16).to_be_bytes());
        }
        length => {
            out.byte(0xdb);
            out.literal(&(length as u32).to_be_bytes());
        }
    }
}

/// Bytes that are no text.
pub fn binary(bytes: &[u8], out: &mut Writer) {
    match bytes.len() {
        length @ 0..=0xff => out.literal(&[0xc4, length as u8]),
        length @ 0x100..=0xffff => {
            out.byte(0xc5);
            out.literal(&(length as u16).to_be_bytes());
        }
        length => {
            out.byte(0xc6);
            out.literal(&(length as u32).to_be_bytes());
        }
    }
    out.bytes(bytes);
}

/// The head of an array; its elements follow.
pub fn array(length: usize, out: &mut Writer) {
    out.bytes(Head::array(length).as_bytes());
}

/// The head of a map; names and values follow in turn.
pub fn map(length: usize, out: &mut Writer) {
    out.bytes(Head::map(length).as_bytes());
}

struct Head {
    bytes: [u8; 5],
    length: usize,
}

impl Head {
    fn array(length: usize) -> Self {
        Self::new(length, 0x90, [0xdc, 0xdd])
    }

    fn map(length: usize) -> Self {
        Self::new(length, 0x80, [0xde, 0xdf])
    }

    fn new(items: usize, few: u8, [many, most]: [u8; 2]) -> Self {
        let [first, second, third, fourth] = (items as u32).to_be_bytes();
        match items {
            0..=15 => Self { bytes: [few | fourth, 0, 0, 0, 0], length: 1 },
            16..=0xffff => Self { bytes: [many, third, fourth, 0, 0], length: 3 },
            _ => Self { bytes: [most, first, second, third, fourth], length: 5 },
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// A whole number, as short as it goes.
pub fn unsigned(number: u64, out: &mut Writer) {
    match number {
        0..=0x7f => out.byte(number as u8),
        0x80..=0xff => out.literal(&[0xcc, number as u8]),
        0x100..=0xffff => {
            out.byte(0xcd);
            out.literal(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.byte(0xce);
            out.literal(&(number as u32).to_be_bytes());
        }
        _ => {
            out.byte(0xcf);
            out.literal(&number.to_be_bytes());
        }
    }
}

pub fn integer(number: i64, out: &mut Writer) {
    if let Ok(number) = u64::try_from(number) {
        return unsigned(number, out);
    }
    match number {
        -32..=-1 => out.byte(number as u8),
        -0x80..=-33 => out.literal(&[0xd0, number as u8]),
        -0x8000..=-0x81 => {
            out.byte(0xd1);
            out.literal(&(number as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.byte(0xd2);
            out.literal(&(number as i32).to_be_bytes());
        }
        _ => {
            out.byte(0xd3);
            out.literal(&number.to_be_bytes());
        }
    }
}

/// A moment as EventTime, with nanoseconds; one that its 32 bits of seconds cannot say, in whole seconds.
pub fn event_time(moment: Timestamp<'_>, out: &mut Writer) {
    let Ok(seconds) = u32::try_from(moment.seconds) else { return integer(moment.seconds, out) };
    let nanos = (0..9).fold(0_u32, |nanos, at| nanos * 10 + moment.fraction.get(at).map_or(0, |digit| u32::from(digit - b'0')));
    out.literal(&[0xd7, EVENT_TIME]);
    out.literal(&seconds.to_be_bytes());
    out.literal(&nanos.to_be_bytes());
}

/// A text of JSON; false where it is none, and what was written of it is the caller's to take back. Numbers that neither
/// 64 bits nor a double hold go as their digits, in a string.
pub fn json(text: &[u8], out: &mut Writer) -> bool {
    let mut reader = Reader::text(text);
    value(&mut reader, 0, out);
    reader.is_complete()
}

fn value(reader: &mut Reader<'_>, depth: usize, out: &mut Writer) {
    let inside = if depth < DEEPEST { reader.open() } else { None };
    let Some(kind) = inside else { return scalar(reader.value(), out) };
    // How many items there are shows in the end.
    let (place, mut count) = (out.len(), 0);
    out.byte(0);
    while reader.more() {
        if kind == Kind::Object {
            let Some(name) = reader.name() else { break };
            scalar(name, out);
        }
        value(reader, depth + 1, out);
        count += 1;
    }
    let head = if kind == Kind::Object { Head::map(count) } else { Head::array(count) };
    out.set_head(place, head.as_bytes());
}

fn scalar(value: Value<'_>, out: &mut Writer) {
    match value.kind() {
        Kind::Missing | Kind::Null => out.byte(0xc0),
        Kind::Bool => out.byte(if value.raw() == b"true" { 0xc3 } else { 0xc2 }),
        Kind::Number => number(value.raw(), out),
        Kind::EscapedString => text(&value.text().unwrap_or_default(), out),
        Kind::String | Kind::Array | Kind::Object => {
            text_head(value.raw().len(), out);
            out.raw(value);
        }
    }
}

fn number(digits: &[u8], out: &mut Writer) {
    let spelled = std::str::from_utf8(digits).unwrap_or_default();
    let whole = !digits.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    if let Ok(number) = spelled.parse::<i64>() {
        integer(number, out);
    } else if let Ok(number) = spelled.parse::<u64>() {
        unsigned(number, out);
    } else if let Some(number) = spelled.parse::<f64>().ok().filter(|number| !whole && number.is_finite()) {
        out.byte(0xcb);
        out.literal(&number.to_be_bytes());
    } else {
        text(digits, out);
    }
}
