//! `cargo xtask soak`: the proofs of size and of failing disks, in full.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use bulkhead_tests::args::Args;
use bulkhead_tests::soak::{self, Options};
use serde_json::Value;

use crate::build;

type Proof = fn(&Options) -> Result<Value>;

/// Name, what it has most of, the proof.
const PROOFS: [(&str, u64, Proof); 4] =
    [("backlog", 1_000_000, soak::backlog), ("producers", 1_000, soak::producers), ("lanes", 10_000, soak::lanes), ("disk", 20_000, soak::failing_disk)];

pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let args = Args::parse(args.iter().cloned(), &["only", "size"], &["no-build"])?;
    let only: Vec<&str> = args.text("only").map(|names| names.split(',').collect()).unwrap_or_default();
    let names: Vec<&str> = PROOFS.iter().map(|(name, ..)| *name).collect();
    ensure!(only.iter().all(|name| names.contains(name)), "--only takes {}", names.join(", "));
    ensure!(args.text("size").is_none() || only.len() == 1, "--size goes with one proof (--only)");
    if !args.flag("no-build") {
        build::guests(root)?;
        build::host(root, "release")?;
    }
    for (name, size, proof) in PROOFS {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        let options = Options {
            binary: build::folder(root, "release").join("bulkhead"),
            dir: build::fresh(root, &format!("soak-{name}"))?,
            size: args.number("size", size, 1..=10_000_000)?,
        };
        let start = Instant::now();
        let report = proof(&options)?;
        println!("{name}, {:.0} s: {report:#}", start.elapsed().as_secs_f64());
        std::fs::remove_dir_all(&options.dir)?;
    }
    Ok(())
}
