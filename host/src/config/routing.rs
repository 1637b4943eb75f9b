//! `routes`, `default_route` and `filters` as the router takes them. Lanes get their place in the order
//! in which the file names them.

use std::collections::{HashMap, HashSet};

use bulkhead_core::{LaneId, Severity, Tenant};
use bulkhead_route::{Condition, Filter, FilterSettings, LaneIndex, MAX_DEPTH, MAX_LANES, Name, OnExcess, RateLimit, Route, SeveritySet, TypeName};

use super::checked::{Checked, Fields, Item};
use super::fault::{FaultKind, Faults};
use super::nearest;
use super::owners::{self, Owners};
use super::settings::{Instance, Lane};
use super::stored::Section;

/// Collects lanes while routes are read.
pub(super) struct Lanes<'a> {
    /// Names of instances whose own part is faulty: no second fault for naming them.
    pub known: Vec<&'a str>,
    pub lanes: Vec<Lane>,
    /// Where instances and lanes stand in their lists.
    pub instance_at: HashMap<&'a str, usize>,
    pub lane_at: HashMap<LaneId, usize>,
    /// Entries of `formatters`.
    formatters: HashSet<&'a str>,
    owners: &'a Owners,
}

impl<'a> Lanes<'a> {
    pub(super) fn new(instances: &'a [Instance], known: Vec<&'a str>, root: &'a Fields, owners: &'a Owners) -> Self {
        // Of two with one name, which is a fault, the first counts.
        let instance_at = instances.iter().enumerate().rev().map(|(at, instance)| (instance.name.as_str(), at)).collect();
        let formatters = root.named("formatters").iter().map(|(name, ..)| name.as_str()).collect();
        Self { known, lanes: Vec::new(), instance_at, lane_at: HashMap::new(), formatters, owners }
    }

    pub(super) fn routes(&mut self, list: &[Checked], faults: &mut Faults) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        let mut seen = HashMap::new();
        for (at, route) in list.iter().enumerate() {
            let key = format!("routes[{at}]");
            let Some(fields) = route.as_map() else { continue };
            let tenant = owners::tenant(fields);
            let to = self.targets(fields.list("to"), tenant.as_ref(), &format!("{key}.to"), faults);
            let when = fields.opt_map("when").map(condition);
            let Some(id) = fields.text("id") else { continue };
            if let Some(first) = seen.insert(id.clone(), fields.span("id").line) {
                let message = format!("another route has the id `{id}` (line {first})");
                faults.push(FaultKind::Conflict, fields.span("id"), format!("{key}.id"), message, Some("give each route an id of its own".into()));
                continue;
            }
            let Some(when) = when else { continue };
            if when.depth() > MAX_DEPTH {
                faults.push(FaultKind::OutOfRange, fields.span("when"), format!("{key}.when"), format!("nested deeper than {MAX_DEPTH}"), None);
                continue;
            }
            let priority = fields.integer("priority").and_then(|priority| i32::try_from(priority).ok()).unwrap_or_default();
            let name = fields.text("name").unwrap_or_else(|| id.clone());
            let (exclusive, beside) = (fields.bool("exclusive").unwrap_or_default(), fields.bool("beside").unwrap_or_default());
            routes.push(Route { id: id.into(), name: name.into(), when, to, tenant, exclusive, beside, priority });
        }
        routes
    }

    /// `tenant` is whose route it is: of the operator's, any instance may be named.
    pub(super) fn targets(&mut self, list: &[Checked], tenant: Option<&Tenant>, key: &str, faults: &mut Faults) -> Vec<LaneIndex> {
        let targets = list.iter().enumerate().filter_map(|(at, target)| self.target(target.as_map()?, tenant, &format!("{key}[{at}]"), faults));
        targets.collect()
    }

    fn target(&mut self, fields: &Fields, tenant: Option<&Tenant>, key: &str, faults: &mut Faults) -> Option<LaneIndex> {
        let (name, format) = (fields.text("instance")?, fields.text("format"));
        if let Some(tenant) = tenant {
            let mut missing = |part: &str, what: &str, name: &str, section: Section| {
                let message = format!("there is no {what} `{name}` of tenant `{tenant}`");
                let hint = nearest::hint(name, &self.owners.names(section, tenant));
                faults.push(FaultKind::UnknownReference, fields.span(part), format!("{key}.{part}"), message, Some(hint));
            };
            if self.owners.of(Section::Instances, &name) != Some(tenant) {
                missing("instance", "instance", &name, Section::Instances);
                return None;
            }
            // One of another tenant is not there for this one: the name means a formatter as it is.
            if let Some(format) = format.as_deref().filter(|format| self.formatters.contains(format))
                && self.owners.of(Section::Formatters, format).is_none()
            {
                missing("format", "formatter", format, Section::Formatters);
                return None;
            }
        }
        let Some(instance) = self.instance_at.get(name.as_str()).copied() else {
            if !self.known.contains(&name.as_str()) {
                let message = format!("there is no instance `{name}`");
                faults.push(FaultKind::UnknownReference, fields.span("instance"), format!("{key}.instance"), message, Some(nearest::hint(&name, &self.known)));
            }
            return None;
        };
        let id = LaneId::new(&name, &format?);
        let at = match self.lane_at.get(&id).copied() {
            Some(at) => at,
            None if self.lanes.len() == MAX_LANES => {
                let message = format!("more than {MAX_LANES} pairs of instance and format");
                faults.push(FaultKind::OutOfRange, fields.span("format"), key, message, None);
                return None;
            }
            None => {
                self.lane_at.insert(id.clone(), self.lanes.len());
                self.lanes.push(Lane { id, instance, span: fields.span("format"), key: format!("{key}.format") });
                self.lanes.len() - 1
            }
        };
        u16::try_from(at).ok().map(LaneIndex)
    }
}

