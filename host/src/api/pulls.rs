//! Pull connectors in health: how far they are.

use bulkhead_ingest::PullStatus;
use serde_json::{Value, json};

pub fn shown(instance: &str, pull: &PullStatus) -> Value {
    json!({
        "instance": instance, "events": pull.events, "pages": pull.pages, "blocked": pull.blocked, "failures": pull.failures, "last_error": pull.error,
        "idle": pull.idle.map(|(word, _)| word),
        "last_pulled_at": pull.last_ms.and_then(|ms| super::rfc3339(ms.cast_signed())),
    })
}
