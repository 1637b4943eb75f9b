//! Deliveries that are kept to be run again elsewhere: what a connector was handed, what the host answered it, what
//! came of it.
//!
//! Promised: what is kept is what the guest saw, after encryption rules and redaction; the secret of no credential, for
//! the host adds those behind the guest; none that the configuration hands the guest, where [`Capturing`] knows it and it
//! is long enough to be found; and so many deliveries, so many bytes, for so long, as was asked for. Kept are
//! calls of `http` and `state`; a connector that reaches anything else is not captured. A guest that is run again hears
//! what was kept, in its order, and reaches nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{Clock, DeliverError, Delivery, EventBatch, Failure, Outcome, RecordBatch, RecordFormat};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::component::Component;
use crate::egress::redact::Redactor;

mod bytes;
mod mask;
mod tape;

pub use bytes::Bytes;
use mask::Mask;
pub(crate) use tape::Tape;
pub use tape::{Answer, Ask, HostCall, HttpRequest, HttpResponse};

/// The form of what is kept.
pub const FORM: u32 = 1;
/// Most deliveries that one request asks for.
pub const MOST: u32 = 100;
/// Most bytes that one delivery is kept with, and all of an instance together.
const MOST_BYTES: usize = 4 << 20;
const MOST_TOGETHER: usize = 32 << 20;
/// Longest that deliveries are waited for.
pub const MOST_TIME: Duration = Duration::from_secs(3_600);
/// What anything with a place of its own costs beside its text: a call, a header field, an outcome.
const EACH: usize = 64;
/// Interfaces whose calls are kept; the others leave nothing to answer with.
const KEPT: [&str; 4] = ["http", "state", "log", "metrics"];

/// One delivery, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Captured {
    /// [`FORM`].
    pub capture: u32,
    pub instance: String,
    pub component: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Without secrets: what `${…}` filled in, and what the schema marks, is not there.
    pub config: Value,
    pub format: Format,
    /// Fields that the connector asked for.
    pub fields: Vec<String>,
    pub events: Events,
    pub records: Records,
    pub attempt: u32,
    /// Deliveries that this guest had done before: what it remembers of them is not here.
    pub before: u64,
    /// What its clock said, in nanoseconds since 1970.
    pub at: u64,
    pub calls: Vec<HostCall>,
    pub end: End,
    /// Secrets of the configuration were taken out of fields, calls or the end: those places are not compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    pub name: String,
    pub content_type: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    pub count: u32,
    pub block: Bytes,
    pub spans: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    pub block: Bytes,
    pub offsets: Vec<u32>,
}

/// How the call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    All(Said),
    Each(Vec<Said>),
    Failure(Said),
    Fault(String),
}

/// An outcome or a failure: its word in the contract, its text, its wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    pub word: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

impl End {
    pub fn of(result: &Result<Delivery, DeliverError>) -> Self {
        match result {
            Ok(Delivery::All(outcome)) => Self::All(said(outcome)),
            Ok(Delivery::Each(outcomes)) => Self::Each(outcomes.iter().map(said).collect()),
            Err(DeliverError::Failure(failure)) => Self::Failure(failed(failure)),
            Err(DeliverError::Fault(fault)) => Self::Fault(fault.to_string()),
        }
    }

    /// The same with masked places of `then` in place of what is here.
    #[must_use]
    pub fn masked_as(mut self, then: &Self) -> Self {
        match (&mut self, then) {
            (Self::All(now), Self::All(then)) | (Self::Failure(now), Self::Failure(then)) => now.mask_as(then),
            (Self::Each(now), Self::Each(then)) => now.iter_mut().zip(then).for_each(|(now, then)| now.mask_as(then)),
            (Self::Fault(now), Self::Fault(then)) => mask::text_as(now, then),
            _ => {}
        }
        self
    }

    fn mask(&mut self, mask: &mut Mask<'_>) {
        match self {
            Self::All(said) | Self::Failure(said) => mask.maybe(&mut said.text),
            Self::Each(all) => all.iter_mut().for_each(|said| mask.maybe(&mut said.text)),
            Self::Fault(text) => mask.text(text),
        }
    }

    fn bytes(&self) -> usize {
        let one = |said: &Said| EACH + said.word.len() + said.text.as_ref().map_or(0, String::len);
        match self {
            Self::All(said) | Self::Failure(said) => one(said),
            Self::Each(all) => all.iter().map(one).sum(),
            Self::Fault(text) => text.len(),
        }
    }
}

