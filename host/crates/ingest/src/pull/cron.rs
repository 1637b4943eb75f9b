//! Cron expressions in a time zone: five fields, or six with seconds in front, `L`, `#`, `W`, names of months and
//! weekdays, `@daily` and the like. The zones come with the binary.
//!
//! Promises for the days on which clocks are changed: a time that does not exist runs once, at the first moment
//! after the gap; one that exists twice runs once, the first time. An expression with `*` or a step in seconds,
//! minutes or hours means "all the time" instead: it goes on through an hour that comes twice, and leaves out what
//! does not exist. Refuses what names no time at all, and years. Pure: time is an argument.

use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

/// Longest expression in bytes.
const LONGEST: usize = 256;

#[derive(Debug, Clone)]
pub struct Cron(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: String,
    zone_name: String,
    zone: TimeZone,
    pattern: croner::Cron,
    /// No `*` and no step in seconds, minutes and hours: it names times of the day. `croner` counts only
    /// single values among these, so that `0 2,14 * * *` would be left out in a gap.
    fixed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronFault {
    #[error("{0}")]
    Expression(String),
    #[error("the expression names no time that ever comes")]
    Never,
    #[error("there is no time zone `{0}`")]
    Zone(String),
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.0.text, &self.0.zone_name) == (&other.0.text, &other.0.zone_name)
    }
}

impl Eq for Cron {}

impl std::fmt::Display for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0.text, self.0.zone_name)
    }
}

impl Cron {
    /// `zone` as the IANA database names it, such as `Europe/Berlin`; case does not matter.
    pub fn new(text: &str, zone: &str) -> Result<Self, CronFault> {
        if text.len() > LONGEST {
            return Err(CronFault::Expression(format!("the expression has {} bytes, more than {LONGEST}", text.len())));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let pattern = parser.parse(text).map_err(|error| CronFault::Expression(error.to_string()))?;
        let zone = TimeZoneDatabase::bundled().get(zone).map_err(|_| CronFault::Zone(zone.to_owned()))?;
        let zone_name = zone.iana_name().unwrap_or("UTC").to_owned();
        // As it was read, `@daily` and names written out.
        let fields = pattern.to_string();
        let clock = fields.split_whitespace().rev().skip(3);
        let fixed = !clock.into_iter().any(|field| field.contains(['*', '/']));
        let cron = Self(Arc::new(Inner { text: text.to_owned(), zone_name, zone, pattern, fixed }));
        match cron.next(0) {
            Some(_) => Ok(cron),
            None => Err(CronFault::Never),
        }
    }

    pub fn text(&self) -> &str {
        &self.0.text
    }

    pub fn zone(&self) -> &str {
        &self.0.zone_name
    }

    /// In plain words.
    pub fn words(&self) -> String {
        self.0.pattern.describe()
    }

    /// The first time after this one, both in milliseconds since 1970.
    pub fn next(&self, after_ms: i64) -> Option<i64> {
        let after = Timestamp::from_second(after_ms.div_euclid(1000)).ok()?;
        let next = if self.0.fixed { self.next_fixed(after)? } else { self.next_of_many(after)? };
        next.as_second().checked_mul(1000)
    }

    fn next_of_many(&self, after: Timestamp) -> Option<Timestamp> {
        self.0.pattern.find_next_occurrence(&after.to_zoned(self.0.zone.clone()), false).ok().map(|next| next.timestamp())
    }

    /// On the clock of the wall, which knows no gaps and nothing twice, and from there to the moment.
    fn next_fixed(&self, after: Timestamp) -> Option<Timestamp> {
        let mut civil = self.0.zone.to_datetime(after);
        loop {
            civil = self.0.pattern.find_next_occurrence::<DateTime>(&civil, false).ok()?;
            let moment = self.moment(civil)?;
            // Not so for what came to pass before: in the second of two hours, all times of the first.
            if moment > after {
                return Some(moment);
            }
        }
    }

    /// The first of two; in a gap, its end.
    fn moment(&self, civil: DateTime) -> Option<Timestamp> {
        let found = self.0.zone.to_ambiguous_timestamp(civil);
        match found.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => found.earlier().ok(),
            // Read with the offset that comes, it lies before the change.
            AmbiguousOffset::Gap { .. } => self.0.zone.following(found.earlier().ok()?).next().map(|change| change.timestamp()),
        }
    }
}

/// Names of all time zones that are known.
pub fn zones() -> Vec<String> {
    TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests;
