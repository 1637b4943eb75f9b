//! Keys, and what is sealed with them: AES-256-GCM under keys that are derived from the operator's.
//! `fields` seals and redacts parts of events before they are formatted.
//!
//! Promises: a key is never printed; it is named by an id that follows from it, so that two keys cannot
//! have the same id by mistake; what was sealed opens only under the same key, for the same purpose and
//! with the same associated data. Refuses: keys that are not random, and knowledge of what the journal and
//! the store seal.

mod cipher;
mod fields;
mod key;

pub use cipher::{Broken, Cipher, NONCE, TAG, random};
pub use fields::{FieldRules, Fields, OpenFault, REDACTED, RuleFault, SealedBatch, open_value, sealed_values};
pub use key::{AtRest, Key, KeyFault, KeyId, Keyring, missing};
