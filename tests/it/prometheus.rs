//! Events as metrics: on the host's own page, in a Pushgateway, and by remote write in a Prometheus. Programs of
//! the Prometheus project read what there is.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use bulkhead_tests::host;
use bulkhead_tests::http::Client;
use bulkhead_tests::prom::Scrape;
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use serde_json::Value;

use crate::served::{Counterpart, program};
use crate::story::{PATIENCE, Story, file};

fn samples() -> String {
    fs::read_to_string(host::root().join("examples/events/copybook.ndjson")).expect("samples are committed")
}

/// Copybook's samples by type and severity.
fn counted() -> BTreeMap<(String, String), f64> {
    let mut counted = BTreeMap::new();
    for line in samples().lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| event[name].as_str().expect("a text").to_owned();
        *counted.entry((text("event_type"), text("severity"))).or_default() += 1.0;
    }
    counted
}

fn by_type(scrape: &Scrape, name: &str) -> BTreeMap<(String, String), f64> {
    scrape.of(name, &[]).map(|sample| ((sample.labels["event_type"].clone(), sample.labels["severity"].clone()), sample.value)).collect()
}

fn instance(name: &str, connector: &str, config: &str, counterpart: &Counterpart) -> String {
    format!(
        "  {name}:\n    connector: {connector}\n    config: {{{config}}}\n    destinations: {{primary: {{url: \"{}\", methods: [PUT, POST, DELETE, GET]}}}}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    circuit_breaker: {{failure_threshold: 1000}}\n",
        counterpart.url()
    )
}

/// What promtool says of an exposition: nothing but what the names of the source program deserve.
#[track_caller]
fn judged_by_promtool(text: &str) {
    let promtool = program("promtool").expect("comes with prometheus");
    let mut child =
        Command::new(promtool).args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("reads");
    let output = child.wait_with_output().expect("ends");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let known = "copybook_memory_usage_mb metric names should not contain abbreviated units";
    assert!(said.lines().all(|line| line.is_empty() || line.ends_with(known)), "{said}");
    // 3 means that something was said of style; 1 that it is no exposition.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}", output.status);
}

