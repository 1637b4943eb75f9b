//! Every endpoint: method, path, what it needs, whether it changes something, the name of its action for
//! the record, its handler. The router is made of this table and of nothing else: what has no row is not
//! there, and no row but those marked `open` answers to strangers.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{MethodFilter, MethodRouter, on};
use bulkhead_access::Permission;
use bulkhead_core::MAX_EVENT_BYTES;

use super::entries::{self, Credentials, Formatters, Instances, Routes, Subscriptions};
use super::{
    Api, auth, captures, connect, connectors, cors, dead_letters, event_types, events, inbound, keys, lanes, logs, metrics, openapi, periods, preview, problem,
    queries, readyz, receipts, replays, sign_in, sync, tap, users, webhooks,
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
    /// Goes on record, with what it answered.
    pub changes: bool,
    pub action: &'static str,
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

macro_rules! changes {
    (reads) => {
        false
    };
    (changes) => {
        true
    };
}

/// Rows of: method, path, permission or `open`, `reads` or `changes`, action, handler, and perhaps a bound of the body
/// that is not the usual one.
macro_rules! rows {
    ($($method:ident $path:literal $needs:ident $sort:ident $action:literal $handler:expr $(; $body:expr)?,)*) => {
        vec![$({
            static INFO: Info =
                Info { method: stringify!($method), path: $path, needs: needs!($needs), changes: changes!($sort), action: $action };
            Row { info: &INFO, handler: on(MethodFilter::$method, $handler)$(.layer($body))? }
        }),*]
    };
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    rows! {
        GET    "/livez"                                                               open              reads   "health.live"             async || "ok\n",
        GET    "/readyz"                                                              open              reads   "health.ready"            readyz,
        GET    "/metrics"                                                             SystemMonitor     reads   "metrics.read"            metrics,
        GET    "/api/openapi.json"                                                    IntegrationsRead  reads   "openapi.read"            openapi::document,
        GET    "/api/integration/health"                                              IntegrationsRead  reads   "health.read"             lanes::health,
        GET    "/api/integration/auth-configs"                                                 IntegrationsRead  reads   "auth_configs.list"       entries::list::<Credentials>,
        POST   "/api/integration/auth-configs"                                                 IntegrationsWrite changes "auth_configs.make"       entries::make::<Credentials>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/auth-configs/{name}"                                          IntegrationsRead  reads   "auth_configs.show"       entries::show::<Credentials>,
        PUT    "/api/integration/auth-configs/{name}"                                          IntegrationsWrite changes "auth_configs.put"        entries::put::<Credentials>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/auth-configs/{name}"                                          IntegrationsWrite changes "auth_configs.delete"     entries::delete::<Credentials>,
        GET    "/api/integration/auth-configs/{name}/versions"                                 IntegrationsRead  reads   "auth_configs.versions"   entries::versions::<Credentials>,
        POST   "/api/integration/auth-configs/{name}/rollback"                                 IntegrationsWrite changes "auth_configs.rollback"   entries::roll_back::<Credentials>,
        POST   "/api/integration/auth-configs/{name}/test"                                     IntegrationsWrite reads   "auth_configs.test"       connect::test,
        POST   "/api/integration/auth-configs/{name}/refresh"                                  IntegrationsWrite changes "auth_configs.refresh"    connect::refresh,
        POST   "/api/integration/auth-configs/{name}/authorize"                                IntegrationsWrite changes "auth_configs.authorize"  connect::authorize,
        GET    "/api/integration/oauth/callback"                                               open              reads   "auth_configs.connect"    connect::callback,
        GET    "/api/integration/formatters"                                                   IntegrationsRead  reads   "formatters.list"         entries::list::<Formatters>,
        POST   "/api/integration/formatters"                                                   IntegrationsWrite changes "formatters.make"         entries::make::<Formatters>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/formatters/{name}"                                            IntegrationsRead  reads   "formatters.show"         entries::show::<Formatters>,
        PUT    "/api/integration/formatters/{name}"                                            IntegrationsWrite changes "formatters.put"          entries::put::<Formatters>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/formatters/{name}"                                            IntegrationsWrite changes "formatters.delete"       entries::delete::<Formatters>,
        GET    "/api/integration/formatters/{name}/versions"                                   IntegrationsRead  reads   "formatters.versions"     entries::versions::<Formatters>,
        POST   "/api/integration/formatters/{name}/rollback"                                   IntegrationsWrite changes "formatters.rollback"     entries::roll_back::<Formatters>,
        GET    "/api/integration/instances"                                                    IntegrationsRead  reads   "instances.list"          entries::list::<Instances>,
        POST   "/api/integration/instances"                                                    IntegrationsWrite changes "instances.make"          entries::make::<Instances>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/instances/{name}"                                             IntegrationsRead  reads   "instances.show"          entries::show::<Instances>,
        PUT    "/api/integration/instances/{name}"                                             IntegrationsWrite changes "instances.put"           entries::put::<Instances>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/instances/{name}"                                             IntegrationsWrite changes "instances.delete"        entries::delete::<Instances>,
        GET    "/api/integration/instances/{name}/versions"                                    IntegrationsRead  reads   "instances.versions"      entries::versions::<Instances>,
        POST   "/api/integration/instances/{name}/rollback"                                    IntegrationsWrite changes "instances.rollback"      entries::roll_back::<Instances>,
        GET    "/api/integration/routes"                                                       IntegrationsRead  reads   "routes.list"             entries::list::<Routes>,
        POST   "/api/integration/routes"                                                       IntegrationsWrite changes "routes.make"             entries::make::<Routes>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/routes/{name}"                                                IntegrationsRead  reads   "routes.show"             entries::show::<Routes>,
        PUT    "/api/integration/routes/{name}"                                                IntegrationsWrite changes "routes.put"              entries::put::<Routes>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/routes/{name}"                                                IntegrationsWrite changes "routes.delete"           entries::delete::<Routes>,
        GET    "/api/integration/routes/{name}/versions"                                       IntegrationsRead  reads   "routes.versions"         entries::versions::<Routes>,
        POST   "/api/integration/routes/{name}/rollback"                                       IntegrationsWrite changes "routes.rollback"         entries::roll_back::<Routes>,
        GET    "/api/integration/webhooks"                                                     IntegrationsRead  reads   "webhooks.list"           webhooks::list,
        POST   "/api/integration/webhooks"                                                     IntegrationsWrite changes "webhooks.make"           webhooks::make; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/webhooks/{name}"                                              IntegrationsRead  reads   "webhooks.show"           webhooks::show,
        PUT    "/api/integration/webhooks/{name}"                                              IntegrationsWrite changes "webhooks.put"            webhooks::put; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/webhooks/{name}"                                              IntegrationsWrite changes "webhooks.delete"         webhooks::delete,
        POST   "/api/integration/webhooks/{name}/test"                                         IntegrationsWrite changes "webhooks.test"           webhooks::test,
        POST   "/api/integration/webhooks/{name}/rotate-secret"                                IntegrationsWrite changes "webhooks.rotate_secret"  webhooks::rotate_secret,
        GET    "/api/integration/webhooks/{name}/deliveries"                                   IntegrationsRead  reads   "webhooks.deliveries"     webhooks::deliveries,
        GET    "/api/integration/webhooks/{name}/deliveries/{id}"                              IntegrationsRead  reads   "webhooks.delivery"       webhooks::delivery,
        POST   "/api/integration/webhooks/{name}/deliveries/{id}/replay"                       DeadLettersReplay changes "webhooks.replay"         webhooks::replay,
        GET    "/api/integration/event-subscriptions"                                          IntegrationsRead  reads   "subscriptions.list"      entries::list::<Subscriptions>,
        POST   "/api/integration/event-subscriptions"                                          IntegrationsWrite changes "subscriptions.make"      entries::make::<Subscriptions>; DefaultBodyLimit::max(entries::MAX_BODY),
        GET    "/api/integration/event-subscriptions/{name}"                                   IntegrationsRead  reads   "subscriptions.show"      entries::show::<Subscriptions>,
        PUT    "/api/integration/event-subscriptions/{name}"                                   IntegrationsWrite changes "subscriptions.put"       entries::put::<Subscriptions>; DefaultBodyLimit::max(entries::MAX_BODY),
        DELETE "/api/integration/event-subscriptions/{name}"                                   IntegrationsWrite changes "subscriptions.delete"    entries::delete::<Subscriptions>,
        GET    "/api/integration/event-subscriptions/{name}/versions"                          IntegrationsRead  reads   "subscriptions.versions"  entries::versions::<Subscriptions>,
        POST   "/api/integration/event-subscriptions/{name}/rollback"                          IntegrationsWrite changes "subscriptions.rollback"  entries::roll_back::<Subscriptions>,
        GET    "/api/integration/events/types"                                                 IntegrationsRead  reads   "event_types.list"        event_types::list,
        POST   "/api/integration/formatters/{name}/test"                                       IntegrationsWrite reads   "formatters.test"         preview::test; DefaultBodyLimit::max(preview::MAX_BODY),
        GET    "/api/integration/export"                                                       IntegrationsRead  reads   "entries.export"          entries::export,
        POST   "/api/integration/import"                                                       IntegrationsWrite changes "entries.import"          entries::import; DefaultBodyLimit::max(entries::MAX_IMPORT),
        POST   "/api/integration/instances/{name}/deactivate"                                  IntegrationsWrite changes "instances.pause"         lanes::pause,
        POST   "/api/integration/instances/{name}/activate"                                    IntegrationsWrite changes "instances.resume"        lanes::resume,
        POST   "/api/integration/instances/{name}/pause"                          IntegrationsWrite changes "instances.pause"         lanes::pause,
        POST   "/api/integration/instances/{name}/resume"                         IntegrationsWrite changes "instances.resume"        lanes::resume,
        POST   "/api/integration/instances/{name}/pull"                                        IntegrationsWrite changes "sync.now"                sync::now,
        DELETE "/api/integration/instances/{name}/pull"                                        IntegrationsWrite changes "sync.anew"               sync::anew,
        POST   "/api/integration/instances/{name}/sync"                                        IntegrationsWrite changes "sync.now"                sync::now,
        GET    "/api/integration/schedules"                                                    IntegrationsRead  reads   "schedules.list"          sync::schedules,
        GET    "/api/integration/sync-executions"                                              IntegrationsRead  reads   "sync_executions.list"    sync::list,
        GET    "/api/integration/sync-executions/{id}"                                         IntegrationsRead  reads   "sync_executions.show"    sync::show,
        POST   "/api/integration/instances/{name}/query"                          IntegrationsQuery reads   "instances.query"         queries::ask,
        POST   "/api/integration/instances/{name}/test"                           IntegrationsWrite reads   "instances.test"          queries::test,
        POST   "/api/integration/instances/{name}/capture"                                     IntegrationsWrite changes "captures.begin"          captures::begin,
        GET    "/api/integration/instances/{name}/capture"                                     EventsRead        reads   "captures.list"           captures::list,
        DELETE "/api/integration/instances/{name}/capture"                                     IntegrationsWrite changes "captures.clear"          captures::clear,
        GET    "/api/integration/inbound"                                             IntegrationsRead  reads   "inbound.list"            inbound::list,
        GET    "/api/integration/inbound/{name}"                                      IntegrationsRead  reads   "inbound.show"            inbound::show,
        GET    "/api/integration/tap"                                                 EventsRead        reads   "tap.listen"              tap::listen,
        GET    "/api/integration/logs"                                                IntegrationsRead  reads   "logs.list"               logs::list,
        GET    "/api/integration/logs/{instance}"                                     IntegrationsRead  reads   "logs.of_instance"        logs::of_instance,
        GET    "/api/integration/metrics"                                             IntegrationsRead  reads   "periods.list"            periods::list,
        GET    "/api/integration/metrics/{instance}"                                  IntegrationsRead  reads   "periods.of_instance"     periods::of_instance,
        GET    "/api/v2/events"                                                       EventsRead        reads   "events.list"             events::list,
        POST   "/api/v2/events"                                                       EventsWrite       changes "events.post"             events::post; DefaultBodyLimit::max(MAX_EVENT_BYTES),
        GET    "/api/v2/events/{id}"                                                  EventsRead        reads   "events.show"             events::show,
        GET    "/api/integration/audit/receipts"                                      AuditRead         reads   "receipts.list"           receipts::list,
        GET    "/api/integration/audit/trail"                                         AuditRead         reads   "trail.list"              receipts::trail,
        GET    "/api/integration/dead-letters"                                        IntegrationsRead  reads   "dead_letters.list"       dead_letters::list,
        GET    "/api/integration/dead-letters/{id}"                                   IntegrationsRead  reads   "dead_letters.show"       dead_letters::show,
        PUT    "/api/integration/dead-letters/{id}/event"                             DeadLettersReplay changes "dead_letters.edit"       dead_letters::replace; DefaultBodyLimit::max(MAX_EVENT_BYTES),
        PATCH  "/api/integration/dead-letters/{id}/event"                             DeadLettersReplay changes "dead_letters.edit"       dead_letters::patch; DefaultBodyLimit::max(MAX_EVENT_BYTES),
        POST   "/api/integration/dead-letters/replay"                                 DeadLettersReplay changes "dead_letters.replay"     dead_letters::replay,
        POST   "/api/integration/dead-letters/purge"                                  DeadLettersReplay changes "dead_letters.purge"      dead_letters::purge,
        GET    "/api/integration/replays"                                             IntegrationsRead  reads   "replays.list"            replays::list,
        POST   "/api/integration/replays"                                             DeadLettersReplay changes "replays.begin"           replays::begin,
        GET    "/api/integration/replays/{id}"                                        IntegrationsRead  reads   "replays.show"            replays::show,
        DELETE "/api/integration/replays/{id}"                                        DeadLettersReplay changes "replays.cancel"          replays::cancel,
        GET    "/api/integration/connectors"                                          IntegrationsRead  reads   "connectors.list"         connectors::list,
        // Bounded by the ceiling of `limits.component_size`, on its way to disk.
        POST   "/api/integration/connectors"                                          ConnectorsInstall changes "connectors.upload"       connectors::upload; DefaultBodyLimit::disable(),
        GET    "/api/integration/connectors/{id}"                                     IntegrationsRead  reads   "connectors.show"         connectors::show,
        GET    "/api/integration/connectors/{id}/schema"                              IntegrationsRead  reads   "connectors.schema"       connectors::schema,
        GET    "/api/integration/connectors/{id}/capabilities"                        IntegrationsRead  reads   "connectors.capabilities" connectors::capabilities,
        POST   "/api/integration/connectors/{id}/rollback"                            ConnectorsInstall changes "connectors.rollback"     connectors::roll_back,
        GET    "/api/integration/connectors/{id}/versions/{digest}"                   IntegrationsRead  reads   "connectors.version"      connectors::show_version,
        DELETE "/api/integration/connectors/{id}/versions/{digest}"                   ConnectorsInstall changes "connectors.remove"       connectors::remove,
        POST   "/api/integration/connectors/{id}/versions/{digest}/approve"           ConnectorsGrant   changes "connectors.approve"      connectors::approve,
        POST   "/api/integration/connectors/{id}/versions/{digest}/activate"          ConnectorsInstall changes "connectors.activate"     connectors::activate,
        POST   "/api/integration/connectors/{id}/versions/{digest}/revoke"            ConnectorsGrant   changes "connectors.revoke"       connectors::revoke,
        GET    "/api/v2/auth/methods"                                                 open              reads   "auth.methods"            sign_in::methods,
        POST   "/api/v2/auth/login"                                                   open              changes "auth.login"              sign_in::login,
        POST   "/api/v2/auth/refresh"                                                 open              changes "auth.refresh"            sign_in::refresh,
        DELETE "/api/v2/auth/logout"                                                  open              changes "auth.logout"             sign_in::logout,
        GET    "/api/integration/users"                                               SystemAdmin       reads   "users.list"              users::list,
        POST   "/api/integration/users"                                               SystemAdmin       changes "users.create"            users::create,
        GET    "/api/integration/users/{name}"                                        SystemAdmin       reads   "users.show"              users::show,
        PUT    "/api/integration/users/{name}"                                        SystemAdmin       changes "users.put"               users::put,
        DELETE "/api/integration/users/{name}"                                        SystemAdmin       changes "users.remove"            users::remove,
        POST   "/api/integration/users/{name}/password"                               SystemAdmin       changes "users.password"          users::set_password,
        POST   "/api/integration/users/{name}/enable"                                 SystemAdmin       changes "users.enable"            users::enable,
        POST   "/api/integration/users/{name}/disable"                                SystemAdmin       changes "users.disable"           users::disable,
        POST   "/api/integration/users/{name}/totp"                                   SystemAdmin       changes "users.totp"              users::enrol,
        DELETE "/api/integration/users/{name}/totp"                                   SystemAdmin       changes "users.totp_remove"       users::release,
        GET    "/api/integration/api-keys"                                            SystemAdmin       reads   "api_keys.list"           keys::list,
        POST   "/api/integration/api-keys"                                            SystemAdmin       changes "api_keys.create"         keys::create,
        GET    "/api/integration/api-keys/{id}"                                       SystemAdmin       reads   "api_keys.show"           keys::show,
        DELETE "/api/integration/api-keys/{id}"                                       SystemAdmin       changes "api_keys.revoke"         keys::revoke,
        POST   "/api/integration/api-keys/{id}/rotate"                                SystemAdmin       changes "api_keys.rotate"         keys::rotate,
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
            let asks = ["instances.query", "instances.test", "formatters.test", "auth_configs.test"].contains(&info.action);
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
        let mut endpoints = String::from("| method | path | permission | on record as |\n|---|---|---|---|\n");
        for info in table().iter().map(|row| row.info) {
            let open = if info.changes || info.action == "auth_configs.connect" { "checks what it is given" } else { "open to everybody" };
            let needs = info.needs.map_or(open.to_owned(), |permission| format!("`{}`", permission.name()));
            let record = if info.changes { format!("`{}`", info.action) } else { "–".to_owned() };
            let _ = writeln!(endpoints, "| {} | `{}` | {needs} | {record} |", info.method, info.path);
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
