//! The only user of the WebAssembly engine: loads components, opens connectors and formatters under
//! limits, and offers them what was granted and nothing else.
//!
//! A guest is hostile. It reaches nothing that was not granted, because ungranted interfaces are not
//! linked; it learns no secret, because the host applies credentials and redacts echoes; it harms no
//! neighbour, because every call has limits (see [`limits`]) and every store is thrown away after a
//! fault.

mod attempt;
mod bar;
mod bill;
mod bindings;
mod cache;
mod capabilities;
pub mod capture;
mod compile;
mod component;
mod connector;
mod convert;
mod credentials;
pub mod egress;
mod engine;
mod fault;
mod formatter;
mod host;
mod inspect;
mod limiter;
pub mod limits;
mod linker;
mod manifest;
mod reply;
mod sandbox;
mod store;
mod wasi;

pub use attempt::Receipting;
pub use compile::{CompileLimits, Compiler, Stopped, WorkerSettings, work as compile_worker};
pub use component::{Component, LoadError};
pub use credentials::{
    Authorization, ClientAuth, CommandSettings, Connection, Credential, CredentialError, Custom, DeskError, Digits, Grant, GrantDigest, KeepGrants, KeptGrant,
    OAuth2Settings, RefreshTokens, Scheme, SharedKeyScheme, Signs, Tried, Value, Verifier,
};
pub use egress::address::{Class as AddressClass, classify};
pub use egress::places::Places;
pub use egress::tls::{ClientIdentity, IdentityFault, Tls, TlsSettings};
pub use egress::{Destination, DestinationError, DestinationSettings, Transport};
pub use engine::settings as engine_settings;
pub use host::files::{FileAccess, FilesError, FilesGrant};
pub use host::log::{Level, LogSink, TracingSink};
pub use host::state::{MemoryState, StateError, StateQuota, StateScope, StateStore};
pub use inspect::{CONTRACT, InspectError, Inspection, Version, inspect};
pub use limits::{Limit, LimitError, Limits};
pub use manifest::{Kind, Manifest, SECTION as MANIFEST_SECTION, Want, WantedLimits};
pub use sandbox::{ConnectorGrants, FormatterGrants, Sandbox, SandboxError, SandboxSettings, SetupError};
pub use wasi::MachineGrants;
