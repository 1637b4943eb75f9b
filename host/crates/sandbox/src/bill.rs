//! What a call costs: processor time of the guest and of the host on its behalf, bytes out and in, and
//! the memory that a store holds over time.
//!
//! Processor time is the executing thread's own clock, read around each poll of the call, so that
//! neither waiting nor other calls on the same thread count. How much of a poll was the guest's follows
//! from the wall clock at each crossing between guest and host: reading that one takes a tenth of the
//! time. Work that the host hands to other threads (compression) is measured there. Not on the bill,
//! because nothing says whose it is: the tasks that drive HTTP connections, and the kernel's share of
//! them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bulkhead_core::Clock;
use bulkhead_core::receipt::{Exchange, MAX_EXCHANGES};
use bulkhead_observe::GuestCosts;
use rustix::time::{ClockId, clock_gettime};

use crate::egress::Dialled;

/// The bill of the store's call: opened when it begins, booked when it ends, readable until the next.
/// Only one thread at a time works on a call, so nothing here waits.
#[derive(Debug)]
pub struct Bill {
    /// Wall times below count from here.
    base: Instant,
    in_guest: AtomicBool,
    /// When the guest was entered, or the poll began within it.
    entered: AtomicU64,
    /// Wall time of the guest in the poll under way.
    inside: AtomicU64,
    guest: AtomicU64,
    host: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    fuel: AtomicU64,
    booked: AtomicBool,
    exchanges: Mutex<Exchanges>,
}

/// What left the host in one call, and what came back.
#[derive(Debug, Default)]
pub struct Exchanges {
    /// The first [`MAX_EXCHANGES`].
    pub listed: Vec<Exchange>,
    /// How many more there were.
    pub more: u64,
    /// Streams and their places in the list, if they have one.
    streams: Vec<(u64, Option<usize>)>,
}

impl Exchanges {
    /// Puts the part of a stream in this call on record, and remembers where. A guest has few streams
    /// at a time (`limits.tcp_connections`), but may open one after the other.
    fn begin(&mut self, id: u64, exchange: Exchange) -> Option<usize> {
        let place = (self.listed.len() < MAX_EXCHANGES).then_some(self.listed.len());
        match place {
            Some(_) => self.listed.push(exchange),
            None => self.more += 1,
        }
        if self.streams.len() == MAX_STREAMS {
            self.streams.remove(0);
        }
        self.streams.push((id, place));
        place
    }
}

/// Streams that are told apart in one call; beyond it the oldest is counted again when it is used.
const MAX_STREAMS: usize = 64;

/// The sum of a bill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Processor time in the guest.
    pub guest: Duration,
    /// Processor time of the host on its behalf.
    pub host: Duration,
    /// Bytes of request bodies and of stream writes.
    pub sent: u64,
    /// Bytes of answers' bodies and of stream reads.
    pub received: u64,
    pub fuel: u64,
}

impl Default for Bill {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            in_guest: AtomicBool::new(false),
            entered: AtomicU64::new(0),
            inside: AtomicU64::new(0),
            guest: AtomicU64::new(0),
            host: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            booked: AtomicBool::new(true),
            exchanges: Mutex::default(),
        }
    }
}

impl Bill {
    /// Begins anew.
    pub fn open(&self) {
        for counter in [&self.guest, &self.host, &self.sent, &self.received, &self.fuel] {
            counter.store(0, Ordering::Relaxed);
        }
        self.in_guest.store(false, Ordering::Relaxed);
        self.booked.store(false, Ordering::Relaxed);
        self.take_exchanges();
    }

    /// Adds it to the metrics, once.
    pub fn book(&self, costs: &GuestCosts) {
        if self.booked.swap(true, Ordering::Relaxed) {
            return;
        }
        let sum = self.sum();
        for (counter, time) in [(&costs.cpu_guest, sum.guest), (&costs.cpu_host, sum.host)] {
            if !time.is_zero() {
                counter.inc_by(time.as_secs_f64());
            }
        }
        costs.bytes_out.inc_by(sum.sent);
        costs.bytes_in.inc_by(sum.received);
    }

