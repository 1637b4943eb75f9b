//! The one place where stores are made, and where calls begin and end: fuel, epochs, deadline, memory
//! and host-call data are set for each call, and before instantiation.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{Clock, GuestFault};
use bulkhead_observe::GuestMetrics;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bill::{Bill, Held};
use crate::capabilities::Capabilities;
use crate::capture::Tape;
use crate::engine::{Running, TICK, Ticker, Ticking};
use crate::fault::{self, Reached};
use crate::host::log::{GuestLog, InstanceLog};
use crate::host::wasi_http::WasiHttpState;
use crate::limiter::Limiter;
use crate::limits::{Limit, Limits, Watch};
use crate::wasi::{self, Times};

/// Fuel that is used before the engine writes down that it was: of a guest that is stopped in the middle as
/// much may go unbilled. Each step gives the thread back once.
const FUEL_STEP: u64 = 5_000_000;

/// What a store holds beside the guest.
pub struct Guest {
    wasi: WasiCtx,
    wasi_http: WasiHttpState,
    table: ResourceTable,
    pub limiter: Limiter,
    pub meter: Meter,
    pub log: Arc<GuestLog>,
    /// What a connector may reach; nothing for formatters.
    pub capabilities: Option<Arc<Capabilities>>,
    /// When the running call ends, whatever happens.
    pub deadline: Instant,
    /// What the running call costs; host functions add to it.
    pub bill: Arc<Bill>,
    /// Where calls of host functions are kept, or answered from.
    pub tape: Tape,
    held: Held,
    times: Arc<Times>,
}

