//! The checked tree → settings: references between its parts, and what must go together. Every fault is
//! collected; a part that is faulty gives its default, since the file is refused anyway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_access::SHORTEST_PEPPER;
use bulkhead_audit::AuditSettings;
use bulkhead_core::{Seq, Tenant};
use bulkhead_deliver::{
    BacklogSettings, BatchSettings, BreakerSettings, ConcurrencySettings, DeliverySettings, Jitter, OnBacklogFull, Ordering, RateSettings, RetryPolicy,
    Strategy,
};
use bulkhead_ingest::{HttpIntakeSettings, IntakeToken, RepeatSettings, Rules, ShapeRule};
use bulkhead_journal::{Compression, Durability, JournalSettings, Keep, LaneStart};
use bulkhead_observe::{LogFormat, LogSettings};
use bulkhead_registry::PublicKey;
use bulkhead_route::FilterSettings;
use bulkhead_sandbox::{CompileLimits, Credential, Destination, DestinationSettings, FileAccess, FilesGrant, MachineGrants, TlsSettings};
use bulkhead_store::{Cause, DeadLetterSettings, OnFull};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use crate::components::Signing;
use crate::replay::LetterRetry;

use super::checked::{Checked, Fields, Item};
use super::credentials::{self, Credentials};
use super::encryption;
use super::fault::{FaultKind, Faults, Source, Span};
use super::fingerprint;
use super::inbound;
use super::intake;
use super::integrity;
use super::ldap;
use super::nearest;
use super::objects;
use super::owners::{self, Owners};
use super::routing::{self, Lanes, number};
use super::schedule;
use super::settings::{ApiListener, FormatterConfig, Instance, QueryCacheSettings, UploadSettings};
use super::sign_in;
use super::stored::Section;
use super::{Config, ConfigFile, Merged};

/// The configuration but for its source and what is said about it, which come once all faults are known.
pub(super) fn assemble(root: &Fields, faults: &mut Faults) -> Config {
    let (api, http) = listeners(root.map("listen"), faults);
    let syslog = intake::syslog(root.map("listen"), faults);
    let files = intake::files(root.map("listen"), faults);
    let credentials = credentials::all(root, faults);
    let owners = Owners::read(root);
    let inbound = inbound::all(root, &http, &owners, faults);
    let (rates, filters): (Vec<_>, Vec<_>) =
        routing::filters(root.list("filters")).into_iter().partition(|filter| matches!(filter, FilterSettings::RateLimiting(_)));
    let instances: Vec<Instance> = root
        .named("instances")
        .iter()
        .filter_map(|(name, span, value)| instance(name, *span, value.as_map()?, root, &rates, &credentials, &owners, faults))
        .collect();
    let known = root.named("instances").iter().map(|(name, ..)| name.as_str()).collect();
    let mut lanes = Lanes::new(&instances, known, root, &owners);
    let routes = lanes.routes(root.list("routes"), faults);
    let default_route = lanes.targets(root.list("default_route"), None, "default_route", faults);
    let lanes = lanes.lanes;
    let data_dir = root.path("data_dir").unwrap_or_default();
    objects::check_lent(root, faults);
    Config {
        audit: audit(root.map("audit"), &data_dir),
        data_dir,
        connectors_dir: root.path("connectors_dir").unwrap_or_default(),
        drain: root.duration("drain").unwrap_or_default(),
        own_events: root.map("own_events").bool("enabled").unwrap_or(false),
        fingerprints: fingerprint::fingerprints(root, &lanes),
        policies: fingerprint::policies(root),
        fixed: fingerprint::fixed(root),
        commands: credentials::with_commands(root),
        shown: root.show(),
        warnings: Vec::new(),
        source: Arc::new(Source::veiled(Path::new(""), "")),
        stored: root.map("stored").bool("enabled").unwrap_or(true),
        merged: Merged::default(),
        file: Arc::new(ConfigFile { path: PathBuf::new(), text: String::new() }),
        api,
        http,
        syslog,
        inbound,
        files,
        credentials: credentials.into_iter().filter_map(|(name, credential)| Some((name, credential?))).collect(),
        webhooks: objects::webhooks(root, faults),
        webhook_log: objects::log(root),
        subscriptions: objects::subscriptions(root, &owners, faults),
        formatters: root.named("formatters").iter().filter_map(|(name, span, value)| formatter(name, *span, value.as_map()?)).collect(),
        lanes,
        routes,
        default_route,
        filters: filters.into_iter().filter_map(|filter| if let FilterSettings::Plain(filter) = filter { Some(filter) } else { None }).collect(),
        dead_letters: dead_letters(root.map("dead_letters")),
        letter_retry: letter_retry(root.map("dead_letters").map("retry"), faults),
        journal: journal(root),
        repeats: repeats(root.map("journal")),
        idempotency_window: root.map("journal").duration("idempotency_window").filter(|window| !window.is_zero()),
        integrity: integrity::rules(root.list("integrity"), faults),
        encryption: super::encryption::encryption(root.map("encryption"), faults),
        store: super::store::store(root.map("store"), faults),
        delivery: delivery(root.map("delivery")),
        max_egress: root.map("delivery").count("max_egress").and_then(|count| usize::try_from(count).ok()),
        log: log(root.map("telemetry").map("log"), faults),
        upload: upload(root.map("upload"), faults),
        logs: super::observed::logs(root.map("logs")),
        event_index: super::observed::event_index(root.map("event_index")),
        instances,
        owners,
    }
}

