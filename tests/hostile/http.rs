//! Requests: what a guest may put into one, and what reaches the wire.

use std::io::Read as _;
use std::time::Duration;

use bulkhead_sandbox::{ConnectorGrants, Destination, DestinationSettings};

use crate::toolkit::probe::{Ask, NO_TIMEOUT};
use crate::toolkit::receiver::{Answer, Receiver};
use crate::toolkit::{Host, NOW, SECONDS, bounded, destination, limits};

fn to(receiver: &Receiver) -> ConnectorGrants {
    ConnectorGrants { destinations: vec![destination(&format!("{}/base", receiver.url()))], ..ConnectorGrants::default() }
}

fn with(name: &str, value: &[u8]) -> Ask {
    Ask { headers: vec![(name.into(), value.to_vec())], ..Ask::default() }
}

/// Header fields that are too many, or that would end the header: refused with the place and a harmless
/// form of the name; nothing is sent (RUSTSEC-2026-0021).
#[tokio::test]
async fn h40_header_fields() {
    let (host, receiver) = (Host::default(), Receiver::start(Answer::ok("fine")).await);
    let many: Vec<_> = (0..40_000).map(|i| (format!("x-{i}"), b"a".to_vec())).collect();
    let mut asks = vec![Ask { headers: many, ..Ask::default() }, with("x-big", &vec![b'a'; 33 << 10])];
    let mut want: Vec<String> = vec![
        "limit: http_header_fields of 128 reached: 40000 asked for; raise `limits.http_header_fields` to allow more (rule 5)".into(),
        "limit: http_header_bytes of 32 KiB reached: 33797 bytes asked for; raise `limits.http_header_bytes` to allow more (rule 5)".into(),
    ];
    for (name, shown) in [
        ("", ""),
        ("a b", "a b"),
        ("a:b", "a:b"),
        ("x\r\nevil", "x\\r\\nevil"),
        ("x\nevil", "x\\nevil"),
        ("x\0", "x\\u{0}"),
        ("caf\u{e9}", "caf\\u{e9}"),
        ("\u{212a}ey", "\\u{212a}ey"),
        ("a(b)", "a(b)"),
    ] {
        asks.push(with(name, b"x"));
        want.push(format!("invalid: header 0 `{shown}` is no field name (RFC 9110 §5.1) (rule 5)"));
    }
    for (name, letter) in [("X-Thing", 'X'), ("Host", 'H'), ("content-Length", 'L')] {
        asks.push(with(name, b"x"));
        want.push(format!("invalid: header 0 `{name}` has the upper-case letter `{letter}`; names are lower case (rule 5)"));
    }
    for (value, byte) in [
        (&b"a\r\nb: c"[..], "0d"),
        (b"a\nb: c", "0a"),
        (b"a\0", "00"),
        (b"a\r\n folded", "0d"),
        (b"caf\xe9", "e9"),
        ("caf\u{e9}".as_bytes(), "c3"),
        (b"\x7f", "7f"),
        (b"\x1b[31m", "1b"),
    ] {
        asks.push(with("x-thing", value));
        want.push(format!("invalid: the value of header 0 `x-thing` has the byte 0x{byte}; allowed are visible ASCII, space and tab (rule 5)"));
    }
    let got = bounded(NOW, SECONDS, host.sends(to(&receiver), &asks)).await;
    assert_eq!(got, want);
    assert_eq!(receiver.connections(), 0, "nothing was sent");
    // 128 fields within 32 KiB pass, each as it was given; a name may come twice.
    let mut headers: Vec<_> = (0..126).map(|i| (format!("x-{i}"), vec![b'v'; 200])).collect();
    headers.extend([("x-twice".to_owned(), b"one\ttwo".to_vec()), ("x-twice".to_owned(), b"three".to_vec())]);
    assert_eq!(host.send(to(&receiver), &Ask { headers, ..Ask::default() }).await, "200 w fine");
    let got = receiver.got().remove(0);
    assert_eq!(got.fields("x-twice"), ["one\ttwo", "three"]);
    assert_eq!(got.fields("x-125"), ["v".repeat(200)]);
}

