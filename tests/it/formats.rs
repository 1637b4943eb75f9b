//! Golden outputs: what each formatter makes of the same events, and what Splunk is sent. Reviewed like
//! code; `UPDATE_GOLDEN=1` writes them again.

use std::fs;

use crate::story::{Story, file, hec, receiver, webhook};

/// A few samples of each shape: enough to show every rule, small enough to read.
fn events() -> String {
    let folder = bulkhead_tests::host::root().join("examples/events");
    let mut events = String::new();
    for (name, count) in [("copybook", 20), ("intelliguard", 8), ("datavault", 6), ("cloudevents", 8), ("plain", 9)] {
        let text = fs::read_to_string(folder.join(name).with_extension("ndjson")).expect("samples are committed");
        // Events without id or time get the moment's: no two runs would agree.
        let fixed = |line: &&str| line.contains("time") && (line.contains("\"id\":\"") || line.contains("\"event_id\""));
        text.lines().filter(fixed).take(count).for_each(|line| events.push_str(&format!("{line}\n")));
    }
    events
}

#[track_caller]
fn compare(name: &str, have: &str) {
    let path = bulkhead_tests::host::root().join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, have).expect("written");
        return;
    }
    let want = fs::read_to_string(&path).unwrap_or_default();
    if let Some((i, (want, have))) = want.lines().zip(have.lines()).enumerate().find(|(_, (want, have))| want != have) {
        panic!("{name}:{}\nwant {want}\nhave {have}\n(UPDATE_GOLDEN=1 takes what is there)", i + 1);
    }
    assert_eq!(want.lines().count(), have.lines().count(), "{name}: number of lines");
}

fn without_receipt(text: &str) -> String {
    let begin = "\"observedTimeUnixNano\":\"";
    let line = |line: &str| {
        let (head, rest) = line.split_once(begin).expect("every record says it");
        format!("{head}{begin}{}\n", rest.trim_start_matches(|digit: char| digit.is_ascii_digit()))
    };
    text.lines().map(line).collect()
}

#[test]
fn every_format_is_as_reviewed() {
    let formats = ["json", "jsonl", "cef", "ecs", "cloudevents", "leef", "syslog", "splunk", "xml", "otlp", "prometheus"];
    let mut config = "instances:\n".to_owned();
    for format in formats {
        config.push_str(&file(format));
        // One slot and strict order, so that files are alike in every run.
        config.push_str("    ordering: strict\n");
    }
    let lanes: Vec<String> = formats.iter().map(|format| format!("{{instance: {format}, format: {format}}}")).collect();
    let story = Story::start(&format!("{config}default_route: [{}]\n", lanes.join(", ")));
    story.accept("application/x-ndjson", &events());
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0);
    for format in formats {
        let text = fs::read_to_string(story.path("out").join(format!("{format}.ndjson"))).expect("written");
        // A log record says when it was received, in one place.
        let text = if format == "otlp" { without_receipt(&text) } else { text };
        compare(&format!("{format}.txt"), &text);
    }
}

/// Formats that are what their configuration says: a realistic one each.
const CONFIGURED: [(&str, &str); 3] = [
    (
        "template",
        r#"{formatter: template, config: {escape: json, content_type: application/json, template: '{"text": "{{ severity | default("unknown") | upper }} {{ type }} on {{ host | default("?") }} at {{ time | date("%Y-%m-%d %H:%M:%S") }}", "user": {{ user }}, "roles": {{ roles | default([]) | join(", ") | truncate(40) }}, "labels": { {%- for name, value in metadata | default({}) | items %}{{ name | json }}: {{ value | json }}{% if not loop.last %}, {% endif %}{% endfor -%} }, "rate": {{ data.payload.throughput_mbps }}}'}}"#,
    ),
    (
        "mapping",
        r#"{formatter: mapping, config: {validate: [{that: "id != ''", reason: no id}], fields: [{to: alert.id, from: /id, required: true}, {to: alert.title, expr: "type + ' by ' + user"}, {to: alert.title, from: /type}, {to: alert.priority, from: /severity, transform: [{map: {critical: 1, high: 2, medium: 3, "*": 4}}], default: 5}, {to: alert.opened, from: /time, type: timestamp}, {to: alert.day, from: /time, transform: [{date: "%G-W%V"}]}, {to: alert.tags, from: /compliance, transform: [upper]}, {to: alert.where.host, from: /host}, {to: alert.where.port, from: /dstport, type: string}, {to: alert.actor, from: /user, transform: [trim, lower, hash_sha256, {truncate: 12}]}, {to: metrics.throughput, from: /data/payload/throughput_mbps}, {to: metrics.fast, expr: "data.payload.throughput_mbps > 100.0"}, {to: labels, from: /metadata, when: "size(metadata) > 0"}]}}"#,
    ),
    (
        "mapping-jq",
        r#"{formatter: mapping-jq, config: {jq: '.data |= (if type == "object" then with_entries(select(.value != null and (.key | test("_hash$") | not))) else . end) | .metadata = {tags: ([.compliance[]?, .classification // empty] | unique), scalars: ([.data | .. | scalars] | length)}', fields: [{to: id, from: /id, required: true}, {to: at, from: /time}, {to: kind, expr: "type.replace('copybook.', '')"}, {to: tags, from: /metadata/tags, when: "size(metadata.tags) > 0"}, {to: scalars, from: /metadata/scalars}, {to: payload, from: /data}]}}"#,
    ),
];

