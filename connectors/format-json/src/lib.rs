//! JSON: Bulkhead's own shape, one object for each event. Every attribute that the event has, in a
//! fixed order, then the payload. Nothing is parsed and written anew: texts, digits and payloads go out
//! byte for byte as they came in.

use bulkhead_sdk::config::NoConfig;
use bulkhead_sdk::{Event, Formatter, RecordFormat, Writer};

pub mod shape;

#[derive(Debug)]
pub struct Json;

impl Formatter for Json {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn fields(&self) -> Vec<&str> {
        shape::pointers()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("json", "application/json")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        shape::write_event::<false>(event, out);
        Ok(())
    }
}

bulkhead_sdk::export_formatter!(Json);

#[cfg(test)]
mod tests;
