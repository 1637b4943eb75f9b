//! A release carries the built-in guests inside the binary: with `BULKHEAD_EMBED_GUESTS` naming a folder
//! of `.wasm` files they are compiled in. Without it (development) the host reads `target/guests`.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=BULKHEAD_EMBED_GUESTS");
    let mut table = String::from("pub const EMBEDDED: &[(&str, &[u8])] = &[\n");
    if let Ok(folder) = env::var("BULKHEAD_EMBED_GUESTS") {
        println!("cargo::rerun-if-changed={folder}");
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("BULKHEAD_EMBED_GUESTS={folder}: {error}"))
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        files.sort();
        for path in files {
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("component names are UTF-8");
            let full = fs::canonicalize(&path).expect("the folder was just listed");
            writeln!(table, "    ({name:?}, include_bytes!({full:?})),").expect("writing to a string");
        }
    }
    table.push_str("];\n");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("embedded.rs"), table).expect("OUT_DIR is writable");
}
