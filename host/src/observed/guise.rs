//! How events are shown: never more of them than guests see. What the rules of `encryption` hide, or those of any
//! instance, is hidden here from everybody.

use std::sync::{Arc, PoisonError, RwLock};

use bulkhead_core::EventRef;
use bulkhead_seal::{FieldRules, Fields, Keyring, RuleFault};

use crate::config::Config;

/// The rules in force. Cheap to clone; all clones change together.
#[derive(Debug, Clone, Default)]
pub struct Guise(Arc<RwLock<Option<Arc<Fields>>>>);

impl Guise {
    pub fn new(config: &Config, keyring: Option<&Keyring>) -> Result<Self, RuleFault> {
        let guise = Self::default();
        guise.put(Self::of(config, keyring)?);
        Ok(guise)
    }

    /// The rules of a configuration; nothing where it hides nothing.
    pub fn of(config: &Config, keyring: Option<&Keyring>) -> Result<Option<Arc<Fields>>, RuleFault> {
        Self::of_all(&[config], keyring)
    }

    /// What any of these hides: while one takes the place of the other.
    pub fn of_all(configs: &[&Config], keyring: Option<&Keyring>) -> Result<Option<Arc<Fields>>, RuleFault> {
        let rules = configs.iter().flat_map(|config| {
            let own = config.instances.iter().filter_map(|instance| instance.rules.as_ref());
            std::iter::once(&config.encryption.rules).chain(own)
        });
        let Some(last) = configs.last() else { return Ok(None) };
        Ok(Fields::new(FieldRules::union(rules), keyring, last.encryption.rotate_every.as_secs())?.map(Arc::new))
    }

    /// The rules as they are, to be put back.
    pub fn now(&self) -> Option<Arc<Fields>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn put(&self, fields: Option<Arc<Fields>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fields;
    }

    /// Hands on the event as it may be shown. What cannot be read once it was sealed is not shown.
    pub fn see<T>(&self, event: &EventRef<'_>, show: impl FnOnce(&EventRef<'_>) -> T) -> Option<T> {
        let fields = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut hidden = Vec::new();
        match fields {
            Some(fields) if fields.apply(event, &mut hidden) => EventRef::new(&hidden).ok().map(|event| show(&event)),
            _ => Some(show(event)),
        }
    }
}
