//! A guest that sends whatever request the case hands it, byte for byte, and tells how it went. The
//! request comes as records: destination, method, path, body, message id, then names and values of
//! header fields in turn. The number of the attempt is the timeout in milliseconds.

use bulkhead_core::{ConnectorSource, DeliverError, Delivery, Failure, Outcome, RecordBatch};
use bulkhead_sandbox::ConnectorGrants;

use super::guests::{Connector, HTTP, failure, rejected};
use super::{Host, events, json, records};

/// What the guest asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    pub destination: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub message_id: String,
    /// [`NO_TIMEOUT`] for none.
    pub timeout: u32,
    pub gzip: bool,
}

pub const NO_TIMEOUT: u32 = u32::MAX - 1;

impl Default for Ask {
    fn default() -> Self {
        Self {
            destination: "primary".into(),
            method: "POST".into(),
            path: "/in".into(),
            headers: Vec::new(),
            body: b"x".to_vec(),
            message_id: String::new(),
            timeout: NO_TIMEOUT,
            gzip: false,
        }
    }
}

/// Offset and length of record `i`, relative to the block at parameter 0.
fn record(i: u32) -> String {
    format!("(call $at (local.get 0) (local.get 2) (i32.const {i})) (call $length (local.get 2) (i32.const {i}))")
}

/// The guest. `encoding` is 0 for identity, 1 for gzip, anything else for nonsense.
pub fn component(encoding: u32) -> Vec<u8> {
    let extra = r#"
        (data (i32.const 6000) "denied:  invalid: connect: broken:  timeout: limit:   ")
        (func $at (param $block i32) (param $offsets i32) (param $i i32) (result i32)
            (i32.add (local.get $block) (i32.load (i32.add (local.get $offsets) (i32.mul (local.get $i) (i32.const 4))))))
        (func $length (param $offsets i32) (param $i i32) (result i32)
            (i32.sub (i32.load offset=4 (i32.add (local.get $offsets) (i32.mul (local.get $i) (i32.const 4))))
                     (i32.load (i32.add (local.get $offsets) (i32.mul (local.get $i) (i32.const 4))))))
        (func $digit (param $at i32) (param $n i32) (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10)))))
    "#;
    let [destination, method, path, body, message] = [0, 1, 2, 3, 4].map(record);
    let error = failure(5, "(local.get $a)", "(i32.add (i32.const 9) (local.get $b))");
    let answer = rejected("(local.get $a)", "(i32.add (i32.const 6) (local.get $b))");
    // $a becomes the list of header fields, $b their number; after the call text and length.
    let deliver = format!(
        r#"
        (local.set $b (i32.div_u (i32.sub (local.get 3) (i32.const 6)) (i32.const 2)))
        (local.set $a (call $alloc (i32.mul (local.get $b) (i32.const 16))))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $c) (i32.mul (local.get $b) (i32.const 2))))
            (i32.store (i32.add (local.get $a) (i32.mul (local.get $c) (i32.const 8))) (call $at (local.get 0) (local.get 2) (i32.add (local.get $c) (i32.const 5))))
            (i32.store offset=4 (i32.add (local.get $a) (i32.mul (local.get $c) (i32.const 8))) (call $length (local.get 2) (i32.add (local.get $c) (i32.const 5))))
            (local.set $c (i32.add (local.get $c) (i32.const 1)))
            (br $next)))
        (call $send {destination} {method} {path} (local.get $a) (local.get $b) {body} (i32.const {encoding})
            (i32.ne (local.get 9) (i32.const {NO_TIMEOUT})) (local.get 9) {message} (i32.const 5000))
        (if (result i32) (i32.load8_u (i32.const 5000))
            (then
                (local.set $b (select (i32.const 0) (i32.load (i32.const 5016)) (i32.eq (i32.load8_u (i32.const 5008)) (i32.const 4))))
                (local.set $a (call $alloc (i32.add (local.get $b) (i32.const 16))))
                (memory.copy (local.get $a) (i32.add (i32.const 6000) (i32.mul (i32.const 9) (i32.load8_u (i32.const 5008)))) (i32.const 9))
                (memory.copy (i32.add (local.get $a) (i32.const 9)) (i32.load (i32.const 5012)) (local.get $b))
                {error})
            (else
                (local.set $b (i32.load (i32.const 5024)))
                (local.set $a (call $alloc (i32.add (local.get $b) (i32.const 16))))
                (call $digit (local.get $a) (i32.div_u (i32.load16_u (i32.const 5008)) (i32.const 100)))
                (call $digit (i32.add (local.get $a) (i32.const 1)) (i32.div_u (i32.load16_u (i32.const 5008)) (i32.const 10)))
                (call $digit (i32.add (local.get $a) (i32.const 2)) (i32.load16_u (i32.const 5008)))
                (i32.store8 offset=3 (local.get $a) (i32.const 32))
                ;; c: cut, w: whole.
                (i32.store8 offset=4 (local.get $a) (select (i32.const 99) (i32.const 119) (i32.load8_u (i32.const 5028))))
                (i32.store8 offset=5 (local.get $a) (i32.const 32))
                (memory.copy (i32.add (local.get $a) (i32.const 6)) (i32.load (i32.const 5020)) (local.get $b))
                {answer}))"#
    );
    Connector { imports: HTTP, extra, deliver: &deliver, ..Connector::default() }.build()
}

impl Host {
    /// Sends one request through a guest of its own. Answers `<status> w <body>` (`c` for a body that
    /// was cut; at most 4 KiB of it are shown), `<kind>: <text>` for an error, or the guest's fault.
    pub async fn send(&self, grants: ConnectorGrants, ask: &Ask) -> String {
        self.sends(grants, std::slice::from_ref(ask)).await.remove(0)
    }

    /// Sends requests one after another through one guest.
    pub async fn sends(&self, grants: ConnectorGrants, asks: &[Ask]) -> Vec<String> {
        let gzip = asks.first().is_some_and(|ask| ask.gzip);
        let source = self.connector(&component(gzip.into()), grants).unwrap_or_else(|error| panic!("{error}"));
        let mut answers = Vec::new();
        let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
        for ask in asks {
            answers.push(told(guest.deliver(&records_of(ask), &events(1), ask.timeout).await));
        }
        answers
    }
}

/// The request as the records that the probe reads.
pub fn records_of(ask: &Ask) -> RecordBatch {
    let mut parts: Vec<&[u8]> = vec![ask.destination.as_bytes(), ask.method.as_bytes(), ask.path.as_bytes(), &ask.body, ask.message_id.as_bytes()];
    parts.extend(ask.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]));
    records(&parts)
}

/// What the probe said.
pub fn told(result: Result<Delivery, DeliverError>) -> String {
    match result {
        Ok(Delivery::All(Outcome::Rejected { reason })) => reason,
        Err(DeliverError::Failure(Failure::Other(text))) => text.replacen(":   ", ": ", 1).replacen(":  ", ": ", 1),
        Err(DeliverError::Fault(fault)) => fault.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The source of a probe, for cases that open several.
pub fn source(host: &Host, grants: ConnectorGrants) -> std::sync::Arc<dyn ConnectorSource> {
    host.connector(&component(0), grants).unwrap_or_else(|error| panic!("{error}"))
}
