use super::*;

fn stamp(at_ms: i64) -> Stamp {
    Stamp { at_ms, by: "ada".into() }
}

fn digest(n: u8) -> Digest {
    Digest::new([n; 32])
}

fn set(asks: &[&str]) -> Asks {
    asks.iter().map(|ask| (*ask).to_owned()).collect()
}

fn new(version: &str, n: u8, asks: &[&str]) -> NewVersion {
    NewVersion {
        name: "hec".into(),
        kind: "connector".into(),
        version: version.into(),
        digest: digest(n),
        size: 100,
        asks: set(asks),
        signature: None,
        signed_by: None,
        base: set(&["http"]),
    }
}

fn state(index: &Index, n: u8) -> &'static str {
    let (name, version) = index.find(&digest(n)).expect("there");
    index.state(name, version).name()
}

/// Versions 1 and 2 taken in and activated in turn.
fn two() -> Index {
    let mut index = Index::default();
    for n in [1, 2] {
        assert_eq!(index.add(new(&format!("{n}.0.0"), n, &["http"]), stamp(n.into())).expect("taken"), Added::New);
        index.activate("hec", &digest(n), stamp(10)).expect("approved");
    }
    index
}

#[test]
fn the_same_bytes_again_change_nothing_and_other_bytes_are_a_conflict() {
    let mut index = two();
    let before = serde_json::to_string(&index).expect("serialises");
    assert_eq!(index.add(new("1.0.0", 1, &["http"]), stamp(99)).expect("known"), Added::Known);
    assert_eq!(serde_json::to_string(&index).expect("serialises"), before);
    let error = index.add(new("1.0.0", 9, &["http"]), stamp(99)).expect_err("other bytes");
    assert!(matches!(error, RegistryError::Conflict { there, .. } if there == digest(1)), "{error}");
}

#[test]
fn asking_for_more_waits_for_an_approval_of_that_digest() {
    let mut index = two();
    index.add(new("3.0.0", 3, &["http", "tcp"]), stamp(3)).expect("taken");
    assert_eq!((state(&index, 3), state(&index, 2)), ("awaiting_approval", "active"));
    let error = index.activate("hec", &digest(3), stamp(4)).expect_err("not approved");
    assert!(error.to_string().ends_with("waits for approval of: tcp"), "{error}");
    assert!(matches!(index.approve("hec", &digest(4), stamp(4)), Err(RegistryError::UnknownVersion { .. })), "another digest");
    index.approve("hec", &digest(3), stamp(4)).expect("approves");
    assert_eq!(state(&index, 3), "approved");
    index.activate("hec", &digest(3), stamp(5)).expect("activates");
    assert_eq!((state(&index, 3), state(&index, 2)), ("active", "retired"));
    // What was approved once need not be approved again.
    index.add(new("3.1.0", 5, &["http", "tcp"]), stamp(6)).expect("taken");
    assert_eq!(state(&index, 5), "approved");
}

#[test]
fn going_back_skips_what_cannot_run() {
    let mut index = two();
    index.add(new("3.0.0", 3, &["http"]), stamp(3)).expect("taken");
    index.activate("hec", &digest(3), stamp(4)).expect("activates");
    index.revoke(digest(2), Some("stolen key".into()), stamp(5));
    let fault = Fault { at_ms: 6, reason: "it trapped".into() };
    assert_eq!(index.roll_back("hec", true, Some(fault)).expect("goes back"), Some(digest(1)));
    assert_eq!((state(&index, 1), state(&index, 2), state(&index, 3)), ("active", "revoked", "retired"));
    assert!(index.find(&digest(3)).expect("there").1.fault.is_some());
    // Before the first upload the name stood for the built-in one.
    assert_eq!(index.roll_back("hec", true, None).expect("goes back"), None);
    assert!(matches!(index.roll_back("hec", true, None), Err(RegistryError::NothingBefore(_))));
}

#[test]
fn without_a_component_of_its_own_a_name_has_nothing_before_its_first_version() {
    let mut index = Index::default();
    index.add(new("1.0.0", 1, &[]), stamp(1)).expect("taken");
    index.activate("hec", &digest(1), stamp(1)).expect("activates");
    assert!(matches!(index.roll_back("hec", false, None), Err(RegistryError::NothingBefore(_))));
}

