//! Parts of the configuration that the host keeps itself: made through its API, read as if they stood in the
//! file. A name that the file gives goes before a stored one.
//!
//! Who may change entries is not who owns the machine: in an entry `${…}` is plain text, no program runs, paths
//! lead only below `stored.directories`, and of the file's credentials only those of `stored.credentials` can be
//! used: with any other an instance could be pointed at a receiver that collects them.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use bulkhead_core::Tenant;
use serde_json::{Map, Value as Json};

use super::fault::{FaultKind, Faults, Span};
use super::keys::{self, COMMAND, Kind};
use super::objects::{self, Lent, Made, webhook_instance};
use super::owners::tenant_of;
use super::reach;
use super::tree::{Entry as Pair, Node, Scalar, Value};

/// Stands for a secret where a definition is shown; in one that is sent, for the secret that is stored.
pub const HIDDEN: &str = "(hidden)";

/// The parts of a configuration that entries are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    Credentials,
    Formatters,
    Instances,
    Routes,
    /// Written out as credential, instance and route ([`super::objects`]).
    Webhooks,
    /// The same, as a route.
    Subscriptions,
}

impl Section {
    /// What others refer to comes first.
    pub const ALL: [Self; 6] = [Self::Credentials, Self::Formatters, Self::Instances, Self::Webhooks, Self::Routes, Self::Subscriptions];

    /// Its key in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Formatters => "formatters",
            Self::Instances => "instances",
            Self::Routes => "routes",
            Self::Webhooks => "webhooks",
            Self::Subscriptions => "subscriptions",
        }
    }

    /// Sections of objects, which are written out as parts of other sections.
    const OBJECTS: [Self; 2] = [Self::Webhooks, Self::Subscriptions];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }

    /// What a definition must be.
    fn kind(self) -> &'static Kind {
        match keys::ROOT.keys.iter().find(|key| key.name == self.name()).map(|key| &key.kind) {
            Some(Kind::Named(of) | Kind::List { of, .. }) => of,
            // A test walks all sections.
            _ => &Kind::Raw,
        }
    }
}

/// A stored part of the configuration.
#[derive(Clone, PartialEq)]
pub struct Entry {
    pub section: Section,
    pub name: String,
    /// What would stand below the name in the file, as JSON; of a route, all but its id.
    pub definition: Json,
}

impl std::fmt::Debug for Entry {
    // Never the definition: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.section.name(), self.name)
    }
}

/// What became of the entries.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    pub in_force: HashSet<(Section, String)>,
    /// The file has an entry of the same name.
    pub shadowed: Vec<(Section, String)>,
    /// Something was named that is not for entries: nothing of them is to be looked at, for even whether a file is
    /// there is not for those who may not name it.
    pub(super) refused: bool,
    /// Routes of the file, and the stored ones behind them in the list, then those of objects.
    routes_of_file: usize,
    pub(super) routes: Vec<String>,
    /// What objects were written out as.
    pub(super) made: Vec<Made>,
}

impl Merged {
    /// The path of a key: stored routes by their name, not by a place in a list that nobody wrote.
    pub fn key(&self, key: String) -> String {
        let named = || {
            let (at, rest) = key.strip_prefix("routes[")?.split_once(']')?;
            let name = self.routes.get(at.parse::<usize>().ok()?.checked_sub(self.routes_of_file)?)?;
            Some(format!("routes.{name}{rest}"))
        };
        let key = named().unwrap_or(key);
        objects::written(&self.made, &key).unwrap_or(key)
    }

    /// The object that a part was written out from, as `webhooks/orders`.
    pub fn maker(&self, section: Section, name: &str) -> Option<String> {
        let made = self.made.iter().find(|made| made.section == section && made.name == name)?;
        Some(format!("{}/{}", made.of.name(), made.by))
    }
}

