//! Reads what a component is and asks for, from its bytes alone: nothing is compiled, nothing runs.

use std::collections::BTreeSet;

use wasmparser::{Encoding, Parser, Payload};

use crate::limits::{Limit, Unit, written};
use crate::manifest::{Kind, MAX_SECTION, Manifest, SECTION};

/// Version of the contract that this host implements.
pub const CONTRACT: Version = Version { major: 0, minor: 1, patch: 0 };
const PACKAGE: &str = "bulkhead:connector/";
/// Most imports and exports that are listed.
const MAX_NAMES: usize = 1_000;

/// A version of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let version = Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(version)
    }

    /// Semver: 0.1 and 0.2 do not understand each other, 1.1 and 1.2 do.
    fn track(self) -> (u64, u64) {
        if self.major == 0 { (0, self.minor) } else { (self.major, 0) }
    }
}

/// Why bytes are not a component that this host can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    #[error("the file is empty; expected a WebAssembly component")]
    Empty,
    #[error("the file has {}, more than the limit of {}; raise `limits.component_size` to allow more", written(Unit::Bytes, *.size), written(Unit::Bytes, *.limit))]
    TooLarge { size: u64, limit: u64 },
    #[error("this is {what}; expected a WebAssembly component (binary, from `bulkhead build` or a wasm32-wasip2 target)")]
    NotWasm { what: &'static str },
    #[error("this is a core module{}; expected a component: build for wasm32-wasip2, or wrap it with `wasm-tools component new`", if *.preview1 { " for WASI preview 1" } else { "" })]
    CoreModule { preview1: bool },
    #[error("the component is damaged at byte {offset}: {problem}")]
    Damaged { offset: u64, problem: String },
    #[error("the component is for another world: it exports {exports}; expected bulkhead:connector/delivering or bulkhead:connector/formatting")]
    OtherWorld { exports: String },
    #[error("the component is both connector and formatter; expected one of them")]
    BothWorlds,
    #[error("the component was built for contract {wants}, this host has {CONTRACT}; use a newer host, or build against wit {CONTRACT}")]
    NewerContract { wants: Version },
    #[error("the component was built for contract {wants}, which this host ({CONTRACT}) no longer speaks; build it against wit {CONTRACT}")]
    OlderContract { wants: Version },
    #[error("the component imports what no host of contract {CONTRACT} offers: {}", .names.join(", "))]
    UnknownImports { names: Vec<String> },
    #[error("the section {SECTION} {problem}")]
    Manifest { problem: String },
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub kind: Kind,
    pub contract: Version,
    /// All imports as written, sorted.
    pub imports: Vec<String>,
    /// Capabilities of `bulkhead:connector` among them, for example `http`.
    pub capabilities: BTreeSet<&'static str>,
    pub manifest: Option<Manifest>,
    pub size: u64,
    /// SHA-256 of the bytes.
    pub digest: [u8; 32],
    /// Where the section claims other than imports and exports say; those win.
    pub contradictions: Vec<String>,
}

/// Interfaces of the contract, with what they let a component do.
pub const INTERFACES: &[(&str, &str)] = &[
    ("http", "send HTTP requests to destinations that you name and grant"),
    ("tcp", "open TCP and TLS connections to destinations that you name and grant"),
    ("udp", "send datagrams to destinations that you name and grant"),
    ("files", "read or write files below directories that you grant"),
    ("state", "keep small values across restarts"),
    ("credentials", "have the host put named secrets into its streams, without seeing them"),
    ("metrics", "show numbers of its own on /metrics"),
    ("log", "write lines to the log"),
    ("types", ""),
];

/// The capability behind WASI's own HTTP.
pub const WASI_HTTP: &str = "wasi-http";
/// What it consists of; the inbound side is never there.
const WASI_HTTP_INTERFACES: [&str; 2] = ["wasi:http/types", "wasi:http/outgoing-handler"];

/// WASI interfaces that are always there and lead nowhere: clocks stand still, random numbers repeat,
/// there are no files, no environment and no arguments.
pub const INERT: &[&str] = &[
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
];