#[test]
fn revoked_is_for_ever() {
    let mut index = two();
    index.revoke(digest(2), None, stamp(5));
    index.revoke(digest(2), Some("later".into()), stamp(6));
    assert_eq!(index.revocation(&digest(2)).expect("revoked").stamp.at_ms, 5, "the first one counts");
    assert!(matches!(index.activate("hec", &digest(2), stamp(7)), Err(RegistryError::Revoked { .. })));
    index.remove("hec", &digest(2)).expect("it stands for nothing");
    assert!(matches!(index.add(new("2.0.0", 2, &[]), stamp(8)), Err(RegistryError::Revoked { .. })));
    assert!(matches!(index.add(new("2.0.1", 2, &[]), stamp(8)), Err(RegistryError::Revoked { .. })), "under any version");
}

#[test]
fn a_prefix_means_the_active_one_or_the_newest_approved() {
    let mut index = Index::default();
    for (version, n, asks) in [("1.2.9", 1, "http"), ("1.2.10", 2, "http"), ("1.20.0", 3, "http"), ("1.2.11", 4, "tcp")] {
        index.add(new(version, n, &[asks]), stamp(1)).expect("taken");
    }
    let newest = |index: &Index, prefix: &str| index.newest("hec", prefix).map(|version| version.digest);
    assert_eq!(newest(&index, "1.2"), Some(digest(2)), "1.2.11 is not approved, 1.20.0 is another");
    assert_eq!(newest(&index, "1.2.9"), Some(digest(1)));
    assert_eq!((newest(&index, "2"), newest(&index, "1.2.1")), (None, None));
    index.activate("hec", &digest(1), stamp(2)).expect("activates");
    assert_eq!(newest(&index, "1.2"), Some(digest(1)));
    index.revoke(digest(1), None, stamp(3));
    assert_eq!(newest(&index, "1.2"), Some(digest(2)));
}

#[test]
fn what_is_active_is_not_removed() {
    let mut index = two();
    assert!(matches!(index.remove("hec", &digest(2)), Err(RegistryError::Active { .. })));
    index.remove("hec", &digest(1)).expect("retired");
    assert!(matches!(index.roll_back("hec", false, None), Err(RegistryError::NothingBefore(_))), "gone is gone");
    assert!(matches!(index.remove("hec", &digest(1)), Err(RegistryError::UnknownVersion { .. })));
}

#[test]
fn names_versions_and_kinds_are_checked() {
    let mut index = two();
    let with = |change: &dyn Fn(&mut NewVersion)| {
        let mut one = new("9.0.0", 9, &[]);
        change(&mut one);
        one
    };
    for name in ["../../etc/passwd", "..", "", "A", "a/b"] {
        assert!(matches!(index.add(with(&|one| one.name = name.into()), stamp(1)), Err(RegistryError::Name(_))), "{name}");
    }
    assert!(matches!(index.add(with(&|one| one.version = "../1".into()), stamp(1)), Err(RegistryError::Version(_))));
    assert!(matches!(index.add(with(&|one| one.kind = "formatter".into()), stamp(1)), Err(RegistryError::Kind { .. })));
}

#[test]
fn everything_is_bounded() {
    let mut index = Index::default();
    for n in 0..MAX_VERSIONS {
        index.add(new(&format!("1.{n}.0"), u8::try_from(n).expect("small"), &[]), stamp(1)).expect("taken");
    }
    assert!(matches!(index.add(new("2.0.0", 200, &[]), stamp(1)), Err(RegistryError::TooManyVersions { .. })));
    for _ in 0..100 {
        for n in [1, 2] {
            index.activate("hec", &digest(n), Stamp { at_ms: 1, by: "x".repeat(5_000) }).expect("activates");
        }
    }
    let named = index.named("hec").expect("there");
    assert!(named.former.len() <= MAX_FORMER && named.versions[1].activated.as_ref().expect("active").by.len() <= MAX_TEXT);
}
