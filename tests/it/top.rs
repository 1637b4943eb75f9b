//! `bulkhead top` against a host: a snapshot as text and as JSON, and the live screen on a terminal of its own, which
//! is as before when it ends.

use std::process::{Command, Output};

use bulkhead_tests::skip::skip;
use serde_json::Value;

use crate::independent::python;
use crate::story::{Story, binary, copybook, file, hec, receiver};

/// Starts the program on a pseudo-terminal, waits for what it shows, presses keys, and says what became of the terminal.
const PTY: &str = r#"
import json, os, pty, select, struct, sys, termios, time, fcntl
wanted, keys, argv = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
leader, follower = pty.openpty()
fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
before = termios.tcgetattr(follower)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(follower, fd)
    os.execv(argv[0], argv)
seen, until = b"", time.monotonic() + 60
def read(enough):
    global seen
    while not enough() and time.monotonic() < until:
        if select.select([leader], [], [], 0.1)[0]:
            seen += os.read(leader, 65536)
for text in wanted:
    read(lambda: text.encode() in seen)
raw = termios.tcgetattr(follower)
at = len(seen)
for key in keys:
    os.write(leader, key.encode())
code = None
while code is None and time.monotonic() < until:
    if select.select([leader], [], [], 0.1)[0]:
        seen += os.read(leader, 65536)
    done, status = os.waitpid(pid, os.WNOHANG)
    code = os.waitstatus_to_exitcode(status) if done else None
while select.select([leader], [], [], 0.2)[0]:
    seen += os.read(leader, 65536)
after = termios.tcgetattr(follower)
print(json.dumps({"code": code, "raw": raw[3] != before[3], "restored": after == before, "screen": seen.decode("utf-8", "replace"), "after_keys": seen[at:].decode("utf-8", "replace")}))
"#;

fn top(story: &Story, args: &[&str]) -> Output {
    let api = format!("http://{}", story.host.api);
    Command::new(binary()).args(["top", "--api", &api]).args(args).output().expect("runs")
}

#[test]
fn a_snapshot_for_programs_and_a_screen_for_people() {
    let down = receiver("400*");
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: archive, format: jsonl}}, {{instance: siem, format: cef}}]\n",
        file("archive"),
        hec("siem", &down, "")
    ));
    story.accept("application/x-ndjson", &copybook("e", 20));
    story.settled();
    let json = top(&story, &["--json", "--interval", "0.1"]);
    let snapshot: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((json.status.code(), &snapshot["schema_version"], &snapshot["host"]["with_guests"]), (Some(0), &1.into(), &true.into()), "{snapshot:#}");
    let siem = snapshot["instances"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "siem")).expect("is there");
    assert!(siem["memory_bytes"].as_f64().is_some_and(|bytes| bytes > 0.0) && siem["fuel_per_second"].is_number(), "{siem:#}");
    assert!(siem["state"] == "closed" && siem["lanes"][0]["name"] == "cef" && siem["backlog"] == 0, "{siem:#}");
    assert!(snapshot["host"]["dead_letters"].as_u64() >= Some(20), "{snapshot:#}");
    // By the counter itself: what was delivered a moment before is no rate of now.
    assert_eq!(snapshot["instances"][0]["delivered_per_second"], 0.0, "{snapshot:#}");

    let text = top(&story, &["--once", "--interval", "0.1", "--sort", "memory"]);
    let said = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.status.success() && said.contains("INSTANCE") && said.lines().any(|line| line.starts_with("siem")), "{said}");
    assert!(!said.contains('\u{1b}'), "no terminal, nothing that steers one: {said}");
    // Without a terminal it is the same.
    assert!(String::from_utf8_lossy(&top(&story, &["--interval", "0.1"]).stdout).contains("INSTANCE"));
    assert_eq!(top(&story, &["--interval", "0"]).status.code(), Some(2));
    let nobody = Command::new(binary()).args(["top", "--once", "--api", "http://127.0.0.1:9"]).output().expect("runs");
    assert_eq!(nobody.status.code(), Some(6), "{nobody:?}");

    let Some(python) = python("pty") else {
        return skip("top::a_snapshot_for_programs_and_a_screen_for_people", "no Python with pty for the live screen");
    };
    let api = format!("http://{}", story.host.api);
    let bulkhead = binary();
    let bulkhead = bulkhead.to_str().expect("UTF-8");
    let output = Command::new(python)
        .args(["-c", PTY, r#"["lanes of archive", "by name"]"#, "js q", bulkhead, "top", "--interval", "0.1", "--api", &api])
        .output()
        .expect("runs");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!((&seen["code"], &seen["raw"], &seen["restored"]), (&0.into(), &true.into(), &true.into()), "{seen:#}");
    let screen = seen["screen"].as_str().expect("text");
    assert!(screen.contains("\u{1b}[?1049h") && screen.ends_with("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"), "{screen:?}");
    let after = seen["after_keys"].as_str().expect("text");
    assert!(after.contains("lanes of siem") && after.contains("by delivered   paused"), "{after:?}");
}
