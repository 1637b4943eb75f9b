//! Objects that stand for several parts of a configuration: a webhook is an instance of the `webhook` connector
//! with the credential that signs and a route beside the others; a subscription is such a route to what it sets
//! off. They are written out here, in the file and stored ones alike, so that all that holds for instances and
//! routes holds for them: delivery, retries, egress, receipts, dead letters.
//!
//! Names of what is made begin with `webhook.`, `subscription.` or `sync.`; nothing else of that name may be
//! there. A stored webhook reaches no more than `stored.webhooks` lends.

use std::net::IpAddr;

use bulkhead_sandbox::{AddressClass, classify};
use ipnet::IpNet;
use serde_json::{Value as Json, json};
use url::{Host, Url};

use super::checked::{Checked, Fields};
use super::fault::{FaultKind, Faults, Span};
use super::owners::{self, Owners};
use super::settings::{Subscription, SubscriptionAction, Webhook, WebhookLogSettings};
use super::stored::{Merged, Section, has, node, section};
use super::tree::{Entry as Pair, Node, Scalar, Value};

/// Longest name of an object: its parts have a word more in front.
const LONGEST: usize = 48;
/// Such routes are asked before all others, and keep none of them from anything.
const FIRST: i64 = -1_000_000;
/// The connector of instances that begin runs; the host's own, no component.
pub const SYNC: &str = "sync";

/// The instance of a webhook.
pub fn webhook_instance(name: &str) -> String {
    format!("webhook.{name}")
}

/// The webhook of an instance.
pub fn webhook_of(instance: &str) -> Option<&str> {
    instance.strip_prefix("webhook.")
}

/// A part that an object was written out as.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub section: Section,
    pub name: String,
    /// The object's.
    pub of: Section,
    pub by: String,
}

/// What the file lends to stored webhooks, before it was checked.
pub(super) struct Lent {
    http: bool,
    networks: Vec<IpNet>,
    hosts: Vec<String>,
}

impl Lent {
    pub fn read(stored: Option<&Node>) -> Self {
        let webhooks = stored.and_then(|stored| get(stored, "webhooks"));
        let allow = webhooks.and_then(|webhooks| get(webhooks, "allow"));
        let texts: Vec<&str> = match allow.map(|allow| &allow.value) {
            Some(Value::List(items)) => items.iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        let http = webhooks.and_then(|webhooks| get(webhooks, "http")).and_then(text) == Some("true");
        let networks = texts.iter().filter_map(|text| network(text)).collect();
        let hosts = texts.iter().filter(|text| network(text).is_none()).map(|text| text.to_ascii_lowercase()).collect();
        Self { http, networks, hosts }
    }

    /// Whether a URL may be used, and the networks that its name may lead to where these are not the public ones.
    fn judge(&self, url: &str) -> Result<Option<Vec<String>>, (String, &'static str)> {
        const ALLOW: &str = "name its network, or its host, in `stored.webhooks.allow` of the configuration file";
        // What is no URL is said elsewhere.
        let Ok(parsed) = Url::parse(url) else { return Ok(None) };
        if parsed.scheme() == "http" && !self.http {
            return Err(("a stored webhook needs an https URL".into(), "use https, or set `stored.webhooks.http: true` in the configuration file"));
        }
        let address = match parsed.host() {
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                if self.hosts.contains(&name) {
                    let any = || vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
                    return Ok(Some(if self.networks.is_empty() { any() } else { self.networks.iter().map(IpNet::to_string).collect() }));
                }
                if name != "localhost" && !name.ends_with(".localhost") {
                    return Ok(None);
                }
                IpAddr::from([127, 0, 0, 1])
            }
            None => return Ok(None),
        };
        let address = address.to_canonical();
        let class = classify(address);
        let lent = class != AddressClass::Metadata && self.networks.iter().any(|network| network.contains(&address));
        if class == AddressClass::Public || lent {
            return Ok(None);
        }
        Err((format!("`{address}` is a {} address, which stored webhooks may not reach", class.name()), ALLOW))
    }
}

