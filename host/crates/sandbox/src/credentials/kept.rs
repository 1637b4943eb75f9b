//! A value that is fetched when it is needed, kept, and fetched again before it goes stale: by one
//! fetch at a time, however many ask.
//!
//! Promises: 100 callers at once cause one fetch, and all hear its end; a caller that gives up ends
//! nothing; a value that is still good is handed out while its successor is fetched; after a failure
//! nothing is fetched until a growing wait is over, and callers hear the failure at once. A failure that is the
//! affair of the caller who fetches is heard by that caller alone; the others fetch on their account.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{BoxFuture, Clock};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Wait after the first failure, doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Longest wait that the other side can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// A value that replaced a refused one is not given up for another refusal before this.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);

/// A fetched value and how long it is good, both from now.
pub(super) struct Fetched<T> {
    pub value: T,
    /// After this it is fetched again, while it is still handed out.
    pub fresh: Duration,
    /// After this it is not handed out any more.
    pub good: Duration,
}

/// Why there is no value. The text is for the guest and the log: no secret, nothing of what the other
/// side said beyond known words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Somebody must act; trying again will not help by itself.
    pub lasting: bool,
    pub text: String,
    /// The other side asked for this much patience.
    pub after: Option<Duration>,
    /// It is the caller's own affair: others that need the value fetch it on their account.
    pub own: bool,
}

impl Failure {
    pub(super) fn lasting(text: impl Into<String>) -> Self {
        Self { lasting: true, text: text.into(), after: None, own: false }
    }

    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self { lasting: false, text: text.into(), after: None, own: false }
    }

    pub(super) fn own(text: impl Into<String>) -> Self {
        Self { own: true, ..Self::passing(text) }
    }
}

/// A value as it is handed out.
pub(super) struct Held<T> {
    pub value: T,
    got: Duration,
    fresh_until: Duration,
    good_until: Duration,
    /// It was fetched because the one before was refused.
    replaces: bool,
    worked: AtomicBool,
}

impl<T> fmt::Debug for Held<T> {
    // Never the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("got", &self.got).finish_non_exhaustive()
    }
}

pub(super) struct Kept<T> {
    /// In log lines.
    name: String,
    state: Arc<Mutex<State<T>>>,
}

struct State<T> {
    held: Option<Arc<Held<T>>>,
    failure: Option<(Failure, Duration)>,
    failures: u32,
    running: Option<(watch::Receiver<Option<Failure>>, AbortHandle)>,
    refused: bool,
}

enum Ask<T> {
    Take(Arc<Held<T>>),
    TakeAndFetch(Arc<Held<T>>),
    Fetch,
    Wait(watch::Receiver<Option<Failure>>),
    Fail(Failure),
}

impl<T> State<T> {
    fn ask(&self, now: Duration) -> Ask<T> {
        let good = self.held.as_ref().filter(|held| now < held.good_until);
        if let Some(held) = good.filter(|held| now < held.fresh_until) {
            return Ask::Take(Arc::clone(held));
        }
        // A fetch that broke off leaves a closed channel behind.
        let running = self.running.as_ref().map(|(done, _)| done).filter(|done| done.has_changed().is_ok());
        let waiting = self.failure.as_ref().filter(|(_, until)| now < *until);
        match (good, running, waiting) {
            (Some(held), None, None) => Ask::TakeAndFetch(Arc::clone(held)),
            (Some(held), ..) => Ask::Take(Arc::clone(held)),
            (None, Some(done), _) => Ask::Wait(done.clone()),
            (None, None, Some((failure, _))) => Ask::Fail(failure.clone()),
            (None, None, None) => Ask::Fetch,
        }
    }

    fn finish(&mut self, result: Result<Fetched<T>, Failure>, now: Duration) {
        self.running = None;
        match result {
            Ok(Fetched { value, fresh, good }) => {
                let replaces = std::mem::take(&mut self.refused);
                let held = Held { value, got: now, fresh_until: now + fresh, good_until: now + good.max(fresh), replaces, worked: AtomicBool::new(false) };
                self.held = Some(Arc::new(held));
                self.failure = None;
                self.failures = 0;
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                let wait = FIRST_WAIT.saturating_mul(1 << (self.failures - 1).min(10)).min(LONGEST_WAIT);
                let wait = wait.max(failure.after.unwrap_or_default().min(LONGEST_ASKED));
                self.failure = Some((failure, now + wait));
            }
        }
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some((_, task)) = self.lock().running.take() {
            task.abort();
        }
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    pub(super) fn new(name: &str) -> Self {
        let state = State { held: None, failure: None, failures: 0, running: None, refused: false };
        Self { name: name.into(), state: Arc::new(Mutex::new(state)) }
    }

    /// The value; `fetch` must end by itself. Cancel safe.
    pub(super) async fn get(
        &self,
        clock: &Arc<dyn Clock>,
        fetch: impl Fn() -> BoxFuture<'static, Result<Fetched<T>, Failure>>,
    ) -> Result<Arc<Held<T>>, Failure> {
        loop {
            let (mut done, mine) = {
                let mut state = self.lock();
                match state.ask(clock.monotonic()) {
                    Ask::Take(held) => return Ok(held),
                    Ask::Fail(failure) => return Err(failure),
                    Ask::TakeAndFetch(held) => {
                        self.start(&mut state, clock, fetch());
                        return Ok(held);
                    }
                    Ask::Fetch => (self.start(&mut state, clock, fetch()), true),
                    Ask::Wait(done) => (done, false),
                }
            };
            // Either way the fetch is over: what it left is read on the next round.
            let _ = done.changed().await;
            if mine && let Some(failure) = done.borrow().clone() {
                return Err(failure);
            }
        }
    }

    fn start(&self, state: &mut State<T>, clock: &Arc<dyn Clock>, fetch: BoxFuture<'static, Result<Fetched<T>, Failure>>) -> watch::Receiver<Option<Failure>> {
        let (over, done) = watch::channel(None);
        let (shared, clock, name) = (Arc::clone(&self.state), Arc::clone(clock), self.name.clone());
        let task = tokio::spawn(async move {
            let result = fetch.await;
            // What a caller may not send is in the answer to it, as often as it tries.
            if let Err(failure) = &result
                && !failure.own
            {
                tracing::warn!(credential = name, reason = failure.text, "credential not fetched; what is there is used while it is good");
            }
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                // The next that needs the value fetches it at once.
                Err(failure) if failure.own => {
                    state.running = None;
                    over.send_replace(Some(failure));
                }
                result => state.finish(result, clock.monotonic()),
            }
        });
        state.running = Some((done.clone(), task.abort_handle()));
        done
    }

    /// The other side refused the value: it is fetched again, unless it is itself a replacement that
    /// never worked and is young, so that a receiver that refuses everything causes no storm.
    pub(super) fn refused(&self, value: &Arc<Held<T>>, now: Duration) {
        let mut state = self.lock();
        let current = state.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, value));
        let again = value.replaces && !value.worked.load(Ordering::Relaxed) && now.saturating_sub(value.got) < REFUSED_AGAIN;
        if current && !again {
            state.held = None;
            state.refused = true;
        }
    }
}

impl<T> Kept<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Held<T> {
    pub(super) fn worked(&self) {
        self.worked.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
