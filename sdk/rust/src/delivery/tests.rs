use super::*;

fn answer(status: u16) -> http::Response {
    http::Response { status, body: b" no such field \n".to_vec(), retry_after: Some(Duration::from_secs(7)), ..http::Response::default() }
}

fn word(result: &Result<Delivery, Failure>) -> &'static str {
    match result {
        Ok(Delivery::All(Outcome::Accepted(None))) => "accepted",
        Ok(Delivery::All(Outcome::Rejected(reason))) if reason.ends_with(": no such field") => "rejected",
        Err(Failure::Configuration(_)) => "configuration",
        Err(Failure::Unauthorized(_)) => "unauthorized",
        Err(Failure::Unavailable { after: Some(after), .. }) if *after == Duration::from_secs(7) => "unavailable",
        Err(Failure::TooLarge(_)) => "too-large",
        Err(Failure::Other(_)) => "other",
        _ => "unexpected",
    }
}

#[test]
fn every_row_of_the_status_table() {
    for (statuses, want) in [
        (&[200_u16, 201, 202, 204, 299][..], "accepted"),
        (&[300, 301, 302, 307, 308, 399], "configuration"),
        (&[401, 403], "unauthorized"),
        (&[404, 405], "configuration"),
        (&[408, 425, 429, 500, 502, 503, 504, 599], "unavailable"),
        (&[413], "too-large"),
        (&[400, 402, 406, 409, 410, 415, 422, 499], "rejected"),
        (&[0, 100, 101, 199, 600], "other"),
    ] {
        for status in statuses {
            assert_eq!(word(&Delivery::from_status(&answer(*status))), want, "{status}");
        }
    }
}

#[test]
fn errors_of_the_host_are_failures() {
    assert!(matches!(Failure::from(http::Error::Denied("rule 3".into())), Failure::Configuration(text) if text.contains("rule 3")));
    assert!(matches!(Failure::from(http::Error::Timeout), Failure::Unavailable { after: None, .. }));
    assert!(matches!(Failure::from(http::Error::Connect("refused".into())), Failure::Unavailable { .. }));
    assert!(matches!(Failure::from(http::Error::Broken("reset".into())), Failure::Unavailable { .. }));
    assert!(matches!(Failure::from(files::Error::NoSpace), Failure::Unavailable { .. }));
    assert!(matches!(Failure::from(files::Error::Denied("read only".into())), Failure::Configuration(_)));
    assert!(matches!(Failure::from(state::Error::Unavailable("locked".into())), Failure::Unavailable { .. }));
}

#[test]
fn a_reason_is_cut() {
    let long = http::Response { status: 400, body: vec![b'x'; 10_000], ..http::Response::default() };
    assert_eq!(Delivery::reason(&long).len(), "the receiver answered 400: ".len() + REASON_BYTES);
    assert_eq!(Delivery::reason(&http::Response { status: 418, ..http::Response::default() }), "the receiver answered 418");
}
