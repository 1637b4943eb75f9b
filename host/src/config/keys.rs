//! Every key of `bulkhead.yaml`: one table that the reader, the editor schema and `config show` follow.
//! A key that is not here is unknown; keys of later versions are in [`unsupported`](super::unsupported).

/// A map with fixed keys.
#[derive(Debug)]
pub(super) struct Section {
    /// Name in the editor schema.
    pub name: &'static str,
    pub keys: &'static [Key],
}

#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub need: Need,
    pub doc: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Need {
    Required,
    /// Absent or null where not wanted.
    Optional,
    /// YAML text that stands for an absent key.
    Default(&'static str),
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Bool,
    /// Text, perhaps empty.
    AnyText,
    /// Present to say so: `always: true`.
    True,
    Text,
    /// Text that is never shown; at least [`SECRET_MIN`](super::reader::SECRET_MIN) bytes.
    Secret,
    /// The same, or a map of [`COMMAND`] that says which program prints it.
    SecretValue,
    /// 1 to 64 letters, digits, `.`, `_`, `-`; begins with a letter or digit.
    Name,
    /// `name`, `name@1.2` or `sha256:…`.
    Component,
    /// A tenant: 1 to 64 of a-z, 0-9, `-`.
    Tenant,
    Path,
    /// `127.0.0.1:8781`.
    Address,
    /// `http://…` or `https://…`.
    Url,
    /// `10.0.0.0/8`.
    Cidr,
    /// An upper-case HTTP method.
    Method,
    Severity,
    Size {
        min: u64,
        max: u64,
    },
    /// In milliseconds.
    Duration {
        min: u64,
        max: u64,
    },
    Count {
        min: u64,
        max: u64,
    },
    /// Units of fuel.
    Fuel {
        min: u64,
        max: u64,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Factor {
        min: f64,
        max: f64,
    },
    Choice(&'static [&'static str]),
    List {
        of: &'static Kind,
        min: usize,
        max: usize,
    },
    /// One value or a list of at least one.
    OneOrMany(&'static Kind),
    Map(&'static Section),
    /// A map of [`CONDITION`] with at least one key.
    Condition,
    /// Names of the operator's choice to values.
    Named(&'static Kind),
    /// A map whose `type` says which keys it has.
    Tagged(&'static [(&'static str, &'static Section)]),
    /// A single value that stands for a map with this one key.
    Short {
        key: &'static str,
        map: &'static Section,
    },
    /// Anything; the component says what it takes.
    Raw,
    /// The limits of the sandbox.
    Limits,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
const YEARS: u64 = 3650 * DAY;

const fn key(name: &'static str, kind: Kind, need: Need, doc: &'static str) -> Key {
    Key { name, kind, need, doc }
}

use Kind::{
    Address, AnyText, Bool, Choice, Cidr, Component, Condition, Count, Duration, Factor, Integer, Limits, List, Map, Method, Name, Named, OneOrMany, Path, Raw,
    Secret, SecretValue, Severity, Short, Size, Tagged, Tenant, Text, True, Url,
};
use Need::{Default, Optional, Required};

pub(super) static ROOT: Section = Section {
    name: "bulkhead",
    keys: &[
        key("data_dir", Path, Default("./data"), "Journal, dead letters, state and the cache of compiled components."),
        key("listen", Map(&LISTEN), Default("{}"), "Addresses and who may use them."),
        key("inbound", Named(&Map(&INBOUND)), Default("{}"), "Addresses for webhooks of others, POST /api/integration/webhook/{key} on listen.http."),
        key("connectors_dir", Path, Default("./connectors"), "More .wasm files beside the built-in ones."),
        key("instances", Named(&Map(&INSTANCE)), Default("{}"), "Configured connectors, by a name of your choice."),
        key("credentials", Named(&Tagged(CREDENTIALS)), Default("{}"), "Secrets that the host applies to requests; connectors never see them."),
        key("formatters", Named(&Map(&FORMATTER)), Default("{}"), "Formatters with a configuration; `format:` names one of these or a formatter itself."),
        key(
            "filters",
            List { of: &Tagged(FILTERS), min: 0, max: 64 },
            Default("[]"),
            "What every event must pass; a rate limit here holds for each lane by itself.",
        ),
        key("routes", List { of: &Map(&ROUTE), min: 0, max: 10_000 }, Default("[]"), "Which events go where."),
        key("default_route", List { of: &Map(&TARGET), min: 0, max: 256 }, Default("[]"), "Where events go that no route matched."),
        key("dead_letters", Map(&DEAD_LETTERS), Default("{}"), "Events that no receiver took."),
        key("journal", Map(&JOURNAL), Default("{}"), "The journal of accepted events."),
        key("integrity", List { of: &Map(&INTEGRITY), min: 0, max: 64 }, Default("[]"), "Hash chains of the programs that send events, to be verified."),
        key("encryption", Map(&ENCRYPTION), Default("{}"), "Keys, and what is sealed with them."),
        key("delivery", Map(&DELIVERY), Default("{}"), "Delivery over all instances."),
        key("audit", Map(&AUDIT), Default("{}"), "Receipts: a record of every delivery attempt."),
        key("drain", Duration { min: 0, max: HOUR }, Default("30s"), "Longest time for deliveries under way after SIGTERM."),
        key("upload", Map(&UPLOAD), Default("{}"), "Components that are uploaded while the host runs, and how components are compiled."),
        key("own_events", Map(&OWN_EVENTS), Default("{}"), "Events about the host itself, routed like any other."),
        key("telemetry", Map(&TELEMETRY), Default("{}"), "The host's own log."),
    ],
};

static AUDIT: Section = Section {
    name: "audit",
    keys: &[
        key("receipts", Bool, Default("true"), "Whether receipts are kept."),
        key("max_bytes", Size { min: MIB, max: TIB }, Default("256MiB"), "Bytes of all files of receipts; the oldest file goes first."),
        key("sync", Duration { min: 10, max: HOUR }, Default("1s"), "Longest that a receipt waits for its sync; a power cut may take that much."),
    ],
};

static LISTEN: Section = Section {
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
    keys: &[key("addr", Address, Default("127.0.0.1:8780"), "Address and port; port 0 takes a free one."), key("tokens", TOKENS, Default("[]"), TOKENS_DOC)],
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

static INBOUND: Section = Section {
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

static INSTANCE: Section = Section {
    name: "instance",
    keys: &[
        key("connector", Component, Required, "The connector: its name, an uploaded version as name@1.2, or the digest of its bytes as sha256:…"),
        key("config", Raw, Default("{}"), "Configuration of the connector, checked against its schema."),
        key("destinations", Named(&Short { key: "url", map: &DESTINATION }), Default("{}"), "What it may reach, under the names it uses."),
        key("files", Named(&Map(&FILES)), Default("{}"), "Directories it may use, under the names it uses."),
        key("grants", Map(&GRANTS), Default("{}"), "What it may see of this machine, and WASI's own HTTP."),
        key("limits", Limits, Default("{}"), "Limits of the sandbox."),
        key("max_calls", Count { min: 1, max: 100_000_000 }, Default("100000"), "Calls that one guest serves before a fresh one takes its place."),
        key("concurrency", Short { key: "max", map: &CONCURRENCY }, Default("4"), "Deliveries at the same time: at most so many, or a map."),
        key("ordering", Choice(&["none", "key", "strict"]), Default("none"), "Which events must arrive in order: none, those with the same key, all."),
        key("from", Text, Default("now"), "Where lanes begin that the journal does not know yet: now, beginning, or a time such as 2026-11-02T08:00:00Z."),
        key("batch", Map(&BATCH), Default("{}"), "Events per delivery."),
        key("backlog", Map(&BACKLOG), Default("{}"), "What may wait for a receiver that is down."),
        key("retry", Map(&RETRY), Default("{}"), "When events are tried again; the first bound reached wins."),
        key("circuit_breaker", Map(&CIRCUIT_BREAKER), Default("{}"), "Leaving a receiver alone that fails."),
        key("rate_limit", Map(&RATE_LIMIT), Optional, "Most events a second."),
        key("filters", List { of: &Tagged(FILTERS), min: 0, max: 64 }, Default("[]"), "What events for this instance must pass."),
        key(
            "encryption",
            Map(&INSTANCE_ENCRYPTION),
            Optional,
            "Fields that are sealed or masked for this instance, in place of those of the whole configuration.",
        ),
    ],
};

static DESTINATION: Section = Section {
    name: "destination",
    keys: &[
        key(
            "url",
            Url,
            Optional,
            "Base of all requests (http, https), or host and port (tcp, tls, udp); an address literal or localhost grants exactly that address and port.",
        ),
        key(
            "urls",
            List { of: &Url, min: 1, max: 16 },
            Optional,
            "In place of url: the same receiver in several places; the next is tried where nothing was sent.",
        ),
        key(
            "members",
            List { of: &Text, min: 1, max: 64 },
            Optional,
            "Patterns of host:port that may be connected to beside the URL (tcp, tls); * stays within a label.",
        ),
        key("tls", Map(&TLS), Optional, "TLS of an https or tls URL."),
        key("verify", Bool, Default("true"), "false takes any certificate from anybody; said at every start and in health."),
        key("methods", List { of: &Method, min: 1, max: 16 }, Optional, "HTTP methods it may use; GET, HEAD, POST, PUT and PATCH where absent."),
        key(
            "paths",
            List { of: &Text, min: 1, max: 64 },
            Optional,
            "Path prefixes below the base, on segment boundaries; everything below the base where absent.",
        ),
        key("credential", Name, Optional, "Credential that the host applies."),
        key(
            "addresses",
            List { of: &Cidr, min: 1, max: 64 },
            Optional,
            "Networks that the name may resolve to, and no others; only public addresses where absent.",
        ),
        key("allow_metadata", Bool, Default("false"), "Allow the addresses of cloud metadata services."),
    ],
};

static TLS: Section = Section {
    name: "destination_tls",
    keys: &[
        key("min_version", Choice(&["1.2", "1.3"]), Default("'1.2'"), "Oldest version of TLS that is spoken."),
        key("ca", Path, Optional, "PEM file with the only authorities that are trusted; those of the machine where absent."),
        key("client_cert", Path, Optional, "PEM file with the certificate that the host shows, its chain behind it."),
        key("client_key", Path, Optional, "PEM file with its key, not encrypted."),
    ],
};

static FILES: Section = Section {
    name: "directory",
    keys: &[
        key("dir", Path, Required, "The directory; made where missing if it may be written."),
        key("access", Choice(&["read", "write"]), Default("write"), "write includes read."),
    ],
};

static GRANTS: Section = Section {
    name: "grants",
    keys: &[
        key("clocks", Bool, Default("false"), "The clocks of the machine; else both stand still within a call."),
        key("random", Bool, Default("false"), "Random numbers of the machine; else they repeat from a seed."),
        key("wasi_http", Bool, Default("false"), "wasi:http for libraries of other languages: to the same destinations, under the same rules."),
        key("env", Named(&AnyText), Default("{}"), "All that it sees as its environment; never the host's own."),
    ],
};

static CONCURRENCY: Section = Section {
    name: "concurrency",
    keys: &[
        key("max", Count { min: 1, max: 1024 }, Default("4"), "Most deliveries at the same time."),
        key("min", Count { min: 1, max: 1024 }, Default("1"), "Fewest that errors and latency lead to."),
        key("adaptive", Bool, Default("true"), "Fewer where the receiver fails or slows down, more where it bears them; false: always max."),
    ],
};

static BATCH: Section = Section {
    name: "batch",
    keys: &[
        key("max_events", Count { min: 1, max: 10_000 }, Default("500"), "Most events."),
        key("max_bytes", Size { min: KIB, max: 64 * MIB }, Default("1MiB"), "Most bytes of formatted events."),
        key("max_age", Duration { min: 0, max: 10 * 60 * SECOND }, Default("0ms"), "How long a free slot waits for a batch to fill."),
    ],
};

static BACKLOG: Section = Section {
    name: "backlog",
    keys: &[
        key("max_bytes", Size { min: MIB, max: 1024 * TIB }, Default("4GiB"), "Most bytes that wait in one lane."),
        key("max_age", Duration { min: SECOND, max: YEARS }, Default("24h"), "Oldest event that waits."),
        key(
            "on_full",
            Choice(&["dead_letter", "block"]),
            Default("dead_letter"),
            "Move the oldest to the dead letters, or hold the journal (and in the end the senders).",
        ),
    ],
};

static RETRY: Section = Section {
    name: "retry",
    keys: &[
        key("strategy", Choice(&["exponential", "linear", "fixed"]), Default("exponential"), "How the delay grows."),
        key("initial", Duration { min: 1, max: DAY }, Default("1s"), "Delay before the first retry."),
        key("max", Duration { min: 1, max: 7 * DAY }, Default("60s"), "Longest delay; a Retry-After is capped too."),
        key("multiplier", Factor { min: 1.0, max: 100.0 }, Default("2"), "Growth of an exponential delay."),
        key("jitter", Choice(&["full", "none"]), Default("full"), "full: uniform between nothing and the delay."),
        key("max_elapsed", Duration { min: SECOND, max: YEARS }, Default("24h"), "From the first attempt to the dead letters."),
        key("max_attempts", Count { min: 1, max: 1_000_000 }, Optional, "Attempts to the dead letters, the first included."),
    ],
};

static CIRCUIT_BREAKER: Section = Section {
    name: "circuit_breaker",
    keys: &[
        key("failure_threshold", Count { min: 1, max: 10_000 }, Default("5"), "Failures in a row that open it."),
        key("open_for", Duration { min: 1, max: DAY }, Default("60s"), "How long nothing is sent then."),
        key("half_open_calls", Count { min: 1, max: 1000 }, Default("3"), "Successes that close it again."),
    ],
};

static RATE_LIMIT: Section = Section {
    name: "rate_limit",
    keys: &[
        key("events_per_second", Count { min: 1, max: 10_000_000 }, Required, "Most events a second."),
        key("burst", Count { min: 1, max: 10_000_000 }, Optional, "Most events at once; events_per_second where absent."),
    ],
};

static FORMATTER: Section = Section {
    name: "formatter",
    keys: &[
        key("formatter", Component, Required, "The formatter: its name, for example cef, an uploaded version as cef@1.2, or a digest as sha256:…"),
        key("config", Raw, Default("{}"), "Configuration of the formatter, checked against its schema."),
        key("limits", Limits, Default("{}"), "Limits of the sandbox."),
    ],
};

static ROUTE: Section = Section {
    name: "route",
    keys: &[
        key("id", Name, Required, "Unique among the routes."),
        key("name", Text, Optional, "For people; the id where absent."),
        key("when", Condition, Required, "Which events; several keys must all hold."),
        key("to", List { of: &Map(&TARGET), min: 1, max: 256 }, Required, "Where they go."),
        key("exclusive", Bool, Default("false"), "No later route is asked where this one matches."),
        key("priority", Integer { min: -1_000_000, max: 1_000_000 }, Default("100"), "Smaller first; routes of the same priority in the order of the file."),
    ],
};

static TARGET: Section = Section {
    name: "target",
    keys: &[key("instance", Name, Required, "Name of an instance."), key("format", Name, Required, "Name of a formatter, or of an entry of `formatters`.")],
};

pub(super) static CONDITION: Section = Section {
    name: "condition",
    keys: &[
        key("and", List { of: &Condition, min: 1, max: 256 }, Optional, "All hold."),
        key("or", List { of: &Condition, min: 1, max: 256 }, Optional, "At least one holds."),
        key("not", Condition, Optional, "Does not hold."),
        key("event_type", OneOrMany(&Text), Optional, "Type in either spelling; `some.namespace.*` for all below."),
        key("severity", OneOrMany(&Severity), Optional, "One of these severities."),
        key("min_severity", Severity, Optional, "At least this grave; an event without a severity counts as info."),
        key("security_classification", OneOrMany(&Text), Optional, "Data classification, in either spelling."),
        key("compliance_profile", OneOrMany(&Text), Optional, "An active compliance profile, in either spelling."),
        key("user_role", OneOrMany(&Text), Optional, "A role of the user, exactly."),
        key("metadata_contains", Map(&METADATA), Optional, "A label has this text in it."),
        key("source", OneOrMany(&Text), Optional, "The event's source, exactly."),
        key("always", True, Optional, "Every event."),
        key("never", True, Optional, "No event."),
    ],
};

static METADATA: Section = Section {
    name: "metadata_contains",
    keys: &[key("key", Text, Required, "The label."), key("value", AnyText, Required, "The text within its value; case counts.")],
};

const FILTERS: &[(&str, &Section)] = &[
    (
        "severity_threshold",
        &Section {
            name: "severity_threshold",
            keys: &[key("min_severity", Severity, Required, "Least severity that passes; an event without one counts as info.")],
        },
    ),
    (
        "event_type_filter",
        &Section {
            name: "event_type_filter",
            keys: &[key("allowed_types", List { of: &Text, min: 1, max: 256 }, Required, "Types that pass, in either spelling.")],
        },
    ),
    (
        "data_classification_filter",
        &Section {
            name: "data_classification_filter",
            keys: &[key("allowed_classifications", List { of: &Text, min: 1, max: 256 }, Required, "Classifications that pass, in either spelling.")],
        },
    ),
    ("compliance_required", &Section { name: "compliance_required", keys: &[] }),
    ("exclude_performance_metrics", &Section { name: "exclude_performance_metrics", keys: &[] }),
    (
        "rate_limiting",
        &Section {
            name: "rate_limiting",
            keys: &[
                key("max_events_per_second", Count { min: 1, max: 10_000_000 }, Required, "Most events a second."),
                key("burst_capacity", Count { min: 1, max: 10_000_000 }, Optional, "Most events at once; max_events_per_second where absent."),
                key("on_excess", Choice(&["delay", "drop"]), Default("delay"), "What happens beyond the rate."),
            ],
        },
    ),
];

const CREDENTIALS: &[(&str, &Section)] = &[
    (
        "header",
        &Section {
            name: "header_credential",
            keys: &[
                key("name", Text, Required, "Name of the header field."),
                key("prefix", AnyText, Default("''"), "Text before the value, for example \"Splunk \"."),
                key("value", SecretValue, Required, "The secret."),
            ],
        },
    ),
    (
        "query",
        &Section {
            name: "query_credential",
            keys: &[key("name", Text, Required, "Name of the query parameter."), key("value", SecretValue, Required, "The secret.")],
        },
    ),
    (
        "basic",
        &Section {
            name: "basic_credential",
            keys: &[key("username", Text, Required, "User name, without a colon."), key("password", SecretValue, Required, "Password.")],
        },
    ),
    ("bearer", &Section { name: "bearer_credential", keys: &[key("token", SecretValue, Required, "Token for `Authorization: Bearer`.")] }),
    (
        "hmac",
        &Section {
            name: "hmac_credential",
            keys: &[
                key(
                    "scheme",
                    Choice(&["datavault", "standard-webhooks", "custom"]),
                    Required,
                    "datavault: X-Webhook-Signature over the body; standard-webhooks: webhook-signature over id, timestamp and body; custom: as the other keys say.",
                ),
                key("secret", OneOrMany(&SecretValue), Required, "The key, or several during a rotation, the new one first; for standard-webhooks `whsec_…`."),
                key("header", Text, Optional, "custom: name of the signature's header field."),
                key("prefix", AnyText, Optional, "custom: text before the signature, for example \"sha256=\"; none where absent."),
                key("encoding", Choice(&["hex", "base64"]), Optional, "custom: how the signature is written; hex where absent."),
                key("signs", Choice(&["body", "timestamp.body", "id.timestamp.body"]), Optional, "custom: what is signed; body where absent."),
                key("id_header", Text, Optional, "custom: header field of a signed id; webhook-id where absent."),
                key("timestamp_header", Text, Optional, "custom: header field of a signed timestamp; webhook-timestamp where absent."),
            ],
        },
    ),
    (
        "oauth2",
        &Section {
            name: "oauth2_credential",
            keys: &[
                key("token_url", Short { key: "url", map: &TOKEN_ENDPOINT }, Required, "Where tokens are asked for."),
                key(
                    "grant",
                    Choice(&["client_credentials", "refresh_token", "password"]),
                    Default("client_credentials"),
                    "How; password only for servers that know nothing better (RFC 9700).",
                ),
                key("client_id", Text, Required, "Name of the client."),
                key("client_secret", SecretValue, Optional, "Secret of the client; public clients with a refresh token have none."),
                key("client_auth", Choice(&["basic", "body"]), Default("basic"), "Whether the client's secret goes into the Authorization header or the form."),
                key("scope", Text, Optional, "Scopes, separated by spaces."),
                key("audience", Text, Optional, "Audience, where the server wants one."),
                key("parameters", Named(&AnyText), Default("{}"), "More form parameters, for example resource."),
                key("refresh_token", SecretValue, Optional, "For the grant refresh_token; one that the server puts in its place is kept in memory."),
                key("username", Text, Optional, "For the grant password."),
                key("password", SecretValue, Optional, "For the grant password."),
            ],
        },
    ),
    (
        "sigv4",
        &Section {
            name: "sigv4_credential",
            keys: &[
                key("region", Text, Required, "AWS region, eu-central-1 for example."),
                key("service", Text, Required, "Name of the service as it is signed: logs, kinesis, es, aoss, s3 and so on."),
                key("access_key", Text, Optional, "Access key id."),
                key("secret_key", SecretValue, Optional, "Secret access key."),
                key("session_token", SecretValue, Optional, "Session token of temporary keys."),
                key("process", Map(&COMMAND), Optional, "In place of the keys: a program that prints them as the AWS tools' credential_process."),
            ],
        },
    ),
    (
        "sas",
        &Section {
            name: "sas_credential",
            keys: &[
                key("resource", Text, Required, "URL of the namespace or of the entity in it, as it is signed: https://acme.servicebus.windows.net/alerts."),
                key("key_name", Text, Required, "Name of the access policy."),
                key("key", SecretValue, Required, "Key of the policy, as the portal shows it."),
                key("ttl", Duration { min: 60 * SECOND, max: 7 * DAY }, Default("1h"), "Longest life of a token."),
            ],
        },
    ),
    (
        "shared_key",
        &Section {
            name: "shared_key_credential",
            keys: &[
                key("scheme", Choice(&["storage", "log_analytics"]), Required, "Azure Storage (blobs, queues, files), or the HTTP Data Collector API."),
                key("account", Text, Required, "Name of the account, or id of the workspace."),
                key("key", SecretValue, Required, "Key of the account, in base64."),
            ],
        },
    ),
];

pub(super) static COMMAND: Section = Section {
    name: "command",
    keys: &[
        key("command", List { of: &Text, min: 1, max: 64 }, Required, "A program that prints the secret, and its arguments; no shell is between."),
        key("timeout", Duration { min: 100, max: 300 * SECOND }, Default("10s"), "It is killed then."),
        key(
            "refresh",
            Duration { min: SECOND, max: 7 * DAY },
            Default("15m"),
            "Age at which it is run again; the old secret is used until it is twice as old.",
        ),
    ],
};

static TOKEN_ENDPOINT: Section = Section {
    name: "token_endpoint",
    keys: &[
        key("url", Url, Required, "The token endpoint; an address literal or localhost grants exactly that address and port."),
        key("tls", Map(&TLS), Optional, "TLS of an https URL; a client certificate shows who asks (RFC 8705)."),
        key("addresses", List { of: &Cidr, min: 1, max: 64 }, Optional, "Networks that the name may resolve to; only public addresses where absent."),
        key("allow_metadata", Bool, Default("false"), "Allow the addresses of cloud metadata services."),
    ],
};

static DEAD_LETTERS: Section = Section {
    name: "dead_letters",
    keys: &[
        key("max_bytes", Size { min: MIB, max: 1024 * TIB }, Default("1GiB"), "Most bytes."),
        key("retention", Duration { min: SECOND, max: YEARS }, Optional, "Age at which one is deleted; never where absent."),
        key("on_full", Choice(&["stop_lane", "drop_oldest"]), Default("stop_lane"), "Stop the lane that has nowhere to put one, or delete the oldest."),
        key("retry", Map(&DEAD_LETTER_RETRY), Default("{}"), "Handing dead letters back to their lanes by itself."),
    ],
};

static DEAD_LETTER_RETRY: Section = Section {
    name: "dead_letter_retry",
    keys: &[
        key("interval", Duration { min: SECOND, max: YEARS }, Optional, "Time from a letter's death to its next try; no tries where absent."),
        key("causes", List { of: &Text, min: 1, max: 16 }, Default("[transient]"), "Which letters: causes, or their classes transient, permanent, guest."),
        key("max_retries", Count { min: 1, max: 1000 }, Default("5"), "How often one letter is handed back by itself."),
    ],
};

static OWN_EVENTS: Section = Section {
    name: "own_events",
    keys: &[key("enabled", Bool, Default("false"), "Whether starts, reloads, breakers, held instances and dead letters become events.")],
};

static JOURNAL: Section = Section {
    name: "journal",
    keys: &[
        key("max_bytes", Size { min: 256 * KIB, max: 1024 * TIB }, Default("10GiB"), "Disk budget; beyond it senders hear 429."),
        key("segment_bytes", Size { min: 64 * KIB, max: 1024 * MIB }, Default("64MiB"), "Size of one segment file; a quarter of max_bytes where that is less."),
        key(
            "dedup_window",
            Duration { min: 0, max: 30 * DAY },
            Default("0s"),
            "For how long an event with the same source and id is answered as accepted and not journalled again; 0s: not at all.",
        ),
        key(
            "dedup_keys",
            Count { min: 1, max: 1_000_000_000 },
            Default("900000"),
            "Most events that are known for that; 100 bytes of memory each, 20 on disk.",
        ),
        key(
            "idempotency_window",
            Duration { min: 0, max: 30 * DAY },
            Default("24h"),
            "For how long a request with the same Idempotency-Key hears the first one's answer; 0s: the header says nothing.",
        ),
        key("keep", Map(&KEEP), Default("{}"), "What stays after every lane has settled it, for `bulkhead replay`; makes room for new events."),
        key("compression", Choice(&["none", "lz4"]), Default("none"), "Whether requests are packed on disk, each by itself, where that makes them smaller."),
    ],
};

static KEEP: Section = Section {
    name: "journal_keep",
    keys: &[
        key("max_age", Duration { min: SECOND, max: YEARS }, Optional, "How long settled events stay; no bound where absent and max_bytes is set."),
        key("max_bytes", Size { min: 64 * KIB, max: 1024 * TIB }, Optional, "How many bytes of them stay; part of the journal's own max_bytes."),
    ],
};

static INTEGRITY: Section = Section {
    name: "integrity_rule",
    keys: &[
        key("name", Name, Required, "Unique among the rules; the subject of what is found."),
        key("when", Condition, Optional, "Which events; all where absent."),
        key("chain", List { of: &Text, min: 0, max: 8 }, Default("[]"), "JSON pointers to what tells chains apart; the event's source where empty."),
        key("hash", Text, Optional, "JSON pointer to the event's hash."),
        key("previous", Text, Optional, "JSON pointer to the hash of the event before."),
        key("sequence", Text, Optional, "JSON pointer to the event's number."),
        key("algorithm", Choice(&["sha256", "sha512", "hmac-sha256"]), Default("sha256"), "How the hash is made."),
        key("encoding", Choice(&["hex", "base64"]), Default("hex"), "How the hash is written."),
        key("secret", Secret, Optional, "The key of hmac-sha256."),
        key("hashed", Map(&HASHED), Optional, "What the hash is made of; where absent, only the places of events are looked at."),
        key("reorder", Count { min: 0, max: 1024 }, Default("16"), "Events that may wait for one that is late."),
        key("late", Duration { min: SECOND, max: DAY }, Default("30s"), "How long one may wait."),
        key("remember", Count { min: 16, max: 65_536 }, Default("256"), "Events of a chain that are known when they are sent again; 40 bytes each."),
        key("max_chains", Count { min: 1, max: 1_000_000 }, Default("1000"), "Chains that are known; the one that was quiet longest is forgotten first."),
    ],
};

static HASHED: Section = Section {
    name: "hashed",
    keys: &[
        key("form", Choice(&["member", "template", "jcs"]), Required, "A member as it was sent, text with fields, or canonical JSON (RFC 8785)."),
        key("member", Text, Optional, "JSON pointer; for `jcs` the whole event where absent."),
        key("template", Text, Optional, "Text with {/pointer} in it."),
        key("without", List { of: &Text, min: 0, max: 32 }, Default("[]"), "JSON pointers to members that are left out of canonical JSON."),
    ],
};

static ENCRYPTION: Section = Section {
    name: "encryption",
    keys: &[
        key("key", SecretValue, Optional, "The key that seals: 32 random bytes in base64 or hexadecimal digits; a command is run once, at the start."),
        key("older_keys", List { of: &SecretValue, min: 0, max: 32 }, Default("[]"), "Keys before it, for what they sealed."),
        key("at_rest", Bool, Default("false"), "Whether events are sealed in the journal and in the dead letters."),
        key(
            "fields",
            POINTERS,
            Default("[]"),
            "Fields that are sealed before events are formatted: JSON pointers that begin with an attribute, * for every member or element.",
        ),
        key("redact", POINTERS, Default("[]"), "Fields that are masked before events are formatted."),
        key("rotate_every", Duration { min: HOUR, max: YEARS }, Default("30d"), "Time after which another key is derived for fields."),
    ],
};

const POINTERS: Kind = List { of: &AnyText, min: 0, max: 64 };

static INSTANCE_ENCRYPTION: Section = Section {
    name: "instance_encryption",
    keys: &[
        key("fields", POINTERS, Default("[]"), "Fields that are sealed for this instance."),
        key("redact", POINTERS, Default("[]"), "Fields that are masked for it."),
    ],
};

static DELIVERY: Section = Section {
    name: "delivery",
    keys: &[
        key("max_concurrent", Count { min: 1, max: 10_000 }, Default("100"), "Deliveries at the same time over all instances."),
        key(
            "max_egress",
            Count { min: 1, max: 1_000_000 },
            Optional,
            "Requests and connections of all connectors at the same time; half of the open files beyond 256 where absent.",
        ),
        key("pending_expiry", Duration { min: SECOND, max: DAY }, Default("10m"), "How long a receiver may take to confirm before an event is sent again."),
    ],
};

static UPLOAD: Section = Section {
    name: "upload",
    keys: &[
        key("require_signed", Bool, Default("false"), "Take and run only uploads that one of `keys` has signed."),
        key(
            "keys",
            List { of: &Text, min: 0, max: 64 },
            Default("[]"),
            "Public ed25519 keys that signatures are checked with: PEM files, or ed25519: and the key in base64.",
        ),
        key("disk", Size { min: MIB, max: 1024 * TIB }, Default("2GiB"), "Most bytes of all uploaded components."),
        key("idle", Duration { min: SECOND, max: 300 * SECOND }, Default("20s"), "Longest pause within the bytes of an upload; after it the answer is 408."),
        key("trial", Duration { min: SECOND, max: DAY }, Default("5m"), "For how long after its activation a version is taken back by itself where it breaks."),
        key("compile_time", Duration { min: SECOND, max: HOUR }, Default("60s"), "Longest time that compiling one component may take."),
        key("compile_memory", Size { min: 256 * MIB, max: 64 * 1024 * MIB }, Default("2GiB"), "Most memory that compiling one component may take."),
    ],
};

static TELEMETRY: Section = Section { name: "telemetry", keys: &[key("log", Map(&LOG), Default("{}"), "The log.")] };

static LOG: Section = Section {
    name: "log",
    keys: &[
        key("format", Choice(&["json", "pretty", "compact"]), Default("json"), "How a line looks."),
        key("level", Text, Default("info"), "A level (error, warn, info, debug, trace) or a filter such as info,bulkhead_deliver=debug."),
        key("output", Choice(&["stdout", "stderr"]), Default("stdout"), "Where lines go."),
    ],
};