impl Lent {
    /// The address that a URL names where it is neither public nor lent.
    pub fn refuses(&self, url: &str) -> Option<IpAddr> {
        let address = match Url::parse(url).ok()?.host()? {
            Host::Ipv4(address) => IpAddr::from(address),
            Host::Ipv6(address) => IpAddr::from(address),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let bare = name.trim_start_matches('[').trim_end_matches(']');
                match bare.parse() {
                    // Schemes that the standard does not know leave addresses as they are written.
                    Ok(address) => address,
                    Err(_) if name == "localhost" || name.ends_with(".localhost") => IpAddr::from([127, 0, 0, 1]),
                    Err(_) => return None,
                }
            }
        };
        let address: IpAddr = address.to_canonical();
        let class = classify(address);
        let lent = class != AddressClass::Metadata && self.networks.iter().any(|network| network.contains(&address));
        (class != AddressClass::Public && !lent).then_some(address)
    }

    /// Whether all of a network is lent; what is none is said elsewhere.
    pub fn lends(&self, text: &str) -> bool {
        network(text).is_none_or(|wanted| self.networks.iter().any(|network| network.contains(&wanted)))
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(|network| network.trunc())
}

/// Entries of `stored.webhooks.allow` that mean nothing.
pub(super) fn check_lent(root: &Fields, faults: &mut Faults) {
    for item in root.map("stored").map("webhooks").list("allow") {
        let Some(written) = item.as_text() else { continue };
        let name = |text: &str| {
            text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) && text.contains(|c: char| c.is_alphabetic())
        };
        if network(written).is_none() && !name(written) {
            let hint = Some("write a network such as 10.1.0.0/16, or a host name".to_owned());
            faults.push(FaultKind::WrongType, item.span, "stored.webhooks.allow", format!("`{}` is neither", written.escape_default()), hint);
        }
    }
}

/// Writes out all objects of the tree.
pub(super) fn write_out(root: &mut Vec<Pair>, lent: &Lent, merged: &mut Merged, faults: &mut Faults) {
    for (name, object) in objects(root, Section::Webhooks) {
        let key = format!("webhooks.{name}");
        if !fits(&name, &key, faults) {
            continue;
        }
        let stored = merged.in_force.contains(&(Section::Webhooks, name.clone()));
        let addresses = match get(&object, "url").and_then(text).filter(|_| stored).map(|url| lent.judge(url)) {
            None => None,
            Some(Ok(addresses)) => addresses,
            Some(Err((message, hint))) => {
                faults.push(FaultKind::Conflict, object.span, format!("{key}.url"), message, Some(hint.to_owned()));
                None
            }
        };
        // What is missing is a fault of the webhook, not of its parts.
        let (Some(url), Some(secret)) = (get(&object, "url").cloned(), get(&object, "secret").cloned()) else { continue };
        let instance = webhook_instance(&name);
        let parts = [
            (Section::Credentials, of_object(&object, map([("type", word("hmac")), ("scheme", word("standard-webhooks")), ("secret", secret)]))),
            (Section::Instances, of_object(&object, self::instance(&name, &object, url, addresses))),
            (Section::Routes, of_object(&object, route(&instance, when(&object), &instance, get(&object, "format").cloned()))),
        ];
        for (section, part) in parts {
            put(root, Made { section, name: instance.clone(), of: Section::Webhooks, by: name.clone() }, part, merged, faults);
        }
    }
    for (name, object) in objects(root, Section::Subscriptions) {
        if fits(&name, &format!("subscriptions.{name}"), faults) {
            subscription(root, name, &object, merged, faults);
        }
    }
}