impl Drop for Guest {
    /// Bills the memory up to now, and the call that was dropped in the middle.
    fn drop(&mut self) {
        self.held.book(self.limiter.bytes());
        self.bill.book(self.held.costs());
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Guest {
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub fn table_and_meter(&mut self) -> (&mut ResourceTable, &mut Meter) {
        (&mut self.table, &mut self.meter)
    }

    pub fn wasi_http_and_table(&mut self) -> (&mut WasiHttpState, &mut ResourceTable) {
        (&mut self.wasi_http, &mut self.table)
    }
}

/// Processor time of one call, counted in ticks: one for each tick that finds the guest running, and
/// those that pass while a host function works. What a host function waits is taken out.
#[derive(Debug)]
pub struct Meter {
    ticker: Arc<Ticker>,
    used: u64,
    budget: u64,
    entered: u64,
    waited: u64,
    /// Host functions called in this call, and how many may be.
    calls: u64,
    most_calls: u64,
}

impl Meter {
    /// Begins a wait in a host function; [`Self::waited`] ends it.
    pub fn wait(&self) -> u64 {
        self.ticker.now()
    }

    pub fn waited(&mut self, since: u64) {
        self.waited += self.ticker.now().saturating_sub(since);
    }

    /// False where the guest has called the host too often.
    fn enter_host(&mut self) -> bool {
        self.entered = self.ticker.now();
        self.waited = 0;
        self.calls += 1;
        self.calls <= self.most_calls
    }

    /// True where the epoch deadline is to be set anew, because the ticks that passed were waits.
    fn leave_host(&mut self) -> bool {
        let elapsed = self.ticker.now().saturating_sub(self.entered);
        let worked = elapsed.saturating_sub(self.waited);
        if elapsed == 0 {
            return false;
        }
        // The next check of the guest counts one tick itself.
        self.used += worked.saturating_sub(1);
        worked == 0
    }

    fn tick(&mut self) -> bool {
        self.used += 1;
        self.used <= self.budget
    }
}

/// What makes the stores of one instance.
pub struct Factory {
    pub ticking: Ticking,
    pub limits: Arc<Limits>,
    pub watch: Arc<Watch>,
    pub log: Arc<InstanceLog>,
    pub metrics: GuestMetrics,
    pub capabilities: Option<Arc<Capabilities>>,
    pub clock: Arc<dyn Clock>,
}

/// Handles to the counters of each call, looked up once.
pub struct Calls {
    metrics: GuestMetrics,
    counts: Vec<(&'static str, prometheus::IntCounter)>,
}

impl Calls {
    pub fn new(metrics: &GuestMetrics, names: &[&'static str]) -> Self {
        Self { metrics: metrics.clone(), counts: names.iter().map(|name| (*name, metrics.call(name))).collect() }
    }
}

impl Factory {
    /// A fresh store, ready for instantiation.
    pub fn store(&self) -> Result<Store<Guest>, GuestFault> {
        let log = Arc::new(GuestLog::new(Arc::clone(&self.log)));
        let times = Arc::new(Times::default());
        let grants = self.capabilities.as_ref().map(|capabilities| &capabilities.machine);
        let wasi = wasi::context(&log, &times, grants, &self.clock)?;
        let wasi_http = grants.filter(|grants| grants.wasi_http).map(|_| WasiHttpState::new(self.capabilities.clone(), &self.limits));
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.size(Limit::Handles));
        let budget = self.limits.enforced(Limit::Cpu).div_ceil(u64::try_from(TICK.as_millis()).unwrap_or(1)).max(1);
        let guest = Guest {
            wasi,
            wasi_http: wasi_http.unwrap_or_else(|| WasiHttpState::new(None, &self.limits)),
            table,
            limiter: Limiter::new(&self.limits),
            meter: Meter {
                ticker: Arc::clone(self.ticking.ticker()),
                used: 0,
                budget,
                entered: 0,
                waited: 0,
                calls: 0,
                most_calls: self.limits.enforced(Limit::HostCalls),
            },
            log,
            capabilities: self.capabilities.clone(),
            deadline: Instant::now(),
            bill: Arc::default(),
            tape: Tape::default(),
            held: Held::new(Arc::clone(&self.clock), Arc::clone(&self.metrics.costs)),
            times,
        };
        let mut store = Store::new(&self.ticking.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        store.fuel_async_yield_interval(Some(FUEL_STEP)).map_err(|error| fault::of(&error, None, &self.limits))?;
        store.set_hostcall_fuel(self.limits.size(Limit::HostcallData));
        store.set_max_component_handles(self.limits.size(Limit::Handles));
        store.call_hook(|mut store, hook| {
            match hook {
                CallHook::CallingHost => {
                    let guest = store.data_mut();
                    guest.bill.leave_guest();
                    if !guest.meter.enter_host() {
                        return Err(Reached(Limit::HostCalls).into());
                    }
                }
                CallHook::ReturningFromHost => {
                    if store.data_mut().meter.leave_host() {
                        store.set_epoch_deadline(1);
                    }
                    store.data().bill.enter_guest();
                }
                CallHook::CallingWasm => store.data().bill.enter_guest(),
                CallHook::ReturningFromWasm => store.data().bill.leave_guest(),
            }
            Ok(())
        });
        store.epoch_deadline_callback(|mut store| {
            if !store.data_mut().meter.tick() {
                return Err(Reached(Limit::Cpu).into());
            }
            // Gives the thread back, timers and sockets included; a spinner holds it for one tick.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        Ok(store)
    }

    /// Arms all limits for one call. Until [`Self::end`] the store counts as running.
    pub fn begin(&self, store: &mut Store<Guest>) -> Result<Begun, GuestFault> {
        self.begin_within(store, Limit::Deadline)
    }

    /// As [`Self::begin`], with the wall time of another limit.
    pub fn begin_within(&self, store: &mut Store<Guest>, limit: Limit) -> Result<Begun, GuestFault> {
        store.set_fuel(self.limits.enforced(Limit::Fuel)).map_err(|error| fault::of(&error, None, &self.limits))?;
        store.set_epoch_deadline(1);
        let deadline = Instant::now() + self.limits.time(limit);
        let connector = self.capabilities.is_some();
        let guest = store.data_mut();
        guest.held.book(guest.limiter.bytes());
        guest.bill.open();
        guest.deadline = deadline;
        guest.meter.used = 0;
        guest.meter.calls = 0;
        guest.limiter.forget();
        guest.log.begin();
        if connector {
            guest.times.set(&*self.clock);
        }
        Ok(Begun { deadline, limit, bill: Arc::clone(&store.data().bill), started: self.clock.monotonic(), _running: self.ticking.ticker().run() })
    }

    /// Books what the call used and turns its end into a result.
    pub fn end<T>(
        &self,
        store: &mut Store<Guest>,
        begun: &Begun,
        calls: &Calls,
        call: &'static str,
        result: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, GuestFault> {
        let fuel = self.limits.enforced(Limit::Fuel).saturating_sub(store.get_fuel().unwrap_or(0));
        let guest = store.data_mut();
        guest.log.end();
        guest.held.book(guest.limiter.bytes());
        guest.bill.used_fuel(fuel);
        guest.bill.book(guest.held.costs());
        let elapsed = self.clock.monotonic().saturating_sub(begun.started);
        calls.metrics.fuel.inc_by(fuel);
        calls.metrics.seconds.observe(elapsed.as_secs_f64());
        self.watch.note(Limit::Fuel, fuel);
        self.watch.note(Limit::Cpu, guest.meter.used.saturating_mul(millis(TICK)));
        self.watch.note(begun.limit, millis(elapsed));
        self.watch.note(Limit::HostCalls, guest.meter.calls);
        for (limit, amount) in guest.limiter.over() {
            self.watch.note(limit, amount);
        }
        calls.metrics.memory.set(i64::try_from(guest.limiter.bytes()).unwrap_or(i64::MAX));
        if let Some((_, count)) = calls.counts.iter().find(|(name, _)| *name == call) {
            count.inc();
        }
        let outcome = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => {
                let fault = fault::of(&error, Some(guest), &self.limits);
                if let Some(limit) = fault::limit(&error, &fault) {
                    self.watch.reached(limit);
                }
                fault
            }
            Err(_elapsed) => {
                self.watch.reached(begun.limit);
                self.limits.fault(begun.limit)
            }
        };
        calls.metrics.fault(fault::label(&outcome)).inc();
        Err(outcome)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A call that runs.
pub struct Begun {
    deadline: Instant,
    /// The limit that the deadline comes from.
    limit: Limit,
    bill: Arc<Bill>,
    started: Duration,
    _running: Running,
}

impl Begun {
    /// Drives the call to its end, or to its deadline, and keeps its bill. Not cancel safe: the guest
    /// stays in the middle.
    pub async fn run<T>(&self, call: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut call = pin!(timeout_at(self.deadline, call));
        poll_fn(|context| self.bill.poll(|| call.as_mut().poll(context))).await
    }
}
