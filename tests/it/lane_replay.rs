//! A lane that reads again what was accepted in a time, and one that begins in the past.

use std::process::{Command, Output};

use bulkhead_tests::http::Client;
use bulkhead_tests::wait;
use rustix::process::Signal;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::story::{PATIENCE, Story, binary, copybook, file, hec, numbered, receiver};

fn replay(story: &Story, args: &[&str]) -> Output {
    let api = format!("http://{}", story.host.api);
    Command::new(binary()).args(["--json", "replay", "--api", &api]).args(args).output().expect("runs")
}

#[track_caller]
fn told(story: &Story, args: &[&str]) -> Value {
    let output = replay(story, args);
    assert!(output.status.success(), "{args:?}: {}\n{}", String::from_utf8_lossy(&output.stderr), story.host.log());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[track_caller]
fn refused(story: &Story, args: &[&str], code: i32, part: &str) -> String {
    let output = replay(story, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(said.contains(part), "{args:?}: `{part}` is missing in {said}");
    said
}

/// Now, or so much later.
fn time(ahead: i64) -> String {
    (OffsetDateTime::now_utc() + time::Duration::seconds(ahead)).format(&Rfc3339).expect("a time")
}

/// Ids of a copybook line of a file, in order.
fn lines(story: &Story, name: &str) -> Vec<String> {
    let id = |record: Value| record["event_id"].as_str().or(record["id"].as_str()).unwrap_or_default().to_owned();
    story.records(name).into_iter().map(id).collect()
}

fn of(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix}-{i}")).collect()
}

#[test]
fn a_lane_reads_again_what_was_accepted_in_a_time() {
    let story = Story::start(&format!(
        "journal: {{keep: {{max_age: 1h}}}}\ninstances:\n{}{}default_route: [{{instance: one, format: jsonl}}, {{instance: two, format: jsonl}}]\n",
        file("one").replace("connector: file\n", "connector: file\n    ordering: strict\n"),
        file("two")
    ));
    story.accept("application/x-ndjson", &copybook("a", 5));
    let since = time(0);
    story.accept("application/x-ndjson", &copybook("b", 5));
    let until = time(0);
    story.accept("application/x-ndjson", &copybook("c", 5));
    story.settled();
    let args = ["--lane", "one/jsonl", "--since", &since, "--until", &until];
    let counted = told(&story, &[&args[..], &["--dry-run"]].concat());
    assert_eq!(
        (counted["data"]["events"].as_u64(), counted["data"]["lost"].as_u64(), counted["data"]["counted_all"].as_bool()),
        (Some(5), Some(0), Some(true)),
        "{counted}"
    );
    assert!(counted["data"]["bytes"].as_u64() > Some(1_000), "{counted}");
    assert_eq!(lines(&story, "one.ndjson").len(), 15, "counting hands nothing over");

    let done = told(&story, &[&args[..], &["--wait"]].concat());
    assert_eq!(
        (done["data"]["state"].as_str(), done["data"]["events"].as_u64(), done["data"]["by"].as_str()),
        (Some("done"), Some(5), Some("manual")),
        "{done}"
    );
    story.settled();
    assert_eq!(lines(&story, "one.ndjson"), [of("a", 5), of("b", 5), of("c", 5), of("b", 5)].concat(), "in order, ids kept");
    assert_eq!(lines(&story, "two.ndjson").len(), 15, "for the one lane only");
    // A replay is no acceptance: it is not read again.
    let all = told(&story, &["--lane", "one/jsonl", "--since", "beginning", "--wait"]);
    assert_eq!(all["data"]["events"], 15, "{all}");
    let scrape = story.settled();
    assert_eq!(lines(&story, "one.ndjson").len(), 35);
    assert_eq!(scrape.sum("bulkhead_lane_replayed_total", &[("instance", "one"), ("by", "lane")]), 20.0);
    // On record, with the receipts that say what was replayed.
    let page = |path: &str| story.host.get(path).expect("answers").json().expect("JSON")["data"].as_array().expect("a list").clone();
    let acts = wait::until("both ends are on record", PATIENCE, || {
        let acts = page("/api/integration/audit/receipts?call=act");
        Ok((acts.iter().filter(|act| act["action"] == "lane.replay_ended").count() == 2).then_some(acts))
    })
    .expect("written");
    let begun = acts.iter().find(|act| act["action"] == "lane.replay").expect("its begin");
    assert_eq!((begun["lane"].as_str(), begun["by"].as_str()), (Some("one/jsonl"), Some("manual")), "{begun}");
    let replayed = |instance: &str| {
        let receipts = page(&format!("/api/integration/audit/receipts?instance={instance}&call=deliver&limit=1000"));
        receipts.iter().map(|receipt| receipt["events"]["replayed"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    wait::until("receipts say it", PATIENCE, || Ok((replayed("one") == 20).then_some(()))).expect("written");
    assert_eq!(replayed("two"), 0);
    let list = told(&story, &["list"]);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2), "{list}");
}

#[test]
fn what_cannot_be_read_again_is_refused_by_name() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: one, format: jsonl}}]\n", file("one")));
    story.accept("application/x-ndjson", &copybook("a", 1));
    let (past, future) = (time(-60), time(3_600));
    refused(&story, &["--lane", "nobody/raw", "--since", &past], 5, "there are one/jsonl");
    refused(&story, &["--lane", "nobody", "--since", &past], 1, "instance/format");
    refused(&story, &["--lane", "one/jsonl", "--since", &future], 1, "lies in the future");
    refused(&story, &["--lane", "one/jsonl", "--since", &past, "--until", &future], 1, "lies in the future");
    refused(&story, &["--lane", "one/jsonl", "--since", &past, "--until", &past], 1, "not after");
    refused(&story, &["--lane", "one/jsonl", "--since", "yesterday"], 1, "RFC 3339");
    refused(&story, &["--lane", "one/jsonl"], 2, "--since");
    refused(&story, &[], 2, "--lane");
    refused(&story, &["show", "x"], 1, "is no id");
    refused(&story, &["show", "7"], 5, "no replay 7");
    refused(&story, &["cancel", "7"], 5, "no replay 7");
    for (body, code) in [
        ("{", "bad_body"),
        (r#"{"lane":"one/jsonl"}"#, "missing_field"),
        (r#"{"lane":"one/jsonl","sinc":1}"#, "unknown_field"),
        (r#"{"lane":7,"since":"beginning"}"#, "bad_field"),
    ] {
        let response = Client::new(story.host.api).send("POST", "/api/integration/replays", &[], body.as_bytes()).expect("answers");
        assert_eq!((response.status, response.json().expect("JSON")["code"].as_str()), (400, Some(code)), "{body}");
    }
    // Before the first event of all nothing is missing.
    let none = told(&story, &["--lane", "one/jsonl", "--since", "2001-01-01T00:00:00Z", "--until", &past, "--wait"]);
    assert_eq!((none["data"]["state"].as_str(), none["data"]["events"].as_u64()), (Some("done"), Some(0)), "{none}");
    assert_eq!(story.lines("one.ndjson").len(), 1);
}

/// What is gone is named with the time from which on everything is there.
#[test]
fn what_the_journal_has_deleted_is_said_and_never_passed_over() {
    let story = Story::start(&format!(
        "journal: {{max_bytes: 1MiB, segment_bytes: 64KiB}}\ninstances:\n{}default_route: [{{instance: one, format: jsonl}}]\n",
        file("one")
    ));
    let before = time(0);
    let mut rounds = 0;
    wait::until("segments are deleted", PATIENCE, || {
        story.accept("application/x-ndjson", &copybook(&format!("r{rounds}"), 50));
        rounds += 1;
        let health = story.host.get("/api/integration/health")?.json()?;
        Ok((health["journal"]["oldest"].as_u64() > Some(1)).then_some(()))
    })
    .expect("deleted");
    story.settled();
    // Until all that may go is gone.
    wait::until("one segment is left", PATIENCE, || Ok((story.host.get("/api/integration/health")?.json()?["journal"]["segments"] == 1).then_some(())))
        .expect("deleted");
    let output = replay(&story, &["--lane", "one/jsonl", "--since", &before]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("journal.keep"), "{said}");
    let response = Client::new(story.host.api)
        .send("POST", "/api/integration/replays", &[], serde_json::json!({"lane": "one/jsonl", "since": before}).to_string().as_bytes())
        .expect("answers");
    let problem = response.json().expect("JSON");
    assert_eq!((response.status, problem["code"].as_str()), (409, Some("gone")), "{problem}");
    let oldest = problem["errors"][0]["oldest"].as_str().expect("a time").to_owned();
    assert!(said.contains(&oldest) || said.contains("reaches back to"), "{said}");
    let from_there = told(&story, &["--lane", "one/jsonl", "--since", &oldest, "--dry-run"]);
    assert!(from_there["data"]["events"].as_u64().is_some_and(|events| events > 0 && events < rounds * 50), "{from_there}");
    assert_eq!(told(&story, &["--lane", "one/jsonl", "--since", "beginning", "--dry-run"])["data"]["events"], from_there["data"]["events"]);
}

/// With `journal.keep` settled events stay, and never cost a producer an answer.
#[test]
fn kept_events_are_read_again_and_make_room() {
    let story = Story::start(&format!(
        "journal: {{max_bytes: 1MiB, segment_bytes: 64KiB, keep: {{max_age: 1h}}}}\ninstances:\n{}default_route: [{{instance: one, format: jsonl}}]\n",
        file("one")
    ));
    for round in 0..5 {
        story.accept("application/x-ndjson", &copybook(&format!("r{round}"), 50));
    }
    story.settled();
    let first = told(&story, &["--lane", "one/jsonl", "--since", "beginning", "--dry-run"]);
    assert_eq!(first["data"]["events"], 250, "more than one segment, all settled, all there");
    // Three times what the journal takes.
    for round in 5..100 {
        let body = copybook(&format!("r{round}"), 50);
        // What was settled a moment ago may go once that is on disk.
        wait::until("it is taken", PATIENCE, || Ok((story.host.post("application/x-ndjson", body.as_bytes())?.status == 202).then_some(()))).expect("taken");
        if round % 10 == 0 {
            story.settled();
        }
    }
    story.settled();
    let health = story.host.get("/api/integration/health").expect("answers").json().expect("JSON");
    assert!(health["journal"]["bytes"].as_u64() <= Some(1 << 20) && health["journal"]["oldest"].as_u64() > Some(1), "{health}");
    let now = told(&story, &["--lane", "one/jsonl", "--since", "beginning", "--dry-run"]);
    assert!(now["data"]["events"].as_u64().is_some_and(|events| events > 250 && events < 5_000), "{now}");
}

/// kill -9 in the middle: it goes on by itself, everything is handed over, and what comes twice is a page.
#[test]
fn a_replay_goes_on_after_a_kill() {
    const EVENTS: usize = 6_000;
    let target = receiver("delay=20ms*");
    let mut story = Story::start(&format!(
        "journal: {{keep: {{max_age: 1h}}}}\ninstances:\n{}default_route: [{{instance: siem, format: cef}}]\n",
        hec("siem", &target, "    concurrency: 2\n    batch: {max_events: 200}\n")
    ));
    for i in 0..EVENTS / 500 {
        story.accept("application/x-ndjson", &copybook(&format!("k{i}"), 500));
    }
    story.settled();
    let before = target.kept().len();
    let begun = told(&story, &["--lane", "siem/cef", "--since", "beginning"]);
    assert_eq!(begun["data"]["state"], "running");
    let id = begun["data"]["id"].to_string();
    story = story.crash();
    let done = wait::until("it is done", PATIENCE, || {
        let shown = told(&story, &["show", &id]);
        Ok((shown["data"]["state"] != "running").then_some(shown))
    })
    .expect("ends");
    assert_eq!((done["data"]["state"].as_str(), done["data"]["lost"].as_u64()), (Some("done"), Some(0)), "{done}");
    story.settled();
    let kept = target.kept();
    let mut times = vec![vec![0; 500]; EVENTS / 500];
    for request in kept[before..].iter().filter(|kept| kept.status == 200) {
        numbered(&request.body, 'k').into_iter().for_each(|(i, n)| times[i][n] += 1);
    }
    assert!(times.iter().flatten().all(|times| *times >= 1), "every event was handed over again");
    // A page that was not noted, and what was in flight at the kill.
    let twice = times.iter().flatten().filter(|times| **times > 1).count();
    assert!(twice <= 500 + 400, "{twice} came more than twice");
    refused(&story, &["cancel", &id], 1, "has ended");
}

/// A replay waits while its lane has enough to do; one a lane; what is cancelled stays so.
#[test]
fn a_replay_waits_for_its_lane_and_can_be_cancelled() {
    let target = receiver("");
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &target, "")));
    let post = |path: &str| Client::new(story.host.api).send("POST", path, &[], b"").expect("answers").status;
    assert_eq!(post("/api/integration/instances/siem/pause"), 200);
    for i in 0..11 {
        story.accept("application/x-ndjson", &copybook(&format!("w{i}"), 1_000));
    }
    let args = ["--lane", "siem/cef", "--since", "beginning"];
    let begin = || {
        let running = told(&story, &args);
        assert_eq!(running["data"]["state"], "running");
        running["data"]["id"].to_string()
    };
    let first = begin();
    refused(&story, &args, 1, &format!("replay {first} of this lane is under way"));
    assert_eq!(told(&story, &["cancel", &first])["data"]["state"], "cancelled");
    refused(&story, &["cancel", &first], 1, "cancelled");
    let second = begin();
    // A pause outlives the host; once it ends the lane goes on, and so does the replay.
    let story = story.crash();
    assert_eq!(target.kept().len(), 0, "it is still paused");
    let resumed = Client::new(story.host.api).send("POST", "/api/integration/instances/siem/resume", &[], b"").expect("answers");
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    let done =
        wait::until("it is done", PATIENCE, || Ok(Some(told(&story, &["show", &second])).filter(|shown| shown["data"]["state"] == "done"))).expect("ends");
    assert_eq!(done["data"]["events"], 11_000, "{done}");
    story.settled();
    assert_eq!(told(&story, &["show", &first])["data"]["events"], 0, "a cancelled one stays so");
}

