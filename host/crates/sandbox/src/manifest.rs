//! The manifest section `bulkhead:manifest` at a component's top level: JSON that the build command
//! writes. It is hostile input: bounded, checked, never trusted over the component's imports.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Name of the custom section.
pub const SECTION: &str = "bulkhead:manifest";
/// Largest section; the configuration schema is most of it.
pub const MAX_SECTION: usize = 256 << 10;
/// The host contract that this host speaks, counted apart from the versions of the interfaces.
pub const HOST_CONTRACT: u32 = 1;
const MAX_TEXT: usize = 1_024;
const MAX_LIST: usize = 256;

/// Connector or formatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// What a component says about itself. Unknown keys are for later hosts.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// Host contract that it was written for; the first where absent.
    #[serde(default)]
    pub contract: Option<u32>,
    pub name: String,
    pub version: String,
    pub kind: Kind,
    #[serde(default)]
    pub vendor: Option<String>,
    /// Type of the system it speaks to, for example `splunk`.
    #[serde(default)]
    pub system: Option<String>,
    /// Versions of that system that it was tried against.
    #[serde(default)]
    pub tested: Vec<String>,
    #[serde(default)]
    pub operations: Vec<String>,
    /// Names of numbers of its own.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// Formats that a connector takes; all where empty or `*`.or `*`.
    #[serde(default)]
    pub accepts: Vec<String>,
    #[serde(default)]
    pub limits: WantedLimits,
    /// JSON Schema of the configuration, as written.
    #[serde(default)]
    pub config_schema: Option<Box<RawValue>>,
    #[serde(default)]
    pub wants: Vec<Want>,
    /// Link to the documentation.
    #[serde(default)]
    pub docs: Option<String>,
}

/// Batch limits that fit the receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct WantedLimits {
    #[serde(default)]
    pub max_events: Option<u32>,
    #[serde(default)]
    pub max_bytes: Option<u32>,
    #[serde(default)]
    pub concurrency: Option<u32>,
}

/// Something it would like to be granted, with a reason.
#[derive(Debug, Clone, Deserialize)]
pub struct Want {
    /// Interface of the contract, for example `http`.
    pub interface: String,
    /// Name of the destination or directory, where the interface has any.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub methods: Vec<String>,
    /// Path prefixes below the destination.
    #[serde(default)]
    pub paths: Vec<String>,
    /// `read` or `write`, for files.
    #[serde(default)]
    pub access: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
}

impl Manifest {
    /// Reads a section. The error says what is wrong, without quoting long or strange text.
    pub fn parse(section: &[u8]) -> Result<Self, String> {
        if section.len() > MAX_SECTION {
            return Err(format!("has {} bytes, at most {MAX_SECTION} are read", section.len()));
        }
        let manifest: Self = serde_json::from_slice(section).map_err(|error| {
            // Serde quotes the text it met; this one is a stranger's.
            let text: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
            format!("is no manifest: {text}")
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let plain =
            |name: &str| !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
        if !plain(&self.name) {
            return Err("has a name that is not 1 to 64 of a-z, 0-9, -, _ and .".into());
        }
        if let Some(wants) = self.contract.filter(|wants| *wants > HOST_CONTRACT) {
            return Err(format!("is for host contract {wants}, this host has {HOST_CONTRACT}; use a newer host"));
        }
        let lists = [&self.operations, &self.accepts, &self.tested, &self.metrics];
        if lists.iter().any(|list| list.len() > MAX_LIST) || self.wants.len() > MAX_LIST {
            return Err(format!("has a list of more than {MAX_LIST} entries"));
        }
        if let Some(bad) = self.accepts.iter().find(|name| !plain(name) && *name != "*") {
            return Err(format!("accepts the format `{}`, which is no format name", bad.escape_default().take(64).collect::<String>()));
        }
        let wants = self.wants.iter().flat_map(|want| {
            let one = [Some(&want.interface), want.name.as_ref(), want.access.as_ref(), want.reason.as_ref()];
            one.into_iter().flatten().chain(&want.methods).chain(&want.paths)
        });
        let texts = [Some(&self.version), self.vendor.as_ref(), self.system.as_ref(), self.docs.as_ref()];
        for text in texts.into_iter().flatten().chain(&self.operations).chain(&self.tested).chain(&self.metrics).chain(wants) {
            if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                return Err(format!("has a text with control characters or of more than {MAX_TEXT} bytes"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bad(section: &str, want: &str) {
        let error = Manifest::parse(section.as_bytes()).expect_err(want);
        assert!(error.contains(want), "{error}");
        assert!(error.len() < 400 && !error.contains(char::is_control), "{error:?}");
    }

    #[test]
    fn a_whole_manifest() {
        let manifest = Manifest::parse(
            br#"{"name":"splunk-hec","version":"1.2.0","kind":"connector","vendor":"Bulkhead","system":"splunk","operations":["deliver","check"],
                "accepts":["json","cef"],"limits":{"max_events":500},"config_schema":{"type":"object","x":1e400},
                "wants":[{"interface":"http","name":"primary","methods":["POST"],"reason":"the collector"},{"interface":"state","reason":"the cursor"}],"docs":"https://docs.example","later":[1]}"#,
        )
        .expect("parses");
        assert_eq!((manifest.name.as_str(), manifest.kind, manifest.limits.max_events), ("splunk-hec", Kind::Connector, Some(500)));
        assert_eq!(manifest.config_schema.expect("there").get(), r#"{"type":"object","x":1e400}"#);
    }

    #[test]
    fn hostile_sections() {
        bad("", "no manifest");
        bad("[]", "no manifest");
        bad("{}", "missing field `name`");
        bad("\u{0}\u{1}", "no manifest");
        bad(r#"{"name":"A B","version":"1","kind":"connector"}"#, "a name that is not");
        bad(r#"{"name":"a","version":"1","kind":"virus"}"#, "unknown variant");
        bad("{\"name\":\"a\",\"version\":\"1\\u001b[2J\",\"kind\":\"connector\"}", "control characters");
        bad(r#"{"name":"a","version":"1","kind":"connector","accepts":["x y"]}"#, "no format name");
        bad(&format!(r#"{{"name":"a","version":"{}","kind":"connector"}}"#, "v".repeat(2_000)), "more than 1024");
        bad(&format!(r#"{{"name":"a","version":"1","kind":"connector","config_schema":{}"#, "[".repeat(100_000)), "no manifest");
        bad(&format!(r#"{{"name":"a","version":"1","kind":"connector","wants":[{{"later":{}"#, "[".repeat(100_000)), "no manifest");
        bad(&format!(r#"{{"name":"a","version":"1","kind":"connector","operations":[{}""]}}"#, "\"\",".repeat(300)), "more than 256");
        bad(r#"{"contract":2,"name":"a","version":"1","kind":"connector"}"#, "is for host contract 2, this host has 1; use a newer host");
        bad(&" ".repeat(MAX_SECTION + 1), "at most 262144");
        assert!(Manifest::parse(b"{\"name\":\"a\xff\"}").expect_err("not text").contains("no manifest"));
    }
}
