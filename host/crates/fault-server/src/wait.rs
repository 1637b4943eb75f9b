//! Waiting for a condition with a deadline, in place of sleeping and hoping.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks again every few milliseconds until `condition` answers something; past the deadline the error
/// says what was waited for.
pub fn until<T>(what: &str, limit: Duration, condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until_every(Duration::from_millis(50), what, limit, condition)
}

/// The same, never pausing longer than `longest` between two looks.
pub fn until_every<T>(longest: Duration, what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} in vain: {what}");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}
