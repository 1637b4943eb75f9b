//! Fuzz targets as plain functions: every parser of outside bytes, fed with mutations of a committed
//! corpus from a fixed seed, so that a run on stable Rust repeats exactly. `BULKHEAD_FUZZ=100000` runs
//! longer; what a coverage-guided fuzzer finds by hand joins `corpus/`.

mod components;
mod egress;
mod formatters;
mod mutate;
#[path = "../hostile/toolkit.rs"]
mod toolkit;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bulkhead_core::{Attr, EventRef, Projection};
use bulkhead_ingest::{Bounds, Media, Normaliser, Origin, Rules, SyslogNormaliser, read_events};
use bulkhead_journal::AppendBatch;
use bulkhead_sandbox::egress::{HostRule, decide_stream, path};
use bulkhead_sandbox::{Destination, DestinationSettings};

use mutate::Mutations;

/// Mutations of each file of the corpus in an ordinary run.
const ROUNDS: usize = 2_000;

/// Runs a target over the files of its folder and over mutations of them.
fn run(folder: &str, target: impl Fn(&[u8])) {
    run_rounds(folder, ROUNDS, target);
}

/// The same with a number of rounds of its own, for targets that are slow.
fn run_rounds(folder: &str, rounds: usize, target: impl Fn(&[u8])) {
    let rounds = std::env::var("BULKHEAD_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(rounds);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no seeds", folder.display());
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("readable")).collect();
    for seed in &seeds {
        target(seed);
    }
    let mut mutations = Mutations::new(&seeds);
    for _ in 0..rounds * seeds.len() {
        target(mutations.next());
    }
}

#[test]
fn intake_bodies() {
    run("bodies", |body| {
        for media in [Media::Json, Media::Ndjson, Media::CloudEvent, Media::CloudEventBatch] {
            let mut batch = AppendBatch::new();
            let mut normaliser = Normaliser::new(Rules::default());
            let read = read_events(&mut normaliser, &media, body, 1_700_000_000_000_000_000, Bounds { events: 1_000 }, &mut batch);
            if read.is_err() {
                continue;
            }
            for index in 0..batch.len() {
                let event = EventRef::new(batch.stored(index).expect("an event")).expect("what was stored is an event");
                assert!(!event.id().is_empty(), "every event has an id");
                assert!(serde_json::from_slice::<serde::de::IgnoredAny>(event.original()).is_ok(), "what was taken is JSON");
            }
        }
    });
}

#[test]
fn syslog_messages() {
    run("syslog", |message| {
        let mut out = Vec::new();
        assert!(SyslogNormaliser::new(bulkhead_core::Tenant::default()).event(message, &Origin::Nowhere, 1, &mut out), "everything is a message");
        let event = EventRef::new(&out).expect("what was stored is an event");
        assert_eq!(event.original(), message, "the bytes stay");
        let data = event.attr(Attr::Data).expect("data");
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(data.raw).is_ok(), "data is JSON");
    });
}

/// Header fields of webhooks that strangers send: whatever they hold, only the secret makes a signature.
/// A seed is a list of fields, an empty line, the body.
#[test]
fn webhook_signatures() {
    use bulkhead_ingest::{Digits, Hash, Scheme, SignedParts, Verifier, VerifyKey};
    use hmac::{KeyInit as _, Mac as _};
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    const SECRET: &str = "a secret that no seed holds";
    let key = VerifyKey::plain(SECRET, Hash::Sha256);
    let own = |digits, signed: &str| Scheme::Hmac {
        header: HeaderName::from_static("x-signature"),
        prefix: "v1=".into(),
        digits,
        signed: SignedParts::parse(signed).expect("parts"),
        id_header: Some(HeaderName::from_static("webhook-id")),
        timestamp_header: signed.contains("timestamp").then(|| HeaderName::from_static("webhook-timestamp")),
    };
    let schemes = [Scheme::StandardWebhooks, Scheme::Github, Scheme::Slack, own(Digits::Hex, "body"), own(Digits::Base64, "{id}:{timestamp}:{body}")];
    let verifiers: Vec<Verifier> = schemes
        .into_iter()
        .map(|scheme| Verifier { scheme, keys: vec![key.clone(), VerifyKey::Ed25519([7; 32])], tolerance: std::time::Duration::from_secs(300) })
        .collect();
    // With this in the place of `$sig`, a seed is signed as GitHub signs.
    let sign = |body: &[u8]| {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
        mac.update(body);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    run("webhooks", |request| {
        let (head, body) = memchr::memmem::find(request, b"\n\n").map_or((request, &b""[..]), |at| (&request[..at], &request[at + 2..]));
        let mut headers = HeaderMap::new();
        let signature = sign(body);
        for line in head.split(|byte| *byte == b'\n') {
            let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
            let value = memchr::memmem::find(&line[at + 1..], b"$sig")
                .map_or_else(|| line[at + 1..].to_vec(), |found| [&line[at + 1..at + 1 + found], signature.as_bytes(), &line[at + 5 + found..]].concat());
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(value.trim_ascii())) {
                headers.append(name, value);
            }
        }
        for verifier in &verifiers {
            let Ok(verified) = verifier.verify(&headers, body, 1_614_265_330) else { continue };
            assert!(verified.repeats.as_ref().is_some_and(|name| (1..=256).contains(&name.len())), "what was signed has a name");
            // Only the seeds that ask for it are signed, over the body alone.
            let sent = ["x-hub-signature-256", "x-signature"].into_iter().filter_map(|name| headers.get(name)?.to_str().ok());
            assert!(sent.into_iter().any(|value| value.to_ascii_lowercase().contains(&signature)), "{}", verifier.name());
        }
    });
}

