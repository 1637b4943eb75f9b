//! From a line of a file or of standard input to a stored event. Every line is one: what is not what the
//! format says is text that says why, so that nothing is lost in silence. Only empty lines are none.

use bulkhead_core::json::skip_space;
use bulkhead_core::projection::write_rfc3339;
use bulkhead_core::{Attr, EventBuilder, Kind, Shape, Tenant};
use bulkhead_journal::AppendBatch;
use uuid::Uuid;

use crate::ids::IdMaker;
use crate::lines::Piece;
use crate::normalise::{Form, Normaliser, Rules};
use crate::origin::{Origin, comma, member};
use crate::syslog::SyslogNormaliser;

/// What lines are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineFormat {
    /// What begins with `{` is JSON, what begins with a syslog priority is syslog, anything else text.
    #[default]
    Auto,
    Json,
    Text,
    Syslog,
}

impl LineFormat {
    pub const ALL: [Self; 4] = [Self::Auto, Self::Json, Self::Text, Self::Syslog];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Text => "text",
            Self::Syslog => "syslog",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// One line, not empty.
pub(crate) struct Line<'a> {
    pub bytes: &'a [u8],
    /// Of a line beyond the limit; always text.
    pub piece: Option<Piece>,
    pub origin: Origin<'a>,
    /// A new one where absent.
    pub id: Option<Uuid>,
}

/// Turns lines into their stored form. One serves many, keeping its buffers.
pub(crate) struct LineNormaliser {
    format: LineFormat,
    json: Normaliser,
    syslog: SyslogNormaliser,
    builder: EventBuilder,
    ids: IdMaker,
    tenant: Tenant,
    /// Source of what names none.
    source: String,
    data: Vec<u8>,
}

impl LineNormaliser {
    pub fn new(format: LineFormat, tenant: Tenant) -> Self {
        Self {
            format,
            json: Normaliser::new(Rules { tenant: tenant.clone(), ..Rules::default() }),
            syslog: SyslogNormaliser::new(tenant.clone()),
            builder: EventBuilder::new(),
            ids: IdMaker::new(),
            tenant,
            source: String::new(),
            data: Vec::new(),
        }
    }

    /// Where the lines to come are from, as a URI reference.
    pub fn source(&mut self, source: String) {
        self.source = source;
    }

    /// Adds the event to the batch.
    pub fn event(&mut self, line: &Line<'_>, received: u64, batch: &mut AppendBatch) {
        let first = line.bytes.get(skip_space(line.bytes, 0));
        let format = match (line.piece, self.format, first) {
            (Some(_), ..) => LineFormat::Text,
            (None, LineFormat::Auto, Some(b'{')) => LineFormat::Json,
            (None, LineFormat::Auto, _) if has_priority(line.bytes) => LineFormat::Syslog,
            (None, LineFormat::Auto, _) => LineFormat::Text,
            (None, format, _) => format,
        };
        let not_json = match format {
            LineFormat::Syslog => {
                self.syslog.give_id(line.id);
                if self.syslog.event(line.bytes, &line.origin, received, batch.buffer()) {
                    let _ = batch.push_event(); // a stored event just written is one
                }
                return;
            }
            LineFormat::Json => match self.json(line, received, batch) {
                Ok(()) => return,
                Err(reason) => Some(reason),
            },
            LineFormat::Text | LineFormat::Auto => None,
        };
        self.text(line, not_json.as_deref(), received, batch);
    }

    fn json(&mut self, line: &Line<'_>, received: u64, batch: &mut AppendBatch) -> Result<(), String> {
        if std::str::from_utf8(line.bytes).is_err() {
            return Err("not UTF-8".into());
        }
        self.json.given(line.id, &self.source);
        let taken = match self.json.event(line.bytes, 0, Form::Json, received, batch.buffer()) {
            Ok(taken) if skip_space(line.bytes, taken.end) < line.bytes.len() => Err("more text behind the object".to_owned()),
            Ok(_) => batch.push_event().map_err(|error| error.to_string()),
            Err(refused) if refused.fault.pointer.is_empty() => Err(refused.fault.reason),
            Err(refused) => Err(format!("{}: {}", refused.fault.pointer, refused.fault.reason)),
        };
        if taken.is_err() {
            batch.discard();
        }
        taken
    }

