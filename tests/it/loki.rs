//! Grafana Loki: streams, structured metadata, and lines that it does not take.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::Step;
use serde_json::{Value, json};

use crate::story::Story;
use crate::vendor::{Broken, Vendor, instance, json as json_body, reasons, rule};

/// `max_line_size`.
const MOST_LINE: usize = 256 * 1024;
const HOUR: i64 = 3_600_000_000_000;
/// The receiver's time: 2026-11-02T08:00:00Z, when the events happen.
const NOW: i64 = 1_793_606_400_000_000_000;

#[derive(Default)]
struct Loki {
    /// Lines by stream, time and text, as each is shown once.
    lines: BTreeMap<String, BTreeSet<(i64, String)>>,
    /// Lines that were there already.
    repeated: usize,
    /// Structured metadata by line.
    metadata: BTreeMap<String, Value>,
    /// Times in the order in which they came, by stream.
    order: BTreeMap<String, Vec<i64>>,
}

fn flat(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.values().all(Value::is_string))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.as_bytes()[0].is_ascii_digit()
}

fn rules(head: &Head, body: &[u8], loki: &mut Loki, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    let bad = |text: &str| Step::answer(400, format!("{text}\n"));
    rule((head.method.as_str(), head.path.as_str()) == ("POST", "/loki/api/v1/push"), "lines go to the push address", || {
        Step::answer(404, "404 page not found")
    })?;
    rule(head.headers.get("authorization") == Some("Basic dGVuYW50LXVzZXI6bG9raS10b2tlbg=="), "the gateway knows the user", || {
        Step::answer(401, "Unauthorized")
    })?;
    rule(head.headers.get("x-scope-orgid") == Some("team-a"), "the tenant is named", || Step::answer(401, "no org id"))?;
    rule(head.headers.get("content-type") == Some("application/json"), "JSON is said to be JSON; any other type is read as Snappy", || {
        bad("snappy: corrupt input")
    })?;
    let push = json_body(body, || bad("loghttp.PushRequest.Streams: []loghttp.LogProtoStream: unmarshalerDecoder"))?;
    let streams = push["streams"].as_array().cloned().unwrap_or_default();
    rule(push.as_object().is_some_and(|push| push.len() == 1) && !streams.is_empty(), "a push is its streams", || bad("no streams"))?;
    for stream in &streams {
        let labels = stream["stream"].as_object();
        rule(flat(&stream["stream"]) && labels.is_some_and(|labels| (1..=15).contains(&labels.len())), "1 to 15 labels, all texts", || {
            bad("error at least one label pair is required per stream")
        })?;
        let fits = |(name, value): (&String, &Value)| is_name(name) && name.len() <= 1024 && value.as_str().is_some_and(|value| value.len() <= 2048);
        rule(labels.is_some_and(|labels| labels.iter().all(fits)), "labels have names of letters, and values of at most 2,048 bytes", || {
            bad("stream has label value too long")
        })?;
        for value in stream["values"].as_array().into_iter().flatten() {
            let entry = value.as_array().map(Vec::as_slice).unwrap_or_default();
            let nanos = entry.first().and_then(Value::as_str).is_some_and(|text| text.parse::<i64>().is_ok());
            let metadata = entry.get(2).is_none_or(|metadata| flat(metadata) && metadata.as_object().is_some_and(|metadata| metadata.len() <= 128));
            rule(nanos && entry.get(1).is_some_and(Value::is_string) && metadata && entry.len() <= 3, "an entry is nanoseconds, a line, metadata", || {
                bad("Value is not a string")
            })?;
        }
    }
    let step = next();
    if !matches!(step, Step::Accept | Step::Lose) {
        return Ok(step);
    }
    let mut refused = Vec::new();
    for stream in &streams {
        take(stream, loki, &mut refused);
    }
    Ok(match (step, refused.is_empty()) {
        (Step::Lose, _) => Step::Lose,
        (_, true) => Step::answer(204, ""),
        // The good lines of the request are kept.
        (_, false) => bad(&refused.join("\n")),
    })
}

