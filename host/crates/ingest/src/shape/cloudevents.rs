//! CloudEvents 1.0 as JSON (CloudEvents JSON event format §2 and §3): its context attributes, the
//! audit attributes as extensions, everything else in `extensions`. Always strict.

use std::borrow::Cow;

use bulkhead_core::{Attr, Kind, Severity, Shape};

use super::{Draft, datavault};
use crate::fields::{Field, Slot, TopMember};
use crate::lists;
use crate::normalise::EventFault;

pub(crate) fn fill(draft: &mut Draft<'_>) -> Result<Shape, EventFault> {
    let version = draft.get(Slot::SpecVersion);
    if version.text(draft.text).as_deref() != Some("1.0") {
        return Err(draft.wants(version, "/specversion", "the string 1.0"));
    }
    for (attr, slot, pointer) in [(Attr::Id, Slot::Id, "/id"), (Attr::Source, Slot::Source, "/source"), (Attr::Type, Slot::Type, "/type")] {
        if !draft.string(attr, draft.get(slot)) {
            return Err(draft.wants(draft.get(slot), pointer, "a string that is not empty"));
        }
    }
    let mut unplaced: Vec<&TopMember> = Vec::new();
    let fields = draft.fields;
    for member in &fields.top {
        if !member.field.is_set() && member.name(draft.text) != "data" {
            // A null attribute is one that is not there (JSON event format §2.2).
            continue;
        }
        if !place(draft, member)? {
            unplaced.push(member);
        }
    }
    if draft.builder.has(Attr::Data) && draft.builder.has(Attr::DataBase64) {
        return Err(EventFault::new("/data_base64", "either data or data_base64, not both"));
    }
    user_role(draft);
    severity_extension(draft);
    extensions(draft, &unplaced);
    let own = draft.get(Slot::Source).text(draft.text).as_deref() == Some(datavault::SOURCE);
    Ok(if own { Shape::Datavault } else { Shape::CloudEvents })
}

/// Finds a member's place among the attributes; false where it has none.
fn place(draft: &mut Draft<'_>, member: &TopMember) -> Result<bool, EventFault> {
    let (name, field) = (member.name(draft.text), member.field);
    let Some(attr) = Attr::from_name(&name) else { return Ok(name == "specversion") };
    let wants = |draft: &Draft<'_>, wanted| Err(draft.wants(field, &format!("/{name}"), wanted));
    Ok(match attr {
        Attr::Id | Attr::Source | Attr::Type => true,
        // The sender cannot say whose events these are; the credential does.
        Attr::Tenant => true,
        Attr::Time => {
            if !draft.time(field) {
                return wants(draft, "a time as RFC 3339 writes it");
            }
            true
        }
        Attr::Subject | Attr::DataContentType | Attr::DataSchema => {
            if !draft.string(attr, field) {
                return wants(draft, "a string that is not empty");
            }
            true
        }
        Attr::Data => draft.any(attr, field),
        Attr::DataBase64 => {
            if !is_base64(field, draft.text) {
                return wants(draft, "base64 with padding (RFC 4648 §4)");
            }
            draft.any(attr, field)
        }
        Attr::Severity => draft.severity(field),
        Attr::Classification => draft.name(attr, "", field),
        Attr::Compliance => match read_list(draft, field) {
            Some(list) if field.is_text() => {
                draft.list(attr, &list, true);
                true
            }
            _ => draft.compliance(field),
        },
        Attr::Roles => match read_list(draft, field) {
            Some(_) if field.kind == Kind::Array => draft.any(attr, field),
            Some(list) => {
                draft.list(attr, &list, false);
                true
            }
            None => false,
        },
        Attr::Metadata => draft.labels(field) || text_map(draft, field),
        Attr::Process | Attr::DstPort => draft.string_or_number(attr, field),
        Attr::Extensions => false,
        _ => draft.string(attr, field),
    })
}

