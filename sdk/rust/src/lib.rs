//! Write Bulkhead connectors and formatters in Rust.
//!
//! A guest is one type with a configuration and a trait: [`Connector`] or [`Formatter`]. The same
//! source compiles natively, so that unit tests and measurements run without WebAssembly; only the
//! bindings are left out there, and [`native`] stands in for the host.
//!
//! Promised: events are seen in place (no copy, no parsing), records are written into one growing
//! block, a guest that imports nothing but `log` unless it calls more. Refused: URLs, addresses and
//! secrets, which are the operator's; free-form network access; panics on any event.
//!
//! ```
//! use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Writer, fields};
//!
//! /// How lines look.
//! #[derive(Config)]
//! struct Settings {
//!     /// Put before every line.
//!     #[config(default = "audit: ")]
//!     prefix: String,
//! }
//!
//! struct Line(Settings);
//! fields! { mod field { ID = "/id", SEVERITY = "/severity" } }
//!
//! impl Formatter for Line {
//!     type Config = Settings;
//!     fn configure(config: Settings) -> Result<Self, String> {
//!         Ok(Self(config))
//!     }
//!     fn fields(&self) -> Vec<&str> {
//!         field::ALL.to_vec()
//!     }
//!     fn record_format(&self) -> RecordFormat {
//!         RecordFormat::new("line", "text/plain")
//!     }
//!     fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
//!         out.bytes(self.0.prefix.as_bytes());
//!         out.text(event.get(field::ID));
//!         out.literal(b" ");
//!         out.text(event.get(field::SEVERITY));
//!         Ok(())
//!     }
//! }
//! bulkhead_sdk::export_formatter!(Line);
//! # fn main() {}
//! ```

// The derive names this crate by its outside name; its own tests derive too.
extern crate self as bulkhead_sdk;

pub mod attributes;
pub mod base64;
pub mod batch;
pub mod config;
pub mod connector;
pub mod cover;
pub mod credentials;
pub mod cursor;
pub mod delivery;
pub mod digits;
pub mod entries;
pub mod event_metrics;
pub mod files;
pub mod formatter;
pub mod http;
pub mod json;
pub mod literal;
pub mod log;
mod macros;
pub mod measures;
pub mod message_id;
pub mod metrics;
pub mod object;
pub mod otlp;
pub mod parts;
pub mod pointer;
pub mod protobuf;
pub mod record;
pub mod severity;
pub mod state;
pub mod syslog;
pub mod tcp;
pub mod template;
pub mod time;
pub mod udp;
pub mod value;
#[cfg(feature = "websocket")]
pub mod websocket;
pub mod writer;

#[cfg(target_arch = "wasm32")]
pub mod bindings;
#[cfg(target_arch = "wasm32")]
pub mod exports;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;

pub use batch::{Batch, Event, Events, Field, Pointers, Records};
pub use bulkhead_sdk_derive::Config;
pub use config::{ByteSize, Config};
pub use connector::{Connector, Inbound, Limits, Page, Reply};
pub use cursor::Cursor;
pub use delivery::{Delivery, Failure, Outcome};
pub use entries::{Entries, Room};
pub use formatter::{Formatted, Formatter, RecordFormat, Refusal};
pub use literal::{Expectation, Literal};
pub use object::Object;
pub use parts::Parts;
pub use record::Record;
pub use severity::Severity;
pub use template::Template;
pub use time::Timestamp;
pub use value::{Kind, Value};
pub use writer::{Escape, Writer};
