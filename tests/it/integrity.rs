//! Hash chains of sources: gaps, forks, tampering and new starts become own events, once; events pass
//! whatever is wrong with them; restarts neither forget nor invent.

use bulkhead_tests::wait;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::story::{PATIENCE, Story, file};

const RULES: &str = r#"integrity:
  - name: mainframe
    when: {source: mainframe}
    chain: [/host]
    hash: /hash
    previous: /prev
    hashed: {form: template, template: "{/id}|{/what}|{/prev}"}
    reorder: 4
    late: 1s
"#;

fn start() -> Story {
    let routes =
        "routes:\n  - {id: news, when: {source: bulkhead}, to: [{instance: news, format: cloudevents}]}\ndefault_route: [{instance: out, format: jsonl}]\n";
    Story::start(&format!("{RULES}instances:\n{}{}{routes}", file("news"), file("out")))
}

/// `count` events of a chain, hashed as the rule says.
fn chain(host: &str, count: usize) -> Vec<Value> {
    let mut prev = String::new();
    let mut events = Vec::new();
    for n in 0..count {
        let id = format!("{host}-{n}");
        let hash: String = Sha256::digest(format!("{id}|opened|{prev}")).iter().map(|byte| format!("{byte:02x}")).collect();
        events.push(json!({"id": id, "source": "mainframe", "host": host, "what": "opened", "prev": prev, "hash": hash}));
        prev = hash;
    }
    events
}

fn send<'e>(story: &Story, events: impl IntoIterator<Item = &'e Value>) {
    let body: String = events.into_iter().map(|event| format!("{event}\n")).collect();
    story.accept("application/x-ndjson", &body);
}

/// Waits for the own events to be these, of which chain and why.
#[track_caller]
fn told(story: &Story, want: &[(&str, &str, &str)]) -> Vec<Value> {
    let records = wait::until("it is told", PATIENCE, || {
        let records: Vec<Value> =
            story.records("news.ndjson").into_iter().filter(|record| record["type"].as_str().is_some_and(|kind| kind.contains("integrity"))).collect();
        // After kill -9 one may be told again, under its id.
        let mut ids = std::collections::HashSet::new();
        let records: Vec<Value> = records.into_iter().filter(|record| ids.insert(record["id"].to_string())).collect();
        Ok((records.len() >= want.len()).then_some(records))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let have: Vec<_> = records
        .iter()
        .map(|record| (text(&record["type"]).replace("bulkhead.integrity.", ""), text(&record["data"]["chain"]), text(&record["data"]["reason"])))
        .collect();
    let have: Vec<_> = have.iter().map(|(kind, chain, reason)| (kind.as_str(), chain.as_str(), reason.as_str())).collect();
    assert_eq!(have, want, "{records:?}");
    records
}

/// What was not written down before kill -9 is looked at again.
fn looked_at(story: &Story, count: f64) {
    story.when("all are looked at", |scrape| scrape.sum("bulkhead_integrity_events_total", &[("rule", "mainframe")]) >= count);
}

#[test]
fn what_is_wrong_is_told_once_and_every_event_passes() {
    let story = start();
    let mut tampered = chain("a", 50);
    tampered[10]["what"] = "closed".into();
    tampered[11]["what"] = "closed".into();
    send(&story, &tampered);
    let records = told(&story, &[("tampered", "a", "hash_differs"), ("resolved", "a", "")]);
    assert_eq!((records[0]["subject"].as_str(), records[0]["severity"].as_str()), (Some("mainframe"), Some("critical")));
    assert_eq!(records[1]["data"]["findings"], json!({"gap": 0, "fork": 0, "tampered": 2, "restarted": 0}));
    assert!(!records.iter().any(|record| record.to_string().contains("closed")), "nothing of an event is in it");

    let gap = chain("b", 10);
    send(&story, gap[..3].iter().chain(&gap[4..]));
    told(&story, &[("tampered", "a", "hash_differs"), ("resolved", "a", ""), ("gap", "b", "previous_missing")]);
    // What was missing comes after all.
    send(&story, &gap[3..4]);
    let records = told(&story, &[("tampered", "a", "hash_differs"), ("resolved", "a", ""), ("gap", "b", "previous_missing"), ("resolved", "b", "")]);
    assert_eq!(records[3]["data"]["complete"], true);

    looked_at(&story, 60.0);
    let scrape = story.settled();
    let found = |kind: &str| scrape.sum("bulkhead_integrity_findings_total", &[("rule", "mainframe"), ("kind", kind)]);
    assert_eq!((found("tampered"), found("gap"), found("fork")), (2.0, 1.0, 0.0));
    assert_eq!(story.lines("out.ndjson").len(), 60);
}

#[test]
fn a_fork_a_new_start_and_silence_behind_a_gap_are_told() {
    let story = start();
    let (events, mut other) = (chain("f", 6), chain("f", 6));
    send(&story, &events);
    // Made up later, and hashed as it should be.
    other[4]["id"] = "f-x".into();
    let made_up = format!("f-x|opened|{}", other[4]["prev"].as_str().unwrap_or_default());
    other[4]["hash"] = Sha256::digest(made_up).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    send(&story, &other[4..5]);
    told(&story, &[("fork", "f", "same_previous")]);
    let mut anew = chain("other", 2);
    anew.iter_mut().for_each(|event| event["host"] = "f".into());
    send(&story, &anew);
    told(&story, &[("fork", "f", "same_previous"), ("restarted", "f", "new_start")]);
    // One event behind a gap and then nothing: `late` is enough.
    let quiet = chain("q", 9);
    send(&story, &quiet[..6]);
    send(&story, &quiet[8..]);
    told(&story, &[("fork", "f", "same_previous"), ("restarted", "f", "new_start"), ("gap", "q", "previous_missing")]);
}

#[test]
fn late_events_repeats_and_restarts_raise_nothing() {
    let mut story = start();
    let events = chain("c", 60);
    let mut mixed = events[..20].to_vec();
    mixed.swap(8, 10);
    mixed.swap(13, 14);
    mixed.extend_from_slice(&events[15..20]);
    send(&story, &mixed);
    story = story.crash();
    send(&story, &events[20..30]);
    story.host.terminate(PATIENCE).expect("stops");
    story = story.crash();
    send(&story, &events[28..40]);
    looked_at(&story, 12.0);
    // A real gap is found across a restart, and only that.
    story = story.crash();
    send(&story, &events[41..50]);
    told(&story, &[("gap", "c", "previous_missing")]);
    story = story.crash();
    send(&story, &events[50..]);
    looked_at(&story, 10.0);
    story.settled();
    told(&story, &[("gap", "c", "previous_missing")]);
}
