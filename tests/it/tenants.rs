//! Tenants: customers of one host, who see, change and reach what is theirs and nothing of each other's, nor of the
//! operator's. Two of them, `aster` and `zebra`, each with one of everything; what is the operator's is called `quill`.

use std::collections::BTreeMap;

use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::receiver::Receiver;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::access::{Guarded, PATH, err, out, problem, rows};
use crate::story::{PATIENCE, Story, envelopes, file, receiver};
use crate::tap::Listener;

const API: &str = "/api/integration/";
const ROLES: [&str; 6] = ["security_admin", "security_analyst", "security_viewer", "integration_admin", "auditor", "api_service"];
/// What the operator sets: the loopback is lent, and each tenant has an address of its own.
const CONFIG: &str = "encryption: {key: 'qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM='}
stored: {webhooks: {http: true, allow: [127.0.0.0/8]}, directories: [./out]}
event_index: {enabled: true, body: true}
own_events: {enabled: true}
inbound:
  aster-in: {tenant: aster, key: aster-address-0123456789abcdef, type: aster.note, verify: {type: none}}
  zebra-in: {tenant: zebra, key: zebra-address-0123456789abcdef, type: zebra.note, verify: {type: none}}
  quill-in: {key: quill-address-0123456789abcdef, type: quill.note, verify: {type: none}}
credentials:
  quill-secret: {type: bearer, token: nothing-to-see}
routes:
  - {id: quill-all, when: {always: true}, to: [{instance: quill-file, format: jsonl}]}
";

struct Town {
    guarded: Guarded,
    /// By tenant.
    keys: BTreeMap<&'static str, String>,
    refusing: Receiver,
    hook: Receiver,
}

