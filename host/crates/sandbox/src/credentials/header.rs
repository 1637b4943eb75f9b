//! `type: header`, `type: bearer`: a header field with the secret behind a prefix.
//!
//! On the wire: `<name>: <prefix><value>`.

use http::{HeaderName, HeaderValue};

use super::{Outgoing, secret_header};
use crate::egress::host_owned;

pub(super) struct Header {
    header: HeaderName,
    prefix: String,
}

impl Header {
    pub(super) fn new(header: &str, prefix: &str) -> Result<Self, String> {
        let lower = header.to_ascii_lowercase();
        let parsed = HeaderName::from_bytes(lower.as_bytes()).map_err(|_| format!("`{}` is no header name", header.escape_default()))?;
        if host_owned(&lower) && lower != "authorization" && lower != "cookie" {
            return Err(format!("the header `{lower}` belongs to the host"));
        }
        Ok(Self { header: parsed, prefix: prefix.into() })
    }

    pub(super) fn name(&self) -> &str {
        self.header.as_str()
    }

    pub(super) fn check(&self, secret: &str) -> Result<(), String> {
        let carried = HeaderValue::from_bytes(format!("{}{secret}", self.prefix).as_bytes());
        carried.map(drop).map_err(|_| "the value has a character that a header cannot carry (a line break?)".into())
    }

    pub(super) fn sensitive(&self, secret: &str) -> Vec<Vec<u8>> {
        // `Basic <base64>` written out by hand holds a password in a form of its own.
        let whole = format!("{}{secret}", self.prefix);
        let rest = whole.split_once(' ').map_or(whole.as_str(), |(_, rest)| rest);
        vec![rest.as_bytes().to_vec()]
    }

    pub(super) fn apply(&self, secret: &str, request: &mut Outgoing<'_>) -> Result<(), String> {
        request.headers.insert(&self.header, secret_header(&format!("{}{secret}", self.prefix))?);
        Ok(())
    }
}
