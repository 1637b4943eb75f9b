//! Fluentd and Fluent Bit: the forward protocol v1 over TCP or TLS.
//! Protocol: Fluentd, "Forward Protocol Specification v1".
//!
//! Promised: delivered means acknowledged, chunk by chunk; times keep their nanoseconds; a receiver with a
//! shared key has to know it too, and the key stays with the host.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use bulkhead_sdk::tcp::{Connection, Session};
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, Outcome, Pointers, RecordFormat};

mod chunk;
mod handshake;
mod pack;
mod tag;
mod unpack;

use chunk::{Chunk, Mode, Times};
use tag::Tag;
use unpack::{Inbox, Said};

/// Fields that every event is asked for.
mod field {
    use bulkhead_sdk::Field;

    pub const TIME: Field = Field(0);
    pub const RECEIVED: Field = Field(1);
    pub const ALL: [&str; 2] = ["/time", "/received"];
}

/// How chunks look and how they are acknowledged.
#[derive(Debug, Config)]
pub struct Settings {
    /// The tag of events; `{/severity}` stands for a field of the event. Each tag of a batch is a chunk of its own.
    #[config(default = "bulkhead", min = 1, max = 256)]
    tag: String,
    /// How the entries of a chunk are written.
    #[config(default = "packed")]
    mode: Mode,
    /// How the time of an entry is written.
    #[config(default = "event_time")]
    time: Times,
    /// Under which name a record goes that is no JSON object.
    #[config(default = "message", min = 1, max = 64)]
    message_key: String,
    /// Asks the receiver for an acknowledgement of each chunk.
    #[config(default = true)]
    ack: bool,
    /// The destination's credential that holds the receiver's shared key, where it has one.
    #[config(min = 1)]
    credential: Option<String>,
    /// Our name in the handshake; not the receiver's own.
    #[config(default = "bulkhead", min = 1, max = 255)]
    hostname: String,
    /// Milliseconds for connecting, for each step of the handshake and for each write.
    #[config(default = 10000, min = 100, max = 300000)]
    timeout_ms: u32,
    /// Milliseconds for each acknowledgement; `limits.deadline` ends the call before that.
    #[config(default = 20000, min = 100, max = 300000)]
    ack_timeout_ms: u32,
}

#[derive(Debug)]
pub struct FluentForward {
    settings: Settings,
    tag: Tag,
    pointers: Pointers,
    format: RecordFormat,
    session: Session,
}

/// 16 bytes that no other chunk and no other handshake has: keyed hashes, whose keys the machine draws.
fn random() -> [u8; 16] {
    (u128::from(RandomState::new().hash_one(0)) << 64 | u128::from(RandomState::new().hash_one(1))).to_be_bytes()
}

impl FluentForward {
    fn greet(settings: &Settings, connection: &mut Connection) -> Result<(), Failure> {
        match &settings.credential {
            Some(key) => handshake::shake_hands(connection, key, &settings.hostname),
            None => handshake::expect_none(connection),
        }
    }

    /// A chunk for each tag, in the order of their first events.
    fn chunks(&self, batch: &Batch<'_>) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (at, (record, event)) in batch.iter().enumerate() {
            let place = *places.entry(self.tag.of(&event)).or_insert_with_key(|tag| {
                chunks.push(Chunk::new(tag.clone(), handshake::hex(&random())));
                chunks.len() - 1
            });
            if let Some(chunk) = chunks.get_mut(place) {
                chunk.add(at, record, &event, self.settings.time, &self.settings.message_key, &self.format);
            }
        }
        chunks
    }
}

/// Reads acknowledgements until every chunk has one; answers those that have none, and why.
fn acknowledged(connection: &mut Connection, chunks: &[Chunk], wait: Duration) -> (Vec<usize>, Option<Failure>) {
    let mut open: Vec<usize> = (0..chunks.len()).collect();
    let (mut inbox, timeout) = (Inbox::default(), connection.timeout());
    connection.set_timeout(wait);
    while !open.is_empty() {
        let said = match inbox.next(connection) {
            Ok(said) => said,
            Err(error) => return (open, Some(error.into())),
        };
        if handshake::is_helo(&said) {
            return (open, Some(handshake::wants_key()));
        }
        let id = said.member("ack").and_then(Said::bytes);
        match open.iter().position(|place| chunks.get(*place).is_some_and(|chunk| id == Some(chunk.id.as_bytes()))) {
            Some(at) => {
                open.remove(at);
            }
            None => {
                let reason = "the receiver answered something else than an acknowledgement of these chunks".to_owned();
                return (open, Some(Failure::Unavailable { reason, after: None }));
            }
        }
    }
    connection.set_timeout(timeout);
    (open, None)
}

impl Connector for FluentForward {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        let mut pointers = Pointers::new(&field::ALL);
        let tag = Tag::parse(&settings.tag, &mut pointers)?;
        if !settings.hostname.bytes().all(|byte| (33..=126).contains(&byte)) {
            return Err("`hostname` is printable ASCII without spaces".to_owned());
        }
        let timeout = Duration::from_millis(settings.timeout_ms.into());
        let session = if settings.ack { Session::new("primary", timeout) } else { Session::one_way("primary", timeout) };
        Ok(Self { settings, tag, pointers, format: format.clone(), session })
    }

    fn fields(&self) -> Vec<&str> {
        self.pointers.all()
    }

    fn limits(&self) -> Limits {
        // Fluent Bit takes messages of 6 MB by default; MessagePack is no longer than JSON by much.
        Limits { max_events: Some(2000), max_bytes: Some(1 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let chunks = self.chunks(batch);
        let Self { settings, session, .. } = self;
        let mut bytes = Vec::with_capacity(batch.records.bytes().len());
        for chunk in &chunks {
            bytes.extend(chunk.message(settings.mode, settings.ack).map_err(Failure::Other)?);
        }
        let wait = Duration::from_millis(settings.ack_timeout_ms.into());
        let open = session.with(
            |connection| Self::greet(settings, connection),
            |connection| {
                connection.send(&bytes)?;
                if !settings.ack {
                    return Ok(Vec::new());
                }
                match acknowledged(connection, &chunks, wait) {
                    // Once a chunk is acknowledged the batch does not fail as a whole any more.
                    (open, Some(failure)) if open.len() == chunks.len() => Err(failure),
                    (open, _) => Ok(open),
                }
            },
        )?;
        if !open.is_empty() {
            session.close();
        }
        let mut outcomes = vec![Outcome::Accepted(None); batch.len()];
        for place in open.iter().filter_map(|place| chunks.get(*place)).flat_map(|chunk| &chunk.events) {
            if let Some(outcome) = outcomes.get_mut(*place) {
                *outcome = Outcome::Retry(None);
            }
        }
        Ok(Delivery::Each(outcomes))
    }

    fn check(&mut self) -> Result<String, Failure> {
        let settings = &self.settings;
        let secure = self.session.try_out(|connection| Self::greet(settings, connection))?;
        let tls = if secure { " under TLS" } else { "" };
        Ok(match settings.credential {
            Some(_) => format!("the receiver takes connections{tls} and knows the shared key"),
            None => format!("the receiver takes connections{tls}; whether it takes events shows with the first"),
        })
    }

    fn close(&mut self) {
        self.session.close();
    }
}

bulkhead_sdk::export_connector!(FluentForward);

#[cfg(test)]
mod tests;
