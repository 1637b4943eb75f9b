//! Holds the tree against the key table and collects every fault: unknown keys with the nearest known
//! one, wrong types, values out of range, missing keys, keys of later versions.

use std::net::SocketAddr;
use std::time::Duration;

use bulkhead_core::{Severity, Tenant};
use bulkhead_sandbox::{Limit, Limits, limits};

use super::checked::{Checked, Fields, Item};
use super::fault::{FaultKind, Faults, Span};
use super::keys::{COMMAND, CONDITION, Key, Kind, Need, Section};
use super::tree::{Entry, Node, Scalar, Value};
use super::{nearest, raw, units, unsupported};

/// Shortest secret: a shorter one could not be redacted from answers without destroying them.
pub(super) const SECRET_MIN: usize = 6;
/// Longest text of a single setting.
const TEXT_MAX: usize = 64 << 10;
/// Most entries of a map of the operator's names.
const NAMED_MAX: usize = 10_000;

pub(super) struct Reader<'f> {
    pub faults: &'f mut Faults,
    path: String,
}

/// What is wrong with a single value.
struct Wrong {
    kind: FaultKind,
    message: String,
    hint: String,
}

impl Wrong {
    fn kind(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: FaultKind::WrongType, message: message.into(), hint: hint.into() }
    }

    fn range(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: FaultKind::OutOfRange, message: message.into(), hint: hint.into() }
    }
}

impl<'f> Reader<'f> {
    pub(super) fn new(faults: &'f mut Faults) -> Self {
        Self { faults, path: String::new() }
    }

    /// Reads a whole section: what is there, then the defaults of what is not.
    pub(super) fn section(&mut self, node: &Node, section: &'static Section) -> Option<Fields> {
        let none = Vec::new();
        let entries = match &node.value {
            Value::Map(entries) => entries,
            _ if node.is_null() && self.path.is_empty() => &none,
            _ => {
                self.veil(node);
                let known: Vec<_> = section.keys.iter().map(|key| key.name).collect();
                self.wrong(node.span, Wrong::kind(format!("expected a map, found {}", node.describe()), format!("its keys are {}", known.join(", "))));
                return None;
            }
        };
        Some(self.fields(node.span, entries, section, None))
    }

    fn fields(&mut self, span: Span, entries: &[Entry], section: &'static Section, tag: Option<&str>) -> Fields {
        for entry in entries.iter().filter(|entry| tag != Some(entry.key.as_str())) {
            if section.keys.iter().all(|key| key.name != entry.key) {
                self.at(&entry.key, |reader| reader.unknown(entry, section, tag));
            }
        }
        let mut fields = Vec::new();
        for key in section.keys {
            let entry = entries.iter().find(|entry| entry.key == key.name);
            let value = self.at(key.name, |reader| reader.key(span, entry, key));
            fields.extend(value.map(|value| (key.name, value)));
        }
        Fields(fields)
    }

    fn unknown(&mut self, entry: &Entry, section: &Section, tag: Option<&str>) {
        if let Some(purpose) = unsupported::purpose(&self.path) {
            self.veil(&entry.value);
            if !unsupported::inert(&entry.value) {
                let hint = format!("remove `{}`", entry.key);
                self.push(FaultKind::Unsupported, entry.key_span, format!("not supported in this version: {purpose}"), hint);
            }
            return;
        }
        self.veil(&entry.value);
        let known: Vec<_> = section.keys.iter().map(|key| key.name).chain(tag).collect();
        self.push(FaultKind::UnknownKey, entry.key_span, "unknown key", nearest::hint(&entry.key, &known));
    }

    /// The value of a key, its default, or nothing.
    fn key(&mut self, section: Span, entry: Option<&Entry>, key: &'static Key) -> Option<Checked> {
        match (entry, key.need) {
            (Some(entry), Need::Optional) if entry.value.is_null() => None,
            (Some(entry), _) if entry.value.is_null() && !matches!(key.kind, Kind::Raw) => {
                let hint = match key.need {
                    Need::Default(default) => format!("remove the key to have the default, {default}"),
                    _ => format!("expected {}", expected(&key.kind)),
                };
                self.push(FaultKind::Missing, entry.key_span, "has no value", hint);
                self.default(section, key)
            }
            (Some(entry), _) => self.value(&entry.value, &key.kind).or_else(|| self.default(section, key)),
            (None, Need::Required) => {
                let message = format!("`{}` is missing", key.name);
                self.push(FaultKind::Missing, section, message, format!("{} Expected {}", key.doc, expected(&key.kind)));
                None
            }
            (None, _) => self.default(section, key),
        }
    }

