//! IBM QRadar: values of events become entries of a reference set, for rules that ask whether a value is known.
//! Protocol: IBM, "QRadar RESTful API" (20.0): `/reference_data_collections/set_entries`.
//!
//! Promised: an entry that is there already is refreshed, so that no repetition makes a second one; a value that
//! the set does not take costs only its event.

use std::collections::BTreeMap;

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Event, Failure, Field, Kind, Limits, Outcome, Pointers, RecordFormat, Writer, fields, http, json};

fields! { mod field { ID = "/id" } }

const ENTRIES: &str = "/api/reference_data_collections/set_entries";
/// Entries are added one by one: a call that is cut off would add the others again.
const EVENTS: u32 = 20;
/// The console's longest value is not documented; longer ones are no names, addresses or hashes.
const VALUE_BYTES: usize = 2_000;

/// Which set, and what goes into it.
#[derive(Debug, Config)]
pub struct Settings {
    /// Number of the reference set, as `GET /api/reference_data_collections/sets` tells it.
    #[config(min = 0, example = 1)]
    collection_id: u64,
    /// Field of the event whose value is added, for example `/srcip`.
    #[config(min = 2, max = 500, example = "/id")]
    value: String,
    /// Where entries come from, as analysts see it.
    #[config(default = "bulkhead", min = 1, max = 100)]
    source: String,
    /// Version of the API that every request names.
    #[config(default = "20.0", min = 3, max = 8)]
    api_version: String,
}

#[derive(Debug)]
pub struct Reference {
    settings: Settings,
    value: Field,
    pointers: Pointers,
}

impl Reference {
    fn request(&self, method: &str, path: &str) -> http::Request {
        http::request(method, "primary", path).header("version", &self.settings.api_version).header("accept", "application/json")
    }

    /// What becomes of one value.
    fn add(&self, value: &str) -> Result<Outcome, Failure> {
        let mut out = Writer::default();
        out.literal(b"{\"collection_id\":");
        out.unsigned(self.settings.collection_id);
        out.literal(b",\"value\":");
        out.json_string(value.as_bytes());
        out.literal(b",\"source\":");
        out.json_string(self.settings.source.as_bytes());
        out.byte(b'}');
        let response = self.request("POST", ENTRIES).header("content-type", "application/json").body(out.into_bytes()).send()?;
        let set = || format!("check `collection_id`, and what the authorized service may do: {}", Delivery::reason(&response));
        match response.status {
            404 => Err(Failure::Configuration(set())),
            403 => Err(Failure::Unauthorized(set())),
            _ => match Delivery::of_response(&response, 1)? {
                Delivery::All(outcome) => Ok(outcome),
                Delivery::Each(_) => Err(Failure::Other("one value has one outcome".to_owned())),
            },
        }
    }

    fn of(&self, event: &Event<'_>) -> Option<String> {
        event.get(self.value).text().map(|text| String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty())
    }
}

impl Connector for Reference {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        let mut pointers = Pointers::new(field::ALL);
        let value = pointers.add("value", &settings.value)?;
        Ok(Self { settings, value, pointers })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(EVENTS), max_bytes: None }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        // The same value once, for all events that have it.
        let mut known: BTreeMap<String, Outcome> = BTreeMap::new();
        for place in 0..batch.len() {
            let made = match self.of(&batch.event(place)) {
                // Nothing to add is nothing to wait for.
                None => Outcome::Accepted(None),
                Some(value) if value.len() > VALUE_BYTES => {
                    Outcome::Rejected(format!("the value at {} has {} bytes, at most {VALUE_BYTES} are sent", self.settings.value, value.len()))
                }
                Some(value) => match known.get(&value) {
                    Some(outcome) => outcome.clone(),
                    None => match self.add(&value) {
                        Ok(outcome) => known.entry(value).or_insert(outcome).clone(),
                        Err(failure) => return Delivery::with_failure(outcomes, failure),
                    },
                },
            };
            outcomes[place] = Some(made);
        }
        Ok(Delivery::Each(outcomes.into_iter().flatten().collect()))
    }

    fn check(&mut self) -> Result<String, Failure> {
        let path = format!("/api/reference_data_collections/sets?filter=id%3D{}&fields=id%2Cname", self.settings.collection_id);
        let response = self.request("GET", &path).send()?;
        Delivery::success(&response)?;
        let sets = std::str::from_utf8(&response.body).ok().and_then(json::value).filter(|sets| sets.kind() == Kind::Array);
        match sets.map(|sets| sets.elements().next().and_then(|set| set.member("name").text())) {
            Some(Some(name)) => Ok(format!("the reference set \"{}\" is there", String::from_utf8_lossy(&name))),
            Some(None) => Err(Failure::Configuration(format!("there is no reference set {}; check `collection_id`", self.settings.collection_id))),
            None => Err(Failure::Configuration("the answer is no list of reference sets; is the destination's `url` a QRadar console?".to_owned())),
        }
    }
}

bulkhead_sdk::export_connector!(Reference);

#[cfg(test)]
mod tests;
