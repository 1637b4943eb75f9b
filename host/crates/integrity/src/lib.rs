//! Hash chains of the programs that send events: whether each event says what its hash says, and follows
//! on the one before.
//!
//! Pure: the text of an event and the time come in, findings go out. Nothing here refuses or changes an
//! event: what is broken is evidence. What is known of chains is bounded and can be written down.

mod canonical;
mod chain;
mod rule;

pub use canonical::{Form, FormError, Part, jcs};
pub use chain::{Chain, Counts, Finding, HEAL, Kind, Link, Patience, Reason, Resolved, Told};
pub use rule::{Algorithm, Check, Encoding, Fields, Report, Rule, Saved, SetupError, Stats, Verifier, pointer_is_sound};
