//! Writing a connector: what `bulkhead new`, `build` and `doctor` do, without the command line around it.
//!
//! Promised: what is written compiles where nothing of Bulkhead's is at hand but the binary; toolchains are driven,
//! never installed unless asked to; what is missing is named with the command that mends it. Refused: the engine, any
//! network of its own, and writing outside the author's folder.

pub mod build;
pub mod doctor;
mod embedded;
pub mod language;
pub mod manifest;
pub mod name;
pub mod project;
pub mod sdk;
mod tool;
pub mod world;

pub use language::Language;
pub use manifest::{Kind, Manifest, ManifestError};
pub use name::{Name, NameError};
pub use project::{NewError, Sdk};
