use bulkhead_sdk::native::{self, EventText};

use super::*;

const COPYBOOK: &str = r#"{"id":"7d9f5c1e-1b2a-4c3d-8e9f-0a1b2c3d4e5f","source":"copybook","type":"copybook.EVENT","time":"2026-11-20T08:42:58.123456789+00:00","severity":"critical",
"classification":"material_transaction","compliance":["sox","pci_dss"],"user":"jörg","operation":"op-77","host":"mf-01","process":4711,"integrityhash":"9f86d081","previoushash":"aa11",
"data":{"event_type":"EVENT","payload":PAYLOAD,"context":{"environment":{"version":"0.3.1","command_line":"/usr/bin/copybook parse a=b"},"security":{"classification":"MaterialTransaction"},"compliance_profiles":["SOX","PCI_DSS"]}}}"#;

#[track_caller]
fn check(config: &str, event: &str, want: &str) {
    let line = native::formatter::<Cef>(config).unwrap().line(&EventText::new(event)).unwrap();
    assert_eq!(line, want);
}

fn copybook(kind: &str, payload: &str) -> String {
    COPYBOOK.replace("EVENT", kind).replace("PAYLOAD", payload)
}

#[test]
fn copybook_events() {
    let tail = "cs2=MaterialTransaction cs2Label=Data Classification cs3=SOX,PCI_DSS cs3Label=Active Compliance Profiles cs4=9f86d081 cs4Label=Integrity Hash cs5=aa11 cs5Label=Previous Hash";
    let end = "externalId=7d9f5c1e-1b2a-4c3d-8e9f-0a1b2c3d4e5f flexString1=op-77 flexString1Label=Operation Id";
    let head = "start=1795164178123 end=1795164178123 suser=jörg dvchost=mf-01 dvcpid=4711 deviceProcessName=copybook";
    for (kind, payload, class_id, name, middle, more) in [
        (
            "CopybookParse",
            r#"{"copybook_path":"/c/a=b|c.cpy","field_count":31}"#,
            "COPYBOOK:PARSE",
            "Copybook Parsing Operation",
            r"fname=/c/a\=b|c.cpy cn2=31 cn2Label=Field Count act=Parse",
            "",
        ),
        (
            "DataValidation",
            r#"{"input_file":"in.dat","records_validated":409000}"#,
            "DATA:VALIDATE",
            "Data Validation Operation",
            "fname=in.dat cnt=409000 act=Validate",
            "",
        ),
        (
            "DataValidation",
            r#"{"records_validated":277161584903}"#,
            "DATA:VALIDATE",
            "Data Validation Operation",
            "cn3=277161584903 cn3Label=Records Validated act=Validate",
            "",
        ),
        ("DataTransformation", "{}", "DATA:TRANSFORM", "Data Transformation Operation", "act=DataTransformation", ""),
        (
            "PerformanceMeasurement",
            r#"{"operation_name":"decode","throughput_mbps":12.5,"memory_used_mb":64,"cpu_usage_percent":99.9,"duration_ms":1500}"#,
            "PERF:MEASURE",
            "Performance Measurement",
            "act=PerformanceMeasurement cfp1=12.5 cfp1Label=Throughput MB/s cfp2=64 cfp2Label=Memory Used MB cfp3=99.9 cfp3Label=CPU Usage Percent cfp4=1500 cfp4Label=Duration ms flexString2=decode flexString2Label=Operation Name",
            "",
        ),
        (
            "ComplianceCheck",
            r#"{"compliance_profiles":["SOX","GDPR"],"violations_found":3}"#,
            "COMPLIANCE:CHECK",
            "Compliance Validation Check",
            "act=Compliance Check cs1=SOX,GDPR cs1Label=Compliance Profiles cn1=3 cn1Label=Violations Found",
            "",
        ),
        (
            "ComplianceCheck",
            r#"{"violations_found":[{"regulation":"SOX"},{}]}"#,
            "COMPLIANCE:CHECK",
            "Compliance Validation Check",
            "act=Compliance Check cn1=2 cn1Label=Violations Found",
            "",
        ),
        (
            "SecurityEvent",
            r#"{"security_event_type":"UnauthorizedAccess","affected_resources":["/data/ledger.cpy","a=b"]}"#,
            "SECURITY:EVENT",
            "Security Event",
            "act=UnauthorizedAccess",
            r" cs6=/data/ledger.cpy,a\=b cs6Label=Affected Resources",
        ),
        ("LineageTracking", "{}", "LINEAGE:TRACK", "Data Lineage Tracking", "act=LineageTracking", ""),
        ("ErrorEvent", "{}", "ERROR:EVENT", "Error Event", "act=ErrorEvent", ""),
        ("ConfigurationChange", "{}", "CONFIG:CHANGE", "Configuration Change", "act=ConfigurationChange", ""),
        ("AccessEvent", "null", "ACCESS:EVENT", "Access Event", "act=AccessEvent", ""),
        ("Later", "{}", "Later", "Later", "act=Later", ""),
    ] {
        check(
            "{}",
            &copybook(kind, payload),
            &format!("CEF:0|Copybook-rs|Enterprise Audit System|0.3.1|{class_id}|{name}|10|{head} {middle} {tail}{more} {end}"),
        );
    }
}

