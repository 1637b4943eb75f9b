//! The configuration.

use std::collections::BTreeMap;

use bulkhead_sdk::{Config, Literal};

/// The handshake, the messages, and what says that they arrived.
#[derive(Debug, Config)]
pub struct Settings {
    /// The `Host` field of the handshake: the receiver's name, with a port where it is not the usual one.
    #[config(min = 1)]
    pub host: String,
    /// Path with an optional query.
    #[config(default = "/")]
    pub path: String,
    /// Subprotocols that are offered; the receiver must choose one of them.
    #[config(max = 16)]
    pub protocols: Option<Vec<String>>,
    /// Further headers of the handshake; names in lower case. No secrets.
    pub headers: Option<BTreeMap<String, String>>,
    /// The destination's credential, which the host writes into the handshake. Only under TLS.
    #[config(min = 1)]
    pub credential: Option<String>,
    /// Header that carries it.
    #[config(default = "authorization", min = 1)]
    pub credential_header: String,
    /// Text before it.
    #[config(default = "Bearer ")]
    pub credential_prefix: String,
    /// Kind of messages.
    #[config(default = "text")]
    pub frame: Frame,
    /// Template of a message, as JSON. The record as it is where absent.
    pub body: Option<String>,
    /// An event without a field that `body` asks for: `empty` leaves the place empty (`null` as a JSON value), `refuse`
    /// rejects the event.
    #[config(default = "empty")]
    pub missing: Missing,
    /// The receiver's answer to each message. Without it the answer to a ping behind the batch counts.
    pub ack: Option<Ack>,
    /// What codes of closing mean.
    #[config(default)]
    pub close: Close,
    /// Seconds for connecting, and for each wait afterwards.
    #[config(default = 10, min = 1, max = 60)]
    pub timeout: u32,
    /// Seconds between two pings while there is nothing to deliver.
    #[config(default = 30, min = 1, max = 3600)]
    pub keepalive: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Frame {
    Text,
    Binary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Missing {
    Empty,
    Refuse,
}

/// Answers of the receiver, each a JSON message.
#[derive(Debug, Config)]
pub struct Ack {
    /// Pointer into an answer to the key of the event that it is for. Without it answers come in the order of the
    /// messages, one each.
    #[config(min = 1)]
    pub id: Option<String>,
    /// Template of that key.
    #[config(default = "{{ /id }}", min = 1)]
    pub key: String,
    /// Pointer into an answer to what says yes.
    #[config(min = 1)]
    pub pointer: Option<String>,
    /// What says yes: one of these texts, numbers or booleans. Anything but null where absent.
    #[config(min = 1, max = 64)]
    pub equals: Option<Vec<Literal>>,
    /// What is worth another attempt, at the same place.
    #[config(min = 1, max = 64)]
    pub again: Option<Vec<Literal>>,
    /// Pointer into an answer to the receiver's id of the event.
    #[config(min = 1)]
    pub receipt: Option<String>,
}

/// Codes of closing; those that are named nowhere are tried again.
#[derive(Debug, Default, Config)]
pub struct Close {
    /// The credential is refused. 3000 and 3003 where absent.
    #[config(max = 64)]
    pub unauthorized: Option<Vec<u16>>,
    /// People must act. 1003, 1008 and 1010 where absent.
    #[config(max = 64)]
    pub configuration: Option<Vec<u16>>,
    /// A message is refused for good. 1007 and 1009 where absent.
    #[config(max = 64)]
    pub refused: Option<Vec<u16>>,
}
