//! `serve --stdin`: lines of a pipe are events, and the host ends once they are delivered.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use bulkhead_tests::receiver::Script;
use bulkhead_tests::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::story::{PATIENCE, binary, file, hec, receiver, spec, whole_lines};
use crate::syslog::ARCHIVE;

const LISTEN: &str = r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#;

fn start(dir: &Path, config: &str, stdin: &str) -> Child {
    let spec = spec(dir, LISTEN, config);
    Command::new(binary())
        .args(["serve", stdin, "--config"])
        .arg(spec.config)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

fn feed(mut child: Child, input: &[u8]) -> Output {
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input).expect("written");
    drop(stdin);
    child.wait_with_output().expect("ends")
}

fn records(dir: &Path) -> Vec<Value> {
    whole_lines(&dir.join("out/archive.ndjson")).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_pipe_is_delivered_to_its_last_line_and_the_host_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = format!("instances:\n{}{ARCHIVE}", file("archive"));
    let many: String = (0..5_000).map(|n| format!("{{\"id\":\"n-{n}\",\"n\":{n}}}\n")).collect();
    let long = "x".repeat(300_000);
    let output = feed(start(dir.path(), &config, "--stdin"), format!("{many}\n\nplain\r\n{long}\nlast").as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let records = records(dir.path());
    assert_eq!(records.len(), 5_004, "all, empty lines apart; the long one in two");
    let found = |what: &dyn Fn(&Value) -> bool| records.iter().filter(|record| what(record)).count();
    assert_eq!(found(&|record| record["id"] == "n-4999"), 1);
    assert_eq!(found(&|record| record["data"]["message"] == "plain" && record["source"] == "stdin:"), 1);
    assert_eq!(found(&|record| record["data"]["message"] == "last"), 1);
    assert_eq!(found(&|record| record["data"]["piece"] == 1 && record["data"]["last_piece"] == false), 1);
    assert_eq!(found(&|record| record["data"]["piece"] == 2 && record["data"]["last_piece"] == true), 1);
}

#[test]
fn what_cannot_be_delivered_is_kept_and_the_exit_code_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let down = receiver("503*");
    let config = format!("drain: 500ms\ninstances:\n{}default_route: [{{instance: siem, format: json}}]\n", hec("siem", &down, ""));
    let output = feed(start(dir.path(), &config, "--stdin=text"), b"{\"a\":1}\ntwo\n");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("2 deliveries wait") && said.contains("drain"), "{said}");
    down.play(Script::default());
    let output = feed(start(dir.path(), &config.replace("drain: 500ms", "drain: 60s"), "--stdin=text"), b"");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut taken: Vec<_> = down
        .kept()
        .iter()
        .filter(|kept| kept.status == 200)
        .flat_map(crate::story::envelopes)
        .map(|envelope| envelope["event"]["data"]["message"].to_string())
        .collect();
    taken.sort();
    assert_eq!(taken, ["\"two\"", "\"{\\\"a\\\":1}\""], "text is text, and nothing comes twice");
}

#[test]
fn a_signal_ends_a_pipe_that_does_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = start(dir.path(), &format!("instances:\n{}{ARCHIVE}", file("archive")), "--stdin=json");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"{\"n\":1}\nnot json\n").expect("written");
    wait::until("the lines are delivered", PATIENCE, || Ok((records(dir.path()).len() == 2).then_some(()))).expect("delivered");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("signalled");
    let status = wait::until("the host ends", PATIENCE, || Ok(child.try_wait()?)).expect("ends");
    assert_eq!(status.code(), Some(0));
    let records = records(dir.path());
    assert!(records[1]["data"]["not_json"].is_string(), "{}", records[1]);
    drop(stdin);
}

#[test]
fn an_unknown_format_is_a_fault_of_usage() {
    let output = Command::new(binary()).args(["serve", "--stdin=xml"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("auto, json, text, syslog"));
}