#[test]
fn configured_formats_are_as_reviewed() {
    let receivers = [receiver(""), receiver("")];
    let binary = [
        ("avro", "{formatter: avro, config: {framing: single_object}}"),
        (
            "protobuf",
            "{formatter: protobuf, config: {framing: delimited, fields: [{number: 1, name: id, type: string, from: /id}, {number: 2, name: time, type: timestamp, from: /time}, {number: 3, name: type, type: string, from: /type}, {number: 4, name: severity, type: string, from: /severity}, {number: 5, name: roles, type: string, from: /roles, repeated: true}]}}",
        ),
    ];
    let mut config = "formatters:\n".to_owned();
    for (name, format) in CONFIGURED.iter().chain(&binary) {
        config.push_str(&format!("  own-{name}: {format}\n"));
    }
    config.push_str("instances:\n");
    for (name, _) in CONFIGURED {
        config.push_str(&format!("{}    ordering: strict\n", file(name)));
    }
    for ((name, _), receiver) in binary.iter().zip(&receivers) {
        config.push_str(&webhook(name, receiver, "    concurrency: 1\n    ordering: strict\n"));
    }
    let lanes: Vec<String> = CONFIGURED.iter().chain(&binary).map(|(name, _)| format!("{{instance: {name}, format: own-{name}}}")).collect();
    let story = Story::start(&format!("{config}default_route: [{}]\n", lanes.join(", ")));
    story.accept("application/x-ndjson", &events());
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0, "{}", story.host.log());
    for (name, _) in CONFIGURED {
        let text = fs::read_to_string(story.path("out").join(format!("{name}.ndjson"))).expect("written");
        compare(&format!("{name}.txt"), &text);
    }
    for ((name, _), receiver) in binary.iter().zip(&receivers) {
        let hex = |byte: &u8| format!("{byte:02x}");
        let lines: String = receiver.kept().iter().map(|kept| kept.body.iter().map(hex).collect::<String>() + "\n").collect();
        compare(&format!("{name}.txt"), &lines);
    }
}

#[test]
fn splunk_is_sent_what_was_reviewed() {
    let receiver = receiver("");
    let story = Story::start(&format!(
        "instances:\n{}    concurrency: 1\n    ordering: strict\n    config: {{index: audit, sourcetype: \"copybook:audit\"}}\ndefault_route: [{{instance: siem, format: cef}}]\n",
        hec("siem", &receiver, "")
    ));
    story.accept("application/x-ndjson", &events());
    story.settled();
    let lines: String = receiver.kept().iter().flat_map(crate::story::envelopes).map(|envelope| format!("{envelope}\n")).collect();
    compare("splunk-hec.txt", &lines);
    assert!(receiver.kept().iter().all(|kept| kept.head.path == "/services/collector/event"));
}

/// What bounds a program of the operator's is the guest's own fuel: a batch that runs out goes in halves, and the event at
/// fault is a dead letter, alone.
#[test]
fn a_program_that_does_not_end_costs_its_event() {
    let program = r#"if .id == "endless" then (def f: f; f) else . end"#;
    let config = format!(
        "formatters:\n  own: {{formatter: mapping-jq, limits: {{fuel: 50M}}, config: {{jq: {}, fields: [{{to: id, from: /id}}]}}}}\ninstances:\n{}default_route: [{{instance: out, format: own}}]\n",
        serde_json::Value::from(program),
        file("out")
    );
    let story = Story::start(&config);
    let ids: Vec<String> = (0..20).map(|n| if n == 7 { "endless".to_owned() } else { n.to_string() }).collect();
    let events: String = ids.iter().map(|id| format!("{{\"id\":\"{id}\",\"time\":\"2026-01-02T03:04:05Z\"}}\n")).collect();
    story.accept("application/x-ndjson", &events);
    story.settled();
    let mut written: Vec<String> = story.records("out.ndjson").iter().map(|record| record["id"].as_str().expect("an id").to_owned()).collect();
    written.push("endless".to_owned());
    written.sort();
    let mut want = ids.clone();
    want.sort();
    assert_eq!(written, want);
    let letters = crate::vendor::dead_letters(&story);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0]["event_id"].as_str(), letters[0]["cause"].as_str()), (Some("endless"), Some("guest-fault")));
}
