//! Calls on record: a receipt of each delivery, and of each other call that let anything leave the host,
//! however the call ends.

use std::sync::Arc;

use bulkhead_core::receipt::{About, CallEnd, Identity, Outcomes, Receipt, ReceiptRoom, ReceiptSink};
use bulkhead_core::{Clock, DeliverError, Delivery, GuestFault, Outcome};

use crate::bill::Bill;
use crate::connector::Shared;
use crate::fault;

/// Where the receipts of an instance go, and what they say of its configuration.
#[derive(Clone)]
pub struct Receipting {
    pub sink: Arc<dyn ReceiptSink>,
    /// Digest of what the instance may reach and of its limits.
    pub policy: Arc<str>,
    /// Digest of the instance's whole configuration.
    pub configuration: Arc<str>,
    /// Bytes of each answer's body that are handed to the sink; 0 for none.
    pub excerpt: usize,
}

pub(crate) struct Receipts {
    pub sink: Arc<dyn ReceiptSink>,
    pub identity: Arc<Identity>,
}

/// A call whose receipt has a place already.
pub(crate) struct Attempt {
    room: Option<Box<dyn ReceiptRoom>>,
    identity: Arc<Identity>,
    bill: Arc<Bill>,
    clock: Arc<dyn Clock>,
    call: &'static str,
    begun: u64,
    about: Option<About>,
    events: u32,
    number: u32,
    outcomes: Outcomes,
    end: CallEnd,
    /// On record even where nothing left the host.
    always: bool,
}

impl Attempt {
    /// Waits for a place in the queue of receipts. `None` where no receipts are kept. Cancel safe.
    pub async fn begin(shared: &Shared, bill: &Arc<Bill>, call: &'static str) -> Option<Self> {
        Some(Self::on(shared.receipts.as_ref()?, &shared.factory.clock, bill, call).await)
    }

    /// The same for what the host does for an instance without calling into it.
    pub async fn on(receipts: &Receipts, clock: &Arc<dyn Clock>, bill: &Arc<Bill>, call: &'static str) -> Self {
        let room = receipts.sink.room().await;
        let clock = Arc::clone(clock);
        // What the call before left behind is not this one's.
        bill.open();
        Self {
            room: Some(room),
            identity: Arc::clone(&receipts.identity),
            bill: Arc::clone(bill),
            begun: clock.unix_nanos(),
            clock,
            call,
            about: None,
            events: 0,
            number: 0,
            outcomes: Outcomes::default(),
            end: CallEnd::Dropped,
            always: false,
        }
    }

    /// How it ended.
    pub fn ended(mut self, end: CallEnd) {
        self.end = end;
    }

    /// On record whatever it does.
    pub fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// A call that hands events over, or asks about them.
    pub fn of(mut self, about: Option<About>, events: u32, number: u32) -> Self {
        (self.about, self.events, self.number, self.always) = (about, events, number, true);
        self
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(room) = self.room.take() else { return };
        let made = self.bill.take_exchanges();
        if !self.always && made.listed.is_empty() {
            return;
        }
        let sum = self.bill.sum();
        room.put(Receipt {
            identity: Arc::clone(&self.identity),
            call: self.call,
            begun: self.begun,
            ended: self.clock.unix_nanos(),
            about: self.about.take(),
            events: self.events,
            attempt: self.number,
            exchanges: made.listed,
            more_exchanges: made.more,
            sent: sum.sent,
            received: sum.received,
            outcomes: self.outcomes,
            end: self.end,
            fuel: sum.fuel,
            guest_cpu: sum.guest,
            host_cpu: sum.host,
        });
    }
}

/// Puts a call on record that answers nothing but that it went well.
pub(crate) fn kept<T>(attempt: Option<Attempt>, result: Result<T, GuestFault>) -> Result<T, GuestFault> {
    if let Some(mut attempt) = attempt {
        attempt.end = match &result {
            Ok(_) => CallEnd::Answered,
            Err(fault) => CallEnd::Fault(fault::label(fault)),
        };
    }
    result
}

/// Puts a call on record with what it answered.
pub(crate) fn answered<T>(attempt: Option<Attempt>, answer: &Result<T, DeliverError>, outcomes: impl FnOnce(&T) -> Outcomes) {
    let Some(mut attempt) = attempt else { return };
    match answer {
        Ok(value) => (attempt.end, attempt.outcomes) = (CallEnd::Answered, outcomes(value)),
        Err(DeliverError::Failure(failure)) => attempt.end = CallEnd::Failed(failure.name()),
        Err(DeliverError::Fault(fault)) => attempt.end = CallEnd::Fault(fault::label(fault)),
    }
}

pub(crate) fn delivered(delivery: &Delivery, events: u32) -> Outcomes {
    match delivery {
        Delivery::All(outcome) => {
            let mut outcomes = Outcomes::default();
            *slot(&mut outcomes, outcome) = events;
            outcomes
        }
        Delivery::Each(each) => counted(each),
    }
}

pub(crate) fn counted(each: &[Outcome]) -> Outcomes {
    let mut outcomes = Outcomes::default();
    each.iter().for_each(|outcome| *slot(&mut outcomes, outcome) += 1);
    outcomes
}

fn slot<'a>(outcomes: &'a mut Outcomes, outcome: &Outcome) -> &'a mut u32 {
    match outcome {
        Outcome::Accepted { .. } => &mut outcomes.accepted,
        Outcome::Retry { .. } => &mut outcomes.retry,
        Outcome::Rejected { .. } => &mut outcomes.rejected,
        Outcome::Pending { .. } => &mut outcomes.pending,
    }
}
