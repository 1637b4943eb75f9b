//! JavaScript and TypeScript: componentize-qjs packs the QuickJS engine, the author's modules and the bindings of the
//! world into a component. WASI is stubbed out: what is not asked for is not even imported. TypeScript is checked by
//! the folder's own compiler, where it has one, and made one module by esbuild before.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{BuildError, OUT, packed};
use crate::doctor::Finding;
use crate::language::Language;
use crate::manifest::Manifest;
use crate::{tool, world};

/// A program that npm brings.
struct Tool {
    name: &'static str,
    /// The version that templates and tests were made with.
    version: &'static str,
    /// Names the program in place of a search.
    variable: &'static str,
    /// Asks it whether it runs.
    asks: &'static str,
}

/// It has no `--version`.
const PACKER: Tool = Tool { name: "componentize-qjs", version: "0.4.5", variable: "BULKHEAD_COMPONENTIZE_QJS", asks: "--help" };
const BUNDLER: Tool = Tool { name: "esbuild", version: "0.28.2", variable: "BULKHEAD_ESBUILD", asks: "--version" };
const CHECKER: Tool = Tool { name: "tsc", version: "5.9.3", variable: "BULKHEAD_TSC", asks: "--version" };

/// The author's module, and what esbuild makes of it, below the folder.
const SOURCE: &str = "app.js";
const TYPED_SOURCE: &str = "app.ts";
const BUNDLE: &str = "dist/.app.js";

impl Tool {
    fn install(&self) -> String {
        format!("npm install {}@{}", if self.name == "tsc" { "typescript" } else { self.name }, self.version)
    }

    /// The one that is named, the folder's own, or that of the search path.
    fn program(&self, folder: &Path) -> OsString {
        let own = || std::fs::canonicalize(folder.join("node_modules/.bin").join(self.name)).ok().map(OsString::from);
        std::env::var_os(self.variable).or_else(own).unwrap_or_else(|| self.name.into())
    }

    fn works(&self, folder: &Path) -> bool {
        tool::said(Command::new(self.program(folder)).arg(self.asks).current_dir(folder)).is_some()
    }

    fn command(&self, folder: &Path) -> Result<Command, BuildError> {
        if !self.works(folder) {
            return Err(BuildError::Missing { what: format!("{}, or the Node that runs it,", self.name), command: self.install() });
        }
        Ok(Command::new(self.program(folder)))
    }
}

pub fn build(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, BuildError> {
    pack(folder, manifest, SOURCE)
}

pub fn build_typed(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, BuildError> {
    let mut bundle = BUNDLER.command(folder)?;
    // Without a compiler types are taken off and not looked at: editors and CI have said what there is to say.
    if CHECKER.works(folder) {
        let mut check = CHECKER.command(folder)?;
        check.arg("--noEmit");
        run(CHECKER.name, &mut check, folder)?;
    }
    // What the contract names is there at run time only.
    bundle.args([TYPED_SOURCE, "--bundle", "--format=esm", "--platform=neutral", "--main-fields=module,main", "--target=es2022"]);
    bundle.args(["--external:bulkhead:*", "--log-level=warning", &format!("--outfile={BUNDLE}")]);
    run(BUNDLER.name, &mut bundle, folder)?;
    let packed = pack(folder, manifest, BUNDLE);
    let bundle = folder.join(BUNDLE);
    std::fs::remove_file(&bundle).map_err(|source| BuildError::File { path: bundle, source })?;
    packed
}

/// The words of a compiler that finds faults are on its standard output; ours is for data.
fn run(name: &str, command: &mut Command, folder: &Path) -> Result<(), BuildError> {
    std::fs::create_dir_all(folder.join(OUT)).map_err(|source| BuildError::File { path: folder.join(OUT), source })?;
    let program = || name.to_owned();
    let status =
        command.current_dir(folder).stdin(Stdio::null()).stdout(std::io::stderr()).status().map_err(|source| BuildError::Run { program: program(), source })?;
    if status.success() { Ok(()) } else { Err(BuildError::Failed { program: program(), status }) }
}

fn pack(folder: &Path, manifest: &Manifest, source: &str) -> Result<Vec<u8>, BuildError> {
    let mut command = PACKER.command(folder)?;
    packed(folder, manifest, PACKER.name, |wit, out| {
        command.arg("--wit").arg(wit).args(["--world", world::WORLD, "--stub-wasi", "--sync", "--module-root", ".", "--js", source, "--output"]).arg(out);
        command
    })
}

pub fn needs(folder: &Path, language: Language) -> Vec<Finding> {
    let finding = |what, found, command: String| Finding { language, what, found, command };
    let runs = |tool: &Tool| finding(tool.name, tool.works(folder).then(|| "it runs".to_owned()), tool.install());
    let mut all = vec![finding("node", tool::version("node", folder), "apt-get install nodejs npm".to_owned()), runs(&PACKER)];
    if language == Language::TypeScript {
        all.push(runs(&BUNDLER));
    }
    all
}
