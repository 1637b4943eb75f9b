//! Runs of pull connectors: by cron, by hand, missed, cut off; what is recorded of them and shown.

use std::process::{Command, Output};
use std::time::Duration;

use bulkhead_tests::host::Host;
use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::receiver::Step;
use bulkhead_tests::wait;
use bulkhead_tests::wall_clock::WallClock;
use serde_json::{Value, json};

use crate::story::{PATIENCE, Story, binary, file, spec};
use crate::vendor::{Vendor, rule};
use crate::webhooks::{ask, request};

const DAY: i64 = 24 * 3_600;

/// Tickets 1 to `count`, two a page, asked for by the id of the last one.
#[derive(Default)]
struct Desk {
    count: u64,
    down: bool,
    /// No answer behind this one.
    stuck: Option<u64>,
}

fn desk(count: u64) -> Vendor<Desk> {
    let desk = Vendor::start("", |head, _, desk: &mut Desk, _| {
        let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
        rule(path == "/tickets", "the path is that of the list", || Step::status(404))?;
        let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
        let after: u64 = after.map_or(Ok(0), str::parse).unwrap_or(u64::MAX);
        if desk.down {
            return Ok(Step::status(503));
        }
        if desk.stuck.is_some_and(|stuck| after >= stuck) {
            return Ok(Step::Hang(Duration::from_secs(60)));
        }
        let page: Vec<Value> = (after + 1..=desk.count).take(2).map(|id| json!({"id": id})).collect();
        Ok(Step::answer(200, Value::from(page).to_string()))
    });
    desk.change(|desk| desk.count = count);
    desk
}

fn instance(name: &str, desk: &Vendor<Desk>, pull: &str) -> String {
    let url = desk.receiver.url();
    format!(
        "  {name}:\n    connector: rest-pull\n    config: {{path: /tickets, after: after, page_size: 2, source: {name}}}\n    pull: {pull}\n    destinations: {{primary: {{url: \"{url}\", methods: [GET]}}}}\n"
    )
}

/// Instances and where their records go: `out/all.ndjson`, news of the host to `out/news.ndjson`.
fn config(instances: &str) -> String {
    format!(
        "journal: {{dedup_window: 1h}}\nown_events: {{enabled: true}}\ninstances:\n{instances}{}{}routes:\n  - {{id: news, when: {{source: bulkhead}}, to: [{{instance: news, format: cloudevents}}], exclusive: true}}\ndefault_route: [{{instance: all, format: json}}]\n",
        file("all"),
        file("news"),
    )
}

