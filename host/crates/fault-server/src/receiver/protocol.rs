//! A protocol of a test's own: it holds requests against the rules of a vendor and answers as the vendor does.

use std::fmt;
use std::sync::Arc;

use crate::http::Head;

use super::Step;

/// Sees each request with its body inflated, and says what is answered. `next` takes a step of the script: for
/// requests that keep the rules, so that a request which breaks one or only asks uses none up.
#[derive(Clone)]
pub struct Protocol(Arc<Rules>);

type Rules = dyn Fn(&Head, &[u8], &mut dyn FnMut() -> Step) -> Step + Send + Sync;

impl Protocol {
    pub fn new(rules: impl Fn(&Head, &[u8], &mut dyn FnMut() -> Step) -> Step + Send + Sync + 'static) -> Self {
        Self(Arc::new(rules))
    }

    pub(super) fn answer(&self, head: &Head, body: &[u8], next: &mut dyn FnMut() -> Step) -> Step {
        (self.0)(head, body, next)
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol")
    }
}
