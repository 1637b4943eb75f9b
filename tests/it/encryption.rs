//! Sealing: nothing of an event in the clear on disk, keys that change, keys that are missing.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bulkhead_tests::host::Host;
use bulkhead_tests::receiver::Script;
use rustix::process::Signal;

use crate::story::{PATIENCE, Story, binary, copybook, hec, ids, receiver};

const MARKER: &str = "only-in-the-event-4711";
const ONE: &str = "02xyblv7Lm1dG9GFXRtnaLu5TeOJmr8Xjjhshe06AYk=";
const TWO: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Files below a folder that hold the marker.
fn holding(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(holding(&path));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn marked(prefix: &str, n: usize) -> String {
    copybook(prefix, n).replace(r#"["A"]"#, &format!(r#"["{MARKER}"]"#))
}

fn run(story: &Story, env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(story.dir.path()).args(args).stdin(Stdio::null());
    command.env_remove("KEY").env_remove("OLD").envs(env.iter().copied()).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts the host on the same data with another configuration and environment.
fn start_again(mut story: Story, encryption: &str, env: &[(&str, &str)]) -> Result<Story, String> {
    let _ = story.host.kill();
    let config = fs::read_to_string(&story.host.spec.config).expect("a file");
    let old = config.lines().find(|line| line.starts_with("encryption:")).expect("the line").to_owned();
    fs::write(&story.host.spec.config, config.replace(&old, encryption)).expect("written");
    story.host.spec.env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    match Host::start(story.host.spec.clone()) {
        Ok(host) => Ok(Story { host, dir: story.dir }),
        Err(error) => {
            let text = format!("{error:#}");
            drop(story);
            Err(text)
        }
    }
}

/// A backlog and dead letters, sealed; a crash; the key rotated; everything delivered.
#[test]
fn no_file_holds_an_event_in_the_clear_and_all_are_delivered_with_a_rotated_key() {
    let (down, refusing) = (receiver("503*"), receiver("400*"));
    let config = format!(
        "encryption: {{key: \"${{KEY:-{ONE}}}\", at_rest: true}}\njournal: {{compression: lz4}}\ninstances:\n{}{}default_route: [{{instance: siem, format: cef}}, {{instance: dead, format: json}}]\n",
        hec("siem", &down, ""),
        hec("dead", &refusing, "")
    );
    let mut story = Story::start(&config);
    story.accept("application/x-ndjson", &marked("e", 20));
    story.when("dead letters", |scrape| scrape.sum("bulkhead_dead_letters", &[]) >= 20.0);
    story.host.kill().expect("killed");
    let data = story.host.spec.data_dir.clone();
    assert_eq!(holding(&data), Vec::<String>::new());

    // Without a key the tools still tell torn from damaged; contents need it.
    let verified = run(&story, &[], &["--json", "journal", "verify", "--dir", "data/journal"]);
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(
        (verified.status.code(), report["faults"].as_array().map(Vec::len), report["unread"][0]["frames"].as_u64()),
        (Some(0), Some(0), Some(1)),
        "{report}"
    );
    let id = report["unread"][0]["key"].as_str().expect("an id").to_owned();
    let exported = run(&story, &[], &["journal", "export", "--dir", "data/journal"]);
    assert_eq!((exported.status.code(), exported.stdout.len()), (Some(1), 0));
    assert!(text(&exported.stderr).contains(&id) && text(&exported.stderr).contains("--config"), "{}", text(&exported.stderr));
    let exported = run(&story, &[], &["journal", "export", "--dir", "data/journal", "--config", "bulkhead.yaml"]);
    assert_eq!((exported.status.code(), text(&exported.stdout).matches(MARKER).count()), (Some(0), 20), "{}", text(&exported.stderr));
    let verified = run(&story, &[], &["journal", "verify", "--dir", "data/journal", "--config", "bulkhead.yaml"]);
    assert!(verified.status.success() && !text(&verified.stdout).contains("not read"), "{}", text(&verified.stdout));

    let rotated = "encryption: {key: \"${KEY}\", older_keys: [\"${OLD}\"], at_rest: true}";
    let story = start_again(story, rotated, &[("KEY", TWO), ("OLD", ONE)]).expect("starts");
    story.accept("application/x-ndjson", &marked("f", 5));
    down.play(Script::parse("").expect("a script"));
    story.when("the backlog is delivered", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "siem")]) >= 25.0);
    let taken = |prefix: &str, n| {
        down.kept().iter().filter(|kept| kept.status == 200).flat_map(|kept| ids(&kept.body, prefix, n)).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((taken("e", 20), taken("f", 5)), (20, 5));
    // Dead letters of both keys are shown, and replayed by the service.
    let api = format!("http://{}", story.host.api);
    let shown = run(&story, &[], &["--json", "dlq", "--api", &api, "show", "1"]);
    assert!(text(&shown.stdout).contains(MARKER), "{}{}", text(&shown.stdout), text(&shown.stderr));
    refusing.play(Script::parse("").expect("a script"));
    assert!(run(&story, &[], &["dlq", "--api", &api, "replay", "--all"]).status.success());
    story.when("letters are delivered", |scrape| scrape.sum("bulkhead_lane_delivered_total", &[("instance", "dead")]) >= 25.0);
    assert_eq!(holding(&data), Vec::<String>::new());
    assert!(!story.host.log().contains(ONE) && !story.host.log().contains(TWO), "a key is in the log");
    assert!(story.host.log().contains(&id), "ids are");
}

#[test]
fn a_start_without_a_key_that_data_needs_is_refused_and_changes_nothing() {
    let down = receiver("503*");
    let instances = format!("instances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &down, ""));
    let mut story = Story::start(&format!("encryption: {{key: \"{ONE}\", at_rest: true}}\n{instances}"));
    story.accept("application/x-ndjson", &marked("e", 3));
    story.host.kill().expect("killed");
    let inspected = run(&story, &[], &["--json", "journal", "verify", "--dir", "data/journal"]);
    let id = serde_json::from_slice::<serde_json::Value>(&inspected.stdout).expect("JSON")["unread"][0]["key"].as_str().expect("an id").to_owned();
    for encryption in ["encryption: {}".to_owned(), format!("encryption: {{key: \"{TWO}\", at_rest: true}}")] {
        let config = fs::read_to_string(&story.host.spec.config).expect("a file");
        let line = config.lines().find(|line| line.starts_with("encryption:")).expect("the line").to_owned();
        fs::write(&story.host.spec.config, config.replace(&line, &encryption)).expect("written");
        let refused = run(&story, &[], &["serve", "--config", "bulkhead.yaml"]);
        let said = text(&refused.stderr) + &text(&refused.stdout);
        assert!(!refused.status.success() && said.contains(&id) && said.contains("encryption.older_keys"), "{said}");
        assert!(!said.contains(ONE) && !said.contains(TWO));
    }
    // Switched off with a backlog: what is sealed is read, what is new lies in the clear.
    let story = start_again(story, &format!("encryption: {{key: \"{ONE}\"}}"), &[]).expect("starts");
    story.accept("application/x-ndjson", &marked("f", 2));
    down.play(Script::parse("").expect("a script"));
    story.settled();
    assert_eq!(holding(&story.host.spec.data_dir).len(), 1);
    assert_eq!(
        down.kept().iter().filter(|kept| kept.status == 200).flat_map(|kept| ids(&kept.body, "e", 3)).collect::<std::collections::BTreeSet<_>>().len(),
        3
    );
}

#[test]
fn keys_come_from_commands_and_what_is_no_key_is_refused_unprinted() {
    let target = receiver("");
    let instances = format!("instances:\n{}default_route: [{{instance: siem, format: cef}}]\n", hec("siem", &target, ""));
    let mut story = Story::start(&format!("encryption: {{key: {{command: [\"/bin/echo\", \"{ONE}\"]}}, at_rest: true}}\n{instances}"));
    story.accept("application/x-ndjson", &marked("e", 2));
    story.settled();
    story.host.terminate(PATIENCE).expect("stops");
    assert_eq!(holding(&story.host.spec.data_dir), Vec::<String>::new());
    let validate = |encryption: &str| {
        let config = fs::read_to_string(&story.host.spec.config).expect("a file");
        let line = config.lines().find(|line| line.starts_with("encryption:")).expect("the line").to_owned();
        fs::write(&story.host.spec.config, config.replace(&line, encryption)).expect("written");
        let output = run(&story, &[], &["validate", "--config", "bulkhead.yaml"]);
        (output.status.code(), text(&output.stderr) + &text(&output.stdout))
    };
    let (code, said) = validate("encryption: {key: {command: [\"/bin/false\"]}, at_rest: true}");
    assert!(code == Some(0) && said.contains("not run here: encryption"), "{said}");
    let (code, said) = validate("encryption: {key: \"not a key but secret\", older_keys: [\"0123456789abcdef\"]}");
    assert!(code == Some(78) && said.contains("encryption.key") && said.contains("encryption.older_keys[0]") && said.contains("openssl rand"), "{said}");
    assert!(!said.contains("but secret") && !said.contains("0123456789abcdef"), "{said}");
    let (code, said) = validate("encryption: {at_rest: true}");
    assert!(code == Some(78) && said.contains("`key` is missing"), "{said}");
    let refused = {
        validate("encryption: {key: {command: [\"/bin/echo\", \"short\", \"of\", \"a\", \"key\"]}, at_rest: true}");
        run(&story, &[], &["serve", "--config", "bulkhead.yaml"])
    };
    let said = text(&refused.stderr) + &text(&refused.stdout);
    assert!(!refused.status.success() && said.contains("encryption.key") && !said.contains("short of a key"), "{said}");
}

/// Fields that one instance gets sealed, another masked, a third in the clear; opened offline.
#[test]
fn fields_are_sealed_before_they_are_formatted_and_opened_offline() {
    let siem = receiver("");
    let config = format!(
        "encryption: {{key: \"{ONE}\", fields: [/user, /data/payload/affected_resources/*]}}\ninstances:\n{}{}    encryption: {{redact: [/user, /data/payload]}}\n{}    encryption: {{}}\ndefault_route: [{{instance: siem, format: cef}}, {{instance: siem, format: json}}, {{instance: masked, format: json}}, {{instance: clear, format: jsonl}}]\n",
        hec("siem", &siem, ""),
        crate::story::file("masked"),
        crate::story::file("clear"),
    );
    let mut story = Story::start(&config);
    story.accept("application/x-ndjson", &marked("e", 3).replace("\"ada\"", "\"user-4711\""));
    story.settled();
    let sent: String = siem.kept().iter().map(|kept| text(&kept.body)).collect();
    assert!(!sent.contains(MARKER) && !sent.contains("user-4711") && sent.matches("bhs1:").count() >= 9, "{sent}");
    let masked = story.lines("masked.ndjson").join("\n");
    assert!(!masked.contains(MARKER) && !masked.contains("user-4711") && masked.contains("[redacted]"), "{masked}");
    let clear = story.lines("clear.ndjson").join("\n");
    assert!(clear.contains(MARKER) && clear.contains("user-4711") && !clear.contains("bhs1:"), "{clear}");

    // Records of the formatter json say the event's id; lines of CEF get it on the command line.
    let records: Vec<serde_json::Value> = siem.kept().iter().flat_map(crate::story::envelopes).map(|envelope| envelope["event"].clone()).collect();
    let json = records.iter().find(|record| record["id"] == "e-1").expect("a record");
    fs::write(story.path("json.txt"), json.to_string()).expect("written");
    let opened = run(&story, &[], &["unseal", "--config", "bulkhead.yaml", "json.txt"]);
    let line: serde_json::Value = serde_json::from_slice(&opened.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&opened.stderr)));
    assert_eq!((line["user"].as_str(), line["data"]["payload"]["affected_resources"][0].as_str()), (Some("user-4711"), Some(MARKER)), "{line}");
    let cef = records.iter().filter_map(|record| record.as_str()).find(|line| line.contains("e-2")).expect("a line").to_owned();
    fs::write(story.path("cef.txt"), &cef).expect("written");
    let opened = run(&story, &[], &["--json", "unseal", "--config", "bulkhead.yaml", "--event-id", "e-2", "cef.txt"]);
    assert!(opened.status.success() && text(&opened.stdout).contains("user-4711"), "{}{}", text(&opened.stdout), text(&opened.stderr));
    let wrong = run(&story, &[], &["unseal", "--config", "bulkhead.yaml", "--event-id", "e-1", "cef.txt"]);
    assert!(wrong.status.code() == Some(1) && text(&wrong.stderr).contains("another event"), "{}", text(&wrong.stderr));
    let wrong = run(&story, &[], &["unseal", "--config", "bulkhead.yaml", "--event-id", "e-2", "--pointer", "/host", "cef.txt"]);
    assert_eq!(wrong.status.code(), Some(1));

    // The journal keeps the original; a reload changes what is sealed from the next event on.
    let config = fs::read_to_string(&story.host.spec.config).expect("a file");
    fs::write(&story.host.spec.config, config.replace("fields: [/user, /data/payload/affected_resources/*]", "redact: [/data]")).expect("written");
    story.host.signal(Signal::HUP).expect("a signal");
    bulkhead_tests::wait::until("the reload", PATIENCE, || Ok(story.host.log().contains("configuration reloaded").then_some(()))).expect("reloads");
    let before = siem.kept().len();
    story.accept("application/x-ndjson", &marked("f", 1));
    story.settled();
    let sent: String = siem.kept()[before..].iter().map(|kept| text(&kept.body)).collect();
    assert!(!sent.is_empty() && !sent.contains("op-0") && !sent.contains("f-0") && !sent.contains("bhs1:"), "{sent}");
    story.host.terminate(PATIENCE).expect("stops");
    let exported = run(&story, &[], &["journal", "export", "--dir", "data/journal"]);
    assert_eq!((text(&exported.stdout).matches(MARKER).count(), text(&exported.stdout).matches("f-0").count()), (4, 1), "{}", text(&exported.stderr));
}

