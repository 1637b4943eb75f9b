//! Metrics, health, logs.

use serde_json::Value;

use crate::story::{Story, copybook, file, hec, receiver};

#[test]
fn metrics_tell_the_whole_way() {
    let receiver = receiver("503;ok");
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: archive, format: jsonl}}]\n",
        hec("siem", &receiver, ""),
        file("archive")
    ));
    story.accept("application/x-ndjson", &copybook("e", 25));
    assert_eq!(story.host.post("application/json", b"nonsense").expect("answers").status, 400);
    let scrape = story.settled();
    let siem = [("instance", "siem"), ("format", "cef")];
    for (name, labels, want) in [
        ("bulkhead_events_accepted_total", &[][..], 25.0),
        ("bulkhead_requests_refused_total", &[], 1.0),
        ("bulkhead_lane_delivered_total", &siem, 25.0),
        ("bulkhead_lane_rejected_total", &siem, 0.0),
        ("bulkhead_lane_queue_depth", &siem, 0.0),
        ("bulkhead_lane_delivery_seconds_count", &siem, 25.0),
        ("bulkhead_guest_faults_total", &[], 0.0),
        ("bulkhead_breaker_state", &[("instance", "siem")], 0.0),
    ] {
        assert_eq!(scrape.sum(name, labels), want, "{name} {labels:?}");
    }
    for (name, labels) in [
        ("bulkhead_lane_retried_total", &siem[..]),
        ("bulkhead_accept_seconds_count", &[]),
        ("bulkhead_journal_syncs_total", &[]),
        ("bulkhead_journal_bytes", &[]),
        ("bulkhead_guest_fuel_total", &[("component", "format-cef")]),
        ("bulkhead_guest_calls_total", &[("component", "splunk-hec")]),
        ("bulkhead_guest_memory_bytes", &[]),
        ("bulkhead_guest_call_seconds_count", &[]),
        ("bulkhead_egress_requests_total", &[("instance", "siem")]),
    ] {
        assert!(scrape.sum(name, labels) > 0.0, "{name} {labels:?} counts nothing");
    }
    assert!(scrape.of("bulkhead_lane_oldest_age_seconds", &siem).count() == 1);
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let response = story.host.get("/metrics").expect("answers");
    assert!(response.headers.get("content-type").is_some_and(|value| value.starts_with("text/plain; version=0.0.4")), "{:?}", response.headers);
    let text = response.text();
    let described: std::collections::BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix).filter(|family| described.contains(family))).unwrap_or(name);
        assert!(described.contains(family), "{name} has no HELP");
    }
}

#[test]
fn the_log_is_json_lines_with_fields() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    let log = story.host.log();
    let mut ready = 0;
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(record["timestamp"].is_string() && record["level"].is_string() && record["message"].is_string(), "{line}");
        ready += usize::from(record["message"] == "ready");
    }
    assert_eq!(ready, 1, "{log}");
    assert!(!log.contains("ledger") && !log.contains("\"e-0\""), "no event bodies in the log: {log}");
}

#[test]
fn other_log_formats_are_not_json() {
    for format in ["pretty", "compact"] {
        let story = Story::start(&format!(
            "telemetry: {{log: {{format: {format}}}}}\ninstances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n",
            file("archive")
        ));
        let log = story.host.log();
        assert!(log.contains("ready"), "{log}");
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{format}: {log}");
    }
}
