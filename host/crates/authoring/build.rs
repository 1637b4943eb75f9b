//! The SDK, the contract and the templates are compiled into the binary, so that `bulkhead new` works where there is
//! no checkout: their texts as a table each, found by walking their folders.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../..");
    let mut code = String::new();
    for (table, folder) in [
        ("SDK", "sdk/rust"),
        ("SDK_DERIVE", "sdk/rust-derive"),
        ("SDK_JS", "sdk/js"),
        ("SDK_PYTHON", "sdk/python"),
        ("SDK_C", "sdk/c"),
        ("TEMPLATES", "sdk/templates"),
        ("WIT", "wit"),
    ] {
        let folder = root.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        walk(&folder, &mut files);
        files.sort();
        writeln!(code, "pub const {table}: &[(&str, &str)] = &[").expect("writing to a string");
        for file in files {
            let name = file.strip_prefix(&folder).expect("found below it").to_str().expect("our file names are UTF-8");
            let full = fs::canonicalize(&file).expect("the folder was just listed");
            writeln!(code, "    ({name:?}, include_str!({full:?})),").expect("writing to a string");
        }
        code.push_str("];\n");
    }
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("embedded.rs"), code).expect("OUT_DIR is writable");
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // What was built beside the sources, and tests of the SDK, which authors do not run; tools that our tests use for an SDK.
        let pins = ["requirements.txt", "package.json", "package-lock.json"].contains(&name.as_str())
            && (folder.ends_with("sdk/js") || folder.ends_with("sdk/python"));
        if pins || ["target", "dist", "tests", "__pycache__"].contains(&name.as_str()) || name == "tests.rs" {
            continue;
        }
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}
