//! kill -9 during a load, several times: nothing that was answered 2xx is lost. `cargo xtask crash` plays
//! the same for as long as one likes.

use bulkhead_tests::crash::{Options, Round, run};

use crate::story::binary;

fn play(seed: u64, faults: bool, rounds: u32) -> Round {
    let dir = tempfile::TempDir::new().expect("a folder");
    let options = Options { binary: binary(), dir: dir.path().to_owned(), rounds, kills_per_round: 2, rate: 3_000.0, seed, faults };
    let mut sum = Round::default();
    if let Err(error) = run(&options, |round| sum.add(round)) {
        panic!("{error:#}\nkept: {}", dir.keep().display());
    }
    sum
}

#[test]
fn nothing_acknowledged_is_lost_whatever_receivers_do() {
    let sum = play(20_261_102, true, 4);
    assert!(sum.acked > 5_000 && sum.kills >= 8, "too little to prove anything: {sum}");
    let refused = sum.lanes.iter().find(|lane| lane.lane == "refused").expect("its tally");
    assert!(refused.dead > 0 && refused.delivered > 0, "{sum}");
}