    fn default(&mut self, section: Span, key: &'static Key) -> Option<Checked> {
        let Need::Default(text) = key.need else { return None };
        // Defaults are YAML too; a test reads them all.
        let node = super::tree::parse(text, &mut Faults::default())?;
        let mut value = self.value(&node, &key.kind)?;
        value.span = section;
        Some(value)
    }

    fn value(&mut self, node: &Node, kind: &Kind) -> Option<Checked> {
        let item = match kind {
            Kind::Map(section) => Item::Map(self.section(node, section)?),
            Kind::Condition => {
                if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
                    self.push(FaultKind::Missing, node.span, "the condition says nothing", "write `always: true` for every event");
                    return None;
                }
                // Elsewhere an empty value is an absent key; here it would widen what the condition lets through.
                if let Value::Map(entries) = &node.value
                    && let Some(empty) = entries.iter().find(|entry| entry.value.is_null())
                {
                    let message = format!("`{}` of the condition has no value", empty.key);
                    self.push(FaultKind::Missing, empty.value.span, &message, "write what it must be, or leave the key out");
                    return None;
                }
                Item::Map(self.section(node, &CONDITION)?)
            }
            Kind::Short { key, map } => match &node.value {
                Value::Map(_) => Item::Map(self.section(node, map)?),
                _ => {
                    let entry = Entry { key: (*key).to_owned(), key_span: node.span, value: node.clone() };
                    Item::Map(self.fields(node.span, std::slice::from_ref(&entry), map, None))
                }
            },
            Kind::Tagged(variants) => self.tagged(node, variants)?,
            Kind::Named(of) => self.named(node, of)?,
            Kind::List { of, min, max } => self.list(node, of, *min, *max)?,
            Kind::OneOrMany(of) => match &node.value {
                Value::List(_) => self.list(node, of, 1, 256)?,
                _ => return self.value(node, of),
            },
            Kind::SecretValue if matches!(node.value, Value::Map(_)) => Item::Map(self.section(node, &COMMAND)?),
            Kind::SecretValue => return self.single(node, &Kind::Secret),
            Kind::Limits => self.limits(node)?,
            Kind::Raw => self.raw(node)?,
            _ => return self.single(node, kind),
        };
        Some(Checked { span: node.span, item, template: None })
    }

    fn single(&mut self, node: &Node, kind: &Kind) -> Option<Checked> {
        if matches!(kind, Kind::Secret) {
            self.veil(node);
        }
        if node.is_null() && !matches!(kind, Kind::AnyText) {
            self.push(FaultKind::Missing, node.span, "has no value", format!("expected {}", expected(kind)));
            return None;
        }
        let Value::Scalar(scalar) = &node.value else {
            self.veil(node);
            self.wrong(node.span, Wrong::kind(format!("expected {}, found {}", expected(kind), node.describe()), ""));
            return None;
        };
        if matches!(kind, Kind::Url) && scalar.text.contains(['@', '?']) {
            self.veil(node); // A token may hide there.
        }
        match scalar_item(scalar, kind) {
            Ok(item) => Some(Checked { span: node.span, item, template: scalar.template.clone() }),
            Err(wrong) => {
                self.wrong(node.span, wrong);
                None
            }
        }
    }

    fn tagged(&mut self, node: &Node, variants: &'static [(&'static str, &'static Section)]) -> Option<Item> {
        let names: Vec<_> = variants.iter().map(|(name, _)| *name).collect();
        let Value::Map(entries) = &node.value else {
            self.veil(node);
            self.wrong(node.span, Wrong::kind(format!("expected a map with a `type`, found {}", node.describe()), format!("types are {}", names.join(", "))));
            return None;
        };
        let Some(entry) = entries.iter().find(|entry| entry.key == "type") else {
            self.veil(node);
            self.push(FaultKind::Missing, node.span, "`type` is missing", format!("one of {}", names.join(", ")));
            return None;
        };
        let written = match &entry.value.value {
            Value::Scalar(scalar) => scalar.text.as_str(),
            _ => "",
        };
        let Some((name, section)) = variants.iter().find(|(name, _)| *name == written) else {
            self.veil(node);
            let message = format!("`{}` is no type known here", excerpt(written));
            self.at("type", |reader| reader.push(FaultKind::WrongType, entry.value.span, message, nearest::hint(written, &names)));
            return None;
        };
        Some(Item::Tagged(name, self.fields(node.span, entries, section, Some("type"))))
    }

    fn named(&mut self, node: &Node, of: &'static Kind) -> Option<Item> {
        let Value::Map(entries) = &node.value else {
            self.veil(node);
            self.wrong(node.span, Wrong::kind(format!("expected a map of names, found {}", node.describe()), "write `name: …` lines, the names are yours"));
            return None;
        };
        if entries.len() > NAMED_MAX {
            self.wrong(node.span, Wrong::range(format!("{} entries; at most {NAMED_MAX} are possible", entries.len()), ""));
            return None;
        }
        let mut out = Vec::new();
        for entry in entries {
            let value = self.at(&entry.key, |reader| {
                if !is_name(&entry.key) {
                    reader.push(FaultKind::WrongType, entry.key_span, "not a name", NAME_RULE);
                }
                reader.value(&entry.value, of)
            });
            out.extend(value.map(|value| (entry.key.clone(), entry.key_span, value)));
        }
        Some(Item::Named(out))
    }

    fn list(&mut self, node: &Node, of: &'static Kind, min: usize, max: usize) -> Option<Item> {
        let Value::List(items) = &node.value else {
            self.veil(node);
            self.wrong(node.span, Wrong::kind(format!("expected a list, found {}", node.describe()), "write [ … ] or lines that begin with `- `"));
            return None;
        };
        if items.len() < min || items.len() > max {
            self.wrong(node.span, Wrong::range(format!("{} entries; from {min} to {max} are possible", items.len()), ""));
            return None;
        }
        let length = self.path.len();
        let mut out = Vec::new();
        for (at, item) in items.iter().enumerate() {
            self.path.push_str(&format!("[{at}]"));
            out.extend(self.value(item, of));
            self.path.truncate(length);
        }
        Some(Item::List(out))
    }

    fn raw(&mut self, node: &Node) -> Option<Item> {
        // The schema that says which of these are secrets is not known here.
        self.veil(node);
        match raw::config(node) {
            Ok(raw) => Some(Item::Raw(raw)),
            Err((span, message)) => {
                self.wrong(span, Wrong::kind(message, "a component's configuration is a map"));
                None
            }
        }
    }

    fn limits(&mut self, node: &Node) -> Option<Item> {
        let Value::Map(entries) = &node.value else {
            self.wrong(node.span, Wrong::kind(format!("expected a map of limits, found {}", node.describe()), ""));
            return None;
        };
        let mut limits = Limits::default();
        for entry in entries {
            self.at(&entry.key, |reader| {
                if entry.key == COUNT_ONLY {
                    return reader.count_only(&entry.value, &mut limits);
                }
                let Some(limit) = Limit::named(&entry.key) else {
                    let known: Vec<_> = limits::TABLE.iter().map(|row| row.name).collect();
                    return reader.push(FaultKind::UnknownKey, entry.key_span, "unknown limit", nearest::hint(&entry.key, &known));
                };
                let (ceiling, value) = (limit.row().ceiling, reader.single(&entry.value, &limit_kind(limit)));
                let number = match value.map(|value| value.item) {
                    Some(Item::Count(number) | Item::Size(number)) => number,
                    Some(Item::Duration(time)) => u64::try_from(time.as_millis()).unwrap_or(ceiling),
                    _ => return,
                };
                if let Err(error) = limits.set(limit, number) {
                    reader.wrong(entry.value.span, Wrong::range(error.to_string(), ""));
                }
            });
        }
        let mut shown: Vec<_> = limits::TABLE.iter().map(|row| (row.name, show_limit(row, limits.get(row.limit)))).collect();
        let counting: Vec<_> = limits.counting().map(|row| row.name).collect();
        if !counting.is_empty() {
            shown.push((COUNT_ONLY, counting.join(", ")));
        }
        Some(Item::Limits(limits, shown))
    }

    /// Names of limits that are counted and not enforced.
    fn count_only(&mut self, node: &Node, limits: &mut Limits) {
        const NAMES: Kind = Kind::List { of: &Kind::Text, min: 0, max: limits::TABLE.len() };
        let Some(Item::List(names)) = self.value(node, &NAMES).map(|value| value.item) else { return };
        for name in names {
            let text = name.as_text().unwrap_or_default();
            match Limit::named(text) {
                Some(limit) => {
                    if let Err(error) = limits.count_only(limit) {
                        self.push(FaultKind::WrongType, name.span, error.to_string(), "");
                    }
                }
                None => {
                    let known = limits::countable();
                    self.push(FaultKind::UnknownKey, name.span, "unknown limit", nearest::hint(text, &known));
                }
            }
        }
    }

    fn at<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        // Keys may be as long as the file; a message is not.
        self.path.extend(key.chars().take(64));
        let value = read(self);
        self.path.truncate(length);
        value
    }

    fn veil(&mut self, node: &Node) {
        node.scalars(&mut |span, _| self.faults.veil.push(span));
    }

    fn wrong(&mut self, span: Span, wrong: Wrong) {
        self.push(wrong.kind, span, wrong.message, wrong.hint);
    }

    fn push(&mut self, kind: FaultKind, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        let hint = hint.into();
        self.faults.push(kind, span, self.path.clone(), message, (!hint.is_empty()).then_some(hint));
    }
}

