//! Changing an incident. PUT replaces it as a whole, so it is read first, changed, and sent with its etag; where
//! somebody else was quicker (409) all of it once more.

use bulkhead_sdk::{Config, Failure, Writer, http, json};

use crate::{Incidents, text};

/// Attempts against others who change the same incident.
const ATTEMPTS: u32 = 3;

/// What can be written; all else of `properties` is Sentinel's own.
const WRITABLE: [&str; 11] = [
    "title",
    "description",
    "severity",
    "status",
    "owner",
    "labels",
    "classification",
    "classificationReason",
    "classificationComment",
    "firstActivityTimeUtc",
    "lastActivityTimeUtc",
];

/// What is asked for; what is absent stays.
#[derive(Config)]
pub struct Update {
    /// The incident's name, a GUID.
    #[config(min = 1, max = 100)]
    id: String,
    status: Option<Status>,
    severity: Option<Severity>,
    classification: Option<Classification>,
    classification_reason: Option<Reason>,
    #[config(min = 1, max = 2000)]
    classification_comment: Option<String>,
    #[config(min = 1, max = 500)]
    title: Option<String>,
}

macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal),* })*) => { $(
        #[derive(Config, Clone, Copy)]
        enum $name { $(#[config(rename = $word)] $variant),* }
        impl $name {
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    )* };
}
words! {
    Status { New = "New", Active = "Active", Closed = "Closed" }
    Severity { High = "High", Medium = "Medium", Low = "Low", Informational = "Informational" }
    Classification { Undetermined = "Undetermined", TruePositive = "TruePositive", BenignPositive = "BenignPositive", FalsePositive = "FalsePositive" }
    Reason {
        SuspiciousActivity = "SuspiciousActivity", SuspiciousButExpected = "SuspiciousButExpected",
        IncorrectAlertLogic = "IncorrectAlertLogic", InaccurateData = "InaccurateData"
    }
}

impl Update {
    /// The new value of a property.
    fn of(&self, name: &str) -> Option<&str> {
        match name {
            "status" => self.status.map(Status::word),
            "severity" => self.severity.map(Severity::word),
            "classification" => self.classification.map(Classification::word),
            "classificationReason" => self.classification_reason.map(Reason::word),
            "classificationComment" => self.classification_comment.as_deref(),
            "title" => self.title.as_deref(),
            _ => None,
        }
    }
}

pub fn update(incidents: &Incidents, update: &Update) -> Result<String, Failure> {
    if matches!(update.status, Some(Status::Closed)) && update.classification.is_none() {
        return Err(Failure::Other("parameters: `classification` is missing; an incident is closed with one".to_owned()));
    }
    let path = incidents.path(&format!("/{}", http::percent(update.id.as_bytes())));
    let mut attempt = 1;
    loop {
        let there = Incidents::send(http::get("primary", &path))?;
        let request = http::request("PUT", "primary", &path).header("content-type", "application/json").body(changed(text(&there)?, update)?);
        match request.send()? {
            response if response.status == 409 && attempt < ATTEMPTS => attempt += 1,
            response if (200..300).contains(&response.status) => return Ok(text(&response)?.to_owned()),
            response => return Err(crate::refusal(&response)),
        }
    }
}

/// The incident with the changes, as PUT takes it.
fn changed(there: &str, update: &Update) -> Result<Vec<u8>, Failure> {
    let strange = || Failure::Other("Azure answered no incident".to_owned());
    let incident = json::value(there).ok_or_else(strange)?;
    let properties = incident.member("properties");
    if !properties.member("title").is_string() {
        return Err(strange());
    }
    let mut out = Writer::with_capacity(there.len());
    out.literal(b"{\"etag\":");
    out.json(incident.member("etag"));
    out.literal(b",\"properties\":{");
    let mut first = true;
    for name in WRITABLE {
        let (new, old) = (update.of(name), properties.member(name));
        if new.is_none() && !old.is_some() {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.byte(b',');
        }
        out.json_string(name.as_bytes());
        out.byte(b':');
        match new {
            Some(new) => out.json_string(new.as_bytes()),
            None => out.json(old),
        }
    }
    out.literal(b"}}");
    Ok(out.into_bytes())
}