impl Town {
    /// A host with both tenants, each with a key that may do everything within.
    fn start() -> Self {
        let listen = r#"{api: {addr: "127.0.0.1:0", auth: [keys, users], public_url: "http://127.0.0.1:1"}, http: "127.0.0.1:0"}"#;
        let guarded = Guarded::of(Story::listening(listen, &format!("{CONFIG}instances:\n{}", file("quill-file"))));
        let key = |tenant: &'static str| {
            let made = guarded.make(json!({"name": format!("{tenant} in person"), "tenant": tenant, "roles": ROLES, "rate": 10_000}));
            assert_eq!(guarded.shown(&made.1)["tenant"], tenant);
            (tenant, made.0)
        };
        let keys = BTreeMap::from([key("aster"), key("zebra")]);
        Self { guarded, keys, refusing: receiver("400*"), hook: receiver("") }
    }

    fn ask(&self, who: &str, method: &str, path: &str, body: &Value) -> Response {
        let key = self.keys.get(who).unwrap_or(&self.guarded.first);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{API}{path}") };
        let mut client = Client::new(self.guarded.story.host.api).limit(PATIENCE);
        let headers = [("Authorization", format!("Bearer {key}")), ("Content-Type", "application/json".to_owned()), ("If-Match", "\"1\"".to_owned())];
        // Only a change of what is there is held to a version.
        let some = if method == "PUT" { 3 } else { 2 };
        let headers: Vec<(&str, &str)> = headers[..some].iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.send(method, &path, &headers, body.as_bytes()).expect("answers")
    }

    #[track_caller]
    fn told(&self, who: &str, method: &str, path: &str, body: &Value, want: u16) -> Value {
        let answer = self.ask(who, method, path, body);
        assert_eq!(answer.status, want, "{who} {method} {path}: {}\n{}", answer.text(), self.guarded.story.host.log());
        if answer.status == 204 { Value::Null } else { answer.json().expect("JSON") }
    }

    #[track_caller]
    fn until(&self, who: &str, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait::until(path, PATIENCE, || {
            last = self.told(who, "GET", path, &Value::Null, 200);
            Ok(holds(&last).then(|| last.clone()))
        });
        found.unwrap_or_else(|error| panic!("{error:#}\n{last:#}\n{}", self.guarded.story.host.log()))
    }

    /// One of everything, made by the tenant itself: what is made is its own, though it does not say so.
    fn furnish(&self, tenant: &str) {
        let (refusing, hook) = (self.refusing.url(), self.hook.url());
        let name = |part: &str| format!("{tenant}-{part}");
        let hec = json!({
            "connector": "splunk-hec", "destinations": {"primary": {"url": refusing, "credential": name("secret")}},
            "retry": {"initial": "10ms", "max": "50ms"}, "circuit_breaker": {"failure_threshold": 1000},
        });
        let pull = json!({
            "connector": "rest-pull", "config": {"path": "/list", "kind": "k", "id": "/id", "time": "/t"}, "pull": {"interval": "1h"},
            "destinations": {"primary": {"url": refusing, "methods": ["GET"]}},
        });
        let files = json!({"connector": "file", "config": {"path": "all.ndjson"}, "files": {"primary": {"dir": format!("./out/{tenant}"), "access": "write"}}, "concurrency": 1});
        let to = |part: &str, format: &str| json!([{"instance": name(part), "format": format}]);
        for (section, part, definition) in [
            ("auth-configs", "secret", json!({"type": "header", "name": "Authorization", "value": format!("secret of {tenant}")})),
            ("formatters", "format", json!({"formatter": "cef"})),
            ("instances", "siem", hec),
            ("instances", "pull", pull),
            ("instances", "file", files),
            ("webhooks", "hook", json!({"url": hook, "events": [format!("{tenant}.alarm")], "retry": {"initial": "10ms"}})),
            (
                "routes",
                "alarms",
                json!({"when": {"event_type": format!("{tenant}.alarm")}, "to": to("siem", &name("format")), "exclusive": true, "priority": 1}),
            ),
            ("routes", "all", json!({"when": {"always": true}, "to": to("file", "jsonl")})),
            ("event-subscriptions", "wish", json!({"when": {"never": true}, "action": {"type": "notification", "instance": name("file"), "format": "jsonl"}})),
        ] {
            let made = self.told(tenant, "POST", section, &json!({"name": name(part), "definition": definition}), 201);
            assert_eq!(made["data"]["definition"]["tenant"], tenant, "{made}");
        }
        let mapping = json!({"name": name("map"), "field_mappings": [{"to": "a", "from": "/id"}]});
        assert_eq!(self.told(tenant, "POST", "mappings", &mapping, 201)["data"]["tenant"], tenant);
        let user = json!({"name": name("ann"), "roles": ["security_viewer"], "password": "a long enough one"});
        assert_eq!(self.told(tenant, "POST", "users", &user, 201)["data"]["tenant"], tenant);
    }

    /// Events of both, by each of their doors; and one of nobody's. Everything that comes of them has come.
    fn live(&self) {
        for tenant in ["aster", "zebra"] {
            let alarm = json!({"id": format!("{tenant}-1"), "type": format!("{tenant}.alarm"), "source": "/s", "tenant": "elsewhere"});
            assert_eq!(self.told(tenant, "POST", "/api/v2/events", &alarm, 201)["data"]["id"], format!("{tenant}-1"));
            let note = json!({"specversion": "1.0", "id": format!("{tenant}-2"), "source": "/s", "type": format!("{tenant}.note")}).to_string();
            let door = format!("/api/integration/webhook/{tenant}-address-0123456789abcdef");
            let media = [("Content-Type", "application/cloudevents+json")];
            let taken = self.guarded.story.host.post_with(&door, &media, note.as_bytes()).expect("answers");
            assert!(taken.status < 300, "{}", taken.text());
        }
        self.guarded.story.accept("application/json", r#"{"id":"quill-1","type":"quill.alarm","source":"/s"}"#);
        self.until("quill", "dead-letters", |page| page["meta"]["total"] == 2);
        for tenant in ["aster", "zebra"] {
            self.until(tenant, &format!("webhooks/{tenant}-hook/deliveries?status=delivered"), |page| page["meta"]["count"] == 1);
            self.told(tenant, "POST", &format!("instances/{tenant}-pull/sync"), &Value::Null, 202);
            self.until(tenant, "sync-executions?status=failed", |page| page["meta"]["count"].as_u64() >= Some(1));
            let begun = json!({"lane": format!("{tenant}-file/jsonl"), "since": "beginning"});
            self.told(tenant, "POST", "replays", &begun, 202);
        }
        self.until("quill", "/api/v2/events", |page| page["meta"]["index"]["behind"] == 0);
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        self.guarded.story.records(name)
    }

    /// What stands in the place of names in a path: of a tenant, as the host knows it.
    fn things(&self, tenant: &str) -> BTreeMap<&'static str, String> {
        let first = |path: &str| {
            let page = self.told("quill", "GET", path, &Value::Null, 200);
            let found = page["data"].as_array().expect("a list").iter().find(|one| one.to_string().contains(tenant)).cloned();
            found.unwrap_or_else(|| panic!("nothing of {tenant} in {path}: {page:#}"))["id"].to_string().trim_matches('"').to_owned()
        };
        let mut things: BTreeMap<&'static str, String> = [
            ("auth-configs", "secret"),
            ("formatters", "format"),
            ("mappings", "map"),
            ("instances", "siem"),
            ("schedules", "pull"),
            ("routes", "all"),
            ("webhooks", "hook"),
            ("event-subscriptions", "wish"),
            ("logs", "siem"),
            ("metrics", "siem"),
            ("inbound", "in"),
            ("users", "ann"),
            ("events", "1"),
        ]
        .map(|(of, part)| (of, format!("{tenant}-{part}")))
        .into();
        things.insert("deliveries", first(&format!("webhooks/{tenant}-hook/deliveries")));
        things.extend(["dead-letters", "replays", "sync-executions", "api-keys"].map(|of| (of, first(of))));
        things
    }
}

