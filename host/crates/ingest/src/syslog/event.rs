//! From a syslog message to a stored event. The bytes stay as they came; the parsed header and content
//! become `data`.

use bulkhead_core::projection::write_rfc3339;
use bulkhead_core::{Attr, EventBuilder, Kind, Severity, Shape, Tenant};

use super::message::{Message, Version, elements, facility_name};
use crate::ids::IdMaker;
use crate::origin::{Origin, comma, member, quoted};

/// Turns messages into their stored form. One serves many, keeping its buffers.
#[derive(Debug)]
pub struct SyslogNormaliser {
    tenant: Tenant,
    builder: EventBuilder,
    ids: IdMaker,
    data: Vec<u8>,
}

impl SyslogNormaliser {
    pub fn new(tenant: Tenant) -> Self {
        Self { tenant, builder: EventBuilder::new(), ids: IdMaker::new(), data: Vec::new() }
    }

    /// Id of the events to come.
    pub(crate) fn give_id(&mut self, id: Option<uuid::Uuid>) {
        self.ids.give(id);
    }

    /// Appends the stored form; false where the message is too large to be an event, and nothing was written.
    pub fn event(&mut self, raw: &[u8], origin: &Origin<'_>, received: u64, out: &mut Vec<u8>) -> bool {
        let text = String::from_utf8_lossy(raw);
        let message = Message::parse(&text);
        self.data.clear();
        write_data(&message, origin, matches!(text, std::borrow::Cow::Owned(_)), &mut self.data);
        let severity = message.severity.and_then(|code| Severity::from_syslog(code.into()));
        let builder = &mut self.builder;
        builder.start();
        builder.text(Attr::Id, self.ids.next(received, &mut [0; 36]));
        builder.text(Attr::Source, &source(&message));
        builder.text(Attr::Type, "syslog.message");
        match (message.timestamp, message.version) {
            (Some(time), _) if crate::timestamp::is_rfc3339(time.as_bytes()) => builder.text(Attr::Time, time),
            // Without a year and a zone the sender's clock says too little; it stays in `data`.
            _ => {
                let mut time = Vec::with_capacity(32);
                write_rfc3339(received, &mut time);
                builder.raw(Attr::Time, Kind::String, &time);
                builder.text(Attr::TimeSource, "receipt");
            }
        }
        if let Some(severity) = severity {
            builder.text(Attr::Severity, severity.name());
        }
        match (message.hostname, origin.peer()) {
            (Some(host), _) => builder.text(Attr::Host, host),
            (None, Some(peer)) => builder.text(Attr::Host, &peer.to_string()),
            (None, None) => {}
        }
        if let Some(process) = message.proc_id {
            builder.text(Attr::Process, process);
        }
        if !self.tenant.is_default() {
            builder.text(Attr::Tenant, self.tenant.as_str());
        }
        builder.raw(Attr::Data, Kind::Object, &self.data);
        builder.finish(Shape::Plain, severity, received, raw, out).is_ok()
    }
}

fn source(message: &Message<'_>) -> String {
    // A URI reference: what is not unreserved is escaped (RFC 3986 §2.3).
    let part = |text: &str| {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect::<String>()
    };
    match (message.hostname, message.app_name) {
        (Some(host), Some(app)) => format!("syslog://{}/{}", part(host), part(app)),
        (Some(host), None) => format!("syslog://{}", part(host)),
        (None, Some(app)) => format!("syslog:{}", part(app)),
        (None, None) => "syslog:".into(),
    }
}

fn write_data(message: &Message<'_>, origin: &Origin<'_>, replaced: bool, out: &mut Vec<u8>) {
    out.push(b'{');
    member("version", message.version.name(), out);
    if let Some(facility) = message.facility.and_then(facility_name) {
        member("facility", facility, out);
    }
    let pairs = [
        ("timestamp", message.timestamp),
        ("hostname", message.hostname),
        ("app_name", message.app_name),
        ("proc_id", message.proc_id),
        ("msg_id", message.msg_id),
        ("message", Some(message.content)),
    ];
    for (key, value) in pairs {
        if let Some(value) = value {
            member(key, value, out);
        }
    }
    origin.write(out);
    if let Some(code) = message.severity {
        comma(out);
        out.extend_from_slice(format!("\"severity_code\":{code}").as_bytes());
    }
    if replaced {
        // Bytes that were no UTF-8 show as U+FFFD here; the original keeps them.
        comma(out);
        out.extend_from_slice(b"\"invalid_utf8\":true");
    }
    if let (Version::Rfc5424, Some(structured)) = (message.version, message.structured_data) {
        comma(out);
        out.extend_from_slice(b"\"structured_data\":");
        write_structured(structured, out);
    }
    out.push(b'}');
}

