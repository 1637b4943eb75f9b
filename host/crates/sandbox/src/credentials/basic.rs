//! `type: basic` (RFC 7617).
//!
//! On the wire: `Authorization: Basic <base64(user:password)>`; clients of token endpoints write both
//! parts form-encoded before that (RFC 6749 §2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;

use super::{Outgoing, secret_header};

pub(super) struct Basic {
    user: String,
    form: bool,
}

impl Basic {
    pub(super) fn new(user: &str) -> Result<Self, String> {
        if user.contains(':') {
            return Err("the user name has a `:`, which basic authentication cannot carry".into());
        }
        if user.chars().any(char::is_control) {
            return Err("user name or password has a control character".into());
        }
        Ok(Self { user: user.into(), form: false })
    }

    /// Both parts are form-encoded first, so that any user name can be carried.
    pub(super) fn form(user: &str) -> Self {
        Self { user: user.into(), form: true }
    }

    pub(super) fn check(secret: &str) -> Result<(), String> {
        if secret.chars().any(char::is_control) {
            return Err("user name or password has a control character".into());
        }
        Ok(())
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// What follows `Basic `.
    pub(super) fn encoded(&self, secret: &str) -> String {
        if self.form {
            let form = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            return STANDARD.encode(format!("{}:{}", form(&self.user), form(secret)));
        }
        STANDARD.encode(format!("{}:{secret}", self.user))
    }

    pub(super) fn apply(&self, secret: &str, request: &mut Outgoing<'_>) -> Result<(), String> {
        request.headers.insert(AUTHORIZATION, secret_header(&format!("Basic {}", self.encoded(secret)))?);
        Ok(())
    }
}
