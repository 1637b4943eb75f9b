//! CloudEvents of other programs: extensions, and data of every kind the specification allows.

use serde_json::{Value, json};

use super::{Dice, raw, time};

const COUNT: u64 = 64;

pub fn events(dice: &mut Dice) -> Vec<Value> {
    let mut second = 11 * 3600;
    (0..COUNT)
        .map(|i| {
            second += dice.below(45);
            let mut event = json!({
                "specversion": "1.0",
                "id": format!("ce-{i:04}-{}", dice.hex(8)),
                "source": dice.pick(&["/billing/eu", "urn:example:firewall:7", "https://ci.example/pipelines/42?x=1&y=%20", "sensors/tn-1234567/alerts"]),
                "type": dice.pick(&["com.example.invoice.paid", "com.example.firewall.deny", "org.example.build.failed", "io.example.reading"]),
            });
            if i % 5 != 4 {
                event["time"] = json!(time(second, dice.pick(&["", ".1", ".999999999"])));
            }
            data(i, &mut event, dice);
            extensions(i, &mut event, dice);
            event
        })
        .collect()
}

fn data(i: u64, event: &mut Value, dice: &mut Dice) {
    match i % 8 {
        0 => {
            event["data"] =
                json!({"amount": raw("12345678901234567890123456789.10"), "currency": "EUR", "lines": [{"sku": "A|1", "n": 2}, {"sku": "B=2", "n": 0}]})
        }
        1 => event["data"] = json!(["an", "array", {"of": [1, 2.5, null, true]}, raw("-0"), raw("1E+2"), raw("1.10")]),
        2 => event["data"] = json!("just text, with \"quotes\" and a\nnew line"),
        3 => {
            event["datacontenttype"] = json!("text/xml");
            event["data"] = json!("<deny src=\"198.51.100.7\" rule='42'>a &amp; b</deny>");
        }
        4 => {
            event["datacontenttype"] = json!("application/octet-stream");
            event["data_base64"] = json!("AAECA//+/fxieXRlcyB0aGF0IGFyZSBubyB0ZXh0");
        }
        5 => event["data"] = raw(r#"{"escaped":"caf\u00e9 \ud83d\ude80 \/ \u0000 end","n":9007199254740993,"exp":6.02214076e+23}"#),
        6 => event["data"] = json!(dice.below(1000)),
        // No data at all is allowed.
        _ => {}
    }
    if i.is_multiple_of(8) {
        event["datacontenttype"] = json!("application/json; charset=utf-8");
        event["dataschema"] = json!("https://schemas.example/invoice/2.json");
        event["subject"] = json!(format!("invoice/{}", dice.below(100_000)));
    }
}

fn extensions(i: u64, event: &mut Value, dice: &mut Dice) {
    if i.is_multiple_of(3) {
        event["traceparent"] = json!(format!("00-{}-{}-01", dice.hex(32), dice.hex(16)));
    }
    if i % 4 == 1 {
        event["severity"] = json!(dice.pick(&["low", "HIGH", "Critical", "warning"]));
        event["classification"] = json!("confidential");
    }
    if i % 4 == 2 {
        event["partitionkey"] = json!(format!("p|{}", dice.below(16)));
        event["sequence"] = json!(dice.below(1 << 31));
        event["sampled"] = json!(true);
    }
    if i % 6 == 3 {
        event["user"] = json!("grace=h|opper");
        event["comexampleothervalue"] = json!("caf\u{e9} \u{1f680}");
    }
}
