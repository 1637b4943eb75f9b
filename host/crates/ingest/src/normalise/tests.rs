use bulkhead_core::{EventRef, Severity};

use super::*;

const RECEIVED: u64 = 1_763_628_178_123_456_789;
const RECEIVED_TEXT: &str = "2025-11-20T08:42:58.123456789Z";

const COPYBOOK: &str = r#"{
  "event_id": "7d9f5c1e-1b2a-4c3d-8e9f-0a1b2c3d4e5f", "timestamp": "2026-11-20T08:42:58.123456789+00:00",
  "event_type": "SecurityEvent", "severity": "Critical", "integrity_hash": "9f86d081", "previous_hash": null, "digital_signature": "c2ln",
  "payload": {"security_event_type": "UnauthorizedAccess", "affected_resources": ["/data/ledger.cpy"], "amount": 12345678901234567890.10},
  "context": {
    "operation_id": "op-77", "parent_operation_id": "op-70", "user": "j\u00f6rg", "started_at": "2026-11-20T08:42:57Z",
    "environment": {"hostname": "mf-01", "process_id": 4711, "system_arch": "x86_64", "version": "0.3.1", "command_line": "copybook parse"},
    "security": {"classification": "MaterialTransaction", "permissions": ["read"], "authentication_method": "mtls"},
    "compliance_profiles": ["SOX", "PciDss"], "metadata": {"team": "ledger", "user_role": "auditor"}
  }
}"#;

const INTELLIGUARD: &str = r#"{"id":"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11","timestamp":"2026-11-20T08:42:58Z","event":{"type":"authentication","category":"iam","severity":"high","action":"login","outcome":"failure"},"source":{"ip":"198.51.100.7","hostname":"vpn-1","mac":"00:00:5e:00:53:01","user":"mallory"},"destination":{"ip":"192.0.2.10","port":443,"service":"https"},"metadata":{"vendor":"acme","product":"fw","version":"9"},"enrichment":{"threat_intel":{"confidence":97}}}"#;

const DATAVAULT: &str = r#"{"specversion":"1.0","id":"dv-1","source":"llm-data-vault","type":"llm.data-vault.pii.detected","time":"2026-11-20T08:42:58Z","subject":"dataset-9","datacontenttype":"application/json","data":{"records":3}}"#;

fn rules(shape: ShapeRule, strict: bool) -> Rules {
    Rules { shape, strict, tenant: Tenant::default() }
}

fn stored(rules: Rules, form: Form, text: &str) -> Result<(Taken, Vec<u8>), Refused> {
    let mut out = Vec::new();
    Normaliser::new(rules).event(text.as_bytes(), 0, form, RECEIVED, &mut out).map(|taken| (taken, out))
}

/// The attributes of an event, as JSON text.
fn attributes(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let event = EventRef::new(bytes).expect("well formed");
    let show = |kind: Kind, raw: &[u8]| {
        let text = String::from_utf8_lossy(raw).into_owned();
        if matches!(kind, Kind::String | Kind::EscapedString) { format!("\"{text}\"") } else { text }
    };
    event.attrs().map(|(attr, kind, range)| (attr.name(), show(kind, &event.body()[range]))).collect()
}

/// Checks every attribute but `data`, which must be `data`.
#[track_caller]
fn check(rules: Rules, form: Form, text: &str, shape: Shape, data: Option<&str>, want: &[(&str, &str)]) -> Taken {
    // Text before and after the event: positions must not assume that it stands alone.
    let around = format!("[1, {text} ,2]");
    let mut out = b"earlier".to_vec();
    let taken = Normaliser::new(rules).event(around.as_bytes(), 3, form, RECEIVED, &mut out).unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(taken.end, 4 + text.len());
    let bytes = &out[7..];
    let event = EventRef::new(bytes).expect("well formed");
    assert_eq!((event.shape(), event.received(), event.original()), (shape, RECEIVED, text.as_bytes()));
    let mut found = attributes(bytes);
    let payload = found.iter().position(|(name, _)| *name == "data").map(|at| found.remove(at).1);
    assert_eq!(payload.as_deref(), data);
    let found: Vec<_> = found.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(found, want, "{text}");
    taken
}

