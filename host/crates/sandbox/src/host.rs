//! The host's side of `wit/`: one file for each interface. Refusals are values that the guest can
//! handle; nothing a guest passes in traps or panics the host.

pub mod credentials;
pub mod files;
pub mod http;
pub mod log;
pub mod metrics;
pub mod state;
pub mod stdio;
pub mod tcp;
pub mod udp;
pub mod wasi_http;

use std::time::Duration;

use tokio::time::Instant;

/// What waits outside ends before the call does, so that the guest can still say what happened.
fn answer_by(deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    deadline - (left / 10).min(Duration::from_secs(1))
}
