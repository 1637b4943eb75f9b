use bulkhead_sdk::native::{self, answer, answers};

use super::*;

fn own(config: &str) -> RestPull {
    native::connector::<RestPull>(config, &RecordFormat::new("json", "application/json")).expect("configures").connector
}

fn ids(page: &Page) -> Vec<String> {
    let id = |event: &Vec<u8>| owned(json::value(std::str::from_utf8(event).expect("UTF-8")).expect("JSON").member("id")).expect("an id");
    page.events.iter().map(id).collect()
}

fn linked(link: &str, body: &str) -> Result<http::Response, http::Error> {
    answer(200, body).map(|response| http::Response { headers: vec![("link".to_owned(), link.as_bytes().to_vec())], ..response })
}

#[test]
fn changes_come_once_by_their_time() {
    let config = r#"{"path":"/alerts?sort=updated","items":"/data","kind":"alert","time":"/updated","since":"updated_after","severity":"/level"}"#;
    let asked = answers(vec![
        answer(200, r#"{"data":[{"id":1,"updated":"2026-01-02T03:04:05.5Z","level":"high"},{"id":2,"updated":"2026-01-02T04:04:05.50+01:00"}]}"#),
        answer(
            200,
            r#"{"data":[{"id":2,"updated":"2026-01-02T03:04:05.5Z"},{"id":3,"updated":"2026-01-02T03:04:05.5Z"},{"id":1,"updated":"2026-01-02T03:04:06Z"}]}"#,
        ),
        answer(204, ""),
    ]);
    let mut own = own(config);
    let page = own.pull(b"").expect("a page");
    assert_eq!(
        String::from_utf8_lossy(&page.events[0]),
        r#"{"specversion":"1.0","id":"1-1767323045500000000","source":"rest","type":"record.alert","subject":"1","time":"2026-01-02T03:04:05.5Z","severity":"high","data":{"id":1,"updated":"2026-01-02T03:04:05.5Z","level":"high"}}"#
    );
    let second = own.pull(&page.cursor).expect("a page");
    assert_eq!((ids(&second), page.more || second.more), (vec!["3-1767323045500000000".to_owned(), "1-1767323046000000000".to_owned()], false));
    let third = own.pull(&second.cursor).expect("a page");
    assert_eq!((third.events.len(), &third.cursor), (0, &second.cursor));
    let paths: Vec<String> = asked.borrow().iter().map(|request| request.path.clone()).collect();
    assert_eq!(
        paths,
        [
            "/alerts?sort=updated",
            "/alerts?sort=updated&updated_after=2026-01-02T03%3A04%3A05.5Z",
            "/alerts?sort=updated&updated_after=2026-01-02T03%3A04%3A06Z"
        ]
    );
}

/// The newest first, as many APIs have it, over three pages: the list is the same for all of them.
#[test]
fn pages_by_token_belong_to_one_list() {
    let config = r#"{"path":"/v1/items","items":"/items","time":"/at","time_unit":"millis","since":"from","token":"/next","token_parameter":"page"}"#;
    let asked = answers(vec![
        answer(200, r#"{"items":[{"id":"d","at":4000},{"id":"c","at":3000}],"next":"t 1"}"#),
        answer(200, r#"{"items":[{"id":"b","at":2000}],"next":"t2"}"#),
        answer(200, r#"{"items":[{"id":"a","at":1000}],"next":null}"#),
        answer(200, r#"{"items":[{"id":"e","at":4000},{"id":"d","at":4000}]}"#),
    ]);
    let mut own = own(config);
    let (mut cursor, mut all, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..4 {
        let page = own.pull(&cursor).expect("a page");
        all.extend(ids(&page));
        more.push(page.more);
        cursor = page.cursor;
    }
    assert_eq!(all, ["d-4000000000", "c-3000000000", "b-2000000000", "a-1000000000", "e-4000000000"]);
    assert_eq!(more, [true, true, false, false]);
    let paths: Vec<String> = asked.borrow().iter().map(|request| request.path.clone()).collect();
    assert_eq!(paths, ["/v1/items", "/v1/items?page=t%201", "/v1/items?page=t2", "/v1/items?from=4000"]);
}

#[test]
fn links_ids_and_full_pages_lead_on() {
    let asked = answers(vec![
        linked("</items?page=2>; rel=\"next\", </items?page=9>; rel=last", r#"[{"id":"a"}]"#),
        linked("</items>; rel=\"first\"", r#"[{"id":"b"}]"#),
    ]);
    let mut api = own(r#"{"path":"/items","link_header":true}"#);
    let page = api.pull(b"").expect("a page");
    let second = api.pull(&page.cursor).expect("a page");
    assert_eq!((ids(&page), page.more, ids(&second), second.more), (vec!["a".to_owned()], true, vec!["b".to_owned()], false));
    assert_eq!(asked.borrow()[1].path, "/items?page=2");

    let asked = answers(vec![answer(200, r#"[{"id":"e 1"},{"id":"e 2"}]"#), answer(200, r#"[{"id":"e 3"}]"#)]);
    let mut api = own(r#"{"path":"/feed","after":"after","page_size":2}"#);
    let page = api.pull(b"").expect("a page");
    let second = api.pull(&page.cursor).expect("a page");
    assert_eq!((page.more, second.more, asked.borrow()[1].path.as_str()), (true, false, "/feed?after=e%202"));

    answers(vec![answer(200, r#"{"next":"/a","items":[]}"#)]);
    let mut api = own(r#"{"path":"/a","items":"/items","next_url":"/next"}"#);
    assert!(matches!(api.pull(b""), Err(Failure::Other(text)) if text.contains("a next page that is this one")));
}

#[test]
fn what_cannot_be_read_moves_nothing() {
    let config = r#"{"path":"/a","items":"/items","time":"/at","since":"from"}"#;
    for (body, part) in [
        ("<html>", "no list"),
        ("", "no JSON"),
        (r#"{"items":{}}"#, "no list at `items`"),
        (r#"{"items":[{"at":"2026-01-02T03:04:05Z"}]}"#, "without `id`"),
        (r#"{"items":[{"id":"a","at":"yesterday"}]}"#, "record a without a time"),
    ] {
        answers(vec![answer(200, body)]);
        let failure = own(config).pull(b"what nobody wrote").expect_err("refused");
        assert!(matches!(&failure, Failure::Other(text) if text.contains(part)), "{body}: {failure:?}");
    }
    for (status, want) in [(401, "Unauthorized"), (404, "Configuration"), (422, "Other"), (429, "Unavailable"), (500, "Unavailable")] {
        answers(vec![answer(status, "{}")]);
        let failure = own(config).pull(b"").expect_err("refused");
        assert!(format!("{failure:?}").starts_with(want), "{status}: {failure:?}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (config, part) in [
        (r#"{"path":"a"}"#, "`path` is \"a\""),
        (r#"{"path":"/a","items":"data"}"#, "`items` is \"data\""),
        (r#"{"path":"/a","since":"x"}"#, "`since` needs `time`"),
        (r#"{"path":"/a","token":"/x"}"#, "belong together"),
        (r#"{"path":"/a","next_url":"/x","link_header":true}"#, "three ways"),
        (r#"{"path":"/a","time_unit":"days"}"#, "`time_unit` must be one of rfc3339, seconds, millis"),
    ] {
        let error = native::connector::<RestPull>(config, &RecordFormat::new("json", "application/json")).expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn questions_are_paths() {
    answers(vec![answer(200, "{\"n\":1.10}"), answer(200, "plain \"text\"")]);
    let mut own = own(r#"{"path":"/a"}"#);
    assert_eq!(own.query("get", r#"{"path":"/b"}"#).expect("answers"), "{\"n\":1.10}");
    assert_eq!(own.query("get", r#"{"path":"/b"}"#).expect("answers"), r#""plain \"text\"""#);
    assert!(matches!(own.query("put", "{}"), Err(Failure::Other(text)) if text.contains("there is get")));
    assert!(matches!(own.query("get", "{}"), Err(Failure::Other(text)) if text.contains("`path` is missing")));
}

#[test]
fn a_link_elsewhere_is_refused() {
    answers(vec![
        answer(200, r#"{"next":"http://receiver.test/a?page=2","items":[{"id":"1"}]}"#),
        answer(200, r#"{"next":"http://elsewhere.test/a?page=3","items":[{"id":"2"}]}"#),
    ]);
    let mut own = own(r#"{"path":"/a","items":"/items","next_url":"/next"}"#);
    let page = own.pull(b"").expect("a page");
    assert!(page.cursor.ends_with(b"/a?page=2") && page.more);
    assert!(matches!(own.pull(&page.cursor), Err(Failure::Configuration(text)) if text.contains("denied")));
}