#[track_caller]
fn refused(rules: Rules, form: Form, text: &str, pointer: &str, reason: &str) {
    let refused = stored(rules, form, text).expect_err(text);
    assert_eq!((refused.fault.pointer.as_str(), refused.fault.reason.as_str()), (pointer, reason), "{text}");
    assert!(refused.fault.at.is_some_and(|at| at <= text.len()), "{:?}", refused.fault);
}

#[test]
fn copybook_events_keep_everything() {
    for rules in [rules(ShapeRule::Auto, false), rules(ShapeRule::Auto, true), rules(ShapeRule::Copybook, true)] {
        check(
            rules,
            Form::Json,
            COPYBOOK,
            Shape::Copybook,
            Some(COPYBOOK),
            &[
                ("id", "\"7d9f5c1e-1b2a-4c3d-8e9f-0a1b2c3d4e5f\""),
                ("source", "\"copybook\""),
                ("type", "\"copybook.security_event\""),
                ("time", "\"2026-11-20T08:42:58.123456789+00:00\""),
                ("severity", "\"critical\""),
                ("classification", "\"material_transaction\""),
                ("compliance", r#"["sox","pci_dss"]"#),
                ("user", r#""j\u00f6rg""#),
                ("roles", r#"["auditor"]"#),
                ("operation", "\"op-77\""),
                ("parentoperation", "\"op-70\""),
                ("host", "\"mf-01\""),
                ("process", "4711"),
                ("integrityhash", "\"9f86d081\""),
                ("signature", "\"c2ln\""),
                ("metadata", r#"{"team": "ledger", "user_role": "auditor"}"#),
            ],
        );
    }
    let (_, bytes) = stored(Rules::default(), Form::Json, COPYBOOK).expect("taken");
    assert_eq!(EventRef::new(&bytes).expect("well formed").severity(), Some(Severity::Critical));
}

#[test]
fn intelliguard_events_fill_the_network_attributes() {
    check(
        rules(ShapeRule::Auto, true),
        Form::Json,
        INTELLIGUARD,
        Shape::Intelliguard,
        Some(INTELLIGUARD),
        &[
            ("id", "\"0b9e2c7e-7f0a-4f6e-9f5e-2f0f6d1c9a11\""),
            ("source", "\"intelliguard\""),
            ("type", "\"authentication\""),
            ("time", "\"2026-11-20T08:42:58Z\""),
            ("severity", "\"high\""),
            ("user", "\"mallory\""),
            ("outcome", "\"failure\""),
            ("action", "\"login\""),
            ("category", "\"iam\""),
            ("host", "\"vpn-1\""),
            ("srcip", "\"198.51.100.7\""),
            ("dstip", "\"192.0.2.10\""),
            ("dstport", "443"),
            ("metadata", r#"{"vendor":"acme","product":"fw","version":"9"}"#),
        ],
    );
}

#[test]
fn data_vault_events_are_cloudevents() {
    let want = [
        ("id", "\"dv-1\""),
        ("source", "\"llm-data-vault\""),
        ("type", "\"llm.data-vault.pii.detected\""),
        ("time", "\"2026-11-20T08:42:58Z\""),
        ("subject", "\"dataset-9\""),
        ("datacontenttype", "\"application/json\""),
    ];
    for (rule, form) in
        [(ShapeRule::Auto, Form::Json), (ShapeRule::Datavault, Form::Json), (ShapeRule::Datavault, Form::CloudEvents), (ShapeRule::Copybook, Form::CloudEvents)]
    {
        check(rules(rule, false), form, DATAVAULT, Shape::Datavault, Some(r#"{"records":3}"#), &want);
    }
    let foreign = DATAVAULT.replace("llm-data-vault", "elsewhere");
    stored(rules(ShapeRule::Datavault, false), Form::Json, &foreign).expect("taken where not strict");
    refused(rules(ShapeRule::Datavault, true), Form::Json, &foreign, "/source", "must be llm-data-vault");
    let unknown = DATAVAULT.replace("llm.data-vault.pii.detected", "unknown");
    stored(rules(ShapeRule::Datavault, true), Form::Json, &unknown).expect("today's producer sends it");
    refused(rules(ShapeRule::Datavault, true), Form::Json, &DATAVAULT.replace("llm.data-vault.pii", "x"), "/type", "must be a type below llm.data-vault.");
}

#[test]
fn cloudevents_place_known_extensions_and_keep_the_others() {
    let text = r#"{"specversion":"1.0","id":"e-1","source":"/siem/prod","type":"com.example.alert","time":"2026-11-20T08:42:58Z","dataschema":"https://x/s","severity":"WARNING","classification":"Internal Use","compliance":"SOX, GDPR","roles":"[\"admin\",\"ops\"]","user":"ann","metadata":"{\"team\":\"blue\",\"user_role\":\"lead\"}","host":"h","process":"p","srcip":"192.0.2.1","dstport":8443,"integrityhash":"aa","tenant":"evil","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","partitionkey":"k\n1","weight":1.50e-7,"flag":true,"outcome":7,"sequence":null,"data":null}"#;
    check(
        Rules::default(),
        Form::CloudEvents,
        text,
        Shape::CloudEvents,
        Some("null"),
        &[
            ("id", "\"e-1\""),
            ("source", "\"/siem/prod\""),
            ("type", "\"com.example.alert\""),
            ("time", "\"2026-11-20T08:42:58Z\""),
            ("dataschema", "\"https://x/s\""),
            ("severity", "\"medium\""),
            ("classification", "\"internal_use\""),
            ("compliance", r#"["sox","gdpr"]"#),
            ("user", "\"ann\""),
            ("roles", r#"["admin","ops","lead"]"#),
            ("host", "\"h\""),
            ("process", "\"p\""),
            ("srcip", "\"192.0.2.1\""),
            ("dstport", "8443"),
            ("integrityhash", "\"aa\""),
            ("metadata", r#"{"team":"blue","user_role":"lead"}"#),
            ("traceparent", "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\""),
            ("extensions", r#"{"partitionkey":"k\n1","weight":1.50e-7,"flag":true,"outcome":7}"#),
        ],
    );
}

#[test]
fn cloudevents_take_plain_lists_and_maps_too() {
    let text = r#"{"metadata":{"user_role":"ops"},"roles":["ops","x"],"compliance":["sox","hipaa"],"specversion":"1.0","id":"1","source":"s","type":"t","severity":3,"data_base64":"AAEC"}"#;
    check(
        Rules::default(),
        Form::Json,
        text,
        Shape::CloudEvents,
        None,
        &[
            ("id", "\"1\""),
            ("source", "\"s\""),
            ("type", "\"t\""),
            ("time", &format!("\"{RECEIVED_TEXT}\"")),
            ("timesource", "\"receipt\""),
            ("severity", "\"high\""),
            ("compliance", r#"["sox","hipaa"]"#),
            ("roles", r#"["ops","x"]"#),
            ("metadata", r#"{"user_role":"ops"}"#),
            ("data_base64", "\"AAEC\""),
        ],
    );
}

#[test]
fn what_does_not_fit_an_attribute_stays_an_extension() {
    let head = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-20T08:42:58Z""#;
    for (more, severity, extensions) in [
        (r#""severity":"blue""#, None, Some(r#"{"severity":"blue"}"#)),
        (r#""severity":99"#, None, Some(r#"{"severity":99}"#)),
        (r#""metadata":"[1]""#, None, Some(r#"{"metadata":"[1]"}"#)),
        (r#""metadata":"{\"a\":1,\"a\":2}""#, None, Some(r#"{"metadata":"{\"a\":1,\"a\":2}"}"#)),
        (r#""compliance":[1]"#, None, Some(r#"{"compliance":[1]}"#)),
        (r#""roles":{"a":1}"#, None, Some(r#"{"roles":{"a":1}}"#)),
        (r#""dstport":[443]"#, None, Some(r#"{"dstport":[443]}"#)),
        (r#""extensions":{"x":1}"#, None, Some(r#"{"extensions":{"x":1}}"#)),
        (r#""\u0061bc":1"#, None, Some(r#"{"\u0061bc":1}"#)),
        (r#""severitytext":"ERROR","severitynumber":17"#, Some("\"high\""), Some(r#"{"severitytext":"ERROR","severitynumber":17}"#)),
        (r#""severitynumber":13"#, Some("\"medium\""), Some(r#"{"severitynumber":13}"#)),
        (r#""severity":"low","severitytext":"ERROR""#, Some("\"low\""), Some(r#"{"severitytext":"ERROR"}"#)),
        (r#""subject":null,"whatever":null"#, None, None),
    ] {
        let (_, bytes) = stored(Rules::default(), Form::Json, &format!("{head},{more}}}")).expect(more);
        let found = attributes(&bytes);
        let get = |name: &str| found.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str());
        assert_eq!((get("severity"), get("extensions")), (severity, extensions), "{more}");
    }
}

#[test]
fn cloudevents_are_strict_always() {
    let string = "a string that is not empty";
    let full = [("specversion", "\"1.0\""), ("id", "\"1\""), ("source", "\"s\""), ("type", "\"t\"")];
    let event = |name: &str, value: Option<&str>| {
        let members = full.iter().filter(|(other, _)| *other != name).map(|(name, value)| (*name, *value)).chain(value.map(|value| (name, value)));
        format!("{{{}}}", members.map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(","))
    };
    for form in [Form::Json, Form::CloudEvents] {
        for name in ["id", "source", "type"] {
            let pointer = format!("/{name}");
            if form == Form::CloudEvents {
                refused(Rules::default(), form, &event(name, None), &pointer, &format!("required, {string}"));
            }
            for wrong in ["\"\"", "7", "[]", "true"] {
                refused(Rules::default(), form, &event(name, Some(wrong)), &pointer, &format!("must be {string}"));
            }
            refused(Rules::default(), form, &event(name, Some("null")), &pointer, &format!("required, {string}"));
        }
        for (name, wrong, wanted) in [
            ("specversion", "\"0.3\"", "must be the string 1.0"),
            ("specversion", "1.0", "must be the string 1.0"),
            ("time", "\"yesterday\"", "must be a time as RFC 3339 writes it"),
            ("time", "1763628178", "must be a time as RFC 3339 writes it"),
            ("subject", "\"\"", "must be a string that is not empty"),
            ("subject", "{}", "must be a string that is not empty"),
            ("datacontenttype", "1", "must be a string that is not empty"),
            ("data_base64", "\"AA\"", "must be base64 with padding (RFC 4648 §4)"),
            ("data_base64", "\"A-_=\"", "must be base64 with padding (RFC 4648 §4)"),
            ("data_base64", "5", "must be base64 with padding (RFC 4648 §4)"),
        ] {
            refused(Rules::default(), form, &event(name, Some(wrong)), &format!("/{name}"), wanted);
        }
    }
    refused(Rules::default(), Form::CloudEvents, "{}", "/specversion", "required, the string 1.0");
    let both = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":"AAAA"}"#;
    refused(Rules::default(), Form::CloudEvents, both, "/data_base64", "either data or data_base64, not both");
}

#[test]
fn plain_events_give_what_fits() {
    let text = r#"{"id":"p-1","time":"2026-11-20T08:42:58.5Z","type":"Login","level":"warn","user":"ann","host":"web-1","operation_id":"o","classification":"Top Secret","compliance_profiles":["sox"],"metadata":{"a":"b"},"source":"app","big":123456789012345678901234567890,"tenant":"evil"}"#;
    let taken = check(
        rules(ShapeRule::Auto, true),
        Form::Json,
        text,
        Shape::Plain,
        Some(text),
        &[
            ("id", "\"p-1\""),
            ("source", "\"app\""),
            ("type", "\"Login\""),
            ("time", "\"2026-11-20T08:42:58.5Z\""),
            ("severity", "\"medium\""),
            ("classification", "\"top_secret\""),
            ("compliance", r#"["sox"]"#),
            ("user", "\"ann\""),
            ("operation", "\"o\""),
            ("host", "\"web-1\""),
            ("metadata", r#"{"a":"b"}"#),
        ],
    );
    assert!(!taken.assigned);
}

#[test]
fn plain_events_ignore_what_does_not_fit() {
    let text = r#"{"id":7,"event_id":"e","timestamp":1763628178,"@timestamp":"2026-11-20T08:42:58Z","type":["x"],"severity":{"a":1},"level":50,"user":{"name":"ann"},"hostname":"","host":"h","source":{"ip":"1"},"metadata":"m","compliance_profiles":["sox",1],"classification":null}"#;
    check(
        Rules::default(),
        Form::Json,
        text,
        Shape::Plain,
        Some(text),
        &[("id", "\"e\""), ("time", "\"2026-11-20T08:42:58Z\""), ("severity", "\"high\""), ("host", "\"h\"")],
    );
}

#[test]
fn an_event_without_id_and_time_is_given_both() {
    let (taken, bytes) = stored(Rules::default(), Form::Json, "{}").expect("taken");
    assert!(taken.assigned);
    let found = attributes(&bytes);
    assert_eq!(found[0].0, "id");
    let id = uuid::Uuid::parse_str(found[0].1.trim_matches('"')).expect("a uuid");
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(found[1..], [("time", format!("\"{RECEIVED_TEXT}\"")), ("timesource", "\"receipt\"".into()), ("data", "{}".into())]);
}

#[test]
fn the_tenant_comes_from_the_credential() {
    let rules = Rules { tenant: Tenant::new("acme").expect("a name"), ..Rules::default() };
    for (form, text) in
        [(Form::Json, r#"{"id":"1","tenant":"evil"}"#), (Form::CloudEvents, r#"{"specversion":"1.0","id":"1","source":"s","type":"t","tenant":"evil"}"#)]
    {
        let (_, bytes) = stored(rules.clone(), form, text).expect("taken");
        let found = attributes(&bytes);
        assert!(found.contains(&("tenant", "\"acme\"".into())), "{found:?}");
        assert!(!found.iter().any(|(name, _)| *name == "extensions"), "{found:?}");
    }
}

#[test]
fn strict_listeners_want_the_required_fields() {
    let copybook = serde_json::from_str::<serde_json::Value>(COPYBOOK).expect("valid");
    for (pointer, wanted) in [
        ("/event_id", "a string that is not empty"),
        ("/timestamp", "a time as RFC 3339 writes it"),
        ("/event_type", "a string that is not empty"),
        ("/severity", "one of Info, Low, Medium, High, Critical"),
        ("/integrity_hash", "a string that is not empty"),
        ("/payload", "the payload of the event's type"),
        ("/context", "an object"),
        ("/context/environment", "an object"),
        ("/context/security", "an object"),
        ("/context/operation_id", "a string that is not empty"),
        ("/context/started_at", "a time as RFC 3339 writes it"),
        ("/context/environment/hostname", "a string that is not empty"),
        ("/context/environment/process_id", "a number or a string"),
        ("/context/compliance_profiles", "an array of strings"),
        ("/context/metadata", "an object"),
    ] {
        let mut event = copybook.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        event.pointer_mut(parent).and_then(|parent| parent.as_object_mut()).expect("an object").shift_remove(name);
        let text = event.to_string();
        refused(rules(ShapeRule::Copybook, true), Form::Json, &text, pointer, &format!("required, {wanted}"));
        stored(rules(ShapeRule::Copybook, false), Form::Json, &text).expect("taken where not strict");
    }
    for (pointer, wrong, reason) in [
        ("/severity", r#""Severe""#, "must be one of Info, Low, Medium, High, Critical"),
        ("/timestamp", r#""2026-11-20""#, "must be a time as RFC 3339 writes it"),
        ("/digital_signature", "5", "must be a string that is not empty"),
        ("/context/user", "[]", "must be a string that is not empty"),
        ("/context/compliance_profiles", r#"["SOX",5]"#, "must be an array of strings"),
    ] {
        let mut event = copybook.clone();
        *event.pointer_mut(pointer).expect("there") = serde_json::from_str(wrong).expect("valid");
        refused(rules(ShapeRule::Copybook, true), Form::Json, &event.to_string(), pointer, reason);
    }
    for (text, pointer, reason) in [
        (r#"{"timestamp":"2026-11-20T08:42:58Z","event":{"type":"x"}}"#, "/id", "required, a string that is not empty"),
        (r#"{"id":"1","event":{"type":"x"}}"#, "/timestamp", "required, a time as RFC 3339 writes it"),
        (r#"{"id":"1","timestamp":"2026-11-20T08:42:58Z"}"#, "/event", "required, an object"),
        (r#"{"id":"1","timestamp":"2026-11-20T08:42:58Z","event":{}}"#, "/event/type", "required, a string that is not empty"),
        (
            r#"{"id":"1","timestamp":"2026-11-20T08:42:58Z","event":{"type":"x","severity":"odd"}}"#,
            "/event/severity",
            "must be one of low, medium, high, critical",
        ),
    ] {
        refused(rules(ShapeRule::Intelliguard, true), Form::Json, text, pointer, reason);
        stored(rules(ShapeRule::Intelliguard, false), Form::Json, text).expect("taken where not strict");
    }
}

#[test]
fn shapes_are_told_by_their_marks() {
    for (text, shape) in [
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","event_id":"1","context":{}}"#, Shape::CloudEvents),
        (r#"{"event_id":"1","context":{}}"#, Shape::Copybook),
        (r#"{"event_id":"1","context":"text"}"#, Shape::Plain),
        (r#"{"\u0065vent_id":"1","context":{}}"#, Shape::Copybook),
        (r#"{"id":"1","timestamp":"t","event":{}}"#, Shape::Intelliguard),
        (r#"{"id":"1","event":{}}"#, Shape::Plain),
        (r#"{"id":"1","timestamp":"t","event":"login"}"#, Shape::Plain),
        ("{}", Shape::Plain),
    ] {
        let (_, bytes) = stored(Rules::default(), Form::Json, text).expect(text);
        assert_eq!(EventRef::new(&bytes).expect("well formed").shape(), shape, "{text}");
    }
    let (_, bytes) = stored(rules(ShapeRule::Plain, false), Form::Json, COPYBOOK).expect("taken");
    assert_eq!(EventRef::new(&bytes).expect("well formed").shape(), Shape::Plain);
}

#[test]
fn severities_are_read_from_words_and_numbers() {
    for (written, severity) in [
        ("\"CRITICAL\"", Some(Severity::Critical)),
        ("\" info \"", Some(Severity::Info)),
        ("\"h\\u0069gh\"", Some(Severity::High)),
        ("0", Some(Severity::Critical)),
        ("\"4\"", Some(Severity::Medium)),
        ("7", Some(Severity::Info)),
        ("30", Some(Severity::Info)),
        ("60", Some(Severity::Critical)),
        ("8", None),
        ("3.0", None),
        ("-1", None),
        ("99999999999999999999", None),
        ("\"\"", None),
        ("null", None),
    ] {
        let (_, bytes) = stored(Rules::default(), Form::Json, &format!("{{\"id\":\"1\",\"severity\":{written}}}")).expect(written);
        let event = EventRef::new(&bytes).expect("well formed");
        assert_eq!(event.severity(), severity, "{written}");
        assert_eq!(event.attr(Attr::Severity).and_then(|value| value.plain()), severity.map(Severity::name), "{written}");
    }
}

#[test]
fn what_is_no_object_is_no_event() {
    for text in ["1", "\"text\"", "null", "true", "[]", "[{}]"] {
        refused(Rules::default(), Form::Json, text, "", "an event is a JSON object");
    }
}

#[test]
fn an_event_beyond_16_mib_is_refused() {
    let text = format!("{{\"id\":\"1\",\"x\":\"{}\"}}", "x".repeat(16 << 20));
    let mut out = Vec::new();
    let refused = Normaliser::new(Rules::default()).event(text.as_bytes(), 0, Form::Json, RECEIVED, &mut out).expect_err("too large");
    assert_eq!((refused.fault.reason.as_str(), refused.end, out.len()), ("not a stored event: larger than 16 MiB", Some(text.len()), 0));
}
