//! H70 to H72, H74, H75, H77: versions that ask for more, break, are revoked; policies that narrow; a cache
//! that was tampered with.

use std::fs;
use std::time::{Duration, Instant};

use bulkhead_tests::http::Client;
use bulkhead_tests::receiver::Receiver;
use bulkhead_tests::wait;
use rustix::process::Signal;
use serde_json::json;

use super::made::{ACCEPT, Made, built_in, digest, edited, versioned};
use super::{CONNECTORS, act, held, logged, refused, shown, taken};
use crate::toolkit::story::{PATIENCE, Story, copybook, file, ids, receiver, webhook};

const TRAP: &str = "unreachable";

/// An instance `hook` of the webhook connector, and an archive beside it as its neighbour.
fn hook(target: &Receiver) -> Story {
    Story::start(&hooked(target))
}

fn hooked(target: &Receiver) -> String {
    format!(
        "instances:\n{}{}default_route: [{{instance: hook, format: jsonl}}, {{instance: archive, format: jsonl}}]\n",
        webhook("hook", target, "    concurrency: 1\n"),
        file("archive")
    )
}

/// How often each of `n` events with this prefix arrived.
fn arrivals(target: &Receiver, prefix: &str, n: usize) -> Vec<usize> {
    let kept = target.kept();
    let good: Vec<Vec<usize>> = kept.iter().filter(|kept| kept.status == 200).map(|kept| ids(&kept.body, prefix, n)).collect();
    (0..n).map(|id| good.iter().filter(|ids| ids.contains(&id)).count()).collect()
}