/// Puts entries into the tree of the file.
pub(super) fn merge(tree: &mut Node, entries: &[Entry], faults: &mut Faults) -> Merged {
    let mut merged = Merged::default();
    if entries.is_empty() && !Section::OBJECTS.iter().any(|section| has_key(tree, section.name())) {
        return merged;
    }
    if tree.is_null() {
        *tree = Node::map(tree.span, Vec::new());
    }
    let Value::Map(root) = &mut tree.value else { return merged };
    let granted = Granted::read(root);
    let lent = Lent::read(root.iter().find(|pair| pair.key == "stored").map(|pair| &pair.value));
    merged.routes_of_file = root.iter().find(|pair| pair.key == Section::Routes.name()).map_or(0, |pair| list_len(&pair.value));
    for entry in entries {
        let place = (entry.section, entry.name.clone());
        let Some(into) = section(root, entry.section) else { continue };
        if has(into, &entry.name) {
            merged.shadowed.push(place);
            continue;
        }
        let beyond = if tenant_of(&entry.definition).is_some() { reach::beyond(entry, &lent) } else { Vec::new() };
        for (pointer, message, hint) in granted.refused(entry).into_iter().chain(beyond) {
            faults.push(FaultKind::Conflict, Span::default(), key(entry, &pointer), message, Some(hint));
            merged.refused = true;
        }
        match &mut into.value {
            Value::Map(pairs) => pairs.push(Pair { key: entry.name.clone(), key_span: Span::default(), value: node(&entry.definition) }),
            Value::List(items) => {
                items.push(route(entry, faults));
                merged.routes.push(entry.name.clone());
            }
            Value::Scalar(_) => {}
        }
        merged.in_force.insert(place);
    }
    objects::write_out(root, &lent, &mut merged, faults);
    merged
}

fn has_key(tree: &Node, key: &str) -> bool {
    matches!(&tree.value, Value::Map(pairs) if pairs.iter().any(|pair| pair.key == key))
}

fn list_len(node: &Node) -> usize {
    if let Value::List(items) = &node.value { items.len() } else { 0 }
}

/// The section of the file, made where it is missing; nothing where the file has something else there, which is a
/// fault by itself.
pub(super) fn section(root: &mut Vec<Pair>, section: Section) -> Option<&mut Node> {
    let empty = || if section == Section::Routes { Value::List(Vec::new()) } else { Value::Map(Vec::new()) };
    let at = root.iter().position(|pair| pair.key == section.name()).unwrap_or_else(|| {
        root.push(Pair { key: section.name().to_owned(), key_span: Span::default(), value: Node { span: Span::default(), value: empty() } });
        root.len() - 1
    });
    let node = &mut root[at].value;
    if node.is_null() {
        node.value = empty();
    }
    let fits = matches!((&node.value, section), (Value::List(_), Section::Routes)) || (section != Section::Routes && matches!(node.value, Value::Map(_)));
    fits.then_some(node)
}

/// Routes have their name as `id`.
pub(super) fn has(section: &Node, name: &str) -> bool {
    match &section.value {
        Value::Map(pairs) => pairs.iter().any(|pair| pair.key == name),
        Value::List(items) => items.iter().any(|item| {
            let Value::Map(pairs) = &item.value else { return false };
            pairs.iter().any(|pair| pair.key == "id" && matches!(&pair.value.value, Value::Scalar(id) if id.text == name))
        }),
        Value::Scalar(_) => false,
    }
}

fn route(entry: &Entry, faults: &mut Faults) -> Node {
    let mut route = node(&entry.definition);
    if let Value::Map(pairs) = &mut route.value {
        if pairs.iter().any(|pair| pair.key == "id") {
            let hint = "remove `id`: it is the name of the entry".to_owned();
            faults.push(FaultKind::Conflict, Span::default(), key(entry, "/id"), "a stored route has no `id` of its own", Some(hint));
            pairs.retain(|pair| pair.key != "id");
        }
        pairs.insert(0, Pair { key: "id".into(), key_span: Span::default(), value: node(&Json::from(entry.name.as_str())) });
    }
    route
}

pub(super) fn node(json: &Json) -> Node {
    let plain = |text: String| Value::Scalar(Scalar { text, plain: true, template: None });
    let value = match json {
        Json::Null => plain("null".into()),
        Json::Bool(value) => plain(value.to_string()),
        Json::Number(number) => plain(number.to_string()),
        Json::String(text) => Value::Scalar(Scalar { text: text.clone(), plain: false, template: None }),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(map) => Value::Map(map.iter().map(|(key, value)| Pair { key: key.clone(), key_span: Span::default(), value: node(value) }).collect()),
    };
    Node { span: Span::default(), value }
}

