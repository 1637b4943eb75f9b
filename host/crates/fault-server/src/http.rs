//! HTTP/1.1 over blocking sockets, as little as the proofs need: messages with a length or in chunks,
//! kept in one reused buffer; a client for one request at a time. Bounded in size and time.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 96;
pub const MAX_MESSAGE: usize = 96 * 1024 * 1024;

/// The head of a request; the body stays in the connection's buffer.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub method: String,
    pub path: String,
    pub headers: Headers,
}

/// Names in lower case, in the order they came.
#[derive(Debug, Clone, Default)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("status {}, not JSON: {}", self.status, self.text()))
    }
}

/// One side of a connection with its buffer.
#[derive(Debug)]
pub struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    have: usize,
    /// End of the message that was read last.
    used: usize,
    body: Range<usize>,
}

enum Length {
    Fixed(usize),
    Chunked,
    UntilEnd,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: vec![0; 64 * 1024], have: 0, used: 0, body: 0..0 }
    }

    /// The body of the message that was read last.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// The next request; `None` where the peer closed between two.
    pub fn request(&mut self) -> Result<Option<Head>> {
        let Some((length, head)) = self.head(parse_request)? else { return Ok(None) };
        if head.headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        self.read_body(length, body_length(&head.headers, false)?)?;
        Ok(Some(head))
    }

    /// The answer to a request of this method.
    pub fn response(&mut self, method: &str) -> Result<Response> {
        loop {
            let Some((length, (status, headers))) = self.head(parse_response)? else { bail!("the peer closed without an answer") };
            if status == 100 {
                self.used = length;
                continue;
            }
            let bodiless = method == "HEAD" || matches!(status, 204 | 304);
            self.read_body(length, if bodiless { Length::Fixed(0) } else { body_length(&headers, true)? })?;
            return Ok(Response { status, headers, body: self.body().to_vec() });
        }
    }

    fn head<T>(&mut self, parse: impl Fn(&[u8]) -> Result<Option<(usize, T)>>) -> Result<Option<(usize, T)>> {
        self.buffer.copy_within(self.used..self.have, 0);
        self.have -= self.used;
        (self.used, self.body) = (0, 0..0);
        loop {
            if let Some(found) = parse(&self.buffer[..self.have])? {
                return Ok(Some(found));
            }
            ensure!(self.have < MAX_HEAD, "a head of more than {MAX_HEAD} bytes");
            if self.fill()? == 0 {
                ensure!(self.have == 0, "the peer closed within a head");
                return Ok(None);
            }
        }
    }

    fn read_body(&mut self, start: usize, length: Length) -> Result<()> {
        match length {
            Length::Fixed(length) => {
                let end = start.checked_add(length).filter(|end| *end <= MAX_MESSAGE).context("a message of more than 96 MiB")?;
                self.need(end)?;
                (self.body, self.used) = (start..end, end);
            }
            Length::UntilEnd => {
                while self.fill()? > 0 {}
                (self.body, self.used) = (start..self.have, self.have);
            }
            Length::Chunked => self.read_chunks(start)?,
        }
        Ok(())
    }

    /// Moves the chunks together, in place.
    fn read_chunks(&mut self, start: usize) -> Result<()> {
        let (mut from, mut to) = (start, start);
        loop {
            let line = self.line(from)?;
            let digits = self.buffer[line.clone()].split(|b| *b == b';').next().unwrap_or_default();
            let digits = std::str::from_utf8(digits).context("a chunk size that is not text")?;
            let size = usize::from_str_radix(digits.trim(), 16).with_context(|| format!("chunk size `{digits}`"))?;
            from = line.end + 2;
            if size == 0 {
                // Trailers, then an empty line.
                loop {
                    let line = self.line(from)?;
                    from = line.end + 2;
                    if line.is_empty() {
                        (self.body, self.used) = (start..to, from);
                        return Ok(());
                    }
                }
            }
            let end = from.checked_add(size).filter(|end| *end < MAX_MESSAGE).context("a message of more than 96 MiB")?;
            self.need(end + 2)?;
            self.buffer.copy_within(from..end, to);
            to += size;
            from = end + 2;
        }
    }

    fn line(&mut self, from: usize) -> Result<Range<usize>> {
        loop {
            if let Some(length) = memchr::memmem::find(&self.buffer[from..self.have], b"\r\n") {
                return Ok(from..from + length);
            }
            ensure!(self.have - from < 4096, "a chunk line of more than 4 KiB");
            ensure!(self.fill()? > 0, "the peer closed within a chunk");
        }
    }

    /// Reads until `end` bytes are there.
    fn need(&mut self, end: usize) -> Result<()> {
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        while self.have < end {
            ensure!(self.fill()? > 0, "the peer closed within a body");
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<usize> {
        if self.have == self.buffer.len() {
            ensure!(self.have < MAX_MESSAGE, "a message of more than 96 MiB");
            self.buffer.resize(self.have * 2, 0);
        }
        loop {
            match self.stream.read(&mut self.buffer[self.have..]) {
                Ok(read) => {
                    self.have += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn headers(parsed: &[httparse::Header<'_>]) -> Headers {
    Headers(parsed.iter().map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())).collect())
}

fn parse_request(bytes: &[u8]) -> Result<Option<(usize, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes).context("not a request")? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
            Ok(Some((length, Head { method: text(request.method), path: text(request.path), headers: headers(request.headers) })))
        }
    }
}

fn parse_response(bytes: &[u8]) -> Result<Option<(usize, (u16, Headers))>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes).context("not an HTTP answer")? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => Ok(Some((length, (response.code.unwrap_or_default(), headers(response.headers))))),
    }
}

