//! Files as intake: lines become events once, whatever happens to the files and to the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bulkhead_tests::receiver::Script;
use bulkhead_tests::wait;
use serde_json::Value;

use crate::story::{PATIENCE, Story, file, hec, receiver};
use crate::syslog::ARCHIVE;

/// An entry `app` over `logs/*.log`; the folder is there before the host starts.
struct Logs {
    story: Story,
}

impl Logs {
    fn new(more: &str) -> Self {
        Self::of("logs/*.log", more)
    }

    fn of(paths: &str, more: &str) -> Self {
        Self::with(&format!("{{paths: {paths}, interval: 20ms{more}}}"), &format!("instances:\n{}{ARCHIVE}", file("archive")), |_| {})
    }

    fn with(entry: &str, config: &str, before: impl Fn(&std::path::Path)) -> Self {
        let listen = format!(r#"{{api: "127.0.0.1:0", http: "127.0.0.1:0", files: {{app: {entry}}}}}"#);
        let dir = tempfile::TempDir::new().expect("a folder");
        fs::create_dir(dir.path().join("logs")).expect("made");
        before(&dir.path().join("logs"));
        let host = bulkhead_tests::host::Host::start(crate::story::spec(dir.path(), &listen, config)).expect("the host starts");
        Self { story: Story { dir, host } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.story.path("logs").join(name)
    }

    fn append(&self, name: &str, bytes: &[u8]) {
        File::options().create(true).append(true).open(self.path(name)).and_then(|mut file| file.write_all(bytes)).expect("written");
    }

    fn accepted(&self, count: usize) {
        self.story.when("the lines are in the journal", |scrape| scrape.sum("bulkhead_events_accepted_total", &[("listener", "files:app")]) >= count as f64);
    }

    #[track_caller]
    fn records(&self, count: usize) -> Vec<Value> {
        self.accepted(count);
        self.story.settled();
        self.story.records("archive.ndjson")
    }

    fn health(&self) -> Value {
        self.story.host.get("/api/integration/health").expect("answers").json().expect("JSON")["files"][0].clone()
    }
}

fn message(record: &Value) -> &str {
    record["data"]["message"].as_str().expect("text")
}

#[test]
fn json_syslog_and_text_are_told_apart_and_an_id_of_the_senders_stays() {
    let logs = Logs::new("");
    logs.append("a.log", b"{\"id\":\"mine-1\",\"type\":\"login\",\"user\":\"ada\"}\n<34>Oct  1 22:14:15 host su[7]: failed\nplain text\n{\"broken\": \nlast");
    let records = logs.records(4);
    assert_eq!(records.len(), 4, "the last line waits for its end");
    assert_eq!((&records[0]["id"], &records[0]["type"]), (&"mine-1".into(), &"login".into()));
    assert_eq!((&records[1]["data"]["app_name"], &records[1]["severity"]), (&"su".into(), &"critical".into()));
    assert_eq!((message(&records[2]), &records[2]["type"]), ("plain text", &"log.line".into()));
    assert_eq!(records[2]["data"]["offset"], 83);
    assert_eq!(records[2]["source"], format!("file://{}", logs.path("a.log").display()));
    assert!(records[3]["data"]["not_json"].is_string(), "{}", records[3]);
    logs.append("a.log", b" line\n");
    assert_eq!(message(&logs.records(5)[4]), "last line");
}

/// Ends the writer, whatever happens to the test.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lines of a writer that goes on until told: `n` is what it has written.
struct Writer<'a> {
    stop: &'a AtomicBool,
    written: &'a AtomicUsize,
}

impl Writer<'_> {
    /// `rotate` hears of every 500th line.
    fn run(&self, path: &std::path::Path, rotate: impl Fn(usize)) {
        let open = || File::options().create(true).append(true).open(path).expect("opens");
        let mut file = open();
        while !self.stop.load(Ordering::Relaxed) {
            let n = self.written.load(Ordering::Relaxed);
            // In two writes, so that half lines are seen.
            file.write_all(b"line ").and_then(|()| file.write_all(format!("{n}\n").as_bytes())).expect("written");
            self.written.store(n + 1, Ordering::Relaxed);
            if (n + 1).is_multiple_of(500) {
                rotate(n + 1);
                file = open();
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
    }
}

/// Every line has one id, and no id has two lines.
#[track_caller]
fn all_there(records: &[Value], count: usize) {
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    for record in records {
        let (id, message) = (record["id"].as_str().expect("an id"), message(record));
        assert_eq!(*ids.entry(id).or_insert(message), message, "an id stands for one line");
    }
    let lines: BTreeSet<&str> = ids.values().copied().collect();
    let missing: Vec<_> = (0..count).map(|n| format!("line {n}")).filter(|line| !lines.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!((ids.len(), lines.len()), (count, count), "a line has one id");
}

#[test]
fn rotation_by_renaming_loses_and_repeats_nothing() {
    let logs = Logs::of("\"logs/app.log*\"", "");
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let path = logs.path("app.log");
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let writer = Writer { stop: &stop, written: &written };
        let (path, logs) = (&path, &logs);
        scope.spawn(move || {
            writer.run(path, |written| {
                // As logrotate does it, five kept. What goes was read: a machine that stands still for a second must
                // not make this a test of files that went before anybody saw them.
                logs.accepted(written.saturating_sub(1_500));
                let old = |n: usize| path.with_extension(format!("log.{n}"));
                for n in (1..5).rev() {
                    let _ = fs::rename(old(n), old(n + 1)); // not there yet
                }
                fs::rename(path, old(1)).expect("renamed");
            });
        });
        wait::until("some rotations", PATIENCE, || Ok((written.load(Ordering::Relaxed) >= 5_000).then_some(()))).expect("written");
    });
    let count = written.load(Ordering::Relaxed);
    let records = logs.records(count);
    all_there(&records, count);
    assert_eq!(records.len(), count, "nothing twice");
}

#[test]
fn after_kill_9_lines_that_come_twice_carry_the_same_id() {
    let logs = Logs::of("\"logs/app.log*\"", "");
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let path = logs.path("app.log");
    let logs = std::thread::scope(|scope| {
        let (_stop, mut logs, path) = (Stop(&stop), logs, &path);
        let writer = Writer { stop: &stop, written: &written };
        scope.spawn(move || writer.run(path, |n| fs::rename(path, path.with_extension(format!("log.{n}"))).expect("renamed")));
        for _ in 0..4 {
            logs.accepted(1_000);
            logs = Logs { story: logs.story.crash() };
        }
        logs
    });
    let count = written.load(Ordering::Relaxed);
    wait::until("every line arrives", PATIENCE, || {
        let lines = logs.story.lines("archive.ndjson");
        // The last may be half written.
        let ids: BTreeSet<String> = lines.iter().filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["id"].to_string())).collect();
        Ok((ids.len() >= count).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", logs.story.host.log()));
    logs.story.settled();
    let records = logs.story.records("archive.ndjson");
    all_there(&records, count);
    println!("{count} lines, {} repeated over 4 kills", records.len() - count);
}

#[test]
fn a_file_that_is_cut_is_read_from_its_beginning() {
    let logs = Logs::new(", exclude: [\"*.1.log\"]");
    logs.append("app.log", b"one\ntwo\n");
    logs.records(2);
    // As `copytruncate` does it.
    fs::copy(logs.path("app.log"), logs.path("app.1.log")).expect("copied");
    File::options().write(true).truncate(true).open(logs.path("app.log")).expect("cut");
    logs.append("app.log", b"one\n");
    let records = logs.records(3);
    assert_eq!(records.iter().map(message).collect::<Vec<_>>(), ["one", "two", "one"]);
    assert_ne!(records[0]["id"], records[2]["id"]);
}

#[test]
fn a_line_of_a_million_bytes_comes_whole_or_in_pieces() {
    for (more, pieces) in [("", 4), (", max_line: 1MiB", 1)] {
        let logs = Logs::new(more);
        let long: String = (0..200_000).map(|n| format!("{:05}", n % 100_000)).collect();
        logs.append("app.log", format!("before\n{long}\nafter\n").as_bytes());
        let records = logs.records(pieces + 2);
        assert_eq!(records.len(), pieces + 2);
        let parts: String = records[1..=pieces].iter().map(message).collect();
        assert!(parts == long, "whole: {} of {}", parts.len(), long.len());
        if pieces > 1 {
            let numbers: Vec<_> = records[1..=pieces].iter().map(|record| (record["data"]["piece"].as_u64(), record["data"]["last_piece"].as_bool())).collect();
            assert_eq!(numbers, [(Some(1), Some(false)), (Some(2), Some(false)), (Some(3), Some(false)), (Some(4), Some(true))]);
        }
        assert_eq!((message(&records[0]), message(&records[pieces + 1])), ("before", "after"));
    }
}

#[test]
fn binary_garbage_is_lines_too() {
    let logs = Logs::new("");
    // A generator of its own (Knuth's constants), so that a failure can be seen again.
    let mut state = 7_u64;
    let mut garbage: Vec<u8> = (0..200_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
        .collect();
    garbage.push(b'\n');
    let without_cr = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).is_empty();
    let count = garbage.split(|byte| *byte == b'\n').filter(|line| !without_cr(line)).count();
    logs.append("app.log", &garbage);
    logs.append("app.log", b"good\n");
    let records = logs.records(count + 1);
    assert_eq!(records.len(), count + 1, "a line is an event");
    assert_eq!(records.iter().filter(|record| record["data"]["message"] == "good").count(), 1);
    assert!(records.iter().filter(|record| record["data"]["invalid_utf8"] == true).count() > count / 2);
}

#[test]
fn new_files_are_found_and_what_cannot_be_read_is_seen() {
    let config = format!(
        "own_events: {{enabled: true}}\ninstances:\n{}{}routes:\n  - {{id: news, when: {{source: bulkhead}}, to: [{{instance: news, format: cloudevents}}]}}\n{ARCHIVE}",
        file("archive"),
        file("news")
    );
    let logs = Logs::with("{paths: [logs/*.log, \"logs/**/deep/*.txt\"], exclude: [skip*], interval: 20ms}", &config, |_| {});
    logs.append("a.log", b"a\n");
    logs.append("skip.log", b"skipped\n");
    logs.records(1);
    fs::create_dir_all(logs.path("x/y/deep")).expect("made");
    logs.append("x/y/deep/b.txt", b"b\n");
    logs.append("c.log", b"c\n");
    let records = logs.records(3);
    let mut said: Vec<_> = records.iter().map(message).collect();
    said.sort_unstable();
    assert_eq!(said, ["a", "b", "c"]);

    std::os::unix::fs::symlink("/etc/passwd", logs.path("link.log")).expect("linked");
    let told = |kind: &str| {
        let of_kind = || logs.story.records("news.ndjson").into_iter().find(|record| record["type"] == format!("bulkhead.files.{kind}"));
        wait::until(kind, PATIENCE, || Ok(of_kind())).unwrap_or_else(|error| panic!("{error:#}\n{}", logs.story.host.log()))
    };
    let event = told("unreadable");
    assert_eq!((&event["subject"], &event["severity"]), (&"app".into(), &"high".into()));
    assert!(event["data"]["error"].as_str().is_some_and(|error| error.contains("follow_symlinks")), "{event}");
    let health = logs.health();
    assert_eq!((&health["followed"], &health["unreadable_count"]), (&3.into(), &1.into()));
    assert_eq!(health["unreadable"][0]["path"], logs.path("link.log").display().to_string());
    assert_eq!(logs.story.host.metrics().expect("metrics").sum("bulkhead_files", &[("files", "app"), ("state", "unreadable")]), 1.0);
    fs::remove_file(logs.path("link.log")).expect("removed");
    told("recovered");
    assert_eq!(logs.health()["unreadable_count"], 0);
    assert_eq!(logs.story.lines("archive.ndjson").len(), 3, "nothing of /etc/passwd");
}

#[test]
fn a_full_journal_stops_the_reading_which_goes_on_by_itself() {
    let down = receiver("503*");
    let config = format!(
        "journal: {{max_bytes: 1MiB}}\ninstances:\n{}default_route: [{{instance: siem, format: json}}]\n",
        hec("siem", &down, "    backlog: {max_bytes: 1GiB, on_full: block}\n")
    );
    let logs = Logs::with("{paths: logs/*.log, interval: 20ms}", &config, |_| {});
    let count = 20_000;
    let text: String = (0..count).map(|n| format!("line {n}\n")).collect();
    logs.append("app.log", text.as_bytes());
    wait::until("the journal is full", PATIENCE, || Ok((logs.health()["blocked"] == true).then_some(()))).expect("full");
    let taken = logs.story.host.metrics().expect("metrics").sum("bulkhead_events_accepted_total", &[("listener", "files:app")]);
    assert!(taken > 0.0 && taken < f64::from(count), "{taken}");
    assert!(logs.health()["behind_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    down.play(Script::default());
    logs.accepted(count as usize);
    logs.story.settled();
    let delivered: Vec<_> = down
        .kept()
        .iter()
        .filter(|kept| kept.status == 200)
        .flat_map(crate::story::envelopes)
        .map(|envelope| envelope["event"]["data"]["message"].to_string())
        .collect();
    assert_eq!(delivered.iter().collect::<BTreeSet<_>>().len(), count as usize);
    assert_eq!(delivered.len(), count as usize, "nothing twice");
    wait::until("nothing is left", PATIENCE, || Ok((logs.health()["behind_bytes"] == 0 && logs.health()["blocked"] == false).then_some(()))).expect("read");
}

#[test]
fn an_entry_may_begin_at_the_end() {
    let config = format!("instances:\n{}{ARCHIVE}", file("archive"));
    let logs = Logs::with("{paths: logs/*.log, interval: 20ms, start: end, format: json}", &config, |dir| {
        fs::write(dir.join("old.log"), "{\"n\":1}\n{\"n\":2}\n").expect("written");
    });
    wait::until("the file is known", PATIENCE, || Ok((logs.health()["followed"] == 1).then_some(()))).expect("found");
    logs.append("old.log", b"{\"n\":3}\n");
    logs.append("new.log", b"{\"n\":4}\n");
    let records = logs.records(2);
    let mut said: Vec<_> = records.iter().map(|record| record["data"]["n"].as_u64()).collect();
    said.sort_unstable();
    assert_eq!(said, [Some(3), Some(4)]);
}

#[test]
fn patterns_that_cannot_work_are_faults() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    fs::write(
        &path,
        format!("data_dir: {}\nlisten: {{files: {{a: {{paths: [\"/var/log/**\"]}}, b: {{paths: x, exclude: [\"[a\"]}}}}}}\n", dir.path().display()),
    )
    .expect("written");
    let output = std::process::Command::new(crate::story::binary()).args(["validate", "--config"]).arg(path).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("listen.files.a.paths: ends with `**`") && said.contains("listen.files.b.exclude: has a `[` without its `]`"), "{said}");
}
