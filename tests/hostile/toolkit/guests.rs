//! Guests in WebAssembly text: shapes that no compiler emits. The core module is written by hand, the
//! component around it is made by the library that compilers use; [`component`] does the wrapping. The one
//! place of its kind: the hostile cases, the stories and the sandbox's own tests take this file in.

#![allow(dead_code, reason = "each of those who share it uses a part")]

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The part of WASI 0.2 that cases use, and worlds with it. `owner` also exports a resource of its own.
const WASI: [&str; 7] = [
    "package wasi:io@0.2.6; interface error { resource error {} } interface poll { resource pollable { block: func(); } } interface streams { use error.{error}; variant stream-error { last-operation-failed(error), closed }
     resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
     resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; } }",
    "package wasi:cli@0.2.6; interface stderr { use wasi:io/streams@0.2.6.{output-stream}; get-stderr: func() -> output-stream; }
     interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; }
     interface stdin { use wasi:io/streams@0.2.6.{input-stream}; get-stdin: func() -> input-stream; }
     interface environment { get-environment: func() -> list<tuple<string, string>>; get-arguments: func() -> list<string>; }
     interface exit { exit: func(status: result); }",
    "package wasi:clocks@0.2.6; interface monotonic-clock { use wasi:io/poll@0.2.6.{pollable}; now: func() -> u64; subscribe-duration: func(when: u64) -> pollable; }
     interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }",
    "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; }
     interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }",
    "package wasi:filesystem@0.2.6; interface types { resource descriptor {} } interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }",
    include_str!("wasi_http.wit"),
    "package test:worlds;
     interface owned { resource thing { constructor(); } }
     world formatter { include bulkhead:connector/formatter@0.1.0; include wasi; }
     world owner { include bulkhead:connector/formatter@0.1.0; include wasi; export owned; }
     world connector-all { include bulkhead:connector/connector-all@0.1.0; include wasi; }
     world wasi { import wasi:cli/stderr@0.2.6; import wasi:cli/stdout@0.2.6; import wasi:cli/stdin@0.2.6; import wasi:cli/environment@0.2.6; import wasi:cli/exit@0.2.6;
     import wasi:io/streams@0.2.6; import wasi:io/poll@0.2.6; import wasi:clocks/monotonic-clock@0.2.6; import wasi:clocks/wall-clock@0.2.6;
     import wasi:random/random@0.2.6; import wasi:random/insecure-seed@0.2.6; import wasi:filesystem/preopens@0.2.6;
     import wasi:http/types@0.2.6; import wasi:http/outgoing-handler@0.2.6; }",
];

/// Wraps a core module as a component of a world of `wit/`, with WASI beside it. What the module does
/// not import the component does not import either.
pub fn component(world: &str, encoding: StringEncoding, module: &str) -> Vec<u8> {
    let mut wasm = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("wit")).find(|wit| wit.is_dir()).expect("below the workspace");
    resolve.push_dir(wit).unwrap_or_else(|error| panic!("{error:#}"));
    let packages = WASI.map(|text| resolve.push_str("test.wit", text).unwrap_or_else(|error| panic!("{error:#}")));
    let world = resolve.select_world(&packages[6..], Some(world)).unwrap_or_else(|error| panic!("{error:#}"));
    embed_component_metadata(&mut wasm, &resolve, world, encoding).unwrap_or_else(|error| panic!("{error:#}"));
    ComponentEncoder::default().module(&wasm).and_then(|encoder| encoder.validate(true).encode()).unwrap_or_else(|error| panic!("{error:#}\n{module}"))
}

/// Memory, an allocator that never frees, texts at fixed places, and the answers of a good `configure`:
/// at 64 for formatters (fields none, format `t`, `text/plain`), at 128 for connectors. Guests may use
/// what lies from 2048 to 65536 as they like; the allocator hands out what lies above.
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

pub const REALLOC: &str = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $alloc (local.get 3)))"#;
/// Ends by nothing but a limit.
pub const SPIN: &str = "(loop $spin (br $spin)) unreachable";

