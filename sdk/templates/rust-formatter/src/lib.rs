//! Writes each event as one line of `key=value`.

use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Value, Writer, fields};

// Fields of each event that `format` is handed.
fields! { mod field { ID = "/id", TIME = "/time", RECEIVED = "/received", TYPE = "/type", SEVERITY = "/severity" } }

/// How lines look.
#[derive(Debug, Config)]
pub struct Settings {
    /// Put before every line.
    #[config(default = "")]
    prefix: String,
}

#[derive(Debug)]
pub struct Line(Settings);

impl Formatter for Line {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.prefix.contains(['\n', '\r']) {
            return Err("`prefix` has a line break; a record is one line".to_owned());
        }
        Ok(Self(settings))
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("{{name}}", "text/plain; charset=utf-8")
    }

    /// Must be total: any event gives a record or a reason, and never a panic.
    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        out.bytes(self.0.prefix.as_bytes());
        let time = event.get(field::TIME).or(event.get(field::RECEIVED));
        for (key, value) in [("time", time), ("id", event.get(field::ID)), ("type", event.get(field::TYPE)), ("severity", event.get(field::SEVERITY))] {
            pair(out, key, value);
        }
        out.byte(b'\n');
        Ok(())
    }
}

/// `key=value` where there is one, the value as JSON and on one line.
fn pair(out: &mut Writer, key: &str, value: Value<'_>) {
    if value.is_some() {
        out.bytes(key.as_bytes());
        out.byte(b'=');
        out.json_line(value);
        out.byte(b' ');
    }
}

bulkhead_sdk::export_formatter!(Line);

#[cfg(test)]
mod tests {
    use bulkhead_sdk::native::{self, EventText};

    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let line = native::formatter::<Line>(r#"{"prefix":"audit "}"#).expect("configured").line(&EventText::new(r#"{"id":"a\nb","severity":"high"}"#));
        assert_eq!(line.as_deref(), Ok("audit id=\"a\\nb\" severity=\"high\" \n"));
    }

    #[test]
    fn a_prefix_is_one_line() {
        assert!(native::formatter::<Line>("{\"prefix\":\"a\\nb\"}").is_err());
    }
}
