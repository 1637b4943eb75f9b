//! The handshake of receivers with a shared key: HELO, PING, PONG. The host makes the digests; the key never
//! comes here.

use std::time::Duration;

use bulkhead_sdk::credentials::{self, Algorithm};
use bulkhead_sdk::tcp::{self, Connection};
use bulkhead_sdk::{Failure, Writer, writer};

use crate::pack;
use crate::unpack::{Inbox, Said};

/// Bytes of a receiver's words that are passed on.
const WORDS: usize = 256;
/// Wait for a HELO that should not come: a receiver with a key says it as soon as the connection stands.
const UNASKED: Duration = Duration::from_millis(200);

/// Finds out, where we have no key, whether the receiver wants one: it would throw away what it is sent.
pub fn expect_none(connection: &mut Connection) -> Result<(), Failure> {
    let timeout = connection.timeout();
    connection.set_timeout(UNASKED);
    let said = Inbox::default().next(connection);
    connection.set_timeout(timeout);
    match said {
        // It says nothing, or has closed its side, which it does not need.
        Err(tcp::Error::Timeout | tcp::Error::Closed) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(said) if is_helo(&said) => Err(wants_key()),
        Ok(_) => Err(Failure::Unavailable { reason: "the receiver began with something else than HELO".to_owned(), after: None }),
    }
}

pub fn wants_key() -> Failure {
    let text = "the receiver wants a shared key: name a `credential`, and bind it to the destination";
    Failure::Configuration(text.to_owned())
}

/// Shows that we know the key, and demands the same of the receiver.
pub fn shake_hands(connection: &mut Connection, key: &str, hostname: &str) -> Result<(), Failure> {
    let mut inbox = Inbox::default();
    let first = inbox.next(connection).map_err(|error| match error {
        tcp::Error::Timeout => {
            let reason = "no HELO within `timeout_ms`: the receiver probably has no shared key; leave `credential` out then".to_owned();
            Failure::Unavailable { reason, after: None }
        }
        error => error.into(),
    })?;
    let nonce = match &first {
        helo if is_helo(helo) => nonce(helo)?,
        _ => return Err(Failure::Configuration("the receiver does not begin with HELO: it has no shared key; leave `credential` out".to_owned())),
    };
    let salt = hex(&crate::random());
    let digest = |connection: &Connection, name: &[u8]| -> Result<String, Failure> {
        let before = [salt.as_bytes(), name, &nonce].concat();
        Ok(hex(&credentials::hash_with(connection, key, Algorithm::Sha512, &before, b"")?))
    };
    let mut ping = Writer::default();
    pack::array(6, &mut ping);
    for text in ["PING", hostname, &salt, &digest(connection, hostname.as_bytes())?, "", ""] {
        pack::text(text.as_bytes(), &mut ping);
    }
    connection.send(ping.as_bytes())?;
    match &inbox.next(connection)? {
        Said::Array(pong) => match pong.as_slice() {
            [word, Said::Bool(true), _, name, proof, ..] if word.bytes() == Some(b"PONG") => {
                let name = name.bytes().unwrap_or_default();
                if name == hostname.as_bytes() {
                    return Err(Failure::Configuration(format!("the receiver is called `{hostname}` as we are; set `hostname` to another name")));
                }
                // It is compared with what the receiver itself has sent: how long that takes tells it nothing new.
                if proof.bytes() != Some(digest(connection, name)?.as_bytes()) {
                    return Err(Failure::Unauthorized("the receiver does not know the shared key, though it takes ours".to_owned()));
                }
                Ok(())
            }
            [word, Said::Bool(false), reason, ..] if word.bytes() == Some(b"PONG") => {
                let reason = reason.text();
                let words = String::from_utf8_lossy(writer::cut(reason.as_bytes(), WORDS)).into_owned();
                Err(Failure::Unauthorized(format!("the receiver does not take the shared key: {words}")))
            }
            _ => Err(no_pong()),
        },
        _ => Err(no_pong()),
    }
}

fn no_pong() -> Failure {
    Failure::Unavailable { reason: "the receiver did not answer PING with PONG".to_owned(), after: None }
}

/// The receiver's first word where it has a shared key.
pub fn is_helo(said: &Said) -> bool {
    matches!(said, Said::Array(parts) if parts.first().and_then(Said::bytes) == Some(b"HELO"))
}

fn nonce(helo: &Said) -> Result<Vec<u8>, Failure> {
    let options = if let Said::Array(parts) = helo { parts.get(1) } else { None };
    let member = |name: &str| options.and_then(|options| options.member(name)).and_then(Said::bytes).unwrap_or_default().to_vec();
    if !member("auth").is_empty() {
        let text = "the receiver wants a user and a password beside the shared key, which this connector does not offer";
        return Err(Failure::Configuration(text.to_owned()));
    }
    Ok(member("nonce"))
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [char::from(DIGITS[usize::from(byte >> 4)]), char::from(DIGITS[usize::from(byte & 15)])]).collect()
}
