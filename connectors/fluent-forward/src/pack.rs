//! MessagePack, written: what events need of it (MessagePack specification, "Formats").

use bulkhead_sdk::{Kind, Timestamp, Value};

/// Containers within a record that are written as such; what lies deeper goes as JSON text. The C library of
/// MessagePack refuses a message with more than 32 levels, and the chunk brings some of its own.
const DEEPEST: usize = 24;

/// Type 0 of Fluentd's extensions: EventTime.
const EVENT_TIME: u8 = 0;

/// A string.
pub fn text(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length @ 32..=0xff => out.extend([0xd9, length as u8]),
        length @ 0x100..=0xffff => {
            out.push(0xda);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0xdb);
            out.extend((length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// Bytes that are no text.
pub fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        length @ 0..=0xff => out.extend([0xc4, length as u8]),
        length @ 0x100..=0xffff => {
            out.push(0xc5);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0xc6);
            out.extend((length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// The head of an array; its elements follow.
pub fn array(length: usize, out: &mut Vec<u8>) {
    head(length, 0x90, [0xdc, 0xdd], out);
}

/// The head of a map; names and values follow in turn.
pub fn map(length: usize, out: &mut Vec<u8>) {
    head(length, 0x80, [0xde, 0xdf], out);
}

fn head(length: usize, few: u8, [many, most]: [u8; 2], out: &mut Vec<u8>) {
    match length {
        0..=15 => out.push(few | length as u8),
        16..=0xffff => {
            out.push(many);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(most);
            out.extend((length as u32).to_be_bytes());
        }
    }
}

/// A whole number, as short as it goes.
pub fn unsigned(number: u64, out: &mut Vec<u8>) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend([0xcc, number as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend((number as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend(number.to_be_bytes());
        }
    }
}

pub fn integer(number: i64, out: &mut Vec<u8>) {
    if let Ok(number) = u64::try_from(number) {
        return unsigned(number, out);
    }
    match number {
        -32..=-1 => out.push(number as u8),
        -0x80..=-33 => out.extend([0xd0, number as u8]),
        -0x8000..=-0x81 => {
            out.push(0xd1);
            out.extend((number as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend((number as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(number.to_be_bytes());
        }
    }
}

/// A moment as EventTime, with nanoseconds; one that its 32 bits of seconds cannot say, in whole seconds.
pub fn event_time(moment: Timestamp<'_>, out: &mut Vec<u8>) {
    let Ok(seconds) = u32::try_from(moment.seconds) else { return integer(moment.seconds, out) };
    let nanos = (0..9).fold(0_u32, |nanos, at| nanos * 10 + moment.fraction.get(at).map_or(0, |digit| u32::from(digit - b'0')));
    out.extend([0xd7, EVENT_TIME]);
    out.extend(seconds.to_be_bytes());
    out.extend(nanos.to_be_bytes());
}

/// A JSON value. Numbers that neither 64 bits nor a double hold go as their digits, in a string.
pub fn json(value: Value<'_>, out: &mut Vec<u8>) {
    within(value, 0, out);
}

fn within(value: Value<'_>, depth: usize, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::Missing | Kind::Null => out.push(0xc0),
        Kind::Bool => out.push(if value.raw() == b"true" { 0xc3 } else { 0xc2 }),
        Kind::Number => number(value.raw(), out),
        Kind::String | Kind::EscapedString => text(&value.text().unwrap_or_default(), out),
        Kind::Array | Kind::Object if depth == DEEPEST => text(value.raw(), out),
        Kind::Array => {
            array(value.elements().count(), out);
            value.elements().for_each(|element| within(element, depth + 1, out));
        }
        Kind::Object => {
            map(value.members().count(), out);
            for (name, value) in value.members() {
                text(&name.text().unwrap_or_default(), out);
                within(value, depth + 1, out);
            }
        }
    }
}

fn number(digits: &[u8], out: &mut Vec<u8>) {
    let spelled = std::str::from_utf8(digits).unwrap_or_default();
    let whole = !digits.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    if let Ok(number) = spelled.parse::<i64>() {
        integer(number, out);
    } else if let Ok(number) = spelled.parse::<u64>() {
        unsigned(number, out);
    } else if let Some(number) = spelled.parse::<f64>().ok().filter(|number| !whole && number.is_finite()) {
        out.push(0xcb);
        out.extend(number.to_be_bytes());
    } else {
        text(digits, out);
    }
}
