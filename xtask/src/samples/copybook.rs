//! Audit events of a mainframe data program: all ten types, hash-chained. The hash is SHA-256 over the
//! RFC 8785 form of the event without `integrity_hash` and `digital_signature`; `previous_hash` is
//! the hash of the event before.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::canonical::canonical;
use super::{Dice, time};

const COUNT: u64 = 240;
const USERS: [&str; 6] = ["mwinter", "o'brien", "svc-batch", "d.müller", "李雷", "r=root|ops"];
const HOSTS: [&str; 4] = ["mf-gateway-01", "mf-gateway-02", "etl-07.prod.example", "dr-site.example"];
const CLASSES: [&str; 5] = ["Public", "Internal", "Confidential", "MaterialTransaction", "PHI"];
const PROFILES: [&str; 5] = ["SOX", "HIPAA", "GDPR", "PCI_DSS", "ISO27001"];

pub fn events(dice: &mut Dice) -> Vec<Value> {
    let mut previous: Option<String> = None;
    let mut second = 8 * 3600;
    (0..COUNT)
        .map(|i| {
            second += dice.below(90);
            let mut event = event(i, second, dice);
            if let Some(previous) = &previous {
                event["previous_hash"] = json!(previous);
            }
            let hash = Sha256::digest(canonical(&event)).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            event["integrity_hash"] = json!(hash);
            if i % 8 == 0 {
                event["digital_signature"] = json!(format!("ed25519:{}", dice.hex(128)));
            }
            previous = Some(hash);
            event
        })
        .collect()
}

fn event(i: u64, second: u64, dice: &mut Dice) -> Value {
    let (kind, severity, payload) = payload(i, dice);
    let user = dice.pick(&USERS);
    let first = dice.below(PROFILES.len() as u64) as usize;
    let profiles: Vec<&str> = PROFILES.iter().cycle().skip(first).take(dice.below(4) as usize).copied().collect();
    let mut context = json!({
        "operation_id": format!("op-{:05}", 4200 + i / 4),
        "started_at": time(second.saturating_sub(30), ".5"),
        "environment": {
            "hostname": dice.pick(&HOSTS),
            "process_id": 1000 + dice.below(60_000),
            "system_arch": "x86_64",
            "version": dice.pick(&["0.3.1", "0.3.2", "0.4.0-rc.1"]),
            "command_line": "copybook decode --format fixed \"C:\\data\\in|out=1.dat\"",
        },
        "security": {
            "classification": dice.pick(&CLASSES),
            "permissions": ["read", "decode"],
            "authentication_method": dice.pick(&["kerberos", "mtls", "oidc"]),
        },
        "compliance_profiles": profiles,
        "metadata": {"team": dice.pick(&["ledger", "payments", "fraud"]), "user_role": dice.pick(&["operator", "auditor", "admin"]), "note": dice.pick(&NOTES)},
    });
    if !i.is_multiple_of(4) {
        context["parent_operation_id"] = json!(format!("op-{:05}", 4199 + i / 4));
    }
    // Some events have no user: a scheduler started them.
    if i % 7 != 3 {
        context["user"] = json!(user);
    }
    let fraction = match i % 3 {
        0 => "",
        1 => ".123",
        _ => ".123456789",
    };
    json!({
        "event_id": format!("{}", dice.uuid()),
        "timestamp": time(second, fraction),
        "event_type": kind,
        "severity": severity,
        "payload": payload,
        "context": context,
    })
}

/// What formats must escape.
const NOTES: [&str; 6] =
    ["plain", "a|b=c\\d", "two\nlines\tand a tab", "quote \" and slash /", "emoji \u{1f512} and \u{65e5}\u{672c}\u{8a9e}", "control \u{1} and <xml> & 'apos'"];

