//! The OpenAPI document (3.1), made from the table of endpoints and from what stands here for each action: what it
//! is for, what its query and its body may hold, what it answers. Refusals are the same everywhere: a problem
//! document (RFC 9457). A test holds both tables against each other, and the document against a golden file.

use axum::Json;
use serde_json::{Map, Value, json};

use super::routes::{Info, infos};
use super::versions::Surface;

mod objects;

/// What an endpoint takes and gives.
struct Doc {
    action: &'static str,
    summary: &'static str,
    query: &'static [Field],
    body: Body,
    /// Status and form of what it answers when all goes well.
    answers: &'static [(u16, Form)],
}

#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    kind: Of,
    doc: &'static str,
    required: bool,
}

#[derive(Clone, Copy)]
enum Of {
    Text,
    /// At most, where it matters.
    Count(u64),
    Integer,
    Flag,
    Time,
    Words,
    /// Any object.
    Object,
    Objects(u64),
    /// The same, and perhaps none.
    Rules(u64),
    Number,
    /// A definition of an entry: the editor schema of `bulkhead.yaml` says what it holds.
    Definition,
    Entries,
}

#[derive(Clone, Copy)]
enum Body {
    None,
    Fields(&'static [Field]),
    /// The same, or nothing at all.
    Optional(&'static [Field]),
    /// Bytes of one of these media types.
    Raw(&'static [&'static str]),
}

#[derive(Clone, Copy)]
enum Form {
    /// `{data: [...], meta, links}`.
    List,
    /// `{data: {...}}`, perhaps with more.
    One,
    /// An object of its own.
    Object,
    Text,
    /// Server-sent events.
    Events,
    Nothing,
}

const fn field(name: &'static str, kind: Of, doc: &'static str) -> Field {
    Field { name, kind, doc, required: false }
}

const fn must(name: &'static str, kind: Of, doc: &'static str) -> Field {
    Field { name, kind, doc, required: true }
}

const LIMIT: Field = field("limit", Of::Count(1_000), "Things on a page, 1 to 1,000; 100 where absent.");
const OFFSET: Field = field("offset", Of::Count(u32::MAX as u64), "Things before the page.");
const DRY_RUN: Field = field("dry_run", Of::Flag, "Check everything, change nothing, say what would be different.");
const SINCE: Field = field("since", Of::Time, "From this moment on.");
const UNTIL: Field = field("until", Of::Time, "Before this moment.");
const DEFINITION: Field =
    must("definition", Of::Definition, "What would stand below the name in `bulkhead.yaml`; secrets read `(hidden)`, and stay where they are sent back so.");
const PAGE: &[Field] = &[LIMIT, OFFSET];

/// Which letters are meant; with `all` and without a page in a change.
const LETTERS_WITH: &[Field] = &[
    LIMIT,
    field("id", Of::Words, "Ids of letters."),
    field("lane", Of::Text, "instance/format."),
    field("instance", Of::Text, "Of this instance."),
    field("format", Of::Text, "Of this format."),
    field("cause", Of::Words, "Causes, or the classes transient, permanent, guest."),
    field("type", Of::Text, "Of this event type."),
    field("event_id", Of::Text, "Of the event with this id."),
    SINCE,
    UNTIL,
    field("state", Of::Words, "open, replaying, delivered."),
    field("after", Of::Integer, "Behind the letter with this id; of a list or a replay."),
    field("all", Of::Flag, "All of them: needed where nothing else is said."),
];
const LETTERS: &[Field] = LETTERS_WITH.split_at(12).0;
const LETTERS_CHANGE: &[Field] = LETTERS_WITH.split_at(1).1;

const INSTANCE: Field = field("instance", Of::Text, "Of this instance.");
const LOG: [Field; 8] = [
    field("type", Of::Words, "info, success, warning, error."),
    field("operation", Of::Text, "Of this operation."),
    field("sync_id", Of::Text, "Of the run with this id."),
    SINCE,
    UNTIL,
    field("text", Of::Text, "With this in the message, in letters of any case."),
    LIMIT,
    OFFSET,
];
const LOGS_OF_ONE: &[Field] = &LOG;
const LOGS: &[Field] = &[INSTANCE, LOG[0], LOG[1], LOG[2], LOG[3], LOG[4], LOG[5], LOG[6], LOG[7]];
const PERIOD: Field = field("period", Of::Text, "hour, or day; hour where absent.");
const PERIODS_OF_ONE: &[Field] = &[PERIOD, SINCE, UNTIL, LIMIT, OFFSET];
const PERIODS: &[Field] = &[INSTANCE, PERIOD, SINCE, UNTIL, LIMIT, OFFSET];

const fn get(action: &'static str, summary: &'static str, query: &'static [Field], form: &'static [(u16, Form)]) -> Doc {
    Doc { action, summary, query, body: Body::None, answers: form }
}

const LIST: &[(u16, Form)] = &[(200, Form::List)];
const ONE: &[(u16, Form)] = &[(200, Form::One)];
const MADE: &[(u16, Form)] = &[(201, Form::One), (200, Form::One)];
const OBJECT: &[(u16, Form)] = &[(200, Form::Object)];
const TAKEN: &[(u16, Form)] = &[(202, Form::Object)];

/// Of entries of the configuration, whatever their section.
const ENTRY: [Doc; 7] = [
    get("list", "All, those of the file too.", PAGE, LIST),
    Doc {
        action: "make",
        summary: "Makes one; 409 where there is one of that name.",
        query: &[DRY_RUN],
        body: Body::Fields(&[must("name", Of::Text, "1 to 64 letters, digits, `.`, `_`, `-`."), DEFINITION]),
        answers: MADE,
    },
    get("show", "One, with its definition.", &[], ONE),
    Doc {
        action: "put",
        summary: "Changes one, or makes it; `If-Match` holds it to a version.",
        query: &[DRY_RUN],
        body: Body::Fields(&[DEFINITION]),
        answers: MADE,
    },
    get("delete", "Deletes one that nothing needs.", &[DRY_RUN], ONE),
    get("versions", "The version in force and those before it.", &[], LIST),
    Doc {
        action: "rollback",
        summary: "A former definition in force again, as a new version.",
        query: &[DRY_RUN],
        body: Body::Fields(&[must("version", Of::Integer, "One of `versions`.")]),
        answers: ONE,
    },
];
const ENTRIES: [&str; 7] = ["auth_configs", "formatters", "instances", "mappings", "routes", "subscriptions", "webhooks"];

const DOCS: &[Doc] = &[
    get("health.live", "The process lives.", &[], &[(200, Form::Text)]),
    get("health.ready", "The journal takes events.", &[], &[(200, Form::Text), (503, Form::Text)]),
    get("metrics.read", "Metrics in the Prometheus text format.", &[], &[(200, Form::Text)]),
    get("openapi.read", "This document.", &[], OBJECT),
    get("health.read", "Journal, dead letters, lanes, intake: how it all is.", &[], OBJECT),
    get(
        "tap.listen",
        "What is accepted and what becomes of it, as server-sent events; `Last-Event-ID` goes on behind that one.",
        &[
            field("instance", Of::Words, "For these instances."),
            field("route", Of::Words, "Matched by the routes with these ids."),
            field("type", Of::Words, "Of these event types; `app.*` for all below."),
            field("severity", Of::Words, "info, low, medium, high, critical."),
            field("outcome", Of::Words, "accepted, delivered, retried, unconfirmed, dead_letter."),
            field("body", Of::Flag, "Bodies too, as guests see them."),
            field("last_event_id", Of::Text, "As the header `Last-Event-ID`."),
        ],
        &[(200, Form::Events)],
    ),
    get("logs.list", "The log of instances, newest first.", LOGS, LIST),
    get("logs.of_instance", "The log of one instance, newest first.", LOGS_OF_ONE, LIST),
    get("periods.list", "Figures of instances by the hour or the day, newest first.", PERIODS, LIST),
    get("periods.of_instance", "Figures of one instance by the hour or the day, newest first.", PERIODS_OF_ONE, LIST),
    get(
        "events.list",
        "Accepted events, newest first; 404 where they are not indexed.",
        &[
            field("start_time", Of::Time, "That happened from this moment on."),
            field("end_time", Of::Time, "That happened before this moment."),
            field("severity", Of::Words, "info, low, medium, high, critical."),
            field("source_ip", Of::Text, "An address of IPv4 or IPv6."),
            field("event_type", Of::Words, "Of these types."),
            LIMIT,
            OFFSET,
        ],
        LIST,
    ),
    get("events.show", "One event, and what became of it in each lane.", &[], ONE),
    Doc {
        action: "events.post",
        summary: "One event; on disk when it is answered. 200 where it was there before.",
        query: &[],
        body: Body::Raw(&["application/json", "application/cloudevents+json"]),
        answers: MADE,
    },
    get("instances.pause", "Delivers nothing until it is resumed, over restarts too.", &[], OBJECT),
    get("instances.resume", "Ends a pause or a hold and closes the breaker.", &[], OBJECT),
    get("instances.test", "Whether the receiver can be reached and lets us in; sends no event.", &[], OBJECT),
    Doc {
        action: "instances.query",
        summary: "A question to the system behind an instance.",
        query: &[],
        body: Body::Fields(&[must("operation", Of::Text, "One that the connector's page lists."), field("parameters", Of::Object, "Its parameters.")]),
        answers: ONE,
    },
    Doc {
        action: "captures.begin",
        summary: "Keeps the next deliveries of an instance, to be run again elsewhere.",
        query: &[],
        body: Body::Fields(&[
            must("deliveries", Of::Count(100), "How many."),
            field("seconds", Of::Count(3_600), "How long they are waited for; 600 where absent."),
        ]),
        answers: &[(202, Form::One)],
    },
    get("captures.list", "Deliveries that were kept, as `bulkhead replay FILE` reads them.", &[], OBJECT),
    get("captures.clear", "Forgets them, and keeps nothing more.", &[], &[(204, Form::Nothing)]),
    get("sync.now", "Begins a run now; 409 with the id of the one that is under way.", &[], &[(202, Form::One)]),
    get("sync.anew", "Forgets the cursor: everything that is still there is brought again.", &[], &[(202, Form::One)]),
    get("schedules.list", "When each pull connector is asked, last and next.", PAGE, LIST),
    get(
        "sync_executions.list",
        "Runs of pull connectors, newest first.",
        &[
            field("instance", Of::Text, "Of this instance."),
            field("status", Of::Text, "running, completed or failed."),
            field("before", Of::Text, "Before the one with this id."),
            LIMIT,
        ],
        LIST,
    ),
    get("sync_executions.show", "One run.", &[], ONE),
    Doc {
        action: "auth_configs.test",
        summary: "Whether a credential can be had now: a token is asked for, a program run; nothing of it is shown.",
        query: &[],
        body: Body::None,
        answers: ONE,
    },
    Doc {
        action: "auth_configs.refresh",
        summary: "The same, for the record: a refresh token that the server gives in the place of another is kept.",
        query: &[],
        body: Body::None,
        answers: ONE,
    },
    Doc {
        action: "auth_configs.authorize",
        summary: "Where somebody agrees in a browser that the host uses the credential; for the grant authorization_code.",
        query: &[],
        body: Body::None,
        answers: ONE,
    },
    get(
        "auth_configs.connect",
        "Where the server sends the browser back. Open: what lets in is a `state` that was given out, once, for ten minutes.",
        &[
            field("state", Of::Text, "As it was given out."),
            field("code", Of::Text, "What the server exchanges for a token."),
            field("error", Of::Text, "Why there is none (RFC 6749 §4.1.2.1)."),
        ],
        &[(200, Form::Text)],
    ),
    Doc {
        action: "formatters.test",
        summary: "What a formatter makes of events; nothing is kept or sent.",
        query: &[],
        body: Body::Fields(&[
            field("definition", Of::Definition, "Of the formatter; the one of that name where absent."),
            must("events", Of::Objects(100), "As they would be posted."),
        ]),
        answers: &[(200, Form::List)],
    },
    Doc {
        action: "webhooks.make",
        summary: "Makes one; the host makes its secret, which is in this answer and in no other. 409 where there is one of that name.",
        query: &[DRY_RUN],
        body: Body::Fields(&[must("name", Of::Text, "1 to 48 letters, digits, `.`, `_`, `-`."), DEFINITION]),
        answers: MADE,
    },
    get(
        "webhooks.test",
        "A signed test event now, and what the receiver answered; 202 where nothing came in 20 s.",
        &[],
        &[(200, Form::One), (202, Form::One)],
    ),
    Doc {
        action: "webhooks.rotate_secret",
        summary: "Another secret, in this answer and in no other; the one before signs beside it for a while.",
        query: &[],
        body: Body::Optional(&[field("overlap_seconds", Of::Count(2_592_000), "A day where absent; 0 for none.")]),
        answers: ONE,
    },
    get(
        "webhooks.deliveries",
        "Deliveries, newest first.",
        &[field("status", Of::Text, "pending, delivered, failed or retrying."), field("before", Of::Integer, "Before the one with this id."), LIMIT],
        LIST,
    ),
    get("webhooks.delivery", "One delivery.", &[], ONE),
    get("webhooks.replay", "The same event once more, signed with the secrets of now.", &[], &[(202, Form::One)]),
    get("event_types.list", "Types of events: those that came lately, and the host's own.", &[], LIST),
    get("entries.export", "All stored entries, in an order that stays, without secrets.", &[], LIST),
    Doc {
        action: "entries.import",
        summary: "Many entries in one change.",
        query: &[DRY_RUN],
        body: Body::Fields(&[must("entries", Of::Entries, "What they shall be."), field("prune", Of::Flag, "Delete stored entries that are not named.")]),
        answers: ONE,
    },
    get("inbound.list", "Inbound webhooks: what came, what was refused.", &[], LIST),
    get("inbound.show", "One inbound webhook.", &[], ONE),
    get(
        "receipts.list",
        "Receipts of deliveries, newest first.",
        &[
            field("instance", Of::Text, "Of this instance."),
            field("call", Of::Text, "Of this kind of call."),
            field("outcome", Of::Text, "With this outcome."),
            SINCE,
            UNTIL,
            field("before", Of::Count(u64::MAX), "Before the record with this number."),
            LIMIT,
        ],
        LIST,
    ),
    get(
        "trail.list",
        "What people did, and who was not let through; newest first.",
        &[
            field("kind", Of::Text, "change, refusal, sign_in and the like."),
            field("actor", Of::Text, "By this one."),
            field("action", Of::Text, "Of this kind."),
            SINCE,
            UNTIL,
            field("before", Of::Count(u64::MAX), "Before the record with this number."),
            LIMIT,
        ],
        LIST,
    ),
    get("dead_letters.list", "Dead letters, oldest first.", LETTERS, LIST),
    get("dead_letters.show", "One with its attempts and the original event.", &[], ONE),
    Doc {
        action: "dead_letters.edit",
        summary: "Another event in its place, as a whole (PUT) or by a merge patch (PATCH, RFC 7396).",
        query: &[],
        body: Body::Raw(&["application/json", "application/merge-patch+json"]),
        answers: ONE,
    },
    Doc { action: "dead_letters.replay", summary: "Hands letters to their lanes again.", query: &[], body: Body::Optional(LETTERS_CHANGE), answers: TAKEN },
    Doc { action: "dead_letters.purge", summary: "Deletes letters for good.", query: &[], body: Body::Optional(LETTERS_CHANGE), answers: OBJECT },
    get("replays.list", "Lanes that were read again, newest first.", &[LIMIT, field("before", Of::Integer, "Before the one with this id.")], LIST),
    Doc {
        action: "replays.begin",
        summary: "Reads a lane again from a moment on.",
        query: &[],
        body: Body::Fields(&[
            must("lane", Of::Text, "instance/format."),
            must("since", Of::Text, "A moment (RFC 3339), or `beginning`."),
            UNTIL,
            field("dry_run", Of::Flag, "Only count."),
        ]),
        answers: &[(202, Form::One), (200, Form::One)],
    },
    get("replays.show", "One, and how far it is.", &[], ONE),
    get("replays.cancel", "Ends one.", &[], ONE),
    get("connectors.list", "Components by name.", PAGE, LIST),
    Doc {
        action: "connectors.upload",
        summary: "Takes a component in: bytes of a .wasm file, or multipart with `component` and `signature`.",
        query: &[
            field("name", Of::Text, "Of a component that does not name itself."),
            field("version", Of::Text, "The same."),
            field("approve", Of::Flag, "Approve what it asks for, in one go."),
            field("activate", Of::Flag, "Use it at once; true where absent."),
        ],
        body: Body::Raw(&["application/wasm", "multipart/form-data"]),
        answers: MADE,
    },
    get("connectors.show", "One component with its versions.", &[], ONE),
    get("connectors.schema", "The JSON Schema of its configuration.", &[], ONE),
    get("connectors.capabilities", "What it does, and what it asks for, in words.", &[], ONE),
    get("connectors.rollback", "The version before is used again.", &[], ONE),
    get("connectors.version", "One version.", &[], ONE),
    get("connectors.remove", "Removes a version that nothing uses.", &[], &[(204, Form::Nothing)]),
    get(
        "connectors.approve",
        "Grants what this version asks for beyond what is granted.",
        &[field("activate", Of::Flag, "Use it at once; true where absent.")],
        ONE,
    ),
    get("connectors.activate", "Uses this version.", &[], ONE),
    get("connectors.revoke", "It must not run any more.", &[field("reason", Of::Text, "For people.")], ONE),
    get("auth.methods", "What lets in here, and which OpenID provider vouches for people.", &[], OBJECT),
    Doc {
        action: "auth.login",
        summary: "Signs a user in: an access token for some minutes, and a refresh token that brings the next pair.",
        query: &[],
        body: Body::Fields(&[
            must("username", Of::Text, "A user of this host, or of the directory."),
            must("password", Of::Text, "The user's password."),
            field("mfa_token", Of::Text, "The code of the app, for users who have one; 401 `mfa_required` where it is missing."),
        ]),
        answers: OBJECT,
    },
    Doc {
        action: "auth.refresh",
        summary: "The next pair of tokens. A refresh token is good once: shown again, it ends the session.",
        query: &[],
        body: Body::Fields(&[must("refresh_token", Of::Text, "The one that came last.")]),
        answers: OBJECT,
    },
    Doc {
        action: "auth.password",
        summary: "Gives the user of this host whose access token is in `Authorization` another password; ends the user's other sessions.",
        query: &[],
        body: Body::Fields(&[
            must("current_password", Of::Text, "The password of before."),
            must("new_password", Of::Text, "12 to 128 characters."),
            field("mfa_token", Of::Text, "The code of the app, for users who have one; 403 `mfa_required` where it is missing."),
        ]),
        answers: &[(204, Form::Nothing)],
    },
    get("auth.logout", "Ends the session of the access token in `Authorization`.", &[], &[(204, Form::Nothing)]),
    get("users.list", "Users, by name.", PAGE, LIST),
    Doc {
        action: "users.create",
        summary: "Makes a user.",
        query: &[],
        body: Body::Fields(&[
            must("name", Of::Text, "1 to 64 letters, digits, `.`, `_`, `-`, `@`."),
            must("roles", Of::Words, "At least one."),
            field("tenant", Of::Text, "Whose they are; the host's where absent. People of a tenant make users of that tenant alone."),
            must("password", Of::Text, "12 to 128 characters, not the name."),
        ]),
        answers: &[(201, Form::One)],
    },
    get("users.show", "One user.", &[], ONE),
    Doc {
        action: "users.put",
        summary: "Other roles; they count at once, in sessions too.",
        query: &[],
        body: Body::Fields(&[must("roles", Of::Words, "At least one.")]),
        answers: ONE,
    },
    get("users.remove", "Removes a user and ends the sessions.", &[], &[(204, Form::Nothing)]),
    Doc {
        action: "users.password",
        summary: "Another password; ends the user's sessions.",
        query: &[],
        body: Body::Fields(&[must("password", Of::Text, "12 to 128 characters, not the name.")]),
        answers: ONE,
    },
    get("users.enable", "May sign in again.", &[], ONE),
    get("users.disable", "May sign in no more; ends the user's sessions.", &[], ONE),
    get("users.totp", "A new second factor: its secret and URL are in this answer and in no other. Ends the user's sessions.", &[], ONE),
    get("users.totp_remove", "No second factor any more; ends the user's sessions.", &[], ONE),
    get("api_keys.list", "API keys, without their secrets.", PAGE, LIST),
    Doc {
        action: "api_keys.create",
        summary: "Makes a key; its secret is in this answer and in no other.",
        query: &[],
        body: Body::Fields(&[
            must("name", Of::Text, "Whose it is."),
            must("roles", Of::Words, "At least one."),
            field("tenant", Of::Text, "Whose it is; the host's where absent. People of a tenant make keys of that tenant alone."),
            field("ip_allow", Of::Words, "Networks that it may be used from."),
            field("rate", Of::Count(10_000), "Requests a second."),
            field("expires_at", Of::Time, "A year from now where absent."),
        ]),
        answers: &[(201, Form::One)],
    },
    get("api_keys.show", "One key.", &[], ONE),
    get("api_keys.revoke", "It is let in no more.", &[], ONE),
    Doc {
        action: "api_keys.rotate",
        summary: "Another secret; the old one is let in for a while.",
        query: &[],
        body: Body::Optional(&[field("overlap_seconds", Of::Count(604_800), "An hour where absent."), field("expires_at", Of::Time, "When it ends.")]),
        answers: ONE,
    },
];

pub async fn document() -> Json<Value> {
    Json(whole())
}

fn whole() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for info in infos() {
        let path = paths.entry(info.path).or_insert_with(|| json!({}));
        if let Some(doc) = doc(info.action) {
            path[info.method.to_ascii_lowercase()] = operation(info, &doc);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bulkhead", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The management API of a host. Events are taken in on a listener of their own.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, the access token of a session, a token of the OpenID provider, or one of `listen.api.tokens`."},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": {"Problem": problem(), "List": list(), "One": {"type": "object", "required": ["data"], "properties": {"data": {}}}},
        },
    })
}

