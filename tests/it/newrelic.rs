//! New Relic: logs, events, metrics; its rules, and its own telemetry SDK against them.

use std::collections::BTreeSet;

use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::Step;
use serde_json::{Value, json};

use crate::story::{Story, copybook};
use crate::vendor::{Broken, Vendor, ago, client, instance, json as json_body, now, reasons, rule};

const KEY: &str = "0123456789abcdef0123456789abcdef0123NRAL";
const HOUR: i64 = 3600;
const MEGABYTE: usize = 1_000_000;

#[derive(Default)]
struct NewRelic {
    logs: Vec<Value>,
    events: Vec<Value>,
    metrics: Vec<Value>,
    /// Attributes that stand once in a request.
    common: BTreeSet<String>,
}

/// Names and values of attributes: no nesting, and within their lengths.
fn flat(attributes: &Value, most: usize) -> bool {
    let value = |value: &Value| value.is_number() || value.is_boolean() || value.as_str().is_some_and(|text| text.chars().count() <= 4096);
    attributes.is_null()
        || attributes
            .as_object()
            .is_some_and(|object| object.len() <= most && object.iter().all(|(name, own)| !name.is_empty() && name.len() <= 255 && value(own)))
}

fn within(millis: &Value, behind: i64, ahead: i64) -> bool {
    millis.is_null() || millis.as_i64().is_some_and(|millis| (now() - behind..=now() + ahead).contains(&(millis / 1000)))
}

