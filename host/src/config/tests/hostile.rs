use super::super::FaultKind;
use super::{bad, good, instance, parse};

#[track_caller]
fn check_stopped(text: &str, message: &str) {
    let faults = bad(text);
    assert_eq!((faults.len(), faults[0].kind), (1, FaultKind::Syntax), "{faults:?}");
    assert!(faults[0].message.contains(message), "{}", faults[0]);
}

#[test]
fn alias_bombs_are_counted_as_what_they_stand_for() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    check_stopped(&bomb, "more than 500000 values");
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 40].join(", "));
    check_stopped(&long, "bytes of text");
    check_stopped("a: &a [*a]", "");
    check_stopped("a: *nowhere", "not valid YAML");
}

#[test]
fn depth_and_size_are_bounded() {
    check_stopped(&format!("a: {}{}", "[".repeat(200), "]".repeat(200)), "nested deeper than 96");
    check_stopped(&format!("a: {}", "[".repeat(100_000)), "");
    let block: String = (0..5000).map(|depth| format!("{}k:\n", " ".repeat(depth))).collect();
    assert!(matches!(parse(&block), Err(faults) if faults[0].kind == FaultKind::Syntax));
    check_stopped(&"a: b\n".repeat(1 << 20), "at most");
}

#[test]
fn what_is_no_single_plain_document_is_refused() {
    check_stopped("a: [1", "not valid YAML");
    check_stopped("a: b: c", "not valid YAML");
    check_stopped("drain: 1s\n---\ndrain: 2s\n", "second document");
    check_stopped("drain: !include other.yaml", "tag");
    check_stopped("routes: !!set {a, b}\nx: !custom {}", "tag");
    check_stopped("? [a, b]\n: c", "key that is not a single word");
    check_stopped("<<: 7", "`<<` takes");
    assert_eq!(bad("- a\n- b")[0].kind, FaultKind::WrongType);
    assert_eq!(bad("just text")[0].kind, FaultKind::WrongType);
    for nothing in ["", "# only a comment\n", "---\n", "~"] {
        good(nothing);
    }
}

#[test]
fn anchors_and_merges_work_within_the_file() {
    let config = good(
        "instances:\n  a: &base\n    connector: file\n    concurrency: 2\n    batch: &batch {max_events: 7}\n  b:\n    <<: *base\n    concurrency: 3\n  c: {connector: file, batch: *batch}\n",
    );
    let seen: Vec<_> = config.instances.iter().map(|instance| (instance.name.as_str(), instance.concurrency.max, instance.batch.max_events)).collect();
    assert_eq!(seen, [("a", 2, 7), ("b", 3, 7), ("c", 4, 7)]);
}

/// What a variable holds stays one scalar.
#[test]
fn interpolation_cannot_inject_structure() {
    let path = |text: &str| {
        let config = good(&instance(text));
        config.instances[0].config.json["path"].clone()
    };
    assert_eq!(path("config: {path: \"${YAML}\"}"), "a: b\nc: d");
    assert_eq!(path("config:\n      path: ${YAML}"), "a: b\nc: d");
    assert_eq!(path("config: {path: \"${BRACES}\"}"), "{x: [1, 2]}, y: *z");
    assert_eq!(path("config: {path: \"${REFERENCE}\"}"), "${NUMBER}", "what is put in is not looked at again");
    // Keys are left alone.
    assert_eq!(good(&instance("config: {\"${NUMBER}\": 1}")).instances[0].config.json, serde_json::json!({"${NUMBER}": 1}));
}

#[test]
fn mangled_files_never_panic() {
    let text = super::values::DOCUMENTED;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    const PIECES: [&str; 20] = ["{", "}", "[", "]", ":", ": ", "\n", "  ", "- ", "&a ", "*a", "!x ", "\"", "'", "|\n", "${", "}", "#", "\u{0}", "é\u{1f600}"];
    for _ in 0..3000 {
        let mut mangled: Vec<char> = text.chars().collect();
        for _ in 0..=next(4) {
            let at = next(mangled.len());
            match next(3) {
                0 => drop(mangled.drain(at..(at + next(40)).min(mangled.len()))),
                1 => drop(mangled.splice(at..at, PIECES[next(PIECES.len())].chars())),
                _ => mangled.truncate(at.max(1)),
            }
            if mangled.is_empty() {
                mangled.push('x');
            }
        }
        let mangled: String = mangled.into_iter().collect();
        if let Err(faults) = parse(&mangled) {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
        }
    }
}
