//! Grafana annotations: one for each event, by the rules of Grafana's HTTP API, and a client of others against them.

use std::collections::BTreeSet;

use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::Step;
use serde_json::{Value, json};

use crate::story::{Story, copybook};
use crate::vendor::{Broken, Vendor, client, instance, json as json_body, reasons, rule};

const TOKEN: &str = "glsa_annotations_0123456789";

#[derive(Default)]
struct Grafana {
    annotations: Vec<Value>,
}

fn message(status: u16, text: &str) -> Step {
    Step::answer(status, json!({"message": text}).to_string())
}

fn rules(head: &Head, body: &[u8], grafana: &mut Grafana, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    rule(head.headers.get("authorization") == Some(&format!("Bearer {TOKEN}")), "the token is a bearer token", || message(401, "Invalid API key"))?;
    rule((head.method.as_str(), head.path.as_str()) == ("POST", "/api/annotations"), "annotations are posted", || message(404, "Not found"))?;
    let json_type = head.headers.get("content-type").is_some_and(|value| value.split(';').next() == Some("application/json"));
    rule(json_type, "the content type is application/json", || message(422, "content type"))?;
    let bad = || message(400, "bad request data");
    let annotation = json_body(body, bad)?;
    let known = ["dashboardUID", "panelId", "time", "timeEnd", "tags", "text"];
    rule(annotation.as_object().is_some_and(|object| object.keys().all(|key| known.contains(&key.as_str()))), "known keys", bad)?;
    rule(annotation["text"].as_str().is_some_and(|text| !text.is_empty()), "a text", || message(400, "Failed to save annotation"))?;
    rule(annotation["time"].as_i64().is_some_and(|millis| millis > 1_000_000_000_000), "milliseconds", bad)?;
    let tags: Vec<&str> = annotation["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    rule(annotation["tags"].is_array() && tags.iter().map(|tag| tag.len()).sum::<usize>() <= 500, "tags of at most 500 characters together", bad)?;
    rule(annotation["panelId"].is_null() || annotation["panelId"].as_u64().is_some() && annotation["dashboardUID"].is_string(), "a panel of a dashboard", bad)?;
    // Senders find out by this answer.
    if annotation["dashboardUID"].as_str().is_some_and(|uid| uid != "acme-audit") {
        return Ok(message(404, "Dashboard not found"));
    }
    let step = next();
    if step != Step::Accept {
        return Ok(step);
    }
    grafana.annotations.push(annotation);
    Ok(Step::answer(200, json!({"message": "Annotation added", "id": grafana.annotations.len()}).to_string()))
}

#[test]
fn every_event_becomes_one_annotation() {
    let grafana = Vendor::start("500;429;503", rules);
    let destination = format!("{{url: \"{}\", methods: [POST, GET], credential: grafana}}", grafana.receiver.url());
    let config = "{dashboard_uid: acme-audit, panel_id: 2, tags: [audit], tag_fields: {severity: /severity, user: /user}, text_field: /id}";
    let story = Story::start(&format!(
        "instances:\n{}credentials:\n  grafana: {{type: bearer, token: {TOKEN}}}\ndefault_route: [{{instance: marks, format: json}}]\n",
        instance("marks", "grafana-annotations", config, &destination, "    rate_limit: {events_per_second: 1000}\n")
    ));
    story.accept("application/x-ndjson", &copybook("e", 30));
    story.settled();
    grafana.kept_the_rules();
    grafana.state(|grafana| {
        let texts: BTreeSet<&str> = grafana.annotations.iter().filter_map(|annotation| annotation["text"].as_str()).collect();
        assert_eq!((texts.len(), grafana.annotations.len()), (30, 30));
        for annotation in &grafana.annotations {
            assert_eq!((&annotation["time"], &annotation["panelId"]), (&json!(1_793_606_400_123_u64), &json!(2)));
            assert_eq!(annotation["tags"], json!(["audit", "severity:high", "user:ada"]));
        }
    });
    assert!(reasons(&story).is_empty());
    assert!(!story.host.log().contains(TOKEN), "the token is in the log");
}

/// What a client that others wrote sends keeps the rules above.
#[test]
fn a_client_of_others_keeps_the_same_rules() {
    let grafana = Vendor::start("", rules);
    client("grafana::a_client_of_others_keeps_the_same_rules", "grafana_client", "send_grafana.py", &grafana.receiver.addr().to_string());
    grafana.kept_the_rules();
    assert_eq!(grafana.state(|grafana| grafana.annotations.len()), 2);
}
