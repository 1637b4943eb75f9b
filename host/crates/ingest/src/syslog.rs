//! Syslog intake: RFC 5424 and RFC 3164 over TCP, TLS (RFC 5425, RFC 9662) and UDP. Syslog has no
//! acknowledgement: over a stream the listener stops reading while the journal is behind, over UDP what
//! does not fit the socket's buffer is lost before it reaches us; the documents say so.

mod datagram;
mod event;
mod framing;
mod listener;
mod message;
mod settings;
mod stream;

pub use datagram::serve_udp;
pub use event::SyslogNormaliser;
pub use framing::Framing;
pub use listener::serve_streams;
pub use settings::{Proto, SyslogSettings};
