//! Whose the parts of a configuration are: of the tenant that they name, or of the operator.
//!
//! What is of nobody is the operator's and no tenant's, not even the default one's: such instances get events of
//! everybody through routes of everybody, and whoever could change them could turn all of these to a receiver of
//! their own.

use std::collections::HashMap;

use bulkhead_core::Tenant;
use serde_json::Value as Json;

use super::checked::{Checked, Fields, Item};
use super::stored::Section;

/// The tenants of all parts that have one.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    by_section: HashMap<Section, HashMap<String, Tenant>>,
    inbound: HashMap<String, Tenant>,
}

impl Owners {
    pub(super) fn read(root: &Fields) -> Self {
        let named = |name: &str| -> HashMap<String, Tenant> {
            root.named(name).iter().filter_map(|(name, _, value)| Some((name.clone(), fields(value).and_then(tenant)?))).collect()
        };
        let of = |section: Section| match section {
            Section::Routes => root.list(section.name()).iter().filter_map(|route| Some((route.as_map()?.text("id")?, tenant(route.as_map()?)?))).collect(),
            _ => named(section.name()),
        };
        Self { by_section: Section::ALL.into_iter().map(|section| (section, of(section))).collect(), inbound: named("inbound") }
    }

    /// Nothing for what is the operator's, and for what is not there.
    pub fn of(&self, section: Section, name: &str) -> Option<&Tenant> {
        self.by_section.get(&section)?.get(name)
    }

    /// Of an inbound webhook that says whose its events are.
    pub fn of_inbound(&self, name: &str) -> Option<&Tenant> {
        self.inbound.get(name)
    }

    /// The names of a section that are this tenant's.
    pub fn names(&self, section: Section, of: &Tenant) -> Vec<&str> {
        let all = self.by_section.get(&section).into_iter().flatten();
        let mut names: Vec<&str> = all.filter(|(_, tenant)| *tenant == of).map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

fn fields(value: &Checked) -> Option<&Fields> {
    match &value.item {
        Item::Map(fields) | Item::Tagged(_, fields) => Some(fields),
        _ => None,
    }
}

/// The tenant that a part names.
pub(super) fn tenant(fields: &Fields) -> Option<Tenant> {
    fields.text("tenant").and_then(|name| Tenant::new(&name))
}

/// The tenant of a stored definition. One whose name is none is refused where the configuration is read.
pub fn tenant_of(definition: &Json) -> Option<Tenant> {
    match &definition["tenant"] {
        Json::String(name) => Tenant::new(name),
        // What the reader of configurations takes for text.
        Json::Number(name) => Tenant::new(&name.to_string()),
        Json::Bool(name) => Tenant::new(&name.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
