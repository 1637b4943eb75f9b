//! A formatter that does everything right but one thing: which, says its configuration. The conformance suite must
//! find each (`tests/conformance/seeded.rs`).

use std::cell::Cell;

use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Writer, fields};

fields! { mod field { ID = "/id", MESSAGE = "/data/message", SEVERITY = "/severity" } }

/// What is wrong.
#[derive(Debug, Config)]
pub struct Settings {
    /// The one thing.
    #[config(default = "none")]
    fault: Fault,
    /// Known to nobody, but taken where that is the fault.
    no_such_key_here: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Fault {
    None,
    /// Takes keys that it does not know.
    AnyKey,
    /// Counts its calls in its records.
    Counts,
    /// Refuses events with long texts.
    RefusesLong,
    /// Writes nothing for events without a severity.
    WritesNothing,
    /// Writes bytes that are no text.
    WritesBytes,
}

#[derive(Debug)]
pub struct Misformatted {
    fault: Fault,
    calls: Cell<u32>,
}

impl Formatter for Misformatted {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        match settings.no_such_key_here {
            Some(_) if settings.fault != Fault::AnyKey => Err("`no_such_key_here` is no key of the configuration".to_owned()),
            _ => Ok(Self { fault: settings.fault, calls: Cell::new(0) }),
        }
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("misformatted", "text/plain")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        match self.fault {
            Fault::RefusesLong if event.get(field::MESSAGE).raw().len() > 10_000 => return Err("too long".to_owned()),
            Fault::WritesNothing if !event.get(field::SEVERITY).is_some() => return Ok(()),
            Fault::WritesBytes => out.byte(0xff),
            Fault::Counts => {
                self.calls.set(self.calls.get() + 1);
                out.unsigned(self.calls.get().into());
            }
            _ => {}
        }
        out.json_line(event.get(field::ID));
        out.byte(b'\n');
        Ok(())
    }
}

bulkhead_sdk::export_formatter!(Misformatted);
