//! `cargo xtask languages`: the same connector and the same CEF-like formatter in every language that is here, built by
//! the release binary and measured by its `test`, as the table of `docs/authors/languages.md`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::build;
use crate::command::read;

/// A language, and where the formatter's source goes in its template.
const LANGUAGES: [(&str, &str, &str); 5] = [
    ("rust", "lib.rs", "src/lib.rs"),
    ("c", "formatter.c", "formatter.c"),
    ("ts", "app.ts", "app.ts"),
    ("js", "app.js", "app.js"),
    ("python", "app.py", "app.py"),
];
/// Tools that builds may need, where `.ci/run` puts them.
const TOOLS: [(&str, &str); 4] = [
    ("BULKHEAD_COMPONENTIZE_PY", "authors-python/bin/componentize-py"),
    ("BULKHEAD_COMPONENTIZE_QJS", "authors-js/node_modules/.bin/componentize-qjs"),
    ("BULKHEAD_ESBUILD", "authors-js/node_modules/.bin/esbuild"),
    ("BULKHEAD_TSC", "authors-js/node_modules/.bin/tsc"),
];

pub fn run(root: &Path, args: &[String]) -> Result<()> {
    if !args.is_empty() {
        bail!("languages takes no arguments, not {}", args.join(" "));
    }
    let folder = build::fresh(root, "languages")?;
    println!("| | built in | size | opens in | fuel for an event | events a second | memory |\n|---|---|---|---|---|---|---|");
    for (language, source, place) in LANGUAGES {
        let here = bulkhead(root, &folder).args(["doctor", "--lang", language]).output().context("bulkhead doctor")?;
        if !here.status.success() {
            eprintln!("{language}: left out, `bulkhead doctor --lang {language}` says what is missing");
            continue;
        }
        let connector = format!("{language}-line");
        read(bulkhead(root, &folder).args(["new", &connector, "--lang", language]))?;
        row(&format!("{language}, connector"), root, &folder.join(&connector))?;
        let formatter = format!("{language}-cef");
        read(bulkhead(root, &folder).args(["new", &formatter, "--lang", language, "--formatter"]))?;
        let own = folder.join(&formatter);
        let examples = root.join("sdk/examples/cef");
        fs::write(own.join(place), fs::read_to_string(examples.join(source))?.replace("{{name}}", &formatter))?;
        fs::copy(examples.join("config.schema.json"), own.join("config.schema.json"))?;
        fs::remove_dir_all(own.join("cases"))?;
        fs::create_dir(own.join("cases"))?;
        fs::copy(examples.join("cases/fields.toml"), own.join("cases/fields.toml"))?;
        row(&format!("{language}, formatter, fields"), root, &own)?;
        // The configuration of the willing case is the one that is measured.
        let whole = fs::read_to_string(examples.join("cases/whole.toml"))?;
        fs::write(own.join("cases/whole.toml"), format!("willing = true\n{whole}"))?;
        row(&format!("{language}, formatter, whole event"), root, &own)?;
    }
    Ok(())
}

fn bulkhead(root: &Path, folder: &Path) -> Command {
    let mut command = Command::new(build::folder(root, "release").join("bulkhead"));
    command.current_dir(folder).env("CARGO_TARGET_DIR", root.join("target/authors"));
    for (variable, place) in TOOLS {
        let tool = root.join("target").join(place);
        if std::env::var_os(variable).is_none() && tool.is_file() {
            command.env(variable, tool);
        }
    }
    command
}

fn row(name: &str, root: &Path, folder: &Path) -> Result<()> {
    let built: Value = serde_json::from_str(&read(bulkhead(root, folder).args(["--json", "build"]))?)?;
    // Where checks fail it says which, and exits with another code.
    let tested = bulkhead(root, folder).args(["--json", "test"]).output().context("bulkhead test")?;
    let tested: Value = serde_json::from_slice(&tested.stdout).with_context(|| format!("{name}: {}", String::from_utf8_lossy(&tested.stderr)))?;
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let (cost, size) = (&tested["cost"], number(&built["size"]) / 1024.0);
    let failed = tested["checks"].as_array().into_iter().flatten().filter(|check| check["ok"] == false).filter_map(|check| check["name"].as_str());
    let failed: Vec<_> = failed.collect();
    if !failed.is_empty() {
        println!("| {name} | {:.1} s | {size:.0} KiB | fails {} | | | |", number(&built["seconds"]), failed.join(", "));
        return Ok(());
    }
    println!(
        "| {name} | {:.1} s | {size:.0} KiB | {:.1} ms | {:.0} | {:.0} | {:.1} MiB |",
        number(&built["seconds"]),
        number(&cost["open_nanoseconds"]) / 1e6,
        number(&cost["fuel_per_event"]),
        number(&cost["events_per_second"]),
        number(&cost["memory_bytes"]) / 1048576.0
    );
    Ok(())
}