fn rules(head: &Head, body: &[u8], newrelic: &mut NewRelic, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    rule(head.headers.get("api-key") == Some(KEY), "the key is in Api-Key", || Step::answer(403, "{}"))?;
    rule(head.method == "POST", "everything is posted", || Step::answer(405, "{}"))?;
    rule(head.headers.get("content-type") == Some("application/json"), "the content type is application/json", || Step::answer(415, "{}"))?;
    let sent = head.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    rule(body.len() <= MEGABYTE && sent <= MEGABYTE, "10^6 bytes", || Step::answer(413, "{}"))?;
    let bad = || Step::answer(400, r#"{"error":"bad request"}"#);
    let value = json_body(body, bad)?;
    let list = value.as_array().cloned().unwrap_or_default();
    rule(!list.is_empty(), "a list", bad)?;
    match head.path.as_str() {
        "/log/v1" => {
            for part in &list {
                rule(
                    flat(&part["common"]["attributes"], 255) && part["logs"].as_array().is_some_and(|logs| !logs.is_empty()),
                    "common attributes and logs",
                    bad,
                )?;
                for log in part["logs"].as_array().into_iter().flatten() {
                    let own = log["message"].is_string() && flat(&log["attributes"], 255);
                    rule(own && within(&log["timestamp"], 48 * HOUR, 24 * HOUR), "a message, flat attributes, a time that is kept", bad)?;
                }
            }
        }
        // The second is how its SDK writes the first: the key tells the account.
        "/v1/accounts/1234567/events" | "/v1/accounts/events" => {
            for event in &list {
                let name = event["eventType"].as_str().unwrap_or_default();
                let name = (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
                rule(name && flat(event, 254), "flat events with their type", bad)?;
                rule(event.as_object().is_some_and(|event| event.values().all(|value| value.is_string() || value.is_number())), "texts and numbers only", bad)?;
                rule(within(&event["timestamp"], 24 * HOUR, 24 * HOUR), "within a day", bad)?;
            }
        }
        "/metric/v1" => {
            for part in &list {
                rule(
                    flat(&part["common"]["attributes"], 100) && part["metrics"].as_array().is_some_and(|metrics| !metrics.is_empty()),
                    "common attributes and metrics",
                    bad,
                )?;
                for metric in part["metrics"].as_array().into_iter().flatten() {
                    let count = metric["type"] == "count" && metric["interval.ms"].as_u64().is_some_and(|interval| interval > 0);
                    // A metric without a type is a gauge.
                    let kind = count || metric["type"] == "gauge" || metric["type"].is_null();
                    let name = metric["name"].as_str().is_some_and(|name| (1..=255).contains(&name.len()));
                    rule(kind && name && metric["value"].is_number() && flat(&metric["attributes"], 100), "name, type, value, flat attributes", bad)?;
                    rule(!metric["timestamp"].is_null() && within(&metric["timestamp"], 48 * HOUR, 24 * HOUR), "a time that is kept", bad)?;
                }
            }
        }
        _ => rule(false, "a path that is known", || Step::answer(404, "{}"))?,
    }
    let step = next();
    if step != Step::Accept {
        return Ok(step);
    }
    for part in list {
        newrelic.common.insert(part["common"]["attributes"].to_string());
        newrelic.logs.extend(part["logs"].as_array().cloned().unwrap_or_default());
        newrelic.metrics.extend(part["metrics"].as_array().cloned().unwrap_or_default());
        if part["eventType"].is_string() {
            newrelic.events.push(part);
        }
    }
    Ok(match head.path.as_str() {
        "/log/v1" | "/metric/v1" => Step::answer(202, r#"{"requestId":"7ad4a1f8-0001-b000-0000-0195b24e4d8d"}"#),
        _ => Step::answer(200, r#"{"success":true,"uuid":"f0d5c7b3-0001-b000-0000-0195b24e4d8d"}"#),
    })
}

fn story(newrelic: &Vendor<NewRelic>, config: &str) -> Story {
    let destination = format!("{{url: \"{}\", methods: [POST], credential: newrelic}}", newrelic.receiver.url());
    Story::start(&format!(
        "instances:\n{}credentials:\n  newrelic: {{type: header, name: Api-Key, value: {KEY}}}\ndefault_route: [{{instance: nr, format: json}}]\n",
        instance("nr", "newrelic", config, &destination, "    batch: {max_events: 1000, max_bytes: 2MiB}\n")
    ))
}

/// Copybook events that happened so many seconds ago.
fn events(prefix: &str, n: usize, seconds: i64) -> String {
    copybook(prefix, n).replace("2026-11-02T08:00:00.123Z", &ago(seconds))
}

fn ids(entries: &[Value], pointer: &str) -> BTreeSet<String> {
    let ids: BTreeSet<String> = entries.iter().map(|entry| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()).collect();
    assert_eq!(ids.len(), entries.len(), "each once");
    ids
}

/// More than a megabyte of events, some too old, one too long: every request fits, every event is told of.
#[test]
fn logs_arrive_once_and_within_the_limits() {
    let newrelic = Vendor::start("429:retry-after=1;503;408", rules);
    let story = story(&newrelic, "{attributes: {environment: prod}, attribute_fields: {user: /user, profiles: /compliance}}");
    let large = format!("{}\n", json!({"id": "large", "timestamp": ago(1), "message": "\"".repeat(300_000)}));
    story.accept("application/x-ndjson", &format!("{}{}{large}", events("new", 1500, 60), events("old", 20, 50 * HOUR)));
    story.settled();
    newrelic.kept_the_rules();
    newrelic.state(|newrelic| {
        assert_eq!(ids(&newrelic.logs, "/attributes/event.id").len(), 1520);
        assert_eq!(newrelic.common, BTreeSet::from([r#"{"environment":"prod"}"#.to_owned()]));
        for log in &newrelic.logs {
            let own = &log["attributes"];
            let old = own["event.id"].as_str().is_some_and(|id| id.starts_with("old-"));
            assert_eq!(log["timestamp"].is_null(), old, "what is too old is stamped at its receipt");
            assert_eq!((&own["level"], &own["hostname"], &own["user"], &own["profiles"]), (&json!("high"), &json!("h1"), &json!("ada"), &json!("sox")));
        }
    });
    let reasons = reasons(&story);
    assert!(reasons.len() == 1 && reasons[0].0 == "large" && reasons[0].1.contains("the receiver takes at most"), "{reasons:?}");
    assert!(!story.host.log().contains(KEY), "the key is in the log");
}

#[test]
fn events_and_metrics_arrive_once() {
    let newrelic = Vendor::start("429;503", rules);
    let story = story(&newrelic, "{mode: events, account_id: 1234567, event_type: CopybookAudit, attributes: {environment: prod}}");
    story.accept("application/x-ndjson", &format!("{}{}", events("new", 40, 60), events("old", 5, 25 * HOUR)));
    story.settled();
    newrelic.kept_the_rules();
    newrelic.state(|newrelic| {
        assert_eq!(ids(&newrelic.events, "/id").len(), 45);
        let event = &newrelic.events[0];
        assert_eq!((&event["eventType"], &event["type"], &event["environment"]), (&json!("CopybookAudit"), &json!("copybook.security_event"), &json!("prod")));
    });

    let newrelic = Vendor::start("429;503", rules);
    let story = self::story(&newrelic, "{mode: metrics, attributes: {environment: prod}}");
    story.accept("application/x-ndjson", &format!("{}{}", events("s", 40, 60), events("late", 10, 50 * HOUR)));
    story.settled();
    newrelic.kept_the_rules();
    newrelic.state(|newrelic| {
        let sum = |name: &str| newrelic.metrics.iter().filter(|one| one["name"] == name).map(|one| one["value"].as_f64().unwrap_or_default()).sum::<f64>();
        assert_eq!((sum("copybook.audit.events"), sum("copybook.audit.security_events"), sum("copybook.audit.compliance_events")), (50.0, 50.0, 50.0));
    });
}

/// What New Relic's own SDK sends keeps the rules above.
#[test]
fn its_own_sdk_keeps_the_same_rules() {
    let newrelic = Vendor::start("", rules);
    client("newrelic::its_own_sdk_keeps_the_same_rules", "newrelic_telemetry_sdk", "send_newrelic.py", &newrelic.receiver.addr().to_string());
    newrelic.kept_the_rules();
}
