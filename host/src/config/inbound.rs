//! `inbound:` → addresses of webhooks: keys that are unique, secrets of the right kind, and schemes that
//! protect what they seem to.

use std::collections::HashMap;

use bulkhead_core::Tenant;
use bulkhead_ingest::{AddressKey, Digits, Hash, HttpIntakeSettings, InboundSettings, Scheme, SignedParts, Verifier, VerifyKey};
use http::HeaderName;
use secrecy::ExposeSecret as _;

use super::assemble::rate_limit;
use super::checked::{Checked, Fields, Item};
use super::fault::{FaultKind, Faults, Span};
use super::nearest;
use super::owners::{self, Owners};
use super::stored::Section;

/// Shortest key of an address that nothing else protects.
const LONE_KEY: usize = 24;
/// Headers that carry what lets somebody in: neither events nor connectors see them.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

pub(super) fn all(root: &Fields, http: &HttpIntakeSettings, owners: &Owners, faults: &mut Faults) -> Vec<InboundSettings> {
    let mut known: HashMap<String, String> = HashMap::new();
    let mut all = Vec::new();
    for (name, _, value) in root.named("inbound") {
        let Some(fields) = value.as_map() else { continue };
        let key = format!("inbound.{name}");
        let Some(verifier) = verifier(fields, &format!("{key}.verify"), faults) else { continue };
        let lone = matches!(verifier.scheme, Scheme::None);
        let headers = headers(fields, &verifier, &key, faults);
        all.push(InboundSettings {
            keys: fields.list("key").iter().filter_map(|one| address(one, name, lone, &mut known, faults)).collect(),
            source: fields.text("source").unwrap_or_else(|| format!("inbound:{name}")),
            event_type: fields.text("type").unwrap_or_default(),
            headers,
            instance: instance(root, fields, &key, owners, faults),
            tenant: fields.text("tenant").and_then(|name| Tenant::new(&name)).unwrap_or_else(|| http.rules.tenant.clone()),
            max_body: fields.size("max_body").and_then(|size| usize::try_from(size).ok()),
            rate: fields.opt_map("rate_limit").and_then(rate_limit),
            remember: fields.map("remember").duration("time").unwrap_or_default(),
            remembered: fields.map("remember").count("requests").and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            name: name.clone(),
            verifier,
        });
    }
    all
}

/// The instance whose connector answers.
fn instance(root: &Fields, fields: &Fields, key: &str, owners: &Owners, faults: &mut Faults) -> Option<String> {
    let wanted = fields.text("instance")?;
    let known: Vec<&str> = root.named("instances").iter().map(|(name, ..)| name.as_str()).collect();
    if !known.contains(&wanted.as_str()) {
        let message = format!("there is no instance `{wanted}`");
        faults.push(FaultKind::UnknownReference, fields.span("instance"), format!("{key}.instance"), message, Some(nearest::hint(&wanted, &known)));
    }
    if let (Some(own), Some(theirs)) = (owners::tenant(fields), owners.of(Section::Instances, &wanted))
        && own != *theirs
    {
        let message = format!("the instance `{wanted}` is of tenant `{theirs}`, and what comes in here of `{own}`");
        let hint = Some("name an instance of the same tenant".to_owned());
        faults.push(FaultKind::UnknownReference, fields.span("instance"), format!("{key}.instance"), message, hint);
    }
    Some(wanted)
}

fn secret(value: &Checked) -> Option<&str> {
    if let Item::Secret(secret) = &value.item { Some(secret.expose_secret()) } else { None }
}

/// A key of an address; `lone` where whoever knows it is let in.
fn address(value: &Checked, name: &str, lone: bool, known: &mut HashMap<String, String>, faults: &mut Faults) -> Option<AddressKey> {
    let text = secret(value)?;
    let path = format!("inbound.{name}.key");
    let Some(key) = AddressKey::new(text) else {
        let hint = "a key has 8 to 128 letters, digits, `-`, `_`, `.` and `~`; `openssl rand -hex 16` makes one";
        faults.push(FaultKind::WrongType, value.span, path, "not a key of an address", Some(hint.into()));
        return None;
    };
    if lone && key.len() < LONE_KEY {
        let message = format!("with `verify: {{type: none}}` the key is all that protects the address; it needs at least {LONE_KEY} characters");
        faults.push(FaultKind::OutOfRange, value.span, path, message, Some("`openssl rand -hex 16` makes one".into()));
        return None;
    }
    if let Some(other) = known.insert(text.to_owned(), name.to_owned()) {
        faults.push(FaultKind::Conflict, value.span, path, format!("the same key as of inbound.{other}"), Some("give each address a key of its own".into()));
        return None;
    }
    Some(key)
}

