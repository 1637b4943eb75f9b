//! The wall clock jumps, both ways, by days, while the host runs: retries, breakers and rates go by the
//! monotonic clock, and the age of what waits is read on the clock as it stands, so nothing fires early,
//! stalls or is given up.

use std::time::Duration;

use bulkhead_tests::host::Host;
use bulkhead_tests::wait;
use bulkhead_tests::wall_clock::WallClock;

use crate::story::{PATIENCE, Story, copybook, hec, receiver, spec};

const DAYS: i64 = 3 * 24 * 3600;

fn story(clock_dir: &tempfile::TempDir, config: &str) -> (Story, WallClock) {
    let clock = WallClock::new(clock_dir.path()).expect("a clock");
    let dir = tempfile::TempDir::new().expect("a folder");
    let mut spec = spec(dir.path(), r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#, config);
    spec.env = clock.env();
    let host = Host::start(spec).expect("starts");
    (Story { dir, host }, clock)
}

/// The day that the host writes into its log last.
fn day(story: &Story) -> String {
    let log = story.host.log();
    let line: serde_json::Value = serde_json::from_str(log.lines().last().expect("a line of the log")).expect("JSON");
    line["timestamp"].as_str().expect("a time")[..10].to_owned()
}

#[test]
fn days_forward_and_back_neither_give_up_nor_hold_back_a_retry() {
    for jump in [DAYS, -DAYS] {
        let receiver = receiver("503x3");
        let folder = tempfile::TempDir::new().expect("a folder");
        // A budget of a day, and a day that events may wait (`backlog.max_age`, the default): by the wall
        // clock both would be gone, or never come.
        let more = "    retry: {initial: 300ms, max: 300ms, jitter: none, max_elapsed: 24h}\n    circuit_breaker: {failure_threshold: 2, open_for: 500ms, half_open_calls: 1}\n";
        let (story, clock) = story(&folder, &format!("instances:\n{}default_route: [{{instance: siem, format: json}}]\n", hec("siem", &receiver, more)));
        let before = day(&story);
        story.accept("application/x-ndjson", &copybook("before", 5));
        wait::until("the first attempt", PATIENCE, || Ok((receiver.kept().len() == 1).then_some(()))).expect("attempted");
        clock.set(jump).expect("set");
        story.accept("application/x-ndjson", &copybook("after", 5));
        let scrape = story.host.settled(PATIENCE).unwrap_or_else(|error| panic!("jump {jump}: {error:#}"));
        assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "siem")]), 10.0, "jump {jump}");
        assert_eq!(scrape.sum("bulkhead_dead_letters", &[]), 0.0, "jump {jump}");
        // The clock really was another one: a line of the log says so.
        story.host.signal(rustix::process::Signal::HUP).expect("sent");
        wait::until("the log shows the jump", PATIENCE, || Ok((day(&story) != before).then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    }
}

/// Retries that wait over a restart: the log of a lane holds wall times, so what it says is bounded.
#[test]
fn a_retry_that_waits_over_a_restart_is_not_stalled_by_a_clock_set_back() {
    let receiver = receiver("503x2");
    let folder = tempfile::TempDir::new().expect("a folder");
    let more = "    retry: {initial: 2s, max: 2s, jitter: none}\n";
    let (mut story, clock) = story(&folder, &format!("instances:\n{}default_route: [{{instance: siem, format: json}}]\n", hec("siem", &receiver, more)));
    story.accept("application/x-ndjson", &copybook("e", 5));
    wait::until("the first attempt", PATIENCE, || Ok((story.lane("siem")["retrying"].as_u64() == Some(5)).then_some(()))).expect("attempted");
    clock.set(-DAYS).expect("set");
    story = story.crash();
    let scrape = story.host.settled(PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!((scrape.sum("bulkhead_lane_delivered_total", &[]), scrape.sum("bulkhead_dead_letters", &[])), (5.0, 0.0));
}

/// A rate of 20 a second: a jump neither opens the gate nor shuts it.
#[test]
fn rates_do_not_hear_of_jumps() {
    let receiver = receiver("");
    let folder = tempfile::TempDir::new().expect("a folder");
    let more = "    rate_limit: {events_per_second: 20, burst: 5}\n    batch: {max_events: 5}\n";
    let (story, clock) = story(&folder, &format!("instances:\n{}default_route: [{{instance: siem, format: json}}]\n", hec("siem", &receiver, more)));
    let start = std::time::Instant::now();
    story.accept("application/x-ndjson", &copybook("e", 40));
    for (arrived, jump) in [(5, DAYS), (15, -DAYS), (25, 0)] {
        wait::until("some arrive", PATIENCE, || Ok((receiver.stats(|stats| stats.answers.get(&200).copied().unwrap_or(0)) * 5 >= arrived).then_some(())))
            .expect("arrives");
        clock.set(jump).expect("set");
    }
    story.host.settled(PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));
    // 40 events, 5 of them at once: 35 at 20 a second, whatever the wall clock said.
    assert!(start.elapsed() >= Duration::from_millis(1700), "{:?}", start.elapsed());
}
