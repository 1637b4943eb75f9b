//! What WASI shows a guest: nothing of the machine, unless it was granted. Clocks stand at the time of
//! the call (formatters: at 0), random numbers repeat from a seed, there are no files, no arguments, no
//! environment; standard output is the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bulkhead_core::{Clock, GuestFault};
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_io::bindings::wasi::io::poll;
use wasmtime_wasi_io::poll::DynPollable;

use crate::host::log::{GuestLog, Level};
use crate::host::stdio::Stdio;
use crate::store::{Guest, Meter};

/// Most random bytes in one call.
pub const MAX_RANDOM: u64 = 64 << 10;

/// What an operator lets a connector see of the machine, WASI's own HTTP, and names of metrics without
/// a prefix. Nothing by default; formatters never get any of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineGrants {
    /// Clocks that go on within a call.
    pub clocks: bool,
    /// Random numbers that cannot be guessed.
    pub random: bool,
    /// `wasi:http`, to the same destinations as `http`.
    pub wasi_http: bool,
    /// Its metrics under their own names, beside those of the host.
    pub plain_metrics: bool,
    /// The whole environment; never the host's own.
    pub env: Vec<(String, String)>,
}

/// The clocks of a guest stand still within a call.
#[derive(Debug, Default)]
pub struct Times {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl Times {
    /// Sets both to now; they stay there until the next call.
    pub fn set(&self, clock: &dyn Clock) {
        self.wall.store(clock.unix_nanos(), Ordering::Relaxed);
        self.monotonic.store(nanos(clock.monotonic()), Ordering::Relaxed);
    }
}

struct Standing(Arc<Times>);
struct Real(Arc<dyn Clock>);

const RESOLUTION: Duration = Duration::from_millis(1);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.wall.load(Ordering::Relaxed))
    }
}

impl HostMonotonicClock for Standing {
    fn resolution(&self) -> u64 {
        nanos(RESOLUTION)
    }

    fn now(&self) -> u64 {
        self.0.monotonic.load(Ordering::Relaxed)
    }
}

impl HostWallClock for Real {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.unix_nanos())
    }
}

impl HostMonotonicClock for Real {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        nanos(self.0.monotonic())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The context of one store. Formatters, which have no grants, get a constant seed, so that the same
/// input gives the same bytes; connectors one of their own, against floods of colliding hashes.
pub fn context(log: &Arc<GuestLog>, times: &Arc<Times>, grants: Option<&MachineGrants>, clock: &Arc<dyn Clock>) -> Result<WasiCtx, GuestFault> {
    let mut builder = WasiCtxBuilder::new();
    builder.stdout(Stdio { log: Arc::clone(log), level: Level::Info }).stderr(Stdio { log: Arc::clone(log), level: Level::Warn }).max_random_size(MAX_RANDOM);
    if !grants.is_some_and(|grants| grants.random) {
        let mut seed = [0x5a; 32];
        if grants.is_some() {
            getrandom::fill(&mut seed).map_err(|error| GuestFault::Trap(format!("the machine gives no random numbers: {error}")))?;
        }
        let half = seed.first_chunk::<16>().copied().unwrap_or_default();
        builder
            .secure_random(Deterministic::new(seed.to_vec()))
            .insecure_random(Deterministic::new(seed.to_vec()))
            .insecure_random_seed(u128::from_le_bytes(half));
    }
    if grants.is_some_and(|grants| grants.clocks) {
        builder.wall_clock(Real(Arc::clone(clock))).monotonic_clock(Real(Arc::clone(clock)));
    } else {
        builder.wall_clock(Standing(Arc::clone(times))).monotonic_clock(Standing(Arc::clone(times)));
    }
    for (name, value) in grants.map(|grants| grants.env.as_slice()).unwrap_or_default() {
        builder.env(name, value);
    }
    Ok(builder.build())
}

/// `wasi:io/poll` where waiting is no processor time of the guest: it ends at the call's deadline.
pub struct Polling<'a> {
    pub table: &'a mut ResourceTable,
    pub meter: &'a mut Meter,
}

/// How the linker reaches it.
pub struct HasPolling;

impl HasData for HasPolling {
    type Data<'a> = Polling<'a>;
}

impl Guest {
    pub fn polling(&mut self) -> Polling<'_> {
        let (table, meter) = self.table_and_meter();
        Polling { table, meter }
    }
}

impl poll::Host for Polling<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let since = self.meter.wait();
        let ready = poll::Host::poll(self.table, pollables).await;
        self.meter.waited(since);
        ready
    }
}

impl poll::HostPollable for Polling<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let since = self.meter.wait();
        let done = poll::HostPollable::block(self.table, pollable).await;
        self.meter.waited(since);
        done
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.table, pollable)
    }
}