fn audit(fields: &Fields, data_dir: &Path) -> Option<AuditSettings> {
    fields.bool("receipts").unwrap_or(true).then(|| AuditSettings {
        dir: bulkhead_audit::folder(data_dir),
        max_bytes: fields.size("max_bytes").unwrap_or(256 << 20),
        sync: fields.duration("sync").unwrap_or(Duration::from_secs(1)),
    })
}

fn listeners(listen: &Fields, faults: &mut Faults) -> (ApiListener, HttpIntakeSettings) {
    let (api, http) = (listen.map("api"), listen.map("http"));
    for (name, fields) in [("api", api), ("http", http)] {
        let beyond = fields.address("addr").is_some_and(|addr| !addr.ip().is_loopback());
        let closed = fields.texts("auth").iter().any(|kind| kind != "open");
        if beyond && fields.list("tokens").is_empty() && !closed {
            let (needs, write) = match name {
                "api" => ("`auth: keys` or `tokens`", "auth: keys"),
                _ => ("`tokens`", "tokens: [\"${BULKHEAD_TOKEN}\"]"),
            };
            let hint = format!("write `{name}: {{addr: …, {write}}}`, or use a loopback address such as 127.0.0.1");
            faults.push(
                FaultKind::Conflict,
                fields.span("addr"),
                format!("listen.{name}"),
                format!("an address beyond this machine needs {needs}"),
                Some(hint),
            );
        }
        if name == "api" && beyond && fields.opt_map("tls").is_none() && fields.bool("without_tls") != Some(true) {
            let hint = "write `tls: {cert: server.pem, key: server.key}`, or `without_tls: true` where something in front of the host ends TLS".to_owned();
            faults.push(
                FaultKind::Conflict,
                fields.span("addr"),
                "listen.api",
                "an address beyond this machine needs `tls`: credentials would be sent in the clear",
                Some(hint),
            );
        }
        for token in fields.list("tokens") {
            if !matches!(&token.item, Item::Secret(secret) if IntakeToken::new(secret.expose_secret()).is_some()) {
                let hint = "a token has at most 4096 letters, digits and signs, no spaces";
                faults.push(FaultKind::WrongType, token.span, format!("listen.{name}.tokens"), "not a bearer token", Some(hint.into()));
            }
        }
    }
    if let (Some(one), Some(other)) = (api.address("addr"), http.address("addr"))
        && one == other
        && one.port() != 0
    {
        faults.push(
            FaultKind::Conflict,
            http.span("addr"),
            "listen.http",
            "the same address as listen.api",
            Some("give each listener a port of its own".into()),
        );
    }
    (api_listener(api, faults), http_intake(http))
}

