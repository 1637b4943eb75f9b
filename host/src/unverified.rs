//! Destinations with `verify: false`: their receivers may be anybody. Said at every start and reload,
//! and shown in health for as long as it is so.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::guests::Built;

/// Names of such destinations by instance. Cheap to clone; all clones see the same.
#[derive(Debug, Clone, Default)]
pub struct Unverified(Arc<RwLock<BTreeMap<String, Vec<String>>>>);

impl Unverified {
    /// What is in force now.
    pub fn set<'a>(&self, built: impl IntoIterator<Item = &'a Built>) {
        let found: BTreeMap<_, _> =
            built.into_iter().filter(|built| !built.unverified.is_empty()).map(|built| (built.settings.name.to_string(), built.unverified.clone())).collect();
        for (instance, destinations) in &found {
            for destination in destinations {
                tracing::warn!(%instance, destination, "verify is false: this destination takes any certificate, events may reach anybody who can answer in its place");
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = found;
    }

    pub fn of(&self, instance: &str) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(instance).cloned().unwrap_or_default()
    }

    pub fn all(&self) -> BTreeMap<String, Vec<String>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
