//! WebSocket: one message for each event.
//!
//! Promised: an event counts as delivered when the receiver has acknowledged it or, where its protocol has no
//! acknowledgements, when the answer to a ping behind the batch says that the receiver's own stack has read it; events
//! that were acknowledged before a connection broke are not sent again. Refused: a secret of its own, which the host
//! writes into the handshake.
//! Protocols: RFC 6455; IANA, "WebSocket Close Code Number Registry".

use std::time::Duration;

use bulkhead_sdk::template::{self, Place, Scope};
use bulkhead_sdk::websocket::{Error, Handshake, Message, Session, WebSocket};
use bulkhead_sdk::{Batch, Connector, Delivery, Failure, Field, Limits, Outcome, Pointers, RecordFormat, Template, Writer, fields, http, log, message_id};

mod ack;
mod settings;

use ack::{Reader, Waiting};
use settings::{Frame, Missing, Settings};

fields! { mod field { ID = "/id", SOURCE = "/source" } }
/// What message ids are made from.
const MESSAGE: [Field; 2] = [field::SOURCE, field::ID];

/// Messages that are sent before what the peer says is read.
const WINDOW: usize = 64;
/// Messages that answer nothing, within one call: a peer that goes on so is let go of.
const MOST_STRAY: usize = 10_000;
/// Longest wait for a peer's goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Socket {
    session: Session,
    frame: Frame,
    body: Option<Template>,
    /// How answers are read, and the key that they name.
    ack: Option<(Reader, Template)>,
    unauthorized: Vec<u16>,
    configuration: Vec<u16>,
    refused: Vec<u16>,
    keepalive: Duration,
    pointers: Pointers,
    /// Tells the pings of one call from those before.
    calls: u64,
}

/// A message, and where its event stands in the batch.
struct Outgoing {
    place: usize,
    bytes: Vec<u8>,
    key: Vec<u8>,
}

impl Socket {
    fn message(&self, batch: &Batch<'_>, place: usize) -> Result<Outgoing, String> {
        let (record, event) = (batch.record(place), batch.event(place));
        let names_id = self.body.as_ref().is_some_and(Template::names_message_id) || self.ack.as_ref().is_some_and(|(_, key)| key.names_message_id());
        let id = if names_id { message_id::of(&event, MESSAGE) } else { String::new() };
        let scope = Scope { event, record, message_id: &id };
        let (mut bytes, mut key) = (Writer::with_capacity(record.len() + 64), Writer::default());
        match (&self.body, self.frame) {
            (Some(body), _) => body.write(&scope, &mut bytes)?,
            (None, Frame::Text) => bytes.bytes(record.trim_ascii_end()),
            (None, Frame::Binary) => bytes.bytes(record),
        }
        if let Some((_, template)) = &self.ack {
            template.write(&scope, &mut key)?;
        }
        let (bytes, key) = (bytes.into_bytes(), key.into_bytes());
        if self.frame == Frame::Text && std::str::from_utf8(&bytes).is_err() {
            return Err("the record is no UTF-8, which a text message must be; use `frame: binary`".to_owned());
        }
        Ok(Outgoing { place, bytes, key })
    }

    /// What the end of a connection means for the events that nobody acknowledged.
    fn ended(&self, error: Error, open: usize) -> Result<Outcome, Failure> {
        // The peer's words may be the event's, and failures go to the log.
        match error {
            Error::Closed { code, reason } if self.refused.contains(&code) && open == 1 => {
                Ok(Outcome::Rejected(format!("the receiver closed the WebSocket: {code} {reason}").trim_end().to_owned()))
            }
            Error::Closed { code, .. } if self.refused.contains(&code) => {
                Err(Failure::TooLarge(format!("the receiver closed the WebSocket with {code}; the batch is sent in halves to find the event at fault")))
            }
            Error::Closed { code, .. } if self.unauthorized.contains(&code) => {
                Err(Failure::Unauthorized(format!("the receiver closed the WebSocket with {code}; check the destination's `credential`")))
            }
            Error::Closed { code, .. } if self.configuration.contains(&code) => {
                Err(Failure::Configuration(format!("the receiver closed the WebSocket with {code}; check `config`, or name the code under `close`")))
            }
            Error::Closed { code, .. } => Err(Failure::Unavailable { reason: format!("the receiver closed the WebSocket with {code}"), after: None }),
            error => Err(error.into()),
        }
    }
}

