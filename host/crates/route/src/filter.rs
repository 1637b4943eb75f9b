//! Filters: what does not pass is settled without delivery and counted by filter. The stateless ones are
//! plain functions of the event; a rate limit keeps a bucket, so each lane has its own chain.

use std::time::Duration;

use bulkhead_core::{Attr, EventRef, Severity, TokenBucket};

use crate::condition::View;
use crate::names::{Name, TypeName};

/// A filter without state: the same event always gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// At least this grave; an event without a severity counts as `info`.
    SeverityThreshold(Severity),
    EventType(Vec<TypeName>),
    /// An event without a classification does not pass.
    DataClassification(Vec<Name>),
    /// At least one active compliance profile.
    ComplianceRequired,
    /// Everything but performance measurements.
    ExcludePerformanceMetrics,
}

impl Filter {
    /// Its name in the configuration and in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SeverityThreshold(_) => "severity_threshold",
            Self::EventType(_) => "event_type_filter",
            Self::DataClassification(_) => "data_classification_filter",
            Self::ComplianceRequired => "compliance_required",
            Self::ExcludePerformanceMetrics => "exclude_performance_metrics",
        }
    }

    pub fn passes(&self, event: &EventRef<'_>) -> bool {
        self.passes_for(&View::new(event))
    }

    pub(crate) fn passes_for(&self, view: &View<'_>) -> bool {
        match self {
            Self::SeverityThreshold(least) => view.severity() >= *least,
            Self::EventType(types) => view.is_of(types),
            Self::DataClassification(names) => view.classified_as(names),
            Self::ComplianceRequired => view.any_of(Attr::Compliance, |profile| !profile.is_empty()),
            Self::ExcludePerformanceMetrics => !view.is_performance(),
        }
    }
}

/// What happens to an event beyond the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExcess {
    /// It waits, and those behind it too.
    #[default]
    Delay,
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub max_events_per_second: u32,
    pub burst_capacity: u32,
    pub on_excess: OnExcess,
}

/// One entry of a `filters:` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterSettings {
    Plain(Filter),
    RateLimiting(RateLimit),
}

impl FilterSettings {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain(filter) => filter.name(),
            Self::RateLimiting(_) => "rate_limiting",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Settled without delivery; the name of the filter that said so.
    Drop(&'static str),
    /// Ask again after this; nothing was counted against any rate.
    Delay(Duration),
}

/// The filters of one lane; all must pass.
#[derive(Debug, Clone, Default)]
pub struct FilterChain {
    plain: Vec<Filter>,
    limits: Vec<(TokenBucket, OnExcess)>,
}

impl FilterChain {
    /// Rate limits come last, whatever the order in the list: what another filter drops must not use up the rate.
    pub fn new<'a>(settings: impl IntoIterator<Item = &'a FilterSettings>) -> Self {
        let mut chain = Self::default();
        for filter in settings {
            match filter {
                FilterSettings::Plain(filter) => chain.plain.push(filter.clone()),
                FilterSettings::RateLimiting(limit) => {
                    chain.limits.push((TokenBucket::new(limit.max_events_per_second.into(), limit.burst_capacity.into()), limit.on_excess))
                }
            }
        }
        chain
    }

    /// Nothing to ask: the caller may skip the call.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.limits.is_empty()
    }

    pub fn check(&mut self, event: &EventRef<'_>, now: Duration) -> Verdict {
        match self.held_back(event) {
            Some(filter) => Verdict::Drop(filter),
            None => self.check_rates(now),
        }
    }

    /// The filter that holds the event back, rate limits aside.
    pub fn held_back(&self, event: &EventRef<'_>) -> Option<&'static str> {
        if self.plain.is_empty() {
            return None;
        }
        let view = View::new(event);
        self.plain.iter().find(|filter| !filter.passes_for(&view)).map(Filter::name)
    }

    /// Asks every bucket before taking from any, so that a delay or a drop costs nothing.
    fn check_rates(&mut self, now: Duration) -> Verdict {
        let mut delay = Duration::ZERO;
        for (bucket, on_excess) in &mut self.limits {
            let wait = bucket.wait(1, now);
            if wait > Duration::ZERO && *on_excess == OnExcess::Drop {
                return Verdict::Drop("rate_limiting");
            }
            delay = delay.max(wait);
        }
        if delay > Duration::ZERO {
            return Verdict::Delay(delay);
        }
        for (bucket, _) in &mut self.limits {
            bucket.pay(1);
        }
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests;
