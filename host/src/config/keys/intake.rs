//! Listeners, files, inbound webhooks.

use super::sign_in::{CORS, LDAP, OIDC, SIGN_IN};
use super::*;

pub(super) static LISTEN: Section = Section {
    name: "listen",
    keys: &[
        key("api", Short { key: "addr", map: &API }, Default("127.0.0.1:8780"), "Management API, /metrics, /livez, /readyz."),
        key("http", Short { key: "addr", map: &HTTP }, Default("127.0.0.1:8781"), "Event intake: POST /events."),
        key("syslog", List { of: &Map(&SYSLOG), min: 0, max: 16 }, Default("[]"), "Syslog intake (RFC 5424, RFC 3164)."),
        key(
            "files",
            Named(&Map(&FILES_INTAKE)),
            Default("{}"),
            "Files whose lines are events, by a name of your choice; how far they were read is kept under it.",
        ),
    ],
};

static SYSLOG: Section = Section {
    name: "syslog_listener",
    keys: &[
        key(
            "proto",
            Choice(&["tcp", "tls", "udp"]),
            Default("tcp"),
            "Transport. UDP loses what comes faster than it is stored; use TCP or TLS where loss matters.",
        ),
        key("addr", Address, Required, "Address and port, 127.0.0.1:514 for example; port 0 takes a free one."),
        key(
            "framing",
            Choice(&["auto", "octet_counting", "newline"]),
            Default("auto"),
            "How messages on a stream are told apart (RFC 6587); auto looks at each message's first byte.",
        ),
        key("cert", Path, Optional, "PEM file with the certificate of a tls listener, its chain behind it; read again at SIGHUP."),
        key("key", Path, Optional, "PEM file with its key, not encrypted."),
        key("client_ca", Path, Optional, "PEM file with the authorities that senders' certificates must be from (tls); without it none is asked for."),
        key("min_version", Choice(&["1.2", "1.3"]), Optional, "Oldest version of TLS that is spoken (tls); 1.2 where absent."),
        key("handshake_timeout", Duration { min: 100, max: 5 * 60 * SECOND }, Default("10s"), "Longest time for a TLS handshake."),
        key("allow", List { of: &Cidr, min: 0, max: 256 }, Default("[]"), "Networks that may send; an address beyond this machine needs them, or client_ca."),
        key("tenant", Tenant, Default("default"), "Whose events come in here."),
        key("max_message", Size { min: 480, max: 8 * MIB }, Default("64KiB"), "Longest message."),
        key("max_connections", Count { min: 1, max: 100_000 }, Default("1000"), "Connections at the same time (tcp, tls); more wait."),
        key("idle", Duration { min: SECOND, max: DAY }, Default("1h"), "A connection on which nothing comes for this long is closed (tcp, tls)."),
    ],
};

static FILES_INTAKE: Section = Section {
    name: "files_intake",
    keys: &[
        key("paths", OneOrMany(&Text), Required, "Patterns of paths: * ? [a-z] within a name, ** for directories."),
        key("exclude", List { of: &Text, min: 0, max: 64 }, Default("[]"), "Patterns of names, or of whole paths, that are left out."),
        key(
            "start",
            Choice(&["beginning", "end"]),
            Default("beginning"),
            "Where files begin that are there when this entry is used for the first time; later ones begin at their beginning.",
        ),
        key("format", Choice(&["auto", "json", "text", "syslog"]), Default("auto"), "What a line is; auto looks at how it begins."),
        key("max_line", Size { min: 256, max: MIB }, Default("256KiB"), "Longest line; a longer one comes as several events."),
        key("interval", Duration { min: 10, max: HOUR }, Default("1s"), "Time between two looks at the files."),
        key("max_open", Count { min: 1, max: 10_000 }, Default("256"), "Files that are open at the same time."),
        key("follow_symlinks", Bool, Default("false"), "Read files that symbolic links matched by a pattern lead to."),
        key("tenant", Tenant, Default("default"), "Whose events come in here."),
    ],
};

static API: Section = Section {
    name: "api_listener",
    keys: &[
        key("addr", Address, Default("127.0.0.1:8780"), "Address and port; port 0 takes a free one."),
        key(
            "auth",
            OneOrMany(&Choice(AUTH)),
            Default("open"),
            "What lets in, one or a list. keys: API keys, with what their roles may do. users: people with a password of this host. ldap: people of a directory. oidc: people and programs with a token of an OpenID provider. open, alone: whoever reaches a loopback address, where there are no tokens.",
        ),
        key("tokens", TOKENS, Default("[]"), "Bearer tokens that let in to everything; for people and programs of their own use keys."),
        key(
            "pepper",
            Secret,
            Optional,
            "What API keys are hashed with, at least 32 bytes, in place of the file `pepper` in data_dir; with another one no key counts.",
        ),
        key("sign_in", Map(&SIGN_IN), Default("{}"), "How long people stay signed in (auth: users, ldap)."),
        key("oidc", Map(&OIDC), Optional, "The OpenID provider whose tokens let in (auth: oidc)."),
        key("ldap", Map(&LDAP), Optional, "The LDAP directory whose people sign in (auth: ldap)."),
        key("cors", Map(&CORS), Default("{}"), "Web pages of others that may use the API from a browser."),
        key("tls", Map(&API_TLS), Optional, "TLS of the listener; its files are read again at SIGHUP."),
        key("public_url", Url, Optional, "Where browsers of people reach this listener, https://bulkhead.example.com: servers send them back there."),
        key("without_tls", Bool, Default("false"), "Speak plain HTTP beyond this machine: only where something in front of the host ends TLS."),
    ],
};