/// A list as an array, as a string with commas, or as JSON in text.
fn read_list<'a>(draft: &Draft<'a>, field: Field) -> Option<Vec<Cow<'a, str>>> {
    match (field.kind, field.text(draft.text)) {
        (Kind::Array, _) => lists::strings(field.raw(draft.text)),
        (_, Some(Cow::Borrowed(text))) => lists::strings_in_text(text),
        (_, Some(text)) => Some(lists::strings_in_text(&text)?.into_iter().map(|part| part.into_owned().into()).collect()),
        _ => None,
    }
}

/// A map as CloudEvents carry it: JSON as text.
fn text_map(draft: &mut Draft<'_>, field: Field) -> bool {
    let Some(text) = field.text(draft.text) else { return false };
    let Some(map) = lists::object_in_text(&text) else { return false };
    draft.builder.raw(Attr::Metadata, Kind::Object, map.as_bytes());
    true
}

/// Adds the label `user_role` to the roles, whichever of the two came first.
fn user_role(draft: &mut Draft<'_>) {
    let metadata = draft.get(Slot::Metadata);
    if !metadata.is_set() {
        return;
    }
    let roles = draft.fields.top.iter().find(|member| member.name(draft.text) == "roles").and_then(|member| read_list(draft, member.field));
    if metadata.kind == Kind::Object {
        draft.user_role(metadata.raw(draft.text), roles.unwrap_or_default());
    } else if let Some(map) = metadata.text(draft.text).as_deref().and_then(lists::object_in_text) {
        draft.user_role(map.as_bytes(), roles.unwrap_or_default());
    }
}

/// The severity extension of CloudEvents: `severitytext`, and `severitynumber` as OpenTelemetry counts.
/// They stay in `extensions` as they are.
fn severity_extension(draft: &mut Draft<'_>) {
    if draft.severity.is_some() {
        return;
    }
    let find = |name: &str| draft.fields.top.iter().find(|member| member.name(draft.text) == name).map(|member| member.field);
    let (text, number) = (find("severitytext"), find("severitynumber"));
    let by_text = text.and_then(|field| Severity::parse(&field.text(draft.text)?));
    let by_number = || match std::str::from_utf8(number?.raw(draft.text)).ok()?.parse::<u8>().ok()? {
        1..=12 => Some(Severity::Info),
        13..=16 => Some(Severity::Medium),
        17..=20 => Some(Severity::High),
        21..=24 => Some(Severity::Critical),
        _ => None,
    };
    if let Some(severity) = by_text.or_else(by_number) {
        draft.severity = Some(severity);
        draft.builder.text(Attr::Severity, severity.name());
    }
}

/// Keeps what has no place of its own, names and values as sent.
fn extensions(draft: &mut Draft<'_>, unplaced: &[&TopMember]) {
    if unplaced.is_empty() {
        return;
    }
    draft.scratch.clear();
    for (place, member) in unplaced.iter().enumerate() {
        draft.scratch.extend_from_slice(if place == 0 { b"{\"" } else { b",\"" });
        draft.scratch.extend_from_slice(draft.text.get(member.key.clone()).unwrap_or_default());
        draft.scratch.extend_from_slice(b"\":");
        let quote: &[u8] = if member.field.is_text() { b"\"" } else { b"" };
        draft.scratch.extend_from_slice(quote);
        draft.scratch.extend_from_slice(member.field.raw(draft.text));
        draft.scratch.extend_from_slice(quote);
    }
    draft.scratch.push(b'}');
    draft.builder.raw(Attr::Extensions, Kind::Object, draft.scratch);
}

fn is_base64(field: Field, text: &[u8]) -> bool {
    if field.kind != Kind::String {
        // The solidus may be escaped.
        return field.text(text).is_some_and(|decoded| base64_fits(decoded.as_bytes()));
    }
    base64_fits(field.raw(text))
}

fn base64_fits(raw: &[u8]) -> bool {
    let data = raw.strip_suffix(b"==").or_else(|| raw.strip_suffix(b"=")).unwrap_or(raw);
    raw.len().is_multiple_of(4) && data.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