fn queue(socket: &mut WebSocket, frame: Frame, message: &Outgoing) -> Result<(), Error> {
    match (frame, std::str::from_utf8(&message.bytes)) {
        (Frame::Text, Ok(text)) => socket.queue_text(text),
        _ => socket.queue_binary(&message.bytes),
    }
}

/// Sends all, then waits until the peer has read them.
fn send(socket: &mut WebSocket, frame: Frame, messages: &[Outgoing], ping: &[u8]) -> Result<(), Error> {
    for window in messages.chunks(WINDOW) {
        for message in window {
            queue(socket, frame, message)?;
        }
        socket.flush()?;
        socket.drain(drop)?;
    }
    socket.confirm(ping, drop)
}

/// Fails where the peer has said something unasked: taken for an answer it would shift all that follow.
fn unasked(socket: &mut WebSocket) -> Result<(), Error> {
    for _ in 0..WINDOW {
        match socket.look()? {
            None => return Ok(()),
            // The answer to an earlier ping.
            Some(Message::Pong(_)) => {}
            Some(_) => break,
        }
    }
    Err(Error::Protocol("the receiver sent a message that answers nothing, and answers name no event".to_owned()))
}

/// Sends all, a window ahead of the answers, and notes each answer.
fn exchange(socket: &mut WebSocket, frame: Frame, messages: Vec<Outgoing>, reader: &Reader, outcomes: &mut [Option<Outcome>]) -> Result<(), Error> {
    let (mut waiting, mut stray) = (Waiting::new(reader), 0);
    let mut messages = messages.into_iter();
    loop {
        for message in messages.by_ref().take(WINDOW.saturating_sub(waiting.len())) {
            queue(socket, frame, &message)?;
            waiting.sent(message.place, message.key);
        }
        if waiting.is_empty() {
            return if reader.is_in_order() { unasked(socket) } else { Ok(()) };
        }
        socket.flush()?;
        let text = match socket.receive()? {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Pong(_) => continue,
        };
        match waiting.heard(&text) {
            Some((place, outcome)) => {
                if let Some(slot) = outcomes.get_mut(place) {
                    *slot = Some(outcome);
                }
            }
            None if stray == MOST_STRAY => return Err(Error::Protocol(format!("{MOST_STRAY} messages answered nothing"))),
            None => stray += 1,
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn handshake(settings: &mut Settings) -> Result<Handshake, String> {
    if !settings.host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte)) {
        return Err(format!("`host` is \"{}\"; it is a name or address, with a port where it is not the usual one", settings.host));
    }
    if !settings.path.starts_with('/') || !settings.path.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte)) {
        return Err(format!("`path` is \"{}\"; it begins with `/`, and what a URL cannot hold is percent-encoded", settings.path));
    }
    let mut handshake = Handshake::new(&settings.host, &settings.path);
    for (name, value) in settings.headers.take().unwrap_or_default() {
        http::check_header("headers", &name, &value)?;
        let own = matches!(name.as_str(), "host" | "connection" | "upgrade" | "content-length" | "transfer-encoding") || name.starts_with("sec-websocket-");
        if own || settings.credential.is_some() && name == settings.credential_header {
            return Err(format!("`headers` names \"{name}\", which the handshake sets"));
        }
        handshake = handshake.header(&name, &value);
    }
    for protocol in settings.protocols.take().unwrap_or_default() {
        if !is_token(&protocol) {
            return Err(format!("`protocols` names \"{protocol}\"; a subprotocol is letters, digits and some signs, without spaces"));
        }
        handshake = handshake.protocol(&protocol);
    }
    if let Some(name) = &settings.credential {
        http::check_header("credential_header", &settings.credential_header, "")?;
        http::check_header("credential_prefix", "value", &settings.credential_prefix)?;
        handshake = handshake.credential(&settings.credential_header, &settings.credential_prefix, name);
    }
    Ok(handshake)
}

impl Connector for Socket {
    type Config = Settings;

