//! The verbs of the binary, as a person types them.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::story::{Story, binary, copybook, file};

fn bulkhead(args: &[&str]) -> Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().expect("runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ten faults, one of each sort: ten messages, each with its line.
const FAULTS: &str = r#"data_dir: ./data
listen:
  api: not-an-address
  htttp: 127.0.0.1:0
instances:
  siem:
    connector: splunk-hec
    concurrncy: 4
    concurrency: 0
    batch: {max_events: many}
    retry: {strategy: exponental}
    destinations:
      primary: {url: "ftp://example.com"}
      other: {url: "${NO_SUCH_VARIABLE_HERE}"}
routes:
  - id: r1
    when: {min_severity: grave}
    to: [{instance: nobody, format: cef}]
"#;

#[test]
fn validate_tells_ten_faults_at_once() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    fs::write(&path, FAULTS).expect("written");
    let path = path.to_str().expect("UTF-8");
    let output = bulkhead(&["validate", "--config", path, "--json"]);
    assert_eq!(output.status.code(), Some(78), "{}", err(&output));
    let report: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!((report["valid"].as_bool(), report["schema_version"].as_u64()), (Some(false), Some(1)));
    let faults = report["faults"].as_array().expect("a list");
    let lines: Vec<u64> = faults.iter().filter_map(|fault| fault["line"].as_u64()).collect();
    let mut missing = Vec::new();
    for (line, part) in [
        (3, "api"),
        (4, "http"),
        (8, "concurrency"),
        (9, "concurrency"),
        (10, "max_events"),
        (11, "exponential"),
        (13, "http"),
        (14, "NO_SUCH_VARIABLE_HERE"),
        (17, "grave"),
        (18, "nobody"),
    ] {
        let hit = faults.iter().any(|fault| fault["line"] == line && fault.to_string().contains(part) && fault["code"].is_string());
        if !hit {
            missing.push((line, part));
        }
    }
    assert!(missing.is_empty(), "missing {missing:?}; found at {lines:?}: {report:#}");
    // The same for people, on stderr.
    let output = bulkhead(&["validate", "--config", path]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(78), ""));
    for fault in faults {
        let message = fault["message"].as_str().expect("a message");
        assert!(err(&output).contains(message), "{message} is missing in:\n{}", err(&output));
    }
}

