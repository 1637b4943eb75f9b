//! The index template: shards, replicas and refresh interval of the indices that rotation makes.
//! Protocol: Elastic, "Create or update an index template" (9.x); OpenSearch has the same calls.

use bulkhead_sdk::{Config, Delivery, Failure, Writer, http, log};

use crate::Rotation;

/// Above the 100 of Elastic's own templates for `logs-*-*` and the like.
const PRIORITY: i64 = 200;

/// What new indices are made with.
#[derive(Debug, Config)]
pub struct Template {
    /// Name of the template at the cluster: lower case letters, digits, `.`, `-` and `_`.
    #[config(min = 1, max = 200)]
    pub name: String,
    /// Primary shards of each index.
    #[config(default = 1, min = 1, max = 1024)]
    pub shards: u32,
    /// Copies of each shard.
    #[config(default = 1, max = 100)]
    pub replicas: u32,
    /// How often new documents are made visible: `500ms`, `30s`, `5m`; `-1` for never by itself.
    #[config(default = "30s")]
    pub refresh: String,
}

impl Template {
    pub fn check(&self) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
        if !self.name.bytes().all(plain) || !self.name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Err(format!("`template.name` is \"{}\"; it has lower case letters, digits, . - _ and begins with a letter or digit", self.name));
        }
        let digits = self.refresh.bytes().take_while(u8::is_ascii_digit).count();
        let interval = (1..=9).contains(&digits) && matches!(self.refresh.get(digits..), Some("ms" | "s" | "m" | "h"));
        if !interval && self.refresh != "-1" {
            return Err(format!("`template.refresh` is \"{}\"; it is a time such as 30s, or -1", self.refresh));
        }
        Ok(())
    }

    fn path(&self) -> String {
        format!("/_index_template/{}", self.name)
    }

    fn body(&self, index: &str, rotation: Rotation) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        out.literal(b"{\"index_patterns\":[\"");
        out.json_fragment(index.as_bytes());
        out.bytes(if rotation == Rotation::None { b"\"" } else { b"-*\"" });
        out.literal(b"],\"priority\":");
        out.number(PRIORITY);
        out.literal(b",\"template\":{\"settings\":{\"number_of_shards\":");
        out.unsigned(self.shards.into());
        out.literal(b",\"number_of_replicas\":");
        out.unsigned(self.replicas.into());
        out.literal(b",\"refresh_interval\":");
        out.json_string(self.refresh.as_bytes());
        out.literal(b"}}}");
        out.into_bytes()
    }

    /// Puts the template where there is none of its name; one that is there is left as it is.
    pub fn install(&self, index: &str, rotation: Rotation) -> Result<(), Failure> {
        if self.is_there()? {
            return Ok(());
        }
        // With `create` a template that another puts meanwhile is not overwritten.
        let path = format!("{}?create=true", self.path());
        let answer = http::request("PUT", "primary", &path).header("content-type", "application/json").body(self.body(index, rotation)).send()?;
        if answer.status == 400 && self.is_there()? {
            return Ok(());
        }
        Delivery::success(&answer).map_err(|failure| self.words(failure))?;
        log::info(&format!("index template {} was put", self.name));
        Ok(())
    }

    fn is_there(&self) -> Result<bool, Failure> {
        let answer = http::get("primary", &self.path()).send()?;
        if answer.status == 404 {
            return Ok(false);
        }
        Delivery::success(&answer).map_err(|failure| self.words(failure))?;
        Ok(true)
    }

    /// Failures say that it is about the template: the credential may do for events.
    fn words(&self, failure: Failure) -> Failure {
        let name = &self.name;
        match failure {
            Failure::Unauthorized(reason) => {
                Failure::Unauthorized(format!("index template {name}: {reason}; it needs the privilege manage_index_templates, or leave `template` out"))
            }
            Failure::Configuration(reason) => Failure::Configuration(format!("index template {name}: {reason}")),
            Failure::Unavailable { reason, after } => Failure::Unavailable { reason: format!("index template {name}: {reason}"), after },
            other => other,
        }
    }
}
