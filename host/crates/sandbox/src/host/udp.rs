//! `bulkhead:connector/udp`: datagrams to named destinations.

use super::answer_by;
use crate::bindings::udp as wit;
use crate::egress::RefusalKind;
use crate::egress::datagram::DatagramError;
use crate::store::Guest;

impl wit::Host for Guest {
    async fn send(&mut self, destination: String, datagram: Vec<u8>) -> wasmtime::Result<Result<(), wit::Error>> {
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let since = self.meter.wait();
        let sent = capabilities.egress.datagram(&self.bill, &destination, &datagram, answer_by(self.deadline)).await;
        self.meter.waited(since);
        Ok(sent.map_err(|error| match error {
            DatagramError::Refused(refusal) if refusal.kind == RefusalKind::Limit => wit::Error::Limit(refusal.to_string()),
            DatagramError::Refused(refusal) => wit::Error::Denied(refusal.to_string()),
            DatagramError::Broken(text) => wit::Error::Broken(text),
            DatagramError::Busy(text) => wit::Error::Limit(text),
        }))
    }
}
