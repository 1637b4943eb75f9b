//! Calls of the host with their answers, as they are kept and as they are played.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::mask::{self, Mask};
use super::{Bytes, EACH, MOST_BYTES, Playback};

/// Most calls of one delivery.
const MOST_CALLS: usize = 1_000;

/// One call of a host function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostCall {
    pub ask: Ask,
    pub answer: Answer,
}

impl HostCall {
    pub(super) fn bytes(&self) -> usize {
        size(&self.ask, &self.answer)
    }

    pub(super) fn mask(&mut self, mask: &mut Mask<'_>) {
        self.ask.mask(mask);
        self.answer.mask(mask);
    }
}

fn size(ask: &Ask, answer: &Answer) -> usize {
    EACH + ask.bytes() + answer.bytes()
}

/// What was called, with what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    #[serde(rename = "http.send")]
    HttpSend(HttpRequest),
    #[serde(rename = "http.relative")]
    HttpRelative { destination: String, url: String },
    #[serde(rename = "state.get")]
    StateGet { key: String },
    #[serde(rename = "state.set")]
    StateSet { key: String, value: Bytes },
    #[serde(rename = "state.delete")]
    StateDelete { key: String },
}

/// A request as the guest made it: its credential comes behind it, and is not here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    pub destination: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Bytes)>,
    pub body: Bytes,
    pub gzip: bool,
    pub timeout_ms: Option<u32>,
    pub message_id: String,
}

/// An answer as the guest saw it, redacted and cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, Bytes)>,
    pub body: Bytes,
    pub truncated: bool,
    pub retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Response(HttpResponse),
    Path(String),
    Value(Option<Bytes>),
    Done,
    /// The case of the interface's error, and its text.
    Error {
        kind: String,
        text: String,
    },
}

impl Ask {
    pub fn name(&self) -> &'static str {
        match self {
            Self::HttpSend(_) => "http.send",
            Self::HttpRelative { .. } => "http.relative",
            Self::StateGet { .. } => "state.get",
            Self::StateSet { .. } => "state.set",
            Self::StateDelete { .. } => "state.delete",
        }
    }

    /// What is other in `now`, in words.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let name = self.name();
        match (self, now) {
            (then, now) if then == now => None,
            (Self::HttpSend(then), Self::HttpSend(now)) => Some(format!("{name}: {}", then.difference(now))),
            (Self::StateSet { key: then, value }, Self::StateSet { key: now, value: other }) if then == now => {
                Some(format!("{name}: `{then}`: {}", unlike(&value.0, &other.0)))
            }
            (then, now) if name == now.name() => Some(format!("{name}: was called with {}, now with {}", then.named(), now.named())),
            (_, now) => Some(format!("{name} was called then, {} now", now.name())),
        }
    }

    fn named(&self) -> String {
        match self {
            Self::HttpSend(request) => format!("{} {}", request.method, request.path),
            Self::HttpRelative { url, .. } => format!("{url:?}"),
            Self::StateGet { key } | Self::StateSet { key, .. } | Self::StateDelete { key } => format!("{key:?}"),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::HttpSend(request) => {
                let texts = [&request.destination, &request.method, &request.path, &request.message_id];
                texts.iter().map(|text| text.len()).sum::<usize>() + request.body.0.len() + sizes(&request.headers)
            }
            Self::HttpRelative { destination, url } => destination.len() + url.len(),
            Self::StateSet { key, value } => key.len() + value.0.len(),
            Self::StateGet { key } | Self::StateDelete { key } => key.len(),
        }
    }

    /// The same call with masked places of `then` in place of what is here.
    #[must_use]
    pub(super) fn masked_as(mut self, then: &Self) -> Self {
        match (&mut self, then) {
            (Self::HttpSend(now), Self::HttpSend(then)) => {
                mask::text_as(&mut now.destination, &then.destination);
                mask::text_as(&mut now.method, &then.method);
                mask::text_as(&mut now.path, &then.path);
                mask::text_as(&mut now.message_id, &then.message_id);
                mask::headers_as(&mut now.headers, &then.headers);
                mask::bytes_as(&mut now.body, &then.body);
            }
            (Self::HttpRelative { destination, url }, Self::HttpRelative { destination: place, url: then }) => {
                mask::text_as(destination, place);
                mask::text_as(url, then);
            }
            (Self::StateSet { key, value }, Self::StateSet { key: then, value: written }) => {
                mask::text_as(key, then);
                mask::bytes_as(value, written);
            }
            (Self::StateGet { key }, Self::StateGet { key: then }) | (Self::StateDelete { key }, Self::StateDelete { key: then }) => mask::text_as(key, then),
            _ => {}
        }
        self
    }

    fn mask(&mut self, mask: &mut Mask<'_>) {
        match self {
            Self::HttpSend(request) => {
                for text in [&mut request.destination, &mut request.method, &mut request.path, &mut request.message_id] {
                    mask.text(text);
                }
                mask.headers(&mut request.headers);
                mask.bytes(&mut request.body);
            }
            Self::HttpRelative { destination, url } => {
                mask.text(destination);
                mask.text(url);
            }
            Self::StateSet { key, value } => {
                mask.text(key);
                mask.bytes(value);
            }
            Self::StateGet { key } | Self::StateDelete { key } => mask.text(key),
        }
    }
}