fn subscription(root: &mut Vec<Pair>, name: String, object: &Node, merged: &mut Merged, faults: &mut Faults) {
    let Some(action) = get(object, "action") else { return };
    let part = |key| get(action, key).cloned();
    let of = |key| part(key).as_ref().and_then(text).map(str::to_owned);
    let made = |section, part: String| Made { section, name: part, of: Section::Subscriptions, by: name.clone() };
    let (instance, format) = match of("type").as_deref() {
        Some("webhook") => {
            let Some(webhook) = of("webhook") else { return };
            let known = objects(root, Section::Webhooks).into_iter().find(|(known, _)| *known == webhook).map(|(_, object)| object);
            if known.as_ref().is_some_and(|webhook| !enabled(webhook)) {
                // Its lane takes nothing while it is disabled.
                let never = route(
                    &format!("subscription.{name}"),
                    never(),
                    &webhook_instance(&webhook),
                    known.as_ref().and_then(|webhook| get(webhook, "format")).cloned(),
                );
                return put(root, made(Section::Routes, format!("subscription.{name}")), of_object(object, never), merged, faults);
            }
            (webhook_instance(&webhook), known.as_ref().and_then(|webhook| get(webhook, "format")).cloned())
        }
        Some("sync") => {
            let Some(target) = of("instance") else { return };
            let own = format!("sync.{name}");
            let mut config = vec![("instance", word(&target))];
            config.extend(part("min_interval").map(|interval| ("min_interval", interval)));
            let instance =
                map([("connector", word(SYNC)), ("config", map(config)), ("concurrency", plain("1")), ("batch", node(&json!({"max_events": 10_000})))]);
            put(root, made(Section::Instances, own.clone()), of_object(object, instance), merged, faults);
            (own, Some(word("json")))
        }
        Some("notification") => {
            let Some(instance) = of("instance") else { return };
            let Some(format) = part("format") else { return };
            (instance, Some(format))
        }
        _ => return,
    };
    let when = if enabled(object) { get(object, "when").cloned().unwrap_or_else(never) } else { never() };
    let id = format!("subscription.{name}");
    put(root, made(Section::Routes, id.clone()), of_object(object, route(&id, when, &instance, format)), merged, faults);
}

/// A part is whose its object is.
fn of_object(object: &Node, mut part: Node) -> Node {
    if let (Some(tenant), Value::Map(pairs)) = (get(object, "tenant"), &mut part.value) {
        pairs.push(Pair { key: "tenant".into(), key_span: tenant.span, value: tenant.clone() });
    }
    part
}

fn instance(name: &str, object: &Node, url: Node, addresses: Option<Vec<String>>) -> Node {
    let mut destination = vec![("url", url), ("methods", node(&json!(["POST"]))), ("credential", word(&webhook_instance(name)))];
    destination.extend(addresses.map(|addresses| ("addresses", node(&json!(addresses)))));
    let mut config = vec![("mode", word("each")), ("webhook_id", word(name))];
    if let Some(Node { span, value: Value::Map(headers) }) = get(object, "headers") {
        let lower = headers.iter().map(|pair| Pair { key: pair.key.to_ascii_lowercase(), ..pair.clone() }).collect();
        config.push(("headers", Node::map(*span, lower)));
    }
    let retry = get(object, "retry").cloned().unwrap_or_else(|| node(&json!({"initial": "5s", "max": "1h", "multiplier": 4, "max_elapsed": "3d"})));
    // Of a disabled one nothing is kept waiting: its lane empties into the dead letters.
    let max_age = if enabled(object) { "7d" } else { "1s" };
    map([
        ("connector", word("webhook")),
        ("config", map(config)),
        ("destinations", map([("primary", map(destination))])),
        // Each event has an answer, a number of attempts and a place in the journal of its own.
        ("batch", node(&json!({"max_events": 1}))),
        ("retry", retry),
        ("backlog", node(&json!({"max_age": max_age}))),
    ])
}

