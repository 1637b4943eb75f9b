//! Dashboard and alert rules in `deploy/grafana`: made from the list of metrics, so that none is left out and
//! none is named that is not there. `UPDATE_GOLDEN=1` writes them again.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use bulkhead_observe::metrics::FAMILIES;
use bulkhead_tests::host::root;
use bulkhead_tests::skip::skip;
use serde_json::{Value, json};

use crate::served::program;
use crate::story::{Story, file};

/// Rows of the dashboard, and what the names of their metrics begin with behind `bulkhead_`.
const ROWS: &[(&str, &[&str])] = &[
    ("Intake", &["events_", "accept_", "requests_", "window_", "files", "inbound_", "pulls_"]),
    ("Journal", &["journal_"]),
    ("Lanes", &["lane_", "breaker_", "concurrency_"]),
    ("Dead letters", &["dead_letters"]),
    ("Egress", &["egress_"]),
    ("Guests", &["guest_", "component_", "uploads_"]),
    ("Integrity and receipts", &["integrity_", "receipts_"]),
    ("Process", &["process_", "store_up"]),
];

/// Name, expression, how long it must hold, severity, and what it says.
const ALERTS: &[(&str, &str, &str, &str, &str)] = &[
    ("BulkheadDown", "up{job=~\"bulkhead.*\"} == 0", "2m", "critical", "{{ $labels.instance }} does not answer: nothing is accepted."),
    (
        "BulkheadRefusesEvents",
        "sum by (listener, reason) (rate(bulkhead_requests_refused_total{reason=\"full\"}[5m])) > 0",
        "1m",
        "critical",
        "The journal is full, senders of {{ $labels.listener }} hear 429: see which lane is behind, or raise journal.max_bytes.",
    ),
    (
        "BulkheadJournalSlow",
        "histogram_quantile(0.99, sum by (le) (rate(bulkhead_journal_sync_seconds_bucket[5m]))) > 1",
        "5m",
        "warning",
        "One commit in a hundred takes more than a second: the disk is slow or full.",
    ),
    (
        "BulkheadLaneBehind",
        "bulkhead_lane_oldest_age_seconds > 300",
        "5m",
        "warning",
        "The oldest event of lane {{ $labels.instance }}/{{ $labels.format }} waits for {{ $value }} seconds.",
    ),
    (
        "BulkheadDeadLetters",
        "sum by (instance, format, cause) (increase(bulkhead_lane_rejected_total[10m])) > 0",
        "0m",
        "warning",
        "Events of lane {{ $labels.instance }}/{{ $labels.format }} went to the dead letters ({{ $labels.cause }}): bulkhead dlq list.",
    ),
    ("BulkheadBreakerOpen", "bulkhead_breaker_state == 2", "5m", "warning", "The receiver of {{ $labels.instance }} has failed for minutes and is left alone."),
    (
        "BulkheadGuestFaults",
        "sum by (instance, component, fault) (increase(bulkhead_guest_faults_total[10m])) > 0",
        "0m",
        "warning",
        "{{ $labels.component }} of {{ $labels.instance }} broke ({{ $labels.fault }}).",
    ),
    (
        "BulkheadPullFails",
        "sum by (instance) (rate(bulkhead_pulls_total{result!~\"taken|gone|held\"}[10m])) > 0",
        "15m",
        "warning",
        "{{ $labels.instance }} brings no records.",
    ),
    ("BulkheadFilesUnreadable", "bulkhead_files{state=\"unreadable\"} > 0", "5m", "warning", "Files of {{ $labels.files }} cannot be read."),
    ("BulkheadIntegrityBroken", "bulkhead_integrity_chains_broken > 0", "0m", "critical", "A hash chain of rule {{ $labels.rule }} is broken."),
    (
        "BulkheadReceiptsLost",
        "increase(bulkhead_receipts_lost_total[10m]) > 0",
        "0m",
        "critical",
        "Receipts could not be written: the disk, or the folder's rights.",
    ),
];

struct Metric {
    labels: Vec<String>,
    help: String,
    kind: String,
}

/// All metrics: the labelled families, and what a host shows without them.
fn metrics() -> BTreeMap<String, Metric> {
    let own = |kind: &str| if kind == "float" { "counter".to_owned() } else { kind.to_owned() };
    let mut all: BTreeMap<String, Metric> = FAMILIES
        .iter()
        .map(|(name, labels, help, kind)| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            ((*name).to_owned(), Metric { labels, help: (*help).to_owned(), kind: own(kind) })
        })
        .collect();
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: one, format: jsonl}}]\n", file("one")));
    let shown = story.host.get("/metrics").expect("answers").text();
    let word = |line: &str| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.to_owned()));
    let helps: BTreeMap<String, String> = shown.lines().filter_map(|line| word(line.strip_prefix("# HELP ")?)).collect();
    for (name, kind) in shown.lines().filter_map(|line| word(line.strip_prefix("# TYPE ")?)) {
        let help = helps.get(&name).cloned().unwrap_or_default();
        all.entry(name).or_insert(Metric { labels: Vec::new(), help, kind });
    }
    all
}

