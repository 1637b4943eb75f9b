//! WebSocket (RFC 6455) over a connection to a named destination: `tls://` for what elsewhere is written
//! `wss://`, `tcp://` for `ws://`. The host's part ends with the stream; the protocol runs in the guest.
//!
//! [`WebSocket`] is one connection. [`Session`] keeps one from call to call: it opens one where there is
//! none and lets go of one that failed, so that the host's next attempt begins with a fresh one.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

use tungstenite::client::{ClientRequestBuilder, client_with_config};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error as Wire, Message as Frame};

use crate::tcp::{self, Connection};
use crate::{Failure, credentials};

/// Wait of a look at what has come; what is there already is seen however short it is.
const LOOK: Duration = Duration::from_millis(1);
/// Messages in front of a peer's last words that are read over.
const LAST_WORDS: usize = 64;
/// Messages that one [`WebSocket::drain`] takes; a peer that goes on talking is heard by the next one.
const MOST_DRAINED: usize = 1024;

/// Largest message that is taken in.
pub const MAX_MESSAGE: usize = 4 << 20;

/// Why a WebSocket operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    Stream(tcp::Error),
    Credential(credentials::Error),
    /// The receiver answered the handshake with this status.
    Refused(u16),
    /// The peer has closed, with a code and its reason.
    Closed {
        code: u16,
        reason: String,
    },
    /// One of the two did not keep to the protocol.
    Protocol(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Credential(credentials::Error::Denied(text) | credentials::Error::Broken(text)) => write!(f, "the credential was not used: {text}"),
            Self::Refused(status) => write!(f, "the receiver answered {status} to the WebSocket handshake"),
            Self::Closed { code, reason } => write!(f, "the receiver closed the WebSocket: {code} {reason}"),
            Self::Protocol(problem) => write!(f, "the WebSocket protocol was broken: {problem}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Stream(error) => error.into(),
            Error::Credential(error) => error.into(),
            Error::Refused(401 | 403) => Self::Unauthorized(format!("{error}; check the destination's `credential`")),
            Error::Refused(300..=399 | 404 | 405 | 426) => Self::Configuration(format!("{error}; check host and path")),
            Error::Refused(_) | Error::Closed { .. } | Error::Protocol(_) => Self::Unavailable { reason: error.to_string(), after: None },
        }
    }
}

/// What is asked for when a WebSocket is opened. The guest knows no address, so the host's name for the
/// request comes from the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handshake {
    host: String,
    path: String,
    headers: Vec<(String, String)>,
    protocols: Vec<String>,
    /// Header, prefix and name of the credential.
    credential: Option<(String, String, String)>,
}

impl Handshake {
    /// `host` is the `Host` field, with a port where it is not the usual one; `path` begins with `/` and
    /// may have a query.
    pub fn new(host: &str, path: &str) -> Self {
        Self { host: host.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Offers a subprotocol.
    #[must_use]
    pub fn protocol(mut self, name: &str) -> Self {
        self.protocols.push(name.to_owned());
        self
    }

    /// Has the host write a credential as the last header, for example `("authorization", "Bearer ",
    /// "token")`. Only under TLS.
    #[must_use]
    pub fn credential(mut self, header: &str, prefix: &str, name: &str) -> Self {
        self.credential = Some((header.to_owned(), prefix.to_owned(), name.to_owned()));
        self
    }
}

/// A message of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
    /// The answer to a [`WebSocket::ping`].
    Pong(Vec<u8>),
}

/// One open WebSocket. Pings of the peer are answered while it is read.
#[derive(Debug)]
pub struct WebSocket {
    socket: tungstenite::WebSocket<Stream>,
    protocol: Option<String>,
}

impl WebSocket {
    /// Connects and shakes hands; the timeout holds for each step and then for each message.
    pub fn open(destination: &str, handshake: &Handshake, timeout: Duration) -> Result<Self, Error> {
        Self::over(Connection::open(destination, timeout).map_err(Error::Stream)?, handshake)
    }