/// Stored events come from disk, where anything may have happened to them.
#[test]
fn stored_events_and_projections() {
    let fields: Vec<String> =
        ["/id", "/metadata/team", "/data/payload/copybook_path", "/data/context/environment/hostname", "/roles/0", "/original", "/received"]
            .map(str::to_owned)
            .into();
    let projection = Projection::parse(&fields).expect("well formed");
    run("stored", |stored| {
        let Ok(event) = EventRef::new(stored) else { return };
        let (mut block, mut spans) = (Vec::new(), Vec::new());
        projection.extract(&event, &mut block, &mut spans);
        assert_eq!(spans.len(), fields.len() * 3);
        for span in spans.chunks(3) {
            assert!((span[0] + span[1]) as usize <= block.len() && span[2] <= 7, "spans stay within the block");
        }
    });
}

/// What a guest names must not leave its destination.
#[test]
fn guest_paths() {
    run("paths", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if path::check(text).is_ok() && text.starts_with('/') {
            let parsed = url_of(text);
            assert_eq!(parsed, text.split('#').next().unwrap_or_default(), "what was checked is what goes out");
        }
        let _ = Destination::new("primary", DestinationSettings { url: text.to_owned(), ..DestinationSettings::default() });
    });
}

/// A member that a guest names, against the operator's pattern: what is let through has the pattern's
/// port, as many labels, and its last label; nothing that a resolver could read as something else.
#[test]
fn members() {
    run("members", |bytes| {
        let Some((pattern, member)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once('\n')) else { return };
        let settings = DestinationSettings { url: "tcp://h.example:1".to_owned(), members: vec![pattern.to_owned()], ..DestinationSettings::default() };
        let Ok(destination) = Destination::new("primary", settings) else { return };
        let destinations = BTreeMap::from([("primary".to_owned(), destination)]);
        if member.is_empty() {
            return;
        }
        let Ok(place) = decide_stream(&destinations, "primary", member) else { return };
        let (wanted, (host, port)) = (pattern.rsplit_once(':').expect("a port"), member.rsplit_once(':').expect("a port"));
        assert_eq!((wanted.1, port), (port, place.port.to_string().as_str()), "{pattern} {member}");
        assert!(host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\%*".contains(&byte) && !byte.is_ascii_uppercase()), "{member}");
        match &place.host {
            HostRule::Name(name) => {
                assert_eq!(name, host);
                assert_eq!(wanted.0.split('.').count(), host.split('.').count(), "{pattern} {member}");
                assert_eq!(wanted.0.rsplit('.').next(), host.rsplit('.').next(), "{pattern} {member}");
            }
            HostRule::Localhost | HostRule::Literal(_) => assert_eq!(wanted.0, host, "{pattern} {member}"),
        }
    });
}

/// The path and query as a client would send them.
fn url_of(path: &str) -> String {
    let url = reqwest::Url::parse(&format!("http://host{path}")).expect("a checked path makes a URL");
    format!("{}{}", url.path(), url.query().map(|query| format!("?{query}")).unwrap_or_default())
}
