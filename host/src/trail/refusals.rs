//! Refusals summed up: the first of a sort is on record at once, those of the minute after it in one sum.
//! A sort is who, from where, and why not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bulkhead_core::Tenant;
use serde_json::{Value, json};

/// Sorts that are told apart; what goes beyond is counted together.
const MOST: usize = 1_024;
const MINUTE: Duration = Duration::from_secs(60);

/// A request that was not let through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Nobody where it is not known who it was.
    pub actor: Option<String>,
    /// Whose they are, where they are somebody's.
    pub tenant: Option<Tenant>,
    pub from: Option<IpAddr>,
    /// The code that the answer carries.
    pub code: &'static str,
    pub status: u16,
    /// What was missing.
    pub permission: Option<&'static str>,
}

impl Refusal {
    pub fn about(&self) -> Value {
        json!({"actor": self.actor, "tenant": self.tenant.as_ref().map(Tenant::as_str), "from": self.from, "code": self.code, "status": self.status, "permission": self.permission})
    }

    /// All that were too many to be told apart.
    fn others() -> Self {
        Self { actor: None, tenant: None, from: None, code: "several", status: 0, permission: None }
    }
}

/// Refusals of one sort that are not on record one by one.
#[derive(Debug, PartialEq, Eq)]
pub struct Sum {
    pub refusal: Refusal,
    pub count: u64,
}

#[derive(Debug)]
struct Counted {
    since: Duration,
    count: u64,
}

#[derive(Debug, Default)]
pub struct Refusals {
    by_sort: HashMap<Refusal, Counted>,
    others: u64,
}

impl Refusals {
    /// Whether it is to be put on record by itself; otherwise it is counted.
    pub fn first(&mut self, refusal: Refusal, now: Duration) -> bool {
        if let Some(counted) = self.by_sort.get_mut(&refusal) {
            counted.count += 1;
            return false;
        }
        if self.by_sort.len() >= MOST {
            self.others += 1;
            return false;
        }
        self.by_sort.insert(refusal, Counted { since: now, count: 0 });
        true
    }

    /// The sums whose minute is over, all of them where no time is given. A sort that goes on is counted for another
    /// minute, one that was quiet is forgotten.
    pub fn due(&mut self, now: Option<Duration>) -> Vec<Sum> {
        let mut due = Vec::new();
        self.by_sort.retain(|refusal, counted| {
            if now.is_some_and(|now| now.saturating_sub(counted.since) < MINUTE) {
                return true;
            }
            let count = std::mem::take(&mut counted.count);
            if count > 0 {
                due.push(Sum { refusal: refusal.clone(), count });
            }
            counted.since = now.unwrap_or_default();
            count > 0
        });
        let others = std::mem::take(&mut self.others);
        if others > 0 {
            due.push(Sum { refusal: Refusal::others(), count: others });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(n: u32) -> Refusal {
        Refusal { actor: None, tenant: None, from: Some(std::net::Ipv4Addr::from_bits(n).into()), code: "unauthorized", status: 401, permission: None }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_is_told_and_a_flood_is_summed_up() {
        let mut refusals = Refusals::default();
        assert!(refusals.first(from(1), at(0)));
        for second in 0..50 {
            assert!(!refusals.first(from(1), at(second)));
        }
        assert!(refusals.first(from(2), at(50)), "another place is another sort");
        assert_eq!(refusals.due(Some(at(59))), []);
        assert_eq!(refusals.due(Some(at(60))), [Sum { refusal: from(1), count: 50 }]);
        assert!(!refusals.first(from(1), at(61)), "it went on");
        assert_eq!(refusals.due(Some(at(120))), [Sum { refusal: from(1), count: 1 }]);
        assert_eq!(refusals.due(Some(at(240))), []);
        assert!(refusals.first(from(1), at(241)) && refusals.first(from(2), at(241)), "they were quiet");
        assert!(!refusals.first(from(2), at(242)));
        assert_eq!(refusals.due(None), [Sum { refusal: from(2), count: 1 }], "the end waits for no minute");
    }

    #[test]
    fn what_cannot_be_told_apart_is_counted_together() {
        let mut refusals = Refusals::default();
        let told = (0..2 * MOST as u32).filter(|n| refusals.first(from(*n), at(0))).count();
        assert_eq!(told, MOST);
        assert_eq!(refusals.due(Some(at(1))), [Sum { refusal: Refusal::others(), count: MOST as u64 }]);
        assert_eq!(refusals.due(Some(at(60))), []);
        assert!(refusals.by_sort.is_empty());
    }
}
