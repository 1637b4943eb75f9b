//! `type: query`: a parameter at the end of the query, percent-encoded.
//!
//! On the wire: `?<name>=<value>`, or `&<name>=<value>` behind a query that is there.

use super::Outgoing;

pub(super) struct Query {
    parameter: String,
}

impl Query {
    pub(super) fn new(parameter: &str) -> Result<Self, String> {
        let plain = !parameter.is_empty() && parameter.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        if !plain {
            return Err("the parameter's name is not made of letters, digits and -._~".into());
        }
        Ok(Self { parameter: parameter.into() })
    }

    pub(super) fn apply(&self, secret: &str, request: &mut Outgoing<'_>) {
        let target = &mut *request.target;
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&self.parameter);
        target.push('=');
        target.push_str(&encoded(secret));
    }
}

/// Everything but unreserved characters as `%XX` (RFC 3986 §2.3).
pub(super) fn encoded(secret: &str) -> String {
    let mut encoded = String::with_capacity(secret.len() + 16);
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
