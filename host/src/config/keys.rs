//! Every key of `bulkhead.yaml`: one table that the reader, the editor schema and `config show` follow.
//! A key that is not here is unknown; keys of later versions are in [`unsupported`](super::unsupported).

mod credentials;
mod intake;
mod objects;
mod sign_in;
mod storage;

use bulkhead_access::JwtAlgorithm;
pub(super) use credentials::COMMAND;
use credentials::CREDENTIALS;
use intake::{INBOUND, LISTEN};
use objects::{STORED_WEBHOOKS, SUBSCRIPTION, WEBHOOK};
use storage::{DEAD_LETTERS, ENCRYPTION, EVENT_INDEX, INTEGRITY, JOURNAL, LOGS, POINTERS, STORE};

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
        key("webhooks", Named(&Map(&WEBHOOK)), Default("{}"), "Receivers of signed events, each with a log of its deliveries."),
        key("subscriptions", Named(&Map(&SUBSCRIPTION)), Default("{}"), "What events set off: a webhook, a pull, a notification."),
        key("dead_letters", Map(&DEAD_LETTERS), Default("{}"), "Events that no receiver took."),
        key("journal", Map(&JOURNAL), Default("{}"), "The journal of accepted events."),
        key("integrity", List { of: &Map(&INTEGRITY), min: 0, max: 64 }, Default("[]"), "Hash chains of the programs that send events, to be verified."),
        key("encryption", Map(&ENCRYPTION), Default("{}"), "Keys, and what is sealed with them."),
        key("delivery", Map(&DELIVERY), Default("{}"), "Delivery over all instances."),
        key("audit", Map(&AUDIT), Default("{}"), "Receipts: a record of every delivery attempt."),
        key("drain", Duration { min: 0, max: HOUR }, Default("30s"), "Longest time for deliveries under way after SIGTERM."),
        key("upload", Map(&UPLOAD), Default("{}"), "Components that are uploaded while the host runs, and how components are compiled."),
        key("store", Map(&STORE), Default("{}"), "Where keys, stored entries, schedules and cursors are kept."),
        key("stored", Map(&STORED), Default("{}"), "Parts of the configuration that are made through the API and kept in the store."),
        key("own_events", Map(&OWN_EVENTS), Default("{}"), "Events about the host itself, routed like any other."),
        key("logs", Map(&LOGS), Default("{}"), "The log of each instance, kept in the control store."),
        key("event_index", Map(&EVENT_INDEX), Default("{}"), "The index of accepted events, kept in the control store."),
        key("telemetry", Map(&TELEMETRY), Default("{}"), "The host's own log."),
    ],
};

static STORED: Section = Section {
    name: "stored",
    keys: &[
        key("enabled", Bool, Default("true"), "false: this file is the whole configuration; what is stored stays where it is and has no effect."),
        key(
            "directories",
            List { of: &Path, min: 0, max: 64 },
            Default("[]"),
            "Directories that stored entries may use, for files of connectors and for certificates, with everything below; entries of a tenant only the directory of its name in them.",
        ),
        key("credentials", List { of: &Name, min: 0, max: 256 }, Default("[]"), "Credentials of this file that stored instances of the same tenant may use."),
        key("webhooks", Map(&STORED_WEBHOOKS), Default("{}"), "What stored webhooks may reach, and what is kept of deliveries."),
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

/// Whose an entry is.
const TENANT: Key = key("tenant", Tenant, Optional, "Whose it is: names, and is named by, what is of the same tenant alone; the operator's where absent.");

static INSTANCE: Section = Section {
    name: "instance",
    keys: &[
        TENANT,
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
        key("pull", Map(&PULL), Optional, "Bring records from the system behind the connector into the journal."),
        key("query_cache", Map(&QUERY_CACHE), Optional, "Answers to questions that are kept, for operations that only read."),
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

static PULL: Section = Section {
    name: "pull",
    keys: &[
        key("enabled", Bool, Default("true"), "false: the schedule begins no run; those by hand and by events begin all the same."),
        key(
            "interval",
            Duration { min: SECOND, max: 7 * DAY },
            Optional,
            "Between two runs, once everything that is there was brought; 60s where neither this nor cron is written.",
        ),
        key("cron", Text, Optional, "When runs begin, in place of interval: 0 6 * * MON-FRI, with seconds */10 * * * * *, or @daily."),
        key("timezone", Text, Optional, "Time zone of cron, such as Europe/Berlin; UTC where absent."),
        key(
            "missed",
            Choice(&["run", "skip"]),
            Optional,
            "A run of cron that was due while the host was down or the instance held: run, once, where absent, or skip.",
        ),
    ],
};

static QUERY_CACHE: Section = Section {
    name: "query_cache",
    keys: &[
        key(
            "operations",
            List { of: &Text, min: 1, max: 64 },
            Required,
            "Operations of the connector whose answers are kept: none that changes something there.",
        ),
        key("ttl", Duration { min: SECOND, max: DAY }, Default("60s"), "Age up to which an answer is given again without asking."),
        key(
            "stale",
            Duration { min: 0, max: 30 * DAY },
            Default("1h"),
            "Age up to which it is given, marked so, while the breaker is open or the system does not answer.",
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
        key(
            "plain_metrics",
            Bool,
            Default("false"),
            "Its metrics under their own names, without bulkhead_guest_ and the instance as a label; names of the host's stay refused.",
        ),
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
        TENANT,
        key("formatter", Component, Required, "The formatter: its name, for example cef, an uploaded version as cef@1.2, or a digest as sha256:…"),
        key("config", Raw, Default("{}"), "Configuration of the formatter, checked against its schema."),
        key("limits", Limits, Default("{}"), "Limits of the sandbox."),
    ],
};

static ROUTE: Section = Section {
    name: "route",
    keys: &[
        key("id", Name, Required, "Unique among the routes."),
        key("tenant", Tenant, Optional, "Whose it is: it sees this tenant's events and names this tenant's instances; everybody's where absent."),
        key("name", Text, Optional, "For people; the id where absent."),
        key("when", Condition, Required, "Which events; several keys must all hold."),
        key("to", List { of: &Map(&TARGET), min: 1, max: 256 }, Required, "Where they go."),
        key("exclusive", Bool, Default("false"), "No later route is asked where this one matches."),
        key("beside", Bool, Default("false"), "Beside the others: events that only such routes match go to the default route as well."),
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

static OWN_EVENTS: Section = Section {
    name: "own_events",
    keys: &[key("enabled", Bool, Default("false"), "Whether starts, reloads, breakers, held instances and dead letters become events.")],
};

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
