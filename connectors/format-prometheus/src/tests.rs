use bulkhead_sdk::native::{self, EventText};

use super::*;

#[track_caller]
fn check(config: &str, event: &str, want: &str) {
    let line = native::formatter::<Prometheus>(config).unwrap().line(&EventText::new(event)).unwrap();
    assert_eq!(line, want);
}

const EVENT: &str = r#"{"id":"e-1","source":"copybook","type":"login","time":"2026-01-02T03:04:05.123456789Z","severity":"high","compliance":["sox","a\"b"],"user":"C:\\x \"q\"\n","dstport":443,"data":{"ms":12.25,"text":"-1e3","nan":"NaN","inf":"1e999","yes":true,"o":{"a":1}}}"#;

#[test]
fn a_sample_with_its_labels_and_its_time() {
    check("{}", EVENT, "audit_event{id=\"e-1\",source=\"copybook\",event_type=\"login\",severity=\"high\"} 1 1767323045123\n");
    check(r#"{"version":"openmetrics"}"#, EVENT, "audit_event{id=\"e-1\",source=\"copybook\",event_type=\"login\",severity=\"high\"} 1 1767323045.123456789\n");
    check(
        r#"{"metric":"m:x","labels":{"who":"/user","list":"/compliance","o":"/data/o","port":"/dstport","none":"/host","empty":"/subject"},"timestamp":false}"#,
        EVENT,
        "m:x{list=\"sox,a\\\"b\",o=\"{\\\"a\\\":1}\",port=\"443\",who=\"C:\\\\x \\\"q\\\"\\n\"} 1\n",
    );
    check(r#"{"labels":{"who":"/user"},"max_label":4}"#, EVENT, "audit_event{who=\"C:\\\\x\"} 1 1767323045123\n");
    check(r#"{"labels":{}}"#, EVENT, "audit_event 1 1767323045123\n");
    check("{}", r#"{"received":"2026-01-02T03:04:05Z","subject":""}"#, "audit_event 1 1767323045000\n");
    check("{}", "{}", "audit_event 1\n");
    // Before 1970.
    check(r#"{"labels":{}}"#, r#"{"time":"1969-12-31T23:59:58.75Z"}"#, "audit_event 1 -1250\n");
    check(r#"{"labels":{},"version":"openmetrics"}"#, r#"{"time":"1969-12-31T23:59:58.75Z"}"#, "audit_event 1 -1.25\n");
}

#[test]
fn numbers_keep_their_digits() {
    let value = |pointer: &str| format!(r#"{{"labels":{{}},"timestamp":false,"value":"{pointer}"}}"#);
    for (pointer, want) in [("/data/ms", "12.25"), ("/data/text", "-1e3"), ("/data/yes", "1"), ("/dstport", "443")] {
        check(&value(pointer), EVENT, &format!("audit_event {want}\n"));
    }
    for pointer in ["/data/nan", "/data/inf", "/data/o", "/host", "/compliance", "/user"] {
        let refused = native::formatter::<Prometheus>(&value(pointer)).unwrap().line(&EventText::new(EVENT)).unwrap_err();
        assert_eq!(refused, format!("{pointer} is no number; `default` would take its place"));
        check(&value(pointer).replace("\"value\"", "\"default\":-0.5,\"value\""), EVENT, "audit_event -0.5\n");
    }
    let counter = value("/data/text").replace("\"value\"", "\"type\":\"counter\",\"value\"");
    let refused = native::formatter::<Prometheus>(&counter).unwrap().line(&EventText::new(EVENT)).unwrap_err();
    assert_eq!(refused, "/data/text is no number of a counter; `default` would take its place");
    check(&counter.replace("/data/text", "/data/ms"), EVENT, "audit_event 12.25\n");
}

#[test]
fn numbers_are_what_readers_take() {
    let value = |text: &'static str| bulkhead_sdk::json::value(text).unwrap();
    for text in ["12.50", "-0", "1E5", "123456789012345678901234567890", "\"0.10\"", "\"-7\""] {
        assert_eq!(number(value(text)), Some(text.trim_matches('"').as_bytes()), "{text}");
    }
    for text in ["1e999", "\"1e999\"", "\"\"", "\" 1\"", "\"+1\"", "\"inf\"", "\"NaN\"", "\"0x1\"", "\"1_0\"", "\"01\"", "\"[1]\"", "null", "[]", "true"] {
        assert_eq!(number(value(text)), None, "{text}");
    }
}

#[test]
fn whole_expositions() {
    let base = r#""labels":{"id":"/id"},"record":"exposition","help":"A \"line\" \\ and\nanother.""#;
    check(
        &format!("{{{base}}}"),
        EVENT,
        "# HELP audit_event A \"line\" \\\\ and\\nanother.\n# TYPE audit_event gauge\naudit_event{id=\"e-1\"} 1 1767323045123\n",
    );
    check(
        &format!(r#"{{{base},"version":"openmetrics","metric":"a_total","type":"counter"}}"#),
        EVENT,
        "# HELP a A \\\"line\\\" \\\\ and\\nanother.\n# TYPE a counter\na_total{id=\"e-1\"} 1 1767323045.123456789\n# EOF\n",
    );
    for (version, word) in [("text", "untyped"), ("openmetrics", "unknown")] {
        let config = format!(r#"{{{base},"version":"{version}","type":"unknown"}}"#);
        let line = native::formatter::<Prometheus>(&config).unwrap().line(&EventText::new(EVENT)).unwrap();
        assert!(line.contains(&format!("# TYPE audit_event {word}\n")), "{line}");
    }
}

#[test]
fn hostile_values_stay_inside_their_label() {
    check(
        r#"{"labels":{"a":"/user"},"timestamp":false}"#,
        r#"{"user":"x\"} 1\nforged{a=\"\\\u0000\r"}"#,
        "audit_event{a=\"x\\\"} 1\\nforged{a=\\\"\\\\\0\r\"} 1\n",
    );
}

#[test]
fn configuration() {
    let many: Vec<String> = (0..33).map(|at| format!("\"l{at}\":\"/id\"")).collect();
    let many = format!("{{\"labels\":{{{}}}}}", many.join(","));
    for (config, words) in [
        (r#"{"metric":"1x"}"#, "`metric` is \"1x\""),
        (r#"{"metric":"a-b"}"#, "`metric` is \"a-b\""),
        (r#"{"version":"openmetrics","type":"counter","metric":"a"}"#, "counters of OpenMetrics end in _total"),
        (r#"{"labels":{"__name__":"/id"}}"#, "`labels` names \"__name__\""),
        (r#"{"labels":{"a:b":"/id"}}"#, "`labels` names \"a:b\""),
        (r#"{"labels":{"a":"id"}}"#, "`labels.a` is \"id\""),
        (r#"{"value":"ms"}"#, "`value` is \"ms\""),
        (r#"{"default":0}"#, "`value` is not set"),
        (r#"{"default":1e999,"value":"/data/x"}"#, "`default`"),
        (r#"{"default":-1,"value":"/data/x","type":"counter"}"#, "`default` is -1; a counter is not negative"),
        (&many, "the most is 32"),
    ] {
        let error = native::formatter::<Prometheus>(config).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

/// The text behind `name="`, up to its quote, by the grammar and nothing else.
fn read(rest: &mut std::str::Chars<'_>) -> String {
    let mut text = String::new();
    loop {
        match rest.next().expect("a quote ends it") {
            '"' => return text,
            '\\' => text.push(match rest.next().expect("something is escaped") {
                'n' => '\n',
                other => other,
            }),
            other => text.push(other),
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    let letters = ['"', '\\', '\n', 'n', '}', '{', ',', '=', '#', ' ', 'é', '\u{10ffff}', '\r', '\0', 'x'];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as usize % limit
    };
    let formatter = native::formatter::<Prometheus>(r#"{"labels":{"a":"/user","b":"/host"},"max_label":8192,"timestamp":false}"#).unwrap();
    for _ in 0..5_000 {
        let mut text = || (0..=below(40)).map(|_| letters[below(letters.len())]).collect::<String>();
        let texts = [text(), text()];
        let mut json = Writer::default();
        json.literal(b"{\"user\":");
        json.json_string(texts[0].as_bytes());
        json.literal(b",\"host\":");
        json.json_string(texts[1].as_bytes());
        json.byte(b'}');
        let line = formatter.line(&EventText::new(std::str::from_utf8(json.as_bytes()).unwrap())).unwrap();
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        let mut rest = line.strip_prefix("audit_event{a=\"").unwrap().chars();
        let first = read(&mut rest);
        assert_eq!(rest.by_ref().take(4).collect::<String>(), ",b=\"");
        assert_eq!([first, read(&mut rest)], texts);
        assert_eq!(rest.as_str(), "} 1\n");
    }
}
