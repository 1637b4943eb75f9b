//! Row P15: what a neighbour that never ends costs. Twice the same host, load and routes: once the
//! second instance takes its events, once it spins on each; the first one's p99 is compared within the
//! run, because both share the machine with everything else.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_tests::host::{Host, Spec};
use bulkhead_tests::tool::{ReceiverProcess, start_generator};
use bulkhead_tests::wait;

use super::case::{Bench, number, quoted};
use super::report::Report;

const LOAD: &[&str] = &["--batch", "10", "--connections", "8", "--rate", "5000"];

/// Measures both and adds the figures.
pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let quiet = p99(bench, "accept")?;
    report.add("neighbour.quiet", quiet)?;
    let beside = p99(bench, "spin")?;
    report.add("neighbour.beside", beside)?;
    report.add("neighbour.excess", beside - (2.0 * quiet).max(quiet + 10.0))
}

/// From sent to delivered, milliseconds, at the well-behaved instance.
fn p99(bench: &Bench, behaviour: &str) -> Result<f64> {
    eprintln!("  neighbour: {behaviour}");
    let (receiver, sink) = (ReceiverProcess::start(&bench.tools, &[])?, ReceiverProcess::start(&bench.tools, &[])?);
    bench.clear()?;
    let host = Host::start(spec(bench, behaviour, &receiver.url(), &sink.url())?)?;
    let seconds = bench.seconds.to_string();
    let mut generator = start_generator(&bench.tools, host.intake, &[LOAD, &["--seconds", &seconds]].concat())?;
    let patience = Instant::now() + Duration::from_secs(bench.seconds + 60);
    while generator.is_running()? {
        ensure!(Instant::now() < patience, "the generator does not end");
        // A sampling interval, not a wait for something.
        std::thread::sleep(Duration::from_millis(50));
    }
    let acked = number(&generator.report()?, "/acked")?;
    ensure!(acked > 0.0, "nothing was accepted");
    // The other instance never settles: what counts is that the neighbour has everything.
    let stats = wait::until("the neighbour has every event", Duration::from_secs(120), || {
        let stats = receiver.stats()?;
        Ok((number(&stats, "/events")? >= acked).then_some(stats))
    })
    .with_context(|| format!("see {}", host.spec.log.display()))?;
    if behaviour == "spin" {
        let faults = wait::until("the spinner is stopped", Duration::from_secs(60), || {
            Ok(Some(host.metrics()?.sum("bulkhead_guest_faults_total", &[("instance", "bad"), ("fault", "cpu")])).filter(|faults| *faults >= 1.0))
        })?;
        eprintln!("    the spinner was stopped {faults} times");
    }
    number(&stats, "/latency/p99_ms")
}

fn spec(bench: &Bench, behaviour: &str, url: &str, sink: &str) -> Result<Spec> {
    let (config, data) = (bench.dir.join(format!("neighbour-{behaviour}.yaml")), bench.dir.join("data"));
    // The evil guest is not part of a release: it comes from where guests are built.
    let guests = bench.tools.parent().context("a folder of tools")?.join("guests");
    let text = format!(
        "data_dir: {}\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\nconnectors_dir: {}\ninstances:\n  \
         siem:\n    connector: splunk-hec\n    concurrency: 4\n    destinations: {{primary: {{url: \"{url}\", methods: [POST, GET]}}}}\n  \
         bad:\n    connector: evil\n    config: {{behaviour: {behaviour}}}\n    concurrency: 1\n    limits: {{fuel: 20G, cpu: 1s}}\n    destinations: {{primary: {{url: \"{sink}\"}}}}\n\
         default_route: [{{instance: siem, format: cef}}, {{instance: bad, format: cef}}]\n",
        quoted(&data),
        quoted(&guests)
    );
    fs::write(&config, text)?;
    let log = bench.dir.join(format!("neighbour-{behaviour}.log"));
    Ok(Spec {
        binary: bench.tools.join("bulkhead"),
        config,
        data_dir: data,
        log,
        env: Vec::new(),
        dir: bench.dir.clone(),
        args: Vec::new(),
        through: Vec::new(),
    })
}
