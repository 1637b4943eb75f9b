use bulkhead_sdk::native::{self, EventText};

use super::*;

#[track_caller]
fn check(event: &str, want: &str) {
    let line = native::formatter::<Splunk>("").unwrap().line(&EventText::new(event)).unwrap();
    assert_eq!(line, want);
}

#[test]
fn copybook_events_have_the_names_that_dashboards_know() {
    check(
        r#"{"id":"e-1","source":"copybook","type":"copybook.security_event","time":"2026-11-20T08:42:58.123456789+00:00","severity":"critical","classification":"material_transaction","compliance":["sox"],"user":"jörg","operation":"op-77","host":"mf-01","process":4711,"integrityhash":"9f","previoushash":"aa","signature":"s",
        "data":{"event_type":"SecurityEvent","payload":{"n":1.5},"context":{"environment":{"version":"0.3.1"},"security":{"classification":"MaterialTransaction"},"compliance_profiles":["SOX"]}}}"#,
        r#"{"audit_event_id":"e-1","timestamp":"2026-11-20T08:42:58.123456789+00:00","event_type":"SecurityEvent","severity":"critical","source_system":"copybook","operation_id":"op-77","user":"jörg","hostname":"mf-01","process_id":4711,"copybook_version":"0.3.1","security_classification":"MaterialTransaction","compliance_profiles":["SOX"],"payload":{"n":1.5},"integrity_hash":"9f","previous_hash":"aa","digital_signature":"s"}"#,
    );
}

#[test]
fn other_events() {
    check(
        r#"{"id":"i","source":"intelliguard","type":"authentication","severity":"high","action":"login","outcome":"failure","srcip":"198.51.100.7","dstip":"192.0.2.1","dstport":443,"roles":["ops"],"data":{"event":{},"payload":1}}"#,
        r#"{"audit_event_id":"i","event_type":"authentication","severity":"high","source_system":"intelliguard","user_role":["ops"],"action":"login","status":"failure","src":"198.51.100.7","dest":"192.0.2.1","dest_port":443,"payload":{"event":{},"payload":1}}"#,
    );
    check(r#"{"type":"t","subject":"","data":null}"#, r#"{"event_type":"t","payload":null}"#);
    check(r#"{"data_base64":"AA=="}"#, r#"{"payload_base64":"AA=="}"#);
    check("{}", "{}");
}

#[test]
fn there_is_nothing_to_configure() {
    assert!(native::formatter::<Splunk>(r#"{"index":"x"}"#).unwrap_err().contains("`index` is unknown; there is nothing to configure"));
}
