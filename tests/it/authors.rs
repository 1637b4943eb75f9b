//! Writing a connector, as an author does: in a folder of their own, with the binary and the toolchain.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_tests::host::root;
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use serde_json::Value;
use tempfile::TempDir;

use crate::story::{Story, binary, receiver, webhook};

mod journey;
mod others;

/// A build on a busy machine.
const BUILD: Duration = Duration::from_secs(300);

/// A command in the author's folder. Builds of all stories share a target directory, and fetch nothing.
fn command(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    let own = binary().parent().expect("a folder").display().to_string();
    command
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", root().join("target/authors"))
        .env("CARGO_NET_OFFLINE", "true")
        .env("PATH", format!("{own}:{path}"))
        // What cargo tells the tests is not meant for the author's build.
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTUP_TOOLCHAIN")
        .stdin(Stdio::null());
    command
}

fn bulkhead(folder: &Path, args: &[&str]) -> Output {
    command(binary(), folder).args(args).output().expect("runs")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn json(folder: &Path, args: &[&str]) -> Value {
    let output = bulkhead(folder, &[&["--json"], args].concat());
    assert!(output.status.success(), "{args:?}: {}{}", out(&output), err(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A new project in a folder that goes with it.
#[track_caller]
fn project(name: &str, args: &[&str]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a folder");
    let output = bulkhead(dir.path(), &[&["new", name], args].concat());
    assert!(output.status.success(), "{}", err(&output));
    let folder = dir.path().join(name);
    (dir, folder)
}

/// Whether this machine can build Rust guests; where not, the story says so.
fn rust_is_here(story: &str) -> bool {
    let dir = TempDir::new().expect("a folder");
    let there = bulkhead(dir.path(), &["doctor", "--lang", "rust"]).status.success();
    if !there {
        skip(story, "the Rust toolchain has no target wasm32-wasip2");
    }
    there
}

#[track_caller]
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("there");
    assert!(text.contains(from), "{} has no {from}", path.display());
    fs::write(path, text.replacen(from, to, 1)).expect("written");
}

#[test]
fn new_refuses_what_it_cannot_keep() {
    let dir = TempDir::new().expect("a folder");
    for (name, part) in [("Acme", "capitals"), ("../acme", "a path"), ("loop", "keyword"), ("acme_siem", "underscores"), ("", "empty")] {
        let output = bulkhead(dir.path(), &["new", name]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", err(&output));
        assert!(err(&output).contains(part) && err(&output).contains("new.name"), "{name}: {}", err(&output));
    }
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0, "nothing was written");
    let acme = dir.path().join("acme");
    fs::create_dir(&acme).expect("made");
    fs::write(acme.join("mine.txt"), "mine").expect("written");
    let output = bulkhead(dir.path(), &["new", "acme"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("not empty"), "{}", err(&output));
    assert_eq!(fs::read_dir(&acme).expect("there").count(), 1);
    let output = bulkhead(dir.path(), &["new", "other", "--sdk", "acme"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(err(&output).contains("bulkhead-sdk"), "{}", err(&output));
}

#[test]
fn verbs_say_what_is_missing() {
    let dir = TempDir::new().expect("a folder");
    let output = bulkhead(dir.path(), &["build"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(err(&output).contains("build.no_project") && err(&output).contains("bulkhead new"), "{}", err(&output));
    // A toolchain that lacks the target, and a machine with none at all.
    let (_dir, folder) = project("acme", &[]);
    let tools = folder.join("tools");
    fs::create_dir(&tools).expect("made");
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = tools.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    };
    script("cargo", "echo cargo 1.95.0");
    script("rustc", "echo /nowhere");
    let with = |path: &Path, args: &[&str]| command(binary(), &folder).args(args).env("PATH", path).output().expect("runs");
    let output = with(&tools, &["build"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("build.toolchain") && err(&output).contains("`rustup target add wasm32-wasip2`"), "{}", err(&output));
    assert!(!folder.join("dist").exists());
    let output = with(&tools, &["doctor"]);
    assert_eq!(output.status.code(), Some(1), "the folder is one in Rust");
    assert!(out(&output).contains("ok       cargo 1.95.0") && out(&output).contains("missing  `rustup target add wasm32-wasip2`"), "{}", out(&output));
    // Only when told to it has rustup bring the target; what cargo then makes is no component.
    let sysroot = folder.join("sysroot");
    script("rustc", &format!("echo {}", sysroot.display()));
    script("rustup", &format!("[ \"$*\" = 'target add wasm32-wasip2' ] && /bin/mkdir -p {}/lib/rustlib/wasm32-wasip2/lib", sysroot.display()));
    assert_eq!(with(&tools, &["build"]).status.code(), Some(1));
    assert!(!sysroot.exists(), "nobody told it to");
    let output = with(&tools, &["build", "--add-target"]);
    assert!(sysroot.exists() && output.status.code() == Some(78) && err(&output).contains("build.no_component"), "{}", err(&output));
    let output = with(Path::new("/nowhere"), &["--json", "doctor", "--lang", "python"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), report["complete"].as_bool()), (Some(1), Some(false)));
    assert!(report.to_string().contains("pip install componentize-py=="), "{report}");
}

/// Components that are already there, under a name of the binary's own: no project is needed.
#[test]
fn a_built_in_connector_passes_and_a_wrong_case_does_not() {
    let dir = TempDir::new().expect("a folder");
    let wasm = root().join("target/guests/webhook.wasm");
    let wasm = wasm.to_str().expect("UTF-8");
    let cases = root().join("connectors/webhook/cases");
    let report = json(dir.path(), &["test", wasm, "--cases", cases.to_str().expect("UTF-8")]);
    assert_eq!((report["failed"].as_u64(), report["component"].as_str()), (Some(0), Some("webhook")));
    assert!(report["passed"].as_u64().is_some_and(|passed| passed > 30), "{report}");
    let cost = &report["cost"];
    for key in ["fuel_per_event", "guest_nanoseconds_per_event", "requests_per_event", "bytes_per_event", "memory_bytes", "events_per_second"] {
        assert!(cost[key].as_f64().is_some_and(|number| number > 0.0), "{key}: {cost}");
    }
    fs::write(dir.path().join("wrong.toml"), "name = \"wrong\"\noutcomes = [\"rejected\"]\n[[events]]\njson = '{\"id\":\"1\"}'\n").expect("written");
    let output = bulkhead(dir.path(), &["--json", "test", wasm, "--cases", ".", "--only", "case::"]);
    assert_eq!(output.status.code(), Some(7), "{}", err(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((report["failed"].as_u64(), report["passed"].as_u64()), (Some(1), Some(0)));
    assert!(report["checks"][0]["failure"].as_str().is_some_and(|failure| failure.contains("wanted")), "{report}");
    let output = bulkhead(dir.path(), &["test", "nothing.wasm"]);
    assert_eq!(output.status.code(), Some(5));
    fs::write(dir.path().join("no.wasm"), "no").expect("written");
    assert_eq!(bulkhead(dir.path(), &["test", "no.wasm"]).status.code(), Some(78));
}
