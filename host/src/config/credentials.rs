//! `credentials:` → what the sandbox applies: which keys go together, and where values come from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bulkhead_sandbox::{
    ClientAuth, CommandSettings, Credential, CredentialError, Custom, DestinationSettings, Digits, Grant, OAuth2Settings, Scheme, SharedKeyScheme, Signs, Value,
};

use super::assemble;
use super::checked::{Checked, Fields, Item};
use super::fault::{FaultKind, Faults, Span};

/// By name; `None` for one that is faulty, so that naming it is no second fault.
pub(super) type Credentials = HashMap<String, Option<Arc<Credential>>>;

pub(super) fn all(root: &Fields, faults: &mut Faults) -> Credentials {
    let mut all = Credentials::new();
    for (name, span, value) in root.named("credentials") {
        let Item::Tagged(kind, fields) = &value.item else { continue };
        let key = format!("credentials.{name}");
        let together = match *kind {
            "hmac" => hmac_keys(fields, &key, faults),
            "oauth2" => oauth2_keys(fields, *span, &key, faults),
            "sigv4" => sigv4_keys(fields, *span, &key, faults),
            _ => true,
        };
        let made = if together { credential(name, kind, fields) } else { None };
        if let Some(Err(error)) = &made {
            faults.push(FaultKind::WrongType, *span, key, error.problem.clone(), None);
        }
        all.insert(name.clone(), made.and_then(Result::ok).map(Arc::new));
    }
    all
}

/// Credentials, and `encryption`, for which a program is run when they are used, and not before.
pub(super) fn with_commands(root: &Fields) -> Vec<String> {
    let runs = |value: &Checked| matches!(&value.item, Item::Map(fields) if fields.get("command").is_some());
    let any = |value: &Checked| match &value.item {
        Item::List(items) => items.iter().any(runs),
        _ => runs(value),
    };
    let found =
        root.named("credentials").iter().filter(|(_, _, value)| matches!(&value.item, Item::Tagged(_, fields) if fields.0.iter().any(|(_, value)| any(value))));
    let keys = root.map("encryption").0.iter().any(|(_, value)| any(value)).then(|| "encryption".to_owned());
    found.map(|(name, ..)| name.clone()).chain(keys).collect()
}

/// Nothing where a part is missing or faulty.
fn credential(name: &str, kind: &str, fields: &Fields) -> Option<Result<Credential, CredentialError>> {
    Some(match kind {
        "header" => Credential::header(name, &fields.text("name")?, &fields.text("prefix")?, value(fields, "value")?),
        "query" => Credential::query(name, &fields.text("name")?, value(fields, "value")?),
        "basic" => Credential::basic(name, &fields.text("username")?, value(fields, "password")?),
        "bearer" => Credential::bearer(name, value(fields, "token")?),
        "hmac" => match scheme(fields)? {
            Ok(scheme) => Credential::hmac(name, scheme, fields.list("secret").iter().filter_map(one).collect()),
            Err(problem) => Err(CredentialError { name: name.to_owned(), problem }),
        },
        "oauth2" => Credential::oauth2(name, oauth2(fields)?),
        "sigv4" => {
            let (region, service) = (fields.text("region")?, fields.text("service")?);
            match fields.opt_map("process") {
                Some(process) => Credential::sigv4_process(name, &region, &service, Value::from(command(process)?)),
                None => Credential::sigv4(name, &region, &service, &fields.text("access_key")?, value(fields, "secret_key")?, value(fields, "session_token")),
            }
        }
        "sas" => Credential::sas(name, &fields.text("resource")?, &fields.text("key_name")?, value(fields, "key")?, fields.duration("ttl")?),
        "shared_key" => {
            let scheme = if fields.text("scheme")? == "storage" { SharedKeyScheme::Storage } else { SharedKeyScheme::LogAnalytics };
            Credential::shared_key(name, scheme, &fields.text("account")?, value(fields, "key")?)
        }
        _ => return None,
    })
}

fn value(fields: &Fields, name: &str) -> Option<Value> {
    one(fields.get(name)?)
}

pub(super) fn one(checked: &Checked) -> Option<Value> {
    match &checked.item {
        Item::Secret(secret) => Some(secret.clone().into()),
        Item::Map(fields) => Some(command(fields)?.into()),
        _ => None,
    }
}

fn command(fields: &Fields) -> Option<CommandSettings> {
    Some(CommandSettings { command: fields.texts("command"), timeout: fields.duration("timeout")?, refresh: fields.duration("refresh")? })
}

