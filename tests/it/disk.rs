//! A disk that runs full below a running host, with a kill -9 while it is full: senders hear 503 and when
//! to come back, nothing that was acknowledged is lost, and everything goes on by itself with the room.

use std::collections::BTreeSet;
use std::time::Duration;

use bulkhead_tests::disk::Disk;
use bulkhead_tests::host::Host;
use bulkhead_tests::receiver::{self, Receiver, Script};
use bulkhead_tests::{skip, wait};

use crate::story::{PATIENCE, copybook, hec, spec, webhook};

/// Enough for all that is acknowledged and for its dead letters, once the ballast is gone.
const ROOM: u64 = 64 << 20;

/// Posts until the disk refuses: what was acknowledged, by number.
fn until_full(host: &Host, next: &mut usize, acked: &mut BTreeSet<usize>) -> bulkhead_tests::http::Response {
    wait::until_every(Duration::ZERO, "the disk refuses events", PATIENCE, || {
        let first = *next;
        let body: String = (first..first + 50).map(|i| copybook(&format!("d{i:06}"), 1)).collect();
        let response = host.post("application/x-ndjson", body.as_bytes())?;
        *next += 50;
        if response.status == 202 {
            acked.extend(first..first + 50);
            return Ok(None);
        }
        Ok(Some(response))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", host.log()))
}

/// Numbers of the events that a body names.
fn numbers(body: &[u8]) -> BTreeSet<usize> {
    let text = String::from_utf8_lossy(body);
    text.match_indices("\"d").filter_map(|(at, _)| text.get(at + 2..at + 10)?.strip_suffix("-0")?.parse().ok()).collect()
}

#[test]
fn a_full_disk_refuses_senders_loses_nothing_and_goes_on_by_itself() {
    let dir = tempfile::TempDir::new().expect("a folder");
    let disk = match Disk::tmpfs(dir.path(), ROOM) {
        Ok(disk) => disk,
        Err(reason) => return skip::skip("disk::a_full_disk_refuses_senders_loses_nothing_and_goes_on_by_itself", &reason),
    };
    let siem = Receiver::start(receiver::Options { keep: 100_000, ..receiver::Options::default() }, Script::parse("503*").expect("script")).expect("starts");
    // Refuses every event for good: its lane writes dead letters on the same disk.
    let strict = Receiver::start(receiver::Options::default(), Script::parse("503*").expect("script")).expect("starts");
    let config = format!(
        "journal: {{segment_bytes: 1MiB}}\ninstances:\n{}{}default_route: [{{instance: siem, format: json}}, {{instance: strict, format: json}}]\n",
        hec("siem", &siem, "    batch: {max_events: 100}\n"),
        webhook("strict", &strict, "    config: {mode: ndjson}\n    batch: {max_events: 100}\n"),
    );
    let mut spec = spec(dir.path(), r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#, &config);
    // Written outside; the host reads it on its own disk.
    std::fs::copy(&spec.config, disk.path("bulkhead.yaml")).expect("copied");
    std::fs::create_dir(disk.path("out")).expect("a folder");
    (spec.through, spec.data_dir, spec.log) = (disk.enter(), disk.path("data"), std::env::temp_dir().join(format!("bulkhead-disk-{}.log", std::process::id())));
    let log = spec.log.clone();
    let host = Host::start(spec).expect("starts");

    disk.fill(6 << 20).expect("filled");
    let (mut next, mut acked) = (0, BTreeSet::new());
    let full = until_full(&host, &mut next, &mut acked);
    let problem = full.json().expect("JSON");
    assert_eq!((full.status, problem["code"].as_str()), (503, Some("disk")), "{problem}");
    assert!(full.headers.get("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{:?}", full.headers);
    assert!(acked.len() > 1000, "{} before the disk was full", acked.len());
    disk.fill(0).expect("filled");

    // Killed on the full disk, it starts on the full disk.
    let host = host.restart().unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(host.get("/livez").expect("answers").status, 200);
    let full = until_full(&host, &mut next, &mut acked);
    assert_eq!((full.status, full.json().expect("JSON")["code"].as_str()), (503, Some("disk")));

    // The receivers are back: one takes, the other refuses for good; dead letters find no room yet.
    siem.play(Script::default());
    strict.play(Script::parse("400*").expect("script"));
    wait::until("the siem has all", PATIENCE, || {
        Ok((siem.stats(|stats| stats.answers.get(&200).copied().unwrap_or(0)) * 100 >= acked.len() as u64).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", host.log()));
    assert_eq!(host.get("/livez").expect("answers").status, 200);

    // Room: everything goes on without a restart.
    disk.empty().expect("emptied");
    let after = next;
    wait::until("events are taken again", PATIENCE, || {
        let body: String = (next..next + 50).map(|i| copybook(&format!("d{i:06}"), 1)).collect();
        let first = next;
        next += 50;
        let response = host.post("application/x-ndjson", body.as_bytes())?;
        acked.extend((response.status == 202).then_some(first..first + 50).into_iter().flatten());
        Ok((response.status == 202).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", host.log()));
    assert!(acked.iter().any(|number| *number >= after));
    host.settled(PATIENCE).unwrap_or_else(|error| panic!("{error:#}"));

    let delivered: BTreeSet<usize> = siem.kept().iter().filter(|kept| kept.status == 200).flat_map(|kept| numbers(&kept.body)).collect();
    assert!(delivered.is_superset(&acked), "lost: {:?}", acked.difference(&delivered).take(5).collect::<Vec<_>>());
    let mut dead = BTreeSet::new();
    let mut last = String::new();
    loop {
        let page = host.get(&format!("/api/integration/dead-letters?instance=strict&limit=1000{last}")).expect("answers").json().expect("JSON");
        let letters = page["data"].as_array().expect("letters").clone();
        dead.extend(letters.iter().flat_map(|letter| letter["event_id"].as_str().and_then(|id| id[1..7].parse::<usize>().ok())));
        match letters.last() {
            Some(letter) if letters.len() == 1000 => last = format!("&after={}", letter["id"]),
            _ => break,
        }
    }
    assert!(dead.is_superset(&acked), "in no dead letter: {:?}", acked.difference(&dead).take(5).collect::<Vec<_>>());
    let _ = std::fs::remove_file(log);
}
