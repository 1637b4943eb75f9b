//! `encryption:` → where keys come from and what is sealed with them. Keys that stand in the file are
//! looked at here; those that a command prints, when they are had.

use bulkhead_seal::{FieldRules, Key, RuleFault};
use secrecy::ExposeSecret as _;

use super::checked::{Checked, Fields, Item};
use super::credentials::one;
use super::fault::{FaultKind, Faults};
use super::settings::EncryptionSettings;

pub(super) fn encryption(fields: &Fields, faults: &mut Faults) -> EncryptionSettings {
    if let Some(key) = fields.get("key") {
        check(key, "encryption.key", faults);
    }
    for (at, key) in fields.list("older_keys").iter().enumerate() {
        check(key, &format!("encryption.older_keys[{at}]"), faults);
    }
    let settings = EncryptionSettings {
        key: fields.get("key").and_then(one),
        older_keys: fields.list("older_keys").iter().filter_map(one).collect(),
        at_rest: fields.bool("at_rest").unwrap_or_default(),
        rules: rules(fields, "encryption", faults),
        rotate_every: fields.duration("rotate_every").unwrap_or_default(),
    };
    let needs = [("at_rest", settings.at_rest), ("fields", settings.rules.seals()), ("older_keys", !settings.older_keys.is_empty())];
    if settings.key.is_none()
        && let Some((name, _)) = needs.into_iter().find(|(_, needs)| *needs)
    {
        let hint = Some("`openssl rand -base64 32` makes one; keep it outside of the file: `key: \"${BULKHEAD_KEY}\"`".to_owned());
        faults.push(FaultKind::Missing, fields.span(name), "encryption.key", format!("`key` is missing: `{name}` needs it"), hint);
    }
    settings
}

/// The fields of `encryption`, or of an instance's part of it.
pub(super) fn rules(fields: &Fields, key: &str, faults: &mut Faults) -> FieldRules {
    let mut sound = true;
    for name in ["fields", "redact"] {
        for (at, pointer) in fields.list(name).iter().enumerate() {
            if let Err(fault) = FieldRules::check(pointer.as_text().unwrap_or_default()) {
                sound = false;
                faults.push(FaultKind::WrongType, pointer.span, format!("{key}.{name}[{at}]"), fault.to_string(), None);
            }
        }
    }
    match FieldRules::parse(&fields.texts("fields"), &fields.texts("redact")) {
        Ok(rules) => rules,
        Err(fault) => {
            if sound {
                faults.push(FaultKind::Conflict, fields.span("redact"), format!("{key}.redact"), fault.to_string(), None);
            }
            FieldRules::default()
        }
    }
}

/// An instance that seals needs the key.
pub(super) fn needs_key(rules: &FieldRules, root: &Fields, span: super::fault::Span, key: &str, faults: &mut Faults) {
    if rules.seals() && root.map("encryption").get("key").is_none() {
        faults.push(FaultKind::Missing, span, "encryption.key", format!("`encryption.key` is missing: `{key}` needs it"), Some(RuleFault::NoKey.to_string()));
    }
}

fn check(value: &Checked, key: &str, faults: &mut Faults) {
    if let Item::Secret(secret) = &value.item
        && let Err(fault) = Key::parse(secret.expose_secret())
    {
        faults.push(FaultKind::WrongType, value.span, key, fault.to_string(), None);
    }
}
