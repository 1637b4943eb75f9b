//! What somebody sees: an extractor that every endpoint takes which is about things of tenants. What is not within it
//! is not there, in the very words that are said of what is absent.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bulkhead_access::{Principal, Scope};
use bulkhead_core::Tenant;
use bulkhead_store::{DeadLetter, DeadLetterFilter};
use serde_json::json;

use super::Api;
use super::auth::Actor;
use super::problem::Problem;
use crate::config::{Config, Section, tenant_of};
use crate::observed::tap::Within;

/// Whose things the caller sees and changes, in the configuration as it is now.
#[derive(Clone)]
pub struct View {
    pub scope: Scope,
    pub config: Arc<Config>,
    pub actor: Actor,
}

impl FromRequestParts<Api> for View {
    type Rejection = Problem;

    /// Nobody whom the guard has not seen sees anything.
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let unseen = std::io::Error::other("an endpoint without a guard asks who sees what");
        let caller = parts.extensions.get::<Principal>().ok_or_else(|| Problem::internal(&unseen))?;
        Ok(Self { scope: caller.scope(), config: api.control.config(), actor: Actor(caller.actor.clone()) })
    }
}

impl View {
    /// The same after a change.
    pub fn again(&self, api: &Api) -> Self {
        Self { config: api.control.config(), ..self.clone() }
    }

    /// Whether something of this owner is there for the caller.
    pub fn sees(&self, owner: Option<&Tenant>) -> bool {
        self.scope.sees(owner)
    }

    /// Whether an entry in force or a stored one is hidden: to a tenant, whatever is not its own.
    pub fn hides(&self, api: &Api, section: Section, name: &str) -> bool {
        if self.scope.is_host() {
            return false;
        }
        if self.config.has(section, name) {
            return !self.sees(self.config.owners.of(section, name));
        }
        self.hides_stored(api, section, name)
    }

    /// The same for what is stored under a name, whatever the file says of it.
    pub fn hides_stored(&self, api: &Api, section: Section, name: &str) -> bool {
        let owner = || api.control.stored.get(section, name).and_then(|entry| tenant_of(&entry.definition));
        !self.scope.is_host() && !self.sees(owner().as_ref())
    }

    /// Whether an instance in force is hidden; one that is not there is.
    pub fn hides_instance(&self, name: &str) -> bool {
        !self.sees(self.config.owners.of(Section::Instances, name))
    }

    /// The instances of a tenant, as far as they are in force; nothing for somebody who sees all.
    pub fn instances(&self) -> Option<HashSet<&str>> {
        let tenant = self.scope.tenant()?;
        Some(self.config.owners.names(Section::Instances, tenant).into_iter().collect())
    }

    /// The dead letters that the caller sees: of own instances, and own events.
    pub fn letters(&self, filter: DeadLetterFilter) -> DeadLetterFilter {
        let Some(tenant) = self.scope.name() else { return filter };
        DeadLetterFilter { owner: Some(tenant.to_owned()), tenant: Some(tenant.to_owned()), ..filter }
    }

    pub fn sees_letter(&self, letter: &DeadLetter) -> bool {
        self.scope.name().is_none_or(|tenant| letter.owner == tenant && letter.tenant == tenant)
    }

    /// What of the live view may be seen.
    pub fn within(&self) -> Option<Arc<Within>> {
        let tenant = self.scope.tenant()?;
        let names = |section| self.config.owners.names(section, tenant).into_iter().map(str::to_owned).collect();
        Some(Arc::new(Within { tenant: tenant.to_string(), instances: names(Section::Instances), routes: names(Section::Routes) }))
    }

    /// Whose a new principal is to be: the caller's tenant, or the one that is named by somebody who sees all.
    pub fn tenant_of_new(&self, named: Option<&str>) -> Result<Option<Tenant>, Problem> {
        let fault = |detail: String| Problem::bad_request("bad_field", detail).errors(vec![json!({"pointer": "/tenant"})]);
        let named = match named {
            None => None,
            Some(name) => {
                let rule = || fault(format!("`{}` is no tenant: 1 to 64 of a-z, 0-9 and `-`", name.escape_default().take(80).collect::<String>()));
                Some(Tenant::new(name).ok_or_else(rule)?)
            }
        };
        match (self.scope.tenant(), named) {
            (Some(own), Some(named)) if named != *own => Err(fault(format!("what you make is of `{own}`, as you are; leave `tenant` out"))),
            (Some(own), _) => Ok(Some(own.clone())),
            (None, named) => Ok(named),
        }
    }
}
