//! The field sets that are filled.

use std::net::IpAddr;

use bulkhead_sdk::{Event, Kind, Object, Timestamp, Value};

use crate::class::Class;
use crate::{Ecs, field, text};

/// Top-level names that documents use, and which the own key must not take.
pub const NAMES: [&str; 18] = [
    "ecs",
    "message",
    "event",
    "log",
    "user",
    "host",
    "process",
    "service",
    "observer",
    "source",
    "destination",
    "network",
    "related",
    "labels",
    "trace",
    "span",
    "tags",
    "error",
];

pub fn event(event: &Event<'_>, class: &Class, ecs: &Ecs, document: &mut Object<'_>) {
    document.object(b"\"event\":{", |set| {
        set.word(b"\"kind\":", class.kind);
        set.keyword(b"\"id\":", event.get(field::ID));
        set.keyword(b"\"code\":", event.get(field::TYPE));
        set.keyword(b"\"action\":", event.get(field::ACTION).or(event.get(field::TYPE)));
        set.keyword(b"\"provider\":", event.get(field::SOURCE));
        if let Some(category) = class.category {
            set.list(b"\"category\":[", &[Value::plain_text(category)]);
        }
        if let Some(change) = class.kind_of_change {
            set.list(b"\"type\":[", &[Value::plain_text(change)]);
        }
        if let Some(outcome) = class.outcome {
            set.word(b"\"outcome\":", outcome);
        }
        if let Some(severity) = ecs.severity(event) {
            set.integer(b"\"severity\":", i64::from(severity));
        }
        set.keyword(b"\"hash\":", event.get(field::INTEGRITY_HASH));
        if ecs.settings.receipt_time
            && let Some(moment) = Timestamp::parse(event.get(field::RECEIVED).raw())
        {
            set.time(b"\"created\":", moment);
        }
        if let Some(moment) = Timestamp::parse(event.get(field::STARTED).raw()) {
            set.time(b"\"start\":", moment);
        }
    });
    document.object(b"\"log\":{", |set| set.keyword(b"\"level\":", event.get(field::SEVERITY)));
}

/// Who acted, with what, where.
pub fn actors(event: &Event<'_>, document: &mut Object<'_>) {
    document.object(b"\"user\":{", |set| {
        set.keyword(b"\"name\":", event.get(field::USER));
        set.json(b"\"roles\":", event.get(field::ROLES));
    });
    document.object(b"\"host\":{", |set| {
        let host = event.get(field::HOST);
        set.keyword(b"\"name\":", host);
        set.keyword(b"\"hostname\":", host);
        set.keyword(b"\"architecture\":", text(event.get(field::ARCHITECTURE)));
    });
    document.object(b"\"process\":{", |set| {
        let process = event.get(field::PROCESS);
        match process.integer() {
            Some(pid) if pid >= 0 => set.integer(b"\"pid\":", pid),
            _ => set.keyword(b"\"name\":", process),
        }
        let command_line = event.get(field::COMMAND_LINE);
        if command_line.kind() == Kind::Array {
            set.json(b"\"args\":", command_line);
        } else {
            set.keyword(b"\"command_line\":", text(command_line));
        }
    });
    document.object(b"\"service\":{", |set| set.keyword(b"\"version\":", text(event.get(field::VERSION))));
    if event.get(field::GUARD_TYPE).is_string() {
        document.object(b"\"observer\":{", |set| {
            set.keyword(b"\"vendor\":", text(event.get(field::VENDOR)));
            set.keyword(b"\"product\":", text(event.get(field::PRODUCT)));
            set.keyword(b"\"version\":", text(event.get(field::PRODUCT_VERSION)));
        });
    }
    if event.get(field::METADATA).kind() == Kind::Object {
        document.object(b"\"labels\":{", |set| labels(event.get(field::METADATA), set));
    }
}

/// Labels are flat texts: other values are written as their JSON text.
fn labels(metadata: Value<'_>, set: &mut Object<'_>) {
    for (name, value) in metadata.members() {
        if value.is_some() {
            set.named(name, value);
        }
    }
}