#[test]
fn validate_accepts_the_quickstart() {
    let root = bulkhead_tests::host::root();
    let output = bulkhead(&["validate", "--config", root.join("examples/quickstart.yaml").to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", err(&output));
}

/// Components are looked at once the file itself is sound.
#[test]
fn validate_looks_into_components() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    let config = "instances:\n  a: {connector: splunk-hecc}\n  b:\n    connector: splunk-hec\n    config: {indx: audit}\n    destinations: {primary: \"http://127.0.0.1:1\"}\n  c: {connector: file, config: {path: a.txt}}\ndefault_route: [{instance: a, format: cef}, {instance: b, format: ceff}, {instance: b, format: cef}, {instance: c, format: jsonl}]\n";
    fs::write(&path, config).expect("written");
    let output = bulkhead(&["validate", "--config", path.to_str().expect("UTF-8")]);
    let said = err(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for part in ["splunk-hecc", "indx", "ceff", "files"] {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
}

#[test]
fn validate_never_shows_a_secret() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    fs::write(&path, "credentials:\n  hec: {type: header, name: \"bad name\", value: hunter2-hunter2}\n  two: {type: headr, value: hunter2-hunter2}\nnonsense: hunter2-hunter2\n").expect("written");
    for args in [&["validate", "--json"][..], &["validate"], &["serve"], &["config", "show", "--effective"]] {
        let output = Command::new(binary()).args(args).arg("--config").arg(&path).output().expect("runs");
        assert_ne!(output.status.code(), Some(0));
        assert!(!out(&output).contains("hunter2") && !err(&output).contains("hunter2"), "{args:?}: {}{}", out(&output), err(&output));
    }
}

#[test]
fn the_effective_configuration_hides_secrets() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    fs::write(&path, "listen: {http: {addr: \"127.0.0.1:0\", tokens: [hunter2-hunter2]}}\ncredentials:\n  hec: {type: bearer, token: hunter2-hunter2}\n")
        .expect("written");
    let output = bulkhead(&["config", "show", "--effective", "--config", path.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("credentials") && out(&output).contains("max_body"), "defaults are filled in: {}", out(&output));
    assert!(!out(&output).contains("hunter2"), "{}", out(&output));
}

/// Beyond loopback nobody is let in without a token.
#[test]
fn validate_wants_tokens_beyond_loopback() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    fs::write(&path, "listen: {http: \"0.0.0.0:8781\"}\n").expect("written");
    let output = bulkhead(&["validate", "--config", path.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(78));
    assert!(err(&output).contains("tokens"), "{}", err(&output));
}

#[test]
fn inspect_says_what_a_component_can_reach() {
    let output = bulkhead(&["inspect", "splunk-hec", "--json"]);
    assert!(output.status.success(), "{}", err(&output));
    let report: Value = serde_json::from_str(&out(&output)).expect("JSON");
    let text = report.to_string();
    for part in ["connector", "http", "sha256", "0.1.0"] {
        assert!(text.contains(part), "{part} is missing in {report:#}");
    }
    let output = bulkhead(&["inspect", "format-cef"]);
    assert!(output.status.success() && out(&output).contains("formatter"), "{}", out(&output));
}

/// What is no component of ours: said in words, with what was expected.
#[test]
fn inspect_names_what_it_was_given() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let module = wat::parse_str("(module (func (export \"run\")))").expect("a module");
    let other =
        wat::parse_str("(component (component (export \"x\" (core module (;0;)))))").unwrap_or_else(|_| wat::parse_str("(component)").expect("a component"));
    let mut cut = module.clone();
    cut.truncate(9);
    let cases: [(&str, Vec<u8>, &[&str]); 5] = [
        ("module.wasm", module, &["core module", "component"]),
        ("other.wasm", other, &["component", "bulkhead:connector"]),
        ("text.wasm", b"hello, this is text\n".to_vec(), &["text"]),
        ("garbage.wasm", vec![0xde, 0xad, 0xbe, 0xef, 1, 2, 3], &["no webassembly", "component"]),
        ("cut.wasm", cut, &[]),
    ];
    for (name, bytes, parts) in cases {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("written");
        let output = bulkhead(&["inspect", path.to_str().expect("UTF-8")]);
        let said = err(&output);
        assert_eq!(output.status.code(), Some(78), "{name}: {said}{}", out(&output));
        for part in parts {
            assert!(said.to_lowercase().contains(part), "{name}: `{part}` is missing in: {said}");
        }
    }
    let output = bulkhead(&["inspect", "/no/such/file.wasm"]);
    assert_eq!(output.status.code(), Some(5), "{}", err(&output));
}

#[test]
fn send_posts_files_stdin_and_made_events() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let to = format!("http://{}/events", story.host.intake);
    let path = story.path("events.ndjson");
    fs::write(&path, copybook("file", 250)).expect("written");
    let output = bulkhead(&["send", "--to", &to, path.to_str().expect("UTF-8"), "--json"]);
    assert!(output.status.success(), "{}", err(&output));
    let report: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(report["accepted"].as_u64(), Some(250));

    let mut child =
        Command::new(binary()).args(["send", "--to", &to, "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(copybook("stdin", 3).as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success() && out(&output).contains("3 events accepted"), "{}{}", out(&output), err(&output));

    let output = bulkhead(&["send", "--to", &to, "--count", "7", "--template", r#"{"id":"made-{n}","at":"{now}"}"#]);
    assert!(output.status.success(), "{}", err(&output));
    story.settled();
    assert_eq!(story.records("archive.ndjson").len(), 260);

    let output = bulkhead(&["send", "--to", "http://127.0.0.1:1/events", "--count", "1"]);
    assert_eq!(output.status.code(), Some(6), "{}", err(&output));
    fs::write(&path, "not json\n").expect("written");
    let output = bulkhead(&["send", "--to", &to, path.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
}

#[test]
fn completions_are_scripts() {
    for (shell, part) in [("bash", "_bulkhead"), ("zsh", "#compdef bulkhead"), ("fish", "complete -c bulkhead")] {
        let output = bulkhead(&["completions", shell]);
        assert!(output.status.success() && out(&output).contains(part), "{shell}");
    }
}

#[test]
fn usage_errors_exit_2() {
    for args in [&["srve"][..], &["validate", "--cofnig", "x"], &[]] {
        assert_eq!(bulkhead(args).status.code(), Some(2), "{args:?}");
    }
    let output = bulkhead(&["--version"]);
    assert!(output.status.success() && out(&output).starts_with("bulkhead "));
}
