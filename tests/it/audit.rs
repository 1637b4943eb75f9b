//! Receipts of deliveries and the bill of each connector, as an operator and an auditor use them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bulkhead_tests::wait;
use serde_json::Value;

use crate::story::{PATIENCE, Story, binary, copybook, file, hec, receiver};

const SECRET: &str = "hunter2-hunter2-hunter2";

fn audit(story: &Story, args: &[&str]) -> Output {
    let mut all = vec!["audit"];
    all.extend(args);
    run(story.dir.path(), &all)
}

/// In the folder of the story, whose `bulkhead.yaml` is the default.
fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(binary()).args(args).current_dir(dir).stdin(Stdio::null()).output().expect("runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", out(output), err(output)))
}

#[track_caller]
fn verified(story: &Story) -> Value {
    let output = audit(story, &["verify", "--json"]);
    let report = json(&output);
    assert_eq!((output.status.code(), report["valid"].as_bool()), (Some(0), Some(true)), "{report:#}");
    report
}

fn files(story: &Story) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(story.path("data/audit"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "jsonl"))
        .collect();
    files.sort();
    files
}

fn stop(story: &mut Story) {
    assert!(story.host.terminate(PATIENCE).expect("ends").success());
}

#[test]
fn each_attempt_leaves_a_receipt_without_body_and_secret() {
    let receiver = receiver("503;ok");
    let credential = format!("credentials:\n  hec: {{type: header, name: Authorization, prefix: \"Splunk \", value: {SECRET}}}\n");
    let url = receiver.url();
    let mut story = Story::start(&format!(
        "{credential}instances:\n  siem:\n    connector: splunk-hec\n    destinations: {{primary: {{url: \"{url}\", methods: [POST, GET], credential: hec}}}}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\ndefault_route: [{{instance: siem, format: cef}}]\n"
    ));
    story.accept("application/x-ndjson", &copybook("private-e", 25));
    let scrape = story.settled();
    // While the host runs.
    verified(&story);
    // Receipts are written behind the calls.
    let page = wait::until("the receipt is written", PATIENCE, || {
        let page = story.host.get("/api/integration/audit/receipts?instance=siem&outcome=accepted&limit=1")?.json()?;
        Ok(Some(page).filter(|page| page["meta"]["count"] == 1))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    assert_eq!(page["data"][0]["instance"], "siem", "{page:#}");
    let next = page["links"]["next"].as_str().expect("perhaps more").to_owned();
    assert_eq!(story.host.get(&next).expect("answers").status, 200);
    for bad in ["limit=0", "outcome=nonsense", "since=yesterday"] {
        assert_eq!(story.host.get(&format!("/api/integration/audit/receipts?{bad}")).expect("answers").status, 400, "{bad}");
    }
    stop(&mut story);
    let report = verified(&story);
    assert_eq!((report["counts"]["starts"].as_u64(), report["counts"]["lost"].as_u64()), (Some(1), Some(0)), "{report:#}");

    let listed = json(&audit(&story, &["list", "--instance", "siem", "--call", "deliver", "--json"]));
    let receipts = listed["data"].as_array().expect("a list");
    assert!(receipts.len() >= 2, "{listed:#}");
    let first = receipts.last().expect("a receipt");
    assert_eq!(first["exchanges"][0]["status"], 503, "{first:#}");
    let kept = receiver.kept();
    let mut total = 0;
    for receipt in receipts {
        let exchange = &receipt["exchanges"][0];
        assert_eq!((exchange["method"].as_str(), exchange["path"].as_str()), (Some("POST"), Some("/services/collector/event")), "{receipt:#}");
        assert_eq!(exchange["address"].as_str().map(str::to_owned), Some(receiver.addr().to_string()));
        assert_eq!((receipt["lane"].as_str(), receipt["connector"].as_str()), (Some("siem/cef"), Some("splunk-hec")));
        assert!(receipt["fuel"].as_u64().is_some_and(|fuel| fuel > 0) && receipt["guest_cpu_us"].is_u64(), "{receipt:#}");
        for digest in ["policy", "configuration"] {
            assert!(receipt[digest].as_str().is_some_and(|digest| digest.len() == 64), "{digest}: {receipt:#}");
        }
        total += exchange["sent"].as_u64().expect("bytes");
    }
    let received: usize = kept.iter().map(|request| request.body.len()).sum();
    assert_eq!(total, received as u64, "what was sent is what came in");
    let sum = |name: &str| receipts.iter().map(|receipt| receipt["outcomes"][name].as_u64().expect("a count")).sum::<u64>();
    assert_eq!(sum("accepted"), 25);
    // The metrics say the same.
    assert_eq!(scrape.sum("bulkhead_guest_bytes_total", &[("instance", "siem"), ("direction", "out")]), received as f64);

    for path in files(&story) {
        let text = fs::read_to_string(&path).expect("UTF-8");
        assert!(!text.contains(SECRET) && !text.contains("private-e") && !text.contains("op-1") && !text.contains("ledger"), "{}", path.display());
    }
    // The events are named by their place in the journal.
    let accepted = receipts.iter().find(|receipt| receipt["outcomes"]["accepted"].as_u64() > Some(0)).expect("one");
    let (from, to) = (accepted["events"]["first"].to_string(), accepted["events"]["last"].to_string());
    let output = run(story.dir.path(), &["journal", "export", "--from", &from, "--to", &to]);
    assert!(out(&output).contains("private-e-"), "{}{}", out(&output), err(&output));

    let text = out(&audit(&story, &["list", "--outcome", "accepted"]));
    assert!(text.contains("siem/cef") && text.contains("POST /services/collector/event") && text.contains(" 200]"), "{text}");
    let n = first["n"].to_string();
    assert_eq!(json(&audit(&story, &["show", &n, "--json"]))["data"]["n"], first["n"]);
    assert_eq!(audit(&story, &["show", "999999"]).status.code(), Some(5));
}

#[test]
fn a_head_that_was_noted_shows_a_missing_end() {
    let mut story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    story.accept("application/x-ndjson", &copybook("e", 5));
    story.settled();
    stop(&mut story);
    let head = out(&audit(&story, &["head"])).trim().to_owned();
    let report = json(&audit(&story, &["verify", "--json", "--expect-head", &head]));
    assert_eq!((report["valid"].as_bool(), report["expected"]["since"].as_u64()), (Some(true), Some(0)), "{report:#}");
    assert_eq!(head, format!("{}:{}", report["head"]["n"], report["head"]["hash"].as_str().expect("a hash")));
    let path = files(&story).pop().expect("a file");
    let text = fs::read_to_string(&path).expect("UTF-8");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.pop();
    fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("written");
    // By itself the rest is whole, and the report says what it cannot tell.
    let output = audit(&story, &["verify"]);
    assert!(output.status.success() && out(&output).contains("cannot be told without --expect-head"), "{}", out(&output));
    let output = audit(&story, &["verify", "--expect-head", &head]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("the end is missing: the chain ends with record "), "{}", err(&output));
    assert_eq!(audit(&story, &["verify", "--expect-head", "nonsense"]).status.code(), Some(2));
}

#[test]
fn tampering_names_the_record() {
    let mut story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    for i in 0..6 {
        story.accept("application/x-ndjson", &copybook(&format!("e{i}"), 5));
        story.settled();
    }
    stop(&mut story);
    let path = files(&story).pop().expect("a file");
    let clean = fs::read_to_string(&path).expect("UTF-8");
    let lines: Vec<String> = clean.lines().map(str::to_owned).collect();
    let verify = |lines: &[String]| {
        fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("written");
        let report = json(&audit(&story, &["verify", "--json"]));
        let fault = &report["fault"];
        (fault["line"].as_u64().unwrap_or(0), fault["n"].as_u64().unwrap_or(0), fault["what"].as_str().unwrap_or_default().to_owned())
    };
    let changed = |at: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        assert!(lines[at].contains(from), "{}", lines[at]);
        lines[at] = lines[at].replacen(from, to, 1);
        lines
    };
    let (line, n, what) = verify(&changed(4, "\"instance\":\"archive\"", "\"instance\":\"archivf\""));
    assert_eq!((line, n), (5, 5), "{what}");
    assert!(what.starts_with("the record was changed: its content hashes to "), "{what}");
    let mut removed = lines.clone();
    removed.remove(3);
    assert_eq!(verify(&removed), (4, 4, "record 4 is missing: record 5 stands in this line".into()));
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    assert_eq!(verify(&swapped), (5, 5, "records are out of order: record 6 stands here, record 5 in line 6".into()));
    let mut doubled = lines.clone();
    doubled.insert(5, lines[4].clone());
    assert_eq!(verify(&doubled), (6, 5, "record 5 stands here again; record 6 is due".into()));
    assert_eq!(verify(&lines), (0, 0, String::new()), "put back");
    // For people: file, line and record on stderr, exit code 1.
    fs::write(&path, &clean[..clean.len() - 9]).expect("written");
    let output = audit(&story, &["verify"]);
    assert_eq!(output.status.code(), Some(1));
    let last = lines.len();
    assert!(err(&output).contains(&format!("receipts-00000001.jsonl line {last}, record {last}: the record is cut off")), "{}", err(&output));
}

/// Whoever does not trust us writes a page of Python.
#[test]
fn the_chain_is_checked_by_a_program_of_others() {
    let mut story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    story.accept("application/x-ndjson", &copybook("e", 50));
    story.settled();
    stop(&mut story);
    let head = out(&audit(&story, &["head"])).trim().to_owned();
    let script = bulkhead_tests::host::root().join("tests/independent/check_receipts.py");
    let Ok(output) = Command::new("python3").arg(script).arg(story.path("data/audit")).output() else {
        return bulkhead_tests::skip::skip("audit::the_chain_is_checked_by_a_program_of_others", "no python3");
    };
    assert!(output.status.success() && out(&output).contains(&format!("head {head}")), "{}{}", out(&output), err(&output));
}

/// kill -9 in the middle of deliveries: the next start cuts what was torn, and the chain is whole.
#[test]
fn a_killed_host_leaves_a_chain_that_goes_on() {
    let mut story = Story::start(&format!(
        "instances:\n{}    batch: {{max_events: 5}}\ndefault_route: [{{instance: archive, format: jsonl}}]\n",
        file("archive").replace("path: archive.ndjson", "path: archive.ndjson, sync: false")
    ));
    for round in 0..3 {
        for i in 0..20 {
            story.accept("application/x-ndjson", &copybook(&format!("r{round}-{i}"), 50));
        }
        story = story.crash();
    }
    story.settled();
    stop(&mut story);
    let report = verified(&story);
    assert_eq!(report["counts"]["starts"].as_u64(), Some(4), "{report:#}");
    assert!(report["counts"]["receipts"].as_u64().is_some_and(|receipts| receipts > 50), "{report:#}");
}

#[test]
fn files_stay_within_the_bound_and_the_chain_verifies() {
    let mut story = Story::start(&format!(
        "audit: {{max_bytes: 1MiB}}\ninstances:\n{}    batch: {{max_events: 1}}\ndefault_route: [{{instance: archive, format: jsonl}}]\n",
        file("archive").replace("path: archive.ndjson", "path: archive.ndjson, sync: false")
    ));
    let mut largest = 0;
    for i in 0..8 {
        story.accept("application/x-ndjson", &copybook(&format!("e{i}"), 400));
        story.settled();
        largest = largest.max(files(&story).iter().map(|path| fs::metadata(path).map_or(0, |meta| meta.len())).sum::<u64>());
    }
    stop(&mut story);
    assert!(largest <= 1 << 20 && largest > 700 << 10, "{largest}");
    let report = verified(&story);
    assert!(report["begins"].as_u64() > Some(1) && report["counts"]["dropped_files"].as_u64() > Some(0), "{report:#}");
    assert!(!story.path("data/audit/receipts-00000001.jsonl").exists());
    // The oldest file taken away by hand is no rotation.
    fs::remove_file(&files(&story)[0]).expect("removed");
    let output = audit(&story, &["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("the chain begins here, but no record says that receipts-"), "{}", err(&output));
}

#[test]
fn receipts_can_be_switched_off() {
    let story = Story::start(&format!("audit: {{receipts: false}}\ninstances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    story.accept("application/x-ndjson", &copybook("e", 5));
    story.settled();
    assert!(!story.path("data/audit").exists());
    let output = audit(&story, &["verify"]);
    assert_eq!(output.status.code(), Some(5), "{}", err(&output));
    assert!(story.host.log().contains("no receipts are kept"), "{}", story.host.log());
}

/// The bill of every guest, and that together they do not cost more than the whole process.
#[test]
fn every_guest_has_a_bill_and_all_bills_are_part_of_the_process() {
    let receiver = receiver("ok");
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &receiver, "")));
    for i in 0..20 {
        story.accept("application/x-ndjson", &copybook(&format!("e{i}"), 500));
    }
    let scrape = story.settled();
    let all = scrape.sum("bulkhead_guest_cpu_seconds_total", &[]);
    let process = scrape.sum("process_cpu_seconds_total", &[]);
    assert!(all > 0.0 && all < process, "{all} of {process}");
    let outside = story.host.cpu_seconds().expect("/proc");
    assert!(process <= outside + 0.05 && process > outside * 0.7, "{process}, /proc says {outside}");
    for component in ["format-cef", "splunk-hec"] {
        for share in ["guest", "host"] {
            let labels = [("instance", "siem"), ("component", component), ("share", share)];
            assert!(scrape.sum("bulkhead_guest_cpu_seconds_total", &labels) > 0.0, "{labels:?}");
        }
        assert!(scrape.sum("bulkhead_guest_memory_byte_seconds_total", &[("component", component)]) > 0.0, "{component}");
    }
    let bodies: usize = receiver.kept().iter().map(|request| request.body.len()).sum();
    assert_eq!(scrape.sum("bulkhead_guest_bytes_total", &[("direction", "out")]), bodies as f64, "bytes as the receiver counted them");
}

/// Offline: which rule decides, without a host and without sending anything.
#[test]
fn policy_explain_names_the_rule() {
    let dir = tempfile::TempDir::new().expect("a folder");
    fs::write(
        dir.path().join("bulkhead.yaml"),
        format!(
            "credentials: {{hec: {{type: bearer, token: {SECRET}}}}}\ninstances:\n  siem:\n    connector: splunk-hec\n    limits: {{http_request: 2MiB}}\n    destinations:\n      primary: {{url: \"http://127.0.0.1:8088/base\", methods: [POST], paths: [/services], credential: hec}}\n      other: {{url: \"https://name.invalid\"}}\n      sys: {{url: \"tls://127.0.0.1:6514\"}}\n      log: {{url: \"udp://127.0.0.1:514\"}}\n"
        ),
    )
    .expect("written");
    let explain = |request: &str| {
        let output = run(dir.path(), &["policy", "explain", "--instance", "siem", "--request", request, "--json"]);
        assert!(!out(&output).contains(SECRET), "never the value");
        (output.status.code(), json(&output))
    };
    let (code, told) = explain("POST primary /services/collector/event?a=b");
    assert_eq!((code, told["verdict"].as_str()), (Some(0), Some("allowed")), "{told:#}");
    assert_eq!(told["wire"], serde_json::json!({"origin": "http://127.0.0.1:8088", "method": "POST", "target": "/base/services/collector/event?a=b"}));
    assert_eq!(told["addresses"], serde_json::json!([{"address": "127.0.0.1", "class": "loopback", "allowed": true, "text": null}]));
    assert_eq!(told["credential"], serde_json::json!({"name": "hec", "kind": "header authorization"}));
    assert_eq!(told["limits"]["http_request"], "2 MiB");
    for (request, rule, part) in [
        ("POST elsewhere /", 1, "no destination `elsewhere`; granted: log, other, primary, sys"),
        ("GET primary /services", 2, "method GET is not among POST"),
        ("POST primary /services/../admin", 3, "has a `.` or `..` segment"),
        ("udp sys", 2, "is tls://, which `udp` does not speak"),
        ("tcp sys broker:9092", 4, "is not among the `members`"),
        ("POST primary /servicesx", 4, "is not below /services"),
    ] {
        let (code, told) = explain(request);
        assert_eq!((code, told["verdict"].as_str(), told["decided_by"]["rule"].as_u64()), (Some(4), Some("refused"), Some(rule)), "{told:#}");
        assert!(told["decided_by"]["text"].as_str().is_some_and(|text| text.contains(part)), "{told:#}");
    }
    for (request, origin) in [("tcp sys", "tls://127.0.0.1:6514"), ("udp log", "udp://127.0.0.1:514")] {
        let (code, told) = explain(request);
        assert_eq!((code, told["wire"]["origin"].as_str()), (Some(0), Some(origin)), "{told:#}");
    }
    let (code, told) = explain("GET other /");
    assert_eq!((code, told["verdict"].as_str()), (Some(6), Some("undecided")), "{told:#}");
    // For people.
    let output = run(dir.path(), &["policy", "explain", "--instance", "siem", "--request", "POST primary /servicesx"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("rule 4  refuses") && text.contains("rule 3  holds") && text.contains("rule 7  not asked"), "{text}");
    assert_eq!(run(dir.path(), &["policy", "explain", "--instance", "nobody", "--request", "GET a /"]).status.code(), Some(5));
    assert_eq!(run(dir.path(), &["policy", "explain", "--instance", "siem", "--request", "GET"]).status.code(), Some(2));
}
