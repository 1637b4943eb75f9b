use bulkhead_sdk::native::{self, answer, answers};

use super::*;

fn own(config: &str) -> SplunkSearch {
    native::connector::<SplunkSearch>(config, &RecordFormat::new("json", "application/json")).expect("configures").connector
}

fn form(request: &http::Request) -> String {
    String::from_utf8(request.body.clone()).expect("ASCII")
}

const NOTABLES: &str = "{\"search\":\"search `notable`\",\"page\":2}";

#[test]
fn results_come_in_the_order_of_the_index_and_once() {
    let first = r#"{"preview":false,"results":[
        {"_time":"2026-01-02T03:04:05.000+00:00","_indextime":"1767323050","event_id":"A@@n@@1","urgency":"high","rule_name":"a \"b\""},
        {"_time":"x","_indextime":"1767323051.5","event_id":"B@@n@@2","urgency":"informational"}]}"#;
    let second = r#"{"results":[{"_indextime":"1767323051","event_id":"B@@n@@2"},{"_indextime":"1767323051","event_id":"","_cd":"7:1"}]}"#;
    let asked = answers(vec![answer(200, first), answer(200, second)]);
    let mut own = own(NOTABLES);
    let page = own.pull(b"").expect("a page");
    let events: Vec<String> = page.events.iter().map(|event| String::from_utf8(event.clone()).expect("UTF-8")).collect();
    assert_eq!(
        events,
        [
            r#"{"specversion":"1.0","id":"A@@n@@1-1767323050","source":"splunk","type":"record.notable","subject":"A@@n@@1","time":"2026-01-02T03:04:05.000Z","severity":"high","data":{"_time":"2026-01-02T03:04:05.000+00:00","_indextime":"1767323050","event_id":"A@@n@@1","urgency":"high","rule_name":"a \"b\""}}"#,
            r#"{"specversion":"1.0","id":"B@@n@@2-1767323051","source":"splunk","type":"record.notable","subject":"B@@n@@2","time":"2026-01-02T03:04:11Z","severity":"info","data":{"_time":"x","_indextime":"1767323051.5","event_id":"B@@n@@2","urgency":"informational"}}"#,
        ]
    );
    assert_eq!((page.cursor.as_slice(), page.more), (&b"1767323051;B@@n@@2"[..], true));
    let next = own.pull(&page.cursor).expect("a page");
    assert_eq!((next.events.len(), next.cursor.as_slice(), next.more), (1, &b"1767323051;B@@n@@2,7:1"[..], false));
    let asked = asked.borrow();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/services/search/v2/jobs"));
    assert_eq!(
        form(&asked[0]),
        "search=search%20%60notable%60%20%7C%20sort%202%20%2B_indextime&exec_mode=oneshot&index_earliest=0&index_latest=-30s&count=2&output_mode=json"
    );
    assert!(form(&asked[1]).contains("sort%203%20") && form(&asked[1]).contains("index_earliest=1767323051&"), "{}", form(&asked[1]));
}

