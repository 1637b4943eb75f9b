//! `cargo xtask test`: every test of the workspace, guests built first, and what was skipped.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::command::{cargo, run};
use crate::stages::Stages;
use crate::{bench, build, demo, hostile};

/// Test binaries of the stage `tests`.
const BINARIES: [&str; 3] = ["conformance", "it", "fuzz"];

pub fn all(root: &Path, args: &[String]) -> Result<()> {
    if !args.is_empty() {
        bail!("test takes no arguments, not {}; a single test runs with `cargo test --release -p PACKAGE NAME`", args.join(" "));
    }
    let skips = root.join("target/skips.txt");
    fs::create_dir_all(root.join("target"))?;
    fs::write(&skips, "")?;
    let mut stages = Stages::new();
    let result = stages_of(root, &skips, &mut stages);
    stages.print();
    let skipped = fs::read_to_string(&skips)?;
    let mut skipped: Vec<&str> = skipped.lines().collect();
    skipped.sort_unstable();
    skipped.dedup();
    println!("\nskipped: {}", if skipped.is_empty() { "nothing" } else { "" });
    skipped.iter().for_each(|line| println!("  {line}"));
    result
}

/// Budgets are seconds on a fresh clone with two cores; together they stay under 35 minutes.
fn stages_of(root: &Path, skips: &Path, stages: &mut Stages) -> Result<()> {
    stages.run("guests", Some(60), || build::guests(root))?;
    stages.run("format", Some(10), || run(cargo().current_dir(root).args(["fmt", "--all", "--check"])))?;
    // One invocation for the host, the tools and the tests: features that tests switch on are switched on
    // for all of it, so that the engine is compiled once and not twice.
    stages.run("host, tools and tests (release)", Some(840), || {
        run(cargo().current_dir(root).args(["build", "--release", "--workspace", "--lib", "--bins", "--tests"]))
    })?;
    // Documentation tests are off: each is a binary of its own to link. The hostile cases are a stage of
    // their own; a unit test below holds this list against tests/Cargo.toml.
    let mut tests = vec!["test", "--release", "--workspace", "--lib", "--bins", "--no-fail-fast"];
    tests.extend(BINARIES.iter().flat_map(|name| ["--test", name]));
    let tests = stages.run("tests", Some(540), || run(cargo().current_dir(root).args(tests).env("BULKHEAD_SKIPS", skips)));
    let hostile = stages.run("hostile", Some(120), || hostile::run_all(root, &["--no-build".to_owned()], Some(skips)));
    // A broken test does not hide what the demo, the benches and the lints say.
    let demo = stages.run("demo", Some(30), || demo::run(root, &["--no-build".to_owned()]));
    let bench = stages.run("bench --quick", Some(120), || bench::run(root, &["--quick".to_owned(), "--no-build".to_owned()]));
    let lints =
        stages.run("lints", Some(240), || run(cargo().current_dir(root).args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])));
    tests.and(hostile).and(demo).and(bench).and(lints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_test_binary_is_forgotten() {
        let root = crate::root();
        let manifest: toml::Value = toml::from_str(&fs::read_to_string(root.join("tests/Cargo.toml")).expect("readable")).expect("TOML");
        let mut named: Vec<&str> = manifest["test"].as_array().expect("tests").iter().filter_map(|test| test["name"].as_str()).collect();
        named.retain(|name| *name != "hostile");
        assert_eq!(named, BINARIES);
        // Other members keep their tests beside their code.
        for member in fs::read_dir(root.join("host/crates")).expect("readable") {
            let folder = member.expect("an entry").path().join("tests");
            assert!(!folder.exists(), "{} would not run", folder.display());
        }
    }
}
