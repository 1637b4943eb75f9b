//! Components that are refused before anything of them runs.

use bulkhead_core::OpenError;
use bulkhead_sandbox::{ConnectorGrants, FormatterGrants};

use crate::toolkit::guests::{Connector, FILES, Formatter, HTTP, STATE};
use crate::toolkit::{Host, NOW, SECONDS, bounded};

/// What the engine leaves out names itself in the error.
#[tokio::test]
async fn h04_proposals_that_are_off() {
    let host = Host::default();
    for (name, module, want) in [
        ("garbage collection", "(type (struct (field i32)))", "gc"),
        ("garbage collection by reference", "(func (param i31ref))", "gc"),
        ("shared memory", "(memory 1 1 shared)", "threads"),
        ("atomics", "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", "threads"),
        ("64-bit memory", "(memory i64 1)", "memory64"),
        ("64-bit tables", "(table i64 1 funcref)", "memory64"),
        ("exceptions", "(tag)", "exceptions"),
        ("exceptions caught", "(func (try_table))", "exceptions"),
        ("old exceptions", "(func try end)", "legacy_exceptions"),
        ("stack switching", "(type $f (func)) (type (cont $f))", "stack switching"),
        ("typed function references", "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))", "reference"),
        (
            "wide arithmetic",
            "(func (param i64 i64 i64 i64) (result i64 i64) (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))",
            "wide arithmetic",
        ),
        ("pages of one byte", "(memory 1 (pagesize 1))", "custom page sizes"),
    ] {
        let text = format!(r#"(component (core module {module}) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#);
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = bounded(NOW, SECONDS, async { host.sandbox.load("evil", &wasm).map(drop) }).await;
        let error = error.expect_err(name).to_string();
        assert!(error.starts_with("component `evil` does not compile: ") && error.contains(want), "{name}: {error}");
        assert!(error.len() < 1_200, "{name}: {error}");
    }
    // Of the component model itself.
    for (name, text, want) in [
        ("maps", r#"(component (type (map string string)) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "map"),
        ("asynchronous functions", r#"(component (type (func async)) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "async"),
        ("streams", r#"(component (type (stream u8)) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "async"),
        ("error contexts", r#"(component (type error-context) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "error-context"),
        ("lists of a fixed length", r#"(component (type (list u8 4)) (instance $i) (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#, "fixed"),
    ] {
        let wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = host.load_error(&wasm);
        assert!(error.starts_with("component `evil` ") && error.contains(want), "{name}: {error}");
    }
    host.serves().await;
}

/// The right names with the wrong types, or half of a world.
#[tokio::test]
async fn h09_exports_of_the_wrong_type() {
    let host = Host::default();
    let wrong = |functions: &str| {
        format!(
            r#"(component
                (core module $m (func (export "f") (param i32)) (func (export "g") (result i32) i32.const 0))
                (core instance $m (instantiate $m))
                (func $f (param "events" u32) (canon lift (core func $m "f")))
                (func $g (result u32) (canon lift (core func $m "g")))
                (instance $i {functions})
                (export "bulkhead:connector/formatting@0.1.0" (instance $i)))"#
        )
    };
    for (name, functions, want) in [
        ("another parameter", r#"(export "format" (func $f)) (export "configure" (func $f))"#, "expected `string` found `u32`"),
        ("no parameter", r#"(export "format" (func $g)) (export "configure" (func $g))"#, "expected 1-tuple, found 0-tuple"),
        ("half of it", r#"(export "configure" (func $f))"#, "does not have export `format`"),
        ("nothing", "", "does not have export `configure`"),
    ] {
        let component = host.sandbox.load("wrong", &wat::parse_str(wrong(functions)).expect("text")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let problem = match host.sandbox.formatter(&component, "{}".into(), FormatterGrants { instance: "siem".into(), ..FormatterGrants::default() }) {
            Err(error) => error.to_string(),
            Ok(source) => match bounded(NOW, SECONDS, source.open()).await {
                Err(OpenError::Unfit(text)) => text,
                Err(other) => panic!("{name}: {other}"),
                Ok(_) => panic!("{name}: it fits"),
            },
        };
        assert!(problem.contains("does not fit") && problem.contains(want), "{name}: {problem}");
    }
    // A function where the instance belongs.
    let text = r#"(component (core module $m (func (export "f"))) (core instance $m (instantiate $m)) (func $f (canon lift (core func $m "f")))
        (export "bulkhead:connector/formatting@0.1.0" (func $f)))"#;
    let problem = match wat::parse_str(text) {
        Ok(wasm) => match host.sandbox.load("wrong", &wasm) {
            Ok(component) => host.sandbox.formatter(&component, "{}".into(), FormatterGrants::default()).map(drop).expect_err("no instance").to_string(),
            Err(error) => error.to_string(),
        },
        Err(error) => panic!("{error}"),
    };
    assert!(problem.starts_with("component `wrong` does not fit: "), "{problem}");
    host.serves().await;
}

/// A component of one kind in the place of the other, and a configuration that is none.
#[tokio::test]
async fn h09_the_wrong_kind() {
    let host = Host::default();
    let formatter = host.sandbox.load("f", &Formatter::default().build()).expect("loads");
    let connector = host.sandbox.load("c", &Connector::default().build()).expect("loads");
    let error = host.sandbox.connector(&formatter, "{}".into(), ConnectorGrants::default()).map(drop).expect_err("a formatter").to_string();
    assert_eq!(error, "component `f` is a formatter; a connector is needed here");
    let error = host.sandbox.formatter(&connector, "{}".into(), FormatterGrants::default()).map(drop).expect_err("a connector").to_string();
    assert_eq!(error, "component `c` is a connector; a formatter is needed here");
    // Loaded by one engine and linked there, handed to another.
    host.sandbox.formatter(&formatter, "{}".into(), FormatterGrants::default()).map(drop).expect("its own");
    let other = Host::default().sandbox.formatter(&formatter, "{}".into(), FormatterGrants::default()).map(drop);
    assert_eq!(other.expect_err("another engine").to_string(), "component `f` does not fit: it was loaded by another sandbox");
    for config in ["[]", "", "1", "{", "{}{}", "null", "\"{}\""] {
        let grants = FormatterGrants { instance: "siem".into(), ..FormatterGrants::default() };
        let error = host.sandbox.formatter(&formatter, config.into(), grants).map(drop).expect_err(config).to_string();
        assert_eq!(error, "the configuration of instance `siem` is no JSON object", "{config}");
    }
}

/// What was not granted is absent: it is said before anything is instantiated.
#[tokio::test]
async fn h06_what_was_not_granted_is_not_there() {
    let host = Host::default();
    let zero = |n: usize| "(i32.const 0) ".repeat(n);
    for (imports, deliver, want) in [
        (
            HTTP,
            format!("(call $send {}) unreachable", zero(16)),
            "http (name a destination with an http:// or https:// URL under `destinations` of the instance)",
        ),
        (FILES, format!("(call $append {}) unreachable", zero(8)), "files (name a directory under `files` of the instance)"),
        (STATE, format!("(call $set {}) unreachable", zero(5)), "state (give the host a state store (`data_dir`))"),
    ] {
        let wasm = Connector { imports, deliver: &deliver, ..Connector::default() }.build();
        let error = host.connector(&wasm, ConnectorGrants::default()).map(drop).expect_err(want).to_string();
        assert_eq!(error, format!("component `evil` needs what instance `siem` does not grant: {want}"));
    }
}
