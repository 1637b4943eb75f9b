//! The host's side of `wit/`: one file for each interface. Refusals are values that the guest can
//! handle; nothing a guest passes in traps or panics the host.

pub mod files;
pub mod http;
pub mod log;
pub mod metrics;
pub mod state;
pub mod stdio;
pub mod wasi_http;
