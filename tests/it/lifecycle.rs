//! Start, drain, crash, full journals.

use std::time::Duration;

use bulkhead_tests::host::Host;
use bulkhead_tests::prom::Scrape;
use bulkhead_tests::receiver::Script;
use bulkhead_tests::wait;

use crate::story::{PATIENCE, Story, copybook, file, hec, receiver, spec};

fn archive() -> String {
    format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive"))
}

#[test]
fn sigterm_drains_and_exits_well() {
    let slow = receiver("delay=300ms*");
    let mut story = Story::start(&format!(
        "instances:\n{}default_route: [{{instance: siem, format: cef}}]\n",
        hec("siem", &slow, "    concurrency: 1\n    batch: {max_events: 10}\n")
    ));
    story.accept("application/x-ndjson", &copybook("e", 30));
    wait::until("a delivery is under way", PATIENCE, || Ok((story.lane("siem")["in_flight"].as_u64() > Some(0)).then_some(()))).expect("starts");
    let status = story.host.terminate(PATIENCE).expect("ends");
    assert!(status.success(), "{status}");
    // Three batches of ten, 300 ms each: all of them were delivered within the drain.
    let taken: usize = slow.kept().iter().map(|kept| crate::story::envelopes(kept).len()).sum();
    assert_eq!(taken, 30, "{}", story.host.log());
}

#[test]
fn what_the_drain_leaves_is_on_disk_and_counted() {
    let down = receiver("503*");
    let mut story = Story::start(&format!("drain: 200ms\ninstances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &down, "")));
    story.accept("application/x-ndjson", &copybook("e", 7));
    let status = story.host.terminate(PATIENCE).expect("ends");
    assert!(status.success(), "{status}");
    let last = story.host.log().lines().rev().find(|line| line.contains("unsettled")).map(str::to_owned).expect("the log counts");
    assert!(last.contains("\"unsettled\":7"), "{last}");
    down.play(Script::default());
    let story = story.crash();
    story.settled();
    let taken: usize = down.kept().iter().filter(|kept| kept.status == 200).map(|kept| crate::story::envelopes(kept).len()).sum();
    assert_eq!(taken, 7);
}

#[test]
fn accepted_events_survive_a_crash() {
    let down = receiver("503*");
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &down, "")));
    story.accept("application/x-ndjson", &copybook("e", 500));
    let story = story.crash();
    down.play(Script::default());
    story.settled();
    let taken: usize = down.kept().iter().filter(|kept| kept.status == 200).map(|kept| crate::story::envelopes(kept).len()).sum();
    assert_eq!(taken, 500);
}

#[test]
fn what_was_delivered_is_not_delivered_again() {
    let mut story = Story::start(&archive());
    story.accept("application/x-ndjson", &copybook("e", 200));
    story.settled();
    assert!(story.host.terminate(PATIENCE).expect("ends").success());
    let story = story.crash();
    story.accept("application/x-ndjson", &copybook("more", 1));
    story.settled();
    assert_eq!(story.records("archive.ndjson").len(), 201);
}

/// A full journal pushes back with 429 and Retry-After, loses nothing, and takes events again by itself.
#[test]
fn a_full_journal_pushes_back_and_recovers() {
    let down = receiver("503*");
    let story = Story::start(&format!(
        "journal: {{max_bytes: 1MiB}}\ninstances:\n{}default_route: [{{instance: siem, format: cef}}]\n",
        hec("siem", &down, "    backlog: {max_bytes: 1GiB, on_full: block}\n")
    ));
    let mut accepted = 0;
    let refusal = wait::until("the journal is full", PATIENCE, || {
        let response = story.host.post("application/x-ndjson", copybook(&format!("b{accepted}"), 100).as_bytes())?;
        if response.status == 202 {
            accepted += 1;
            return Ok(None);
        }
        Ok(Some(response))
    })
    .expect("fills");
    assert_eq!(refusal.status, 429, "{}", refusal.text());
    assert!(refusal.headers.get("retry-after").is_some_and(|value| value.parse::<u64>().is_ok()), "{:?}", refusal.headers);
    down.play(Script::default());
    story.settled();
    let taken: usize = down.kept().iter().filter(|kept| kept.status == 200).map(|kept| crate::story::envelopes(kept).len()).sum();
    assert_eq!(taken, accepted * 100);
    wait::until("events are taken again", PATIENCE, || Ok((story.host.post("application/json", b"{\"id\":\"after\"}")?.status == 202).then_some(())))
        .expect("recovers");
}

