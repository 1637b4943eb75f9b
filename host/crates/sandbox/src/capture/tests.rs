use bulkhead_core::SystemClock;

use super::*;

fn request(body: &[u8]) -> Ask {
    let headers = vec![("x".to_owned(), Bytes(b"1".to_vec()))];
    let (destination, method, path, message_id) = ("primary".to_owned(), "POST".to_owned(), "/in".to_owned(), "m".to_owned());
    Ask::HttpSend(HttpRequest { destination, method, path, headers, body: Bytes(body.to_vec()), gzip: false, timeout_ms: None, message_id })
}

fn captured(calls: Vec<HostCall>) -> Captured {
    Captured {
        capture: FORM,
        instance: "hook".to_owned(),
        component: "webhook".to_owned(),
        digest: "ab".to_owned(),
        config: serde_json::json!({"path": "/in"}),
        format: Format { name: "json".to_owned(), content_type: "application/json".to_owned() },
        fields: vec!["/id".to_owned()],
        events: Events { count: 1, block: Bytes(b"\xff\x00".to_vec()), spans: vec![0, 1, 4] },
        records: Records { block: Bytes(b"{}".to_vec()), offsets: vec![0, 2] },
        attempt: 1,
        before: 0,
        at: 7,
        calls,
        end: End::All(Said { word: "retry".to_owned(), text: None, wait_ms: Some(7_000) }),
        redacted: false,
    }
}

