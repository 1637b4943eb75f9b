//! Parsers that others wrote read what we write: CEF by `pycef` and the field dictionary of `cefevent`,
//! CloudEvents by the CloudEvents SDK for Python, XML by expat, syslog by `syslog-rfc5424-parser`, Avro by `fastavro`,
//! Protocol Buffers by Google's `protobuf`, Prometheus' formats by its client for Python. Versions are pinned in `tests/requirements.txt`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bulkhead_tests::host;
use bulkhead_tests::skip::skip;

use crate::story::{Story, file, receiver, webhook};

/// A Python with the packages: `BULKHEAD_PYTHON`, the one `.ci/run` sets up, or the system's.
pub fn python(modules: &str) -> Option<PathBuf> {
    let known = [std::env::var_os("BULKHEAD_PYTHON").map(PathBuf::from), Some(host::root().join("target/python/bin/python")), Some(PathBuf::from("python3"))];
    known
        .into_iter()
        .flatten()
        .find(|python| Command::new(python).args(["-c", &format!("import {modules}")]).output().is_ok_and(|output| output.status.success()))
}

/// `format` is a formatter with its configuration, in YAML.
fn check(test: &str, modules: &str, script: &str, format: &str) {
    let Some(python) = python(modules) else {
        return skip(test, &format!("no Python with {modules}; `pip install -r tests/requirements.txt` brings them"));
    };
    let story = Story::start(&format!("formatters:\n  own: {format}\ninstances:\n{}default_route: [{{instance: all, format: own}}]\n", file("all")));
    let mut posted = 0;
    for name in ["copybook", "intelliguard", "datavault", "cloudevents", "plain"] {
        let text = fs::read_to_string(host::root().join("examples/events").join(name).with_extension("ndjson")).expect("samples are committed");
        posted += text.lines().count();
        story.accept("application/x-ndjson", &text);
    }
    story.settled();
    let output = Command::new(python)
        .arg(host::root().join("tests/independent").join(script))
        .arg(story.path("out/all.ndjson"))
        .arg(host::root().join("examples/events"))
        .arg(posted.to_string())
        .output()
        .expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    // The script says how many it read: a parser that saw nothing proves nothing.
    assert!(said.contains(&format!("read {posted} ")), "{said}");
}

#[test]
fn cef_is_read_by_others() {
    check("independent::cef_is_read_by_others", "pycef, cefevent", "check_cef.py", "{formatter: cef}");
}

#[test]
fn cloudevents_are_read_by_their_sdk() {
    check("independent::cloudevents_are_read_by_their_sdk", "cloudevents.core.formats.json", "check_cloudevents.py", "{formatter: cloudevents}");
}

#[test]
fn xml_is_read_by_others() {
    check("independent::xml_is_read_by_others", "xml.etree.ElementTree", "check_xml.py", "{formatter: xml, config: {data: elements}}");
}

#[test]
fn syslog_is_read_by_others() {
    check("independent::syslog_is_read_by_others", "syslog_rfc5424_parser", "check_syslog.py", "{formatter: syslog, config: {message: data}}");
}

/// Two lanes, `format` and `json`: the script compares what it reads with the events in Bulkhead's own shape. Records that
/// are no text go through a webhook, one a request, and reach the script in hexadecimal digits.
fn check_against_json(test: &str, modules: &str, script: &[&str], format: &str, binary: bool) {
    let Some(python) = python(modules) else {
        return skip(test, &format!("no Python with {modules}; `pip install -r tests/requirements.txt` brings them"));
    };
    let receiver = receiver("");
    let own = if binary { webhook("all", &receiver, "") } else { file("all") };
    let story = Story::start(&format!(
        "formatters:\n  own: {format}\ninstances:\n{own}{}default_route: [{{instance: all, format: own}}, {{instance: events, format: json}}]\n",
        file("events")
    ));
    let mut posted = 0;
    for name in ["copybook", "intelliguard", "datavault", "cloudevents", "plain"] {
        let text = fs::read_to_string(host::root().join("examples/events").join(name).with_extension("ndjson")).expect("samples are committed");
        posted += text.lines().count();
        story.accept("application/x-ndjson", &text);
    }
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0, "{}", story.host.log());
    let records = story.path("out/all.ndjson");
    if binary {
        let hex = |byte: &u8| format!("{byte:02x}");
        let lines: String = receiver.kept().iter().map(|kept| kept.body.iter().map(hex).collect::<String>() + "\n").collect();
        fs::write(&records, lines).expect("written");
    }
    let (name, arguments) = script.split_first().expect("a script");
    let output = Command::new(python)
        .arg(host::root().join("tests/independent").join(name))
        .args(arguments)
        .args([records, story.path("out/events.ndjson")])
        .arg(posted.to_string())
        .output()
        .expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("read {posted} ")), "{said}");
}

