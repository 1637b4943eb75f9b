//! The live view: what is accepted and what becomes of it, for people who watch.
//!
//! There is one ring of what was last seen. Whoever listens reads it from a place of their own, at their own pace: a
//! slow listener falls behind the ring, loses what went out of it, and is told how much. Nobody waits for anybody.
//! Into the ring goes what some listener asked for and no more, [`RATE`] entries a second at most; the rest is
//! counted. Where nobody listens delivery reads one number and goes on. What a listener asked for is kept for
//! [`LINGER`] after it went, so that it can come back and go on where it was.

mod filter;
mod follow;
mod ring;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bulkhead_core::{Attr, Clock, EventRef, LaneId, Seq, Severity, TokenBucket};
use bulkhead_deliver::{Became, Look, RoutingTable, Seen};
use bulkhead_journal::Journal;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use filter::{Facts, Filter, Kind, OUTCOMES, Within};
pub use ring::Entry;
use ring::{Found, Ring};

use super::{Guise, shown};

/// Listeners at the same time.
pub const MOST_LISTENERS: usize = 16;
/// Entries a second that come into the ring.
const RATE: u64 = 2_000;
/// For how long what a listener asked for is watched after it went.
const LINGER: Duration = Duration::from_secs(60);

/// The live view. Cheap to clone.
#[derive(Clone)]
pub struct Tap(Arc<Inner>);

struct Inner {
    /// What is wanted, by listeners and for those who may come back; nothing is looked at where it is 0.
    wanted: AtomicUsize,
    interests: RwLock<Arc<[Interest]>>,
    ring: Mutex<Ring>,
    /// Moves when something came into the ring, and when it ends.
    news: watch::Sender<bool>,
    /// Where the journal ended when somebody began to listen last.
    begun: watch::Sender<Seq>,
    rate: Mutex<TokenBucket>,
    /// What was wanted and had no place.
    left_out: AtomicU64,
    /// Tells ids of this process from those of another.
    boot: u64,
    guise: Guise,
    routing: Arc<RoutingTable>,
    journal: Journal,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Interest {
    id: u64,
    filter: Arc<Filter>,
    /// Since when nobody listens for it.
    gone: Option<Duration>,
}

/// Why nobody more can listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_LISTENERS} listen already, and no more may")]
pub struct Full;

impl Tap {
    pub fn new(guise: Guise, routing: Arc<RoutingTable>, journal: Journal, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            wanted: AtomicUsize::new(0),
            interests: RwLock::default(),
            ring: Mutex::default(),
            news: watch::Sender::new(false),
            begun: watch::Sender::new(Seq(0)),
            rate: Mutex::new(TokenBucket::per_second(RATE)),
            left_out: AtomicU64::new(0),
            boot: clock.unix_nanos(),
            guise,
            routing,
            journal,
            clock,
        };
        Self(Arc::new(inner))
    }

    /// Watches what is accepted while somebody listens, until cancelled.
    pub async fn follow(self, stop: CancellationToken) {
        follow::run(self, stop).await;
    }

    /// Nothing more comes; every listener's stream ends.
    pub fn close(&self) {
        self.0.news.send_replace(true);
    }

    /// Listens from now on, or from behind the entry that was seen last. The place is given back when the listener is
    /// dropped.
    pub fn listen(&self, filter: Filter, last: Option<&str>) -> Result<Listener, Full> {
        let inner = &self.0;
        let filter = Arc::new(filter);
        let (id, next) = {
            let mut interests = inner.interests.write().unwrap_or_else(PoisonError::into_inner);
            if interests.iter().filter(|interest| interest.gone.is_none()).count() >= MOST_LISTENERS {
                return Err(Full);
            }
            let mut ring = lock(&inner.ring);
            let id = ring.listener();
            let mut all: Vec<Interest> = interests.to_vec();
            // Who comes back takes the place of who went.
            if let Some(at) = all.iter().position(|interest| interest.gone.is_some() && interest.filter == filter) {
                all.remove(at);
            }
            all.push(Interest { id, filter: Arc::clone(&filter), gone: None });
            inner.wanted.store(all.len(), Ordering::Relaxed);
            *interests = all.into();
            (id, ring.next())
        };
        inner.begun.send_replace(inner.journal.head());
        let mut listener = Listener { tap: self.clone(), id, filter, next, news: inner.news.subscribe(), unknown: None };
        if let Some(last) = last {
            listener.go_on(last);
        }
        Ok(listener)
    }

    /// Whether anybody wants anything: one relaxed load.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody wants to see outcomes of this instance.
    pub fn looks(&self, instance: &str) -> bool {
        self.is_wanted() && self.interests().iter().any(|interest| interest.filter.wants_outcomes_of(instance))
    }

