//! Python: componentize-py packs the interpreter, the author's modules and the bindings of the world into a component.
//! WASI is stubbed out: what is not asked for is not even imported.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{BuildError, OUT};
use crate::doctor::Finding;
use crate::language::Language;
use crate::manifest::Manifest;
use crate::{tool, world};

/// The version that templates and tests were made with.
pub const VERSION: &str = "0.25.1";
/// Names the program in place of a search.
const VARIABLE: &str = "BULKHEAD_COMPONENTIZE_PY";
/// The author's module; it holds what is exported.
const MODULE: &str = "app";

pub fn build(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, BuildError> {
    let program = program(folder);
    if tool::version(&program, folder).is_none() {
        return Err(BuildError::Missing { what: "componentize-py".to_owned(), command: install() });
    }
    let out = folder.join(OUT);
    let file = |path: PathBuf| move |source| BuildError::File { path, source };
    let wit = world::write(&out, manifest).map_err(file(out.clone()))?;
    let component = out.join(".component.wasm");
    // Paths below the folder: it is where the program runs.
    let below = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_owned();
    let status = Command::new(&program)
        .current_dir(folder)
        .arg("--wit-path")
        .arg(below(&wit))
        .args(["--world", world::WORLD, "componentize", "--stub-wasi", "--python-path", ".", MODULE, "--output"])
        .arg(below(&component))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|source| BuildError::Run { program: "componentize-py".to_owned(), source })?;
    if !status.success() {
        return Err(BuildError::Failed { program: "componentize-py".to_owned(), status });
    }
    let bytes = std::fs::read(&component).map_err(file(component.clone()))?;
    // It is of no use beside the one with the manifest.
    std::fs::remove_file(&component).map_err(file(component))?;
    Ok(bytes)
}

fn install() -> String {
    format!("python3 -m venv .venv && .venv/bin/pip install componentize-py=={VERSION}")
}

/// The one that is named, the folder's own, or that of the search path.
fn program(folder: &Path) -> OsString {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return named;
    }
    let own = folder.join(".venv/bin/componentize-py");
    match std::fs::canonicalize(own.parent().unwrap_or(folder)) {
        Ok(bin) if own.is_file() => bin.join("componentize-py").into(),
        _ => "componentize-py".into(),
    }
}

pub fn needs(folder: &Path) -> Vec<Finding> {
    let finding = |what, found, command: String| Finding { language: Language::Python, what, found, command };
    vec![
        finding("python3", tool::version("python3", folder), "apt-get install python3 python3-venv".to_owned()),
        finding("componentize-py", tool::version(program(folder), folder), install()),
    ]
}
