//! Whether an instance means the same in two configurations. Secrets count and cannot be read back: what
//! is kept is a digest.

use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};

use super::checked::{Checked, Fields, Item};
use super::settings::Lane;

/// Digest of everything that an instance runs on.
pub type Fingerprint = [u8; 32];

/// One for each instance, in the order of the file.
pub(super) fn fingerprints(root: &Fields, lanes: &[Lane]) -> Vec<(String, Fingerprint)> {
    root.named("instances").iter().map(|(name, _, value)| (name.clone(), one(root, name, value, lanes))).collect()
}

/// Keys of an instance that say how it works, not what it may reach. A key that is not here counts as policy.
const NO_POLICY: [&str; 14] = [
    "connector",
    "config",
    "concurrency",
    "ordering",
    "from",
    "pull",
    "query_cache",
    "batch",
    "backlog",
    "retry",
    "health_check",
    "circuit_breaker",
    "rate_limit",
    "filters",
];

/// The part of each that grants and limits, with the credentials that it names.
pub(super) fn policies(root: &Fields) -> Vec<(String, Fingerprint)> {
    let policy = |value: &Checked| {
        let mut digest = Sha256::new();
        if let Some(fields) = value.as_map() {
            add_without(&mut digest, fields, &NO_POLICY);
        }
        add_credentials(&mut digest, root, value);
        digest.finalize().into()
    };
    root.named("instances").iter().map(|(name, _, value)| (name.clone(), policy(value))).collect()
}

/// Parts of the configuration that only a restart changes.
const FIXED: [&str; 15] = [
    "integrity",
    "data_dir",
    "listen",
    "journal",
    "encryption",
    "dead_letters",
    "delivery",
    "audit",
    "telemetry",
    "connectors_dir",
    "upload",
    "own_events",
    "store",
    "logs",
    "event_index",
];

/// What a listener's TLS is made of; it can be exchanged.
const RENEWABLE: [&str; 4] = ["cert", "key", "client_ca", "min_version"];

/// What instances take from `encryption`.
const FIELDS: [&str; 3] = ["fields", "redact", "rotate_every"];

/// Each fixed part without what a reload can change in it.
pub(super) fn fixed(root: &Fields) -> Vec<(&'static str, Fingerprint)> {
    let part = |key: &'static str| {
        let mut digest = Sha256::new();
        match root.get(key) {
            Some(value) if key == "listen" => value.as_map().into_iter().for_each(|listen| add_listeners(&mut digest, listen)),
            Some(value) if key == "encryption" => value.as_map().into_iter().for_each(|fields| add_without(&mut digest, fields, &FIELDS)),
            Some(value) => add(&mut digest, value),
            None => {}
        }
        (key, digest.finalize().into())
    };
    FIXED.map(part).into()
}

fn add_listeners(digest: &mut Sha256, listen: &Fields) {
    add_without(digest, listen, &["syslog", "api"]);
    if let Some(api) = listen.opt_map("api") {
        add_without(digest, api, &["tls"]);
        // Whether there is TLS takes a restart; what it is made of does not.
        digest.update([u8::from(api.opt_map("tls").is_some())]);
    }
    for listener in listen.list("syslog") {
        listener.as_map().into_iter().for_each(|fields| add_without(digest, fields, &RENEWABLE));
    }
}

fn add_without(digest: &mut Sha256, fields: &Fields, without: &[&str]) {
    add_fields(digest, &Fields(fields.0.iter().filter(|(name, _)| !without.contains(name)).cloned().collect()));
}

fn add_credentials(digest: &mut Sha256, root: &Fields, value: &Checked) {
    let fields = value.as_map();
    let destinations = fields.map(|fields| fields.named("destinations")).unwrap_or_default();
    let wanted: Vec<String> = destinations.iter().filter_map(|(_, _, value)| value.as_map()?.text("credential")).collect();
    for (_, _, credential) in root.named("credentials").iter().filter(|(name, ..)| wanted.contains(name)) {
        add(digest, credential);
    }
}

fn one(root: &Fields, name: &str, value: &Checked, lanes: &[Lane]) -> Fingerprint {
    let mut digest = Sha256::new();
    add(&mut digest, value);
    add_credentials(&mut digest, root, value);
    let owner = value.as_map().and_then(|fields| fields.text("tenant"));
    // Those of other tenants are not there for it.
    let there = |formatter: &Checked| formatter.as_map().and_then(|fields| fields.text("tenant")).is_none_or(|tenant| Some(tenant) == owner);
    for lane in lanes.iter().filter(|lane| *lane.id.instance == *name) {
        digest.update(lane.id.format.as_bytes());
        digest.update([0]);
        for (_, _, formatter) in root.named("formatters").iter().filter(|(name, _, value)| **name == *lane.id.format && there(value)) {
            add(&mut digest, formatter);
        }
    }
    for name in ["fields", "redact", "rotate_every"] {
        root.map("encryption").get(name).into_iter().for_each(|value| add(&mut digest, value));
    }
    // Global rate limits hold for each lane by itself.
    root.list("filters").iter().for_each(|filter| add(&mut digest, filter));
    digest.finalize().into()
}

/// Places in the file do not count: a comment more changes nothing.
fn add(digest: &mut Sha256, value: &Checked) {
    let mut part = |tag: u8, bytes: &[u8]| {
        digest.update([tag]);
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    match &value.item {
        Item::Secret(secret) => part(1, secret.expose_secret().as_bytes()),
        Item::List(items) => {
            part(2, &(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| add(digest, item));
        }
        Item::Map(fields) => add_fields(digest, fields),
        Item::Named(entries) => {
            part(3, &(entries.len() as u64).to_le_bytes());
            for (name, _, value) in entries {
                digest.update(name.as_bytes());
                digest.update([0]);
                add(digest, value);
            }
        }
        Item::Tagged(tag, fields) => {
            part(4, tag.as_bytes());
            add_fields(digest, fields);
        }
        Item::Raw(raw) => part(5, raw.json.to_string().as_bytes()),
        Item::Limits(_, shown) => part(6, format!("{shown:?}").as_bytes()),
        plain => part(7, format!("{plain:?}").as_bytes()),
    }
}

fn add_fields(digest: &mut Sha256, fields: &Fields) {
    for (name, value) in &fields.0 {
        digest.update(name.as_bytes());
        digest.update([0]);
        add(digest, value);
    }
}
