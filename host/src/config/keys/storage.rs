//! What is kept on disk, and how: dead letters, the journal, chains of hashes, keys.

use super::*;

pub(super) static DEAD_LETTERS: Section = Section {
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

pub(super) static STORE: Section = Section {
    name: "store",
    keys: &[
        key(
            "url",
            Secret,
            Optional,
            "A PostgreSQL database for what hosts share, postgres://user:password@host:port/database; where absent it lies in data_dir.",
        ),
        key("tls", Map(&STORE_TLS), Default("{}"), "How the database is known."),
        key("connections", Count { min: 1, max: 200 }, Default("8"), "Most connections to the database at the same time."),
        key("timeout", Duration { min: 100, max: 60 * SECOND }, Default("5s"), "Longest wait for a connection; then the API answers 503."),
        key("start_timeout", Duration { min: SECOND, max: HOUR }, Default("30s"), "Longest wait for the database at a start, which is refused without it."),
        key(
            "lease",
            Duration { min: 2 * SECOND, max: HOUR },
            Default("15s"),
            "After this without a sign of life of a host, another one runs its schedules; the same on all hosts.",
        ),
    ],
};

static STORE_TLS: Section = Section {
    name: "store_tls",
    keys: &[
        key("required", Bool, Optional, "Whether a connection without TLS is refused; where absent, unless the database is on this machine."),
        key("ca", Path, Optional, "PEM file with authorities beside those of the system."),
        key("client_cert", Path, Optional, "PEM file with the certificate that this host shows; needs client_key."),
        key("client_key", Path, Optional, "PEM file with its private key."),
    ],
};

pub(super) static JOURNAL: Section = Section {
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

pub(super) static INTEGRITY: Section = Section {
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

pub(super) static ENCRYPTION: Section = Section {
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

pub(super) static LOGS: Section = Section {
    name: "logs",
    keys: &[
        key("retention", Duration { min: SECOND, max: YEARS }, Default("7d"), "Age at which an entry is deleted."),
        key(
            "max_rows",
            Count { min: 100, max: 100_000_000 },
            Default("100000"),
            "Most entries of all instances together; the oldest go first. One takes up to 6 KiB.",
        ),
    ],
};

pub(super) static EVENT_INDEX: Section = Section {
    name: "event_index",
    keys: &[
        key("enabled", Bool, Default("false"), "Whether accepted events are indexed, for GET /api/v2/events."),
        key("retention", Duration { min: SECOND, max: YEARS }, Default("7d"), "Age at which an event is deleted from the index."),
        key("max_events", Count { min: 100, max: 1_000_000_000 }, Default("1000000"), "Most events in the index; the oldest go first."),
        key("body", Bool, Default("false"), "Whether bodies of up to 64 KiB are kept too, as guests see them."),
    ],
};

pub(super) const POINTERS: Kind = List { of: &AnyText, min: 0, max: 64 };
