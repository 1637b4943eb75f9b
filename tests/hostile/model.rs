//! The document of the threat model against what is really there: tests, versions, settings.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use bulkhead_tests::cases::{self, CASES};
use bulkhead_tests::host::root;

/// The platform that the lock file's packages are fetched for here.
const TARGET: &str = if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

fn document() -> String {
    std::fs::read_to_string(cases::document(&root())).expect("the document")
}

/// Names of all tests of this binary.
fn tests() -> BTreeSet<String> {
    let binary = std::env::current_exe().expect("a path");
    let output = Command::new(binary).args(["--list", "--format", "terse"]).output().expect("runs");
    String::from_utf8(output.stdout).expect("UTF-8").lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[test]
fn every_test_that_the_document_names_is_there() {
    let (document, tests) = (document(), tests());
    let mut named = 0;
    for name in document.split('`').skip(1).step_by(2).filter(|text| text.contains("::") && !text.contains('…')) {
        assert!(tests.contains(name), "there is no test `{name}`");
        named += 1;
    }
    assert!(named > 25, "{named} names");
    let rows = cases::rows(&document);
    assert_eq!(rows.iter().map(|row| row.case.as_str()).collect::<Vec<_>>(), CASES, "one row for each case, in order");
    assert!(rows.iter().all(|row| row.what.len() > 10), "each says what is tried");
}

/// Packages of the lock file with their versions.
fn locked() -> BTreeMap<String, Vec<[u64; 3]>> {
    let lock: toml::Value = toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock")).expect("a lock file")).expect("TOML");
    let mut packages: BTreeMap<String, Vec<[u64; 3]>> = BTreeMap::new();
    for package in lock["package"].as_array().expect("packages") {
        let (name, version) = (package["name"].as_str().expect("a name"), package["version"].as_str().expect("a version"));
        packages.entry(name.into()).or_default().push(numbers(version));
    }
    packages
}

fn numbers(version: &str) -> [u64; 3] {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = plain.split('.').map(|part| part.parse().unwrap_or(0));
    [0; 3].map(|_| parts.next().unwrap_or(0))
}

#[test]
fn versions_are_at_their_floors() {
    let locked = locked();
    for (name, floor) in [
        ("wasmtime", "48.0.8"),
        ("wasmtime-wasi", "48.0.8"),
        ("wasmtime-wasi-io", "48.0.8"),
        ("wasmtime-wasi-http", "48.0.8"),
        ("wasmtime-environ", "48.0.8"),
        ("wasmtime-internal-cranelift", "48.0.8"),
        ("cap-std", "4.0.3"),
        ("cap-primitives", "4.0.3"),
        ("h2", "0.4.16"),
        ("rustls-webpki", "0.103.13"),
        ("rustls", "0.23.45"),
        ("ring", "0.17.12"),
        ("bytes", "1.11.1"),
        ("idna", "1.0.0"),
        ("tokio", "1.44.2"),
        ("time", "0.3.47"),
        ("tracing-subscriber", "0.3.20"),
        ("slab", "0.4.11"),
        ("anyhow", "1.0.103"),
        ("crossbeam-epoch", "0.9.20"),
        ("event-listener", "5.4.2"),
        ("rand", "0.10.1"),
        ("cmov", "0.4.4"),
    ] {
        let versions = locked.get(name).unwrap_or_else(|| panic!("{name} is not in the lock file"));
        assert!(versions.iter().all(|version| *version >= numbers(floor)), "{name} {versions:?} is below {floor}");
        assert!(document().contains(floor), "the document names the floor {floor} of {name}");
    }
    // The one long-term line: each release has its own set of fixes.
    assert_eq!(locked["wasmtime"].iter().map(|version| version[0]).collect::<Vec<_>>(), [48]);
}

/// `deny.toml`, as far as it can be held without a database of advisories.
fn deny() -> toml::Value {
    toml::from_str(&std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml")).expect("TOML")
}

/// What the build does not hold cannot be switched on.
#[test]
fn the_build_leaves_out_what_is_not_needed() {
    let (locked, deny) = (locked(), deny());
    let banned = deny["bans"]["deny"].as_array().expect("a list");
    assert!(banned.len() >= 14, "{} banned", banned.len());
    for ban in banned {
        let (name, reason) = (ban["name"].as_str().expect("a name"), ban["reason"].as_str().expect("a reason"));
        assert!(!locked.contains_key(name), "{name} is in the lock file: {reason}");
    }
    assert!(deny["advisories"]["ignore"].as_array().expect("a list").is_empty(), "an ignored advisory needs its reason in the threat model");
}

/// Sources and licences of everything in the lock file.
#[test]
fn packages_come_from_where_they_may_under_licences_that_may_be() {
    let deny = deny();
    let strings = |value: &toml::Value| value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect::<BTreeSet<_>>();
    let (allowed, registries) = (strings(&deny["licenses"]["allow"]), strings(&deny["sources"]["allow-registry"]));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", TARGET];
    let output = Command::new(cargo).current_dir(root()).args(arguments).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 200, "{} packages", packages.len());
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        if let Some(source) = package["source"].as_str() {
            assert!(registries.iter().any(|registry| source == format!("registry+{registry}")), "{name} comes from {source}");
        }
        let license = package["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        assert!(permitted(license, &allowed), "{name} is under {license}");
    }
}

/// An SPDX expression (SPDX 2.3, annex D) that one can meet with the allowed licences; `/` is an old OR.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, end) = any(&words, 0, allowed);
    assert_eq!(end, words.len(), "{expression} does not parse");
    met
}

