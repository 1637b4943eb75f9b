//! JSON objects by a mapping of the operator's own: each row fills one member of the object from a field of
//! the event, a constant or an expression, transforms it, gives it a type and checks it.
//!
//! Promised: rows and expressions are checked before the first event; what goes through unchanged keeps its
//! bytes, digits included; an event that breaks a rule is refused with the member and the rule, and never with
//! what it holds. Refused: expressions without a bound, and what a row does not say where it goes.
//!
//! [`Mapping`] is the engine; the formatter around it is thin.

use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Writer};

mod check;
mod expression;
mod item;
mod kind;
mod mapping;
mod settings;
mod target;
#[cfg(test)]
mod tests;
mod transform;
mod values;

pub use mapping::{Mapping, Problem};
pub use settings::{Check, Constant, Kind, Row, Rule, Transform};

/// A mapping of events to JSON objects.
#[derive(Debug, Config)]
pub struct Settings {
    /// The members of the object, in their order.
    #[config(min = 1, max = 256)]
    fields: Vec<Row>,
    /// Rules that every event must keep.
    #[config(max = 64)]
    validate: Option<Vec<Rule>>,
}

#[derive(Debug)]
pub struct MappingFormatter {
    mapping: Mapping,
}

impl Formatter for MappingFormatter {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self { mapping: Mapping::compile(settings.fields, settings.validate.unwrap_or_default())? })
    }

    fn fields(&self) -> Vec<&str> {
        self.mapping.fields()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("mapping", "application/json")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        self.mapping.apply(event, out).map_err(|problem| problem.to_string())
    }
}

bulkhead_sdk::export_formatter!(MappingFormatter);
