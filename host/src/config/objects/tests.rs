use std::path::Path;

use super::*;
use crate::config::{Config, Entry, Fault};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn with(file: &str, entries: &[Entry]) -> Result<Config, Vec<Fault>> {
    Config::parse(Path::new("bulkhead.yaml"), file, &|_| None)?.with_entries(entries, &|_| None)
}

fn webhook(url: &str) -> Json {
    json!({"url": url, "secret": [SECRET]})
}

fn entry(section: Section, name: &str, definition: Json) -> Entry {
    Entry { section, name: name.into(), definition }
}

/// What is wrong with one stored webhook: key and message.
#[track_caller]
fn check(file: &str, definition: Json, want: &[(&str, &str)]) {
    let found: Vec<(String, String)> = match with(file, &[entry(Section::Webhooks, "orders", definition)]) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| (fault.key, fault.message)).collect(),
    };
    assert_eq!(found.len(), want.len(), "{found:?}");
    for ((key, message), (wanted, words)) in found.iter().zip(want) {
        assert!(key == wanted && message.contains(words), "{key}: {message}, wanted {wanted}: {words}");
    }
}

#[test]
fn a_webhook_is_an_instance_a_credential_and_a_route() {
    let mut definition = webhook("https://hooks.example/in?token=a");
    definition["events"] = json!(["SecurityEvent", "audit.*"]);
    definition["when"] = json!({"min_severity": "high"});
    definition["headers"] = json!({"X-Team": "blue"});
    let config = with("", &[entry(Section::Webhooks, "orders", definition)]).expect("valid");
    let instance = &config.instances[0];
    assert_eq!((instance.name.as_str(), instance.connector.as_str(), instance.batch.max_events), ("webhook.orders", "webhook", 1));
    assert_eq!(instance.config.json, json!({"mode": "each", "webhook_id": "orders", "headers": {"x-team": "blue"}}));
    assert!(instance.destinations[0].credential().is_some());
    let route = &config.routes[0];
    assert!(&*route.id == "webhook.orders" && route.beside && !route.exclusive && route.priority < 0, "{route:?}");
    assert_eq!(config.merged.maker(Section::Instances, "webhook.orders").as_deref(), Some("webhooks/orders"));
    assert_eq!(config.merged.maker(Section::Instances, "orders"), None);
    let known = &config.webhooks[0];
    assert_eq!((known.name.as_str(), known.format.as_str(), known.enabled, known.disable_after.as_secs()), ("orders", "cloudevents", true, 5 * 86_400));
    // The secret is shown nowhere.
    assert!(!config.effective().to_string().contains(SECRET), "{}", config.effective());
}

#[test]
fn a_webhook_of_the_file_is_the_same_and_reaches_what_the_file_says() {
    let file = format!("webhooks:\n  orders: {{url: \"http://127.0.0.1:9/in\", secret: {SECRET}}}\n");
    let config = with(&file, &[]).expect("valid");
    assert_eq!(config.instances[0].name, "webhook.orders");
    // Its credential is not for stored instances.
    let taken = json!({"connector": "webhook", "destinations": {"primary": {"url": "https://elsewhere.example", "credential": "webhook.orders"}}});
    let faults = with(&file, &[entry(Section::Instances, "other", taken)]).expect_err("refused");
    assert_eq!(faults[0].key, "instances.other.destinations.primary.credential");
}

#[test]
fn a_disabled_webhook_wants_nothing_and_keeps_nothing() {
    let mut definition = webhook("https://hooks.example");
    definition["enabled"] = json!(false);
    let config = with("", &[entry(Section::Webhooks, "orders", definition)]).expect("valid");
    assert_eq!(config.routes[0].when, bulkhead_route::Condition::Never);
    assert_eq!(config.instances[0].backlog.max_age, Some(std::time::Duration::from_secs(1)));
    assert!(!config.webhooks[0].enabled);
}

