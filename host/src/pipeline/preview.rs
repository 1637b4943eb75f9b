//! What a formatter makes of events, before it is used: the same guest under the same limits as in delivery, on
//! events that come with the request and go nowhere.

use std::sync::Arc;

use bulkhead_access::Scope;
use bulkhead_core::{EventRef, OpenError};
use bulkhead_format::{BatchBuilder, FormatFault, FormatterSlot};
use bulkhead_ingest::{Form, Normaliser, Rules};
use bulkhead_store::Entry;
use serde_json::Value;

use super::stored::merged;
use super::{Control, guests};
use crate::config::{Config, Fault, Section};

/// In metrics, in place of an instance; no instance can have that name.
pub(super) const INSTANCE: &str = "@preview";

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    #[error("the formatter has {} faults", .0.len())]
    Faults(Vec<Fault>),
    #[error("there is no formatter `{0}`; send a `definition`")]
    Unknown(String),
    #[error("the formatter cannot be opened: {0}")]
    Open(OpenError),
    #[error("the formatter failed: {0}")]
    Guest(String),
}

/// What becomes of one event.
#[derive(Debug)]
pub enum Preview {
    Record(Vec<u8>),
    /// By the formatter's own rules; in delivery it is a dead letter.
    Refused(String),
    /// It is none: where, and why.
    NoEvent {
        pointer: String,
        reason: String,
    },
}

/// The records and their content type.
pub struct Previewed {
    pub content_type: String,
    pub events: Vec<Preview>,
}

impl Control {
    /// The formatter `name`, or what `definition` would make of it. Cancel safe: nothing is kept.
    pub async fn preview(&self, asked: &str, definition: Option<Value>, events: &[&str], scope: &Scope) -> Result<Previewed, PreviewError> {
        let current = self.current();
        let mut config = Arc::clone(&current.config);
        // What is somebody else's is not there.
        let hidden = config.has(Section::Formatters, asked) && !scope.sees(config.owners.of(Section::Formatters, asked));
        // One of the file goes before entries of its name: another definition is tried beside it.
        let beside = hidden || (definition.is_some() && self.in_file(&current, Section::Formatters, asked));
        let tried = if beside { free(&config) } else { asked.to_owned() };
        let name = tried.as_str();
        let faulty = |faults: Vec<Fault>| PreviewError::Faults(if beside { renamed(faults, name, asked) } else { faults });
        if let Some(mut definition) = definition {
            if let (Some(tenant), Value::Object(fields)) = (scope.tenant(), &mut definition) {
                fields.insert("tenant".into(), tenant.as_str().into());
            }
            let mut entries = self.stored.all().to_vec();
            entries.retain(|entry| !(entry.section == Section::Formatters.name() && entry.name == name));
            let (section, by) = (Section::Formatters.name().to_owned(), String::new());
            let (id, created_by) = (String::new(), by.clone());
            entries.push(Entry { id, section, name: name.into(), version: 0, definition, created_ms: 0, created_by, updated_ms: 0, updated_by: by });
            config = Arc::new(merged(&current.config, &entries).map_err(faulty)?);
        } else if hidden || !config.has(Section::Formatters, name) {
            return Err(PreviewError::Unknown(asked.to_owned()));
        }
        let components = self.components(self.registry.index());
        let source = guests::formatter(&config, &components, &self.sandbox, Arc::clone(&self.state), name, INSTANCE).await.map_err(faulty)?;

        let rules = Rules { tenant: config.data_tenant(scope.tenant()), ..config.http.rules.clone() };
        let stored = stored(&rules, events, self.clock.unix_nanos());
        let refs: Vec<EventRef<'_>> = stored.iter().flatten().map(|bytes| EventRef::new(bytes).expect("just written")).collect();
        let mut slot = FormatterSlot::new(source, 1);
        let (mut builder, opened) = (BatchBuilder::default(), slot.ready().await.map_err(PreviewError::Open)?);
        let content_type = opened.record_format().content_type.to_string();
        let projection = Arc::clone(opened.projection());
        let batch = builder.fill(&projection, refs.into_iter());
        let formatted = slot.format(batch).await.map_err(|fault| match fault {
            FormatFault::Open(error) => PreviewError::Open(error),
            FormatFault::Guest { fault, .. } => PreviewError::Guest(fault.to_string()),
        })?;
        let one = |at: usize| match formatted.refused.iter().find(|refused| refused.event as usize == at) {
            Some(refused) => Preview::Refused(refused.reason.to_string()),
            None => Preview::Record(formatted.records.get(at).to_vec()),
        };
        let mut places = 0..;
        let each = stored.into_iter().map(|stored| match stored {
            Ok(_) => one(places.next().unwrap_or_default()),
            Err(none) => none,
        });
        Ok(Previewed { content_type, events: each.collect() })
    }
}

/// A name that no formatter has.
fn free(config: &Config) -> String {
    (0_u64..).map(|n| format!("preview-{n}")).find(|name| !config.has(Section::Formatters, name)).unwrap_or_default()
}

/// Faults in the words of what was asked for.
fn renamed(faults: Vec<Fault>, tried: &str, asked: &str) -> Vec<Fault> {
    let (tried, asked) = (format!("formatters.{tried}"), format!("formatters.{asked}"));
    faults
        .into_iter()
        .map(|fault| {
            let key = fault.key.replacen(&tried, &asked, 1);
            fault.about(key)
        })
        .collect()
}

/// The events as the intake would take them, or why it would not.
fn stored(rules: &Rules, events: &[&str], received: u64) -> Vec<Result<Vec<u8>, Preview>> {
    let mut normaliser = Normaliser::new(rules.clone());
    let one = |text: &&str| {
        let mut stored = Vec::new();
        match normaliser.event(text.as_bytes(), 0, Form::Json, received, &mut stored) {
            Ok(_) => Ok(stored),
            Err(refused) => Err(Preview::NoEvent { pointer: refused.fault.pointer, reason: refused.fault.reason }),
        }
    };
    events.iter().map(one).collect()
}
