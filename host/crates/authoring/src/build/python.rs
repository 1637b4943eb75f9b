//! Python: componentize-py packs the interpreter, the author's modules and the bindings of the world into a component.
//! WASI is stubbed out: what is not asked for is not even imported.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::{BuildError, packed};
use crate::doctor::Finding;
use crate::language::Language;
use crate::manifest::Manifest;
use crate::{tool, world};

/// The version that templates and tests were made with.
const VERSION: &str = "0.25.1";
/// Names the program in place of a search.
const VARIABLE: &str = "BULKHEAD_COMPONENTIZE_PY";
/// The author's module; it holds what is exported.
const MODULE: &str = "app";

pub fn build(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, BuildError> {
    let program = program(folder);
    if tool::version(&program, folder).is_none() {
        return Err(BuildError::Missing { what: "componentize-py".to_owned(), command: install() });
    }
    packed(folder, manifest, "componentize-py", |wit, out| {
        let mut command = Command::new(&program);
        command.arg("--wit-path").arg(wit).args(["--world", world::WORLD, "componentize", "--stub-wasi", "--python-path", ".", MODULE, "--output"]).arg(out);
        command
    })
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