#[test]
fn h70_an_upgrade_that_asks_for_more_waits_for_an_approval_of_its_digest() {
    let target = receiver("");
    let story = hook(&target);
    let wider = edited(&versioned("webhook", "2.0.0"), |manifest| {
        let wish = json!({"interface": "http", "name": "elsewhere", "methods": ["DELETE"], "paths": ["/"], "reason": "more"});
        manifest["wants"].as_array_mut().expect("a list").push(wish);
    });
    let version = taken(&story, "", &wider);
    let asks = json!(["http elsewhere", "http elsewhere: method DELETE", "http elsewhere: path /"]);
    assert_eq!((version["state"].as_str(), &version["waits_for"], &version["instances_swapped"]), (Some("awaiting_approval"), &asks, &json!([])));
    // The old one runs on.
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    assert_eq!(arrivals(&target, "e", 3), [1; 3]);
    assert_eq!(shown(&story, "webhook")["origin"], "built-in");
    // Not by name, not under another digest.
    let right = digest(&wider);
    let other = digest(&versioned("webhook", "2.0.1"));
    let (status, problem) = act(&story, "webhook", &other, "approve");
    assert_eq!((status, problem["detail"].as_str()), (404, Some(format!("`webhook` has no version {other}").as_str())));
    assert_eq!(act(&story, "webhook", "latest", "approve").0, 400);
    let (status, problem) = act(&story, "webhook", &right, "activate");
    assert_eq!((status, problem["code"].as_str()), (409, Some("not_approved")));
    // What was approved is swapped for something else on disk: its digest says so.
    let path = story.path("data/registry").join(format!("{}.wasm", right.replace(':', "-")));
    let good = fs::read(&path).expect("there");
    fs::write(&path, Made { name: "webhook", version: "2.0.0", deliver: TRAP, ..Made::default() }.build()).expect("written");
    let (status, problem) = act(&story, "webhook", &right, "approve");
    assert_eq!((status, problem["code"].as_str()), (409, Some("instances_refuse")), "{problem}");
    let said = problem["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(said.contains("was changed on disk: its digest is not") && said.contains(&right) && said.contains("upload the component again"), "{problem}");
    assert_eq!(shown(&story, "webhook")["origin"], "built-in");
    fs::write(&path, good).expect("written");
    let (status, answer) = act(&story, "webhook", &right, "approve");
    assert_eq!((status, answer["data"]["state"].as_str(), answer["data"]["instances_swapped"][0].as_str()), (200, Some("active"), Some("hook")), "{answer}");
    // What was approved once is not asked for again.
    let next = edited(&wider, |manifest| manifest["version"] = "2.1.0".into());
    assert_eq!(taken(&story, "", &next)["state"], "active");
    story.accept("application/x-ndjson", &copybook("f", 3));
    story.settled();
    assert_eq!(arrivals(&target, "f", 3), [1; 3]);
}

/// An activation that an instance cannot run with is refused as a whole.
#[test]
fn h70_a_version_that_refuses_the_configuration_is_not_activated() {
    let target = receiver("");
    let story = hook(&target);
    let broken = Made { name: "webhook", version: "3.0.0", configure: TRAP, ..Made::default() }.build();
    let answer = super::upload(&story, "", &broken);
    let problem = answer.json().expect("JSON");
    assert_eq!((answer.status, problem["code"].as_str()), (409, Some("instances_refuse")), "{problem}");
    assert!(problem["errors"][0]["message"].as_str().unwrap_or_default().contains("the guest trapped"), "{problem}");
    let shown = shown(&story, "webhook");
    assert_eq!((shown["origin"].as_str(), shown["versions"][0]["state"].as_str()), (Some("built-in"), Some("approved")), "{shown}");
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    assert_eq!(arrivals(&target, "e", 3), [1; 3]);
}

#[test]
fn h71_a_version_that_traps_at_once_is_taken_back_and_loses_nothing() {
    let target = receiver("");
    let story = Story::start(&format!(
        "own_events: {{enabled: true}}\ninstances:\n{}{}{}routes:\n  - {{id: news, when: {{source: bulkhead}}, to: [{{instance: news, format: cloudevents}}]}}\n\
         default_route: [{{instance: hook, format: jsonl}}, {{instance: archive, format: jsonl}}]\n",
        webhook("hook", &target, "    concurrency: 1\n"),
        file("archive"),
        file("news"),
    ));
    taken(&story, "", &versioned("webhook", "1.0.0"));
    story.accept("application/x-ndjson", &copybook("first", 3));
    story.settled();
    let bad = Made { name: "webhook", version: "2.0.0", deliver: TRAP, ..Made::default() }.build();
    assert_eq!(taken(&story, "", &bad)["instances_swapped"][0], "hook");
    let start = Instant::now();
    story.accept("application/x-ndjson", &copybook("e", 20));
    logged(&story, "component rolled back: it broke on its first events");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let scrape = story.settled();
    assert_eq!(arrivals(&target, "e", 20), [1; 20], "{}", story.host.log());
    assert_eq!(scrape.sum("bulkhead_component_rollbacks_total", &[("component", "webhook"), ("cause", "automatic")]), 1.0);
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "hook")]), 0.0, "no event was given up");
    let shown = shown(&story, "webhook");
    assert_eq!((shown["version"].as_str(), shown["state"].as_str()), (Some("1.0.0"), Some("active")));
    let failed = &shown["versions"][1];
    assert_eq!((failed["version"].as_str(), failed["state"].as_str()), (Some("2.0.0"), Some("retired")));
    let reason = failed["fault"]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("instance `hook`: connector: the guest trapped: wasm trap: wasm `unreachable` instruction executed"), "{reason}");
    let told = wait::until("an own event", PATIENCE, || {
        Ok(story.records("news.ndjson").into_iter().find(|record| record["type"] == "bulkhead.component.rolled_back"))
    });
    let told = told.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!((told["subject"].as_str(), told["severity"].as_str(), told["data"]["cause"].as_str()), (Some("webhook"), Some("high"), Some("automatic")));
    assert_eq!((told["data"]["from"].as_str(), &told["data"]["instances"]), (Some(digest(&bad).as_str()), &json!(["hook"])), "{told}");
    assert!(told["data"]["broke"]["instance"] == "hook" && reason.ends_with(told["data"]["broke"]["reason"].as_str().expect("a reason")), "{told}");
    // The neighbour saw nothing of it.
    assert_eq!(story.lines("archive.ndjson").len(), 23);
}

