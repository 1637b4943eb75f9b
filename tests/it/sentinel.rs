//! Microsoft Sentinel and Azure Monitor: the Logs Ingestion API with tokens of Microsoft Entra ID; its rules, and
//! Microsoft's own client for Python against them. And the HTTP Data Collector API, which is retired: its rules, and its
//! signature by a second implementation.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use bulkhead_tests::host;
use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::Step;
use bulkhead_tests::skip::skip;
use bulkhead_tests::tokens::{Options, TokenServer};
use serde_json::{Value, json};

use crate::story::{Story, copybook};
use crate::vendor::{Broken, Vendor, client, instance, json as json_body, reasons, rule};

const PATH: &str = "/dataCollectionRules/dcr-00000000000000000000000000000000/streams/Custom-Audit_CL";
/// A megabyte, measured before and after compression.
const MEGABYTE: usize = 1_000_000;
const FIELD: usize = 64 * 1024;

#[derive(Default)]
struct Azure {
    rows: Vec<Value>,
    /// Calls that only test.
    empty: usize,
}

fn error(status: u16, code: &str, message: &str) -> Step {
    Step::Answer {
        status,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned()), ("x-ms-error-code".to_owned(), code.to_owned())],
        body: json!({"error": {"code": code, "message": message}}).to_string(),
    }
}

fn rules(head: &Head, body: &[u8], azure: &mut Azure, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    rule(head.headers.get("authorization").is_some_and(|value| value.starts_with("Bearer sentinel-token-")), "a token of the tenant", || {
        error(401, "InvalidToken", "The token is not valid.")
    })?;
    let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
    // Senders find out by this answer.
    let stream = path.strip_prefix("/dataCollectionRules/dcr-00000000000000000000000000000000/streams/");
    if stream == Some("Custom-Other_CL") {
        return Ok(error(400, "InvalidStream", "The stream Custom-Other_CL was not configured in the data collection rule."));
    }
    rule(head.method == "POST" && path == PATH, "rows are posted to rule and stream", || error(404, "NotFound", "Data collection rule was not found."))?;
    rule(query == "api-version=2023-01-01", "the version of the API", || error(400, "InvalidApiVersion", "api-version"))?;
    rule(head.headers.get("content-type") == Some("application/json"), "the content type is application/json", || error(415, "UnsupportedMediaType", ""))?;
    let sent = head.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    rule(body.len() <= MEGABYTE && sent <= MEGABYTE, "1 MB a call, compressed and not", || {
        error(413, "ContentLengthLimitExceeded", "Maximum allowed content length exceeded.")
    })?;
    let bad = || error(400, "InvalidRequest", "The payload is not an array of objects.");
    let rows = json_body(body, bad)?;
    // One object is taken with 204 and never seen again: the worst of answers.
    rule(rows.is_array(), "rows are an array", bad)?;
    let rows = rows.as_array().cloned().unwrap_or_default();
    for row in &rows {
        let columns = row.as_object();
        let name = |name: &String| name.len() <= 45 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        rule(columns.is_some_and(|columns| columns.keys().all(name)), "rows are objects with names of columns", bad)?;
        let long = |value: &Value| value.as_str().map_or_else(|| value.to_string().len(), str::len) > FIELD;
        rule(!columns.is_some_and(|columns| columns.values().any(long)), "64 KB a field; longer ones are cut", bad)?;
        let time = row["TimeGenerated"].as_str().is_none_or(|text| text.ends_with('Z') && text.len() <= "2026-01-02T03:04:05.1234567Z".len());
        rule(time, "TimeGenerated is ISO 8601 with at most 7 digits", bad)?;
    }
    if rows.is_empty() {
        azure.empty += 1;
        return Ok(Step::answer(204, ""));
    }
    let step = next();
    if step != Step::Accept {
        return Ok(step);
    }
    azure.rows.extend(rows);
    Ok(Step::answer(204, ""))
}

fn tokens(life: u32) -> TokenServer {
    TokenServer::start(Options { prefix: "sentinel-token".into(), life, delay: Duration::ZERO, refusals: Vec::new() }).expect("starts")
}

fn story(azure: &Vendor<Azure>, tokens: &TokenServer, config: &str, format: &str) -> Story {
    let destination = format!("{{url: \"{}\", methods: [POST], credential: entra}}", azure.receiver.url());
    Story::start(&format!(
        "instances:\n{}credentials:\n  entra:\n    type: oauth2\n    token_url: \"{}\"\n    client_id: 11111111-2222-3333-4444-555555555555\n    client_secret: entra-secret-value\n    client_auth: body\n    scope: https://monitor.azure.com/.default\ndefault_route: [{{instance: sentinel, format: {format}}}]\n",
        instance("sentinel", "sentinel", config, &destination, ""),
        tokens.url()
    ))
}

