//! `cargo xtask demo`: builds everything, starts the service with `examples/quickstart.yaml`, posts the
//! sample events over HTTP, waits until every delivery is settled and shows what went where.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bulkhead_tests::args::Args;
use bulkhead_tests::host::{Host, Spec};
use bulkhead_tests::prom::Scrape;
use bulkhead_tests::tool::ReceiverProcess;

use crate::build;
use crate::stages::Stages;

/// The token that the demo's receiver wants; nothing outside this machine ever sees it.
const TOKEN: &str = "00000000-demo-demo-demo-000000000000";
const WEBHOOK_SECRET: &str = "demo-webhook-secret";
const SETTLE: Duration = Duration::from_secs(60);

pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let args = Args::parse(args.iter().cloned(), &[], &["keep", "no-build"])?;
    let keep = args.flag("keep");
    let mut stages = Stages::new();
    if !args.flag("no-build") {
        stages.run("guests", Some(180), || build::guests(root))?;
        stages.run("host (release)", Some(420), || build::host(root, "release"))?;
    }
    let mut demo = stages.run("start", Some(5), || Demo::start(root))?;
    let posted = stages.run("post the samples", Some(5), || demo.post(root))?;
    let scrape = stages.run("settle", Some(60), || demo.host.settled(SETTLE))?;
    demo.show(&posted, &scrape)?;
    if keep {
        println!("\nrunning: events to http://{}/events, metrics at http://{}/metrics; Ctrl-C ends it", demo.host.intake, demo.host.api);
        demo.host.ended(Duration::MAX)?;
    } else {
        let status = stages.run("stop", Some(30), || demo.host.terminate(Duration::from_secs(40)))?;
        ensure!(status.success(), "the host ended with {status} after SIGTERM");
    }
    stages.print();
    Ok(())
}

struct Demo {
    host: Host,
    dir: PathBuf,
    out: PathBuf,
    /// Kept until the end: they stop when dropped.
    _receivers: [ReceiverProcess; 2],
}

struct Posted {
    file: String,
    events: usize,
}

impl Demo {
    fn start(root: &Path) -> Result<Self> {
        let dir = build::fresh(root, "demo")?;
        let out = dir.join("out");
        fs::create_dir_all(&out)?;
        let tools = build::folder(root, "release");
        let save = |name: &str| out.join(name).display().to_string();
        let hec = ReceiverProcess::start(&tools, &["--strict", "--token", TOKEN, "--save", &save("splunk-hec.json")])?;
        let webhook = ReceiverProcess::start(&tools, &["--save", &save("webhook.json")])?;
        let env = [
            ("BULKHEAD_DATA_DIR", dir.join("data").display().to_string()),
            ("BULKHEAD_OUT_DIR", out.display().to_string()),
            ("BULKHEAD_API", "127.0.0.1:0".to_owned()),
            ("BULKHEAD_HTTP", "127.0.0.1:0".to_owned()),
            ("SPLUNK_HEC_ENDPOINT", hec.url()),
            ("SPLUNK_HEC_TOKEN", TOKEN.to_owned()),
            ("WEBHOOK_URL", format!("{}/hooks/audit", webhook.url())),
            ("WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ];
        let host = Host::start(Spec {
            binary: tools.join("bulkhead"),
            config: root.join("examples/quickstart.yaml"),
            data_dir: dir.join("data"),
            log: dir.join("host.log"),
            env: env.map(|(key, value)| (key.to_owned(), value)).to_vec(),
            dir: dir.clone(),
            args: Vec::new(),
            through: Vec::new(),
        })?;
        eprintln!("ready after {:.0} ms: events to http://{}/events", host.ready_in.as_secs_f64() * 1e3, host.intake);
        Ok(Self { host, dir, out, _receivers: [hec, webhook] })
    }

    /// Each file in the content type that suits it.
    fn post(&self, root: &Path) -> Result<Vec<Posted>> {
        let mut posted = Vec::new();
        let mut names: Vec<PathBuf> = fs::read_dir(root.join("examples/events"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        names.sort();
        for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "ndjson")) {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(path)?;
            let events = text.lines().count();
            let response = if file == "cloudevents.ndjson" {
                let batch = format!("[{}]", text.lines().collect::<Vec<_>>().join(","));
                self.host.post("application/cloudevents-batch+json", batch.as_bytes())?
            } else {
                self.host.post("application/x-ndjson", text.as_bytes())?
            };
            ensure!(response.status == 202, "{file}: {} {}", response.status, response.text());
            let accepted = response.json()?["accepted"].as_u64();
            ensure!(accepted == Some(events as u64), "{file}: {accepted:?} of {events} events accepted");
            posted.push(Posted { file, events });
        }
        Ok(posted)
    }

    fn show(&self, posted: &[Posted], scrape: &Scrape) -> Result<()> {
        println!();
        for Posted { file, events } in posted {
            println!("{file:<24} {events:>6} accepted");
        }
        let total: usize = posted.iter().map(|posted| posted.events).sum();
        println!("{:<24} {total:>6} accepted\n", "all");
        println!("{:<12} {:<12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", "instance", "format", "delivered", "filtered", "rejected", "retried", "p50 ms", "p99 ms");
        for (instance, format) in scrape.lanes() {
            let labels = [("instance", instance.as_str()), ("format", format.as_str())];
            let count = |name: &str| scrape.sum(name, &labels);
            let quantile =
                |q: f64| scrape.quantile("bulkhead_lane_delivery_seconds", &labels, q).map_or("-".to_owned(), |seconds| format!("{:.1}", seconds * 1e3));
            println!(
                "{instance:<12} {format:<12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                count("bulkhead_lane_delivered_total"),
                count("bulkhead_lane_filtered_total"),
                count("bulkhead_lane_rejected_total"),
                count("bulkhead_lane_retried_total"),
                quantile(0.5),
                quantile(0.99)
            );
        }
        println!("\noutputs:");
        let mut outputs: Vec<PathBuf> = fs::read_dir(&self.out)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        outputs.sort();
        for path in outputs {
            let text = fs::read(&path).with_context(|| path.display().to_string())?;
            println!("  {:<44} {:>6} records {:>9} bytes", relative(&path), records(&path, &text), text.len());
        }
        println!("  {:<44} what the service said", relative(&self.dir.join("host.log")));
        Ok(())
    }
}

fn relative(path: &Path) -> String {
    std::env::current_dir().ok().and_then(|dir| path.strip_prefix(dir).ok()).unwrap_or(path).display().to_string()
}

/// JSON values one behind the other, or lines.
fn records(path: &Path, text: &[u8]) -> usize {
    if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::Deserializer::from_slice(text)
            .into_iter::<serde_json::Value>()
            .map_while(Result::ok)
            .map(|value| value.as_array().map_or(1, Vec::len))
            .sum()
    } else {
        text.iter().filter(|byte| **byte == b'\n').count()
    }
}
