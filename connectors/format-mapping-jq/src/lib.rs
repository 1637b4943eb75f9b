//! A mapping behind a jq program: the program turns the event into another one, the rows of the mapping take it from
//! there.
//!
//! Promised: what [`format-mapping`](../../format-mapping) promises; the program is compiled before the first event; a
//! program that yields anything but one object refuses the event by name and without what it holds. Refused: programs
//! that ask for anything but the event: the time, the environment, further inputs, modules, output beside the result.
//! How long a program runs and what it holds is bounded by the guest's own limits.

use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Writer};

#[path = "../../format-mapping/src/check.rs"]
mod check;
#[path = "../../format-mapping/src/expression.rs"]
mod expression;
#[path = "../../format-mapping/src/item.rs"]
mod item;
#[path = "../../format-mapping/src/kind.rs"]
mod kind;
#[path = "../../format-mapping/src/mapping.rs"]
mod mapping;
mod natives;
mod program;
#[path = "../../format-mapping/src/settings.rs"]
mod settings;
#[path = "../../format-mapping/src/target.rs"]
mod target;
#[path = "../../format-mapping/src/transform.rs"]
mod transform;
#[path = "../../format-mapping/src/values.rs"]
mod values;
mod whole;

pub use mapping::{Mapping, Problem};
pub use settings::{Check, Constant, Kind, Row, Rule, Transform};

use program::Program;

/// A jq program and the mapping behind it.
#[derive(Debug, Config)]
pub struct Settings {
    /// The program; it is given the event and yields one object of the same shape.
    #[config(min = 1, max = 16384)]
    jq: String,
    /// The members of the object, in their order.
    #[config(min = 1, max = 256)]
    fields: Vec<Row>,
    /// Rules that every event must keep.
    #[config(max = 64)]
    validate: Option<Vec<Rule>>,
}

#[derive(Debug)]
pub struct MappingJq {
    program: Program,
    mapping: Mapping,
}

impl Formatter for MappingJq {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let mapping = Mapping::compile(settings.fields, settings.validate.unwrap_or_default())?;
        if let Some(field) = mapping.fields().into_iter().find(|field| *field == "/original") {
            return Err(format!("a row reads {field}, which is not handed to a jq program"));
        }
        Ok(Self { program: Program::compile(&settings.jq)?, mapping })
    }

    fn fields(&self) -> Vec<&str> {
        whole::FIELDS.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("mapping-jq", "application/json")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let made = self.program.run(&whole::json(event))?;
        let fields = self.mapping.fields();
        let spans = whole::spans(&made, &fields);
        let event = bulkhead_sdk::Events::new(made.as_bytes(), &spans, 1, fields.len()).get(0);
        self.mapping.apply(&event, out).map_err(|problem| problem.to_string())
    }
}

bulkhead_sdk::export_formatter!(MappingJq);

#[cfg(test)]
mod tests;