fn payload(i: u64, dice: &mut Dice) -> (&'static str, &'static str, Value) {
    match i % 10 {
        0 => ("CopybookParse", "Info", json!({"copybook_path": format!("/copybooks/CUST{:03}.cpy", i), "field_count": 12 + dice.below(300), "parse_ms": 1.25})),
        1 => {
            let errors = if dice.once_in(3) { dice.below(40) } else { 0 };
            let severity = if errors > 0 { "Medium" } else { "Info" };
            let file = format!("/data/incoming/accounts|{i:04}.dat");
            ("DataValidation", severity, json!({"input_file": file, "records_validated": 1000 * dice.below(900), "errors_found": errors}))
        }
        2 => (
            "DataTransformation",
            "Low",
            json!({"input_file": "/data/incoming/ledger.dat", "output_file": "/data/out/ledger=final.jsonl", "records_transformed": dice.below(1 << 40), "codepage": "cp037"}),
        ),
        3 => (
            "PerformanceMeasurement",
            "Info",
            json!({"operation_name": dice.pick(&["decode", "encode", "verify"]), "throughput_mbps": 400.0 + dice.below(4000) as f64 / 8.0, "memory_used_mb": 64 + dice.below(900), "cpu_usage_percent": dice.below(1000) as f64 / 8.0, "duration_ms": dice.below(90_000)}),
        ),
        4 => {
            let found = dice.below(4);
            let violation =
                |n: u64| json!({"regulation": dice_regulation(i + n), "severity": "High", "business_impact": "Regulatory fine \u{2265} 1% of revenue"});
            let violations: Vec<Value> = (0..found).map(violation).collect();
            (
                "ComplianceCheck",
                if found > 0 { "High" } else { "Info" },
                json!({"compliance_profiles": ["SOX", "PCI_DSS"], "violations_found": found, "violations": violations}),
            )
        }
        5 => (
            "SecurityEvent",
            dice.pick(&["Critical", "High", "Medium"]),
            json!({"security_event_type": dice.pick(&["UnauthorizedAccess", "PrivilegeEscalation", "DataExfiltration", "BruteForce"]), "affected_resources": ["CUSTOMER.MASTER", format!("GL.LEDGER({i})"), "path\\with=all|of\nthem"]}),
        ),
        6 => (
            "LineageTracking",
            "Low",
            json!({"source": "DB2.PROD.ACCOUNTS", "target": "s3://lake/accounts/", "fields": ["ACCT-NO", "BAL-AMT"], "depth": dice.below(9)}),
        ),
        7 => (
            "ErrorEvent",
            "High",
            json!({"error_code": format!("CBKD{:03}", 400 + dice.below(99)), "message": "unexpected end of record\n  at offset 0x1F", "recoverable": dice.once_in(2)}),
        ),
        8 => (
            "ConfigurationChange",
            "Medium",
            json!({"key": "limits.max_record_length", "old_value": null, "new_value": 32_760, "approved_by": dice.pick(&USERS)}),
        ),
        _ => (
            "AccessEvent",
            "Low",
            json!({"resource": format!("/vault/keys/{}", dice.hex(8)), "access_type": dice.pick(&["read", "write", "list"]), "result": dice.pick(&["granted", "denied"])}),
        ),
    }
}

fn dice_regulation(n: u64) -> &'static str {
    ["SOX 404", "PCI DSS 3.4", "GDPR Art. 32", "HIPAA 164.312"][(n % 4) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_holds_and_every_type_is_there() {
        let events = events(&mut Dice(1));
        let mut previous: Option<String> = None;
        let mut types = std::collections::BTreeSet::new();
        for mut event in events {
            types.insert(event["event_type"].as_str().expect("typed").to_owned());
            assert_eq!(event.get("previous_hash").and_then(Value::as_str), previous.as_deref());
            let object = event.as_object_mut().expect("object");
            let hash = object.remove("integrity_hash").expect("hashed");
            object.remove("digital_signature");
            let again: String = Sha256::digest(canonical(&event)).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, json!(again));
            previous = Some(again);
        }
        assert_eq!(types.len(), 10);
    }
}
