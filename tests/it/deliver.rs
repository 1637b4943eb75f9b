//! Receivers that are down, busy, wrong or strange: the outcome table of the connectors, no event lost.

use std::collections::BTreeSet;
use std::time::Duration;

use bulkhead_tests::receiver::{self, Kept, Receiver, Script};
use bulkhead_tests::{port, wait};
use serde_json::Value;

use crate::story::{PATIENCE, Story, copybook, envelopes, file, hec, ids, receiver, webhook};

const TO_SIEM: &str = "default_route: [{instance: siem, format: cef}]\n";

fn siem(receiver: &Receiver, more: &str) -> Story {
    Story::start(&format!("instances:\n{}{TO_SIEM}", hec("siem", receiver, more)))
}

/// Numbers that accepted requests mention.
fn taken(receiver: &Receiver, prefix: &str, n: usize) -> BTreeSet<usize> {
    receiver.kept().iter().filter(|kept| kept.status == 200).flat_map(|kept| ids(&kept.body, prefix, n)).collect()
}

fn dead_letters(story: &Story) -> Vec<Value> {
    let response = story.host.get("/api/integration/dead-letters?limit=1000").expect("answers");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json().expect("JSON")["data"].as_array().expect("a list").clone()
}

#[test]
fn events_reach_splunk() {
    let receiver =
        Receiver::start(receiver::Options { keep: 100, strict: true, token: Some("tok-en-42".to_owned()), ..receiver::Options::default() }, Script::default())
            .expect("starts");
    let config = format!(
        "instances:\n  siem:\n    connector: splunk-hec\n    config: {{index: audit, sourcetype: \"copybook:audit\"}}\n    destinations: {{primary: {{url: \"{}\", methods: [POST, GET], credential: hec}}}}\ncredentials:\n  hec: {{type: header, name: Authorization, prefix: \"Splunk \", value: tok-en-42}}\n{TO_SIEM}",
        receiver.url()
    );
    let story = Story::start(&config);
    story.accept("application/x-ndjson", &copybook("e", 50));
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "siem"), ("format", "cef")]), 50.0);
    let kept = receiver.kept();
    let envelopes: Vec<Value> = kept.iter().flat_map(envelopes).collect();
    assert_eq!(envelopes.len(), 50);
    let first = &envelopes[0];
    assert_eq!((first["index"].as_str(), first["sourcetype"].as_str()), (Some("audit"), Some("copybook:audit")));
    assert_eq!(first["time"].to_string(), "1793606400.123");
    assert!(first["event"].as_str().is_some_and(|event| event.starts_with("CEF:0|Copybook-rs|")), "{first}");
    assert_eq!(kept[0].head.headers.get("authorization"), Some("Splunk tok-en-42"));
    assert!(!story.host.log().contains("tok-en-42"), "the token is in the log");
}

/// Every fault of a receiver that may pass: the events arrive all the same, once each.
#[test]
fn faults_that_pass_lose_nothing_and_repeat_nothing() {
    for fault in ["503x3", "500x3", "408", "429x2", "garbagex3", "reset;reset", "hang=100msx2", "503;reset;garbage;500"] {
        let receiver = receiver(fault);
        let story = siem(&receiver, "");
        story.accept("application/x-ndjson", &copybook("e", 20));
        let scrape = story.settled();
        assert_eq!(taken(&receiver, "e", 20).len(), 20, "{fault}");
        assert_eq!(receiver.steps_left(), 0, "{fault}");
        let count = |name: &str| scrape.sum(name, &[("instance", "siem")]);
        assert_eq!((count("bulkhead_lane_delivered_total"), count("bulkhead_lane_rejected_total")), (20.0, 0.0), "{fault}");
        assert!(count("bulkhead_lane_retried_total") >= 20.0, "{fault}: retries are counted");
        let times = receiver.kept().iter().filter(|kept| kept.status == 200).flat_map(|kept| ids(&kept.body, "e", 20)).count();
        assert_eq!(times, 20, "{fault}: taken once each");
    }
}

#[test]
fn retry_after_is_heard_in_both_forms() {
    for date in [false, true] {
        let receiver = receiver("");
        let story = siem(&receiver, "    retry: {initial: 1ms, max: 300s, jitter: none}\n");
        // A date counts from when it is written, not from when the host is up.
        let value = if date { http_date(10) } else { "1".to_owned() };
        receiver.play(Script::parse(&format!("429:retry-after={value}")).expect("a script"));
        story.accept("application/x-ndjson", &copybook("e", 3));
        story.settled();
        let kept = receiver.kept();
        assert_eq!(kept.iter().map(|kept| kept.status).collect::<Vec<_>>(), [429, 200], "{value}");
        let waited = Duration::from_nanos(kept[1].at - kept[0].at);
        assert!(waited >= Duration::from_millis(if date { 300 } else { 990 }), "{value}: waited {waited:?}");
        assert!(waited < PATIENCE, "{value}: waited {waited:?}");
    }
}

