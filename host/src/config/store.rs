//! `store:` → where the control store is: in `data_dir`, or in a PostgreSQL database.

use std::time::Duration;

use bulkhead_store::{PostgresSettings, PostgresTls, UrlError};

use super::checked::{Fields, Item};
use super::fault::{FaultKind, Faults};

/// Where what hosts share is kept.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// A database; the file in `data_dir` where there is none.
    pub server: Option<PostgresSettings>,
    /// The same without its URL, where there is none.
    template: PostgresSettings,
    /// How long a host without a sign of life keeps its schedules.
    pub lease: Duration,
}

pub(super) fn store(fields: &Fields, faults: &mut Faults) -> StoreSettings {
    let lease = fields.duration("lease").unwrap_or(Duration::from_secs(15));
    let tls = fields.map("tls");
    let template = PostgresSettings {
        tls: PostgresTls { required: tls.bool("required"), ca: tls.path("ca"), client_cert: tls.path("client_cert"), client_key: tls.path("client_key") },
        connections: fields.count("connections").and_then(|count| u32::try_from(count).ok()).unwrap_or(8),
        timeout: fields.duration("timeout").unwrap_or(Duration::from_secs(5)),
        start_timeout: fields.duration("start_timeout").unwrap_or(Duration::from_secs(30)),
        ..PostgresSettings::new("")
    };
    let url = fields.get("url").and_then(|value| if let Item::Secret(url) = &value.item { Some(url.clone()) } else { None });
    let server = url.map(|url| PostgresSettings { url, ..template.clone() });
    if let Some(Err(fault)) = server.as_ref().map(PostgresSettings::check) {
        let hint =
            (fault == UrlError::Tls).then(|| "leave `ssl…` out of the URL, and write `store: {tls: {required, ca, client_cert, client_key}}`".to_owned());
        faults.push(FaultKind::WrongType, fields.span("url"), "store.url", fault.to_string(), hint);
    }
    for name in ["ca", "client_cert", "client_key"] {
        // Read anew for each connection; that it can be read now is the most that can be said.
        if let Some(path) = tls.path(name)
            && let Err(error) = std::fs::File::open(&path)
        {
            faults.push(FaultKind::WrongType, tls.span(name), format!("store.tls.{name}"), format!("cannot read {}: {error}", path.display()), None);
        }
    }
    for (name, other) in [("client_cert", "client_key"), ("client_key", "client_cert")] {
        if tls.path(name).is_some() && tls.path(other).is_none() {
            faults.push(FaultKind::Missing, tls.span(name), format!("store.tls.{other}"), format!("is missing: `{name}` needs it"), None);
        }
    }
    StoreSettings { server, template, lease }
}

impl StoreSettings {
    /// Time limits and TLS of a server whose URL comes from somewhere else.
    pub fn of_server(&self) -> PostgresSettings {
        self.template.clone()
    }
}
