//! Events of a governed data store: CloudEvents, every type its producer names.

use serde_json::{Value, json};

use super::{Dice, time};

const COUNT: u64 = 88;
const TYPES: [&str; 22] = [
    "dataset.created",
    "dataset.updated",
    "dataset.deleted",
    "dataset.archived",
    "version.created",
    "version.tagged",
    "branch.created",
    "branch.merged",
    "records.ingested",
    "records.deleted",
    "records.exported",
    "anonymization.started",
    "anonymization.completed",
    "pii.detected",
    "access.granted",
    "access.revoked",
    "access.denied",
    "policy.violation",
    "retention.expired",
    "compliance.alert",
    "health.degraded",
    "health.restored",
];

pub fn events(dice: &mut Dice) -> Vec<Value> {
    let mut second = 10 * 3600;
    (0..COUNT)
        .map(|i| {
            second += dice.below(120);
            // Today's producer sends `unknown` for what it has no name for.
            let kind = if i % 29 == 28 { "unknown" } else { TYPES[(i % 22) as usize] };
            let dataset = format!("ds_{}", dice.hex(12));
            let mut event = json!({
                "specversion": "1.0",
                "id": dice.uuid(),
                "source": "llm-data-vault",
                "type": format!("llm.data-vault.{kind}"),
                "time": time(second, ".000001"),
                "datacontenttype": "application/json",
                "data": data(kind, &dataset, dice),
            });
            if i % 6 != 5 {
                event["subject"] = json!(format!("datasets/{dataset}"));
            }
            event
        })
        .collect()
}

fn data(kind: &str, dataset: &str, dice: &mut Dice) -> Value {
    let (family, _) = kind.split_once('.').unwrap_or((kind, ""));
    let mut data = json!({"dataset_id": dataset, "actor": dice.pick(&["trainer@example.com", "pipeline:nightly", "data steward \"A\""])});
    match family {
        "dataset" => {
            data["dataset"] =
                json!({"name": format!("corpus {} | v{}", dice.below(100), dice.below(9)), "record_count": dice.below(1 << 33), "tags": ["gold", "llm=train"]})
        }
        "version" | "branch" => {
            data["commit"] = json!({"hash": dice.hex(40), "message": "merge:\n* fix labels\n* drop \u{00df}-duplicates", "parents": 1 + dice.below(2)})
        }
        "records" => data["records"] = json!({"count": dice.below(5_000_000), "bytes": dice.below(1 << 42), "format": "parquet"}),
        "anonymization" => {
            data["anonymization"] = json!({"strategy": "k-anonymity", "k": 5, "records_processed": dice.below(1_000_000), "fields": ["name", "e-mail"]})
        }
        "pii" => data["pii"] = json!({"types": ["email", "iban", "ssn"], "confidence": 0.875, "locations": [{"record": dice.below(1000), "field": "notes"}]}),
        "access" => {
            data["access"] = json!({"principal": "user:\u{0443}\u{0447}\u{0451}\u{043d}\u{044b}\u{0439}", "permission": dice.pick(&["read", "export", "admin"]), "reason": "quarterly review"})
        }
        "policy" | "compliance" | "retention" => {
            data["policy"] = json!({"id": format!("pol-{}", dice.below(500)), "framework": dice.pick(&["gdpr", "soc2", "hipaa"]), "severity": dice.pick(&["low", "high", "critical"])})
        }
        "health" => {
            data["health"] =
                json!({"component": "object-store", "latency_ms": dice.below(9000), "status": if kind.ends_with("restored") { "healthy" } else { "degraded" }})
        }
        _ => data["detail"] = Value::Null,
    }
    data
}