/// `seconds` from now as RFC 9110 writes it.
fn http_date(seconds: u64) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + seconds;
    let (days, second) = (since / 86_400, since % 86_400);
    // Civil date from days (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month as usize - 1];
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    format!("{weekday}, {day:02} {name} {year} {:02}:{:02}:{:02} GMT", second / 3600, second / 60 % 60, second % 60)
}

/// Splunk names the object it refuses: those before it are in, it is dead, the rest is sent again.
#[test]
fn a_partial_refusal_costs_only_the_event_it_names() {
    let receiver = receiver("invalid=3");
    let story = siem(&receiver, "    concurrency: 1\n");
    story.accept("application/x-ndjson", &copybook("e", 10));
    story.settled();
    let kept = receiver.kept();
    let first = ids(&kept[0].body, "e", 10);
    assert_eq!(first.len(), 10, "one batch took all ten");
    let again: BTreeSet<usize> = kept[1..].iter().flat_map(|kept| ids(&kept.body, "e", 10)).collect();
    assert_eq!(again, (4..10).collect());
    let letters = dead_letters(&story);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0]["event_id"].as_str(), letters[0]["cause"].as_str(), letters[0]["instance"].as_str()), (Some("e-3"), Some("rejected"), Some("siem")));
    assert!(letters[0]["reason"].as_str().is_some_and(|reason| reason.contains("Invalid data format")), "{letters:?}");
}