#[test]
fn events_are_metrics_of_the_page() {
    let own = "  numbers:\n    connector: prometheus\n    grants: {plain_metrics: true}\n  prefixed:\n    connector: prometheus\n";
    let story = Story::start(&format!("instances:\n{own}default_route: [{{instance: numbers, format: json}}, {{instance: prefixed, format: json}}]\n"));
    story.accept("application/x-ndjson", &samples());
    let scrape = story.settled();
    assert_eq!(by_type(&scrape, "copybook_audit_events_total"), counted());
    assert_eq!(by_type(&scrape, "bulkhead_guest_copybook_audit_events_total"), counted());
    assert!(scrape.of("copybook_audit_events_total", &[]).all(|sample| sample.labels.len() == 2), "no label but its own");
    assert!(scrape.of("bulkhead_guest_copybook_audit_events_total", &[]).all(|sample| sample.labels["instance"] == "prefixed"));
    let name = "copybook_audit_event_processing_duration_seconds";
    let bounds: Vec<_> = scrape.of(&format!("{name}_bucket"), &[("event_type", "PerformanceMeasurement")]).map(|sample| sample.labels["le"].clone()).collect();
    assert_eq!(bounds, ["0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "+Inf"]);
    let measured = samples().lines().filter(|line| line.contains("\"duration_ms\"")).count() as f64;
    assert_eq!(scrape.sum(&format!("{name}_count"), &[]), measured);
    assert!(scrape.sum(&format!("{name}_sum"), &[]) > 0.0 && scrape.of("copybook_processing_throughput_mbps", &[]).count() > 0);
    if program("promtool").is_none() {
        return skip("prometheus::events_are_metrics_of_the_page", "no promtool (Debian package prometheus)");
    }
    judged_by_promtool(&story.host.get("/metrics").expect("answers").text());
}

/// One event, one sample: the text format as `promtool` judges it, OpenMetrics as Prometheus itself reads it to fill its
/// storage.
#[test]
fn the_format_is_read_by_promtool() {
    let Some(promtool) = program("promtool") else {
        return skip("prometheus::the_format_is_read_by_promtool", "no promtool (Debian package prometheus)");
    };
    let story = Story::start(&format!(
        "formatters:\n  open: {{formatter: prometheus, config: {{version: openmetrics}}}}\ninstances:\n{}{}default_route: [{{instance: text, format: prometheus}}, {{instance: open, format: open}}]\n",
        file("text"),
        file("open")
    ));
    story.accept("application/x-ndjson", &samples());
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0, "{}", story.host.log());
    let written = |name: &str| fs::read_to_string(story.path("out").join(format!("{name}.ndjson"))).expect("written");
    let count = samples().lines().count();
    let text = written("text");
    assert_eq!(text.lines().count(), count);
    judged_by_promtool(&format!("# HELP audit_event Audit events.\n# TYPE audit_event gauge\n{text}"));
    let (input, blocks) = (story.path("open.txt"), story.path("blocks"));
    fs::write(&input, format!("{}# EOF\n", written("open"))).expect("written");
    let output = Command::new(&promtool).args(["tsdb", "create-blocks-from", "openmetrics"]).args([&input, &blocks]).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // It looks for a log of writes, which blocks alone do not have.
    fs::create_dir(blocks.join("wal")).expect("a folder");
    let output = Command::new(&promtool).args(["tsdb", "dump"]).arg(&blocks).output().expect("runs");
    let dumped = String::from_utf8_lossy(&output.stdout);
    assert_eq!(dumped.lines().filter(|line| line.contains("__name__=\"audit_event\"")).count(), count, "{dumped}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn sums_are_pushed_and_survive_a_kill() {
    let Some(gateway) = program("prometheus-pushgateway").filter(|_| program("promtool").is_some()) else {
        return skip(
            "prometheus::sums_are_pushed_and_survive_a_kill",
            "no prometheus-pushgateway and promtool (Debian packages prometheus-pushgateway, prometheus)",
        );
    };
    let gateway = Counterpart::told_where_to_listen(|addr| {
        let mut command = Command::new(&gateway);
        command.arg(format!("--web.listen-address={addr}"));
        command
    });
    let page = || Client::new(gateway.addr).get("/metrics").expect("answers").text();
    let config = "job: audit, grouping: {instance: /var/lib/h 1}, delete_at_close: true";
    let mut story = Story::start(&format!(
        "instances:\n{}default_route: [{{instance: numbers, format: json}}]\n",
        instance("numbers", "prometheus-pushgateway", config, &gateway)
    ));
    let group = |scrape: &Scrape| by_type(scrape, "copybook_audit_events_total");
    for round in 1..=3 {
        story.accept("application/x-ndjson", &samples().replace("\"event_id\":\"", &format!("\"event_id\":\"{round}-")));
        let scrape = story.settled();
        assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0, "{}", story.host.log());
        let text = page();
        let want: BTreeMap<_, _> = counted().into_iter().map(|(key, count)| (key, count * f64::from(round))).collect();
        let scrape = Scrape::parse(&text).expect("an exposition");
        assert_eq!(group(&scrape), want, "round {round}");
        let labels = [("job", "audit"), ("instance", "/var/lib/h 1")];
        assert_eq!(scrape.of("copybook_audit_events_total", &labels).count(), want.len());
        let own: String = text.split_inclusive('\n').filter(|line| line.contains("copybook_")).collect();
        judged_by_promtool(&own);
        // Settled: what was counted is counted once.
        story = story.crash();
    }
    // It deletes what it pushed when it goes in peace.
    story.accept("application/json", r#"{"id":"last","time":"2026-01-02T03:04:05Z"}"#);
    story.settled();
    assert!(page().contains("copybook_audit_events_total"));
    story.host.terminate(PATIENCE).expect("ends");
    wait::until("the group is gone", PATIENCE, || Ok((!page().contains("copybook_audit_events_total")).then_some(()))).expect("gone");
}

#[test]
fn samples_are_written_to_prometheus() {
    let Some(prometheus) = program("prometheus") else {
        return skip("prometheus::samples_are_written_to_prometheus", "no prometheus (Debian package)");
    };
    let dir = tempfile::TempDir::new().expect("a folder");
    fs::write(dir.path().join("prometheus.yml"), "global: {}\n").expect("written");
    let prometheus = Counterpart::told_where_to_listen(|addr| {
        let mut command = Command::new(&prometheus);
        command.arg(format!("--web.listen-address={addr}"));
        command.arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.args(["--web.enable-remote-write-receiver", "--log.level=error"]);
        command
    });
    wait::until("it is ready", PATIENCE, || Ok(Client::new(prometheus.addr).get("/-/ready").ok().filter(|answer| answer.status == 200))).expect("ready");
    // The query's number; none where there is no series.
    let ask = |query: &str| -> anyhow::Result<Option<f64>> {
        let form = format!("query={}", query.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>());
        let media = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = Client::new(prometheus.addr).send("POST", "/api/v1/query", &media, form.as_bytes())?.json()?;
        Ok(answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok()))
    };
    #[track_caller]
    fn comes(story: &Story, query: &str, want: f64, ask: impl Fn(&str) -> anyhow::Result<Option<f64>>) {
        wait::until(query, PATIENCE, || Ok(ask(query)?.filter(|have| (have - want).abs() < 1e-6)))
            .unwrap_or_else(|error| panic!("{error:#}: {:?}, wanted {want}\n{}", ask(query), story.host.log()));
    }
    let story = Story::start(&format!(
        "instances:\n{}default_route: [{{instance: numbers, format: json}}]\n",
        instance("numbers", "prometheus-remote-write", "labels: {job: audit, site: \"a \\\"b\\\"\"}", &prometheus)
    ));
    let count = samples().lines().count() as f64;
    story.accept("application/x-ndjson", &samples());
    story.settled();
    comes(&story, "sum(copybook_audit_events_total{job=\"audit\",site=\"a \\\"b\\\"\"})", count, ask);
    let high = counted()[&("SecurityEvent".to_owned(), "High".to_owned())];
    comes(&story, "copybook_audit_events_total{event_type=\"SecurityEvent\",severity=\"High\"}", high, ask);
    let measured = samples().lines().filter(|line| line.contains("\"duration_ms\"")).count() as f64;
    comes(&story, "copybook_audit_event_processing_duration_seconds_bucket{le=\"+Inf\"}", measured, ask);
    let story = story.crash();
    for round in 2..=4 {
        story.accept("application/x-ndjson", &samples().replace("\"event_id\":\"", &format!("\"event_id\":\"{round}-")));
        story.settled();
    }
    comes(&story, "sum(copybook_audit_events_total)", count * 4.0, ask);
    // Seen as one series that only grew: neither the kill nor the clock made a gap or a step back.
    comes(&story, "sum(resets(copybook_audit_events_total[5m]))", 0.0, ask);
    assert_eq!(story.settled().sum("bulkhead_lane_rejected_total", &[]), 0.0, "{}", story.host.log());
}
