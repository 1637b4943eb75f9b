//! Receivers that are hostile themselves: they send elsewhere, ask for more than they should get, or
//! answer without end.

use std::time::Duration;

use bulkhead_sandbox::ConnectorGrants;

use crate::toolkit::probe::Ask;
use crate::toolkit::receiver::{Answer, Receiver};
use crate::toolkit::story::{PATIENCE, webhook};
use crate::toolkit::{Host, NOW, Rebinding, SECONDS, bounded, destination, limits, story_with_env};

fn to(receiver: &Receiver) -> ConnectorGrants {
    ConnectorGrants { destinations: vec![destination(&receiver.url())], ..ConnectorGrants::default() }
}

/// Redirects are answers like others: nobody follows them, nobody answers a challenge, no header makes
/// later requests go elsewhere or come again.
#[tokio::test]
async fn h49_nobody_is_sent_elsewhere() {
    let elsewhere = Receiver::start(Answer::ok("secrets")).await;
    let there = elsewhere.url();
    let resolver = Rebinding::new(&[&["127.0.0.1"]]);
    let host = Host::with(|settings| settings.resolver = std::sync::Arc::clone(&resolver) as _);
    for (status, headers, want) in [
        (301, format!("location: {there}/\r\n"), "301 w "),
        (302, "location: http://169.254.169.254/latest/meta-data/\r\n".into(), "302 w "),
        (303, format!("location: {there}/\r\n"), "303 w "),
        (307, format!("location: {there}/\r\n"), "307 w "),
        (308, "location: https://evil.example/\r\n".into(), "308 w "),
        (300, format!("location: {there}/\r\nlink: <{there}/>; rel=next\r\n"), "300 w "),
        (200, format!("refresh: 0; url={there}/\r\n"), "200 w "),
        (201, format!("content-location: {there}/\r\n"), "201 w "),
        (401, "www-authenticate: Basic realm=\"x\"\r\nwww-authenticate: Negotiate\r\nwww-authenticate: NTLM\r\n".into(), "401 w "),
        (407, "proxy-authenticate: Basic realm=\"x\"\r\n".into(), "407 w "),
        (408, "connection: close\r\n".into(), "408 w "),
        (421, String::new(), "421 w "),
        (425, String::new(), "425 w "),
        (429, "retry-after: 0\r\n".into(), "429 w "),
        (503, "retry-after: 0\r\n".into(), "503 w "),
    ] {
        let receiver = Receiver::start(Answer::status(status, &headers, "")).await;
        let told = bounded(NOW, SECONDS, host.send(to(&receiver), &Ask::default())).await;
        assert_eq!(told, want);
        assert_eq!((receiver.connections(), receiver.got().len()), (1, 1), "{status}: sent once");
    }
    // Remembered for the next request, if anybody did.
    let turn = "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\nset-cookie: session=1; Path=/\r\n";
    let headers = format!("{turn}alt-svc: h2=\"127.0.0.1:{}\"; ma=86400, h3=\":443\"\r\n", elsewhere.port);
    let receiver = Receiver::start(Answer::status(200, &headers, "")).await;
    let told = host.sends(to(&receiver), &[Ask::default(), Ask::default(), Ask::default()]).await;
    assert_eq!(told, ["200 w "; 3]);
    assert_eq!((receiver.connections(), receiver.got().len(), elsewhere.connections()), (1, 3, 0));
    let heads: Vec<String> = receiver.got().into_iter().map(|got| got.head).collect();
    assert!(heads.iter().all(|head| *head == heads[0]), "the same each time, without cookies: {heads:?}");
    assert_eq!(resolver.asked(), 0, "no name was looked up");
}

/// A request that the receiver may have seen is not sent again by itself, on a new connection or on one
/// that was kept and died.
#[tokio::test]
async fn h49_nothing_is_sent_twice() {
    let host = Host::default();
    let receiver = Receiver::start(Answer::Close).await;
    let told = bounded(NOW, SECONDS, host.send(to(&receiver), &Ask::default())).await;
    assert!(told.starts_with("broken: "), "{told}");
    assert_eq!((receiver.connections(), receiver.got().len()), (1, 1));
    // The first is answered and the connection kept; on it the second is read and not answered.
    let twice = Receiver::start(Answer::Then(Box::new(Answer::ok("first")), Box::new(Answer::Close))).await;
    let told = bounded(NOW, SECONDS, host.sends(to(&twice), &[Ask::default(), Ask::default()])).await;
    assert_eq!(told[0], "200 w first");
    assert!(told[1].starts_with("broken: "), "{told:?}");
    assert_eq!((twice.connections(), twice.got().len()), (1, 2), "the second was not sent again");
}

/// Proxies of the environment are not used, whatever they are called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h50_proxies_of_the_environment() {
    let proxy = Receiver::start(Answer::ok("proxied")).await;
    let receiver = crate::toolkit::story::receiver("");
    let url = proxy.url();
    let seen = tokio::task::spawn_blocking(move || {
        let config = format!("instances:\n{}default_route: [{{instance: hook, format: json}}]\n", webhook("hook", &receiver, ""));
        let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "REQUEST_METHOD"];
        let story = story_with_env(&config, names.map(|name| (name.to_owned(), url.clone())).into());
        story.accept("application/json", r#"{"id":"e-0"}"#);
        story.settled();
        receiver.kept().len()
    });
    assert_eq!(bounded(NOW, PATIENCE * 2, seen).await.expect("no panic"), 1, "it arrived");
    assert_eq!(proxy.connections(), 0, "and went straight there");
}

