use super::{FoldedType, Name, TypeName};

#[track_caller]
fn check_type(rule: &str, event: &str, want: bool) {
    assert_eq!(TypeName::new(rule).matches(&FoldedType::new(event.as_bytes())), want, "rule {rule}, event {event}");
}

#[test]
fn types_match_in_both_spellings() {
    for rule in ["SecurityEvent", "copybook.security_event", "Copybook.SecurityEvent", "security_event"] {
        for event in ["SecurityEvent", "copybook.security_event", "security-event"] {
            check_type(rule, event, true);
        }
        check_type(rule, "copybook.security_events", false);
        check_type(rule, "copybook.security", false);
        check_type(rule, "llm.security_event", false);
        check_type(rule, "", false);
    }
    check_type("llm.data-vault.pii.detected", "llm.data-vault.pii.detected", true);
    check_type("llm.data-vault.pii.detected", "llm.data-vault.piidetected", false);
}

#[test]
fn a_namespace_matches_what_is_below_it() {
    check_type("llm.data-vault.*", "llm.data-vault.dataset.created", true);
    check_type("llm.data-vault.*", "llm.data-vault.", false);
    check_type("llm.data-vault.*", "llm.data-vault", false);
    check_type("llm.data-vault.*", "llm.data-vaults.x", false);
    check_type("copybook.*", "copybook.access_event", true);
    check_type("copybook.*", "record.incident", false);
    check_type("copybook.*", "CopyBook.AccessEvent", true);
}

#[test]
fn classifications_and_profiles_match_in_both_spellings() {
    for (rule, event, want) in [
        ("MaterialTransaction", "material_transaction", true),
        ("material_transaction", "MaterialTransaction", true),
        ("SOX", "sox", true),
        ("PCI-DSS", "PciDss", true),
        ("sox", "sox2", false),
        ("sox", "so", false),
    ] {
        assert_eq!(Name::new(rule).matches(event.as_bytes()), want, "rule {rule}, event {event}");
    }
}

#[test]
fn long_types_are_no_different() {
    for length in [62, 63, 64, 65, 200, 10_000] {
        let long = "Ab_".repeat(length / 3 + 1)[..length].to_owned();
        check_type(&long, &long.to_lowercase(), true);
        check_type(&long, &format!("copybook.{long}"), true);
        check_type(&long, &format!("{long}x"), false);
        check_type("a.b.*", &format!("a.b.{long}"), true);
    }
    check_type("x", &"_".repeat(1000), false);
}
