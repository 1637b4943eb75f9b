//! The `webhook` connector: CloudEvents in binary mode as the CloudEvents SDK for Python reads them, and receivers
//! that are asked before the first event.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_tests::host;
use bulkhead_tests::receiver::{Receiver, Script, Step};
use bulkhead_tests::skip::skip;
use bulkhead_tests::wait;
use serde_json::json;

use crate::independent::python;
use crate::story::{PATIENCE, Story, file, receiver};

fn instance(receiver: &Receiver, config: &str) -> String {
    format!(
        "  hook:\n    connector: webhook\n    config: {config}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    \
         circuit_breaker: {{failure_threshold: 1000}}\n    destinations: {{primary: {{url: \"{}\", methods: [POST, OPTIONS]}}}}\n",
        receiver.url()
    )
}

#[test]
fn cloudevents_in_binary_mode_are_read_by_their_sdk() {
    let test = "webhook::cloudevents_in_binary_mode_are_read_by_their_sdk";
    let Some(python) = python("cloudevents.core.bindings.http") else {
        return skip(test, "no Python with cloudevents; `pip install -r tests/requirements.txt` brings it");
    };
    let receiver = receiver("");
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: hook, format: cloudevents}}, {{instance: archive, format: cloudevents}}]\n",
        instance(&receiver, "{mode: cloudevents-binary, path: /events}"),
        file("archive")
    ));
    let mut posted = 0;
    for name in ["copybook", "intelliguard", "datavault", "cloudevents", "plain"] {
        let text = fs::read_to_string(host::root().join("examples/events").join(name).with_extension("ndjson")).expect("samples are committed");
        posted += text.lines().count();
        story.accept("application/x-ndjson", &text);
    }
    story.settled();
    let kept = receiver.kept();
    let lines = kept.iter().map(|kept| {
        let headers: serde_json::Map<_, _> = kept.head.headers.0.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        json!({"headers": headers, "body": STANDARD.encode(&kept.body)}).to_string()
    });
    let requests = story.path("requests.ndjson");
    fs::write(&requests, lines.collect::<Vec<_>>().join("\n")).expect("written");
    let output = Command::new(python)
        .arg(host::root().join("tests/independent/check_cloudevents_http.py"))
        .arg(&requests)
        .arg(story.path("out/archive.ndjson"))
        .arg(posted.to_string())
        .output()
        .expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(&format!("read {posted} ")), "{said}");
}

#[test]
fn a_receiver_is_asked_before_the_first_event_and_its_consent_is_waited_for() {
    let receiver = receiver("");
    let allowed = |origin: &str| {
        let headers = vec![("WebHook-Allowed-Origin".to_owned(), origin.to_owned())];
        Step::Answer { status: 200, headers, body: String::new() }
    };
    // A status alone is no consent, and neither is somebody else's.
    receiver.play(Script::new([allowed("other.example")]));
    let config = format!("instances:\n{}default_route: [{{instance: hook, format: json}}]\n", instance(&receiver, "{path: /in, origin: audit.acme.example}"));
    let story = Story::start(&config);
    story.accept("application/x-ndjson", "{\"id\":\"1\"}\n{\"id\":\"2\"}\n");
    wait::until("the instance is held", PATIENCE, || Ok((story.lane("hook")["held"] == "configuration").then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}\n{:#}", story.lane("hook")));
    let text = story.lane("hook")["last_error"]["text"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("does not agree to deliveries from audit.acme.example"), "{text}");
    assert!(receiver.kept().iter().all(|kept| kept.head.method == "OPTIONS"), "no event was sent");
    // It agrees from now on; people try again.
    receiver.play(Script::always(allowed("*")));
    let resumed = bulkhead_tests::http::Client::new(story.host.api).send("POST", "/api/integration/instances/hook/resume", &[], b"").expect("answers");
    assert!(resumed.status < 300, "{}", resumed.text());
    story.settled();
    let kept = receiver.kept();
    let posts: Vec<_> = kept.iter().filter(|kept| kept.head.method == "POST").collect();
    assert_eq!(posts.len(), 2);
    assert!(kept.iter().all(|kept| kept.head.path == "/in" && kept.head.headers.get("webhook-request-origin") == Some("audit.acme.example")));
}
