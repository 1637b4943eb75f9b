//! How much goes to and comes from a destination within a window of 60 seconds. A window begins with
//! the first byte after the last one ended. Pure: time is an argument.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::limits::{Limit, WINDOW, Watch};

/// The windows of one instance, one for each destination.
#[derive(Debug, Default)]
pub struct Windows(BTreeMap<String, Mutex<Window>>);

#[derive(Debug, Default)]
struct Window {
    since: Duration,
    out: u64,
    back: u64,
}

impl Windows {
    pub fn new<'a>(destinations: impl Iterator<Item = &'a String>) -> Self {
        Self(destinations.map(|name| (name.clone(), Mutex::default())).collect())
    }

    /// Takes `bytes` that are about to be sent. The error says which limit and how long the window
    /// still lasts; nothing is taken then.
    pub fn send(&self, destination: &str, bytes: u64, now: Duration, watch: &Watch) -> Result<(), String> {
        self.with(destination, now, |window| {
            let after = |limit: Limit, amount: u64, window: &Window| {
                let left = (window.since + WINDOW).saturating_sub(now).as_secs() + 1;
                watch.check(limit, amount).map_err(|text| format!("destination `{destination}`: {text}; the window ends in {left}s"))
            };
            // What came back so far was read whole; only then there is a reason to ask no more.
            if window.back > watch.limits().enforced(Limit::BytesIn) {
                after(Limit::BytesIn, window.back, window)?;
            }
            after(Limit::BytesOut, window.out.saturating_add(bytes), window)?;
            window.out = window.out.saturating_add(bytes);
            Ok(())
        })
    }

    /// Counts bytes that came in.
    pub fn receive(&self, destination: &str, bytes: u64, now: Duration, watch: &Watch) {
        self.with(destination, now, |window| {
            window.back = window.back.saturating_add(bytes);
            watch.note(Limit::BytesIn, window.back);
            Ok(())
        })
        .unwrap_or_default();
    }

    fn with(&self, destination: &str, now: Duration, act: impl FnOnce(&mut Window) -> Result<(), String>) -> Result<(), String> {
        let Some(window) = self.0.get(destination) else { return Ok(()) };
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        if (window.out == 0 && window.back == 0) || now >= window.since + WINDOW {
            *window = Window { since: now, out: 0, back: 0 };
        }
        act(&mut window)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bulkhead_core::SystemClock;

    use super::*;
    use crate::limits::Limits;

    fn watch(change: impl FnOnce(&mut Limits)) -> (bulkhead_observe::Metrics, Watch) {
        let metrics = bulkhead_observe::Metrics::new();
        let mut limits = Limits::default();
        limits.set(Limit::BytesOut, 100).expect("within");
        limits.set(Limit::BytesIn, 50).expect("within");
        change(&mut limits);
        let watch = Watch::new(limits.into(), metrics.guest("siem", "evil"), Arc::new(SystemClock::default()));
        (metrics, watch)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_window_holds_for_its_destination_and_its_minute() {
        let (metrics, watch) = watch(|_| ());
        let names = ["a".to_owned(), "b".to_owned()];
        let windows = Windows::new(names.iter());
        assert_eq!(windows.send("a", 60, 5 * SECOND, &watch), Ok(()));
        assert_eq!(
            windows.send("a", 41, 6 * SECOND, &watch).expect_err("too much"),
            "destination `a`: bytes_out of 100 bytes reached: 101 bytes asked for; raise `limits.bytes_out` to allow more; the window ends in 60s"
        );
        assert_eq!(windows.send("a", 40, 7 * SECOND, &watch), Ok(()), "what was refused does not count");
        assert_eq!(windows.send("b", 100, 7 * SECOND, &watch), Ok(()), "another destination");
        assert!(windows.send("a", 1, 64 * SECOND, &watch).is_err());
        assert_eq!(windows.send("a", 100, 65 * SECOND, &watch), Ok(()), "a new window");
        assert_eq!(metrics.guest("siem", "evil").limit_reached("bytes_out").get(), 2);
    }

    #[test]
    fn what_came_in_is_read_and_the_next_request_is_refused() {
        let (_metrics, watch) = watch(|_| ());
        let names = ["a".to_owned()];
        let windows = Windows::new(names.iter());
        assert_eq!(windows.send("a", 1, SECOND, &watch), Ok(()));
        windows.receive("a", 50, SECOND, &watch);
        assert_eq!(windows.send("a", 1, SECOND, &watch), Ok(()), "just full");
        windows.receive("a", 1_000, SECOND, &watch);
        assert_eq!(
            windows.send("a", 1, 31 * SECOND, &watch).expect_err("too much"),
            "destination `a`: bytes_in of 50 bytes reached: 1050 bytes asked for; raise `limits.bytes_in` to allow more; the window ends in 31s"
        );
        assert_eq!(windows.send("a", 1, 61 * SECOND, &watch), Ok(()));
    }

    #[test]
    fn counted_windows_refuse_nothing() {
        let (metrics, watch) = watch(|limits| {
            limits.count_only(Limit::BytesOut).expect("can be");
            limits.count_only(Limit::BytesIn).expect("can be");
        });
        let names = ["a".to_owned()];
        let windows = Windows::new(names.iter());
        for _ in 0..3 {
            assert_eq!(windows.send("a", 101, SECOND, &watch), Ok(()));
            windows.receive("a", 51, SECOND, &watch);
        }
        let guest = metrics.guest("siem", "evil");
        assert_eq!((guest.limit_would_refuse("bytes_out").get(), guest.limit_would_refuse("bytes_in").get()), (3, 3));
        assert_eq!((guest.limit_reached("bytes_out").get(), guest.limit_reached("bytes_in").get()), (0, 0));
    }
}
