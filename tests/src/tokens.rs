//! A token endpoint (RFC 6749) for the proofs: gives numbered tokens, keeps what it was asked, and is as
//! slow as it is told.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::http::{Connection, Head};

/// One request for a token.
#[derive(Debug, Clone)]
pub struct Asked {
    pub head: Head,
    pub form: String,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// Begins every token; `-1`, `-2` and so on follow.
    pub prefix: String,
    /// `expires_in` of every token, in seconds.
    pub life: u32,
    /// Time before each answer.
    pub delay: Duration,
    /// The first so many requests get these answers instead.
    pub refusals: Vec<(u16, String)>,
}

struct Shared {
    options: Options,
    asked: Mutex<Vec<Asked>>,
    stop: AtomicBool,
}

/// Runs until dropped.
pub struct TokenServer {
    shared: Arc<Shared>,
    addr: SocketAddr,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl TokenServer {
    pub fn start(options: Options) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { options, asked: Mutex::default(), stop: AtomicBool::new(false) });
        let accepting = std::thread::Builder::new().name("tokens".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming().flatten() {
                    if shared.stop.load(Ordering::Acquire) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    // The host ends its connections with itself; a broken one is its business.
                    std::thread::spawn(move || serve(stream, &shared));
                }
            }
        })?;
        Ok(Self { shared, addr, accepting: Some(accepting) })
    }

    pub fn url(&self) -> String {
        format!("http://{}/oauth2/token", self.addr)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The token that answers the nth request, counted from 1.
    pub fn token(&self, number: usize) -> String {
        format!("{}-{number}", self.shared.options.prefix)
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes the accepting thread.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> Result<()> {
    let mut connection = Connection::new(stream);
    while let Some(head) = connection.request()? {
        let form = String::from_utf8_lossy(connection.body()).into_owned();
        let number = {
            let mut asked = shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push(Asked { head, form });
            asked.len()
        };
        std::thread::sleep(shared.options.delay);
        let (status, body) = shared.options.refusals.get(number - 1).cloned().unwrap_or_else(|| {
            let token = format!("{}-{number}", shared.options.prefix);
            (200, format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{}}}"#, shared.options.life))
        });
        let answer =
            format!("HTTP/1.1 {status} Token\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        connection.stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}
