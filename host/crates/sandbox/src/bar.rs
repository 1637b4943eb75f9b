//! Components that must not run any more: asked at every load, at every opening and before every call, so
//! that a revocation acts on instances that are open and warm.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Whether one component is barred. Once it is, it stays so.
#[derive(Debug, Default)]
pub struct Bar(OnceLock<Arc<str>>);

impl Bar {
    /// Who barred it, and why.
    pub fn reason(&self) -> Option<&Arc<str>> {
        self.0.get()
    }
}

/// The bars of all components met so far, by digest. It grows with the components of one process.
#[derive(Debug, Default)]
pub struct Bars(Mutex<HashMap<[u8; 32], Arc<Bar>>>);

impl Bars {
    pub fn of(&self, digest: [u8; 32]) -> Arc<Bar> {
        Arc::clone(self.lock().entry(digest).or_default())
    }

    /// From now on. The first reason counts.
    pub fn bar(&self, digest: [u8; 32], reason: &str) {
        let bar = self.of(digest);
        let _ = bar.0.set(reason.into());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Bar>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_reaches_whoever_asked_before_and_stays() {
        let bars = Bars::default();
        let (held, other) = (bars.of([1; 32]), bars.of([2; 32]));
        bars.bar([1; 32], "by ada");
        bars.bar([1; 32], "by bob");
        assert_eq!(held.reason().map(|reason| &**reason), Some("by ada"));
        assert!(other.reason().is_none() && bars.of([1; 32]).reason().is_some());
    }
}