#[test]
fn what_is_wrong_is_told_apart() {
    let fatal = r#"{"messages":[{"type":"FATAL","text":"Error in 'search' command"}]}"#;
    for (status, want) in [
        (401, "Unauthorized"),
        (403, "Unauthorized"),
        (400, "Other(\"Splunk answered 400: Error in 'search' command\")"),
        (503, "Unavailable"),
        (500, "Unavailable"),
        (302, "Configuration"),
    ] {
        answers(vec![answer(status, fatal)]);
        let failure = own(NOTABLES).pull(b"").expect_err("refused");
        assert!(format!("{failure:?}").starts_with(want), "{status}: {failure:?}");
    }
    for (strange, part) in [
        ("{}", "no results"),
        ("<xml/>", "no results"),
        (r#"{"results":[{"event_id":"a"}]}"#, "without `_indextime`"),
        (r#"{"results":[{"_indextime":"1"}]}"#, "set `id_field`"),
        (r#"{"results":[{"_indextime":"1","event_id":"a"}"#, "no results"),
    ] {
        answers(vec![answer(200, strange)]);
        let failure = own(NOTABLES).pull(b"").expect_err("refused");
        assert!(matches!(&failure, Failure::Other(text) if text.contains(part)), "{strange}: {failure:?}");
    }
    assert!(matches!(own("{}").pull(b""), Err(Failure::Configuration(text)) if text.contains("`search` is not set")));
    let error = native::connector::<SplunkSearch>(r#"{"search":"index=_internal"}"#, &RecordFormat::new("json", "application/json")).expect_err("refused");
    assert!(error.contains("begins with"), "{error}");
    answers(vec![answer(200, r#"{"entry":[{"content":{"version":"10.0.1"}}]}"#)]);
    assert_eq!(own("{}").check().expect("checks"), "Splunk 10.0.1 answers and takes the token");
    answers(vec![answer(200, r#"{"text":"HEC is healthy","code":17}"#)]);
    assert!(matches!(own("{}").check(), Err(Failure::Configuration(text)) if text.contains("8089")));
}

#[test]
fn searches_are_asked_at_once_or_later() {
    let asked = answers(vec![
        answer(200, r#"{"results":[{"n":"1"}]}"#),
        answer(201, r#"{"sid":"1767.1"}"#),
        answer(204, ""),
        answer(200, r#"{"entry":[{"content":{"dispatchState":"RUNNING"}}]}"#),
        answer(200, r#"{"entry":[{"content":{"dispatchState":"DONE"}}]}"#),
        answer(200, r#"{"results":[]}"#),
        answer(200, r#"{"entry":[{"content":{"dispatchState":"FAILED"}}]}"#),
        answer(200, r#"{"messages":[]}"#),
    ]);
    let mut own = own("{}");
    assert_eq!(own.query("search", r#"{"spl":"search index=a","earliest":"-15m","rows":5}"#).expect("answers"), r#"{"results":[{"n":"1"}]}"#);
    assert_eq!(own.query("start", r#"{"spl":"search index=a"}"#).expect("answers"), r#"{"sid":"1767.1"}"#);
    let results = r#"{"sid":"1767.1","offset":10}"#;
    for want in [r#"{"sid":"1767.1","state":"QUEUED"}"#, r#"{"sid":"1767.1","state":"RUNNING"}"#, r#"{"sid":"1767.1","state":"DONE","results":{"results":[]}}"#]
    {
        assert_eq!(own.query("results", results).expect("answers"), want);
    }
    assert!(matches!(own.query("results", results), Err(Failure::Other(text)) if text.contains("failed")));
    own.query("cancel", r#"{"sid":"1767.1"}"#).expect("answers");
    let asked = asked.borrow();
    assert_eq!(form(&asked[0]), "search=search%20index%3Da&exec_mode=oneshot&count=5&earliest_time=-15m&output_mode=json");
    assert_eq!((asked[5].path.as_str(), form(&asked[5]).as_str()), ("/services/search/v2/jobs/1767.1/results", "count=1000&offset=10&output_mode=json"));
    assert_eq!((asked[7].path.as_str(), form(&asked[7]).as_str()), ("/services/search/v2/jobs/1767.1/control", "action=cancel&output_mode=json"));
    for (operation, parameters, part) in [("x", "{}", "no operation"), ("search", "{}", "`spl` is missing"), ("results", r#"{"sid":""}"#, "`sid`")] {
        assert!(matches!(own.query(operation, parameters), Err(Failure::Other(text)) if text.contains(part)), "{operation}");
    }
}

#[test]
fn part_of_the_results_moves_nothing() {
    let result = r#""results":[{"_indextime":"5","event_id":"a"}]"#;
    for (kind, partial) in [("INFO", false), ("DEBUG", false), ("WARN", true), ("ERROR", true), ("FATAL", true)] {
        answers(vec![answer(200, format!(r#"{{"messages":[{{"type":"INFO","text":"x"}},{{"type":"{kind}","text":"a peer is down"}}],{result}}}"#))]);
        match own(NOTABLES).pull(b"") {
            Ok(page) => assert!(!partial && page.events.len() == 1, "{kind}"),
            Err(Failure::Unavailable { reason, .. }) => assert!(partial && reason.contains("a peer is down"), "{kind}: {reason}"),
            Err(other) => panic!("{kind}: {other:?}"),
        }
    }
}

#[test]
fn more_results_of_a_second_than_can_be_told_apart_are_told() {
    let results: Vec<String> = (0..1002).map(|id| format!(r#"{{"_indextime":"5","event_id":"{id}"}}"#)).collect();
    let seen: Vec<String> = (0..1000).map(|id| id.to_string()).collect();
    answers(vec![answer(200, format!(r#"{{"results":[{}]}}"#, results.join(",")))]);
    let failure = own(NOTABLES).pull(format!("5;{}", seen.join(",")).as_bytes()).expect_err("refused");
    assert!(matches!(&failure, Failure::Configuration(text) if text.contains("raise `page`")), "{failure:?}");
}

#[test]
fn results_stream_and_previews_are_left_out() {
    let stream = concat!(
        "{\"preview\":true,\"offset\":0,\"result\":{\"n\":\"0\"}}\n",
        "{\"preview\":true,\"offset\":1,\"lastrow\":true,\"result\":{\"n\":\"9\"}}\r\n\n",
        "{\"messages\":[{\"type\":\"WARN\",\"text\":\"a peer is down\"}]}\n",
        "{\"preview\":false,\"offset\":0,\"result\":{\"n\":\"1\",\"_raw\":\"a\\nb\"}}\n",
        "{\"preview\":false,\"offset\":1,\"lastrow\":true,\"result\":{\"n\":[\"2\",\"3\"]}}",
    );
    let none = "{\"preview\":false,\"lastrow\":true}\n";
    let asked = answers(vec![answer(200, stream), answer(200, stream), answer(200, none), answer(200, "")]);
    let mut own = own("{}");
    let warned = r#""messages":[{"type":"WARN","text":"a peer is down"}]"#;
    assert_eq!(
        own.query("export", r#"{"spl":"search index=a","earliest":"-15m","latest":"now","rows":2}"#).expect("answers"),
        format!(r#"{{"results":[{{"n":"1","_raw":"a\nb"}},{{"n":["2","3"]}}],"more":false,{warned}}}"#)
    );
    assert_eq!(
        own.query("export", r#"{"spl":"search index=a","rows":1}"#).expect("answers"),
        format!(r#"{{"results":[{{"n":"1","_raw":"a\nb"}}],"more":true,{warned}}}"#)
    );
    for _ in 0..2 {
        assert_eq!(own.query("export", r#"{"spl":"search index=a"}"#).expect("answers"), r#"{"results":[],"more":false,"messages":[]}"#);
    }
    let asked = asked.borrow();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/services/search/v2/jobs/export"));
    assert_eq!(form(&asked[0]), "search=search%20index%3Da%20%7C%20head%203&preview=false&earliest_time=-15m&latest_time=now&output_mode=json");
    assert_eq!(form(&asked[2]), "search=search%20index%3Da%20%7C%20head%201001&preview=false&output_mode=json");
}

#[test]
fn a_stream_that_breaks_off_is_no_answer() {
    let row = r#"{"preview":false,"offset":0,"result":{"n":"1"}}"#;
    for (stream, part) in [
        (row.to_owned(), "before its last row"),
        (format!("{row}\n{{\"preview\":false,\"off"), "no JSON object"),
        (format!("{row}\n[]"), "no JSON object"),
        (format!("{row}\n{{\"messages\":[{{\"type\":\"FATAL\",\"text\":\"the search was killed\"}}]}}"), "the search was killed"),
        (r#"{"messages":[{"type":"ERROR","text":"unknown command"}]}"#.to_owned(), "unknown command"),
    ] {
        answers(vec![answer(200, &stream)]);
        let failure = own("{}").query("export", r#"{"spl":"search index=a"}"#).expect_err("refused");
        assert!(matches!(&failure, Failure::Other(text) if text.contains(part)), "{stream}: {failure:?}");
    }
    answers(vec![Ok(http::Response { truncated: true, ..answer(200, row).expect("an answer") })]);
    let failure = own("{}").query("export", r#"{"spl":"search index=a"}"#).expect_err("refused");
    assert!(matches!(&failure, Failure::Configuration(text) if text.contains("`rows` of a query")), "{failure:?}");
}
