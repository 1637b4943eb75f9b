//! What delivery calls while it works: the live view and the log of instances.

use bulkhead_core::LaneId;
use bulkhead_deliver::{Onlooker, Seen};

use super::logs::Logs;
use super::tap::Tap;

/// Both of them.
pub struct Looking {
    pub tap: Tap,
    pub logs: Logs,
}

impl Onlooker for Looking {
    fn looks(&self, instance: &str) -> bool {
        self.tap.looks(instance)
    }

    fn became(&self, lane: &LaneId, seen: &mut dyn Iterator<Item = Seen<'_>>) {
        self.tap.became(lane, seen);
    }

    fn failed(&self, lane: &LaneId, code: &'static str, text: &str) {
        self.logs.failed(lane, code, text);
    }

    fn recovered(&self, lane: &LaneId) {
        self.logs.recovered(lane);
    }
}
