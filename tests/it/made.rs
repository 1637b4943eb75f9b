//! Components made for a test: a built-in one under another version, or a few lines of WebAssembly text
//! around which the contract's types are put.

use bulkhead_tests::host::root;
use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const SECTION: &str = "bulkhead:manifest";

/// The bytes of a built-in component.
pub fn built_in(name: &str) -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    std::fs::read(target.join("guests").join(format!("{name}.wasm"))).expect("guests are built before the stories run")
}

/// A built-in component whose manifest says another version.
pub fn versioned(name: &str, version: &str) -> Vec<u8> {
    edited(&built_in(name), |manifest| manifest["version"] = version.into())
}

/// A component with an edited manifest.
pub fn edited(component: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut bare, manifest) = without(component);
    let mut manifest: Value = manifest.map_or_else(|| json!({}), |section| serde_json::from_slice(&section).expect("a manifest"));
    edit(&mut manifest);
    bare.extend(section(&serde_json::to_vec(&manifest).expect("serialises")));
    bare
}

/// A component without its manifest, and what that said.
pub fn without(component: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut kept, mut found) = (component[..8].to_vec(), None);
    let mut at = 8;
    while at < component.len() {
        let start = at;
        let id = component[at];
        at += 1;
        let size = leb(component, &mut at);
        let end = at + size;
        if id == 0 {
            let length = leb(component, &mut at);
            if &component[at..at + length] == SECTION.as_bytes() {
                found = Some(component[at + length..end].to_vec());
                at = end;
                continue;
            }
        }
        kept.extend_from_slice(&component[start..end]);
        at = end;
    }
    (kept, found)
}

/// The manifest section with these bytes.
pub fn section(data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_leb(&mut body, SECTION.len());
    body.extend_from_slice(SECTION.as_bytes());
    body.extend_from_slice(data);
    let mut section = vec![0];
    push_leb(&mut section, body.len());
    section.extend(body);
    section
}

fn leb(bytes: &[u8], at: &mut usize) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

fn push_leb(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// `ok(all(accepted(none)))`: every event is taken and goes nowhere.
pub const ACCEPT: &str = "(i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 0)) \
                          (i64.store (i32.const 4120) (i64.const 0)) (global.set $heap (i32.const 65536)) (i32.const 4096)";
/// A configuration that is always good.
pub const GOOD: &str = "(i32.const 128)";
const UNSUPPORTED: &str = "(i32.store8 (i32.const 4200) (i32.const 1)) (i32.store8 (i32.const 4208) (i32.const 4)) (i32.const 4200)";

/// What a made connector does.
pub struct Made<'a> {
    pub name: &'a str,
    pub version: &'a str,
    /// Imports and functions of its own.
    pub extra: &'a str,
    pub configure: &'a str,
    pub deliver: &'a str,
}

impl Default for Made<'_> {
    fn default() -> Self {
        Self { name: "made", version: "1.0.0", extra: "", configure: GOOD, deliver: ACCEPT }
    }
}

impl Made<'_> {
    pub fn build(&self) -> Vec<u8> {
        let Self { name, version, extra, configure, deliver } = self;
        let export = |name: &str, signature: &str, body: &str| format!(r#"(func (export "bulkhead:connector/delivering@0.1.0#{name}") {signature} {body})"#);
        let exports = [
            export("configure", "(param i32 i32 i32 i32 i32 i32) (result i32)", configure),
            export("check", "(result i32)", UNSUPPORTED),
            export("deliver", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)", deliver),
            export("settle", "(param i32 i32) (result i32)", UNSUPPORTED),
            export("pull", "(param i32 i32) (result i32)", UNSUPPORTED),
            export("query", "(param i32 i32 i32 i32) (result i32)", UNSUPPORTED),
            export("receive", "(param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)", UNSUPPORTED),
            export("maintain", "(result i32)", UNSUPPORTED),
            export("close", "", ""),
        ];
        let module = format!(
            r#"(module {extra}
                (memory (export "memory") 2)
                (global $heap (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $p i32)
                    (local.set $p (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
                    (global.set $heap (i32.add (local.get $p) (local.get 3)))
                    (block $ok (loop $grow
                        (br_if $ok (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
                        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
                        (br $grow)))
                    (local.get $p))
                {})"#,
            exports.join("\n")
        );
        let bare = component(&module);
        edited(&bare, |manifest| *manifest = json!({"contract": 1, "name": name, "version": version, "kind": "connector", "accepts": ["*"]}))
    }
}

/// Wraps a core module as a connector; it imports what the module imports.
pub fn component(module: &str) -> Vec<u8> {
    let mut wasm = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).expect("wit parses");
    let world = resolve.select_world(&[package], Some("connector-all")).expect("a world of that name");
    embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default().module(&wasm).expect("a module").validate(true).encode().unwrap_or_else(|error| panic!("{error:#}"))
}

/// `sha256:…` of bytes.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