/// Names that nothing has.
fn nothing() -> BTreeMap<&'static str, String> {
    let mut things: BTreeMap<&'static str, String> = [
        "auth-configs",
        "formatters",
        "mappings",
        "instances",
        "schedules",
        "routes",
        "webhooks",
        "event-subscriptions",
        "logs",
        "metrics",
        "inbound",
        "users",
        "events",
    ]
    .map(|of| (of, "absent-thing".to_owned()))
    .into();
    let number = || "987654".to_owned();
    things.extend([("deliveries", number()), ("dead-letters", number()), ("replays", number())]);
    things.extend([("sync-executions", "00000000-0000-7000-8000-000000000000".to_owned()), ("api-keys", "0000000000000000".to_owned())]);
    things
}

/// A path of the table with such things in it.
fn filled(path: &str, things: &BTreeMap<&'static str, String>) -> String {
    let mut out: Vec<&str> = Vec::new();
    for part in path.split('/') {
        let of = *out.last().unwrap_or(&"");
        out.push(if part.starts_with('{') { things.get(of).map_or("x", String::as_str) } else { part });
    }
    out.join("/")
}

/// Something that the endpoint would take.
fn body(method: &str, path: &str) -> Value {
    match path.rsplit('/').next().unwrap_or_default() {
        "rollback" => json!({"version": 1}),
        "query" => json!({"operation": "get"}),
        "password" => json!({"password": "another long one"}),
        "event" => json!({"id": "e", "type": "t", "source": "/s"}),
        "test" if path.contains("mappings") => json!({"samples": [{"id": "1"}]}),
        "capture" if method == "POST" => json!({"deliveries": 1}),
        _ if method == "PUT" && path.contains("/mappings/") => json!({"field_mappings": []}),
        _ if method == "PUT" && path.contains("/schedules/") => json!({"schedule_type": "interval", "interval_minutes": 5}),
        "test" if path.contains("formatters") => json!({"events": [{"id": "1"}]}),
        _ if method == "PUT" && path.contains("/users/") => json!({"roles": ["auditor"]}),
        _ if method == "PUT" => json!({"definition": {}}),
        _ => Value::Null,
    }
}

/// What a text says whatever the things are called that were asked for.
fn without(text: &str, things: &BTreeMap<&'static str, String>) -> String {
    let mut names: Vec<&String> = things.values().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text.to_owned(), |text, name| text.replace(name.as_str(), "•"))
}