#[test]
fn a_refused_event_is_a_dead_letter_with_its_bytes() {
    let receiver = receiver("");
    receiver.play(Script::always(receiver::Step::answer(400, r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#)));
    let story = siem(&receiver, "");
    story.accept("application/json", r#"{"id":"bad","message":"keep \u00e9 me"}"#);
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "siem")]), 1.0);
    let letters = dead_letters(&story);
    assert_eq!(letters.len(), 1);
    let id = letters[0]["id"].as_i64().expect("an id");
    let letter = story.host.get(&format!("/api/integration/dead-letters/{id}")).expect("answers").json().expect("JSON");
    assert_eq!(letter["data"]["original"], r#"{"id":"bad","message":"keep \u00e9 me"}"#);
    // Still there after a crash.
    let story = story.crash();
    assert_eq!(dead_letters(&story).len(), 1);
    assert_eq!(story.host.metrics().expect("metrics").sum("bulkhead_dead_letters", &[]), 1.0);
}

#[test]
fn a_dead_letter_is_replayed_with_its_id() {
    let receiver = receiver("invalid=0");
    let story = siem(&receiver, "");
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    let id = dead_letters(&story)[0]["id"].clone();
    let response = bulkhead_tests::http::Client::new(story.host.api)
        .send("POST", "/api/integration/dead-letters/replay", &[("Content-Type", "application/json")], serde_json::json!({"id": id}).to_string().as_bytes())
        .expect("answers");
    assert_eq!(response.status, 202, "{}", response.text());
    wait::until("the letter arrives", PATIENCE, || Ok((!taken(&receiver, "e", 1).is_empty()).then_some(()))).expect("arrives");
    wait::until("the letter is gone", PATIENCE, || Ok(dead_letters(&story).is_empty().then_some(()))).expect("goes");
}

/// A wrong token is the operator's to mend: nothing is lost, nothing dead, and it goes on by itself.
#[test]
fn unauthorized_waits_for_people() {
    for status in [401, 403] {
        let receiver = receiver(&format!("{status}*"));
        let story = siem(&receiver, "");
        story.accept("application/x-ndjson", &copybook("e", 5));
        wait::until("some attempts", PATIENCE, || Ok((receiver.kept().len() >= 2).then_some(()))).expect("tries again");
        assert!(dead_letters(&story).is_empty(), "{status}");
        assert_eq!(story.lane("siem")["backlog"], 5, "{status}");
        receiver.play(Script::default());
        story.settled();
        assert_eq!(taken(&receiver, "e", 5).len(), 5, "{status}");
    }
}

/// 413: halves, until a single event that is too large alone is dead.
#[test]
fn what_is_too_large_is_split() {
    let receiver = receiver("413;413");
    let story = siem(&receiver, "    concurrency: 1\n");
    story.accept("application/x-ndjson", &copybook("e", 8));
    story.settled();
    assert_eq!(taken(&receiver, "e", 8).len(), 8);
    let sizes: Vec<usize> = receiver.kept().iter().map(|kept| ids(&kept.body, "e", 8).len()).collect();
    assert_eq!(sizes[0], 8);
    assert!(sizes[1..].iter().all(|size| *size <= 4), "{sizes:?}");
    assert!(dead_letters(&story).is_empty());
    let receiver = self::receiver("413*");
    let story = siem(&receiver, "");
    story.accept("application/x-ndjson", &copybook("e", 2));
    story.settled();
    assert_eq!(dead_letters(&story).len(), 2, "alone and too large");
}

#[test]
fn the_number_of_attempts_is_a_bound() {
    let receiver = receiver("503*");
    let story = siem(&receiver, "    retry: {initial: 1ms, max: 5ms, max_attempts: 3, jitter: none}\n");
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    assert_eq!(receiver.kept().len(), 3);
    let letters = dead_letters(&story);
    assert_eq!((letters.len(), letters[0]["attempts"].as_u64()), (1, Some(3)), "{letters:?}");
    assert_eq!(letters[0]["cause"], "retries-exhausted");
}

#[test]
fn the_breaker_opens_and_closes_by_itself() {
    let receiver = receiver("503x4");
    let story = siem(
        &receiver,
        "    concurrency: 1\n    circuit_breaker: {failure_threshold: 3, open_for: 1s, half_open_calls: 1}\n    retry: {initial: 1ms, max: 2ms, jitter: none}\n",
    );
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.when("the breaker opens", |scrape| scrape.sum("bulkhead_breaker_state", &[("instance", "siem")]) == 2.0);
    let scrape = story.settled();
    assert_eq!(taken(&receiver, "e", 1).len(), 1);
    let at: Vec<u64> = receiver.kept().iter().map(|kept| kept.at).collect();
    // Three quick failures open it, one probe fails after the pause, the next one passes.
    assert_eq!(at.len(), 5, "{at:?}");
    for probe in [3, 4] {
        let pause = Duration::from_nanos(at[probe] - at[probe - 1]);
        assert!(pause >= Duration::from_millis(990), "call {probe} came {pause:?} after the one before");
    }
    assert_eq!(scrape.sum("bulkhead_breaker_state", &[("instance", "siem")]), 0.0);
}

#[test]
fn concurrency_follows_the_receiver() {
    let receiver = receiver("503*");
    let story = siem(&receiver, "    concurrency: {max: 6}\n    batch: {max_events: 1}\n");
    let limit = |scrape: &bulkhead_tests::prom::Scrape| scrape.sum("bulkhead_concurrency_limit", &[("instance", "siem")]);
    assert_eq!(limit(&story.host.metrics().expect("answers")), 4.0);
    story.accept("application/x-ndjson", &copybook("e", 300));
    story.when("it falls", |scrape| limit(scrape) == 1.0);
    assert_eq!(story.lane("siem")["concurrency"], serde_json::json!({"limit": 1, "max": 6}));
    receiver.play(Script::parse("delay=20ms*").expect("a script"));
    // On a busy machine calls may seem slow to it, and it falls again: events come until it has risen.
    let mut more = 0;
    wait::until("it rises", PATIENCE, || {
        story.accept("application/x-ndjson", &copybook(&format!("f{more}"), 20));
        more += 1;
        Ok((limit(&story.host.metrics()?) == 6.0).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    receiver.play(Script::default());
    let scrape = story.settled();
    assert_eq!(taken(&receiver, "e", 300).len(), 300);
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "siem")]), 300.0 + 20.0 * f64::from(more));
}

#[test]
fn a_dead_target_stops_nobody() {
    let dead = receiver("503*");
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: archive, format: jsonl}}]\n",
        hec("siem", &dead, ""),
        file("archive")
    ));
    story.accept("application/x-ndjson", &copybook("e", 100));
    story.when("the other lane settles", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "archive")]) == 100.0);
    assert_eq!(story.records("archive.ndjson").len(), 100);
    assert_eq!(story.lane("siem")["backlog"], 100);
    story.when("the gauge follows", |scrape| scrape.sum("bulkhead_lane_queue_depth", &[("instance", "siem")]) == 100.0);
    dead.play(Script::default());
    story.settled();
    assert_eq!(taken(&dead, "e", 100).len(), 100);
}