/// Names that belong to the host, so that no guest frames, routes or authenticates a request by itself.
#[tokio::test]
async fn h42_header_fields_that_belong_to_the_host() {
    let (host, receiver) = (Host::default(), Receiver::start(Answer::ok("fine")).await);
    let names = [
        "host",
        "authorization",
        "proxy-authorization",
        "proxy-connection",
        "proxy-authenticate",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "transfer-encoding",
        "content-length",
        "accept-encoding",
        "expect",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "via",
        "cookie",
        "user-agent",
        "http2-settings",
        "sec-websocket-key",
        "max-forwards",
        ":authority",
        ":path",
        ":method",
    ];
    let asks: Vec<Ask> = names.iter().map(|name| with(name, b"x")).collect();
    let got = bounded(NOW, SECONDS, host.sends(to(&receiver), &asks)).await;
    let want: Vec<String> = names.iter().map(|name| format!("denied: header 0 `{name}` belongs to the host (rule 5)")).collect();
    assert_eq!(got, want);
    // Where the host compresses, it also names the encoding.
    let ask = Ask { gzip: true, ..with("content-encoding", b"br") };
    assert_eq!(host.send(to(&receiver), &ask).await, "denied: header 0 `content-encoding` belongs to the host (rule 5)");
    assert_eq!(receiver.connections(), 0, "nothing was sent");
}

/// One length, the true one, and no second framing beside it, on a connection that is used again and
/// again (GHSA-r8xh-cgf7-392j, GHSA-9prg-84vf-g5fc, GHSA-h4wp-g4x3-7398).
#[tokio::test]
async fn h41_framing_on_the_wire() {
    let (host, receiver) = (Host::default(), Receiver::start(Answer::ok("fine")).await);
    let smuggle = b"0\r\n\r\nGET /admin HTTP/1.1\r\nhost: evil\r\n\r\n".to_vec();
    let bodies = [Vec::new(), b"x".to_vec(), smuggle, vec![b'a'; 1 << 20]];
    for gzip in [false, true] {
        let asks: Vec<Ask> = bodies.iter().map(|body| Ask { body: body.clone(), gzip, ..Ask::default() }).collect();
        let got = bounded(NOW, SECONDS, host.sends(to(&receiver), &asks)).await;
        assert!(got.iter().all(|told| told == "200 w fine"), "{got:?}");
    }
    let got = receiver.got();
    assert_eq!((got.len(), receiver.connections()), (8, 2), "one connection for each guest's instance");
    for (i, got) in got.iter().enumerate() {
        assert_eq!(got.line(), "POST /base/in HTTP/1.1");
        assert_eq!(got.fields("content-length"), [got.body.len().to_string()], "{}", got.head);
        assert_eq!((got.fields("transfer-encoding").len(), got.fields("host").len()), (0, 1), "{}", got.head);
        let mut plain = Vec::new();
        if i < 4 {
            plain.clone_from(&got.body);
        } else {
            assert_eq!(got.fields("content-encoding"), ["gzip"]);
            flate2::read::GzDecoder::new(&got.body[..]).read_to_end(&mut plain).expect("gzip");
        }
        assert!(plain == bodies[i % 4], "body {i} is another");
    }
    assert!(receiver.rest().is_empty(), "{:?}", receiver.rest());
}

