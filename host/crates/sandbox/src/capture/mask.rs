//! Secrets that a configuration handed to a guest, taken out of what is kept; and comparisons that leave those places out.

use std::borrow::Cow;

use memchr::memmem;

use super::Bytes;
use crate::egress::redact::{MARK, Redactor};

/// Takes secrets out, and remembers whether there were any.
pub(super) struct Mask<'a> {
    redactor: &'a Redactor,
    found: bool,
}

impl<'a> Mask<'a> {
    pub fn new(redactor: &'a Redactor) -> Self {
        Self { redactor, found: false }
    }

    pub fn found(&self) -> bool {
        self.found
    }

    pub fn text(&mut self, text: &mut String) {
        let Cow::Owned(masked) = self.redactor.text(text.as_str()) else { return };
        *text = masked;
        self.found = true;
    }

    pub fn maybe(&mut self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.text(text);
        }
    }

    pub fn bytes(&mut self, bytes: &mut Bytes) {
        let Cow::Owned(masked) = self.redactor.bytes(&bytes.0) else { return };
        bytes.0 = masked;
        self.found = true;
    }

    pub fn headers(&mut self, headers: &mut [(String, Bytes)]) {
        for (name, value) in headers {
            self.text(name);
            self.bytes(value);
        }
    }
}

/// `now` becomes `then` where they differ in masked places only.
pub(super) fn text_as(now: &mut String, then: &str) {
    if alike(then.as_bytes(), now.as_bytes()) {
        then.clone_into(now);
    }
}

pub(super) fn bytes_as(now: &mut Bytes, then: &Bytes) {
    if alike(&then.0, &now.0) {
        now.0.clone_from(&then.0);
    }
}

pub(super) fn headers_as(now: &mut [(String, Bytes)], then: &[(String, Bytes)]) {
    for (now, then) in now.iter_mut().zip(then) {
        text_as(&mut now.0, &then.0);
        bytes_as(&mut now.1, &then.1);
    }
}

/// Whether the pieces of `then` between its marks are there now, in their order, from the first byte to the last.
pub(super) fn alike(then: &[u8], now: &[u8]) -> bool {
    let mark = MARK.as_bytes();
    let Some(first) = memmem::find(then, mark) else { return then == now };
    let Some(mut now) = now.strip_prefix(&then[..first]) else { return false };
    let mut then = &then[first + mark.len()..];
    while let Some(at) = memmem::find(then, mark) {
        let Some(found) = memmem::find(now, &then[..at]) else { return false };
        now = &now[found + at..];
        then = &then[at + mark.len()..];
    }
    now.ends_with(then)
}