    pub fn used_fuel(&self, fuel: u64) {
        self.fuel.store(fuel, Ordering::Relaxed);
    }

    /// Measures one poll.
    pub fn poll<T>(&self, poll: impl FnOnce() -> T) -> T {
        let (cpu, wall) = (thread_time(), self.wall());
        // A guest that gave its thread back at a tick is still inside.
        self.entered.store(wall, Ordering::Relaxed);
        self.inside.store(0, Ordering::Relaxed);
        let value = poll();
        if self.in_guest.load(Ordering::Relaxed) {
            self.leave();
        }
        let (cpu, wall) = (nanos(thread_time().saturating_sub(cpu)), self.wall().saturating_sub(wall));
        let inside = self.inside.load(Ordering::Relaxed).min(wall);
        let guest = share(cpu, inside, wall);
        self.guest.fetch_add(guest, Ordering::Relaxed);
        self.host.fetch_add(cpu - guest, Ordering::Relaxed);
        value
    }

    /// The engine enters the guest, or comes back to it from a host function.
    pub fn enter_guest(&self) {
        self.in_guest.store(true, Ordering::Relaxed);
        self.entered.store(self.wall(), Ordering::Relaxed);
    }

    /// The engine leaves the guest, for a host function or for good.
    pub fn leave_guest(&self) {
        if self.in_guest.swap(false, Ordering::Relaxed) {
            self.leave();
        }
    }

    fn leave(&self) {
        let inside = self.wall().saturating_sub(self.entered.load(Ordering::Relaxed));
        self.inside.fetch_add(inside, Ordering::Relaxed);
    }

    /// Adds what another thread worked for this call.
    pub fn aside(&self, time: Duration) {
        self.host.fetch_add(nanos(time), Ordering::Relaxed);
    }

    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Puts an exchange on record, its bytes on the bill.
    pub fn record(&self, exchange: Exchange) {
        self.sent(exchange.sent);
        self.received(exchange.received);
        let mut exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        if exchanges.listed.len() < MAX_EXCHANGES {
            exchanges.listed.push(exchange);
        } else {
            exchanges.more += 1;
        }
    }

    /// Adds to the exchange that stands for a stream in this call; put on record where there is none yet.
    pub fn stream(&self, id: u64, of: &Exchange, sent: u64, received: u64) {
        self.sent(sent);
        self.received(received);
        let mut exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match exchanges.streams.iter().find(|(known, _)| *known == id) {
            Some((_, place)) => *place,
            None => exchanges.begin(id, of.clone()),
        };
        if let Some(listed) = place.and_then(|place| exchanges.listed.get_mut(place)) {
            listed.sent += sent;
            listed.received += received;
        }
    }

    /// The exchanges so far; the list begins anew.
    pub fn take_exchanges(&self) -> Exchanges {
        std::mem::take(&mut *self.exchanges.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn sum(&self) -> Sum {
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        Sum {
            guest: time(&self.guest),
            host: time(&self.host),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            fuel: self.fuel.load(Ordering::Relaxed),
        }
    }

    fn wall(&self) -> u64 {
        nanos(self.base.elapsed())
    }
}

/// An exchange under way. It is on record however it ends: a call that is cut off drops it.
pub struct Recording<'a> {
    bill: &'a Bill,
    begun: Instant,
    done: bool,
    pub exchange: Exchange,
    /// Whom the bytes may have gone to, as long as no answer says so.
    pub dialled: Option<Arc<Dialled>>,
}

impl<'a> Recording<'a> {
    pub fn new(bill: &'a Bill, protocol: &'static str, destination: &str) -> Self {
        let exchange = Exchange { protocol, destination: destination.into(), ..Exchange::default() };
        Self { bill, begun: Instant::now(), done: false, exchange, dialled: None }
    }

    pub fn bill(&self) -> &'a Bill {
        self.bill
    }

