//! Receivers of streams and datagrams that do as little as they can: they read, throw away, and give the answers that a
//! protocol cannot do without. They run in this process, so that their time is not the host's.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use anyhow::Result;

use super::subjects::Speech;

/// Listens until this process ends; answers the port.
pub fn tcp(speech: Speech) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // A connection ends when its peer does.
                let _ = match speech {
                    Speech::Nothing => talk(stream, |_, _| {}),
                    Speech::Forward => {
                        let mut forward = Forward::default();
                        talk(stream, move |bytes, out| forward.hear(bytes, out))
                    }
                    Speech::Lumberjack => {
                        let mut beats = Lumberjack::default();
                        talk(stream, move |bytes, out| beats.hear(bytes, out))
                    }
                    Speech::WebSocket => websocket(stream),
                };
            });
        }
    });
    Ok(port)
}

pub fn udp() -> Result<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let port = socket.local_addr()?.port();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while socket.recv(&mut buffer).is_ok() {}
    });
    Ok(port)
}

fn talk(mut stream: TcpStream, mut hear: impl FnMut(&[u8], &mut Vec<u8>)) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut out) = (vec![0; 1 << 16], Vec::new());
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        hear(&buffer[..length], &mut out);
        stream.write_all(&out)?;
        out.clear();
    }
}

fn websocket(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tungstenite::accept(stream).map_err(|error| anyhow::anyhow!("{error}"))?;
    loop {
        // The library answers pings while it reads.
        if socket.read()?.is_ping() {
            socket.flush()?;
        }
    }
}

/// `"chunk"` and a text of 32 bytes in an entry's options; `{"ack": …}` with the same text comes back.
#[derive(Default)]
struct Forward {
    rest: Vec<u8>,
}

impl Forward {
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        const OPTION: &[u8] = b"\xa5chunk\xd9\x20";
        self.rest.extend_from_slice(bytes);
        let mut done = 0;
        while let Some(at) = self.rest[done..].windows(OPTION.len()).position(|window| window == OPTION) {
            let id = done + at + OPTION.len();
            let Some(text) = self.rest.get(id..id + 32) else { break };
            out.extend_from_slice(b"\x81\xa3ack\xd9\x20");
            out.extend_from_slice(text);
            done = id + 32;
        }
        // What may be the beginning of an option stays.
        let keep = self.rest.len().saturating_sub(OPTION.len() + 32).max(done);
        self.rest.drain(..keep);
    }
}

/// Frames of Lumberjack 2: a window's size, then its events plain or compressed; the size is acknowledged behind them.
#[derive(Default)]
struct Lumberjack {
    rest: Vec<u8>,
    window: u32,
    /// Bytes of a frame's payload that are still to come.
    skip: usize,
    /// The window ends with this payload.
    ends: bool,
}

impl Lumberjack {
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let skipped = self.skip.min(self.rest.len() - at);
            at += skipped;
            self.skip -= skipped;
            if self.skip > 0 {
                break;
            }
            if std::mem::take(&mut self.ends) {
                out.extend_from_slice(b"2A");
                out.extend_from_slice(&self.window.to_be_bytes());
            }
            let number =
                |place: usize| self.rest.get(at + place..at + place + 4).map(|bytes| bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)));
            match (self.rest.get(at + 1).copied(), number(2), number(6)) {
                (Some(b'W'), Some(size), _) => {
                    self.window = size;
                    at += 6;
                }
                (Some(b'C'), Some(length), _) => {
                    (self.skip, self.ends) = (length as usize, true);
                    at += 6;
                }
                (Some(b'J'), Some(sequence), Some(length)) => {
                    (self.skip, self.ends) = (length as usize, sequence == self.window);
                    at += 10;
                }
                _ => break,
            }
        }
        self.rest.drain(..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed in pieces of every size, the answers are the same.
    fn check(bytes: &[u8], want: &[u8], mut fresh: impl FnMut() -> Box<dyn FnMut(&[u8], &mut Vec<u8>)>) {
        for size in 1..=bytes.len() {
            let (mut hear, mut out) = (fresh(), Vec::new());
            bytes.chunks(size).for_each(|chunk| hear(chunk, &mut out));
            assert_eq!(out, want, "in pieces of {size}");
        }
    }

    #[test]
    fn chunks_come_back() {
        let id = |letter: u8| [letter; 32];
        let bytes = [b"\x93\xa3tag\xc4\x02xx\x81\xa5chunk\xd9\x20", &id(b'a')[..], b"more\xa5chunk\xd9\x21\xa5chunk\xd9\x20", &id(b'b')].concat();
        let want = [b"\x81\xa3ack\xd9\x20", &id(b'a')[..], b"\x81\xa3ack\xd9\x20", &id(b'b')].concat();
        check(&bytes, &want, || {
            let mut forward = Forward::default();
            Box::new(move |bytes, out| forward.hear(bytes, out))
        });
    }

    #[test]
    fn windows_are_acknowledged_behind_their_last_event() {
        let bytes = b"2W\0\0\0\x022J\0\0\0\x01\0\0\0\x032W{2J\0\0\0\x02\0\0\0\x01}2W\0\0\0\x052C\0\0\0\x042W\0\0";
        check(bytes, b"2A\0\0\0\x022A\0\0\0\x05", || {
            let mut beats = Lumberjack::default();
            Box::new(move |bytes, out| beats.hear(bytes, out))
        });
    }
}
