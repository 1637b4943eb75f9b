//! Intake: bytes from outside become stored events, and "accepted" is said only once they are in the
//! journal.
//!
//! Promises: an event is kept byte for byte; its attributes are found in one pass; nothing of a
//! refused request is kept (unless the sender asked for the good part). Refuses what is not JSON,
//! what is ambiguous (duplicate keys, lone surrogates), what is too large or too deep, and what a
//! strict shape misses. Neither logs nor metrics carry anything of a body.

mod body;
mod fields;
mod http;
mod ids;
mod lines;
mod lists;
mod names;
mod normalise;
mod origin;
mod seen;
mod shape;
mod sink;
mod syslog;
mod timestamp;

pub use body::{BodyFault, Bounds, DecodeFault, Encoding, Listed, Media, Summary, decode, read_events};
pub use http::{HttpIntakeSettings, IntakeRate, IntakeToken, serve};
pub use normalise::{EventFault, Form, Normaliser, Refused, Rules, ShapeRule, Taken};
pub use origin::Origin;
pub use seen::{Claim, Key, Seen};
pub use shape::binary::BinaryHead;
pub use syslog::{Framing, Proto, SyslogNormaliser, SyslogSettings, serve_streams, serve_udp};
