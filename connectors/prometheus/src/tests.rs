use bulkhead_sdk::native::{self, EventText};

use super::*;

fn run(config: &str, events: &[&str]) -> Vec<String> {
    let mut prometheus = native::connector::<Prometheus>(config, &RecordFormat::new("json", "application/json")).unwrap();
    let batch: Vec<_> = events.iter().map(|event| ("", EventText::new(event))).collect();
    assert_eq!(prometheus.deliver_texts(&batch), Ok(Delivery::accepted()));
    let numbers = native::numbers();
    native::reset();
    numbers
}

#[test]
fn events_count_under_the_names_of_the_dashboards() {
    let measured = r#"{"type":"copybook.performance_measurement","severity":"info","data":{"event_type":"PerformanceMeasurement","severity":"Info",
        "payload":{"operation_name":"decode","throughput_mbps":761.5,"cpu_usage_percent":93.25,"duration_ms":700}}}"#;
    let numbers = run("{}", &[r#"{"type":"t","severity":"low"}"#, measured, measured]);
    assert_eq!(
        numbers,
        [
            "copybook_audit_events_total,event_type=PerformanceMeasurement,severity=Info 2",
            "copybook_audit_events_total,event_type=t,severity=low 1",
            "copybook_security_classification_events_total,classification=unknown 3",
            "copybook_cpu_usage_percent,operation=decode 93.25",
            "copybook_processing_throughput_mbps,operation=decode 761.5",
            "copybook_audit_event_processing_duration_seconds,event_type=PerformanceMeasurement [0.7, 0.7]",
            "copybook_processing_duration_seconds,operation=decode [0.7, 0.7]",
        ]
    );
}

#[test]
fn another_prefix() {
    let numbers = run(r#"{"prefix":"acme"}"#, &["{}"]);
    assert_eq!(numbers[0], "acme_audit_events_total,event_type=unknown,severity=unknown 1");
    let error = native::connector::<Prometheus>(r#"{"prefix":"Acme"}"#, &RecordFormat::new("json", "application/json")).unwrap_err();
    assert!(error.contains("`prefix` is \"Acme\""), "{error}");
}

/// What the manifest names is what there is.
#[test]
fn the_manifest_names_every_metric() {
    let manifest = include_str!("../connector.toml");
    for family in FAMILIES {
        assert!(manifest.contains(&format!("\"copybook_{}\"", family.name)), "{}", family.name);
    }
}
