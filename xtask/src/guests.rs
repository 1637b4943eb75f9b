//! From a folder of `connectors/` to a component in `target/guests`: one cargo call for all guests,
//! then the manifest is written into each as the custom section `bulkhead:manifest` at the component's
//! top level, where it is read without running or compiling anything.
//!
//! The manifest is what `connector.toml` says plus the JSON Schema that the configuration type left in
//! the core module (custom section `bulkhead:config-schema`). The folders of `tests/guests` have no
//! `connector.toml`; they are built too and carry no manifest, like any plain `cargo build`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{Parser, Payload};

use crate::command::{cargo, run};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";
const MANIFEST_SECTION: &str = "bulkhead:manifest";
const SCHEMA_SECTION: &str = "bulkhead:config-schema";
/// The host contract that these guests are written for; counted apart from the WIT version.
const CONTRACT: u32 = 1;
/// A built-in guest beyond this has taken in something it does not need.
const EXPECTED_BYTES: usize = 150 * 1024;

/// A component as it was written.
#[derive(Debug)]
pub struct Guest {
    pub name: String,
    pub path: PathBuf,
    pub bytes: usize,
    /// False where the file was there with these very bytes.
    pub written: bool,
}

/// `connector.toml`, and with the schema the manifest.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(skip_deserializing)]
    contract: u32,
    name: String,
    version: String,
    vendor: String,
    kind: Kind,
    /// What it talks to or makes, for people.
    system: String,
    /// Versions of the system that it was tried against.
    #[serde(default)]
    tested: Vec<String>,
    #[serde(default)]
    operations: Vec<Operation>,
    /// Names of the formats that a connector takes; any where empty.
    #[serde(default)]
    accepts: Vec<String>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    wants: Vec<Want>,
    /// Names of metrics of its own.
    #[serde(default)]
    metrics: Vec<String>,
    docs: String,
    #[serde(skip_deserializing)]
    config_schema: serde_json::Value,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Connector,
    Formatter,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Deliver,
    Check,
    Settle,
    Pull,
    Query,
    Receive,
    Maintain,
    Format,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_events: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u32>,
    /// Most calls at once that make sense; 1 where order or a file demands it.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
}

/// One thing that the operator is asked to grant.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Want {
    interface: Interface,
    /// Name of the destination or directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<String>,
    reason: String,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Interface {
    Http,
    Tcp,
    Udp,
    Files,
    State,
    Credentials,
    Metrics,
}

/// Builds every guest.
pub fn build(root: &Path) -> Result<()> {
    build_some(root, &[]).map(drop)
}

/// Builds guests by folder name, all where none is named, and prints their sizes. The target is there:
/// `build::wasm_target` has seen to it.
pub fn build_some(root: &Path, names: &[&str]) -> Result<Vec<Guest>> {
    let sources = sources(root)?;
    for name in names {
        ensure!(sources.iter().any(|source| source.name == *name), "there is no guest `{name}`; known are {}", list(&sources));
    }
    let wanted: Vec<&Source> = sources.iter().filter(|source| names.is_empty() || names.contains(&source.name.as_str())).collect();
    ensure!(!wanted.is_empty(), "there are no guests below {}", root.join("connectors").display());

    let mut command = cargo();
    command.current_dir(root).args(["build", "--target", TARGET, "--profile", PROFILE]);
    for source in &wanted {
        command.args(["-p", &source.package]);
    }
    run(&mut command)?;

    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (built, out) = (target.join(TARGET).join(PROFILE), target.join("guests"));
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let guests: Vec<Guest> = wanted.into_iter().map(|source| finish(source, &built, &out)).collect::<Result<_>>()?;
    for guest in &guests {
        let large = if guest.bytes > EXPECTED_BYTES { "  (larger than expected)" } else { "" };
        eprintln!("  {:<20} {:>8} bytes  {}{}{large}", guest.name, guest.bytes, guest.path.display(), if guest.written { "" } else { "  unchanged" });
    }
    Ok(guests)
}

