//! The connector `tcp` through the real binary: rsyslog reads its frames, and receivers that acknowledge,
//! refuse, forget and hang up account for every record.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bulkhead_tests::port;
use serde_json::Value;

use crate::story::{Story, copybook, ids};
use crate::syslog_send::{imtcp, instance, listens, no_rsyslog, rsyslog};

#[test]
fn rsyslog_reads_the_frames() {
    if no_rsyslog("tcp_send::rsyslog_reads_the_frames") {
        return;
    }
    for (framing, format) in [("newline", "jsonl"), ("octet_counting", "json")] {
        let port = port::free().expect("a port").port();
        let receiver = rsyslog(|_| imtcp(port));
        listens(port);
        let story = Story::start(&instance("tcp", &format!("{{framing: {framing}}}"), &format!("\"tcp://127.0.0.1:{port}\""), format));
        story.accept("application/x-ndjson", &copybook("e", 200));
        let records = receiver.heard(&story, 200);
        let events: Vec<Value> = records.iter().map(|record| serde_json::from_str(record["raw"].as_str().expect("text")).expect("the record, whole")).collect();
        let names: Vec<_> = events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(names, (0..200).map(|n| format!("e-{n}")).collect::<Vec<_>>(), "each once, in order");
    }
}

/// How a receiver takes frames of 4 bytes of length, and what it answers to the n-th record that it sees.
type Say = fn(usize, &str) -> Option<&'static str>;
type Seen = Arc<Mutex<Vec<String>>>;

/// Answers each record; where it has no answer it hangs up.
fn receiver(say: Say) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (port, seen) = (listener.local_addr().expect("bound").port(), Seen::default());
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Ends with an error when either side hangs up.
            let _ = serve(stream, &kept, say);
        }
    });
    (port, seen)
}

fn serve(mut stream: TcpStream, seen: &Seen, say: Say) -> std::io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut record = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut record)?;
        let text = String::from_utf8(record).expect("UTF-8");
        let n = {
            let mut seen = seen.lock().expect("lock");
            seen.push(text.clone());
            seen.len()
        };
        match say(n, &text) {
            Some(line) => writeln!(stream, "{line}")?,
            None => return hang_up(stream),
        }
    }
}

/// Closes without a reset, which would take answers with it that are still on their way.
fn hang_up(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

/// How often each of `n` events was seen.
fn times(seen: &Seen, n: usize) -> BTreeMap<usize, usize> {
    let mut times = BTreeMap::new();
    for text in seen.lock().expect("lock").iter() {
        ids(text.as_bytes(), "e", n).into_iter().for_each(|id| *times.entry(id).or_default() += 1);
    }
    times
}

#[test]
fn what_is_not_acknowledged_comes_again_and_what_is_does_not() {
    // The 31st record is read and then the receiver is gone; the 50th finds it busy.
    let (port, seen) = receiver(|n, _| match n {
        31 => None,
        50 => Some("BUSY"),
        _ => Some("OK"),
    });
    let config = "{framing: length_prefix, ack: {prefix: OK, reject: ERR, each: true}}";
    let story = Story::start(&instance("tcp", config, &format!("\"tcp://127.0.0.1:{port}\""), "json"));
    story.accept("application/x-ndjson", &copybook("e", 100));
    let scrape = story.settled();
    let times = times(&seen, 100);
    assert_eq!(times.len(), 100, "each arrived");
    assert_eq!(times.values().filter(|count| **count > 1).count(), 2, "twice: the one that was lost and the one that found it busy");
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "out")]), 100.0);
}

#[test]
fn a_record_that_is_refused_costs_only_itself() {
    // With one line for a batch this receiver wants batches of one.
    for each in [true, false] {
        let say: Say = |_, text| Some(if text.contains("\"e-7\"") { "ERR no such field" } else { "OK" });
        let (port, seen) = receiver(say);
        let limit = if each { "" } else { "\n    batch: {max_events: 1}" };
        let config = format!("{{framing: length_prefix, ack: {{prefix: OK, reject: ERR, each: {each}}}}}{limit}");
        let story = Story::start(&instance("tcp", &config, &format!("\"tcp://127.0.0.1:{port}\""), "json"));
        story.accept("application/x-ndjson", &copybook("e", 20));
        let scrape = story.settled();
        assert_eq!(times(&seen, 20).len(), 20);
        assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[("instance", "out")]), 19.0);
        assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "out")]), 1.0);
        let letters: Value = story.host.get("/api/integration/dead-letters").expect("answers").json().expect("JSON");
        assert!(letters.to_string().contains("the receiver answered: ERR no such field"), "{letters:#}");
    }
}
