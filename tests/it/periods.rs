//! Figures of instances by the hour and the day, and the checks of health.

use bulkhead_tests::wait;
use serde_json::Value;

use crate::access::problem;
use crate::story::{PATIENCE, Story, copybook, file, hec, receiver};

#[test]
fn figures_say_how_an_instance_did() {
    let receiver = receiver("429:retry-after=1;503;ok");
    let story = Story::start(&format!(
        "audit: {{receipts: false}}\ninstances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: archive, format: jsonl}}]\n",
        hec("siem", &receiver, ""),
        file("archive")
    ));
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    let rows = |story: &Story, query: &str| -> Vec<Value> {
        let answer = story.host.get(&format!("/api/integration/metrics{query}")).expect("answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().expect("JSON")["data"].as_array().expect("a list").clone()
    };
    // An hour may end in between: sums over the rows say the same.
    let sum = |rows: &[Value], name: &str| rows.iter().map(|row| row[name].as_u64().unwrap_or_else(|| panic!("{name}: {row}"))).sum::<u64>();
    let found = wait::until("three calls", PATIENCE, || {
        Ok(Some(rows(&story, "/siem")).filter(|rows| sum(rows, "operations") >= 3 && !rows[0]["availability"].is_null()))
    });
    let hours = found.expect("counted");
    assert_eq!((sum(&hours, "operations"), sum(&hours, "failed_operations"), sum(&hours, "throttling_events")), (3, 2, 1), "{hours:#?}");
    assert_eq!(sum(&hours, "api_calls"), 3, "{hours:#?}");
    assert!(sum(&hours, "bytes_sent") > 100 && sum(&hours, "bytes") >= sum(&hours, "bytes_sent"), "{hours:#?}");
    let row = &hours[0];
    assert_eq!((row["instance"].as_str(), row["period"].as_str()), (Some("siem"), Some("hour")));
    assert!(row["average_response_ms"].as_f64().is_some_and(|ms| ms > 0.0) && row["error_rate"].as_f64().is_some(), "{row}");
    assert!(row["availability"].as_f64().is_some_and(|share| (0.0..=100.0).contains(&share)), "{row}");
    assert!(row["start"].as_str().is_some_and(|start| start.ends_with(":00:00Z")), "{row}");
    let days = rows(&story, "/siem?period=day");
    assert_eq!((sum(&days, "operations"), days[0]["period"].as_str()), (3, Some("day")), "{days:#?}");
    let all = rows(&story, "?instance=archive");
    assert!(!all.is_empty() && all.iter().all(|row| row["instance"] == "archive"), "{all:#?}");
    assert!(rows(&story, "?since=2100-01-01T00:00:00Z").is_empty());
    for (query, status, code) in
        [("?period=week", 400, "bad_field"), ("?since=%27--", 400, "bad_time"), ("?limit=1001", 400, "bad_limit"), ("/nobody", 404, "not_found")]
    {
        problem(&story.host.get(&format!("/api/integration/metrics{query}")).expect("answers"), status, code);
    }
    // They are there after a restart.
    let story = story.crash();
    assert_eq!(sum(&rows(&story, "/siem?period=day"), "operations"), 3);
}

#[test]
fn health_has_a_check_for_each_part() {
    let down = receiver("503*");
    let breaker = "    circuit_breaker: {failure_threshold: 1, open_for: 1h}\n";
    let story = Story::start(&format!(
        "event_index: {{enabled: true}}\ninstances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: archive, format: jsonl}}]\n",
        hec("siem", &down, breaker),
        file("archive")
    ));
    story.accept("application/x-ndjson", &copybook("e", 1));
    let found = wait::until("the breaker is open", PATIENCE, || {
        let health = story.host.get("/api/integration/health")?.json()?;
        let checks = health["checks"].as_array().expect("a list").clone();
        Ok(Some(checks).filter(|checks| checks.iter().any(|check| check["name"] == "instance:siem" && check["status"] == "degraded")))
    });
    let checks = found.unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    let of = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {checks:#?}"));
    for name in ["journal", "store", "instance:archive", "event_index"] {
        assert_eq!(of(name)["status"], "healthy", "{checks:#?}");
    }
    assert!(of("store")["latency_ms"].as_f64().is_some_and(|ms| ms >= 0.0));
    assert_eq!(of("instance:siem")["message"], "the circuit breaker is open");
    // A target that is down never makes the host unready.
    assert_eq!(story.host.get("/readyz").expect("answers").status, 200);
}