fn api_listener(fields: &Fields, faults: &mut Faults) -> ApiListener {
    let pepper = fields.get("pepper").and_then(|value| if let Item::Secret(secret) = &value.item { Some(secret.clone()) } else { None });
    if pepper.as_ref().is_some_and(|pepper| pepper.expose_secret().len() < SHORTEST_PEPPER) {
        let hint = Some("`openssl rand -base64 32` makes one".to_owned());
        faults.push(FaultKind::OutOfRange, fields.span("pepper"), "listen.api.pepper", format!("shorter than {SHORTEST_PEPPER} bytes"), hint);
    }
    let public_url = fields.text("public_url").and_then(|url| {
        public_url(&url)
            .map_err(|problem| {
                faults.push(
                    FaultKind::WrongType,
                    fields.span("public_url"),
                    "listen.api.public_url",
                    problem,
                    Some("write it as https://bulkhead.example.com".to_owned()),
                );
            })
            .ok()
    });
    let auth = fields.texts("auth");
    let lets_in = |kind: &str| auth.iter().any(|known| known == kind);
    if lets_in("open") && auth.len() > 1 {
        let hint = Some("leave `open` out: what else stands there closes the listener".to_owned());
        faults.push(FaultKind::Conflict, fields.span("auth"), "listen.api.auth", "`open` stands alone", hint);
    }
    let open = fields.list("tokens").is_empty() && !auth.iter().any(|kind| kind != "open");
    ApiListener {
        public_url,
        addr: addr(fields),
        tokens: secrets(fields.list("tokens")),
        keys: lets_in("keys"),
        users: lets_in("users"),
        sign_in: sign_in::lives(fields.map("sign_in"), faults),
        oidc: sign_in::oidc(fields, lets_in("oidc"), faults),
        ldap: ldap::settings(fields, lets_in("ldap"), faults),
        cors: sign_in::origins(fields, open, faults),
        pepper,
        tls: intake::api_tls(fields, faults),
    }
}

fn public_url(url: &str) -> Result<Url, &'static str> {
    let url = Url::parse(url).map_err(|_| "is no URL")?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain {
        return Err("is no URL with http or https and nothing behind its path");
    }
    Ok(url)
}

fn addr(fields: &Fields) -> SocketAddr {
    fields.address("addr").unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn http_intake(fields: &Fields) -> HttpIntakeSettings {
    let shape = fields.text("shape").and_then(|name| ShapeRule::ALL.into_iter().find(|shape| shape.name() == name)).unwrap_or_default();
    let tenant = fields.text("tenant").and_then(|name| Tenant::new(&name)).unwrap_or_default();
    HttpIntakeSettings {
        tokens: secrets(fields.list("tokens")).iter().filter_map(|token| IntakeToken::new(token.expose_secret())).collect(),
        rate: fields.opt_map("rate_limit").and_then(rate_limit),
        token_rate: fields.opt_map("token_rate_limit").and_then(rate_limit),
        max_body: fields.size("max_body").and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX),
        durability: match fields.text("durability").as_deref() {
            Some("os") => Durability::Os,
            Some("memory") => Durability::Memory,
            _ => Durability::Fsync,
        },
        rules: Rules { shape, strict: fields.bool("strict").unwrap_or_default(), tenant },
        ..HttpIntakeSettings::new(addr(fields))
    }
}

fn secrets(list: &[Checked]) -> Vec<SecretString> {
    let one = |value: &Checked| if let Item::Secret(secret) = &value.item { Some(secret.clone()) } else { None };
    list.iter().filter_map(one).collect()
}

