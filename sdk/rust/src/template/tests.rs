use super::*;
use crate::native::EventText;

const EVENT: &str = r#"{"user":"A \"b\"\n<é>&'/?=%","n":1.5,"flag":true,"none":null,"list":["a",1],"empty":"","dots":".."}"#;

fn rules(place: Place) -> Rules<'static> {
    Rules { key: "body", place, records_fit: place == Place::Json, one_line: false, refuse_missing: false }
}

/// Fills a template from the event above, with this record.
fn fill(template: &str, rules: &Rules<'_>, record: &str) -> Result<String, String> {
    let mut pointers = Pointers::new(&[]);
    let template = Template::parse(template, rules, &mut pointers)?;
    let fields: Vec<String> = pointers.all().into_iter().map(str::to_owned).collect();
    let (block, spans) = EventText::new(EVENT).batch(&fields);
    let events = crate::Events::new(&block, &spans, 1, fields.len());
    let mut out = Writer::default();
    template.write(&Scope { event: events.get(0), record: record.as_bytes(), message_id: "msg-1" }, &mut out)?;
    Ok(String::from_utf8(out.into_bytes()).expect("UTF-8"))
}

#[track_caller]
fn check(place: Place, template: &str, want: &str) {
    assert_eq!(fill(template, &rules(place), "{\"r\": \"x\\n\"}\n").as_deref(), Ok(want), "{template}");
}

#[test]
fn paths_and_queries_are_percent_encoded() {
    check(Place::Path, "/a/{{ /n }}/{{/dots}}?u={{ /user }}&n={{ /none }}&x", "/a/1.5/..?u=A%20%22b%22%0A%3C%C3%A9%3E%26%27%2F%3F%3D%25&n=&x");
    check(Place::Path, "/{{ message_id }}/{{ base64 /n }}", "/msg-1/MS41");
    check(Place::Path, "/{{ /list }}", "/%5B%22a%22%2C1%5D");
    for empty in ["/x/{{ /empty }}", "/x/{{ /none }}/y", "/{{ /not/there }}?q"] {
        assert!(fill(empty, &rules(Place::Path), "").unwrap_err().contains("is empty, and the path would lead elsewhere"), "{empty}");
    }
}

#[test]
fn headers_carry_visible_ascii() {
    check(Place::Header, "team {{ /user }};{{ /none }}", "team A%20%22b%22%0A<%C3%A9>&'/?=%25;");
    check(Place::Header, "\"{{ message_id }}\"", "\"msg-1\"");
    check(Place::Header, "{{ record }}", "{%22r%22:%20%22x\\n%22}");
}