#[test]
fn a_new_lane_begins_where_it_is_told() {
    let config = |from: &str| {
        let two = file("two").replace("connector: file\n", &format!("connector: file\n    from: {from}\n"));
        format!(
            "journal: {{keep: {{max_age: 1h}}}}\ninstances:\n{}{two}default_route: [{{instance: one, format: jsonl}}, {{instance: two, format: jsonl}}]\n",
            file("one")
        )
    };
    let one = format!("journal: {{keep: {{max_age: 1h}}}}\ninstances:\n{}default_route: [{{instance: one, format: jsonl}}]\n", file("one"));
    let story = Story::start(&one);
    story.accept("application/x-ndjson", &copybook("a", 5));
    let since = time(0);
    story.accept("application/x-ndjson", &copybook("b", 5));
    story.settled();
    let mut reloads = 0;
    let mut reload = |config: &str| {
        let text = std::fs::read_to_string(&story.host.spec.config).expect("a configuration");
        let head = text.lines().take(2).collect::<Vec<_>>().join("\n");
        std::fs::write(&story.host.spec.config, format!("{head}\n{config}")).expect("written");
        story.host.signal(Signal::HUP).expect("signalled");
        reloads += 1;
        wait::until("it is in force", PATIENCE, || Ok((story.host.log().matches("configuration reloaded").count() == reloads).then_some(())))
            .expect("reloaded");
    };
    for (from, want) in [("beginning", 10), (&*since, 5), ("now", 0)] {
        reload(&config(from));
        story.settled();
        assert_eq!(lines(&story, "two.ndjson").len(), want, "{from}");
        reload(&one);
        let _ = std::fs::remove_file(story.path("out/two.ndjson"));
    }
    let path = story.path("bad.yaml");
    for (from, part) in [("tomorrow", "not a place to begin"), (&*time(3_600), "lies in the future")] {
        std::fs::write(&path, config(from)).expect("written");
        let output = Command::new(binary()).args(["validate", "--config"]).arg(&path).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(78) && said.contains(part) && said.contains("instances.two.from"), "{from}: {said}");
    }
}
