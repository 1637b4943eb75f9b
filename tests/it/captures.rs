//! Deliveries that a host keeps on request, and runs of them elsewhere: the same bytes and the same outcome, or what is
//! other.

use std::fs;
use std::process::{Command, Output};

use bulkhead_tests::http::Client;
use bulkhead_tests::wait;
use serde_json::Value;

use crate::story::{PATIENCE, Story, binary, receiver};

fn bulkhead(story: &Story, args: &[&str]) -> Output {
    Command::new(binary()).args(args).env("BULKHEAD_API_URL", format!("http://{}", story.host.api)).output().expect("runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What is kept right now.
fn kept(story: &Story, instance: &str) -> Value {
    let answer = Client::new(story.host.api).get(&format!("/api/integration/instances/{instance}/capture")).expect("answers");
    answer.json().expect("JSON")
}

#[test]
fn a_delivery_is_run_again_with_the_same_outcome_and_bytes() {
    let target = receiver("200;400*");
    let destination = format!("{{primary: {{url: \"{}\", methods: [POST], credential: hidden}}}}", target.url());
    let key = std::env::temp_dir().join(format!("bulkhead-captures-{}", std::process::id()));
    fs::write(&key, "key-of-the-guest").expect("written");
    let config = format!("{{path: /in, headers: {{x-api-key: \"key ${{file:{}}}\"}}}}", key.display());
    let story = Story::start(&format!(
        "credentials: {{hidden: {{type: bearer, token: \"secret-of-the-receiver\"}}}}\nencryption: {{redact: [/data/data/card]}}\ninstances:\n  \
         hook: {{connector: webhook, config: {config}, destinations: {destination}}}\n  \
         wire: {{connector: tcp, destinations: {{primary: {{url: \"tcp://127.0.0.1:9\"}}}}}}\ndefault_route: [{{instance: hook, format: jsonl}}]\n"
    ));
    // What cannot be kept, and what was not asked for.
    let refused = |args: &[&str], part: &str| {
        let output = bulkhead(&story, args);
        assert!(!output.status.success() && said(&output).contains(part), "{args:?}: {}", said(&output));
    };
    refused(&["instance", "capture", "wire"], "it reaches");
    refused(&["instance", "capture", "nobody"], "no instance of that name");
    refused(&["instance", "capture", "hook", "--deliveries", "101"], "it must be 1 to 100");
    refused(&["instance", "capture", "hook", "--seconds", "3601"], "it must be 1 to 3600");
    assert_eq!(kept(&story, "hook")["meta"]["waiting"], 0);
    let empty = story.path("empty.json");
    fs::write(&empty, bulkhead(&story, &["instance", "captured", "hook"]).stdout).expect("written");
    assert_eq!(bulkhead(&story, &["replay", empty.to_str().expect("UTF-8")]).status.code(), Some(78));
    // Two that come, one taken and one refused.
    let output = bulkhead(&story, &["instance", "capture", "hook", "--deliveries", "2"]);
    assert!(said(&output).contains("the next 2 deliveries"), "{}", said(&output));
    for id in ["k-1", "k-2"] {
        story.accept("application/json", &format!(r#"{{"id":"{id}","type":"paid","data":{{"card":"4111-1111","sum":7}}}}"#));
        wait::until("the delivery", PATIENCE, || Ok(kept(&story, "hook")["data"].to_string().contains(id).then_some(()))).expect("kept");
    }
    let file = story.path("kept.json");
    let output = bulkhead(&story, &["instance", "captured", "hook"]);
    assert!(output.status.success() && said(&output).contains("2 deliveries kept, 0 waited for"), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Only what the guest saw: no secret of the host's, no field that it hides.
    assert!(!text.contains("secret-of-the-receiver") && !text.to_lowercase().contains("authorization") && !text.contains("4111-1111"), "{text}");
    // Nor what the configuration hands the guest.
    assert!(target.kept().iter().all(|kept| kept.head.headers.get("x-api-key") == Some("key key-of-the-guest")), "the receiver gets it");
    assert!(!text.contains("key-of-the-guest") && text.contains("[redacted]") && text.contains("\"redacted\":true"), "{text}");
    assert!(text.contains("http.send") && text.contains("sum") && text.contains("rejected"), "{text}");
    fs::write(&file, &text).expect("written");
    let file = file.to_str().expect("UTF-8").to_owned();
    // Without the host and without the receiver.
    drop(target);
    let again = |args: &[&str]| Command::new(binary()).args([&["--json", "replay"], args].concat()).output().expect("runs");
    let output = again(&[&file]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!((output.status.code(), report["different"].as_u64(), report["same_component"].as_bool()), (Some(0), Some(0), Some(true)), "{report}");
    assert_eq!((report["deliveries"][0]["same_component"].as_bool(), report["deliveries"][0]["redacted"].as_bool()), (Some(true), Some(true)), "{report}");
    assert_eq!(report["deliveries"][0]["end"]["each"][0]["word"], "accepted", "{report}");
    assert_eq!(report["deliveries"][1]["end"]["each"][0]["word"], "rejected", "{report}");
    // Another configuration asks for something else, and that is said.
    let output = again(&[&file, "--config", r#"{"path":"/out"}"#]);
    assert_eq!(output.status.code(), Some(10), "{}", said(&output));
    assert!(said(&output).contains(r#"the path was \"/in\", now \"/out\""#), "{}", said(&output));
    // Another answer, another outcome.
    let other = story.path("other.json");
    fs::write(&other, text.replace("\"status\":400", "\"status\":503")).expect("written");
    let output = again(&[other.to_str().expect("UTF-8")]);
    assert!(output.status.code() == Some(10) && said(&output).contains("the outcome was rejected"), "{}", said(&output));
    // Another component, and another version of one of the deliveries.
    let digest = report["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).expect("a digest").to_owned();
    fs::write(&other, text.replacen(&digest, &"0".repeat(64), 1)).expect("written");
    let output = again(&[other.to_str().expect("UTF-8")]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let versions = [&report["same_component"], &report["deliveries"][0]["same_component"], &report["deliveries"][1]["same_component"]];
    assert_eq!(versions, [false, false, true], "{report}");
    let strange = text.replace(&digest, &"0".repeat(64));
    let (before, after) = strange.rsplit_once(r#""component":"webhook""#).expect("its name");
    fs::write(&other, format!(r#"{before}"component":"splunk-hec"{after}"#)).expect("written");
    let output = again(&[other.to_str().expect("UTF-8")]);
    assert!(!output.status.success() && said(&output).contains("of `splunk-hec`"), "{}", said(&output));
    // Files that are none.
    fs::write(&other, text.replace("\"capture\":1", "\"capture\":2")).expect("written");
    let output = again(&[other.to_str().expect("UTF-8")]);
    assert!(output.status.code() == Some(78) && said(&output).contains("replay.capture"), "{}", said(&output));
    assert_eq!(again(&["nothing.json"]).status.code(), Some(5));
    // Forgotten when told to.
    assert!(bulkhead(&story, &["instance", "capture", "hook", "--deliveries", "0"]).status.success());
    assert_eq!(kept(&story, "hook")["meta"]["kept"], 0);
    fs::remove_file(&key).expect("removed");
}
