use bulkhead_ingest::{Form, Normaliser, Origin, Rules, SyslogNormaliser};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Key;

/// Marks a value that must not be seen; survives every spelling that intake knows.
const MARKER: &str = "zqmarkzq";
const RECEIVED: u64 = 1_764_000_000_000_000_000;

fn keys() -> Keyring {
    Keyring::new(Key::parse("02xyblv7Lm1dG9GFXRtnaLu5TeOJmr8Xjjhshe06AYk=").unwrap(), [])
}

fn fields(seal: &[&str], redact: &[&str]) -> Fields {
    let own = |list: &[&str]| list.iter().map(|pointer| (*pointer).to_owned()).collect::<Vec<_>>();
    Fields::new(FieldRules::parse(&own(seal), &own(redact)).unwrap(), Some(&keys()), 86_400).unwrap().unwrap()
}

fn stored(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Normaliser::new(Rules::default()).event(text.as_bytes(), 0, Form::Json, RECEIVED, &mut out).unwrap();
    out
}

fn apply(fields: &Fields, stored: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let changed = fields.apply(&EventRef::new(stored).unwrap(), &mut out);
    assert_eq!(changed, !out.is_empty());
    changed.then_some(out)
}

/// All that can be seen of a stored event, in lower case.
fn seen(stored: &[u8]) -> String {
    String::from_utf8_lossy(stored).to_lowercase()
}

/// What stands at a pointer of an event as a projection sees it.
fn at(stored: &[u8], pointer: &str) -> String {
    let (mut block, mut spans) = (Vec::new(), Vec::new());
    bulkhead_core::Projection::parse(&[pointer.to_owned()]).unwrap().extract(&EventRef::new(stored).unwrap(), &mut block, &mut spans);
    String::from_utf8(block[spans[0] as usize..(spans[0] + spans[1]) as usize].to_vec()).unwrap()
}

const COPYBOOK: &str = r#"{"event_id":"e-1","timestamp":"2026-11-02T08:00:00.123Z","event_type":"SecurityEvent","severity":"High","integrity_hash":"aa","previous_hash":"bb","digital_signature":"cc","payload":{"security_event_type":"Test","affected_resources":["A","B"],"n":4.20},"context":{"operation_id":"op","parent_operation_id":"pop","user":"zoe","started_at":"2026-11-02T08:00:00Z","environment":{"hostname":"h1","process_id":7},"security":{"classification":"InternalOnly"},"compliance_profiles":["PCI-DSS"],"metadata":{"user_role":"admin","k":"v"}}}"#;
const INTELLIGUARD: &str = r#"{"id":"i-1","timestamp":"2026-11-02T08:00:00Z","event":{"type":"llm.block","category":"c","severity":"high","action":"a","outcome":"o"},"source":{"ip":"10.0.0.1","hostname":"h2","user":"bob"},"destination":{"ip":"10.0.0.2","port":443},"metadata":{"user_role":"x"}}"#;
const PLAIN: &str = r#"{"id":"p-1","type":"Login Failed","user":"eve","host":"h3","level":"warn","operation_id":"o","source":"app","traceparent":"00-a","time":"2026-11-02T08:00:00Z","classification":"Top Secret","compliance_profiles":["SOX 2"],"metadata":{"user_role":"ops","a/b":"s~t"},"list":[{"v":1},{"v":2,"w":null}]}"#;
const CLOUD: &str = r#"{"specversion":"1.0","id":"c-1","source":"/s","type":"t.u","subject":"sub","time":"2026-11-02T08:00:00Z","roles":"one, two","metadata":"{\"user_role\":\"three\"}","severitytext":"warn","compliance":"SOX, PCI-DSS","classification":"Very Secret","myext":"ext","other":{"deep":["x"]},"user":"joe","data":{"a":[1,true],"b":"c"}}"#;

