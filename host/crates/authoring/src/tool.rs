//! Programs of others: found, run, their words kept.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first line that a program says of its version; `None` where it cannot be run or fails.
pub fn version(program: impl AsRef<OsStr>, folder: &Path) -> Option<String> {
    said(Command::new(program).arg("--version").current_dir(folder))
}

/// The first line on standard output of a command that succeeds.
pub fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}
