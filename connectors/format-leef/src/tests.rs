use bulkhead_sdk::native::{self, EventText};

use super::*;

#[track_caller]
fn check(config: &str, event: &str, want: &str) {
    let line = native::formatter::<Leef>(config).unwrap().line(&EventText::new(event)).unwrap();
    assert_eq!(line, want);
}

const COPYBOOK: &str = r#"{"id":"e-1","source":"copybook","type":"copybook.security_event","time":"2026-11-20T08:42:58.123456789+00:00","severity":"critical","user":"jörg","roles":["auditor","ops"],"host":"mf-01","process":4711,"compliance":["sox","pci_dss"],"classification":"material_transaction","operation":"op-77","integrityhash":"9f86","previoushash":"aa11",
"data":{"event_type":"SecurityEvent","payload":{"security_event_type":"UnauthorizedAccess","affected_resources":["/data/a\tb","c|d"],"violations_found":[{},{}]},"context":{"environment":{"version":"0.3.1"}}}}"#;

#[test]
fn copybook_events() {
    check(
        "{}",
        COPYBOOK,
        "LEEF:2.0|Copybook-rs|Enterprise Audit System|1.0|SECURITY:EVENT|x09|devTime=1795164178123\tsev=10\tcat=SecurityEvent\tusrName=jörg\trole=auditor,ops\tpolicy=sox,pci_dss\thost=mf-01\tprocess=4711\teventId=e-1\toperation=op-77\tclassification=material_transaction\tintegrityHash=9f86\tpreviousHash=aa11\tresource=/data/a b,c|d\taction=UnauthorizedAccess\tversion=0.3.1\tviolationsFound=2",
    );
    check(
        r#"{"version":"1.0","device_vendor":"Acme","device_product":"Audit","device_version":"7","severity":{"low":1}}"#,
        r#"{"type":"copybook.x","severity":"low","data":{"event_type":"Later","payload":{"field_count":3,"throughput_mbps":12.5}}}"#,
        "LEEF:1.0|Acme|Audit|7|Later|sev=1\tcat=Later\tfieldCount=3\tthroughputMbps=12.5",
    );
}

#[test]
fn intelliguard_events() {
    check(
        r#"{"delimiter":"caret"}"#,
        r#"{"id":"i","source":"intelliguard","type":"authentication","time":"2026-11-20T08:42:58Z","severity":"high","user":"mal^lory","outcome":"failure","action":"login","category":"iam","srcip":"2001:db8::7","dstip":"vpn.example","dstport":443,"data":{"event":{"type":"authentication"},"source":{"hostname":"h1","mac":"00:00:5e:00:53:01"},"destination":{"service":"https"},"metadata":{"vendor":"Ac|me","product":"Mail"},"enrichment":{"geolocation":{"country":"JP"},"threat_intel":{"reputation":"malicious","confidence":97}}}}"#,
        "LEEF:2.0|Ac me|Mail|1.0|authentication|^|devTime=1795164178000^sev=8^cat=iam^usrName=mal lory^src=2001:db8::7^dstHost=vpn.example^dstPort=443^outcome=failure^eventId=i^action=login^srcHostName=h1^srcMAC=00:00:5e:00:53:01^dstService=https^srcCountry=JP^threatReputation=malicious^threatConfidence=97",
    );
}

#[test]
fn other_events() {
    check(
        r#"{"delimiter":"unit_separator"}"#,
        r#"{"id":"1","source":"/billing","type":"com.example.paid","received":"2026-11-20T08:43:00Z","subject":"inv/1","dstport":70000,"data":{"message":"a=b\nc"}}"#,
        "LEEF:2.0|Bulkhead|/billing|1.0|com.example.paid|x1F|devTime=1795164180000\u{1f}eventId=1\u{1f}resource=inv/1\u{1f}msg=a=b c",
    );
    check("{}", "{}", "LEEF:2.0|Bulkhead|Audit Events|1.0|event|x09|");
}

#[test]
fn hostile_values_stay_inside_their_field() {
    check(
        "{}",
        r#"{"type":"x|y^\n","user":"u\tsev=10\r\nLEEF:2.0|forged","host":"\t \n","data":{"message":"\u0000\u001b[31m\u007f"}}"#,
        "LEEF:2.0|Bulkhead|Audit Events|1.0|x y  |x09|usrName=u sev=10  LEEF:2.0|forged\tmsg=  [31m ",
    );
    let odd = [r#"{"a":"x=y\n"}"#, r#"["\n","="]"#, "true", "null", "1e5", r#"" ""#];
    for value in odd {
        let event = format!(
            r#"{{"id":{value},"type":"copybook.x","time":{value},"severity":{value},"user":{value},"roles":{value},"srcip":{value},"dstport":{value},"data":{{"event_type":"X","payload":{{"violations_found":{value},"affected_resources":{value}}},"source":{{"mac":{value}}},"event":{{"type":"g"}}}}}}"#
        );
        let line = native::formatter::<Leef>("").unwrap().line(&EventText::new(&event)).unwrap();
        assert!(line.starts_with("LEEF:2.0|Copybook-rs|") && !line.contains('\n'), "{line}");
        let keys: Vec<&str> = line.rsplit('|').next().unwrap().split('\t').filter_map(|pair| pair.split('=').next()).collect();
        assert!(keys.iter().enumerate().all(|(i, key)| !keys[..i].contains(key)), "{line}");
    }
}

#[test]
fn lengths_and_configuration() {
    let long = "é".repeat(3000);
    let event = format!(r#"{{"type":"{long}","user":"{long}"}}"#);
    let line = native::formatter::<Leef>("{}").unwrap().line(&EventText::new(&event)).unwrap();
    let header: Vec<&str> = line.splitn(7, '|').collect();
    assert_eq!((header[4].len(), header[6].len()), (254, "usrName=".len() + 254));
    for (config, words) in [
        (r#"{"version":"1.0","delimiter":"caret"}"#, "`delimiter` is tab in LEEF 1.0"),
        (r#"{"device_vendor":"a|b"}"#, "`device_vendor` contains a pipe"),
        (r#"{"severity":{"low":0}}"#, "`severity.low` is 0, the least is 1"),
        (r#"{"version":"3.0"}"#, "`version`"),
    ] {
        let error = native::formatter::<Leef>(config).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}