fn take(stream: &Value, loki: &mut Loki, refused: &mut Vec<String>) {
    let labels = stream["stream"].to_string();
    for entry in stream["values"].as_array().into_iter().flatten() {
        let (time, line) = (entry[0].as_str().unwrap_or_default().parse::<i64>().unwrap_or_default(), entry[1].as_str().unwrap_or_default());
        let newest = loki.lines.get(&labels).and_then(|lines| lines.last()).map_or(i64::MIN, |(time, _)| *time);
        if line.len() > MOST_LINE {
            refused.push(format!("max entry size '{MOST_LINE}' bytes exceeded for stream '{labels}' while adding an entry with length '{}' bytes", line.len()));
        } else if time < NOW - 7 * 24 * HOUR {
            refused.push(format!("entry for stream '{labels}' has timestamp too old: {time}"));
        } else if time < newest.saturating_sub(HOUR) {
            refused.push(format!("entry with timestamp {time} ignored, reason: 'entry too far behind'"));
        } else if !loki.lines.entry(labels.clone()).or_default().insert((time, line.to_owned())) {
            loki.repeated += 1;
        } else {
            loki.order.entry(labels.clone()).or_default().push(time);
            if let Some(metadata) = entry.get(2) {
                loki.metadata.insert(line.to_owned(), metadata.clone());
            }
        }
    }
}

fn event(id: &str, time: &str, severity: &str, message: &str) -> String {
    format!("{}\n", json!({"id": id, "timestamp": time, "severity": severity, "user": "ada", "message": message}))
}

#[test]
fn lines_find_their_streams_and_only_bad_ones_are_dead() {
    let loki = Vendor::start("lose;429;503", rules);
    let destination = format!("{{url: \"{}\", methods: [POST, GET], credential: loki}}", loki.receiver.url());
    let config = "{labels: {app: audit}, label_fields: {severity: /severity}, metadata: {user: /user}, tenant: team-a, gzip: true}";
    let story = Story::start(&format!(
        "instances:\n{}credentials:\n  loki: {{type: basic, username: tenant-user, password: loki-token}}\ndefault_route: [{{instance: logs, format: json}}]\n",
        instance("logs", "loki", config, &destination, "    concurrency: 1\n")
    ));
    let mut events = String::new();
    for i in 0..60 {
        let severity = if i % 3 == 0 { "high" } else { "low" };
        events.push_str(&event(&format!("e-{i}"), &format!("2026-11-02T07:58:{i:02}.000000001Z"), severity, "fine"));
    }
    events.push_str(&event("old", "2026-10-02T08:00:00Z", "low", "too old"));
    events.push_str(&event("long", "2026-11-02T07:59:59Z", "low", &"x".repeat(300_000)));
    story.accept("application/x-ndjson", &events);
    story.settled();
    loki.kept_the_rules();
    let reasons = reasons(&story);
    assert_eq!(reasons.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["long", "old"], "{reasons:?}");
    assert!(reasons[0].1.contains("max entry size '262144' bytes exceeded") && reasons[1].1.contains("timestamp too old"), "{reasons:?}");
    loki.state(|loki| {
        let streams: Vec<(&str, usize)> = loki.lines.iter().map(|(labels, lines)| (labels.as_str(), lines.len())).collect();
        assert_eq!(streams, [(r#"{"app":"audit","severity":"high"}"#, 20), (r#"{"app":"audit","severity":"low"}"#, 40)]);
        assert!(loki.repeated > 0, "lines from the attempt whose answer was lost are shown once");
        for (labels, times) in &loki.order {
            assert!(times.is_sorted() && times.iter().all(|time| time % 1_000 == 1), "{labels}: order and nanoseconds are kept: {times:?}");
        }
        assert!(loki.metadata.len() == 60 && loki.metadata.values().all(|metadata| *metadata == json!({"user": "ada"})), "{:?}", loki.metadata.values().next());
    });
    assert!(!story.host.log().contains("loki-token"), "the password is in the log");
}
