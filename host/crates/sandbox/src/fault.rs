//! What went wrong in a guest, in the words of [`GuestFault`].

use std::fmt::Write as _;

use bulkhead_core::GuestFault;
use wasmtime::{Trap, WasmBacktrace};

use crate::egress::redact::Redactor;
use crate::engine::WASM_STACK;
use crate::host::log::clean;
use crate::limits::{Limit, Limits};
use crate::store::Guest;
use crate::wasi::MAX_RANDOM;

/// Longest text of a fault.
const MAX_TEXT: usize = 1_024;

/// A limit that our own code found reached, on its way through the engine.
#[derive(Debug, thiserror::Error)]
#[error("{} reached", .0.row().name)]
pub struct Reached(pub Limit);

/// The fault behind an error of the engine.
pub fn of(error: &wasmtime::Error, guest: Option<&Guest>, limits: &Limits) -> GuestFault {
    if let Some(Reached(limit)) = error.downcast_ref::<Reached>() {
        return limits.fault(*limit);
    }
    let refused = guest.and_then(|guest| guest.limiter.refused());
    let text = words(error);
    match (error.downcast_ref::<Trap>(), refused) {
        (Some(Trap::OutOfFuel), _) => limits.fault(Limit::Fuel),
        (Some(Trap::Interrupt), _) => limits.fault(Limit::Cpu),
        (Some(Trap::StackOverflow), _) => GuestFault::Trap(format!("its calls are nested too deep: the stack of {} KiB is used up", WASM_STACK >> 10)),
        // After a refused growth an allocator aborts or writes past the end.
        (Some(_), Some(limit)) => limits.fault(limit),
        (Some(trap), None) => GuestFault::Trap(format!("{trap}{}", place(error))),
        (None, Some(limit)) => limits.fault(limit),
        (None, None) => match limit_of(&text) {
            Some(limit) => limits.fault(limit),
            None if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() => GuestFault::Trap("it called `exit`".into()),
            None => match random_bytes(&text) {
                Some(asked) => GuestFault::Contract(format!("it asked for {asked} random bytes at once; at most {MAX_RANDOM} are given")),
                None => GuestFault::Contract(clean(&text, MAX_TEXT, &Redactor::default())),
            },
        },
    }
}

/// The limit behind a fault, for the metrics. The engine's fixed stack is a trap to people: no key
/// raises it.
pub fn limit(error: &wasmtime::Error, fault: &GuestFault) -> Option<Limit> {
    match fault {
        GuestFault::Limit { limit, .. } => Limit::named(limit),
        _ if matches!(error.downcast_ref::<Trap>(), Some(Trap::StackOverflow)) => Some(Limit::Stack),
        _ => None,
    }
}

/// What the engine says, without the addresses of the place where it happened.
fn words(error: &wasmtime::Error) -> String {
    let causes = error.chain().map(ToString::to_string).filter(|text| !text.starts_with("error while executing at wasm backtrace"));
    causes.collect::<Vec<_>>().join(": ")
}

/// The label in metrics.
pub fn label(fault: &GuestFault) -> &'static str {
    match fault {
        GuestFault::Trap(_) => "trap",
        GuestFault::Contract(_) => "contract",
        GuestFault::Limit { limit, .. } => limit,
    }
}

/// Limits that the engine enforces itself and reports as text only.
fn limit_of(text: &str) -> Option<Limit> {
    [
        ("fuel allocated for hostcalls has been exhausted", Limit::HostcallData),
        ("instance count too high", Limit::Instances),
        ("memory count too high", Limit::Memories),
        ("table count too high", Limit::Tables),
        ("memory minimum size", Limit::Memory),
        ("table minimum size", Limit::TableElements),
        ("resource table has no free keys", Limit::Handles),
        ("handle limit exceeded", Limit::Handles),
        ("handles", Limit::Handles),
    ]
    .into_iter()
    .find(|(part, _)| text.contains(part))
    .map(|(_, limit)| limit)
}

/// How many random bytes were asked for, where that was too many: the engine says so in words only.
fn random_bytes(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("requested len ")?;
    rest.split_once(" exceeds limit")?.0.parse().ok()
}

/// Names of the innermost functions, where the component still has them.
fn place(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let mut text = String::new();
    for name in trace.frames().iter().filter_map(|frame| frame.func_name()).take(4) {
        let _ = write!(text, "{} {}", if text.is_empty() { "; in" } else { " <" }, clean(name, 96, &Redactor::default()));
    }
    text
}