fn bulkhead(story: &Story, args: &[&str]) -> Output {
    let api = format!("http://{}", story.host.api);
    Command::new(binary()).args(args).args(["--api", &api]).output().expect("runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn get(story: &Story, path: &str) -> Value {
    let response = story.host.get(&format!("/api/integration/{path}")).expect("answers");
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.json().expect("JSON")
}

#[track_caller]
fn refused(story: &Story, path: &str) -> (u16, String) {
    let response = story.host.get(&format!("/api/integration/{path}")).expect("answers");
    (response.status, response.json().expect("JSON")["code"].as_str().unwrap_or_default().to_owned())
}

fn post(story: &Story, path: &str) -> Response {
    let mut client = Client::new(story.host.api).limit(Duration::from_secs(10));
    client.send("POST", &format!("/api/integration/{path}"), &[], b"").expect("answers")
}

/// Runs of this query, newest first.
#[track_caller]
fn runs(story: &Story, query: &str) -> Vec<Value> {
    get(story, &format!("sync-executions?{query}"))["data"].as_array().expect("runs").clone()
}

#[track_caller]
fn until_runs(story: &Story, what: &str, query: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let found = wait::until(what, PATIENCE, || Ok(Some(runs(story, query)).filter(|runs| holds(runs))));
    found.unwrap_or_else(|error| panic!("{error:#}\n{:?}\n{}", runs(story, ""), story.host.log()))
}

fn schedule(story: &Story, instance: &str) -> Value {
    let schedules = get(story, "schedules");
    schedules["data"].as_array().expect("schedules").iter().find(|one| one["instance"] == instance).expect("is there").clone()
}

/// Numbers of the tickets that came, in order.
fn tickets(story: &Story) -> Vec<u64> {
    story.records("all.ndjson").iter().map(|record| record["subject"].as_str().expect("a name").parse().expect("a number")).collect()
}

#[track_caller]
fn until_tickets(story: &Story, want: std::ops::RangeInclusive<u64>) {
    let want: Vec<u64> = want.collect();
    wait::until("the tickets are here", PATIENCE, || Ok((tickets(story) == want).then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}\n{:?}\n{}", tickets(story), story.host.log()));
}

#[test]
fn by_cron_every_run_is_recorded() {
    let desk = desk(5);
    let story = Story::start(&config(&instance("api", &desk, "{cron: \"* * * * * *\", timezone: europe/berlin}")));
    let all = until_runs(&story, "two runs", "instance=api&status=completed", |runs| runs.len() >= 2);
    let first = all.last().expect("there are two");
    assert_eq!((&first["trigger"], &first["initiated_by"], &first["error"]), (&json!("scheduled"), &json!("schedule"), &Value::Null), "{first}");
    assert_eq!((&first["pages"], &first["records"], &first["attempts"]), (&json!(3), &json!(5), &json!(1)), "{first}");
    // Behind the cursor: nothing new, and recorded all the same.
    assert_eq!(all[all.len() - 2]["records"], 0, "{all:?}");
    until_tickets(&story, 1..=5);

    let shown = schedule(&story, "api");
    assert_eq!((&shown["type"], &shown["cron"], &shown["timezone"]), (&json!("cron"), &json!("* * * * * *"), &json!("Europe/Berlin")), "{shown}");
    assert_eq!((&shown["words"], &shown["missed"], &shown["active"]), (&json!("Every second."), &json!("run"), &json!(true)), "{shown}");
    assert!(shown["last_execution"].is_string() && shown["next_execution"].is_string(), "{shown}");

    // By pages, one run on each, none twice.
    let (mut path, mut seen) = ("sync-executions?limit=1&instance=api&status=completed".to_owned(), Vec::new());
    while seen.len() < 2 {
        let page = get(&story, &path);
        seen.push(page["data"][0]["id"].as_str().expect("an id").to_owned());
        path = page["links"]["next"].as_str().expect("another page").trim_start_matches("/api/integration/").to_owned();
    }
    assert!(seen[0] != seen[1] && path.contains("instance=api") && path.contains("status=completed"), "{seen:?} {path}");
    let one = get(&story, &format!("sync-executions/{}", seen[1]));
    assert_eq!((&one["data"]["id"], &one["data"]["status"]), (&json!(seen[1]), &json!("completed")));

    for (path, want) in [
        ("sync-executions?status=done", (400, "bad_field")),
        ("sync-executions?before=7", (400, "bad_id")),
        ("sync-executions?limit=1001", (400, "bad_limit")),
        ("sync-executions?page=2", (400, "unknown_field")),
        ("sync-executions/x", (400, "bad_id")),
        ("sync-executions/00000000-0000-7000-8000-000000000000", (404, "not_found")),
    ] {
        assert_eq!(refused(&story, path), (want.0, want.1.to_owned()), "{path}");
    }
    assert_eq!(runs(&story, "instance=other"), Vec::<Value>::new());
    desk.kept_the_rules();
}

#[test]
fn by_hand_whoever_asks_hears_of_the_end() {
    let desk = desk(3);
    // Neither of them comes by itself.
    let far = "{cron: \"0 0 1 1 *\"}";
    let story = Story::start(&config(&format!("{}{}", instance("api", &desk, far), instance("other", &desk, far))));
    let output = bulkhead(&story, &["pull", "api", "--wait"]);
    let said = stdout(&output);
    assert!(output.status.success() && said.contains("api is asked now") && said.contains("completed, 3 records in 2 pages"), "{output:?}");
    let id = said.lines().next().expect("an id").to_owned();
    until_tickets(&story, 1..=3);
    let run = get(&story, &format!("sync-executions/{id}"))["data"].clone();
    assert_eq!((&run["trigger"], &run["status"], &run["initiated_by"]), (&json!("manual"), &json!("completed"), &json!("whoever is on this machine")), "{run}");
    let told = wait::until("it is told", PATIENCE, || Ok(story.records("news.ndjson").into_iter().find(|news| news["type"] == "bulkhead.sync.completed")));
    let told = told.unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    assert_eq!((&told["subject"], &told["data"]["id"], &told["data"]["records"]), (&json!("api"), &json!(id), &json!(3)), "{told}");

    // The counterpart fails.
    desk.change(|desk| desk.down = true);
    let output = bulkhead(&story, &["--json", "pull", "api", "--wait"]);
    let failed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &failed["status"], &failed["schema_version"]), (Some(1), &json!("failed"), &json!(1)), "{failed}");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("503")), "{failed}");
    assert_eq!(runs(&story, "status=failed").len(), 1);
    let listed = stdout(&bulkhead(&story, &["sync", "list", "--instance", "api", "--status", "failed"]));
    assert!(listed.lines().count() == 1 && listed.contains("\tapi\tmanual\tfailed\t") && listed.contains("503"), "{listed}");
    let shown = stdout(&bulkhead(&story, &["sync", "show", &id]));
    assert!(shown.contains(&format!("id: {id}\n")) && shown.contains("records: 3\n"), "{shown}");
    let schedules = stdout(&bulkhead(&story, &["sync", "schedules"]));
    assert!(schedules.lines().any(|line| line.starts_with("other\tcron\tAt 00:00")), "{schedules}");
    let unknown = bulkhead(&story, &["sync", "show", "00000000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown.status.code(), Some(5), "{unknown:?}");
    // By hand it is not tried again: the next one is next year's.
    assert!(schedule(&story, "api")["next_execution"].as_str().is_some_and(|next| next.ends_with("-01-01T00:00:00Z")), "{}", schedule(&story, "api"));

    // One at a time, and each instance by itself.
    desk.change(|desk| (desk.down, desk.stuck) = (false, Some(3)));
    let begun = post(&story, "instances/api/sync");
    let id = begun.json().expect("JSON")["data"]["id"].as_str().expect("an id").to_owned();
    assert_eq!((begun.status, begun.headers.get("location")), (202, Some(&*format!("/api/integration/sync-executions/{id}"))));
    let second = post(&story, "instances/api/sync");
    let problem = second.json().expect("JSON");
    assert_eq!((second.status, &problem["code"], &problem["errors"][0]["id"]), (409, &json!("sync_running"), &json!(id)), "{problem}");
    until_runs(&story, "it runs", "status=running", |runs| runs.len() == 1);
    assert_eq!(schedule(&story, "api")["running"], json!(id));
    let output = bulkhead(&story, &["pull", "api"]);
    assert!(output.status.success() && stdout(&output).contains(&id) && stdout(&output).contains("is being asked already"), "{output:?}");
    assert!(bulkhead(&story, &["pull", "other"]).status.success());
    let missing = post(&story, "instances/nobody/sync");
    assert_eq!((missing.status, &missing.json().expect("JSON")["code"]), (404, &json!("not_found")));
}

#[test]
fn a_run_that_a_crash_cut_off_is_closed_and_made_up_for() {
    let desk = desk(5);
    desk.change(|desk| desk.stuck = Some(2));
    let story = Story::start(&config(&instance("api", &desk, "{cron: \"* * * * * *\"}")));
    until_tickets(&story, 1..=2);
    let cut = until_runs(&story, "it runs", "status=running", |runs| runs.len() == 1).remove(0);
    // The request under way is not answered any more.
    desk.change(|desk| desk.stuck = None);
    let story = story.crash();
    let all = until_runs(&story, "it is made up for", "status=completed", |runs| !runs.is_empty());
    let next = all.last().expect("one");
    assert_eq!((&next["trigger"], &next["records"]), (&json!("start"), &json!(3)), "{next}");
    let cut = get(&story, &format!("sync-executions/{}", cut["id"].as_str().expect("an id")))["data"].clone();
    assert_eq!((&cut["status"], &cut["trigger"], &cut["error"]), (&json!("failed"), &json!("scheduled"), &json!("the host ended")), "{cut}");
    assert!(cut["ended_at"].is_string(), "{cut}");
    until_tickets(&story, 1..=5);
    desk.kept_the_rules();
}

#[test]
fn what_was_missed_is_run_once_or_skipped() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let clock = WallClock::new(folder.path()).expect("a clock");
    let desk = desk(2);
    let dir = tempfile::TempDir::new().expect("a folder");
    let both = instance("made-up", &desk, "{cron: \"0 6 * * *\", timezone: America/New_York}")
        + &instance("skipped", &desk, "{cron: \"0 6 * * *\", timezone: America/New_York, missed: skip}");
    let mut spec = spec(dir.path(), r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#, &config(&both));
    spec.env = clock.env();
    let story = Story { host: Host::start(spec).expect("starts"), dir };
    let next = |story: &Story| {
        let next = |name| wait::until("the next time is known", PATIENCE, || Ok(schedule(story, name)["next_execution"].as_str().map(str::to_owned)));
        (next("made-up").expect("known"), next("skipped").expect("known"))
    };
    let before = next(&story);
    assert_eq!(before.0, before.1);
    assert_eq!(runs(&story, ""), Vec::<Value>::new());

    // Three times go by while it is down.
    clock.set(3 * DAY).expect("set");
    let story = story.crash();
    let all = until_runs(&story, "one is made up for", "status=completed", |runs| !runs.is_empty());
    assert_eq!((all.len(), &all[0]["instance"], &all[0]["trigger"], &all[0]["records"]), (1, &json!("made-up"), &json!("start"), &json!(2)), "{all:?}");
    let after = next(&story);
    assert!(after.0 == after.1 && after.0 > before.0, "{before:?} {after:?}");
    assert_eq!(runs(&story, "").len(), 1);

    // Another goes by while it runs: the clock is set ahead.
    clock.set(4 * DAY).expect("set");
    let all = until_runs(&story, "both run", "status=completed", |runs| runs.len() == 3);
    assert!(all[..2].iter().all(|run| run["trigger"] == "scheduled") && all[0]["instance"] != all[1]["instance"], "{all:?}");
}

/// A schedule has no place of its own: it is the key `pull` of its instance, or a subscription.
#[test]
fn schedules_are_made_changed_and_deleted_as_what_they_are_parts_of() {
    let desk = desk(3);
    let story = Story::start(&config(&instance("of-file", &desk, "{cron: \"0 0 1 1 *\"}")));
    let definition = json!({"connector": "rest-pull", "config": {"path": "/tickets", "after": "after", "page_size": 2, "source": "api"},
        "destinations": {"primary": {"url": desk.receiver.url(), "methods": ["GET"]}}});
    ask(&story, "POST", "instances", &json!({"name": "api", "definition": definition}), 201);
    ask(&story, "GET", "schedules/api", &Value::Null, 404);

    // What is wrong is said with its place in the request.
    for (schedule, pointer) in [
        (json!({"instance": "api", "schedule_type": "cron", "cron_expression": "every day"}), "/cron_expression"),
        (json!({"instance": "api", "schedule_type": "cron", "cron_expression": "@daily", "timezone": "Mars/Olympus"}), "/timezone"),
        (json!({"instance": "api", "schedule_type": "cron", "cron_expression": "@daily", "missed": "perhaps"}), "/missed"),
        (json!({"instance": "api", "schedule_type": "interval", "interval_minutes": 0}), "/interval_minutes"),
        (json!({"instance": "nobody", "schedule_type": "interval", "interval_minutes": 5}), "/instance"),
        (json!({"instance": "all", "schedule_type": "event", "event_trigger": {"when": {"always": true}}}), "/instance"),
        (json!({"instance": "of-file", "schedule_type": "event", "event_trigger": {"when": {"sometimes": true}}}), "/event_trigger/when"),
    ] {
        let refused = ask(&story, "POST", "schedules", &schedule, 422);
        assert_eq!((&refused["code"], &refused["errors"][0]["pointer"]), (&json!("invalid"), &json!(pointer)), "{schedule}: {refused}");
    }
    let in_file = json!({"instance": "of-file", "schedule_type": "interval", "interval_minutes": 5});
    assert_eq!(ask(&story, "POST", "schedules", &in_file, 409)["code"], "in_file");
    assert_eq!(ask(&story, "PUT", "schedules/of-file", &in_file, 409)["code"], "in_file");
    assert_eq!(ask(&story, "DELETE", "schedules/of-file", &Value::Null, 409)["code"], "in_file");

    // By an interval it begins at once.
    let made = request(&story, "POST", "schedules", &[], &json!({"instance": "api", "schedule_type": "interval", "interval_minutes": 60}));
    assert_eq!(
        (made.status, made.headers.get("location"), made.headers.get("etag")),
        (201, Some("/api/integration/schedules/api"), Some("\"2\"")),
        "{}",
        made.text()
    );
    let made = made.json().expect("JSON")["data"].clone();
    assert_eq!(
        (&made["id"], &made["schedule_type"], &made["interval_minutes"], &made["is_active"]),
        (&json!("api"), &json!("interval"), &json!(60.0), &json!(true)),
        "{made}"
    );
    until_tickets(&story, 1..=3);
    assert_eq!(ask(&story, "GET", "instances/api", &Value::Null, 200)["data"]["definition"]["pull"], json!({"interval": "3600s", "enabled": true}));
    assert_eq!(ask(&story, "POST", "schedules", &json!({"instance": "api", "schedule_type": "interval", "interval_minutes": 5}), 409)["code"], "exists");

    // Another one in its place, under the version of the instance.
    let cron = json!({"schedule_type": "cron", "cron_expression": "0 6 * * *", "timezone": "europe/berlin", "missed": "skip"});
    assert_eq!(request(&story, "PUT", "schedules/api", &[("If-Match", "\"1\"")], &cron).status, 412);
    let put = request(&story, "PUT", "schedules/api", &[("If-Match", "\"2\"")], &cron);
    assert_eq!((put.status, put.headers.get("etag")), (200, Some("\"3\"")), "{}", put.text());
    let shown = ask(&story, "GET", "schedules/api", &Value::Null, 200)["data"].clone();
    assert_eq!(
        (&shown["cron_expression"], &shown["timezone"], &shown["missed"], &shown["origin"]),
        (&json!("0 6 * * *"), &json!("Europe/Berlin"), &json!("skip"), &json!("stored")),
        "{shown}"
    );
    // Switched off it begins nothing, and who asks by hand is served.
    let off = json!({"schedule_type": "cron", "cron_expression": "* * * * * *", "is_active": false});
    let off = ask(&story, "PUT", "schedules/api", &off, 200)["data"].clone();
    assert_eq!((&off["is_active"], &off["active"], &off["next_execution"]), (&json!(false), &json!(false), &Value::Null), "{off}");
    desk.change(|desk| desk.count = 4);
    let output = bulkhead(&story, &["pull", "api", "--wait"]);
    assert!(output.status.success(), "{output:?}");
    until_tickets(&story, 1..=4);
    assert!(runs(&story, "instance=api").iter().all(|run| run["trigger"] != "scheduled"), "{:?}", runs(&story, "instance=api"));

    // By events: a subscription, which the instance is needed for.
    let by_event =
        json!({"instance": "api", "schedule_type": "event", "event_trigger": {"name": "on-login", "when": {"event_type": "login"}, "min_interval_seconds": 1}});
    let made = ask(&story, "POST", "schedules", &by_event, 201)["data"].clone();
    assert_eq!((&made["id"], &made["event_trigger"], &made["min_interval_seconds"]), (&json!("event:on-login"), &json!("on-login"), &json!(1.0)), "{made}");
    assert_eq!(ask(&story, "GET", "event-subscriptions/on-login", &Value::Null, 200)["data"]["definition"]["action"]["instance"], "api");
    let refused = ask(&story, "DELETE", "schedules/api", &Value::Null, 409);
    assert_eq!((&refused["code"], &refused["errors"][0]["key"]), (&json!("in_use"), &json!("subscriptions.on-login")), "{refused}");
    desk.change(|desk| desk.count = 5);
    story.accept("application/x-ndjson", "{\"id\":\"l-1\",\"type\":\"login\"}\n");
    until_runs(&story, "the event's run", "instance=api&status=completed", |runs| runs.iter().any(|run| run["trigger"] == "event"));
    let quiet = json!({"schedule_type": "event", "event_trigger": {"when": {"event_type": "logout"}}, "is_active": false});
    assert_eq!(ask(&story, "PUT", "schedules/event:on-login", &quiet, 200)["data"]["is_active"], false);
    assert_eq!(ask(&story, "PUT", "schedules/event:on-login", &cron, 422)["errors"][0]["pointer"], "/schedule_type");
    ask(&story, "DELETE", "schedules/event:on-login", &Value::Null, 200);
    ask(&story, "DELETE", "schedules/api", &Value::Null, 200);
    assert!(ask(&story, "GET", "instances/api", &Value::Null, 200)["data"]["definition"].get("pull").is_none());
    ask(&story, "GET", "schedules/api", &Value::Null, 404);
    ask(&story, "DELETE", "schedules/api", &Value::Null, 404);
    desk.kept_the_rules();
}
