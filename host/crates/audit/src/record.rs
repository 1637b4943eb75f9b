//! Receipts and marks as the fields of a record. Only names, numbers and classes go in.

use bulkhead_core::receipt::{CallEnd, Exchange, ExchangeEnd, Receipt};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::line::hex;

/// The fields of a receipt; its kind is the call.
pub fn receipt(receipt: &Receipt) -> Map<String, Value> {
    let identity = &receipt.identity;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("begun", time(receipt.begun).into());
    put("ended", time(receipt.ended).into());
    put("tenant", identity.tenant.as_str().into());
    put("instance", (*identity.instance).into());
    if let Some(about) = &receipt.about {
        put("lane", about.lane.to_string().into());
    }
    put("connector", (*identity.connector).into());
    put("digest", format!("sha256:{}", identity.digest).into());
    put("policy", (*identity.policy).into());
    put("configuration", (*identity.configuration).into());
    let mut events = json!({"count": receipt.events});
    if let Some(about) = &receipt.about {
        events["first"] = about.first.0.into();
        events["last"] = about.last.0.into();
        if about.replayed > 0 {
            events["replayed"] = about.replayed.into();
        }
    }
    put("events", events);
    if receipt.attempt > 0 {
        put("attempt", receipt.attempt.into());
    }
    put("exchanges", receipt.exchanges.iter().map(exchange).collect());
    if receipt.more_exchanges > 0 {
        put("more_exchanges", receipt.more_exchanges.into());
    }
    put("sent", receipt.sent.into());
    put("received", receipt.received.into());
    let outcomes = &receipt.outcomes;
    put("outcomes", json!({"accepted": outcomes.accepted, "retry": outcomes.retry, "rejected": outcomes.rejected, "pending": outcomes.pending}));
    match receipt.end {
        CallEnd::Answered => put("end", "answered".into()),
        CallEnd::Failed(kind) => put("end", json!({"failed": kind})),
        CallEnd::Fault(fault) => put("end", json!({"fault": fault})),
        CallEnd::Dropped => put("end", "dropped".into()),
    };
    put("fuel", receipt.fuel.into());
    put("guest_cpu_us", micros(receipt.guest_cpu));
    put("host_cpu_us", micros(receipt.host_cpu));
    fields
}

fn exchange(exchange: &Exchange) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("protocol", exchange.protocol.into());
    put("destination", exchange.destination.as_str().into());
    if !exchange.method.is_empty() {
        put("method", exchange.method.as_str().into());
        put("path", exchange.path.as_str().into());
    }
    if let Some(address) = exchange.address {
        put("address", address.to_string().into());
    }
    if let Some(certificate) = exchange.certificate {
        put("certificate", format!("sha256:{}", hex(&certificate)).into());
    }
    put("sent", exchange.sent.into());
    put("received", exchange.received.into());
    match exchange.end {
        ExchangeEnd::Status(status) => put("status", status.into()),
        ExchangeEnd::Closed => put("end", "closed".into()),
        ExchangeEnd::Refused { rule, class } => put("refused", json!({"rule": rule, "class": class})),
        ExchangeEnd::Error(class) => put("error", class.into()),
        ExchangeEnd::CutOff => put("error", "cut-off".into()),
    };
    put("took_us", micros(exchange.took));
    Value::Object(fields)
}

fn micros(time: std::time::Duration) -> Value {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).into()
}

/// Unix nanoseconds as RFC 3339, to the microsecond.
pub fn time(nanos: u64) -> String {
    let micros = i128::from(nanos / 1_000) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(micros).ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
