//! A CEF-like line for each event.

use bulkhead_sdk::{Config, Event, Field, Formatter, RecordFormat, Value, Writer};

const KEYS: [&str; 4] = ["type", "severity", "id", "time"];

#[derive(Debug, Config)]
pub struct Settings {
    /// Takes the whole event and parses it, in place of fields that the host extracts.
    #[config(default = false)]
    whole: bool,
}

#[derive(Debug)]
pub struct Cef(Settings);

impl Formatter for Cef {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }

    fn fields(&self) -> Vec<&str> {
        if self.0.whole { vec!["/original"] } else { vec!["/type", "/severity", "/id", "/time"] }
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("{{name}}", "text/plain; charset=utf-8")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let [kind, severity, id, time] = if self.0.whole {
            let seen = event.get(Field(0));
            KEYS.map(|key| seen.member(key))
        } else {
            [0, 1, 2, 3].map(|place| event.get(Field(place)))
        };
        out.literal(b"CEF:0|Example|audit|1|");
        header(out, kind);
        out.byte(b'|');
        header(out, kind);
        out.byte(b'|');
        let known = [("low", 3), ("medium", 5), ("high", 7), ("critical", 10)];
        out.number(known.iter().find(|(name, _)| severity.is(name)).map_or(0, |(_, number)| *number));
        out.literal(b"|externalId=");
        extension(out, id);
        out.literal(b" rt=");
        extension(out, time);
        out.byte(b'\n');
        Ok(())
    }
}

/// The bytes of a string; anything else has none.
fn text(value: Value<'_>, mut byte: impl FnMut(u8)) {
    if value.is_string() {
        value.text().unwrap_or_default().iter().for_each(|one| byte(*one));
    }
}

fn header(out: &mut Writer, value: Value<'_>) {
    text(value, |byte| match byte {
        b'\\' | b'|' => out.bytes(&[b'\\', byte]),
        b'\r' | b'\n' => out.byte(b' '),
        _ => out.byte(byte),
    });
}

fn extension(out: &mut Writer, value: Value<'_>) {
    text(value, |byte| match byte {
        b'\\' | b'=' => out.bytes(&[b'\\', byte]),
        b'\n' => out.bytes(b"\\n"),
        b'\r' => out.bytes(b"\\r"),
        _ => out.byte(byte),
    });
}

bulkhead_sdk::export_formatter!(Cef);
