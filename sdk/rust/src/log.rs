//! Lines for the operator's log. Never an event's text: logs are read by others than events.

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

pub fn debug(message: &str) {
    write(Level::Debug, message);
}

pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Something went wrong and mends itself.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Somebody must act.
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Writes one line; cut at 1 KiB by the host.
#[cfg(target_arch = "wasm32")]
pub fn write(level: Level, message: &str) {
    use crate::bindings::connector::bulkhead::connector::log as wit;
    let level = match level {
        Level::Debug => wit::Level::Debug,
        Level::Info => wit::Level::Info,
        Level::Warn => wit::Level::Warn,
        Level::Error => wit::Level::Error,
    };
    wit::write(level, message);
}

/// Writes one line; natively it is kept for the test that asks.
#[cfg(not(target_arch = "wasm32"))]
pub fn write(level: Level, message: &str) {
    crate::native::log(level, message);
}
