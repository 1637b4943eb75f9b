//! `bulkhead:connector/tcp`: byte streams to named destinations. A connection is an entry in the store's
//! table: it lives between calls and goes with the store, whatever ends it.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::Resource;

use super::answer_by;
use crate::bindings::tcp as wit;
use crate::egress::stream::{Stream, StreamError, until};
use crate::egress::{Refusal, RefusalKind};
use crate::store::Guest;

impl wit::Host for Guest {
    async fn connect(&mut self, destination: String, member: String, timeout: u32) -> wasmtime::Result<Result<Resource<Stream>, wit::Error>> {
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let since = self.meter.wait();
        let made = capabilities.egress.connect(&self.bill, &destination, &member, millis(timeout), answer_by(self.deadline)).await;
        self.meter.waited(since);
        match made {
            // A full table is the limit on handles, and ends the call.
            Ok(stream) => Ok(Ok(self.table().push(stream)?)),
            Err(failed) => Ok(Err(error(failed))),
        }
    }
}

impl wit::HostConnection for Guest {
    async fn write(&mut self, connection: Resource<Stream>, bytes: Vec<u8>, timeout: u32) -> wasmtime::Result<Result<(), wit::Error>> {
        let until = match bound(timeout, self.deadline) {
            Ok(until) => until,
            Err(refusal) => return Ok(Err(refused(refusal))),
        };
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let (since, bill) = (self.meter.wait(), self.bill.clone());
        let written = self.table().get_mut(&connection)?.write(&capabilities.egress, &bill, &bytes, until).await;
        self.meter.waited(since);
        Ok(written.map_err(error))
    }

    async fn read(&mut self, connection: Resource<Stream>, max: u32, timeout: u32) -> wasmtime::Result<Result<Vec<u8>, wit::Error>> {
        let until = match bound(timeout, self.deadline) {
            Ok(until) => until,
            Err(refusal) => return Ok(Err(refused(refusal))),
        };
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let (since, bill) = (self.meter.wait(), self.bill.clone());
        let read = self.table().get_mut(&connection)?.read(&capabilities.egress, &bill, usize::try_from(max).unwrap_or(usize::MAX), until).await;
        self.meter.waited(since);
        Ok(read.map_err(error))
    }

    async fn finish(&mut self, connection: Resource<Stream>) -> wasmtime::Result<Result<(), wit::Error>> {
        let (since, until) = (self.meter.wait(), answer_by(self.deadline));
        let finished = self.table().get_mut(&connection)?.finish(until).await;
        self.meter.waited(since);
        Ok(finished.map_err(error))
    }

    async fn secure(&mut self, connection: Resource<Stream>) -> wasmtime::Result<bool> {
        Ok(self.table().get(&connection)?.secure())
    }

    async fn drop(&mut self, connection: Resource<Stream>) -> wasmtime::Result<()> {
        self.table().delete(connection)?;
        Ok(())
    }
}

fn millis(timeout: u32) -> Duration {
    Duration::from_millis(timeout.into())
}

pub(super) fn bound(timeout: u32, deadline: Instant) -> Result<Instant, Refusal> {
    until(millis(timeout), answer_by(deadline))
}

fn error(error: StreamError) -> wit::Error {
    match error {
        StreamError::Refused(refusal) => refused(refusal),
        StreamError::Connect(text) => wit::Error::Connect(text),
        StreamError::Broken(text) => wit::Error::Broken(text),
        StreamError::Timeout => wit::Error::Timeout,
        StreamError::Closed => wit::Error::Closed,
        StreamError::Busy(text) => wit::Error::Limit(text),
    }
}

fn refused(refusal: Refusal) -> wit::Error {
    match refusal.kind {
        RefusalKind::Denied | RefusalKind::Invalid => wit::Error::Denied(refusal.to_string()),
        RefusalKind::Limit => wit::Error::Limit(refusal.to_string()),
    }
}
