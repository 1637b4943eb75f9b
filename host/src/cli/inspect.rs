//! `bulkhead inspect`: what a component is and what it can reach, from its bytes alone.

use std::path::Path;

use bulkhead_sandbox::{Inspection, inspect};
use serde_json::json;

use super::{Exit, Failure, Output, failure::print};
use crate::components::{ComponentError, Components};

pub fn run(component: &str, output: Output) -> Result<Exit, Failure> {
    let path = Path::new(component);
    let bytes = if path.is_file() {
        std::fs::read(path).map_err(|error| Failure::new(Exit::NotFound, "inspect.read", format!("cannot read {component}: {error}")))?.into()
    } else {
        Components::new(None).file(component).map(|found| found.bytes).map_err(|error| match error {
            ComponentError::Unknown { known, .. } => {
                Failure::new(Exit::NotFound, "inspect.not_found", format!("{component} is neither a file nor a built-in component"))
                    .hint(format!("built-in are: {}", known.join(", ")))
            }
            _ => Failure::from_error(Exit::Failed, "inspect.read", &error),
        })?
    };
    let found = inspect(&bytes).map_err(|error| Failure::new(Exit::Configuration, "inspect.unfit", format!("{component}: {error}")))?;
    match output {
        Output::Json => print(as_json(component, &found))?,
        Output::Text => print(as_text(component, &found))?,
    }
    Ok(Exit::Ok)
}

fn as_json(component: &str, found: &Inspection) -> serde_json::Value {
    let manifest = found.manifest.as_ref();
    json!({
        "schema_version": 1, "component": component, "kind": found.kind.name(), "contract": found.contract.to_string(),
        "size": found.size, "digest": format!("sha256:{}", found.digest_hex()),
        "reach": found.in_words(), "imports": found.imports, "contradictions": found.contradictions,
        "name": manifest.map(|manifest| &manifest.name), "version": manifest.map(|manifest| &manifest.version),
        "vendor": manifest.and_then(|manifest| manifest.vendor.as_ref()), "accepts": manifest.map(|manifest| &manifest.accepts),
        "operations": manifest.map(|manifest| &manifest.operations), "docs": manifest.and_then(|manifest| manifest.docs.as_ref()),
        "config_schema": manifest.and_then(|manifest| manifest.config_schema.as_ref()),
    })
}

fn as_text(component: &str, found: &Inspection) -> String {
    let mut text = format!("{component}: {} for contract {}\n", found.kind.name(), found.contract);
    match &found.manifest {
        Some(manifest) => {
            let vendor = manifest.vendor.as_ref().map(|vendor| format!(" by {vendor}")).unwrap_or_default();
            text.push_str(&format!("  {} {}{vendor}\n", manifest.name, manifest.version));
        }
        None => text.push_str("  without a manifest: any configuration object is handed to it\n"),
    }
    text.push_str(&format!("  {} bytes, sha256:{}\n\nIt can:\n", found.size, found.digest_hex()));
    for sentence in found.in_words() {
        text.push_str(&format!("  - {sentence}\n"));
    }
    if let Some(manifest) = &found.manifest {
        if !manifest.wants.is_empty() {
            text.push_str("\nIt asks for:\n");
        }
        for want in &manifest.wants {
            let parts = [want.methods.join(", "), want.paths.join(", "), want.access.clone().unwrap_or_default()];
            let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let name = want.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
            let detail = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) };
            text.push_str(&format!("  - {}{name}{detail}: {}\n", want.interface, want.reason.as_deref().unwrap_or("no reason given")));
        }
    }
    for contradiction in &found.contradictions {
        text.push_str(&format!("\nNote: {contradiction}; the component counts.\n"));
    }
    // What a stranger wrote must not steer a terminal.
    let clean: String = text.trim_end().chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
    clean
}