#[test]
fn stored_webhooks_reach_what_is_public_and_what_the_file_lends() {
    let url = "webhooks.orders.url";
    check("", webhook("https://hooks.example/in"), &[]);
    check("", webhook("http://hooks.example/in"), &[(url, "needs an https URL")]);
    for (address, class) in [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("a.localhost", "loopback"),
        ("[::1]", "loopback"),
        ("10.1.2.3", "private"),
        ("192.168.0.1", "private"),
        ("[fd00::1]", "unique local"),
        ("[::ffff:10.0.0.1]", "private"),
        ("0x7f.1", "loopback"),
        ("2130706433", "loopback"),
    ] {
        // Some are faults of a destination as well.
        let faults = with("", &[entry(Section::Webhooks, "orders", webhook(&format!("https://{address}/in")))]).expect_err("refused");
        assert!(faults.iter().all(|fault| fault.key == url) && faults[0].message.contains(class), "{faults:?}");
    }
    // Metadata services also where their network is lent.
    let lent = "stored: {webhooks: {http: true, allow: [127.0.0.0/8, 10.0.0.0/8, 169.254.0.0/16, hooks.internal]}}\n";
    for address in ["http://127.0.0.1:8080", "https://10.1.2.3/in", "http://localhost", "https://hooks.internal/in", "https://hooks.example"] {
        check(lent, webhook(address), &[]);
    }
    check(lent, webhook("https://192.168.0.1/in"), &[(url, "private")]);
    let faults = with(lent, &[entry(Section::Webhooks, "orders", webhook("http://169.254.169.254/in"))]).expect_err("refused");
    assert!(faults.iter().any(|fault| fault.key == url && fault.message.contains("metadata")), "{faults:?}");
    let faults = Config::parse(Path::new("b"), "stored: {webhooks: {allow: ['not a host']}}", &|_| None).expect_err("refused");
    assert_eq!(faults[0].key, "stored.webhooks.allow");
}

#[test]
fn what_is_wrong_is_said_of_the_webhook_not_of_its_parts() {
    check("", json!({"secret": [SECRET]}), &[("webhooks.orders.url", "missing")]);
    check("", json!({"url": "https://hooks.example"}), &[("webhooks.orders.secret", "missing")]);
    check("", json!({"url": "https://hooks.example", "secret": ["whsec_%%%%%%%%"]}), &[("webhooks.orders.secret", "base64")]);
    let mut definition = webhook("https://hooks.example");
    definition["retry"] = json!({"initial": "1h", "max": "1s"});
    check("", definition, &[("webhooks.orders.retry", "longer than")]);
    let mut definition = webhook("https://hooks.example");
    definition["previous_until"] = json!("soon");
    check("", definition, &[("webhooks.orders.previous_until", "not a time")]);
    let long = "x".repeat(49);
    let faults = with("", &[entry(Section::Webhooks, &long, webhook("https://hooks.example"))]).expect_err("refused");
    assert!(faults[0].message.contains("at most 48"), "{faults:?}");
    let taken = "instances: {webhook.orders: {connector: webhook, destinations: {primary: 'https://a.example'}}}";
    check(taken, webhook("https://hooks.example"), &[("webhooks.orders", "is there")]);
}

#[test]
fn subscriptions_are_routes_beside_the_others() {
    let file = format!(
        "webhooks: {{orders: {{url: 'https://hooks.example', secret: {SECRET}, format: json}}, off: {{url: 'https://hooks.example', secret: {SECRET}, enabled: false}}}}\n\
         instances:\n  crm: {{connector: rest-pull, pull: {{interval: 1h}}, destinations: {{primary: 'https://crm.example'}}}}\n  chat: {{connector: webhook, destinations: {{primary: 'https://chat.example'}}}}\n"
    );
    let subscription = |action: Json| json!({"when": {"event_type": "a"}, "action": action});
    let entries = [
        entry(Section::Subscriptions, "hook", subscription(json!({"type": "webhook", "webhook": "orders"}))),
        entry(Section::Subscriptions, "off", subscription(json!({"type": "webhook", "webhook": "off"}))),
        entry(Section::Subscriptions, "pull", subscription(json!({"type": "sync", "instance": "crm", "min_interval": "5s"}))),
        entry(Section::Subscriptions, "tell", subscription(json!({"type": "notification", "instance": "chat", "format": "json"}))),
    ];
    let config = with(&file, &entries).expect("valid");
    let route = |id: &str| config.routes.iter().find(|route| &*route.id == id).expect("is there");
    let lane = |id: &str| config.lanes[usize::from(route(id).to[0].0)].id.to_string();
    assert_eq!(lane("subscription.hook"), "webhook.orders/json");
    assert_eq!(lane("subscription.pull"), "sync.pull/json");
    assert_eq!(lane("subscription.tell"), "chat/json");
    assert!(route("subscription.tell").beside);
    assert_eq!(route("subscription.off").when, bulkhead_route::Condition::Never);
    assert!(matches!(&config.subscriptions[2].action, SubscriptionAction::Sync { instance, .. } if instance == "crm"));

    let faults = |action: Json| match with(&file, &[entry(Section::Subscriptions, "one", subscription(action))]) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| fault.key).collect::<Vec<_>>(),
    };
    assert_eq!(faults(json!({"type": "webhook", "webhook": "nobody"})), ["subscriptions.one.action"]);
    assert_eq!(faults(json!({"type": "sync", "instance": "chat"})), ["subscriptions.one.action.instance"]);
    assert_eq!(faults(json!({"type": "notification", "instance": "nobody", "format": "json"})), ["subscriptions.one.action"]);
    assert!(!faults(json!({"type": "workflow"})).is_empty());
}