    fn configure(mut settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        let session = Session::new("primary", handshake(&mut settings)?, Duration::from_secs(settings.timeout.into()));
        let mut pointers = Pointers::new(field::ALL);
        let mut rules = template::Rules {
            key: "body",
            place: Place::Json,
            records_fit: format.is_json(),
            one_line: false,
            refuse_missing: settings.missing == Missing::Refuse,
        };
        let body = settings.body.take().map(|text| Template::parse(&text, &rules, &mut pointers)).transpose()?;
        if let Some(body) = &body {
            template::check_json("body", &body.sample())?;
        }
        rules = template::Rules { key: "ack.key", place: Place::Text, ..rules };
        let ack = match settings.ack.take() {
            Some(ack) => {
                let key = Template::parse(&ack.key, &rules, &mut pointers)?;
                Some((Reader::new(ack)?, key))
            }
            None => None,
        };
        let codes = |list: Option<Vec<u16>>, own: &[u16]| list.unwrap_or_else(|| own.to_vec());
        Ok(Self {
            session,
            frame: settings.frame,
            body,
            ack,
            unauthorized: codes(settings.close.unauthorized, &[3000, 3003]),
            configuration: codes(settings.close.configuration, &[1003, 1008, 1010]),
            refused: codes(settings.close.refused, &[1007, 1009]),
            keepalive: Duration::from_secs(settings.keepalive.into()),
            pointers,
            calls: 0,
        })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(1000), max_bytes: Some(1 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        let mut messages = Vec::with_capacity(batch.len());
        for (place, slot) in outcomes.iter_mut().enumerate() {
            match self.message(batch, place) {
                Ok(message) => messages.push(message),
                Err(reason) => *slot = Some(Outcome::Rejected(reason)),
            }
        }
        if messages.is_empty() {
            return Ok(Delivery::Each(outcomes.into_iter().flatten().collect()));
        }
        self.calls += 1;
        let ping = format!("bulkhead-{}", self.calls);
        let frame = self.frame;
        let result = match &self.ack {
            None => self.session.with(|socket| send(socket, frame, &messages, ping.as_bytes())).map(|()| Outcome::Accepted(None)),
            Some((reader, _)) => {
                if reader.is_in_order() && self.session.is_open() && self.session.with(unasked).is_err() {
                    log::debug("a WebSocket was let go of: between deliveries the receiver said something or left");
                }
                let greets = reader.is_in_order() && !self.session.is_open();
                let exchanged = self.session.with(|socket| {
                    // What came before this answer is a greeting, and belongs to no event.
                    if greets {
                        socket.confirm(ping.as_bytes(), drop)?;
                    }
                    exchange(socket, frame, messages, reader, &mut outcomes)
                });
                exchanged.map(|()| Outcome::Retry(None))
            }
        };
        let open = outcomes.iter().filter(|outcome| outcome.is_none()).count();
        let rest = match result {
            Ok(outcome) => outcome,
            // Nobody has been told anything yet: the call failed as a whole.
            Err(error) if open == batch.len() => self.ended(error, open)?,
            // Beside events that are done, the rest comes again; what is wrong shows then.
            Err(_) => Outcome::Retry(None),
        };
        Ok(Delivery::Each(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| rest.clone())).collect()))
    }

    fn check(&mut self) -> Result<String, Failure> {
        let confirmed = self.session.with(|socket| socket.confirm(b"bulkhead-check", drop));
        confirmed.map_err(|error| self.ended(error, 0).err().unwrap_or(Failure::Unsupported))?;
        Ok(match self.session.protocol() {
            Some(protocol) => format!("the receiver opens a WebSocket with the subprotocol {protocol} and answers pings"),
            None => "the receiver opens a WebSocket and answers pings".to_owned(),
        })
    }

    fn maintain(&mut self) -> Result<Option<Duration>, Failure> {
        if let Err(error) = self.session.heartbeat(drop) {
            let why = match error {
                Error::Closed { code, .. } => format!("closed with {code}"),
                error => error.to_string(),
            };
            log::info(&format!("the WebSocket was lost between deliveries: {why}"));
        }
        Ok(self.session.is_open().then_some(self.keepalive))
    }

    fn close(&mut self) {
        self.session.close(GOODBYE);
    }
}

bulkhead_sdk::export_connector!(Socket);

#[cfg(test)]
mod tests;
