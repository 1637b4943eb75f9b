//! `connector.toml`, and what the build makes of it: the custom section `bulkhead:manifest` at a component's top
//! level, where it is read without running or compiling anything.
//!
//! The section is what `connector.toml` says plus the JSON Schema of the configuration: the one that the configuration
//! type left in the core module (custom section `bulkhead:config-schema`), or one handed in.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{Parser, Payload};

/// Name of the file beside a guest's sources.
pub const FILE: &str = "connector.toml";
const MANIFEST_SECTION: &str = "bulkhead:manifest";
const SCHEMA_SECTION: &str = "bulkhead:config-schema";
/// The host contract that guests are built for; counted apart from the WIT version.
const CONTRACT: u32 = 1;

/// Why a manifest cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("connector.toml: {0}")]
    Toml(Box<toml::de::Error>),
    #[error("connector.toml: {0}")]
    Invalid(String),
    #[error("the component does not parse")]
    Component(#[from] wasmparser::BinaryReaderError),
    #[error("the schema of the configuration is no JSON")]
    Schema(#[source] serde_json::Error),
}

/// `connector.toml`, and with the schema the manifest.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(skip_deserializing)]
    contract: u32,
    pub name: String,
    pub version: String,
    vendor: String,
    pub kind: Kind,
    /// What it talks to or makes, for people.
    system: String,
    /// Versions of the system that it was tried against.
    #[serde(default)]
    tested: Vec<String>,
    #[serde(default)]
    operations: Vec<Operation>,
    /// Names of the formats that a connector takes; any where empty.
    #[serde(default)]
    accepts: Vec<String>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    wants: Vec<Want>,
    /// Names of metrics of its own.
    #[serde(default)]
    metrics: Vec<String>,
    docs: String,
    #[serde(skip_deserializing)]
    config_schema: serde_json::Value,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Connector,
    Formatter,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Connector => "connector",
            Self::Formatter => "formatter",
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Deliver,
    Check,
    Settle,
    Pull,
    Query,
    Receive,
    Maintain,
    Format,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_events: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u32>,
    /// Most calls at once that make sense; 1 where order or a file demands it.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
}

/// One thing that the operator is asked to grant.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Want {
    interface: Interface,
    /// Name of the destination or directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<String>,
    reason: String,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Interface {
    Http,
    Tcp,
    Udp,
    Files,
    State,
    Credentials,
    Metrics,
}

impl Interface {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Files => "files",
            Self::State => "state",
            Self::Credentials => "credentials",
            Self::Metrics => "metrics",
        }
    }
}

impl Manifest {
    /// The interfaces that it asks for, each once.
    pub fn interfaces(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.wants.iter().map(|want| want.interface.name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Reads and checks a `connector.toml`.
    pub fn read(file: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(file).map_err(|source| ManifestError::Read { path: file.to_owned(), source })?;
        Self::parse(&text)
    }

    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|error| ManifestError::Toml(Box::new(error)))?;
        let invalid = |problem: String| Err(ManifestError::Invalid(problem));
        if manifest.operations.is_empty() {
            return invalid("`operations` is empty".to_owned());
        }
        if manifest.kind == Kind::Connector && manifest.accepts.is_empty() {
            return invalid("`accepts` is empty; formats by name or media type, or \"*\" for any".to_owned());
        }
        if let Some(want) = manifest.wants.iter().find(|want| want.reason.trim().is_empty()) {
            return invalid(format!("a want ({:?}) has no reason; the operator who grants it reads it", want.interface));
        }
        Ok(manifest)
    }

    /// What configurations and files call it: a formatter has `format-` in front.
    pub fn component(&self) -> String {
        match self.kind {
            Kind::Formatter => format!("format-{}", self.name),
            Kind::Connector => self.name.clone(),
        }
    }

    /// Configurations name components, which are found by file name: where the folder gives that, it is the same.
    pub fn in_folder(self, folder: &str) -> Result<Self, ManifestError> {
        let expected = self.component();
        if expected != folder {
            let problem = format!("`name = \"{}\"` belongs into a folder `{expected}`, this one is `{folder}`", self.name);
            return Err(ManifestError::Invalid(problem));
        }
        Ok(self)
    }

    /// Adds the section to a component. `schema` is the configuration's JSON Schema where the component does not carry
    /// it; without either any object is taken.
    pub fn append(&self, component: &mut Vec<u8>, schema: Option<&[u8]>) -> Result<(), ManifestError> {
        let carried = carried_schema(component)?;
        let mut json = serde_json::to_value(self).map_err(ManifestError::Schema)?;
        json["contract"] = CONTRACT.into();
        json["config_schema"] = match carried.as_deref().or(schema) {
            Some(schema) => serde_json::from_slice(schema).map_err(ManifestError::Schema)?,
            None => serde_json::json!({"type": "object"}),
        };
        let data = serde_json::to_vec(&json).map_err(ManifestError::Schema)?;
        CustomSection { name: MANIFEST_SECTION.into(), data: data.into() }.append_to_component(component);
        Ok(())
    }
}

/// The schema that the configuration type left in the core module.
fn carried_schema(component: &[u8]) -> Result<Option<Vec<u8>>, wasmparser::BinaryReaderError> {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::CustomSection(section) = payload?
            && section.name() == SCHEMA_SECTION
        {
            return Ok(Some(section.data().to_vec()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
