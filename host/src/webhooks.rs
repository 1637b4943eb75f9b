//! Managed webhooks: what was sent to whom and what was answered, secrets that are exchanged, receivers that are
//! given up. Delivery itself is that of the instance that a webhook is written out as (`config::objects`).
//!
//! Promises: a receiver that answers 410 gets nothing more, nor one at which every delivery has failed for
//! `disable_after`; a former secret goes when its time is over; no delivery waits for the log. That is written behind
//! deliveries: a crash may lose the last of it, and a store that takes nothing what does not fit into [`QUEUE`]; never an
//! event.

mod keep;
mod log;
mod once;

pub use keep::Keeper;
pub use log::{Heard, LogSink};
pub use once::{Once, OnceError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Bytes of a receiver's answer that are kept.
pub const EXCERPT: usize = 1 << 10;
/// Attempts on their way into the log.
pub const QUEUE: usize = 8_192;
/// Who changes webhooks when it is no person.
pub const HOST: &str = "host";

/// A secret as Standard Webhooks writes it, of 32 random bytes.
pub fn new_secret() -> String {
    let bytes: [u8; 32] = bulkhead_seal::random();
    format!("whsec_{}", STANDARD.encode(bytes))
}

/// The definition with another secret in front of the one in use, which goes at `until` (RFC 3339), or at once.
pub fn rotated(definition: &Value, secret: &str, until: Option<String>) -> Value {
    let mut next = definition.clone();
    let former = match &definition["secret"] {
        Value::Array(all) => all.first().cloned(),
        one => Some(one.clone()),
    };
    next["secret"] = match (&until, former) {
        (Some(_), Some(former)) => json!([secret, former]),
        _ => json!([secret]),
    };
    match until {
        Some(until) => next["previous_until"] = until.into(),
        None => without(&mut next, "previous_until"),
    }
    next
}

/// The definition once the time of former secrets is over.
pub fn settled(definition: &Value) -> Value {
    let mut next = definition.clone();
    if let Value::Array(secrets) = &definition["secret"] {
        next["secret"] = secrets.iter().take(1).cloned().collect();
    }
    without(&mut next, "previous_until");
    next
}

/// The definition of a webhook that the host disables.
pub fn disabled(definition: &Value, because: &str) -> Value {
    let mut next = definition.clone();
    next["enabled"] = false.into();
    next["disabled_because"] = because.into();
    next
}

pub fn without(definition: &mut Value, key: &str) {
    if let Value::Object(definition) = definition {
        definition.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_secret_stands_in_front_and_the_former_goes_in_time() {
        let first = json!({"url": "https://a.example", "secret": ["whsec_one"]});
        let during = rotated(&first, "whsec_two", Some("2026-11-02T08:00:00Z".into()));
        assert_eq!(during, json!({"url": "https://a.example", "secret": ["whsec_two", "whsec_one"], "previous_until": "2026-11-02T08:00:00Z"}));
        // Another one during the overlap: never more than two.
        let again = rotated(&during, "whsec_three", Some("2026-11-03T08:00:00Z".into()));
        assert_eq!(again["secret"], json!(["whsec_three", "whsec_two"]));
        assert_eq!(settled(&again), json!({"url": "https://a.example", "secret": ["whsec_three"]}));
        assert_eq!(rotated(&again, "whsec_four", None), json!({"url": "https://a.example", "secret": ["whsec_four"]}));
        assert_eq!(rotated(&json!({"secret": "whsec_one"}), "whsec_two", Some("t".into()))["secret"], json!(["whsec_two", "whsec_one"]));
    }

    #[test]
    fn secrets_are_those_of_standard_webhooks() {
        let (one, other) = (new_secret(), new_secret());
        assert_ne!(one, other);
        assert_eq!(STANDARD.decode(one.strip_prefix("whsec_").expect("the prefix")).expect("base64").len(), 32);
    }
}