/// Answers the block as the one record, whatever it holds.
pub const ECHO: &str = r#"
    (i32.store (i32.const 2048) (i32.const 0)) (i32.store (i32.const 2052) (local.get 2))
    (i32.store (i32.const 3000) (local.get 1)) (i32.store (i32.const 3004) (local.get 2))
    (i32.store (i32.const 3008) (i32.const 2048)) (i32.store (i32.const 3012) (i32.const 2))
    (i32.store (i32.const 3016) (i32.const 0)) (i32.store (i32.const 3020) (i32.const 0))
    (call $reset) (i32.const 3000)
"#;

/// A formatter's answer as code: block, its bytes, offsets, their number; then refusals.
pub fn formatted(block: i64, bytes: i64, offsets: i64, count: i64) -> String {
    stores(3000, &[block, bytes, offsets, count, 0, 0])
}

/// Writes numbers from an address on and answers the address.
pub fn stores(at: u32, values: &[i64]) -> String {
    let stores = values.iter().zip((at..).step_by(4)).map(|(value, at)| format!("(i32.store (i32.const {at}) (i32.const {value})) "));
    format!("{}(i32.const {at})", stores.collect::<String>())
}

/// The parts of a formatter that cases change.
#[derive(Clone, Copy)]
pub struct Formatter<'a> {
    pub imports: &'a str,
    /// Further functions, tables, memories, data.
    pub extra: &'a str,
    pub realloc: &'a str,
    /// Parameters 0 and 1: the configuration. Answers where the result is.
    pub configure: &'a str,
    /// Parameters 0 to 4: count, block, its length, spans, their length. Answers where the result is.
    pub format: &'a str,
    pub encoding: StringEncoding,
}

impl Default for Formatter<'_> {
    fn default() -> Self {
        Self { imports: "", extra: "", realloc: REALLOC, configure: "(i32.const 64)", format: ECHO, encoding: StringEncoding::UTF8 }
    }
}

impl Formatter<'_> {
    pub fn build(&self) -> Vec<u8> {
        self.build_in("formatter")
    }

    /// With a resource of its own: `$new` and `$drop` make and drop one, `destructor` runs at its end.
    pub fn build_owner(&self, destructor: &str) -> Vec<u8> {
        let imports = format!(
            r#"{} (import "[export]test:worlds/owned" "[resource-new]thing" (func $new (param i32) (result i32)))
               (import "[export]test:worlds/owned" "[resource-drop]thing" (func $drop (param i32)))
               (import "[export]test:worlds/owned" "[resource-rep]thing" (func $rep (param i32) (result i32)))"#,
            self.imports
        );
        let extra = format!(
            r#"{} (func (export "test:worlds/owned#[constructor]thing") (result i32) (call $new (i32.const 1)))
               (func (export "test:worlds/owned#[dtor]thing") (param i32) {destructor})"#,
            self.extra
        );
        Formatter { imports: &imports, extra: &extra, ..*self }.build_in("owner")
    }

    fn build_in(&self, world: &str) -> Vec<u8> {
        let Self { imports, extra, realloc, configure, format, encoding } = self;
        component(
            world,
            *encoding,
            &format!(
                r#"(module {imports} {COMMON} {realloc} {extra}
                    (func (export "bulkhead:connector/formatting@0.1.0#configure") (param i32 i32) (result i32) {configure})
                    (func (export "bulkhead:connector/formatting@0.1.0#format") (param i32 i32 i32 i32 i32) (result i32) {format}))"#
            ),
        )
    }
}

/// The parts of a connector that cases change.
#[derive(Clone, Copy)]
pub struct Connector<'a> {
    pub imports: &'a str,
    pub extra: &'a str,
    pub realloc: &'a str,
    pub configure: &'a str,
    /// Parameters 0 to 3: the records' block, its length, offsets, their number; 4 to 8 as in
    /// [`Formatter::format`]; 9 the attempt.
    pub deliver: &'a str,
    pub check: &'a str,
    pub settle: &'a str,
    pub receive: &'a str,
    pub maintain: &'a str,
    pub close: &'a str,
    pub encoding: StringEncoding,
}

