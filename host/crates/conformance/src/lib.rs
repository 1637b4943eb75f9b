//! What every connector and formatter must do, as checks with names: the built-in ones are held to it by the tests,
//! everybody's own by `bulkhead test`. It is one suite; what an author passes the host relies on.
//!
//! Promised: every check runs the real component in the real sandbox, with events that went through the real intake,
//! against the fault server on the loopback. Refused: any other network, and knowledge of a particular receiver;
//! that is in the author's cases (`docs/authors/testing.md`).
//!
//! Failures are texts for whoever reads them, so that `anyhow` carries them.

pub mod bench;
pub mod case;
pub mod connector;
pub mod cost;
pub mod formatter;
pub mod guest;
pub mod manifest;
mod pattern;
pub mod replay;
pub mod samples;
pub mod sink;
pub mod streams;
pub mod suite;
pub mod table;
pub mod trial;
pub mod world;

pub use bench::Bench;
pub use cost::Cost;
pub use guest::Guest;
pub use suite::Check;
