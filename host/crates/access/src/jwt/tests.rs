use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;
/// RFC 7515, appendix A.2: a key and a token that others made.
const RFC_RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RFC_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

struct Signer {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

fn signer() -> Signer {
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let ed = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
    Signer {
        ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).expect("a key"),
        ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).expect("a key"),
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn set(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256", "x": encode(&point[1..33]), "y": encode(&point[33..])},
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(self.ed.public_key().as_ref())},
            {"kty": "RSA", "kid": "rsa", "n": RFC_RSA_N, "e": "AQAB"},
            {"kty": "RSA", "kid": "for encryption", "use": "enc", "n": RFC_RSA_N, "e": "AQAB"},
            {"kty": "oct", "kid": "a secret", "k": "c2VjcmV0"},
            {"kty": "new", "kid": "of tomorrow"}, {"kid": 7}, "odd",
        ]})
    }

    fn keys(&self) -> JwtKeys {
        JwtKeys::parse(self.set().to_string().as_bytes()).expect("keys")
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = match header["kid"].as_str() {
            Some("ed") => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            _ => self.ec.sign(&SystemRandom::new(), message.as_bytes()).expect("signs").as_ref().to_vec(),
        };
        format!("{message}.{}", encode(&signature))
    }
}

fn rules(algorithms: &[&str]) -> JwtRules {
    JwtRules {
        issuer: "https://id.example".into(),
        audience: vec!["bulkhead".into(), "other".into()],
        algorithms: algorithms.iter().map(|name| JwtAlgorithm::named(name).expect("an algorithm")).collect(),
        leeway: 30,
    }
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "bulkhead", "exp": NOW + 60, "sub": "1"})
}

fn es256() -> Value {
    json!({"alg": "ES256", "kid": "ec", "typ": "JWT"})
}

#[track_caller]
fn check(header: &Value, claims: &Value, want: Result<(), JwtFault>) {
    let signer = signer();
    let token = signer.sign(header, claims);
    assert_eq!(check_token(&token, &rules(&["ES256", "EdDSA"]), &signer.keys(), NOW).map(drop), want, "{header} {claims}");
}

/// A claim in the place of what [`claims`] has there.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn good_tokens_are_good() {
    check(&es256(), &claims(), Ok(()));
    check(&json!({"alg": "ES256"}), &claims(), Ok(()));
    check(&json!({"alg": "EdDSA", "kid": "ed", "typ": "at+jwt"}), &claims(), Ok(()));
    check(&es256(), &with("aud", json!(["else", "other"])), Ok(()));
    check(&es256(), &with("exp", json!(NOW - 29)), Ok(()));
    check(&es256(), &with("exp", json!(NOW as f64 + 0.5)), Ok(()));
    check(&es256(), &with("nbf", json!(NOW + 30)), Ok(()));
}

/// The RSA token of RFC 7515: its signature is right, and everything else is looked at after it.
#[test]
fn the_token_of_the_rfc() {
    let keys = signer().keys();
    let mut rules = JwtRules { issuer: "joe".into(), ..rules(&["RS256"]) };
    assert_eq!(check_token(RFC_TOKEN, &rules, &keys, NOW), Err(JwtFault::Audience));
    rules.issuer = "jim".into();
    assert_eq!(check_token(RFC_TOKEN, &rules, &keys, NOW), Err(JwtFault::Issuer));
    let broken = RFC_TOKEN.replace(".cC4h", ".dC4h");
    assert_eq!(check_token(&broken, &rules, &keys, NOW), Err(JwtFault::Signature));
}

#[test]
fn what_a_token_says_must_hold() {
    check(&es256(), &with("iss", json!("https://id.example/")), Err(JwtFault::Issuer));
    check(&es256(), &with("iss", json!(["https://id.example"])), Err(JwtFault::Issuer));
    check(&es256(), &with("iss", Value::Null), Err(JwtFault::Issuer));
    check(&es256(), &with("aud", json!("bulkhea")), Err(JwtFault::Audience));
    check(&es256(), &with("aud", json!([])), Err(JwtFault::Audience));
    check(&es256(), &with("aud", Value::Null), Err(JwtFault::Audience));
    check(&es256(), &with("exp", json!(NOW - 30)), Err(JwtFault::Expired));
    check(&es256(), &with("exp", Value::Null), Err(JwtFault::Malformed));
    check(&es256(), &with("exp", json!("tomorrow")), Err(JwtFault::Malformed));
    check(&es256(), &with("nbf", json!(NOW + 31)), Err(JwtFault::NotYet));
    check(&es256(), &with("nbf", json!("tomorrow")), Err(JwtFault::Malformed));
    check(&es256(), &json!("no object"), Err(JwtFault::Malformed));
}

