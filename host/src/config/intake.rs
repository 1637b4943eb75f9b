//! `listen.syslog`, `listen.files` and the TLS of `listen.api` → settings: what must go together, the files of TLS, patterns.

use std::path::PathBuf;

use bulkhead_core::Tenant;
use bulkhead_ingest::{FilesSettings, Framing, LineFormat, Pattern, Proto, Start, SyslogSettings};
use bulkhead_tls::{ServerTls, ServerTlsSettings};

use super::checked::Fields;
use super::fault::{FaultKind, Faults};

pub(super) fn syslog(listen: &Fields, faults: &mut Faults) -> Vec<SyslogSettings> {
    let mut all = Vec::new();
    for (at, fields) in listen.list("syslog").iter().enumerate().filter_map(|(at, value)| Some((at, value.as_map()?))) {
        let Some(addr) = fields.address("addr") else { continue };
        let key = format!("listen.syslog[{at}]");
        let proto = fields.text("proto").and_then(|name| Proto::from_name(&name)).unwrap_or(Proto::Tcp);
        let mut allow = Vec::new();
        for network in fields.list("allow") {
            match network.as_text().map(str::parse) {
                Some(Ok(network)) => allow.push(network),
                // Left out silently it would let in nobody, or everybody.
                _ => faults.push(
                    FaultKind::WrongType,
                    network.span,
                    format!("{key}.allow"),
                    "not a network",
                    Some("write one such as 10.1.0.0/16, for a single address 10.1.2.3/32".into()),
                ),
            }
        }
        if !addr.ip().is_loopback() && fields.list("allow").is_empty() && fields.path("client_ca").is_none() {
            let hint =
                Some("name the senders' networks, for example `allow: [10.1.0.0/16]`, or ask for certificates with `proto: tls` and `client_ca`".to_owned());
            faults.push(FaultKind::Conflict, fields.span("addr"), format!("{key}.addr"), "an address beyond this machine needs `allow` or `client_ca`", hint);
        }
        all.push(SyslogSettings {
            tls: if proto == Proto::Tls { tls(fields, &key, faults) } else { no_tls(fields, &key, proto, faults) },
            handshake: fields.duration("handshake_timeout").unwrap_or_default(),
            framing: fields.text("framing").and_then(|name| Framing::from_name(&name)).unwrap_or_default(),
            allow,
            tenant: fields.text("tenant").and_then(|name| Tenant::new(&name)).unwrap_or_default(),
            max_message: fields.size("max_message").and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX),
            max_connections: fields.count("max_connections").and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
            idle: fields.duration("idle").unwrap_or_default(),
            ..SyslogSettings::new(proto, addr)
        });
    }
    all
}

/// The keys that only a tls listener has.
const TLS_KEYS: [&str; 4] = ["cert", "key", "client_ca", "min_version"];

fn no_tls(fields: &Fields, key: &str, proto: Proto, faults: &mut Faults) -> Option<ServerTls> {
    for name in TLS_KEYS.into_iter().filter(|name| fields.get(name).is_some()) {
        let message = format!("has no meaning with `proto: {}`", proto.name());
        faults.push(FaultKind::Conflict, fields.span(name), format!("{key}.{name}"), message, Some("write `proto: tls`, or leave it out".into()));
    }
    None
}

fn tls(fields: &Fields, key: &str, faults: &mut Faults) -> Option<ServerTls> {
    let (Some(cert), Some(private)) = (fields.path("cert"), fields.path("key")) else {
        let hint = Some("write `cert: server.pem, key: server.key`".to_owned());
        faults.push(FaultKind::Missing, fields.span("proto"), format!("{key}.proto"), "`tls` needs `cert` and `key`", hint);
        return None;
    };
    load(cert, private, fields, key, faults)
}

/// TLS of the API listener.
pub(super) fn api_tls(api: &Fields, faults: &mut Faults) -> Option<ServerTls> {
    let fields = api.opt_map("tls")?;
    load(fields.path("cert")?, fields.path("key")?, fields, "listen.api.tls", faults)
}

fn load(cert: PathBuf, private: PathBuf, fields: &Fields, key: &str, faults: &mut Faults) -> Option<ServerTls> {
    let only_13 = fields.text("min_version").as_deref() == Some("1.3");
    match ServerTls::load(&ServerTlsSettings { cert, key: private, client_ca: fields.path("client_ca"), only_13 }) {
        Ok(tls) => Some(tls),
        Err(fault) => {
            faults.push(FaultKind::WrongType, fields.span(fault.key), format!("{key}.{}", fault.key), fault.problem, None);
            None
        }
    }
}

pub(super) fn files(listen: &Fields, faults: &mut Faults) -> Vec<FilesSettings> {
    let entries = listen.named("files").iter().filter_map(|(name, _, value)| Some((name, value.as_map()?)));
    entries
        .map(|(name, fields)| FilesSettings {
            name: name.clone(),
            paths: patterns(fields, "paths", name, faults),
            exclude: patterns(fields, "exclude", name, faults),
            start: if fields.text("start").as_deref() == Some("end") { Start::End } else { Start::Beginning },
            format: fields.text("format").and_then(|name| LineFormat::from_name(&name)).unwrap_or_default(),
            max_line: fields.size("max_line").and_then(|size| usize::try_from(size).ok()).unwrap_or(1),
            interval: fields.duration("interval").unwrap_or_default(),
            max_open: fields.count("max_open").and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
            follow_symlinks: fields.bool("follow_symlinks").unwrap_or_default(),
            tenant: fields.text("tenant").and_then(|name| Tenant::new(&name)).unwrap_or_default(),
        })
        .collect()
}

fn patterns(fields: &Fields, key: &str, name: &str, faults: &mut Faults) -> Vec<Pattern> {
    let mut all = Vec::new();
    for value in fields.list(key) {
        match Pattern::parse(value.as_text().unwrap_or_default()) {
            Ok(pattern) => all.push(pattern),
            Err(problem) => faults.push(FaultKind::WrongType, value.span, format!("listen.files.{name}.{key}"), problem, None),
        }
    }
    all
}
