//! Events of a security operations platform.

use serde_json::{Value, json};

use super::{Dice, time};

const COUNT: u64 = 120;
const KINDS: [(&str, &str, &str, &str); 8] = [
    ("authentication", "login", "user_login", "failure"),
    ("authentication", "login", "user_login", "success"),
    ("network", "connection", "blocked", "failure"),
    ("malware", "detection", "quarantined", "success"),
    ("file", "modification", "write", "success"),
    ("process", "start", "executed", "success"),
    ("intrusion_detection", "signature", "alert", "unknown"),
    ("configuration", "policy", "changed", "success"),
];

pub fn events(dice: &mut Dice) -> Vec<Value> {
    let mut second = 9 * 3600;
    (0..COUNT)
        .map(|i| {
            second += dice.below(60);
            let (category, kind, action, outcome) = dice.pick(&KINDS);
            let mut event = json!({
                "id": dice.uuid(),
                "timestamp": time(second, if i % 2 == 0 { ".250" } else { "" }),
                "event": {"type": format!("{category}.{kind}"), "category": category, "severity": dice.pick(&["low", "medium", "high", "critical"]), "action": action, "outcome": outcome},
                "source": {"ip": address(i, dice), "hostname": format!("ws-{:04}.corp.example", dice.below(4000)), "mac": mac(dice), "user": dice.pick(&["alice", "bob", "CORP\\carol", "svc_scan", "zoë"])},
                "metadata": {"vendor": dice.pick(&["Acme", "Globex", "Initech"]), "product": dice.pick(&["Endpoint | Guard", "NetWatch=2", "Mail\"Shield\""]), "version": format!("{}.{}", 1 + dice.below(9), dice.below(20))},
            });
            if category == "network" || i % 3 == 0 {
                let (port, service) = dice.pick(&[(443, "https"), (22, "ssh"), (3389, "rdp"), (53, "dns")]);
                event["destination"] = json!({"ip": address(i + 7, dice), "port": port, "service": service});
            }
            if i % 4 == 0 {
                event["enrichment"] = enrichment(i, dice);
            }
            event
        })
        .collect()
}

/// Documentation addresses (RFC 5737, RFC 3849).
fn address(i: u64, dice: &mut Dice) -> String {
    if i.is_multiple_of(5) { format!("2001:db8:{:x}::{:x}", dice.below(65_536), dice.below(65_536)) } else { format!("198.51.100.{}", dice.below(256)) }
}

fn mac(dice: &mut Dice) -> String {
    let hex = dice.hex(6);
    format!("00:53:00:{}:{}:{}", &hex[..2], &hex[2..4], &hex[4..])
}

fn enrichment(i: u64, dice: &mut Dice) -> Value {
    let (country, city, lat, lon) = dice.pick(&[
        ("BR", "São Paulo", -23.5505, -46.6333),
        ("DE", "Köln", 50.9375, 6.9603),
        ("JP", "東京", 35.6762, 139.6503),
        ("US", "Winston-Salem", 36.0999, -80.2442),
    ]);
    json!({
        "geolocation": {"country": country, "city": city, "coordinates": {"lat": lat, "lon": lon}},
        "threat_intel": {"reputation": dice.pick(&["clean", "suspicious", "malicious"]), "categories": if i.is_multiple_of(8) { json!(["botnet", "c2"]) } else { json!([]) }, "confidence": dice.below(101)},
    })
}
