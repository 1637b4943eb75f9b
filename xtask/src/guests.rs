//! From a folder of `connectors/` to a component in `target/guests`: one cargo call for all guests,
//! then the manifest is written into each as the custom section `bulkhead:manifest` at the component's
//! top level, where it is read without running or compiling anything.
//!
//! The manifest is what `connector.toml` says plus the JSON Schema that the configuration type left in
//! the core module (custom section `bulkhead:config-schema`). The folders of `tests/guests` have no
//! `connector.toml`; they are built too and carry no manifest, like any plain `cargo build`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bulkhead_authoring::Manifest;
use serde::Deserialize;

use crate::command::{cargo, run};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";
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
    let manifest = if file.is_file() { Some(Manifest::read(&file)?.in_folder(&name)?) } else { None };
    let artefact = format!("{}.wasm", package.replace('-', "_"));
    Ok(Source { name, package, artefact, manifest })
}

/// Writes the manifest into what cargo made, and the result where the host finds it.
fn finish(source: &Source, built: &Path, out: &Path) -> Result<Guest> {
    let from = built.join(&source.artefact);
    let mut component = fs::read(&from).with_context(|| format!("cargo made no {}; is `crate-type = [\"cdylib\", ..]` set?", from.display()))?;
    if let Some(manifest) = &source.manifest {
        manifest.append(&mut component, None).with_context(|| format!("manifest of {}", source.name))?;
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
