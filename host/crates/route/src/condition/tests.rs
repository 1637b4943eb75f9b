use bulkhead_core::{Attr, EventBuilder, EventRef, Kind, Severity, Shape};
use proptest::prelude::*;

use super::{Condition, MAX_DEPTH};
use crate::{Name, TypeName};

/// An event as the tests see it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub event_type: String,
    pub severity: Option<Severity>,
    pub source: Option<String>,
    pub classification: Option<String>,
    pub compliance: Vec<String>,
    pub roles: Vec<String>,
    pub metadata: Vec<(String, String)>,
    pub tenant: Option<String>,
    /// Of the host itself.
    pub own: bool,
}

fn quoted(text: &str) -> String {
    let mut out = vec![b'"'];
    bulkhead_core::json::write_escaped(text, &mut out);
    out.push(b'"');
    String::from_utf8(out).expect("utf-8")
}

impl Sample {
    pub(crate) fn of(event_type: &str, severity: Severity) -> Self {
        Self { event_type: event_type.into(), severity: Some(severity), ..Self::default() }
    }

    pub(crate) fn stored(&self) -> Vec<u8> {
        let list = |items: &[String]| format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "));
        let mut builder = EventBuilder::new();
        builder.start();
        builder.text(Attr::Id, "1");
        builder.text(Attr::Type, &self.event_type);
        if let Some(source) = &self.source {
            builder.text(Attr::Source, source);
        }
        if let Some(classification) = &self.classification {
            builder.text(Attr::Classification, classification);
        }
        if !self.compliance.is_empty() {
            builder.raw(Attr::Compliance, Kind::Array, list(&self.compliance).as_bytes());
        }
        if !self.roles.is_empty() {
            builder.raw(Attr::Roles, Kind::Array, list(&self.roles).as_bytes());
        }
        if !self.metadata.is_empty() {
            let members: Vec<_> = self.metadata.iter().map(|(key, value)| format!("{} : {}", quoted(key), quoted(value))).collect();
            builder.raw(Attr::Metadata, Kind::Object, format!("{{{}}}", members.join(",")).as_bytes());
        }
        if let Some(tenant) = &self.tenant {
            builder.text(Attr::Tenant, tenant);
        }
        let mut out = Vec::new();
        builder.finish(if self.own { Shape::Own } else { Shape::Plain }, self.severity, 0, b"{}", &mut out).expect("fits");
        out
    }
}

#[track_caller]
fn check(condition: &Condition, sample: &Sample, want: bool) {
    let stored = sample.stored();
    assert_eq!(condition.holds(&EventRef::new(&stored).expect("stored event")), want, "{condition:?} on {sample:?}");
}

fn types(names: &[&str]) -> Condition {
    Condition::EventType(names.iter().map(|name| TypeName::new(name)).collect())
}

fn boxed(items: &[&str]) -> Vec<Box<str>> {
    items.iter().map(|item| Box::from(*item)).collect()
}

#[test]
fn severity_is_ordered_not_alphabetical() {
    use Severity::{Critical, High, Info, Low, Medium};
    for (least, severity, want) in [(High, Critical, true), (High, High, true), (High, Low, false), (Low, Medium, true), (Info, Info, true)] {
        check(&Condition::MinSeverity(least), &Sample::of("x", severity), want);
    }
    // No severity counts as info for thresholds, and is none of the listed ones.
    check(&Condition::MinSeverity(Info), &Sample::default(), true);
    check(&Condition::MinSeverity(Low), &Sample::default(), false);
    check(&Condition::Severity([Info].into_iter().collect()), &Sample::default(), false);
    check(&Condition::Severity([Low, High].into_iter().collect()), &Sample::of("x", High), true);
    check(&Condition::Severity([Low, High].into_iter().collect()), &Sample::of("x", Medium), false);
}

