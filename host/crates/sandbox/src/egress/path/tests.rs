use super::*;

#[track_caller]
fn good(text: &str, query: Option<usize>) {
    assert_eq!(check(text), Ok(query), "{text}");
}

#[track_caller]
fn bad(text: &str, want: &str) {
    let error = check(text).expect_err(text);
    assert!(error.contains(want), "{text}: {error}");
}

#[test]
fn plain_forms_pass() {
    good("", None);
    good("/", None);
    good("/services/collector/event", None);
    good("/a/b/", None);
    good("/a?x=1&y=%20z", Some(2));
    good("?x=1", Some(0));
    good("/a?next=%2Fb%2F..&q=a/../b", Some(2));
    good("/a:b@c,d;e=f/(g)!$&'*+", None);
    good("/caf%C3%A9", None);
    good("/..a/.b/c..", None);
}

#[test]
fn escapes_are_refused() {
    for (text, want) in [
        ("/api/../admin", "`..` segment"),
        ("/api/./x", "`..` segment"),
        ("/..", "`..` segment"),
        ("/api/%2e%2e/admin", "write the character itself"),
        ("/api/%2E%2E/admin", "write the character itself"),
        ("/api%2fadmin", "hides the byte `%2F`"),
        ("/api%2Fadmin", "hides the byte `%2F`"),
        ("/api%5cadmin", "hides the byte `%5C`"),
        ("/api%252fadmin", "hides the byte `%25`"),
        ("/api/%00", "hides the byte `%00`"),
        ("/api/%0d%0aX:", "hides the byte `%0D`"),
        ("/api/%7f", "hides the byte `%7F`"),
        ("/%61pi", "write the character itself"),
        ("//evil/x", "empty segment"),
        ("/a//b", "empty segment"),
        ("/api;x/../..", "`..` segment"),
        ("/api/..;x/y", "`..` segment"),
        ("/api/;x/y", "parameters only"),
        ("/api\\..\\x", "backslash"),
        ("\\\\evil", "does not begin"),
        ("https://evil/x", "does not begin"),
        ("evil", "does not begin"),
        ("@evil/x", "does not begin"),
        (":8080/x", "does not begin"),
        ("/a#b", "fragment"),
        ("?a#b", "fragment"),
        ("/a b", "0x20"),
        ("/a\r\nHost: x", "0x0d"),
        ("/a\tb", "0x09"),
        ("/a\0b", "0x00"),
        ("/caf\u{e9}", "0xc3"),
        ("/a|b", "write it as %7C"),
        ("/a{b}", "write it as %7B"),
        ("/a<b>", "write it as %3C"),
        ("/a\"b", "write it as %22"),
        ("/a^b", "write it as %5E"),
        ("/a`b", "write it as %60"),
        ("/a?b=[c]", "write it as %5B"),
        ("/a?b='c'", "write it as %27"),
        ("/a%", "without two hex digits"),
        ("/a%4", "without two hex digits"),
        ("/a%zz", "without two hex digits"),
        ("/a?%", "without two hex digits"),
    ] {
        bad(text, want);
    }
    bad(&format!("/{}", "a".repeat(MAX_PATH)), "at most 8192");
}

#[test]
fn prefixes_end_at_segments() {
    for (path, prefix, want) in [
        ("/api", "/api", true),
        ("/api/", "/api", true),
        ("/api/x", "/api", true),
        ("/api/x", "/api/", true),
        ("/api", "/api/", true),
        ("/apix", "/api", false),
        ("/API", "/api", false),
        ("/", "/api", false),
        ("", "/api", false),
        ("/anything", "/", true),
        ("", "/", true),
    ] {
        assert_eq!(below(path, prefix), want, "{path} below {prefix}");
    }
}