#[expect(clippy::too_many_arguments, reason = "what the parts of a configuration need of one another")]
fn instance(
    name: &str,
    span: Span,
    fields: &Fields,
    root: &Fields,
    rates: &[FilterSettings],
    credentials: &Credentials,
    owners: &Owners,
    faults: &mut Faults,
) -> Option<Instance> {
    let key = format!("instances.{name}");
    let destinations = destinations(fields, &key, credentials, owners, faults);
    let retry = retry(fields.map("retry"), &format!("{key}.retry"), faults);
    let concurrency = concurrency(fields.map("concurrency"), &format!("{key}.concurrency"), faults);
    let rules = fields.opt_map("encryption").map(|own| encryption::rules(own, &format!("{key}.encryption"), faults));
    if let Some(rules) = &rules {
        encryption::needs_key(rules, root, fields.span("encryption"), &format!("{key}.encryption.fields"), faults);
    }
    let mut filters = rates.to_vec();
    filters.extend(routing::filters(fields.list("filters")));
    let directory = |(name, _, value): &(String, Span, Checked)| {
        let fields = value.as_map()?;
        let access = if fields.text("access")? == "read" { FileAccess::Read } else { FileAccess::Write };
        Some(FilesGrant { name: name.clone(), dir: fields.path("dir")?, access })
    };
    Some(Instance {
        name: name.to_owned(),
        tenant: owners::tenant(fields),
        span,
        connector: fields.text("connector")?,
        connector_span: fields.span("connector"),
        config: fields.raw("config").unwrap_or_default(),
        destinations,
        files: fields.named("files").iter().filter_map(directory).collect(),
        limits: fields.limits("limits"),
        machine: machine(fields.map("grants")),
        max_calls: fields.count("max_calls").unwrap_or(1),
        concurrency,
        ordering: match fields.text("ordering").as_deref() {
            Some("key") => Ordering::Key,
            Some("strict") => Ordering::Strict,
            _ => Ordering::None,
        },
        from: from(fields, &key, faults),
        batch: batch(fields.map("batch")),
        backlog: backlog(fields.map("backlog")),
        pull: fields.opt_map("pull").and_then(|pull| schedule::schedule(pull, &format!("{key}.pull"), faults)),
        pull_active: fields.opt_map("pull").is_none_or(|pull| pull.bool("enabled").unwrap_or(true)),
        query_cache: fields.opt_map("query_cache").map(query_cache),
        retry,
        breaker: breaker(fields.map("circuit_breaker")),
        rate_limit: fields.opt_map("rate_limit").and_then(rate_limit),
        filters,
        rules,
    })
}

/// Where a lane begins that the journal does not know yet.
fn from(fields: &Fields, key: &str, faults: &mut Faults) -> LaneStart {
    let text = fields.text("from").unwrap_or_default();
    match text.as_str() {
        "now" => LaneStart::Now,
        "beginning" => LaneStart::From(Seq(1)),
        _ => {
            let time = OffsetDateTime::parse(&text, &Rfc3339).ok();
            let nanos = time.and_then(|time| u64::try_from(time.unix_timestamp_nanos()).ok());
            match nanos.map(|nanos| (nanos, time.is_some_and(|time| time > OffsetDateTime::now_utc()))) {
                Some((nanos, false)) => return LaneStart::Since(nanos),
                Some((_, true)) => {
                    let hint = Some("write `now`: a new lane gets what comes in from then on".to_owned());
                    faults.push(FaultKind::OutOfRange, fields.span("from"), format!("{key}.from"), "the time lies in the future", hint);
                }
                None => {
                    let hint = Some("write `now`, `beginning`, or a time such as 2026-11-02T08:00:00Z".to_owned());
                    faults.push(FaultKind::WrongType, fields.span("from"), format!("{key}.from"), "not a place to begin", hint);
                }
            }
            LaneStart::Now
        }
    }
}