#[test]
fn intelliguard_events() {
    let event = r#"{"id":"0b9e","source":"intelliguard","type":"authentication","time":"2026-11-20T08:42:58Z","severity":"high","user":"CORP\\mallory","outcome":"failure","action":"login","category":"iam","host":"vpn-1","srcip":"198.51.100.7","dstip":"2001:db8::1","dstport":443,
        "data":{"event":{"type":"authentication"},"source":{"hostname":"vpn-1","mac":"00:00:5e:00:53:01"},"destination":{"service":"https"},"metadata":{"vendor":"Ac|me","product":"Mail\"Shield\"","version":"9"},"enrichment":{"geolocation":{"country":"JP"},"threat_intel":{"reputation":"malicious","confidence":97}}}}"#;
    check(
        "{}",
        event,
        r#"CEF:0|Ac\|me|Mail"Shield"|9|authentication|login|8|start=1795164178000 end=1795164178000 suser=CORP\\mallory dvchost=vpn-1 src=198.51.100.7 shost=vpn-1 smac=00:00:5e:00:53:01 c6a3=2001:db8::1 c6a3Label=Destination IPv6 Address dpt=443 destinationServiceName=https cat=iam act=login outcome=failure cn1=97 cn1Label=Threat Confidence cs1=malicious cs1Label=Threat Reputation cs2=JP cs2Label=Source Country externalId=0b9e"#,
    );
    check("", r#"{"data":{"event":{"type":"x"}}}"#, "CEF:0|Bulkhead|Audit Events|1.0|x|x|0|");
}

#[test]
fn other_events() {
    check(
        r#"{"receipt_time":true}"#,
        r#"{"id":"1","source":"/billing/eu","type":"com.example.paid","time":"2026-11-20T08:42:58.5Z","received":"2026-11-20T08:43:00Z","subject":"inv/1","classification":"confidential","compliance":["sox"],"srcip":"web-1","dstip":"192.0.2.1","dstport":"443","process":"nginx","data":{"message":"a=b\nc\\d|e"}}"#,
        r"CEF:0|Bulkhead|/billing/eu|1.0|com.example.paid|com.example.paid|0|rt=1795164180000 start=1795164178500 end=1795164178500 deviceProcessName=nginx shost=web-1 dst=192.0.2.1 dpt=443 sourceServiceName=/billing/eu cs2=confidential cs2Label=Data Classification cs3=sox cs3Label=Active Compliance Profiles cs6=inv/1 cs6Label=Subject externalId=1 msg=a\=b\nc\\d|e",
    );
    check("{}", "{}", "CEF:0|Bulkhead|Audit Events|1.0|event|event|0|");
    check("{}", r#"{"severity":"info"}"#, "CEF:0|Bulkhead|Audit Events|1.0|event|event|2|");
}

#[test]
fn hostile_values_stay_inside_their_field() {
    check(
        r#"{"device_vendor":"A|B\\C","device_product":"P=Q"}"#,
        r#"{"type":"x|y\\z\n|10|act=forged","user":"u act=x\ncs1=y\\","host":" h ","outcome":"\u0000\u001b[31m","category":"  ","action":"\t"}"#,
        r"CEF:0|A\|B\\C|P=Q|1.0|x\|y\\z \|10\|act=forged|x\|y\\z \|10\|act=forged|0|suser=u act\=x\ncs1\=y\\ dvchost=h outcome=  [31m",
    );
}

#[test]
fn lengths_are_those_of_the_standard() {
    let long = "é".repeat(3000);
    let event = format!(r#"{{"type":"{long}","user":"{long}","host":"{long}","id":"{long}","data":{{"message":"{long}"}},"compliance":["{long}","{long}"]}}"#);
    let line = native::formatter::<Cef>("{}").unwrap().line(&EventText::new(&event)).unwrap();
    let header: Vec<&str> = line.splitn(8, '|').collect();
    assert_eq!((header[4].len(), header[5].len()), (1022, 512));
    for (key, limit) in [("suser=", 1022), ("dvchost=", 100), ("externalId=", 40), ("msg=", 1022), ("cs3=", 4000)] {
        let value = header[7].split(key).nth(1).unwrap().split(' ').next().unwrap();
        assert_eq!(value.trim_end_matches(',').len(), limit, "{key}");
    }
}

#[test]
fn the_severity_map_and_versions_are_configurable() {
    check(r#"{"severity":{"low":0,"high":9},"device_version":"7"}"#, r#"{"severity":"high"}"#, "CEF:0|Bulkhead|Audit Events|7|event|event|9|");
    for (config, words) in [
        (r#"{"severity":{"low":11}}"#, "`severity.low` is 11, the most is 10"),
        (r#"{"device_vendor":""}"#, "`device_vendor` is 0, the least is 1"),
        (r#"{"device_vendor":"a\nb"}"#, "`device_vendor` contains a control character"),
        (r#"{"vendor":"a"}"#, "`vendor` is unknown; known here are device_vendor"),
    ] {
        let error = native::formatter::<Cef>(config).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn values_of_unexpected_kinds_never_break_a_record() {
    let odd = [r#"{"a":"x=y\n"}"#, r#"["\n","="]"#, "true", "null", "1e5", r#"" ""#];
    for value in odd {
        let event = format!(
            r#"{{"id":{value},"type":"copybook.x","time":{value},"severity":{value},"user":{value},"process":{value},"dstport":{value},"srcip":{value},"compliance":{value},"data":{{"event_type":"X","payload":{{"violations_found":{value},"field_count":{value},"throughput_mbps":{value}}},"context":{{"environment":{{"command_line":{value}}}}}}}}}"#
        );
        let line = native::formatter::<Cef>("").unwrap().line(&EventText::new(&event)).unwrap();
        assert!(line.starts_with("CEF:0|Copybook-rs|") && !line.contains('\n'), "{line}");
    }
}
