use bulkhead_sdk::native::{self, EventText};
use bulkhead_sdk::protobuf::{Fields, Wire};

use super::*;

fn line(config: &str, event: &str) -> String {
    native::formatter::<Otlp>(config).unwrap().line(&EventText::new(event)).unwrap()
}

fn attributes(line: &str) -> serde_json::Map<String, serde_json::Value> {
    let record: serde_json::Value = serde_json::from_str(line).unwrap();
    let pair = |pair: &serde_json::Value| (pair["key"].as_str().unwrap().to_owned(), pair["value"].clone());
    record["attributes"].as_array().into_iter().flatten().map(pair).collect()
}

const EVENT: &str = r#"{"id":"e-1","source":"/copybook","type":"copybook.access_event","time":"2026-01-02T03:04:05.123456789Z","received":"2026-01-02T03:04:06Z",
    "severity":"high","user":"ada","roles":["dba","ops"],"host":"h1","process":"4711","srcip":"192.0.2.7","dstport":443,"compliance":["sox"],"outcome":"success",
    "metadata":{"team":"blue","a\"b":1},"traceparent":"00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01","data":{"message":"logged in","n":1}}"#;

#[test]
fn a_record_has_times_severity_name_and_trace() {
    let line = line("{}", EVENT);
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    let want = [
        ("timeUnixNano", serde_json::json!("1767323045123456789")),
        ("observedTimeUnixNano", serde_json::json!("1767323046000000000")),
        ("severityNumber", serde_json::json!(17)),
        ("severityText", serde_json::json!("high")),
        ("eventName", serde_json::json!("copybook.access_event")),
        ("traceId", serde_json::json!("5b8efff798038103d269b633813fc60c")),
        ("spanId", serde_json::json!("eee19b7ec3c1b174")),
        ("flags", serde_json::json!(1)),
    ];
    for (name, value) in want {
        assert_eq!(record[name], value, "{name}");
    }
    assert_eq!(
        record["body"],
        serde_json::json!({"kvlistValue": {"values": [
            {"key": "message", "value": {"stringValue": "logged in"}}, {"key": "n", "value": {"intValue": "1"}}]}})
    );
    let attributes = attributes(&line);
    let want = serde_json::json!({
        "log.record.uid": {"stringValue": "e-1"}, "cloudevents.event_source": {"stringValue": "/copybook"},
        "cloudevents.event_type": {"stringValue": "copybook.access_event"},
        "user.name": {"stringValue": "ada"}, "user.roles": {"arrayValue": {"values": [{"stringValue": "dba"}, {"stringValue": "ops"}]}},
        "host.name": {"stringValue": "h1"}, "process.pid": {"intValue": "4711"}, "source.address": {"stringValue": "192.0.2.7"},
        "destination.port": {"intValue": "443"}, "audit.compliance": {"arrayValue": {"values": [{"stringValue": "sox"}]}},
        "audit.outcome": {"stringValue": "success"}, "audit.metadata.team": {"stringValue": "blue"}, "audit.metadata.a\"b": {"intValue": "1"},
    });
    assert_eq!(serde_json::Value::Object(attributes), want);
}

#[test]
fn bodies() {
    let body = |config: &str, event: &str| serde_json::from_str::<serde_json::Value>(&line(config, event)).unwrap()["body"].to_string();
    assert_eq!(body(r#"{"body":"text"}"#, r#"{"data":{"b": 1.50}}"#), r#"{"stringValue":"{\"b\":1.5}"}"#);
    assert_eq!(body(r#"{"body":"text"}"#, r#"{"data":"a \"text\""}"#), r#"{"stringValue":"a \"text\""}"#);
    assert_eq!(body("{}", r#"{"data_base64":"AAEC"}"#), r#"{"bytesValue":"AAEC"}"#);
    assert_eq!(body("{}", r#"{"type":"t"}"#), "{}");
    assert_eq!(body("{}", r#"{"data":null}"#), "{}");
    let config = r#"{"body":"message"}"#;
    assert_eq!(body(config, r#"{"type":"t","data":{"msg":"short"}}"#), r#"{"stringValue":"short"}"#);
    assert_eq!(body(config, r#"{"type":"t","data":{"msg":7}}"#), r#"{"stringValue":"t"}"#);
    // The payload is not lost.
    let all = attributes(&line(config, EVENT));
    assert_eq!(all["audit.data"]["kvlistValue"]["values"][1]["value"]["intValue"], "1");
    assert_eq!(attributes(&line(config, r#"{"data_base64":"AAEC"}"#))["audit.data_base64"]["stringValue"], "AAEC");
}

#[test]
fn severities() {
    let number = |config: &str, severity: &str| {
        serde_json::from_str::<serde_json::Value>(&line(config, &format!(r#"{{"severity":{severity}}}"#))).unwrap()["severityNumber"].as_u64()
    };
    let have: Vec<_> = ["info", "low", "medium", "high", "critical"].iter().map(|severity| number("{}", &format!("\"{severity}\""))).collect();
    assert_eq!(have, [Some(9), Some(10), Some(13), Some(17), Some(21)]);
    assert_eq!(number(r#"{"severity":{"low":12}}"#, "\"low\""), Some(12));
    assert_eq!(number("{}", "null"), None);
    for config in [r#"{"severity":{"low":0}}"#, r#"{"severity":{"low":25}}"#] {
        assert!(native::formatter::<Otlp>(config).unwrap_err().contains("`severity.low`"));
    }
}

#[test]
fn a_traceparent_that_is_none_stays() {
    let line = line("{}", r#"{"traceparent":"00-abc","process":"worker"}"#);
    assert!(!line.contains("traceId"), "{line}");
    let all = attributes(&line);
    assert_eq!((&all["audit.traceparent"]["stringValue"], &all["audit.process"]["stringValue"]), (&"00-abc".into(), &"worker".into()));
}

#[test]
fn protobuf_carries_the_same() {
    let formatter = native::formatter::<Otlp>(r#"{"encoding":"protobuf"}"#).unwrap();
    assert_eq!(formatter.record_format(), RecordFormat::new("otlp", "application/x-protobuf"));
    let mut out = Writer::default();
    let pointers: Vec<String> = field::ALL.iter().map(|pointer| (*pointer).to_owned()).collect();
    let (block, spans) = EventText::new(EVENT).batch(&pointers);
    let events = bulkhead_sdk::Events::new(&block, &spans, 1, pointers.len());
    formatter.formatter.format(&events.get(0), &mut out).unwrap();
    let record = out.into_bytes();
    let mut fields = Fields::new(&record);
    let all: Vec<_> = fields.by_ref().collect();
    assert!(fields.is_complete());
    assert!(all.contains(&(1, Wire::I64(1_767_323_045_123_456_789))) && all.contains(&(2, Wire::Varint(17))) && all.contains(&(8, Wire::I32(1))));
    assert!(all.contains(&(12, Wire::Len(b"copybook.access_event"))));
    assert_eq!(all.iter().filter(|(field, _)| *field == 6).count(), 13);
}
