//! The contract as Rust, generated ahead by `wit-bindgen`; README.md has the command.
#![allow(unsafe_code, clippy::all, clippy::allow_attributes_without_reason, reason = "generated: the lowering and lifting of the component model")]

#[rustfmt::skip]
#[path = "bindings/connector_all.rs"]
pub mod connector;
#[rustfmt::skip]
#[path = "bindings/formatter.rs"]
pub mod formatter;
