//! Datadog: logs, events of both versions, metrics; its rules, and its own client for Python against them.

use std::collections::BTreeSet;

use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::Step;
use serde_json::{Value, json};

use crate::story::{Story, copybook};
use crate::vendor::{Broken, Vendor, ago, client, instance, json as json_body, now, reasons, rule};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const HOUR: i64 = 3600;

#[derive(Default)]
struct Datadog {
    logs: Vec<Value>,
    events: Vec<Value>,
    alerts: Vec<Value>,
    series: Vec<Value>,
}

fn error(status: u16, title: &str, detail: &str) -> Step {
    Step::answer(status, json!({"errors": [{"status": status.to_string(), "title": title, "detail": detail}]}).to_string())
}

fn texts(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(|list| list.iter().all(|tag| tag.as_str().is_some_and(|tag| !tag.is_empty() && tag.chars().count() <= 200)))
}

fn at_most(value: &Value, characters: usize) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.chars().count() <= characters)
}

/// These keys and no other.
fn known(value: &Value, keys: &[&str]) -> bool {
    value.as_object().is_some_and(|object| object.keys().all(|key| keys.contains(&key.as_str())))
}

fn rules(head: &Head, body: &[u8], datadog: &mut Datadog, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    rule(head.headers.get("dd-api-key") == Some(KEY), "the key is in DD-API-KEY", || error(403, "Forbidden", ""))?;
    if head.method == "GET" && head.path == "/api/v1/validate" {
        return Ok(Step::answer(200, r#"{"valid":true}"#));
    }
    let bad = |detail: &str| error(400, "Bad Request", detail);
    rule(head.method == "POST", "everything is posted", || error(405, "Method Not Allowed", ""))?;
    rule(head.headers.get("content-type") == Some("application/json"), "the content type is application/json", || error(415, "Unsupported Media Type", ""))?;
    let value = json_body(body, || bad("Invalid JSON structure"))?;
    match head.path.as_str() {
        "/api/v2/logs" => logs(&value, body.len(), datadog, next),
        "/api/v1/events" => event(&value, datadog, next),
        "/api/v2/events" => alert(&value, datadog, next),
        "/api/v2/series" => series(&value, head, body.len(), datadog, next),
        _ => rule(false, "a path that is known", || error(404, "Not Found", "")).map(|()| Step::Accept),
    }
}

fn logs(value: &Value, bytes: usize, datadog: &mut Datadog, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    let bad = |detail: &str| error(400, "Bad Request", detail);
    let list = value.as_array().cloned().unwrap_or_default();
    rule((1..=1000).contains(&list.len()), "1 to 1,000 entries", || bad("entries"))?;
    rule(bytes <= 5_000_000, "5 MB before compression", || error(413, "Request Entity Too Large", ""))?;
    for entry in &list {
        rule(entry["message"].is_string() && entry.to_string().len() <= 1_000_000, "an entry has a message and at most 1 MB; longer ones are cut", || {
            bad("entry")
        })?;
        let statuses = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "ok"];
        rule(entry["status"].is_null() || entry["status"].as_str().is_some_and(|status| statuses.contains(&status)), "a known status", || bad("status"))?;
        for key in ["ddsource", "hostname", "service"] {
            rule(at_most(&entry[key], 255), format!("{key} is a text"), || bad(key))?;
        }
        let tags = entry["ddtags"]
            .as_str()
            .is_none_or(|tags| tags.split(',').all(|tag| tag.split_once(':').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty())));
        rule(tags, "ddtags are name:value between commas", || bad("ddtags"))?;
        let fresh = entry["timestamp"].is_null() || entry["timestamp"].as_i64().is_some_and(|millis| millis / 1000 >= now() - 18 * HOUR);
        rule(fresh, "a timestamp of the last 18 hours; older logs are dropped", || bad("timestamp"))?;
    }
    let step = next();
    if step != Step::Accept {
        return Ok(step);
    }
    datadog.logs.extend(list);
    Ok(Step::answer(202, "{}"))
}

