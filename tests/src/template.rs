//! Generated audit events of the copybook shape, about 640 bytes each, of several types. A batch is
//! laid out once; for each request only the ids change, in place.

use crate::marker::{LENGTH, Marker};

/// How the events of a request body are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One JSON object a line.
    Lines,
    /// A JSON array.
    Array,
    /// A single object.
    Object,
}

impl Layout {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ndjson" => Some(Self::Lines),
            "array" => Some(Self::Array),
            "object" => Some(Self::Object),
            _ => None,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Array | Self::Object => "application/json",
        }
    }
}

/// A request body with the places of its ids.
#[derive(Debug, Clone)]
pub struct Batch {
    pub body: Vec<u8>,
    places: Vec<usize>,
}

const SEVERITIES: [&str; 5] = ["Info", "Low", "Medium", "High", "Critical"];
const TYPES: [(&str, &str); 4] = [
    ("AccessEvent", r#""payload":{"resource":"/mainframe/prod/CUSTOMER.MASTER","access_type":"read","result":"granted","bytes_read":18432}"#),
    ("DataValidation", r#""payload":{"input_file":"/data/incoming/accounts-0427.dat","records_validated":125000,"result":"passed"}"#),
    ("SecurityEvent", r#""payload":{"security_event_type":"UnauthorizedAccess","affected_resources":["CUSTOMER.MASTER","GL.LEDGER"]}"#),
    ("PerformanceMeasurement", r#""payload":{"operation_name":"decode","throughput_mbps":812.5,"memory_used_mb":96,"duration_ms":1834}"#),
];

impl Batch {
    /// `events` of them, at least 1.
    pub fn new(events: usize, layout: Layout) -> Self {
        let mut batch = Self { body: Vec::with_capacity(events * 660), places: Vec::with_capacity(events) };
        for i in 0..events {
            match (layout, i) {
                (Layout::Array, 0) => batch.body.push(b'['),
                (Layout::Array, _) => batch.body.push(b','),
                (Layout::Lines, 0) | (Layout::Object, _) => {}
                (Layout::Lines, _) => batch.body.push(b'\n'),
            }
            batch.event(i);
        }
        if layout == Layout::Array {
            batch.body.push(b']');
        }
        batch
    }

    fn event(&mut self, i: usize) {
        const OPEN: &str = r#"{"event_id":""#;
        let (kind, payload) = TYPES[i % TYPES.len()];
        let severity = SEVERITIES[(i / 3) % SEVERITIES.len()];
        self.body.extend_from_slice(OPEN.as_bytes());
        self.places.push(self.body.len());
        self.body.resize(self.body.len() + LENGTH, b'0');
        self.body.extend_from_slice(
            format!(
                concat!(
                    r#"","timestamp":"2026-11-02T08:15:{:02}.{:06}Z","event_type":"{}","severity":"{}","#,
                    r#""integrity_hash":"9f2c5a7d1e4b8036c1d2e3f4a5b697887766554433221100ffeeddccbbaa{:04x}","#,
                    r#"{},"context":{{"operation_id":"op-{:06}","user":"batch.user{:02}","started_at":"2026-11-02T08:15:00Z","#,
                    r#""environment":{{"hostname":"mf-gateway-{:02}","process_id":4711,"version":"0.3.1"}},"#,
                    r#""security":{{"classification":"MaterialTransaction","permissions":["read"]}},"compliance_profiles":["SOX","GDPR"],"metadata":{{"team":"ledger"}}}}}}"#
                ),
                i % 60,
                i * 997 % 1_000_000,
                kind,
                severity,
                i & 0xffff,
                payload,
                i % 1_000_000,
                i % 40,
                i % 8,
            )
            .as_bytes(),
        );
    }

    /// Puts bytes in front of the body, such as the head of a request.
    pub fn prefix(&mut self, head: &[u8]) {
        self.body.splice(..0, head.iter().copied());
        self.places.iter_mut().for_each(|place| *place += head.len());
    }

    pub fn events(&self) -> usize {
        self.places.len()
    }

    /// Puts in the ids `first`, `first + 1`, …
    pub fn stamp(&mut self, run: u32, first: u64, nanos: u64) {
        for (number, place) in (first..).zip(&self.places) {
            Marker { run, number, nanos }.write(&mut self.body[*place..*place + LENGTH]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::marker::Markers;

    #[test]
    fn events_are_valid_json_of_the_announced_size() {
        for (layout, count) in [(Layout::Lines, 100), (Layout::Array, 100), (Layout::Object, 1)] {
            let mut batch = Batch::new(count, layout);
            batch.stamp(7, 1000, 99);
            let events: Vec<Value> = match layout {
                Layout::Lines => batch.body.split(|b| *b == b'\n').map(|line| serde_json::from_slice(line).expect("line parses")).collect(),
                Layout::Array => serde_json::from_slice(&batch.body).expect("array parses"),
                Layout::Object => vec![serde_json::from_slice(&batch.body).expect("object parses")],
            };
            assert_eq!(events.len(), count);
            let mean = batch.body.len() / count;
            assert!((600..=680).contains(&mean), "{mean} bytes an event");
            let finder = Markers::finder();
            let numbers: Vec<u64> = Markers::new(&batch.body, &finder).map(|marker| marker.number).collect();
            assert_eq!(numbers, (1000..1000 + count as u64).collect::<Vec<_>>());
        }
    }
}
