use super::*;

const SECRET: &str = "s3cr/t+\"k\u{e9}y&";

fn redactor(secret: &str) -> Redactor {
    Redactor::new([secret.as_bytes()])
}

#[track_caller]
fn hidden(secret: &str, text: &str, want: &str) {
    assert_eq!(redactor(secret).text(text), want, "{text}");
}

#[test]
fn every_form_is_found() {
    hidden(SECRET, &format!("token={SECRET}; again {SECRET}"), "token=[redacted]; again [redacted]");
    hidden(SECRET, "733363722f742b226bc3a97926", MARK);
    hidden(SECRET, "x733363722F742B226BC3A97926x", "x[redacted]x");
    hidden(SECRET, "q=s3cr%2Ft%2B%22k%C3%A9y%26&r", "q=[redacted]&r");
    hidden(SECRET, "q=s3cr%2ft%2b%22k%c3%a9y%26&r", "q=[redacted]&r");
    hidden(SECRET, "q=s3cr/t+%22k%C3%A9y&", "q=[redacted]");
    hidden(SECRET, "%73%33%63%72%2F%74%2B%22%6B%C3%A9%79%26", MARK);
    hidden(SECRET, r#"{"t":"s3cr/t+\"ké\u0079&"}"#, r#"{"t":"s3cr/t+\"ké\u0079&"}"#);
    hidden(SECRET, r#"{"t":"s3cr/t+\"kéy&"}"#, r#"{"t":"[redacted]"}"#);
    hidden(SECRET, r#"{"t":"s3cr\/t+\"kéy&"}"#, r#"{"t":"[redacted]"}"#);
    hidden(SECRET, r#"{"t":"s3cr/t+\"k\u00e9y&"}"#, r#"{"t":"[redacted]"}"#);
    hidden(SECRET, r#"{"t":"s3cr/t+\"k\u00E9y&"}"#, r#"{"t":"[redacted]"}"#);
    hidden(SECRET, r#"{"t":"s3cr/t\u002b\"k\u00e9y\u0026"}"#, r#"{"t":"[redacted]"}"#);
}

#[test]
fn base64_at_any_alignment_and_in_both_alphabets() {
    for before in ["", "a", "ab", "abc", "user:"] {
        for after in ["", "z", "zz", "zzz"] {
            let whole = format!("{before}{SECRET}{after}");
            for encoded in [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole), base64::engine::general_purpose::STANDARD.encode(&whole)] {
                let redactor = redactor(SECRET);
                let out = redactor.text(&encoded);
                assert!(out.contains(MARK), "{before}|{after}: {out}");
                // What is left over are the digits at the edges: at most one byte of the secret each.
                let left = out.replace(MARK, "");
                assert!(left.len() <= encoded.len().saturating_sub(SECRET.len()), "{before}|{after}: {out}");
            }
        }
    }
}

#[test]
fn text_without_secrets_is_untouched_and_not_copied() {
    let redactor = redactor(SECRET);
    assert!(matches!(redactor.bytes(b"nothing to see"), Cow::Borrowed(_)));
    assert!(matches!(Redactor::default().bytes(SECRET.as_bytes()), Cow::Borrowed(_)));
    // Patterns are bytes, not expressions.
    hidden("(a.*b)+$", "aaab (a.*b)+$", "aaab [redacted]");
    hidden("{0}%s%n", "x {0}%s%n y", "x [redacted] y");
    hidden("line\nbreak", "line\\nbreak", MARK);
}

#[test]
fn the_longest_secret_goes_first() {
    let redactor = Redactor::new([&b"abcdef"[..], b"abcdefghij"]);
    assert_eq!(redactor.text("abcdefghij abcdef"), "[redacted] [redacted]");
    assert!(redactor.longest() >= 30, "{}", redactor.longest());
    assert!(!format!("{redactor:?}").contains("abcdef"));
}

/// Secrets made the text shorter: half of one behind the edge must not move up.
#[test]
fn nothing_moves_up_from_behind_the_edge() {
    let secret = "0123456789abcdefghijklmnopqrstuvwxyzABCD";
    let redactor = redactor(secret);
    let whole = format!("{secret}{}{secret}", "-".repeat(65));
    // The second one begins at 105, behind the edge at 100; what was read of it ends in its middle.
    let read = &whole.as_bytes()[..130];
    let out = redactor.head(read, 100).into_owned();
    assert_eq!(String::from_utf8(out).expect("text"), format!("{MARK}{}", "-".repeat(60)));
    assert_eq!(redactor.head(b"plain text", 5).into_owned(), b"plain");
    // One that begins before the edge goes whole.
    assert_eq!(redactor.head(format!("ab{secret}").as_bytes(), 20).into_owned(), b"ab[redacted]");
    let logged = crate::host::log::clean(&whole, 100, &redactor);
    assert_eq!(logged, format!("{MARK}{}…", "-".repeat(60)));
}

#[test]
fn overlapping_secrets_leave_nothing_of_either() {
    let redactor = Redactor::new([&b"hunter2-one-two"[..], b"one-two-three"]);
    assert_eq!(redactor.text("x hunter2-one-two-three y"), "x [redacted] y");
}

#[tokio::test(start_paused = true)]
async fn issued_secrets_are_known_at_once_and_for_a_while_after() {
    let issued = Arc::new(Issued::default());
    let redactor = Redactor::new([&b"fixed-secret"[..]]).following(Arc::clone(&issued));
    let shown = |text: &str| redactor.text(text).into_owned();
    assert_eq!(shown("token-one fixed-secret"), "token-one [redacted]");
    issued.learn(&[b"token-one", b"dG9rZW4tb25l"]);
    assert!(redactor.longest() >= 27, "{}", redactor.longest());
    assert_eq!(shown("token-one dG9rZW4tb25l token-two"), "[redacted] [redacted] token-two");
    // It is the current one for an hour, and superseded only then.
    tokio::time::advance(Duration::from_secs(3600)).await;
    issued.learn(&[b"token-two"]);
    assert_eq!(shown("token-one dG9rZW4tb25l token-two"), "[redacted] [redacted] [redacted]");
    tokio::time::advance(SUPERSEDED).await;
    issued.learn(&[b"token-three"]);
    assert_eq!(shown("token-one token-two token-three"), "token-one [redacted] [redacted]");
    // An old one that is used again is current again.
    issued.learn(&[b"token-two"]);
    tokio::time::advance(SUPERSEDED).await;
    issued.learn(&[b"token-four"]);
    assert_eq!(shown("token-two token-three token-four"), "[redacted] token-three [redacted]");
    for number in 0..1000_u32 {
        issued.learn(&[format!("generation-{number:04}").as_bytes()]);
    }
    assert_eq!(issued.ring().generations.len(), MOST_ISSUED);
    assert_eq!(shown("generation-0999 generation-0936 generation-0935"), "[redacted] [redacted] generation-0935");
    assert!(!format!("{redactor:?}{issued:?}").contains("generation"));
}