const RULE: &str = "rule: dcr-00000000000000000000000000000000, stream: Custom-Audit_CL";

#[test]
fn rows_arrive_once_with_a_token_of_the_tenant() {
    let (azure, tokens) = (Vendor::start("429:retry-after=1;503;500", rules), tokens(3600));
    let story = story(&azure, &tokens, &format!("{{{RULE}}}"), "splunk");
    let large = format!("{}\n", json!({"id": "large", "timestamp": "2026-11-02T08:00:00Z", "message": "x".repeat(70_000)}));
    story.accept("application/x-ndjson", &format!("{}{large}", copybook("e", 1200)));
    story.settled();
    azure.kept_the_rules();
    azure.state(|azure| {
        let ids: BTreeSet<&str> = azure.rows.iter().filter_map(|row| row["audit_event_id"].as_str()).collect();
        assert_eq!((ids.len(), azure.rows.len()), (1200, 1200));
        assert!(azure.rows.iter().all(|row| row["TimeGenerated"] == "2026-11-02T08:00:00.123Z" && row["user"] == "ada"));
    });
    let reasons = reasons(&story);
    assert!(reasons.len() == 1 && reasons[0].0 == "large" && reasons[0].1.contains("Azure keeps 65536"), "{reasons:?}");
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1);
    let form: BTreeSet<&str> = asked[0].form.split('&').collect();
    let want = [
        "grant_type=client_credentials",
        "client_id=11111111-2222-3333-4444-555555555555",
        "client_secret=entra-secret-value",
        "scope=https%3A%2F%2Fmonitor.azure.com%2F.default",
    ];
    assert_eq!(form, BTreeSet::from(want));
    assert!(!story.host.log().contains("entra-secret-value") && !story.host.log().contains("sentinel-token"), "a secret is in the log");
}

#[test]
fn columns_take_what_pointers_name() {
    let (azure, tokens) = (Vendor::start("", rules), tokens(3600));
    let config = format!("{{{RULE}, columns: {{EventId: /id, Actor: /user, Profiles: /compliance}}, record_column: Cef, gzip: false}}");
    let story = story(&azure, &tokens, &config, "cef");
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    azure.kept_the_rules();
    azure.state(|azure| {
        assert_eq!(azure.rows.len(), 3);
        for row in &azure.rows {
            assert!(row["Cef"].as_str().is_some_and(|cef| cef.starts_with("CEF:0|Copybook-rs|")), "{row}");
            assert_eq!((&row["Actor"], &row["Profiles"]), (&json!("ada"), &json!(["sox"])));
        }
    });
}

/// A stream that the rule does not have is refused as a bad row is: nothing may be lost to it.
#[test]
fn a_wrong_stream_costs_no_event() {
    let (azure, tokens) = (Vendor::start("", rules), tokens(3600));
    let story = story(&azure, &tokens, "{rule: dcr-00000000000000000000000000000000, stream: Custom-Other_CL}", "json");
    story.accept("application/x-ndjson", &copybook("e", 5));
    let held = |lane: &Value| lane["last_error"]["text"].as_str().is_some_and(|reason| reason.contains("check `rule` and `stream`"));
    bulkhead_tests::wait::until("the lane waits for its configuration", crate::story::PATIENCE, || Ok(Some(story.lane("sentinel")).filter(held)))
        .unwrap_or_else(|error| panic!("{error:#} {}", story.lane("sentinel")));
    assert!(reasons(&story).is_empty());
    azure.kept_the_rules();
}

/// What Microsoft's own client sends keeps the rules above.
#[test]
fn its_own_client_keeps_the_same_rules() {
    let azure = Vendor::start("", rules);
    client("sentinel::its_own_client_keeps_the_same_rules", "azure.monitor.ingestion", "send_sentinel.py", &azure.receiver.addr().to_string());
    azure.kept_the_rules();
    assert_eq!(azure.state(|azure| azure.rows.len()), 2);
}

/// 30 MB a post, 32 KB a field.
const POST: usize = 30_000_000;
const COLLECTED_FIELD: usize = 32 * 1024;

