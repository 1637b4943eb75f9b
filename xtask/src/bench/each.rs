//! `cargo xtask bench --connector NAME`: what one connector or formatter costs through the whole host, into a receiver
//! that does nothing. A number of events is posted as fast as the host accepts them; what is read off counts all of it:
//! intake, journal, formatting, delivery.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_tests::host::{Host, Spec};
use bulkhead_tests::tool::{ReceiverProcess, start_generator};

use super::case::{Bench, number, quoted};
use super::report::Report;
use super::sink;
use super::subjects::{CARRIER, CONNECTORS, Counterpart, Subject};

const SETTLE: Duration = Duration::from_secs(600);

/// What was measured.
struct Row {
    name: String,
    component_kb: f64,
    rate: f64,
    cpu: f64,
    guest_cpu: f64,
    fuel: f64,
    guest_mb: f64,
    host_mb: f64,
}

/// A connector, or a formatter with the connector that carries it.
enum Wanted {
    Connector(&'static Subject),
    Formatter(String),
}

/// Measures those that `names` lists, or `all` that are built in; answers a table.
pub fn run(bench: &Bench, root: &Path, names: &str, events: u64) -> Result<String> {
    let there = built_in(root)?;
    let (wanted, without) = wanted(names, &there)?;
    let mut rows = Vec::new();
    for one in wanted {
        let (name, subject, format, config) = match &one {
            Wanted::Connector(subject) => (subject.name.to_owned(), *subject, "json", None),
            Wanted::Formatter(name) => (format!("format-{name}"), &CARRIER, name.as_str(), willing(root, name)?),
        };
        eprintln!("  {name}");
        let row = measure(bench, root, &name, subject, format, config.as_deref(), events)
            .with_context(|| format!("`{name}`; the log of the host is {}", bench.dir.join("each.log").display()))?;
        eprintln!("    {:.0} events/s, {:.2} s per million, {:.0} fuel an event", row.rate, row.cpu, row.fuel);
        rows.push(row);
    }
    let mut table = format!(
        "| guest | component | events/s | host CPU, s per million | of it the guest | fuel per event | guest memory | host memory, most seen |\n|---|---|---|---|---|---|---|---|\n{}",
        rows.iter().map(Row::markdown).collect::<String>()
    );
    if !without.is_empty() {
        table.push_str(&format!("\nNot measured, without a row in xtask/src/bench/subjects.rs: {}\n", without.join(", ")));
    }
    Ok(table)
}

/// Folders of `connectors/`.
fn built_in(root: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(root.join("connectors"))?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(entries.iter().filter(|entry| entry.path().join("Cargo.toml").is_file()).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Those to measure, and for `all` those that have no row.
fn wanted(names: &str, there: &BTreeSet<String>) -> Result<(Vec<Wanted>, Vec<String>)> {
    let find = |name: &str| match name.strip_prefix("format-") {
        Some(format) => there.contains(name).then(|| Wanted::Formatter(format.to_owned())),
        None => CONNECTORS.iter().find(|subject| subject.name == name && there.contains(name)).map(Wanted::Connector),
    };
    if names == "all" {
        let without = there.iter().filter(|name| find(name).is_none()).cloned().collect();
        return Ok((there.iter().filter_map(|name| find(name)).collect(), without));
    }
    let wanted = names.split(',').map(str::trim).map(|name| {
        let known = || there.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        find(name).with_context(|| format!("`{name}` has no row in xtask/src/bench/subjects.rs or is not built in; there are {}", known()))
    });
    Ok((wanted.collect::<Result<_>>()?, Vec::new()))
}

/// Row P5: other ways than that of row P1, each as a share of its rate.
pub fn ways(bench: &Bench, root: &Path, report: &mut Report) -> Result<()> {
    let full = report.last("full.rate").context("other ways are measured against one: `full` must run before")?;
    // A webhook is a request for each event: a twentieth of them takes as long.
    for (figure, name, format, share) in
        [("ways.elastic", "elasticsearch", "ecs", 1.0), ("ways.webhook", "webhook", "json", 0.05), ("ways.syslog", "syslog", "syslog", 1.0)]
    {
        eprintln!("  {name}, {format}");
        let subject = CONNECTORS.iter().find(|subject| subject.name == name).with_context(|| format!("{name} has no row"))?;
        // Whole batches of the generator.
        let events = (full * bench.seconds as f64 * share / 100.0).ceil() as u64 * 100;
        let row = measure(bench, root, name, subject, format, None, events)?;
        report.add(figure, row.rate / full)?;
    }
    Ok(())
}

fn measure(bench: &Bench, root: &Path, name: &str, subject: &Subject, format: &str, config: Option<&str>, events: u64) -> Result<Row> {
    let receiver = ReceiverProcess::start(&bench.tools, &[])?;
    bench.clear()?;
    let host = Host::start(spec(bench, subject, format, config, &receiver)?)?;
    let (before, begin) = (host.cpu_seconds()?, Instant::now());
    let count = events.to_string();
    let mut generator = start_generator(&bench.tools, host.intake, &["--batch", "100", "--connections", "8", "--seconds", "600", "--count", &count])?;
    let mut most = 0;
    while generator.is_running()? {
        most = most.max(host.memory()?.now);
        // A sampling interval, not a wait for something.
        std::thread::sleep(Duration::from_millis(50));
    }
    let acked = number(&generator.report()?, "/acked")?;
    ensure!(acked >= events as f64, "{acked} of {events} events were accepted");
    let scrape = host.settled(SETTLE)?;
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = host.cpu_seconds()? - before;
    let delivered = scrape.sum("bulkhead_lane_delivered_total", &[]);
    ensure!(delivered >= acked, "{delivered} of {acked} accepted events were delivered");
    // Formatters are told from the connector beside them by their component's name.
    let component = name.strip_prefix("format-").unwrap_or(name);
    let labels = [("component", if scrape.of("bulkhead_guest_fuel_total", &[("component", name)]).next().is_some() { name } else { component })];
    let fuel = scrape.sum("bulkhead_guest_fuel_total", &labels);
    ensure!(fuel > 0.0, "no fuel was counted for {name}");
    let guest_cpu = scrape.sum("bulkhead_guest_cpu_seconds_total", &[labels[0], ("share", "guest")]);
    let memory = scrape.of("bulkhead_guest_memory_bytes", &labels).map(|sample| sample.value).fold(0.0, f64::max);
    Ok(Row {
        name: name.to_owned(),
        component_kb: fs::metadata(root.join("target/guests").join(name).with_extension("wasm"))?.len() as f64 / 1e3,
        rate: acked / seconds,
        cpu: cpu * 1e6 / acked,
        guest_cpu: guest_cpu * 1e6 / acked,
        fuel: fuel / acked,
        guest_mb: memory / 1e6,
        host_mb: most.max(host.memory()?.now) as f64 / 1e6,
    })
}

/// The configuration of a formatter that takes none for granted: that of its case that takes every event.
fn willing(root: &Path, format: &str) -> Result<Option<String>> {
    let folder = root.join("connectors").join(format!("format-{format}")).join("cases");
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let case: toml::Table = fs::read_to_string(entry?.path())?.parse()?;
        if case.get("willing").and_then(toml::Value::as_bool) == Some(true) {
            return Ok(Some(serde_json::to_string(&case["config"])?));
        }
    }
    Ok(None)
}

fn spec(bench: &Bench, subject: &Subject, format: &str, formatter: Option<&str>, receiver: &ReceiverProcess) -> Result<Spec> {
    let out = quoted(&bench.dir.join("out"));
    let reach = match subject.counterpart {
        Counterpart::Http => format!("destinations: {{primary: {{url: \"{}\", methods: [POST, PUT, GET]}}}}", receiver.url()),
        Counterpart::Tcp(speech) => format!("destinations: {{primary: \"tcp://127.0.0.1:{}\"}}", sink::tcp(speech)?),
        Counterpart::Udp => format!("destinations: {{primary: \"udp://127.0.0.1:{}\"}}", sink::udp()?),
        Counterpart::Nobody => String::new(),
        Counterpart::Files => format!("files: {{primary: {{dir: {out}, access: write}}}}"),
    };
    let concurrency = if subject.counterpart == Counterpart::Files { 1 } else { 4 };
    let (formatters, lane) = match formatter {
        Some(config) => (format!("formatters: {{subject: {{formatter: {format}, config: {config}}}}}\n"), "subject"),
        None => (String::new(), format),
    };
    let text = format!(
        "{formatters}data_dir: {}\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\ninstances:\n  subject:\n    connector: {}\n    config: {}\n    concurrency: {concurrency}\n    {reach}\n\
         default_route: [{{instance: subject, format: {lane}}}]\n",
        quoted(&bench.dir.join("data")),
        subject.name,
        subject.config
    );
    let config = bench.dir.join("each.yaml");
    fs::write(&config, text)?;
    Ok(Spec {
        binary: bench.tools.join("bulkhead"),
        config,
        data_dir: bench.dir.join("data"),
        log: bench.dir.join("each.log"),
        env: Vec::new(),
        dir: bench.dir.clone(),
        args: Vec::new(),
        through: Vec::new(),
    })
}

impl Row {
    fn markdown(&self) -> String {
        format!(
            "| {} | {:.0} KB | {:.0} | {:.2} | {:.2} | {:.0} | {:.1} MB | {:.0} MB |\n",
            self.name, self.component_kb, self.rate, self.cpu, self.guest_cpu, self.fuel, self.guest_mb, self.host_mb
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_those_that_are_there() {
        let there: BTreeSet<String> = ["file", "format-cef", "unheard-of"].map(str::to_owned).into();
        let (chosen, without) = wanted("all", &there).expect("finds");
        assert_eq!((chosen.len(), without), (2, vec!["unheard-of".to_owned()]));
        let (chosen, _) = wanted("format-cef, file", &there).expect("finds");
        assert!(matches!(&chosen[..], [Wanted::Formatter(name), Wanted::Connector(subject)] if name == "cef" && subject.name == "file"));
        // Known, but not in this checkout; there, but without a row.
        for name in ["webhook", "unheard-of", "format-none"] {
            assert!(wanted(name, &there).is_err_and(|error| error.to_string().contains("has no row")), "{name}");
        }
    }

    #[test]
    fn rows_are_in_order_and_once() {
        let names: Vec<&str> = CONNECTORS.iter().map(|subject| subject.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }
}