fn any(words: &[&str], at: usize, allowed: &BTreeSet<String>) -> (bool, usize) {
    let (mut met, mut at) = all(words, at, allowed);
    while words.get(at) == Some(&"OR") {
        let (next, end) = all(words, at + 1, allowed);
        (met, at) = (met || next, end);
    }
    (met, at)
}

fn all(words: &[&str], at: usize, allowed: &BTreeSet<String>) -> (bool, usize) {
    let (mut met, mut at) = one(words, at, allowed);
    while words.get(at) == Some(&"AND") {
        let (next, end) = one(words, at + 1, allowed);
        (met, at) = (met && next, end);
    }
    (met, at)
}

fn one(words: &[&str], at: usize, allowed: &BTreeSet<String>) -> (bool, usize) {
    match (words.get(at), words.get(at + 1), words.get(at + 2)) {
        (Some(&"("), ..) => {
            let (met, end) = any(words, at + 1, allowed);
            (met, end + 1)
        }
        (Some(name), Some(&"WITH"), Some(exception)) => (allowed.contains(&format!("{name} WITH {exception}")), at + 3),
        (Some(name), ..) => (allowed.contains(*name), at + 1),
        (None, ..) => (false, at),
    }
}

/// The engine as it is built: the setting's name in the engine's own words, and its value.
#[test]
fn the_engine_is_set_as_the_document_says() {
    let settings = bulkhead_sandbox::engine_settings();
    let value = |name: &str| {
        let at = settings.find(&format!("{name}: ")).unwrap_or_else(|| panic!("{name} is not among {settings}"));
        settings[at + name.len() + 2..].split([',', '}']).next().unwrap_or_default().trim().to_owned()
    };
    for (name, want) in [
        ("wasm_gc", "false"),
        ("wasm_gc_types", "false"),
        ("wasm_function_references", "false"),
        ("wasm_threads", "false"),
        ("wasm_shared_everything_threads", "false"),
        ("wasm_memory64", "false"),
        ("wasm_exceptions", "false"),
        ("wasm_legacy_exceptions", "false"),
        ("wasm_stack_switching", "false"),
        ("wasm_cm_async", "false"),
        ("wasm_cm_more_async_builtins", "false"),
        ("wasm_cm_async_stackful", "false"),
        ("wasm_cm_threading", "false"),
        ("wasm_cm_error_context", "false"),
        ("wasm_cm_gc", "false"),
        ("wasm_custom_page_sizes", "false"),
        ("consume_fuel", "Some(true)"),
        ("epoch_interruption", "Some(true)"),
        ("memory_reservation", "Some(4294967296)"),
    ] {
        let got = value(name);
        assert!(got == want || format!("Some({got})") == want, "{name} is {got}, not {want}");
    }
    let document = document();
    for name in [
        "wasm_gc",
        "wasm_function_references",
        "wasm_threads",
        "wasm_memory64",
        "wasm_exceptions",
        "wasm_stack_switching",
        "wasm_cm_async",
        "consume_fuel",
        "epoch_interruption",
        "memory_reservation",
    ] {
        assert!(document.contains(&format!("`{name}`")), "the document names {name}");
    }
}
