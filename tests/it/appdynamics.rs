//! Splunk AppDynamics: a schema that is created, events that are published to it, by the rules of its Events Service.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::Step;
use serde_json::{Value, json};

use crate::story::{Story, copybook};
use crate::vendor::{Broken, Vendor, instance, json as json_body, reasons, rule};

const MEDIA: &str = "application/vnd.appd.events+json;v=2";
const TYPES: [&str; 6] = ["string", "integer", "float", "boolean", "date", "object"];

#[derive(Default)]
struct Events {
    schemas: BTreeMap<String, BTreeMap<String, String>>,
    published: Vec<Value>,
}

fn error(status: u16, code: &str, message: &str) -> Step {
    Step::answer(status, json!({"statusCode": status, "code": code, "message": message}).to_string())
}

fn rules(head: &Head, body: &[u8], events: &mut Events, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    let account = head.headers.get("x-events-api-accountname") == Some("acme_1a2b3c");
    rule(account && head.headers.get("x-events-api-key") == Some("events-api-key-0123"), "account and key are in their headers", || {
        error(401, "Unauthorized", "The API key is not valid.")
    })?;
    rule(head.headers.get("accept") == Some(MEDIA), "the answer's type is asked for", || error(406, "NotAcceptable", "Accept"))?;
    rule(head.method == "GET" || head.headers.get("content-type") == Some(MEDIA), "the content type is the vendor's", || {
        error(415, "UnsupportedMediaType", "")
    })?;
    if let Some(name) = head.path.strip_prefix("/events/schema/") {
        return schema(head, name, body, events);
    }
    let name = head.path.strip_prefix("/events/publish/").unwrap_or_default();
    rule(head.method == "POST" && !name.is_empty(), "events are published", || error(405, "MethodNotAllowed", ""))?;
    let Some(schema) = events.schemas.get(name) else { return Ok(error(404, "Missing.EventType", "Event type does not exist.")) };
    rule(body.len() <= 1_000_000, "1 MB a request", || error(413, "RequestEntityTooLarge", ""))?;
    let bad = || error(400, "Invalid.Event", "An event does not fit its schema.");
    let list = json_body(body, bad)?.as_array().cloned().unwrap_or_default();
    rule((1..=1000).contains(&list.len()), "1 to 1,000 events", bad)?;
    for event in &list {
        for (field, value) in event.as_object().into_iter().flatten() {
            let fits = match schema.get(field).map(String::as_str) {
                Some("string") => value.as_str().is_some_and(|text| text.len() <= 4096),
                Some("integer") => value.is_i64() || value.is_u64(),
                Some("float") => value.is_number(),
                Some("boolean") => value.is_boolean(),
                Some("date") => value.is_i64() || value.is_string(),
                Some(_) => value.is_object(),
                None => field == "eventTimestamp" && value.is_i64(),
            };
            rule(fits, format!("{field} is what the schema says"), bad)?;
        }
        rule(event.is_object(), "events are flat objects", bad)?;
    }
    let step = next();
    if step != Step::Accept {
        return Ok(step);
    }
    // What only the service knows to be wrong.
    if list.iter().any(|event| event["id"].as_str().is_some_and(|id| id.starts_with("poison-"))) {
        return Ok(error(400, "Invalid.Event", "An event was refused."));
    }
    events.published.extend(list);
    Ok(Step::answer(200, ""))
}

fn schema(head: &Head, name: &str, body: &[u8], events: &mut Events) -> Result<Step, Broken> {
    if head.method == "GET" {
        return Ok(match events.schemas.get(name) {
            Some(schema) => Step::answer(200, json!({"schema": schema}).to_string()),
            None => error(404, "Missing.EventType", "Event type does not exist."),
        });
    }
    let bad = || error(400, "Invalid.Schema", "The schema is not valid.");
    rule(head.method == "POST", "schemas are created by POST", || error(405, "MethodNotAllowed", ""))?;
    if events.schemas.contains_key(name) {
        return Ok(error(409, "Duplicate.EventType", "Event type exists."));
    }
    let body = json_body(body, bad)?;
    let fields = body["schema"].as_object().cloned().unwrap_or_default();
    let known = |(_, kind): (&String, &Value)| kind.as_str().is_some_and(|kind| TYPES.contains(&kind));
    rule((1..=255).contains(&fields.len()) && fields.iter().all(known), "at most 255 fields of known types", bad)?;
    events.schemas.insert(name.to_owned(), fields.iter().map(|(field, kind)| (field.clone(), kind.as_str().unwrap_or_default().to_owned())).collect());
    Ok(Step::answer(201, ""))
}

#[test]
fn the_schema_is_created_and_every_event_is_published_once() {
    let service = Vendor::start("429;503", rules);
    let destination = format!("{{url: \"{}\", methods: [POST, GET], credential: events}}", service.receiver.url());
    let config = "{account_name: acme_1a2b3c, schema: copybook_audit, fields: {version: /data/context/environment/version, started: /data/context/started_at}, types: {started: date}, record: true}";
    let story = Story::start(&format!(
        "instances:\n{}credentials:\n  events: {{type: header, name: X-Events-API-Key, value: events-api-key-0123}}\ndefault_route: [{{instance: appd, format: json}}]\n",
        instance("appd", "appdynamics", config, &destination, "    concurrency: 1\n    batch: {max_events: 2000, max_bytes: 8MiB}\n")
    ));
    story.accept("application/x-ndjson", &format!("{}{}", copybook("e", 1500), copybook("poison", 1)));
    story.settled();
    service.kept_the_rules();
    service.state(|events| {
        let ids: BTreeSet<&str> = events.published.iter().filter_map(|event| event["id"].as_str()).collect();
        assert_eq!((ids.len(), events.published.len()), (1500, 1500));
        let event = &events.published[0];
        assert_eq!((&event["type"], &event["version"], &event["compliance"]), (&json!("copybook.security_event"), &json!("1.0"), &json!("sox")));
        assert_eq!((&event["eventTimestamp"], &event["started"]), (&json!(1_793_606_400_123_u64), &json!(1_793_606_400_000_u64)));
        let schema = &events.schemas["copybook_audit"];
        assert_eq!((schema["started"].as_str(), schema["record"].as_str(), schema["dstport"].as_str()), ("date", "string", "integer"));
    });
    assert_eq!(service.asked("POST", "/events/schema/copybook_audit").len(), 1);
    let reasons = reasons(&story);
    assert!(reasons.len() == 1 && reasons[0].0 == "poison-0" && reasons[0].1.contains("Invalid.Event"), "{reasons:?}");
    assert!(!story.host.log().contains("events-api-key-0123"), "the key is in the log");
}
