//! Figures of instances by the hour and by the day: how often they were called, how long that took, how much of it
//! failed, and how much of the time they could deliver.
//!
//! Calls are counted from their receipts, in memory, and added to what the store has once in [`FLUSH`] and whenever
//! somebody asks. What a crash takes is at most that much. Where the store takes nothing the sums wait, one for each
//! instance and period, at most [`MOST`] of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::receipt::{CallEnd, ExchangeEnd, Receipt, ReceiptRoom, ReceiptSink};
use bulkhead_core::{BoxFuture, Clock};
use bulkhead_deliver::{BreakerState, Delivery, HoldCause};
use bulkhead_store::{Period, PeriodRow, Periods as Table, StoreError, Sums};
use tokio_util::sync::CancellationToken;

/// Between two additions to the store.
const FLUSH: Duration = Duration::from_secs(10);
/// Between two looks at whether instances can deliver.
const LOOK: Duration = Duration::from_secs(5);
const CLEAN: Duration = Duration::from_secs(3_600);
/// Sums that wait for the store.
const MOST: usize = 20_000;
/// For how long figures by the hour and by the day are kept.
const HOURS_MS: i64 = 14 * 86_400_000;
const DAYS_MS: i64 = 400 * 86_400_000;
/// Status with which systems refuse what is too much (RFC 6585 §4).
const TOO_MANY: u16 = 429;

/// Sums by instance, period and its begin.
type Waiting = HashMap<(Arc<str>, Period, i64), Sums>;

/// Counts. Cheap to clone.
#[derive(Clone)]
pub struct Periods(Arc<Inner>);

struct Inner {
    waiting: Mutex<Waiting>,
    /// One writer at a time, so that nothing is added twice.
    writing: tokio::sync::Mutex<()>,
    table: Table,
    clock: Arc<dyn Clock>,
}

impl Periods {
    pub fn new(table: Table, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { waiting: Mutex::default(), writing: tokio::sync::Mutex::default(), table, clock }))
    }

    /// Counts receipts on their way to where they are kept, if anywhere.
    pub fn before(&self, sink: Option<Arc<dyn ReceiptSink>>) -> Arc<dyn ReceiptSink> {
        Arc::new(Counting { periods: self.clone(), sink })
    }

    fn count(&self, receipt: &Receipt) {
        // Calls that serve nobody: a guest sees to its connections, or takes leave.
        if matches!(receipt.call, "maintain" | "close" | "configure" | "instantiate") {
            return;
        }
        let outcomes = receipt.outcomes;
        let failed = receipt.end != CallEnd::Answered || (outcomes.retry > 0 && outcomes.accepted + outcomes.rejected + outcomes.pending == 0);
        let throttled = receipt.exchanges.iter().filter(|exchange| exchange.end == ExchangeEnd::Status(TOO_MANY)).count();
        let calls = (receipt.exchanges.len() as u64).saturating_add(receipt.more_exchanges);
        let sums = Sums {
            operations: 1,
            failed: i64::from(failed),
            busy_us: number(receipt.ended.saturating_sub(receipt.begun) / 1_000),
            sent: number(receipt.sent),
            received: number(receipt.received),
            api_calls: number(calls),
            throttled: number(throttled as u64),
            ..Sums::default()
        };
        self.add(&receipt.identity.instance, number(receipt.ended / 1_000_000), &sums);
    }

    fn add(&self, instance: &Arc<str>, at_ms: i64, sums: &Sums) {
        let mut waiting = self.waiting();
        for period in Period::ALL {
            let key = (Arc::clone(instance), period, period.start(at_ms));
            // What is more than there is room for is not counted; that takes a store that is gone for days.
            if waiting.len() < MOST || waiting.contains_key(&key) {
                plus(waiting.entry(key).or_default(), sums);
            }
        }
    }

    /// Adds what was counted to what the store has.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _writing = self.0.writing.lock().await;
        let waiting = std::mem::take(&mut *self.waiting());
        if waiting.is_empty() {
            return Ok(());
        }
        let rows: Vec<PeriodRow> = waiting
            .iter()
            .map(|((instance, period, start_ms), sums)| PeriodRow { instance: instance.to_string(), period: *period, start_ms: *start_ms, sums: *sums })
            .collect();
        let Err(error) = self.0.table.add(&rows).await else { return Ok(()) };
        // Not taken: they go on waiting, with what was counted since.
        let mut again = self.waiting();
        for (key, sums) in waiting {
            plus(again.entry(key).or_default(), &sums);
        }
        Err(error)
    }

    /// The figures in the store.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// Looks at instances and writes down what was counted, until cancelled.
    pub async fn keep(self, delivery: Arc<Delivery>, stop: CancellationToken) {
        let (mut look, mut flush, mut clean) = (tokio::time::interval(LOOK), tokio::time::interval(FLUSH), tokio::time::interval(CLEAN));
        for ticks in [&mut look, &mut flush, &mut clean] {
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = clean.tick() => self.clean().await,
                _ = look.tick() => {
                    self.look(&delivery);
                    Ok(())
                }
                _ = flush.tick() => self.flush().await,
            };
            if let Err(error) = done {
                tracing::warn!(error = &error as &dyn std::error::Error, "figures of instances not written, trying again later");
            }
        }
        if let Err(error) = self.flush().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last figures of instances not written");
        }
    }

    /// An instance that people switched off is neither available nor not.
    fn look(&self, delivery: &Delivery) {
        let mut able: HashMap<Arc<str>, bool> = HashMap::new();
        for lane in delivery.status() {
            if lane.held == Some(HoldCause::Paused) {
                continue;
            }
            let can = lane.held.is_none() && !lane.dead_letters_full && lane.breaker != BreakerState::Open;
            *able.entry(lane.lane.instance).or_insert(true) &= can;
        }
        let at_ms = self.0.clock.unix_ms();
        for (instance, available) in able {
            self.add(&instance, at_ms, &Sums { looks: 1, available: i64::from(available), ..Sums::default() });
        }
    }

    async fn clean(&self) -> Result<(), StoreError> {
        let now_ms = self.0.clock.unix_ms();
        self.0.table.shrink(Period::Hour, now_ms.saturating_sub(HOURS_MS)).await?;
        self.0.table.shrink(Period::Day, now_ms.saturating_sub(DAYS_MS)).await.map(drop)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn plus(to: &mut Sums, more: &Sums) {
    for (to, more) in [
        (&mut to.operations, more.operations),
        (&mut to.failed, more.failed),
        (&mut to.busy_us, more.busy_us),
        (&mut to.sent, more.sent),
        (&mut to.received, more.received),
        (&mut to.api_calls, more.api_calls),
        (&mut to.throttled, more.throttled),
        (&mut to.looks, more.looks),
        (&mut to.available, more.available),
    ] {
        *to = to.saturating_add(more);
    }
}

struct Counting {
    periods: Periods,
    sink: Option<Arc<dyn ReceiptSink>>,
}

struct CountingRoom {
    periods: Periods,
    room: Option<Box<dyn ReceiptRoom>>,
}

impl ReceiptSink for Counting {
    fn room(&self) -> BoxFuture<'_, Box<dyn ReceiptRoom>> {
        Box::pin(async {
            let room = match &self.sink {
                Some(sink) => Some(sink.room().await),
                None => None,
            };
            Box::new(CountingRoom { periods: self.periods.clone(), room }) as Box<dyn ReceiptRoom>
        })
    }
}

impl ReceiptRoom for CountingRoom {
    fn put(self: Box<Self>, receipt: Receipt) {
        self.periods.count(&receipt);
        if let Some(room) = self.room {
            room.put(receipt);
        }
    }
}