fn body_length(headers: &Headers, response: bool) -> Result<Length> {
    if headers.get("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
        return Ok(Length::Chunked);
    }
    match headers.get("content-length") {
        Some(text) => Ok(Length::Fixed(text.trim().parse().with_context(|| format!("content-length `{text}`"))?)),
        None if response => Ok(Length::UntilEnd),
        None => Ok(Length::Fixed(0)),
    }
}

/// A client that keeps its connection.
#[derive(Debug)]
pub struct Client {
    addr: SocketAddr,
    connection: Option<Connection>,
    limit: Duration,
}

impl Client {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, connection: None, limit: Duration::from_secs(30) }
    }

    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub fn get(&mut self, path: &str) -> Result<Response> {
        self.send("GET", path, &[], b"")
    }

    /// Sends and reads the answer; a connection that failed is not used again.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.addr);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut wire = head.into_bytes();
        wire.extend_from_slice(body);
        self.send_raw(method, &wire).with_context(|| format!("{method} http://{}{path}", self.addr))
    }

    /// Sends bytes as they are. Where the peer answers before it took all of them, the answer counts.
    pub fn send_raw(&mut self, method: &str, wire: &[u8]) -> Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect_timeout(&self.addr, self.limit)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.limit))?;
                stream.set_write_timeout(Some(self.limit))?;
                Connection::new(stream)
            }
        };
        let sent = connection.stream.write_all(wire);
        let response = match connection.response(method) {
            Ok(response) => response,
            Err(error) => return Err(sent.err().map_or(error, Into::into)),
        };
        let close = response.headers.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if sent.is_ok() && !close {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn exchange(wire: &'static [u8]) -> Result<Vec<(Head, Vec<u8>)>> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let addr = listener.local_addr().expect("bound");
        let writer = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(addr).expect("connects");
            // In pieces, so that every boundary is crossed somewhere.
            for piece in wire.chunks(7) {
                stream.write_all(piece).expect("writes");
                stream.flush().expect("flushes");
            }
        });
        let mut connection = Connection::new(listener.accept().expect("accepts").0);
        let mut seen = Vec::new();
        while let Some(head) = connection.request()? {
            seen.push((head, connection.body().to_vec()));
        }
        writer.join().expect("writer ends");
        Ok(seen)
    }

    #[test]
    fn reads_pipelined_messages_of_both_kinds() {
        let seen = exchange(b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\nT: 1\r\n\r\nGET /c HTTP/1.1\r\n\r\n").expect("parses");
        let seen: Vec<_> = seen.iter().map(|(head, body)| (head.path.as_str(), std::str::from_utf8(body).expect("text"))).collect();
        assert_eq!(seen, [("/a", "hello"), ("/b", "wikipedia"), ("/c", "")]);
    }

    #[test]
    fn a_cut_message_is_an_error() {
        assert!(exchange(b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel").expect_err("cut").to_string().contains("within a body"));
        assert!(exchange(b"POST /a HTTP/1.1\r\nContent-").expect_err("cut").to_string().contains("within a head"));
    }
}
