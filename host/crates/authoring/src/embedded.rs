//! Texts that the binary carries, by path below their folder; made by `build.rs`.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The workspace's manifest, from which the SDK's inherits.
pub const WORKSPACE: &str = include_str!("../../../../Cargo.toml");
