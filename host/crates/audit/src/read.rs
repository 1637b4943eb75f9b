//! Looks receipts up: newest first, by what they say. Hashes are for [`verify`](crate::verify) to check.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use crate::files::files;
use crate::line::parse;
use crate::trail::TrailKind;
use crate::verify::{Lines, MARKS, Raw};

/// Which records; no condition means all receipts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this tenant: who did it, or whose instance was called.
    pub tenant: Option<String>,
    /// Receipts of these instances alone, of each from this moment on (RFC 3339 in UTC); of all where there is nothing.
    pub instances: Option<BTreeMap<String, String>>,
    pub instance: Option<String>,
    /// The trail in place of receipts.
    pub trail: bool,
    /// `deliver`, `settle`, …; what is of the other sort, and marks of the chain itself, only where named.
    pub kind: Option<String>,
    /// Who did it, and what: of the trail.
    pub actor: Option<String>,
    pub action: Option<String>,
    pub outcome: Option<Outcome>,
    /// Begun at or after, before: RFC 3339 in UTC.
    pub since: Option<String>,
    pub until: Option<String>,
    /// Only records with smaller numbers, for the next page.
    pub before: Option<u64>,
}

/// What a receipt says of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one event was accepted, is to be tried again, was rejected, waits for a confirmation.
    Accepted,
    Retry,
    Rejected,
    Pending,
    /// The call failed as a whole.
    Failed,
    /// The guest broke, or ran into a limit.
    Fault,
    Dropped,
    /// At least one exchange was refused.
    Refused,
}

impl Outcome {
    pub const ALL: [Self; 8] = [Self::Accepted, Self::Retry, Self::Rejected, Self::Pending, Self::Failed, Self::Fault, Self::Dropped, Self::Refused];

    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Rejected => "rejected",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Fault => "fault",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    fn holds(self, record: &Map<String, Value>) -> bool {
        let count = |name: &str| record.get("outcomes").and_then(|outcomes| outcomes[name].as_u64()).unwrap_or(0) > 0;
        let end = record.get("end");
        match self {
            Self::Accepted | Self::Retry | Self::Rejected | Self::Pending => count(self.name()),
            Self::Failed => end.is_some_and(|end| end["failed"].is_string()),
            Self::Fault => end.is_some_and(|end| end["fault"].is_string()),
            Self::Dropped => end.and_then(Value::as_str) == Some("dropped"),
            Self::Refused => record.get("exchanges").and_then(Value::as_array).is_some_and(|all| all.iter().any(|exchange| !exchange["refused"].is_null())),
        }
    }
}

impl Filter {
    fn of_its_sort(&self, kind: &str) -> bool {
        let trail = TrailKind::named(kind).is_some();
        if self.trail { trail } else { !trail && !MARKS.contains(&kind) }
    }

    fn holds(&self, n: u64, kind: &str, record: &Map<String, Value>) -> bool {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let when = || text("begun").or_else(|| text("at")).unwrap_or_default().trim_end_matches('Z');
        self.before.is_none_or(|before| n < before)
            && self.kind.as_deref().map_or_else(|| self.of_its_sort(kind), |wanted| wanted == kind)
            && self.actor.as_deref().is_none_or(|actor| text("actor") == Some(actor))
            && self.action.as_deref().is_none_or(|action| text("action") == Some(action))
            && self.instance.as_deref().is_none_or(|instance| text("instance") == Some(instance))
            && self.tenant.as_deref().is_none_or(|tenant| text("tenant") == Some(tenant))
            && self.instances.as_ref().is_none_or(|all| {
                let since = text("instance").and_then(|instance| all.get(instance));
                since.is_some_and(|since| when() >= since.trim_end_matches('Z'))
            })
            && self.outcome.is_none_or(|outcome| outcome.holds(record))
            // Both are UTC in one spelling, with as many digits behind the second as there are.
            && self.since.as_deref().is_none_or(|since| when() >= since.trim_end_matches('Z'))
            && self.until.as_deref().is_none_or(|until| when() < until.trim_end_matches('Z'))
    }
}

/// The newest receipts that fit, newest first, file by file from the newest. Lines that cannot be read
/// are passed over.
pub fn list(dir: &Path, filter: &Filter, limit: usize) -> io::Result<Vec<Map<String, Value>>> {
    let mut found = Vec::new();
    for (_, path) in files(dir)?.into_iter().rev() {
        if found.len() == limit {
            break;
        }
        let mut here = VecDeque::new();
        each(&path, |n, kind, record| {
            if filter.before.is_some_and(|before| n >= before) {
                return false;
            }
            if filter.holds(n, kind, &record) {
                if here.len() == limit - found.len() {
                    here.pop_front();
                }
                here.push_back(record);
            }
            true
        })?;
        found.extend(here.into_iter().rev());
    }
    Ok(found)
}

/// One record by its number.
pub fn show(dir: &Path, n: u64) -> io::Result<Option<Map<String, Value>>> {
    let mut found = None;
    for (_, path) in files(dir)?.into_iter().rev() {
        let mut first = None;
        each(&path, |at, _, record| {
            first.get_or_insert(at);
            if at == n {
                found = Some(record);
            }
            at < n
        })?;
        if found.is_some() || first.is_some_and(|first| first <= n) {
            break;
        }
    }
    Ok(found)
}

fn each(path: &Path, mut take: impl FnMut(u64, &str, Map<String, Value>) -> bool) -> io::Result<()> {
    let mut lines = match Lines::open(path, false) {
        Ok(lines) => lines,
        // Dropped meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    while let Some(raw) = lines.next()? {
        let Raw::Line(bytes) = raw else { continue };
        let Ok(line) = parse(&bytes) else { continue };
        if !take(line.n, &line.kind, line.fields) {
            return Ok(());
        }
    }
    Ok(())
}
