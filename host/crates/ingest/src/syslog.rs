//! Syslog intake: RFC 5424 and RFC 3164 over TCP and UDP. Plain syslog has no acknowledgement: over TCP the
//! listener stops reading while the journal is behind, over UDP what does not fit the socket's buffer is
//! lost before it reaches us; the documents say so.

mod event;
mod framing;
mod listener;
mod message;

pub use event::SyslogNormaliser;
pub use framing::Framing;
pub use listener::{Proto, SyslogSettings, serve_tcp, serve_udp};
