//! Answers of token endpoints (RFC 6749 §5). They are input from outside: of what they say only known
//! words get into messages.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::egress::redact::MIN_SECRET;

/// Where the answer names no lifetime.
const ASSUMED: u64 = 600;
/// A token is fetched again so long before its end.
const AHEAD: u64 = 300;
const LONGEST: u64 = 365 * 24 * 3600;
/// Longest token that goes into a header.
const MAX_TOKEN: usize = 16 << 10;

pub(super) struct Token {
    pub access: SecretString,
    pub refresh: Option<SecretString>,
    pub seconds: u64,
}

/// Reads a success. The error completes "the token endpoint …".
pub(super) fn token(body: &[u8]) -> Result<Token, &'static str> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        token_type: Option<String>,
        expires_in: Option<Seconds>,
        refresh_token: Option<String>,
    }
    /// Some servers write the number as text.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(f64),
        Text(String),
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "answered 200 without an access token in JSON")?;
    let access = SecretString::from(answer.access_token);
    let refresh = answer.refresh_token.map(SecretString::from);
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("answered with a token that is no bearer token");
    }
    let usable = |token: &SecretString| {
        let token = token.expose_secret();
        (MIN_SECRET..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !usable(&access) {
        return Err("answered with a token that no header can carry, or with one of less than 6 or more than 16384 bytes");
    }
    let seconds = match answer.expires_in {
        Some(Seconds::Number(number)) => Some(number),
        Some(Seconds::Text(text)) => text.trim().parse().ok(),
        None => None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates, and not a number is 0")]
    let seconds = seconds.map_or(ASSUMED, |seconds: f64| seconds as u64);
    Ok(Token { access, refresh: refresh.filter(usable), seconds })
}

/// How long a token is fresh and how long it is good.
pub(super) fn lifetime(seconds: u64) -> (Duration, Duration) {
    let good = seconds.clamp(1, LONGEST);
    let fresh = if good > 2 * AHEAD { good - AHEAD } else { good.div_ceil(2) };
    (Duration::from_secs(fresh), Duration::from_secs(good))
}

pub(super) struct Refused {
    /// Somebody must act.
    pub lasting: bool,
    /// Completes "the token endpoint …".
    pub text: String,
    /// The standard's.
    pub code: Option<&'static str>,
}

pub(super) fn refusal(status: u16, body: &[u8]) -> Refused {
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }
    /// The codes of RFC 6749 §5.2 and two of §4.1.2.1 that token endpoints use, too.
    const LASTING: &[&str] = &["invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"];
    const PASSING: &[&str] = &["temporarily_unavailable", "server_error"];
    let code = serde_json::from_slice::<Answer>(body).ok().map(|answer| answer.error);
    let code = LASTING.iter().chain(PASSING).copied().find(|known| code.as_deref() == Some(*known));
    let passing = code.is_some_and(|known| PASSING.contains(&known)) || matches!(status, 408 | 425 | 429 | 500..=599);
    match code {
        Some(known) => Refused { lasting: !passing, text: format!("answered {status} {known}"), code },
        None if (300..400).contains(&status) => Refused { lasting: true, text: format!("answered {status}; redirects are not followed"), code },
        None => Refused { lasting: !passing, text: format!("answered {status}"), code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let seconds = |body: &str| token(body.as_bytes()).map(|token| (token.access.expose_secret().to_owned(), token.refresh.is_some(), token.seconds));
        // The example of RFC 6749 §5.1.
        let example = r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA"}"#;
        assert_eq!(seconds(example), Err("answered with a token that is no bearer token"));
        let bearer = example.replace("\"example\"", "\"bearer\"");
        assert_eq!(seconds(&bearer), Ok(("2YotnFZFEjr1zCsicMWpAA".into(), true, 3600)));
        for (life, want) in [("\"120\"", 120), ("3599.9", 3599), ("-5", 0), ("\"soon\"", 600), ("null", 600), ("1e300", u64::MAX)] {
            let body = format!(r#"{{"access_token":"2YotnFZFEjr1","expires_in":{life}}}"#);
            assert_eq!(seconds(&body), Ok(("2YotnFZFEjr1".into(), false, want)), "{life}");
        }
        for body in ["", "{}", "[]", r#"{"access_token":7}"#, "<html>", r#"{"access_token":"x","access_token":"y"}"#] {
            assert_eq!(seconds(body), Err("answered 200 without an access token in JSON"), "{body}");
        }
        for access in ["abc", "two words", "line\\nbreak", "caf\u{e9}-caf\u{e9}", &"a".repeat(16_385)] {
            let body = format!(r#"{{"access_token":"{access}"}}"#);
            assert!(seconds(&body).is_err_and(|text| text.contains("no header can carry")), "{access}");
        }
    }

    #[test]
    fn lifetimes() {
        for (life, fresh, good) in [(3600, 3300, 3600), (601, 301, 601), (600, 300, 600), (60, 30, 60), (1, 1, 1), (0, 1, 1)] {
            assert_eq!(lifetime(life), (Duration::from_secs(fresh), Duration::from_secs(good)), "{life}");
        }
        assert_eq!(lifetime(u64::MAX).1, Duration::from_secs(LONGEST));
    }

    #[test]
    fn refusals_repeat_known_words_only() {
        for (status, body, want) in [
            (401, r#"{"error":"invalid_client","error_description":"hunter2"}"#, (true, "answered 401 invalid_client")),
            (400, r#"{"error":"invalid_grant"}"#, (true, "answered 400 invalid_grant")),
            (400, r#"{"error":"temporarily_unavailable"}"#, (false, "answered 400 temporarily_unavailable")),
            (400, r#"{"error":"hunter2-hunter2"}"#, (true, "answered 400")),
            (403, "hunter2", (true, "answered 403")),
            (429, "", (false, "answered 429")),
            (503, "<html>", (false, "answered 503")),
            (302, "", (true, "answered 302; redirects are not followed")),
        ] {
            let Refused { lasting, text, .. } = refusal(status, body.as_bytes());
            assert_eq!((lasting, text.as_str()), want);
        }
    }
}
