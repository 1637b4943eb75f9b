//! Who is let in: static bearer tokens (RFC 6750 §2.1).

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::problem::{Problem, codes};

/// A token of the configuration. It cannot be printed.
#[derive(Clone)]
pub struct IntakeToken(Box<[u8]>);

impl IntakeToken {
    /// A token of 1 to 4,096 visible ASCII characters.
    pub fn new(token: &str) -> Option<Self> {
        let fits = (1..=4_096).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(token.as_bytes().into()))
    }

    /// To be hashed with something else, never shown.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for IntakeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntakeToken(…)")
    }
}

/// Refuses a request without one of the tokens, else answers which one it was (none where none is
/// wanted). All tokens are compared in full, so that the time tells nothing but lengths.
pub(super) fn check(tokens: &[IntakeToken], headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    if tokens.is_empty() {
        return Ok(None);
    }
    let sent = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    let Some(sent) =
        sent.and_then(|value| value.split_at_checked(7)).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer ")).map(|(_, token)| token.trim_ascii())
    else {
        return Err(Problem::new(codes::UNAUTHORIZED, "this listener wants Authorization: Bearer with one of its tokens").header("www-authenticate", "Bearer"));
    };
    let known = tokens.iter().enumerate().fold(u64::MAX, |known, (place, token)| u64::conditional_select(&known, &(place as u64), token.0.ct_eq(sent)));
    if let Some(place) = usize::try_from(known).ok().filter(|place| *place < tokens.len()) {
        return Ok(Some(place));
    }
    Err(Problem::new(codes::UNAUTHORIZED, "the bearer token is none of this listener's").header("www-authenticate", "Bearer error=\"invalid_token\""))
}