fn sizes(headers: &[(String, Bytes)]) -> usize {
    headers.iter().map(|(name, value)| EACH + name.len() + value.0.len()).sum()
}

impl HttpRequest {
    fn difference(&self, now: &Self) -> String {
        let mut parts = Vec::new();
        for (what, then, now) in [
            ("destination", &self.destination, &now.destination),
            ("method", &self.method, &now.method),
            ("path", &self.path, &now.path),
            ("message id", &self.message_id, &now.message_id),
        ] {
            if then != now {
                parts.push(format!("the {what} was {then:?}, now {now:?}"));
            }
        }
        if self.headers != now.headers {
            let all =
                |headers: &[(String, Bytes)]| headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(&value.0))).collect::<Vec<_>>();
            parts.push(format!("the header fields were {:?}, now {:?}", all(&self.headers), all(&now.headers)));
        }
        if self.body != now.body {
            parts.push(format!("the body: {}", unlike(&self.body.0, &now.body.0)));
        }
        if (self.gzip, self.timeout_ms) != (now.gzip, now.timeout_ms) {
            parts.push("compression or the time allowed is other".to_owned());
        }
        parts.join("; ")
    }
}

/// Bytes that are shown around the first difference.
const SHOWN: usize = 40;

/// Where two texts part.
fn unlike(then: &[u8], now: &[u8]) -> String {
    let at = then.iter().zip(now).take_while(|(then, now)| then == now).count();
    let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(SHOWN / 4).min(bytes.len())..(at + SHOWN).min(bytes.len())]).into_owned();
    format!("{} bytes then, {} now, other from byte {at} on: {:?} then, {:?} now", then.len(), now.len(), show(then), show(now))
}

impl Answer {
    fn bytes(&self) -> usize {
        match self {
            Self::Response(response) => response.body.0.len() + sizes(&response.headers),
            Self::Path(text) => text.len(),
            Self::Error { kind, text } => kind.len() + text.len(),
            Self::Value(value) => value.as_ref().map_or(0, |value| value.0.len()),
            Self::Done => 0,
        }
    }

    fn mask(&mut self, mask: &mut Mask<'_>) {
        match self {
            Self::Response(response) => {
                mask.headers(&mut response.headers);
                mask.bytes(&mut response.body);
            }
            Self::Path(text) | Self::Error { text, .. } => mask.text(text),
            Self::Value(Some(value)) => mask.bytes(value),
            Self::Value(None) | Self::Done => {}
        }
    }
}

/// What a store does with the calls of its guest.
#[derive(Debug, Default)]
pub(crate) enum Tape {
    #[default]
    Off,
    Keeping {
        calls: Vec<HostCall>,
        bytes: usize,
        /// Too much: nothing of it is kept.
        over: bool,
    },
    Playing(Arc<Playback>),
}

impl Tape {
    pub fn keeping() -> Self {
        Self::Keeping { calls: Vec::new(), bytes: 0, over: false }
    }

    /// Whether calls are to be noted or answered here; most are neither, and nothing is copied for them.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off | Self::Keeping { over: true, .. })
    }

    /// What was answered then, where this is played.
    pub fn play(&self, ask: &Ask) -> Option<Answer> {
        match self {
            Self::Playing(playback) => Some(playback.answer(ask)),
            Self::Off | Self::Keeping { .. } => None,
        }
    }

    pub fn note(&mut self, ask: Ask, answer: Answer) {
        let Self::Keeping { calls, bytes, over } = self else { return };
        *bytes += size(&ask, &answer);
        *over |= *bytes > MOST_BYTES || calls.len() == MOST_CALLS;
        if *over {
            *calls = Vec::new();
        } else {
            calls.push(HostCall { ask, answer });
        }
    }

    /// The calls, unless they were too many, and their bytes.
    pub fn kept(self) -> (Option<Vec<HostCall>>, usize) {
        match self {
            Self::Keeping { calls, bytes, over } => ((!over).then_some(calls), bytes),
            Self::Off | Self::Playing(_) => (None, 0),
        }
    }
}