/// It serves some and breaks on others: each broken event goes to the dead letters, where it is seen, and
/// the fifth takes the version back.
#[test]
fn h71_a_version_that_breaks_on_many_events_is_taken_back() {
    const LOOKS_FOR_A_TILDE: &str = "(local $i i32) (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get 1)))
        (if (i32.eq (i32.load8_u (i32.add (local.get 0) (local.get $i))) (i32.const 126)) (then unreachable))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))";
    let target = receiver("");
    let story = hook(&target);
    let bad = Made { name: "webhook", version: "2.0.0", deliver: &format!("{LOOKS_FOR_A_TILDE} {ACCEPT}"), ..Made::default() }.build();
    assert_eq!(taken(&story, "", &bad)["state"], "active");
    let rejected = [("instance", "hook"), ("cause", "guest-fault")];
    for round in 1..=5_i32 {
        assert!(!story.host.log().contains("component rolled back"), "not before the fifth");
        let pair = copybook(&format!("good{round}"), 1) + &copybook(&format!("bad~{round}"), 1);
        story.accept("application/x-ndjson", &pair);
        story.when("it is judged", |scrape| scrape.sum("bulkhead_lane_rejected_total", &rejected) == f64::from(round));
    }
    logged(&story, "component rolled back: it broke on its first events");
    let shown = shown(&story, "webhook");
    assert_eq!((shown["origin"].as_str(), shown["versions"][0]["state"].as_str()), (Some("built-in"), Some("retired")));
    let reason = shown["versions"][0]["fault"]["reason"].as_str();
    assert_eq!(reason, Some("instance `hook`: events broke it one by one; see the dead letters"));
    // Handed to their lane again, they are delivered by the version that is back.
    let replay = Client::new(story.host.api).send("POST", "/api/integration/dead-letters/replay", &[("Content-Type", "application/json")], br#"{"all":true}"#);
    assert_eq!(replay.expect("answers").status, 202);
    story.when("they are delivered", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "hook")]) >= 10.0);
    assert_eq!((1..=5).flat_map(|round| arrivals(&target, &format!("bad~{round}"), 1)).collect::<Vec<_>>(), [1; 5]);
}

#[test]
fn h72_a_revoked_component_stops_at_its_next_call_and_is_not_loaded_again() {
    let target = receiver("");
    let story = hook(&target);
    let (old, new) = (versioned("webhook", "1.0.0"), versioned("webhook", "2.0.0"));
    taken(&story, "", &old);
    taken(&story, "", &new);
    let revoked = digest(&new);
    // Warm, with a connection in its pool.
    story.accept("application/x-ndjson", &copybook("warm", 2));
    story.settled();
    let (status, answer) = act(&story, "webhook", &revoked, "revoke?reason=leaks%20names");
    assert_eq!((status, answer["data"]["used_by"][0].as_str()), (200, Some("hook")), "{answer}");
    let seen = target.kept().len();
    story.accept("application/x-ndjson", &copybook("e", 5));
    let reason = format!("component `webhook` {revoked} was revoked by whoever is on this machine: leaks names; activate another version");
    let lane = held(&story, "hook", "revoked");
    assert_eq!(lane["last_error"]["text"].as_str(), Some(format!("connector: {reason}").as_str()));
    story.when("the neighbour has them", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "archive")]) == 7.0);
    assert_eq!((target.kept().len(), story.lane("hook")["backlog"].as_u64()), (seen, Some(5)), "its events wait");
    let refusal = format!("{revoked} was revoked (leaks names); it is not taken again");
    let (status, problem) = act(&story, "webhook", &revoked, "activate");
    assert_eq!((status, problem["detail"].as_str()), (409, Some(refusal.as_str())));
    refused(&story, "", &new, 409, &refusal);
    // A restart changes nothing, and starts the neighbour.
    let story = story.crash();
    story.accept("application/x-ndjson", &copybook("later", 1));
    assert_eq!(held(&story, "hook", "revoked")["backlog"].as_u64(), Some(6));
    story.when("the neighbour has it", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "archive")]) >= 1.0);
    assert_eq!(target.kept().len(), seen);
    // Going back lets them go.
    let answer = Client::new(story.host.api).send("POST", &format!("{CONNECTORS}/webhook/rollback"), &[], b"").expect("answers");
    let answer = answer.json().expect("JSON");
    assert_eq!(answer["data"]["active"].as_str(), Some(digest(&old).as_str()), "{answer}");
    story.settled();
    assert_eq!((arrivals(&target, "e", 5), arrivals(&target, "later", 1)), (vec![1; 5], vec![1]));
}