fn all() -> impl Iterator<Item = &'static Doc> {
    DOCS.iter().chain(objects::DOCS)
}

/// What stands here for an action; entries have theirs in common.
fn doc(action: &str) -> Option<Doc> {
    let copy = |doc: &Doc| Doc { action: doc.action, summary: doc.summary, query: doc.query, body: doc.body, answers: doc.answers };
    let common = || {
        let (section, verb) = action.split_once('.')?;
        ENTRIES.contains(&section).then(|| ENTRY.iter().find(|doc| doc.action == verb)).flatten()
    };
    all().find(|doc| doc.action == action).or_else(common).map(copy)
}

fn operation(info: &Info, doc: &Doc) -> Value {
    let mut parameters: Vec<Value> = named(info.path).map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})).collect();
    parameters.extend(
        doc.query
            .iter()
            .map(|field| json!({"name": field.name, "in": "query", "required": field.required, "description": field.doc, "schema": schema(field.kind, true)})),
    );
    if let Some(surface) = Surface::of(info.path) {
        let doc = "The version that is asked for; the answer names the one it is of.";
        let schema = json!({"type": "string", "enum": surface.versions});
        parameters.push(json!({"name": "API-Version", "in": "header", "required": false, "description": doc, "schema": schema}));
    }
    let mut operation = json!({
        "operationId": format!("{}.{}", info.action, info.method.to_ascii_lowercase()),
        "summary": doc.summary, "tags": [info.action.split('.').next()], "parameters": parameters, "responses": responses(doc),
        "security": if info.needs.is_some() { json!([{"bearer": []}, {"key": []}]) } else { json!([]) },
    });
    if let Some(needs) = info.needs {
        operation["description"] = format!("Needs `{}`.", needs.name()).into();
    }
    match doc.body {
        Body::None => {}
        Body::Fields(fields) => operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": object(fields)}}}),
        Body::Optional(fields) => operation["requestBody"] = json!({"required": false, "content": {"application/json": {"schema": object(fields)}}}),
        Body::Raw(types) => {
            let content: Map<String, Value> = types.iter().map(|media| ((*media).to_owned(), json!({}))).collect();
            operation["requestBody"] = json!({"required": true, "content": content});
        }
    }
    operation
}

