use bulkhead_sdk::native::{self, EventText};

use super::*;

#[track_caller]
fn check(config: &str, event: &str, want: &str) {
    let line = native::formatter::<Ecs>(config).unwrap().line(&EventText::new(event)).unwrap();
    assert_eq!(line, want.split('\n').map(str::trim).collect::<String>());
}

#[test]
fn copybook_events() {
    check(
        r#"{"receipt_time":true}"#,
        r#"{"id":"7d9f","source":"copybook","type":"copybook.security_event","time":"2026-11-20T09:42:58.123456789+01:00","severity":"critical","classification":"material_transaction",
        "compliance":["sox"],"user":"jörg","roles":["auditor"],"operation":"op-77","host":"mf-01","process":4711,"integrityhash":"9f86","previoushash":"aa11","metadata":{"team":"ledger","n":1},
        "received":"2026-11-20T08:43:00Z","data":{"event_type":"SecurityEvent","context":{"started_at":"2026-11-20T08:42:57Z","environment":{"version":"0.3.1","command_line":"copybook parse","system_arch":"x86_64"}}}}"#,
        r#"{"@timestamp":"2026-11-20T08:42:58.123456789Z","ecs":{"version":"8.17.0"},
        "event":{"kind":"event","id":"7d9f","code":"copybook.security_event","action":"copybook.security_event","provider":"copybook","category":["intrusion_detection"],"type":["info"],"severity":10,"hash":"9f86","created":"2026-11-20T08:43:00Z","start":"2026-11-20T08:42:57Z"},
        "log":{"level":"critical"},"user":{"name":"jörg","roles":["auditor"]},"host":{"name":"mf-01","hostname":"mf-01","architecture":"x86_64"},"process":{"pid":4711,"command_line":"copybook parse"},
        "service":{"version":"0.3.1"},"labels":{"team":"ledger","n":"1"},"related":{"user":["jörg"],"hosts":["mf-01"],"hash":["9f86","aa11"]},
        "Bulkhead":{"type":"copybook.security_event","classification":"material_transaction","compliance":["sox"],"operation":"op-77","previoushash":"aa11",
        "data":{"event_type":"SecurityEvent","context":{"started_at":"2026-11-20T08:42:57Z","environment":{"version":"0.3.1","command_line":"copybook parse","system_arch":"x86_64"}}}}}"#,
    );
}

#[test]
fn intelliguard_events() {
    check(
        r#"{"include_data":false,"key":"guard","ecs_version":"9.4.0"}"#,
        r#"{"id":"0b","source":"intelliguard","type":"authentication","time":"2026-11-20T08:42:58Z","severity":"high","user":"mallory","outcome":"failure","action":"login","category":"iam","host":"vpn-1",
        "srcip":"198.51.100.7","dstip":"2001:db8::1","dstport":443,"data":{"event":{"type":"authentication"},"source":{"hostname":"vpn-1","mac":"00:00:5e:00:53:01"},"destination":{"service":"https"},
        "metadata":{"vendor":"acme","product":"fw","version":"9"},"enrichment":{"geolocation":{"country":"JP","city":"東京"}}}}"#,
        r#"{"@timestamp":"2026-11-20T08:42:58Z","ecs":{"version":"9.4.0"},
        "event":{"kind":"event","id":"0b","code":"authentication","action":"login","provider":"intelliguard","category":["iam"],"outcome":"failure","severity":8},
        "log":{"level":"high"},"user":{"name":"mallory"},"host":{"name":"vpn-1","hostname":"vpn-1"},"observer":{"vendor":"acme","product":"fw","version":"9"},
        "source":{"address":"198.51.100.7","ip":"198.51.100.7","domain":"vpn-1","mac":"00-00-5E-00-53-01","geo":{"country_iso_code":"JP","city_name":"東京"}},
        "destination":{"address":"2001:db8::1","ip":"2001:db8::1","port":443},"network":{"protocol":"https"},
        "related":{"ip":["198.51.100.7","2001:db8::1"],"user":["mallory"],"hosts":["vpn-1"]},"guard":{"type":"authentication"}}"#,
    );
}

#[test]
fn other_events() {
    check(
        "",
        r#"{"id":"1","type":"t","time":"2026-11-20T08:42:58Z","outcome":"Maybe","category":"finance","srcip":"web-1","process":"nginx","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","data":{"message":"a\n\"b\""}}"#,
        r#"{"@timestamp":"2026-11-20T08:42:58Z","ecs":{"version":"8.17.0"},"message":"a\n\"b\"","event":{"kind":"event","id":"1","code":"t","action":"t","outcome":"unknown"},"process":{"name":"nginx"},
        "source":{"address":"web-1","domain":"web-1"},"trace":{"id":"0af7651916cd43dd8448eb211c80319c"},"span":{"id":"b7ad6b7169203331"},
        "Bulkhead":{"type":"t","outcome":"Maybe","category":"finance","data":{"message":"a\n\"b\""}}}"#,
    );
    check("", "{}", r#"{"@timestamp":"1970-01-01T00:00:00Z","ecs":{"version":"8.17.0"},"event":{"kind":"event"}}"#);
    check(
        "",
        r#"{"type":"llm.data-vault.access.denied","received":"2026-11-20T08:42:58Z","outcome":"denied","data":null}"#,
        r#"{"@timestamp":"2026-11-20T08:42:58Z","ecs":{"version":"8.17.0"},"event":{"kind":"event","code":"llm.data-vault.access.denied","action":"llm.data-vault.access.denied","category":["iam"],"type":["denied"],"outcome":"failure"},
        "Bulkhead":{"type":"llm.data-vault.access.denied","outcome":"denied","data":null}}"#,
    );
}

#[test]
fn any_event_gives_one_valid_document() {
    for value in [r#"{"a":"\"}\n"}"#, r#"["\n","\""]"#, "true", "null", "1e5", "\"\"", "\"\\\\\\\"\\u0000\"", "\"99999999999999999999\""] {
        let attributes: Vec<String> = field::ALL
            .iter()
            .filter(|pointer| pointer.matches('/').count() == 1 && **pointer != "/data")
            .map(|pointer| format!("\"{}\":{value}", &pointer[1..]))
            .collect();
        let event = format!(
            "{{{},\"data\":{{\"message\":{value},\"event\":{{\"type\":\"x\"}},\"source\":{{\"mac\":{value},\"hostname\":{value}}},\"metadata\":{{\"vendor\":{value}}}}}}}",
            attributes.join(",")
        );
        let line = native::formatter::<Ecs>("").unwrap().line(&EventText::new(&event)).unwrap();
        assert!(line.starts_with("{\"@timestamp\":\"1970-01-01T00:00:00Z\",\"ecs\":"), "{line}");
        // Parsed by a library, no key twice.
        let document = bulkhead_sdk::json::value(&line).expect("one value");
        let mut names: Vec<_> = document.members().map(|(name, _)| name.raw().to_vec()).collect();
        assert!(names.len() > 3, "{line}");
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "{line}");
        EventText::new(&line);
    }
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    for (config, words) in [
        (r#"{"key":"event"}"#, "which is a field set of ECS"),
        (r#"{"key":"a.b"}"#, "`key` is made of letters"),
        (r#"{"key":"9"}"#, "`key` is made of letters"),
        (r#"{"key":""}"#, "`key` is 0, the least is 1"),
        (r#"{"ecs_version":"8\"x"}"#, "`ecs_version` is a version"),
    ] {
        let error = native::formatter::<Ecs>(config).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}