/// A revoked formatter holds its lanes; no event is blamed for it.
#[test]
fn h72_a_revoked_formatter_holds_its_lanes() {
    let target = receiver("");
    let story = hook(&target);
    story.accept("application/x-ndjson", &copybook("warm", 2));
    story.settled();
    let jsonl = digest(&built_in("format-jsonl"));
    assert_eq!(act(&story, "format-jsonl", &jsonl, "revoke").0, 200);
    story.accept("application/x-ndjson", &copybook("e", 4));
    let lane = held(&story, "hook", "revoked");
    assert!(lane["last_error"]["text"].as_str().unwrap_or_default().starts_with("formatter: component `format-jsonl` sha256:"), "{lane}");
    assert_eq!(story.host.metrics().expect("scrapes").sum("bulkhead_dead_letters", &[]), 0.0);
    assert_eq!(taken(&story, "", &versioned("format-jsonl", "2.0.0"))["state"], "active");
    story.settled();
    assert_eq!(arrivals(&target, "e", 4), [1; 4]);
}

#[test]
fn h74_a_narrower_policy_holds_for_warm_instances_and_pooled_connections_at_once() {
    let target = receiver("");
    let config = |more: &str| {
        let destination = format!("{{url: \"{}\", methods: [POST]{more}}}", target.url());
        format!(
            "instances:\n  hook:\n    connector: webhook\n    destinations: {{primary: {destination}}}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\ndefault_route: [{{instance: hook, format: jsonl}}]\n"
        )
    };
    let story = Story::start(&config(""));
    story.accept("application/x-ndjson", &copybook("wide", 10));
    story.settled();
    assert_eq!(arrivals(&target, "wide", 10), [1; 10]);
    let seen = target.kept().len();
    // The connection is open and idle; the new policy grants another path only.
    let text = format!("data_dir: ./data\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\n{}", config(", paths: [/elsewhere]"));
    fs::write(&story.host.spec.config, text).expect("written");
    story.host.signal(Signal::HUP).expect("sent");
    logged(&story, r#""changed":"hook""#);
    story.accept("application/x-ndjson", &copybook("narrow", 5));
    let lane = wait::until("it is refused", PATIENCE, || Ok(Some(story.lane("hook")).filter(|lane| lane["last_error"]["text"].is_string()))).expect("refused");
    let said = lane["last_error"]["text"].as_str().unwrap_or_default();
    assert!(said.contains("path") && said.contains("primary"), "{said}");
    story.when("it was tried", |scrape| scrape.sum("bulkhead_egress_requests_total", &[("instance", "hook"), ("result", "denied")]) > 0.0);
    assert_eq!(target.kept().len(), seen, "not one more request on the old connection");
}

/// A connector that breaks on everything, without a version before it: quarantine, longer and longer waits,
/// a probe by hand; its events wait, and the one that replaces it delivers them.
#[test]
fn h75_a_crash_loop_is_quarantined_and_resumed_by_hand() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let trapping = Made { name: "loop", version: "1.0.0", deliver: TRAP, ..Made::default() }.build();
    let first = taken(&story, "", &trapping);
    assert_eq!(first["state"], "active");
    let both = format!(
        "instances:\n{}  crash: {{connector: loop}}\ndefault_route: [{{instance: archive, format: jsonl}}, {{instance: crash, format: jsonl}}]\n",
        file("archive")
    );
    fs::write(&story.host.spec.config, format!("data_dir: ./data\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\n{both}")).expect("written");
    story.host.signal(Signal::HUP).expect("sent");
    logged(&story, r#""added":"crash""#);
    story.accept("application/x-ndjson", &copybook("e", 12));
    let lane = held(&story, "crash", "quarantine");
    assert!(
        lane["last_error"]["text"].as_str().unwrap_or_default().starts_with("connector: the guest trapped: wasm trap: wasm `unreachable` instruction executed"),
        "{lane}"
    );
    let calls = |story: &Story| story.host.metrics().expect("scrapes").sum("bulkhead_guest_calls_total", &[("instance", "crash"), ("call", "deliver")]);
    let quiet = calls(&story);
    assert!(quiet < 60.0, "{quiet} calls until the quarantine");
    story.when("the neighbour has all", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "archive")]) == 12.0);
    assert_eq!(calls(&story), quiet, "it is left alone until its probe");
    assert_eq!(story.lane("crash")["backlog"].as_u64(), Some(12), "no event was given up");
    // By hand: one probe at once, held again at once.
    assert_eq!(Client::new(story.host.api).send("POST", "/api/integration/instances/crash/resume", &[], b"").expect("answers").status, 200);
    story.when("the probe ran", |scrape| scrape.sum("bulkhead_guest_calls_total", &[("instance", "crash"), ("call", "deliver")]) > quiet);
    held(&story, "crash", "quarantine");
    let good = Made { name: "loop", version: "1.0.1", ..Made::default() }.build();
    assert_eq!(taken(&story, "", &good)["instances_swapped"][0], "crash");
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "crash")]), 12.0);
    assert_eq!(scrape.sum("bulkhead_dead_letters", &[]), 0.0);
}

