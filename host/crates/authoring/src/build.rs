//! `bulkhead build`: from an author's folder to a component in `dist/`, whatever the language needs in between.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::language::Language;
use crate::manifest::{self, Manifest, ManifestError};
use crate::world;

mod c;
mod js;
mod python;
mod rust;

pub use c::needs as c_needs;
pub use js::needs as js_needs;
pub use python::needs as python_needs;
pub use rust::{TARGET as RUST_TARGET, has_target as has_rust_target};

/// Where components go, below the author's folder.
pub const OUT: &str = "dist";
/// JSON Schema of the configuration, for languages whose build cannot derive it.
pub const SCHEMA_FILE: &str = "config.schema.json";

/// What may be done beside building.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Have rustup add the WebAssembly target where it is missing.
    pub add_target: bool,
}

/// A component as it was written.
#[derive(Debug)]
pub struct Built {
    pub language: Language,
    /// As configurations name it; a formatter with `format-` in front.
    pub name: String,
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{} holds nothing that can be built: no {}", .0.display(), markers())]
    NoProject(PathBuf),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{what} is not there")]
    Missing { what: String, command: String },
    #[error("{program} ended with {status}; its words are above")]
    Failed { program: String, status: std::process::ExitStatus },
    #[error("cannot run {program}")]
    Run { program: String, source: io::Error },
    #[error("cargo made no component; `crate-type = [\"cdylib\", \"rlib\"]` belongs below [lib] of Cargo.toml")]
    NoArtefact,
    #[error("{0}")]
    NoGuest(String),
    #[error("cannot read or write {}", path.display())]
    File { path: PathBuf, source: io::Error },
}

fn markers() -> String {
    Language::ALL.map(Language::marker).join(", ")
}

impl BuildError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoProject(_) => "build.no_project",
            Self::Manifest(_) => "build.manifest",
            Self::Missing { .. } => "build.toolchain",
            Self::Failed { .. } | Self::Run { .. } => "build.failed",
            Self::NoArtefact | Self::NoGuest(_) => "build.no_component",
            Self::File { .. } => "build.file",
        }
    }

    /// What to do about it, where one thing helps.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoProject(_) => Some("`bulkhead new NAME --lang rust` makes a folder that can".to_owned()),
            Self::Missing { command, .. } => Some(format!("`{command}`")),
            _ => None,
        }
    }
}

/// Builds what lies in `folder` and writes `dist/NAME.wasm`. The compilers' words go to standard error.
pub fn build(folder: &Path, options: Options) -> Result<Built, BuildError> {
    let language = Language::of(folder).ok_or_else(|| BuildError::NoProject(folder.to_owned()))?;
    let manifest = Manifest::read(&folder.join(manifest::FILE))?;
    let mut bytes = match language {
        Language::Rust => rust::build(folder, options)?,
        Language::JavaScript => js::build(folder, &manifest)?,
        Language::TypeScript => js::build_typed(folder, &manifest)?,
        Language::Python => python::build(folder, &manifest)?,
        Language::C => c::build(folder, &manifest)?,
    };
    let schema = folder.join(SCHEMA_FILE);
    let schema = match std::fs::read(&schema) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(BuildError::File { path: schema, source }),
    };
    manifest.append(&mut bytes, schema.as_deref())?;
    let name = manifest.component();
    let path = folder.join(OUT).join(format!("{name}.wasm"));
    write(&path, &bytes).map_err(|source| BuildError::File { path: path.clone(), source })?;
    Ok(Built { language, name, path, bytes })
}

/// For tools that pack an interpreter, a world and the author's files: writes the world, runs the command that is made
/// of its folder and of the file to write, both below the author's folder, and answers that file's bytes.
fn packed(folder: &Path, manifest: &Manifest, program: &str, command: impl FnOnce(&Path, &Path) -> Command) -> Result<Vec<u8>, BuildError> {
    let out = folder.join(OUT);
    let file = |path: PathBuf| move |source| BuildError::File { path, source };
    world::write(&out, manifest).map_err(file(out.clone()))?;
    let below = |name: &str| Path::new(OUT).join(name);
    let (wit, component) = (below(world::FOLDER), below(".component.wasm"));
    let mut command = command(&wit, &component);
    // Their words are no data of ours.
    let run = |source| BuildError::Run { program: program.to_owned(), source };
    let status = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).status().map_err(run)?;
    if !status.success() {
        return Err(BuildError::Failed { program: program.to_owned(), status });
    }
    let component = folder.join(component);
    let bytes = std::fs::read(&component).map_err(file(component.clone()))?;
    // It is of no use beside the one with the manifest.
    std::fs::remove_file(&component).map_err(file(component))?;
    Ok(bytes)
}

/// Whole or not at all: whoever runs the old one meanwhile reads no half.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("wasm.new");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

/// The component that `build` wrote into this folder, if it has.
pub fn built(folder: &Path) -> Result<PathBuf, BuildError> {
    let manifest = Manifest::read(&folder.join(manifest::FILE))?;
    Ok(folder.join(OUT).join(format!("{}.wasm", manifest.component())))
}
