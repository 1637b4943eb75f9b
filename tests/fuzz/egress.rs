//! The way out: URLs of operators, requests of guests, addresses of resolvers, answers of receivers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use base64::Engine as _;
use bulkhead_sandbox::egress::address::{Class, classify};
use bulkhead_sandbox::egress::redact::Redactor;
use bulkhead_sandbox::egress::{Asked, decide, host_owned, retry_after};
use bulkhead_sandbox::{ConnectorGrants, Destination, DestinationSettings, Limits};

use crate::toolkit::probe::{self, Ask};
use crate::toolkit::receiver::{Answer, Receiver};
use crate::toolkit::{Host, destination, events, json};
use crate::{run, run_rounds};

/// A URL that is taken reads the same to everybody, and what was read is what is written.
#[test]
fn urls() {
    run("urls", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match Destination::new("primary", DestinationSettings { url: text.into(), ..DestinationSettings::default() }) {
            Ok(made) => {
                assert!(text.starts_with(made.origin()), "{text} became {}", made.origin());
                let url = reqwest::Url::parse(text).expect("another reader takes it, too");
                assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none() && !url.cannot_be_a_base());
                assert_eq!(url.port_or_known_default(), Some(made.port()));
                assert_eq!(url.scheme() == "https", made.https());
                let again = Destination::new("primary", DestinationSettings { url: made.origin().into(), ..DestinationSettings::default() });
                assert_eq!(again.expect("its origin is a URL").host(), made.host());
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.len() < bytes.len() * 2 + 1_024 && !text.contains(char::is_control), "{text:?}");
            }
        }
    });
}

/// Lines: destination, method, path, then fields as `name: value`. What is allowed stays within the
/// grant by a reading of its own; what is refused names its rule.
#[test]
fn requests() {
    let settings = DestinationSettings {
        url: "https://h.example/base".into(),
        methods: vec!["POST".into(), "PUT".into()],
        paths: vec!["/api".into(), "/v1/put".into()],
        ..DestinationSettings::default()
    };
    let granted = BTreeMap::from([("primary".to_owned(), Destination::new("primary", settings).expect("valid"))]);
    let limits = Limits::default();
    run("requests", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split('\n');
        let [destination, method, path] = [(); 3].map(|()| lines.next().unwrap_or_default());
        let headers: Vec<(String, Vec<u8>)> = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.into())).collect();
        let asked = Asked { destination, method, path, headers: &headers, body_bytes: 1, gzip: true };
        match decide(&granted, &asked, &limits) {
            Ok(allowed) => {
                assert_eq!(destination, "primary");
                assert!(matches!(method, "POST" | "PUT"));
                let url = reqwest::Url::parse(&format!("https://h.example{}", allowed.target)).expect("a URL");
                let segments: Vec<&str> = url.path_segments().expect("a path").collect();
                assert!(matches!(segments[..], ["base", "api", ..] | ["base", "v1", "put", ..]), "{} leaves its prefixes", allowed.target);
                assert_eq!(url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path())), allowed.target, "no reader changes it");
                assert!(allowed.target.bytes().all(|byte| byte.is_ascii_graphic()));
                for (name, value) in &allowed.headers {
                    assert!(!host_owned(name.as_str()) && name != "content-encoding", "{name}");
                    assert!(value.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte) || *byte == b'\t'));
                }
            }
            Err(refusal) => {
                let text = refusal.to_string();
                assert!((1..=6).contains(&refusal.rule) && text.len() < 1_024 && !text.contains(char::is_control), "{text:?}");
            }
        }
    });
}

/// The first 4 or 16 bytes as an address, against what the standard library knows of it.
#[test]
fn addresses() {
    run("addresses", |bytes| {
        if let Some(octets) = bytes.first_chunk::<4>() {
            let v4 = Ipv4Addr::from(*octets);
            let class = classify(v4.into());
            let inside = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified();
            assert!(!(inside || v4.is_documentation()) || class != Class::Public, "{v4} is {class:?}");
            // In disguise it is never better than it is.
            assert_eq!(classify(v4.to_ipv6_mapped().into()), class, "{v4} mapped");
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            assert_eq!(classify(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into()), class, "{v4} behind NAT64");
            for disguise in [
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 1, 2, 3, 4, !high, !low),
                Ipv6Addr::new(0x2a00, 1, 2, 3, 0x200, 0x5efe, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            ] {
                let hidden = classify(disguise.into());
                assert!(hidden != Class::Public && (class != Class::Metadata || hidden == Class::Metadata), "{disguise} is {hidden:?}");
            }
        }
        if let Some(octets) = bytes.first_chunk::<16>() {
            let v6 = Ipv6Addr::from(*octets);
            let class = classify(v6.into());
            let inside = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local();
            assert!(!inside || class != Class::Public, "{v6} is {class:?}");
            // What counts as public is global unicast, or leads to a public address.
            let global = v6.segments()[0] & 0xe000 == 0x2000;
            let translated = v6.to_ipv4_mapped().is_some() || v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
            assert!(class != Class::Public || global || translated, "{v6} is {class:?}");
            assert_eq!(classify(IpAddr::V6(v6).to_canonical()), class, "{v6} written otherwise");
        }
    });
}