#[test]
fn json_is_text_between_quotes_and_a_value_elsewhere() {
    check(
        Place::Json,
        r#"{"u":"<{{ /user }}>","v":{{ /user }},"n":{{ /n }},"s":"{{ /n }}","none":{{ /none }},"gone":{{ /gone }},"e":"{{ /gone }}{{ /none }}"}"#,
        r#"{"u":"<A \"b\"\n<é>&'/?=%>","v":"A \"b\"\n<é>&'/?=%","n":1.5,"s":"1.5","none":null,"gone":null,"e":""}"#,
    );
    check(Place::Json, r#"{"l":{{ /list }},"t":"{{ /list }}","r":{{ record }}}"#, r#"{"l":["a",1],"t":"[\"a\",1]","r":{"r": "x\n"}}"#);
    check(
        Place::Json,
        r#"["{{ record }}","{{ base64 record }}",{{ base64 /n }},{{ message_id }}]"#,
        "[\"{\\\"r\\\": \\\"x\\\\n\\\"}\",\"eyJyIjogInhcbiJ9Cg==\",\"MS41\",\"msg-1\"]",
    );
    // Quotes in the template's own text do not mislead.
    check(Place::Json, r#"{"a\"b":"\\","c":{{ /flag }}}"#, r#"{"a\"b":"\\","c":true}"#);
    check(Place::Json, "no holes at all", "no holes at all");
}

#[test]
fn what_fills_a_json_template_never_breaks_it() {
    for template in [r#"{"a":"{{ /user }}{{ record }}","b":{{ /user }},"c":[{{ record }},{{ /list }},{{ /gone }}]}"#, "{{ /list }}", "\"{{ base64 /user }}\""] {
        let text = fill(template, &rules(Place::Json), "{\"r\":1}").unwrap();
        assert!(json::is_strict(&text), "{text}");
    }
    let one_line = Rules { one_line: true, ..rules(Place::Json) };
    assert_eq!(fill("{\"a\":{}}\n{{ record }}\n", &one_line, "{\n\"r\":\n1}\n").as_deref(), Ok("{\"a\":{}}\n{ \"r\": 1}\n"));
}

#[test]
fn forms_xml_and_text() {
    check(Place::Form, "u={{ /user }}&r={{ record }}", "u=A+%22b%22%0A%3C%C3%A9%3E%26%27%2F%3F%3D%25&r=%7B%22r%22%3A+%22x%5Cn%22%7D");
    check(Place::Xml, "<u a='{{ /user }}'>{{ record }}</u>", "<u a='A &quot;b&quot;\n&lt;é&gt;&amp;&#39;/?=%'>{&quot;r&quot;: &quot;x\\n&quot;}</u>");
    check(Place::Text, "{{ /user }}|{{ record }}", "A \"b\"\n<é>&'/?=%|{\"r\": \"x\\n\"}");
    let fits = Rules { records_fit: true, ..rules(Place::Xml) };
    assert_eq!(fill("<l>{{ record }}{{ base64 record }}</l>", &fits, "<e/>\n").as_deref(), Ok("<l><e/>PGUvPgo=</l>"));
    let mut out = Writer::default();
    xml("\0\u{8}\r\u{ffff}a".as_bytes(), &mut out);
    assert_eq!(std::str::from_utf8(out.as_bytes()), Ok("\u{fffd}\u{fffd}&#13;\u{fffd}a"));
}

#[test]
fn missing_fields_are_refused_where_that_is_configured() {
    let strict = Rules { refuse_missing: true, ..rules(Place::Json) };
    assert_eq!(fill("[{{ /n }},{{ /data/gone }}]", &strict, ""), Err("the event has no /data/gone, which the configuration asks for".to_owned()));
    assert_eq!(fill("[{{ /none }}]", &strict, "").as_deref(), Ok("[null]"));
}

#[test]
fn what_cannot_be_read_is_refused() {
    for (place, template, words) in [
        (Place::Text, "{{ /user", "is not closed"),
        (Place::Text, "{{ user }}", "`{{ user }}` is none of a pointer such as /severity"),
        (Place::Text, "{{ }}", "is none of"),
        (Place::Text, "{{ base64 }}", "is none of"),
        (Place::Text, "{{ if /user }}", "is none of"),
    ] {
        let error = fill(template, &rules(place), "").unwrap_err();
        assert!(error.contains(words) && error.starts_with("`body`"), "{error}");
    }
    let plain = Rules { records_fit: false, ..rules(Place::Json) };
    assert!(fill("{\"a\":{{ record }}}", &plain, "").unwrap_err().contains("put `{{ record }}` between quotes"));
    assert_eq!(fill("{\"a\":\"{{ record }}\",\"b\":{{ base64 record }}}", &plain, "a\"\n").as_deref(), Ok(r#"{"a":"a\"","b":"YSIK"}"#));
    let many: String = (0..70).map(|i| format!("{{{{ /f{i} }}}}")).collect();
    assert!(fill(&many, &rules(Place::Text), "").unwrap_err().contains("more than the 64 fields"));
}

#[test]
fn samples_are_checked_as_json() {
    let sample = |text: &str| Template::parse(text, &rules(Place::Json), &mut Pointers::new(&[])).unwrap().sample();
    assert_eq!(sample(r#"{"a":"{{ /b }}","c":{{ record }}}"#), r#"{"a":"x","c":null}"#);
    for good in [r#"{"a":"{{ /b }}","c":{{ record }}}"#, "{\"index\":{}}\n{{ record }}\n"] {
        assert_eq!(check_json("body", &sample(good)), Ok(()), "{good}");
    }
    for bad in ["{\"a\":1{{ /b }}}", "{{ /a }}{{ /b }}", "{ {{ /a }}:1}", "{\"a\":\"\\{{ /b }}\"}", "{\"a\":\"\\u00{{ /b }}\"}", "", "{\"a\":"] {
        assert!(check_json("body", &sample(bad)).unwrap_err().contains("not well-formed JSON"), "{bad}");
    }
}

#[test]
fn what_it_depends_on() {
    let parse = |text: &str| Template::parse(text, &rules(Place::Text), &mut Pointers::new(&[])).unwrap();
    assert!(parse("a{{ message_id }}").is_fixed() && parse("a{{ message_id }}").names_message_id());
    assert!(!parse("{{ record }}").is_fixed() && !parse("{{ /id }}").names_message_id());
    assert_eq!(Place::of("Application/Vnd.api+json; charset=utf-8"), Place::Json);
    assert_eq!((Place::of("text/xml"), Place::of("application/soap+xml"), Place::of("text/csv")), (Place::Xml, Place::Xml, Place::Text));
    assert_eq!((Place::of("application/x-www-form-urlencoded"), Place::of("application/x-ndjson")), (Place::Form, Place::Json));
}
