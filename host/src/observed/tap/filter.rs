//! What a listener of the live view asks for, and may see. All given parts must fit; within a part any value.

use std::collections::HashSet;
use std::sync::Arc;

use bulkhead_core::{LaneId, Severity};

/// Nothing asked is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub instances: Vec<String>,
    /// Ids of routes.
    pub routes: Vec<String>,
    /// Event types; one that ends in `.*` stands for all below it.
    pub types: Vec<String>,
    pub severities: Vec<Severity>,
    /// `delivered`, `retried`, `unconfirmed`, `dead_letter`, or `accepted` for events as they come in.
    pub outcomes: Vec<&'static str>,
    /// Whether bodies are shown.
    pub body: bool,
    /// What may be seen; nothing: everything.
    pub within: Option<Arc<Within>>,
}

/// What of a tenant may be seen: as things were when it began to listen.
#[derive(Debug, PartialEq, Eq)]
pub struct Within {
    pub tenant: String,
    pub instances: HashSet<String>,
    pub routes: HashSet<String>,
}

impl Within {
    /// Events of the tenant; of what became of them, what its own instances did.
    fn holds(&self, facts: &Facts<'_>) -> bool {
        let own = |lane: &&LaneId| self.instances.contains(&*lane.instance);
        facts.tenant == Some(&self.tenant) && (facts.outcome.is_none() || facts.lanes.iter().all(own))
    }
}

/// Words of [`Filter::outcomes`].
pub const OUTCOMES: [&str; 5] = [ACCEPTED, "delivered", "retried", "unconfirmed", "dead_letter"];
const ACCEPTED: &str = "accepted";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Accepted,
    Outcome,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => ACCEPTED,
            Self::Outcome => "outcome",
        }
    }
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Whose the event is; nothing: the host's own.
    pub tenant: Option<&'a str>,
    pub event_type: &'a str,
    pub severity: Severity,
    pub lanes: &'a [&'a LaneId],
    pub routes: &'a [Box<str>],
    pub outcome: Option<&'static str>,
}

impl Filter {
    pub fn wants(&self, facts: &Facts<'_>) -> bool {
        let outcome = facts.outcome.unwrap_or(ACCEPTED);
        self.within.as_ref().is_none_or(|within| within.holds(facts))
            && (self.outcomes.is_empty() || self.outcomes.contains(&outcome))
            && (self.severities.is_empty() || self.severities.contains(&facts.severity))
            && (self.instances.is_empty()
                || facts.lanes.iter().any(|lane| self.shows_instance(&lane.instance) && self.instances.iter().any(|name| **name == *lane.instance)))
            && (self.routes.is_empty() || facts.routes.iter().any(|route| self.routes.iter().any(|id| **id == **route)))
            && (self.types.is_empty() || self.types.iter().any(|wanted| is_of(wanted, facts.event_type)))
    }

    /// Whether its listener may see that there is such an instance, or route.
    pub fn shows_instance(&self, name: &str) -> bool {
        self.within.as_ref().is_none_or(|within| within.instances.contains(name))
    }

    pub fn shows_route(&self, id: &str) -> bool {
        self.within.as_ref().is_none_or(|within| within.routes.contains(id))
    }

    /// Whether it may want an outcome of this instance.
    pub fn wants_outcomes_of(&self, instance: &str) -> bool {
        self.shows_instance(instance)
            && (self.instances.is_empty() || self.instances.iter().any(|name| name == instance))
            && (self.outcomes.is_empty() || self.outcomes != [ACCEPTED])
    }

    pub fn wants_accepted(&self) -> bool {
        self.outcomes.is_empty() || self.outcomes.contains(&ACCEPTED)
    }

    pub fn names_routes(&self) -> bool {
        !self.routes.is_empty()
    }
}

fn is_of(wanted: &str, event_type: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(space) if space.ends_with('.') => event_type.starts_with(space),
        _ => wanted == event_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: Filter, want: bool) {
        let lane = LaneId::new("siem", "cef");
        let routes = ["security".into()];
        let facts = Facts {
            tenant: Some("acme"),
            event_type: "app.login.failed",
            severity: Severity::High,
            lanes: &[&lane],
            routes: &routes,
            outcome: Some("retried"),
        };
        assert_eq!(filter.wants(&facts), want, "{filter:?}");
    }

    #[test]
    fn every_part_must_fit_and_any_value_of_it() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        check(Filter::default(), true);
        check(Filter { instances: words(&["other", "siem"]), ..Filter::default() }, true);
        check(Filter { instances: words(&["other"]), ..Filter::default() }, false);
        check(Filter { types: words(&["app.login.*"]), routes: words(&["security"]), ..Filter::default() }, true);
        check(Filter { types: words(&["app.login"]), ..Filter::default() }, false);
        check(Filter { types: words(&["*"]), ..Filter::default() }, false);
        check(Filter { severities: vec![Severity::Low], ..Filter::default() }, false);
        check(Filter { outcomes: vec!["accepted"], ..Filter::default() }, false);
        check(Filter { outcomes: vec!["retried"], severities: vec![Severity::High], ..Filter::default() }, true);
        check(Filter { routes: words(&["' OR 1=1 --"]), ..Filter::default() }, false);
        let within = |tenant: &str, instances: &[&str]| {
            let instances = instances.iter().map(|name| (*name).to_owned()).collect();
            Filter { within: Some(Arc::new(Within { tenant: tenant.into(), instances, routes: HashSet::new() })), ..Filter::default() }
        };
        check(within("acme", &["siem"]), true);
        check(within("acme", &["other"]), false);
        check(within("other", &["siem"]), false);
    }

    #[test]
    fn outcomes_are_looked_at_for_those_who_want_them_only() {
        let filter = Filter { instances: vec!["siem".into()], outcomes: vec!["accepted"], ..Filter::default() };
        assert!(!filter.wants_outcomes_of("siem"));
        let filter = Filter { outcomes: vec!["accepted", "delivered"], ..filter };
        assert!(filter.wants_outcomes_of("siem") && !filter.wants_outcomes_of("other"));
    }
}
