//! The rules in order of priority: which lanes an event goes to. Routing an event twice gives the same
//! answer, so lanes may share the decisions of a frame.

use std::collections::HashMap;

use bulkhead_core::{EventRef, Tenant};

use crate::condition::{Condition, MAX_DEPTH, View};
use crate::filter::Filter;
use crate::lanes::{LaneIndex, LaneSet, MAX_LANES};

/// A rule as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Unique among the rules.
    pub id: Box<str>,
    /// For people.
    pub name: Box<str>,
    pub when: Condition,
    pub to: Vec<LaneIndex>,
    /// Only events of this tenant; of everybody where there is none.
    pub tenant: Option<Tenant>,
    /// Where it matches, no later rule is asked; a tenant's keeps its events from the tenant's own rules alone.
    pub exclusive: bool,
    /// Goes beside the others: an event that only such rules match goes to the default route as well.
    pub beside: bool,
    /// Smaller first; rules of the same priority in the order of the file.
    pub priority: i32,
}

/// How an event got its lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// At least one rule matched, and no default route had to serve.
    Matched,
    /// No rule matched; the default route serves it.
    Default,
    /// A global filter keeps it from every lane; the filter's name.
    Dropped(&'static str),
    /// No rule matched and there is no default route.
    Unrouted,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    #[error("{0} lanes; at most {MAX_LANES} are possible")]
    TooManyLanes(usize),
    #[error("route `{route}` names lane {lane}, but there are {lanes}")]
    UnknownLane { route: Box<str>, lane: u16, lanes: usize },
    #[error("the condition of route `{0}` is nested deeper than {MAX_DEPTH}")]
    TooDeep(Box<str>),
    #[error("two routes have the id `{0}`")]
    DuplicateId(Box<str>),
}

/// The compiled rules of a host.
#[derive(Debug)]
pub struct Router {
    rules: Vec<Rule>,
    /// Places of the rules that any event may match.
    broad: Vec<u32>,
    /// Places of those that name event types, by type: with thousands of rules most are about other types.
    by_type: HashMap<Box<[u8]>, Vec<u32>>,
    default: LaneSet,
    filters: Vec<Filter>,
    lanes: usize,
    /// Since when lanes are whose they are, in nanoseconds since 1970; of those that are not here, ever since.
    since: HashMap<LaneIndex, u64>,
}

#[derive(Debug)]
struct Rule {
    id: Box<str>,
    when: Condition,
    to: LaneSet,
    tenant: Option<Box<str>>,
    exclusive: bool,
    beside: bool,
}

impl Router {
    /// `lanes` is the number of lanes that indices may name. Global rate limits are not among `filters`:
    /// they have state and belong to each lane's chain.
    pub fn new(mut routes: Vec<Route>, default: &[LaneIndex], filters: Vec<Filter>, lanes: usize) -> Result<Self, RouterError> {
        if lanes > MAX_LANES {
            return Err(RouterError::TooManyLanes(lanes));
        }
        // Stable: the order of the file decides within a priority.
        routes.sort_by_key(|route| route.priority);
        let mut rules: Vec<Rule> = Vec::with_capacity(routes.len());
        let mut ids = std::collections::HashSet::new();
        for route in routes {
            if route.when.depth() > MAX_DEPTH {
                return Err(RouterError::TooDeep(route.id));
            }
            if !ids.insert(route.id.clone()) {
                return Err(RouterError::DuplicateId(route.id));
            }
            let to = set_of(&route.id, &route.to, lanes)?;
            let tenant = route.tenant.map(|tenant| tenant.as_str().into());
            rules.push(Rule { id: route.id, when: route.when, to, tenant, exclusive: route.exclusive, beside: route.beside });
        }
        let mut broad = Vec::new();
        let mut by_type: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        for (place, rule) in (0..).zip(&rules) {
            match rule.when.types() {
                None => broad.push(place),
                Some(mut types) => {
                    types.sort_unstable();
                    types.dedup();
                    types.into_iter().for_each(|name| by_type.entry(name.into()).or_default().push(place));
                }
            }
        }
        let default = set_of("default_route", default, lanes)?;
        Ok(Self { rules, broad, by_type, default, filters, lanes, since: HashMap::new() })
    }

    /// What was bound to one of these lanes before that time was bound to another's of the same name.
    #[must_use]
    pub fn with_owners_since(self, since: HashMap<LaneIndex, u64>) -> Self {
        Self { since, ..self }
    }

    /// Whether an event that was put into the journal for one lane, at that time, is for the lane as it is now.
    pub fn is_for(&self, lane: LaneIndex, received: u64) -> bool {
        self.since.get(&lane).is_none_or(|since| received >= *since)
    }

    /// An empty set of the right size for [`route`](Self::route).
    pub fn lane_set(&self) -> LaneSet {
        LaneSet::new(self.lanes)
    }

    /// Puts the event's lanes into `lanes`, forgetting what was in it.
    pub fn route(&self, event: &EventRef<'_>, lanes: &mut LaneSet) -> Decision {
        self.route_with(event, lanes, |_| {})
    }

    /// The rules that may match, in their order.
    fn candidates(&self, view: &View<'_>) -> impl Iterator<Item = &Rule> {
        let narrow = if self.by_type.is_empty() { None } else { self.by_type.get(view.event_type().exact()) };
        let (mut narrow, mut broad) = (narrow.map_or(&[][..], Vec::as_slice), &self.broad[..]);
        std::iter::from_fn(move || {
            let from = match (narrow.first(), broad.first()) {
                (Some(one), Some(other)) if one < other => &mut narrow,
                (Some(_), None) => &mut narrow,
                _ => &mut broad,
            };
            let (first, rest) = from.split_first()?;
            *from = rest;
            self.rules.get(*first as usize)
        })
    }

    /// The same, and tells the id of every rule that matched.
    pub fn route_with(&self, event: &EventRef<'_>, lanes: &mut LaneSet, mut on_match: impl FnMut(&str)) -> Decision {
        lanes.clear();
        let view = View::new(event);
        if let Some(filter) = self.filters.iter().find(|filter| !filter.passes_for(&view)) {
            return Decision::Dropped(filter.name());
        }
        let (mut matched, mut beside, mut own_ended) = (false, false, false);
        for rule in self.candidates(&view) {
            if let Some(tenant) = &rule.tenant
                && (own_ended || view.tenant() != Some(tenant))
            {
                continue;
            }
            if !rule.when.holds_for(&view) {
                continue;
            }
            matched |= !rule.beside;
            beside |= rule.beside;
            lanes.extend(&rule.to);
            on_match(&rule.id);
            match (rule.exclusive, &rule.tenant) {
                (true, None) => break,
                // What the operator has to see of an event no tenant can hold back.
                (true, Some(_)) => own_ended = true,
                (false, _) => {}
            }
        }
        if matched {
            return Decision::Matched;
        }
        lanes.extend(&self.default);
        match (beside, self.default.is_empty()) {
            (true, true) => Decision::Matched,
            (false, true) => Decision::Unrouted,
            (_, false) => Decision::Default,
        }
    }
}

fn set_of(route: &str, to: &[LaneIndex], lanes: usize) -> Result<LaneSet, RouterError> {
    let mut set = LaneSet::new(lanes);
    for lane in to {
        if usize::from(lane.0) >= lanes {
            return Err(RouterError::UnknownLane { route: route.into(), lane: lane.0, lanes });
        }
        set.insert(*lane);
    }
    Ok(set)
}

#[cfg(test)]
mod tests;
