//! What a connector under test finds around it: a receiver for each way to send, a directory, and the grants that
//! lead to them.

use std::sync::Arc;

use anyhow::Result;
use bulkhead_fault_server::receiver::{self, Receiver, Script};
use bulkhead_sandbox::{ConnectorGrants, Credential, Destination, DestinationSettings, FileAccess, FilesGrant, Limits};
use tempfile::TempDir;

use crate::guest::Guest;
use crate::sink::{Rules, Sink};

/// A receiver for each way to send, a directory, and the grants that lead to them.
pub struct World {
    pub receiver: Receiver,
    /// For streams and datagrams; nobody listens on `port` without it.
    pub sink: Option<Sink>,
    port: u16,
    pub dir: TempDir,
}

/// The credential of a stream, for guests that use one: its name and its secret.
const CREDENTIAL: (&str, &str) = ("conformance", "conformance-secret-5b1f");

impl World {
    pub fn new(script: Script, rules: &Rules) -> Result<Self> {
        let sink = Sink::start(rules)?;
        let receiver = Receiver::start(receiver::Options { keep: 1_000, ..receiver::Options::default() }, script)?;
        Ok(Self { receiver, port: sink.port, sink: Some(sink), dir: TempDir::new()? })
    }

    pub fn with_sink(rules: &Rules) -> Result<Self> {
        Self::new(Script::default(), rules)
    }

    pub fn at_port(port: u16) -> Result<Self> {
        Ok(Self { port, sink: None, ..Self::new(Script::default(), &Rules::default())? })
    }

    fn destinations(&self, guest: &Guest) -> Result<Vec<Destination>> {
        let stream = || -> Result<DestinationSettings> {
            let (name, secret) = CREDENTIAL;
            let credential = Credential::bearer(name, secrecy::SecretString::from(secret.to_owned()))?;
            let credential = if guest.wants("credentials") { Some(Arc::new(credential)) } else { None };
            Ok(DestinationSettings { url: format!("tcp://127.0.0.1:{}", self.port), credential, ..DestinationSettings::default() })
        };
        let settings = if guest.wants("http") {
            DestinationSettings { url: self.receiver.url(), methods: guest.methods(), ..DestinationSettings::default() }
        } else if guest.wants("tcp") {
            stream()?
        } else if guest.wants("udp") {
            DestinationSettings { url: format!("udp://127.0.0.1:{}", self.port), ..DestinationSettings::default() }
        } else {
            return Ok(Vec::new());
        };
        Ok(vec![Destination::new("primary", settings)?])
    }

    pub fn grants(&self, guest: &Guest) -> Result<ConnectorGrants> {
        let mut limits = Limits::default();
        // Long enough for everything but a receiver that never answers.
        limits.set_text("deadline", "2s")?;
        Ok(ConnectorGrants {
            destinations: self.destinations(guest)?,
            files: if guest.wants("files") {
                vec![FilesGrant { name: "primary".to_owned(), dir: self.dir.path().to_owned(), access: FileAccess::Write }]
            } else {
                Vec::new()
            },
            limits,
            ..ConnectorGrants::default()
        })
    }
}