/// Several keys of one condition must all hold. Parts that were faulty are left out: the file is refused.
pub(super) fn condition(fields: &Fields) -> Condition {
    let mut all: Vec<Condition> = fields.0.iter().map(|(name, value)| single(fields, name, value)).collect();
    if all.len() == 1 { all.remove(0) } else { Condition::And(all) }
}

fn single(fields: &Fields, name: &str, value: &Checked) -> Condition {
    let parts = || fields.list(name).iter().filter_map(|part| part.as_map().map(condition)).collect();
    let names = || fields.texts(name).iter().map(|name| Name::new(name)).collect();
    let words = || fields.texts(name).into_iter().map(String::into_boxed_str).collect();
    match name {
        "and" => Condition::And(parts()),
        "or" => Condition::Or(parts()),
        "not" => Condition::Not(Box::new(condition(fields.map(name)))),
        "event_type" => Condition::EventType(types(fields, name)),
        "severity" => Condition::Severity(severities(fields, name)),
        "min_severity" => Condition::MinSeverity(if let Item::Severity(severity) = value.item { severity } else { Severity::Info }),
        "security_classification" => Condition::SecurityClassification(names()),
        "compliance_profile" => Condition::ComplianceProfile(names()),
        "user_role" => Condition::UserRole(words()),
        "metadata_contains" => {
            let text = |part| fields.map(name).text(part).unwrap_or_default().into_boxed_str();
            Condition::MetadataContains { key: text("key"), value: text("value") }
        }
        "source" => Condition::Source(words()),
        "always" => Condition::Always,
        // The table has no other key.
        _ => Condition::Never,
    }
}

fn types(fields: &Fields, name: &str) -> Vec<TypeName> {
    fields.texts(name).iter().map(|name| TypeName::new(name)).collect()
}

fn severities(fields: &Fields, name: &str) -> SeveritySet {
    let one = |value: &Checked| if let Item::Severity(severity) = value.item { Some(severity) } else { None };
    fields.list(name).iter().filter_map(one).collect()
}

pub(super) fn filters(list: &[Checked]) -> Vec<FilterSettings> {
    list.iter()
        .filter_map(|filter| match &filter.item {
            Item::Tagged(kind, fields) => filter_of(kind, fields),
            _ => None,
        })
        .collect()
}

/// Nothing where a part is faulty.
fn filter_of(kind: &str, fields: &Fields) -> Option<FilterSettings> {
    Some(FilterSettings::Plain(match kind {
        "severity_threshold" => Filter::SeverityThreshold(fields.severity("min_severity")?),
        "event_type_filter" => Filter::EventType(types(fields, "allowed_types")),
        "data_classification_filter" => Filter::DataClassification(fields.texts("allowed_classifications").iter().map(|name| Name::new(name)).collect()),
        "compliance_required" => Filter::ComplianceRequired,
        "exclude_performance_metrics" => Filter::ExcludePerformanceMetrics,
        "rate_limiting" => {
            let max_events_per_second = number(fields, "max_events_per_second")?;
            let burst_capacity = number(fields, "burst_capacity").unwrap_or(max_events_per_second);
            let on_excess = if fields.text("on_excess")? == "drop" { OnExcess::Drop } else { OnExcess::Delay };
            return Some(FilterSettings::RateLimiting(RateLimit { max_events_per_second, burst_capacity, on_excess }));
        }
        _ => return None,
    }))
}

/// A count whose range in the table fits.
pub(super) fn number(fields: &Fields, name: &str) -> Option<u32> {
    fields.count(name).and_then(|count| u32::try_from(count).ok())
}
