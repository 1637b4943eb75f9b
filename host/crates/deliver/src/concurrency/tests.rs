use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn adaptive(min: u32, max: u32) -> Concurrency {
    Concurrency::new(ConcurrencySettings { min, max })
}

/// How a receiver shows that it has enough.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// What is too much is refused: 429.
    Refuses,
    /// What is too much waits in line.
    Queues,
}

/// A receiver that works on so many calls at once, and a sender that always has more.
struct World {
    concurrency: Concurrency,
    manner: Manner,
    capacity: usize,
    service: Duration,
    /// One call in so many fails whatever the load; 0 for none.
    fails: u64,
    now: Duration,
    calls: u64,
    /// The latest first: when it ends, what it is about to tell.
    running: BinaryHeap<std::cmp::Reverse<(Duration, u64)>>,
    told: std::collections::HashMap<u64, (Began, Told)>,
    /// When each of the receiver's hands is free.
    free: Vec<Duration>,
}

impl World {
    fn new(max: u32, manner: Manner, capacity: usize) -> Self {
        Self {
            concurrency: adaptive(1, max),
            manner,
            capacity,
            service: ms(50),
            fails: 0,
            now: Duration::ZERO,
            calls: 0,
            running: BinaryHeap::new(),
            told: std::collections::HashMap::new(),
            free: vec![Duration::ZERO; capacity],
        }
    }

    fn capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.free.resize(capacity, self.now);
    }

    /// So many rounds, and the limits that were seen at their ends.
    fn rounds(&mut self, rounds: usize) -> Vec<u32> {
        (0..rounds)
            .map(|_| {
                for _ in 0..self.concurrency.limit().max(ROUND) {
                    self.call();
                }
                self.concurrency.limit()
            })
            .collect()
    }

    fn call(&mut self) {
        while self.running.len() < self.concurrency.limit() as usize {
            let began = self.concurrency.begin();
            self.calls += 1;
            let busy = self.free.iter().filter(|free| **free > self.now).count();
            let (ends, told) = if self.fails > 0 && self.calls.is_multiple_of(self.fails) {
                (self.now + ms(5), Told::Pressed)
            } else if self.manner == Manner::Refuses && busy >= self.capacity {
                (self.now + ms(1), Told::Pressed)
            } else {
                let hand = self.free.iter_mut().min().unwrap();
                *hand = (*hand).max(self.now) + self.service;
                (*hand, Told::Answered { events: 100, took: *hand - self.now })
            };
            self.running.push(std::cmp::Reverse((ends, self.calls)));
            self.told.insert(self.calls, (began, told));
        }
        let std::cmp::Reverse((ends, call)) = self.running.pop().unwrap();
        self.now = ends;
        let (began, told) = self.told.remove(&call).unwrap();
        self.concurrency.end(began, told);
    }
}

#[track_caller]
fn within(limits: &[u32], least: u32, most: u32) {
    let bad = limits.iter().position(|limit| !(least..=most).contains(limit));
    assert_eq!(bad, None, "not from {least} to {most}: {limits:?}");
}

#[test]
fn finds_the_capacity_of_a_receiver_that_refuses_within_ten_rounds() {
    let mut world = World::new(200, Manner::Refuses, 10);
    world.rounds(10);
    within(&world.rounds(1_000), 5, 11);
    // A receiver that grows is followed by one a round, one that shrinks at once.
    world.capacity(30);
    world.rounds(30);
    within(&world.rounds(1_000), 15, 31);
    world.capacity(3);
    world.rounds(6);
    within(&world.rounds(1_000), 1, 4);
}

#[test]
fn finds_the_capacity_of_a_receiver_that_queues() {
    let mut world = World::new(200, Manner::Queues, 10);
    world.rounds(30);
    within(&world.rounds(2_000), 9, 23);
    world.capacity(40);
    world.rounds(50);
    within(&world.rounds(2_000), 35, 85);
    world.capacity(4);
    world.rounds(20);
    within(&world.rounds(2_000), 2, 11);
}

#[test]
fn stays_at_its_most_with_a_receiver_that_bears_it() {
    let mut world = World::new(16, Manner::Refuses, 100);
    world.rounds(12);
    within(&world.rounds(500), 16, 16);
}

#[test]
fn rare_errors_do_not_make_it_collapse() {
    let mut world = World::new(16, Manner::Refuses, 100);
    world.fails = 200;
    world.rounds(20);
    let limits = world.rounds(2_000);
    within(&limits, 6, 16);
    let average = f64::from(limits.iter().sum::<u32>()) / limits.len() as f64;
    assert!(average > 11.0, "{average}");
}

#[test]
fn a_receiver_that_is_slower_for_good_costs_a_dip() {
    let mut world = World::new(16, Manner::Queues, 100);
    world.rounds(100);
    world.service = ms(400);
    assert!(world.rounds(16).iter().any(|limit| *limit <= 2), "it may be the load: fewer are tried");
    world.rounds(40);
    within(&world.rounds(500), 16, 16);
}