    /// What became of events of a lane.
    pub fn became(&self, lane: &LaneId, seen: &mut dyn Iterator<Item = Seen<'_>>) {
        let interests = self.interests();
        // Only those who ask for a route need the rules once more.
        let mut look = interests.iter().any(|interest| interest.filter.names_routes()).then(|| self.0.routing.look());
        let lanes = [lane];
        for one in seen {
            let routes = look.as_mut().map(|look| look.at(&one.event).0).unwrap_or_default();
            self.offer(&interests, Kind::Outcome, &one.event, &lanes, &routes, Some(outcome(&one.became)), |out| {
                out.push_str(&tail(&one, lane));
            });
        }
    }

    /// An event that was accepted.
    fn accepted(&self, interests: &[Interest], look: &mut Look, seq: u64, event: &EventRef<'_>) {
        let (routes, lanes) = look.at(event);
        // Routes and lanes are said to each listener as far as it may see them.
        self.offer(interests, Kind::Accepted, event, &lanes, &routes, None, |out| out.push_str(&format!(",\"kind\":\"accepted\",\"seq\":{seq}")));
    }

    /// Puts an event into the ring where somebody wants it, before and after what is hidden of it was hidden: asking
    /// for a value must not tell that it is there.
    #[expect(clippy::too_many_arguments, reason = "the parts of one entry")]
    fn offer(
        &self,
        interests: &[Interest],
        kind: Kind,
        event: &EventRef<'_>,
        lanes: &[&LaneId],
        routes: &[Box<str>],
        outcome: Option<&'static str>,
        more: impl FnOnce(&mut String),
    ) {
        let wanted = |facts: &Facts<'_>| interests.iter().any(|interest| interest.filter.wants(facts));
        // It is never hidden.
        let tenant = event.tenant();
        if !wanted(&Facts { tenant, event_type: &event_type(event), severity: severity(event), lanes, routes, outcome }) {
            return;
        }
        if lock(&self.0.rate).take(self.0.clock.monotonic()).is_err() {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let with_body = interests.iter().any(|interest| interest.filter.body);
        let entry = self.0.guise.see(event, |event| {
            let event_type = event_type(event);
            if !wanted(&Facts { tenant, event_type: &event_type, severity: severity(event), lanes, routes, outcome }) {
                return None;
            }
            let mut text = shown::attributes(event);
            more(&mut text);
            let body = with_body.then(|| match shown::body(event) {
                Ok(body) => format!(",\"body\":{body}"),
                Err(bytes) => format!(",\"body_left_out_bytes\":{bytes}"),
            });
            let lanes = lanes.iter().map(|lane| (*lane).clone()).collect();
            let tenant = tenant.map(Into::into);
            Some(Entry { kind, tenant, event_type: event_type.into(), severity: severity(event), lanes, routes: routes.into(), outcome, text, body })
        });
        match entry {
            Some(Some(entry)) => self.put(entry),
            Some(None) => {}
            None => self.leave_out(1),
        }
    }

    fn put(&self, entry: Entry) {
        let left_out = self.0.left_out.swap(0, Ordering::Relaxed);
        let mut ring = lock(&self.0.ring);
        ring.left_out(left_out, "rate");
        ring.push(entry);
        drop(ring);
        self.0.news.send_modify(|_| {});
    }

    /// So many were not looked at, or had no place.
    fn leave_out(&self, events: u64) {
        self.0.left_out.fetch_add(events, Ordering::Relaxed);
    }

    /// Says what was left out since the last entry, and forgets what nobody came back for. Once a second.
    fn tidy(&self) {
        let inner = &self.0;
        let left_out = inner.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            lock(&inner.ring).left_out(left_out, "rate");
            inner.news.send_modify(|_| {});
        }
        let now = inner.clock.monotonic();
        let late = |interest: &Interest| interest.gone.is_some_and(|gone| now.saturating_sub(gone) >= LINGER);
        if !self.interests().iter().any(late) {
            return;
        }
        let mut interests = inner.interests.write().unwrap_or_else(PoisonError::into_inner);
        let kept: Vec<Interest> = interests.iter().filter(|interest| !late(interest)).cloned().collect();
        inner.wanted.store(kept.len(), Ordering::Relaxed);
        if kept.is_empty() {
            // What happens from here on nobody counts.
            lock(&inner.ring).unwatched();
        }
        *interests = kept.into();
    }

