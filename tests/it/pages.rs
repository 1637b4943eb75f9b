//! Pages of connectors: their examples are configurations that the binary takes, and the index names them all.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use bulkhead_tests::host::root;

use crate::story::binary;

/// Pages below `docs/connectors/` with the names of their connectors.
fn pages() -> Vec<(String, PathBuf)> {
    let folder = root().join("docs/connectors");
    let mut pages: Vec<(String, PathBuf)> = fs::read_dir(&folder)
        .expect("the folder of pages")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    pages.sort();
    assert!(!pages.is_empty(), "no page in {}", folder.display());
    pages
}

/// The YAML blocks of the section `## Example`.
fn examples(page: &str) -> Vec<String> {
    let (mut blocks, mut section, mut block) = (Vec::new(), false, None::<String>);
    for line in page.lines() {
        match (&mut block, line) {
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, "```yaml") if section => block = Some(String::new()),
            (None, line) => {
                if let Some(title) = line.strip_prefix("## ") {
                    section = title == "Example";
                }
            }
        }
    }
    blocks
}

/// Names of the environment values in a text: `${NAME}` and `${NAME:-…}`, not `${file:…}`.
fn names(text: &str) -> Vec<&str> {
    let name = |rest: &'_ str| rest.find(|letter: char| !(letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_'));
    text.split("${").skip(1).filter_map(|rest| name(rest).map(|end| &rest[..end])).filter(|name| !name.is_empty()).collect()
}

/// A value that fits: addresses are told by their names. The other one is base64 of 32 bytes, for keys that
/// are written so.
fn placeholder(name: &str) -> &'static str {
    if name.ends_with("_HOST") {
        return "receiver.example";
    }
    if name.ends_with("_ID") {
        return "PLACEHOLDER";
    }
    if name.ends_with("_URL") || name.ends_with("_ENDPOINT") { "https://receiver.example" } else { "cGxhY2Vob2xkZXItcGxhY2Vob2xkZXItcGxhY2Vob2w=" }
}

/// What the binary says of a configuration.
fn validate(block: &str) -> Output {
    let dir = tempfile::TempDir::new().expect("a folder");
    let config = dir.path().join("bulkhead.yaml");
    fs::write(&config, block).expect("written");
    Command::new(binary())
        .args(["validate", "--config"])
        .arg(&config)
        .current_dir(dir.path())
        .envs(names(block).into_iter().map(|name| (name, placeholder(name))))
        .stdin(Stdio::null())
        .output()
        .expect("runs")
}

#[test]
fn examples_are_accepted() {
    let mut wrong = String::new();
    for (name, path) in pages() {
        let page = fs::read_to_string(&path).expect("readable");
        let blocks = examples(&page);
        assert!(!blocks.is_empty(), "{} has no YAML block under `## Example`", path.display());
        for block in blocks {
            let output = validate(&block);
            if !block.contains(&format!("connector: {name}\n")) {
                let _ = writeln!(wrong, "{name}: the example has no instance with `connector: {name}`");
            }
            if !output.status.success() {
                let _ = writeln!(wrong, "{name}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Guides to systems without a connector of their own hold whole configurations too.
#[test]
fn guides_are_accepted() {
    for guide in ["qradar.md", "soar.md"] {
        let path = root().join("docs/operators").join(guide);
        let page = fs::read_to_string(&path).expect("readable");
        let blocks: Vec<&str> =
            page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).filter(|block| block.starts_with("data_dir:")).collect();
        assert!(!blocks.is_empty(), "{} has no configuration", path.display());
        for block in blocks {
            let output = validate(block);
            assert!(output.status.success(), "{guide}: {}\n{block}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// `UPDATE_GOLDEN=1` writes the index again.
#[test]
fn the_index_is_what_is_there() {
    let mut index = String::from("## Pages\n\n| connector | receiver |\n|---|---|\n");
    for (name, path) in pages() {
        let manifest = root().join("connectors").join(&name).join("connector.toml");
        let manifest = fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{} is a page of no connector: {error}", path.display()));
        let manifest: toml::Table = manifest.parse().expect("connector.toml is TOML");
        let system = manifest.get("system").and_then(toml::Value::as_str).expect("connector.toml names its system");
        let _ = writeln!(index, "| [{name}](../connectors/{name}.md) | {system} |");
    }
    let path = root().join("docs/operators/connectors.md");
    let text = fs::read_to_string(&path).expect("readable");
    let (head, there) = text.split_at(text.find("## Pages\n").expect("the page ends with its index"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, format!("{head}{index}")).expect("written");
        return;
    }
    assert_eq!(there, index, "`UPDATE_GOLDEN=1` with this test writes the index of {}", path.display());
}
