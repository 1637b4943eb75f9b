//! Guests of earlier builds, checked in as they were: every run of the tests loads them from their bytes, by digest, and
//! holds them to the suite with the cases of their time. A change of the contract that breaks one of them breaks what
//! authors have built.
//!
//! Beside them, the same bytes as a guest of another contract would have them: refused, in our words, either way.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bulkhead_conformance::{Check, Guest, suite};
use bulkhead_sandbox::{CONTRACT, inspect};
use bulkhead_tests::host::root;

/// Names the digests of a version's guests, one a line as `sha256sum` writes them.
const SUMS: &str = "SHA256SUMS";

pub fn checks() -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut versions: Vec<_> = std::fs::read_dir(root().join("tests/frozen"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    versions.sort();
    ensure!(!versions.is_empty(), "no frozen guest in tests/frozen");
    for folder in versions {
        let version = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sums = std::fs::read_to_string(folder.join(SUMS)).with_context(|| format!("{version}: {SUMS}"))?;
        for line in sums.lines() {
            let (digest, path) = line.split_once("  ").with_context(|| format!("{version}: {SUMS}: {line}"))?;
            checks.extend(of(&folder, &version, digest, path).with_context(|| format!("{version}: {path}"))?);
        }
    }
    Ok(checks)
}

/// The suite over one guest, `NAME/NAME.wasm` with its cases beside it.
fn of(folder: &Path, version: &str, digest: &str, path: &str) -> Result<Vec<Check>> {
    let file = folder.join(path);
    let cases = file.parent().unwrap_or(folder).join("cases");
    let guest = Arc::new(Guest::of_manifest(std::fs::read(&file)?, Some(&cases))?);
    let found = guest.inspection.digest_hex();
    ensure!(found == digest, "the file has the digest {found}, {SUMS} says {digest}: what is frozen never changes");
    let mut checks = suite::checks(&guest)?;
    checks.push(Check::new("other_contracts_are_refused", &guest, |_, guest| other_contracts_are_refused(guest)));
    checks.iter_mut().for_each(|check| check.name = format!("frozen-{version}::{}", check.name));
    Ok(checks)
}

/// As it would look to an older host, and as one of an older contract would look to this one.
fn other_contracts_are_refused(guest: &Guest) -> Result<()> {
    let own = format!("@{CONTRACT}");
    for (from, to, words) in [
        (own.as_str(), "@0.2.0", "was built for contract 0.2.0, this host has 0.1.0; use a newer host, or build against wit 0.1.0"),
        (own.as_str(), "@0.0.9", "was built for contract 0.0.9, which this host (0.1.0) no longer speaks; build it against wit 0.1.0"),
        ("{\"contract\":1,", "{\"contract\":2,", "is for host contract 2, this host has 1; use a newer host"),
    ] {
        let Err(error) = inspect(&replaced(&guest.bytes, from.as_bytes(), to.as_bytes())) else { bail!("{to} is taken") };
        ensure!(error.to_string().contains(words), "{to}: {error}");
    }
    Ok(())
}

/// The bytes with one text in the place of another of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            at += from.len();
        } else {
            at += 1;
        }
    }
    bytes
}
