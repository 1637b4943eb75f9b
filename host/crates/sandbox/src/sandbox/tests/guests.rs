//! Guests in WebAssembly text: shapes that no compiler emits. The core module is written by hand, the
//! component around it is made by the same library that compilers use.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The part of WASI 0.2 that tests use.
const WASI: [&str; 6] = [
    "package wasi:io@0.2.6; interface error { resource error {} } interface poll { resource pollable { block: func(); } }
     interface streams { use error.{error}; variant stream-error { last-operation-failed(error), closed }
     resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; } }",
    "package wasi:cli@0.2.6; interface stderr { use wasi:io/streams@0.2.6.{output-stream}; get-stderr: func() -> output-stream; }
     interface environment { get-environment: func() -> list<tuple<string, string>>; }",
    "package wasi:clocks@0.2.6; interface monotonic-clock { use wasi:io/poll@0.2.6.{pollable}; now: func() -> u64; subscribe-duration: func(when: u64) -> pollable; }
     interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }",
    "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; } interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }",
    include_str!("wasi_http.wit"),
    "package test:worlds;
     world formatter { include bulkhead:connector/formatter@0.1.0; include wasi; }
     world connector-all { include bulkhead:connector/connector-all@0.1.0; include wasi; }
     world wasi { import wasi:cli/stderr@0.2.6; import wasi:io/streams@0.2.6; import wasi:clocks/monotonic-clock@0.2.6; import wasi:clocks/wall-clock@0.2.6;
     import wasi:random/random@0.2.6; import wasi:random/insecure-seed@0.2.6; import wasi:cli/environment@0.2.6; import wasi:io/poll@0.2.6;
     import wasi:http/types@0.2.6; import wasi:http/outgoing-handler@0.2.6; }",
];

/// Wraps a core module as a component of a world of `wit/`, with WASI beside it. What the module does
/// not import the component does not import either.
pub fn component(world: &str, module: &str) -> Vec<u8> {
    let mut wasm = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../wit")).expect("wit parses");
    let packages = WASI.map(|text| resolve.push_str("test.wit", text).expect("wit parses"));
    let world = resolve.select_world(&packages[5..], Some(world)).expect("a world of that name");
    embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default().module(&wasm).expect("a module").validate(true).encode().unwrap_or_else(|error| panic!("{error:#}"))
}

