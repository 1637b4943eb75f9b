//! Connectors: a store for each, opened under grants, dead after the first fault.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{
    BatchLimits, BoxFuture, Connector, ConnectorSource, DeliverError, Delivery, EventBatch, GuestFault, Inbound, OpenError, Outcome, Page, Projection,
    RecordBatch, RecordFormat, Reply,
    receipt::{About, Outcomes},
};
use wasmtime::Store;

use crate::attempt::{self, Attempt, Receipts};
use crate::bar::Bar;
use crate::bill::Bill;
use crate::bindings::{delivering, types};
use crate::capture::{self, Recording, Tape};
use crate::component::{Component, Linked};
use crate::convert::{self, MAX_ID, Projections};
use crate::egress::redact::Redactor;
use crate::limits::Limit;
use crate::reply;
use crate::store::{Calls, Factory, Guest};

/// Opens connectors of one instance.
pub(crate) struct Source {
    pub shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub bar: Arc<Bar>,
    pub factory: Factory,
    pub linked: Arc<Linked>,
    pub calls: Calls,
    pub config: String,
    pub projections: Projections,
    pub redactor: Arc<Redactor>,
    /// Where receipts go; none for formatters.
    pub receipts: Option<Arc<Receipts>>,
    pub component: Component,
    pub recording: Recording,
}

impl Shared {
    /// Refuses once the component was revoked.
    pub fn allowed(&self) -> Result<(), OpenError> {
        self.bar.reason().map_or(Ok(()), |reason| Err(OpenError::Revoked(reason.to_string())))
    }
}

/// Calls that are counted.
pub(crate) const CALLS: &[&str] = &["instantiate", "configure", "deliver", "settle", "check", "receive", "pull", "query", "maintain", "close"];

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
    /// What the next call is about.
    about: Option<About>,
    /// The store's.
    bill: Arc<Bill>,
    /// What deliveries are kept with.
    format: RecordFormat,
    fields: Vec<String>,
    delivered: u64,
}

impl Instance {
    async fn open(shared: Arc<Shared>, format: &RecordFormat) -> Result<Self, OpenError> {
        let Linked::Connector(pre, indices) = &*shared.linked else { return Err(OpenError::Unfit("the component is a formatter, not a connector".into())) };
        shared.allowed()?;
        let factory = &shared.factory;
        let mut store = factory.store()?;
        if let Recording::Played(playback) = &shared.recording {
            store.data_mut().tape = Tape::Playing(Arc::clone(playback));
        }
        let bill = Arc::clone(&store.data().bill);
        let attempt = Attempt::begin(&shared, &bill, "instantiate").await;
        // A core start function runs here, under the same limits.
        let begun = factory.begin(&mut store)?;
        let instance = begun.run(pre.instantiate_async(&mut store)).await;
        let instance = attempt::kept(attempt, factory.end(&mut store, &begun, &shared.calls, "instantiate", instance))?;
        drop(begun);
        let exports = indices.load(&mut store, &instance).map_err(|error| OpenError::Unfit(format!("the component does not fit its world: {error:#}")))?;
        let attempt = Attempt::begin(&shared, &bill, "configure").await;
        let begun = factory.begin(&mut store)?;
        let handed = format.clone();
        let format = types::RecordFormatParam { name: &format.name, content_type: &format.content_type };
        let configured = begun.run(exports.call_configure(&mut store, &shared.config, format)).await;
        let configured = attempt::kept(attempt, factory.end(&mut store, &begun, &shared.calls, "configure", configured))?;
        drop(begun);
        let configured = configured.map_err(|text| OpenError::Refused(convert::reason(&text, &shared.redactor)))?;
        let limits = convert::batch_limits(&configured);
        let fields = configured.fields.clone();
        let projection = shared.projections.of(configured.fields)?;
        if let Recording::Played(playback) = &shared.recording {
            playback.configured(&fields);
        }
        Ok(Self { store, exports, projection, limits, alive: true, about: None, bill, format: handed, fields, delivered: 0, shared })
    }

    fn alive(&self) -> Result<(), GuestFault> {
        if self.alive { Ok(()) } else { Err(gone()) }
    }

    /// Marks the instance as busy; [`Self::done`] brings it back.
    fn start(&mut self) -> Result<(), GuestFault> {
        if std::mem::replace(&mut self.alive, false) { Ok(()) } else { Err(gone()) }
    }

    fn done<T>(&mut self, result: Result<T, GuestFault>) -> Result<T, GuestFault> {
        self.alive = result.is_ok();
        result
    }