/// The third leg of the table of endpoints: what is another tenant's is there as little as what is nowhere; lists hold
/// nothing of it; what is about the host is not for people of a tenant. And events go no other way.
#[test]
fn nobody_sees_or_touches_what_is_another_tenants() {
    let town = Town::start();
    town.furnish("aster");
    town.furnish("zebra");
    let mut live = Listener::of(&town.guarded.story, "body=true", &town.keys["aster"]);
    town.live();

    // The way of the events: each tenant's rules saw its own, and held nothing back from the operator's.
    let ids = |name: &str| {
        town.lines(name).iter().filter_map(|line| line["id"].as_str().filter(|id| id.contains('-') && id.len() < 9).map(str::to_owned)).collect::<Vec<_>>()
    };
    for tenant in ["aster", "zebra"] {
        // What came in, and the lane read again; alarms end at the tenant's rule before.
        wait::until("the lane was read again", PATIENCE, || Ok((ids(&format!("{tenant}/all.ndjson")).len() >= 2).then_some(()))).expect("read");
        let mut own = ids(&format!("{tenant}/all.ndjson"));
        own.dedup();
        assert_eq!(own, [format!("{tenant}-2")]);
    }
    wait::until("the operator has all", PATIENCE, || Ok((ids("quill-file.ndjson").len() >= 5).then_some(()))).expect("all");
    let hooked: Vec<String> = town.hook.kept().iter().map(|kept| String::from_utf8_lossy(&kept.body).into_owned()).collect();
    assert!(hooked.len() == 2 && hooked.iter().all(|body| !(body.contains("aster") && body.contains("zebra"))), "{hooked:?}");
    let sent = town.refusing.kept();
    let sent: Vec<(Option<&str>, String)> =
        sent.iter().filter(|kept| !kept.body.is_empty()).map(|kept| (kept.head.headers.get("authorization"), format!("{:?}", envelopes(kept)))).collect();
    for (credential, events) in &sent {
        let (own, other) = if credential.is_some_and(|secret| secret.contains("aster")) { ("aster", "zebra") } else { ("zebra", "aster") };
        assert!(events.contains(own) && !events.contains(other), "{credential:?} {events}");
    }
    // The live view: events of its own, what its own instances did, and no name of a rule or lane beside them.
    let seen = std::cell::RefCell::new(Vec::new());
    live.until(1, |event, data| {
        seen.borrow_mut().push(data.clone());
        event == "accepted" && data["id"] == "aster-2"
    });
    let text = json!(seen.take()).to_string();
    assert!(text.contains("aster-file/jsonl") && text.contains("aster-all") && !text.contains("quill") && !text.contains("zebra"), "{text}");
    for query in ["instance=zebra-siem", "route=zebra-all", "instance=quill-file", "route=quill-all"] {
        problem(&town.ask("aster", "GET", &format!("tap?{query}"), &Value::Null), 404, "not_found");
    }

    // Lists: whatever the host finds of both, each finds of its own.
    let mut lists = 0;
    for row in rows("endpoints").iter().filter(|row| row[0] == "GET" && row[3] == "what is their tenant's" && !row[1].contains('{')) {
        let path = row[1].as_str();
        if path.ends_with("/tap") {
            continue;
        }
        let path = if path.ends_with("trail") { format!("{path}?kind=change") } else { path.to_owned() };
        town.until("quill", &path, |page| ["aster", "zebra"].iter().all(|tenant| page.to_string().contains(tenant)));
        for (own, other) in [("aster", "zebra"), ("zebra", "aster")] {
            let page = town.until(own, &path, |page| page.to_string().contains(own)).to_string();
            assert!(!page.contains(other) && !page.contains("quill"), "{own} {path}: {page}");
        }
        lists += 1;
    }
    assert!(lists >= 20, "{lists}");

    // What has a name or a number: there for the host and its owner, and for nobody else.
    let (theirs, absent) = (town.things("zebra"), nothing());
    let (mut asked, mut host_only) = (0, 0);
    for row in rows("endpoints") {
        let (method, path) = (row[0].as_str(), row[1].as_str());
        if row[3] == "403 `host_only" || row[3].contains("host_only") {
            problem(&town.ask("aster", method, &filled(path, &theirs), &Value::Null), 403, "host_only");
            host_only += 1;
            continue;
        }
        // Components are everybody's.
        if row[3] != "what is their tenant's" || !path.contains('{') || path.contains("/connectors/") {
            continue;
        }
        if method == "GET" && !path.contains("/tap") {
            for who in ["quill", "zebra"] {
                let path = filled(path, &theirs);
                assert_eq!(town.ask(who, "GET", &path, &Value::Null).status, 200, "{who} {path}");
            }
        }
        let answer = |things| town.ask("aster", method, &filled(path, things), &body(method, path));
        let (hidden, none) = (answer(&theirs), answer(&absent));
        assert_eq!((hidden.status, none.status), (404, 404), "{method} {path}: {} / {}", hidden.text(), none.text());
        assert_eq!(without(&hidden.text(), &theirs), without(&none.text(), &absent), "{method} {path}");
        asked += 1;
    }
    assert!(asked >= 55 && host_only >= 7, "{asked} {host_only}");
    // Nothing of it was done, nor said to those whom it was about.
    assert_eq!(town.things("zebra"), theirs);
    let log = town.told("zebra", "GET", "logs?limit=1000", &Value::Null, 200).to_string();
    assert!(!log.contains("aster"), "{log}");
    let refusals = town.told("aster", "GET", "audit/trail?kind=refusal", &Value::Null, 200);
    assert!(refusals["data"].as_array().is_some_and(|all| all.iter().any(|one| one["code"] == "host_only" && one["tenant"] == "aster")), "{refusals}");
    // The same of the operator's, and of what is in the file.
    problem(&town.ask("aster", "GET", "instances/quill-file", &Value::Null), 404, "not_found");
    problem(&town.ask("aster", "POST", "instances/quill-file/pause", &Value::Null), 404, "not_found");

    // Changes that name nothing mean one's own.
    let purged = town.told("aster", "POST", "dead-letters/purge", &json!({"all": true}), 200);
    assert_eq!(purged["purged"], 1, "{purged}");
    let replayed = town.told("zebra", "POST", "dead-letters/replay", &json!({"all": true}), 202);
    assert_eq!((&replayed["replaying"], &replayed["without_lane"]), (&json!(1), &json!(0)), "{replayed}");
}

