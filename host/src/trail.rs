//! The trail: who did what to the host, from where, and what it was before and after; who was not let
//! through; what people and their rules did to events. It lies in the chain of receipts, where one is kept,
//! and goes to the log as well.
//!
//! Promises: an entry has its place in the chain before its request is answered; refusals of one sort from
//! one place are summed up by the minute, so that nobody floods the chain by being refused. Refuses: secrets
//! (handlers say what goes in), bodies, and details of more than [`MOST_DETAIL`] bytes.

mod refusals;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_audit::TrailKind;
use bulkhead_core::Tenant;
use serde_json::{Value, json};

pub use refusals::Refusal;
use refusals::{Refusals, Sum};

use crate::observed::logs::Logs;
use crate::receipts::HostReceipts;

/// Bytes of what something was before, and of what it is after; more is left out, and its size said.
pub const MOST_DETAIL: usize = 4 << 10;
/// Bytes of an entry; a line of the chain that nobody reads any more would be worse than one that says less.
const MOST_ENTRY: usize = 32 << 10;
/// Characters of an object's name.
const MOST_OBJECT: usize = 256;

/// Writes the trail. Cheap to clone; all clones write the same one.
#[derive(Clone)]
pub struct Trail(Arc<Inner>);

struct Inner {
    receipts: Option<Arc<HostReceipts>>,
    /// Instances have a log of their own.
    logs: Logs,
    refusals: Mutex<Refusals>,
}

/// A request that changes something, as it was answered.
#[derive(Debug)]
pub struct Change<'a> {
    pub actor: &'a str,
    /// Whose they are; nothing: the host's.
    pub tenant: Option<&'a Tenant>,
    pub from: Option<IpAddr>,
    /// Name of the endpoint's row.
    pub action: &'a str,
    pub noted: Noted,
    pub status: u16,
}

impl Trail {
    pub fn new(receipts: Option<&Arc<HostReceipts>>, logs: Logs) -> Self {
        Self(Arc::new(Inner { receipts: receipts.cloned(), logs, refusals: Mutex::default() }))
    }

    /// What was done to events. Waits for a place in the chain. Cancel safe.
    pub async fn act(&self, action: &str, about: Value) {
        self.put(TrailKind::Act, action, about).await;
    }

    /// The same for those that must not wait.
    pub fn act_soon(&self, action: &'static str, about: Value) {
        let trail = self.clone();
        tokio::spawn(async move { trail.act(action, about).await });
    }

    /// Waits for a place in the chain. Cancel safe.
    pub async fn change(&self, change: Change<'_>) {
        let Change { actor, tenant, from, action, noted, status } = change;
        // What somebody of a tenant was refused may be about an instance of another's, which must not hear of it.
        if tenant.is_none() || status < 400 {
            self.0.logs.change(&noted.object, actor, action, status);
        }
        let mut about = json!({"actor": actor, "tenant": tenant.map(Tenant::as_str), "from": from, "object": noted.object.chars().take(MOST_OBJECT).collect::<String>(), "status": status});
        for (name, detail) in [("before", noted.before), ("after", noted.after)] {
            if let Some(detail) = detail {
                about[name] = bounded(detail);
            }
        }
        self.put(TrailKind::Change, action, about).await;
    }

    /// Waits for a place in the chain where it is the first of its sort for a while. Cancel safe.
    pub async fn refused(&self, action: &str, refusal: Refusal, now: Duration) {
        let about = refusal.about();
        if self.refusals().first(refusal, now) {
            self.put(TrailKind::Refusal, action, about).await;
        }
    }

    /// Puts the sums of refusals on record whose minute is over; all of them at the end.
    pub async fn sum_up(&self, now: Option<Duration>) {
        let due = self.refusals().due(now);
        for Sum { refusal, count } in due {
            let mut about = refusal.about();
            about["count"] = count.into();
            self.put(TrailKind::Refusal, "summed_up", about).await;
        }
    }

    /// A key was used for the first time since the start, or from another place. Waits for a place. Cancel safe.
    pub async fn signed_in(&self, about: Value) {
        self.put(TrailKind::SignIn, "sign_in", about).await;
    }

    async fn put(&self, kind: TrailKind, action: &str, about: Value) {
        let about = if about.to_string().len() > MOST_ENTRY { json!({"left_out_bytes": about.to_string().len()}) } else { about };
        tracing::info!(kind = kind.name(), action, %about, "on record");
        if let (Some(receipts), Value::Object(about)) = (&self.0.receipts, about) {
            receipts.trail(kind, action, about).await;
        }
    }

    fn refusals(&self) -> std::sync::MutexGuard<'_, Refusals> {
        self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bounded(detail: Value) -> Value {
    let bytes = detail.to_string().len();
    if bytes > MOST_DETAIL { json!({"left_out_bytes": bytes}) } else { detail }
}

/// What a handler says about the change that it makes; what it does not say is not on record. Never a
/// secret.
#[derive(Debug, Clone, Default)]
pub struct Note(Arc<Mutex<Noted>>);

#[derive(Debug, Default, PartialEq)]
pub struct Noted {
    pub object: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Note {
    /// What is changed, such as `instances/siem`; the path of the request where nothing is said.
    pub fn object(&self, object: impl Into<String>) -> &Self {
        self.noted().object = object.into();
        self
    }

    pub fn before(&self, before: Value) -> &Self {
        self.noted().before = Some(before);
        self
    }

    pub fn after(&self, after: Value) -> &Self {
        self.noted().after = Some(after);
        self
    }

    pub fn take(&self) -> Noted {
        std::mem::take(&mut *self.noted())
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_have_a_bound_and_say_what_was_left_out() {
        assert_eq!(bounded(json!({"a": 1})), json!({"a": 1}));
        assert_eq!(bounded(json!("x".repeat(MOST_DETAIL))), json!({"left_out_bytes": MOST_DETAIL + 2}));
    }
}
