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

/// Requests without events: nothing is rejected, people look at it.
#[test]
fn success_is_2xx_and_nothing_else() {
    assert_eq!(Delivery::success(&answer(204)), Ok(()));
    for (status, want) in
        [(400, "Configuration"), (422, "Configuration"), (404, "Configuration"), (401, "Unauthorized"), (503, "Unavailable"), (302, "Configuration")]
    {
        let heard = format!("{:?}", Delivery::success(&answer(status)));
        assert!(heard.starts_with(&format!("Err({want}")), "{status}: {heard}");
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

#[test]
fn identifiers_are_texts_and_numbers_cut_at_what_the_host_keeps() {
    let long = format!("\"{}\"", "é".repeat(100));
    for (json, want) in [
        ("\"a\\n1\"", Some("a\n1".to_owned())),
        ("17", Some("17".to_owned())),
        (long.as_str(), Some("é".repeat(64))),
        ("\"\"", None),
        ("null", None),
        ("{}", None),
    ] {
        assert_eq!(Outcome::accepted_as(crate::json::value(json).unwrap()), Outcome::Accepted(want), "{json}");
    }
    assert_eq!(Outcome::accepted_as(Value::MISSING), Outcome::Accepted(None));
}

#[test]
fn a_failure_after_outcomes_leaves_the_rest_to_come_again() {
    let busy = || Failure::Unavailable { reason: "busy".to_owned(), after: Some(Duration::from_secs(3)) };
    assert_eq!(Delivery::with_failure(vec![None, None], busy()), Err(busy()));
    let some = vec![None, Some(Outcome::Accepted(None)), None];
    let again = |after| Ok(Delivery::Each(vec![Outcome::Retry(after), Outcome::Accepted(None), Outcome::Retry(after)]));
    assert_eq!(Delivery::with_failure(some.clone(), busy()), again(Some(Duration::from_secs(3))));
    assert_eq!(Delivery::with_failure(some, Failure::TooLarge("413".to_owned())), again(None));
}

#[test]
fn limits_that_pass_with_time_are_waited_for() {
    let bytes = || "destination `primary`: bytes_out of 16 GiB reached: 1 MiB asked for".to_owned();
    let passing = Failure::Unavailable { reason: bytes(), after: None };
    assert_eq!(Failure::from(http::Error::Limit(bytes())), passing);
    assert_eq!(Failure::from(tcp::Error::Limit(bytes())), passing);
    assert_eq!(Failure::from(udp::Error::Limit(bytes())), passing);
    assert!(matches!(Failure::from(http::Error::Limit("http_rate of 10 reached".to_owned())), Failure::Unavailable { .. }));
    let lasting = || "tcp_connections of 4 reached".to_owned();
    assert_eq!(Failure::from(http::Error::Limit(lasting())), Failure::Configuration(lasting()));
    assert_eq!(Failure::from(tcp::Error::Limit(lasting())), Failure::Configuration(lasting()));
    assert_eq!(Failure::from(udp::Error::Limit(lasting())), Failure::TooLarge(lasting()));
}
