//! A component under test: its bytes, what they say, and the author's cases.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bulkhead_fault_server::receiver::{Script, Step};
use bulkhead_sandbox::{Inspection, Kind, inspect};
use serde_json::Value;

use crate::case::{self, Case};

pub struct Guest {
    /// As configurations name it, with `format-` in front of a formatter's.
    pub name: String,
    pub bytes: Vec<u8>,
    pub inspection: Inspection,
    pub cases: Vec<Arc<Case>>,
    /// Where the cases lie.
    pub folder: Option<PathBuf>,
}

impl Guest {
    /// Reads what the bytes say, and the cases below `cases`.
    pub fn new(name: &str, bytes: Vec<u8>, cases: Option<&Path>) -> Result<Self> {
        let inspection = inspect(&bytes).with_context(|| name.to_owned())?;
        let folder = cases.map(Path::to_owned);
        let cases = cases.map(case::read).transpose()?.unwrap_or_default().into_iter().map(Arc::new).collect();
        Ok(Self { name: name.to_owned(), bytes, inspection, cases, folder })
    }

    /// The same under the name that its manifest gives.
    pub fn of_manifest(bytes: Vec<u8>, cases: Option<&Path>) -> Result<Self> {
        let inspection = inspect(&bytes)?;
        let manifest = inspection.manifest.as_ref().context("the component carries no manifest; `bulkhead build` writes it from connector.toml")?;
        let name = if inspection.kind == Kind::Formatter { format!("format-{}", manifest.name) } else { manifest.name.clone() };
        Self::new(&name, bytes, cases)
    }

    pub fn is_formatter(&self) -> bool {
        self.inspection.kind == Kind::Formatter
    }

    /// Whether it imports this interface.
    pub fn wants(&self, interface: &str) -> bool {
        self.inspection.capabilities.contains(interface)
    }

    /// Methods that its manifest asks for.
    pub fn methods(&self) -> Vec<String> {
        self.inspection.manifest.iter().flat_map(|manifest| &manifest.wants).flat_map(|want| want.methods.clone()).collect()
    }

    /// Whether its manifest names this operation.
    pub fn does(&self, operation: &str) -> bool {
        self.inspection.manifest.as_ref().is_none_or(|manifest| manifest.operations.iter().any(|own| own == operation))
    }

    /// The case whose receiver takes everything.
    pub fn willing(&self) -> Option<&Case> {
        self.cases.iter().map(Arc::as_ref).find(|case| case.willing)
    }

    /// The configuration that checks beside the cases use: that of the willing case, else the least one.
    pub fn config(&self) -> Result<String> {
        match self.willing() {
            Some(case) => case.config(),
            None if self.is_formatter() => Ok("{}".to_owned()),
            None => self.least_config(),
        }
    }

    /// The format of what it is handed: that of the willing case, else `json`.
    pub fn format(&self) -> &str {
        self.willing().map_or("json", Case::format)
    }

    /// What a receiver that takes everything answers.
    pub fn acceptance(&self) -> Result<Step> {
        Ok(self.willing().map(Case::last_reply).transpose()?.flatten().unwrap_or(Step::Accept))
    }

    /// A receiver that takes everything.
    pub fn accepting(&self) -> Result<Script> {
        Ok(Script::always(self.acceptance()?))
    }

    /// The least configuration that it takes: what its manifest's schema requires, with plain values.
    pub fn least_config(&self) -> Result<String> {
        let Some(schema) = self.inspection.manifest.as_ref().and_then(|manifest| manifest.config_schema.as_ref()) else { return Ok("{}".to_owned()) };
        let schema: Value = serde_json::from_str(schema.get())?;
        let mut config = serde_json::Map::new();
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let property = &schema["properties"][key];
            let value = match property["type"].as_str() {
                _ if property["examples"][0].is_string() => property["examples"][0].clone(),
                Some("string") => property["enum"][0].as_str().unwrap_or("conformance").into(),
                Some("integer" | "number") => property["minimum"].as_u64().unwrap_or(1).into(),
                Some("boolean") => false.into(),
                other => {
                    bail!("`{key}` is required and of type {other:?}: no plain value fits; mark a case with `willing = true`, and its configuration is used")
                }
            };
            config.insert(key.to_owned(), value);
        }
        Ok(Value::Object(config).to_string())
    }
}
