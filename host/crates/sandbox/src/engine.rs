//! The one engine of the process and its epoch ticker.
//!
//! Settings follow the threat model: fuel and epochs on, component async, GC, threads, exceptions,
//! memory64 and shared memory off (mostly by leaving the crate features out), Cranelift, on-demand
//! allocation with the 4 GiB reservation that makes bounds checks free.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmparser::WasmFeatures;
use wasmtime::{Config, Engine, OptLevel, Strategy};

/// Time between two epochs: a spinning guest gives its thread back this often.
pub const TICK: Duration = Duration::from_millis(1);
/// Name of the settings below, part of the key of precompiled artefacts. Change it with them.
pub const SETTINGS_ID: &str = "bulkhead-2";
/// Stack of a guest.
pub const WASM_STACK: usize = 512 << 10;
/// Stack of the fiber that a guest and the host functions below it run on.
const FIBER_STACK: usize = 2 << 20;
/// Ticks without a guest after which the ticker sleeps.
const IDLE_TICKS: u32 = 200;

/// What the serving process and the compile worker must agree on.
fn base() -> Config {
    let mut config = Config::new();
    config
        // The same input gives the same bytes, on every machine.
        .relaxed_simd_deterministic(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        // Removes component async and 0.3 µs to 0.9 µs of each call.
        .concurrency_support(false)
        .memory_reservation(4 << 30)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        // Leaving the crate feature out switches off the types, not the instructions around them.
        .wasm_gc(false)
        .gc_support(false)
        .wasm_features(WasmFeatures::FUNCTION_REFERENCES, false)
        .wasm_memory64(false)
        .wasm_stack_switching(false)
        .wasm_component_model_error_context(false)
        .wasm_component_model_gc(false)
        .wasm_component_model_map(false)
        .wasm_component_model_memory64(false)
        .wasm_component_model_fixed_length_lists(false)
        .shared_memory(false)
        .wasm_backtrace_max_frames(NonZeroUsize::new(16))
        // Unloading is quadratic with it, and nobody unwinds through guests.
        .native_unwind_info(false);
    config
}

/// The same with a compiler; these setters panic without one.
fn compiling() -> Config {
    let mut config = base();
    config.strategy(Strategy::Cranelift).cranelift_opt_level(OptLevel::Speed).cranelift_nan_canonicalization(true);
    config
}

/// The settings in the engine's own words, so that a test can hold the documents against them.
pub fn settings() -> String {
    format!("{:?}", compiling())
}

/// Compiles a component to an artefact of this engine's settings, without the means to run it.
pub(crate) fn precompile(bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
    Engine::new(&compiling())?.precompile_component(bytes)
}

/// The engine with its ticker. The ticker's thread ends when the last handle goes: whoever can run a
/// guest keeps the epochs going.
#[derive(Clone)]
pub struct Ticking {
    pub engine: Engine,
    handle: Arc<Handle>,
}

struct Handle(Arc<Ticker>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Counts epochs while guests run; sleeps while none does.
#[derive(Debug)]
pub struct Ticker {
    ticks: AtomicU64,
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
    wake: Condvar,
    sleep: Mutex<()>,
}

impl Ticking {
    /// Builds the engine and starts the ticker on an OS thread of its own: it must not wait for the
    /// executor whose threads it frees.
    ///
    /// Without a compiler no bytes of a stranger ever reach one in this process.
    pub fn start(compiler: bool) -> Result<Self, EngineError> {
        let mut config = if compiler { compiling() } else { base() };
        config.enable_compiler(compiler);
        let engine = Engine::new(&config).map_err(|error| EngineError::Engine(format!("{error:#}")))?;
        let ticker = Arc::new(Ticker {
            ticks: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            wake: Condvar::new(),
            sleep: Mutex::new(()),
        });
        let (weak_engine, shared) = (engine.weak(), Arc::clone(&ticker));
        std::thread::Builder::new()
            .name("epochs".into())
            .spawn(move || {
                let mut idle = 0;
                while !shared.stop.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    let Some(engine) = weak_engine.upgrade() else { return };
                    engine.increment_epoch();
                    drop(engine);
                    shared.ticks.fetch_add(1, Ordering::Relaxed);
                    idle = if shared.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
                    if idle > IDLE_TICKS {
                        shared.doze();
                        idle = 0;
                    }
                }
            })
            .map_err(EngineError::Thread)?;
        Ok(Self { engine, handle: Arc::new(Handle(ticker)) })
    }

    pub fn ticker(&self) -> &Arc<Ticker> {
        &self.handle.0
    }
}

impl Ticker {
    /// Epochs so far. Differences count processor time of guests and waits of host functions.
    pub fn now(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// Marks a guest as running for as long as the guard lives.
    pub fn run(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        // Either this sees the ticker asleep, or the ticker sees the guest before it falls asleep.
        if self.asleep.load(Ordering::SeqCst) {
            let _lock = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_one();
        }
        Running(Arc::clone(self))
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let _lock = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_one();
    }

    fn doze(&self) {
        let lock = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.store(true, Ordering::SeqCst);
        let idle = || self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::Relaxed);
        let _lock = self.wake.wait_while(lock, |()| idle()).unwrap_or_else(PoisonError::into_inner);
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// A guest runs.
#[derive(Debug)]
pub struct Running(Arc<Ticker>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    #[error("the thread that bounds guests' time does not start")]
    Thread(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticker_sleeps_when_no_guest_runs_and_wakes_for_the_next() {
        let ticking = Ticking::start(true).expect("starts");
        let until = |condition: &dyn Fn() -> bool| {
            for _ in 0..20_000 {
                if condition() {
                    return true;
                }
                std::thread::yield_now();
                std::thread::sleep(TICK / 4);
            }
            false
        };
        assert!(until(&|| ticking.ticker().asleep.load(Ordering::SeqCst)), "never fell asleep");
        let (guard, before) = (ticking.ticker().run(), ticking.ticker().now());
        assert!(until(&|| ticking.ticker().now() > before), "never woke");
        drop(guard);
        assert_eq!(ticking.ticker().running.load(Ordering::SeqCst), 0);
    }
}
