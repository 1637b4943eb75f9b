//! Every endpoint: method, path, what it needs, whether it changes something, the name of its action for
//! the record, its handler, and what people of a tenant get of it. The router is made of this table and of nothing else: what has no row is not
//! there, and no row but those marked `open` answers to strangers.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{MethodFilter, MethodRouter, on};
use bulkhead_access::Permission;
use bulkhead_core::MAX_EVENT_BYTES;

use super::entries::{self, Credentials, Formatters, Instances, Routes, Subscriptions};
use super::{
    Api, auth, captures, connect, connectors, cors, dead_letters, event_types, events, inbound, keys, lanes, logs, mappings, metrics, openapi, periods,
    preview, problem, queries, readyz, receipts, replays, schedules, sign_in, sync, tap, users, versions, webhooks,
};

/// What most paths begin with.
pub const PREFIX: &str = "/api/integration/";
/// Largest body of a management request in bytes.
const MAX_BODY: usize = 64 << 10;

/// What a row says about its endpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct Info {
    pub method: &'static str,
    pub path: &'static str,
    /// Nothing: open to everybody.
    pub needs: Option<Permission>,
    /// What somebody of a tenant gets of it.
    pub reach: Reach,
    /// Goes on record, with what it answered.
    pub changes: bool,
    pub action: &'static str,
}

/// What an endpoint is about, for people of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The host as a whole: not for them.
    Host,
    /// Things that are somebody's: they get what is their tenant's. Its handler takes a [`View`](super::view::View).
    Own,
    /// What is the same for everybody.
    All,
}

struct Row {
    info: &'static Info,
    handler: MethodRouter<Api>,
}

macro_rules! needs {
    (open) => {
        None
    };
    ($permission:ident) => {
        Some(Permission::$permission)
    };
}

macro_rules! reach {
    (host) => {
        Reach::Host
    };
    (own) => {
        Reach::Own
    };
    (all) => {
        Reach::All
    };
}

macro_rules! changes {
    (reads) => {
        false
    };
    (changes) => {
        true
    };
}

