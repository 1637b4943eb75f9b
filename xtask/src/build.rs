//! What is built before anything runs: the wasm target, the guests, the host, the tools of the proofs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{cargo, read, run};

const TARGET: &str = "wasm32-wasip2";

/// Adds the target of the guests where rustup manages the toolchain.
pub fn wasm_target(root: &Path) -> Result<()> {
    let sysroot = read(cargo_rustc(root).args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").current_dir(root).args(["target", "add", TARGET]))
        .with_context(|| format!("guests are built for {TARGET}, which this Rust toolchain lacks; with rustup: `rustup target add {TARGET}`; without: install your distribution's package of that target"))
}

fn cargo_rustc(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.current_dir(root);
    command
}

pub fn guests(root: &Path) -> Result<()> {
    wasm_target(root)?;
    crate::guests::build(root)
}

/// The host and the tools, in one cargo call.
pub fn host(root: &Path, profile: &str) -> Result<()> {
    let mut command = cargo();
    command.current_dir(root).args(["build", "--profile", profile, "-p", "bulkhead", "-p", "bulkhead-tests", "--bins"]);
    if profile == "dist" {
        // What ships carries the built-in guests inside the binary.
        command.env("BULKHEAD_EMBED_GUESTS", shipped(root)?);
    }
    run(&mut command)
}

/// A folder with the guests of `connectors/` alone: those of `tests/guests` are not for anybody.
fn shipped(root: &Path) -> Result<PathBuf> {
    let (built, folder) = (root.join("target/guests"), root.join("target/shipped-guests"));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join("connectors"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(format!("{}.wasm", entry.file_name().to_string_lossy()));
        }
    }
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if !names.iter().any(|name| path.ends_with(name)) {
            std::fs::remove_file(&path)?;
        }
    }
    for name in names {
        let bytes = std::fs::read(built.join(&name)).with_context(|| format!("{name} is not built; run `cargo xtask build-guests`"))?;
        // The same bytes keep their time stamp, so that the host is not built again for them.
        if std::fs::read(folder.join(&name)).ok().as_deref() != Some(&bytes) {
            std::fs::write(folder.join(&name), bytes)?;
        }
    }
    Ok(folder)
}

/// The folder of the binaries of a profile.
pub fn folder(root: &Path, profile: &str) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join(profile)
}

/// An empty folder below `target/`.
pub fn fresh(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join("target").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
