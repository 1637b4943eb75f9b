//! Components made for a test: a built-in one under another version, or a connector in a few lines of
//! WebAssembly text (`guests.rs`) with a manifest.

use bulkhead_tests::host::root;
use serde_json::{Value, json};

pub use crate::guests::ACCEPT;
use crate::guests::Connector;

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
        Self { name: "made", version: "1.0.0", extra: "", configure: "(i32.const 128)", deliver: ACCEPT }
    }
}

impl Made<'_> {
    pub fn build(&self) -> Vec<u8> {
        let Self { name, version, extra, configure, deliver } = *self;
        let bare = Connector { imports: extra, configure, deliver, ..Connector::default() }.build();
        edited(&bare, |manifest| *manifest = json!({"contract": 1, "name": name, "version": version, "kind": "connector", "accepts": ["*"]}))
    }
}

/// `sha256:…` of bytes.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
