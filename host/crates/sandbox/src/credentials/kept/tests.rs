use std::sync::atomic::{AtomicU32, AtomicU64};

use super::*;

/// A clock that stands where a test puts it.
#[derive(Default)]
struct Hand(AtomicU64);

impl Hand {
    fn to(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn unix_nanos(&self) -> u64 {
        0
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

struct Rig {
    hand: Arc<Hand>,
    clock: Arc<dyn Clock>,
    kept: Arc<Kept<u32>>,
    fetches: Arc<AtomicU32>,
    broken: Arc<AtomicBool>,
    gate: Arc<tokio::sync::Semaphore>,
}

fn rig() -> Rig {
    let hand = Arc::new(Hand::default());
    Rig {
        clock: Arc::clone(&hand) as Arc<dyn Clock>,
        hand,
        kept: Arc::new(Kept::new("t")),
        fetches: Arc::default(),
        broken: Arc::default(),
        gate: Arc::new(tokio::sync::Semaphore::new(0)),
    }
}

impl Rig {
    /// A fetch that ends when the gate lets it: the number of the fetch, fresh for 100 s, good for 200 s.
    async fn ask(&self) -> Result<Arc<Held<u32>>, Failure> {
        let fetch = || -> BoxFuture<'static, _> {
            let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
            let (gate, broken) = (Arc::clone(&self.gate), Arc::clone(&self.broken));
            Box::pin(async move {
                gate.acquire().await.expect("open").forget();
                if broken.load(Ordering::SeqCst) {
                    return Err(Failure {
                        lasting: false,
                        text: format!("no {number}"),
                        after: (number == 5).then_some(Duration::from_secs(1000)),
                        own: false,
                    });
                }
                Ok(Fetched { value: number, fresh: Duration::from_secs(100), good: Duration::from_secs(200) })
            })
        };
        self.kept.get(&self.clock, fetch).await
    }

    async fn is(&self, want: Result<u32, &str>) {
        let got = self.ask().await;
        assert_eq!(got.map(|held| held.value).map_err(|failure| failure.text), want.map_err(str::to_owned));
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Lets running fetches end and what they left be seen.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_hundred_callers_cause_one_fetch_and_all_hear_its_end() {
    for broken in [false, true] {
        let rig = Arc::new(rig());
        rig.broken.store(broken, Ordering::SeqCst);
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let rig = Arc::clone(&rig);
                tokio::spawn(async move { rig.ask().await.map(|held| held.value) })
            })
            .collect();
        rig.settle().await;
        assert_eq!(rig.fetches(), 1);
        rig.gate.add_permits(1);
        for caller in callers {
            let want = if broken { Err(Failure::passing("no 1")) } else { Ok(1) };
            assert_eq!(caller.await.expect("no panic"), want);
        }
        assert_eq!(rig.fetches(), 1);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_ends_nothing() {
    let rig = rig();
    assert!(tokio::time::timeout(Duration::from_millis(1), rig.ask()).await.is_err(), "waits");
    rig.gate.add_permits(1);
    rig.settle().await;
    rig.is(Ok(1)).await;
    assert_eq!(rig.fetches(), 1);
}

#[tokio::test]
async fn a_good_value_is_used_while_its_successor_comes() {
    let rig = rig();
    rig.gate.add_permits(1);
    rig.is(Ok(1)).await;
    rig.hand.to(99);
    rig.is(Ok(1)).await;
    assert_eq!(rig.fetches(), 1);
    rig.hand.to(100);
    for _ in 0..3 {
        rig.is(Ok(1)).await;
    }
    rig.settle().await;
    assert_eq!(rig.fetches(), 2);
    rig.gate.add_permits(1);
    rig.settle().await;
    rig.is(Ok(2)).await;
    // Too old to be handed out: callers wait.
    rig.hand.to(300);
    rig.gate.add_permits(1);
    rig.is(Ok(3)).await;
}

#[tokio::test]
async fn failures_wait_longer_each_time_and_keep_what_is_good() {
    let rig = rig();
    rig.gate.add_permits(1);
    rig.is(Ok(1)).await;
    rig.broken.store(true, Ordering::SeqCst);
    rig.gate.add_permits(100);
    // (time, fetches after asking): waits of 1, 2, 4 s; the fifth is asked for 1000 s and gets 300.
    for (at, fetches) in [(100, 2), (100, 2), (101, 3), (102, 3), (103, 4), (106, 4), (107, 5), (120, 5)] {
        rig.hand.to(at);
        rig.is(Ok(1)).await;
        rig.settle().await;
        assert_eq!(rig.fetches(), fetches, "at {at}");
    }
    rig.hand.to(200);
    rig.is(Err("no 5")).await;
    rig.hand.to(406);
    rig.is(Err("no 5")).await;
    assert_eq!(rig.fetches(), 5);
    rig.broken.store(false, Ordering::SeqCst);
    rig.hand.to(407);
    rig.is(Ok(6)).await;
}

#[tokio::test]
async fn a_refused_value_is_given_up_once() {
    let rig = rig();
    rig.gate.add_permits(100);
    let first = rig.ask().await.expect("a value");
    rig.kept.refused(&first, rig.clock.monotonic());
    let second = rig.ask().await.expect("a value");
    assert_eq!(second.value, 2);
    // Late news of the first changes nothing, and the second never worked.
    rig.kept.refused(&first, rig.clock.monotonic());
    rig.kept.refused(&second, rig.clock.monotonic());
    rig.is(Ok(2)).await;
    // A minute later it may be tried again; one that had worked at once.
    rig.hand.to(60);
    rig.kept.refused(&second, rig.clock.monotonic());
    let third = rig.ask().await.expect("a value");
    assert_eq!(third.value, 3);
    third.worked();
    rig.kept.refused(&third, rig.clock.monotonic());
    rig.is(Ok(4)).await;
}

/// One caller has used up what it may send: the others get their value all the same.
#[tokio::test]
async fn a_failure_of_ones_own_ends_nobody_elses_wait() {
    let rig = rig();
    let poor = || -> BoxFuture<'static, Result<Fetched<u32>, Failure>> {
        let gate = Arc::clone(&rig.gate);
        Box::pin(async move {
            gate.acquire().await.expect("open").forget();
            Err(Failure::own("window"))
        })
    };
    let (first, second, _) = tokio::join!(rig.kept.get(&rig.clock, poor), rig.ask(), async {
        rig.settle().await;
        rig.gate.add_permits(1);
        rig.settle().await;
        rig.gate.add_permits(1);
    });
    assert_eq!(first.map(|held| held.value), Err(Failure::own("window")));
    assert_eq!(second.map(|held| held.value), Ok(1));
    // Nothing is remembered of it, and no wait begins.
    assert_eq!(rig.fetches(), 1);
}