    fn text(&mut self, line: &Line<'_>, not_json: Option<&str>, received: u64, batch: &mut AppendBatch) {
        let text = String::from_utf8_lossy(line.bytes);
        let data = &mut self.data;
        data.clear();
        data.push(b'{');
        member("message", &text, data);
        line.origin.write(data);
        if let Some(Piece { number, last }) = line.piece {
            comma(data);
            data.extend_from_slice(format!("\"piece\":{number},\"last_piece\":{last}").as_bytes());
        }
        if let Some(reason) = not_json {
            member("not_json", reason, data);
        }
        if matches!(text, std::borrow::Cow::Owned(_)) {
            comma(data);
            data.extend_from_slice(b"\"invalid_utf8\":true");
        }
        data.push(b'}');
        let builder = &mut self.builder;
        builder.start();
        self.ids.give(line.id);
        builder.text(Attr::Id, self.ids.next(received, &mut [0; 36]));
        builder.text(Attr::Source, &self.source);
        builder.text(Attr::Type, "log.line");
        let mut time = Vec::with_capacity(32);
        write_rfc3339(received, &mut time);
        builder.raw(Attr::Time, Kind::String, &time);
        builder.text(Attr::TimeSource, "receipt");
        if !self.tenant.is_default() {
            builder.text(Attr::Tenant, self.tenant.as_str());
        }
        builder.raw(Attr::Data, Kind::Object, data);
        // Lines are far shorter than what an event may hold.
        if builder.finish(Shape::Plain, None, received, line.bytes, batch.buffer()).is_ok() {
            let _ = batch.push_event(); // a stored event just written is one
        }
    }
}

/// `<0>` to `<191>`.
fn has_priority(line: &[u8]) -> bool {
    let Some(end) = line.iter().take(5).position(|byte| *byte == b'>') else { return false };
    line.first() == Some(&b'<') && (2..=4).contains(&end) && line[1..end].iter().all(u8::is_ascii_digit)
}

/// A path as a URI reference (RFC 3986 §2.3).
pub(crate) fn file_source(path: &str) -> String {
    let mut source = "file://".to_owned();
    for byte in path.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) => source.push(char::from(b)),
            b => source.push_str(&format!("%{b:02X}")),
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use bulkhead_core::EventRef;
    use serde_json::Value;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    /// Type, source and data of the event that a line becomes.
    #[track_caller]
    fn taken(format: LineFormat, bytes: &[u8], piece: Option<Piece>) -> (String, String, Value) {
        let mut normaliser = LineNormaliser::new(format, Tenant::default());
        normaliser.source(file_source("/var/log/a b.log"));
        let mut batch = AppendBatch::new();
        let line = Line { bytes, piece, origin: Origin::File { path: "/var/log/a b.log", offset: 77 }, id: Some(ID) };
        normaliser.event(&line, 1_700_000_000_000_000_000, &mut batch);
        assert_eq!(batch.len(), 1, "a line is an event");
        let event = EventRef::new(batch.stored(0).expect("stored")).expect("an event");
        assert_eq!(event.original(), bytes, "the bytes stay as they came");
        assert_eq!(event.id(), ID.to_string());
        let text = |attr| event.attr(attr).and_then(|value| value.text()).unwrap_or_default().into_owned();
        (text(Attr::Type), text(Attr::Source), serde_json::from_slice(event.attr(Attr::Data).expect("data").raw).expect("JSON"))
    }

    #[test]
    fn auto_tells_json_syslog_and_text_apart() {
        let (kind, source, data) = taken(LineFormat::Auto, br#" {"type": "login", "user": "ada"}"#.trim_ascii(), None);
        assert_eq!((kind.as_str(), source.as_str(), &data["user"]), ("login", "file:///var/log/a%20b.log", &"ada".into()));
        let (kind, _, data) = taken(LineFormat::Auto, b"<13>Oct  1 22:14:15 h su: failed", None);
        assert_eq!((kind.as_str(), &data["app_name"], &data["offset"]), ("syslog.message", &"su".into(), &77.into()));
        let (kind, source, data) = taken(LineFormat::Auto, b"Oct  1 22:14:15 h su: failed", None);
        assert_eq!((kind.as_str(), source.as_str()), ("log.line", "file:///var/log/a%20b.log"));
        assert_eq!((&data["message"], &data["file"]), (&"Oct  1 22:14:15 h su: failed".into(), &"/var/log/a b.log".into()));
    }

    #[test]
    fn what_is_not_json_is_text_that_says_why() {
        for (line, why) in [
            (&b"{\"a\":1} x"[..], "more text behind the object"),
            (b"{\"a\":1,\"a\":2}", "occurs twice"),
            (b"[1]", "an event is a JSON object"),
            (b"{\"\xff\":1}", "not UTF-8"),
        ] {
            let (kind, _, data) = taken(LineFormat::Json, line, None);
            assert_eq!(kind, "log.line");
            assert!(data["not_json"].as_str().is_some_and(|reason| reason.contains(why)), "{data}");
        }
        let (_, _, data) = taken(LineFormat::Auto, b"\x80\x00\xff", None);
        assert_eq!((&data["invalid_utf8"], &data["message"]), (&true.into(), &"\u{fffd}\0\u{fffd}".into()));
    }

    #[test]
    fn pieces_are_text_whatever_they_begin_with() {
        let (kind, _, data) = taken(LineFormat::Json, b"{\"a\":1}", Some(Piece { number: 2, last: false }));
        assert_eq!((kind.as_str(), &data["piece"], &data["last_piece"]), ("log.line", &2.into(), &false.into()));
    }
}