    async fn call_deliver(&mut self, records: &RecordBatch, events: &EventBatch, number: u32) -> Result<Delivery, DeliverError> {
        let shared = Arc::clone(&self.shared);
        self.alive()?;
        let attempt = Attempt::begin(&shared, &self.bill, "deliver").await.map(|attempt| attempt.of(self.about.take(), events.count, number));
        self.start()?;
        let count = events.count as usize;
        let kept = self.capture();
        let at = shared.factory.clock.unix_nanos();
        let begun = shared.factory.begin(&mut self.store)?;
        let call = self.exports.call_deliver(&mut self.store, convert::records(records), convert::events(events), number);
        let result = begun.run(call).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "deliver", result);
        let answer = match self.done(result) {
            Ok(Ok(delivery)) => {
                let checked = convert::delivery(delivery, count, &shared.redactor);
                self.checked(checked).map_err(DeliverError::from)
            }
            Ok(Err(failure)) => Err(convert::failure(failure, &shared.redactor).into()),
            Err(fault) => Err(fault.into()),
        };
        attempt::answered(attempt, &answer, |delivery| attempt::delivered(delivery, events.count));
        if let Some(generation) = kept {
            self.keep(generation, records, events, number, at, &answer);
        }
        self.delivered += 1;
        answer
    }

    /// For which request the delivery that begins is to be kept, if for any.
    fn capture(&mut self) -> Option<u64> {
        match &self.shared.recording {
            Recording::Off => None,
            Recording::Kept(capturing) => {
                let kept = capturing.captures.begin(&*self.shared.factory.clock);
                if kept.is_some() {
                    self.store.data_mut().tape = Tape::keeping();
                }
                kept
            }
            Recording::Played(playback) => {
                playback.begin();
                None
            }
        }
    }

    fn keep(&mut self, generation: u64, records: &RecordBatch, events: &EventBatch, number: u32, at: u64, answer: &Result<Delivery, DeliverError>) {
        let Recording::Kept(capturing) = &self.shared.recording else { return };
        let tape = std::mem::take(&mut self.store.data_mut().tape);
        let begun = capture::Begun {
            instance: self.shared.factory.capabilities.as_ref().map_or("", |capabilities| &capabilities.instance),
            component: &self.shared.component,
            format: &self.format,
            fields: &self.fields,
            before: self.delivered,
            at,
            number,
        };
        let (captured, bytes) = begun.captured(capturing, records, events, tape, answer);
        capturing.captures.keep(generation, captured, bytes);
    }

    async fn call_settle(&mut self, tokens: &[String]) -> Result<Vec<Outcome>, DeliverError> {
        let shared = Arc::clone(&self.shared);
        let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        self.alive()?;
        let attempt = Attempt::begin(&shared, &self.bill, "settle").await.map(|attempt| attempt.of(self.about.take(), count, 0));
        self.start()?;
        let texts: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let begun = shared.factory.begin(&mut self.store)?;
        let result = begun.run(self.exports.call_settle(&mut self.store, &texts)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "settle", result);
        let answer = match self.done(result) {
            Ok(Ok(outcomes)) => {
                let checked = convert::outcomes(outcomes, tokens.len(), &shared.redactor);
                self.checked(checked).map_err(DeliverError::from)
            }
            Ok(Err(failure)) => Err(convert::failure(failure, &shared.redactor).into()),
            Err(fault) => Err(fault.into()),
        };
        attempt::answered(attempt, &answer, |outcomes| attempt::counted(outcomes));
        answer
    }

    async fn call_check(&mut self) -> Result<String, DeliverError> {
        let shared = Arc::clone(&self.shared);
        self.alive()?;
        let attempt = Attempt::begin(&shared, &self.bill, "check").await;
        self.start()?;
        let begun = shared.factory.begin(&mut self.store)?;
        let result = begun.run(self.exports.call_check(&mut self.store)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "check", result);
        let answer = match self.done(result) {
            Ok(Ok(checked)) => Ok(convert::reason(&checked.detail, &shared.redactor)),
            Ok(Err(failure)) => Err(convert::failure(failure, &shared.redactor).into()),
            Err(fault) => Err(fault.into()),
        };
        attempt::answered(attempt, &answer, |_| Outcomes::default());
        answer
    }

    async fn call_receive(&mut self, request: &Inbound) -> Result<Reply, DeliverError> {
        let shared = Arc::clone(&self.shared);
        self.alive()?;
        let attempt = Attempt::begin(&shared, &self.bill, "receive").await.map(Attempt::always);
        self.start()?;
        let begun = shared.factory.begin(&mut self.store)?;
        let headers: Vec<(&str, &[u8])> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let parts = delivering::Inbound { method: &request.method, path: &request.path, headers: &headers, body: &request.body };
        let result = begun.run(self.exports.call_receive(&mut self.store, parts)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "receive", result);
        let answer = match self.done(result) {
            Ok(Ok(made)) => self.checked(reply::reply(made)).map_err(DeliverError::from),
            Ok(Err(failure)) => Err(convert::failure(failure, &shared.redactor).into()),
            Err(fault) => Err(fault.into()),
        };
        attempt::answered(attempt, &answer, |_| Outcomes::default());
        answer
    }

    async fn call_pull(&mut self, cursor: &[u8]) -> Result<Page, DeliverError> {
        let shared = Arc::clone(&self.shared);
        self.alive()?;
        let attempt = Attempt::begin(&shared, &self.bill, "pull").await;
        self.start()?;
        let begun = shared.factory.begin(&mut self.store)?;
        let result = begun.run(self.exports.call_pull(&mut self.store, cursor)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "pull", result);
        let answer = match self.done(result) {
            Ok(Ok(page)) => self.checked(reply::page(page)).map_err(DeliverError::from),
            Ok(Err(failure)) => Err(convert::failure(failure, &shared.redactor).into()),
            Err(fault) => Err(fault.into()),
        };
        attempt::answered(attempt, &answer, |_| Outcomes::default());
        answer
    }

    async fn call_query(&mut self, operation: &str, parameters: &str) -> Result<String, DeliverError> {
        let shared = Arc::clone(&self.shared);
        self.alive()?;
        let attempt = Attempt::begin(&shared, &self.bill, "query").await;
        self.start()?;
        let begun = shared.factory.begin(&mut self.store)?;
        let result = begun.run(self.exports.call_query(&mut self.store, operation, parameters)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "query", result);
        let answer = match self.done(result) {
            Ok(Ok(text)) => self.checked(reply::answer(text)).map_err(DeliverError::from),
            Ok(Err(failure)) => Err(convert::failure(failure, &shared.redactor).into()),
            Err(fault) => Err(fault.into()),
        };
        attempt::answered(attempt, &answer, |_| Outcomes::default());
        answer
    }

    async fn call_maintain(&mut self) -> Result<Option<Duration>, DeliverError> {
        self.alive()?;
        let shared = Arc::clone(&self.shared);
        let attempt = Attempt::begin(&shared, &self.bill, "maintain").await;
        self.start()?;
        let begun = shared.factory.begin_within(&mut self.store, Limit::MaintainDeadline)?;
        let result = begun.run(self.exports.call_maintain(&mut self.store)).await;
        let result = shared.factory.end(&mut self.store, &begun, &shared.calls, "maintain", result);
        let answer = match self.done(result) {
            Ok(Ok(again)) => Ok(again.map(|millis| Duration::from_millis(millis.into()))),
            Ok(Err(failure)) => Err(convert::failure(failure, &shared.redactor).into()),
            Err(fault) => Err(fault.into()),
        };
        attempt::answered(attempt, &answer, |_| Outcomes::default());
        answer
    }

    async fn call_close(&mut self) -> Result<(), GuestFault> {
        self.alive()?;
        let shared = Arc::clone(&self.shared);
        let attempt = Attempt::begin(&shared, &self.bill, "close").await;
        self.start()?;
        let begun = shared.factory.begin_within(&mut self.store, Limit::CloseDeadline)?;
        let result = begun.run(self.exports.call_close(&mut self.store)).await;
        // It stays marked as busy: nothing may be called after this.
        attempt::kept(attempt, shared.factory.end(&mut self.store, &begun, &shared.calls, "close", result))
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

    fn about(&mut self, about: About) {
        self.about = Some(about);
    }

    fn may_run(&self) -> bool {
        self.shared.bar.reason().is_none()
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

    fn receive<'a>(&'a mut self, request: &'a Inbound) -> BoxFuture<'a, Result<Reply, DeliverError>> {
        Box::pin(self.call_receive(request))
    }

    fn pull<'a>(&'a mut self, cursor: &'a [u8]) -> BoxFuture<'a, Result<Page, DeliverError>> {
        Box::pin(self.call_pull(cursor))
    }

    fn query<'a>(&'a mut self, operation: &'a str, parameters: &'a str) -> BoxFuture<'a, Result<String, DeliverError>> {
        Box::pin(self.call_query(operation, parameters))
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