    /// The exchange is a stream that goes on: what it carries is added to it.
    pub fn stream(mut self, id: u64) {
        self.exchange.took = self.begun.elapsed();
        self.bill.stream(id, &std::mem::take(&mut self.exchange), 0, 0);
        self.done = true;
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.exchange.took = self.begun.elapsed();
        self.exchange.address = self.exchange.address.or_else(|| self.dialled.as_ref()?.connected());
        self.bill.record(std::mem::take(&mut self.exchange));
    }
}

/// Memory over time. Between calls a store is billed with what it holds, for a call with what it holds
/// at the end of it: linear memory only grows.
pub struct Held {
    clock: Arc<dyn Clock>,
    costs: Arc<GuestCosts>,
    since: Duration,
}

impl Held {
    pub fn new(clock: Arc<dyn Clock>, costs: Arc<GuestCosts>) -> Self {
        Self { since: clock.monotonic(), clock, costs }
    }

    /// Bills the time since the last of these.
    pub fn book(&mut self, bytes: usize) {
        let now = self.clock.monotonic();
        let seconds = now.saturating_sub(std::mem::replace(&mut self.since, now)).as_secs_f64();
        self.costs.byte_seconds.inc_by(bytes as f64 * seconds);
    }

    pub fn costs(&self) -> &GuestCosts {
        &self.costs
    }
}

/// Processor time of this thread.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The part of `whole` that `part` is of `of`.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    if of == 0 {
        return 0;
    }
    u64::try_from(u128::from(whole) * u128::from(part.min(of)) / u128::from(of)).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use bulkhead_core::receipt::ExchangeEnd;

    use super::*;

    fn work(time: Duration) {
        let start = thread_time();
        while thread_time() - start < time {
            std::hint::spin_loop();
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_poll_is_split_between_guest_and_host() {
        let bill = Bill::default();
        bill.poll(|| {
            work(4 * MS);
            bill.enter_guest();
            work(20 * MS);
            bill.leave_guest();
            work(4 * MS);
        });
        let sum = bill.sum();
        let all = sum.guest + sum.host;
        assert!(all >= 28 * MS && all < 100 * MS, "{sum:?}");
        // The split follows the wall clock: a busy machine may take the thread away in either half.
        assert!(sum.guest >= 4 * MS && sum.host >= MS, "{sum:?}");
        bill.open();
        assert_eq!(bill.sum(), Sum::default());
    }

    #[test]
    fn a_guest_that_gives_its_thread_back_is_still_inside_at_the_next_poll() {
        let bill = Bill::default();
        bill.poll(|| {
            bill.enter_guest();
            work(2 * MS);
        });
        // Neither waiting nor the work of others counts.
        std::thread::scope(|scope| scope.spawn(|| work(30 * MS)).join().expect("ends"));
        work(30 * MS);
        bill.poll(|| {
            work(2 * MS);
            bill.leave_guest();
        });
        let sum = bill.sum();
        assert!(sum.guest >= 3 * MS && sum.guest + sum.host < 25 * MS, "{sum:?}");
    }

    #[test]
    fn exchanges_are_on_record_however_they_end_and_beyond_the_bound_they_are_counted() {
        let bill = Bill::default();
        for i in 0..MAX_EXCHANGES as u64 + 5 {
            let mut recording = Recording::new(&bill, "http", "primary");
            recording.exchange.sent = i;
            recording.exchange.received = 1;
        }
        let made = bill.take_exchanges();
        assert_eq!((made.listed.len(), made.more), (MAX_EXCHANGES, 5));
        assert_eq!(made.listed[3].end, ExchangeEnd::CutOff);
        let sum = bill.sum();
        assert_eq!((sum.sent, sum.received), (20 * 21 / 2, 21), "bytes of all, listed or not");
        assert!(bill.take_exchanges().listed.is_empty());
    }

    #[test]
    fn shares_neither_divide_by_zero_nor_overflow() {
        assert_eq!(share(10, 0, 0), 0);
        assert_eq!(share(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(share(100, 1, 4), 25);
        assert_eq!(share(100, 9, 4), 100);
    }
}
