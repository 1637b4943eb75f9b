//! Golden outputs: what each formatter makes of the same events, and what Splunk is sent. Reviewed like
//! code; `UPDATE_GOLDEN=1` writes them again.

use std::fs;

use crate::story::{Story, file, hec, receiver};

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

#[test]
fn every_format_is_as_reviewed() {
    let formats = ["json", "jsonl", "cef", "ecs", "cloudevents", "leef", "syslog", "splunk", "xml"];
    let mut config = "instances:\n".to_owned();
    for format in formats {
        config.push_str(&file(format));
        // One slot and strict order, so that files are alike in every run.
        config.push_str("    concurrency: 1\n    ordering: strict\n");
    }
    let lanes: Vec<String> = formats.iter().map(|format| format!("{{instance: {format}, format: {format}}}")).collect();
    let story = Story::start(&format!("{config}default_route: [{}]\n", lanes.join(", ")));
    story.accept("application/x-ndjson", &events());
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0);
    for format in formats {
        let text = fs::read_to_string(story.path("out").join(format!("{format}.ndjson"))).expect("written");
        compare(&format!("{format}.txt"), &text);
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
