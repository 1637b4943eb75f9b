//! The CEF formatter and the Splunk connector as guests, under fuel, epochs and limits.

use anyhow::{Context, Result, ensure};
use bulkhead_core::{Connector, EventRef, Formatter, RecordBatch};
use bulkhead_format::BatchBuilder;
use bulkhead_observe::Metrics;
use bulkhead_sandbox::{ConnectorGrants, Destination, DestinationSettings, FormatterGrants, Sandbox, SandboxSettings};
use bulkhead_tests::host::root;

pub struct Guests {
    pub formatter: Box<dyn Formatter>,
    pub connector: Box<dyn Connector>,
    pub for_formatter: BatchBuilder,
    pub for_connector: BatchBuilder,
}

impl Guests {
    pub async fn open() -> Result<Self> {
        let sandbox = Sandbox::new(SandboxSettings::default(), Metrics::new())?;
        let component = |name: &str| -> Result<_> {
            let path = root().join("target/guests").join(name).with_extension("wasm");
            let bytes = std::fs::read(&path).with_context(|| format!("{}; `cargo xtask build-guests` makes it", path.display()))?;
            Ok(sandbox.load(name, &bytes)?)
        };
        let formatter = sandbox.formatter(&component("format-cef")?, "{}".to_owned(), FormatterGrants::default())?;
        let formatter = formatter.open().await?;
        // A method that may not be used: the host takes the request in, decides, and refuses before any network.
        let settings = DestinationSettings { url: "http://127.0.0.1:9".to_owned(), methods: vec!["GET".to_owned()], ..DestinationSettings::default() };
        let grants = ConnectorGrants { instance: "bench".to_owned(), destinations: vec![Destination::new("primary", settings)?], ..ConnectorGrants::default() };
        let connector = sandbox.connector(&component("splunk-hec")?, "{}".to_owned(), grants)?.open(formatter.record_format()).await?;
        Ok(Self { formatter, connector, for_formatter: BatchBuilder::default(), for_connector: BatchBuilder::default() })
    }

    pub async fn format(&mut self, events: &[EventRef<'_>]) -> Result<RecordBatch> {
        let batch = self.for_formatter.fill(self.formatter.projection(), events.iter().copied());
        Ok(self.formatter.format(batch).await?.records)
    }

    /// Up to the request, which is refused.
    pub async fn deliver(&mut self, records: &RecordBatch, events: &[EventRef<'_>]) -> Result<()> {
        let batch = self.for_connector.fill(self.connector.projection(), events.iter().copied());
        let delivered = self.connector.deliver(records, batch, 1).await;
        ensure!(matches!(delivered, Err(bulkhead_core::DeliverError::Failure(_))), "a refused request was delivered: {delivered:?}");
        Ok(())
    }
}
