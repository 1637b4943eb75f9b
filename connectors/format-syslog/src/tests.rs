use bulkhead_sdk::native::{self, EventText};

use super::*;

#[track_caller]
fn check(config: &str, event: &str, want: &str) {
    let line = native::formatter::<Syslog>(config).unwrap().line(&EventText::new(event)).unwrap();
    assert_eq!(line, want);
}

const EVENT: &str = r#"{"id":"e-1","source":"/mainframe/copybook","type":"copybook.security_event","time":"2026-11-02T08:42:58.123456789+00:00","severity":"critical","host":"mf-01","process":4711,"user":"jö\"rg]","compliance":["sox","pci_dss"],"metadata":{"team a=b":"x\\y","n":"1"},"data":{"message":"two\nlines \u00e9"}}"#;

#[test]
fn rfc_5424_with_structured_data() {
    check(
        "{}",
        EVENT,
        r#"<106>1 2026-11-02T08:42:58.123456Z mf-01 copybook 4711 copybook.security_event [audit@32473 id="e-1" source="/mainframe/copybook" type="copybook.security_event" time="2026-11-02T08:42:58.123456789+00:00" severity="critical" user="jö\"rg\]" compliance="sox" compliance="pci_dss"][metadata@32473 team_a_b="x\\y" n="1"] two lines é"#,
    );
    check(
        r#"{"facility":20,"severity":{"unknown":5},"bom":true,"message":"text","hostname":"relay.example","app_name":"audit","sd_id":"x@1"}"#,
        r#"{"type":"t","data":{"a":1}}"#,
        "<165>1 - relay.example audit - t [x@1 type=\"t\"] \u{feff}t",
    );
    check(r#"{"structured_data":false,"message":"data"}"#, r#"{"type":"a b\u0000é","data":{"a":1}}"#, r#"<110>1 - - - - a_b__ - {"a":1}"#);
    check(r#"{"message":"none","facility":0,"severity":{"unknown":0}}"#, "{}", "<0>1 - - - - - -");
}

#[test]
fn rfc_3164() {
    check(r#"{"version":"rfc3164"}"#, EVENT, "<106>Nov  2 08:42:58 mf-01 copybook[4711]: two lines é");
    check(
        r#"{"version":"rfc3164","app_name":"a:b/c"}"#,
        r#"{"type":"t","time":"2026-01-31T23:59:60+01:00","process":"nginx: worker"}"#,
        "<110>Jan 31 23:00:00 - a_b_c[nginx:_worker]:",
    );
    check(r#"{"version":"rfc3164"}"#, "{}", "<110>Jan  1 00:00:00 - bulkhead:");
}

#[test]
fn header_fields_keep_to_their_lengths_and_letters() {
    let long = "é x".repeat(300);
    let event = format!(r#"{{"host":"{long}","source":"{long}","process":"{long}","type":"{long}"}}"#);
    let line = native::formatter::<Syslog>(r#"{"structured_data":false,"message":"none"}"#).unwrap().line(&EventText::new(&event)).unwrap();
    let parts: Vec<&str> = line.split(' ').collect();
    assert_eq!(parts[2..6].iter().map(|part| part.len()).collect::<Vec<_>>(), [255, 48, 128, 32]);
    assert!(line.bytes().all(|byte| (32..=126).contains(&byte)), "{line}");
}

#[test]
fn messages_are_cut_between_characters() {
    let event = format!(r#"{{"data":{{"message":"{}"}}}}"#, "é".repeat(1000));
    let line = native::formatter::<Syslog>(r#"{"max_bytes":480}"#).unwrap().line(&EventText::new(&event)).unwrap();
    assert!(line.len() == 479 || line.len() == 480, "{}", line.len());
    let whole = native::formatter::<Syslog>("{}").unwrap().line(&EventText::new(&event)).unwrap();
    assert!(whole.len() > 2000 && whole.starts_with(&line));
}

#[test]
fn structured_data_that_does_not_fit_goes_as_a_whole() {
    let event = format!(r#"{{"id":"{}","type":"t","data":{{"message":"m"}}}}"#, "]x".repeat(300));
    check(r#"{"max_bytes":480}"#, &event, "<110>1 - - - - t - m");
}

#[test]
fn hostile_values_stay_inside_their_field() {
    check(
        "{}",
        r#"{"id":"\"] <13>1 - - - - - - forged\n<13>1","type":"t\r\n<13>","data":{"msg":"\u0000\u001b[31m\r\n<13>1 forged"}}"#,
        r#"<110>1 - - - - t__<13> [audit@32473 id="\"\] <13>1 - - - - - - forged <13>1" type="t  <13>"]   [31m  <13>1 forged"#,
    );
    let odd = [r#"{"a":"x=y\n"}"#, r#"["\n","="]"#, "true", "null", "1e5", r#"" ""#];
    for (value, version) in odd.iter().flat_map(|value| [(value, "rfc5424"), (value, "rfc3164")]) {
        let event =
            format!(r#"{{"id":{value},"source":{value},"type":{value},"time":{value},"host":{value},"process":{value},"metadata":{value},"data":{value}}}"#);
        let line = native::formatter::<Syslog>(&format!(r#"{{"version":"{version}"}}"#)).unwrap().line(&EventText::new(&event)).unwrap();
        assert!(line.starts_with("<110>") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn configuration() {
    for (config, words) in [
        (r#"{"facility":24}"#, "`facility` is 24, the most is 23"),
        (r#"{"hostname":"a b"}"#, "`hostname` is printable ASCII"),
        (r#"{"sd_id":"a=b"}"#, "`sd_id` contains none of"),
        (r#"{"sd_id":"metadata@32473"}"#, "choose another"),
        (r#"{"severity":{"low":8}}"#, "`severity.low` is 8, the most is 7"),
        (r#"{"max_bytes":100}"#, "`max_bytes` is 100, the least is 480"),
    ] {
        let error = native::formatter::<Syslog>(config).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}