#[test]
fn waits() {
    run("waits", |bytes| {
        let now = Duration::from_secs(1_445_412_480);
        let Some(wait) = retry_after::parse(bytes, now) else { return };
        assert!(wait <= retry_after::MAX);
        let text = std::str::from_utf8(bytes).expect("text").trim();
        if let Ok(seconds) = text.parse::<u64>() {
            assert_eq!(wait, Duration::from_secs(seconds).min(retry_after::MAX));
        }
        assert!(retry_after::parse(bytes, Duration::ZERO).is_some_and(|from_start| from_start >= wait), "an earlier clock waits longer");
    });
}

/// The secret in each form in which it comes back, within any bytes.
#[test]
fn redaction() {
    const SECRET: &[u8] = b"s3cr3t/t0k\xc3\xa9n+\"x";
    let redactor = Redactor::new([SECRET]);
    let hex: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = SECRET.iter().map(|byte| format!("%{byte:02X}")).collect();
    let escaped = serde_json::to_string(std::str::from_utf8(SECRET).expect("text")).expect("JSON");
    let base64 = base64::engine::general_purpose::STANDARD.encode(SECRET);
    let forms: [Vec<u8>; 6] = [
        SECRET.to_vec(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        percent.into_bytes(),
        escaped.as_bytes()[1..escaped.len() - 1].to_vec(),
        base64.trim_end_matches('=').as_bytes().to_vec(),
    ];
    // The last digit also holds bits of what follows: it says nothing alone.
    let whole = SECRET.len() * 8 / 6;
    run("redaction", |bytes| {
        let middle = bytes.len() / 2;
        for form in &forms {
            let text = [&bytes[..middle], form, &bytes[middle..]].concat();
            let clean = redactor.bytes(&text);
            for form in forms[..5].iter().map(Vec::as_slice).chain([&forms[5][..whole]]) {
                assert!(memchr::memmem::find(&clean, form).is_none(), "{} is left", String::from_utf8_lossy(form));
            }
        }
        // What holds no secret stays as it is.
        if forms.iter().all(|form| memchr::memmem::find(bytes, form).is_none())
            && !bytes.windows(6).any(|six| memchr::memmem::find(base64.as_bytes(), six).is_some())
        {
            assert_eq!(&*redactor.bytes(bytes), bytes);
        }
    });
}

/// Any bytes as an answer, through the client, the sandbox and a guest: an answer within its limits or
/// an error with a kind, soon, and the request was sent once.
#[test]
fn responses() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let host = Host::default();
    let wasm = probe::component(0);
    run_rounds("responses", 60, |bytes| {
        runtime.block_on(async {
            let receiver = Receiver::start(Answer::Last(bytes.to_vec())).await;
            let grants = ConnectorGrants { destinations: vec![destination(&receiver.url())], ..ConnectorGrants::default() };
            let source = host.connector(&wasm, grants).expect("sets up");
            let mut guest = source.open(&json()).await.unwrap_or_else(|error| panic!("{error}"));
            let (request, one) = (probe::records_of(&Ask::default()), events(1));
            let told = probe::told(tokio::time::timeout(Duration::from_secs(20), guest.deliver(&request, &one, 5_000)).await.expect("it ends"));
            let answered =
                told.as_bytes().first_chunk::<6>().is_some_and(|head| head[..3].iter().all(u8::is_ascii_digit) && matches!(&head[3..], b" w " | b" c "));
            let failed = ["broken: ", "limit: ", "timeout: ", "connect: "].iter().any(|kind| told.starts_with(kind));
            // Bytes that are no text cannot be told by this guest; the host says so, and it is no more.
            assert!(answered || failed || told.contains("utf-8"), "{told}");
            assert!(receiver.got().len() <= 1 && receiver.connections() <= 1, "sent once: {told}");
        });
    });
}