/// Rows of: method, path, permission or `open`, whose things it is about (`host`, `own`, `all`), `reads` or `changes`, action, handler, and perhaps a bound of the body
/// that is not the usual one.
macro_rules! rows {
    ($($method:ident $path:literal $needs:ident $reach:ident $sort:ident $action:literal $handler:expr $(; $body:expr)?,)*) => {
        vec![$({
            static INFO: Info =
                Info { method: stringify!($method), path: $path, needs: needs!($needs), reach: reach!($reach), changes: changes!($sort), action: $action };
            Row { info: &INFO, handler: on(MethodFilter::$method, $handler)$(.layer($body))? }
        }),*]
    };
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    rows! {
        GET    "/livez"                                                               open              all  reads   "health.live"             async || "ok\n",
        GET    "/readyz"                                                              open              all  reads   "health.ready"            readyz,
        GET    "/metrics"                                                             SystemMonitor     host reads   "metrics.read"            metrics,
        GET    "/api/openapi.json"                                                    IntegrationsRead  all  reads   "openapi.read"            openapi::document,
        GET    "/api/integration/health"                                              IntegrationsRead  own  reads   "health.read"             lanes::health,
        GET    "/api/integration/auth-configs"                                                 IntegrationsRead  own  reads   "auth_configs.list"       entries::list::<Credentials>,
        POST   "/api/integration/auth-configs"                                                 IntegrationsWrite own  changes "auth_configs.make"       entries::make::<Credentials>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/auth-configs/{name}"                                          IntegrationsRead  own  reads   "auth_configs.show"       entries::show::<Credentials>,
        PUT    "/api/integration/auth-configs/{name}"                                          IntegrationsWrite own  changes "auth_configs.put"        entries::put::<Credentials>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/auth-configs/{name}"                                          IntegrationsWrite own  changes "auth_configs.delete"     entries::delete::<Credentials>,
        GET    "/api/integration/auth-configs/{name}/versions"                                 IntegrationsRead  own  reads   "auth_configs.versions"   entries::versions::<Credentials>,
        POST   "/api/integration/auth-configs/{name}/rollback"                                 IntegrationsWrite own  changes "auth_configs.rollback"   entries::roll_back::<Credentials>,
        POST   "/api/integration/auth-configs/{name}/test"                                     IntegrationsWrite own  reads   "auth_configs.test"       connect::test,
        POST   "/api/integration/auth-configs/{name}/refresh"                                  IntegrationsWrite own  changes "auth_configs.refresh"    connect::refresh,
        POST   "/api/integration/auth-configs/{name}/authorize"                                IntegrationsWrite own  changes "auth_configs.authorize"  connect::authorize,
        GET    "/api/integration/oauth/callback"                                               open              all  reads   "auth_configs.connect"    connect::callback,
        GET    "/api/integration/formatters"                                                   IntegrationsRead  own  reads   "formatters.list"         entries::list::<Formatters>,
        POST   "/api/integration/formatters"                                                   IntegrationsWrite own  changes "formatters.make"         entries::make::<Formatters>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/formatters/{name}"                                            IntegrationsRead  own  reads   "formatters.show"         entries::show::<Formatters>,
        PUT    "/api/integration/formatters/{name}"                                            IntegrationsWrite own  changes "formatters.put"          entries::put::<Formatters>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/formatters/{name}"                                            IntegrationsWrite own  changes "formatters.delete"       entries::delete::<Formatters>,
        GET    "/api/integration/formatters/{name}/versions"                                   IntegrationsRead  own  reads   "formatters.versions"     entries::versions::<Formatters>,
        POST   "/api/integration/formatters/{name}/rollback"                                   IntegrationsWrite own  changes "formatters.rollback"     entries::roll_back::<Formatters>,
        GET    "/api/integration/instances"                                                    IntegrationsRead  own  reads   "instances.list"          entries::list::<Instances>,
        POST   "/api/integration/instances"                                                    IntegrationsWrite own  changes "instances.make"          entries::make::<Instances>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/instances/{name}"                                             IntegrationsRead  own  reads   "instances.show"          entries::show::<Instances>,
        PUT    "/api/integration/instances/{name}"                                             IntegrationsWrite own  changes "instances.put"           entries::put::<Instances>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/instances/{name}"                                             IntegrationsWrite own  changes "instances.delete"        entries::delete::<Instances>,
        GET    "/api/integration/instances/{name}/versions"                                    IntegrationsRead  own  reads   "instances.versions"      entries::versions::<Instances>,
        POST   "/api/integration/instances/{name}/rollback"                                    IntegrationsWrite own  changes "instances.rollback"      entries::roll_back::<Instances>,
        GET    "/api/integration/routes"                                                       IntegrationsRead  own  reads   "routes.list"             entries::list::<Routes>,
        POST   "/api/integration/routes"                                                       IntegrationsWrite own  changes "routes.make"             entries::make::<Routes>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/routes/{name}"                                                IntegrationsRead  own  reads   "routes.show"             entries::show::<Routes>,
        PUT    "/api/integration/routes/{name}"                                                IntegrationsWrite own  changes "routes.put"              entries::put::<Routes>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/routes/{name}"                                                IntegrationsWrite own  changes "routes.delete"           entries::delete::<Routes>,
        GET    "/api/integration/routes/{name}/versions"                                       IntegrationsRead  own  reads   "routes.versions"         entries::versions::<Routes>,
        POST   "/api/integration/routes/{name}/rollback"                                       IntegrationsWrite own  changes "routes.rollback"         entries::roll_back::<Routes>,
        GET    "/api/integration/webhooks"                                                     IntegrationsRead  own  reads   "webhooks.list"           webhooks::list,
        POST   "/api/integration/webhooks"                                                     IntegrationsWrite own  changes "webhooks.make"           webhooks::make; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/webhooks/{name}"                                              IntegrationsRead  own  reads   "webhooks.show"           webhooks::show,
        PUT    "/api/integration/webhooks/{name}"                                              IntegrationsWrite own  changes "webhooks.put"            webhooks::put; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/webhooks/{name}"                                              IntegrationsWrite own  changes "webhooks.delete"         webhooks::delete,
        POST   "/api/integration/webhooks/{name}/test"                                         IntegrationsWrite own  changes "webhooks.test"           webhooks::test,
        POST   "/api/integration/webhooks/{name}/rotate-secret"                                IntegrationsWrite own  changes "webhooks.rotate_secret"  webhooks::rotate_secret,
        GET    "/api/integration/webhooks/{name}/deliveries"                                   IntegrationsRead  own  reads   "webhooks.deliveries"     webhooks::deliveries,
        GET    "/api/integration/webhooks/{name}/deliveries/{id}"                              IntegrationsRead  own  reads   "webhooks.delivery"       webhooks::delivery,
        POST   "/api/integration/webhooks/{name}/deliveries/{id}/replay"                       DeadLettersReplay own  changes "webhooks.replay"         webhooks::replay,
        GET    "/api/integration/event-subscriptions"                                          IntegrationsRead  own  reads   "subscriptions.list"      entries::list::<Subscriptions>,
        POST   "/api/integration/event-subscriptions"                                          IntegrationsWrite own  changes "subscriptions.make"      entries::make::<Subscriptions>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/event-subscriptions/{name}"                                   IntegrationsRead  own  reads   "subscriptions.show"      entries::show::<Subscriptions>,
        PUT    "/api/integration/event-subscriptions/{name}"                                   IntegrationsWrite own  changes "subscriptions.put"       entries::put::<Subscriptions>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/event-subscriptions/{name}"                                   IntegrationsWrite own  changes "subscriptions.delete"    entries::delete::<Subscriptions>,
        GET    "/api/integration/event-subscriptions/{name}/versions"                          IntegrationsRead  own  reads   "subscriptions.versions"  entries::versions::<Subscriptions>,
        POST   "/api/integration/event-subscriptions/{name}/rollback"                          IntegrationsWrite own  changes "subscriptions.rollback"  entries::roll_back::<Subscriptions>,
        GET    "/api/integration/events/types"                                                 IntegrationsRead  own  reads   "event_types.list"        event_types::list,
        POST   "/api/integration/formatters/{name}/test"                                       IntegrationsWrite own  reads   "formatters.test"         preview::test; DefaultBodyLimit::max(preview::MAX_BODY),
        GET    "/api/integration/mappings"                                                     IntegrationsRead  own  reads   "mappings.list"           mappings::list,
        POST   "/api/integration/mappings"                                                     IntegrationsWrite own  changes "mappings.make"           mappings::make; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/mappings/{name}"                                              IntegrationsRead  own  reads   "mappings.show"           mappings::show,
        PUT    "/api/integration/mappings/{name}"                                              IntegrationsWrite own  changes "mappings.put"            mappings::put; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/mappings/{name}"                                              IntegrationsWrite own  changes "mappings.delete"         mappings::delete,
        GET    "/api/integration/mappings/{name}/versions"                                     IntegrationsRead  own  reads   "mappings.versions"       mappings::versions,
        POST   "/api/integration/mappings/{name}/rollback"                                     IntegrationsWrite own  changes "mappings.rollback"       mappings::roll_back,
        POST   "/api/integration/mappings/{name}/validate"                                     IntegrationsWrite own  reads   "mappings.validate"       mappings::validate; DefaultBodyLimit::max(entries::MAX_BODY),
        POST   "/api/integration/mappings/{name}/test"                                         IntegrationsWrite own  reads   "mappings.test"           mappings::test; DefaultBodyLimit::max(preview::MAX_BODY),
        GET    "/api/integration/export"                                                       IntegrationsRead  own  reads   "entries.export"          entries::export,
        POST   "/api/integration/import"                                                       IntegrationsWrite own  changes "entries.import"          entries::import; DefaultBodyLimit::max(entries::MAX_IMPORT),
        POST   "/api/integration/instances/{name}/deactivate"                                  IntegrationsWrite own  changes "instances.pause"         lanes::pause,
        POST   "/api/integration/instances/{name}/activate"                                    IntegrationsWrite own  changes "instances.resume"        lanes::resume,
        POST   "/api/integration/instances/{name}/pause"                          IntegrationsWrite own  changes "instances.pause"         lanes::pause,
        POST   "/api/integration/instances/{name}/resume"                         IntegrationsWrite own  changes "instances.resume"        lanes::resume,
        POST   "/api/integration/instances/{name}/pull"                                        IntegrationsWrite own  changes "sync.now"                sync::now,
        DELETE "/api/integration/instances/{name}/pull"                                        IntegrationsWrite own  changes "sync.anew"               sync::anew,
        POST   "/api/integration/instances/{name}/sync"                                        IntegrationsWrite own  changes "sync.now"                sync::now,
        GET    "/api/integration/schedules"                                                    IntegrationsRead  own  reads   "schedules.list"          schedules::list,
        POST   "/api/integration/schedules"                                                    IntegrationsWrite own  changes "schedules.make"          schedules::make,
        GET    "/api/integration/schedules/{id}"                                               IntegrationsRead  own  reads   "schedules.show"          schedules::show,
        PUT    "/api/integration/schedules/{id}"                                               IntegrationsWrite own  changes "schedules.put"           schedules::put,
        DELETE "/api/integration/schedules/{id}"                                               IntegrationsWrite own  changes "schedules.delete"        schedules::delete,
        GET    "/api/integration/sync-executions"                                              IntegrationsRead  own  reads   "sync_executions.list"    sync::list,
        GET    "/api/integration/sync-executions/{id}"                                         IntegrationsRead  own  reads   "sync_executions.show"    sync::show,
        POST   "/api/integration/instances/{name}/query"                          IntegrationsQuery own  reads   "instances.query"         queries::ask,
        POST   "/api/integration/instances/{name}/test"                           IntegrationsWrite own  reads   "instances.test"          queries::test,
        POST   "/api/integration/instances/{name}/capture"                                     IntegrationsWrite own  changes "captures.begin"          captures::begin,
        GET    "/api/integration/instances/{name}/capture"                                     EventsRead        own  reads   "captures.list"           captures::list,
        DELETE "/api/integration/instances/{name}/capture"                                     IntegrationsWrite own  changes "captures.clear"          captures::clear,
        GET    "/api/integration/inbound"                                             IntegrationsRead  own  reads   "inbound.list"            inbound::list,
        GET    "/api/integration/inbound/{name}"                                      IntegrationsRead  own  reads   "inbound.show"            inbound::show,
        GET    "/api/integration/tap"                                                 EventsRead        own  reads   "tap.listen"              tap::listen,
        GET    "/api/integration/logs"                                                IntegrationsRead  own  reads   "logs.list"               logs::list,
        GET    "/api/integration/logs/{instance}"                                     IntegrationsRead  own  reads   "logs.of_instance"        logs::of_instance,
        GET    "/api/integration/metrics"                                             IntegrationsRead  own  reads   "periods.list"            periods::list,
        GET    "/api/integration/metrics/{instance}"                                  IntegrationsRead  own  reads   "periods.of_instance"     periods::of_instance,
        GET    "/api/v2/events"                                                       EventsRead        own  reads   "events.list"             events::list,
        POST   "/api/v2/events"                                                       EventsWrite       own  changes "events.post"             events::post; DefaultBodyLimit::max(MAX_EVENT_BYTES),
        GET    "/api/v2/events/{id}"                                                  EventsRead        own  reads   "events.show"             events::show,
        GET    "/api/integration/audit/receipts"                                      AuditRead         own  reads   "receipts.list"           receipts::list,
        GET    "/api/integration/audit/trail"                                         AuditRead         own  reads   "trail.list"              receipts::trail,
        GET    "/api/integration/dead-letters"                                        IntegrationsRead  own  reads   "dead_letters.list"       dead_letters::list,
        GET    "/api/integration/dead-letters/{id}"                                   IntegrationsRead  own  reads   "dead_letters.show"       dead_letters::show,
        PUT    "/api/integration/dead-letters/{id}/event"                             DeadLettersReplay own  changes "dead_letters.edit"       dead_letters::replace; DefaultBodyLimit::max(MAX_EVENT_BYTES),
        PATCH  "/api/integration/dead-letters/{id}/event"                             DeadLettersReplay own  changes "dead_letters.edit"       dead_letters::patch; DefaultBodyLimit::max(MAX_EVENT_BYTES),
        POST   "/api/integration/dead-letters/replay"                                 DeadLettersReplay own  changes "dead_letters.replay"     dead_letters::replay,
        POST   "/api/integration/dead-letters/purge"                                  DeadLettersReplay own  changes "dead_letters.purge"      dead_letters::purge,
        GET    "/api/integration/replays"                                             IntegrationsRead  own  reads   "replays.list"            replays::list,
        POST   "/api/integration/replays"                                             DeadLettersReplay own  changes "replays.begin"           replays::begin,
        GET    "/api/integration/replays/{id}"                                        IntegrationsRead  own  reads   "replays.show"            replays::show,
        DELETE "/api/integration/replays/{id}"                                        DeadLettersReplay own  changes "replays.cancel"          replays::cancel,
        GET    "/api/integration/connectors"                                          IntegrationsRead  own  reads   "connectors.list"         connectors::list,
        // Bounded by the ceiling of `limits.component_size`, on its way to disk.
        POST   "/api/integration/connectors"                                          ConnectorsInstall host changes "connectors.upload"       connectors::upload; DefaultBodyLimit::disable(),
        GET    "/api/integration/connectors/{id}"                                     IntegrationsRead  own  reads   "connectors.show"         connectors::show,
        PUT    "/api/integration/connectors/{id}"                                     ConnectorsInstall host changes "connectors.put"          connectors::put; DefaultBodyLimit::disable(),
        DELETE "/api/integration/connectors/{id}"                                     ConnectorsInstall host changes "connectors.remove_all"   connectors::remove_named,
        GET    "/api/integration/connectors/{id}/schema"                              IntegrationsRead  all  reads   "connectors.schema"       connectors::schema,
        GET    "/api/integration/connectors/{id}/capabilities"                        IntegrationsRead  all  reads   "connectors.capabilities" connectors::capabilities,
        POST   "/api/integration/connectors/{id}/rollback"                            ConnectorsInstall host changes "connectors.rollback"     connectors::roll_back,
        GET    "/api/integration/connectors/{id}/versions/{digest}"                   IntegrationsRead  own  reads   "connectors.version"      connectors::show_version,
        DELETE "/api/integration/connectors/{id}/versions/{digest}"                   ConnectorsInstall host changes "connectors.remove"       connectors::remove,
        POST   "/api/integration/connectors/{id}/versions/{digest}/approve"           ConnectorsGrant   host changes "connectors.approve"      connectors::approve,
        POST   "/api/integration/connectors/{id}/versions/{digest}/activate"          ConnectorsInstall host changes "connectors.activate"     connectors::activate,
        POST   "/api/integration/connectors/{id}/versions/{digest}/revoke"            ConnectorsGrant   host changes "connectors.revoke"       connectors::revoke,
        GET    "/api/v2/auth/methods"                                                 open              all  reads   "auth.methods"            sign_in::methods,
        POST   "/api/v2/auth/login"                                                   open              all  changes "auth.login"              sign_in::login,
        POST   "/api/v2/auth/refresh"                                                 open              all  changes "auth.refresh"            sign_in::refresh,
        POST   "/api/v2/auth/password"                                                open              all  changes "auth.password"           sign_in::password,
        DELETE "/api/v2/auth/logout"                                                  open              all  changes "auth.logout"             sign_in::logout,
        GET    "/api/integration/users"                                               SystemAdmin       own  reads   "users.list"              users::list,
        POST   "/api/integration/users"                                               SystemAdmin       own  changes "users.create"            users::create,
        GET    "/api/integration/users/{name}"                                        SystemAdmin       own  reads   "users.show"              users::show,
        PUT    "/api/integration/users/{name}"                                        SystemAdmin       own  changes "users.put"               users::put,
        DELETE "/api/integration/users/{name}"                                        SystemAdmin       own  changes "users.remove"            users::remove,
        POST   "/api/integration/users/{name}/password"                               SystemAdmin       own  changes "users.password"          users::set_password,
        POST   "/api/integration/users/{name}/enable"                                 SystemAdmin       own  changes "users.enable"            users::enable,
        POST   "/api/integration/users/{name}/disable"                                SystemAdmin       own  changes "users.disable"           users::disable,
        POST   "/api/integration/users/{name}/totp"                                   SystemAdmin       own  changes "users.totp"              users::enrol,
        DELETE "/api/integration/users/{name}/totp"                                   SystemAdmin       own  changes "users.totp_remove"       users::release,
        GET    "/api/integration/api-keys"                                            SystemAdmin       own  reads   "api_keys.list"           keys::list,
        POST   "/api/integration/api-keys"                                            SystemAdmin       own  changes "api_keys.create"         keys::create,
        GET    "/api/integration/api-keys/{id}"                                       SystemAdmin       own  reads   "api_keys.show"           keys::show,
        DELETE "/api/integration/api-keys/{id}"                                       SystemAdmin       own  changes "api_keys.revoke"         keys::revoke,
        POST   "/api/integration/api-keys/{id}/rotate"                                SystemAdmin       own  changes "api_keys.rotate"         keys::rotate,
    }
}

