//! Rust: Cargo for `wasm32-wasip2`, which makes a component at once.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::{BuildError, Options};
use crate::tool;

pub const TARGET: &str = "wasm32-wasip2";
/// Longest line of Cargo's messages that is looked at.
const MAX_LINE: usize = 16 << 20;

pub fn build(folder: &Path, options: Options) -> Result<Vec<u8>, BuildError> {
    target(folder, options)?;
    let mut command = Command::new("cargo");
    command.current_dir(folder).args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    let run = |source| BuildError::Run { program: "cargo".to_owned(), source };
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(run)?;
    let own = std::fs::canonicalize(folder.join("Cargo.toml")).ok();
    let mut artefact = None;
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).split(b'\n')) {
        let line = line.map_err(run)?;
        if line.len() <= MAX_LINE
            && let Ok(message) = serde_json::from_slice::<Message>(&line)
            && let Some(made) = message.component(own.as_deref())
        {
            artefact = Some(made);
        }
    }
    let status = child.wait().map_err(run)?;
    if !status.success() {
        return Err(BuildError::Failed { program: "cargo".to_owned(), status });
    }
    let path = artefact.ok_or(BuildError::NoArtefact)?;
    std::fs::read(&path).map_err(|source| BuildError::File { path, source })
}

/// One of Cargo's messages, as far as it says what was made (Cargo book, "External tools").
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Message {
    fn component(self, own: Option<&Path>) -> Option<PathBuf> {
        let ours = self.reason == "compiler-artifact" && Some(self.manifest_path.as_path()) == own;
        let library = self.target.is_some_and(|target| target.kind.iter().any(|kind| kind == "cdylib"));
        self.filenames.into_iter().find(|path| ours && library && path.extension().is_some_and(|extension| extension == "wasm"))
    }
}

/// Sees to it that the toolchain of this folder has the target.
fn target(folder: &Path, options: Options) -> Result<(), BuildError> {
    if !has_cargo(folder) {
        return Err(BuildError::Missing {
            what: "cargo, Rust's build tool,".to_owned(),
            command: "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh".to_owned(),
        });
    }
    if has_target(folder) {
        return Ok(());
    }
    let missing =
        || BuildError::Missing { what: format!("the target {TARGET} of this folder's Rust toolchain"), command: format!("rustup target add {TARGET}") };
    if !options.add_target {
        return Err(missing());
    }
    let status = Command::new("rustup").current_dir(folder).args(["target", "add", TARGET]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() && has_target(folder) => Ok(()),
        Ok(status) if !status.success() => Err(BuildError::Failed { program: "rustup".to_owned(), status }),
        _ => Err(missing()),
    }
}

pub fn has_cargo(folder: &Path) -> bool {
    tool::version("cargo", folder).is_some()
}

pub fn has_target(folder: &Path) -> bool {
    let sysroot = tool::said(Command::new("rustc").current_dir(folder).args(["--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_the_packages_own() {
        let component = |line: &str| serde_json::from_str::<Message>(line).expect("a message").component(Some(Path::new("/a/Cargo.toml")));
        let line =
            r#"{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","target":{"kind":["cdylib","rlib"]},"filenames":["/t/a.rlib","/t/a.wasm"]}"#;
        assert_eq!(component(line), Some("/t/a.wasm".into()));
        assert_eq!(component(&line.replace("/a/Cargo", "/b/Cargo")), None);
        assert_eq!(component(&line.replace("cdylib", "bin")), None);
        assert_eq!(component(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
