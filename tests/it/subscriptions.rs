//! What events set off: a webhook, a run of a pull, a notification.

use std::time::Duration;

use bulkhead_tests::receiver::{Receiver, Step};
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::story::{PATIENCE, Story, copybook, file, receiver};
use crate::vendor::{Vendor, rule};
use crate::webhooks::{CONFIG, ask, definition, make, until};

#[derive(Default)]
struct Desk {
    asked: u64,
    down: bool,
    stuck: bool,
}

fn desk() -> Vendor<Desk> {
    Vendor::start("", |head, _, desk: &mut Desk, _| {
        rule(head.path.starts_with("/tickets"), "the path is that of the list", || Step::status(404))?;
        desk.asked += 1;
        Ok(match desk {
            Desk { stuck: true, .. } => Step::Hang(Duration::from_secs(60)),
            Desk { down: true, .. } => Step::status(503),
            _ => Step::answer(200, "[]"),
        })
    })
}

/// A pull whose own time is the next year's.
fn crm(desk: &Vendor<Desk>) -> String {
    format!(
        "{CONFIG}instances:\n  crm:\n    connector: rest-pull\n    config: {{path: /tickets, after: after, page_size: 2, source: crm}}\n    pull: {{cron: \"0 0 1 1 *\"}}\n    \
         destinations: {{primary: {{url: \"{}\", methods: [GET]}}}}\n",
        desk.receiver.url()
    )
}

fn bodies(target: &Receiver) -> String {
    target.kept().iter().map(|kept| String::from_utf8_lossy(&kept.body).into_owned()).collect()
}

#[test]
fn events_go_to_a_webhook_and_to_people_and_nothing_is_taken_away() {
    let target = receiver("");
    let story = Story::start(&format!("{CONFIG}instances:\n{}{}default_route: [{{instance: all, format: json}}]\n", file("all"), file("pager")));
    let mut quiet = definition(&target.url());
    quiet["events"] = json!(["nothing.of.the.sort"]);
    make(&story, "orders", &quiet);
    let subscription = |action: Value| json!({"when": {"min_severity": "high"}, "action": action});
    let hook = json!({"name": "hook", "definition": subscription(json!({"type": "webhook", "webhook": "orders"}))});
    let made = ask(&story, "POST", "event-subscriptions", &hook, 201);
    assert_eq!(made["data"]["version"], 1, "{made}");
    let tell = json!({"name": "tell", "definition": subscription(json!({"type": "notification", "instance": "pager", "format": "json"}))});
    ask(&story, "POST", "event-subscriptions", &tell, 201);
    story.accept("application/x-ndjson", &copybook("e", 2));
    story.accept("application/x-ndjson", "{\"event_type\":\"quiet.one\",\"severity\":\"low\"}\n");
    story.settled();
    wait::until("both came", PATIENCE, || Ok((target.kept().len() == 2).then_some(()))).expect("came");
    // The host's own events are there as well.
    let all = story.records("all.ndjson").iter().filter(|record| record["source"] != "bulkhead").count();
    assert_eq!((story.lines("pager.ndjson").len(), all), (2, 3));
    assert!(bodies(&target).contains("e-1"));

    // What is needed stays, and what is switched off sets off nothing.
    assert_eq!(ask(&story, "DELETE", "webhooks/orders", &Value::Null, 409)["code"], "in_use");
    let mut off = subscription(json!({"type": "notification", "instance": "pager", "format": "json"}));
    off["enabled"] = json!(false);
    ask(&story, "PUT", "event-subscriptions/tell", &json!({"definition": off}), 200);
    story.accept("application/x-ndjson", &copybook("f", 1));
    story.settled();
    assert_eq!(story.lines("pager.ndjson").len(), 2);
    ask(&story, "POST", "event-subscriptions/tell/rollback", &json!({"version": 1}), 200);
    story.accept("application/x-ndjson", &copybook("g", 1));
    story.settled();
    assert_eq!(story.lines("pager.ndjson").len(), 3);
    let wrong = json!({"name": "x", "definition": subscription(json!({"type": "sync", "instance": "pager"}))});
    let refused = ask(&story, "POST", "event-subscriptions", &wrong, 422);
    assert_eq!(refused["errors"][0]["pointer"], "/definition/action/instance", "{refused}");

    // Types that came, and the host's own with their meaning.
    let types = ask(&story, "GET", "events/types", &Value::Null, 200);
    let of = |name: &str| types["data"].as_array().expect("types").iter().find(|one| one["type"] == name).cloned();
    assert_eq!(of("quiet.one").expect("came")["events"], 1, "{types}");
    assert!(of("bulkhead.webhook.disabled").expect("own")["meaning"].is_string());
}

