//! Vectors: the published suite (`aws4_testsuite`: key `AKIDEXAMPLE`, us-east-1, `service`, 20150830T123600Z)
//! and AWS's own example for IAM.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 20150830T123600Z.
const THEN: Duration = Duration::from_secs(1_440_938_160);

struct Case<'a> {
    service: &'a str,
    origin: &'a str,
    method: Method,
    target: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: &'a str,
    token: Option<&'a str>,
    now: Duration,
}

const CASE: Case<'static> =
    Case { service: "service", origin: "https://example.amazonaws.com", method: Method::GET, target: "/", headers: &[], body: "", token: None, now: THEN };

fn signed(case: &Case<'_>) -> HeaderMap {
    let signer = SigV4::new("us-east-1", case.service, Some("AKIDEXAMPLE")).expect("valid");
    let mut headers = HeaderMap::new();
    for (name, value) in case.headers {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    let mut target = case.target.to_owned();
    let mut outgoing = Outgoing {
        destination: "primary",
        method: &case.method,
        origin: case.origin,
        headers: &mut headers,
        target: &mut target,
        body: case.body.as_bytes(),
        message_id: "",
        now: case.now,
    };
    let secrets: Vec<&str> = std::iter::once(SECRET).chain(case.token).collect();
    signer.apply(&secrets, &mut outgoing).expect("signs");
    assert_eq!(target, case.target);
    headers
}

#[track_caller]
fn check(case: &Case<'_>, names: &str, signature: &str) {
    let headers = signed(case);
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).expect("signed");
    let day = if case.now == THEN { "20150830" } else { "20260102" };
    let want = format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{day}/us-east-1/{}/aws4_request, SignedHeaders={names}, Signature={signature}", case.service);
    assert_eq!(authorization, want);
}

#[test]
fn the_published_suite() {
    const PLAIN: &str = "host;x-amz-date";
    for (method, target, signature) in [
        (Method::GET, "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (Method::POST, "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (Method::GET, "/?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        (Method::GET, "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        (Method::GET, "/?Param1=value2&Param1=Value1", "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"),
        (Method::GET, "/?Param1=value2&Param1=value1", "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"),
        (Method::GET, "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
        (Method::GET, "/?%E1%88%B4=bar", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        (Method::POST, "/?Param1=value1", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        (
            Method::GET,
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
    ] {
        check(&Case { method, target, ..CASE }, PLAIN, signature);
    }
    check(
        &Case { headers: &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")], ..CASE },
        "host;my-header1;x-amz-date",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    );
    check(
        &Case { headers: &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")], ..CASE },
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    );
    check(
        &Case { method: Method::POST, headers: &[("content-type", "application/x-www-form-urlencoded")], body: "Param1=value1", ..CASE },
        "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    );
}

#[test]
fn the_examples_of_iam_and_cloudwatch_logs() {
    check(
        &Case {
            service: "iam",
            origin: "https://iam.amazonaws.com",
            target: "/?Action=ListUsers&Version=2010-05-08",
            headers: &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            ..CASE
        },
        "content-type;host;x-amz-date",
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    );
    check(
        &Case {
            service: "logs",
            origin: "https://logs.us-east-1.amazonaws.com",
            method: Method::POST,
            headers: &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "Logs_20140328.PutLogEvents")],
            body: r#"{"logGroupName":"app/audit","logStreamName":"s1","logEvents":[{"timestamp":1767323045000,"message":"hello"}]}"#,
            now: Duration::from_secs(1_767_323_045),
            ..CASE
        },
        "content-type;host;x-amz-date;x-amz-target",
        "b6b1d9f2ee171e442301c99e6edf094c35978aa58e439530db06c8802177ff53",
    );
}

#[test]
fn tokens_digests_and_ports() {
    let headers = signed(&Case { token: Some("session-token=="), ..CASE });
    assert_eq!(headers["x-amz-security-token"], "session-token==");
    assert_eq!(headers["x-amz-date"], "20150830T123600Z");
    assert!(headers["authorization"].to_str().expect("text").contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
    assert!(!format!("{headers:?}").contains("session-token"), "{headers:?}");
    let headers = signed(&Case { service: "s3", body: "x", ..CASE });
    assert_eq!(headers["x-amz-content-sha256"], "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
    assert!(!signed(&CASE).contains_key("x-amz-content-sha256"));
    // Another port is signed, a default one is not on the wire.
    let with_port = signed(&Case { origin: "https://example.amazonaws.com:8443", ..CASE });
    assert_ne!(with_port["authorization"], signed(&CASE)["authorization"]);
    assert_eq!(signed(&Case { origin: "https://example.amazonaws.com:443", ..CASE })["authorization"], signed(&CASE)["authorization"]);
}

#[test]
fn documents_of_a_process() {
    let signer = SigV4::new("us-east-1", "service", None).expect("valid");
    let document =
        r#"{"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "hunter2-key", "SessionToken": "hunter2-token", "Expiration": "2026-01-01T00:00:00Z"}"#;
    assert_eq!(signer.check(&[document]), Ok(()));
    assert_eq!(signer.sensitive(&[document]), [b"hunter2-key".to_vec(), b"hunter2-token".to_vec()]);
    for (document, want) in [
        ("hunter2", "what the command prints is no document of a credential_process (version 1)"),
        (r#"{"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": 7}"#, "what the command prints is no document of a credential_process (version 1)"),
        (r#"{"Version": 2, "AccessKeyId": "AKID", "SecretAccessKey": "hunter2-key"}"#, "what the command prints is a document of another version than 1"),
        (r#"{"Version": 1, "AccessKeyId": "", "SecretAccessKey": "hunter2-key"}"#, "what the command prints has no usable AccessKeyId"),
        (r#"{"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "hunter2\nkey"}"#, "secret key or session token has a character that is none of base64"),
    ] {
        assert_eq!(signer.check(&[document]), Err(want.to_owned()));
    }
    for (region, service, key) in [("", "s3", None), ("eu west", "s3", None), ("eu", "s/3", None), ("eu", "s3", Some("a/b"))] {
        assert!(SigV4::new(region, service, key).is_err(), "{region} {service} {key:?}");
    }
}
