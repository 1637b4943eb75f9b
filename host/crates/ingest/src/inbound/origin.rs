//! What the address of a request says about its events: a source and a type where they name none, labels,
//! and ids that are the same if the message comes again.

use bulkhead_core::json::{skip_space, skip_value};
use bulkhead_core::{Attr, EventBuilder, Kind};

use crate::origin::member;

/// Of one request; its events are numbered as they are filled in.
#[derive(Debug, Clone)]
pub struct Origin {
    pub source: String,
    pub event_type: String,
    /// Name of the address.
    pub name: String,
    /// The sender's id of the message.
    pub message: Option<String>,
    /// The id of its first event; those behind it get a number.
    pub id: Option<String>,
    pub labels: Vec<(String, String)>,
    pub events: usize,
}

impl Origin {
    /// Label of the address's name.
    const NAME: &'static str = "inbound";
    /// Label of the message's id.
    const MESSAGE: &'static str = "inbound_id";

    /// Fills in what the event does not say itself; the labels of the address win over its own.
    pub(crate) fn fill(&mut self, builder: &mut EventBuilder, original: &[u8]) {
        if !builder.has(Attr::Source) {
            builder.text(Attr::Source, &self.source);
        }
        if !builder.has(Attr::Type) {
            builder.text(Attr::Type, &self.event_type);
        }
        if !builder.has(Attr::Id)
            && let Some(id) = &self.id
        {
            match self.events {
                0 => builder.text(Attr::Id, id),
                n => builder.text(Attr::Id, &format!("{id}-{n}")),
            }
        }
        self.events += 1;
        let mut labels = self.own_labels();
        if let Some((Kind::Object, own)) = builder.value(Attr::Metadata, original) {
            self.add_foreign(own, &mut labels);
        }
        labels.push(b'}');
        builder.raw(Attr::Metadata, Kind::Object, &labels);
    }

    /// An object without its end.
    fn own_labels(&self) -> Vec<u8> {
        let mut out = vec![b'{'];
        member(Self::NAME, &self.name, &mut out);
        if let Some(message) = &self.message {
            member(Self::MESSAGE, message, &mut out);
        }
        self.labels.iter().for_each(|(key, value)| member(key, value, &mut out));
        out
    }

    fn has(&self, key: &str) -> bool {
        key == Self::NAME || key == Self::MESSAGE || self.labels.iter().any(|(own, _)| own == key)
    }

    /// Appends the members of a validated object that are not ours.
    fn add_foreign(&self, object: &[u8], out: &mut Vec<u8>) {
        let mut at = skip_space(object, 1);
        while object.get(at) == Some(&b'"') {
            let Some(key) = skip_value(object, at) else { return };
            let Some(value) = skip_value(object, skip_space(object, key.end) + 1) else { return };
            let raw = object.get(key.span).unwrap_or_default();
            let name = bulkhead_core::json::decode_string(raw).unwrap_or_default();
            if !self.has(&name) {
                out.push(b',');
                out.extend_from_slice(object.get(at..value.end).unwrap_or_default());
            }
            at = skip_space(object, value.end);
            at = skip_space(object, at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_labels_win_and_foreign_ones_stay() {
        let mut origin = Origin {
            source: "inbound:gh".into(),
            event_type: "inbound.message".into(),
            name: "gh".into(),
            message: Some("m-1".into()),
            id: Some("m-1".into()),
            labels: vec![("x-github-event".into(), "pu\"sh".into())],
            events: 0,
        };
        for (own, want) in [
            (None, r#"{"inbound":"gh","inbound_id":"m-1","x-github-event":"pu\"sh"}"#),
            (Some("{}"), r#"{"inbound":"gh","inbound_id":"m-1","x-github-event":"pu\"sh"}"#),
            (
                Some(r#"{ "team" : "a" , "inbound":"forged","inboun\u0064_id":"forged", "x":"1" }"#),
                r#"{"inbound":"gh","inbound_id":"m-1","x-github-event":"pu\"sh","team" : "a","x":"1"}"#,
            ),
        ] {
            let mut builder = EventBuilder::new();
            builder.start();
            if let Some(own) = own {
                builder.raw(Attr::Metadata, Kind::Object, own.as_bytes());
            }
            origin.fill(&mut builder, b"");
            let (kind, raw) = builder.value(Attr::Metadata, b"").expect("labels");
            assert_eq!((kind, std::str::from_utf8(raw)), (Kind::Object, Ok(want)));
            serde_json::from_slice::<serde_json::Value>(raw).expect("JSON");
        }
        let mut builder = EventBuilder::new();
        builder.start();
        origin.fill(&mut builder, b"");
        assert_eq!(builder.value(Attr::Id, b"").map(|(_, raw)| raw.to_vec()), Some(b"m-1-3".to_vec()), "the fourth event of the message");
        assert_eq!(builder.value(Attr::Source, b"").map(|(_, raw)| raw.to_vec()), Some(b"inbound:gh".to_vec()));
    }
}
