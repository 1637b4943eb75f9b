use std::time::Duration;

use serde_json::json;

use super::*;
use crate::chain::Finding;

fn pointers(chain: &[&str]) -> Fields {
    Fields { hash: Some("/hash".into()), previous: Some("/prev".into()), sequence: None, chain: chain.iter().map(|text| (*text).into()).collect() }
}

fn rule(fields: Fields, check: Option<Check>) -> Rule {
    let patience = Patience { reorder: 2, late: Duration::from_secs(30), remember: 64 };
    Rule { fields, check, patience, max_chains: 3, definition: "one".into() }
}

fn sha256() -> Check {
    let form = Form::Jcs { of: String::new(), without: vec!["/hash".into()] };
    Check { algorithm: Algorithm::Sha256, encoding: Encoding::Hex, form, secret: Vec::new() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Events of a chain whose hash is SHA-256 over the rest in canonical form.
fn chain(host: &str, count: usize) -> Vec<Value> {
    let mut previous = Value::Null;
    let mut events = Vec::new();
    for n in 0..count {
        let mut event = json!({"host": host, "n": n, "prev": previous});
        let mut bytes = Vec::new();
        crate::jcs(&event.to_string(), &[], &mut bytes).expect("JSON");
        previous = hex(&Sha256::digest(&bytes)).into();
        event["hash"] = previous.clone();
        events.push(event);
    }
    events
}

#[track_caller]
fn check(verifier: &mut Verifier, events: &[Value], want: &[(&str, Kind, Reason)]) {
    let mut reports = Vec::new();
    for (at, event) in events.iter().enumerate() {
        verifier.event(event.to_string().as_bytes(), "", "source", at as u64, 0, &mut reports);
    }
    let found = reports.iter().filter_map(|report| match report.told {
        Told::Found { finding: Finding { kind, reason, .. }, .. } => Some((report.chain.as_str(), kind, reason)),
        Told::Resolved(_) => None,
    });
    assert_eq!(found.collect::<Vec<_>>(), want);
}

#[test]
fn chains_are_told_apart_and_a_changed_event_is_found_in_its_own() {
    let mut verifier = Verifier::new(rule(pointers(&["/host"]), Some(sha256()))).expect("a rule");
    let (one, mut two) = (chain("one", 10), chain("two", 10));
    two[4]["n"] = 99.into();
    let mixed: Vec<Value> = one.into_iter().zip(two).flat_map(|(one, two)| [one, two]).collect();
    check(&mut verifier, &mixed, &[("two", Kind::Tampered, Reason::Mismatch)]);
    assert_eq!(verifier.stats(), Stats { chains: 2, broken: 1, forgotten: 0 });
}

#[test]
fn hashes_that_are_none_are_found() {
    let with = |key: &str, value: Value| {
        let mut events = chain("a", 3);
        events[2][key] = value;
        events
    };
    for (events, reason) in [
        (with("hash", Value::Null), Reason::NoHash),
        (with("hash", "zz".into()), Reason::Malformed),
        (with("hash", 7.into()), Reason::Malformed),
        (with("prev", "abc".into()), Reason::Malformed),
    ] {
        let mut verifier = Verifier::new(rule(pointers(&["/host"]), Some(sha256()))).expect("a rule");
        check(&mut verifier, &events, &[("a", Kind::Tampered, reason)]);
    }
    let mut verifier = Verifier::new(rule(pointers(&[]), None)).expect("a rule");
    check(&mut verifier, &[json!({"n": 1})], &[("source", Kind::Tampered, Reason::NoHash)]);
}

#[test]
fn algorithms_and_encodings() {
    // RFC 4231, test case 2.
    let what = "what do ya want for nothing?";
    let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let bytes = Encoding::Hex.decode(mac).expect("hex");
    let form = || Form::Member("/m".into());
    let made = |algorithm, secret: &[u8], encoding, hash: &str| {
        let check = Check { algorithm, encoding, form: form(), secret: secret.to_vec() };
        let fields = Fields { hash: Some("/hash".into()), sequence: Some("/n".into()), ..Fields::default() };
        let mut verifier = Verifier::new(rule(fields, Some(check))).expect("a rule");
        let mut reports = Vec::new();
        verifier.event(json!({"m": what, "hash": hash, "n": 1}).to_string().as_bytes(), "", "", 1, 0, &mut reports);
        reports.is_empty()
    };
    assert!(made(Algorithm::HmacSha256, b"Jefe", Encoding::Hex, mac));
    assert!(made(Algorithm::HmacSha256, b"Jefe", Encoding::Base64, &STANDARD.encode(&bytes)));
    assert!(made(Algorithm::HmacSha256, b"Jefe", Encoding::Base64, &STANDARD_NO_PAD.encode(&bytes)));
    assert!(!made(Algorithm::HmacSha256, b"Jeff", Encoding::Hex, mac));
    assert!(made(Algorithm::Sha256, b"", Encoding::Hex, &hex(&Sha256::digest(what))));
    assert!(made(Algorithm::Sha512, b"", Encoding::Hex, &hex(&Sha512::digest(what))));
    assert!(!made(Algorithm::Sha512, b"", Encoding::Hex, &hex(&Sha256::digest(what))));
}

#[test]
fn numbers_alone_make_a_chain() {
    let fields = || Fields { sequence: Some("/n".into()), ..Fields::default() };
    let events = |numbers: &[u64]| numbers.iter().map(|n| json!({"n": n})).collect::<Vec<_>>();
    let mut verifier = Verifier::new(rule(fields(), None)).expect("a rule");
    check(&mut verifier, &events(&[1, 2, 4, 3, 3, 5, 7, 8, 9]), &[("source", Kind::Gap, Reason::Missing)]);
    check(&mut verifier, &events(&[10, 11]), &[]);
    let mut verifier = Verifier::new(rule(fields(), None)).expect("a rule");
    check(&mut verifier, &events(&[70, 71, 72, 0, 1, 2, 3]), &[("source", Kind::Restarted, Reason::NewStart)]);
}

#[test]
fn the_quietest_chain_goes_first_and_begins_anew_without_a_finding() {
    let mut verifier = Verifier::new(rule(pointers(&["/host"]), Some(sha256()))).expect("a rule");
    for host in ["a", "b", "c", "d"] {
        check(&mut verifier, &chain(host, 3), &[]);
    }
    assert_eq!(verifier.stats(), Stats { chains: 3, broken: 0, forgotten: 1 });
    check(&mut verifier, &chain("a", 8)[5..], &[]);
    // This one is still known.
    check(&mut verifier, &chain("d", 9)[5..], &[("d", Kind::Gap, Reason::Missing)]);
}

#[test]
fn what_was_known_is_taken_up_again_under_the_same_rule_only() {
    let mut verifier = Verifier::new(rule(pointers(&["/host"]), Some(sha256()))).expect("a rule");
    let events = chain("a", 20);
    check(&mut verifier, &events[..5], &[]);
    let text = serde_json::to_string(&verifier.save()).expect("JSON");
    let mut again = Verifier::new(rule(pointers(&["/host"]), Some(sha256()))).expect("a rule");
    again.restore(serde_json::from_str(&text).expect("reads"));
    check(&mut again, &events[5..8], &[]);
    check(&mut again, &events[10..], &[("a", Kind::Gap, Reason::Missing)]);
    let mut other = Verifier::new(Rule { definition: "two".into(), ..rule(pointers(&["/host"]), Some(sha256())) }).expect("a rule");
    other.restore(serde_json::from_str(&text).expect("reads"));
    check(&mut other, &events[10..], &[]);
}

#[test]
fn rules_that_cannot_work_are_refused() {
    let fields = Fields { hash: Some("/h".into()), ..Fields::default() };
    assert_eq!(Verifier::new(rule(fields, None)).err(), Some(SetupError::NoOrder));
    let fields = Fields { previous: Some("/p".into()), ..Fields::default() };
    assert_eq!(Verifier::new(rule(fields, None)).err(), Some(SetupError::NoHash));
}