/// The credential of a destination, where both are of one owner. A tenant learns nothing of what is another's.
fn lent(fields: &Fields, key: &str, owner: Option<&Tenant>, credentials: &Credentials, owners: &Owners, faults: &mut Faults) -> Option<Arc<Credential>> {
    let wanted = fields.text("credential")?;
    let theirs = owners.of(Section::Credentials, &wanted);
    let (message, hint) = match (credentials.get(&wanted), owner) {
        (Some(credential), _) if theirs == owner => return credential.clone(),
        (_, Some(owner)) => {
            (format!("there is no credential `{wanted}` of tenant `{owner}`"), nearest::hint(&wanted, &owners.names(Section::Credentials, owner)))
        }
        (Some(_), None) => {
            let theirs = theirs.map_or("", Tenant::as_str);
            (format!("the credential `{wanted}` is of tenant `{theirs}`, and this instance of none"), "give both the same `tenant`".to_owned())
        }
        (None, None) => {
            let known: Vec<_> = credentials.keys().map(String::as_str).collect();
            (format!("there is no credential `{wanted}`"), nearest::hint(&wanted, &known))
        }
    };
    faults.push(FaultKind::UnknownReference, fields.span("credential"), format!("{key}.credential"), message, Some(hint));
    None
}

fn destinations(fields: &Fields, key: &str, credentials: &Credentials, owners: &Owners, faults: &mut Faults) -> Vec<Destination> {
    let (mut all, owner) = (Vec::new(), owners::tenant(fields));
    for (name, span, value) in fields.named("destinations") {
        let Some(fields) = value.as_map() else { continue };
        let key = format!("{key}.destinations.{name}");
        let credential = lent(fields, &key, owner.as_ref(), credentials, owners, faults);
        let settings = DestinationSettings {
            url: fields.text("url").unwrap_or_default(),
            urls: fields.texts("urls"),
            members: fields.texts("members"),
            tls: TlsSettings { unverified: fields.bool("verify") == Some(false), ..tls(fields.map("tls")) },
            methods: fields.texts("methods"),
            paths: fields.texts("paths"),
            credential,
            addresses: fields.texts("addresses"),
            allow_metadata: fields.bool("allow_metadata").unwrap_or_default(),
        };
        match Destination::new(name, settings) {
            Ok(destination) => all.push(destination),
            Err(error) => {
                let (section, part) = error.key.split_once('.').map_or((fields, error.key), |(section, part)| (fields.map(section), part));
                let place = section.get(part).or_else(|| fields.get(error.key.split('.').next()?)).map_or(*span, |value| value.span);
                faults.push(FaultKind::WrongType, place, format!("{key}.{}", error.key), error.problem, None);
            }
        }
    }
    all
}

fn machine(fields: &Fields) -> MachineGrants {
    let granted = |name| fields.bool(name).unwrap_or_default();
    let env = fields.named("env").iter().filter_map(|(name, _, value)| Some((name.clone(), value.as_text()?.to_owned()))).collect();
    MachineGrants { clocks: granted("clocks"), random: granted("random"), wasi_http: granted("wasi_http"), plain_metrics: granted("plain_metrics"), env }
}

/// The `tls` of a destination or of a token endpoint.
pub(super) fn tls(fields: &Fields) -> TlsSettings {
    TlsSettings {
        min_version: fields.text("min_version"),
        ca: fields.path("ca"),
        client_cert: fields.path("client_cert"),
        client_key: fields.path("client_key"),
        unverified: false,
    }
}

fn batch(fields: &Fields) -> BatchSettings {
    BatchSettings {
        max_events: number(fields, "max_events").unwrap_or(1),
        max_bytes: fields.size("max_bytes").unwrap_or_default(),
        max_age: fields.duration("max_age").unwrap_or_default(),
    }
}

fn backlog(fields: &Fields) -> BacklogSettings {
    let on_full = if fields.text("on_full").as_deref() == Some("block") { OnBacklogFull::Block } else { OnBacklogFull::DeadLetter };
    BacklogSettings { max_bytes: fields.size("max_bytes"), max_age: fields.duration("max_age"), on_full }
}

