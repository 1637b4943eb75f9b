//! A place for one formatter: opened when it is needed, replaced when it broke or has served long enough.

use std::sync::Arc;

use bulkhead_core::{EventBatch, Formatted, Formatter, FormatterSource, GuestFault, OpenError};

/// Why a call to the formatter gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FormatFault {
    #[error("the formatter cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// The formatter broke a rule. `fresh` says that this was its first call, so that nothing before
    /// can be to blame.
    #[error("the formatter failed: {fault}")]
    Guest { fault: GuestFault, fresh: bool },
}

/// One formatter of one worker.
pub struct FormatterSlot {
    source: Arc<dyn FormatterSource>,
    /// Calls after which a fresh one takes over; guards against memory that only grows.
    max_calls: u64,
    guest: Option<Box<dyn Formatter>>,
    calls: u64,
}

impl FormatterSlot {
    /// `max_calls` is at least 1.
    pub fn new(source: Arc<dyn FormatterSource>, max_calls: u64) -> Self {
        Self { source, max_calls: max_calls.max(1), guest: None, calls: 0 }
    }

    /// The formatter for the next call. Cancel safe: a formatter half opened is dropped.
    pub async fn ready(&mut self) -> Result<&mut dyn Formatter, OpenError> {
        let withdrawn = self.guest.as_ref().is_some_and(|guest| !guest.may_run());
        if withdrawn || self.calls >= self.max_calls {
            self.close();
        }
        if self.guest.is_none() {
            self.guest = Some(self.source.open().await?);
            self.calls = 0;
        }
        Ok(self.guest.as_mut().expect("opened above").as_mut())
    }

    /// Formats a batch; the answer has one record per event, and refusals name events of the batch.
    /// Not cancel safe: dropping the future kills the formatter, the next call opens another.
    pub async fn format(&mut self, events: &EventBatch) -> Result<Formatted, FormatFault> {
        self.ready().await?;
        // Out of its place while it runs: a dropped future takes the broken guest with it.
        let mut guest = self.guest.take().expect("opened above");
        let fresh = self.calls == 0;
        self.calls += 1;
        let checked = guest.format(events).await.and_then(|formatted| check(formatted, events.count as usize));
        match checked {
            Ok(formatted) => {
                self.guest = Some(guest);
                Ok(formatted)
            }
            Err(fault) => Err(FormatFault::Guest { fault, fresh }),
        }
    }

    /// Lets the formatter go, for example when its worker has been idle.
    pub fn close(&mut self) {
        self.guest = None;
        self.calls = 0;
    }
}

/// The sandbox checked the records; a refusal must name an event, because lanes index by it.
fn check(mut formatted: Formatted, count: usize) -> Result<Formatted, GuestFault> {
    formatted.records.check(count).map_err(GuestFault::Contract)?;
    formatted.refused.sort_by_key(|refusal| refusal.event);
    formatted.refused.dedup_by_key(|refusal| refusal.event);
    match formatted.refused.last() {
        Some(last) if last.event as usize >= count => Err(GuestFault::Contract(format!("refused event {} of a batch of {count}", last.event))),
        _ => Ok(formatted),
    }
}

#[cfg(test)]
mod tests;
