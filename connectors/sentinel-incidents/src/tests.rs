use bulkhead_sdk::native::{self, answer, answers};

use super::*;

fn own(config: &str) -> Incidents {
    native::connector::<Incidents>(config, &RecordFormat::new("json", "application/json")).expect("configures").connector
}

const ONE: &str = r#"{"name":"g-1","etag":"\"a\"","properties":{"title":"Chain \"broken\"","severity":"High","status":"New","labels":[{"labelName":"audit"}],"incidentNumber":7,"lastModifiedTimeUtc":"2026-01-02T03:04:05.1234567Z"}}"#;

#[test]
fn incidents_come_in_the_order_of_their_changes() {
    let two = r#"{"name":"g-2","properties":{"severity":"Informational","lastModifiedTimeUtc":"2026-01-02T03:04:05.1234567Z"}}"#;
    let asked = answers(vec![
        answer(200, format!("{{\"value\":[{ONE},{two}],\"nextLink\":\"https://management.azure.com/x\"}}")),
        answer(200, format!("{{\"value\":[{two},{ONE}]}}")),
    ]);
    let mut own = own(r#"{"filter":"properties/status ne 'Closed'"}"#);
    let page = own.pull(b"").expect("a page");
    assert_eq!(
        String::from_utf8_lossy(&page.events[0]),
        format!(
            r#"{{"specversion":"1.0","id":"incident-g-1-17673230451234567","source":"sentinel","type":"record.incident","subject":"g-1","time":"2026-01-02T03:04:05.1234567Z","severity":"high","data":{ONE}}}"#
        )
    );
    assert_eq!((page.events.len(), page.cursor.as_slice(), page.more), (2, &b"17673230451234567;g-1,g-2"[..], true));
    let next = own.pull(&page.cursor).expect("a page");
    assert_eq!((next.events.len(), next.cursor, next.more), (0, page.cursor, false));
    let asked = asked.borrow();
    assert_eq!(
        asked[1].path,
        "/incidents?api-version=2025-09-01&$filter=properties%2FlastModifiedTimeUtc%20ge%202026-01-02T03%3A04%3A05.1234567Z%20and%20%28properties%2Fstatus%20ne%20%27Closed%27%29&$orderby=properties%2FlastModifiedTimeUtc%20asc&$top=102"
    );
    assert!(asked[0].path.contains("ge%201970-01-01T00%3A00%3A00.0000000Z"), "{}", asked[0].path);
}

#[test]
fn a_change_keeps_what_it_does_not_name_and_what_others_changed() {
    let newer = ONE.replace("\\\"a\\\"", "\\\"b\\\"").replace("\"New\"", "\"Active\"");
    let asked = answers(vec![
        answer(200, ONE),
        answer(409, r#"{"error":{"code":"Conflict","message":"Newer version"}}"#),
        answer(200, &newer),
        answer(200, "{\"name\":\"g-1\"}"),
    ]);
    let done = own("{}").query("update", r#"{"id":"g-1","severity":"Low","title":"a\"b"}"#).expect("changed");
    assert_eq!(done, "{\"name\":\"g-1\"}");
    let asked = asked.borrow();
    assert_eq!((asked[1].method.as_str(), asked[1].path.as_str()), ("PUT", "/incidents/g-1?api-version=2025-09-01"));
    assert_eq!(
        String::from_utf8_lossy(&asked[3].body),
        r#"{"etag":"\"b\"","properties":{"title":"a\"b","severity":"Low","status":"Active","labels":[{"labelName":"audit"}]}}"#
    );
}

#[test]
fn what_is_wrong_is_told_apart() {
    for (status, want) in [(401, "Unauthorized"), (403, "Unauthorized"), (404, "Configuration"), (400, "Other"), (429, "Unavailable"), (503, "Unavailable")] {
        answers(vec![answer(status, r#"{"error":{"code":"X","message":"y"}}"#)]);
        let failure = own("{}").check().expect_err("refused");
        assert!(format!("{failure:?}").starts_with(want), "{status}: {failure:?}");
    }
    for strange in ["", "{}", r#"{"value":{}}"#, r#"{"value":[{}]}"#, r#"{"value":[{"name":"a","properties":{"lastModifiedTimeUtc":"yesterday"}}]}"#] {
        answers(vec![answer(200, strange)]);
        assert!(matches!(own("{}").pull(b""), Err(Failure::Other(_))), "{strange}");
    }
    answers(vec![answer(200, "{\"value\":[]}")]);
    assert!(own("{}").check().is_ok());
    answers(vec![answer(200, "{\"name\":\"g\"}")]);
    for (operation, parameters, part) in [
        ("drop", "{}", "there is no operation"),
        ("update", r#"{"id":"g","status":"Closed"}"#, "`classification` is missing"),
        ("update", r#"{"id":"g","status":"Open"}"#, "`status` must be one of New, Active, Closed"),
        ("update", r#"{"id":"g"}"#, "no incident"),
    ] {
        let failure = own("{}").query(operation, parameters).expect_err("refused");
        assert!(matches!(&failure, Failure::Other(text) if text.contains(part)), "{failure:?}");
    }
}

#[test]
fn more_incidents_of_a_moment_than_can_be_told_apart_are_told() {
    let time = "2026-01-02T03:04:05.0000000Z";
    let list = |count: usize| {
        let one = |id: usize| format!(r#"{{"name":"g-{id}","properties":{{"lastModifiedTimeUtc":"{time}"}}}}"#);
        (0..count).map(one).collect::<Vec<_>>().join(",")
    };
    let cursor = |count: usize| format!("17673230450000000;{}", (0..count).map(|id| format!("g-{id}")).collect::<Vec<_>>().join(",")).into_bytes();
    answers(vec![answer(200, format!(r#"{{"value":[{}]}}"#, list(1000)))]);
    let failure = own("{}").pull(&cursor(1000)).expect_err("refused");
    assert!(matches!(&failure, Failure::Configuration(text) if text.contains("narrow `filter`")), "{failure:?}");
    // A link behind nothing new: the same question would be asked at once, for ever.
    answers(vec![answer(200, format!(r#"{{"value":[{}],"nextLink":"https://x"}}"#, list(1)))]);
    assert!(!own("{}").pull(&cursor(1)).expect("a page").more);
}