/// Which events a webhook wants.
fn when(object: &Node) -> Node {
    if !enabled(object) {
        return never();
    }
    let mut parts = Vec::new();
    if let Some(types @ Node { value: Value::List(items), .. }) = get(object, "events")
        && !items.is_empty()
        && !items.iter().any(|item| text(item) == Some("*"))
    {
        parts.push(map([("event_type", types.clone())]));
    }
    parts.extend(get(object, "when").filter(|when| !when.is_null()).cloned());
    match parts.len() {
        0 => map([("always", plain("true"))]),
        1 => parts.remove(0),
        _ => map([("and", Node { span: object.span, value: Value::List(parts) })]),
    }
}

fn never() -> Node {
    map([("never", plain("true"))])
}

fn route(id: &str, when: Node, instance: &str, format: Option<Node>) -> Node {
    let to = map([("instance", word(instance)), ("format", format.unwrap_or_else(|| word("cloudevents")))]);
    map([
        ("id", word(id)),
        ("when", when),
        ("to", Node { span: Span::default(), value: Value::List(vec![to]) }),
        ("beside", plain("true")),
        ("priority", plain(&FIRST.to_string())),
    ])
}

fn enabled(object: &Node) -> bool {
    get(object, "enabled").and_then(text) != Some("false")
}

/// Adds a part, unless something else has its name.
fn put(root: &mut Vec<Pair>, made: Made, part: Node, merged: &mut Merged, faults: &mut Faults) {
    let Some(into) = section(root, made.section) else { return };
    if has(into, &made.name) {
        let key = format!("{}.{}", made.of.name(), made.by);
        let message = format!("`{}.{}` is there, which this would be written out as", made.section.name(), made.name);
        faults.push(FaultKind::Conflict, Span::default(), key, message, Some("give one of them another name".to_owned()));
        return;
    }
    match &mut into.value {
        Value::Map(pairs) => pairs.push(Pair { key: made.name.clone(), key_span: part.span, value: part }),
        Value::List(items) => {
            items.push(part);
            merged.routes.push(made.name.clone());
        }
        Value::Scalar(_) => return,
    }
    merged.made.push(made);
}

fn fits(name: &str, key: &str, faults: &mut Faults) -> bool {
    let fits = name.len() <= LONGEST;
    if !fits {
        let hint = Some("choose a shorter name".to_owned());
        faults.push(FaultKind::OutOfRange, Span::default(), key, format!("the name has {} characters; at most {LONGEST} are possible", name.len()), hint);
    }
    fits
}

/// The objects of a section, as they are now.
fn objects(root: &[Pair], section: Section) -> Vec<(String, Node)> {
    let found = root.iter().find(|pair| pair.key == section.name()).map(|pair| &pair.value.value);
    let Some(Value::Map(pairs)) = found else { return Vec::new() };
    pairs.iter().filter(|pair| matches!(pair.value.value, Value::Map(_))).map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

fn get<'a>(map: &'a Node, key: &str) -> Option<&'a Node> {
    let Value::Map(pairs) = &map.value else { return None };
    pairs.iter().find(|pair| pair.key == key).map(|pair| &pair.value)
}

fn text(node: &Node) -> Option<&str> {
    if let Value::Scalar(scalar) = &node.value { Some(&scalar.text) } else { None }
}

fn word(text: &str) -> Node {
    node(&Json::from(text))
}

fn plain(text: &str) -> Node {
    Node { span: Span::default(), value: Value::Scalar(Scalar { text: text.into(), plain: true, template: None }) }
}

fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    let pair = |(key, value): (&str, Node)| Pair { key: key.to_owned(), key_span: value.span, value };
    Node::map(Span::default(), pairs.into_iter().map(pair).collect())
}

