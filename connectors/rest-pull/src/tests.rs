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

#[test]
fn a_time_ahead_moves_no_cursor() {
    native::set_now(1_767_323_045);
    let config = r#"{"path":"/a","time":"/at","time_unit":"seconds","since":"from"}"#;
    answers(vec![answer(200, r#"[{"id":"a","at":1767323045},{"id":"far","at":1767409446},{"id":"near","at":1767409445}]"#)]);
    let page = own(config).pull(b"").expect("a page");
    assert_eq!(page.events.len(), 3);
    assert!(page.cursor.starts_with(b"1767409445000000000;near\n1767409445000000000;near\n"), "{}", String::from_utf8_lossy(&page.cursor));
}

#[test]
fn a_full_page_that_leads_no_further_is_told() {
    let two = || answer(200, r#"[{"id":"a","at":5},{"id":"b","at":5}]"#);
    let config = r#"{"path":"/a","time":"/at","time_unit":"seconds","since":"from","page_size":2}"#;
    answers(vec![two(), two()]);
    let mut api = own(config);
    let page = api.pull(b"").expect("a page");
    assert_eq!((page.events.len(), page.more), (2, true));
    let stuck = |failure| matches!(failure, Err(Failure::Configuration(text)) if text.contains("more records than a page share one moment"));
    assert!(stuck(api.pull(&page.cursor)));
    let many: Vec<String> = (0..1001).map(|id| format!(r#"{{"id":"{id}","at":5}}"#)).collect();
    let seen: Vec<String> = (0..1000).map(|id| id.to_string()).collect();
    let cursor = format!("5000000000;{0}\n5000000000;{0}\n\n\n", seen.join(","));
    answers(vec![answer(200, format!("[{}]", many.join(",")))]);
    assert!(stuck(own(config).pull(cursor.as_bytes())));
    // Records ahead of time come with every answer, and are not asked for again at once.
    answers(vec![answer(200, r#"[{"id":"a","at":4000000000},{"id":"b","at":4000000000}]"#)]);
    let page = own(config).pull(b"").expect("a page");
    assert_eq!((page.events.len(), page.more), (2, false));
    // Where the API has a way of its own, its end is the end.
    answers(vec![two(), two()]);
    let mut api = own(r#"{"path":"/a","time":"/at","time_unit":"seconds","since":"from","page_size":2,"link_header":true}"#);
    let page = api.pull(b"").expect("a page");
    let next = api.pull(&page.cursor).expect("a page");
    assert_eq!((next.events.len(), next.more), (0, false));
    // The same list each time: nothing to ask for at once.
    answers(vec![two()]);
    assert!(!own(r#"{"path":"/a","page_size":2}"#).pull(b"").expect("a page").more);
}

#[test]
fn one_record_that_cannot_be_read_is_left_out() {
    native::reset();
    let config = r#"{"path":"/a","time":"/at","since":"from"}"#;
    answers(vec![answer(200, r#"[{"id":"a","at":"yesterday"},{"id":"b","at":"2026-01-02T03:04:05Z"},{"at":"2026-01-02T03:04:05Z"}]"#)]);
    let page = own(config).pull(b"").expect("a page");
    assert_eq!(ids(&page), ["b-1767323045000000000"]);
    let lines: Vec<String> = native::log_lines().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["2 of 3 records of a page are left out: the API answered record a without a time at `time`"]);
}

#[test]
fn a_page_that_is_gone_begins_its_list_anew() {
    let config = r#"{"path":"/a","items":"/items","time":"/at","time_unit":"seconds","since":"from","token":"/next","token_parameter":"page"}"#;
    let first = || answer(200, r#"{"items":[{"id":"b","at":7}],"next":"t"}"#);
    let began = b"5000000000;a\n5000000000;a\na\na\n";
    for (status, gone) in [(400, true), (404, true), (410, true), (401, false), (403, false), (408, false), (429, false), (500, false)] {
        answers(vec![first(), answer(status, "")]);
        let mut api = own(config);
        let page = api.pull(began).expect("a page");
        let heard = api.pull(&page.cursor);
        match heard {
            Ok(page) => assert!(gone && page.cursor == began && page.events.is_empty() && !page.more, "{status}: {page:?}"),
            Err(failure) => assert!(!gone, "{status}: {failure:?}"),
        }
    }
}

#[test]
fn the_cursor_fits_what_the_contract_allows() {
    let config = r#"{"path":"/a","items":"/items","time":"/at","time_unit":"seconds","since":"from","token":"/next","token_parameter":"page"}"#;
    let page = |time: i64, next: &str| {
        let records: Vec<String> = (0..2000).map(|id| format!(r#"{{"id":"{id:060}","at":{time}}}"#)).collect();
        answer(200, format!(r#"{{"items":[{}],"next":"{next}"}}"#, records.join(",")))
    };
    answers(vec![page(5, ""), page(6, "t")]);
    let mut api = own(config);
    let first = api.pull(b"").expect("a page");
    let second = api.pull(&first.cursor).expect("a page");
    assert!(second.cursor.len() <= 60 << 10 && second.cursor.ends_with(b"page=t"), "{}", second.cursor.len());
}
