//! The manifest says what the component is, and the component is what the manifest says.

use anyhow::{Context, Result, ensure};

use crate::guest::Guest;

/// The section is there, says what the folder says, and carries a schema.
pub fn is_valid(guest: &Guest) -> Result<()> {
    let inspection = &guest.inspection;
    let manifest = inspection.manifest.as_ref().context("the component carries no manifest; `bulkhead build` writes it from connector.toml")?;
    let expected = guest.name.strip_prefix("format-").unwrap_or(&guest.name);
    ensure!(manifest.name == expected || manifest.name == guest.name, "the manifest's name is `{}`, the folder's `{}`", manifest.name, guest.name);
    ensure!(manifest.kind == inspection.kind, "the manifest says {:?}, the exports say {:?}", manifest.kind, inspection.kind);
    ensure!(inspection.contradictions.is_empty(), "{}", inspection.contradictions.join("; "));
    let schema = manifest.config_schema.as_ref().context("the manifest has no schema of the configuration")?;
    let schema: serde_json::Value = serde_json::from_str(schema.get())?;
    ensure!(schema["type"] == "object", "the configuration's schema is not one of an object: {schema}");
    ensure!(schema["additionalProperties"] == false, "the schema lets unknown keys pass: {schema}");
    ensure!(manifest.vendor.is_some() && manifest.docs.is_some(), "vendor and docs belong in connector.toml");
    for want in &manifest.wants {
        ensure!(want.reason.as_ref().is_some_and(|reason| reason.len() > 10), "the wish for `{}` gives no reason", want.interface);
    }
    Ok(())
}

/// What it imports, it says so and why; what it says, it imports.
pub fn imports_are_wanted(guest: &Guest) -> Result<()> {
    let inspection = &guest.inspection;
    let manifest = inspection.manifest.as_ref().context("the component carries no manifest")?;
    for capability in &inspection.capabilities {
        // Always there, and they reach nothing.
        let free = ["log", "metrics", "types"].contains(capability);
        ensure!(free || manifest.wants.iter().any(|want| want.interface == *capability), "it imports `{capability}`, but connector.toml does not want it");
    }
    for want in &manifest.wants {
        ensure!(inspection.capabilities.contains(want.interface.as_str()), "connector.toml wants `{}`, which is not imported", want.interface);
    }
    Ok(())
}
