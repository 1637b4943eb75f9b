//! Uploaded components: by name and version, several side by side, with the state of each.
//!
//! Promises: a component's bytes are found by their digest and checked against it at every load; what a
//! version asks for beyond what was approved for its name waits for an approval that names the digest; a
//! version's bytes never change; a revoked digest stays revoked; every change is on disk when its call
//! returns. Knows nothing of engines, instances or HTTP: the host reads bytes, compiles and swaps.
//!
//! On disk, below `<data_dir>/registry`: `index.json`, written whole and renamed; `sha256-<hex>.wasm`, one
//! per digest; `incoming/`, uploads under way, emptied at start.

mod asks;
mod digest;
mod error;
mod files;
mod index;
mod signature;
mod version;

pub use asks::{Asks, Wish, asks, widening};
pub use digest::{Digest, NoDigest};
pub use error::RegistryError;
pub use files::{Incoming, Registry};
pub use index::{Added, Fault, Index, Named, NewVersion, Revocation, Stamp, State, Version};
pub use signature::{KeyError, PublicKey, Signature, SignatureError};
pub use version::matches as version_matches;
