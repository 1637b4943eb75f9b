//! The proofs of size, small: `cargo xtask soak` plays them in full.

use bulkhead_tests::soak::{self, Options, figure};
use serde_json::Value;

use crate::story::binary;

fn play(size: u64, proof: fn(&Options) -> anyhow::Result<Value>) -> Value {
    let dir = tempfile::TempDir::new().expect("a folder");
    let options = Options { binary: binary(), dir: dir.path().to_owned(), size };
    proof(&options).unwrap_or_else(|error| {
        panic!("{error:#}\n{}", std::fs::read_to_string(dir.path().join("host.log")).unwrap_or_default().lines().rev().take(20).collect::<Vec<_>>().join("\n"))
    })
}

#[test]
fn a_backlog_costs_no_memory_and_arrives_exactly() {
    let report = play(100_000, soak::backlog);
    // A copy of the backlog would be 60 MiB and more.
    assert!(figure(&report, "rss_peak_mib") - figure(&report, "rss_before_mib") < 50.0, "{report:#}");
}

#[test]
fn three_hundred_producers_at_once_are_accounted_for() {
    let report = play(300, soak::producers);
    assert_eq!(figure(&report, "events"), 30_000.0);
}

#[test]
fn each_of_three_hundred_lanes_gets_its_own_events() {
    let report = play(300, soak::lanes);
    assert_eq!(figure(&report, "lanes"), 300.0);
}
