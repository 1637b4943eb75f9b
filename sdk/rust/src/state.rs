//! Small values that survive restarts, private to the instance.

/// Why a state operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    Invalid(String),
    /// A limit was reached; the text names it, its value and the key to change.
    Limit(String),
    Unavailable(String),
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::Error;
    use crate::bindings::connector::bulkhead::connector::state as wit;

    fn error(error: wit::Error) -> Error {
        match error {
            wit::Error::Invalid(text) => Error::Invalid(text),
            wit::Error::Limit(text) => Error::Limit(text),
            wit::Error::Unavailable(text) => Error::Unavailable(text),
        }
    }

    pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        wit::get(key).map_err(error)
    }
    pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        wit::set(key, value).map_err(error)
    }
    pub fn delete(key: &str) -> Result<(), Error> {
        wit::delete(key).map_err(error)
    }
}
#[cfg(not(target_arch = "wasm32"))]
use crate::native::state as host;

pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::get(key)
}

/// Durable when it returns. Keys: 1 to 128 bytes of printable ASCII; values: at most 64 KiB.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    host::set(key, value)
}

/// Removing what is not there is no error.
pub fn delete(key: &str) -> Result<(), Error> {
    host::delete(key)
}
