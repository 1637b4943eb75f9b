//! A guest's own world, made of what its manifest asks for: bindings, and with them the component, have no more.

use std::io;
use std::path::Path;

use crate::embedded::WIT;
use crate::manifest::{Kind, Manifest};

/// The contract's package and version, as the files of `wit/` begin.
pub const PACKAGE: &str = "bulkhead:connector";
pub const VERSION: &str = "0.1.0";
/// Folder that it is written to, below what is built.
pub const FOLDER: &str = ".wit";
/// Name of the world.
pub const WORLD: &str = "guest";

/// The world's text.
fn text(manifest: &Manifest) -> String {
    let mut text = format!("package author:guest;\n\nworld {WORLD} {{\n    include {PACKAGE}/{}@{VERSION};\n", manifest.kind.name());
    // A formatter reaches nothing, whatever it asks for.
    for interface in manifest.interfaces().into_iter().filter(|_| manifest.kind == Kind::Connector) {
        text.push_str(&format!("    import {PACKAGE}/{interface}@{VERSION};\n"));
    }
    text.push_str("}\n");
    text
}

/// Writes the world with the contract beside it, into [`FOLDER`].
pub fn write(out: &Path, manifest: &Manifest) -> io::Result<()> {
    let folder = out.join(FOLDER);
    let contract = folder.join("deps/bulkhead");
    std::fs::create_dir_all(&contract)?;
    std::fs::write(folder.join("world.wit"), text(manifest))?;
    for (name, text) in WIT.iter().filter(|(name, _)| name.ends_with(".wit")) {
        std::fs::write(contract.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "name = \"a\"\nversion = \"1\"\nvendor = \"v\"\nkind = \"connector\"\nsystem = \"s\"\noperations = [\"deliver\"]\naccepts = [\"*\"]\ndocs = \"d\"\n[[wants]]\ninterface = \"state\"\nreason = \"the cursor\"\n[[wants]]\ninterface = \"http\"\nreason = \"one\"\n[[wants]]\ninterface = \"http\"\nreason = \"two\"\n";

    #[test]
    fn a_world_has_what_the_manifest_wants_and_no_more() {
        let manifest = Manifest::parse(MANIFEST).expect("a manifest");
        let want = "package author:guest;\n\nworld guest {\n    include bulkhead:connector/connector@0.1.0;\n    import bulkhead:connector/http@0.1.0;\n    import bulkhead:connector/state@0.1.0;\n}\n";
        assert_eq!(text(&manifest), want);
        let formatter = Manifest::parse(&MANIFEST.replace("kind = \"connector\"", "kind = \"formatter\"")).expect("a manifest");
        assert!(!text(&formatter).contains("import") && text(&formatter).contains("/formatter@"));
    }

    #[test]
    fn the_contract_is_of_this_version() {
        let package = format!("package {PACKAGE}@{VERSION};");
        assert!(WIT.iter().filter(|(name, _)| name.ends_with(".wit")).all(|(_, text)| text.starts_with(&package)));
    }
}
