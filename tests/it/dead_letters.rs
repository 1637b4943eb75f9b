//! Dead letters as an operator handles them: found, changed, handed back, deleted, counted.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::receiver::{Receiver, Script};
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::story::{PATIENCE, Story, binary, copybook, file, hec, ids, numbered, receiver, webhook};

fn dlq(story: &Story, args: &[&str]) -> Output {
    let api = format!("http://{}", story.host.api);
    Command::new(binary()).args(["--json", "dlq", "--api", &api]).args(args).output().expect("runs")
}

#[track_caller]
fn told(story: &Story, args: &[&str]) -> Value {
    let output = dlq(story, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Exit code and what was said.
fn refused(story: &Story, args: &[&str]) -> (Option<i32>, String) {
    let output = dlq(story, args);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn letters(list: &Value) -> Vec<i64> {
    list["data"].as_array().expect("a list").iter().map(|letter| letter["id"].as_i64().expect("an id")).collect()
}

fn send(story: &Story, method: &str, path: &str, media: &str, body: &str) -> Response {
    let mut client = Client::new(story.host.api).limit(PATIENCE);
    client.send(method, &format!("/api/integration/dead-letters{path}"), &[("Content-Type", media)], body.as_bytes()).expect("answers")
}

/// A lane to this receiver alone.
fn siem(receiver: &Receiver, more: &str) -> Story {
    Story::start(&format!("{more}instances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", receiver, "")))
}

#[track_caller]
fn dead(story: &Story, count: f64) {
    story.when("they are dead", |scrape| scrape.sum("bulkhead_lane_rejected_total", &[]) == count);
}

/// What is on record of this action, once it sums up to so much: `of` names the field, none counts records.
#[track_caller]
fn on_record(story: &Story, action: &str, of: Option<&str>, want: u64) -> Vec<Value> {
    let find = || -> anyhow::Result<Option<Vec<Value>>> {
        let page = story.host.get("/api/integration/audit/receipts?call=act&limit=1000")?.json()?;
        let acts: Vec<Value> = page["data"].as_array().expect("a list").iter().filter(|act| act["action"] == action).cloned().collect();
        let sum: u64 = acts.iter().map(|act| of.map_or(1, |of| act[of].as_u64().unwrap_or(0))).sum();
        Ok((sum == want).then_some(acts))
    };
    wait::until(action, PATIENCE, find).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()))
}

