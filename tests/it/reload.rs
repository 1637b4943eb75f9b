//! SIGHUP: a new configuration in two phases, or the old one stays.

use bulkhead_tests::wait;
use rustix::process::Signal;

use crate::story::{PATIENCE, Story, copybook, file, hec, receiver};

fn write(story: &Story, config: &str) {
    let text = std::fs::read_to_string(&story.host.spec.config).expect("a configuration");
    let head = text.lines().take(2).collect::<Vec<_>>().join("\n");
    std::fs::write(&story.host.spec.config, format!("{head}\n{config}")).expect("written");
    story.host.signal(Signal::HUP).expect("signalled");
}

#[track_caller]
fn logged(story: &Story, text: &str) {
    wait::until(text, PATIENCE, || Ok(story.host.log().contains(text).then_some(()))).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
}

#[test]
fn an_instance_comes_another_is_not_touched_and_one_goes() {
    let one = format!("instances:\n{}default_route: [{{instance: one, format: jsonl}}]\n", file("one"));
    let story = Story::start(&one);
    story.accept("application/x-ndjson", &copybook("before", 5));
    story.settled();

    let both = format!("instances:\n{}{}default_route: [{{instance: one, format: jsonl}}, {{instance: two, format: jsonl}}]\n", file("one"), file("two"));
    write(&story, &both);
    logged(&story, "configuration reloaded");
    assert!(story.host.log().contains(r#""unchanged":1"#), "{}", story.host.log());
    story.accept("application/x-ndjson", &copybook("both", 5));
    story.settled();
    assert_eq!((story.lines("one.ndjson").len(), story.lines("two.ndjson").len()), (10, 5), "a new lane starts at now");

    write(&story, &format!("instances:\n{}default_route: [{{instance: two, format: jsonl}}]\n", file("two")));
    logged(&story, r#""removed":"one""#);
    story.accept("application/x-ndjson", &copybook("after", 5));
    story.settled();
    assert_eq!((story.lines("one.ndjson").len(), story.lines("two.ndjson").len()), (10, 10));
}

#[test]
fn a_faulty_configuration_changes_nothing() {
    let one = format!("instances:\n{}default_route: [{{instance: one, format: jsonl}}]\n", file("one"));
    let story = Story::start(&one);
    write(&story, "instances:\n  one: {connector: no-such-thing}\ndefault_route: [{instance: one, format: jsonl}]\n");
    logged(&story, "the old configuration stays in force");
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    assert_eq!(story.lines("one.ndjson").len(), 3);
}

#[test]
fn an_instance_does_not_change_hands_while_it_runs() {
    let route = "default_route: [{instance: one, format: jsonl}]\n";
    let story = Story::start(&format!("instances:\n{}{route}", file("one")));
    let of = |tenant: &str| format!("instances:\n{}    tenant: {tenant}\n{route}", file("one"));
    write(&story, &of("acme"));
    logged(&story, "the instance `one` is somebody else's (`tenant`), and runs");
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    assert_eq!(story.lines("one.ndjson").len(), 3);
    // At a start nothing runs yet.
    let story = story.crash();
    let owners = story.host.get("/api/integration/instances/one").expect("answers").json().expect("JSON");
    assert_eq!(owners["data"]["definition"]["tenant"], "acme", "{owners}");
}

#[test]
fn a_changed_instance_goes_on_where_it_was() {
    let down = receiver("503*");
    let up = receiver("");
    let config = |target| format!("drain: 300ms\ninstances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", target, ""));
    let story = Story::start(&config(&down));
    story.accept("application/x-ndjson", &copybook("e", 20));
    story.when("it was tried", |scrape| scrape.sum("bulkhead_lane_retried_total", &[("instance", "siem")]) > 0.0);
    write(&story, &config(&up));
    logged(&story, r#""changed":"siem""#);
    story.settled();
    let taken: usize = up.kept().iter().map(|kept| crate::story::envelopes(kept).len()).sum();
    assert_eq!(taken, 20, "{}", story.host.log());
}

/// A lane that has nothing to deliver goes, although events for others keep coming: it looks at them now and
/// then only, and is never quite at the end.
#[test]
fn an_idle_lane_goes_under_traffic() {
    let rest = "default_route: [{instance: one, format: jsonl}]\n";
    let rare = "routes: [{id: rare, when: {event_type: rare.kind}, to: [{instance: rare, format: jsonl}], exclusive: true}]\n";
    let story = Story::start(&format!("instances:\n{}{}{rare}{rest}", file("one"), file("rare")));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                story.accept("application/x-ndjson", &copybook("t", 2));
            }
        });
        write(&story, &format!("instances:\n{}{rest}", file("one")));
        let told = wait::until("the lane goes", PATIENCE, || {
            let log = story.host.log();
            Ok((log.contains(r#""removed":"rare""#) || log.contains("lane `rare/jsonl` has")).then_some(log))
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let log = told.expect("the reload ends");
        assert!(log.contains(r#""removed":"rare""#) && !log.contains("keeps its events"), "{log}");
    });
}

#[test]
fn a_lane_with_a_backlog_is_not_taken_away() {
    let down = receiver("503*");
    let both =
        format!("instances:\n{}{}default_route: [{{instance: one, format: jsonl}}, {{instance: siem, format: cef}}]\n", file("one"), hec("siem", &down, ""));
    let story = Story::start(&both);
    story.accept("application/x-ndjson", &copybook("e", 4));
    story.when("the file has them", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "one")]) == 4.0);
    write(&story, &format!("instances:\n{}default_route: [{{instance: one, format: jsonl}}]\n", file("one")));
    logged(&story, "lane `siem/cef` has 4 events");
    down.play(bulkhead_tests::receiver::Script::default());
    story.settled();
}

/// What only a restart changes is said, secrets too, and said again until there was one.
#[test]
fn a_changed_token_waits_for_a_restart_and_that_is_said() {
    let config = format!("instances:\n{}default_route: [{{instance: one, format: jsonl}}]\n", file("one"));
    let listen = |token: &str| format!(r#"{{api: "127.0.0.1:0", http: {{addr: "127.0.0.1:0", tokens: ["{token}"]}}}}"#);
    let story = Story::listening(&listen("first-token-1"), &config);
    let path = &story.host.spec.config;
    let text = std::fs::read_to_string(path).expect("a configuration");
    std::fs::write(path, text.replace("first-token-1", "second-token-2")).expect("written");
    for times in 1..=2 {
        story.host.signal(Signal::HUP).expect("signalled");
        let said = || story.host.log().matches("wait for a restart").count();
        wait::until("it is said", PATIENCE, || Ok((said() == times).then_some(()))).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    }
    assert!(story.host.log().contains(r#"[\"listen\"]"#), "{}", story.host.log());
    assert!(!story.host.log().contains("-token-"), "{}", story.host.log());
}
