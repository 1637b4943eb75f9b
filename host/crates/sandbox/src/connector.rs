//! Connectors: a store for each, opened under grants, dead after the first fault.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{
    BatchLimits, BoxFuture, Connector, ConnectorSource, DeliverError, Delivery, EventBatch, GuestFault, OpenError, Outcome, Projection, RecordBatch,
    RecordFormat,
};
use wasmtime::Store;

use crate::bindings::{delivering, types};
use crate::component::Linked;
use crate::convert::{self, MAX_ID};
use crate::egress::redact::Redactor;
use crate::limits::Limit;
use crate::store::{Calls, Factory, Guest};

/// Opens connectors of one instance.
pub(crate) struct Source {
    pub shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub factory: Factory,
    pub linked: Arc<Linked>,
    pub calls: Calls,
    pub config: String,
    pub redactor: Arc<Redactor>,
}

/// Calls that are counted.
pub(crate) const CALLS: &[&str] = &["instantiate", "configure", "deliver", "settle", "check", "maintain", "close"];

impl ConnectorSource for Source {
    /// Not cancel safe in itself, but nothing is lost: a dropped one was never used.
    fn open<'a>(&'a self, format: &'a RecordFormat) -> BoxFuture<'a, Result<Box<dyn Connector>, OpenError>> {
        Box::pin(async move { Ok(Box::new(Instance::open(Arc::clone(&self.shared), format).await?) as Box<dyn Connector>) })
    }
}

struct Instance {
    shared: Arc<Shared>,
    store: Store<Guest>,
    exports: delivering::Guest,
    projection: Arc<Projection>,
    limits: BatchLimits,
    /// False while a call runs and after a fault: a dropped future leaves the guest in the middle.
    alive: bool,
}

impl Instance {
    async fn open(shared: Arc<Shared>, format: &RecordFormat) -> Result<Self, OpenError> {
        let Linked::Connector(pre, indices) = &*shared.linked else { return Err(OpenError::Unfit("the component is a formatter, not a connector".into())) };
        let factory = &shared.factory;
        let mut store = factory.store()?;
        // A core start function runs here, under the same limits.
        let begun = factory.begin(&mut store)?;
        let instance = begun.run(pre.instantiate_async(&mut store)).await;
        let instance = factory.end(&mut store, &begun, &shared.calls, "instantiate", instance)?;
        drop(begun);
        let exports = indices.load(&mut store, &instance).map_err(|error| OpenError::Unfit(format!("the component does not fit its world: {error:#}")))?;
        let begun = factory.begin(&mut store)?;
        let format = types::RecordFormatParam { name: &format.name, content_type: &format.content_type };
        let configured = begun.run(exports.call_configure(&mut store, &shared.config, format)).await;
        let configured = factory.end(&mut store, &begun, &shared.calls, "configure", configured)?;
        drop(begun);
        let configured = configured.map_err(|text| OpenError::Refused(convert::reason(&text, &shared.redactor)))?;
        let projection = Arc::new(convert::projection(&configured.fields)?);
        let limits = convert::batch_limits(&configured);
        Ok(Self { store, exports, projection, limits, alive: true, shared })
    }

    /// Marks the instance as busy; [`Self::done`] brings it back.
    fn start(&mut self) -> Result<(), GuestFault> {
        if std::mem::replace(&mut self.alive, false) { Ok(()) } else { Err(gone()) }
    }

    fn done<T>(&mut self, result: Result<T, GuestFault>) -> Result<T, GuestFault> {
        self.alive = result.is_ok();
        result
    }