/// Answers of any size and shape end at their limits: they are cut, or the exchange ends.
#[tokio::test]
async fn h52_answers_without_end() {
    let host = Host::default();
    let chunk = [b"400\r\n".to_vec(), vec![b'a'; 1_024], b"\r\n".to_vec()].concat();
    let endless = |head: &str, again: Vec<u8>| Answer::Endless(head.as_bytes().to_vec(), again);
    for (name, answer, want) in [
        ("chunks without end", endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk), "200 c aaaa"),
        ("a length beyond all measure", endless("HTTP/1.1 200 OK\r\ncontent-length: 9999999999999\r\n\r\n", vec![b'a'; 65_536]), "200 c aaaa"),
        ("until the end that never comes", endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'a'; 65_536]), "200 c aaaa"),
        ("fields without end", endless("HTTP/1.1 200 OK\r\n", b"x-more: and more and more and more\r\n".repeat(100)), "broken: "),
        ("a field without end", endless("HTTP/1.1 200 OK\r\nx-long: ", vec![b'a'; 65_536]), "broken: "),
        ("a reason without end", endless("HTTP/1.1 200 ", vec![b'a'; 65_536]), "broken: "),
        ("interim answers without end", endless("", b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".to_vec()), "timeout: "),
    ] {
        let receiver = Receiver::start(answer).await;
        let ask = Ask { timeout: 3_000, ..Ask::default() };
        let told = bounded(NOW, SECONDS, host.send(to(&receiver), &ask)).await;
        assert!(told.starts_with(want), "{name}: {}", &told[..told.len().min(200)]);
    }
    // 40 KiB of fields in one piece: whole, and beyond the limit.
    let wide = Receiver::start(Answer::status(200, &format!("x: {}\r\n", "a".repeat(40 << 10)), "")).await;
    let told = host.send(to(&wide), &Ask::default()).await;
    assert_eq!(told, "limit: the answer's header: http_header_bytes of 32 KiB reached: 40976 bytes asked for; raise `limits.http_header_bytes` to allow more");
    // One byte a second ends by the request's time.
    let slow = Receiver::start(Answer::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc".to_vec(), Duration::from_millis(200))).await;
    let ask = Ask { timeout: 500, ..Ask::default() };
    assert_eq!(bounded(Duration::from_millis(500), SECONDS, host.send(to(&slow), &ask)).await, "timeout: ");
}

/// Nothing is inflated: a bomb arrives as the bytes that it is, because the host never asks for it.
#[tokio::test]
async fn h52_bombs_stay_as_they_are() {
    let host = Host::default();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &vec![0; 64 << 20]).expect("to memory");
    let bomb = encoder.finish().expect("to memory");
    assert!(bomb.len() < 80 << 10, "64 MiB in {} bytes", bomb.len());
    // As hex, because the probe shows text.
    let hex: String = bomb.iter().map(|byte| format!("{byte:02x}")).collect();
    for encoding in ["gzip", "br", "deflate", "zstd", "gzip, gzip"] {
        let receiver = Receiver::start(Answer::status(200, &format!("content-encoding: {encoding}\r\n"), &hex)).await;
        let told = bounded(NOW, SECONDS, host.send(to(&receiver), &Ask::default())).await;
        assert_eq!(told, format!("200 w {}…", &hex[..4_090]), "{encoding}: the bytes as they came");
        assert!(receiver.got()[0].fields("accept-encoding").is_empty(), "nobody asked for it");
    }
}

/// Cut off in the middle, split in two, or two where one was asked for.
#[tokio::test]
async fn h52_answers_that_end_early_or_come_twice() {
    let host = Host::default();
    for (name, answer) in [
        ("closed within the body", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc"),
        ("closed within the head", "HTTP/1.1 200 OK\r\ncontent-le"),
        ("closed within a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nabc"),
    ] {
        let receiver = Receiver::start(Answer::Last(answer.as_bytes().to_vec())).await;
        let told = bounded(NOW, SECONDS, host.send(to(&receiver), &Ask::default())).await;
        assert!(told.starts_with("broken: "), "{name}: {told}");
        assert_eq!(receiver.got().len(), 1, "{name}: sent once");
    }
    // A second answer behind the first is nobody's: the next request does not get it.
    let split = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let receiver = Receiver::start(Answer::Turns(vec![Answer::text(split), Answer::ok("second")])).await;
    let told = bounded(NOW, SECONDS, host.sends(to(&receiver), &[Ask::default(), Ask::default()])).await;
    assert_eq!(told[0], "200 w first");
    assert!(!told[1].contains("forged"), "{told:?}");
    // Many at once are bounded, and what is beyond is told so.
    let silent = Receiver::start(Answer::Silence).await;
    let grants = ConnectorGrants { limits: limits(&[("http_concurrent", "1")]), ..to(&silent) };
    let source = crate::toolkit::probe::source(&host, grants);
    let one = async |timeout: u32| {
        let mut guest = source.open(&crate::toolkit::json()).await.unwrap_or_else(|error| panic!("{error}"));
        let request = crate::toolkit::probe::records_of(&Ask::default());
        crate::toolkit::probe::told(guest.deliver(&request, &crate::toolkit::events(1), timeout).await)
    };
    let second = async {
        // Behind the first.
        while silent.connections() == 0 {
            tokio::task::yield_now().await;
        }
        one(300).await
    };
    let (first, second) = bounded(NOW, SECONDS, async { tokio::join!(one(2_000), second) }).await;
    assert_eq!(first, "timeout: ");
    assert_eq!(second, "connect: http_concurrent of 1 reached: 2 asked for; raise `limits.http_concurrent` to allow more");
    assert_eq!(silent.connections(), 1);
}
