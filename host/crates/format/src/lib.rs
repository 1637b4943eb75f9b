//! Event → record: extracts what a guest asked for and calls the formatter.
//!
//! Promises: extraction happens natively and reuses its buffers; a formatter that broke a rule is
//! replaced before the next call, and one that served its number of calls likewise. Refuses to know
//! where events come from or where records go, and never parses an event itself.

mod batch;
mod slot;

pub use batch::{BatchBuilder, without};
pub use slot::{FormatFault, FormatterSlot};