/// Nobody listens at first; the receiver comes up later on the same port.
#[test]
fn a_receiver_that_comes_up_late_gets_everything() {
    let addr = port::free().expect("a port");
    let receiver_at = |addr| Receiver::start(receiver::Options { bind: addr, keep: 100, ..receiver::Options::default() }, Script::default()).expect("starts");
    let first = receiver_at(addr);
    let story = siem(&first, "");
    drop(first);
    story.accept("application/x-ndjson", &copybook("e", 30));
    story.when("attempts fail", |scrape| scrape.sum("bulkhead_lane_retried_total", &[("instance", "siem")]) >= 30.0);
    let late = receiver_at(addr);
    story.settled();
    assert_eq!(taken(&late, "e", 30).len(), 30);
}

/// The retry schedule is data: it survives a crash, and the wait is not cut short by it.
#[test]
fn retries_survive_a_crash() {
    let receiver = receiver("429:retry-after=3");
    let story = siem(&receiver, "    retry: {initial: 1ms, max: 60s, jitter: none}\n");
    story.accept("application/x-ndjson", &copybook("e", 4));
    story.when("the attempt is noted", |scrape| scrape.sum("bulkhead_lane_retried_total", &[("instance", "siem")]) >= 4.0);
    // Lane logs are synced with the next group commit; another event makes one.
    story.accept("application/x-ndjson", &copybook("later", 1));
    story.when("the later event is through", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "siem")]) >= 1.0);
    let story = story.crash();
    story.settled();
    assert_eq!(taken(&receiver, "e", 4).len(), 4);
    let kept = receiver.kept();
    let (refused, accepted) = (
        kept.iter().find(|kept| kept.status == 429).expect("refused once"),
        kept.iter().find(|kept| kept.status == 200 && !ids(&kept.body, "e", 4).is_empty()).expect("taken"),
    );
    assert!(accepted.at - refused.at >= 2_900_000_000, "{} ms", (accepted.at - refused.at) / 1_000_000);
}

#[test]
fn batches_keep_to_their_bounds() {
    let receiver = receiver("");
    let story = siem(&receiver, "    batch: {max_events: 7, max_bytes: 1MiB}\n");
    story.accept("application/x-ndjson", &copybook("e", 100));
    story.settled();
    assert!(receiver.kept().iter().all(|kept| envelopes(kept).len() <= 7));
    assert_eq!(taken(&receiver, "e", 100).len(), 100);
}