fn headers(fields: &Fields, verifier: &Verifier, key: &str, faults: &mut Faults) -> Vec<HeaderName> {
    let mut all: Vec<HeaderName> = Vec::new();
    for value in fields.list("headers") {
        let text = value.as_text().unwrap_or_default();
        let problem = match HeaderName::from_bytes(text.as_bytes()) {
            Err(_) => "not a header name",
            Ok(name) if CREDENTIALS.contains(&name.as_str()) || verifier.headers().contains(&name.as_str()) => {
                "this header lets its sender in, or proves who that is; it is not passed on"
            }
            Ok(name) => {
                if !all.contains(&name) {
                    all.push(name);
                }
                continue;
            }
        };
        faults.push(FaultKind::WrongType, value.span, format!("{key}.headers"), problem, None);
    }
    all
}

/// Nothing where a part is missing or faulty.
fn verifier(fields: &Fields, key: &str, faults: &mut Faults) -> Option<Verifier> {
    let value = fields.get("verify")?;
    let Item::Tagged(kind, fields) = &value.item else { return None };
    let hash = if fields.text("algorithm").as_deref() == Some("sha512") { Hash::Sha512 } else { Hash::Sha256 };
    let mut keys = Vec::new();
    for one in fields.list("secret") {
        let Some(text) = secret(one) else { continue };
        match if *kind == "standard-webhooks" { VerifyKey::standard(text) } else { Ok(VerifyKey::plain(text, hash)) } {
            Ok(key) => keys.push(key),
            Err(problem) => faults.push(FaultKind::WrongType, one.span, format!("{key}.secret"), problem, None),
        }
    }
    let scheme = match *kind {
        "standard-webhooks" => Scheme::StandardWebhooks,
        "github" => Scheme::Github,
        "slack" => Scheme::Slack,
        "hmac" => hmac(value.span, fields, key, faults)?,
        _ => Scheme::None,
    };
    Some(Verifier { scheme, keys, tolerance: fields.duration("tolerance").unwrap_or_default() })
}

fn hmac(span: Span, fields: &Fields, key: &str, faults: &mut Faults) -> Option<Scheme> {
    let mut name = |key_name: &str| -> Option<Option<HeaderName>> {
        let Some(text) = fields.text(key_name) else { return Some(None) };
        let parsed = HeaderName::from_bytes(text.as_bytes()).ok();
        if parsed.is_none() {
            faults.push(FaultKind::WrongType, fields.span(key_name), format!("{key}.{key_name}"), "not a header name", None);
        }
        parsed.map(Some)
    };
    let (header, id_header, timestamp_header) = (name("header")?, name("id_header")?, name("timestamp_header")?);
    let signed = match SignedParts::parse(&fields.text("signs")?) {
        Ok(signed) => signed,
        Err(problem) => {
            faults.push(FaultKind::WrongType, fields.span("signs"), format!("{key}.signs"), problem, None);
            return None;
        }
    };
    let missing = |faults: &mut Faults, name: &str| {
        let hint = format!("write `{name}:` with the name of the header field");
        faults.push(FaultKind::Missing, span, format!("{key}.{name}"), format!("`signs` has a part that `{name}` must name"), Some(hint));
    };
    match (signed.has_timestamp(), &timestamp_header) {
        (true, None) => missing(faults, "timestamp_header"),
        (false, Some(_)) => {
            let hint = Some("sign it, for example `signs: timestamp.body`, or leave `timestamp_header` out".to_owned());
            let place = format!("{key}.timestamp_header");
            faults.push(FaultKind::Conflict, fields.span("timestamp_header"), place, "a timestamp that is not signed protects from nothing", hint);
        }
        _ => {}
    }
    if signed.has_id() && id_header.is_none() {
        missing(faults, "id_header");
    }
    let digits = if fields.text("encoding").as_deref() == Some("base64") { Digits::Base64 } else { Digits::Hex };
    Some(Scheme::Hmac { header: header?, prefix: fields.text("prefix").unwrap_or_default(), digits, signed, id_header, timestamp_header })
}
