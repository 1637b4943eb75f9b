//! Why the registry refused or failed.

use std::path::PathBuf;

use crate::asks::Asks;
use crate::digest::Digest;

/// `Display` is for people and names what to do; a cause is in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("`{0}` is no name for a component: 1 to 64 of a-z, 0-9, `-`, `_`, `.`, beginning with a letter or digit")]
    Name(String),
    #[error("`{0}` is no version: 1 to 64 letters, digits, `.`, `-`, `+`, `_`, beginning with a digit")]
    Version(String),
    #[error("`{name}` {version} is there already with other bytes ({there}); a version never changes, so give the new bytes a new version")]
    Conflict { name: String, version: String, there: Digest },
    #[error("`{name}` is a {is}; a {wanted} cannot have its name")]
    Kind { name: String, is: String, wanted: String },
    #[error("{digest} was revoked{}; it is not taken again", .reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default())]
    Revoked { digest: Digest, reason: Option<String> },
    #[error("there is no uploaded component `{0}`")]
    UnknownName(String),
    #[error("`{name}` has no version {digest}")]
    UnknownVersion { name: String, digest: Digest },
    #[error("`{name}` {digest} waits for approval of: {}", .wider.iter().cloned().collect::<Vec<_>>().join("; "))]
    NotApproved { name: String, digest: Digest, wider: Asks },
    #[error("`{0}` has no earlier version to go back to")]
    NothingBefore(String),
    #[error("`{name}` {digest} is the active version; activate another one before removing it")]
    Active { name: String, digest: Digest },
    #[error("the registry has {have} versions of `{name}`, the most it keeps; remove one that is not used")]
    TooManyVersions { name: String, have: usize },
    #[error("the registry has {have} names, the most it keeps; remove one that is not used")]
    TooManyNames { have: usize },
    #[error(
        "the registry holds {used} bytes and the upload has {wanted}, more than `upload.disk` ({limit} bytes); remove versions that are not used, or raise it"
    )]
    Quota { used: u64, wanted: u64, limit: u64 },
    #[error("{} was changed on disk: its digest is not {digest} any more; upload the component again", path.display())]
    Changed { path: PathBuf, digest: Digest },
    #[error("{} is damaged: {problem}; restore it from a backup, or remove it to begin with an empty registry", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
}