fn query_cache(fields: &Fields) -> QueryCacheSettings {
    QueryCacheSettings {
        operations: fields.texts("operations"),
        ttl: fields.duration("ttl").unwrap_or_default(),
        stale: fields.duration("stale").unwrap_or_default(),
    }
}

fn concurrency(fields: &Fields, key: &str, faults: &mut Faults) -> ConcurrencySettings {
    let (min, max) = (number(fields, "min").unwrap_or(1), number(fields, "max").unwrap_or(1));
    if min > max {
        let hint = "lower `min` or raise `max`".into();
        faults.push(FaultKind::Conflict, fields.span("min"), format!("{key}.min"), "`min` is more than `max`", Some(hint));
    }
    let adaptive = fields.bool("adaptive").unwrap_or(true);
    ConcurrencySettings { min: if adaptive { min } else { max }, max }.at_most(max)
}

fn retry(fields: &Fields, key: &str, faults: &mut Faults) -> RetryPolicy {
    let (initial, max) = (fields.duration("initial").unwrap_or_default(), fields.duration("max").unwrap_or_default());
    if initial > max {
        faults.push(
            FaultKind::Conflict,
            fields.span("initial"),
            format!("{key}.initial"),
            "`initial` is longer than `max`",
            Some("lower `initial` or raise `max`".into()),
        );
    }
    RetryPolicy {
        strategy: match fields.text("strategy").as_deref() {
            Some("linear") => Strategy::Linear,
            Some("fixed") => Strategy::Fixed,
            _ => Strategy::Exponential { multiplier: fields.factor("multiplier").unwrap_or(1.0) },
        },
        initial,
        max,
        jitter: if fields.text("jitter").as_deref() == Some("none") { Jitter::None } else { Jitter::Full },
        max_elapsed: fields.duration("max_elapsed").unwrap_or_default(),
        max_attempts: number(fields, "max_attempts"),
    }
}

fn breaker(fields: &Fields) -> BreakerSettings {
    BreakerSettings {
        failure_threshold: number(fields, "failure_threshold").unwrap_or(1),
        open_for: fields.duration("open_for").unwrap_or_default(),
        half_open_calls: number(fields, "half_open_calls").unwrap_or(1),
    }
}

pub(super) fn rate_limit(fields: &Fields) -> Option<RateSettings> {
    let events_per_second = number(fields, "events_per_second")?;
    Some(RateSettings { events_per_second, burst: number(fields, "burst").unwrap_or(events_per_second) })
}

fn formatter(name: &str, span: Span, fields: &Fields) -> Option<FormatterConfig> {
    Some(FormatterConfig {
        name: name.to_owned(),
        tenant: owners::tenant(fields),
        span,
        formatter: fields.text("formatter")?,
        config: fields.raw("config").unwrap_or_default(),
        limits: fields.limits("limits"),
    })
}

fn dead_letters(fields: &Fields) -> DeadLetterSettings {
    DeadLetterSettings {
        max_bytes: fields.size("max_bytes").unwrap_or_default(),
        retention: fields.duration("retention"),
        on_full: if fields.text("on_full").as_deref() == Some("drop_oldest") { OnFull::DropOldest } else { OnFull::StopLane },
    }
}

/// Nothing where letters are not handed back by themselves.
fn letter_retry(fields: &Fields, faults: &mut Faults) -> Option<LetterRetry> {
    let mut causes = Vec::new();
    for word in fields.list("causes") {
        let Some(text) = word.as_text() else { continue };
        let named = Cause::named(text);
        if named.is_empty() {
            let known: Vec<_> = ["transient", "permanent", "guest"].into_iter().chain(Cause::ALL.iter().map(|cause| cause.name())).collect();
            let message = format!("there is no cause `{text}`");
            faults.push(FaultKind::UnknownReference, word.span, "dead_letters.retry.causes", message, Some(nearest::hint(text, &known)));
        }
        causes.extend(named.into_iter().filter(|cause| !causes.contains(cause)).collect::<Vec<_>>());
    }
    Some(LetterRetry { interval: fields.duration("interval")?, causes, most: number(fields, "max_retries").unwrap_or(1) })
}