/// The key below `limits` that is none of the table.
pub(super) const COUNT_ONLY: &str = "count_only";

const NAME_RULE: &str = "a name has 1 to 64 letters, digits, `.`, `_`, `-` and begins with a letter or digit";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_component(text: &str) -> bool {
    match text.split_once('@') {
        Some((name, version)) => is_name(name) && is_name(version) && version.starts_with(|c: char| c.is_ascii_digit()),
        None => is_name(text) || text.parse::<bulkhead_registry::Digest>().is_ok(),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn limit_kind(limit: Limit) -> Kind {
    let row = limit.row();
    match row.unit {
        limits::Unit::Bytes => Kind::Size { min: 1, max: row.ceiling },
        limits::Unit::Time => Kind::Duration { min: 1, max: row.ceiling },
        limits::Unit::Fuel => Kind::Fuel { min: 1, max: row.ceiling },
        limits::Unit::Count | limits::Unit::PerSecond => Kind::Count { min: 1, max: row.ceiling },
    }
}

fn show_limit(row: &limits::Row, value: u64) -> String {
    match row.unit {
        limits::Unit::Bytes => units::show_size(value),
        limits::Unit::Time => units::show_duration(Duration::from_millis(value)),
        limits::Unit::Fuel => units::show_fuel(value),
        limits::Unit::Count | limits::Unit::PerSecond => value.to_string(),
    }
}

/// What a value should be, in words.
pub(super) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true or false".into(),
        Kind::True => "true".into(),
        Kind::Text | Kind::AnyText | Kind::Secret => "text".into(),
        Kind::SecretValue => "text, or a map with a `command`".into(),
        Kind::Name => "a name".into(),
        Kind::Component => "a component such as splunk-hec, splunk-hec@1.2 or sha256:…".into(),
        Kind::Tenant => "a tenant: 1 to 64 of a-z, 0-9 and `-`".into(),
        Kind::Path => "a path".into(),
        Kind::Address => "an address with a port, such as 127.0.0.1:8781".into(),
        Kind::Url => "a URL such as https://host:8088/base".into(),
        Kind::Cidr => "a network such as 10.0.0.0/8".into(),
        Kind::Method => "a method in capitals, such as POST".into(),
        Kind::Severity => "info, low, medium, high or critical".into(),
        Kind::Size { .. } => units::SIZE.into(),
        Kind::Duration { .. } => units::DURATION.into(),
        Kind::Fuel { .. } => units::FUEL.into(),
        Kind::Count { .. } | Kind::Integer { .. } => units::COUNT.into(),
        Kind::Factor { .. } => "a number such as 2 or 1.5".into(),
        Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
        Kind::List { .. } => "a list".into(),
        Kind::OneOrMany(of) => format!("{}, or a list of such", expected(of)),
        Kind::Short { .. } => "a single value or a map".into(),
        Kind::Map(_) | Kind::Condition | Kind::Named(_) | Kind::Tagged(_) | Kind::Raw | Kind::Limits => "a map".into(),
    }
}

