//! The tree after the key table had its say: values of the right type within their ranges, defaults
//! filled in. What was faulty is replaced by its default or left out, so that later checks can go on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bulkhead_core::Severity;
use bulkhead_sandbox::Limits;
use serde_json::Value as Json;

use super::fault::Span;
use super::reader::COUNT_ONLY;
use super::units;

#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub span: Span,
    pub item: Item,
    /// The text with its `${…}`, where it must not be shown filled in.
    pub template: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    Bool(bool),
    Text(String),
    Url(String),
    Secret(secrecy::SecretString),
    Path(PathBuf),
    Address(SocketAddr),
    Severity(Severity),
    Size(u64),
    Duration(Duration),
    Count(u64),
    Integer(i64),
    Factor(f64),
    List(Vec<Checked>),
    Map(Fields),
    Named(Vec<(String, Span, Checked)>),
    Tagged(&'static str, Fields),
    Raw(RawConfig),
    Limits(Limits, Vec<(&'static str, String)>),
}

/// A component's own configuration, not yet held against its schema.
#[derive(Clone, Default)]
pub struct RawConfig {
    /// Numbers as far as JSON numbers go: whole ones up to 64 bits keep every digit.
    pub json: Json,
    /// Places of its values by JSON pointer (RFC 6901).
    pub spans: BTreeMap<String, Span>,
    /// Pointers of values into which `${…}` put something, with the text as written.
    pub interpolated: BTreeMap<String, String>,
}

impl std::fmt::Debug for RawConfig {
    // Never the values: variables may have put secrets there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawConfig").field("values", &self.spans.len()).finish_non_exhaustive()
    }
}

/// The values of a section. Getters answer what the table's default would be for a type where a faulty
/// value left nothing behind: the file is refused anyway.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(pub Vec<(&'static str, Checked)>);

macro_rules! getters {
    ($($get:ident $($variant:ident)|+ -> $type:ty;)*) => {
        impl Fields {
            $(pub(super) fn $get(&self, name: &str) -> Option<$type> {
                match &self.get(name)?.item { $(Item::$variant(value) => Some(value.clone()),)+ _ => None }
            })*
        }
    };
}
getters! {
    bool Bool -> bool;
    text Text | Url -> String;
    path Path -> PathBuf;
    address Address -> SocketAddr;
    severity Severity -> Severity;
    size Size -> u64;
    duration Duration -> Duration;
    count Count -> u64;
    integer Integer -> i64;
    factor Factor -> f64;
    raw Raw -> RawConfig;
}

impl Fields {
    pub(super) fn get(&self, name: &str) -> Option<&Checked> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(super) fn span(&self, name: &str) -> Span {
        self.get(name).map_or_else(Span::default, |value| value.span)
    }

    pub(super) fn limits(&self, name: &str) -> Limits {
        match self.get(name).map(|value| &value.item) {
            Some(Item::Limits(limits, _)) => limits.clone(),
            _ => Limits::default(),
        }
    }

    /// A section; an empty one where a faulty value left none.
    pub(super) fn map(&self, name: &str) -> &Self {
        static NONE: Fields = Fields(Vec::new());
        match self.get(name).map(|value| &value.item) {
            Some(Item::Map(fields)) => fields,
            _ => &NONE,
        }
    }

    pub(super) fn opt_map(&self, name: &str) -> Option<&Self> {
        match &self.get(name)?.item {
            Item::Map(fields) => Some(fields),
            _ => None,
        }
    }

    /// A map with its `type`.
    pub(super) fn tagged(&self, name: &str) -> Option<(&'static str, &Self)> {
        match &self.get(name)?.item {
            Item::Tagged(tag, fields) => Some((tag, fields)),
            _ => None,
        }
    }

    /// A list; a lone value is a list of one.
    pub(super) fn list(&self, name: &str) -> &[Checked] {
        match self.get(name) {
            Some(Checked { item: Item::List(items), .. }) => items,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        }
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.list(name).iter().filter_map(|value| value.as_text().map(str::to_owned)).collect()
    }

    pub(super) fn named(&self, name: &str) -> &[(String, Span, Checked)] {
        match self.get(name).map(|value| &value.item) {
            Some(Item::Named(entries)) => entries,
            _ => &[],
        }
    }

    /// As JSON for people: units written out, secrets and filled-in variables hidden.
    pub(super) fn show(&self) -> Json {
        Json::Object(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.show())).collect())
    }
}

impl Checked {
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.item {
            Item::Text(text) | Item::Url(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_map(&self) -> Option<&Fields> {
        match &self.item {
            Item::Map(fields) => Some(fields),
            _ => None,
        }
    }

    fn show(&self) -> Json {
        match &self.item {
            Item::Secret(_) => Json::from("(hidden)"),
            Item::Text(text) => Json::from(self.template.as_ref().unwrap_or(text).as_str()),
            // A token may hide in the query.
            Item::Url(url) => {
                Json::from(self.template.clone().unwrap_or_else(|| url.split_once('?').map_or_else(|| url.clone(), |(base, _)| format!("{base}?(hidden)"))))
            }
            Item::Bool(value) => Json::from(*value),
            Item::Path(path) => Json::from(path.to_string_lossy()),
            Item::Address(address) => Json::from(address.to_string()),
            Item::Severity(severity) => Json::from(severity.name()),
            Item::Size(bytes) => Json::from(units::show_size(*bytes)),
            Item::Duration(duration) => Json::from(units::show_duration(*duration)),
            Item::Count(count) => Json::from(*count),
            Item::Integer(number) => Json::from(*number),
            Item::Factor(factor) => Json::from(*factor),
            Item::List(items) => items.iter().map(Self::show).collect(),
            Item::Map(fields) => fields.show(),
            Item::Named(entries) => Json::Object(entries.iter().map(|(name, _, value)| (name.clone(), value.show())).collect()),
            Item::Tagged(tag, fields) => {
                let mut shown = serde_json::Map::from_iter([("type".to_owned(), Json::from(*tag))]);
                if let Json::Object(more) = fields.show() {
                    shown.extend(more);
                }
                Json::Object(shown)
            }
            Item::Raw(raw) => raw.show(),
            Item::Limits(_, shown) => {
                let show = |name: &str, value: &str| if name == COUNT_ONLY { value.split(", ").collect() } else { Json::from(value) };
                Json::Object(shown.iter().map(|(name, value)| ((*name).to_owned(), show(name, value))).collect())
            }
        }
    }
}

impl RawConfig {
    fn show(&self) -> Json {
        let mut json = self.json.clone();
        for (pointer, template) in &self.interpolated {
            if let Some(value) = json.pointer_mut(pointer) {
                *value = Json::from(template.as_str());
            }
        }
        json
    }
}
