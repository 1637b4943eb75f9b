//! Conditions, exclusive routes, priorities, the default, filters.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::story::{Story, file};

const EVENTS: &str = r#"{"id":"info","severity":"info","event_type":"app.started","user":"ada","metadata":{"team":"ledger","user_role":"operator"}}
{"id":"high","severity":"high","event_type":"app.failed","classification":"Confidential","compliance_profiles":["SOX"],"source":"billing"}
{"event_id":"sec","timestamp":"2026-11-02T08:00:00Z","event_type":"SecurityEvent","severity":"Critical","payload":{},"context":{"operation_id":"o","security":{"classification":"MaterialTransaction"},"compliance_profiles":["PCI_DSS"],"metadata":{"user_role":"auditor"}}}
{"event_id":"perf","timestamp":"2026-11-02T08:00:00Z","event_type":"PerformanceMeasurement","severity":"Low","payload":{},"context":{"operation_id":"o","compliance_profiles":[],"metadata":{}}}
"#;

fn ids(story: &Story, name: &str) -> BTreeSet<String> {
    story.records(&format!("{name}.ndjson")).iter().filter_map(|record| record["id"].as_str().map(str::to_owned)).collect()
}

/// One host for all conditions: each is a route to a file of its own.
#[test]
fn every_condition_holds_where_it_should() {
    let conditions: [(&str, &[&str]); 17] = [
        ("{always: true}", &["info", "high", "sec", "perf"]),
        ("{never: true}", &[]),
        ("{event_type: SecurityEvent}", &["sec"]),
        ("{event_type: copybook.security_event}", &["sec"]),
        ("{event_type: app.failed}", &["high"]),
        ("{severity: high}", &["high"]),
        ("{severity: [low, critical]}", &["sec", "perf"]),
        ("{min_severity: high}", &["high", "sec"]),
        ("{security_classification: material_transaction}", &["sec"]),
        ("{security_classification: Confidential}", &["high"]),
        ("{compliance_profile: SOX}", &["high"]),
        ("{compliance_profile: pci_dss}", &["sec"]),
        ("{user_role: operator}", &["info"]),
        ("{metadata_contains: {key: team, value: edge}}", &["info"]),
        ("{source: billing}", &["high"]),
        ("{and: [{min_severity: high}, {not: {event_type: SecurityEvent}}]}", &["high"]),
        ("{or: [{severity: info}, {user_role: auditor}]}", &["info", "sec"]),
    ];
    let mut config = "instances:\n".to_owned();
    let mut routes = "routes:\n".to_owned();
    for (i, (condition, _)) in conditions.iter().enumerate() {
        config.push_str(&file(&format!("c{i}")));
        routes.push_str(&format!("  - {{id: r{i}, name: r{i}, when: {condition}, to: [{{instance: c{i}, format: jsonl}}]}}\n"));
    }
    let story = Story::start(&format!("{config}{routes}"));
    story.accept("application/x-ndjson", EVENTS);
    story.settled();
    let mut wrong = Vec::new();
    for (i, (condition, want)) in conditions.iter().enumerate() {
        let (have, want) = (ids(&story, &format!("c{i}")), want.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>());
        if have != want {
            wrong.push(format!("{condition}: {have:?}, wanted {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn exclusive_priority_and_default() {
    let config = format!(
        "instances:\n{}{}{}{}routes:\n{}{}{}default_route: [{{instance: rest, format: jsonl}}]\n",
        file("first"),
        file("second"),
        file("third"),
        file("rest"),
        "  - {id: late, name: late, when: {min_severity: high}, to: [{instance: third, format: jsonl}], priority: 30}\n",
        "  - {id: early, name: early, when: {severity: critical}, to: [{instance: first, format: jsonl}], exclusive: true, priority: 1}\n",
        "  - {id: middle, name: middle, when: {min_severity: high}, to: [{instance: second, format: jsonl}, {instance: third, format: jsonl}], priority: 20}\n",
    );
    let story = Story::start(&config);
    story.accept("application/x-ndjson", EVENTS);
    story.settled();
    let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&story, "first"), set(&["sec"]), "the exclusive route");
    assert_eq!(ids(&story, "second"), set(&["high"]), "what the exclusive route left");
    assert_eq!(story.records("third.ndjson").len(), 1, "an event that reaches a lane by two rules is delivered once");
    assert_eq!(ids(&story, "rest"), set(&["info", "perf"]), "the default serves what no rule matched");
}

#[test]
fn filters_hold_back_and_count() {
    let with = |name: &str, filter: &str| format!("{}    filters: [{filter}]\n", file(name));
    let names = ["grave", "typed", "classes", "duty", "quiet"];
    let mut config = "instances:\n".to_owned();
    config.push_str(&with("grave", "{type: severity_threshold, min_severity: high}"));
    config.push_str(&with("typed", "{type: event_type_filter, allowed_types: [SecurityEvent, app.failed]}"));
    config.push_str(&with("classes", "{type: data_classification_filter, allowed_classifications: [confidential]}"));
    config.push_str(&with("duty", "{type: compliance_required}"));
    config.push_str(&with("quiet", "{type: exclude_performance_metrics}"));
    let lanes: Vec<String> = names.iter().map(|name| format!("{{instance: {name}, format: jsonl}}")).collect();
    let story = Story::start(&format!("{config}default_route: [{}]\n", lanes.join(", ")));
    story.accept("application/x-ndjson", EVENTS);
    let scrape = story.settled();
    let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    for (name, want) in names.iter().zip([&["high", "sec"][..], &["high", "sec"], &["high"], &["high", "sec"], &["info", "high", "sec"]]) {
        assert_eq!(ids(&story, name), set(want), "{name}");
        let filtered = scrape.sum("bulkhead_lane_filtered_total", &[("instance", name)]);
        assert_eq!(filtered, 4.0 - want.len() as f64, "{name}");
    }
}

#[test]
fn a_rate_limit_drops_or_delays_beyond_its_burst() {
    let limit = |name: &str, excess: &str, rate: u32| {
        format!("{}    filters: [{{type: rate_limiting, max_events_per_second: {rate}, burst_capacity: 5, on_excess: {excess}}}]\n", file(name))
    };
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: drops, format: jsonl}}, {{instance: waits, format: jsonl}}]\n",
        limit("drops", "drop", 1),
        limit("waits", "delay", 20)
    ));
    let body: String = (0..20).map(|i| format!("{{\"id\":\"e{i}\"}}\n")).collect();
    story.accept("application/x-ndjson", &body);
    let scrape = story.settled();
    let dropped = scrape.sum("bulkhead_lane_filtered_total", &[("instance", "drops")]);
    assert!((14.0..=15.0).contains(&dropped), "{dropped} dropped of 20 at a burst of 5");
    assert_eq!(story.records("waits.ndjson").len(), 20, "a delay loses nothing");
}

#[test]
fn global_filters_come_before_routes() {
    let story = Story::start(&format!(
        "instances:\n{}filters: [{{type: severity_threshold, min_severity: high}}]\ndefault_route: [{{instance: all, format: jsonl}}]\n",
        file("all")
    ));
    story.accept("application/x-ndjson", EVENTS);
    story.settled();
    let kinds: Vec<Value> = story.records("all.ndjson").into_iter().map(|record| record["severity"].clone()).collect();
    assert_eq!(kinds, ["high", "critical"]);
}
