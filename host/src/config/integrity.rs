//! `integrity`: rules by which the hash chains of events' sources are verified.

use bulkhead_integrity::{Algorithm, Check, Encoding, Fields as Places, Form, Patience, Rule, SetupError, Verifier, pointer_is_sound};
use bulkhead_route::{Condition, MAX_DEPTH};
use secrecy::{ExposeSecret as _, SecretString};

use super::checked::{Checked, Fields, Item};
use super::fault::{FaultKind, Faults};
use super::routing::condition;

/// A rule as written; what runs is made of it once.
#[derive(Debug, Clone)]
pub struct IntegrityRule {
    pub name: String,
    pub when: Condition,
    places: Places,
    check: Option<Parts>,
    patience: Patience,
    max_chains: usize,
    definition: String,
}

#[derive(Debug, Clone)]
struct Parts {
    algorithm: Algorithm,
    encoding: Encoding,
    form: Form,
    secret: Option<SecretString>,
}

impl IntegrityRule {
    pub fn verifier(&self) -> Result<Verifier, SetupError> {
        let check = self.check.as_ref().map(|parts| Check {
            algorithm: parts.algorithm,
            encoding: parts.encoding,
            form: parts.form.clone(),
            secret: parts.secret.as_ref().map(|secret| secret.expose_secret().as_bytes().to_vec()).unwrap_or_default(),
        });
        Verifier::new(Rule { fields: self.places.clone(), check, patience: self.patience, max_chains: self.max_chains, definition: self.definition.clone() })
    }
}

pub(super) fn rules(list: &[Checked], faults: &mut Faults) -> Vec<IntegrityRule> {
    let mut rules: Vec<IntegrityRule> = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        let Some(fields) = entry.as_map() else { continue };
        let Some(rule) = rule(fields, &format!("integrity[{at}]"), faults) else { continue };
        if rules.iter().any(|other| other.name == rule.name) {
            let message = format!("another rule has the name `{}`", rule.name);
            faults.push(FaultKind::Conflict, fields.span("name"), format!("integrity[{at}].name"), message, Some("give each rule a name of its own".into()));
            continue;
        }
        rules.push(rule);
    }
    rules
}

fn rule(fields: &Fields, key: &str, faults: &mut Faults) -> Option<IntegrityRule> {
    let name = fields.text("name")?;
    let when = fields.opt_map("when").map_or(Condition::Always, condition);
    if when.depth() > MAX_DEPTH {
        faults.push(FaultKind::OutOfRange, fields.span("when"), format!("{key}.when"), format!("nested deeper than {MAX_DEPTH}"), None);
    }
    let pointer = |name: &str, faults: &mut Faults| {
        let text = fields.text(name)?;
        check_pointer(&text, fields, name, key, faults);
        Some(text)
    };
    let places =
        Places { hash: pointer("hash", faults), previous: pointer("previous", faults), sequence: pointer("sequence", faults), chain: fields.texts("chain") };
    for text in &places.chain {
        check_pointer(text, fields, "chain", key, faults);
    }
    let number = |name: &str| fields.count(name).and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    let rule = IntegrityRule {
        name,
        when,
        places,
        check: fields.opt_map("hashed").and_then(|hashed| check(fields, hashed, key, faults)),
        patience: Patience { reorder: number("reorder"), late: fields.duration("late").unwrap_or_default(), remember: number("remember") },
        max_chains: number("max_chains"),
        definition: fields.show().to_string(),
    };
    if let Err(error) = rule.verifier() {
        let hint = "name the field with the previous event's hash as `previous`, or the event's number as `sequence`";
        faults.push(FaultKind::Conflict, fields.span("name"), key, error.to_string(), Some(hint.into()));
    }
    Some(rule)
}

fn check(fields: &Fields, hashed: &Fields, key: &str, faults: &mut Faults) -> Option<Parts> {
    let algorithm = match fields.text("algorithm").as_deref() {
        Some("sha512") => Algorithm::Sha512,
        Some("hmac-sha256") => Algorithm::HmacSha256,
        _ => Algorithm::Sha256,
    };
    let secret = fields.get("secret").and_then(|value| if let Item::Secret(secret) = &value.item { Some(secret.clone()) } else { None });
    if (algorithm == Algorithm::HmacSha256) != secret.is_some() {
        let message = "`secret` goes with the algorithm hmac-sha256, and it with a secret";
        faults.push(FaultKind::Conflict, fields.span("secret"), format!("{key}.secret"), message, None);
    }
    let encoding = if fields.text("encoding").as_deref() == Some("base64") { Encoding::Base64 } else { Encoding::Hex };
    let form = hashed.text("form")?;
    let wanted: &[&str] = match form.as_str() {
        "member" => &["member"],
        "template" => &["template"],
        _ => &["member", "without"],
    };
    for name in ["member", "template", "without"] {
        if hashed.get(name).is_some_and(|value| !matches!(&value.item, Item::List(items) if items.is_empty())) && !wanted.contains(&name) {
            let message = format!("the form `{form}` takes no `{name}`");
            faults.push(FaultKind::Conflict, hashed.span(name), format!("{key}.hashed.{name}"), message, None);
        }
    }
    for text in hashed.texts("without").iter().chain(&hashed.text("member")) {
        check_pointer(text, hashed, "member", &format!("{key}.hashed"), faults);
    }
    let missing = |name: &str, faults: &mut Faults| {
        let message = format!("the form `{form}` wants `{name}`");
        faults.push(FaultKind::Missing, hashed.span("form"), format!("{key}.hashed.{name}"), message, None);
    };
    let form = match form.as_str() {
        "member" => match hashed.text("member") {
            Some(member) => Form::Member(member),
            None => {
                missing("member", faults);
                return None;
            }
        },
        "template" => match hashed.text("template").map(|text| Form::template(&text)) {
            Some(Ok(template)) => template,
            Some(Err(error)) => {
                faults.push(FaultKind::WrongType, hashed.span("template"), format!("{key}.hashed.template"), error.to_string(), None);
                return None;
            }
            None => {
                missing("template", faults);
                return None;
            }
        },
        _ => Form::Jcs { of: hashed.text("member").unwrap_or_default(), without: hashed.texts("without") },
    };
    Some(Parts { algorithm, encoding, form, secret })
}

fn check_pointer(text: &str, fields: &Fields, name: &str, key: &str, faults: &mut Faults) {
    if !pointer_is_sound(text) || text.is_empty() {
        let hint = "such as /context/environment/hostname; ~ in a name is written ~0, / is ~1";
        faults.push(FaultKind::WrongType, fields.span(name), format!("{key}.{name}"), "not a JSON pointer (RFC 6901)", Some(hint.into()));
    }
}