impl Inspection {
    /// Reads bytes of at most `limit`.
    pub fn read(bytes: &[u8], limit: u64) -> Result<Self, InspectError> {
        let size = bytes.len() as u64;
        if size > limit {
            return Err(InspectError::TooLarge { size, limit });
        }
        recognise(bytes)?;
        let names = names(bytes)?;
        let mut digest = [0; 32];
        digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        let (kind, contract) = world(&names.exports)?;
        let mut unknown = Vec::new();
        let mut capabilities = BTreeSet::new();
        for import in &names.imports {
            let (interface, version) = import.split_once('@').map_or((import.as_str(), None), |(name, version)| (name, Version::parse(version)));
            if let Some(name) = interface.strip_prefix(PACKAGE) {
                let known = INTERFACES.iter().find(|(known, _)| *known == name);
                match (known, version) {
                    (Some((known, _)), Some(version)) => {
                        check_version(version)?;
                        if *known != "types" {
                            capabilities.insert(*known);
                        }
                    }
                    (None, Some(version)) if version > CONTRACT => return Err(InspectError::NewerContract { wants: version }),
                    _ => unknown.push(import.clone()),
                }
            } else if version.is_none_or(|version| (version.major, version.minor) != (0, 2)) {
                unknown.push(import.clone());
            } else if WASI_HTTP_INTERFACES.contains(&interface) && kind == Kind::Connector {
                capabilities.insert(WASI_HTTP);
            } else if !INERT.contains(&interface) {
                unknown.push(import.clone());
            }
        }
        if kind == Kind::Formatter {
            // The formatter's world has nothing that reaches outside.
            unknown.extend(
                names
                    .imports
                    .iter()
                    .filter(|import| {
                        import.starts_with(PACKAGE) && !["log", "types"].iter().any(|name| import[PACKAGE.len()..].split('@').next() == Some(name))
                    })
                    .cloned(),
            );
        }
        if !unknown.is_empty() {
            return Err(InspectError::UnknownImports { names: unknown.into_iter().map(|name| hint(&name)).collect() });
        }
        let mut contradictions = Vec::new();
        if let Some(manifest) = &names.manifest {
            if manifest.kind != kind {
                contradictions.push(format!("the manifest says {}, the exports say {}", manifest.kind.name(), kind.name()));
            }
            for name in ["http", "tcp", "udp", "files", "state", "credentials"] {
                let declared = manifest.wants.iter().any(|want| want.interface == name);
                let reaches = capabilities.contains(name);
                if declared != reaches {
                    let says = if declared { "names" } else { "does not name" };
                    contradictions.push(format!("the manifest {says} wishes for {name}, the imports say {}", if reaches { "yes" } else { "no" }));
                }
            }
        }
        let mut imports = names.imports;
        imports.sort();
        Ok(Self { kind, contract, imports, capabilities, manifest: names.manifest, size, digest, contradictions })
    }

    /// The digest in hex.
    pub fn digest_hex(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the component can ask for, one sentence each.
    pub fn in_words(&self) -> Vec<String> {
        let mut words: Vec<String> =
            INTERFACES.iter().filter(|(name, _)| self.capabilities.contains(name)).map(|(name, meaning)| format!("{name}: can {meaning}")).collect();
        if self.capabilities.contains(WASI_HTTP) {
            words.insert(0, "wasi-http: can send HTTP requests to destinations that you name, through wasi:http that you grant".into());
        }
        if !words.iter().any(|word| !word.starts_with("log") && !word.starts_with("metrics")) {
            words.insert(0, "cannot reach anything outside the sandbox".into());
        }
        // Only connectors can be granted the real ones.
        let imports = |names: &[&str]| self.kind == Kind::Connector && self.imports.iter().any(|import| names.iter().any(|name| import.starts_with(name)));
        if imports(&["wasi:clocks/"]) {
            words.push("clocks: sees the time of each call; the clocks of the machine if you grant `clocks`".into());
        }
        if imports(&["wasi:random/random@", "wasi:random/insecure@"]) {
            words.push("random: gets numbers that repeat from a seed; those of the machine if you grant `random`".into());
        }
        if imports(&["wasi:cli/environment@"]) {
            words.push("environment: finds it empty; the values that you name under `env` if you grant any".into());
        }
        words
    }
}

/// What the first bytes are.
fn recognise(bytes: &[u8]) -> Result<(), InspectError> {
    let what = match bytes {
        [] => return Err(InspectError::Empty),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            return Err(InspectError::CoreModule { preview1: memchr::memmem::find(bytes, b"wasi_snapshot_preview1").is_some() });
        }
        [0, b'a', b's', b'm', ..] => "WebAssembly of a version that is not known, or cut off",
        [b'P', b'K', 3 | 5, 4 | 6, ..] => "a zip archive",
        [0x1f, 0x8b, ..] => "gzip-compressed data",
        [0x7f, b'E', b'L', b'F', ..] => "a native program (ELF)",
        [b'M', b'Z', ..] => "a native program (PE)",
        _ => {
            let head = &bytes[..bytes.len().min(4_096)];
            let text = match std::str::from_utf8(head) {
                Ok(text) => Some(text),
                Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok(),
                Err(_) => None,
            };
            match text.filter(|text| !text.contains('\0')).map(str::trim_start) {
                Some(text) if text.starts_with("(component") || text.starts_with("(module") || text.starts_with(";;") => "WebAssembly text (.wat)",
                Some(text) if text.starts_with(['{', '[']) => "JSON",
                Some(text) if text.starts_with('<') => "HTML or XML, perhaps the answer of a failed download",
                Some(_) => "text",
                None => "no WebAssembly at all",
            }
        }
    };
    Err(InspectError::NotWasm { what })
}

struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
    manifest: Option<Manifest>,
}

fn names(bytes: &[u8]) -> Result<Names, InspectError> {
    let mut names = Names { imports: Vec::new(), exports: Vec::new(), manifest: None };
    let mut depth = 0_usize;
    let damaged = |error: wasmparser::BinaryReaderError| InspectError::Damaged {
        offset: error.offset() as u64,
        problem: error.message().chars().filter(|c| !c.is_control()).take(200).collect(),
    };
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(damaged)?;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(InspectError::CoreModule { preview1: false }),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    keep(&mut names.imports, import.map_err(damaged)?.name.name)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    keep(&mut names.exports, export.map_err(damaged)?.name.name)?;
                }
            }
            Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                let fault = |problem: String| InspectError::Manifest { problem };
                if names.manifest.is_some() {
                    return Err(fault("is there twice".into()));
                }
                if section.data().len() > MAX_SECTION {
                    return Err(fault(format!("has {} bytes, at most {MAX_SECTION} are read", section.data().len())));
                }
                names.manifest = Some(Manifest::parse(section.data()).map_err(fault)?);
            }
            _ => {}
        }
    }
    Ok(names)
}

fn keep(list: &mut Vec<String>, name: &str) -> Result<(), InspectError> {
    if list.len() == MAX_NAMES || name.len() > 512 {
        return Err(InspectError::Damaged { offset: 0, problem: format!("more than {MAX_NAMES} imports or exports, or a name of more than 512 bytes") });
    }
    list.push(name.chars().filter(|c| !c.is_control()).collect());
    Ok(())
}

fn world(exports: &[String]) -> Result<(Kind, Version), InspectError> {
    let find = |interface: &str| {
        exports.iter().find_map(|export| {
            let rest = export.strip_prefix(PACKAGE)?.strip_prefix(interface)?.strip_prefix('@')?;
            Version::parse(rest)
        })
    };
    let (kind, version) = match (find("delivering"), find("formatting")) {
        (Some(_), Some(_)) => return Err(InspectError::BothWorlds),
        (Some(version), None) => (Kind::Connector, version),
        (None, Some(version)) => (Kind::Formatter, version),
        (None, None) => {
            let shown = exports.iter().take(8).map(|name| cut(name)).collect::<Vec<_>>().join(", ");
            return Err(InspectError::OtherWorld { exports: if shown.is_empty() { "nothing".into() } else { shown } });
        }
    };
    check_version(version)?;
    Ok((kind, version))
}

fn check_version(version: Version) -> Result<(), InspectError> {
    if version > CONTRACT {
        return Err(InspectError::NewerContract { wants: version });
    }
    if version.track() != CONTRACT.track() {
        return Err(InspectError::OlderContract { wants: version });
    }
    Ok(())
}

/// A name with what to do about it.
fn hint(name: &str) -> String {
    let name = cut(name);
    if name.starts_with("wasi:sockets/") {
        format!("{name} (sockets are never offered; use bulkhead:connector/tcp, or build with --stub-wasi)")
    } else if name.starts_with("wasi:") && name.contains("@0.3.") {
        format!("{name} (WASI 0.3 is asynchronous and contract {CONTRACT} is not; build against WASI 0.2)")
    } else if name.starts_with("wasi:http/") {
        format!("{name} (use bulkhead:connector/http)")
    } else {
        name
    }
}

fn cut(name: &str) -> String {
    name.chars().take(128).collect()
}

/// Reads bytes within the size that components may have by default.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InspectError> {
    Inspection::read(bytes, Limit::ComponentSize.row().ceiling)
}

#[cfg(test)]
mod tests;
