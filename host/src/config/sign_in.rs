//! Signing in at `listen.api` → settings: what must go together, the provider's address, origins of web pages.

use std::path::Path;

use bulkhead_access::{JwtAlgorithm, JwtRules, Lives, Role, RoleMap, RoleRow};

use super::checked::{Checked, Fields};
use super::fault::{FaultKind, Faults, Span};
use super::owners;
use crate::oidc::{OidcSettings, is_safe};

/// Bytes of a file of certificates.
const MOST_PEM: u64 = 1 << 20;

pub(super) fn lives(fields: &Fields, faults: &mut Faults) -> Lives {
    let life = |name| fields.duration(name).unwrap_or_default();
    let lives = Lives { access: life("access_for"), refresh: life("refresh_for"), session: life("session_for") };
    for (name, shorter, longer, other) in
        [("access_for", lives.access, lives.refresh, "refresh_for"), ("refresh_for", lives.refresh, lives.session, "session_for")]
    {
        if shorter > longer {
            let hint = Some(format!("{other} is the longer one"));
            faults.push(FaultKind::Conflict, fields.span(name), format!("listen.api.sign_in.{name}"), format!("longer than {other}"), hint);
        }
    }
    lives
}

/// The provider, where `auth` names it.
pub(super) fn oidc(api: &Fields, wanted: bool, faults: &mut Faults) -> Option<OidcSettings> {
    let Some(fields) = api.opt_map("oidc") else {
        if wanted {
            let hint = Some("write `oidc: {issuer: https://…, audience: bulkhead}`".to_owned());
            faults.push(FaultKind::Missing, api.span("auth"), "listen.api.auth", "`oidc` needs `listen.api.oidc`", hint);
        }
        return None;
    };
    let issuer = fields.text("issuer").unwrap_or_default();
    if !issuer.is_empty() && !is_safe(&issuer) {
        let hint = Some("write https://…".to_owned());
        faults.push(FaultKind::WrongType, fields.span("issuer"), "listen.api.oidc.issuer", "a provider beyond this machine speaks https", hint);
    }
    let ca = fields.path("ca").and_then(|path| pem(&path, fields.span("ca"), "listen.api.oidc.ca", faults));
    let roles = |value: &Checked| {
        let row = value.as_map()?;
        let roles = row.texts("roles").iter().filter_map(|name| Role::named(name)).collect();
        Some(RoleRow { value: row.text("value")?, roles, tenant: owners::tenant(row) })
    };
    let rows: Vec<RoleRow> = fields.list("roles").iter().filter_map(roles).collect();
    if fields.text("tenant_claim").is_some() && rows.iter().any(|row| row.tenant.is_some()) {
        let hint = Some("leave one of them out".to_owned());
        let message = "either a claim says whose somebody is, or the `tenant` of a row of `roles`";
        faults.push(FaultKind::Conflict, fields.span("tenant_claim"), "listen.api.oidc.tenant_claim", message, hint);
    }
    let settings = OidcSettings {
        rules: JwtRules {
            issuer,
            audience: fields.texts("audience"),
            algorithms: fields.texts("algorithms").iter().filter_map(|name| JwtAlgorithm::named(name)).collect(),
            leeway: fields.duration("leeway").unwrap_or_default().as_secs(),
        },
        username_claim: fields.text("username_claim").unwrap_or_default(),
        role_claims: fields.texts("role_claims"),
        roles: RoleMap::with_tenants(rows),
        tenant_claim: fields.text("tenant_claim"),
        ca,
        client_id: fields.text("client_id"),
        scopes: fields.texts("scopes"),
    };
    wanted.then_some(settings)
}

/// The text of a file with certificates that can be read.
fn pem(path: &Path, span: Span, key: &str, faults: &mut Faults) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_PEM).read_to_end(&mut bytes)).map_err(|error| error.to_string());
    let fit = read
        .and_then(|_| reqwest::Certificate::from_pem_bundle(&bytes).map_err(|error| error.to_string()))
        .and_then(|all| if all.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(()) });
    match fit {
        Ok(()) => Some(bytes),
        Err(why) => {
            faults.push(FaultKind::WrongType, span, key, format!("{} cannot be used: {why}", path.display()), None);
            None
        }
    }
}

/// Origins of web pages (RFC 6454 §6.2), each in full.
pub(super) fn origins(api: &Fields, open: bool, faults: &mut Faults) -> Vec<http::HeaderValue> {
    const KEY: &str = "listen.api.cors.origins";
    let listed = api.map("cors").list("origins");
    if open && !listed.is_empty() {
        let hint = Some("write `auth: keys` or the like: without credentials any page in a browser on this machine would get in".to_owned());
        faults.push(FaultKind::Conflict, api.span("cors"), KEY, "an open listener takes no web pages", hint);
    }
    let mut origins = Vec::new();
    for value in listed {
        let text = value.as_text().unwrap_or_default();
        let exact = url(text).is_some_and(|origin| origin == text);
        match http::HeaderValue::from_str(text) {
            Ok(origin) if exact => origins.push(origin),
            _ => {
                let hint = Some("write scheme, host and port as browsers do: https://console.example:8443, without a path, without `*`".to_owned());
                faults.push(FaultKind::WrongType, value.span, KEY, "not an origin", hint);
            }
        }
    }
    origins
}

/// The origin of a URL as browsers write it.
fn url(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization())
}