    /// Shakes hands over a connection that is there already.
    pub fn over(connection: Connection, handshake: &Handshake) -> Result<Self, Error> {
        let uri = format!("ws://{}{}", handshake.host, handshake.path).parse();
        let mut request = ClientRequestBuilder::new(uri.map_err(|_| Error::Protocol("host or path are not well formed".to_owned()))?);
        for (name, value) in &handshake.headers {
            request = request.with_header(name, value);
        }
        for protocol in &handshake.protocols {
            request = request.with_sub_protocol(protocol);
        }
        let config = WebSocketConfig::default().read_buffer_size(16 << 10).max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let stream = Stream { connection, read_wait: None, credential: handshake.credential.clone(), head: Vec::new() };
        match client_with_config(request, stream, Some(config)) {
            Ok((socket, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok()).map(str::to_owned);
                Ok(Self { socket, protocol })
            }
            Err(HandshakeError::Failure(error)) => Err(failed(error)),
            Err(HandshakeError::Interrupted(_)) => Err(Error::Protocol("the handshake was interrupted".to_owned())),
        }
    }

    /// The subprotocol that the receiver chose.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// For each message from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.socket.get_mut().connection.set_timeout(timeout);
    }

    pub fn send_text(&mut self, text: &str) -> Result<(), Error> {
        self.socket.send(Frame::text(text)).map_err(failed)
    }

    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.send(Frame::binary(bytes.to_vec())).map_err(failed)
    }

    /// Puts a text behind those that are on their way; [`flush`](Self::flush) or a ping sends what is left of them.
    pub fn queue_text(&mut self, text: &str) -> Result<(), Error> {
        self.socket.write(Frame::text(text)).map_err(failed)
    }

    /// The same for bytes.
    pub fn queue_binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.write(Frame::binary(bytes.to_vec())).map_err(failed)
    }

    /// Sends what was queued.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.socket.flush().map_err(failed)
    }

    /// The next message if it is there already.
    pub fn look(&mut self) -> Result<Option<Message>, Error> {
        self.socket.get_mut().read_wait = Some(LOOK);
        let result = self.receive();
        self.socket.get_mut().read_wait = None;
        match result {
            Ok(message) => Ok(Some(message)),
            Err(Error::Stream(tcp::Error::Timeout)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes what the peer has said so far, without waiting for more: a peer that nobody listens to stops listening.
    pub fn drain(&mut self, mut each: impl FnMut(Message)) -> Result<(), Error> {
        for _ in 0..MOST_DRAINED {
            match self.look()? {
                Some(message) => each(message),
                None => break,
            }
        }
        Ok(())
    }

    /// Sends what was queued and a ping behind it, and waits for that ping's answer: then the peer has read all that
    /// was sent (RFC 6455 §5.5.3). Messages that come in between are handed to `other`.
    pub fn confirm(&mut self, payload: &[u8], mut other: impl FnMut(Message)) -> Result<(), Error> {
        self.ping(payload)?;
        loop {
            match self.receive()? {
                Message::Pong(answer) if answer == payload => return Ok(()),
                // An answer to an earlier ping; a peer may leave those out.
                Message::Pong(_) => {}
                message => other(message),
            }
        }
    }

    /// Asks whether the peer is there; its answer comes among the messages. At most 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.socket.send(Frame::Ping(payload.to_vec().into())).map_err(failed)
    }

    /// The next message. After a timeout it can be asked for again.
    pub fn receive(&mut self) -> Result<Message, Error> {
        loop {
            match self.socket.read().map_err(failed)? {
                Frame::Text(text) => return Ok(Message::Text(text.as_str().to_owned())),
                Frame::Binary(bytes) => return Ok(Message::Binary(bytes.to_vec())),
                Frame::Pong(payload) => return Ok(Message::Pong(payload.to_vec())),
                // The answer is waiting to be sent.
                Frame::Ping(_) => self.socket.flush().map_err(failed)?,
                Frame::Close(frame) => {
                    // Answers the peer's close; it may be gone already.
                    let _ = self.socket.flush();
                    return Err(match frame {
                        Some(frame) => Error::Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() },
                        None => Error::Closed { code: 1005, reason: String::new() },
                    });
                }
                Frame::Frame(_) => {}
            }
        }
    }

    /// Why the peer closed, where that is there already.
    fn last_words(mut self) -> Option<Error> {
        self.set_timeout(LOOK);
        let error = (0..LAST_WORDS).find_map(|_| self.receive().err());
        error.filter(|error| matches!(error, Error::Closed { .. }))
    }

    /// Says goodbye and waits for the peer's answer, as long as the timeout allows.
    pub fn close(mut self) -> Result<(), Error> {
        self.socket.close(None).map_err(failed)?;
        loop {
            match self.receive() {
                Ok(_) => {}
                Err(Error::Closed { .. } | Error::Stream(tcp::Error::Closed)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Keeps one WebSocket from call to call.
#[derive(Debug)]
pub struct Session {
    destination: String,
    handshake: Handshake,
    timeout: Duration,
    socket: Option<WebSocket>,
}

impl Session {
    pub fn new(destination: &str, handshake: Handshake, timeout: Duration) -> Self {
        Self { destination: destination.to_owned(), handshake, timeout, socket: None }
    }

    /// Works on the open socket, or on a fresh one. One that failed in the middle is let go of: what was
    /// under way is tried again by the host, on a fresh one. A timeout counts, because the answer could
    /// come when nobody waits for it any more.
    pub fn with<T>(&mut self, work: impl FnOnce(&mut WebSocket) -> Result<T, Error>) -> Result<T, Error> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => WebSocket::open(&self.destination, &self.handshake, self.timeout)?,
        };
        let result = work(self.socket.insert(socket));
        let Err(error) = result else { return result };
        let last = self.socket.take().filter(|_| matches!(error, Error::Stream(tcp::Error::Broken(_) | tcp::Error::Closed)));
        // A peer that closes says why; writing to it fails before that was read.
        Err(last.and_then(WebSocket::last_words).unwrap_or(error))
    }

    /// Finds out whether the peer is still there: a ping and its pong. For `maintain`; a dead socket is
    /// let go of. Messages that come in between are handed to `other`.
    pub fn heartbeat(&mut self, mut other: impl FnMut(Message)) -> Result<(), Error> {
        if self.socket.is_none() {
            return Ok(());
        }
        self.with(|socket| socket.confirm(b"bulkhead", &mut other))
    }

    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// The subprotocol of the open socket.
    pub fn protocol(&self) -> Option<&str> {
        self.socket.as_ref().and_then(WebSocket::protocol)
    }

    /// Says goodbye, if there is anybody, and waits for the answer at most this long.
    pub fn close(&mut self, patience: Duration) {
        if let Some(mut socket) = self.socket.take() {
            socket.set_timeout(patience.min(self.timeout));
            let _ = socket.close();
        }
    }
}

/// The connection, which puts the credential behind the last header of the handshake.
#[derive(Debug)]
struct Stream {
    connection: Connection,
    /// In place of the timeout, for reads alone: answers to the peer's pings are written in between.
    read_wait: Option<Duration>,
    credential: Option<(String, String, String)>,
    /// The handshake so far, where a credential belongs into it.
    head: Vec<u8>,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let timeout = self.connection.timeout();
        self.connection.set_timeout(self.read_wait.unwrap_or(timeout));
        let read = self.connection.read(buffer);
        self.connection.set_timeout(timeout);
        read
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some((header, prefix, name)) = &self.credential else { return self.connection.write(bytes) };
        self.head.extend_from_slice(bytes);
        if let Some(head) = self.head.strip_suffix(b"\r\n\r\n") {
            self.connection.send(head)?;
            self.connection.send(format!("\r\n{header}: {prefix}").as_bytes())?;
            credentials::write_secret(&self.connection, name, credentials::Encoding::Plain).map_err(|error| io::Error::other(Unused(error)))?;
            self.connection.send(b"\r\n\r\n")?;
            self.credential = None;
            self.head = Vec::new();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()
    }
}

/// Carries the reason through the library.
#[derive(Debug)]
struct Unused(credentials::Error);

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Error::Credential(self.0.clone()).fmt(f)
    }
}

impl std::error::Error for Unused {}

fn failed(error: Wire) -> Error {
    match error {
        Wire::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Unused>()) {
            Some(Unused(credential)) => Error::Credential(credential.clone()),
            None => Error::Stream(tcp::Error::behind(&error)),
        },
        Wire::Http(response) => Error::Refused(response.status().as_u16()),
        Wire::ConnectionClosed | Wire::AlreadyClosed => Error::Stream(tcp::Error::Closed),
        other => Error::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
