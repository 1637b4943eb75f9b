//! The connector `fluent-forward` against receivers that others wrote: the FluentServer of `@fluent-org/logger`, and
//! one on the `msgpack` package that forgets acknowledgements.

use std::collections::BTreeSet;
use std::process::Command;

use bulkhead_tests::{host, skip::skip, wait};
use serde_json::Value;

use crate::counterpart::Counterpart;
use crate::independent::python;
use crate::story::{PATIENCE, Story, copybook};
use crate::syslog_send::instance;

/// The server of others, with a shared key where one is given.
fn fluent_server(test: &str, key: &str) -> Option<Counterpart> {
    let modules = host::root().join("target/node/node_modules");
    if !modules.join("@fluent-org/logger").is_dir() {
        skip(test, "no @fluent-org/logger in target/node; .ci/run installs it there");
        return None;
    }
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules).arg(host::root().join("tests/independent/forward_server.js")).arg(key);
    Some(Counterpart::start(command))
}

/// Ids, each once, of these entries; their tags, times and records are those of the events.
#[track_caller]
fn check(taken: &[Value], n: usize, tag: &str) {
    let ids: BTreeSet<_> = taken.iter().map(|entry| entry["record"]["id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(ids, (0..n).map(|n| format!("e-{n}")).collect());
    for entry in taken {
        assert_eq!((&entry["tag"], &entry["seconds"], &entry["nanos"]), (&tag.into(), &1_793_606_400.into(), &123_000_000.into()), "{entry}");
        assert_eq!(entry["record"]["data"]["context"]["environment"]["process_id"], 7, "{entry}");
    }
}

#[test]
fn the_servers_of_others_take_every_mode() {
    for mode in ["forward", "packed", "compressed"] {
        let Some(server) = fluent_server("forward::the_servers_of_others_take_every_mode", "") else { return };
        let config = format!("{{mode: {mode}, tag: \"audit.{{/severity}}\"}}");
        let story = Story::start(&instance("fluent-forward", &config, &format!("\"tcp://127.0.0.1:{}\"", server.port), "json"));
        story.accept("application/x-ndjson", &copybook("e", 300));
        let taken = server.taken(&story, 300);
        assert_eq!(taken.len(), 300, "each once");
        check(&taken, 300, "audit.high");
        assert_eq!(story.settled().sum("bulkhead_lane_delivered_total", &[("instance", "out")]), 300.0);
    }
}

#[test]
fn the_servers_of_others_know_the_shared_key() {
    let test = "forward::the_servers_of_others_know_the_shared_key";
    let Some(server) = fluent_server(test, "pass-word-1") else { return };
    let destination = format!("{{url: \"tcp://127.0.0.1:{}\", credential: key}}", server.port);
    let with_key =
        |key: &str, config: &str| format!("credentials:\n  key: {{type: bearer, token: {key}}}\n{}", instance("fluent-forward", config, &destination, "json"));
    let story = Story::start(&with_key("pass-word-1", "{credential: key, tag: t}"));
    story.accept("application/x-ndjson", &copybook("e", 50));
    check(&server.taken(&story, 50), 50, "t");
    let log = story.host.log();
    assert!(!log.contains("pass-word-1"), "the key is in the log");
    drop(story);
    for (config, held, words) in [
        (with_key("pass-word-2", "{credential: key}"), "unauthorized", "shared key mismatch"),
        (with_key("pass-word-1", "{credential: key, hostname: fluentd-1}"), "unauthorized", "Same hostname"),
        // The server hangs up over it; what it said before counts.
        (with_key("pass-word-1", "{}"), "configuration", "wants a shared key"),
    ] {
        let story = Story::start(&config);
        story.accept("application/x-ndjson", &copybook("e", 1));
        wait::until("the instance is held", PATIENCE, || Ok((story.lane("out")["held"] == held).then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{:#}", story.lane("out")));
        assert!(story.lane("out")["last_error"]["text"].as_str().is_some_and(|text| text.contains(words)), "{:#}", story.lane("out"));
    }
}

#[test]
fn a_receiver_that_forgets_acknowledgements_gets_the_chunk_again() {
    let Some(python) = python("msgpack") else {
        return skip("forward::a_receiver_that_forgets_acknowledgements_gets_the_chunk_again", "no Python with msgpack");
    };
    for (mode, tag) in [("compressed", "t"), ("packed", "t"), ("forward", "t")] {
        let mut command = Command::new(&python);
        command.arg(host::root().join("tests/independent/forward_server.py")).arg("2");
        let server = Counterpart::start(command);
        let config = format!("{{mode: {mode}, tag: {tag}}}\n    batch: {{max_events: 20}}");
        let story = Story::start(&instance("fluent-forward", &config, &format!("\"tcp://127.0.0.1:{}\"", server.port), "json"));
        for part in 0..5 {
            let lines: String = copybook("e", 20 * (part + 1)).lines().skip(20 * part).map(|line| format!("{line}\n")).collect();
            story.accept("application/x-ndjson", &lines);
            story.settled();
        }
        // The second chunk was taken, and nobody heard of it.
        let taken = server.taken(&story, 101);
        check(&taken, 100, tag);
        assert!(taken.len() > 100 && taken.len() <= 120, "{}", taken.len());
        assert_eq!(story.settled().sum("bulkhead_lane_delivered_total", &[("instance", "out")]), 100.0);
    }
}
