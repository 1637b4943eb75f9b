//! JSON lines: Bulkhead's own shape, one object and one line for each event. As the `json` formatter,
//! but line breaks between the tokens of a payload become spaces, so that one event is one line.

use bulkhead_sdk::config::NoConfig;
use bulkhead_sdk::{Event, Formatter, RecordFormat, Writer};

#[derive(Debug)]
pub struct JsonLines;

impl Formatter for JsonLines {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn fields(&self) -> Vec<&str> {
        shape::pointers()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("jsonl", "application/x-ndjson")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        shape::write_event::<true>(event, out);
        out.byte(b'\n');
        Ok(())
    }
}

// The shape is the json formatter's own source: one place decides what it is.
#[path = "../../format-json/src/shape.rs"]
pub mod shape;

bulkhead_sdk::export_formatter!(JsonLines);

#[cfg(test)]
mod tests {
    use bulkhead_sdk::native::{self, EventText};

    use super::*;

    #[test]
    fn one_event_is_one_line() {
        let line = native::formatter::<JsonLines>("").unwrap().line(&EventText::new(r#"{"id":"a\nb","data":{"x":1}}"#)).unwrap();
        assert_eq!(line, "{\"id\":\"a\\nb\",\"data\":{\"x\":1}}\n");
        // A payload as it was sent, with line breaks between its tokens.
        let block = b"{\r\n  \"a\": \"x\\ny\"\n}";
        let mut spans = vec![0; 3 * shape::pointers().len()];
        spans[30 * 3..31 * 3].copy_from_slice(&[0, block.len() as u32, 7]);
        let made = native::formatter::<JsonLines>("").unwrap().format(1, block, &spans);
        assert_eq!(std::str::from_utf8(&made.block).unwrap(), "{\"data\":{    \"a\": \"x\\ny\" }}\n");
    }
}
