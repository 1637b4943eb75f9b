//! A connector for tests: speaks lines over TCP or TLS, datagrams, or WebSocket, as configured. With a
//! credential it says so in the protocol's way first. Nothing of it is shipped.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use bulkhead_sdk::credentials::{self, Algorithm, Encoding};
use bulkhead_sdk::tcp::Connection;
use bulkhead_sdk::websocket::{Handshake, Message, Session};
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Outcome, RecordFormat, tcp, udp};

/// What it speaks, and to whom.
#[derive(Debug, Config)]
pub struct Settings {
    /// `lines`: a record a line, an answer a line. `datagrams`: one each. `websocket`: a message each.
    mode: Mode,
    /// The destination.
    #[config(default = "primary")]
    destination: String,
    /// One of its members.
    #[config(default = "")]
    member: String,
    /// For `websocket`: the `Host` field.
    #[config(default = "localhost")]
    host: String,
    /// Says `AUTH` with this credential first.
    credential: Option<String>,
    /// How: `plain`, `base64`, `sasl`, `hash` or `hmac`.
    #[config(default = "plain")]
    how: How,
    /// Hostile behaviour.
    #[config(default = "none")]
    evil: Evil,
    /// Milliseconds for each wait.
    #[config(default = 5000)]
    timeout: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Mode {
    Lines,
    Datagrams,
    Websocket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum How {
    Plain,
    Base64,
    Sasl,
    Hash,
    Hmac,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Evil {
    None,
    /// Opens connections until one is refused, says how many, and traps.
    Hoard,
    /// Writes until it is stopped.
    Flood,
    /// Reads until it is stopped; the record says for how many milliseconds at a time.
    Wait,
    /// Connects to the destination and uses the credential that its record names.
    Borrow,
}

pub struct Streams {
    settings: Settings,
    connection: Option<BufReader<Connection>>,
    session: Session,
    hoard: Vec<Connection>,
}

impl Streams {
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.settings.timeout.into())
    }

    fn open(&self) -> Result<Connection, tcp::Error> {
        Connection::open_member(&self.settings.destination, &self.settings.member, self.timeout())
    }

    /// `AUTH <something that only who knows the secret can say>`.
    fn authenticate(&self, connection: &mut Connection) -> Result<(), Failure> {
        let Some(name) = &self.settings.credential else { return Ok(()) };
        connection.send(b"AUTH ")?;
        match self.settings.how {
            How::Plain => credentials::write_secret(connection, name, Encoding::Plain)?,
            How::Base64 => credentials::write_secret(connection, name, Encoding::Base64)?,
            How::Sasl => {
                let length = credentials::secret_length(connection, name, Encoding::SaslPlainBase64)?;
                connection.send(format!("{{{length}}} ").as_bytes())?;
                credentials::write_secret(connection, name, Encoding::SaslPlainBase64)?;
            }
            How::Hash => {
                let digest = credentials::hash_with(connection, name, Algorithm::Sha256, b"before-", b"-after")?;
                connection.send(hex(&digest).as_bytes())?;
            }
            How::Hmac => {
                let digest = credentials::hmac(connection, name, Algorithm::Sha512, b"challenge")?;
                connection.send(hex(&digest).as_bytes())?;
            }
        }
        connection.send(b"\n")?;
        Ok(())
    }

    /// One line each, and for each an answer: `OK`, or why not.
    fn lines(&mut self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        if self.connection.is_none() {
            let mut connection = self.open()?;
            self.authenticate(&mut connection)?;
            let mut connection = BufReader::new(connection);
            if self.settings.credential.is_some() {
                let welcome = line(&mut connection)?;
                if welcome != "OK" {
                    return Err(Failure::Unauthorized(welcome));
                }
            }
            self.connection = Some(connection);
        }
        // Back in its place only when all went well.
        let mut connection = self.connection.take().ok_or(Failure::Unsupported)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for (record, _) in batch.iter() {
            connection.get_mut().send(&[record.strip_suffix(b"\n").unwrap_or(record), b"\n"].concat())?;
            let answer = line(&mut connection)?;
            outcomes.push(if answer == "OK" { Outcome::Accepted(None) } else { Outcome::Rejected(answer) });
        }
        self.connection = Some(connection);
        Ok(Delivery::Each(outcomes))
    }

    fn datagrams(&self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        for (record, _) in batch.iter() {
            udp::send(&self.settings.destination, record)?;
        }
        Ok(Delivery::accepted())
    }

    /// One message each, and for each its echo.
    fn messages(&mut self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for (record, _) in batch.iter() {
            let text = String::from_utf8_lossy(record).into_owned();
            let answer = self.session.with(|socket| {
                socket.send_text(&text)?;
                socket.receive()
            });
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if outcomes.is_empty() => return Err(error.into()),
                // What was answered stays so, the rest comes again.
                Err(_) => {
                    outcomes.resize(batch.len(), Outcome::Retry(None));
                    break;
                }
            };
            outcomes.push(if answer == Message::Text(text) { Outcome::Accepted(None) } else { Outcome::Rejected(format!("{answer:?}")) });
        }
        Ok(Delivery::Each(outcomes))
    }