#[test]
fn letters_are_found_by_every_filter_and_page_by_page() {
    let (refusing, down) = (receiver("400*"), receiver("503*"));
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: hook, format: json}}]\n",
        hec("siem", &refusing, ""),
        webhook("hook", &down, "    retry: {initial: 1ms, max: 2ms, max_attempts: 1, jitter: none}\n"),
    ));
    story.accept("application/json", r#"[{"id":"a-0","event_type":"alpha"},{"id":"b-0","event_type":"beta"},{"id":"a-1","event_type":"alpha"}]"#);
    dead(&story, 6.0);
    let all = told(&story, &["list"]);
    assert_eq!((letters(&all).len(), all["meta"]["total"].as_u64(), all["schema_version"].as_u64()), (6, Some(6), Some(1)));
    let one = &all["data"][0];
    let (id, added, event_type) = (one["id"].to_string(), one["added"].as_str().expect("a time"), one["event_type"].as_str().expect("a type").to_owned());
    let alpha = all["data"].as_array().expect("a list").iter().filter(|letter| letter["event_type"] == one["event_type"]).count();
    let far = "2001-01-01T00:00:00Z";
    for (args, want) in [
        (vec!["--lane", "siem/cef"], 3),
        (vec!["--instance", "hook"], 3),
        (vec!["--format", "json", "--instance", "siem"], 0),
        (vec!["--cause", "rejected"], 3),
        (vec!["--cause", "retries-exhausted"], 3),
        (vec!["--cause", "transient"], 3),
        (vec!["--cause", "permanent,transient"], 6),
        (vec!["--type", &event_type], alpha),
        (vec!["--event-id", "b-0"], 2),
        (vec!["--event-id", "b-0", "--lane", "hook/json"], 1),
        (vec!["--id", &id], 1),
        (vec!["--id", "1,2,3,99"], 3),
        (vec!["--since", far], 6),
        (vec!["--until", far], 0),
        (vec!["--since", added], 6),
        (vec!["--state", "open"], 6),
        (vec!["--state", "replaying,delivered"], 0),
    ] {
        let found = told(&story, &[&["list"], &args[..]].concat());
        assert_eq!((letters(&found).len(), found["meta"]["total"].as_u64()), (want, Some(want as u64)), "{args:?}");
    }
    // Page by page, the filter kept.
    let mut next = Some("/api/integration/dead-letters?lane=siem%2Fcef&limit=2".to_owned());
    let mut paged = Vec::new();
    while let Some(path) = next {
        let page = story.host.get(&path).expect("answers").json().expect("JSON");
        assert_eq!(page["meta"]["total"], 3, "{page}");
        paged.extend(letters(&page));
        next = page["links"]["next"].as_str().map(str::to_owned);
    }
    assert_eq!(paged, letters(&told(&story, &["list", "--lane", "siem/cef"])));
    let shown = told(&story, &["show", &id])["data"].clone();
    assert_eq!((shown["attempt_log"].as_array().map(Vec::len), shown["state"].as_str(), shown["class"].is_string()), (Some(1), Some("open"), true), "{shown}");
    assert!(
        shown["attempt_log"][0]["at"].is_string()
            && shown["attempt_log"][0]["code"].is_string()
            && shown["connector"].as_str().is_some_and(|digest| digest.len() >= 64),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let refusing = receiver("400*");
    let story = siem(&refusing, "");
    story.accept("application/x-ndjson", &copybook("e", 1));
    dead(&story, 1.0);
    for (args, code, part) in [
        (vec!["list", "--lane", "siem"], 1, "instance/format"),
        (vec!["list", "--cause", "bored"], 1, "retries-exhausted"),
        (vec!["list", "--state", "gone"], 1, "open, replaying, delivered"),
        (vec!["list", "--since", "yesterday"], 1, "RFC 3339"),
        (vec!["list", "--id", "seventeen"], 1, "is no id"),
        (vec!["list", "--limit", "0"], 1, "1 to 1000"),
        (vec!["show", "seventeen"], 1, "is no id"),
        (vec!["show", "-1"], 2, ""),
        (vec!["show", "17"], 5, "no dead letter 17"),
        (vec!["purge"], 1, "all=true"),
        (vec!["replay"], 1, "all=true"),
        (vec!["replay", "--id", "x"], 1, "is no id"),
        (vec!["edit", "1"], 2, ""),
        (vec!["edit", "17", "--patch", "/dev/null"], 5, "no dead letter 17"),
        (vec!["edit", "1", "--file", "/no/such/file"], 5, "cannot read"),
    ] {
        let (exit, said) = refused(&story, &args);
        assert_eq!(exit, Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
    }
    for (method, path, media, body, status, code) in [
        ("POST", "/replay", "application/json", "{", 400, "bad_body"),
        ("POST", "/replay", "application/json", "[1]", 400, "bad_body"),
        ("POST", "/purge", "application/json", r#"{"al":true}"#, 400, "unknown_field"),
        ("POST", "/purge", "application/json", r#"{"all":"yes"}"#, 400, "bad_field"),
        ("POST", "/purge", "application/json", r#"{"state":"replaying"}"#, 400, "on_its_way"),
        ("PATCH", "/1/event", "text/plain", "{}", 415, "unsupported_media_type"),
        ("PATCH", "/0/event", "application/merge-patch+json", "{}", 400, "bad_id"),
        ("PATCH", "/1/event", "application/merge-patch+json", "nonsense", 422, "bad_event"),
        ("PATCH", "/1/event", "application/merge-patch+json", "[]", 422, "bad_event"),
        ("PUT", "/1/event", "application/json", "not json", 422, "bad_event"),
        ("PUT", "/1/event", "application/json", r#"["an","array"]"#, 422, "bad_event"),
        ("PUT", "/1/event", "application/json", r#"{"event_id":"e-0"} {"event_id":"e-1"}"#, 422, "bad_event"),
        ("PUT", "/1/event", "application/json", r#"{"event_id":"another"}"#, 422, "bad_event"),
        ("PUT", "/1/event", "application/json", r#"{"event_id":"e-0","event_id":"e-0"}"#, 422, "bad_event"),
    ] {
        let response = send(&story, method, path, media, body);
        let problem = response.json().expect("a problem document");
        assert_eq!((response.status, problem["code"].as_str()), (status, Some(code)), "{method} {path} {body}: {problem}");
    }
    // Nothing of it happened.
    let shown = told(&story, &["show", "1"])["data"].clone();
    assert_eq!((shown["edited"].is_null(), shown["state"].as_str(), shown["replays"].as_u64()), (true, Some("open"), Some(0)), "{shown}");
}

#[test]
fn an_edited_letter_is_delivered_and_both_versions_stay() {
    let target = receiver("400*");
    let story = siem(&target, "");
    story.accept("application/x-ndjson", &copybook("e", 2));
    dead(&story, 2.0);
    let before = told(&story, &["show", "1"])["data"].clone();
    let patch = story.path("patch.json");
    std::fs::write(&patch, r#"{"severity":"Low","payload":{"affected_resources":["MENDED"]}}"#).expect("written");
    let edited = told(&story, &["edit", "1", "--patch", patch.to_str().expect("UTF-8")])["data"].clone();
    assert_eq!(edited["original"], before["original"]);
    let replacement = edited["replacement"].as_str().expect("both versions").to_owned();
    assert!(replacement.contains("MENDED") && replacement.contains(r#""severity":"Low""#) && replacement.contains(r#""integrity_hash":"aa""#), "{replacement}");
    assert!(edited["edited"].is_string());

    target.play(Script::default());
    // Edit and replay in one.
    let event = replacement.replace("MENDED", "TWICE");
    let whole = story.path("event.json");
    std::fs::write(&whole, &event).expect("written");
    let replayed = told(&story, &["edit", "1", "--file", whole.to_str().expect("UTF-8"), "--replay"]);
    assert_eq!(replayed["replaying"], 1, "{replayed}");
    let delivered = || told(&story, &["show", "1"])["data"].clone();
    let kept = wait::until("it is delivered", PATIENCE, || Ok(Some(delivered()).filter(|letter| letter["state"] == "delivered"))).expect("delivered");
    assert_eq!((kept["original"].clone(), kept["replacement"].as_str()), (before["original"].clone(), Some(&*event)));
    assert_eq!((kept["event_id"].as_str(), kept["replays"].as_u64()), (Some("e-0"), Some(1)));
    let bodies: Vec<String> = target.kept().iter().filter(|kept| kept.status == 200).map(|kept| String::from_utf8_lossy(&kept.body).into_owned()).collect();
    assert!(bodies.len() == 1 && bodies[0].contains("e-0"), "{bodies:?}");

    // What was replayed is not edited again, nor replayed.
    let (exit, said) = refused(&story, &["edit", "1", "--file", whole.to_str().expect("UTF-8")]);
    assert!(exit == Some(1) && said.contains("replayed and delivered"), "{said}");
    assert_eq!(told(&story, &["replay", "--id", "1"])["replaying"], 0);
    assert_eq!(on_record(&story, "dead_letters.edit", None, 2)[0]["letter"], 1);
    // The evidence goes when it is asked to.
    assert_eq!(told(&story, &["purge", "--id", "1"])["purged"], 1);
    assert_eq!(refused(&story, &["show", "1"]).0, Some(5));
}

#[test]
fn a_letter_that_dies_again_goes_on_under_its_number() {
    let target = receiver("400*");
    let story = siem(&target, "");
    story.accept("application/x-ndjson", &copybook("e", 1));
    dead(&story, 1.0);
    let first = told(&story, &["show", "1"])["data"].clone();
    assert_eq!(told(&story, &["replay", "--lane", "siem/cef"])["replaying"], 1);
    dead(&story, 2.0);
    let again = || told(&story, &["show", "1"])["data"].clone();
    let letter = wait::until("it is open again", PATIENCE, || Ok(Some(again()).filter(|letter| letter["state"] == "open"))).expect("opens");
    assert_eq!(
        (letter["attempts"].as_u64(), letter["replays"].as_u64(), letter["attempt_log"].as_array().map(Vec::len)),
        (Some(2), Some(1), Some(2)),
        "{letter}"
    );
    assert_eq!(
        (letter["seq"].clone(), letter["received"].clone(), letter["first_attempt"].clone()),
        (first["seq"].clone(), first["received"].clone(), first["first_attempt"].clone())
    );
    assert!(letter["replayed_as"].as_u64() > letter["seq"].as_u64(), "{letter}");
    assert_eq!(told(&story, &["list"])["meta"]["total"], 1, "one event, one letter");
}

/// Whoever asks second finds nothing to take; nothing is delivered twice.
#[test]
fn two_replays_at_once_take_a_letter_once() {
    let target = receiver("400*");
    let story = siem(&target, "");
    story.accept("application/x-ndjson", &copybook("e", 300));
    dead(&story, 300.0);
    target.play(Script::default());
    let taken: u64 = std::thread::scope(|scope| {
        let replays: Vec<_> = (0..4).map(|_| scope.spawn(|| send(&story, "POST", "/replay", "application/json", r#"{"all":true}"#))).collect();
        replays.into_iter().map(|replay| replay.join().expect("answers").json().expect("JSON")["replaying"].as_u64().expect("a count")).sum()
    });
    assert_eq!(taken, 300);
    wait::until("all are gone", PATIENCE, || Ok((told(&story, &["list"])["meta"]["total"] == 0).then_some(()))).expect("delivered");
    let times: Vec<usize> = target.kept().iter().filter(|kept| kept.status == 200).flat_map(|kept| ids(&kept.body, "e", 300)).collect();
    assert_eq!((times.len(), times.iter().collect::<BTreeSet<_>>().len()), (300, 300), "each once");
    on_record(&story, "dead_letters.replay", Some("events"), 300);
    wait::until("receipts say what was replayed", PATIENCE, || {
        let receipts = story.host.get("/api/integration/audit/receipts?instance=siem&outcome=accepted&limit=1000")?.json()?;
        let sum: u64 = receipts["data"].as_array().expect("a list").iter().map(|receipt| receipt["events"]["replayed"].as_u64().unwrap_or(0)).sum();
        Ok((sum == 300).then_some(()))
    })
    .expect("written");
}

/// kill -9 while letters are handed back and while they are deleted: each is delivered or still in sight.
#[test]
fn a_kill_in_the_middle_loses_no_letter() {
    const EVENTS: usize = 2_000;
    let target = receiver("400*");
    let mut story = siem(&target, "");
    for i in 0..EVENTS / 500 {
        story.accept("application/x-ndjson", &copybook(&format!("k{i}"), 500));
    }
    dead(&story, EVENTS as f64);
    target.play(Script::default());
    let delivered = |target: &Receiver| -> BTreeSet<(usize, usize)> {
        let kept = target.kept();
        let ok = kept.iter().filter(|kept| kept.status == 200);
        ok.flat_map(|kept| numbered(&kept.body, 'k')).collect()
    };
    for round in 0..4 {
        let api = story.host.api;
        let asks = std::thread::spawn(move || {
            // The host dies under it.
            let _ = Client::new(api).limit(PATIENCE).send("POST", "/api/integration/dead-letters/replay", &[], br#"{"all":true}"#);
        });
        if round > 0 {
            story.when("some are under way, or all were", |scrape| {
                scrape.sum("bulkhead_lane_replayed_total", &[]) >= f64::from(round) * 100.0 || scrape.sum("bulkhead_dead_letters", &[]) == 0.0
            });
        }
        story = story.crash();
        asks.join().expect("ends");
    }
    story.settled();
    // A mark whose event may not have got there is open again: what is left is handed over now.
    told(&story, &["replay", "--all"]);
    wait::until("all are delivered", PATIENCE, || Ok((told(&story, &["list"])["meta"]["total"] == 0).then_some(()))).expect("delivered");
    assert_eq!(delivered(&target).len(), EVENTS);

    target.play(Script::parse("400*").expect("a script"));
    for i in 0..4 {
        story.accept("application/x-ndjson", &copybook(&format!("p{i}"), 500));
    }
    story.settled();
    let before = told(&story, &["list"])["meta"]["total"].as_u64().expect("a count");
    assert_eq!(before, 2_000);
    let api = story.host.api;
    let asks =
        std::thread::spawn(move || Client::new(api).limit(PATIENCE).send("POST", "/api/integration/dead-letters/purge", &[], br#"{"all":true}"#).is_ok());
    story = story.crash();
    asks.join().expect("ends");
    let left = told(&story, &["list", "--limit", "1000"]);
    let total = left["meta"]["total"].as_u64().expect("a count");
    assert_eq!(story.host.metrics().expect("metrics").sum("bulkhead_dead_letters", &[]), total as f64, "the totals are those of the rows");
    assert_eq!(told(&story, &["purge", "--all"])["purged"].as_u64(), Some(total));
}

#[test]
fn letters_come_back_by_themselves_as_often_as_allowed() {
    let target = receiver("400*");
    let story = siem(&target, "dead_letters: {retry: {interval: 1s, causes: [rejected], max_retries: 2}}\n");
    story.accept("application/x-ndjson", &copybook("e", 1));
    let by_itself = |scrape: &bulkhead_tests::prom::Scrape, count: f64| scrape.sum("bulkhead_lane_replayed_total", &[("by", "automatic")]) == count;
    story.when("it came back twice and died again", |scrape| by_itself(scrape, 2.0) && scrape.sum("bulkhead_lane_rejected_total", &[]) == 3.0);
    // A second one has its two tries while the first one has none left.
    story.accept("application/x-ndjson", &copybook("f", 1));
    story.when("so did the second", |scrape| by_itself(scrape, 4.0) && scrape.sum("bulkhead_lane_rejected_total", &[]) == 6.0);
    for id in ["1", "2"] {
        let letter = told(&story, &["show", id])["data"].clone();
        let counts = (letter["state"].as_str(), letter["retries"].as_u64(), letter["replays"].as_u64(), letter["attempts"].as_u64());
        assert_eq!(counts, (Some("open"), Some(2), Some(0), Some(3)), "in sight, with its own count: {letter}");
    }
    // By hand it goes all the same.
    target.play(Script::default());
    assert_eq!(told(&story, &["replay", "--all"])["replaying"], 2);
    wait::until("both are delivered", PATIENCE, || Ok((told(&story, &["list"])["meta"]["total"] == 0).then_some(()))).expect("delivered");
}

/// Other causes wait for people.
#[test]
fn only_the_named_causes_come_back_by_themselves() {
    let (refusing, down) = (receiver("400*"), receiver("503"));
    let story = Story::start(&format!(
        "dead_letters: {{retry: {{interval: 1s}}}}\ninstances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: hook, format: json}}]\n",
        hec("siem", &refusing, ""),
        webhook("hook", &down, "    retry: {initial: 1ms, max: 2ms, max_attempts: 1, jitter: none}\n"),
    ));
    story.accept("application/x-ndjson", &copybook("e", 1));
    // The webhook was down once: its letter is transient, and delivered by itself.
    story.when("it came back", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "hook")]) == 1.0);
    wait::until("only the refused one is left", PATIENCE, || Ok((told(&story, &["list"])["meta"]["total"] == 1).then_some(()))).expect("goes");
    let left = told(&story, &["list"])["data"][0].clone();
    assert_eq!((left["cause"].as_str(), left["retries"].as_u64(), left["instance"].as_str()), (Some("rejected"), Some(0), Some("siem")), "{left}");
}

/// 400 KiB that nobody takes.
fn large(n: usize) -> String {
    format!(r#"{{"id":"large-{n}","text":"{}"}}"#, "x".repeat(400 << 10))
}

#[test]
fn a_full_store_stops_its_lane_alone_and_goes_on_by_itself() {
    let refusing = receiver("400*");
    let story = Story::start(&format!(
        "own_events: {{enabled: true}}\ndead_letters: {{max_bytes: 1MiB}}\ninstances:\n{}{}{}routes:\n  - {{id: news, when: {{source: bulkhead}}, to: [{{instance: news, format: cloudevents}}], exclusive: true}}\ndefault_route: [{{instance: siem, format: cef}}, {{instance: archive, format: jsonl}}]\n",
        hec("siem", &refusing, "    concurrency: 1\n    batch: {max_events: 1}\n"),
        file("archive"),
        file("news"),
    ));
    for n in 0..5 {
        story.accept("application/json", &large(n));
    }
    wait::until("the lane stops", PATIENCE, || Ok((story.lane("siem")["dead_letters_full"] == true).then_some(()))).expect("stops");
    story.when("the neighbour has all", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "archive")]) == 5.0);
    assert_eq!(told(&story, &["list"])["meta"]["total"], 2);
    assert!(story.lane("siem")["backlog"].as_u64() >= Some(3), "{}", story.lane("siem"));
    let limit = |state: &str| {
        let events = story.records("news.ndjson");
        events.into_iter().find(|event| event["type"] == "bulkhead.dead_letter.limit" && event["data"]["state"] == state)
    };
    let reached = wait::until("it is told", PATIENCE, || Ok(limit("reached"))).expect("told");
    assert_eq!(
        (reached["severity"].as_str(), reached["subject"].as_str(), reached["data"]["key"].as_str()),
        (Some("critical"), Some("siem/cef"), Some("dead_letters.max_bytes"))
    );
    // A crash in this state loses nothing either.
    let story = story.crash();
    wait::until("the lane stops again", PATIENCE, || Ok((story.lane("siem")["dead_letters_full"] == true).then_some(()))).expect("stops");
    let limit = |state: &str| {
        let events = story.records("news.ndjson");
        events.into_iter().find(|event| event["type"] == "bulkhead.dead_letter.limit" && event["data"]["state"] == state)
    };
    let mut seen = BTreeSet::new();
    wait::until("the lane is through", PATIENCE, || {
        let page = told(&story, &["list"]);
        for letter in page["data"].as_array().expect("a list") {
            seen.insert(letter["event_id"].as_str().unwrap_or_default().to_owned());
        }
        if let Some(first) = letters(&page).first() {
            told(&story, &["purge", "--id", &first.to_string()]);
        }
        Ok((seen.len() == 5).then_some(()))
    })
    .expect("goes on as room comes");
    wait::until("it is told", PATIENCE, || Ok(limit("cleared"))).expect("told");
    story.settled();
    let purged = story.host.metrics().expect("metrics").sum("bulkhead_dead_letters_dropped_total", &[("by", "purge")]);
    on_record(&story, "dead_letters.purge", Some("letters"), purged as u64);
}

#[test]
fn what_is_dropped_by_choice_is_counted_and_on_record() {
    let refusing = receiver("400*");
    let config = |rule: &str| {
        format!(
            "own_events: {{enabled: true}}\ndead_letters: {{max_bytes: 1MiB, {rule}}}\ninstances:\n{}{}routes:\n  - {{id: news, when: {{source: bulkhead}}, to: [{{instance: news, format: cloudevents}}], exclusive: true}}\ndefault_route: [{{instance: siem, format: cef}}]\n",
            hec("siem", &refusing, "    concurrency: 1\n    batch: {max_events: 1}\n"),
            file("news"),
        )
    };
    for (rule, by, dropped) in [("on_full: drop_oldest", "drop_oldest", 3), ("retention: 1s", "retention", 2)] {
        let story = Story::start(&config(rule));
        for n in 0..if by == "retention" { 2 } else { 5 } {
            story.accept("application/json", &large(n));
        }
        story.when("they are dropped", |scrape| scrape.sum("bulkhead_dead_letters_dropped_total", &[("by", by)]) == dropped as f64);
        assert_eq!(on_record(&story, "dead_letters.drop", Some("letters"), dropped)[0]["by"], by);
        let told_of = || story.records("news.ndjson").into_iter().find(|event| event["type"] == "bulkhead.dead_letter.dropped");
        let event = wait::until("it is an event", PATIENCE, || Ok(told_of())).expect("told");
        assert_eq!((event["data"]["cause"].as_str(), event["severity"].as_str()), (Some(by), Some("high")), "{event}");
        assert_eq!(told(&story, &["list"])["meta"]["total"], json!(if by == "retention" { 0 } else { 2 }));
    }
}

#[test]
fn a_cause_that_does_not_exist_is_a_fault() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    std::fs::write(&path, "dead_letters: {retry: {interval: 1h, causes: [transient, rejectd]}}\n").expect("written");
    let output = Command::new(binary()).args(["validate", "--config"]).arg(&path).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(78) && said.contains("there is no cause `rejectd`") && said.contains("rejected"), "{said}");
}
