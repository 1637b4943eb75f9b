//! A receiver of streams and datagrams: it keeps what it is sent, and answers by rules.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::pattern::Pattern;

/// Longest silence of a connection before the sink lets go of it.
const SILENCE: Duration = Duration::from_secs(60);

/// What the sink does, as a case writes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Said to each connection first.
    pub hello: Option<String>,
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// The receiver speaks WebSocket: a message each in place of bytes, kept with a line break behind each.
    #[serde(default)]
    pub websocket: bool,
    /// Closes the WebSocket with this code when a message has come.
    pub close_code: Option<u16>,
    /// `close`: each connection is closed when something has come, in place of answers.
    pub fault: Option<String>,
}

/// Said when these bytes have come, as often as they come.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    when: String,
    say: String,
}

struct Speech {
    hello: Option<Vec<u8>>,
    answers: Vec<(Pattern, Pattern)>,
    closes: bool,
    websocket: bool,
    close_code: Option<u16>,
}

impl Speech {
    fn new(rules: &Rules) -> Result<Self> {
        Ok(Self {
            hello: rules.hello.as_deref().map(|text| Ok::<_, anyhow::Error>(Pattern::parse(text)?.fill(&[]))).transpose()?,
            answers: rules.answers.iter().map(|answer| Ok((Pattern::parse(&answer.when)?, Pattern::parse(&answer.say)?))).collect::<Result<_>>()?,
            websocket: rules.websocket,
            close_code: rules.close_code,
            closes: match rules.fault.as_deref() {
                None => false,
                Some("close") => true,
                Some(other) => bail!("sink.fault = {other} is not close"),
            },
        })
    }

    /// What is said to these bytes, and how many of them are done with.
    fn answer(&self, bytes: &[u8]) -> (Vec<u8>, usize) {
        let (mut said, mut done) = (Vec::new(), 0);
        while let Some((end, answer)) =
            self.answers.iter().filter_map(|(when, say)| when.find(&bytes[done..]).map(|(end, held)| (end, say.fill(&held)))).min_by_key(|(end, _)| *end)
        {
            said.extend(answer);
            done += end;
        }
        (said, done)
    }
}

/// What came: one entry for each connection, in their order, or for each datagram.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

pub struct Sink {
    pub port: u16,
    streams: Heard,
    datagrams: UdpSocket,
}

impl Sink {
    /// Listens for connections and datagrams on the same port of the loopback.
    pub fn start(rules: &Rules) -> Result<Self> {
        let speech = Arc::new(Speech::new(rules)?);
        let (listener, datagrams) = both()?;
        let (port, streams) = (listener.local_addr()?.port(), Heard::default());
        let heard = Arc::clone(&streams);
        // Ends with the process: nobody connects any more when the check is over.
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let place = {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.push(Vec::new());
                    heard.len() - 1
                };
                let (heard, speech) = (Arc::clone(&heard), Arc::clone(&speech));
                std::thread::spawn(
                    move || if speech.websocket { serve_websocket(stream, place, &heard, &speech) } else { serve(stream, place, &heard, &speech) },
                );
            }
        })?;
        Ok(Self { port, streams, datagrams })
    }

    /// A port on which nobody listens.
    pub fn nobody() -> Result<u16> {
        Ok(bulkhead_fault_server::port::free()?.port())
    }

    pub fn streams(&self) -> Vec<Vec<u8>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Datagrams so far, in their order.
    pub fn datagrams(&self) -> Result<Vec<Vec<u8>>> {
        self.datagrams.set_nonblocking(true)?;
        let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        while let Ok(length) = self.datagrams.recv(&mut buffer) {
            all.push(buffer[..length].to_vec());
        }
        Ok(all)
    }
}

fn both() -> Result<(TcpListener, UdpSocket)> {
    for _ in 0..100 {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        if let Ok(datagrams) = UdpSocket::bind(listener.local_addr()?) {
            return Ok((listener, datagrams));
        }
    }
    bail!("no port is free for both streams and datagrams")
}

fn serve(mut stream: TcpStream, place: usize, heard: &Heard, speech: &Speech) {
    let mut talk = || -> Result<()> {
        stream.set_read_timeout(Some(SILENCE))?;
        if let Some(hello) = &speech.hello {
            stream.write_all(hello)?;
        }
        let (mut open, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let length = stream.read(&mut chunk).context("reads")?;
            if length == 0 {
                return Ok(());
            }
            heard.lock().unwrap_or_else(PoisonError::into_inner)[place].extend_from_slice(&chunk[..length]);
            if speech.closes {
                return Ok(());
            }
            if !speech.answers.is_empty() {
                open.extend_from_slice(&chunk[..length]);
                let (said, done) = speech.answer(&open);
                open.drain(..done);
                stream.write_all(&said)?;
            }
        }
    };
    // How a connection ends is the guest's business.
    let _ = talk();
    let _ = stream.shutdown(Shutdown::Both);
}

/// The same over WebSocket: rules see one message after another.
fn serve_websocket(stream: TcpStream, place: usize, heard: &Heard, speech: &Speech) {
    let talk = || -> Result<()> {
        stream.set_read_timeout(Some(SILENCE))?;
        let mut socket = tungstenite::accept(stream).map_err(|error| anyhow::anyhow!("{error}"))?;
        loop {
            let message = socket.read()?;
            if !message.is_text() && !message.is_binary() {
                continue;
            }
            let bytes = message.into_data();
            {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard[place].extend_from_slice(&bytes);
                heard[place].push(b'\n');
            }
            if let Some(code) = speech.close_code {
                socket.close(Some(tungstenite::protocol::CloseFrame { code: code.into(), reason: "".into() }))?;
            }
            let (said, _) = speech.answer(&bytes);
            if !said.is_empty() {
                socket.send(tungstenite::Message::text(String::from_utf8_lossy(&said).into_owned()))?;
            }
        }
    };
    let _ = talk();
}