#[test]
fn larger_batches_are_no_overload_and_neither_is_one_slow_call() {
    let mut concurrency = adaptive(1, 4);
    let mut call = |events: usize, took: Duration| {
        let began = concurrency.begin();
        concurrency.end(began, Told::Answered { events, took });
        concurrency.limit()
    };
    for round in 0..50 {
        let events = if round % 2 == 0 { 1 } else { 500 };
        for i in 0..ROUND {
            // After an idle time a connection is made anew.
            let cold = if i == 0 { ms(3_000) } else { ms(0) };
            assert_eq!(call(events, ms(30) + ms(events as u64) + cold), 4);
        }
    }
    for i in 0..1_000 {
        assert_eq!(call(1, ms(i % 20)), 4, "quick is quick");
    }
}

#[test]
fn one_overload_is_one_halving() {
    let mut concurrency = adaptive(1, 32);
    concurrency.limit = 32;
    let running: Vec<Began> = (0..32).map(|_| concurrency.begin()).collect();
    for began in running {
        concurrency.end(began, Told::Pressed);
    }
    assert_eq!(concurrency.limit(), 16);
    for want in [8, 4, 2, 1, 1] {
        let began = concurrency.begin();
        concurrency.end(began, Told::Pressed);
        assert_eq!(concurrency.limit(), want);
    }
    assert_eq!(concurrency.running, 0);
}

#[test]
fn what_does_not_use_the_limit_does_not_raise_it() {
    let mut concurrency = adaptive(1, 32);
    for _ in 0..1_000 {
        let began = concurrency.begin();
        concurrency.end(began, Told::Answered { events: 1, took: ms(1) });
    }
    assert_eq!(concurrency.limit(), 4, "one at a time");
    concurrency.collapse();
    assert_eq!(concurrency.limit(), 1);
    for _ in 0..ROUND {
        let began = concurrency.begin();
        concurrency.end(began, Told::Answered { events: 1, took: ms(1) });
    }
    assert_eq!(concurrency.limit(), 2, "after an open breaker one more for each round");
}

#[test]
fn a_fixed_one_does_not_move() {
    let mut concurrency = adaptive(7, 7);
    for told in [Told::Pressed, Told::Nothing, Told::Answered { events: 1, took: ms(100_000) }].repeat(100) {
        let began = concurrency.begin();
        concurrency.end(began, told);
    }
    concurrency.collapse();
    assert_eq!(concurrency.limit(), 7);
}

#[test]
fn bounds_are_made_to_fit() {
    assert_eq!(ConcurrencySettings { min: 8, max: 16 }.at_most(1), ConcurrencySettings { min: 1, max: 1 });
    assert_eq!(ConcurrencySettings { min: 0, max: 0 }.at_most(9), ConcurrencySettings { min: 1, max: 1 });
    assert_eq!([adaptive(1, 2), adaptive(1, 100), adaptive(6, 100)].map(|concurrency| concurrency.limit()), [2, 4, 6]);
}

proptest! {
    /// Whatever receivers tell, in whatever order: within its bounds, down by no more than half or to the least,
    /// up by one.
    #[test]
    fn moves_by_one_up_and_by_half_down(min in 1u32..10, more in 0u32..60, steps in prop::collection::vec((0u8..5, 0usize..10_001, 0u64..100_000), 1..400)) {
        let mut concurrency = adaptive(min, min + more);
        let mut running = Vec::new();
        for (what, events, took) in steps {
            let before = concurrency.limit();
            match what {
                0 | 1 => if running.len() < before as usize { running.push(concurrency.begin()) },
                2 | 3 => if let Some(began) = running.pop() { concurrency.end(began, Told::Answered { events, took: ms(took) }) },
                _ => if !running.is_empty() { concurrency.end(running.remove(0), Told::Pressed) },
            }
            let after = concurrency.limit();
            prop_assert!((min..=min + more).contains(&after));
            prop_assert!(after == before || after == before + 1 || after == (before / 2).max(min), "{} to {}", before, after);
            prop_assert_eq!(concurrency.running as usize, running.len());
        }
    }

    /// Calls that take as long as ever are no overload, however much they differ among themselves.
    #[test]
    fn a_steady_receiver_is_left_as_it_is(times in prop::collection::vec(20u64..34, 16..17), events in prop::collection::vec(1usize..600, 7..8)) {
        let mut concurrency = adaptive(1, 4);
        for i in 0..4_000 {
            let began = concurrency.begin();
            concurrency.end(began, Told::Answered { events: events[i % events.len()], took: ms(times[i % times.len()]) });
            prop_assert_eq!(concurrency.limit(), 4);
        }
    }
}