    fn interests(&self) -> Arc<[Interest]> {
        Arc::clone(&self.0.interests.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn event_type<'a>(event: &EventRef<'a>) -> std::borrow::Cow<'a, str> {
    event.attr(Attr::Type).and_then(|value| value.text()).unwrap_or_default()
}

/// One that says nothing counts as `info`, as it does for filters.
fn severity(event: &EventRef<'_>) -> Severity {
    event.severity().unwrap_or(Severity::Info)
}

fn outcome(became: &Became<'_>) -> &'static str {
    match became {
        Became::Delivered => "delivered",
        Became::Retried { .. } => "retried",
        Became::Unconfirmed => "unconfirmed",
        Became::DeadLetter { .. } => "dead_letter",
    }
}

fn tail(seen: &Seen<'_>, lane: &LaneId) -> String {
    let outcome = outcome(&seen.became);
    let mut text = format!(
        ",\"kind\":\"outcome\",\"seq\":{},\"instance\":{},\"format\":{},\"attempt\":{},\"outcome\":\"{outcome}\"",
        seen.seq,
        json!(&*lane.instance),
        json!(&*lane.format),
        seen.attempts
    );
    match seen.became {
        Became::Delivered | Became::Unconfirmed => {}
        Became::Retried { code, next_ms } => text.push_str(&format!(",\"code\":{},\"next_attempt\":{}", json!(code), json!(crate::api::rfc3339(next_ms)))),
        Became::DeadLetter { cause, reason } => text.push_str(&format!(",\"cause\":\"{}\",\"reason\":{}", cause.name(), json!(reason))),
    }
    text
}

/// Somebody who listens.
pub struct Listener {
    tap: Tap,
    id: u64,
    filter: Arc<Filter>,
    /// The entry that is looked at next.
    next: u64,
    news: watch::Receiver<bool>,
    /// What is to be said first: how much was missed cannot be.
    unknown: Option<&'static str>,
}

/// What a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Entry {
        id: String,
        event: &'static str,
        data: String,
    },
    /// Nothing for a while; the id of what was passed over, so that coming back begins there.
    Quiet {
        id: String,
    },
    End,
}

impl Listener {
    fn go_on(&mut self, last: &str) {
        let known = last.split_once('-').filter(|(boot, _)| u64::from_str_radix(boot, 16).is_ok_and(|boot| boot == self.tap.0.boot));
        match known.and_then(|(_, number)| number.parse::<u64>().ok()).filter(|number| *number < self.next) {
            Some(number) => self.next = number + 1,
            // An id of a host that has ended, or none at all.
            None => self.unknown = Some("restarted"),
        }
    }

    /// The next thing to tell; waits for it, at most `quiet`. Cancel safe.
    pub async fn next(&mut self, quiet: Duration) -> Told {
        if let Some(reason) = self.unknown.take() {
            return self.gap(None, reason);
        }
        let waiting = tokio::time::sleep(quiet);
        tokio::pin!(waiting);
        loop {
            if *self.news.borrow_and_update() {
                return Told::End;
            }
            if let Some(told) = self.found() {
                return told;
            }
            tokio::select! {
                () = &mut waiting => return Told::Quiet { id: self.id_of(self.next.saturating_sub(1)) },
                changed = self.news.changed() => if changed.is_err() { return Told::End },
            }
        }
    }

    fn found(&mut self) -> Option<Told> {
        loop {
            let found = lock(&self.tap.0.ring).get(self.next);
            match found {
                Found::Nothing => return None,
                Found::Gone { oldest } => {
                    let missed = oldest - self.next;
                    self.next = oldest;
                    return Some(self.gap(Some(missed), "slow"));
                }
                Found::LeftOut { missed, reason } => {
                    self.next += 1;
                    return Some(self.gap(missed, reason));
                }
                Found::Entry(entry) => {
                    self.next += 1;
                    if entry.matches(|facts| self.filter.wants(facts)) {
                        let body = if self.filter.body { entry.body.as_deref().unwrap_or_default() } else { "" };
                        let data = format!("{{{}{}{body}}}", entry.text, self.ways(&entry));
                        return Some(Told::Entry { id: self.id_of(self.next - 1), event: entry.kind.name(), data });
                    }
                }
            }
        }
    }

    /// Which rules chose which lanes for an event that was accepted.
    fn ways(&self, entry: &Entry) -> String {
        if entry.kind == Kind::Outcome {
            return String::new();
        }
        let routes: Vec<&str> = entry.routes.iter().map(|route| &**route).filter(|route| self.filter.shows_route(route)).collect();
        let lanes: Vec<String> = entry.lanes.iter().filter(|lane| self.filter.shows_instance(&lane.instance)).map(ToString::to_string).collect();
        format!(",\"routes\":{},\"lanes\":{}", json!(routes), json!(lanes))
    }

    fn gap(&self, missed: Option<u64>, reason: &str) -> Told {
        let data = json!({"kind": "gap", "missed": missed, "reason": reason}).to_string();
        Told::Entry { id: self.id_of(self.next.saturating_sub(1)), event: "gap", data }
    }

    fn id_of(&self, number: u64) -> String {
        format!("{:x}-{number}", self.tap.0.boot)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let inner = &self.tap.0;
        let now = inner.clock.monotonic();
        let mut interests = inner.interests.write().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Interest> = interests.to_vec();
        if let Some(interest) = all.iter_mut().find(|interest| interest.id == self.id) {
            interest.gone = Some(now);
        }
        // The oldest of those who went give way: what is watched for nobody has a bound.
        let gone = all.iter().filter(|interest| interest.gone.is_some()).count();
        if gone > MOST_LISTENERS
            && let Some(at) = all.iter().position(|interest| interest.gone.is_some())
        {
            all.remove(at);
        }
        inner.wanted.store(all.len(), Ordering::Relaxed);
        *interests = all.into();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
