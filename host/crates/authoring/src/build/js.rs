//! JavaScript: componentize-qjs packs the QuickJS engine, the author's modules and the bindings of the world into a
//! component. WASI is stubbed out: what is not asked for is not even imported.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::{BuildError, packed};
use crate::doctor::Finding;
use crate::language::Language;
use crate::manifest::Manifest;
use crate::{tool, world};

/// The version that templates and tests were made with.
const VERSION: &str = "0.4.5";
/// Names the program in place of a search.
const VARIABLE: &str = "BULKHEAD_COMPONENTIZE_QJS";

pub fn build(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, BuildError> {
    let program = program(folder);
    if !works(&program, folder) {
        return Err(BuildError::Missing { what: "componentize-qjs, or the Node that runs it,".to_owned(), command: install() });
    }
    packed(folder, manifest, "componentize-qjs", |wit, out| {
        let mut command = Command::new(&program);
        command.arg("--wit").arg(wit).args(["--world", world::WORLD, "--stub-wasi", "--sync", "--module-root", ".", "--js", "app.js", "--output"]).arg(out);
        command
    })
}

fn install() -> String {
    format!("npm install componentize-qjs@{VERSION}")
}

/// The one that is named, the folder's own, or that of the search path.
fn program(folder: &Path) -> OsString {
    let own = || std::fs::canonicalize(folder.join("node_modules/.bin/componentize-qjs")).ok().map(OsString::from);
    std::env::var_os(VARIABLE).or_else(own).unwrap_or_else(|| "componentize-qjs".into())
}

/// It has no `--version`.
fn works(program: &OsString, folder: &Path) -> bool {
    tool::said(Command::new(program).arg("--help").current_dir(folder)).is_some()
}

pub fn needs(folder: &Path) -> Vec<Finding> {
    let finding = |what, found, command: String| Finding { language: Language::JavaScript, what, found, command };
    vec![
        finding("node", tool::version("node", folder), "apt-get install nodejs npm".to_owned()),
        finding("componentize-qjs", works(&program(folder), folder).then(|| "it runs".to_owned()), install()),
    ]
}
