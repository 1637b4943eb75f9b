//! What people post who have no shape: any JSON object, with or without id and time.

use serde_json::{Value, json};

use super::{Dice, raw, time};

const COUNT: u64 = 72;

pub fn events(dice: &mut Dice) -> Vec<Value> {
    let mut second = 12 * 3600;
    (0..COUNT)
        .map(|i| {
            second += dice.below(30);
            match i % 9 {
                0 => json!({"id": format!("app-{i:03}-{}", dice.hex(6)), "timestamp": time(second, ".5"), "event_type": "user.created", "severity": "info", "user": "ada", "hostname": "web-1", "message": "created"}),
                1 => json!({"event_id": dice.uuid(), "time": time(second, ""), "type": "payment.refused", "level": "WARN", "amount": raw("0.1000000000000000055511151231257827"), "source": "checkout"}),
                2 => json!({"@timestamp": time(second, ".042"), "level": "error", "host": "db-3", "message": "deadlock detected\n\tprocess 17 waits\n\tprocess 42 waits", "metadata": {"team": "storage", "pager": "on"}}),
                // Neither id nor time nor type.
                3 => json!({"msg": "hello | world = \\ done", "n": dice.below(100)}),
                4 => json!({"id": format!("big-{i:03}"), "counter": raw("18446744073709551616"), "ratio": raw("1.0000000000000000000000000001"), "tiny": raw("4.9e-324"), "neg": raw("-123456789012345678901234567890")}),
                5 => raw(&format!(r#"{{"id":"esc-{i:03}","text":"tab\tquote\"slash\/uni\u00fc\uD83D\uDD12","empty":"","keys":{{"with space":1,"quote\"key":2,"ключ":3}}}}"#)),
                // Known names with the wrong type stay data and do not harm.
                6 => json!({"id": i, "timestamp": dice.below(2_000_000_000), "severity": dice.below(8), "user": {"name": "bob"}, "message": "types are not what they seem"}),
                7 => json!({"event_id": format!("deep-{i:03}"), "a": {"b": {"c": {"d": {"e": [[[[[{"f": null}]]]]]}}}}, "operation_id": "op-77", "classification": "Internal", "compliance_profiles": ["sox"]}),
                _ => json!({"id": format!("long-{i:03}"), "severity": "notice", "message": "lorem ipsum \u{2026} ".repeat(40 + dice.below(60) as usize)}),
            }
        })
        .collect()
}