/// `{"id":{"name":"value","repeated":["a","b"]}}`: names may repeat (RFC 5424 §6.3.3), keys of JSON may not.
fn write_structured(text: &str, out: &mut Vec<u8>) {
    type Parameters<'a> = Vec<(&'a str, Vec<String>)>;
    let mut merged: Vec<(&str, Parameters<'_>)> = Vec::new();
    for (id, parameters) in elements(text) {
        let at = merged.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
            merged.push((id, Vec::new()));
            merged.len() - 1
        });
        for (name, value) in parameters {
            match merged[at].1.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => merged[at].1.push((name, vec![value])),
            }
        }
    }
    out.push(b'{');
    for (id, parameters) in merged {
        comma(out);
        quoted(id, out);
        out.extend_from_slice(b":{");
        for (name, values) in parameters {
            comma(out);
            quoted(name, out);
            out.push(b':');
            if let [value] = values.as_slice() {
                quoted(value, out);
                continue;
            }
            out.push(b'[');
            for value in &values {
                comma(out);
                quoted(value, out);
            }
            out.push(b']');
        }
        out.push(b'}');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use bulkhead_core::EventRef;

    use super::*;

    fn event(raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(SyslogNormaliser::new(Tenant::default()).event(
            raw,
            &Origin::Peer { addr: [192, 0, 2, 7].into(), name: Some("fw.example") },
            1_700_000_000_000_000_000,
            &mut out
        ));
        out
    }

    #[track_caller]
    fn data(raw: &[u8]) -> serde_json::Value {
        let stored = event(raw);
        let event = EventRef::new(&stored).expect("stored event");
        assert_eq!(event.original(), raw, "the bytes stay as they came");
        serde_json::from_slice(event.attr(Attr::Data).expect("data").raw).expect("data is JSON")
    }

    #[test]
    fn header_and_structured_data_become_attributes_and_data() {
        let raw = br#"<165>1 2026-01-02T03:04:05.123456Z host.example app 123 AUDIT [x@32473 k="a\"b" k="2"] said "hi""#;
        let stored = event(raw);
        let event = EventRef::new(&stored).expect("stored event");
        let text = |attr| event.attr(attr).and_then(|value| value.text()).map(std::borrow::Cow::into_owned);
        assert_eq!(text(Attr::Time).as_deref(), Some("2026-01-02T03:04:05.123456Z"));
        assert_eq!(text(Attr::Source).as_deref(), Some("syslog://host.example/app"));
        assert_eq!((text(Attr::Host).as_deref(), text(Attr::Process).as_deref(), event.severity()), (Some("host.example"), Some("123"), Some(Severity::Low)));
        let data = data(raw);
        assert_eq!(data["message"], "said \"hi\"");
        assert_eq!(data["facility"], "local4");
        assert_eq!(data["structured_data"]["x@32473"]["k"], serde_json::json!(["a\"b", "2"]));
    }

    #[test]
    fn text_without_a_header_and_broken_bytes_are_events_too() {
        assert_eq!(data(b"link down")["message"], "link down");
        assert_eq!((&data(b"link down")["peer"], &data(b"link down")["peer_name"]), (&"192.0.2.7".into(), &"fw.example".into()));
        assert_eq!(data(b"<13>caf\xe9\x01")["invalid_utf8"], true);
        let stored = event(b"<13>Oct  1 22:14:15 h su: x");
        let event = EventRef::new(&stored).expect("stored event");
        assert_eq!(event.attr(Attr::TimeSource).and_then(|value| value.plain()), Some("receipt"));
        assert_eq!(event.attr(Attr::Time).and_then(|value| value.plain()), Some("2023-11-14T22:13:20.000000000Z"));
    }
}
