//! HTTP requests to destinations by name. The operator owns the URL and the credential; a guest says
//! which destination, method and path, which headers and body.

use std::time::Duration;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// One request; made by [`get`], [`post`] or [`request`], finished by [`send`](Request::send).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub destination: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub gzip: bool,
    pub timeout: Option<Duration>,
    pub message_id: String,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// The body was longer than the limit.
    pub truncated: bool,
    pub retry_after: Option<Duration>,
}

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Refused before anything left the host; the text names the rule.
    Denied(String),
    /// The request is not well formed.
    Invalid(String),
    /// Nothing was sent.
    Connect(String),
    /// The receiver may have seen the request.
    Broken(String),
    /// The receiver may have seen the request.
    Timeout,
    /// The body is larger than `limits.http_request`; smaller batches help.
    TooLarge(String),
    /// Another limit was reached; the text names it, its value and the key to change.
    Limit(String),
}

pub fn get(destination: &str, path: &str) -> Request {
    request("GET", destination, path)
}

pub fn post(destination: &str, path: &str) -> Request {
    request("POST", destination, path)
}

/// A request with another method; upper case.
pub fn request(method: &str, destination: &str, path: &str) -> Request {
    Request {
        destination: destination.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        gzip: false,
        timeout: None,
        message_id: String::new(),
    }
}

impl Request {
    /// Adds a field; names are lower case.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Has the host compress the body.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// For the whole exchange; the call's own deadline bounds it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The value that a signing credential may use as message id; the same on every retry.
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.message_id = id.into();
        self
    }

    /// Sends and waits for the whole answer.
    pub fn send(self) -> Result<Response, Error> {
        send(self)
    }
}

impl Response {
    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_slice())
    }
}

/// Checks a header field that the configuration writes out under `key`; what the host keeps to itself it refuses when
/// a request is sent.
pub fn check_header(key: &str, name: &str, value: &str) -> Result<(), String> {
    let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("`{key}` names \"{name}\"; a header name is lower case, without spaces"));
    }
    if !value.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte)) {
        return Err(format!("`{key}.{name}` contains a character that a header cannot carry"));
    }
    Ok(())
}

/// Text as the value of a header field: everything outside `!` to `~`, and `%`, percent-encoded, so
/// that an event's text can neither break a request nor be refused (CloudEvents HTTP binding §3.1.3.2).
pub fn header_text(text: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        let plain = (0x21..=0x7e).contains(byte) && *byte != b'%' && *byte != b'"';
        if out.len() + if plain { 1 } else { 3 } > limit {
            break;
        }
        if plain {
            out.push(*byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    out
}

/// Text as part of a path or a query: everything but letters, digits, `-`, `.`, `_` and `~` percent-encoded (RFC 3986 §2.3).
pub fn percent(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(HEX[usize::from(digit)]));
            }
        }
    }
    out
}

#[cfg(target_arch = "wasm32")]
fn send(request: Request) -> Result<Response, Error> {
    use crate::bindings::connector::bulkhead::connector::http as wit;
    let request = wit::Request {
        destination: request.destination,
        method: request.method,
        path: request.path,
        headers: request.headers,
        body: request.body,
        encoding: if request.gzip { wit::BodyEncoding::Gzip } else { wit::BodyEncoding::Identity },
        timeout: request.timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)),
        message_id: request.message_id,
    };
    match wit::send(&request) {
        Ok(response) => Ok(Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
            truncated: response.truncated,
            retry_after: response.retry_after.map(Duration::from_millis),
        }),
        Err(error) => Err(error_from(error)),
    }
}

#[cfg(target_arch = "wasm32")]
fn error_from(error: crate::bindings::connector::bulkhead::connector::http::Error) -> Error {
    use crate::bindings::connector::bulkhead::connector::http::Error as Wit;
    match error {
        Wit::Denied(text) => Error::Denied(text),
        Wit::Invalid(text) => Error::Invalid(text),
        Wit::Connect(text) => Error::Connect(text),
        Wit::Broken(text) => Error::Broken(text),
        Wit::Timeout => Error::Timeout,
        // The host's texts begin with the limit's name.
        Wit::Limit(text) if text.starts_with("http_request ") => Error::TooLarge(text),
        Wit::Limit(text) => Error::Limit(text),
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn send(request: Request) -> Result<Response, Error> {
    crate::native::send(request)
}

/// Turns an absolute URL that a receiver answered into a path below the destination.
#[cfg(target_arch = "wasm32")]
pub fn relative(destination: &str, url: &str) -> Result<String, Error> {
    crate::bindings::connector::bulkhead::connector::http::relative(destination, url).map_err(error_from)
}

/// Natively every destination is at `http://receiver.test`.
#[cfg(not(target_arch = "wasm32"))]
pub fn relative(destination: &str, url: &str) -> Result<String, Error> {
    match url.strip_prefix("http://receiver.test") {
        Some(path) if path.is_empty() || path.starts_with(['/', '?']) => Ok(path.to_owned()),
        _ => Err(Error::Denied(format!("{url} is not below {destination}"))),
    }
}
