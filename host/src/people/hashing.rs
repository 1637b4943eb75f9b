//! Where passwords are hashed: beside the async threads, a few at once. A hash takes 19 MiB and some 20 ms of a core;
//! whoever sends many sign-ins must not take the machine from everybody else.

use tokio::sync::Semaphore;

/// Hashes at the same time.
const AT_ONCE: usize = 2;
/// Those that wait; beyond it the answer is 503 at once.
const WAITING: usize = 32;

/// Too many sign-ins wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many sign-ins at the same time")]
pub struct Busy;

pub struct Hashing {
    places: Semaphore,
    running: Semaphore,
}

impl Default for Hashing {
    fn default() -> Self {
        Self { places: Semaphore::new(AT_ONCE + WAITING), running: Semaphore::new(AT_ONCE) }
    }
}

impl Hashing {
    /// Runs this when it is its turn. Cancel safe: what runs goes on and counts as running until it ends.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _place = self.places.try_acquire().map_err(|_| Busy)?;
        let _running = self.running.acquire().await.map_err(|_| Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_few_run_some_wait_and_the_rest_is_told() {
        let hashing = Arc::new(Hashing::default());
        let (go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let work = || {
            let (hashing, gate) = (Arc::clone(&hashing), Arc::clone(&gate));
            tokio::spawn(async move { hashing.run(move || gate.lock().expect("lock").recv().expect("a sign")).await })
        };
        let all: Vec<_> = (0..AT_ONCE + WAITING).map(|_| work()).collect();
        while hashing.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hashing.run(|| ()).await, Err(Busy));
        for _ in &all {
            go.send(()).expect("somebody waits");
        }
        for one in all {
            assert_eq!(one.await.expect("ends"), Ok(()));
        }
        assert_eq!(hashing.run(|| 7).await, Ok(7));
    }
}
