//! Posts generated audit events to a host on this machine and prints what came back as JSON.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use bulkhead_tests::args::{Args, loopback};
use bulkhead_tests::generator::{self, Options};
use bulkhead_tests::marker::RUNS;
use bulkhead_tests::template::Layout;

const KEYS: [&str; 12] = ["to", "path", "connections", "batch", "layout", "rate", "count", "seconds", "run", "first", "token", "acked"];

fn main() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1), &KEYS, &["reconnect"])?;
    let to = loopback(args.text("to").context("--to ADDR is missing, such as --to 127.0.0.1:8781")?)?;
    let layout = args.text("layout").map_or(Some(Layout::Lines), Layout::parse).context("--layout is ndjson, array or object")?;
    let report = generator::run(Options {
        path: args.text("path").unwrap_or("/events").to_owned(),
        connections: args.number("connections", 4, 1..=2_000)? as usize,
        batch: args.number("batch", 100, 1..=10_000)? as usize,
        layout,
        rate: args.get("rate")?,
        count: args.number("count", 100_000_000, 1..=100_000_000)?,
        duration: Duration::from_secs(args.number("seconds", 10, 1..=3_600)?),
        run: args.number("run", 1, 0..=u64::from(RUNS) - 1)? as u32,
        first: args.number("first", 0, 0..=1 << 39)?,
        token: args.text("token").map(str::to_owned),
        reconnect: args.flag("reconnect"),
        acked: args.text("acked").map(PathBuf::from),
        to,
    })?;
    println!("{}", report.json());
    Ok(())
}
