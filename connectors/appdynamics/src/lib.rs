//! Splunk AppDynamics: flat events published to a schema of one's own, through the Analytics Events API.
//! Protocol: Splunk AppDynamics, "Analytics Events API" (26.x): schema creation and publishing.
//!
//! Promised: the schema is created where there is none of its name, before the first event; a request holds at most
//! 1,000 events and a megabyte, a text at most 4,096 bytes; a value that does not fit its type is left out, not
//! sent as another. A refused request is sent in halves until the event at fault stands alone.

use std::collections::BTreeMap;

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Entries, Event, Failure, Limits, RecordFormat, Room, Writer, http, log};

mod fields;

use fields::{Fields, Type};

const MEDIA: &str = "application/vnd.appd.events+json;v=2";
const ROOM: Room = Room { entry: 1_000_000, body: 1_000_000 };

/// Which schema, and what goes into it.
#[derive(Debug, Config)]
pub struct Settings {
    /// Global account name, sent as `x-events-api-accountname`.
    #[config(min = 1, max = 255)]
    account_name: String,
    /// Name of the schema.
    #[config(default = "bulkhead_audit", min = 1, max = 255)]
    schema: String,
    /// Creates the schema where there is none of this name.
    #[config(default = true)]
    create_schema: bool,
    /// More fields: name to pointer, for example `team: /metadata/team`.
    fields: Option<BTreeMap<String, String>>,
    /// Types of `fields` that are no texts: `integer`, `float`, `boolean`, `date`.
    types: Option<BTreeMap<String, Type>>,
    /// Adds the formatted record as text `record`, cut at 4,096 bytes.
    #[config(default = false)]
    record: bool,
}

#[derive(Debug)]
pub struct AppDynamics {
    settings: Settings,
    fields: Fields,
    /// The schema was seen to be there, or is not looked for.
    ready: bool,
}

impl AppDynamics {
    fn request(&self, method: &str, what: &str) -> http::Request {
        http::request(method, "primary", &format!("/events/{what}/{}", self.settings.schema))
            .header("content-type", MEDIA)
            .header("accept", MEDIA)
            .header("x-events-api-accountname", &self.settings.account_name)
    }

    /// Whether the service has the schema; 404 says that the key is good and the schema is not there.
    fn has_schema(&self) -> Result<bool, Failure> {
        let answer = self.request("GET", "schema").send()?;
        if answer.status == 404 {
            return Ok(false);
        }
        judge(&answer)?;
        Ok(true)
    }

    fn see_to_schema(&mut self) -> Result<(), Failure> {
        if self.ready || !self.settings.create_schema {
            return Ok(());
        }
        if !self.has_schema()? {
            let answer = self.request("POST", "schema").body(self.fields.schema()).send()?;
            // Another may have created it meanwhile.
            if answer.status != 409 {
                judge(&answer)?;
                log::info(&format!("schema {} was created", self.settings.schema));
            }
        }
        self.ready = true;
        Ok(())
    }

    fn send(&mut self, body: Vec<u8>, count: usize) -> Result<Delivery, Failure> {
        match self.request("POST", "publish").body(body).send() {
            // A schema that somebody deleted is seen to again.
            Ok(answer) if answer.status == 404 => {
                self.ready = false;
                let name = &self.settings.schema;
                Err(Failure::Configuration(format!("{}; is there a schema {name}? Create it, or set `create_schema`", Delivery::reason(&answer))))
            }
            Ok(answer) if matches!(answer.status, 406 | 415) => Err(Failure::Configuration(Delivery::reason(&answer))),
            answer => Delivery::of(answer, count)?.halves(count),
        }
    }
}

/// An answer about the schema.
fn judge(answer: &http::Response) -> Result<(), Failure> {
    Delivery::success(answer).map_err(|failure| match failure {
        Failure::Configuration(reason) => Failure::Configuration(format!("schema: {reason}")),
        other => other,
    })
}

impl Connector for AppDynamics {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        if !settings.account_name.bytes().all(|byte| (33..=126).contains(&byte)) {
            return Err("`account_name` is printable ASCII without spaces".to_owned());
        }
        if !fields::is_name(&settings.schema) {
            return Err(format!("`schema` is \"{}\"; it begins with a letter and has letters, digits and _", settings.schema));
        }
        let fields = Fields::new(settings.fields.as_ref(), settings.types.as_ref(), settings.record)?;
        Ok(Self { settings, fields, ready: false })
    }

    fn fields(&self) -> Vec<&str> {
        self.fields.pointers()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(1000), max_bytes: Some(1 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        self.see_to_schema()?;
        let entries = Entries::write(batch, (b"[", b"]"), ROOM, |record, event: &Event<'_>, out: &mut Writer| {
            self.fields.write(record, event, out);
            Ok(())
        });
        entries.deliver(|body, count| self.send(body, count))
    }

    fn check(&mut self) -> Result<String, Failure> {
        let name = self.settings.schema.clone();
        if self.settings.create_schema {
            self.ready = false;
            self.see_to_schema()?;
            return Ok(format!("the Events Service takes the key, and the schema {name} is there"));
        }
        if self.has_schema()? {
            return Ok(format!("the Events Service takes the key, and the schema {name} is there"));
        }
        Err(Failure::Configuration(format!("the Events Service takes the key, but has no schema {name}; create it, or set `create_schema`")))
    }
}

bulkhead_sdk::export_connector!(AppDynamics);

#[cfg(test)]
mod tests;