/// The path of a place in an entry, as faults have it.
fn key(entry: &Entry, pointer: &str) -> String {
    format!("{}.{}{}", entry.section.name(), entry.name, pointer.replace('/', ".").replace("~1", "/").replace("~0", "~"))
}

/// What the file lets entries use, before it was checked: what is wrong with it is said there.
struct Granted {
    directories: Vec<PathBuf>,
    /// Credentials of the file that are not for entries, and whose each of the file is.
    kept: HashSet<String>,
    owners: HashMap<String, String>,
}

impl Granted {
    fn read(root: &[Pair]) -> Self {
        let find = |pairs: &[Pair], key: &str| pairs.iter().find(|pair| pair.key == key).map(|pair| pair.value.clone());
        let texts = |key| match find(root, "stored").map(|stored| stored.value) {
            Some(Value::Map(stored)) => find(&stored, key).map(|list| scalars(&list)).unwrap_or_default(),
            _ => Vec::new(),
        };
        let shared = texts("credentials");
        let names = |section: Section| match find(root, section.name()).map(|section| section.value) {
            Some(Value::Map(pairs)) => pairs.into_iter().map(|pair| pair.key).collect(),
            _ => Vec::new(),
        };
        // What a webhook of the file signs with is its alone.
        let signing = names(Section::Webhooks).into_iter().map(|name| webhook_instance(&name));
        let kept = names(Section::Credentials).into_iter().filter(|name| !shared.contains(name)).chain(signing).collect();
        let tenant = |pair: &Pair| match &pair.value.value {
            Value::Map(pairs) => find(pairs, "tenant").and_then(|tenant| Some((pair.key.clone(), scalar(&tenant)?))),
            _ => None,
        };
        let owners = match find(root, Section::Credentials.name()).map(|section| section.value) {
            Some(Value::Map(pairs)) => pairs.iter().filter_map(tenant).collect(),
            _ => HashMap::new(),
        };
        Self { directories: texts("directories").into_iter().map(PathBuf::from).collect(), kept, owners }
    }

    /// What a stored definition may not say: where, why, what to do.
    fn refused(&self, entry: &Entry) -> Vec<(String, String, String)> {
        let mut refused = Vec::new();
        let tenant = tenant_of(&entry.definition);
        // What is somebody else's is a reference to nothing: that is said where references are looked at.
        let own = |credential: &str| self.owners.get(credential).map(String::as_str) == tenant.as_ref().map(Tenant::as_str);
        let destinations = (entry.section == Section::Instances).then(|| entry.definition["destinations"].as_object()).flatten();
        for (name, destination) in destinations.into_iter().flatten() {
            if let Some(credential) = destination["credential"].as_str().filter(|credential| self.kept.contains(*credential) && own(credential)) {
                let name = name.replace('~', "~0").replace('/', "~1");
                let message = format!("the credential `{credential}` of the configuration file is not for stored entries");
                refused.push((format!("/destinations/{name}/credential"), message, "name it in `stored.credentials` of the file, or store one".to_owned()));
            }
        }
        let mut definition = entry.definition.clone();
        walk(&mut definition, entry.section.kind(), &mut String::new(), &mut |pointer, part, value| match part {
            Part::Command => {
                let hint = "name the program in the configuration file, which only who owns the machine can change".to_owned();
                refused.push((pointer.to_owned(), "a stored entry runs no programs".to_owned(), hint));
            }
            Part::Path => {
                let path = Path::new(value.as_str().unwrap_or_default());
                // By its text: what links lead to is for those who made the directory.
                let straight = path.components().all(|part| !matches!(part, Component::ParentDir));
                // One tenant's files are not another's, although both lie in one directory.
                let within = |directory: &PathBuf| tenant.as_ref().map_or_else(|| directory.clone(), |tenant| directory.join(tenant.as_str()));
                if !straight || !self.directories.iter().any(|directory| path.starts_with(within(directory))) {
                    let hint = match &tenant {
                        Some(tenant) => format!("entries of a tenant use the directory `{tenant}` in those of `stored.directories`"),
                        None => "name the directory, or one above it, in `stored.directories` of the configuration file".to_owned(),
                    };
                    refused.push((pointer.to_owned(), format!("`{}` is in no directory that stored entries may use", path.display()), hint));
                }
            }
            Part::Secret => {}
        });
        refused
    }
}

