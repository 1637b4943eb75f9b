//! Takes deliveries on this machine: Splunk HEC, Elasticsearch bulk, webhooks; with faults by script.
//! Prints its address as JSON and runs until its standard input ends or `--seconds` are over.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use bulkhead_tests::args::{Args, loopback};
use bulkhead_tests::receiver::{Options, Receiver, Script};

fn main() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1), &["listen", "token", "script", "save", "max-events", "seconds"], &["strict"])?;
    let options = Options {
        bind: loopback(args.text("listen").unwrap_or("127.0.0.1:0"))?,
        token: args.text("token").map(str::to_owned),
        strict: args.flag("strict"),
        keep: 0,
        max_events: args.number("max-events", 1 << 27, 1..=1 << 30)?,
        save: args.text("save").map(PathBuf::from),
        protocol: None,
    };
    let receiver = Receiver::start(options, Script::parse(args.text("script").unwrap_or_default())?)?;
    println!("{}", serde_json::json!({"listening": receiver.addr().to_string()}));
    let seconds = args.number("seconds", 3_600, 1..=86_400)?;
    // Whoever started us holds our standard input: when it goes, so do we.
    let (over, ended) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut rest = [0; 64];
        while std::io::stdin().lock().read(&mut rest).is_ok_and(|read| read > 0) {}
        let _ = over.send(());
    });
    let _ = ended.recv_timeout(Duration::from_secs(seconds));
    println!("{}", receiver.stats(|stats| stats.json()));
    Ok(())
}
