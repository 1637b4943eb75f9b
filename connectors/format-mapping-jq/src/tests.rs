use bulkhead_sdk::native::{self, EventText};

use super::*;

fn formatter(jq: &str, fields: &str) -> Result<native::NativeFormatter<MappingJq>, String> {
    let mut config = Writer::default();
    config.literal(b"{\"jq\":");
    config.json_string(jq.as_bytes());
    config.bytes(format!(",\"fields\":{fields}}}").as_bytes());
    native::formatter(std::str::from_utf8(config.as_bytes()).unwrap())
}

const ALL: &str = r#"[{"to":"id","from":"/id"},{"to":"data","from":"/data"}]"#;

#[track_caller]
fn check(jq: &str, event: &str, want: &str) {
    let line = formatter(jq, ALL).unwrap().line(&EventText::new(event));
    assert_eq!(line.unwrap_or_else(|refused| refused), want, "{jq}");
}

#[test]
fn rows_see_what_the_program_makes() {
    let event = r#"{"id":"e","severity":"high","data":{"a":[1,2.5,-0.25e-7,12345678901],"text":"\u00e9 \"x\"\n"}}"#;
    check(".", event, r#"{"id":"e","data":{"a":[1,2.5,-2.5e-8,12345678901],"text":"é \"x\"\n"}}"#);
    check(".id = .severity | .data = (.data.a | add)", r#"{"severity":"low","data":{"a":[1,2]}}"#, r#"{"id":"low","data":3}"#);
    check(r#".data |= with_entries(select(.key | test("^t")))"#, event, r#"{"id":"e","data":{"text":"é \"x\"\n"}}"#);
    check("{id: (.id | @base64), data: [.data.text | scan(\"[a-z]\")]}", event, r#"{"id":"ZQ==","data":["x"]}"#);
    check(".data = {received, none: .host}", r#"{"received":"2026-01-02T03:04:05Z"}"#, r#"{"data":{"received":"2026-01-02T03:04:05Z","none":null}}"#);
    // Rows look into whatever object it is.
    check(".data", r#"{"data":{"id":"a","x":1}}"#, r#"{"id":"a"}"#);
}

#[test]
fn what_is_no_object_is_refused_without_what_it_holds() {
    let event = r#"{"id":"secret","data":{"a":1}}"#;
    for (jq, words) in [
        ("empty", "yields nothing"),
        ("., .", "yields more than one value"),
        (".id", "yields a string, not an object"),
        ("[.]", "yields an array, not an object"),
        ("null", "yields null, not an object"),
        ("true", "yields a boolean, not an object"),
        (".id + 1", "ends with an error on this event"),
        ("error(.)", "ends with an error on this event"),
        ("{id: (0 / 0)}", "yields what JSON does not have"),
        ("{(.data | tostring): nan}", "yields what JSON does not have"),
    ] {
        check(jq, event, &format!("`jq` {words}"));
    }
}

#[test]
fn nothing_but_the_event_is_there() {
    for name in [
        "now",
        "env",
        "input",
        "inputs",
        "input_filename",
        "debug",
        "stderr",
        "halt",
        "halt_error",
        "localtime",
        "gmtime",
        "mktime",
        "todate",
        "fromdate",
        "fromdateiso8601",
        "todateiso8601",
        "get_search_list",
        "$__prog_args",
    ] {
        let error = formatter(name, ALL).unwrap_err();
        assert!(error.starts_with("`jq`: there is no ") && error.contains(name), "{name}: {error}");
    }
    for jq in ["$ENV", "$ENV.HOME", "strftime(\"%Y\")", "debug(1)", "halt_error(1)", "input_line_number"] {
        assert!(formatter(jq, ALL).unwrap_err().starts_with("`jq`: there is no "), "{jq}");
    }
    for jq in ["import \"a\" as a; .", "include \"a\"; ."] {
        assert_eq!(formatter(jq, ALL).unwrap_err(), "`jq` is no program: there are no modules");
    }
}

#[test]
fn errors_name_the_place() {
    for (jq, words) in [
        (".a\n| (.b", "`jq` is no program: line 2, column 6: expected closing parenthesis"),
        (".a |", "`jq` is no program: line 1, column "),
        ("\"", "`jq` is no program: line 1, column 2: expected closing quote"),
        ("foo(1)", "`jq`: there is no filter `foo` here"),
        ("$x", "`jq`: there is no variable `$x` here"),
    ] {
        let error = formatter(jq, ALL).unwrap_err();
        assert!(error.starts_with(words), "{jq}: {error}");
    }
    assert!(formatter(".", r#"[{"to":"a","from":"/nothing"}]"#).unwrap_err().contains("an event has no \"nothing\""));
    assert!(formatter(".", r#"[{"to":"a","from":"/original"}]"#).unwrap_err().contains("/original"));
    assert!(formatter("", ALL).is_err());
}

/// Rows find the same behind `.` as without a program, whatever the event.
#[test]
fn a_program_that_changes_nothing_changes_nothing() {
    let rows = r#"[{"to":"a","from":"/data/a","transform":["trim"]},{"to":"b","expr":"data.b + 1"},{"to":"c","from":"/metadata/x~1y"},{"to":"id","from":"/id","default":0}]"#;
    let behind = formatter(".", rows).unwrap();
    for event in [
        r#"{"id":"1","data":{"a":" x ","b":2},"metadata":{"x/y":[1,{"z":null}]}}"#,
        r#"{"id":null,"data":[1],"metadata":"m"}"#,
        r#"{"data":{"a":"\u0041","b":9007199254740993}}"#,
    ] {
        let mapping = Mapping::compile(rows_of(rows), Vec::new()).unwrap();
        let fields: Vec<String> = mapping.fields().into_iter().map(str::to_owned).collect();
        let (block, spans) = EventText::new(event).batch(&fields);
        let mut out = Writer::default();
        let direct = mapping.apply(&bulkhead_sdk::Events::new(&block, &spans, 1, fields.len()).get(0), &mut out);
        let direct = direct.map(|()| String::from_utf8(out.into_bytes()).unwrap()).map_err(|problem| problem.to_string());
        assert_eq!(behind.line(&EventText::new(event)), direct, "{event}");
    }
}

fn rows_of(text: &str) -> Vec<Row> {
    let text = format!("{{\"jq\":\".\",\"fields\":{text}}}");
    bulkhead_sdk::config::read::<Settings>(&text).unwrap().fields
}