/// Answers whose framing contradicts itself end the exchange; the connection is not used again, and the
/// request is not sent a second time.
#[tokio::test]
async fn h41_framing_of_answers() {
    let host = Host::default();
    for (name, answer) in [
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        ("a list of lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\nab"),
        ("a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nab"),
        ("a length with a sign", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nab"),
        ("a length beyond numbers", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nab"),
        ("a chunk without a size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n"),
        ("a folded field", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"),
        ("no HTTP", "SSH-2.0-OpenSSH_9\r\n\r\n"),
    ] {
        let receiver = Receiver::start(Answer::text(answer)).await;
        let told = bounded(NOW, SECONDS, host.send(to(&receiver), &Ask::default())).await;
        assert!(told.starts_with("broken: "), "{name}: {told}");
        assert_eq!((receiver.connections(), receiver.got().len()), (1, 1), "{name}: sent once");
    }
}

/// No time at all is refused, too much is the call's own (GHSA-w4qr-p94g-mjhv: zero panicked).
#[tokio::test]
async fn h43_times_of_nothing_and_for_ever() {
    let (host, silent) = (Host::default(), Receiver::start(Answer::Silence).await);
    let ask = Ask { timeout: 0, ..Ask::default() };
    assert_eq!(host.send(to(&silent), &ask).await, "invalid: a timeout of 0 leaves no time; leave it out for the call's own deadline (rule 6)");
    assert_eq!(silent.connections(), 0);
    let second = || ConnectorGrants { limits: limits(&[("deadline", "1s")]), ..to(&silent) };
    for timeout in [u32::MAX, NO_TIMEOUT, 100_000_000] {
        // The request ends before the call does, so that the guest can still say what happened.
        let ask = Ask { timeout, ..Ask::default() };
        assert_eq!(bounded(Duration::from_millis(850), SECONDS, host.send(second(), &ask)).await, "timeout: ", "{timeout}");
    }
    let ask = Ask { timeout: 200, ..Ask::default() };
    assert_eq!(bounded(Duration::from_millis(200), SECONDS, host.send(second(), &ask)).await, "timeout: ");
}

#[tokio::test]
async fn h44_methods() {
    let (host, receiver) = (Host::default(), Receiver::start(Answer::ok("fine")).await);
    let never = "is never allowed: it would open a tunnel or echo credentials";
    let form = "is no upper-case method of at most 16 letters";
    let long = "A".repeat(8 << 10);
    let table = [
        ("CONNECT", "CONNECT".to_owned(), never),
        ("TRACE", "TRACE".to_owned(), never),
        ("post", "post".to_owned(), form),
        ("Post", "Post".to_owned(), form),
        ("", String::new(), form),
        (long.as_str(), "A".repeat(128), form),
        ("GE T", "GE T".to_owned(), form),
        ("GET /admin HTTP/1.1\r\nhost: evil\r\n\r\n", "GET /admin HTTP/1.1\\r\\nhost: evil\\r\\n\\r\\n".to_owned(), form),
        ("POST\0", "POST\\u{0}".to_owned(), form),
        ("P\u{d3}ST", "P\\u{d3}ST".to_owned(), form),
    ];
    let asks: Vec<Ask> = table.iter().map(|(method, ..)| Ask { method: (*method).to_owned(), ..Ask::default() }).collect();
    let want: Vec<String> = table.iter().map(|(_, shown, problem)| format!("invalid: method `{shown}` {problem} (rule 2)")).collect();
    assert_eq!(bounded(NOW, SECONDS, host.sends(to(&receiver), &asks)).await, want);
    let ask = Ask { method: "DELETE".into(), ..Ask::default() };
    assert_eq!(
        host.send(to(&receiver), &ask).await,
        "denied: method DELETE is not among GET, HEAD, POST, PUT, PATCH, the `methods` of destination `primary` (rule 2)"
    );
    // Not even an operator can grant these.
    for method in ["CONNECT", "TRACE"] {
        let settings = DestinationSettings { url: "https://h.example".into(), methods: vec![method.into()], ..DestinationSettings::default() };
        let error = Destination::new("primary", settings).expect_err(method).to_string();
        assert_eq!(error, format!("destination `primary`: `methods` has `{method}`, which {never}"));
    }
    assert_eq!(receiver.connections(), 0, "nothing was sent");
}

/// Every way out of a prefix that servers were ever led by; what passes goes out byte for byte.
#[tokio::test]
async fn h45_paths_stay_below_their_prefix() {
    let (host, receiver) = (Host::default(), Receiver::start(Answer::ok("fine")).await);
    let settings =
        DestinationSettings { url: format!("{}/base", receiver.url()), paths: vec!["/api".into(), "/v1/put".into()], ..DestinationSettings::default() };
    let grants = || ConnectorGrants { destinations: vec![Destination::new("primary", settings.clone()).expect("valid")], ..ConnectorGrants::default() };
    let dots = "has a `.` or `..` segment";
    let table = [
        ("/api/../admin", dots),
        ("/api/..", dots),
        ("/api/./x", dots),
        ("/api;x/../..", dots),
        ("/api/..;x/admin", dots),
        ("/api/.;/admin", dots),
        ("/api/%2e%2e/admin", "writes `.` as `%2E` at byte 5; write the character itself"),
        ("/api/.%2e/admin", "writes `.` as `%2E` at byte 6; write the character itself"),
        ("/%61pi/x", "writes `a` as `%61` at byte 1; write the character itself"),
        ("/api%2fadmin", "hides the byte `%2F` at byte 4, which servers read differently"),
        ("/api%5cadmin", "hides the byte `%5C` at byte 4, which servers read differently"),
        ("/api/%252e%252e/admin", "hides the byte `%25` at byte 5, which servers read differently"),
        ("/api/%00", "hides the byte `%00` at byte 5, which servers read differently"),
        ("/api/%0d%0ax:y", "hides the byte `%0D` at byte 5, which servers read differently"),
        ("/api/%zz", "has `%` without two hex digits at byte 5"),
        ("/api/%", "has `%` without two hex digits at byte 5"),
        ("//evil/x", "has an empty segment (`//`)"),
        ("/api//x", "has an empty segment (`//`)"),
        ("/api/;x/y", "has a segment of parameters only (`;`)"),
        ("/api#x", "has a fragment at byte 4"),
        ("/api x", "has the byte 0x20 at byte 4; percent-encode it"),
        ("/api\t", "has the byte 0x09 at byte 4; percent-encode it"),
        ("https://evil.example/api", "does not begin with `/`"),
        ("api", "does not begin with `/`"),
        ("@evil.example/api", "does not begin with `/`"),
        (":8080/api", "does not begin with `/`"),
        (".evil.example/api", "does not begin with `/`"),
        ("/api/<x>", "has `<` at byte 5; write it as %3C"),
    ];
    let mut asks: Vec<Ask> = table.iter().map(|(path, _)| Ask { path: (*path).into(), ..Ask::default() }).collect();
    let mut want: Vec<String> = table.iter().map(|(path, problem)| format!("invalid: path `{}` {problem} (rule 3)", path.escape_default())).collect();
    for path in ["/apix", "/api.", "/api-x", "/", "", "/v1", "/v1/putt", "/v1/pu", "/API", "/ap", "/x/api"] {
        asks.push(Ask { path: path.into(), ..Ask::default() });
        want.push(format!("denied: path `{path}` is not below /api, /v1/put, the `paths` of destination `primary` (rule 4)"));
    }
    asks.push(Ask { path: "/api\\..\\admin".into(), ..Ask::default() });
    want.push("invalid: path `/api\\\\..\\\\admin` has a backslash at byte 4 (rule 3)".into());
    asks.push(Ask { path: format!("/api/{}", "a".repeat(8 << 10)), ..Ask::default() });
    want.push(format!("invalid: path `/api/{}` is 8197 bytes long, at most 8192 are allowed (rule 3)", "a".repeat(123)));
    assert_eq!(bounded(NOW, SECONDS, host.sends(grants(), &asks)).await, want);
    assert_eq!(receiver.connections(), 0, "nothing was sent");
    // A prefix with a query, or one that is no path, is no prefix.
    for (prefix, problem) in
        [("/api?x", "has `/api?x` with a query; prefixes are compared with paths only"), ("/api/..", "has `/api/..`, which has a `.` or `..` segment")]
    {
        let settings = DestinationSettings { url: "https://h.example".into(), paths: vec![prefix.into()], ..DestinationSettings::default() };
        assert_eq!(Destination::new("primary", settings).expect_err(prefix).to_string(), format!("destination `primary`: `paths` {problem}"));
    }
    let good = ["/api", "/api/", "/api/x?y=/../z&q=%2F..%2F", "/api/caf%C3%A9", "/api/..a/b..", "/v1/put/a:b@c,d;e=f/(g)!$&'*+", "/api?x"];
    let asks: Vec<Ask> = good.iter().map(|path| Ask { path: (*path).into(), ..Ask::default() }).collect();
    assert!(host.sends(grants(), &asks).await.iter().all(|told| told == "200 w fine"));
    let lines: Vec<String> = receiver.got().iter().map(|got| got.line().to_owned()).collect();
    let want: Vec<String> = good.iter().map(|path| format!("POST /base{path} HTTP/1.1")).collect();
    assert_eq!(lines, want);
}