/// `ok(all(accepted(none)))`.
pub const ACCEPT: &str = "(i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 0)) \
                          (i64.store (i32.const 4120) (i64.const 0)) (call $reset) (i32.const 4096)";
/// `err(unsupported)`.
pub const UNSUPPORTED: &str = "(i32.store8 (i32.const 4200) (i32.const 1)) (i32.store8 (i32.const 4208) (i32.const 4)) (i32.const 4200)";

/// `ok(each(list))`, the list being elsewhere.
pub fn each(list: &str, count: &str) -> String {
    format!(
        "(i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 1)) (i32.store (i32.const 4112) {list}) (i32.store (i32.const 4116) {count}) (i32.const 4096)"
    )
}

/// `err(other(text))`, or `err(configuration(text))` and so on by the number of the case.
pub fn failure(case: u8, text: &str, length: &str) -> String {
    format!(
        "(i32.store8 (i32.const 4096) (i32.const 1)) (i32.store8 (i32.const 4104) (i32.const {case})) \
         (i32.store (i32.const 4112) {text}) (i32.store (i32.const 4116) {length}) (i32.const 4096)"
    )
}

/// `ok(all(rejected(text)))`.
pub fn rejected(text: &str, length: &str) -> String {
    format!(
        "(i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 2)) \
         (i32.store (i32.const 4120) {text}) (i32.store (i32.const 4124) {length}) (i32.const 4096)"
    )
}

impl Default for Connector<'_> {
    fn default() -> Self {
        Self {
            imports: "",
            extra: "",
            realloc: REALLOC,
            configure: "(i32.const 128)",
            deliver: ACCEPT,
            check: UNSUPPORTED,
            settle: UNSUPPORTED,
            receive: UNSUPPORTED,
            maintain: UNSUPPORTED,
            close: "",
            encoding: StringEncoding::UTF8,
        }
    }
}

impl Connector<'_> {
    pub fn build(&self) -> Vec<u8> {
        let Self { imports, extra, realloc, configure, deliver, check, settle, receive, maintain, close, encoding } = self;
        let export = |name: &str, signature: &str, body: &str| format!(r#"(func (export "bulkhead:connector/delivering@0.1.0#{name}") {signature} {body})"#);
        let parts = [
            export("configure", "(param i32 i32 i32 i32 i32 i32) (result i32)", configure),
            export("check", "(result i32)", check),
            export("deliver", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (local $a i32) (local $b i32) (local $c i32)", deliver),
            export("settle", "(param i32 i32) (result i32)", settle),
            export("pull", "(param i32 i32) (result i32)", UNSUPPORTED),
            export("query", "(param i32 i32 i32 i32) (result i32)", UNSUPPORTED),
            export("receive", "(param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)", receive),
            export("maintain", "(result i32)", maintain),
            export("close", "", close),
        ];
        component("connector-all", *encoding, &format!("(module {imports} {COMMON} {realloc} {extra} {})", parts.join("\n")))
    }
}

pub const HTTP: &str =
    r#"(import "bulkhead:connector/http@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
pub const FILES: &str = r#"(import "bulkhead:connector/files@0.1.0" "append" (func $append (param i32 i32 i32 i32 i32 i32 i32 i32)))"#;
pub const STATE: &str = r#"
    (import "bulkhead:connector/state@0.1.0" "get" (func $get (param i32 i32 i32)))
    (import "bulkhead:connector/state@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#;
pub const LOG: &str = r#"(import "bulkhead:connector/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
pub const METRICS: &str = r#"(import "bulkhead:connector/metrics@0.1.0" "count" (func $count (param i32 i32 i32 i32 i64)))"#;
pub const STDERR: &str = r#"
    (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $print (param i32 i32 i32 i32)))"#;

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
