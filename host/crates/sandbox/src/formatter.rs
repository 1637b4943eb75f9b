//! Formatters: a store for each; nothing reaches outside, and the same input gives the same bytes.

use std::sync::Arc;

use bulkhead_core::{BoxFuture, EventBatch, Formatted, Formatter, FormatterSource, GuestFault, OpenError, Projection, RecordFormat};
use wasmtime::Store;

use crate::bindings::formatting;
use crate::component::Linked;
use crate::connector::{Shared, gone};
use crate::convert;
use crate::store::Guest;

/// Opens formatters of one configuration.
pub(crate) struct Source {
    pub shared: Arc<Shared>,
}

/// Calls that are counted.
pub(crate) const CALLS: &[&str] = &["instantiate", "configure", "format"];

impl FormatterSource for Source {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Formatter>, OpenError>> {
        Box::pin(async move { Ok(Box::new(Instance::open(Arc::clone(&self.shared)).await?) as Box<dyn Formatter>) })
    }
}

struct Instance {
    shared: Arc<Shared>,
    store: Store<Guest>,
    exports: formatting::Guest,
    projection: Arc<Projection>,
    format: RecordFormat,
    /// False while a call runs and after a fault.
    alive: bool,
}

impl Instance {
    async fn open(shared: Arc<Shared>) -> Result<Self, OpenError> {
        let Linked::Formatter(pre, indices) = &*shared.linked else { return Err(OpenError::Unfit("the component is a connector, not a formatter".into())) };
        shared.allowed()?;
        let factory = &shared.factory;
        let mut store = factory.store()?;
        let begun = factory.begin(&mut store)?;
        let instance = begun.run(pre.instantiate_async(&mut store)).await;
        let instance = factory.end(&mut store, &begun, &shared.calls, "instantiate", instance)?;
        drop(begun);
        let exports = indices.load(&mut store, &instance).map_err(|error| OpenError::Unfit(format!("the component does not fit its world: {error:#}")))?;
        let begun = factory.begin(&mut store)?;
        let configured = begun.run(exports.call_configure(&mut store, &shared.config)).await;
        let configured = factory.end(&mut store, &begun, &shared.calls, "configure", configured)?;
        drop(begun);
        let configured = configured.map_err(|text| OpenError::Refused(convert::reason(&text, &shared.redactor)))?;
        let projection = shared.projections.of(configured.fields)?;
        let format = convert::record_format(configured.format)?;
        Ok(Self { store, exports, projection, format, alive: true, shared })
    }

    async fn call_format(&mut self, events: &EventBatch) -> Result<Formatted, GuestFault> {
        if !std::mem::replace(&mut self.alive, false) {
            return Err(gone());
        }
        let shared = Arc::clone(&self.shared);
        let begun = shared.factory.begin(&mut self.store)?;
        let result = begun.run(self.exports.call_format(&mut self.store, convert::events(events))).await;
        let made = shared.factory.end(&mut self.store, &begun, &shared.calls, "format", result)?;
        let formatted = convert::formatted(made, events.count as usize).inspect_err(|_| shared.factory.metrics.fault("contract").inc())?;
        self.alive = true;
        Ok(formatted)
    }
}

impl Formatter for Instance {
    fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    fn record_format(&self) -> &RecordFormat {
        &self.format
    }

    fn may_run(&self) -> bool {
        self.shared.bar.reason().is_none()
    }

    fn format<'a>(&'a mut self, events: &'a EventBatch) -> BoxFuture<'a, Result<Formatted, GuestFault>> {
        Box::pin(self.call_format(events))
    }
}