/// What may let in at the API.
const AUTH: &[&str] = &["open", "keys", "users", "ldap", "oidc"];

static API_TLS: Section = Section {
    name: "api_tls",
    keys: &[
        key("cert", Path, Required, "PEM file with the listener's certificate, its chain behind it."),
        key("key", Path, Required, "PEM file with its key, not encrypted."),
        key("client_ca", Path, Optional, "PEM file with the authorities that clients' certificates must be from, beside their credentials."),
        key("min_version", Choice(&["1.2", "1.3"]), Optional, "Oldest version of TLS that is spoken; 1.2 where absent."),
    ],
};

static HTTP: Section = Section {
    name: "http_listener",
    keys: &[
        key("addr", Address, Default("127.0.0.1:8781"), "Address and port; port 0 takes a free one."),
        key("tokens", TOKENS, Default("[]"), TOKENS_DOC),
        key("tenant", Tenant, Default("default"), "Whose events come in here."),
        key("max_body", Size { min: KIB, max: 256 * MIB }, Default("8MiB"), "Largest request body, before and after decompression."),
        key(
            "durability",
            Choice(&["fsync", "os", "memory"]),
            Default("fsync"),
            "When an event counts as accepted: on disk, handed to the system, or in memory.",
        ),
        key(
            "shape",
            Choice(&["auto", "cloudevents", "copybook", "intelliguard", "datavault", "plain"]),
            Default("auto"),
            "The shape of events; auto recognises it.",
        ),
        key("rate_limit", Map(&RATE_LIMIT), Optional, "Most events a second of all senders together; beyond it 429 with Retry-After."),
        key("token_rate_limit", Map(&RATE_LIMIT), Optional, "Most events a second of each token."),
        key("strict", Bool, Default("false"), "Refuse events without the required fields of their shape."),
    ],
};

const TOKENS: Kind = List { of: &Secret, min: 0, max: 256 };
const TOKENS_DOC: &str = "Bearer tokens, one of which a client must send; without tokens only loopback addresses are allowed.";

pub(super) static INBOUND: Section = Section {
    name: "inbound",
    keys: &[
        key("key", OneOrMany(&Secret), Required, "Last part of the address, or several during a rotation, the new one first."),
        key("verify", Tagged(VERIFY), Required, "How requests are known to be the sender's."),
        key("source", Text, Optional, "Source of events that name none; inbound: and the name where absent."),
        key("type", Text, Default("inbound.message"), "Type of events that name none."),
        key("headers", List { of: &Text, min: 0, max: 32 }, Default("[]"), "Request headers that become labels of the events, and that a connector sees."),
        key("instance", Name, Optional, "Name of an instance whose connector answers the requests (`receive`); without one the body is taken in as it is."),
        key("tenant", Tenant, Optional, "Whose events come in here; the listener's where absent."),
        key("max_body", Size { min: KIB, max: 256 * MIB }, Optional, "Largest request body, at most the listener's."),
        key("rate_limit", Map(&RATE_LIMIT), Optional, "Most events a second; beyond it 429 with Retry-After."),
        key("remember", Map(&REMEMBER), Default("{}"), "Accepted requests that are known when they come again."),
    ],
};

static REMEMBER: Section = Section {
    name: "remember",
    keys: &[
        key("time", Duration { min: 10 * 60 * SECOND, max: 90 * DAY }, Default("3d"), "For how long; senders repeat for up to three days."),
        key("requests", Count { min: 1, max: 10_000_000 }, Default("100000"), "How many; beyond it the oldest is forgotten early, and counted."),
    ],
};

const TOLERANCE: Key =
    key("tolerance", Duration { min: SECOND, max: DAY }, Default("5m"), "Longest time between the signed timestamp and now, in both directions.");
const INBOUND_SECRET: Key = key("secret", OneOrMany(&Secret), Required, "The secret, or several during a rotation, the new one first.");

const VERIFY: &[(&str, &Section)] = &[
    (
        "standard-webhooks",
        &Section {
            name: "verify_standard_webhooks",
            keys: &[
                key("secret", OneOrMany(&Secret), Required, "whsec_… (HMAC), or the sender's public key whpk_… (ed25519); several during a rotation."),
                TOLERANCE,
            ],
        },
    ),
    ("github", &Section { name: "verify_github", keys: &[INBOUND_SECRET] }),
    ("slack", &Section { name: "verify_slack", keys: &[INBOUND_SECRET, TOLERANCE] }),
    (
        "hmac",
        &Section {
            name: "verify_hmac",
            keys: &[
                INBOUND_SECRET,
                key("header", Text, Required, "Header field of the signature; several signatures may stand between commas."),
                key("algorithm", Choice(&["sha256", "sha512"]), Default("sha256"), "Hash of the HMAC."),
                key("encoding", Choice(&["hex", "base64"]), Default("hex"), "How the signature is written."),
                key("prefix", AnyText, Default("''"), "Text before the signature, for example \"sha256=\"."),
                key(
                    "signs",
                    Text,
                    Default("body"),
                    "What is signed: body, timestamp.body, id.timestamp.body, or text with {id}, {timestamp}, {body} in it, for example v0:{timestamp}:{body}.",
                ),
                key("timestamp_header", Text, Optional, "Header field of a signed timestamp, seconds or milliseconds since 1970."),
                key("id_header", Text, Optional, "Header field of the message's id; without one what is signed tells messages apart."),
                TOLERANCE,
            ],
        },
    ),
    ("none", &Section { name: "verify_none", keys: &[] }),
];