#[test]
fn h77_a_tampered_cache_is_compiled_again() {
    let target = receiver("");
    // With a cache of its own: other stories' components are none of it.
    let mut story = Story::cold(&hooked(&target));
    let cached = |story: &Story| {
        let entries = fs::read_dir(story.path("data/cache")).expect("reads").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect();
        files.sort();
        files
    };
    // The connectors `webhook` and `file`, the formatter `jsonl`.
    assert_eq!(cached(&story).len(), 3);
    let mut runs = 0;
    let mut again = |mut story: Story, tamper: &dyn Fn(&[std::path::PathBuf]), warnings: usize, said: &str| {
        let before = story.host.log().matches(said).count();
        story.host.terminate(PATIENCE).expect("stops");
        tamper(&cached(&story));
        let story = story.crash();
        runs += 1;
        let prefix = format!("run{runs}");
        story.accept("application/x-ndjson", &copybook(&prefix, 2));
        story.settled();
        assert_eq!(arrivals(&target, &prefix, 2), [1; 2]);
        assert_eq!(story.host.log().matches(said).count() - before, warnings, "{said}\n{}", story.host.log());
        assert_eq!(cached(&story).len(), 3, "made anew");
        story
    };
    let not_ours = r#""problem":"its checksum is not ours""#;
    // Another program in its place, one changed bit, one component's code under another's name.
    story = again(story, &|files| fs::write(&files[0], b"\x7fELF another program").expect("written"), 1, r#""problem":"it does not begin as our files do""#);
    let flip = |files: &[std::path::PathBuf]| {
        let mut bytes = fs::read(&files[0]).expect("reads");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&files[0], bytes).expect("written");
    };
    story = again(story, &flip, 1, not_ours);
    let exchange = |files: &[std::path::PathBuf]| {
        let (one, two) = (fs::read(&files[0]).expect("reads"), fs::read(&files[1]).expect("reads"));
        fs::write(&files[0], two).and_then(|()| fs::write(&files[1], one)).expect("written");
    };
    story = again(story, &exchange, 2, not_ours);
    // A new key, as after a restore without it: nothing old is used.
    let key = story.path("data/cache.key");
    story = again(story, &|_| fs::write(&key, [7; 32]).expect("written"), 3, not_ours);
    // Another engine has other names: what it left is not even looked at.
    let rename = |files: &[std::path::PathBuf]| {
        for file in files {
            fs::rename(file, file.with_extension("old")).expect("renamed");
        }
    };
    story = again(story, &rename, 0, "is compiled again");
    drop(story);
}