#[test]
fn templates_are_read_by_others() {
    let test = "independent::templates_are_read_by_others";
    let json = r#"{formatter: template, config: {escape: json, content_type: application/json, template: '{"id":{{ id }},"type":{{ type }},"user":{{ user }},"host":{{ host }},"data":{{ data }},"text":"{{ id }}|{{ type }}|{{ user }}|{{ host }}"}'}}"#;
    let csv = "{formatter: template, config: {escape: csv, content_type: text/csv, template: '{{ id }},{{ type }},{{ user }},{{ host }},{{ data }}'}}";
    let xml = r#"{formatter: template, config: {escape: xml, content_type: application/xml, template: '<event id="{{ id }}" type="{{ type }}" user="{{ user }}" host="{{ host }}">{{ data }}</event>'}}"#;
    for (kind, format) in [("json", json), ("csv", csv), ("xml", xml)] {
        check_against_json(test, "csv", &["check_template.py", kind], format, false);
    }
}

#[test]
fn mappings_are_what_another_program_makes() {
    let format = r#"{formatter: mapping, config: {fields: [
      {to: event.id, from: /id}, {to: event.kind, from: /type, default: event},
      {to: event.level, from: /severity, transform: [{map: {info: 1, low: 2, medium: 3, high: 4, critical: 5}}], default: 0},
      {to: actor.hash, from: /user, transform: [trim, lower, hash_sha256, {truncate: 16}]},
      {to: actor.roles, from: /roles, transform: [{join: ","}]},
      {to: message, expr: "type + ' on ' + host"}, {to: labels, from: /metadata},
      {to: count, expr: "type(data) == map ? size(data) : null"}, {to: payload, from: /data}]}}"#;
    let format = format.replace('\n', " ");
    check_against_json("independent::mappings_are_what_another_program_makes", "hashlib", &["check_mapping.py"], &format, false);
}

/// The same program by `jq` itself.
#[test]
fn programs_make_what_jq_makes() {
    let program = r#".user |= (if type == "string" then ascii_upcase else "nobody" end) | .data |= (if type == "object" then with_entries(select(.key | test("^[a-p]"))) else . end) | .metadata = {words: [.type // "" | split(".")[]], count: ([.data | .. | scalars] | length), kinds: (.data | if type == "object" then (map_values(type) | to_entries | map("\(.key):\(.value)") | sort) else [] end)}"#;
    let rows = "fields: [{to: id, from: /id}, {to: user, from: /user}, {to: data, from: /data}, {to: metadata, from: /metadata}]";
    let format = format!("{{formatter: mapping-jq, config: {{jq: {}, {rows}}}}}", serde_json::Value::from(program));
    check_against_json("independent::programs_make_what_jq_makes", "jq", &["check_mapping_jq.py", program], &format, false);
}

#[test]
fn samples_are_read_by_prometheus_own_client() {
    let test = "independent::samples_are_read_by_prometheus_own_client";
    for version in ["text", "openmetrics"] {
        let format = format!("{{formatter: prometheus, config: {{version: {version}}}}}");
        check_against_json(test, "prometheus_client", &["check_prometheus.py", version], &format, false);
    }
}

#[test]
fn avro_is_read_by_fastavro() {
    let test = "independent::avro_is_read_by_fastavro";
    for config in ["{framing: confluent, schema_id: 42}", "{framing: single_object}"] {
        check_against_json(test, "fastavro", &["check_avro.py"], &format!("{{formatter: avro, config: {config}}}"), true);
    }
}

#[test]
fn protobuf_is_read_by_its_makers() {
    let proto = "syntax = \"proto3\"; package acme; import \"google/protobuf/timestamp.proto\";
      enum Severity { SEVERITY_UNSPECIFIED = 0; SEVERITY_INFO = 1; SEVERITY_LOW = 2; SEVERITY_MEDIUM = 3; SEVERITY_HIGH = 4; SEVERITY_CRITICAL = 5; }
      message First {}
      message Event { string id = 1; google.protobuf.Timestamp time = 2; Severity severity = 3; repeated string roles = 4;
        map<string, string> metadata = 5; uint32 dstport = 6; bytes data = 7; Place place = 8; message Place { string ip = 1; uint32 port = 2; } }";
    let format = format!(
        "{{formatter: protobuf, config: {{framing: confluent, schema_id: 42, message: Event, from: {{place: /data/destination}}, proto: {}}}}}",
        serde_json::Value::from(proto)
    );
    check_against_json("independent::protobuf_is_read_by_its_makers", "google.protobuf", &["check_protobuf.py"], &format, true);
}
