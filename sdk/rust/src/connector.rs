//! Connectors: records out, and whatever else a system offers.

use std::time::Duration;

use crate::batch::Batch;
use crate::config::Config;
use crate::delivery::{Delivery, Failure, Outcome};
use crate::formatter::RecordFormat;

/// Talks to one system. Calls are synchronous and come one at a time; state in `self` lives from
/// call to call, but not for ever: after a fault the host starts a fresh instance.
pub trait Connector: Sized {
    type Config: Config;

    /// Called once; `format` is what `deliver` will be handed. An error text goes to the operator.
    fn configure(config: Self::Config, format: &RecordFormat) -> Result<Self, String>;
    /// Fields of each event to be handed beside its record; see [`Formatter::fields`](crate::Formatter::fields).
    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }
    /// Batch limits; the operator's may be lower.
    fn limits(&self) -> Limits {
        Limits::default()
    }
    /// Delivers a batch of at least one event. `attempt` is 1 for the first try.
    fn deliver(&mut self, batch: &Batch<'_>, attempt: u32) -> Result<Delivery, Failure>;
    /// Tells whether the receiver can be reached and lets us in, without sending an event; in words.
    fn check(&mut self) -> Result<String, Failure> {
        Err(Failure::Unsupported)
    }
    /// Asks again for pending deliveries; one outcome per token.
    fn settle(&mut self, tokens: &[String]) -> Result<Vec<Outcome>, Failure> {
        let _ = tokens;
        Err(Failure::Unsupported)
    }
    /// Brings new records, starting behind a cursor (empty at first).
    fn pull(&mut self, cursor: &[u8]) -> Result<Page, Failure> {
        let _ = cursor;
        Err(Failure::Unsupported)
    }
    /// Answers a question; parameters and result are JSON.
    fn query(&mut self, operation: &str, parameters: &str) -> Result<String, Failure> {
        let _ = (operation, parameters);
        Err(Failure::Unsupported)
    }
    /// Handles an inbound request that the host has verified.
    fn receive(&mut self, request: &Inbound) -> Result<Reply, Failure> {
        let _ = request;
        Err(Failure::Unsupported)
    }
    /// Called between deliveries; answers when it wants to be called again.
    fn maintain(&mut self) -> Result<Option<Duration>, Failure> {
        Err(Failure::Unsupported)
    }
    /// Last call before the instance goes; short.
    fn close(&mut self) {}
}

/// Batch limits that a connector asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub max_events: Option<u32>,
    /// Most bytes of records in a batch.
    pub max_bytes: Option<u32>,
}

/// A page of pulled records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// New events, each one JSON object in Bulkhead's own shape.
    pub events: Vec<Vec<u8>>,
    /// Handed back at the next call once the events are on disk.
    pub cursor: Vec<u8>,
    /// Another page is there right now.
    pub more: bool,
}

/// An inbound request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    pub method: String,
    /// Path and query below the instance's own address.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// The reply to an inbound request, with events to take in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// New events, each one JSON object.
    pub events: Vec<Vec<u8>>,
}
