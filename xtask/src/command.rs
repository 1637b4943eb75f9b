//! Running programs: what is run is shown, a failure names the command.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The cargo that runs us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Set for us by the outer `cargo run`; they would make inner builds differ from the user's own.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_MANIFEST_PATH"] {
        command.env_remove(name);
    }
    command
}

/// Runs to the end; output goes where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let line = show(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Runs and answers its standard output; its errors are part of ours.
pub fn read(command: &mut Command) -> Result<String> {
    let line = show(command);
    let output = command.output().with_context(|| format!("cannot run {line}"))?;
    if !output.status.success() {
        bail!("{line}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .map(|word| word.rsplit_once("/bin/").map_or_else(|| word.clone().into_owned(), |(_, name)| name.to_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}
