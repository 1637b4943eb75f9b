//! Text by a template of the operator's own, in the language of Jinja: `{{ user | upper }}`.
//!
//! Promised: what a template names is checked before the first event, with line and column; numbers of an
//! event keep their digits; what an event holds is escaped as `escape` says, so that no value leaves its
//! place; a record that calls itself JSON is JSON. Each event has a budget of work and memory. Refused:
//! templates from elsewhere (include, import, extends), macros, methods, blocks that capture text.

use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Writer, json};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

mod check;
mod escape;
mod event;
mod filters;
mod number;
mod paths;
mod sink;
#[cfg(test)]
mod tests;

use event::Fields;
use paths::Paths;
use sink::Sink;

/// Most work for one event, in MiniJinja's units: an instruction or 64 bytes of text. It bounds the memory too.
const FUEL: u64 = 100_000;
/// How deep a template may call itself, and how deep containers of its own may lie in each other.
const DEPTH: usize = 64;
/// Longest reason of a refusal, in bytes.
const MAX_REASON: usize = 512;
const NAME: &str = "template";

/// The template and how values stand in it.
#[derive(Debug, Config)]
pub struct Settings {
    /// The text, with the event's fields in `{{ … }}`.
    #[config(min = 1, max = 65536)]
    template: String,
    /// How values are written.
    #[config(default = "none")]
    escape: Escape,
    /// What becomes of a field that the event does not have.
    #[config(default = "empty")]
    undefined: Undefined,
    /// Media type of a record. Where it is one of JSON, records that are no JSON are refused.
    #[config(default = "text/plain; charset=utf-8", min = 3, max = 255)]
    content_type: String,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Escape {
    /// As they are.
    None,
    /// As JSON values; between quotes as the inside of a string.
    Json,
    /// For XML, in elements and attributes.
    Xml,
    /// As a field of RFC 4180.
    Csv,
    /// Percent-encoded (RFC 3986), for one segment or one value of a query.
    Url,
}

/// What becomes of a field that the event does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Undefined {
    /// It is empty; `null` as a JSON value.
    Empty,
    /// The event is refused.
    Refuse,
}

#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    paths: Paths,
    content_type: String,
    is_json: bool,
}

fn syntax() -> Result<SyntaxConfig, String> {
    // A line that holds a statement alone leaves no line behind.
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| error.to_string())
}

impl Formatter for Template {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { template, escape, undefined, content_type } = settings;
        if content_type.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) || !content_type.contains('/') {
            return Err("`content_type` is no media type such as text/plain".to_owned());
        }
        let mut environment = Environment::empty();
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEPTH);
        environment.set_syntax(syntax()?);
        environment.set_undefined_behavior(match undefined {
            Undefined::Empty => UndefinedBehavior::Chainable,
            // Conditions may still ask whether a field is there.
            Undefined::Refuse => UndefinedBehavior::SemiStrict,
        });
        environment.set_formatter(move |out, state, value| escape::write(out, state, value, escape));
        filters::add(&mut environment);
        environment.add_template_owned(NAME, template.clone()).map_err(|error| format!("`template`: {}", check::problem(&error, &template)))?;
        let names = check::names(&template, &environment)?;
        let paths = Paths::new(&names);
        let is_json = RecordFormat::new(NAME, &content_type).is_json();
        Ok(Self { environment, paths, content_type, is_json })
    }

    fn fields(&self) -> Vec<&str> {
        self.paths.pointers()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new(NAME, &self.content_type)
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let start = out.len();
        number::forget();
        let context = Value::from_object(event::Root::new(&self.paths, Fields::of(event, self.paths.pointers().len())));
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        let rendered = template.render_captured_to(context, Sink::new(out));
        if let Err(error) = rendered {
            return Err(reason(&check::problem(&error, template.source())));
        }
        let record = out.as_bytes().get(start..).unwrap_or_default();
        if record.is_empty() {
            return Err("the template makes nothing of this event".to_owned());
        }
        if self.is_json && !std::str::from_utf8(record).is_ok_and(|record| json::is_strict(record.trim())) {
            return Err(format!("the record is no well-formed JSON, as `content_type` is {}", self.content_type));
        }
        Ok(())
    }
}

/// A reason for the dead letters, cut where a value made it long.
fn reason(text: &str) -> String {
    let mut reason = text.to_owned();
    if reason.len() > MAX_REASON {
        reason.truncate(text.floor_char_boundary(MAX_REASON));
        reason.push('…');
    }
    format!("template: {reason}")
}

bulkhead_sdk::export_formatter!(Template);
