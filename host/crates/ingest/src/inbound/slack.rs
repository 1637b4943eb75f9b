//! What Slack puts around its messages (Slack, "Using the Events API over HTTP"): a question to answer
//! when an address is set up, and an id that stays when a message is sent again.

use bulkhead_core::Kind;
use bulkhead_core::json::{Group, Ignore, Limits, Scanner, decode_string};

use crate::lists;

/// Longest challenge that is answered.
const MAX_CHALLENGE: usize = 1_024;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// `url_verification`: to be answered with this text.
    Challenge(String),
    /// An event with its id.
    Event(String),
    /// A command, an action, or something new.
    Other,
}

impl Envelope {
    /// Looks at a body whose signature was checked.
    pub fn read(body: &[u8]) -> Self {
        let Ok(scanned) = Scanner::new(Limits::default()).document(body, Group::NONE, &mut Ignore) else { return Self::Other };
        let object = body.get(scanned.span.clone()).unwrap_or_default();
        if scanned.kind != Kind::Object || std::str::from_utf8(body).is_err() {
            return Self::Other;
        }
        let text = |name: &str| match lists::member(object, name)? {
            (Kind::String, raw) => std::str::from_utf8(raw).ok().map(str::to_owned),
            (Kind::EscapedString, raw) => decode_string(raw),
            _ => None,
        };
        match (text("type").as_deref(), text("challenge"), text("event_id")) {
            (Some("url_verification"), Some(challenge), _) if challenge.len() <= MAX_CHALLENGE => Self::Challenge(challenge),
            (_, _, Some(id)) if (1..=256).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) => Self::Event(id),
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, want: Envelope) {
        assert_eq!(Envelope::read(body.as_bytes()), want, "{body}");
    }

    #[test]
    fn questions_and_events_are_told_apart() {
        check(r#"{"token":"x","challenge":"3eZbrw1a","type":"url_verification"}"#, Envelope::Challenge("3eZbrw1a".into()));
        check(r#" {"type":"event_callback","event_id":"Ev0PV52K25","event":{"type":"message"}} "#, Envelope::Event("Ev0PV52K25".into()));
        check(r#"{"challenge":"c\u0061","type":"url_verification"}"#, Envelope::Challenge("ca".into()));
        for other in ["token=x&command=%2Fack", "", "[]", r#"{"type":"url_verification"}"#, r#"{"event_id":7}"#, r#"{"event_id":"a b"}"#, r#"{"event_id":"x""#]
        {
            check(other, Envelope::Other);
        }
        check(&format!(r#"{{"type":"url_verification","challenge":"{}"}}"#, "x".repeat(2_000)), Envelope::Other);
    }
}
