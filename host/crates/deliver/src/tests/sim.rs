//! The delivery path in simulation: lanes, batches, retries, breaker, adaptive concurrency and dead letters
//! over a simulated disk, in virtual time, on one thread, against a network and receivers that do their
//! worst. With one lane the same seed is the same run; which of several lanes wakes first, tokio draws itself.
//!
//! What must hold, whatever happens:
//! * what was acknowledged is delivered, a dead letter, or unsettled on disk, after every crash and at the end;
//! * nothing is delivered that nobody sent;
//! * a receiver gets an event once more only for an answer that was lost, a delivery that was not confirmed in
//!   time, or a crash with the event under way (after a power cut: since the lane's log was last synced);
//! * in strict order no event arrives before an earlier one, by key none before an earlier one of its key;
//! * no more calls than slots, no more events in memory than batches and waiting retries allow;
//! * once the network heals, everything settles.
//!
//! Failing seeds are printed; they go into `sim/regressions.txt`, which is run first. `BULKHEAD_SIM=20000` runs
//! more of them, `BULKHEAD_SIM_SEED=7` one with its trace.

mod net;
mod truth;
mod world;

use world::World;

/// Seeds of an ordinary run.
const SEEDS: u64 = 300;
const REGRESSIONS: &str = include_str!("sim/regressions.txt");

fn run(seed: u64) -> World {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(World::run(seed))
}

fn regressions() -> impl Iterator<Item = u64> {
    REGRESSIONS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

#[test]
fn nothing_is_lost_repeated_or_out_of_order_whatever_the_network_does() {
    if let Some(seed) = std::env::var("BULKHEAD_SIM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        let world = run(seed);
        eprintln!("{}\n{:?}", world.trace(), world.seen());
        assert_eq!(world.violations(), Vec::<String>::new(), "seed {seed}");
        return;
    }
    let more: u64 = std::env::var("BULKHEAD_SIM").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let mut failed = Vec::new();
    let mut seen = truth::Seen::default();
    for seed in regressions().chain(0..more) {
        let world = run(seed);
        seen.add(&world.seen());
        if let Some(violation) = world.violations().first() {
            failed.push(format!("seed {seed}: {violation}"));
        }
    }
    assert!(failed.is_empty(), "{} of {more}; put their seeds into sim/regressions.txt:\n{}", failed.len(), failed[..failed.len().min(20)].join("\n"));
    // A simulation in which nothing happens proves nothing.
    eprintln!("{seen:?}");
    assert!(seen.kills > 0 && seen.power_cuts > 0 && seen.down_in_a_step > 0 && seen.repeated > 0 && seen.letters > 0 && seen.slots_moved > 0, "{seen:?}");
    assert_eq!(seen.fates.iter().position(|calls| *calls == 0), None, "a fate that no call met: {seen:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let (one, two) = (run(seed), run(seed));
        let differ = one.trace().lines().zip(two.trace().lines()).position(|(one, two)| one != two);
        assert!(!one.has_one_lane() || one.trace() == two.trace(), "seed {seed}, from line {differ:?}");
    }
}
