//! From the receipts of a webhook's instance to the log of its deliveries.

use std::sync::Arc;

use bulkhead_core::receipt::{CallEnd, ExchangeEnd, Receipt, ReceiptRoom, ReceiptSink};
use bulkhead_core::{Attr, BoxFuture, Seq};
use bulkhead_journal::{Frame, Journal};
use bulkhead_store::{DeliveryStatus, WebhookAttempt};
use tokio::sync::mpsc;

/// A call into the instance of a webhook.
pub struct Heard {
    pub webhook: Arc<str>,
    pub receipt: Receipt,
}

/// Takes receipts of one webhook for the log, and hands them on to where receipts are kept.
pub struct LogSink {
    pub webhook: Arc<str>,
    pub inner: Option<Arc<dyn ReceiptSink>>,
    pub log: mpsc::Sender<Heard>,
}

struct Room {
    webhook: Arc<str>,
    inner: Option<Box<dyn ReceiptRoom>>,
    /// None where the log is full, and while the host ends.
    place: Option<mpsc::OwnedPermit<Heard>>,
}

impl ReceiptSink for LogSink {
    fn room(&self) -> BoxFuture<'_, Box<dyn ReceiptRoom>> {
        Box::pin(async {
            // Never waited for: a log that is not written must hold up no delivery, of webhooks or of others.
            let place = match self.log.clone().try_reserve_owned() {
                Ok(place) => Some(place),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    tracing::warn!(webhook = &*self.webhook, "an attempt is left out of the log of deliveries: it comes faster than it is written");
                    None
                }
                Err(mpsc::error::TrySendError::Closed(_)) => None,
            };
            let inner = match &self.inner {
                Some(inner) => Some(inner.room().await),
                None => None,
            };
            Box::new(Room { webhook: Arc::clone(&self.webhook), inner, place }) as Box<dyn ReceiptRoom>
        })
    }
}

impl ReceiptRoom for Room {
    fn put(self: Box<Self>, receipt: Receipt) {
        let Self { webhook, inner, place } = *self;
        if receipt.call == "deliver"
            && let Some(place) = place
        {
            place.send(Heard { webhook, receipt: receipt.clone() });
        }
        if let Some(inner) = inner {
            inner.put(receipt);
        }
    }
}

/// Reads events again; the frame that was read last is kept, for events come in a row.
pub struct Events {
    journal: Journal,
    last: Option<Arc<Frame>>,
}

impl Events {
    pub fn new(journal: Journal) -> Self {
        Self { journal, last: None }
    }

    /// Id and type of an event, empty where it cannot be read any more.
    pub async fn named(&mut self, seq: Seq) -> (String, String) {
        if self.last.as_ref().is_none_or(|frame| index(frame, seq).is_none()) {
            self.last = if seq <= self.journal.head() { self.journal.reader(Seq(seq.0.saturating_sub(1))).next().await.ok() } else { None };
        }
        let Some((frame, index)) = self.last.as_ref().and_then(|frame| Some((frame, index(frame, seq)?))) else { return Default::default() };
        let event = frame.event(index);
        (event.id().into_owned(), event.attr(Attr::Type).and_then(|value| value.text()).unwrap_or_default().into_owned())
    }
}

pub fn index(frame: &Frame, seq: Seq) -> Option<usize> {
    let index = usize::try_from(seq.0.checked_sub(frame.first().0)?).ok()?;
    (index < frame.len()).then_some(index)
}