/// The HTTP Data Collector API as it was.
fn collector_rules(head: &Head, body: &[u8], rows: &mut Vec<Value>, next: &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    let refused = |status: u16, code: &'static str| move || Step::answer(status, json!({"Error": code, "Message": "no"}).to_string());
    let get = |name: &str| head.headers.get(name).unwrap_or_default();
    let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
    rule(head.method == "POST" && path == "/api/logs", "rows are posted to /api/logs", refused(404, ""))?;
    rule(query == "api-version=2016-04-01", "the version of the API", refused(400, "InvalidApiVersion"))?;
    let date = get("x-ms-date");
    rule(
        date.len() == "Mon, 04 Apr 2016 08:00:00 GMT".len() && date.ends_with(" GMT"),
        "x-ms-date is a date of RFC 1123",
        refused(403, "InvalidAuthorization"),
    )?;
    rule(get("authorization").starts_with("SharedKey 01234567-aaaa:"), "the workspace's key", refused(403, "InvalidAuthorization"))?;
    rule(get("content-type") == "application/json", "the content type is application/json", refused(400, "UnsupportedContentType"))?;
    let table = get("log-type");
    let letters = table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    rule(letters && (1..=100).contains(&table.len()), "Log-Type has letters, digits and _, at most 100", refused(400, "InvalidLogType"))?;
    rule(head.headers.get("content-encoding").is_none() && body.len() <= POST, "30 MB a post, not compressed", refused(400, "InvalidDataFormat"))?;
    let posted = json_body(body, refused(400, "InvalidDataFormat"))?;
    let posted = posted.as_array().cloned().unwrap_or_default();
    for row in &posted {
        let columns = row.as_object();
        let reserved = |name: &String| ["tenant", "TimeGenerated", "RawData"].contains(&name.as_str());
        rule(
            columns.is_some_and(|columns| !columns.keys().any(reserved)),
            "rows are objects without names of the API's own",
            refused(400, "InvalidDataFormat"),
        )?;
        let long = |value: &Value| value.as_str().map_or_else(|| value.to_string().len(), str::len) > COLLECTED_FIELD;
        rule(!columns.is_some_and(|columns| columns.values().any(long)), "32 KB a field; longer ones are cut", refused(400, "InvalidDataFormat"))?;
        let time = row[get("time-generated-field")].as_str().is_some_and(|time| time.len() == "2026-01-02T03:04:05Z".len() && time.ends_with('Z'));
        rule(time, "the time is YYYY-MM-DDThh:mm:ssZ in the column that the header names", refused(400, "InvalidDataFormat"))?;
    }
    match next() {
        Step::Accept => {
            rows.extend(posted);
            Ok(Step::answer(200, ""))
        }
        step => Ok(step),
    }
}

#[test]
fn the_retired_collector_keeps_its_rules_and_its_signature() {
    let name = "sentinel::the_retired_collector_keeps_its_rules_and_its_signature";
    let Some(python) = crate::independent::python("botocore") else {
        return skip(name, "no Python with botocore; `pip install -r tests/requirements.txt` brings it");
    };
    let replica: Vendor<Vec<Value>> = Vendor::start("503;429:retry-after=1", collector_rules);
    let key = base64::engine::general_purpose::STANDARD.encode((0..64).collect::<Vec<u8>>());
    let destination = format!("{{url: \"{}\", methods: [POST], credential: workspace}}", replica.receiver.url());
    let story = Story::start(&format!(
        "instances:\n{}credentials:\n  workspace: {{type: shared_key, scheme: log_analytics, account: 01234567-aaaa, key: \"{key}\"}}\ndefault_route: [{{instance: replica, format: splunk}}]\n",
        instance("replica", "sentinel-data-collector", "{api: retired, log_type: Audit}", &destination, "")
    ));
    let large = format!("{}\n", json!({"id": "large", "timestamp": "2026-11-02T08:00:00Z", "message": "x".repeat(40_000)}));
    story.accept("application/x-ndjson", &format!("{}{large}", copybook("e", 20)));
    story.settled();
    replica.kept_the_rules();
    let ids: BTreeSet<String> = replica.state(|rows| rows.iter().filter_map(|row| row["audit_event_id"].as_str().map(str::to_owned)).collect());
    assert_eq!((ids.len(), replica.state(Vec::len)), (20, 20));
    let reasons = reasons(&story);
    assert!(reasons.len() == 1 && reasons[0].0 == "large" && reasons[0].1.contains("Azure keeps 32768"), "{reasons:?}");
    assert!(!story.host.log().contains(&key), "the key is in the log");
    let kept = replica.asked("POST", "/api/logs");
    let requests: Vec<Value> = kept
        .iter()
        .map(|kept| json!({"method": kept.head.method, "target": kept.head.path, "headers": kept.head.headers.0, "body": String::from_utf8_lossy(&kept.body)}))
        .collect();
    let file = story.path("requests.json");
    fs::write(&file, json!({"scheme": "log_analytics", "requests": requests}).to_string()).expect("written");
    let output = Command::new(python).arg(host::root().join("tests/independent/check_signatures.py")).arg(&file).output().expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(&format!("verified {} requests", kept.len())), "{said}");
}