/// A folder with the source of a guest.
struct Source {
    name: String,
    package: String,
    /// File name of what cargo makes.
    artefact: String,
    manifest: Option<Manifest>,
}

fn list(sources: &[Source]) -> String {
    sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in ["connectors", "tests/guests"] {
        // Only connectors/ must exist.
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.join("Cargo.toml").is_file() {
                sources.push(source(&path).with_context(|| format!("in {}", path.display()))?);
            }
        }
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sources)
}

fn source(folder: &Path) -> Result<Source> {
    #[derive(Deserialize)]
    struct Cargo {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    let name = folder.file_name().and_then(|name| name.to_str()).context("the folder's name is not UTF-8")?.to_owned();
    let package = toml::from_str::<Cargo>(&fs::read_to_string(folder.join("Cargo.toml"))?).context("Cargo.toml")?.package.name;
    let file = folder.join("connector.toml");
    let manifest = if file.is_file() { Some(read_manifest(&file, &name)?) } else { None };
    let artefact = format!("{}.wasm", package.replace('-', "_"));
    Ok(Source { name, package, artefact, manifest })
}

fn read_manifest(file: &Path, folder: &str) -> Result<Manifest> {
    let manifest: Manifest = toml::from_str(&fs::read_to_string(file)?).context("connector.toml")?;
    // Configurations name connectors, components are found by file name: one name for both.
    let expected = if manifest.kind == Kind::Formatter { format!("format-{}", manifest.name) } else { manifest.name.clone() };
    ensure!(expected == folder, "connector.toml: `name = \"{}\"` belongs into a folder `{expected}`, this one is `{folder}`", manifest.name);
    ensure!(!manifest.operations.is_empty(), "connector.toml: `operations` is empty");
    ensure!(
        manifest.kind == Kind::Formatter || !manifest.accepts.is_empty(),
        "connector.toml: `accepts` is empty; formats by name or media type, or \"*\" for any"
    );
    if let Some(want) = manifest.wants.iter().find(|want| want.reason.trim().is_empty()) {
        bail!("connector.toml: a want ({:?}) has no reason; the operator who grants it reads it", want.interface);
    }
    Ok(manifest)
}

/// Writes the manifest into what cargo made, and the result where the host finds it.
fn finish(source: &Source, built: &Path, out: &Path) -> Result<Guest> {
    let from = built.join(&source.artefact);
    let mut component = fs::read(&from).with_context(|| format!("cargo made no {}; is `crate-type = [\"cdylib\", ..]` set?", from.display()))?;
    if let Some(manifest) = &source.manifest {
        let schema = schema(&component).with_context(|| format!("{} does not parse", from.display()))?;
        append_manifest(&mut component, manifest, schema.as_deref()).with_context(|| format!("manifest of {}", source.name))?;
    }
    let path = out.join(format!("{}.wasm", source.name));
    // The same bytes keep their time stamp, so that nothing behind it is built or compiled again.
    let written = fs::read(&path).ok().as_deref() != Some(&component);
    if written {
        let temporary = path.with_extension("wasm.new");
        fs::write(&temporary, &component).and_then(|()| fs::rename(&temporary, &path)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Guest { name: source.name.clone(), path, bytes: component.len(), written })
}

/// The schema that the configuration type left in the core module.
fn schema(component: &[u8]) -> Result<Option<Vec<u8>>> {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::CustomSection(section) = payload?
            && section.name() == SCHEMA_SECTION
        {
            return Ok(Some(section.data().to_vec()));
        }
    }
    Ok(None)
}

fn append_manifest(component: &mut Vec<u8>, manifest: &Manifest, schema: Option<&[u8]>) -> Result<()> {
    let mut json = serde_json::to_value(manifest)?;
    json["contract"] = CONTRACT.into();
    json["config_schema"] = match schema {
        Some(schema) => serde_json::from_slice(schema).context("the configuration type's schema is no JSON")?,
        None => serde_json::json!({"type": "object"}),
    };
    CustomSection { name: MANIFEST_SECTION.into(), data: serde_json::to_vec(&json)?.into() }.append_to_component(component);
    Ok(())
}

#[cfg(test)]
mod tests;
