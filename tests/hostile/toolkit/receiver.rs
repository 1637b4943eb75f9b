//! A receiver that answers with raw bytes and keeps the raw bytes it got.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::lock;

/// How it answers each request.
#[derive(Clone)]
pub enum Answer {
    Bytes(Vec<u8>),
    /// Closes without a word.
    Close,
    /// The first bytes, then the second ones again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// One byte at a time with this pause.
    Drip(Vec<u8>, Duration),
    /// These pieces, each in a packet of its own.
    Pieces(Vec<Vec<u8>>),
    Silence,
    /// These bytes, then the connection ends.
    Last(Vec<u8>),
    /// One answer for the first request of a connection, another for those after it.
    Then(Box<Answer>, Box<Answer>),
    /// By the number of the connection, from 0; the last one stays.
    Turns(Vec<Answer>),
}

impl Answer {
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// 200 with a body and its length.
    pub fn ok(body: &str) -> Self {
        Self::status(200, "", body)
    }

    /// `headers` are whole lines with their line breaks.
    pub fn status(status: u16, headers: &str, body: &str) -> Self {
        Self::Bytes(format!("HTTP/1.1 {status} Scripted\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Got {
    /// Request line and fields, with their line breaks and the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Got {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Values of a field, whatever its case on the wire.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

pub struct Receiver {
    pub port: u16,
    connections: Arc<AtomicUsize>,
    got: Arc<Mutex<Vec<Got>>>,
    rest: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let (connections, got, rest) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()), Arc::new(Mutex::default()));
        let task = tokio::spawn({
            let (connections, got, rest) = (Arc::clone(&connections), Arc::clone(&got), Arc::clone(&rest));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let number = connections.fetch_add(1, Ordering::SeqCst);
                    let answer = match &answer {
                        Answer::Turns(turns) => turns[number.min(turns.len() - 1)].clone(),
                        answer => answer.clone(),
                    };
                    let (got, rest) = (Arc::clone(&got), Arc::clone(&rest));
                    tokio::spawn(async move {
                        // The guest's side is what is looked at; a broken connection is its business.
                        let _ = serve(stream, answer, &got, &rest).await;
                    });
                }
            }
        });
        Self { port, connections, got, rest, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn got(&self) -> Vec<Got> {
        lock(&self.got).clone()
    }

    /// Bytes that came behind a request and belong to none: a sign of broken framing.
    pub fn rest(&self) -> Vec<u8> {
        lock(&self.rest).clone()
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, got: &Mutex<Vec<Got>>, rest: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    for number in 0.. {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                lock(rest).extend_from_slice(&bytes);
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok()).unwrap_or(0);
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        lock(got).push(Got { head, body: bytes[end..end + length].to_vec() });
        bytes.drain(..end + length);
        let answer = match &answer {
            Answer::Then(first, _) if number == 0 => first,
            Answer::Then(_, rest) => rest,
            answer => answer,
        };
        match answer {
            Answer::Bytes(bytes) => stream.write_all(bytes).await?,
            Answer::Close => return Ok(()),
            Answer::Endless(first, again) => {
                stream.write_all(first).await?;
                loop {
                    stream.write_all(again).await?;
                }
            }
            Answer::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(*pause).await;
                }
            }
            Answer::Pieces(pieces) => {
                for piece in pieces {
                    stream.write_all(piece).await?;
                    stream.flush().await?;
                    tokio::task::yield_now().await;
                }
            }
            Answer::Last(bytes) => {
                stream.write_all(bytes).await?;
                return Ok(());
            }
            Answer::Silence | Answer::Turns(_) | Answer::Then(..) => std::future::pending().await,
        }
    }
    Ok(())
}
