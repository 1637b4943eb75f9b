use super::*;

#[test]
fn names_get_one_spelling() {
    for (written, inside) in [
        ("SecurityEvent", "security_event"),
        ("MaterialTransaction", "material_transaction"),
        ("SOX", "sox"),
        ("PciDss", "pci_dss"),
        ("PCI-DSS", "pci_dss"),
        ("PIIData", "pii_data"),
        ("ISO27001", "iso27001"),
        ("Soc2Type", "soc2_type"),
        ("Internal Use  Only!", "internal_use_only"),
        ("already_snake", "already_snake"),
        ("copybook.SecurityEvent", "copybook.security_event"),
        ("Überwacht", "Überwacht"),
        ("\"quoted\"", "quoted"),
        ("__", ""),
    ] {
        let mut out = b"copybook.".to_vec();
        write_snake(written, &mut out);
        assert_eq!(out.strip_prefix(b"copybook."), Some(inside.as_bytes()), "{written}");
        assert!(is_snake(inside), "{inside}");
    }
    assert!(!is_snake("SOX") && !is_snake("pci-dss") && !is_snake("a\"b"));
}
