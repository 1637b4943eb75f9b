//! kill -9 during a load of 10,000 events/s, several times: nothing that was answered 2xx is lost.

use bulkhead_tests::crash::{Options, run};

use crate::story::binary;

fn options(seed: u64, faults: bool, rounds: u32) -> (tempfile::TempDir, Options) {
    let dir = tempfile::TempDir::new().expect("a folder");
    let options = Options { binary: binary(), dir: dir.path().to_owned(), rounds, kills_per_round: 2, rate: 10_000.0, seed, faults };
    (dir, options)
}

#[test]
fn nothing_acknowledged_is_lost() {
    let (_dir, options) = options(20_261_102, false, 3);
    let mut acked = 0;
    run(&options, |round| acked += round.acked).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(acked > 10_000, "{acked} acknowledged: too few to prove anything");
}

#[test]
fn nothing_acknowledged_is_lost_to_a_bad_receiver_either() {
    let (_dir, options) = options(7, true, 4);
    run(&options, |_| {}).unwrap_or_else(|error| panic!("{error:#}"));
}
