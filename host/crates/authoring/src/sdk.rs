//! The SDK as this binary was built with it, for folders that stand alone: its sources, and manifests that inherit
//! from no workspace.

use std::path::PathBuf;

use toml::{Table, Value};

use crate::embedded::{SDK, SDK_DERIVE, WORKSPACE};

/// Folder that the SDK goes to, below the author's.
pub const FOLDER: &str = "vendor";

/// Every file of the vendored SDK, below the author's folder.
pub fn files() -> Vec<(PathBuf, String)> {
    let packages = [("bulkhead-sdk", SDK), ("bulkhead-sdk-derive", SDK_DERIVE)];
    let workspace = table(WORKSPACE);
    let mut files = Vec::new();
    for (package, texts) in packages {
        for (path, text) in texts {
            let text = if *path == "Cargo.toml" { standalone(&table(text), &workspace) } else { (*text).to_owned() };
            files.push((PathBuf::from(FOLDER).join(package).join(path), text));
        }
    }
    files
}

fn table(text: &str) -> Table {
    text.parse().expect("our own manifests were parsed by Cargo when this was built")
}

/// A manifest with what it inherits written out, without what only our own tests and lints need.
fn standalone(manifest: &Table, workspace: &Table) -> String {
    let mut manifest = manifest.clone();
    for dropped in ["lints", "dev-dependencies", "bench", "test", "example"] {
        manifest.remove(dropped);
    }
    let shared = &workspace["workspace"];
    if let Some(package) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        for (key, value) in package.iter_mut() {
            if inherits(value) {
                *value = shared["package"][key.as_str()].clone();
            }
        }
    }
    let dependencies = &shared["dependencies"];
    resolve(manifest.get_mut("dependencies"), dependencies);
    for target in manifest.get_mut("target").and_then(Value::as_table_mut).into_iter().flat_map(|targets| targets.iter_mut()) {
        resolve(target.1.get_mut("dependencies"), dependencies);
    }
    manifest.to_string()
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

fn resolve(own: Option<&mut Value>, shared: &Value) {
    for (name, dependency) in own.and_then(Value::as_table_mut).into_iter().flat_map(|own| own.iter_mut()) {
        if !inherits(dependency) {
            continue;
        }
        let mut full = match &shared[name.as_str()] {
            Value::Table(table) => table.clone(),
            version => Table::from_iter([("version".to_owned(), version.clone())]),
        };
        if full.contains_key("path") {
            full = Table::from_iter([("path".to_owned(), Value::String(format!("../{name}")))]);
        }
        for (key, value) in dependency.as_table().into_iter().flatten().filter(|(key, _)| *key != "workspace") {
            full.insert(key.clone(), value.clone());
        }
        *dependency = Value::Table(full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_inherited_any_more() {
        let files = files();
        let manifests: Vec<_> = files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")).collect();
        assert_eq!(manifests.len(), 2);
        for (path, text) in manifests {
            assert!(!text.contains("workspace"), "{}: {text}", path.display());
        }
        let sdk = &files.iter().find(|(path, _)| path.ends_with("bulkhead-sdk/Cargo.toml")).expect("there").1;
        let sdk: Table = sdk.parse().expect("TOML");
        assert_eq!(sdk["dependencies"]["bulkhead-sdk-derive"]["path"].as_str(), Some("../bulkhead-sdk-derive"));
        assert_eq!(sdk["dependencies"]["tungstenite"]["optional"].as_bool(), Some(true));
        assert!(sdk["dependencies"]["tungstenite"]["version"].is_str());
        assert_eq!(sdk["package"]["edition"].as_str(), Some("2024"));
        assert!(files.iter().any(|(path, _)| path.ends_with("bulkhead-sdk/src/bindings/connector_all.rs")));
        assert!(!files.iter().any(|(path, _)| path.ends_with("tests.rs")));
    }
}
