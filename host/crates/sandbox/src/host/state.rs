//! `bulkhead:connector/state`: small values that survive restarts, private to instance and tenant.
//! Keys and values are checked here; the totals where they can be checked in one transaction: in the
//! store behind [`StateStore`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_core::{BoxFuture, Tenant};

use crate::bindings::state as wit;
use crate::capture::{Answer, Ask, Bytes};
use crate::limits::{Limit, Watch};
use crate::store::Guest;

/// Longest key.
const MAX_KEY: usize = 128;

/// Whose state it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateScope {
    pub tenant: Tenant,
    pub instance: Arc<str>,
}

/// What all values of one scope may hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateQuota {
    pub max_keys: u64,
    /// Bytes of keys and values.
    pub max_bytes: u64,
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The scope would hold this many keys.
    #[error("{keys} keys")]
    Keys { keys: u64 },
    /// The scope would hold this many bytes.
    #[error("{bytes} bytes")]
    Bytes { bytes: u64 },
    #[error("the store does not answer: {0}")]
    Unavailable(String),
}

/// Keeps state. `set` is durable when it returns, and checks the quota in the same transaction.
pub trait StateStore: Send + Sync {
    fn get<'a>(&'a self, scope: &'a StateScope, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StateError>>;
    fn set<'a>(&'a self, scope: &'a StateScope, key: &'a str, value: Vec<u8>, quota: StateQuota) -> BoxFuture<'a, Result<(), StateError>>;
    fn delete<'a>(&'a self, scope: &'a StateScope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>>;
}

/// The state of one instance.
pub struct State {
    pub store: Arc<dyn StateStore>,
    pub scope: StateScope,
}

impl wit::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, wit::Error>> {
        let ask = self.tape.is_on().then(|| Ask::StateGet { key: key.clone() });
        if let Some(answer) = ask.as_ref().and_then(|ask| self.tape.play(ask)) {
            return Ok(match answer {
                Answer::Value(value) => Ok(value.map(|value| value.0)),
                other => Err(played(other)),
            });
        }
        let answer = self.read(&key).await;
        if let Some(ask) = ask {
            self.tape.note(ask, answer.as_ref().map_or_else(noted, |value| Answer::Value(value.clone().map(Bytes))));
        }
        Ok(answer)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), wit::Error>> {
        let ask = self.tape.is_on().then(|| Ask::StateSet { key: key.clone(), value: Bytes(value.clone()) });
        if let Some(answer) = ask.as_ref().and_then(|ask| self.tape.play(ask)) {
            return Ok(if answer == Answer::Done { Ok(()) } else { Err(played(answer)) });
        }
        let answer = self.write(&key, value).await;
        if let Some(ask) = ask {
            self.tape.note(ask, answer.as_ref().map_or_else(noted, |()| Answer::Done));
        }
        Ok(answer)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), wit::Error>> {
        let ask = self.tape.is_on().then(|| Ask::StateDelete { key: key.clone() });
        if let Some(answer) = ask.as_ref().and_then(|ask| self.tape.play(ask)) {
            return Ok(if answer == Answer::Done { Ok(()) } else { Err(played(answer)) });
        }
        let answer = self.remove(&key).await;
        if let Some(ask) = ask {
            self.tape.note(ask, answer.as_ref().map_or_else(noted, |()| Answer::Done));
        }
        Ok(answer)
    }
}

impl Guest {
    async fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, wit::Error> {
        let (capabilities, state) = self.state(key)?;
        let since = self.meter.wait();
        let got = state.store.get(&state.scope, key).await;
        self.meter.waited(since);
        got.map_err(|error| translated(&error, &capabilities.watch))
    }

    async fn write(&mut self, key: &str, value: Vec<u8>) -> Result<(), wit::Error> {
        let (capabilities, state) = self.state(key)?;
        let limits = &capabilities.limits;
        capabilities.watch.check(Limit::StateValue, value.len() as u64).map_err(wit::Error::Limit)?;
        let quota = StateQuota { max_keys: limits.get(Limit::StateKeys), max_bytes: limits.get(Limit::State) };
        let since = self.meter.wait();
        let done = state.store.set(&state.scope, key, value, quota).await;
        self.meter.waited(since);
        done.map_err(|error| translated(&error, &capabilities.watch))
    }

