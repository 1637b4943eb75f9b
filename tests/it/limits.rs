//! Limits as an operator meets them: in `/metrics`, in the log, in what waits.

use std::time::Duration;

use bulkhead_tests::receiver::{self, Receiver, Script};
use bulkhead_tests::wait;

use crate::story::{PATIENCE, Story, copybook, hec, ids, receiver, webhook};

const LIMIT_REACHED: &str = "bulkhead_guest_limit_reached_total";
const WOULD_REFUSE: &str = "bulkhead_guest_limit_would_refuse_total";
const TO_SIEM: &str = "default_route: [{instance: siem, format: cef}]\n";

#[test]
fn a_limit_is_tried_before_it_holds() {
    let receiver = receiver("");
    let limits = "    limits: {http_request: 100B, bytes_out: 1KiB, fuel: 1M, count_only: [http_request, bytes_out, fuel]}\n";
    let story = Story::start(&format!("instances:\n{}{TO_SIEM}", hec("siem", &receiver, limits)));
    story.accept("application/x-ndjson", &copybook("e", 50));
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "siem")]), 50.0, "nothing is refused");
    for limit in ["http_request", "bytes_out"] {
        let labels = [("instance", "siem"), ("component", "splunk-hec"), ("limit", limit)];
        assert!(scrape.sum(WOULD_REFUSE, &labels) >= 1.0, "{limit}");
        assert!(story.host.log().contains(&format!("\"limit\":\"{limit}\"")), "{limit} is in the log");
    }
    assert!(story.host.log().contains("would have been refused; the limit is in count_only"));
    assert_eq!(scrape.sum(LIMIT_REACHED, &[]), 0.0);
}

#[test]
fn beyond_its_window_of_bytes_an_instance_waits_and_loses_nothing() {
    let receiver = receiver("");
    let story = Story::start(&format!("instances:\n{}{TO_SIEM}", hec("siem", &receiver, "    limits: {bytes_out: 64KiB}\n")));
    story.accept("application/x-ndjson", &copybook("a", 20));
    story.settled();
    // More than the rest of the window, in any cut.
    story.accept("application/x-ndjson", &copybook("b", 400));
    let labels = [("instance", "siem"), ("component", "splunk-hec"), ("limit", "bytes_out")];
    // Counted within the call; the lane hears of it when the call is over.
    let lane = wait::until("the window is full", PATIENCE, || Ok(Some(story.lane("siem")).filter(|lane| !lane["last_error"].is_null())))
        .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    let scrape = story.host.metrics().expect("metrics");
    assert!(scrape.sum(LIMIT_REACHED, &labels) >= 1.0);
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0, "they wait");
    let error = lane["last_error"]["text"].as_str().unwrap_or_default();
    assert!(error.contains("destination `primary`: bytes_out of 64 KiB reached: "), "{lane}");
    assert!(error.contains("raise `limits.bytes_out` to allow more; the window ends in "), "{lane}");
    assert!(receiver.kept().iter().flat_map(|kept| ids(&kept.body, "a", 20)).count() == 20);
    let sent: usize = receiver.kept().iter().map(|kept| kept.body.len()).sum();
    assert!(sent <= 64 << 10, "{sent} bytes within one window");
}

/// Requests wait for a place of all, whatever their own limits allow.
#[test]
fn requests_of_all_instances_together_are_bounded() {
    let slow = || {
        let options = receiver::Options { keep: 1_000, strict: true, ..receiver::Options::default() };
        Receiver::start(options, Script::parse("delay=40msx1000").expect("script")).expect("starts")
    };
    let (one, other) = (slow(), slow());
    let more = "    concurrency: 4\n    batch: {max_events: 2}\n";
    let config = format!(
        "delivery: {{max_egress: 1}}\ninstances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: hook, format: json}}]\n",
        hec("siem", &one, more),
        webhook("hook", &other, more)
    );
    let story = Story::start(&config);
    story.accept("application/x-ndjson", &copybook("e", 16));
    story.settled();
    let mut times: Vec<u64> = one.kept().iter().chain(&other.kept()).map(|kept| kept.at).collect();
    times.sort_unstable();
    assert!(times.len() >= 16, "{} requests", times.len());
    // Each is noted after its 40 ms: two at the same time would be noted closer together.
    let closest = times.windows(2).map(|pair| Duration::from_nanos(pair[1] - pair[0])).min().expect("several");
    assert!(closest >= Duration::from_millis(39), "{closest:?} between two");
    assert!(story.host.log().contains("\"max_egress\":1"), "the number is in the log");
}

#[test]
fn a_limit_beyond_its_ceiling_or_unknown_is_refused_with_its_place() {
    let config = "instances:\n  siem:\n    connector: splunk-hec\n    limits: {bytes_out: 2000GiB, count_only: [handles]}\n";
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("bulkhead.yaml");
    std::fs::write(&path, config).expect("written");
    let output = std::process::Command::new(crate::story::binary()).args(["validate", "--config"]).arg(&path).output().expect("runs");
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for want in ["instances.siem.limits.bytes_out", "1TiB", "`limits.handles` cannot be counted only, it is always enforced"] {
        assert!(text.contains(want), "{want}: {text}");
    }
}
