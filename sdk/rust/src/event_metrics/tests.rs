use super::*;
use crate::batch::Events;
use crate::native::EventText;
use crate::writer::Writer;

fn with<T>(event: &str, run: impl FnOnce(&Event<'_>) -> T) -> T {
    let fields: Vec<String> = field::ALL.iter().map(|pointer| (*pointer).to_owned()).collect();
    let (block, spans) = EventText::new(event).batch(&fields);
    run(&Events::new(&block, &spans, 1, fields.len()).get(0))
}

fn told(event: &str) -> Vec<String> {
    let mut told = Vec::new();
    with(event, |event| samples(event, &mut |family, values, number| told.push(format!("{} {} {number}", family.name, values.join("|")))));
    told
}

fn text(registry: &Registry) -> String {
    let mut out = Writer::default();
    registry.text("copybook", &mut out);
    String::from_utf8(out.into_bytes()).unwrap()
}

const MEASURED: &str = r#"{"type":"copybook.performance_measurement","severity":"info","classification":"internal","data":{"event_type":"PerformanceMeasurement",
    "severity":"Info","payload":{"operation_name":"decode","throughput_mbps":761.5,"memory_used_mb":962,"cpu_usage_percent":93.25,"duration_ms":29700},
    "context":{"security":{"classification":"Internal"},"compliance_profiles":["SOX","HIPAA"]}}}"#;
const VIOLATED: &str = r#"{"type":"copybook.compliance_check","severity":"high","data":{"event_type":"ComplianceCheck","severity":"High",
    "payload":{"violations":[{"regulation":"SOX 404","severity":"High","business_impact":"Fine"},{"regulation":"PCI \"DSS\"\n"}]}}}"#;
const SECURITY: &str = r#"{"type":"copybook.security_event","data":{"event_type":"SecurityEvent","severity":"Critical",
    "payload":{"security_event_type":"DataExfiltration","affected_resources":["a","b","c"]}}}"#;

#[test]
fn copybook_events_keep_their_spelling() {
    assert_eq!(
        told(MEASURED),
        [
            "audit_events_total PerformanceMeasurement|Info 1",
            "security_classification_events_total Internal 1",
            "compliance_events_total SOX 1",
            "compliance_events_total HIPAA 1",
            "audit_event_processing_duration_seconds PerformanceMeasurement 29.7",
            "processing_throughput_mbps decode 761.5",
            "memory_usage_mb decode 962",
            "cpu_usage_percent decode 93.25",
            "processing_duration_seconds decode 29.7",
        ]
    );
    assert_eq!(
        told(VIOLATED)[2..],
        [
            "compliance_violations_total SOX 404|High 1",
            "compliance_violations_by_impact_total Fine 1",
            "compliance_violations_total PCI \"DSS\"\n|unknown 1",
            "compliance_violations_by_impact_total unknown 1",
        ]
    );
    assert_eq!(told(SECURITY)[2..], ["security_affected_resources DataExfiltration 3", "security_events_total DataExfiltration|Critical 1"]);
}

