//! `type: shared_key`: Azure's account keys, HMAC-SHA256 under the decoded key over a canonical request.
//!
//! | scheme | on the wire | what is signed |
//! |---|---|---|
//! | `storage` | `Authorization: SharedKey <account>:<signature>`, `x-ms-date`, `x-ms-version` | method, eleven headers, all `x-ms-*`, account, path, query (blobs, queues, files; not tables) |
//! | `log_analytics` | the same without a version | method, length, content type, `x-ms-date`, path |
//!
//! Sources: Microsoft Learn, "Authorize with Shared Key" (2009-09-19 and later; an empty body has an empty
//! length since 2015-02-21), "Azure Monitor HTTP Data Collector API".

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::signature::sign;
use super::{Outgoing, insert, secret_header};

const DATE: HeaderName = HeaderName::from_static("x-ms-date");
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");
/// What a request without a version of its own asks for.
const STORAGE_VERSION: &str = "2021-12-02";
/// Headers in the order in which they are signed; the length stands behind the second.
const BEFORE_LENGTH: [&str; 2] = ["content-encoding", "content-language"];
const AFTER_LENGTH: [&str; 8] = ["content-md5", "content-type", "date", "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"];

/// Whose canonical request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedKeyScheme {
    /// Blob, queue and file storage.
    Storage,
    /// The HTTP Data Collector API of Azure Monitor and what is compatible with it.
    LogAnalytics,
}

pub(super) struct SharedKey {
    scheme: SharedKeyScheme,
    account: String,
}

impl SharedKey {
    pub(super) fn new(scheme: SharedKeyScheme, account: &str) -> Result<Self, String> {
        if account.is_empty() || account.len() > 64 || !account.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err("`account` is not made of letters, digits and -".into());
        }
        Ok(Self { scheme, account: account.into() })
    }

    pub(super) fn header_names(&self) -> Vec<&str> {
        vec!["authorization", "x-ms-date"]
    }

    pub(super) fn key(secret: &str) -> Result<Vec<u8>, String> {
        let bytes = STANDARD.decode(secret).map_err(|_| "the key is not base64")?;
        if bytes.len() < 16 { Err(format!("the key has {} bytes; Azure's have 64", bytes.len())) } else { Ok(bytes) }
    }

    pub(super) fn apply(&self, secret: &str, request: &mut Outgoing<'_>) -> Result<(), String> {
        let key = Self::key(secret)?;
        insert(request.headers, &DATE, &httpdate::fmt_http_date(UNIX_EPOCH + request.now))?;
        let text = match self.scheme {
            SharedKeyScheme::Storage => {
                request.headers.entry(VERSION).or_insert(HeaderValue::from_static(STORAGE_VERSION));
                self.storage(request)
            }
            SharedKeyScheme::LogAnalytics => {
                let (path, _) = request.target.split_once('?').unwrap_or((request.target, ""));
                let content_type = text_of(request.headers, "content-type");
                let date = text_of(request.headers, "x-ms-date");
                format!("{}\n{}\n{content_type}\nx-ms-date:{date}\n{path}", request.method, request.body.len())
            }
        };
        let signature = STANDARD.encode(sign(&key, &[text.as_bytes()]));
        request.headers.insert(AUTHORIZATION, secret_header(&format!("SharedKey {}:{signature}", self.account))?);
        Ok(())
    }

    fn storage(&self, request: &Outgoing<'_>) -> String {
        let mut text = format!("{}\n", request.method);
        let header = |text: &mut String, name: &str| {
            text.push_str(&text_of(request.headers, name));
            text.push('\n');
        };
        for name in BEFORE_LENGTH {
            header(&mut text, name);
        }
        if !request.body.is_empty() {
            text.push_str(&request.body.len().to_string());
        }
        text.push('\n');
        for name in AFTER_LENGTH {
            header(&mut text, name);
        }
        let mut own: Vec<&str> = request.headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with("x-ms-")).collect();
        // Azure's own libraries sort as the service does: hyphens count only where names are else alike.
        own.sort_unstable_by_key(|name| (name.replace('-', ""), *name));
        for name in own {
            text.push_str(&format!("{name}:{}\n", text_of(request.headers, name)));
        }
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        text.push_str(&format!("/{}{path}", self.account));
        // Names in lower case, decoded; values of one name sorted and joined.
        let mut parameters: Vec<(String, Cow<'_, str>)> =
            url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        parameters.sort();
        let mut last: Option<&str> = None;
        for (name, value) in &parameters {
            if last == Some(name) {
                text.push(',');
            } else {
                text.push_str(&format!("\n{name}:"));
            }
            text.push_str(value);
            last = Some(name);
        }
        text
    }
}

/// The values of a field, joined; without one, nothing.
fn text_of(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::trim).collect();
    values.join(",")
}

#[cfg(test)]
mod tests;