fn scheme(fields: &Fields) -> Option<Result<Scheme, String>> {
    Some(match fields.text("scheme")?.as_str() {
        "datavault" => Ok(Scheme::Datavault),
        "standard-webhooks" => Ok(Scheme::StandardWebhooks),
        _ => {
            let digits = if fields.text("encoding").as_deref() == Some("base64") { Digits::Base64 } else { Digits::Hex };
            let signs = match fields.text("signs").as_deref() {
                Some("timestamp.body") => Signs::TimestampBody,
                Some("id.timestamp.body") => Signs::IdTimestampBody,
                _ => Signs::Body,
            };
            let id_header = fields.text("id_header").unwrap_or_else(|| "webhook-id".into());
            let timestamp_header = fields.text("timestamp_header").unwrap_or_else(|| "webhook-timestamp".into());
            let prefix = fields.text("prefix").unwrap_or_default();
            Custom::new(&fields.text("header")?, &prefix, digits, signs, &id_header, &timestamp_header).map(Scheme::Custom)
        }
    })
}

fn hmac_keys(fields: &Fields, key: &str, faults: &mut Faults) -> bool {
    const CUSTOM: [&str; 6] = ["header", "prefix", "encoding", "signs", "id_header", "timestamp_header"];
    let Some(scheme) = fields.text("scheme") else { return false };
    if scheme == "custom" {
        if fields.get("header").is_none() {
            let hint = Some("write the name of the header field that carries the signature".to_owned());
            faults.push(FaultKind::Missing, fields.span("scheme"), format!("{key}.header"), "`header` is missing: `scheme: custom` needs it", hint);
        }
        return fields.get("header").is_some();
    }
    unfit(fields, &CUSTOM, key, &format!("`scheme: {scheme}`"), faults)
}

fn oauth2(fields: &Fields) -> Option<OAuth2Settings> {
    let endpoint = fields.map("token_url");
    let grant = match fields.text("grant")?.as_str() {
        "refresh_token" => Grant::RefreshToken(value(fields, "refresh_token")?),
        "authorization_code" => Grant::AuthorizationCode { url: fields.text("authorize_url")?, parameters: named_texts(fields, "authorize_parameters") },
        "password" => Grant::Password { username: fields.text("username")?, password: value(fields, "password")? },
        _ => Grant::ClientCredentials,
    };
    Some(OAuth2Settings {
        tenant: fields.text("tenant"),
        endpoint: DestinationSettings {
            url: endpoint.text("url")?,
            tls: assemble::tls(endpoint.map("tls")),
            addresses: endpoint.texts("addresses"),
            allow_metadata: endpoint.bool("allow_metadata").unwrap_or_default(),
            ..DestinationSettings::default()
        },
        grant,
        client_id: fields.text("client_id")?,
        client_secret: value(fields, "client_secret"),
        client_auth: if fields.text("client_auth").as_deref() == Some("body") { ClientAuth::Body } else { ClientAuth::Basic },
        scope: fields.text("scope"),
        audience: fields.text("audience"),
        parameters: named_texts(fields, "parameters"),
    })
}

fn named_texts(fields: &Fields, key: &str) -> BTreeMap<String, String> {
    fields.named(key).iter().filter_map(|(name, _, value)| Some((name.clone(), value.as_text()?.to_owned()))).collect()
}

fn oauth2_keys(fields: &Fields, span: Span, key: &str, faults: &mut Faults) -> bool {
    let grant = fields.text("grant").unwrap_or_default();
    let (needed, foreign): (&[&str], &[&str]) = match grant.as_str() {
        "refresh_token" => (&["refresh_token"], &["username", "password", "authorize_url"]),
        "authorization_code" => (&["authorize_url"], &["refresh_token", "username", "password"]),
        "password" => (&["username", "password", "client_secret"], &["refresh_token", "authorize_url"]),
        _ => (&["client_secret"], &["refresh_token", "username", "password", "authorize_url"]),
    };
    let there = missing(fields, needed, span, key, &format!("`grant: {grant}`"), faults);
    unfit(fields, foreign, key, &format!("`grant: {grant}`"), faults) && there
}

fn sigv4_keys(fields: &Fields, span: Span, key: &str, faults: &mut Faults) -> bool {
    if fields.get("process").is_some() {
        return unfit(fields, &["access_key", "secret_key", "session_token"], key, "`process`", faults);
    }
    missing(fields, &["access_key", "secret_key"], span, key, "a credential without `process`", faults)
}

fn missing(fields: &Fields, names: &[&str], span: Span, key: &str, what: &str, faults: &mut Faults) -> bool {
    let absent: Vec<&&str> = names.iter().filter(|name| fields.get(name).is_none()).collect();
    for name in &absent {
        faults.push(FaultKind::Missing, span, format!("{key}.{name}"), format!("`{name}` is missing: {what} needs it"), None);
    }
    absent.is_empty()
}

fn unfit(fields: &Fields, names: &[&str], key: &str, what: &str, faults: &mut Faults) -> bool {
    let found: Vec<&&str> = names.iter().filter(|name| fields.get(name).is_some()).collect();
    for name in &found {
        faults.push(
            FaultKind::Conflict,
            fields.span(name),
            format!("{key}.{name}"),
            format!("{what} has no use for `{name}`"),
            Some(format!("remove `{name}`")),
        );
    }
    found.is_empty()
}