    async fn remove(&mut self, key: &str) -> Result<(), wit::Error> {
        let (capabilities, state) = self.state(key)?;
        let since = self.meter.wait();
        let done = state.store.delete(&state.scope, key).await;
        self.meter.waited(since);
        done.map_err(|error| translated(&error, &capabilities.watch))
    }

    fn state(&self, key: &str) -> Result<(Arc<crate::capabilities::Capabilities>, Arc<State>), wit::Error> {
        if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(wit::Error::Invalid(format!("a key is 1 to {MAX_KEY} bytes of printable ASCII")));
        }
        let capabilities = self.capabilities.clone();
        let state = capabilities.as_ref().and_then(|capabilities| capabilities.state.clone());
        capabilities.zip(state).ok_or_else(|| wit::Error::Unavailable("this instance has no state".into()))
    }
}

fn noted(error: &wit::Error) -> Answer {
    let (kind, text) = match error {
        wit::Error::Invalid(text) => ("invalid", text),
        wit::Error::Limit(text) => ("limit", text),
        wit::Error::Unavailable(text) => ("unavailable", text),
    };
    Answer::Error { kind: kind.to_owned(), text: text.clone() }
}

/// What a capture says in the place of an answer; one of another call is none.
fn played(answer: Answer) -> wit::Error {
    let Answer::Error { kind, text } = answer else { return wit::Error::Unavailable("the capture answers another call here".into()) };
    match kind.as_str() {
        "invalid" => wit::Error::Invalid(text),
        "limit" => wit::Error::Limit(text),
        _ => wit::Error::Unavailable(text),
    }
}

fn translated(error: &StateError, watch: &Watch) -> wit::Error {
    let limit = |limit: Limit, asked: u64| {
        watch.reached(limit);
        wit::Error::Limit(watch.limits().refusal(limit, asked))
    };
    match error {
        StateError::Keys { keys } => limit(Limit::StateKeys, *keys),
        StateError::Bytes { bytes } => limit(Limit::State, *bytes),
        // The cause is the operator's business.
        StateError::Unavailable(cause) => {
            tracing::warn!(cause, "the state store does not answer");
            wit::Error::Unavailable("the store does not answer".into())
        }
    }
}

/// State that lives as long as the process: for `dev`, `check` and tests.
#[derive(Debug, Default)]
pub struct MemoryState(Mutex<BTreeMap<StateScope, BTreeMap<String, Vec<u8>>>>);

impl StateStore for MemoryState {
    fn get<'a>(&'a self, scope: &'a StateScope, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StateError>> {
        let found = self.lock().get(scope).and_then(|values| values.get(key).cloned());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn set<'a>(&'a self, scope: &'a StateScope, key: &'a str, value: Vec<u8>, quota: StateQuota) -> BoxFuture<'a, Result<(), StateError>> {
        let mut all = self.lock();
        let values = all.entry(scope.clone()).or_default();
        let others = values.iter().filter(|(other, _)| *other != key);
        let (keys, bytes) =
            others.fold((1, (key.len() + value.len()) as u64), |(keys, bytes), (key, value)| (keys + 1, bytes + (key.len() + value.len()) as u64));
        let result = if keys > quota.max_keys {
            Err(StateError::Keys { keys })
        } else if bytes > quota.max_bytes {
            Err(StateError::Bytes { bytes })
        } else {
            values.insert(key.to_owned(), value);
            Ok(())
        };
        Box::pin(std::future::ready(result))
    }

    fn delete<'a>(&'a self, scope: &'a StateScope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        if let Some(values) = self.lock().get_mut(scope) {
            values.remove(key);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

impl MemoryState {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<StateScope, BTreeMap<String, Vec<u8>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