fn journal(root: &Fields) -> JournalSettings {
    let fields = root.map("journal");
    let dir = root.path("data_dir").unwrap_or_default().join("journal");
    JournalSettings {
        segment_bytes: fields.size("segment_bytes").unwrap_or_default(),
        keep: Keep { max_age: fields.map("keep").duration("max_age"), max_bytes: fields.map("keep").size("max_bytes") },
        compression: if fields.text("compression").as_deref() == Some("lz4") { Compression::Lz4 } else { Compression::None },
        ..JournalSettings::new(dir, fields.size("max_bytes").unwrap_or_default())
    }
}

fn repeats(journal: &Fields) -> Option<RepeatSettings> {
    let window = journal.duration("dedup_window").filter(|window| !window.is_zero())?;
    Some(RepeatSettings { window, keys: journal.count("dedup_keys").unwrap_or(1) })
}

fn delivery(fields: &Fields) -> DeliverySettings {
    DeliverySettings {
        max_concurrent: number(fields, "max_concurrent").unwrap_or(1),
        pending_expiry: fields.duration("pending_expiry").unwrap_or(Duration::ZERO),
    }
}

fn upload(fields: &Fields, faults: &mut Faults) -> UploadSettings {
    let compile = CompileLimits { time: fields.duration("compile_time").unwrap_or_default(), memory: fields.size("compile_memory").unwrap_or_default() };
    let mut signing = Signing { required: fields.bool("require_signed").unwrap_or_default(), keys: Vec::new() };
    for key in fields.list("keys") {
        let Some(written) = key.as_text() else { continue };
        match public_key(written) {
            Ok(public) => signing.keys.push(public),
            Err(problem) => faults.push(FaultKind::WrongType, key.span, "upload.keys", problem, None),
        }
    }
    if signing.required && fields.list("keys").is_empty() {
        let hint = Some("name a key that signs, or nothing could be uploaded".to_owned());
        faults.push(FaultKind::Conflict, fields.span("require_signed"), "upload.require_signed", "signatures are required, and `keys` names no key", hint);
    }
    UploadSettings {
        compile,
        signing,
        disk: fields.size("disk").unwrap_or_default(),
        idle: fields.duration("idle").unwrap_or_default(),
        trial: fields.duration("trial").unwrap_or_default(),
    }
}

/// A key as written, or from the PEM file of that name.
fn public_key(written: &str) -> Result<PublicKey, String> {
    if written.starts_with("ed25519:") {
        return PublicKey::parse(written).map_err(|error| error.to_string());
    }
    let mut text = String::new();
    let read = std::fs::File::open(written).and_then(|file| std::io::Read::read_to_string(&mut std::io::Read::take(file, 64 << 10), &mut text));
    read.map_err(|error| format!("cannot read the key file `{written}`: {error}"))?;
    PublicKey::parse(&text).map_err(|error| format!("`{written}`: {error}"))
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

fn log(fields: &Fields, faults: &mut Faults) -> LogSettings {
    let settings = LogSettings {
        format: match fields.text("format").as_deref() {
            Some("pretty") => LogFormat::Pretty,
            Some("compact") => LogFormat::Compact,
            _ => LogFormat::Json,
        },
        level: fields.text("level").unwrap_or_default(),
        stderr: fields.text("output").as_deref() == Some("stderr"),
    };
    // A lone word that is no level would be taken for the name of a target.
    let lone = settings.level.split(',').find(|part| !part.contains('=') && !LEVELS.contains(&part.trim()));
    if let Some(word) = lone {
        faults.push(FaultKind::WrongType, fields.span("level"), "telemetry.log.level", "not a level", Some(nearest::hint(word, &LEVELS)));
    } else if let Err(error) = settings.check() {
        faults.push(FaultKind::WrongType, fields.span("level"), "telemetry.log.level", error.to_string(), None);
    }
    settings
}