#[test]
fn what_is_kept_reads_back_as_it_was() {
    let answer = Answer::Response(HttpResponse { status: 200, headers: Vec::new(), body: Bytes(b"ok".to_vec()), truncated: false, retry_after_ms: None });
    let calls =
        [(request(b"{}\n"), answer), (Ask::StateGet { key: "k".to_owned() }, Answer::Value(None)), (Ask::StateDelete { key: "k".to_owned() }, Answer::Done)];
    let whole = captured(calls.into_iter().map(|(ask, answer)| HostCall { ask, answer }).collect());
    let text = serde_json::to_string(&whole).expect("written");
    assert!(text.contains(r#""http.send""#) && text.contains(r#"{"base64":"/wA="}"#) && text.contains(r#""body":"{}\n""#), "{text}");
    assert_eq!(serde_json::from_str::<Captured>(&text).expect("read"), whole);
    let other = text.replacen("\"attempt\":1", "\"attempt\":1,\"more\":1", 1);
    assert!(serde_json::from_str::<Captured>(&other).is_err(), "what is not known is refused");
    assert!(serde_json::from_str::<Captured>(&text.replace("/wA=", "!")).is_err());
}

#[test]
fn only_as_much_is_kept_as_was_asked_for() {
    let (captures, clock) = (Captures::default(), SystemClock::default());
    let later = clock.monotonic() + Duration::from_secs(60);
    assert_eq!(captures.begin(&clock), None, "nobody asked");
    captures.arm(3, later);
    let first = captures.begin(&clock).expect("asked for");
    assert_eq!(captures.begin(&clock), Some(first));
    captures.keep(first, Some(captured(Vec::new())), 10);
    captures.keep(first, Some(captured(Vec::new())), MOST_BYTES + 1);
    captures.keep(first, None, 0);
    let (progress, kept) = captures.kept(clock.monotonic());
    assert_eq!((progress, kept.len()), (Progress { waiting: 1, kept: 1, bytes: 10, passed: 2 }, 1));
    assert_eq!(captures.kept(later).0.waiting, 0, "the time is up");
    assert_eq!(captures.begin(&clock), None);
    captures.arm(MOST + 1, later);
    captures.keep(first, Some(captured(Vec::new())), 10);
    assert_eq!(captures.kept(clock.monotonic()).0, Progress { waiting: MOST, kept: 0, bytes: 0, passed: 0 });
    let second = captures.begin(&clock).expect("asked for");
    assert_ne!(first, second, "what began before is not kept for this one");
    for _ in 0..9 {
        captures.keep(second, Some(captured(Vec::new())), MOST_BYTES);
    }
    assert_eq!(captures.kept(clock.monotonic()).0.passed, 1, "together they are bounded too");
    captures.clear();
    captures.keep(second, Some(captured(Vec::new())), 10);
    assert_eq!(captures.kept(clock.monotonic()).0, Progress { waiting: 0, kept: 0, bytes: 0, passed: 0 });
}

#[test]
fn a_tape_that_is_too_long_is_none() {
    let mut tape = Tape::keeping();
    (0..1_001).for_each(|_| tape.note(Ask::StateGet { key: "k".to_owned() }, Answer::Done));
    assert!(!tape.is_on(), "nothing more is copied for it");
    assert!(tape.kept().0.is_none());
    let mut tape = Tape::keeping();
    // Fields without a value cost something, too.
    let Ask::HttpSend(plain) = request(b"") else { panic!("a request") };
    let headers = vec![("x".to_owned(), Bytes::default()); MOST_BYTES / 64];
    tape.note(Ask::HttpSend(HttpRequest { headers, ..plain }), Answer::Done);
    assert!(tape.kept().0.is_none());
    let mut tape = Tape::keeping();
    tape.note(request(&vec![0; MOST_BYTES + 1]), Answer::Done);
    assert!(tape.kept().0.is_none());
    let mut off = Tape::Off;
    off.note(request(b""), Answer::Done);
    assert!(!off.is_on() && off.kept().0.is_none());
}

#[test]
fn what_is_other_is_said() {
    #[track_caller]
    fn check(then: &Ask, now: &Ask, want: &str) {
        let said = then.difference(now).unwrap_or_default();
        assert!(said.contains(want), "{said}");
    }
    assert_eq!(request(b"a").difference(&request(b"a")), None);
    check(&request(b"[1,2]"), &request(b"[1,3]"), "5 bytes then, 5 now, other from byte 3 on: \"[1,2]\" then, \"[1,3]\" now");
    check(&request(b""), &Ask::StateGet { key: "k".to_owned() }, "http.send was called then, state.get now");
    check(&Ask::StateGet { key: "a".to_owned() }, &Ask::StateGet { key: "b".to_owned() }, "was called with \"a\", now with \"b\"");
    let Ask::HttpSend(then) = request(b"") else { panic!("a request") };
    check(&request(b""), &Ask::HttpSend(HttpRequest { path: "/out".to_owned(), ..then.clone() }), "the path was \"/in\", now \"/out\"");
    check(&request(b""), &Ask::HttpSend(HttpRequest { headers: Vec::new(), ..then.clone() }), "the header fields were [\"x: 1\"], now []");
    check(&request(b""), &Ask::HttpSend(HttpRequest { gzip: true, ..then }), "compression");
    let playback = Playback::new(&captured(vec![HostCall { ask: request(b""), answer: Answer::Done }]));
    assert!(matches!(playback.answer(&request(b"")), Answer::Error { .. }), "the call has not begun");
    playback.configured(&["/type".to_owned()]);
    playback.begin();
    let differences = playback.differences();
    assert!(differences.len() == 3 && differences[1].contains("asks for the fields") && differences[2].contains("1 calls of the host"), "{differences:?}");
    assert_eq!(playback.answer(&request(b"")), Answer::Done);
    assert_eq!(hindrance(["http", "log", "state"]), None);
    assert!(hindrance(["http", "tcp", "files"]).is_some_and(|why| why.contains("tcp, files")));
}

#[test]
fn secrets_are_taken_out_and_their_places_not_compared() {
    let redactor = Redactor::new([&b"hook-token"[..], b"k\"y-of-us"]);
    let asked = |path: &str, key: &str, body: &str| {
        let Ask::HttpSend(request) = request(body.as_bytes()) else { panic!("a request") };
        Ask::HttpSend(HttpRequest { path: path.to_owned(), headers: vec![("x-api-key".to_owned(), Bytes(key.as_bytes().to_vec()))], ..request })
    };
    let answer =
        Answer::Response(HttpResponse { status: 200, headers: Vec::new(), body: Bytes(b"hi hook-token".to_vec()), truncated: false, retry_after_ms: None });
    let calls = [
        (asked("/in/hook-token?a", "k\"y-of-us", r#"{"key":"k\"y-of-us","n":1}"#), answer),
        (Ask::StateSet { key: "k".to_owned(), value: Bytes(b"aG9vay10b2tlbg==".to_vec()) }, Answer::Done),
    ];
    let mut mask = Mask::new(&redactor);
    let mut calls: Vec<HostCall> = calls.into_iter().map(|(ask, answer)| HostCall { ask, answer }).collect();
    calls.iter_mut().for_each(|call| call.mask(&mut mask));
    let mut end = End::All(Said { word: "rejected".to_owned(), text: Some("no hook-token".to_owned()), wait_ms: None });
    end.mask(&mut mask);
    assert!(mask.found());
    let kept = serde_json::to_string(&Captured { end, redacted: true, ..captured(calls.clone()) }).expect("written");
    assert!(!kept.contains("hook-token") && !kept.contains("y-of-us") && !kept.contains("aG9vay10b2tlbg"), "{kept}");
    assert!(kept.contains("/in/[redacted]?a") && kept.contains("no [redacted]") && kept.contains(r#""redacted":true"#), "{kept}");
    let whole: Captured = serde_json::from_str(&kept).expect("read");
    // Under the template of the configuration the same call is made; around the marks everything counts.
    let same = asked("/in/${TOKEN}?a", "${KEY}", r#"{"key":"${KEY}","n":1}"#);
    let other = asked("/in/${TOKEN}?b", "${KEY}", r#"{"key":"${KEY}","n":1}"#);
    for (ask, differences) in [(same.clone(), 0), (other, 1)] {
        let playback = Playback::new(&Captured { calls: vec![calls[0].clone()], ..whole.clone() });
        playback.begin();
        playback.answer(&ask);
        assert_eq!(playback.differences().len(), differences, "{:?}", playback.differences());
    }
    let playback = Playback::new(&Captured { redacted: false, calls: vec![calls[0].clone()], ..whole.clone() });
    playback.begin();
    playback.answer(&same);
    assert_eq!(playback.differences().len(), 1, "what was not redacted is compared as it is");
    let now = End::All(Said { word: "rejected".to_owned(), text: Some("no ${TOKEN}".to_owned()), wait_ms: None });
    assert_eq!(now.masked_as(&whole.end), whole.end);
    for (then, now, want) in [
        ("a[redacted]b", "ab", true),
        ("a[redacted]b", "a-b-", false),
        ("a[redacted]b", "-ab", false),
        ("[redacted]:[redacted]", "u:p:q", true),
        ("[redacted]:[redacted]", "up", false),
        ("ab[redacted]bc", "abc", false),
        ("ab", "ab", true),
    ] {
        assert_eq!(mask::alike(then.as_bytes(), now.as_bytes()), want, "{then} {now}");
    }
}