fn target(name: &str, metric: &Metric) -> Value {
    let labels = metric.labels.join(", ");
    let by = if labels.is_empty() { String::new() } else { format!(" by ({labels})") };
    let only = if metric.labels.iter().any(|label| label == "instance") { "{instance=~\"$instance\"}" } else { "" };
    let legend = metric.labels.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ");
    let (expression, legend) = match metric.kind.as_str() {
        "counter" => (format!("sum{by} (rate({name}{only}[$__rate_interval]))"), legend),
        "histogram" => {
            let by = metric.labels.iter().map(String::as_str).chain(["le"]).collect::<Vec<_>>().join(", ");
            (format!("histogram_quantile(0.99, sum by ({by}) (rate({name}_bucket{only}[$__rate_interval])))"), format!("p99 {legend}").trim_end().to_owned())
        }
        _ => (format!("{name}{only}"), legend),
    };
    json!({"refId": "A", "datasource": {"type": "prometheus", "uid": "${datasource}"}, "expr": expression, "legendFormat": if legend.is_empty() { "value".to_owned() } else { legend }})
}

fn unit(name: &str, kind: &str) -> &'static str {
    match (kind, name) {
        ("counter", name) if name.contains("bytes_total") => "Bps",
        ("counter", _) => "cps",
        (_, name) if name.ends_with("_seconds") => "s",
        (_, name) if name.ends_with("_bytes") => "bytes",
        _ => "short",
    }
}

fn dashboard(metrics: &BTreeMap<String, Metric>) -> Value {
    let (mut panels, mut id, mut y, mut placed) = (Vec::new(), 0, 0, 0);
    for (title, begins) in ROWS {
        id += 1;
        panels.push(json!({"id": id, "type": "row", "title": title, "collapsed": false, "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}, "panels": []}));
        y += 1;
        let short = |name: &str| name.strip_prefix("bulkhead_").unwrap_or(name).to_owned();
        let own: Vec<_> = metrics.iter().filter(|(name, _)| begins.iter().any(|begin| short(name).starts_with(begin))).collect();
        for (place, (name, metric)) in own.iter().enumerate() {
            id += 1;
            let (x, row) = (place % 3 * 8, place / 3);
            panels.push(json!({
                "id": id, "type": "timeseries", "title": short(name), "description": metric.help,
                "gridPos": {"h": 7, "w": 8, "x": x, "y": y + row * 7},
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "fieldConfig": {"defaults": {"unit": unit(name, &metric.kind), "min": 0}, "overrides": []},
                "targets": [target(name, metric)],
            }));
        }
        placed += own.len();
        y += own.len().div_ceil(3) * 7;
    }
    assert_eq!(placed, metrics.len(), "every metric has one place in ROWS");
    let variable = |more: Value| {
        let mut variable = json!({"hide": 0, "options": [], "current": {}});
        more.as_object().expect("an object").iter().for_each(|(key, value)| variable[key] = value.clone());
        variable
    };
    json!({
        "uid": "bulkhead", "title": "Bulkhead", "tags": ["bulkhead"], "schemaVersion": 39, "version": 1, "editable": true, "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"}, "timezone": "",
        "templating": {"list": [
            variable(json!({"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"})),
            variable(json!({"name": "instance", "type": "query", "label": "Instance", "datasource": {"type": "prometheus", "uid": "${datasource}"}, "query": "label_values(bulkhead_lane_queue_depth, instance)", "includeAll": true, "multi": true, "allValue": ".*", "refresh": 2})),
        ]},
        "panels": panels,
    })
}

fn alerts() -> String {
    let mut text = "# Alert rules for Prometheus. A scrape job must be called bulkhead.\ngroups:\n  - name: bulkhead\n    rules:\n".to_owned();
    for (name, expression, holds, severity, says) in ALERTS {
        text += &format!(
            "      - alert: {name}\n        expr: {}\n        for: {holds}\n        labels: {{severity: {severity}}}\n        annotations: {{summary: {}}}\n",
            json!(expression),
            json!(says)
        );
    }
    text
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let path = root().join("deploy/grafana").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, text).expect("written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is not what the metrics make; `UPDATE_GOLDEN=1` with this test writes it", path.display());
}

#[test]
fn dashboard_and_alerts_are_those_of_the_metrics() {
    let metrics = metrics();
    for (alert, expression, ..) in ALERTS {
        let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).filter(|word| word.starts_with("bulkhead_"));
        for word in words {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(metrics.contains_key(name), "{alert} names {word}, which is no metric");
        }
    }
    golden("bulkhead.json", &format!("{:#}\n", dashboard(&metrics)));
    golden("alerts.yaml", &alerts());
}

/// Prometheus' own tool reads the rules.
#[test]
fn promtool_takes_the_alerts() {
    let Some(promtool) = program("promtool") else {
        return skip("dashboards::promtool_takes_the_alerts", "no promtool; Debian's package prometheus brings it");
    };
    let output = Command::new(promtool).args(["check", "rules"]).arg(root().join("deploy/grafana/alerts.yaml")).output().expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(&format!("{} rules found", ALERTS.len())), "{said}");
}