/// The path of a part as that of what was written: `webhooks.orders.url`, not `instances.webhook.orders.destinations…`.
pub(super) fn written(made: &[Made], key: &str) -> Option<String> {
    let of = |made: &Made| Some((made.clone(), key.strip_prefix(made.section.name())?.strip_prefix('.')?.strip_prefix(made.name.as_str())?.to_owned()));
    let (made, rest) = made.iter().filter_map(of).find(|(_, rest)| rest.is_empty() || rest.starts_with(['.', '[']))?;
    let same = [(".destinations.primary", ".url"), (".config.headers", ".headers"), (".config", ""), (".retry", ".retry")];
    let webhook = made.of == Section::Webhooks;
    let rest = match rest.as_str() {
        _ if made.section == Section::Credentials => ".secret",
        rest if rest.starts_with(".when") => [".when", ".events"][usize::from(webhook)],
        rest if rest.ends_with(".format") => [".action", ".format"][usize::from(webhook)],
        rest if rest.starts_with(".to") => [".action", ""][usize::from(webhook)],
        rest => same.iter().find_map(|(part, is)| rest.starts_with(part).then_some(*is)).unwrap_or_default(),
    };
    Some(format!("{}.{}{rest}", made.of.name(), made.by))
}

pub(super) fn webhooks(root: &Fields, faults: &mut Faults) -> Vec<Webhook> {
    let moment = |name: &str, fields: &Fields, faults: &mut Faults| {
        let text = fields.text("previous_until")?;
        let parsed = time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).ok();
        if parsed.is_none() {
            let hint = Some("write a time such as 2026-11-02T08:00:00Z".to_owned());
            faults.push(FaultKind::WrongType, fields.span("previous_until"), format!("webhooks.{name}.previous_until"), "not a time", hint);
        }
        parsed.map(|time| i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
    };
    let one = |(name, _, value): &(String, Span, Checked), faults: &mut Faults| {
        let fields = value.as_map()?;
        Some(Webhook {
            name: name.clone(),
            tenant: owners::tenant(fields),
            format: fields.text("format").unwrap_or_default(),
            enabled: fields.bool("enabled").unwrap_or(true),
            disable_after: fields.duration("disable_after").unwrap_or_default(),
            previous_until_ms: moment(name, fields, faults),
        })
    };
    root.named("webhooks").iter().filter_map(|entry| one(entry, faults)).collect()
}

pub(super) fn log(root: &Fields) -> WebhookLogSettings {
    let fields = root.map("stored").map("webhooks").map("deliveries");
    WebhookLogSettings { max_age: fields.duration("max_age").unwrap_or_default(), max_count: fields.count("max_count").unwrap_or(1) }
}

/// Subscriptions, and what is wrong with their actions that no part of them says.
pub(super) fn subscriptions(root: &Fields, owners: &Owners, faults: &mut Faults) -> Vec<Subscription> {
    let mut all = Vec::new();
    for (name, _, value) in root.named("subscriptions") {
        let Some(fields) = value.as_map() else { continue };
        let Some((kind, action)) = fields.tagged("action") else { continue };
        let text = |key| action.text(key).unwrap_or_default();
        let action = match kind {
            "sync" => {
                let target = text("instance");
                let pulls = root
                    .named("instances")
                    .iter()
                    .any(|(known, _, value)| *known == target && value.as_map().is_some_and(|fields| fields.opt_map("pull").is_some()));
                let own = owners::tenant(fields).is_none_or(|own| owners.of(Section::Instances, &target) == Some(&own));
                if !(pulls && own) {
                    let hint = Some(format!("set `instances.{target}.pull`, or name an instance that has it"));
                    let message = format!("nothing is pulled from an instance `{target}`");
                    faults.push(FaultKind::UnknownReference, action.span("instance"), format!("subscriptions.{name}.action.instance"), message, hint);
                }
                SubscriptionAction::Sync { instance: target, min_interval: action.duration("min_interval").unwrap_or_default() }
            }
            "webhook" => SubscriptionAction::Webhook,
            _ => SubscriptionAction::Notification,
        };
        all.push(Subscription { name: name.clone(), enabled: fields.bool("enabled").unwrap_or(true), action });
    }
    all
}

#[cfg(test)]
mod tests;