/// Names in braces.
fn named(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn responses(doc: &Doc) -> Value {
    let mut all = Map::new();
    for (status, form) in doc.answers {
        let content = match form {
            Form::List => json!({"application/json": {"schema": {"$ref": "#/components/schemas/List"}}}),
            Form::One => json!({"application/json": {"schema": {"$ref": "#/components/schemas/One"}}}),
            Form::Object => json!({"application/json": {"schema": {"type": "object"}}}),
            Form::Events => json!({"text/event-stream": {"schema": {"type": "string"}}}),
            Form::Text => json!({"text/plain": {"schema": {"type": "string"}}}),
            Form::Nothing => Value::Null,
        };
        let description = match status {
            201 => "Made.",
            202 => "Begun.",
            204 => "Done.",
            503 => "Not now.",
            _ => "As asked.",
        };
        let mut response = json!({"description": description});
        if !content.is_null() {
            response["content"] = content;
        }
        all.insert(status.to_string(), response);
    }
    let problem = json!({"description": "Why not.", "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}});
    all.insert("default".into(), problem);
    Value::Object(all)
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = schema(field.kind, false);
            schema["description"] = field.doc.into();
            (field.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

/// In a query lists are words with commas between them.
fn schema(kind: Of, query: bool) -> Value {
    match kind {
        Of::Text => json!({"type": "string"}),
        Of::Count(most) => json!({"type": "integer", "minimum": 0, "maximum": most}),
        Of::Integer => json!({"type": "integer"}),
        Of::Number => json!({"type": "number"}),
        Of::Flag => json!({"type": "boolean"}),
        Of::Time => json!({"type": "string", "format": "date-time"}),
        Of::Words if query => json!({"type": "string"}),
        Of::Words => json!({"type": ["array", "string"], "items": {"type": ["string", "integer"]}}),
        Of::Object | Of::Definition => json!({"type": "object"}),
        Of::Objects(most) => json!({"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": most}),
        Of::Rules(most) => json!({"type": "array", "items": {"type": "object"}, "maxItems": most}),
        Of::Entries => json!({
            "type": "array", "maxItems": 5_000,
            "items": {
                "type": "object", "additionalProperties": false, "required": ["section", "name", "definition"],
                "properties": {
                    "section": {"type": "string", "enum": ["credentials", "formatters", "instances", "routes"]},
                    "name": {"type": "string"}, "definition": {"type": "object"},
                },
            },
        }),
    }
}

fn list() -> Value {
    json!({
        "type": "object", "required": ["data"],
        "properties": {
            "data": {"type": "array"},
            "meta": {"type": "object", "properties": {"total": {"type": "integer"}, "count": {"type": "integer"}, "limit": {"type": "integer"}, "offset": {"type": "integer"}}},
            "links": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        },
    })
}

fn problem() -> Value {
    json!({
        "type": "object", "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": {"type": "string", "description": "urn:bulkhead:problem:<code>"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "What programs branch on; stable."},
            "detail": {"type": "string", "description": "For people."},
            "error": {"type": "string", "description": "The same as `code`, at `/api/v2`."},
            "message": {"type": "string", "description": "The same as `detail`, at `/api/v2`."},
            "errors": {"type": "array", "items": {"type": "object"}, "description": "Each fault, with a JSON pointer where there is one."},
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_is_described_and_nothing_else() {
        let actions: BTreeSet<&str> = infos().map(|info| info.action).collect();
        for info in infos() {
            assert!(doc(info.action).is_some(), "{info:?} is not described");
        }
        for doc in all() {
            assert!(actions.contains(doc.action), "there is no endpoint of the action {}", doc.action);
        }
    }

    /// Reviewed like code: `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_document_is_the_golden_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/openapi.json");
        let text = format!("{:#}\n", whole());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).expect("written");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("a golden file"), text, "review the difference, then UPDATE_GOLDEN=1");
    }
}
