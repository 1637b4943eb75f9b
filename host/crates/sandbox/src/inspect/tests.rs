use super::*;

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("text parses")
}

const FORMATTER: &str = r#"(instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i))"#;
const CONNECTOR: &str = r#"(instance $i) (export "bulkhead:connector/delivering@0.1.0" (instance $i))"#;

fn section(name: &str, data: &str) -> String {
    format!("(@custom \"{name}\" \"{}\")", data.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>())
}

#[track_caller]
fn refused(bytes: &[u8], want: &str) {
    let error = Inspection::read(bytes, 16 << 20).expect_err(want);
    assert!(error.to_string().contains(want), "{error}");
}

#[test]
fn what_is_no_component_is_called_by_its_name() {
    refused(b"", "the file is empty");
    refused(b"(component)", "WebAssembly text (.wat)");
    refused(b"\n  (module (func))", "WebAssembly text (.wat)");
    refused(b"hello, world", "this is text;");
    refused(b"{\"a\": 1}", "this is JSON");
    refused(b"<html>404</html>", "HTML or XML");
    refused(b"PK\x03\x04rest of a zip", "a zip archive");
    refused(b"\x1f\x8b\x08\0", "gzip");
    refused(b"\x7fELF\x02\x01", "ELF");
    refused(b"\xff\xfe\0\x01garbage", "no WebAssembly at all");
    refused(b"\0asm", "a version that is not known");
    refused(b"\0asm\x0e\0\x01\0", "a version that is not known");
    refused(&wasm("(module)"), "this is a core module; expected a component: build for wasm32-wasip2");
    let preview1 = wasm(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#);
    refused(&preview1, "this is a core module for WASI preview 1");
    refused(&vec![0; (16 << 20) + 1], "the file has 16777217 bytes, more than the limit of 16 MiB; raise `limits.component_size`");
}

#[test]
fn damage_is_found_at_every_length_without_a_panic() {
    let manifest = section(SECTION, r#"{"name":"a","version":"1","kind":"formatter"}"#);
    let whole = wasm(&format!(r#"(component (core module (func (export "f"))) (import "bulkhead:connector/log@0.1.0" (instance)) {FORMATTER} {manifest})"#));
    assert!(Inspection::read(&whole, 1 << 20).is_ok());
    for length in 0..whole.len() {
        // A cut can fall between two sections; then something else is missing.
        let _ = Inspection::read(&whole[..length], 1 << 20);
    }
    refused(&whole[..whole.len() - 1], "damaged at byte");
    for at in 8..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let _ = Inspection::read(&bytes, 1 << 20);
        }
    }
}

#[test]
fn worlds_and_versions() {
    refused(&wasm("(component)"), "it exports nothing; expected bulkhead:connector/delivering");
    refused(&wasm(r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#), "for another world: it exports wasi:cli/run@0.2.0");
    refused(&wasm(&format!(r#"(component {FORMATTER} (export "bulkhead:connector/delivering@0.1.0" (instance $i)))"#)), "both connector and formatter");
    for newer in ["0.1.1", "0.2.0", "1.0.0", "1.4.2"] {
        let export = format!(r#"(component (instance $i) (export "bulkhead:connector/formatting@{newer}" (instance $i)))"#);
        refused(&wasm(&export), &format!("built for contract {newer}, this host has 0.1.0"));
    }
    refused(&wasm(r#"(component (instance $i) (export "bulkhead:connector/formatting@0.0.9" (instance $i)))"#), "no longer speaks");
    refused(
        &wasm(&format!(r#"(component (import "bulkhead:connector/telepathy@0.3.0" (instance)) {CONNECTOR})"#)),
        "built for contract 0.3.0, this host has 0.1.0",
    );
    let formatter = Inspection::read(&wasm(&format!("(component {FORMATTER})")), 1 << 20).expect("reads");
    assert_eq!((formatter.kind, formatter.contract), (Kind::Formatter, CONTRACT));
    assert_eq!(formatter.in_words(), ["cannot reach anything outside the sandbox"]);
    assert_eq!(formatter.digest_hex().len(), 64);
}

#[test]
fn unknown_imports_are_listed() {
    let imports = r#"
        (import "wasi:sockets/tcp@0.2.6" (instance)) (import "wasi:http/incoming-handler@0.2.0" (instance)) (import "acme:gpu/compute@1.0.0" (instance))
        (import "bulkhead:connector/telepathy@0.1.0" (instance)) (import "wasi:cli/stdout@0.3.0" (instance)) (import "plain" (func))
        (import "wasi:cli/stdout@0.2.6" (instance)) (import "bulkhead:connector/http@0.1.0" (instance))
    "#;
    let error = Inspection::read(&wasm(&format!("(component {imports} {CONNECTOR})")), 1 << 20).expect_err("refused");
    let InspectError::UnknownImports { names } = error else { panic!("{error}") };
    assert_eq!(
        names,
        [
            "wasi:sockets/tcp@0.2.6 (sockets are never offered; use bulkhead:connector/tcp, or build with --stub-wasi)",
            "wasi:http/incoming-handler@0.2.0 (use bulkhead:connector/http)",
            "acme:gpu/compute@1.0.0",
            "bulkhead:connector/telepathy@0.1.0",
            "wasi:cli/stdout@0.3.0 (WASI 0.3 is asynchronous and contract 0.1.0 is not; build against WASI 0.2)",
            "plain",
        ]
    );
    // A formatter reaches nothing, whatever it would like.
    let http = wasm(&format!(r#"(component (import "bulkhead:connector/http@0.1.0" (instance)) {FORMATTER})"#));
    refused(&http, "imports what no host of contract 0.1.0 offers: bulkhead:connector/http@0.1.0");
}

#[test]
fn imports_say_what_it_can_reach_and_win_over_the_section() {
    let section = section(SECTION, r#"{"name":"quiet","version":"1","kind":"formatter","wants":[{"interface":"files","name":"primary"}]}"#);
    let imports =
        r#"(import "bulkhead:connector/http@0.1.0" (instance)) (import "bulkhead:connector/log@0.1.0" (instance)) (import "wasi:io/poll@0.2.6" (instance))"#;
    let inspection = Inspection::read(&wasm(&format!("(component {imports} {CONNECTOR} {section})")), 1 << 20).expect("reads");
    assert_eq!(inspection.kind, Kind::Connector);
    assert_eq!(inspection.in_words(), ["http: can send HTTP requests to destinations that you name and grant", "log: can write lines to the log"]);
    assert_eq!(
        inspection.contradictions,
        [
            "the manifest says formatter, the exports say connector",
            "the manifest does not name wishes for http, the imports say yes",
            "the manifest names wishes for files, the imports say no",
        ]
    );
}

#[test]
fn wasi_is_named_where_grants_make_a_difference() {
    let imports = r#"(import "wasi:http/types@0.2.6" (instance)) (import "wasi:http/outgoing-handler@0.2.6" (instance))
        (import "wasi:clocks/wall-clock@0.2.6" (instance)) (import "wasi:random/random@0.2.6" (instance)) (import "wasi:cli/environment@0.2.6" (instance))"#;
    let inspection = Inspection::read(&wasm(&format!("(component {imports} {CONNECTOR})")), 1 << 20).expect("reads");
    assert!(inspection.capabilities.contains(WASI_HTTP));
    assert_eq!(
        inspection.in_words(),
        [
            "wasi-http: can send HTTP requests to destinations that you name, through wasi:http that you grant",
            "clocks: sees the time of each call; the clocks of the machine if you grant `clocks`",
            "random: gets numbers that repeat from a seed; those of the machine if you grant `random`",
            "environment: finds it empty; the values that you name under `env` if you grant any",
        ]
    );
    // A formatter is never granted any of it.
    refused(&wasm(&format!(r#"(component (import "wasi:http/types@0.2.6" (instance)) {FORMATTER})"#)), "wasi:http/types@0.2.6 (use bulkhead:connector/http)");
    let quiet = r#"(import "wasi:clocks/wall-clock@0.2.6" (instance)) (import "wasi:random/insecure-seed@0.2.6" (instance))"#;
    let formatter = Inspection::read(&wasm(&format!("(component {quiet} {FORMATTER})")), 1 << 20).expect("reads");
    assert_eq!(formatter.in_words(), ["cannot reach anything outside the sandbox"]);
}

#[test]
fn sections_that_are_twice_oversized_or_malformed() {
    let good = section(SECTION, r#"{"name":"a","version":"1","kind":"formatter"}"#);
    refused(&wasm(&format!("(component {FORMATTER} {good} {good})")), "is there twice");
    refused(&wasm(&format!("(component {FORMATTER} {})", section(SECTION, "{"))), "is no manifest");
    refused(&wasm(&format!("(component {FORMATTER} {})", section(SECTION, &" ".repeat(MAX_SECTION + 1)))), "at most 262144 are read");
    // Sections of inner components and modules are not ours.
    let inner = wasm(&format!("(component (component {}) {FORMATTER})", section(SECTION, "{")));
    assert!(Inspection::read(&inner, 1 << 20).expect("reads").manifest.is_none());
}
