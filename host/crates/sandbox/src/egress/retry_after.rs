//! The `retry-after` field in both of its forms (RFC 9110 §10.2.3).

use std::time::Duration;

/// Longer waits are cut: the number comes from outside.
pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait that a field asks for, `now` being the time since 1970. A date in the past is no wait;
/// what is neither form is `None`.
pub fn parse(field: &[u8], now: Duration) -> Option<Duration> {
    let text = std::str::from_utf8(field).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long wait.
        return Some(text.parse().map_or(MAX, Duration::from_secs).min(MAX));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(now).min(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        // 2015-10-21T07:28:00Z
        let now = Duration::from_secs(1_445_412_480);
        for (field, want) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(86_400)),
            ("100000", Some(86_400)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wednesday, 21-Oct-15 07:28:30 GMT", Some(30)),
            ("Wed Oct 21 07:28:30 2015", Some(30)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(parse(field.as_bytes(), now), want.map(Duration::from_secs), "{field}");
        }
        assert_eq!(parse(b"\xff", now), None);
    }
}
