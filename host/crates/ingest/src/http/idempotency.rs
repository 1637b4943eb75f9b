//! `Idempotency-Key` on `POST /events` (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! The draft's header is a structured string in quotes (RFC 8941 §3.3.3); most clients send it bare, so
//! both are taken and mean the same. A key counts within its listener and token: senders cannot meet in
//! one by accident, nor learn from it what others sent.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use sha2::{Digest as _, Sha256};

use super::auth::IntakeToken;
use super::problem::{Problem, codes};
use crate::answers::Fingerprint;
use crate::seen::Key;

const NAME: &str = "idempotency-key";
/// Longest key.
const LONGEST: usize = 255;

/// The key of a request, where it has one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = || {
        let detail = format!("Idempotency-Key must be one key of 1 to {LONGEST} visible ASCII characters, bare or in quotes");
        Problem::new(codes::INVALID_KEY, detail)
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none()).ok_or_else(wrong)?.trim();
    let key = text.strip_prefix('"').map_or(Some(text), |rest| rest.strip_suffix('"')).ok_or_else(wrong)?;
    let fits = (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if fits { Ok(Some(key)) } else { Err(wrong()) }
}

/// The key within its listener and token. The token is hashed together with the key alone, so that what
/// is kept on disk says nothing about it.
pub(super) fn scoped(listener: &str, token: Option<&IntakeToken>, key: &str) -> Key {
    Key::of(&[b"idempotency-key", listener.as_bytes(), token.map_or(b"", IntakeToken::bytes), key.as_bytes()])
}

/// All that makes the request: how its body is to be read, and the body as it was sent.
pub(super) fn fingerprint(headers: &HeaderMap, partial: bool, body: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(&[u8::from(partial)]);
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        part(headers.get(name).map_or(b"", |value| value.as_bytes()));
    }
    // A CloudEvent in binary mode has its attributes there. Sorted: proxies may change their order.
    let mut attributes: Vec<_> =
        headers.iter().filter(|(name, _)| name.as_str().starts_with("ce-")).map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    attributes.sort_unstable();
    part(&(attributes.len() as u64).to_le_bytes());
    for (name, value) in attributes {
        part(name.as_bytes());
        part(value);
    }
    part(body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        values.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))).collect()
    }

    #[track_caller]
    fn check(value: &str, want: Option<&str>) {
        assert_eq!(key(&headers(&[(NAME, value)])).ok(), want.map(Some), "{value}");
    }

    #[test]
    fn a_key_is_one_short_word_with_or_without_quotes() {
        check("8e03978e-40d5", Some("8e03978e-40d5"));
        check("\"8e03978e-40d5\"", Some("8e03978e-40d5"));
        check(&"k".repeat(255), Some(&"k".repeat(255)));
        for wrong in ["", "\"\"", "\"open", "two words", "a\\b", "a\"b", &"k".repeat(256)] {
            check(wrong, None);
        }
        assert!(key(&headers(&[(NAME, "one"), (NAME, "two")])).is_err());
        assert_eq!(key(&HeaderMap::new()).ok(), Some(None));
    }

    #[test]
    fn scopes_and_requests_do_not_meet() {
        let (one, two) = (IntakeToken::new("one"), IntakeToken::new("two"));
        let keys = [
            scoped("http", one.as_ref(), "k"),
            scoped("http", two.as_ref(), "k"),
            scoped("http", None, "k"),
            scoped("other", None, "k"),
            scoped("http", None, "l"),
        ];
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len());
        let json = [("content-type", "application/json")];
        let prints = [
            fingerprint(&headers(&json), false, b"{}"),
            fingerprint(&headers(&json), true, b"{}"),
            fingerprint(&headers(&json), false, b"{ }"),
            fingerprint(&headers(&[("content-type", "application/x-ndjson")]), false, b"{}"),
            fingerprint(&headers(&[json[0], ("ce-id", "1")]), false, b"{}"),
            fingerprint(&headers(&[json[0], ("ce-id", "2")]), false, b"{}"),
            fingerprint(&headers(&[json[0], ("content-encoding", "gzip")]), false, b"{}"),
        ];
        assert_eq!(prints.iter().collect::<std::collections::HashSet<_>>().len(), prints.len());
        let (there, back) = ([("ce-id", "1"), ("ce-source", "s")], [("ce-source", "s"), ("ce-id", "1")]);
        assert_eq!(fingerprint(&headers(&there), false, b""), fingerprint(&headers(&back), false, b""));
    }
}
