//! Elasticsearch and OpenSearch: documents through `POST /_bulk`.
//! Protocol: Elastic, "Bulk API" (9.x); OpenSearch, "Bulk" (3.x), which differs in names of errors only.
//!
//! Promised: each event has the outcome of its own item; with `op: create` an event that is there already,
//! from an attempt whose answer was lost, counts as delivered; ids are made from the event's, so that
//! no attempt makes a second document; an index template is put only where there is none of its name.
//! Refused at the start: formats whose records are no JSON.

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, RecordFormat, Value, Writer, fields, http, json, message_id};

mod answer;
mod index;
mod query;
mod template;

use template::Template;

fields! { mod field { ID = "/id", SOURCE = "/source", TIME = "/time", RECEIVED = "/received" } }

/// What the answer is shortened to: outcomes and reasons.
const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";
/// Bytes that an action line adds to its document, as a guess.
const OVERHEAD: usize = 128;

/// Where documents go.
#[derive(Debug, Config)]
pub struct Settings {
    /// Index, alias or data stream; with `rotation` what its name begins with.
    #[config(min = 1, max = 200)]
    index: String,
    /// Appends the date of the event (UTC) to `index`: `-2026.01.02`, `-2026.w01`, `-2026.01`.
    #[config(default = "none")]
    rotation: Rotation,
    /// `create`, which data streams demand, never overwrites; `index` does.
    #[config(default = "create")]
    op: Op,
    /// Ids of documents: made from the event's, or chosen by the cluster, which then keeps every repetition.
    #[config(default = "event")]
    id: Id,
    /// Ingest pipeline.
    #[config(min = 1, max = 255)]
    pipeline: Option<String>,
    /// Compresses requests.
    #[config(default = false)]
    gzip: bool,
    /// Index template for `index`, put before the first event where the cluster has none of this name.
    template: Option<Template>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Rotation {
    None,
    Daily,
    Weekly,
    Monthly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Op {
    Create,
    Index,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Id {
    Event,
    Cluster,
}

#[derive(Debug)]
pub struct Elasticsearch {
    settings: Settings,
    /// `{"create":{"pipeline":"…","_index":"audit`
    begin: Vec<u8>,
    /// The template was seen to be there, or none is asked for.
    templated: bool,
}

impl Elasticsearch {
    fn see_to_template(&mut self) -> Result<(), Failure> {
        if let Some(template) = self.settings.template.as_ref().filter(|_| !self.templated) {
            template.install(&self.settings.index, self.settings.rotation)?;
        }
        self.templated = true;
        Ok(())
    }

    fn body(&self, batch: &Batch<'_>) -> Vec<u8> {
        let mut out = Writer::with_capacity(batch.records.bytes().len() + batch.len() * (OVERHEAD + self.begin.len()));
        for (record, event) in batch.iter() {
            out.bytes(&self.begin);
            let moment = event.time([field::TIME, field::RECEIVED]);
            index::suffix(self.settings.rotation, moment, &mut out);
            if self.settings.id == Id::Event {
                let id = event.get(field::ID).text().unwrap_or_default();
                let source = event.get(field::SOURCE).text().unwrap_or_default();
                out.literal(b"\",\"_id\":\"");
                // Letters, digits, `-` and `_` only.
                out.bytes(message_id::of_event_and_source(&source, &id).as_bytes());
            }
            out.literal(b"\"}}\n");
            out.one_line(record.trim_ascii());
            out.literal(b"\n");
        }
        out.into_bytes()
    }
}

impl Connector for Elasticsearch {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        index::check(&settings.index)?;
        if !format.is_json() {
            return Err(format!("documents are JSON, and this lane's format is {} ({}); choose ecs or json", format.name, format.content_type));
        }
        if let Some(template) = &settings.template {
            template.check()?;
        }
        let mut begin = Writer::default();
        begin.bytes(if settings.op == Op::Create { b"{\"create\":{" } else { b"{\"index\":{" });
        if let Some(pipeline) = &settings.pipeline {
            begin.literal(b"\"pipeline\":");
            begin.json_string(pipeline.as_bytes());
            begin.literal(b",");
        }
        begin.literal(b"\"_index\":\"");
        begin.json_fragment(settings.index.as_bytes());
        Ok(Self { settings, begin: begin.into_bytes(), templated: false })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        // Requests of 5 to 15 MB are the vendor's advice; action lines come on top of the records.
        Limits { max_events: Some(5000), max_bytes: Some(4 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        self.see_to_template()?;
        let body = self.body(batch);
        let request = http::post("primary", PATH).header("content-type", "application/x-ndjson").gzip(self.settings.gzip).body(body);
        match request.send() {
            Ok(response) => answer::read(&response, batch.len(), self.settings.op),
            answer => Delivery::of(answer, batch.len()),
        }
    }

    fn query(&mut self, operation: &str, parameters: &str) -> Result<String, Failure> {
        query::answer(&self.settings.index, operation, parameters)
    }

    /// The root says who is there, and lets nobody in without a key.
    fn check(&mut self) -> Result<String, Failure> {
        let response = http::get("primary", "/").send()?;
        Delivery::success(&response)?;
        let body = std::str::from_utf8(&response.body).unwrap_or_default();
        let text = |value: Value<'_>, name: &str| Some(String::from_utf8_lossy(&value.member(name).text()?).into_owned());
        let version = json::value(body).map(|root| root.member("version"));
        let Some((number, distribution)) = version.and_then(|version| Some((text(version, "number")?, text(version, "distribution")))) else {
            return Err(Failure::Configuration("the receiver answered without a version; is the destination's `url` the root of a cluster?".to_owned()));
        };
        self.see_to_template()?;
        let templated = if self.settings.template.is_some() { "; the index template is there" } else { "" };
        Ok(format!("{} {number} answers and takes the credential{templated}", distribution.as_deref().unwrap_or("Elasticsearch")))
    }
}

bulkhead_sdk::export_connector!(Elasticsearch);

#[cfg(test)]
mod tests;