/// A lane that may not wait any longer gives its oldest events to the dead letters.
#[test]
fn a_full_backlog_goes_to_the_dead_letters() {
    let down = receiver("503*");
    let story = Story::start(&format!(
        "instances:\n{}default_route: [{{instance: siem, format: cef}}]\n",
        hec("siem", &down, "    backlog: {max_bytes: 1MiB, on_full: dead_letter}\n")
    ));
    for i in 0..40 {
        story.accept("application/x-ndjson", &copybook(&format!("b{i}"), 100));
    }
    // A letter is on disk before it is counted, so the count is what to wait for.
    let rejected = |scrape: &Scrape| scrape.sum("bulkhead_lane_rejected_total", &[("instance", "siem"), ("cause", "backlog-size")]);
    story.when("the backlog goes to the dead letters", |scrape| rejected(scrape) > 0.0);
    down.play(Script::default());
    let scrape = story.settled();
    assert_eq!(rejected(&scrape), scrape.sum("bulkhead_dead_letters", &[]), "each letter is counted once, with its cause");
    let taken: usize = down.kept().iter().filter(|kept| kept.status == 200).map(|kept| crate::story::envelopes(kept).len()).sum();
    assert_eq!(taken as f64 + scrape.sum("bulkhead_dead_letters", &[]), 4000.0, "delivered or dead, nothing else");
}

#[test]
fn a_bad_configuration_exits_78() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let spec = spec(dir.path(), "{api: nonsense}", "instnces: {}\n");
    let error = format!("{:#}", Host::start(spec).expect_err("refused"));
    assert!(error.contains("exit status: 78"), "{error}");
    assert!(error.contains("instances"), "names the nearest key: {error}");
}

/// Whoever trades safety for speed finds that in the log.
#[test]
fn less_than_fsync_is_said_at_start() {
    let said = |durability: &str| {
        let listen = format!(r#"{{api: "127.0.0.1:0", http: {{addr: "127.0.0.1:0", durability: {durability}}}}}"#);
        let story = Story::listening(&listen, &archive());
        story.accept("application/x-ndjson", &copybook("e", 3));
        story.settled();
        story.host.log().lines().any(|line| line.contains("\"WARN\"") && line.contains("durability"))
    };
    assert!(said("os") && said("memory"));
    assert!(!said("fsync"));
}

/// Only components that the configuration refers to are compiled.
#[test]
fn what_is_not_used_is_not_compiled() {
    let story = Story::cold(&archive());
    fn files(dir: &std::path::Path) -> usize {
        std::fs::read_dir(dir)
            .expect("reads")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| if path.is_dir() { files(&path) } else { usize::from(path.metadata().expect("metadata").len() > 10_000) })
            .sum()
    }
    // The connector `file` and the formatter `jsonl`.
    assert_eq!(files(&story.path("data/cache")), 2);
}

/// Two hosts never share a data folder.
#[test]
fn a_data_folder_has_one_host() {
    let story = Story::start(&archive());
    let mut twin = story.host.spec.clone();
    twin.log = story.path("twin.log");
    let error = format!("{:#}", Host::start(twin).expect_err("refused"));
    assert!(error.contains("lock") || error.contains("in use"), "{error}");
}

#[test]
fn ready_follows_the_journal() {
    let story = Story::start(&archive());
    assert_eq!(story.host.get("/livez").expect("answers").status, 200);
    assert_eq!(story.host.get("/readyz").expect("answers").status, 200);
    assert!(story.host.ready_in < Duration::from_secs(30));
}

/// A lane that no route names pins nothing once it is empty, and is not thrown away while it is not.
#[test]
fn a_lane_without_a_route_is_forgotten_only_when_it_has_delivered() {
    let dead = receiver("503*");
    let instances = format!("instances:\n{}{}", file("archive"), hec("siem", &dead, ""));
    let both = format!("drain: 200ms\n{instances}default_route: [{{instance: archive, format: jsonl}}, {{instance: siem, format: cef}}]\n");
    let mut story = Story::start(&both);
    story.accept("application/x-ndjson", &copybook("e", 3));
    // Delivered is counted before it is settled, and this drain waits for nobody.
    wait::until("the archive has settled them", PATIENCE, || Ok((story.lane("archive")["backlog"] == 0).then_some(()))).expect("settles");
    story.host.terminate(PATIENCE).expect("stops");
    let listen = r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#;
    let neither = spec(story.dir.path(), listen, &format!("{instances}default_route: []\n"));
    let refused = format!("{:#}", Host::start(neither.clone()).expect_err("a lane has a backlog"));
    assert!(refused.contains("lane `siem/cef` has 3 events") && refused.contains("--discard-lane siem/cef"), "{refused}");
    // The switch gives up what is named; the archive had delivered and goes without being asked for.
    let check = std::process::Command::new(&neither.binary)
        .args(["serve", "--config"])
        .arg(&neither.config)
        .args(["--discard-lane", "other/cef"])
        .current_dir(&neither.dir)
        .output()
        .expect("runs");
    assert_eq!(check.status.code(), Some(1), "another lane's name does not help");
    dead.play(Script::default());
    let again = Host::start(spec(story.dir.path(), listen, &both)).expect("routed again");
    again.settled(PATIENCE).expect("delivers what waited");
    let taken: usize = dead.kept().iter().filter(|kept| kept.status == 200).map(|kept| crate::story::envelopes(kept).len()).sum();
    assert_eq!(taken, 3);
}