#[test]
fn types_are_one_of_the_list() {
    check(&types(&["AccessEvent", "SecurityEvent"]), &Sample::of("copybook.security_event", Severity::Low), true);
    check(&types(&["AccessEvent"]), &Sample::of("copybook.security_event", Severity::Low), false);
    check(&types(&["line\nbreak"]), &Sample::of("line\nbreak", Severity::Low), true);
}

#[test]
fn classification_profile_role() {
    let sample = Sample {
        classification: Some("MaterialTransaction".into()),
        compliance: vec!["SOX".into(), "pci_dss".into()],
        roles: vec!["Auditor \"senior\"".into(), "ops".into()],
        ..Sample::default()
    };
    for (condition, want) in [
        (Condition::SecurityClassification(vec![Name::new("public"), Name::new("material_transaction")]), true),
        (Condition::SecurityClassification(vec![Name::new("public")]), false),
        (Condition::ComplianceProfile(vec![Name::new("PciDss")]), true),
        (Condition::ComplianceProfile(vec![Name::new("gdpr")]), false),
        (Condition::UserRole(boxed(&["Auditor \"senior\""])), true),
        (Condition::UserRole(boxed(&["Ops"])), false),
        (Condition::UserRole(boxed(&["x", "ops"])), true),
    ] {
        check(&condition, &sample, want);
        check(&condition, &Sample::default(), false);
    }
}

#[test]
fn metadata_is_a_case_sensitive_substring() {
    let sample = Sample { metadata: vec![("team".into(), "EU \"core\" billing".into()), ("k\u{e9}y".into(), "v".into())], ..Sample::default() };
    for (key, value, want) in [
        ("team", "core", true),
        ("team", "\"core\" b", true),
        ("team", "Core", false),
        ("Team", "core", false),
        ("k\u{e9}y", "v", true),
        ("team", "", true),
        ("none", "", false),
    ] {
        check(&Condition::MetadataContains { key: key.into(), value: value.into() }, &sample, want);
    }
}

#[test]
fn source_is_exact() {
    let sample = Sample { source: Some("llm-data-vault".into()), ..Sample::default() };
    check(&Condition::Source(boxed(&["copybook", "llm-data-vault"])), &sample, true);
    check(&Condition::Source(boxed(&["llm-data"])), &sample, false);
    check(&Condition::Source(boxed(&["llm-data-vault"])), &Sample::default(), false);
}

