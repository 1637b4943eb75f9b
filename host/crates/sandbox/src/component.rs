//! Components: checked, compiled, ready to be opened under grants.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::InstancePre;

use crate::bar::Bar;
use crate::bindings::{delivering, formatting};
use crate::compile::Stopped;
use crate::inspect::{CONTRACT, InspectError, Inspection};
use crate::limits::{Limit, Watch};
use crate::linker::GrantSet;
use crate::manifest::Kind;
use crate::store::Guest;

/// Why a component cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("component `{name}`: {source}")]
    Inspect { name: String, source: InspectError },
    /// The compiler or validator refused it.
    #[error("component `{name}` does not compile: {problem}")]
    Compile { name: String, problem: String },
    #[error("component `{name}` needs a newer contract: its functions are asynchronous, those of contract {CONTRACT} are not; build it with synchronous ones")]
    Asynchronous { name: String },
    /// The compile worker ran into one of its own limits, or broke.
    #[error("compiling `{name}` {stopped}")]
    Stopped { name: String, stopped: Stopped },
    /// It was revoked; the text says by whom and why.
    #[error("{0}")]
    Revoked(String),
}

/// A loaded component; cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Loaded>);

struct Loaded {
    name: String,
    inspection: Inspection,
    bar: Arc<Bar>,
    compiled: wasmtime::component::Component,
    /// Linked and checked once for each set of grants.
    linked: Mutex<HashMap<GrantSet, Arc<Linked>>>,
}

/// A component with its imports resolved.
pub(crate) enum Linked {
    Connector(InstancePre<Guest>, delivering::GuestIndices),
    Formatter(InstancePre<Guest>, formatting::GuestIndices),
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").field("name", &self.0.name).field("digest", &self.0.inspection.digest_hex()).finish_non_exhaustive()
    }
}

impl Component {
    pub(crate) fn new(name: &str, inspection: Inspection, bar: Arc<Bar>, compiled: wasmtime::component::Component) -> Self {
        Self(Arc::new(Loaded { name: name.into(), inspection, bar, compiled, linked: Mutex::default() }))
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn kind(&self) -> Kind {
        self.0.inspection.kind
    }

    /// What was read from the bytes: imports, manifest, digest, size.
    pub fn inspection(&self) -> &Inspection {
        &self.0.inspection
    }

    /// What its instances ask before each call.
    pub(crate) fn bar(&self) -> &Arc<Bar> {
        &self.0.bar
    }

    pub(crate) fn compiled(&self) -> &wasmtime::component::Component {
        &self.0.compiled
    }

    /// The component linked for a set of grants, made by `link` the first time.
    pub(crate) fn linked<E>(&self, grants: GrantSet, link: impl FnOnce() -> Result<Linked, E>) -> Result<Arc<Linked>, E> {
        let mut linked = self.0.linked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = linked.get(&grants) {
            return Ok(Arc::clone(there));
        }
        let fresh = Arc::new(link()?);
        linked.insert(grants, Arc::clone(&fresh));
        Ok(fresh)
    }

    /// What it needs at the very start, against the limits: said before anything is allocated.
    pub(crate) fn check_limits(&self, watch: &Watch) -> Result<(), String> {
        let limits = watch.limits();
        let over = |limit: Limit, asked: u64| {
            watch.reached(limit);
            Err(format!("component `{}`: {}", self.0.name, limits.refusal(limit, asked)))
        };
        if self.0.inspection.size > limits.enforced(Limit::ComponentSize) {
            return over(Limit::ComponentSize, self.0.inspection.size);
        }
        let Some(needs) = self.0.compiled.resources_required() else { return Ok(()) };
        let memory = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(65_536);
        if memory > limits.enforced(Limit::Memory) {
            return over(Limit::Memory, memory);
        }
        if u64::from(needs.num_memories) > limits.enforced(Limit::Memories) {
            return over(Limit::Memories, needs.num_memories.into());
        }
        if u64::from(needs.num_tables) > limits.enforced(Limit::Tables) {
            return over(Limit::Tables, needs.num_tables.into());
        }
        let elements = needs.max_initial_table_size.unwrap_or(0);
        if elements > limits.enforced(Limit::TableElements) {
            return over(Limit::TableElements, elements);
        }
        Ok(())
    }
}