    fn evil(&mut self, batch: &Batch<'_>) -> Result<Delivery, Failure> {
        let record = batch.iter().next().map(|(record, _)| String::from_utf8_lossy(record).into_owned()).unwrap_or_default();
        match self.settings.evil {
            Evil::None => Err(Failure::Unsupported),
            Evil::Hoard => loop {
                match self.open() {
                    Ok(connection) => self.hoard.push(connection),
                    Err(error) if record.contains("trap") => panic!("{} held, then {error}", self.hoard.len()),
                    Err(error) => return Err(Failure::Other(format!("{} held, then {error}", self.hoard.len()))),
                }
            },
            Evil::Flood => {
                let mut connection = self.open()?;
                let flood = vec![b'x'; 1 << 20];
                loop {
                    connection.send(&flood)?;
                }
            }
            Evil::Wait => {
                let mut connection = self.open()?;
                connection.set_timeout(Duration::from_millis(record.trim().parse().unwrap_or(0)));
                let mut got = Vec::new();
                loop {
                    match connection.receive(1) {
                        Ok(byte) => got.extend(byte),
                        Err(error) => return Err(Failure::Other(format!("{} bytes, then {error}", got.len()))),
                    }
                }
            }
            Evil::Borrow => {
                let connection = self.open()?;
                credentials::write_secret(&connection, record.trim(), Encoding::Plain)?;
                Ok(Delivery::accepted())
            }
        }
    }
}

fn line(connection: &mut BufReader<Connection>) -> Result<String, Failure> {
    let mut line = String::new();
    match connection.read_line(&mut line) {
        Ok(0) => Err(tcp::Error::Closed.into()),
        Ok(_) => Ok(line.trim_end().to_owned()),
        Err(error) => Err(tcp::Error::behind(&error).into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Connector for Streams {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        let mut handshake = Handshake::new(&settings.host, "/events");
        if let Some(name) = &settings.credential {
            handshake = handshake.credential("authorization", "Bearer ", name);
        }
        let session = Session::new(&settings.destination, handshake, Duration::from_millis(settings.timeout.into()));
        Ok(Self { settings, connection: None, session, hoard: Vec::new() })
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        if self.settings.evil != Evil::None {
            return self.evil(batch);
        }
        match self.settings.mode {
            Mode::Lines => self.lines(batch),
            Mode::Datagrams => self.datagrams(batch),
            Mode::Websocket => self.messages(batch),
        }
    }

    fn maintain(&mut self) -> Result<Option<Duration>, Failure> {
        self.session.heartbeat(drop)?;
        Ok(None)
    }

    fn close(&mut self) {
        self.session.close(Duration::from_secs(1));
        if let Some(connection) = &mut self.connection {
            let _ = connection.get_mut().finish();
        }
    }
}

bulkhead_sdk::export_connector!(Streams);