#[test]
fn an_event_sets_off_one_run_however_many_come_and_a_kill_changes_nothing() {
    let desk = desk();
    let story = Story::start(&crm(&desk));
    let action = json!({"type": "sync", "instance": "crm", "min_interval": "3600s"});
    ask(&story, "POST", "event-subscriptions", &json!({"name": "pull", "definition": {"when": {"event_type": "SecurityEvent"}, "action": action}}), 201);
    let schedules = ask(&story, "GET", "schedules", &Value::Null, 200);
    let shown = schedules["data"].as_array().expect("schedules").iter().find(|one| one["type"] == "event").expect("is there").clone();
    assert_eq!((&shown["instance"], &shown["event_trigger"], &shown["active"]), (&json!("crm"), &json!("pull"), &json!(true)), "{shown}");
    for batch in ["a", "b", "c"] {
        story.accept("application/x-ndjson", &copybook(batch, 20));
    }
    let runs = until(&story, "a run is done", "sync-executions?instance=crm&status=completed", |runs| !runs["data"].as_array().expect("runs").is_empty());
    assert_eq!((&runs["data"][0]["trigger"], &runs["data"][0]["initiated_by"]), (&json!("event"), &json!("subscription:pull")), "{runs}");
    let count = |story: &Story| ask(story, "GET", "sync-executions?instance=crm", &Value::Null, 200)["data"].as_array().expect("runs").len();
    assert_eq!(count(&story), 1);
    // What came behind the run waits for the next one, over a kill too.
    let waits = |story: &Story| story.lane("sync.pull")["backlog"].as_u64().unwrap_or_default();
    story.accept("application/x-ndjson", &copybook("d", 1));
    wait::until("it waits", PATIENCE, || Ok((waits(&story) > 0).then_some(()))).expect("waits");
    let story = story.crash();
    until(&story, "it has its run", "sync-executions?instance=crm&status=completed", |runs| runs["data"].as_array().expect("runs").len() == 2);
    story.settled();
    desk.kept_the_rules();
    assert!(desk.state(|desk| desk.asked) >= 2);
}

/// Nobody waits for the next year: a run that a kill cut off begins again, and one that failed until it is done.
#[test]
fn what_an_event_asked_for_is_on_disk_until_its_run_is_done() {
    let desk = desk();
    let story = Story::start(&crm(&desk));
    let definition = json!({"when": {"event_type": "SecurityEvent"}, "action": {"type": "sync", "instance": "crm", "min_interval": "1s"}});
    ask(&story, "POST", "event-subscriptions", &json!({"name": "pull", "definition": definition}), 201);
    desk.change(|desk| desk.stuck = true);
    story.accept("application/x-ndjson", &copybook("a", 1));
    let running = until(&story, "it runs", "sync-executions?status=running", |runs| !runs["data"].as_array().expect("runs").is_empty());
    // The event is done with: what is asked for is elsewhere, and no lane holds it.
    story.settled();
    desk.change(|desk| desk.stuck = false);
    let story = story.crash();
    let all = until(&story, "another one is done", "sync-executions?status=completed", |runs| !runs["data"].as_array().expect("runs").is_empty());
    assert_eq!((&all["data"][0]["trigger"], &all["data"][0]["initiated_by"]), (&json!("event"), &json!("subscription:pull")), "{all}");
    let cut = ask(&story, "GET", &format!("sync-executions/{}", running["data"][0]["id"].as_str().expect("an id")), &Value::Null, 200);
    assert_eq!((&cut["data"]["status"], &cut["data"]["error"]), (&json!("failed"), &json!("the host ended")), "{cut}");

    desk.change(|desk| desk.down = true);
    story.accept("application/x-ndjson", &copybook("b", 1));
    until(&story, "it fails", "sync-executions?status=failed", |runs| runs["data"].as_array().expect("runs").len() == 2);
    desk.change(|desk| desk.down = false);
    let all = until(&story, "it is done", "sync-executions?status=completed", |runs| runs["data"].as_array().expect("runs").len() == 2);
    assert_eq!(all["data"][0]["trigger"], "event", "{all}");
    // Done once: a start finds nothing to make good.
    let story = story.crash();
    story.settled();
    assert_eq!(ask(&story, "GET", "sync-executions", &Value::Null, 200)["data"].as_array().expect("runs").len(), 4);
    desk.kept_the_rules();
}
