//! What lanes owe each other: order within, nothing between, and memory that does not follow the backlog.

use bulkhead_tests::receiver::{self, Receiver, Script};
use bulkhead_tests::wait;

use crate::story::{self, PATIENCE, Story, envelopes, file, hec};

/// Each key in order through faults, whatever comes between; keys do not wait for each other.
#[test]
fn by_key_each_key_is_in_order_through_faults() {
    const EACH: usize = 20;
    let target = story::receiver("ok;503;ok;reset;ok;500;503;ok;503");
    let story = Story::start(&format!(
        "instances:\n{}default_route: [{{instance: siem, format: json}}]\n",
        hec("siem", &target, "    ordering: key\n    concurrency: 4\n    batch: {max_events: 3}\n")
    ));
    for n in 0..EACH {
        let events: Vec<String> = ["ann", "ben", "cid", "dan"].iter().map(|key| cloud_event(key, n)).collect();
        story.accept("application/cloudevents-batch+json", &format!("[{}]", events.join(",")));
    }
    story.settled();
    let mut delivered: Vec<_> = target.kept().into_iter().filter(|kept| kept.status == 200).collect();
    delivered.sort_by_key(|kept| kept.at);
    let texts: Vec<String> = delivered.iter().flat_map(envelopes).map(|envelope| envelope.to_string()).collect();
    assert_eq!(texts.len(), 4 * EACH, "each once");
    for key in ["ann", "ben", "cid", "dan"] {
        let order: Vec<usize> = texts.iter().filter_map(|text| (0..EACH).find(|n| text.contains(&format!("<{key}/{n}>")))).collect();
        assert_eq!(order, (0..EACH).collect::<Vec<_>>(), "{key}");
    }
}

fn cloud_event(key: &str, n: usize) -> String {
    format!(r#"{{"specversion":"1.0","id":"{key}-{n}","source":"/s","type":"t","subject":"{key}","data":{{"mark":"<{key}/{n}>"}}}}"#)
}

#[test]
fn a_slow_target_stops_nobody() {
    // Far longer than the neighbour takes, on any disk.
    let slow = story::receiver("delay=5s*");
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: archive, format: jsonl}}]\n",
        hec("siem", &slow, "    concurrency: 1\n    batch: {max_events: 10}\n"),
        file("archive")
    ));
    for i in 0..20 {
        story.accept("application/json", &format!("{{\"id\":\"e-{i}\"}}"));
    }
    story.when("the neighbour is through", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "archive")]) == 20.0);
    assert!(story.lane("siem")["backlog"].as_u64() > Some(0), "{}", story.lane("siem"));
    slow.play(Script::default());
    story.settled();
}

/// 200 MB wait for a receiver that is down; the host is about as large as with a tenth of them.
#[test]
fn memory_does_not_follow_the_backlog() {
    const STEP: usize = 5_000;
    const REQUEST: usize = 1_000;
    let options = receiver::Options { keep: 16, strict: true, ..receiver::Options::default() };
    let down = Receiver::start(options, Script::parse("503*").expect("a script")).expect("starts");
    let story = Story::start(&format!(
        "instances:\n{}default_route: [{{instance: siem, format: cef}}]\n",
        hec("siem", &down, "    retry: {initial: 50ms, max: 1s, jitter: none}\n")
    ));
    let words = "x".repeat(4_000);
    let fill = |step: usize| {
        for i in 0..STEP / REQUEST {
            let from = step * STEP + i * REQUEST;
            let events: Vec<String> = (from..from + REQUEST).map(|n| format!(r#"{{"id":"m-{n}","message":"{words}"}}"#)).collect();
            story.accept("application/x-ndjson", &events.join("\n"));
        }
    };
    fill(0);
    wait::until("it was tried", PATIENCE, || Ok((!down.kept().is_empty()).then_some(()))).expect("tried");
    let early = story.host.memory().expect("memory").now;
    (1..10).for_each(fill);
    assert!(story.lane("siem")["backlog"].as_u64() >= Some(10 * STEP as u64), "{}", story.lane("siem"));
    let late = story.host.memory().expect("memory").now;
    assert!(late < early + (80 << 20), "{} MiB with a tenth, {} MiB with all", early >> 20, late >> 20);
    down.play(Script::default());
    story.settled();
    assert_eq!(story.host.metrics().expect("metrics").sum("bulkhead_lane_delivered_total", &[]), 10.0 * STEP as f64);
}