/// A batch goes when it is full, or when its first event has waited as long as it may.
#[test]
fn a_linger_gathers_events() {
    let full = receiver("");
    // Longer than ten posts take on any disk.
    let story = siem(&full, "    batch: {max_events: 10, max_age: 50s}\n    concurrency: 1\n");
    for i in 0..10 {
        story.accept("application/json", &format!("{{\"id\":\"e-{i}\"}}"));
    }
    story.settled();
    assert_eq!(full.kept().len(), 1, "ten single posts, one delivery");
    let alone = receiver("");
    let story = siem(&alone, "    batch: {max_events: 10, max_age: 400ms}\n");
    let begun = std::time::Instant::now();
    story.accept("application/json", r#"{"id":"e-0"}"#);
    wait::until("it goes", PATIENCE, || Ok((!alone.kept().is_empty()).then_some(()))).expect("goes");
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[test]
fn strict_order_is_kept_through_faults() {
    let receiver = receiver("503;ok;reset;500;ok;503");
    let story = siem(&receiver, "    ordering: strict\n    batch: {max_events: 5}\n");
    for i in 0..40 {
        story.accept("application/json", &format!("{{\"id\":\"e-{i}\"}}"));
    }
    story.settled();
    let order: Vec<usize> = receiver
        .kept()
        .iter()
        .filter(|kept| kept.status == 200)
        .flat_map(|kept| envelopes(kept).into_iter().filter_map(|envelope| (0..40).rev().find(|i| envelope.to_string().contains(&format!("e-{i}")))))
        .collect();
    assert_eq!(order, (0..40).collect::<Vec<_>>());
}

#[test]
fn a_webhook_is_signed_by_the_host() {
    let receiver = receiver("");
    let config = format!(
        "instances:\n  hook:\n    connector: webhook\n    destinations: {{primary: {{url: \"{}/hooks/a\", methods: [POST], credential: sign}}}}\ncredentials:\n  sign: {{type: hmac, scheme: datavault, secret: shared-secret}}\ndefault_route: [{{instance: hook, format: json}}]\n",
        receiver.url()
    );
    let story = Story::start(&config);
    story.accept("application/json", r#"{"id":"w1","message":"x"}"#);
    story.settled();
    let kept = receiver.kept();
    assert_eq!((kept.len(), kept[0].head.path.as_str()), (1, "/hooks/a"));
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(b"shared-secret").expect("any length");
    hmac::Mac::update(&mut mac, &kept[0].body);
    let want: String = hmac::Mac::finalize(mac).into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(kept[0].head.headers.get("x-webhook-signature"), Some(format!("sha256={want}").as_str()));
    assert!(!story.host.log().contains("shared-secret"));
}

/// Standard Webhooks 1.0: the signature is over id, timestamp and body; a retry keeps the id.
#[test]
fn a_webhook_carries_the_standard_signature() {
    use base64::Engine as _;
    let receiver = receiver("503");
    let key = b"0123456789abcdef0123456789abcdef";
    let secret = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(key));
    let config = format!(
        "instances:\n  hook:\n    connector: webhook\n    destinations: {{primary: {{url: \"{}\", methods: [POST], credential: sign}}}}\n    retry: {{initial: 10ms, max: 20ms}}\ncredentials:\n  sign: {{type: hmac, scheme: standard-webhooks, secret: \"{secret}\"}}\ndefault_route: [{{instance: hook, format: json}}]\n",
        receiver.url()
    );
    let story = Story::start(&config);
    story.accept("application/json", r#"{"id":"w1","message":"x"}"#);
    story.settled();
    let kept = receiver.kept();
    assert_eq!(kept.len(), 2);
    let field = |kept: &Kept, name: &str| kept.head.headers.get(name).expect(name).to_owned();
    assert_eq!(field(&kept[0], "webhook-id"), field(&kept[1], "webhook-id"));
    for kept in &kept {
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(key).expect("any length");
        hmac::Mac::update(&mut mac, format!("{}.{}.", field(kept, "webhook-id"), field(kept, "webhook-timestamp")).as_bytes());
        hmac::Mac::update(&mut mac, &kept.body);
        let want = format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(hmac::Mac::finalize(mac).into_bytes()));
        assert_eq!(field(kept, "webhook-signature"), want);
    }
}

#[test]
fn webhook_statuses_follow_the_table() {
    for (status, again, dead) in [(408, true, false), (429, true, false), (502, true, false), (422, false, true), (403, false, false), (404, false, false)] {
        let receiver = receiver(&format!("{status}"));
        let story = Story::start(&format!("instances:\n{}default_route: [{{instance: hook, format: json}}]\n", webhook("hook", &receiver, "")));
        story.accept("application/json", r#"{"id":"e-0"}"#);
        if again {
            story.settled();
            assert_eq!(taken(&receiver, "e", 1).len(), 1, "{status}");
        }
        if dead {
            wait::until("a dead letter", PATIENCE, || Ok((!dead_letters(&story).is_empty()).then_some(())))
                .unwrap_or_else(|error| panic!("{status}: {error:#}"));
        }
        if !again && !dead {
            // People must act: the event waits and is not dead.
            wait::until("the instance is held", PATIENCE, || Ok((!story.lane("hook")["held"].is_null()).then_some(())))
                .unwrap_or_else(|error| panic!("{status}: {error:#}"));
            assert!(dead_letters(&story).is_empty(), "{status}");
        }
    }
}

#[test]
fn files_rotate_and_keep_every_line() {
    let story = Story::start(
        "instances:\n  archive:\n    connector: file\n    config: {path: audit.ndjson, rotate: {max_bytes: 64KiB, keep: 50}}\n    files: {primary: {dir: ./out, access: write}}\n    batch: {max_bytes: 16KiB}\ndefault_route: [{instance: archive, format: jsonl}]\n",
    );
    for i in 0..10 {
        story.accept("application/x-ndjson", &copybook(&format!("e{i}"), 100));
    }
    story.settled();
    let mut files: Vec<_> = std::fs::read_dir(story.path("out")).expect("reads").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    let mut seen = BTreeSet::new();
    for path in &files {
        let text = std::fs::read_to_string(path).expect("reads");
        assert!(text.len() <= 64 * 1024, "{} has {} bytes", path.display(), text.len());
        for line in text.lines() {
            let record: Value = serde_json::from_str(line).expect("a whole line");
            assert!(seen.insert(record["id"].as_str().expect("an id").to_owned()), "{} twice", record["id"]);
        }
    }
    assert_eq!(seen.len(), 1000);
}