/// What a receipt says of the delivery of one event; nothing where it is about none.
pub fn attempt(heard: &Heard, (event_id, event_type): (String, String)) -> Option<WebhookAttempt> {
    let Heard { webhook, receipt } = heard;
    let exchange = receipt.exchanges.last();
    let (mut code, mut error) = (None, None);
    match exchange.map(|exchange| exchange.end) {
        Some(ExchangeEnd::Status(status)) => code = Some(i64::from(status)),
        Some(ExchangeEnd::Refused { class, .. }) => error = Some(class),
        Some(ExchangeEnd::Error(word)) => error = Some(word),
        Some(ExchangeEnd::CutOff) => error = Some("cut_off"),
        Some(ExchangeEnd::Closed) | None => {}
    }
    let outcomes = receipt.outcomes;
    let status = match receipt.end {
        CallEnd::Answered if outcomes.accepted > 0 => DeliveryStatus::Delivered,
        CallEnd::Answered if outcomes.rejected > 0 => DeliveryStatus::Failed,
        CallEnd::Failed("too-large") => DeliveryStatus::Failed,
        _ => DeliveryStatus::Retrying,
    };
    let said = match receipt.end {
        CallEnd::Answered => None,
        CallEnd::Failed(word) | CallEnd::Fault(word) => Some(word),
        CallEnd::Dropped => Some("cut_off"),
    };
    if code.is_none() {
        error = error.or(said);
    }
    Some(WebhookAttempt {
        webhook: webhook.to_string(),
        seq: i64::try_from(receipt.about.as_ref()?.first.0).ok()?,
        event_id,
        event_type,
        status,
        number: i64::from(receipt.attempt),
        code,
        error: error.map(str::to_owned),
        excerpt: exchange.and_then(|exchange| exchange.excerpt.clone()).filter(|excerpt| !excerpt.is_empty()),
        took_ms: exchange.map_or(0, |exchange| i64::try_from(exchange.took.as_millis()).unwrap_or(i64::MAX)),
        at_ms: i64::try_from(receipt.ended / 1_000_000).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use bulkhead_core::LaneId;
    use bulkhead_core::receipt::{About, Exchange, Outcomes};

    use super::*;

    fn receipt(end: CallEnd, outcomes: Outcomes, exchange: Option<ExchangeEnd>) -> Receipt {
        Receipt {
            identity: Arc::default(),
            call: "deliver",
            begun: 1_000_000,
            ended: 7_000_000,
            about: Some(About { lane: LaneId::new("webhook.a", "cloudevents"), first: Seq(5), last: Seq(5), replayed: 0 }),
            events: 1,
            attempt: 3,
            exchanges: exchange.map(|end| Exchange { end, excerpt: Some("body".into()), ..Exchange::default() }).into_iter().collect(),
            more_exchanges: 0,
            sent: 0,
            received: 0,
            outcomes,
            end,
            fuel: 0,
            guest_cpu: Default::default(),
            host_cpu: Default::default(),
        }
    }

    #[test]
    fn each_end_of_a_call_has_its_status() {
        let (accepted, rejected, retry) =
            (Outcomes { accepted: 1, ..Outcomes::default() }, Outcomes { rejected: 1, ..Outcomes::default() }, Outcomes { retry: 1, ..Outcomes::default() });
        for (end, outcomes, exchange, status, code, error) in [
            (CallEnd::Answered, accepted, Some(ExchangeEnd::Status(204)), DeliveryStatus::Delivered, Some(204), None),
            (CallEnd::Answered, rejected, Some(ExchangeEnd::Status(400)), DeliveryStatus::Failed, Some(400), None),
            (CallEnd::Answered, retry, Some(ExchangeEnd::Status(503)), DeliveryStatus::Retrying, Some(503), None),
            (CallEnd::Failed("configuration"), Outcomes::default(), Some(ExchangeEnd::Status(410)), DeliveryStatus::Retrying, Some(410), None),
            (CallEnd::Failed("unavailable"), Outcomes::default(), Some(ExchangeEnd::Error("connect")), DeliveryStatus::Retrying, None, Some("connect")),
            (CallEnd::Failed("too-large"), Outcomes::default(), Some(ExchangeEnd::Status(413)), DeliveryStatus::Failed, Some(413), None),
            (CallEnd::Dropped, Outcomes::default(), None, DeliveryStatus::Retrying, None, Some("cut_off")),
        ] {
            let heard = Heard { webhook: "a".into(), receipt: receipt(end, outcomes, exchange) };
            let attempt = attempt(&heard, ("e".into(), "t".into())).expect("a delivery");
            assert_eq!((attempt.status, attempt.code, attempt.error.as_deref()), (status, code, error), "{end:?} {exchange:?}");
            assert_eq!((attempt.seq, attempt.number, attempt.at_ms), (5, 3, 7));
        }
    }
}