fn event(value: &Value, datadog: &mut Datadog, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    let bad = || Step::answer(400, r#"{"errors":["bad event"]}"#);
    let keys = ["title", "text", "tags", "alert_type", "priority", "aggregation_key", "date_happened", "host", "source_type_name"];
    rule(known(value, &keys), "known keys", bad)?;
    rule(value["title"].is_string() && at_most(&value["title"], 100), "a title of at most 100 characters", bad)?;
    rule(value["text"].is_string() && at_most(&value["text"], 4000), "a text of at most 4,000 characters", bad)?;
    rule(
        value["alert_type"].is_null() || ["error", "warning", "info", "success"].contains(&value["alert_type"].as_str().unwrap_or_default()),
        "an alert type",
        bad,
    )?;
    rule(value["priority"].is_null() || ["normal", "low"].contains(&value["priority"].as_str().unwrap_or_default()), "a priority", bad)?;
    rule(texts(&value["tags"]) && at_most(&value["aggregation_key"], 100) && at_most(&value["host"], 255), "tags, key and host within their lengths", bad)?;
    let happened =
        value["date_happened"].is_null() || value["date_happened"].as_i64().is_some_and(|seconds| seconds >= now() - 18 * HOUR && seconds <= now() + 2 * HOUR);
    rule(happened, "seconds of the last 18 hours", bad)?;
    let step = next();
    if step != Step::Accept {
        return Ok(step);
    }
    datadog.events.push(value.clone());
    Ok(Step::answer(
        202,
        json!({"status": "ok", "event": {"id": datadog.events.len(), "title": value["title"], "url": "https://app.datadoghq.com/event/event?id=1"}})
            .to_string(),
    ))
}

fn alert(value: &Value, datadog: &mut Datadog, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    let bad = || error(400, "Bad Request", "event");
    let attributes = &value["data"]["attributes"];
    rule(known(value, &["data"]) && value["data"]["type"] == "event", "data of type event", bad)?;
    let keys = ["title", "message", "category", "integration_id", "aggregation_key", "host", "tags", "timestamp", "attributes"];
    rule(
        known(attributes, &keys) && attributes["category"] == "alert" && attributes["integration_id"] == "custom-events",
        "a custom event of category alert",
        bad,
    )?;
    rule(
        attributes["title"].is_string() && at_most(&attributes["title"], 500) && at_most(&attributes["message"], 4000),
        "title and message within their lengths",
        bad,
    )?;
    rule(
        texts(&attributes["tags"]) && attributes["tags"].as_array().is_none_or(|tags| tags.len() <= 100) && at_most(&attributes["host"], 255),
        "at most 100 tags",
        bad,
    )?;
    let format = &time::format_description::well_known::Rfc3339;
    let fresh = attributes["timestamp"]
        .as_str()
        .is_none_or(|text| time::OffsetDateTime::parse(text, format).is_ok_and(|moment| moment.unix_timestamp() >= now() - 18 * HOUR));
    rule(fresh, "ISO 8601 of the last 18 hours", bad)?;
    let own = &attributes["attributes"];
    let status = ["error", "warn", "ok"].contains(&own["status"].as_str().unwrap_or_default());
    let priority = ["1", "2", "3", "4", "5"].contains(&own["priority"].as_str().unwrap_or_default());
    rule(known(own, &["status", "priority", "links", "custom"]) && status && priority && own["custom"].is_object(), "attributes of an alert", bad)?;
    let step = next();
    if step != Step::Accept {
        return Ok(step);
    }
    datadog.alerts.push(value.clone());
    Ok(Step::answer(
        202,
        json!({"data": {"type": "event", "attributes": {"attributes": {"evt": {"uid": "AZ"}}}}, "links": {"self": "https://app.datadoghq.com/event"}})
            .to_string(),
    ))
}

fn series(value: &Value, head: &Head, bytes: usize, datadog: &mut Datadog, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    let bad = || Step::answer(400, r#"{"errors":["Payload is not in the expected format"]}"#);
    let sent = head.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(bytes);
    rule(sent <= 512_000 && bytes <= 5_242_880, "512,000 bytes compressed, 5,242,880 before", || Step::answer(413, r#"{"errors":["Payload too big"]}"#))?;
    let list = value["series"].as_array().cloned().unwrap_or_default();
    rule(known(value, &["series"]) && !list.is_empty(), "a list of series", bad)?;
    for one in &list {
        let name = one["metric"].as_str().unwrap_or_default();
        let letters = name.len() <= 200
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        rule(known(one, &["metric", "type", "interval", "points", "resources", "tags", "unit"]) && letters, "names of letters, digits, _ and .", bad)?;
        let interval = one["type"] == 3 || one["type"] == 1 && one["interval"].as_u64().is_some_and(|seconds| seconds > 0);
        rule(interval, "a gauge, or a count with its interval", bad)?;
        for point in one["points"].as_array().into_iter().flatten() {
            let fresh = point["timestamp"].as_i64().is_some_and(|seconds| seconds >= now() - HOUR && seconds <= now() + 600);
            rule(fresh && point["value"].is_number(), "numbers from an hour behind to ten minutes ahead; others are dropped", bad)?;
        }
        rule(one["points"].as_array().is_some_and(|points| !points.is_empty()) && texts(&one["tags"]), "points and tags", bad)?;
    }
    let step = next();
    if step != Step::Accept {
        return Ok(step);
    }
    datadog.series.extend(list);
    Ok(Step::answer(202, r#"{"errors":[]}"#))
}

fn story(datadog: &Vendor<Datadog>, config: &str) -> Story {
    let destination = format!("{{url: \"{}\", methods: [POST, GET], credential: datadog}}", datadog.receiver.url());
    Story::start(&format!(
        "instances:\n{}credentials:\n  datadog: {{type: header, name: DD-API-KEY, value: {KEY}}}\ndefault_route: [{{instance: dd, format: json}}]\n",
        instance("dd", "datadog", config, &destination, "")
    ))
}

/// Copybook events that happened so many seconds ago.
fn events(prefix: &str, n: usize, seconds: i64) -> String {
    copybook(prefix, n).replace("2026-11-02T08:00:00.123Z", &ago(seconds))
}

fn ids(entries: &[Value], id: impl Fn(&Value) -> String) -> BTreeSet<String> {
    let ids: BTreeSet<String> = entries.iter().map(id).collect();
    assert_eq!(ids.len(), entries.len(), "each once");
    ids
}

#[test]
fn logs_arrive_once_and_none_is_cut_or_dropped() {
    let datadog = Vendor::start("429;503;408", rules);
    let story = story(&datadog, "{service: audit, tags: {env: prod}, tag_fields: {severity: /severity, user: /user}}");
    let large = format!("{}\n", json!({"id": "large", "timestamp": ago(1), "message": "\"".repeat(300_000)}));
    story.accept("application/x-ndjson", &format!("{}{}{large}", events("new", 30, 60), events("old", 20, 20 * HOUR)));
    story.settled();
    datadog.kept_the_rules();
    datadog.state(|datadog| {
        assert_eq!(ids(&datadog.logs, |log| log["event_id"].as_str().unwrap_or_default().to_owned()).len(), 50);
        for log in &datadog.logs {
            let new = log["event_id"].as_str().is_some_and(|id| id.starts_with("new-"));
            assert_eq!(log["timestamp"].is_i64(), new, "what is too old for Datadog is stamped at its receipt: {log}");
            assert_eq!((&log["ddtags"], &log["status"]), (&json!("env:prod,severity:high,user:ada"), &json!("error")));
            assert_eq!((&log["hostname"], &log["service"], &log["ddsource"]), (&json!("h1"), &json!("audit"), &json!("bulkhead")));
            let message: Value = serde_json::from_str(log["message"].as_str().unwrap_or_default()).expect("the record");
            assert_eq!(message["id"], log["event_id"]);
        }
    });
    let reasons = reasons(&story);
    assert!(reasons.len() == 1 && reasons[0].0 == "large" && reasons[0].1.contains("the receiver takes at most 1000000"), "{reasons:?}");
    assert!(!story.host.log().contains(KEY), "the key is in the log");
}

#[test]
fn events_of_both_versions_arrive_once_each() {
    for version in ["v1", "v2"] {
        let datadog = Vendor::start("429;500", rules);
        let story = story(
            &datadog,
            &format!("{{mode: events, tags: {{env: prod}}, tag_fields: {{user: /user}}, events: {{version: {version}, aggregation_field: /operation}}}}"),
        );
        story.accept("application/x-ndjson", &format!("{}{}", events("new", 8, 60), events("old", 2, 20 * HOUR)));
        story.settled();
        datadog.kept_the_rules();
        datadog.state(|datadog| {
            let (taken, key) = if version == "v1" { (&datadog.events, "/text") } else { (&datadog.alerts, "/data/attributes/message") };
            let ids = ids(taken, |event| {
                let record: Value = serde_json::from_str(event.pointer(key).and_then(Value::as_str).unwrap_or_default()).expect("the record");
                record["id"].as_str().unwrap_or_default().to_owned()
            });
            assert_eq!(ids.len(), 10, "{version}");
            let first = taken.first().expect("one");
            let event = if version == "v1" { first } else { &first["data"]["attributes"] };
            assert_eq!((&event["title"], &event["tags"], &event["host"]), (&json!("copybook.security_event"), &json!(["env:prod", "user:ada"]), &json!("h1")));
        });
    }
}

#[test]
fn metrics_count_every_event_once() {
    let datadog = Vendor::start("429;503", rules);
    let story = story(&datadog, "{mode: metrics, tags: {env: prod}}");
    let measured = events("p", 5, 30)
        .replace("SecurityEvent", "PerformanceMeasurement")
        .replace(r#""affected_resources":["A"]"#, r#""operation_name":"decode","throughput_mbps":80.5"#);
    // The last ones are older than Datadog takes points: they count when they are delivered.
    story.accept("application/x-ndjson", &format!("{}{measured}{}", events("s", 40, 60), events("late", 10, 2 * HOUR)));
    story.settled();
    datadog.kept_the_rules();
    datadog.state(|datadog| {
        let sum = |name: &str| {
            datadog.series.iter().filter(|one| one["metric"] == name).map(|one| one["points"][0]["value"].as_f64().unwrap_or_default()).sum::<f64>()
        };
        assert_eq!((sum("copybook.audit.events"), sum("copybook.audit.security_events"), sum("copybook.audit.compliance_events")), (55.0, 50.0, 55.0));
        let gauge = datadog.series.iter().find(|one| one["metric"] == "copybook.performance.throughput_mbps").expect("a gauge");
        assert_eq!((&gauge["points"][0]["value"], &gauge["type"]), (&json!(80.5), &json!(3)));
        let tags = json!(["env:prod", "event_type:PerformanceMeasurement", "severity:high", "operation:decode", "classification:Internal", "user:ada"]);
        assert_eq!(gauge["tags"], tags);
    });
}

/// What Datadog's own client sends keeps the rules above.
#[test]
fn its_own_client_keeps_the_same_rules() {
    let datadog = Vendor::start("", rules);
    client("datadog::its_own_client_keeps_the_same_rules", "datadog_api_client", "send_datadog.py", &datadog.receiver.addr().to_string());
    datadog.kept_the_rules();
}