#[test]
fn a_field_is_sealed_wherever_it_can_be_seen() {
    let event = stored(COPYBOOK);
    let sealed = apply(&fields(&["/data/context/user"], &[]), &event).unwrap();
    let text = at(&sealed, "/user");
    assert!(text.starts_with("bhs1:") && text == at(&sealed, "/data/context/user"), "{text}");
    assert_eq!(open_value(&keys(), &text, "e-1", "/data/context/user").unwrap(), "\"zoe\"");
    for (id, pointer) in [("e-2", "/data/context/user"), ("e-1", "/user")] {
        assert_eq!(open_value(&keys(), &text, id, pointer), Err(OpenFault::Broken));
    }
    assert!(!at(&sealed, "/original").contains("zoe"));
    assert_eq!((at(&sealed, "/data/context/operation_id"), at(&sealed, "/operation"), at(&sealed, "/id")), ("op".into(), "op".into(), "e-1".into()));
    assert_eq!(serde_json::from_str::<Value>(&at(&sealed, "/original")).unwrap()["payload"]["n"].to_string(), "4.2");
    // By the attribute's name it is the same.
    let named = apply(&fields(&["/user"], &[]), &event).unwrap();
    assert!(!seen(&named).contains("zoe"));
    assert_eq!(open_value(&keys(), &at(&named, "/data/context/user"), "e-1", "/user").unwrap(), "\"zoe\"");
    assert_eq!(apply(&fields(&["/user"], &[]), &event), Some(named), "sealing again gives the same");
    assert_eq!(apply(&fields(&["/srcip", "/data/none/*/x"], &[]), &event), None);
}

