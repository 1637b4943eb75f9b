//! Mappings as things of their own: made, tried and changed through their own endpoints, used in delivery, and the
//! same entries as the formatters that they are.

use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::story::{PATIENCE, Story, copybook, file};
use crate::webhooks::{ask, request};

fn rows(rows: Value) -> Value {
    json!({"field_mappings": rows})
}

#[test]
fn a_mapping_is_tried_before_it_is_made_and_is_what_delivery_runs() {
    let story = Story::start(&format!(
        "event_index: {{enabled: true, body: true}}\nformatters:\n  of-file: {{formatter: mapping, config: {{fields: [{{to: a, from: /id}}]}}}}\n  other: {{formatter: cef}}\ninstances:\n{}\
         default_route: [{{instance: all, format: of-file}}]\n",
        file("all")
    ));
    // What is wrong is said with its place in the mapping: of the host's own check, of the guest's, of its program's.
    for (mapping, pointer, said) in [
        (rows(json!([{"to": "a"}])), "/field_mappings/0", "one of"),
        (rows(json!([{"to": "a", "expr": "1 +"}])), "/field_mappings/0/expr", "fields[0].expr"),
        (rows(json!([{"to": "a", "from": "/id"}, {"to": "a.b", "from": "/id"}])), "/field_mappings/1/to", "fields[1].to"),
        (json!({"field_mappings": [{"to": "a", "from": "/id"}], "rules": [{"that": "severity ==", "reason": "no"}]}), "/rules/0/that", "validate[0].that"),
        (json!({"field_mappings": [{"to": "a", "from": "/id"}], "transformations": ".a |"}), "/transformations", "jq"),
        (json!({"field_mappings": [{"to": "a", "from": "/id"}], "limits": {"fuel": "much"}}), "/limits/fuel", ""),
    ] {
        let found = ask(&story, "POST", "mappings/alert/validate", &mapping, 200)["data"].clone();
        assert_eq!(found["valid"], false, "{mapping}: {found}");
        let fault = &found["errors"][0];
        assert!(fault["pointer"] == pointer && fault["detail"].as_str().is_some_and(|text| text.contains(said)), "{mapping}: {found}");
        let mut named = mapping.clone();
        named["name"] = json!("alert");
        let refused = ask(&story, "POST", "mappings", &named, 422);
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    ask(&story, "GET", "mappings/alert", &Value::Null, 404);

    let mapping = rows(json!([{"to": "title", "expr": "type + ' by ' + user", "required": true}, {"to": "level", "from": "/severity"}]));
    assert_eq!(ask(&story, "POST", "mappings/alert/validate", &mapping, 200)["data"]["valid"], true);
    // Samples: each for itself, digits as they are.
    let mut trial = mapping.clone();
    trial["samples"] = json!([{"type": "login", "user": "ada", "severity": "high"}, {"type": "login"}, "no event"]);
    let tried = ask(&story, "POST", "mappings/alert/test", &trial, 200);
    assert_eq!(tried["data"][0]["output"], json!({"title": "login by ada", "level": "high"}), "{tried}");
    assert!(tried["data"][1]["fault"]["detail"].as_str().is_some_and(|text| text.contains("title")) && tried["data"][1].get("output").is_none(), "{tried}");
    assert!(tried["data"][2]["fault"]["detail"].is_string() && tried["meta"]["faulty"] == 2, "{tried}");
    let digits =
        request(&story, "POST", "mappings/of-file/test", &[], &json!({"samples": [{"id": "e", "n": 1}], "field_mappings": [{"to": "n", "from": "/data/n"}]}));
    assert!(digits.status == 200 && digits.text().contains("\"output\":{\"n\":1}"), "another definition beside that of the file: {}", digits.text());

    let mut new = mapping.clone();
    new["name"] = json!("alert");
    let made = request(&story, "POST", "mappings", &[], &new);
    assert_eq!(
        (made.status, made.headers.get("location"), made.headers.get("etag")),
        (201, Some("/api/integration/mappings/alert"), Some("\"1\"")),
        "{}",
        made.text()
    );
    let shown = ask(&story, "GET", "mappings/alert", &Value::Null, 200)["data"].clone();
    assert_eq!((&shown["formatter"], &shown["version"], &shown["field_mappings"][1]["to"]), (&json!("mapping"), &json!(1), &json!("level")), "{shown}");
    assert!(shown.get("definition").is_none() && shown["instances"] == json!([]), "{shown}");
    // The same entry, seen as a formatter.
    assert_eq!(ask(&story, "GET", "formatters/alert", &Value::Null, 200)["data"]["definition"]["formatter"], "mapping");
    let listed = ask(&story, "GET", "mappings", &Value::Null, 200);
    let names: Vec<&str> = listed["data"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["alert", "of-file"], "{listed}");

    // In delivery, and then with a program before the rows.
    let route = json!({"name": "alerts", "definition": {"when": {"event_type": "SecurityEvent"}, "to": [{"instance": "all", "format": "alert"}]}});
    ask(&story, "POST", "routes", &route, 201);
    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    let record = story.records("all.ndjson").pop().expect("delivered");
    assert!(record["title"].as_str().is_some_and(|title| title.contains(" by ")), "{record}");
    assert_eq!(ask(&story, "GET", "mappings/alert", &Value::Null, 200)["data"]["instances"], json!(["all"]));
    assert_eq!(ask(&story, "DELETE", "mappings/alert", &Value::Null, 409)["code"], "in_use");
    let program = json!({"field_mappings": [{"to": "who", "from": "/user"}], "transformations": ".user |= ascii_upcase"});
    let stale = request(&story, "PUT", "mappings/alert", &[("If-Match", "\"7\"")], &program);
    assert_eq!(stale.status, 412, "{}", stale.text());
    let changed = ask(&story, "PUT", "mappings/alert", &program, 200)["data"].clone();
    assert_eq!(
        (&changed["formatter"], &changed["version"], &changed["transformations"]),
        (&json!("mapping-jq"), &json!(2), &json!(".user |= ascii_upcase")),
        "{changed}"
    );
    story.accept("application/x-ndjson", &copybook("f", 1));
    story.settled();
    let record = story.records("all.ndjson").pop().expect("delivered");
    assert!(record["who"].as_str().is_some_and(|who| who == who.to_uppercase()), "{record}");

    // The last events that came, as the index has them.
    let recent = json!({"last": 5, "event_type": "copybook.security_event"});
    let tried = wait::until("they are indexed", PATIENCE, || {
        let answer = request(&story, "POST", "mappings/alert/test", &[], &recent);
        Ok((answer.status == 200).then(|| answer.json().expect("JSON")).filter(|tried| tried["data"].as_array().is_some_and(|tried| tried.len() == 2)))
    });
    let tried: Value = tried.unwrap_or_else(|error| panic!("{error:#}\n{}", request(&story, "POST", "mappings/alert/test", &[], &recent).text()));
    assert!(tried["data"][0]["output"]["who"].is_string() && tried["data"][0]["input"]["event_id"].is_string(), "{tried}");

    let versions = ask(&story, "GET", "mappings/alert/versions", &Value::Null, 200);
    assert_eq!((versions["data"][0]["version"].clone(), versions["data"][1]["field_mappings"][0]["to"].clone()), (json!(2), json!("title")), "{versions}");
    let back = ask(&story, "POST", "mappings/alert/rollback", &json!({"version": 1}), 200);
    assert_eq!((&back["data"]["version"], &back["data"]["formatter"]), (&json!(3), &json!("mapping")), "{back}");

    // What is no mapping is left alone, and what is of the file is the file's.
    assert_eq!(ask(&story, "PUT", "mappings/other", &program, 409)["code"], "not_a_mapping");
    ask(&story, "GET", "mappings/other", &Value::Null, 404);
    ask(&story, "DELETE", "mappings/other", &Value::Null, 404);
    assert_eq!(ask(&story, "PUT", "mappings/of-file", &program, 409)["code"], "in_file");
    for (body, code) in [
        (json!({}), "bad_samples"),
        (json!({"samples": [], "last": 1}), "bad_samples"),
        (json!({"last": 101}), "bad_samples"),
        (json!({"samples": [{}], "rules": []}), "bad_field"),
        (json!({"sample": [{}]}), "bad_body"),
    ] {
        assert_eq!(ask(&story, "POST", "mappings/alert/test", &body, 400)["code"], code, "{body}");
    }
    ask(&story, "DELETE", "routes/alerts", &Value::Null, 200);
    ask(&story, "DELETE", "mappings/alert", &Value::Null, 200);
    ask(&story, "GET", "formatters/alert", &Value::Null, 404);
}
