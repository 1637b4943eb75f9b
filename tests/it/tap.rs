//! The live view: server-sent events of what is accepted and what becomes of it, and the verb that follows them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bulkhead_tests::{port, wait};
use serde_json::{Value, json};

use crate::access::problem;
use crate::story::{PATIENCE, Story, binary, copybook, file, hec, receiver};

/// A listener that reads messages one by one.
pub struct Listener {
    stream: BufReader<TcpStream>,
    pub last: Option<String>,
}

impl Listener {
    /// Listened to once this returns. HTTP/1.0, so that the stream comes without chunks.
    #[track_caller]
    pub fn start(story: &Story, query: &str, last: Option<&str>) -> Self {
        Self::with(story, query, &last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default())
    }

    /// Somebody with a key.
    #[track_caller]
    pub fn of(story: &Story, query: &str, key: &str) -> Self {
        Self::with(story, query, &format!("X-API-Key: {key}\r\n"))
    }

    fn with(story: &Story, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(story.host.api).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(stream, "GET /api/integration/tap?{query} HTTP/1.0\r\nHost: x\r\n{headers}\r\n").expect("sent");
        let mut listener = Self { stream: BufReader::new(stream), last: None };
        let head: Vec<String> = std::iter::from_fn(|| Some(listener.line()).filter(|line| !line.is_empty())).collect();
        assert!(head[0].contains(" 200 ") && head.iter().any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")), "{head:?}");
        // What it begins with: when to come back, and a comment.
        while !listener.line().is_empty() {}
        listener
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line in time");
        line.trim_end().to_owned()
    }

    /// The next message: its kind and what it says.
    #[track_caller]
    pub fn next(&mut self) -> (String, Value) {
        let (mut event, mut data) = (String::new(), String::new());
        loop {
            let line = self.line();
            match line.split_once(": ") {
                Some(("id", id)) => self.last = Some(id.to_owned()),
                Some(("event", name)) => event = name.to_owned(),
                Some(("data", text)) => data = text.to_owned(),
                _ if line.is_empty() && !data.is_empty() => return (event, serde_json::from_str(&data).expect("JSON")),
                _ => {}
            }
        }
    }

    /// Whether nothing waits to be read, for a moment.
    pub fn is_silent(&mut self) -> bool {
        self.stream.get_ref().set_read_timeout(Some(Duration::from_millis(500))).expect("set");
        let mut line = String::new();
        self.stream.read_line(&mut line).is_err() && line.is_empty()
    }

    /// The next ones until there are so many that fit.
    #[track_caller]
    pub fn until(&mut self, many: usize, fits: impl Fn(&str, &Value) -> bool) -> Vec<Value> {
        let began = Instant::now();
        let mut found = Vec::new();
        while found.len() < many {
            let (event, data) = self.next();
            if fits(&event, &data) {
                found.push(data);
            }
            assert!(began.elapsed() < PATIENCE, "{} of {many} in time: {found:?}", found.len());
        }
        found
    }
}

fn two(down: &bulkhead_tests::receiver::Receiver) -> String {
    format!(
        "instances:\n{}{}routes:\n  - {{id: all, when: {{always: true}}, to: [{{instance: archive, format: jsonl}}]}}\n  - {{id: grave, when: {{min_severity: high}}, to: [{{instance: siem, format: cef}}]}}\n",
        hec("siem", down, ""),
        file("archive")
    )
}

#[test]
fn what_is_accepted_and_what_becomes_of_it_is_shown_as_it_happens() {
    let down = receiver("503;ok");
    let story = Story::start(&two(&down));
    let mut all = Listener::start(&story, "", None);
    let mut siem = Listener::start(&story, "instance=siem&outcome=retried,delivered&severity=high", None);
    let mut low = Listener::start(&story, "severity=low&type=note,other.*", None);
    let mut grave = Listener::start(&story, "route=grave&outcome=accepted&body=true", None);
    story.accept("application/x-ndjson", &copybook("e", 2));
    story.accept("application/json", r#"{"id":"n-1","type":"note","severity":"low","source":"/s"}"#);

    let retried = siem.until(2, |_, data| data["outcome"] == "retried");
    for one in &retried {
        assert_eq!((&one["instance"], &one["format"], &one["attempt"]), (&json!("siem"), &json!("cef"), &json!(1)), "{one}");
        assert!(one["next_attempt"].is_string() && one["code"] == "unavailable" && one["body"].is_null(), "{one}");
    }
    let delivered = siem.until(2, |_, data| data["outcome"] == "delivered");
    assert!(delivered.iter().all(|one| one["attempt"] == 2), "{delivered:?}");

    let seen = all.until(3, |event, _| event == "accepted");
    assert_eq!(seen[0]["id"], "e-0");
    assert_eq!(seen[0]["lanes"], json!(["archive/jsonl", "siem/cef"]), "{}", seen[0]);
    assert_eq!(seen[0]["routes"], json!(["all", "grave"]));
    assert_eq!((&seen[2]["id"], &seen[2]["routes"]), (&json!("n-1"), &json!(["all"])));
    let (event, note) = low.next();
    assert_eq!((note["id"].as_str(), note["type"].as_str()), (Some("n-1"), Some("note")), "{event} {note}");
    let (_, first) = grave.next();
    assert_eq!(first["body"]["event_id"], "e-0", "{first}");
    story.settled();
}

/// Who comes back goes on behind what was seen last, without a hole and without seeing anything twice; an id of
/// another host is said to be one.
#[test]
fn who_comes_back_goes_on_where_it_was() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let mut first = Listener::start(&story, "outcome=accepted", None);
    story.accept("application/x-ndjson", &copybook("a", 3));
    let seen = first.until(2, |event, _| event == "accepted");
    assert_eq!(seen[1]["id"], "a-1");
    let last = first.last.clone().expect("an id");
    drop(first);
    story.accept("application/x-ndjson", &copybook("b", 3));
    story.settled();
    let mut again = Listener::start(&story, "outcome=accepted", Some(&last));
    let ids: Vec<Value> = again.until(4, |event, _| event == "accepted").into_iter().map(|data| data["id"].clone()).collect();
    assert_eq!(ids, [json!("a-2"), json!("b-0"), json!("b-1"), json!("b-2")]);
    let mut stranger = Listener::start(&story, "", Some("1234abcd-7"));
    assert_eq!(stranger.next(), ("gap".into(), json!({"kind": "gap", "missed": null, "reason": "restarted"})));
    // Words of others in place of an id are no id.
    let mut nonsense = Listener::start(&story, "last_event_id=%27%20OR%201=1--", None);
    assert_eq!(nonsense.next().0, "gap");
}

/// One that reads nothing holds up nothing, and hears how much it missed; so does one that is too slow for the rate.
#[test]
fn a_listener_that_reads_nothing_holds_up_nothing() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let mut idle = Listener::start(&story, "body=true", None);
    for chunk in 0..12 {
        story.accept("application/x-ndjson", &copybook(&format!("c{chunk}"), 2_000));
    }
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_delivered_total", &[]), 24_000.0);
    // What was shown, and what it is told to have missed.
    let mut missed = 0;
    let began = Instant::now();
    while missed == 0 {
        let (event, data) = idle.next();
        if event == "gap" {
            assert!(["slow", "rate"].contains(&data["reason"].as_str().expect("text")), "{data}");
            missed = data["missed"].as_u64().expect("a number");
        }
        assert!(began.elapsed() < PATIENCE);
    }
    assert!(missed > 0);
    // It is listened to for what comes now.
    story.accept("application/json", r#"{"id":"last","type":"note","source":"/s"}"#);
    idle.until(1, |_, data| data["id"] == "last");
}

#[test]
fn listeners_have_a_bound_and_bad_questions_an_answer() {
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let get = |query: &str| story.host.get(&format!("/api/integration/tap?{query}")).expect("answers");
    problem(&get("instance=nobody"), 404, "not_found");
    problem(&get("route=%27%3B%20DROP%20TABLE%20logs--"), 404, "not_found");
    problem(&get("severity=grave"), 400, "bad_field");
    problem(&get("outcome=lost"), 400, "bad_field");
    problem(&get("body=perhaps"), 400, "bad_field");
    problem(&get("everything=1"), 400, "unknown_field");
    problem(&get(&format!("type={}", vec!["t"; 65].join(","))), 400, "bad_field");
    let mut listeners: Vec<Listener> = (0..16).map(|_| Listener::start(&story, "", None)).collect();
    let full = get("");
    problem(&full, 503, "tap_full");
    assert!(full.headers.get("retry-after").is_some());
    listeners.pop();
    wait::until("a place is free", PATIENCE, || Ok(try_one(&story).then_some(()))).expect("free");
}

/// Whether one more is listened to; it goes at once.
fn try_one(story: &Story) -> bool {
    let mut stream = TcpStream::connect(story.host.api).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(stream, "GET /api/integration/tap HTTP/1.0\r\nHost: x\r\n\r\n").expect("sent");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a line");
    line.contains(" 200 ")
}

/// A host that stops ends its streams: nobody who listens keeps it.
#[test]
fn a_host_that_stops_waits_for_no_listener() {
    let mut story = Story::start(&format!("instances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n", file("archive")));
    let _listening = Listener::start(&story, "", None);
    let began = Instant::now();
    assert!(story.host.terminate(PATIENCE).expect("ends").success());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn the_verb_follows_and_comes_back_after_a_restart() {
    let down = receiver("400*");
    // The port stays, so that the verb finds the host again.
    let api = port::free().expect("a port");
    let mut story = Story::listening(&format!("{{api: \"{api}\", http: \"127.0.0.1:0\"}}"), &two(&down));
    let api = format!("http://{}", story.host.api);
    let mut verb = Command::new(binary())
        .args(["tap", "--outcome", "accepted,dead_letter", "--json", "--api", &api])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let output = BufReader::new(verb.stdout.take().expect("piped"));
    let (shown, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let _ = shown.send(serde_json::from_str::<Value>(&line).expect("JSON"));
        }
    });
    let next = || lines.recv_timeout(PATIENCE).expect("a line in time");
    // It listens once it shows something.
    let first = wait::until("the verb listens", PATIENCE, || {
        story.accept("application/json", r#"{"id":"try","type":"note","severity":"low","source":"/s"}"#);
        Ok(lines.try_recv().ok())
    });
    let first = first.expect("shown");
    assert_eq!((first["schema_version"].as_u64(), first["event"].as_str()), (Some(1), Some("accepted")), "{first}");
    assert!(first["id"].is_string() && first["data"]["type"] == "note", "{first}");
    story = story.crash();
    // It says that it does not know what it missed, and goes on.
    let gap = std::iter::repeat_with(next).find(|line| line["event"] == "gap").expect("a gap");
    assert_eq!(gap["data"]["reason"], "restarted", "{gap}");
    story.accept("application/x-ndjson", &copybook("g", 2));
    let letter = std::iter::repeat_with(next).find(|line| line["data"]["outcome"] == "dead_letter").expect("one");
    assert_eq!((&letter["data"]["cause"], &letter["data"]["instance"]), (&json!("rejected"), &json!("siem")), "{letter}");
    verb.kill().expect("ends");
    verb.wait().expect("ends");
    // For people: behind what was seen, and so many.
    let args = ["tap", "--outcome", "accepted,dead_letter", "--after", gap["id"].as_str().expect("an id"), "--count", "4", "--api", &api];
    let replayed = Command::new(binary()).args(args).output().expect("runs");
    let said = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(replayed.status.success() && said.contains("accepted for") && said.contains("dead_letter by siem/cef, attempt 1"), "{said}");
    // For people; and what is asked wrongly is said at once.
    let wrong = Command::new(binary()).args(["tap", "--instance", "nobody", "--api", &api]).output().expect("runs");
    assert_eq!(wrong.status.code(), Some(5), "{}", String::from_utf8_lossy(&wrong.stderr));
}
