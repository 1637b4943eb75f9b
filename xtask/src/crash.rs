//! `cargo xtask crash`: kill -9 under load, as many rounds as one likes.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use bulkhead_tests::args::Args;
use bulkhead_tests::crash::{self, Options, Round};

use crate::build;

pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let args = Args::parse(args.iter().cloned(), &["rounds", "kills", "rate", "seed"], &["no-faults", "no-build"])?;
    if !args.flag("no-build") {
        build::guests(root)?;
        build::host(root, "release")?;
    }
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    let options = Options {
        binary: build::folder(root, "release").join("bulkhead"),
        dir: build::fresh(root, "crash")?,
        rounds: args.number("rounds", 100, 1..=50_000)? as u32,
        kills_per_round: args.number("kills", 2, 1..=100)? as u32,
        rate: args.number("rate", 4_000, 10..=1_000_000)? as f64,
        seed: args.get("seed")?.unwrap_or(clock),
        faults: !args.flag("no-faults"),
    };
    println!("seed {}; {} rounds of {} kills at {} events/s", options.seed, options.rounds, options.kills_per_round, options.rate);
    println!("lane: delivered + dead letters, duplicates of at most those that crashes and lost answers explain");
    println!("{:>5} {:>8} {:>8} {:>5}", "round", "sent", "acked", "kills");
    let start = Instant::now();
    let mut sum = Round::default();
    crash::run(&options, |round| {
        println!("{round}");
        sum.add(round);
    })?;
    println!("all of it, in {:.0} s:\n{sum}", start.elapsed().as_secs_f64());
    println!("nothing that was acknowledged is lost");
    Ok(())
}
