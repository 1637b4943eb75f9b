//! Lines of guests for the operator: `log.write`, standard output and standard error. Cut by line, by
//! call and by second; what was cut is counted. Control characters are escaped, secrets redacted.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::{Clock, TokenBucket};
use prometheus::IntCounter;

use crate::bindings::log as wit;
use crate::egress::redact::Redactor;
use crate::limits::{Limit, Watch};
use crate::store::Guest;

pub use wit::Level;

impl wit::Host for Guest {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.log.write(level, &message);
        Ok(())
    }
}

/// Where lines go. Tests collect them.
pub trait LogSink: Send + Sync {
    fn line(&self, instance: &str, component: &str, level: Level, text: &str);
}

/// The host's own log.
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingSink;

impl LogSink for TracingSink {
    fn line(&self, instance: &str, component: &str, level: Level, text: &str) {
        match level {
            Level::Debug => tracing::debug!(target: "bulkhead::guest", instance, component, "{text}"),
            Level::Info => tracing::info!(target: "bulkhead::guest", instance, component, "{text}"),
            Level::Warn => tracing::warn!(target: "bulkhead::guest", instance, component, "{text}"),
            Level::Error => tracing::error!(target: "bulkhead::guest", instance, component, "{text}"),
        }
    }
}

/// What the stores of one instance share: the rate, the sink, the secrets.
pub struct InstanceLog {
    pub instance: Arc<str>,
    pub component: Arc<str>,
    pub sink: Arc<dyn LogSink>,
    pub redactor: Arc<Redactor>,
    pub clock: Arc<dyn Clock>,
    pub cut: IntCounter,
    watch: Arc<Watch>,
    rate: Mutex<TokenBucket>,
    /// The rate that is only counted, where it is.
    counted_rate: Option<Mutex<TokenBucket>>,
    line: usize,
    call: usize,
}

impl InstanceLog {
    pub fn new(
        instance: &str,
        component: &str,
        sink: Arc<dyn LogSink>,
        redactor: Arc<Redactor>,
        clock: Arc<dyn Clock>,
        cut: IntCounter,
        watch: Arc<Watch>,
    ) -> Self {
        let limits = watch.limits();
        let rate = Mutex::new(TokenBucket::per_second(limits.enforced(Limit::LogRate)));
        let counted_rate = limits.counts(Limit::LogRate).then(|| Mutex::new(TokenBucket::per_second(limits.get(Limit::LogRate))));
        let (line, call) = (limits.size(Limit::LogLine), limits.size(Limit::LogCall));
        Self { instance: instance.into(), component: component.into(), sink, redactor, clock, cut, watch, rate, counted_rate, line, call }
    }
}

impl InstanceLog {
    /// Whether a line may pass that brings its call to so many bytes.
    fn fits(&self, bytes: usize, now: Duration) -> bool {
        let take = |rate: &Mutex<TokenBucket>| rate.lock().unwrap_or_else(PoisonError::into_inner).take(now).is_ok();
        if bytes > self.call {
            self.watch.reached(Limit::LogCall);
            return false;
        }
        if !take(&self.rate) {
            self.watch.reached(Limit::LogRate);
            return false;
        }
        if self.counted_rate.as_ref().is_some_and(|rate| !take(rate)) {
            self.watch.note(Limit::LogRate, self.watch.limits().get(Limit::LogRate) + 1);
        }
        true
    }
}

/// The log of one store.
pub struct GuestLog {
    shared: Arc<InstanceLog>,
    /// Bytes written and lines cut in this call.
    call: Mutex<(usize, u64)>,
}

impl GuestLog {
    pub fn new(shared: Arc<InstanceLog>) -> Self {
        Self { shared, call: Mutex::new((0, 0)) }
    }

    /// A new call begins.
    pub fn begin(&self) {
        *self.lock() = (0, 0);
    }

    /// The call is over: says how much was cut.
    pub fn end(&self) {
        let cut = std::mem::take(&mut self.lock().1);
        if cut > 0 {
            let text = format!("{cut} log lines of one call were cut or held back; see limits.log_line, limits.log_call and limits.log_rate");
            self.shared.sink.line(&self.shared.instance, &self.shared.component, Level::Warn, &text);
        }
    }

    /// The longest line that is taken; more is cut anyway.
    pub fn line_limit(&self) -> usize {
        self.shared.line
    }

    pub fn write(&self, level: Level, message: &str) {
        let shared = &*self.shared;
        let now = shared.clock.monotonic();
        let allowed = {
            let mut call = self.lock();
            let length = message.len().min(shared.line);
            let fits = shared.fits(call.0.saturating_add(length), now);
            if fits {
                call.0 += length;
                shared.watch.note(Limit::LogCall, call.0 as u64);
            }
            if message.len() > shared.line {
                shared.watch.reached(Limit::LogLine);
            }
            shared.watch.note(Limit::LogLine, length as u64);
            if !fits || message.len() > shared.line {
                call.1 += 1;
                shared.cut.inc();
            }
            fits
        };
        if allowed {
            let text = clean(message, shared.line, &shared.redactor);
            shared.sink.line(&shared.instance, &shared.component, level, &text);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, u64)> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guest text as it may be shown: without secrets, without what a terminal or a log reader would
/// obey, at most about `limit` bytes.
pub fn clean(text: &str, limit: usize, redactor: &Redactor) -> String {
    // A secret on the edge is found whole before the cut.
    let head = cut(text, limit.saturating_add(redactor.longest()));
    let redacted = redactor.head_text(head, limit);
    let short = cut(&redacted, limit);
    let mut out = String::with_capacity(short.len());
    for character in short.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Direction marks and overrides reorder what people read.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
            _ if character.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    if text.len() > limit {
        out.push('…');
    }
    out
}

/// The longest prefix of at most `limit` bytes that ends at a character.
pub fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests;