#[test]
fn only_allowed_algorithms_and_only_with_their_keys() {
    for (header, want) in [
        (json!({"alg": "none"}), JwtFault::Algorithm),
        (json!({"alg": "None", "kid": "ec"}), JwtFault::Algorithm),
        (json!({"alg": "HS256", "kid": "ec"}), JwtFault::Algorithm),
        (json!({"alg": "HS256", "kid": "a secret"}), JwtFault::Algorithm),
        (json!({"alg": "ES384", "kid": "ec"}), JwtFault::Algorithm),
        (json!({"alg": "RS256", "kid": "rsa"}), JwtFault::Algorithm),
        (json!({"alg": "EdDSA", "kid": "ec"}), JwtFault::Algorithm),
        (json!({"alg": "ES256", "kid": "ed"}), JwtFault::Algorithm),
        (json!({"alg": "ES256", "kid": "gone"}), JwtFault::Key),
        (json!({"alg": "ES256", "kid": "a secret"}), JwtFault::Key),
        (json!({"alg": "ES256", "kid": "ec", "crit": ["exp"]}), JwtFault::Malformed),
        (json!({"alg": "ES256", "kid": "ec", "typ": "logout+jwt"}), JwtFault::Malformed),
        (json!({"kid": "ec"}), JwtFault::Malformed),
        (json!([1]), JwtFault::Malformed),
    ] {
        check(&header, &claims(), Err(want));
    }
    // The public key as a secret of HMAC (RFC 8725 §2.1).
    let signer = signer();
    let message = format!("{}.{}", encode(br#"{"alg":"HS256","kid":"ec"}"#), encode(claims().to_string().as_bytes()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.ec.public_key().as_ref());
    let token = format!("{message}.{}", encode(ring::hmac::sign(&key, message.as_bytes()).as_ref()));
    assert_eq!(check_token(&token, &rules(&["ES256", "RS256"]), &signer.keys(), NOW), Err(JwtFault::Algorithm));
    assert_eq!(JwtAlgorithm::named("HS256").or(JwtAlgorithm::named("none")), None);
}

#[test]
fn signatures_hold_every_byte() {
    let (signer, other) = (signer(), self::signer());
    let rules = rules(&["ES256"]);
    let token = signer.sign(&es256(), &claims());
    assert_eq!(check_token(&token, &rules, &other.keys(), NOW), Err(JwtFault::Signature));
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let (_, claims) = head.split_once('.').expect("two parts");
    let forged = format!("{}.{}.{signature}", encode(br#"{"alg":"ES256","kid":"ec","typ":"JWT" }"#), claims);
    assert_eq!(check_token(&forged, &rules, &signer.keys(), NOW), Err(JwtFault::Signature));
    assert_eq!(check_token(&format!("{head}."), &rules, &signer.keys(), NOW), Err(JwtFault::Signature));
    assert_eq!(check_token(&token, &rules, &signer.keys(), NOW).map(drop), Ok(()));
}

#[test]
fn what_is_no_token_breaks_nothing() {
    let keys = signer().keys();
    let rules = rules(&["ES256"]);
    for bad in ["", ".", "..", "a.b.c", "e30.e30.e30", "é.é.é", "bhk_0123456789abcdef_secret", &"a.".repeat(3_000)] {
        assert_eq!(check_token(bad, &rules, &keys, NOW), Err(JwtFault::Malformed), "{bad:.40}");
    }
    assert_eq!(check_token(&format!("{}.a.b", "a".repeat(MOST_TOKEN)), &rules, &keys, NOW), Err(JwtFault::TooLarge));
    assert_eq!(keys.len(), 3, "secrets, keys for other things and odd ones are left out");
    assert!(matches!(JwtKeys::parse(b"{}"), Err(KeySetFault)) && matches!(JwtKeys::parse(b"<html>"), Err(KeySetFault)));
    let many: Vec<Value> = (0..1_000).map(|n| json!({"kty": "RSA", "kid": n.to_string(), "n": RFC_RSA_N, "e": "AQAB"})).collect();
    assert_eq!(JwtKeys::parse(json!({"keys": many}).to_string().as_bytes()).expect("keys").len(), MOST_KEYS);
    assert!(looks_like_token("a.b.c") && looks_like_token("a.b.") && !looks_like_token("a.b") && !looks_like_token("a.b.c.d") && !looks_like_token("..c"));
}
