//! Records that a pull brings, as events: type `record.<kind>`, the record as it came under `data`.

use crate::severity::Severity;
use crate::time::Timestamp;
use crate::value::Value;
use crate::writer::Writer;

/// One record of a foreign system, as it was at one moment.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What it is: `offense`, `incident`, `indicator` …
    pub kind: &'a str,
    /// The same for the same record at the same moment, so that what a crash repeats is known.
    pub id: &'a str,
    pub source: &'a str,
    /// The foreign system's name for it.
    pub subject: &'a str,
    /// When the foreign system last changed it; the time of receipt where it does not say.
    pub time: Option<Timestamp<'a>>,
    pub severity: Option<Severity>,
    pub data: Value<'a>,
}

impl Record<'_> {
    pub fn event(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.data.raw().len() + 256);
        out.literal(b"{\"specversion\":\"1.0\",\"id\":");
        out.json_string(self.id.as_bytes());
        out.literal(b",\"source\":");
        out.json_string(self.source.as_bytes());
        out.literal(b",\"type\":\"record.");
        out.json_fragment(self.kind.as_bytes());
        out.literal(b"\",\"subject\":");
        out.json_string(self.subject.as_bytes());
        if let Some(time) = self.time {
            out.literal(b",\"time\":\"");
            time.write_utc(&mut out);
            out.byte(b'"');
        }
        if let Some(severity) = self.severity {
            out.literal(b",\"severity\":\"");
            out.bytes(severity.name().as_bytes());
            out.byte(b'"');
        }
        out.literal(b",\"data\":");
        out.json(self.data);
        out.byte(b'}');
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_record_is_an_event() {
        let record = Record {
            kind: "offense",
            id: "7\"-1",
            source: "siem",
            subject: "7\"",
            time: Some(Timestamp { seconds: 1_767_323_045, fraction: b"120" }),
            severity: None,
            data: json::value("{\"n\": 1.10}").unwrap(),
        };
        let want = r#"{"specversion":"1.0","id":"7\"-1","source":"siem","type":"record.offense","subject":"7\"","time":"2026-01-02T03:04:05.120Z","data":{"n": 1.10}}"#;
        assert_eq!(String::from_utf8(record.event()).unwrap(), want);
        let high = Record { severity: Some(Severity::High), ..record };
        assert!(String::from_utf8(high.event()).unwrap().contains(r#","severity":"high","data""#));
    }
}
