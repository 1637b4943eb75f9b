//! What follows the header.

use bulkhead_sdk::{Escape, Event, Value, Writer};

use crate::{Message, field, text};

/// Control characters become spaces.
struct OneLine;

impl Escape for OneLine {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [0x7f; 3];

    fn write(_: u8, out: &mut Vec<u8>) {
        out.push(b' ');
    }
}

pub fn write(event: &Event<'_>, what: Message, out: &mut Writer) {
    let message = text(event.get(field::MESSAGE)).or(text(event.get(field::MSG)));
    let data = event.get(field::DATA).or(event.get(field::DATA_BASE64));
    let value = match what {
        Message::None => Value::MISSING,
        Message::Data => data,
        Message::Text => message.or(event.get(field::TYPE)),
        Message::Auto => message.or(data),
    };
    if value.is_string() {
        out.escaped_text::<OneLine>(value, usize::MAX);
    } else if value.is_some() {
        // Only the space between tokens can be a control character here; strings of JSON have none.
        out.escaped::<OneLine>(value.raw());
    }
}