#[test]
fn other_events_count_by_what_they_have() {
    assert_eq!(
        told(
            r#"{"type":"llm.data-vault.dataset.created","severity":"low","classification":"public","compliance":["gdpr"],"data":{"event_type":"x","duration_ms":5}}"#
        ),
        [
            "audit_events_total llm.data-vault.dataset.created|low 1",
            "security_classification_events_total public 1",
            "compliance_events_total gdpr 1",
            "audit_event_processing_duration_seconds llm.data-vault.dataset.created 0.005",
        ]
    );
    assert_eq!(told("{}"), ["audit_events_total unknown|unknown 1", "security_classification_events_total unknown 1"]);
    // No shape of the payload is too strange.
    let strange = r#"{"type":["a"],"severity":{},"compliance":[null,{"a":1},7],"data":{"payload":{"operation_name":"x","throughput_mbps":"fast","memory_used_mb":[1],
        "duration_ms":-1,"violations":[1,null],"affected_resources":"all","security_event_type":""}}}"#;
    assert_eq!(told(strange).len(), 2 + 3 + 4 + 1);
    assert_eq!(told(&format!(r#"{{"type":"{}"}}"#, "é".repeat(60)))[0], format!("audit_events_total {}|unknown 1", "é".repeat(32)));
}

#[test]
fn sums_are_written_as_text() {
    let mut registry = Registry::new(100);
    for event in [MEASURED, MEASURED, VIOLATED, SECURITY] {
        with(event, |event| registry.add(event));
    }
    let text = text(&registry);
    for line in [
        "# HELP copybook_audit_events_total Events by type and severity.\n# TYPE copybook_audit_events_total counter\n",
        "copybook_audit_events_total{event_type=\"PerformanceMeasurement\",severity=\"Info\"} 2\n",
        "# TYPE copybook_audit_event_processing_duration_seconds histogram\n",
        "copybook_audit_event_processing_duration_seconds_bucket{event_type=\"PerformanceMeasurement\",le=\"0.001\"} 0\n",
        "copybook_audit_event_processing_duration_seconds_bucket{event_type=\"PerformanceMeasurement\",le=\"1\"} 0\n",
        "copybook_audit_event_processing_duration_seconds_bucket{event_type=\"PerformanceMeasurement\",le=\"+Inf\"} 2\n",
        "copybook_audit_event_processing_duration_seconds_sum{event_type=\"PerformanceMeasurement\"} 59.4\n",
        "copybook_audit_event_processing_duration_seconds_count{event_type=\"PerformanceMeasurement\"} 2\n",
        "copybook_processing_duration_seconds_bucket{operation=\"decode\",le=\"30\"} 2\n",
        "copybook_compliance_violations_total{regulation=\"PCI \\\"DSS\\\"\\n\",severity=\"unknown\"} 1\n",
        "copybook_processing_throughput_mbps{operation=\"decode\"} 761.5\n",
        "copybook_security_affected_resources_bucket{event_type=\"DataExfiltration\",le=\"2\"} 0\ncopybook_security_affected_resources_bucket{event_type=\"DataExfiltration\",le=\"5\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    // Each family stands together and is told once.
    assert_eq!(text.matches("# TYPE").count(), 12);
}

#[test]
fn sums_survive_what_is_kept_of_them() {
    let mut registry = Registry::new(100);
    for event in [MEASURED, VIOLATED, SECURITY] {
        with(event, |event| registry.add(event));
    }
    let kept = registry.to_bytes();
    let mut again = Registry::from_bytes(&kept, 100);
    assert_eq!(again, registry);
    with(MEASURED, |event| again.add(event));
    assert!(text(&again).contains("severity=\"Info\"} 2\n"));
    // Torn, of another program, or of families that have changed: what fits is read, nothing panics.
    for cut in 0..kept.len() {
        assert!(Registry::from_bytes(&kept[..cut], 100).len() <= registry.len());
    }
    let mut out = Writer::default();
    let mut message = crate::protobuf::Message::new(&mut out);
    for (name, counts) in [("no_such_family", 0), ("audit_event_processing_duration_seconds", 3), ("audit_events_total", 1)] {
        message.message(1, |series| {
            series.string(1, name.as_bytes());
            series.string(2, b"a");
            (0..counts).for_each(|count| series.unsigned(4, count));
            series.double(3, 1.0);
        });
    }
    assert!(Registry::from_bytes(out.as_bytes(), 100).is_empty());
}

#[test]
fn series_are_bounded() {
    let mut registry = Registry::new(50);
    for i in 0..10_000 {
        with(&format!(r#"{{"type":"type{i}","severity":"low","classification":"c{i}"}}"#), |event| registry.add(event));
    }
    assert!(registry.len() <= 50 + FAMILIES.len(), "{}", registry.len());
    let text = text(&registry);
    assert!(text.contains("copybook_audit_events_total{event_type=\"other\",severity=\"other\"} 9975\n"), "{text}");
    assert_eq!(registry.folded, 2 * 9975);
    // By size too: long values, many buckets.
    let mut registry = Registry::new(2_000);
    for i in 0..3_000 {
        let name = format!("{i:0>64}");
        with(&format!(r#"{{"type":"{name}","classification":"{name}","data":{{"duration_ms":{i}}}}}"#), |event| registry.add(event));
    }
    let kept = registry.to_bytes();
    assert!(kept.len() <= 64 << 10 && registry.folded > 0, "{}", kept.len());
    assert_eq!(Registry::from_bytes(&kept, 2_000).len(), registry.len());
}

#[test]
fn prefixes() {
    for good in ["copybook", "a", "audit_2", "processing"] {
        assert_eq!(check_prefix(good), Ok(()));
    }
    for bad in ["", "Copy", "1a", "a_", "a-b", "abcdefghijklmnopq", "bulkhead", "bulkhead_guest", "process"] {
        assert!(check_prefix(bad).unwrap_err().contains("`prefix`"), "{bad}");
    }
}

#[test]
fn numbers_are_finite() {
    for (text, want) in [("1e999", None), ("-0.5", Some(-0.5)), ("\"7\"", None), ("null", None)] {
        assert_eq!(number(crate::json::value(text).unwrap()), want, "{text}");
    }
}
