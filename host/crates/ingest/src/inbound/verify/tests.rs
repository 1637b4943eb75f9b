//! Published vectors, and everything that may be wrong with a request.

use http::HeaderValue;

use super::*;

const NOW: u64 = 1_614_265_330;
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Of the test of asymmetric keys in the Svix server.
const WHPK: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const V1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const V1A: &str = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))).collect()
}

fn verifier(scheme: Scheme, keys: Vec<VerifyKey>) -> Verifier {
    Verifier { scheme, keys, tolerance: Duration::from_secs(300) }
}

fn standard(secrets: &[&str]) -> Verifier {
    verifier(Scheme::StandardWebhooks, secrets.iter().map(|secret| VerifyKey::standard(secret).expect("a secret")).collect())
}

fn sent(signature: &str) -> HeaderMap {
    headers(&[("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", signature)])
}

#[test]
fn standard_webhooks_as_published() {
    let check = |secrets: &[&str], signature: &str, want: Result<usize, Refused>| {
        let verified = standard(secrets).verify(&sent(signature), BODY, NOW);
        assert_eq!(verified.map(|verified| verified.secret.expect("a secret")), want, "{secrets:?} {signature}");
    };
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    check(&[WHSEC], V1, Ok(0));
    check(&[other, WHSEC], V1, Ok(1));
    check(&[WHPK], V1A, Ok(0));
    check(&[WHSEC, WHPK], V1A, Ok(1));
    // In a rotation a sender signs with both; what is not known is passed over.
    check(&[WHSEC], &format!("v1,AAAA v2,x {V1A} {V1}"), Ok(0));
    check(&[other], V1, Err(Refused::Signature));
    check(&[WHPK], V1, Err(Refused::Signature));
    check(&[WHSEC], V1A, Err(Refused::Signature));
    // One kind never passes as the other.
    check(&[WHSEC], &V1.replace("v1,", "v1a,"), Err(Refused::Signature));
    check(&[WHPK], &V1A.replace("v1a,", "v1,"), Err(Refused::Signature));
    for broken in ["", "v1", "v2,AAAA", "v1,%%%", &V1.replace('=', ""), &[V1; 17].join(" ")] {
        check(&[WHSEC], broken, Err(Refused::Malformed));
    }
    let second = headers(&[
        ("svix-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
        ("svix-timestamp", "1649367553"),
        ("svix-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
    ]);
    let verified = standard(&[other]).verify(&second, br#"{"email":"test@example.com","username":"test_user"}"#, 1_649_367_553);
    assert_eq!(verified.expect("fits").id.as_deref(), Some("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"));
}

#[test]
fn a_change_anywhere_is_seen() {
    let verifier = standard(&[WHSEC]);
    let with =
        |id: &str, time: &str, body: &[u8]| verifier.verify(&headers(&[("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", V1)]), body, NOW);
    assert!(with(ID, "1614265330", BODY).is_ok());
    assert_eq!(with("msg_other", "1614265330", BODY), Err(Refused::Signature));
    assert_eq!(with(ID, "1614265331", BODY), Err(Refused::Signature));
    assert_eq!(with(ID, "01614265330", BODY), Err(Refused::Signature), "the text is signed, not the number");
    assert_eq!(with(ID, "1614265330", br#"{"test": 2432232315}"#), Err(Refused::Signature));
    for (id, time) in [("a.b", "1614265330"), ("", "1614265330"), ("a b", "1614265330"), (ID, "-1"), (ID, "1e9"), (ID, ""), (ID, "99999999999999")] {
        assert_eq!(with(id, time, BODY), Err(Refused::Malformed), "{id:?} {time:?}");
    }
    for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = sent(V1);
        headers.remove(missing);
        assert_eq!(verifier.verify(&headers, BODY, NOW), Err(Refused::Missing), "{missing}");
        let mut headers = sent(V1);
        headers.append(missing, HeaderValue::from_static("x"));
        assert_eq!(verifier.verify(&headers, BODY, NOW), Err(Refused::Malformed), "{missing} twice");
    }
}

#[test]
fn timestamps_are_held_against_the_clock_in_both_directions() {
    let verifier = standard(&[WHSEC]);
    for (now, want) in [
        (NOW - 301, Some(Refused::InFuture)),
        (NOW - 300, None),
        (NOW, None),
        (NOW + 300, None),
        (NOW + 301, Some(Refused::TooOld)),
        (0, Some(Refused::InFuture)),
        (u64::MAX, Some(Refused::TooOld)),
    ] {
        assert_eq!(verifier.verify(&sent(V1), BODY, now).err(), want, "at {now}");
    }
    // A wrong signature says nothing about clocks.
    assert_eq!(verifier.verify(&sent("v1,AAAA"), BODY, 0), Err(Refused::Signature));
}

/// GitHub Docs, "Validating webhook deliveries".
#[test]
fn github_as_documented() {
    let github = |secret: &str| verifier(Scheme::Github, vec![VerifyKey::plain(secret, Hash::Sha256)]);
    let documented = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let secret = "It's a Secret to Everybody";
    let check = |secret: &str, signature: &str, body: &[u8]| github(secret).verify(&headers(&[("x-hub-signature-256", signature)]), body, NOW);
    let verified = check(secret, documented, b"Hello, World!").expect("fits");
    assert_eq!((verified.id, verified.secret), (None, Some(0)));
    assert!(verified.repeats.expect("a name").starts_with("sha256-"));
    assert!(check(secret, &documented.to_uppercase().replace("SHA256", "sha256"), b"Hello, World!").is_ok(), "digits in either case");
    assert_eq!(check("it's a secret to everybody", documented, b"Hello, World!"), Err(Refused::Signature));
    assert_eq!(check(secret, documented, b"Hello, World"), Err(Refused::Signature));
    assert_eq!(check(secret, &documented[..documented.len() - 2], b"Hello, World!"), Err(Refused::Signature), "the begin of a signature is none");
    for broken in ["sha1=757107ea", "757107ea", "sha256=", "sha256=7", "sha256=zz", ""] {
        assert_eq!(check(secret, broken, b"Hello, World!"), Err(Refused::Malformed), "{broken}");
    }
    assert_eq!(github(secret).verify(&headers(&[("x-hub-signature", "sha1=x")]), b"", NOW), Err(Refused::Missing), "SHA-1 is not looked at");
    let named = headers(&[("x-hub-signature-256", documented), ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")]);
    let verified = github(secret).verify(&named, b"Hello, World!", NOW).expect("fits");
    assert_eq!(verified.repeats.as_deref(), Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
}

/// Slack, "Verifying requests from Slack".
#[test]
fn slack_as_documented() {
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let slack = verifier(Scheme::Slack, vec![VerifyKey::plain("8f742231b10e8888abcd99yyyzzz85a5", Hash::Sha256)]);
    let documented = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let with = |time: &str, signature: &str, now| slack.verify(&headers(&[("x-slack-request-timestamp", time), ("x-slack-signature", signature)]), body, now);
    assert!(with("1531420618", documented, 1_531_420_618).is_ok());
    assert_eq!(with("1531420618", documented, 1_531_420_919), Err(Refused::TooOld));
    assert_eq!(with("1531420619", documented, 1_531_420_618), Err(Refused::Signature));
    assert_eq!(with("1531420618", &documented.replace("v0", "v1"), 1_531_420_618), Err(Refused::Malformed));
}

#[test]
fn schemes_of_vendors() {
    let hmac = |header, prefix: &str, digits, signed: &str, id: Option<&'static str>, time: Option<&'static str>, hash, secret: &str| {
        let scheme = Scheme::Hmac {
            header: HeaderName::from_static(header),
            prefix: prefix.into(),
            digits,
            signed: SignedParts::parse(signed).expect("parts"),
            id_header: id.map(HeaderName::from_static),
            timestamp_header: time.map(HeaderName::from_static),
        };
        verifier(scheme, vec![VerifyKey::plain(secret, hash)])
    };
    // The data vault's.
    let vault = hmac("x-webhook-signature", "sha256=", Digits::Hex, "body", Some("x-webhook-id"), None, Hash::Sha256, "test-secret");
    let body = br#"{"id":"evt-1","severity":"high"}"#;
    let signature = "sha256=2609ea51e7b83f3a2b375e2beb53b85d932fe72ade93e3e96bc56e06176e2247";
    let verified = vault.verify(&headers(&[("x-webhook-signature", signature), ("x-webhook-id", "e1")]), body, NOW).expect("fits");
    assert_eq!(verified.repeats.as_deref(), Some("e1"));
    // PagerDuty sends several between commas during a rotation.
    let pager = hmac("x-pagerduty-signature", "v1=", Digits::Hex, "body", None, None, Hash::Sha256, "test-secret");
    let two = format!("v1=00, {}", signature.replace("sha256", "v1"));
    assert!(pager.verify(&headers(&[("x-pagerduty-signature", &two)]), body, NOW).is_ok());
    // RFC 4231, test case 2: "Jefe" and "what do ya want for nothing?".
    let digest = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
    let long = hmac("x-signature", "", Digits::Hex, "body", None, None, Hash::Sha512, "Jefe");
    assert!(long.verify(&headers(&[("x-signature", digest)]), b"what do ya want for nothing?", NOW).is_ok());
    let base64 = STANDARD.encode(decode(digest, Digits::Hex).expect("digits"));
    let coded = hmac("x-signature", "", Digits::Base64, "body", None, None, Hash::Sha512, "Jefe");
    assert!(coded.verify(&headers(&[("x-signature", &base64)]), b"what do ya want for nothing?", NOW).is_ok());
    // Slack's scheme, spelled out; and Standard Webhooks' text under its usual words.
    let spelled = hmac("x-s", "v0=", Digits::Hex, "v0:{timestamp}:{body}", None, Some("x-t"), Hash::Sha256, "Jefe");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
    let tag = hmac::sign(&key, b"v0:1614265330000:hello");
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let sent = headers(&[("x-s", &format!("v0={hex}")), ("x-t", "1614265330000")]);
    assert!(spelled.verify(&sent, b"hello", NOW).is_ok(), "milliseconds by their digits");
    assert_eq!(spelled.verify(&sent, b"hello", NOW + 301), Err(Refused::TooOld));
    assert_eq!(SignedParts::parse("id.timestamp.body"), SignedParts::parse("{id}.{timestamp}.{body}"));
    for wrong in ["{timestamp}", "", "{bodies}", "{body", "timestamp"] {
        assert!(SignedParts::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn without_an_id_the_signed_text_names_a_message() {
    let slack = verifier(Scheme::Slack, vec![VerifyKey::plain("first-secret", Hash::Sha256), VerifyKey::plain("other-secret", Hash::Sha256)]);
    let sign = |secret: &str, time: &str, body: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), format!("v0:{time}:{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let sent = headers(&[("x-slack-request-timestamp", time), ("x-slack-signature", &format!("v0={hex}"))]);
        slack.verify(&sent, body.as_bytes(), NOW).expect("fits").repeats.expect("a name")
    };
    let one = sign("first-secret", "1614265330", "a=1");
    assert_eq!(sign("other-secret", "1614265330", "a=1"), one, "whichever secret signed it");
    assert_ne!(sign("first-secret", "1614265331", "a=1"), one);
    assert_ne!(sign("first-secret", "1614265330", "a=2"), one);
}

#[test]
fn secrets_are_checked_and_never_printed() {
    for (secret, problem) in [
        ("whsk_6Xb/dCcHpPea21PS1N9VY", "private key"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with `whsec_`"),
        ("whsec_!!!", "not base64"),
        ("whsec_AAAA", "3 bytes"),
        ("whpk_AAAA", "32 bytes"),
    ] {
        let error = VerifyKey::standard(secret).expect_err(secret);
        assert!(error.contains(problem) && !error.contains("AAAA"), "{error}");
    }
    let printed = format!("{:?}", standard(&[WHSEC, WHPK]));
    assert!(printed.contains("VerifyKey(…)") && !printed.contains("MfKQ"), "{printed}");
}