/// What each row says, for the document of the API.
pub fn infos() -> impl Iterator<Item = &'static Info> {
    table().into_iter().map(|row| row.info)
}

pub fn router(api: Api) -> Router {
    let mut router = Router::new();
    for Row { info, handler } in table() {
        let guarded = if info.needs.is_some() { handler.route_layer(from_fn_with_state((api.clone(), info), auth::guard)) } else { handler };
        router = router.route(info.path, guarded);
    }
    let cors = cors::layer(&api.cors);
    let router = router
        .fallback(auth::nowhere)
        .method_not_allowed_fallback(auth::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(map_response(problem::uniform))
        .layer(from_fn(versions::around))
        .with_state(api);
    // Before everything else: a browser asks without credentials whether it may ask.
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::fs;

    use bulkhead_access::{Permissions, Role};

    use super::*;

    #[test]
    fn strangers_get_to_health_and_the_callback_alone_and_writes_are_changes() {
        let mut seen = BTreeSet::new();
        for info in table().iter().map(|row| row.info) {
            assert!(seen.insert((info.method, info.path)), "{info:?} stands there twice");
            // What takes the place of a credential checks it by itself.
            let signs_in = info.path.starts_with("/api/v2/auth/");
            assert_eq!(info.needs.is_none(), signs_in || ["/livez", "/readyz", "/api/integration/oauth/callback"].contains(&info.path), "{info:?}");
            // What asks a system or tries its connection changes nothing, though it is a POST.
            let asks =
                ["instances.query", "instances.test", "formatters.test", "auth_configs.test", "mappings.validate", "mappings.test"].contains(&info.action);
            assert_eq!(info.changes, info.method != "GET" && !asks, "{info:?}");
        }
    }

    #[test]
    fn somebody_may_do_each_and_nobody_but_the_administrator_gives_keys_out() {
        for info in table().iter().map(|row| row.info) {
            let Some(permission) = info.needs else { continue };
            assert!(Role::ALL.iter().any(|role| role.permissions().has(permission)), "{info:?}");
            let of_people = info.path.contains("api-keys") || info.path.contains("/users");
            assert_eq!(of_people, permission == Permission::SystemAdmin, "{info:?}");
        }
    }

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operators/access.md");

    fn between(what: &str) -> (String, String) {
        (format!("<!-- {what}, written from the code -->\n"), format!("<!-- end of {what} -->\n"))
    }

    fn tables() -> [(&'static str, String); 2] {
        let mut endpoints = String::from("| method | path | permission | people of a tenant | on record as |\n|---|---|---|---|---|\n");
        for info in table().iter().map(|row| row.info) {
            let open = if info.changes || info.action == "auth_configs.connect" { "checks what it is given" } else { "open to everybody" };
            let needs = info.needs.map_or(open.to_owned(), |permission| format!("`{}`", permission.name()));
            let record = if info.changes { format!("`{}`", info.action) } else { "–".to_owned() };
            let reach = match (info.needs, info.reach) {
                (None, _) | (_, Reach::All) => "as everybody",
                (_, Reach::Own) => "what is their tenant's",
                (_, Reach::Host) => "403 `host_only`",
            };
            let _ = writeln!(endpoints, "| {} | `{}` | {needs} | {reach} | {record} |", info.method, info.path);
        }
        let needed = table().iter().filter_map(|row| row.info.needs).fold(Permissions::default(), |all, one| all.and(Permissions::of(&[one])));
        let mut roles = String::from("| role | may |\n|---|---|\n");
        for role in Role::ALL {
            let may: Vec<String> =
                role.permissions().iter().filter(|permission| needed.has(*permission)).map(|permission| format!("`{}`", permission.name())).collect();
            let _ = writeln!(roles, "| `{}` | {} |", role.name(), may.join(", "));
        }
        [("roles", roles), ("endpoints", endpoints)]
    }

    /// `UPDATE_GOLDEN=1` writes the tables of the page again.
    #[test]
    fn the_page_is_the_table() {
        let mut page = fs::read_to_string(PAGE).expect("the page is there");
        for (what, table) in tables() {
            let (begin, end) = between(what);
            let from = page.find(&begin).expect("the page has the table") + begin.len();
            let to = page.find(&end).expect("the table ends");
            if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
                page.replace_range(from..to, &table);
            } else {
                assert_eq!(&page[from..to], table, "`UPDATE_GOLDEN=1` with this test writes the table of {PAGE}");
            }
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            fs::write(PAGE, page).expect("written");
        }
    }
}