#[test]
fn values_of_every_kind_open_as_they_were() {
    let event = stored(PLAIN);
    let sealed = apply(&fields(&["/data/list/*/v", "/data/list/1/w", "/metadata", "/dstport"], &[]), &event).unwrap();
    for (pointer, rule, want) in [
        ("/data/list/0/v", "/data/list/*/v", "1"),
        ("/data/list/1/v", "/data/list/*/v", "2"),
        ("/data/list/1/w", "/data/list/1/w", "null"),
        ("/metadata", "/metadata", r#"{"user_role":"ops","a/b":"s~t"}"#),
    ] {
        assert_eq!(open_value(&keys(), &at(&sealed, pointer), "p-1", rule).unwrap(), want, "{pointer}");
    }
    // Roles are taken from the labels.
    assert_eq!(open_value(&keys(), &at(&sealed, "/roles"), "p-1", "/roles").unwrap(), r#"["ops"]"#);
    let escaped = apply(&fields(&["/metadata/a~1b"], &[]), &event).unwrap();
    assert!(!seen(&escaped).contains("s~t") && at(&escaped, "/roles") == r#"["ops"]"#);
    // Whole payload of a plain event: the event itself.
    let whole = apply(&fields(&["/data"], &[]), &event).unwrap();
    let id = at(&whole, "/id");
    assert_eq!(open_value(&keys(), &id, "", "/id").unwrap(), "\"p-1\"");
    assert_eq!(open_value(&keys(), &at(&whole, "/data"), &id, "/data").unwrap(), PLAIN);
    assert_eq!((at(&whole, "/original"), at(&whole, "/timesource")), (at(&whole, "/data"), "receipt".into()));
    assert!(EventRef::new(&whole).unwrap().severity().is_none());
}

#[test]
fn redacted_fields_are_masked_and_ids_stay_apart() {
    let rules = fields(&["/data/list"], &["/user", "/data/id"]);
    let one = apply(&rules, &stored(PLAIN)).unwrap();
    assert_eq!((at(&one, "/user"), at(&one, "/data/user")), (REDACTED.into(), REDACTED.into()));
    assert!(at(&one, "/data/list").starts_with("bhs1:"));
    let id = at(&one, "/id");
    assert!(id.len() == 32 && id == at(&one, "/data/id"), "{id}");
    assert_ne!(at(&apply(&rules, &stored(&PLAIN.replace("p-1", "p-2"))).unwrap(), "/id"), id);
    assert_eq!(at(&apply(&rules, &stored(PLAIN)).unwrap(), "/id"), id);
    // Without a key nothing is sealed, and redaction works all the same.
    let rules = FieldRules::parse(&[], &["/user".to_owned()]).unwrap();
    assert!(apply(&Fields::new(rules, None, 1).unwrap().unwrap(), &stored(PLAIN)).is_some());
    let rules = FieldRules::parse(&["/user".to_owned()], &[]).unwrap();
    assert_eq!(Fields::new(rules, None, 1).unwrap_err(), RuleFault::NoKey);
    assert!(Fields::new(FieldRules::default(), None, 1).unwrap().is_none());
}

#[test]
fn rules_that_cannot_be_are_refused() {
    let own = |text: &str| vec![text.to_owned()];
    for (pointer, part) in [
        ("", "pointer"),
        ("data", "must begin with /"),
        ("/data/~2", "~ must be followed"),
        ("/nothing", "no attribute"),
        ("/original", "no attribute"),
        ("/received", "no attribute"),
        ("/*", "begins with `*`"),
        ("/id", "stays readable"),
        ("/severity", "stays readable"),
        ("/tenant", "stays readable"),
        (&"/x".repeat(40).replacen("/x", "/data", 1), "tokens"),
    ] {
        let fault = FieldRules::parse(&own(pointer), &[]).unwrap_err().to_string();
        assert!(fault.contains(part), "{pointer}: {fault}");
        assert!(FieldRules::check(pointer).is_err());
    }
    assert_eq!(FieldRules::parse(&own("/user"), &own("/user")).unwrap_err(), RuleFault::Both("/user".into()));
    assert_eq!(FieldRules::parse(&vec!["/user".to_owned(); 65], &[]).unwrap_err(), RuleFault::Many);
}

#[test]
fn a_syslog_message_has_its_original_sealed_with_any_field() {
    let mut event = Vec::new();
    let raw = b"<34>1 2026-11-02T08:00:00Z web-7 su 4711 ID47 - 'su root' failed for zqmarkzq";
    assert!(SyslogNormaliser::new(Default::default()).event(raw, &Origin::Nowhere, RECEIVED, &mut event));
    let sealed = apply(&fields(&["/data/message"], &[]), &event).unwrap();
    assert!(!seen(&sealed).contains(MARKER) && at(&sealed, "/data/hostname") == "web-7" && at(&sealed, "/host") == "web-7");
    let id = at(&sealed, "/id");
    assert_eq!(open_value(&keys(), &at(&sealed, "/data/message"), &id, "/data/message").unwrap(), "\"'su root' failed for zqmarkzq\"");
    assert!(open_value(&keys(), &at(&sealed, "/original"), &id, "/original").unwrap().contains("web-7"));
    // The host, as an attribute and as part of the source's name.
    let sealed = apply(&fields(&[], &["/host"]), &event).unwrap();
    assert!(!seen(&sealed).contains("web-7"), "{}", seen(&sealed));
    assert_eq!(at(&sealed, "/original"), REDACTED);
}

#[test]
fn a_payload_that_is_no_json_has_its_original_sealed_with_it() {
    let mut builder = EventBuilder::new();
    builder.text(Attr::Id, "b-1");
    builder.text(Attr::DataBase64, "AAEC");
    let mut event = Vec::new();
    builder.finish(Shape::Plain, None, RECEIVED, MARKER.as_bytes(), &mut event).unwrap();
    let sealed = apply(&fields(&["/data_base64"], &[]), &event).unwrap();
    assert!(!seen(&sealed).contains(MARKER));
    assert_eq!(open_value(&keys(), &at(&sealed, "/data_base64"), "b-1", "/data_base64").unwrap(), "\"AAEC\"");
    assert_eq!(open_value(&keys(), &at(&sealed, "/original"), "b-1", "/original").unwrap(), format!("\"{MARKER}\""));
}

/// A rule for the payload, or for a place in it, holds for payloads that intake could not read as JSON.
#[test]
fn rules_of_the_payload_hold_whatever_form_it_came_in() {
    let cloudevent = |data: &str| stored(&format!(r#"{{"specversion":"1.0","id":"b-2","source":"s","type":"t",{data}}}"#));
    let beside = |attr: Attr, text: &str| {
        let mut builder = EventBuilder::new();
        builder.text(Attr::Id, "b-3");
        builder.text(attr, text);
        let mut event = Vec::new();
        builder.finish(Shape::Plain, None, RECEIVED, MARKER.as_bytes(), &mut event).unwrap();
        event
    };
    let broken = format!("{{\\\"iban\\\":\\\"{MARKER}\\\"");
    let events = [
        cloudevent(&format!("\"data_base64\":\"{MARKER}\"")),
        cloudevent(&format!("\"data\":\"{broken}\"")),
        beside(Attr::DataBase64, MARKER),
        beside(Attr::Data, &format!("[{MARKER}")),
    ];
    for (event, pointer) in events.iter().flat_map(|event| [(event, "/data"), (event, "/data/iban")]) {
        for fields in [fields(&[pointer], &[]), fields(&[], &[pointer])] {
            let sealed = apply(&fields, event).expect("something of it is sealed");
            assert!(!seen(&sealed).contains(MARKER), "{pointer}: {}", seen(&sealed));
        }
    }
    // Text that is none of it stays where only a place within is named.
    assert!(apply(&fields(&["/data/iban"], &[]), &cloudevent(r#""data":"plain words""#)).is_none());
}

#[test]
fn sealed_values_are_found_in_any_text() {
    let sealed = at(&apply(&fields(&["/user"], &[]), &stored(PLAIN)).unwrap(), "/user");
    let text = format!("CEF:0|a|b suser={sealed} x=bhs1:nothing ü {{\"v\":\"{sealed}\"}} bhs1:0123456789abcdef:");
    let found: Vec<&str> = sealed_values(&text).into_iter().map(|range| &text[range]).collect();
    assert_eq!(found, [&sealed[..], &sealed[..]]);
    for no in ["", "bhs1:", "bhs1:0123456789abcdef:1:", "bhs1:0123456789abcdef:x:AAAA", &sealed[..sealed.len() - 40], &sealed.replace("bhs1", "bhs2")] {
        assert!(matches!(open_value(&keys(), no, "p-1", "/user"), Err(OpenFault::Form | OpenFault::Broken | OpenFault::Key(_))), "{no}");
    }
}

#[test]
fn what_does_not_fit_once_it_is_sealed_is_masked() {
    let large = "x".repeat(15 << 20);
    let event = stored(&format!(r#"{{"id":"big","user":"eve","text":"{large}"}}"#));
    let sealed = apply(&fields(&["/data/text", "/user"], &[]), &event).unwrap();
    assert_eq!((at(&sealed, "/data/text"), at(&sealed, "/user"), at(&sealed, "/id")), (TOO_LARGE.into(), TOO_LARGE.into(), "big".into()));
    let many = format!(r#"{{"id":"many","list":[{}1]}}"#, "1,".repeat(5_000));
    let masked = apply(&fields(&["/data/list/*"], &[]), &stored(&many)).unwrap();
    assert_eq!((at(&masked, "/original"), at(&masked, "/id")), (TOO_LARGE.into(), "many".into()));
}

/// Every pointer to a value of a document.
fn pointers(value: &Value, pointer: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            out.push(pointer.clone());
            pointers(value, &pointer, out);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| {
            let pointer = format!("{pointer}/{index}");
            out.push(pointer.clone());
            pointers(value, &pointer, out);
        }),
        _ => {}
    }
}

/// Puts the marker into every string at or below a place.
fn mark(value: &mut Value) {
    match value {
        Value::String(text) => *text = format!("{MARKER} {text}"),
        Value::Object(members) => members.values_mut().for_each(mark),
        Value::Array(items) => items.iter_mut().for_each(mark),
        Value::Number(_) | Value::Bool(_) | Value::Null => *value = json!(MARKER),
    }
}

/// Intake's table of names against ours: whatever is marked is hidden everywhere by the pointer to it.
#[test]
fn no_attribute_shows_what_was_sealed_in_the_payload() {
    for sample in [COPYBOOK, INTELLIGUARD, PLAIN] {
        let document: Value = serde_json::from_str(sample).unwrap();
        let mut all = Vec::new();
        pointers(&document, "", &mut all);
        assert!(all.len() > 12);
        for pointer in all {
            let mut marked = document.clone();
            mark(marked.pointer_mut(&pointer).unwrap());
            let event = stored(&marked.to_string());
            assert!(seen(&event).contains(MARKER));
            let rule = format!("/data{pointer}");
            for rules in [fields(&[&rule], &[]), fields(&[], &[&rule])] {
                let hidden = apply(&rules, &event).unwrap();
                assert!(!seen(&hidden).contains(MARKER), "{pointer}: {}", seen(&hidden));
            }
        }
    }
}

/// And by the attribute's name, wherever it was taken from.
#[test]
fn no_payload_shows_what_was_sealed_as_an_attribute() {
    for sample in [COPYBOOK, INTELLIGUARD, PLAIN, CLOUD] {
        let event = stored(sample);
        let event = EventRef::new(&event).unwrap();
        let document: Value = serde_json::from_str(sample).unwrap();
        let mut all = Vec::new();
        pointers(&document, "", &mut all);
        for (attr, ..) in event.attrs() {
            let rule = format!("/{}", attr.name());
            if matches!(attr, Attr::Data) || FieldRules::check(&rule).is_err() {
                continue;
            }
            let mut hidden = 0;
            for pointer in &all {
                let mut marked = document.clone();
                let place = marked.pointer_mut(pointer).unwrap();
                if place.is_object() || place.is_array() {
                    continue;
                }
                // Text that holds a list or an object stays one.
                match place {
                    Value::String(text) if text.contains("user_role") => *text = text.replace("three", MARKER),
                    Value::String(text) if text.contains(", ") => *text = format!("{text}, {MARKER}"),
                    place => mark(place),
                }
                let mut event = Vec::new();
                if Normaliser::new(Rules::default()).event(marked.to_string().as_bytes(), 0, Form::Json, RECEIVED, &mut event).is_err() {
                    continue;
                }
                // Where the attribute shows the marker, no other place may once it is sealed.
                if !at(&event, &rule).to_lowercase().contains(MARKER) {
                    continue;
                }
                hidden += 1;
                for rules in [fields(&[&rule], &[]), fields(&[], &[&rule])] {
                    let sealed = apply(&rules, &event).unwrap_or_else(|| panic!("{rule} {pointer}"));
                    assert!(!seen(&sealed).contains(MARKER), "{rule}, taken from {pointer}: {}", seen(&sealed));
                }
            }
            assert!(hidden > 0, "{rule} shows nothing of {sample}");
        }
    }
}

#[test]
fn extensions_are_hidden_in_both_of_their_places() {
    for rule in ["/extensions/myext", "/extensions", "/extensions/other/deep/0", "/extensions/*"] {
        let marked = CLOUD.replace(r#""myext":"ext""#, &format!(r#""myext":"{MARKER}""#)).replace(r#"["x"]"#, &format!(r#"["{MARKER}"]"#));
        let shown = seen(&apply(&fields(&[rule], &[]), &stored(&marked)).unwrap()).matches(MARKER).count();
        // Of the two one is named.
        let other = if rule.ends_with("myext") || rule.ends_with('0') { 2 } else { 0 };
        assert_eq!(shown, other, "{rule}");
    }
}

fn tree() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("plain".to_owned()),
        Just("a \"quoted\" \\ \u{1} one".to_owned()),
        Just("ünïcode \u{1F600}".to_owned()),
        Just(String::new()),
        "[ -~]{0,40}"
    ];
    let leaf = prop_oneof![text.prop_map(Value::from), any::<i64>().prop_map(Value::from), any::<bool>().prop_map(Value::from), Just(Value::Null)];
    let name = prop_oneof![
        Just("user".to_owned()),
        Just("metadata".to_owned()),
        Just("user_role".to_owned()),
        Just("type".to_owned()),
        Just("severity".to_owned()),
        Just("host".to_owned()),
        Just("id".to_owned()),
        Just("context".to_owned()),
        Just("a/b~c".to_owned()),
        Just("0".to_owned()),
        Just("ö\"\\".to_owned()),
        "[a-z]{1,6}",
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect()))
        ]
    })
}

/// JSON text with every character of names and strings as an escape, or with much space.
fn spelled(value: &Value, escapes: bool, space: &str) -> String {
    let string = |text: &str| {
        if escapes { format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>()) } else { Value::from(text).to_string() }
    };
    match value {
        Value::Object(members) => {
            let inner: Vec<String> =
                members.iter().map(|(name, value)| format!("{space}{}{space}:{space}{}{space}", string(name), spelled(value, escapes, space))).collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| format!("{space}{}{space}", spelled(item, escapes, space))).collect::<Vec<_>>().join(","))
        }
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_sealed_is_nowhere_and_opens_to_the_same(
        tree in tree(), more in tree(), pick in any::<prop::sample::Index>(), second in any::<prop::sample::Index>(), escapes in any::<bool>(), space in prop_oneof![Just(""), Just(" \n\t")], redact in any::<bool>(),
    ) {
        let mut document = json!({"payload": tree, "more": more, "user": "eve", "metadata": {"user_role": "x"}});
        let mut all = Vec::new();
        pointers(&document, "", &mut all);
        let (pointer, other) = (all[pick.index(all.len())].clone(), all[second.index(all.len())].clone());
        prop_assume!(!pointer.split('/').any(|token| token == "*"));
        mark(document.pointer_mut(&pointer).unwrap());
        let clear = document.pointer(&pointer).unwrap().clone();
        let event = stored(&spelled(&document, escapes, space));
        let (rule, second) = (format!("/data{pointer}"), format!("/data{other}"));
        let nested = second == rule || second.starts_with(&format!("{rule}/")) || rule.starts_with(&format!("{second}/"));
        let rules = if redact { fields(&[], &[&rule, &second]) } else { fields(&[&rule, &second], &[]) };
        let sealed = apply(&rules, &event).unwrap();
        prop_assert!(!seen(&sealed).contains(MARKER), "{}", seen(&sealed));
        let after: Value = serde_json::from_str(&at(&sealed, "/original")).unwrap();
        let data = at(&sealed, "/data");
        prop_assert_eq!(EventRef::new(&sealed).unwrap().original(), data.as_bytes());
        if !nested {
            let text = after.pointer(&pointer).unwrap().as_str().unwrap().to_owned();
            if redact {
                prop_assert_eq!(text, REDACTED);
            } else {
                let opened = open_value(&keys(), &text, &at(&sealed, "/id"), &rule).unwrap();
                prop_assert_eq!(serde_json::from_str::<Value>(&opened).unwrap(), clear);
            }
            // All else is as it was.
            let (mut before, mut after) = (document, after);
            for place in [&pointer, &other] {
                *before.pointer_mut(place).unwrap() = Value::Null;
                *after.pointer_mut(place).unwrap() = Value::Null;
            }
            prop_assert_eq!(before, after);
        }
    }
}

#[test]
fn what_any_rules_hide_is_hidden_by_all_together_and_once() {
    let rules = |seal: &[&str], redact: &[&str]| {
        let own = |list: &[&str]| list.iter().map(|pointer| (*pointer).to_owned()).collect::<Vec<_>>();
        FieldRules::parse(&own(seal), &own(redact)).unwrap()
    };
    let (one, other, third) = (rules(&["/user", "/data/a"], &[]), rules(&["/user"], &["/data/b"]), rules(&[], &["/data/a"]));
    let all = FieldRules::union([&one, &other, &third]);
    assert_eq!(all.pointers().collect::<Vec<_>>(), ["/data/b", "/data/a", "/user"]);
    let all = Fields::new(all, Some(&keys()), 86_400).unwrap().unwrap();
    let hidden = apply(&all, &stored(&format!(r#"{{"id":"1","type":"t","user":"{MARKER}","a":"{MARKER}","b":"{MARKER}","c":"open"}}"#))).unwrap();
    assert!(!seen(&hidden).contains(MARKER) && seen(&hidden).contains("open"));
    assert_eq!((at(&hidden, "/data/a"), at(&hidden, "/data/b")), (REDACTED.to_owned(), REDACTED.to_owned()));
    assert!(FieldRules::union([]).is_empty());
}