pub fn network(event: &Event<'_>, document: &mut Object<'_>) {
    let guard = event.get(field::GUARD_TYPE).is_string();
    // Most events know of no network: nothing of what follows would be there.
    if !guard && [field::SRC_IP, field::DST_IP, field::DST_PORT].into_iter().all(|field| !event.get(field).is_some()) {
        return;
    }
    let only_guard = |field| if guard { text(event.get(field)) } else { Value::MISSING };
    document.object(b"\"source\":{", |set| {
        endpoint(event.get(field::SRC_IP), only_guard(field::SOURCE_HOST), set);
        if let Some(mac) = mac(only_guard(field::SOURCE_MAC)) {
            set.text(b"\"mac\":", &mac);
        }
        set.object(b"\"geo\":{", |geo| {
            let country = only_guard(field::COUNTRY);
            let is_code = country.raw().len() == 2 && country.raw().iter().all(u8::is_ascii_uppercase);
            if is_code {
                geo.keyword(b"\"country_iso_code\":", country);
            } else {
                geo.keyword(b"\"country_name\":", country);
            }
            geo.keyword(b"\"city_name\":", only_guard(field::CITY));
        });
    });
    document.object(b"\"destination\":{", |set| {
        endpoint(event.get(field::DST_IP), Value::MISSING, set);
        if let Some(port) = event.get(field::DST_PORT).integer().filter(|port| (0..=65_535).contains(port)) {
            set.integer(b"\"port\":", port);
        }
    });
    document.object(b"\"network\":{", |set| set.keyword(b"\"protocol\":", only_guard(field::SERVICE)));
}

/// `address` is always what was given; beside it `ip` or `domain`.
fn endpoint(address: Value<'_>, name: Value<'_>, set: &mut Object<'_>) {
    set.keyword(b"\"address\":", address.or(name));
    if is_ip(address) {
        set.keyword(b"\"ip\":", address);
        set.keyword(b"\"domain\":", name);
    } else {
        set.keyword(b"\"domain\":", name.or(address));
    }
}

fn is_ip(value: Value<'_>) -> bool {
    value.kind() == Kind::String && std::str::from_utf8(value.raw()).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

/// `00:00:5e:00:53:01` as ECS writes it, `00-00-5E-00-53-01`.
fn mac(value: Value<'_>) -> Option<String> {
    let raw = value.raw();
    let fits = raw.len() == 17 && raw.iter().enumerate().all(|(at, byte)| if at % 3 == 2 { matches!(byte, b':' | b'-') } else { byte.is_ascii_hexdigit() });
    fits.then(|| raw.iter().map(|byte| if *byte == b':' { '-' } else { char::from(byte.to_ascii_uppercase()) }).collect())
}

/// Every address, user, host and hash of the event once more, for searches over all of a kind.
pub fn related(event: &Event<'_>, document: &mut Object<'_>) {
    let ip = |field| Some(event.get(field)).filter(|value| is_ip(*value)).unwrap_or(Value::MISSING);
    let host = if event.get(field::GUARD_TYPE).is_string() { text(event.get(field::SOURCE_HOST)) } else { Value::MISSING };
    document.object(b"\"related\":{", |set| {
        set.list(b"\"ip\":[", &[ip(field::SRC_IP), ip(field::DST_IP)]);
        set.list(b"\"user\":[", &[text(event.get(field::USER))]);
        set.list(b"\"hosts\":[", &[text(event.get(field::HOST)), host]);
        set.list(b"\"hash\":[", &[text(event.get(field::INTEGRITY_HASH)), text(event.get(field::PREVIOUS_HASH))]);
    });
}

/// W3C trace context: `version-trace-span-flags`.
pub fn trace(parent: Value<'_>, document: &mut Object<'_>) {
    let raw = parent.raw();
    let hex = |range: std::ops::Range<usize>| {
        let part = raw.get(range)?;
        let fits = part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)) && part.iter().any(|byte| *byte != b'0');
        std::str::from_utf8(part).ok().filter(|_| fits)
    };
    if raw.len() < 55 || raw[2] != b'-' || raw[35] != b'-' || raw[52] != b'-' {
        return;
    }
    if let (Some(trace), Some(span)) = (hex(3..35), hex(36..52)) {
        document.object(b"\"trace\":{", |set| set.word(b"\"id\":", trace));
        document.object(b"\"span\":{", |set| set.word(b"\"id\":", span));
    }
}
