//! What one event costs, held against what it cost before: fuel of each built-in guest, and instructions of the
//! host's own rooms under callgrind. Both repeat where times do not, so that a guest or a room that has become
//! dearer is found by the change that made it so. `UPDATE_GOLDEN=1` takes today's figures; the commit says why.
//!
//! The file names the compiler and the engine that its figures are from. Others make other code: then only more
//! than [`OTHERS`] is a fault.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bulkhead_conformance::{Bench, Guest, cost};
use bulkhead_tests::host::root;
use bulkhead_tests::skip::skip;
use serde::{Deserialize, Serialize};

#[path = "../benches/shared/rooms.rs"]
mod rooms;
#[path = "../benches/shared/mod.rs"]
mod shared;

use shared::stored;

/// What may differ, as a share: maps are seeded anew in each process, and streams are read in pieces as they come.
const TOLERANCE: f64 = 0.03;
/// The same with another compiler or engine than the file's.
const OTHERS: f64 = 0.2;
/// Runs of a piece that are counted.
const RUNS: usize = 100;
/// How this program is told to be what is counted.
const COUNTED: &str = "--counted";

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    rustc: String,
    wasmtime: String,
    /// Units an event, of batches of a hundred.
    fuel: BTreeMap<String, f64>,
    /// Instructions an event, in frames of a hundred.
    instructions: BTreeMap<String, f64>,
}

impl Kept {
    fn path() -> PathBuf {
        root().join("tests/golden/costs.json")
    }

    fn read() -> Result<Self> {
        let path = Self::path();
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// With the versions of today.
    fn today() -> Result<Self> {
        let rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("--version").current_dir(root()).output()?;
        let rustc = String::from_utf8(rustc.stdout)?.split_whitespace().nth(1).context("rustc says its version")?.to_owned();
        let lock: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock"))?)?;
        let engine = lock["package"].as_array().into_iter().flatten().find(|package| package["name"].as_str() == Some("wasmtime"));
        let wasmtime = engine.and_then(|engine| engine["version"].as_str()).context("Cargo.lock names wasmtime")?.to_owned();
        Ok(Self { rustc, wasmtime, ..Self::default() })
    }
}

pub const FUEL: &str = "costs::fuel";
pub const INSTRUCTIONS: &str = "costs::instructions";

/// One of the two; nothing else calls the guests meanwhile.
pub fn check(name: &str, bench: &Bench, guests: &[Arc<Guest>]) -> Result<()> {
    if cfg!(debug_assertions) {
        skip(&format!("conformance::{name}"), "the figures are those of the release profile");
        return Ok(());
    }
    let mut today = Kept::today()?;
    match name {
        FUEL => fuel(bench, guests, &mut today)?,
        _ => instructions(&mut today)?,
    }
    compare(today)
}

fn fuel(bench: &Bench, guests: &[Arc<Guest>], today: &mut Kept) -> Result<()> {
    for guest in guests.iter().filter(|guest| guest.is_formatter() || guest.does("deliver")) {
        let cost = cost::measure(bench, guest).with_context(|| guest.name.clone())?;
        today.fuel.insert(guest.name.clone(), cost.fuel.round());
    }
    Ok(())
}

/// A run of nothing but the preparation, and one of each piece: the difference is the piece.
fn instructions(today: &mut Kept) -> Result<()> {
    let name = "conformance::costs::instructions";
    if Command::new("valgrind").arg("--version").output().is_err() {
        skip(name, "there is no valgrind (Debian: `apt install valgrind`)");
        return Ok(());
    }
    // Libraries choose their ways by what the processor can do; the figures are those of one that has these.
    #[cfg(target_arch = "x86_64")]
    let usual = std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    let usual = false;
    if !usual {
        skip(name, "the figures are those of x86-64 with AVX2");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let without = count(&dir.path().join("none"), "none")?;
    for piece in rooms::pieces(&dir.path().join("here"))? {
        let with = count(&dir.path().join(piece.name), piece.name)?;
        let each = with.saturating_sub(without) as f64 / (RUNS * rooms::EVENTS) as f64;
        today.instructions.insert(piece.name.to_owned(), each.round());
    }
    Ok(())
}

/// Instructions of this program as [`counted`].
fn count(dir: &Path, piece: &str) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([COUNTED, piece])
        .arg(dir)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: {} {said}", output.status);
    let counted = said.lines().find_map(|line| line.split_once("Collected :")).and_then(|(_, count)| count.trim().parse().ok());
    counted.with_context(|| format!("valgrind said no count: {said}"))
}

/// What runs under callgrind: all pieces twice, so that all are warm, and one of them [`RUNS`] times more.
pub fn counted(args: &[String]) -> Option<Result<()>> {
    let [COUNTED, piece, dir] = [args.first()?, args.get(1)?, args.get(2)?].map(String::as_str) else { return None };
    Some((|| {
        for mut each in rooms::pieces(Path::new(dir))? {
            let runs = if each.name == piece { RUNS } else { 0 };
            (0..2 + runs).try_for_each(|_| (each.run)())?;
        }
        Ok(())
    })())
}

fn compare(today: Kept) -> Result<()> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let mut kept = Kept::read().unwrap_or_default();
        // The half that is not taken stays, and is held against these versions from now on.
        (kept.rustc, kept.wasmtime) = (today.rustc, today.wasmtime);
        if !today.fuel.is_empty() {
            kept.fuel = today.fuel;
        }
        if !today.instructions.is_empty() {
            kept.instructions = today.instructions;
        }
        std::fs::write(Kept::path(), serde_json::to_string_pretty(&kept)? + "\n")?;
        return Ok(());
    }
    let kept = Kept::read()?;
    let same = kept.rustc == today.rustc && kept.wasmtime == today.wasmtime;
    let tolerance = if same { TOLERANCE } else { OTHERS };
    let mut faults = Vec::new();
    for (unit, before, now) in [("fuel", &kept.fuel, &today.fuel), ("instructions", &kept.instructions, &today.instructions)] {
        if now.is_empty() {
            continue;
        }
        for name in before.keys().chain(now.keys()).collect::<std::collections::BTreeSet<_>>() {
            match (before.get(name), now.get(name)) {
                (Some(before), Some(now)) if (now / before - 1.0).abs() <= tolerance => {}
                (Some(before), Some(now)) => faults.push(format!("{name}: {now} {unit} an event, {before} before ({:+.1} %)", (now / before - 1.0) * 100.0)),
                (before, now) => faults.push(format!("{name}: {unit} before {before:?}, now {now:?}")),
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\nkept with rustc {} and wasmtime {}, today {} and {}; where the change is meant, `UPDATE_GOLDEN=1 cargo test --release --workspace --test conformance -- costs` takes it",
        faults.join("\n"),
        kept.rustc,
        kept.wasmtime,
        today.rustc,
        today.wasmtime
    )
}