#[test]
fn pointers_that_cannot_be_are_refused_with_their_places() {
    let dir = tempfile::tempdir().expect("a folder");
    let validate = |config: &str| {
        fs::write(dir.path().join("bulkhead.yaml"), config).expect("written");
        let output = Command::new(binary()).current_dir(dir.path()).args(["validate", "--config", "bulkhead.yaml"]).output().expect("runs");
        (output.status.code(), text(&output.stderr) + &text(&output.stdout))
    };
    let (code, said) = validate(&format!(
        "encryption:\n  key: \"{ONE}\"\n  fields: [data/x, /nothing/y, /id]\n  redact: [/user/~2, \"\"]\ninstances:\n  one: {{connector: file, config: {{path: a}}, files: {{primary: {{dir: ./out}}}}, encryption: {{fields: [/severity]}}}}\n"
    ));
    assert_eq!(code, Some(78), "{said}");
    for part in [
        "encryption.fields[0]",
        "encryption.fields[1]",
        "encryption.fields[2]",
        "encryption.redact[0]",
        "encryption.redact[1]",
        "instances.one.encryption.fields[0]",
        "stays readable",
        "must begin with /",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    let (code, said) = validate("encryption: {fields: [/user]}\n");
    assert!(code == Some(78) && said.contains("`key` is missing"), "{said}");
    let (code, said) = validate("instances:\n  one: {connector: file, config: {path: a}, files: {primary: {dir: ./out}}, encryption: {fields: [/user]}}\n");
    assert!(code == Some(78) && said.contains("encryption.key"), "{said}");
    let (code, said) = validate("encryption: {redact: [/user, /data/*/password]}\n");
    assert_eq!(code, Some(0), "masks need no key: {said}");
}
