//! Storage vectors were made with `azure-storage-blob` 12.31.1 (Python), the first over the documented
//! example; Log Analytics' with the documented steps in Python.

use std::time::Duration;

use http::Method;

use super::*;

const AZURITE: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Fri, 26 Jun 2015 23:39:12 GMT.
const THEN: u64 = 1_435_361_952;

fn signed(key: &SharedKey, secret: &str, method: Method, target: &str, fields: &[(&'static str, &'static str)], body: &[u8], now: u64) -> HeaderMap {
    let mut headers: HeaderMap = fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    let mut target = target.to_owned();
    let mut outgoing = Outgoing {
        destination: "primary",
        method: &method,
        origin: "https://myaccount.blob.core.windows.net",
        headers: &mut headers,
        target: &mut target,
        body,
        message_id: "",
        now: Duration::from_secs(now),
    };
    key.apply(secret, &mut outgoing).expect("signs");
    headers
}

#[test]
fn storage_as_azures_own_library_signs() {
    let check = |account: &str, method: Method, target: &str, fields: &[(&'static str, &'static str)], body: &[u8], want: &str| {
        let key = SharedKey::new(SharedKeyScheme::Storage, account).expect("valid");
        let headers = signed(&key, AZURITE, method, target, fields, body, THEN);
        assert_eq!(headers["authorization"], format!("SharedKey {account}:{want}"), "{target}");
        assert_eq!(headers["x-ms-date"], "Fri, 26 Jun 2015 23:39:12 GMT");
    };
    check(
        "myaccount",
        Method::GET,
        "/mycontainer?comp=metadata&restype=container&timeout=20",
        &[("x-ms-version", "2015-02-21")],
        b"",
        "1u9lui2jDxj0+fpbHjQ5m5NnastJRSYM+PSmfi8TXx4=",
    );
    check(
        "myaccount",
        Method::PUT,
        "/mycontainer/audit%20log/a-b_1.ndjson",
        &[("x-ms-blob-type", "BlockBlob"), ("content-type", "application/x-ndjson"), ("content-encoding", "gzip"), ("if-none-match", "*")],
        b"0123456789",
        "N8WqQmrld4ludbDJzVv28NrEmOudJjRiOdgjT+k1yuE=",
    );
    check(
        "devstoreaccount1",
        Method::POST,
        "/devstoreaccount1/q/messages?visibilitytimeout=30&messagettl=60",
        &[("content-type", "application/xml")],
        b"<a/>",
        "7cn/FDeWj1lbzaARd4GTsjcU3KpwZjB3rzZEAgF+7+Y=",
    );
}

/// The text of the documentation's example, letter by letter.
#[test]
fn the_documented_string_to_sign() {
    let key = SharedKey::new(SharedKeyScheme::Storage, "myaccount").expect("valid");
    let mut headers = HeaderMap::new();
    headers.insert("x-ms-version", HeaderValue::from_static("2015-02-21"));
    headers.insert("x-ms-date", HeaderValue::from_static("Fri, 26 Jun 2015 23:39:12 GMT"));
    let mut target = "/mycontainer?restype=container&timeout=20&comp=metadata&Include=b&include=a".to_owned();
    let outgoing = Outgoing {
        destination: "primary",
        method: &Method::GET,
        origin: "https://myaccount.blob.core.windows.net",
        headers: &mut headers,
        target: &mut target,
        body: b"",
        message_id: "",
        now: Duration::ZERO,
    };
    assert_eq!(
        key.storage(&outgoing),
        "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\ninclude:a,b\nrestype:container\ntimeout:20"
    );
}

#[test]
fn log_analytics() {
    let key = SharedKey::new(SharedKeyScheme::LogAnalytics, "b5d3a8f0-0000-4000-8000-000000000000").expect("valid");
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";
    let body = "[{\"a\":\"\u{e9}\"}]".as_bytes();
    // Mon, 04 Apr 2016 08:00:00 GMT.
    let headers = signed(&key, secret, Method::POST, "/api/logs?api-version=2016-04-01", &[("content-type", "application/json")], body, 1_459_756_800);
    assert_eq!(headers["x-ms-date"], "Mon, 04 Apr 2016 08:00:00 GMT");
    assert_eq!(headers["authorization"], "SharedKey b5d3a8f0-0000-4000-8000-000000000000:3lax5tAX9jUN7pfxvRhwAgZ96NI4d49Quh+W2rQwtcM=");
    assert!(!headers.contains_key("x-ms-version"));
}

#[test]
fn what_cannot_be_a_key_or_an_account() {
    assert_eq!(SharedKey::key("not base64!"), Err("the key is not base64".into()));
    assert_eq!(SharedKey::key("c2hvcnQ="), Err("the key has 5 bytes; Azure's have 64".into()));
    for account in ["", "a/b", "a:b", "a b"] {
        assert!(SharedKey::new(SharedKeyScheme::Storage, account).is_err(), "{account}");
    }
}