/// References, names, what is lent, and who may give what out.
#[test]
fn a_tenant_makes_and_names_its_own_alone() {
    let town = Town::start();
    town.furnish("zebra");
    let make = |who: &str, section: &str, name: &str, definition: Value, want: u16| {
        town.told(who, "POST", section, &json!({"name": name, "definition": definition}), want)
    };
    let url = town.refusing.url();
    let hec = |destination: Value| json!({"connector": "splunk-hec", "destinations": {"primary": destination}});
    make("aster", "instances", "aster-siem", hec(json!(url)), 201);

    // Another's thing is as little there as one that is nowhere, hints included.
    let route = |to: &str, format: &str| json!({"when": {"always": true}, "to": [{"instance": to, "format": format}]});
    let action = |action: Value| json!({"when": {"always": true}, "action": action});
    for (section, theirs, absent) in [
        ("routes", route("zebra-siem", "cef"), route("zebru-siem", "cef")),
        ("routes", route("quill-file", "cef"), route("quilo-file", "cef")),
        ("routes", route("webhook.zebra-hook", "cef"), route("webhook.zebru-hook", "cef")),
        ("instances", hec(json!({"url": url, "credential": "zebra-secret"})), hec(json!({"url": url, "credential": "zebru-secret"}))),
        ("instances", hec(json!({"url": url, "credential": "quill-secret"})), hec(json!({"url": url, "credential": "quilo-secret"}))),
        ("event-subscriptions", action(json!({"type": "webhook", "webhook": "zebra-hook"})), action(json!({"type": "webhook", "webhook": "zebru-hook"}))),
        ("event-subscriptions", action(json!({"type": "sync", "instance": "zebra-pull"})), action(json!({"type": "sync", "instance": "zebru-pull"}))),
    ] {
        let refused = |definition: Value| {
            make("aster", section, "aster-new", definition, 422)
                .to_string()
                .replace("zebra-", "•-")
                .replace("zebru-", "•-")
                .replace("quill-", "•-")
                .replace("quilo-", "•-")
        };
        let (one, other) = (refused(theirs), refused(absent));
        assert_eq!(one, other, "{section}");
        assert!(!one.contains("zebra") && !one.contains("quill"), "{one}");
    }
    // Its formats are its own lanes' business: the same name is a formatter as it is to others.
    let shadow = make("aster", "formatters", "cef", json!({"formatter": "json"}), 409);
    assert_eq!(shadow["code"], "exists");
    let tried = |who: &str| {
        town.told(who, "POST", "formatters/zebra-format/test", &json!({"definition": {"formatter": "cef"}, "events": [{"id": "1", "type": "t"}]}), 200)
    };
    assert!(tried("aster")["data"][0]["record"].as_str().is_some_and(|record| record.starts_with("CEF:")));

    // Whose it is: what is said otherwise is refused, and it stays.
    let other = make("aster", "instances", "aster-new", json!({"tenant": "zebra", "connector": "splunk-hec", "destinations": {"primary": url}}), 422);
    assert_eq!((&other["code"], &other["errors"][0]["pointer"]), (&json!("other_tenant"), &json!("/definition/tenant")));
    let taken = make("aster", "instances", "zebra-siem", hec(json!(url)), 409);
    assert!(taken["code"] == "exists" && !taken["detail"].as_str().expect("words").contains("tenant"), "{taken}");
    assert_eq!(make("aster", "instances", "quill-file", hec(json!(url)), 409)["code"], "exists");
    let moved = json!({"definition": {"tenant": "zebra", "connector": "splunk-hec", "destinations": {"primary": url}}});
    problem(&town.ask("quill", "PUT", "instances/aster-siem", &moved), 422, "other_tenant");
    let kept = json!({"definition": {"connector": "splunk-hec", "destinations": {"primary": url}, "concurrency": 2}});
    assert_eq!(town.told("quill", "PUT", "instances/aster-siem", &kept, 200)["data"]["definition"]["tenant"], "aster", "what is left out stays");

    // A customer reaches no neighbour of the host, and no folder but its own.
    for (definition, part) in [
        (hec(json!("http://10.1.2.3:8088")), "`10.1.2.3` is no public address"),
        (hec(json!({"url": "https://siem.example", "addresses": ["10.0.0.0/8"]})), "is not lent"),
        (hec(json!({"url": "https://siem.example", "allow_metadata": true})), "not for entries of a tenant"),
        (
            json!({"connector": "file", "config": {"path": "x"}, "files": {"primary": {"dir": "./out/zebra", "access": "read"}}}),
            "no directory that stored entries may use",
        ),
        (json!({"connector": "file", "config": {"path": "x"}, "files": {"primary": {"dir": "./out/aster/../zebra", "access": "read"}}}), "no directory"),
    ] {
        let refused = make("aster", "instances", "aster-new", definition, 422).to_string();
        assert!(refused.contains(part), "{part}: {refused}");
    }

    // The operator may route to a tenant; the tenant hears that something is in the way, and not what.
    make("quill", "routes", "quill-to-aster", route("aster-siem", "cef"), 201);
    let held = town.told("aster", "DELETE", "instances/aster-siem", &Value::Null, 409).to_string();
    assert!(held.contains("in_use") && held.contains("not yours") && !held.contains("quill"), "{held}");
    town.told("quill", "DELETE", "routes/quill-to-aster", &Value::Null, 200);

    // Many at once: what is not named of one's own goes, and nothing of anybody else's.
    make("aster", "routes", "aster-route", route("aster-siem", "cef"), 201);
    let exported = town.told("aster", "GET", "export", &Value::Null, 200);
    assert_eq!(exported["meta"]["total"], 2, "{exported}");
    let entries: Vec<Value> = exported["data"].as_array().expect("a list").iter().filter(|entry| entry["section"] == "instances").cloned().collect();
    let done = town.told("aster", "POST", "import", &json!({"entries": entries, "prune": true}), 200);
    assert!(!done.to_string().contains("zebra") && done.to_string().contains("aster-route"), "{done}");
    assert_eq!(town.told("zebra", "GET", "export", &Value::Null, 200)["meta"]["total"], 10);

    // Keys and people: of one's own tenant alone, found by nobody else.
    let cli = |who: &str, args: &[&str]| town.guarded.cli(town.keys.get(who).unwrap_or(&town.guarded.first), args);
    let made = cli("aster", &["key", "create", "for a program", "--role", "api_service"]);
    assert!(made.status.success() && err(&made).contains("tenant aster"), "{}", err(&made));
    let refused = cli("aster", &["key", "create", "x", "--role", "auditor", "--tenant", "zebra"]);
    assert!(refused.status.code() == Some(2) || refused.status.code() == Some(1), "{:?} {}", refused.status, err(&refused));
    assert!(err(&refused).contains("what you make is of `aster`"), "{}", err(&refused));
    assert!(err(&cli("quill", &["key", "create", "x", "--role", "auditor", "--tenant", "NO"])).contains("is no tenant"));
    let listed = out(&cli("quill", &["key", "list"]));
    assert!(listed.contains("tenant zebra") && listed.contains("for a program"), "{listed}");
    assert!(!out(&cli("aster", &["key", "list"])).contains("zebra"));
    let ann = json!({"name": "zebra-ann", "roles": ["auditor"], "password": "a long enough one"});
    problem(&town.ask("aster", "POST", "users", &ann), 409, "exists");
    problem(
        &town.ask("aster", "POST", "users", &json!({"name": "bob", "tenant": "zebra", "roles": ["auditor"], "password": "a long enough one"})),
        400,
        "bad_field",
    );
    // Somebody of a tenant who signs in is of that tenant, and administers it alone.
    town.told("zebra", "POST", "users", &json!({"name": "zoe", "roles": ["security_admin"], "password": "a long enough one"}), 201);
    let login = town.guarded.send("POST", "/api/v2/auth/login", &[], r#"{"username": "zoe", "password": "a long enough one"}"#);
    let token = login.json().expect("JSON")["access_token"].as_str().expect("a token").to_owned();
    let keys = town.guarded.with(&token, "GET", PATH, "").text();
    assert!(keys.contains("zebra in person") && !keys.contains("aster") && !keys.contains("\"first\""), "{keys}");
    let minted = town.guarded.with(&token, "POST", PATH, r#"{"name": "hers", "roles": ["auditor"]}"#).json().expect("JSON");
    assert_eq!(minted["data"]["tenant"], "zebra", "{minted}");
    // A key of the host is still what keeps the door: the last of them stays, however many administrators tenants have.
    problem(&town.guarded.with(&town.guarded.first, "DELETE", &format!("{PATH}/{}", &town.guarded.first[4..20]), ""), 409, "last_admin");
}

/// An instance that goes leaves nothing to the next of its name: no log, figure or receipt, and no dead letter.
#[test]
fn a_name_that_changes_hands_brings_nothing_along() {
    let town = Town::start();
    let url = town.refusing.url();
    let instance = json!({"name": "siem", "definition": {"connector": "splunk-hec", "destinations": {"primary": url}}});
    let route = json!({"name": "siem", "definition": {"when": {"always": true}, "to": [{"instance": "siem", "format": "cef"}]}});
    let furnish = |who: &str| {
        town.told(who, "POST", "instances", &instance, 201);
        town.told(who, "POST", "routes", &route, 201);
    };
    furnish("zebra");
    town.told("zebra", "POST", "/api/v2/events", &json!({"id": "zebra-1", "type": "t", "source": "/s"}), 201);
    town.until("zebra", "dead-letters", |page| page["meta"]["total"] == 1);
    for path in ["logs/siem", "metrics/siem", "audit/receipts"] {
        town.until("zebra", path, |page| page["data"].as_array().is_some_and(|all| !all.is_empty()));
    }
    town.told("zebra", "DELETE", "routes/siem", &Value::Null, 200);
    town.told("zebra", "DELETE", "instances/siem", &Value::Null, 200);
    furnish("aster");
    for path in ["audit/receipts", "dead-letters", "sync-executions"] {
        let page = town.told("aster", "GET", path, &Value::Null, 200);
        assert_eq!(page["data"], json!([]), "{path}: {page}");
    }
    // Looks at the new one may have been counted by now.
    let figures = town.told("aster", "GET", "metrics/siem", &Value::Null, 200);
    assert!(figures["data"].as_array().is_some_and(|all| all.iter().all(|one| one["operations"] == 0)), "{figures}");
    let logs = town.told("aster", "GET", "logs/siem", &Value::Null, 200).to_string();
    assert!(!logs.contains("zebra") && !logs.contains("dead letters"), "{logs}");
    // The letter is still its owner's, and does not go to the lane that has its name now; not for the host either.
    let sent = town.refusing.kept().len();
    for who in ["zebra", "quill"] {
        let replayed = town.told(who, "POST", "dead-letters/replay", &json!({"all": true}), 202);
        assert_eq!((&replayed["replaying"], replayed["without_lane"].as_u64()), (&json!(0), Some(1)), "{who}: {replayed}");
    }
    assert_eq!(town.refusing.kept().len(), sent);
    assert_eq!(town.told("zebra", "GET", "dead-letters", &Value::Null, 200)["meta"]["total"], 1);
}