fn scalars(list: &Node) -> Vec<String> {
    let Value::List(items) = &list.value else { return Vec::new() };
    items.iter().filter_map(scalar).collect()
}

fn scalar(node: &Node) -> Option<String> {
    if let Value::Scalar(scalar) = &node.value { Some(scalar.text.clone()) } else { None }
}

/// The definition for people: secrets hidden.
pub fn hide(section: Section, definition: &Json) -> Json {
    let mut shown = definition.clone();
    walk(&mut shown, section.kind(), &mut String::new(), &mut |_, part, value| {
        if part == Part::Secret && !value.is_null() {
            *value = HIDDEN.into();
        }
    });
    shown
}

/// Puts the stored secrets in where the definition says that they are hidden. The pointers of those that there are
/// none for come back.
pub fn unhide(section: Section, definition: &mut Json, stored: Option<&Json>) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(definition, section.kind(), &mut String::new(), &mut |pointer, part, value| {
        if part != Part::Secret || value != HIDDEN {
            return;
        }
        match stored.and_then(|stored| stored.pointer(pointer)).filter(|stored| stored.is_string()) {
            Some(stored) => *value = stored.clone(),
            None => unknown.push(pointer.to_owned()),
        }
    });
    unknown
}

/// What is special about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Secret,
    Path,
    /// A map that says what to run.
    Command,
}

/// Visits every value that is special, by the key table; what does not fit the table is passed over, and a fault later.
fn walk(value: &mut Json, kind: &Kind, pointer: &mut String, visit: &mut dyn FnMut(&str, Part, &mut Json)) {
    match kind {
        Kind::SecretValue if value.is_object() => visit(pointer, Part::Command, value),
        Kind::Secret | Kind::SecretValue => visit(pointer, Part::Secret, value),
        // A token may hide there.
        Kind::Url if value.as_str().is_some_and(|url| url.contains(['@', '?']) || url == HIDDEN) => visit(pointer, Part::Secret, value),
        Kind::Path => visit(pointer, Part::Path, value),
        Kind::Map(section) if std::ptr::eq(*section, &COMMAND) => visit(pointer, Part::Command, value),
        Kind::Map(section) => walk_keys(value, section.keys, pointer, visit),
        Kind::Short { map, .. } if value.is_object() => walk_keys(value, map.keys, pointer, visit),
        Kind::Short { key, map } => {
            let kind = map.keys.iter().find(|known| known.name == *key).map(|known| &known.kind);
            kind.into_iter().for_each(|kind| walk(value, kind, pointer, visit));
        }
        Kind::Tagged(variants) => {
            let section = value["type"].as_str().and_then(|tag| variants.iter().find(|(name, _)| *name == tag));
            section.into_iter().for_each(|(_, section)| walk_keys(value, section.keys, pointer, visit));
        }
        Kind::Named(of) => {
            let names: Vec<String> = value.as_object().into_iter().flat_map(Map::keys).cloned().collect();
            names.iter().for_each(|name| step(value, name, of, pointer, visit));
        }
        Kind::List { of, .. } | Kind::OneOrMany(of) => match value {
            Json::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    let length = pointer.len();
                    pointer.push_str(&format!("/{at}"));
                    walk(item, of, pointer, visit);
                    pointer.truncate(length);
                }
            }
            one => walk(one, of, pointer, visit),
        },
        _ => {}
    }
}

fn walk_keys(value: &mut Json, keys: &[keys::Key], pointer: &mut String, visit: &mut dyn FnMut(&str, Part, &mut Json)) {
    keys.iter().for_each(|key| step(value, key.name, &key.kind, pointer, visit));
}

fn step(value: &mut Json, name: &str, kind: &Kind, pointer: &mut String, visit: &mut dyn FnMut(&str, Part, &mut Json)) {
    let Some(inner) = value.as_object_mut().and_then(|map| map.get_mut(name)) else { return };
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    walk(inner, kind, pointer, visit);
    pointer.truncate(length);
}

#[cfg(test)]
mod tests;