impl Said {
    fn mask_as(&mut self, then: &Self) {
        if let (Some(now), Some(then)) = (&mut self.text, &then.text) {
            mask::text_as(now, then);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn said(outcome: &Outcome) -> Said {
    let (word, text, wait) = match outcome {
        Outcome::Accepted { receipt } => ("accepted", receipt.clone(), None),
        Outcome::Retry { after } => ("retry", None, *after),
        Outcome::Rejected { reason } => ("rejected", Some(reason.clone()), None),
        Outcome::Pending { token, poll_after } => ("pending", Some(token.clone()), Some(*poll_after)),
    };
    Said { word: word.to_owned(), text, wait_ms: wait.map(millis) }
}

fn failed(failure: &Failure) -> Said {
    let (text, wait) = match failure {
        Failure::Configuration(text) | Failure::Unauthorized(text) | Failure::TooLarge(text) | Failure::Other(text) => (Some(text.clone()), None),
        Failure::Unavailable { reason, after } => (Some(reason.clone()), *after),
        Failure::Unsupported => (None, None),
    };
    Said { word: failure.name().to_owned(), text, wait_ms: wait.map(millis) }
}

/// Deliveries of one instance that are to be kept, and those that were. Outlives the instance's guests and reloads.
#[derive(Debug, Default)]
pub struct Captures {
    /// Looked at before every delivery.
    armed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Which request this is: what an earlier one began is not kept by this one.
    generation: u64,
    wanted: u32,
    until: Duration,
    kept: Vec<Arc<Captured>>,
    bytes: usize,
    /// Deliveries that were too large to be kept.
    passed: u32,
}

/// How far a capture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub waiting: u32,
    pub kept: usize,
    pub bytes: usize,
    pub passed: u32,
}

impl Captures {
    /// Keeps the next deliveries until a moment of the monotonic clock, in place of those that were kept.
    pub fn arm(&self, deliveries: u32, until: Duration) {
        let mut state = self.lock();
        let generation = state.generation + 1;
        *state = State { generation, wanted: deliveries.min(MOST), until, ..State::default() };
        self.armed.store(deliveries > 0, Ordering::Release);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.arm(0, Duration::ZERO);
    }

    /// What was kept, in the order in which the deliveries ended, as of this moment.
    pub fn kept(&self, now: Duration) -> (Progress, Vec<Arc<Captured>>) {
        let mut state = self.lock();
        self.end(&mut state, now);
        (Progress { waiting: state.wanted, kept: state.kept.len(), bytes: state.bytes, passed: state.passed }, state.kept.clone())
    }

    /// For which request the delivery that begins now is to be kept, if for any; it counts from here on.
    pub(crate) fn begin(&self, clock: &dyn Clock) -> Option<u64> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        self.end(&mut state, clock.monotonic());
        if state.wanted == 0 {
            return None;
        }
        state.wanted -= 1;
        if state.wanted == 0 {
            self.armed.store(false, Ordering::Release);
        }
        Some(state.generation)
    }

    /// Keeps a delivery for the request that it began under; where that was cleared or replaced meanwhile, nothing.
    pub(crate) fn keep(&self, generation: u64, captured: Option<Captured>, bytes: usize) {
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        match captured.filter(|_| bytes <= MOST_BYTES && state.bytes + bytes <= MOST_TOGETHER) {
            Some(captured) => {
                state.bytes += bytes;
                state.kept.push(Arc::new(captured));
            }
            None => state.passed += 1,
        }
    }

    /// Once the time is up nothing more is waited for.
    fn end(&self, state: &mut State, now: Duration) {
        if now >= state.until {
            state.wanted = 0;
            self.armed.store(false, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps deliveries of an instance, with its configuration as it may be shown, and what finds its secrets.
#[derive(Debug, Clone)]
pub struct Capturing {
    pub captures: Arc<Captures>,
    pub config: Arc<Value>,
    pub redactor: Arc<Redactor>,
}

/// A delivery that is run again: what the host answers, and what was other than then.
#[derive(Debug, Default)]
pub struct Playback {
    fields: Vec<String>,
    /// Places of it are masked: they are not compared.
    redacted: bool,
    begun: AtomicBool,
    calls: Mutex<VecDeque<HostCall>>,
    differences: Mutex<Vec<String>>,
}

/// Most differences that are kept; one is often followed by many.
const MOST_DIFFERENCES: usize = 100;

impl Playback {
    pub fn new(captured: &Captured) -> Self {
        Self { fields: captured.fields.clone(), redacted: captured.redacted, calls: Mutex::new(captured.calls.iter().cloned().collect()), ..Self::default() }
    }

    /// What was other than then, once the call has ended.
    pub fn differences(&self) -> Vec<String> {
        let mut differences = self.differences.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let left = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = left.front() {
            differences.push(format!("{} calls of the host were not made again, the next of them {}", left.len(), next.ask.name()));
        }
        differences
    }

    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    pub(crate) fn configured(&self, fields: &[String]) {
        let mut now = fields.to_vec();
        if self.redacted {
            now.iter_mut().zip(&self.fields).for_each(|(now, then)| mask::text_as(now, then));
        }
        if now != self.fields {
            self.differs(format!("the connector asks for the fields {fields:?}; it was handed {:?}", self.fields));
        }
    }

    fn differs(&self, difference: String) {
        let mut differences = self.differences.lock().unwrap_or_else(PoisonError::into_inner);
        if differences.len() < MOST_DIFFERENCES {
            differences.push(difference);
        }
    }

    /// The answer that was given then; an error where nothing was asked any more.
    fn answer(&self, ask: &Ask) -> Answer {
        let next = if self.begun.load(Ordering::Acquire) { self.calls.lock().unwrap_or_else(PoisonError::into_inner).pop_front() } else { None };
        let Some(call) = next else {
            self.differs(format!("{} was not called then, or not any more", ask.name()));
            return Answer::Error { kind: "broken".to_owned(), text: "the capture has no answer for this call".to_owned() };
        };
        let difference = if self.redacted { call.ask.difference(&ask.clone().masked_as(&call.ask)) } else { call.ask.difference(ask) };
        if let Some(difference) = difference {
            self.differs(difference);
        }
        call.answer
    }
}

/// What becomes of the calls of an instance's guests.
#[derive(Debug, Clone, Default)]
pub enum Recording {
    /// Nothing.
    #[default]
    Off,
    Kept(Capturing),
    Played(Arc<Playback>),
}

/// Whether deliveries of a component can be kept: where not, what stands in the way.
pub fn hindrance<'a>(capabilities: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let others: Vec<_> = capabilities.into_iter().filter(|name| !KEPT.contains(name)).collect();
    (!others.is_empty()).then(|| format!("it reaches {}; what is kept are calls of http and state", others.join(", ")))
}

/// What is known of a delivery as it begins.
pub(crate) struct Begun<'a> {
    pub instance: &'a str,
    pub component: &'a Component,
    pub format: &'a RecordFormat,
    pub fields: &'a [String],
    pub before: u64,
    pub at: u64,
    pub number: u32,
}

impl Begun<'_> {
    /// The whole, without the secrets that are known, with its size in bytes; `None` where that is too much, and nothing
    /// was copied for it.
    pub fn captured(
        &self,
        capturing: &Capturing,
        records: &RecordBatch,
        events: &EventBatch,
        tape: Tape,
        result: &Result<Delivery, DeliverError>,
    ) -> (Option<Captured>, usize) {
        let mut mask = Mask::new(&capturing.redactor);
        let (calls, bytes) = tape.kept();
        let mut end = End::of(result);
        end.mask(&mut mask);
        let own = self.bytes(&capturing.config, records, events) + end.bytes();
        let Some(mut calls) = calls.filter(|_| own + bytes <= MOST_BYTES) else { return (None, own + bytes) };
        let mut fields = self.fields.to_vec();
        fields.iter_mut().for_each(|field| mask.text(field));
        calls.iter_mut().for_each(|call| call.mask(&mut mask));
        // A mark may be longer than what it stands for.
        let bytes = own + calls.iter().map(HostCall::bytes).sum::<usize>();
        let captured = Captured {
            capture: FORM,
            instance: self.instance.to_owned(),
            component: self.component.name().to_owned(),
            digest: self.component.inspection().digest_hex(),
            config: (*capturing.config).clone(),
            format: Format { name: self.format.name.clone(), content_type: self.format.content_type.clone() },
            fields,
            events: Events { count: events.count, block: Bytes(events.block.clone()), spans: events.spans.clone() },
            records: Records { block: Bytes(records.block.clone()), offsets: records.offsets.clone() },
            attempt: self.number,
            before: self.before,
            at: self.at,
            calls,
            end,
            redacted: mask.found(),
        };
        (Some(captured), bytes)
    }

    /// All but the calls and the end.
    fn bytes(&self, config: &Value, records: &RecordBatch, events: &EventBatch) -> usize {
        let names = [self.instance, self.component.name(), &self.format.name, &self.format.content_type];
        let texts = names.iter().map(|name| name.len()).sum::<usize>() + self.fields.iter().map(|field| EACH + field.len()).sum::<usize>();
        let blocks = records.block.len() + events.block.len() + 4 * (events.spans.len() + records.offsets.len());
        EACH + texts + config.to_string().len() + blocks
    }
}

#[cfg(test)]
mod tests;
