//! How events are shown: never more of them than guests see. The rules of `encryption` and those that instances have
//! of their own are applied one after the other, so that what one of them hides is hidden here.

use std::sync::{Arc, PoisonError, RwLock};

use bulkhead_core::EventRef;
use bulkhead_seal::{Fields, Keyring, RuleFault};

use crate::config::Config;

/// The rules in force. Cheap to clone; all clones change together.
#[derive(Debug, Clone, Default)]
pub struct Guise(Arc<RwLock<Arc<[Fields]>>>);

impl Guise {
    pub fn new(config: &Config, keyring: Option<&Keyring>) -> Result<Self, RuleFault> {
        let guise = Self::default();
        guise.put(guise.of(config, keyring)?);
        Ok(guise)
    }

    /// The rules of another configuration, not in force yet.
    pub fn of(&self, config: &Config, keyring: Option<&Keyring>) -> Result<Arc<[Fields]>, RuleFault> {
        let mut rules = vec![&config.encryption.rules];
        for own in config.instances.iter().filter_map(|instance| instance.rules.as_ref()) {
            if !rules.contains(&own) {
                rules.push(own);
            }
        }
        let every = config.encryption.rotate_every.as_secs();
        let fields = rules.into_iter().filter_map(|rules| Fields::new(rules.clone(), keyring, every).transpose());
        fields.collect::<Result<Vec<_>, _>>().map(Into::into)
    }

    pub fn put(&self, fields: Arc<[Fields]>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fields;
    }

    /// Hands on the event as it may be shown. `first` are rules that come before, such as those of an instance. What
    /// cannot be read once it was sealed is not shown.
    pub fn see<T>(&self, event: &EventRef<'_>, first: Option<&Fields>, show: impl FnOnce(&EventRef<'_>) -> T) -> Option<T> {
        let rules = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let mut hidden: Option<Vec<u8>> = None;
        for fields in first.into_iter().chain(rules.iter()) {
            let mut out = Vec::new();
            let changed = match &hidden {
                Some(stored) => fields.apply(&EventRef::new(stored).ok()?, &mut out),
                None => fields.apply(event, &mut out),
            };
            if changed {
                hidden = Some(out);
            }
        }
        match &hidden {
            Some(stored) => EventRef::new(stored).ok().map(|event| show(&event)),
            None => Some(show(event)),
        }
    }
}