/// Memory, an allocator that never frees, texts at fixed places, and the answers of a good `configure`:
/// at 64 for formatters (fields none, format `t`, `text/plain`), at 128 for connectors.
const COMMON: &str = r#"
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 65536))
    (data (i32.const 1024) "ttext/plain")
    (data (i32.const 1100) "primary")
    (data (i32.const 1110) "POST")
    (data (i32.const 1120) "/in")
    (data (i32.const 1130) "out.log")
    (data (i32.const 1140) "\1b[31mbad\00\ff")
    ;; result.ok, fields [], name "t", content-type "text/plain"
    (data (i32.const 64) "\00\00\00\00" "\00\00\00\00" "\00\00\00\00" "\00\04\00\00" "\01\00\00\00" "\01\04\00\00" "\0a\00\00\00")
    (func $alloc (param $n i32) (result i32)
        (local $p i32)
        (local.set $p (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
        (global.set $heap (i32.add (local.get $p) (local.get $n)))
        (block $ok (loop $grow
            (br_if $ok (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
            (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
            (br $grow)))
        (local.get $p))
    (func $reset (global.set $heap (i32.const 65536)))
"#;

const REALLOC: &str = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $alloc (local.get 3)))"#;

/// The parts of a formatter that tests change.
pub struct Formatter {
    pub imports: &'static str,
    pub extra: &'static str,
    pub realloc: &'static str,
    pub configure: &'static str,
    /// Parameters 0 to 4: count, block, its length, spans, their length. Answers where the result is.
    pub format: &'static str,
}

/// Answers the block as the one record, whatever it holds.
pub const ECHO: &str = r#"
    (i32.store (i32.const 2048) (i32.const 0)) (i32.store (i32.const 2052) (local.get 2))
    (i32.store (i32.const 3000) (local.get 1)) (i32.store (i32.const 3004) (local.get 2))
    (i32.store (i32.const 3008) (i32.const 2048)) (i32.store (i32.const 3012) (i32.const 2))
    (i32.store (i32.const 3016) (i32.const 0)) (i32.store (i32.const 3020) (i32.const 0))
    (call $reset) (i32.const 3000)
"#;

impl Default for Formatter {
    fn default() -> Self {
        Self { imports: "", extra: "", realloc: REALLOC, configure: "(i32.const 64)", format: ECHO }
    }
}

impl Formatter {
    pub fn build(&self) -> Vec<u8> {
        let Self { imports, extra, realloc, configure, format } = self;
        component(
            "formatter",
            &format!(
                r#"(module {imports} {COMMON} {realloc} {extra}
                    (func (export "bulkhead:connector/formatting@0.1.0#configure") (param i32 i32) (result i32) {configure})
                    (func (export "bulkhead:connector/formatting@0.1.0#format") (param i32 i32 i32 i32 i32) (result i32) {format}))"#
            ),
        )
    }
}

/// The parts of a connector that tests change.
pub struct Connector {
    pub imports: &'static str,
    pub configure: &'static str,
    /// Parameters 0 to 9: records' block and offsets, then as in [`Formatter`], then the attempt.
    pub deliver: &'static str,
    pub check: &'static str,
    pub settle: &'static str,
    pub maintain: &'static str,
    pub close: &'static str,
}

/// `ok(all(accepted(none)))`.
pub const ACCEPT: &str = "(i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 0)) \
                          (i64.store (i32.const 4120) (i64.const 0)) (call $reset) (i32.const 4096)";
/// `err(unsupported)`.
const UNSUPPORTED: &str = "(i32.store8 (i32.const 4200) (i32.const 1)) (i32.store8 (i32.const 4208) (i32.const 4)) (i32.const 4200)";

impl Default for Connector {
    fn default() -> Self {
        Self { imports: "", configure: "(i32.const 128)", deliver: ACCEPT, check: UNSUPPORTED, settle: UNSUPPORTED, maintain: UNSUPPORTED, close: "" }
    }
}

impl Connector {
    pub fn build(&self) -> Vec<u8> {
        let Self { imports, configure, deliver, check, settle, maintain, close } = self;
        let export = |name: &str, signature: &str, body: &str| format!(r#"(func (export "bulkhead:connector/delivering@0.1.0#{name}") {signature} {body})"#);
        let parts = [
            export("configure", "(param i32 i32 i32 i32 i32 i32) (result i32)", configure),
            export("check", "(result i32)", check),
            export("deliver", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)", deliver),
            export("settle", "(param i32 i32) (result i32)", settle),
            export("pull", "(param i32 i32) (result i32)", UNSUPPORTED),
            export("query", "(param i32 i32 i32 i32) (result i32)", UNSUPPORTED),
            export("receive", "(param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)", UNSUPPORTED),
            export("maintain", "(result i32)", maintain),
            export("close", "", close),
        ];
        component("connector-all", &format!("(module {imports} {COMMON} {REALLOC} {})", parts.join("\n")))
    }
}

pub const HTTP: &str =
    r#"(import "bulkhead:connector/http@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
pub const FILES: &str = r#"(import "bulkhead:connector/files@0.1.0" "append" (func $append (param i32 i32 i32 i32 i32 i32 i32 i32)))"#;
pub const STATE: &str = r#"(import "bulkhead:connector/state@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#;
pub const METRICS: &str = r#"(import "bulkhead:connector/metrics@0.1.0" "count" (func $count (param i32 i32 i32 i32 i64)))"#;
pub const LOG: &str = r#"(import "bulkhead:connector/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;

/// Posts the records to `primary`. An answer becomes `rejected` with its body, an error `other` with
/// its text.
pub const SEND: &str = r#"
    (call $send (i32.const 1100) (i32.const 7) (i32.const 1110) (i32.const 4) (i32.const 1120) (i32.const 3) (i32.const 0) (i32.const 0)
        (local.get 0) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000))
    (if (result i32) (i32.load8_u (i32.const 5000))
        (then ;; err(other(text))
            (i32.store8 (i32.const 4096) (i32.const 1)) (i32.store8 (i32.const 4104) (i32.const 5))
            (i32.store (i32.const 4112) (i32.load (i32.const 5012))) (i32.store (i32.const 4116) (i32.load (i32.const 5016)))
            (i32.const 4096))
        (else ;; ok(all(rejected(body)))
            (i32.store8 (i32.const 4096) (i32.const 0)) (i32.store8 (i32.const 4104) (i32.const 0)) (i32.store8 (i32.const 4112) (i32.const 2))
            (i32.store (i32.const 4120) (i32.load (i32.const 5020))) (i32.store (i32.const 4124) (i32.load (i32.const 5024)))
            (i32.const 4096)))
"#;
