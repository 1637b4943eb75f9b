//! Header fields that a guest asks for: their syntax, their size, and which of them are the host's.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Refusal;
use crate::limits::{Limit, Limits};

/// Names that decide where a request goes, how it is framed, or who it claims to be from.
const HOST_OWNED: &[&str] = &[
    "host",
    "authorization",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "transfer-encoding",
    "content-length",
    "accept-encoding",
    "expect",
    "forwarded",
    "user-agent",
    "http2-settings",
    "cookie",
    "via",
    "max-forwards",
    "x-real-ip",
];
const HOST_OWNED_PREFIXES: &[&str] = &["proxy-", "x-forwarded-", "sec-", ":"];

/// True for a name that only the host may set.
pub fn host_owned(name: &str) -> bool {
    HOST_OWNED.contains(&name) || HOST_OWNED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Bytes of names and values.
pub(super) fn size(fields: &[(String, Vec<u8>)]) -> u64 {
    fields.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
}

/// Checks fields and turns them into a map. `taken` are names that the destination's credential sets.
pub(super) fn build(fields: &[(String, Vec<u8>)], gzip: bool, taken: &[&str], limits: &Limits) -> Result<HeaderMap, Refusal> {
    const RULE: u8 = 5;
    if fields.len() as u64 > limits.enforced(Limit::HttpHeaderFields) {
        return Err(Refusal::over(RULE, limits, Limit::HttpHeaderFields, fields.len() as u64));
    }
    let bytes = size(fields);
    if bytes > limits.enforced(Limit::HttpHeaderBytes) {
        return Err(Refusal::over(RULE, limits, Limit::HttpHeaderBytes, bytes));
    }
    let mut map = HeaderMap::with_capacity(fields.len() + 4);
    for (i, (name, value)) in fields.iter().enumerate() {
        // Errors name the place and a harmless form of the name: it may hold line breaks.
        let shown = || name.escape_default().take(64).collect::<String>();
        if let Some(upper) = name.chars().find(char::is_ascii_uppercase) {
            return Err(Refusal::invalid(RULE, format!("header {i} `{}` has the upper-case letter `{upper}`; names are lower case", shown())));
        }
        if host_owned(name) || (gzip && name == "content-encoding") {
            return Err(Refusal::denied(RULE, format!("header {i} `{}` belongs to the host", shown())));
        }
        if taken.contains(&name.as_str()) {
            return Err(Refusal::denied(RULE, format!("header {i} `{}` is set by the destination's credential", shown())));
        }
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Refusal::invalid(RULE, format!("header {i} `{}` is no field name (RFC 9110 §5.1)", shown())))?;
        if let Some(byte) = value.iter().find(|byte| !(0x20..0x7f).contains(*byte) && **byte != b'\t') {
            return Err(Refusal::invalid(
                RULE,
                format!("the value of header {i} `{}` has the byte 0x{byte:02x}; allowed are visible ASCII, space and tab", shown()),
            ));
        }
        let parsed_value =
            HeaderValue::from_bytes(value).map_err(|_| Refusal::invalid(RULE, format!("the value of header {i} `{}` is not a field value", shown())))?;
        map.append(parsed, parsed_value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::RefusalKind;

    #[track_caller]
    fn check(name: &str, value: &[u8], want: Result<(), (RefusalKind, &str)>) {
        let got = build(&[(name.into(), value.to_vec())], true, &["x-api-key"], &Limits::default());
        match (got, want) {
            (Ok(map), Ok(())) => assert_eq!(map.get(name).map(HeaderValue::as_bytes), Some(value)),
            (Err(refusal), Err((kind, text))) => {
                assert_eq!(refusal.kind, kind, "{refusal}");
                assert_eq!(refusal.rule, 5);
                assert!(refusal.text.contains(text), "{refusal}");
                assert!(!refusal.text.contains(['\r', '\n', '\0']), "{refusal:?}");
            }
            (got, want) => panic!("{name:?}: got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn names_and_values() {
        check("x-request", b"a b\tc", Ok(()));
        check("content-type", b"application/json", Ok(()));
        check("content-type", b"", Ok(()));
        for owned in [
            "host",
            "authorization",
            "proxy-authorization",
            "proxy-connection",
            "connection",
            "te",
            "upgrade",
            "transfer-encoding",
            "content-length",
            "accept-encoding",
            "expect",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "keep-alive",
            "trailer",
            "user-agent",
            "content-encoding",
            "cookie",
            ":authority",
            ":path",
        ] {
            check(owned, b"x", Err((RefusalKind::Denied, "belongs to the host")));
        }
        check("x-api-key", b"x", Err((RefusalKind::Denied, "credential")));
        check("Host", b"x", Err((RefusalKind::Invalid, "upper-case")));
        check("X-Thing", b"x", Err((RefusalKind::Invalid, "upper-case")));
        for name in ["", "a b", "a:b", "a\r\nb", "a\0b", "caf\u{e9}", "a(b)", "\u{212a}ey"] {
            check(name, b"x", Err((RefusalKind::Invalid, "no field name")));
        }
        for value in [&b"a\r\nb: c"[..], b"a\nb", b"a\0b", b"a\r\n folded", b"caf\xe9", b"\x7f", "caf\u{e9}".as_bytes()] {
            check("x-thing", value, Err((RefusalKind::Invalid, "has the byte")));
        }
    }

    #[test]
    fn forty_thousand_fields_are_a_limit_and_no_panic() {
        let fields: Vec<_> = (0..40_000).map(|i| (format!("x-{i}"), vec![b'a'])).collect();
        let refusal = build(&fields, false, &[], &Limits::default()).expect_err("too many");
        assert_eq!(refusal.text, "http_header_fields of 128 reached: 40000 asked for; raise `limits.http_header_fields` to allow more");
        let refusal = build(&[("x".into(), vec![b'a'; 33 << 10])], false, &[], &Limits::default()).expect_err("too big");
        assert!(refusal.text.contains("`limits.http_header_bytes`"), "{refusal}");
    }
}