/// Reads a single value. Messages repeat what was written unless a variable put it there.
fn scalar_item(scalar: &Scalar, kind: &Kind) -> Result<Item, Wrong> {
    let text = scalar.text.as_str();
    let shown = match (&scalar.template, kind) {
        (_, Kind::Secret) => "the value".to_owned(),
        (Some(template), _) => format!("the value of `{}`", excerpt(template)),
        (None, _) => format!("`{}`", excerpt(text)),
    };
    let mismatch = || {
        let hint = if matches!(kind, Kind::Duration { .. }) && units::count(text).is_some() { "the unit is missing" } else { "" };
        Wrong::kind(format!("{shown} is not {}", expected(kind)), hint)
    };
    if text.len() > TEXT_MAX {
        return Err(Wrong::range(format!("longer than {TEXT_MAX} bytes"), ""));
    }
    let limited = matches!(kind, Kind::Size { .. } | Kind::Duration { .. } | Kind::Count { .. } | Kind::Fuel { .. });
    if limited && matches!(text.to_ascii_lowercase().as_str(), "unlimited" | "none" | "infinite" | "infinity" | "inf" | ".inf" | "-1" | "off" | "never") {
        return Err(Wrong::range(format!("{shown} is not possible: everything has a limit"), range(kind)));
    }
    let within = |ok: bool, item: Item| if ok { Ok(item) } else { Err(Wrong::range(format!("{shown} is out of range"), range(kind))) };
    match kind {
        Kind::Bool => match text {
            "true" => Ok(Item::Bool(true)),
            "false" => Ok(Item::Bool(false)),
            _ => Err(mismatch()),
        },
        Kind::True if text == "true" => Ok(Item::Bool(true)),
        Kind::AnyText => Ok(Item::Text(text.to_owned())),
        Kind::Text if !text.is_empty() => Ok(Item::Text(text.to_owned())),
        Kind::Text => Err(Wrong::range(format!("{shown} is empty"), "")),
        Kind::Secret => secret(text),
        Kind::Name if is_name(text) => Ok(Item::Text(text.to_owned())),
        Kind::Name => Err(Wrong::kind(format!("{shown} is not a name"), NAME_RULE)),
        Kind::Component if is_component(text) => Ok(Item::Text(text.to_owned())),
        Kind::Tenant if Tenant::new(text).is_some() => Ok(Item::Text(text.to_owned())),
        Kind::Path if !text.is_empty() && !text.contains('\0') => Ok(Item::Path(text.into())),
        Kind::Address => address(text).map(Item::Address).ok_or_else(mismatch),
        // The sandbox judges what destinations are made of.
        Kind::Url => Ok(Item::Url(text.to_owned())),
        Kind::Cidr | Kind::Method => Ok(Item::Text(text.to_owned())),
        Kind::Severity => Severity::parse(text).map(Item::Severity).ok_or_else(mismatch),
        Kind::Size { min, max } => units::size(text).ok_or_else(mismatch).and_then(|size| within((*min..=*max).contains(&size), Item::Size(size))),
        Kind::Fuel { min, max } => units::fuel(text).ok_or_else(mismatch).and_then(|fuel| within((*min..=*max).contains(&fuel), Item::Count(fuel))),
        Kind::Count { min, max } => units::count(text).ok_or_else(mismatch).and_then(|count| within((*min..=*max).contains(&count), Item::Count(count))),
        Kind::Duration { min, max } => units::duration(text)
            .ok_or_else(mismatch)
            .and_then(|time| within((Duration::from_millis(*min)..=Duration::from_millis(*max)).contains(&time), Item::Duration(time))),
        Kind::Integer { min, max } => text.parse().map_err(|_| mismatch()).and_then(|number| within((*min..=*max).contains(&number), Item::Integer(number))),
        Kind::Factor { min, max } => units::factor(text).ok_or_else(mismatch).and_then(|factor| within((*min..=*max).contains(&factor), Item::Factor(factor))),
        Kind::Choice(choices) if choices.contains(&text) => Ok(Item::Text(text.to_owned())),
        Kind::Choice(choices) => Err(Wrong::kind(format!("{shown} is not possible"), nearest::hint(text, choices))),
        _ => Err(mismatch()),
    }
}

fn range(kind: &Kind) -> String {
    let (min, max) = match kind {
        Kind::Size { min, max } => (units::show_size(*min), units::show_size(*max)),
        Kind::Duration { min, max } => (units::show_duration(Duration::from_millis(*min)), units::show_duration(Duration::from_millis(*max))),
        Kind::Fuel { min, max } => (units::show_fuel(*min), units::show_fuel(*max)),
        Kind::Count { min, max } => (min.to_string(), max.to_string()),
        Kind::Integer { min, max } => (min.to_string(), max.to_string()),
        Kind::Factor { min, max } => (min.to_string(), max.to_string()),
        _ => return String::new(),
    };
    format!("from {min} to {max} is possible")
}

fn secret(text: &str) -> Result<Item, Wrong> {
    if text.len() < SECRET_MIN {
        let message = if text.is_empty() { "the secret is empty".to_owned() } else { format!("the secret is shorter than {SECRET_MIN} bytes") };
        return Err(Wrong::range(message, format!("use at least {SECRET_MIN} bytes, so that it can be hidden in what a receiver echoes")));
    }
    Ok(Item::Secret(text.to_owned().into()))
}

/// An address with a port; `localhost` is the loopback address, other names are not looked up.
fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.parse().ok(),
    }
}