#[test]
fn attributes_of_another_kind_do_not_match() {
    let mut builder = EventBuilder::new();
    builder.start();
    builder.raw(Attr::Type, Kind::Number, b"7");
    builder.raw(Attr::Compliance, Kind::String, b"sox");
    builder.raw(Attr::Roles, Kind::Object, br#"{"a":"admin"}"#);
    builder.raw(Attr::Metadata, Kind::Array, br#"["team","core"]"#);
    let mut out = Vec::new();
    builder.finish(Shape::Plain, None, 0, b"{}", &mut out).expect("fits");
    let event = EventRef::new(&out).expect("stored event");
    assert!(!types(&["7"]).holds(&event));
    assert!(Condition::ComplianceProfile(vec![Name::new("SOX")]).holds(&event), "a lone string counts as a list of one");
    assert!(!Condition::UserRole(boxed(&["admin"])).holds(&event));
    assert!(!Condition::MetadataContains { key: "team".into(), value: "core".into() }.holds(&event));
}

#[test]
fn depth_is_counted_with_a_bound() {
    let mut condition = Condition::Always;
    assert_eq!(condition.depth(), 1);
    for _ in 1..MAX_DEPTH {
        condition = Condition::Not(Box::new(condition));
    }
    assert_eq!(condition.depth(), MAX_DEPTH);
    let deeper = Condition::And(vec![Condition::Never, condition]);
    assert_eq!(deeper.depth(), MAX_DEPTH + 1);
}

const WORDS: [&str; 5] = ["alpha", "beta", "gam\"ma", "del\\ta", "\u{e9}psilon"];

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(&WORDS[..]).prop_map(String::from)
}

fn severity() -> impl Strategy<Value = Severity> {
    prop::sample::select(&Severity::ALL[..])
}

fn sample() -> impl Strategy<Value = Sample> {
    let words = || prop::collection::vec(word(), 0..3);
    (word(), prop::option::of(severity()), prop::option::of(word()), prop::option::of(word()), words(), words(), prop::collection::vec((word(), word()), 0..3))
        .prop_map(|(event_type, severity, source, classification, compliance, roles, mut metadata)| {
            metadata.sort();
            metadata.dedup_by(|a, b| a.0 == b.0);
            Sample { event_type, severity, source, classification, compliance, roles, metadata, ..Sample::default() }
        })
}

/// The model: what a rule means, said in the plainest way.
#[derive(Debug, Clone)]
enum Model {
    And(Vec<Model>),
    Or(Vec<Model>),
    Not(Box<Model>),
    Type(String),
    Severities(Vec<Severity>),
    Least(Severity),
    Class(String),
    Profile(String),
    Role(String),
    Label(String, String),
    Source(String),
    Constant(bool),
}

impl Model {
    fn holds(&self, event: &Sample) -> bool {
        match self {
            Self::And(parts) => !parts.iter().any(|part| !part.holds(event)),
            Self::Or(parts) => parts.iter().filter(|part| part.holds(event)).count() > 0,
            Self::Not(part) => !part.holds(event),
            Self::Type(name) => event.event_type == *name,
            Self::Severities(list) => event.severity.is_some_and(|severity| list.contains(&severity)),
            Self::Least(least) => event.severity.map_or(0, |severity| severity as u8).max(1) >= *least as u8,
            Self::Class(name) => event.classification.as_ref() == Some(name),
            Self::Profile(name) => event.compliance.contains(name),
            Self::Role(name) => event.roles.contains(name),
            Self::Label(key, part) => event.metadata.iter().any(|(name, value)| name == key && value.contains(part.as_str())),
            Self::Source(name) => event.source.as_ref() == Some(name),
            Self::Constant(value) => *value,
        }
    }

    fn condition(&self) -> Condition {
        let all = |parts: &[Self]| parts.iter().map(Self::condition).collect();
        match self {
            Self::And(parts) => Condition::And(all(parts)),
            Self::Or(parts) => Condition::Or(all(parts)),
            Self::Not(part) => Condition::Not(Box::new(part.condition())),
            Self::Type(name) => types(&[name]),
            Self::Severities(list) => Condition::Severity(list.iter().copied().collect()),
            Self::Least(least) => Condition::MinSeverity(*least),
            Self::Class(name) => Condition::SecurityClassification(vec![Name::new(name)]),
            Self::Profile(name) => Condition::ComplianceProfile(vec![Name::new(name)]),
            Self::Role(name) => Condition::UserRole(boxed(&[name])),
            Self::Label(key, value) => Condition::MetadataContains { key: key.as_str().into(), value: value.as_str().into() },
            Self::Source(name) => Condition::Source(boxed(&[name])),
            Self::Constant(true) => Condition::Always,
            Self::Constant(false) => Condition::Never,
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![
        word().prop_map(Model::Type),
        prop::collection::vec(severity(), 0..3).prop_map(Model::Severities),
        severity().prop_map(Model::Least),
        word().prop_map(Model::Class),
        word().prop_map(Model::Profile),
        word().prop_map(Model::Role),
        (word(), word(), 0usize..3).prop_map(|(key, value, from)| Model::Label(key, value.chars().skip(from).take(3).collect())),
        word().prop_map(Model::Source),
        any::<bool>().prop_map(Model::Constant),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Model::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Model::Or),
            inner.prop_map(|part| Model::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn conditions_mean_what_the_model_means(model in model(), sample in sample()) {
        let stored = sample.stored();
        prop_assert_eq!(model.condition().holds(&EventRef::new(&stored).expect("stored event")), model.holds(&sample));
    }
}
