//! What is in force: a configuration, the rules in it, and the instances that were built from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::LaneId;
use bulkhead_route::{Filter, LaneIndex, Route, Router, RouterError};

use crate::config::Config;
use crate::guests::Built;

/// The rules of a configuration; a router is made from them each time, since it is no value to keep.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub routes: Vec<Route>,
    pub default_route: Vec<LaneIndex>,
    pub filters: Vec<Filter>,
    pub lanes: Vec<LaneId>,
}

impl Rules {
    pub fn router(&self) -> Result<Router, RouterError> {
        Router::new(self.routes.clone(), &self.default_route, self.filters.clone(), self.lanes.len())
    }

    /// Each lane's place as the rules count them.
    pub fn places(&self) -> HashMap<LaneId, LaneIndex> {
        self.lanes.iter().enumerate().map(|(at, lane)| (lane.clone(), LaneIndex(u16::try_from(at).unwrap_or(u16::MAX)))).collect()
    }
}

/// A configuration in force.
#[derive(Clone)]
pub(super) struct Current {
    pub rules: Rules,
    pub instances: BTreeMap<Arc<str>, Built>,
    pub drain: Duration,
    /// As a whole: instances are built from it again when their component changes.
    pub config: Arc<Config>,
}

impl Current {
    pub fn new(config: &Arc<Config>, built: &[Built]) -> Self {
        let lanes = config.lanes.iter().map(|lane| lane.id.clone()).collect();
        Self {
            rules: Rules { routes: config.routes.clone(), default_route: config.default_route.clone(), filters: config.filters.clone(), lanes },
            instances: built.iter().map(|built| (Arc::clone(&built.settings.name), built.clone())).collect(),
            drain: config.drain,
            config: Arc::clone(config),
        }
    }
}