    async fn call_deliver(&mut self, records: &RecordBatch, events: &EventBatch, attempt: u32) -> Result<Delivery, DeliverError> {
        self.start()?;
        let shared = Arc::clone(&self.shared);
        let count = events.count as usize;
        let begun = shared.factory.begin(&mut self.store)?;
        let call = self.exports.call_deliver(&mut self.store, convert::records(records), convert::events(events), attempt);
        let result = begun.run(call).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "deliver", result);
        match self.done(result)? {
            Ok(delivery) => {
                let checked = convert::delivery(delivery, count, &shared.redactor);
                Ok(self.checked(checked)?)
            }
            Err(failure) => Err(convert::failure(failure, &shared.redactor).into()),
        }
    }

    async fn call_settle(&mut self, tokens: &[String]) -> Result<Vec<Outcome>, DeliverError> {
        self.start()?;
        let shared = Arc::clone(&self.shared);
        let texts: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let begun = shared.factory.begin(&mut self.store)?;
        let result = begun.run(self.exports.call_settle(&mut self.store, &texts)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "settle", result);
        match self.done(result)? {
            Ok(outcomes) => {
                let checked = convert::outcomes(outcomes, tokens.len(), &shared.redactor);
                Ok(self.checked(checked)?)
            }
            Err(failure) => Err(convert::failure(failure, &shared.redactor).into()),
        }
    }

    async fn call_check(&mut self) -> Result<String, DeliverError> {
        self.start()?;
        let shared = Arc::clone(&self.shared);
        let begun = shared.factory.begin(&mut self.store)?;
        let result = begun.run(self.exports.call_check(&mut self.store)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "check", result);
        match self.done(result)? {
            Ok(checked) => Ok(convert::reason(&checked.detail, &shared.redactor)),
            Err(failure) => Err(convert::failure(failure, &shared.redactor).into()),
        }
    }

    async fn call_maintain(&mut self) -> Result<Option<Duration>, DeliverError> {
        self.start()?;
        let shared = Arc::clone(&self.shared);
        let begun = shared.factory.begin_within(&mut self.store, Limit::MaintainDeadline)?;
        let result = begun.run(self.exports.call_maintain(&mut self.store)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "maintain", result);
        match self.done(result)? {
            Ok(again) => Ok(again.map(|millis| Duration::from_millis(millis.into()))),
            Err(failure) => Err(convert::failure(failure, &shared.redactor).into()),
        }
    }

    async fn call_close(&mut self) -> Result<(), GuestFault> {
        self.start()?;
        let shared = Arc::clone(&self.shared);
        let begun = shared.factory.begin_within(&mut self.store, Limit::CloseDeadline)?;
        let result = begun.run(self.exports.call_close(&mut self.store)).await;
        // It stays marked as busy: nothing may be called after this.
        shared.factory.end(&mut self.store, &begun, &shared.calls, "close", result)
    }

    /// A guest that broke the contract is dead, too.
    fn checked<T>(&mut self, result: Result<T, GuestFault>) -> Result<T, GuestFault> {
        if result.is_err() {
            self.shared.factory.metrics.fault("contract").inc();
        }
        self.done(result)
    }
}

impl Connector for Instance {
    fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    fn limits(&self) -> BatchLimits {
        self.limits
    }

    fn deliver<'a>(&'a mut self, records: &'a RecordBatch, events: &'a EventBatch, attempt: u32) -> BoxFuture<'a, Result<Delivery, DeliverError>> {
        Box::pin(self.call_deliver(records, events, attempt))
    }

    fn settle<'a>(&'a mut self, tokens: &'a [String]) -> BoxFuture<'a, Result<Vec<Outcome>, DeliverError>> {
        debug_assert!(tokens.iter().all(|token| token.len() <= MAX_ID), "tokens came from `deliver`");
        Box::pin(self.call_settle(tokens))
    }

    fn check(&mut self) -> BoxFuture<'_, Result<String, DeliverError>> {
        Box::pin(self.call_check())
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DeliverError>> {
        Box::pin(self.call_maintain())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), GuestFault>> {
        Box::pin(self.call_close())
    }
}

/// The answer of an instance after a fault or a dropped call.
pub(crate) fn gone() -> GuestFault {
    GuestFault::Trap("the instance is gone after a fault or a cancelled call; open another".into())
}
