//! What a guest answers beside its lanes, checked: to an inbound request, which goes out under the host's name,
//! to a pull and to a query.

use bulkhead_core::{GuestFault, Page, RecordBatch, Reply};
use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;

use crate::bindings::{delivering, types};

/// Most header fields, and bytes of their names and values.
const MAX_FIELDS: usize = 32;
const MAX_FIELD_BYTES: usize = 16 << 10;
const MAX_BODY: usize = 1 << 20;
const MAX_EVENTS: usize = 10_000;
/// As the contract says.
const MAX_CURSOR: usize = 64 << 10;
const MAX_ANSWER: usize = 4 << 20;
/// Header fields that say how the message travels, or what senders are to keep: the host's to set.
const HOST_OWNED: [&str; 19] = [
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-length",
    "date",
    "expect",
    "host",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "proxy-connection",
    "refresh",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The guest's answer, or which part of the contract it breaks.
pub fn reply(reply: delivering::Reply) -> Result<Reply, GuestFault> {
    let broken = |problem: String| GuestFault::Contract(format!("receive: {problem}"));
    if !(200..=599).contains(&reply.status) {
        return Err(broken(format!("{} is no final status", reply.status)));
    }
    // A redirect makes a sender repeat its message to whomever the guest names.
    if (300..=399).contains(&reply.status) && reply.status != 304 {
        return Err(broken(format!("{} sends the message elsewhere", reply.status)));
    }
    if matches!(reply.status, 204 | 205 | 304) && !reply.body.is_empty() {
        return Err(broken(format!("a body with status {}", reply.status)));
    }
    if reply.body.len() > MAX_BODY {
        return Err(broken(format!("a body of {} bytes; at most {MAX_BODY} are possible", reply.body.len())));
    }
    let bytes: usize = reply.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if reply.headers.len() > MAX_FIELDS || bytes > MAX_FIELD_BYTES {
        return Err(broken(format!("{} header fields of {bytes} bytes; at most {MAX_FIELDS} of {MAX_FIELD_BYTES} are possible", reply.headers.len())));
    }
    let mut headers = Vec::with_capacity(reply.headers.len());
    for (name, value) in reply.headers {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(broken(format!("`{}` is no header name", name.escape_default().take(64).collect::<String>())));
        };
        if HOST_OWNED.contains(&name.as_str()) {
            return Err(broken(format!("the header `{name}` belongs to the host")));
        }
        let value = HeaderValue::from_bytes(&value).map_err(|_| broken(format!("the value of `{name}` has bytes that no header carries")))?;
        headers.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
    }
    let events = events(reply.events).map_err(broken)?;
    Ok(Reply { status: reply.status, headers, body: reply.body, events })
}

/// The guest's page, or which part of the contract it breaks.
pub fn page(page: delivering::Page) -> Result<Page, GuestFault> {
    let broken = |problem: String| GuestFault::Contract(format!("pull: {problem}"));
    if page.cursor.len() > MAX_CURSOR {
        return Err(broken(format!("a cursor of {} bytes; at most {MAX_CURSOR} are possible", page.cursor.len())));
    }
    Ok(Page { events: events(page.events).map_err(broken)?, cursor: page.cursor, more: page.more })
}

/// The guest's answer to a query, or which part of the contract it breaks.
pub fn answer(text: String) -> Result<String, GuestFault> {
    let broken = |problem: String| GuestFault::Contract(format!("query: {problem}"));
    if text.len() > MAX_ANSWER {
        return Err(broken(format!("an answer of {} bytes; at most {MAX_ANSWER} are possible", text.len())));
    }
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(broken(format!("the answer is no JSON: line {}, column {}", error.line(), error.column()))),
    }
}

fn events(batch: types::RecordBatchResult) -> Result<RecordBatch, String> {
    let events = RecordBatch { block: batch.block, offsets: batch.offsets };
    if events.len() > MAX_EVENTS {
        return Err(format!("{} events; at most {MAX_EVENTS} are possible", events.len()));
    }
    // No offsets at all is what a guest without events may well write.
    if !(events.offsets.is_empty() && events.block.is_empty()) {
        events.check(events.len())?;
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(status: u16, headers: &[(&str, &[u8])], body: usize, block: &[u8], offsets: &[u32]) -> delivering::Reply {
        delivering::Reply {
            status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
            body: vec![b'x'; body],
            events: types::RecordBatchResult { block: block.to_vec(), offsets: offsets.to_vec() },
        }
    }

    #[track_caller]
    fn check(made: delivering::Reply, want: Result<usize, &str>) {
        match (reply(made), want) {
            (Ok(reply), Ok(events)) => assert_eq!(reply.events.len(), events),
            (Err(GuestFault::Contract(text)), Err(want)) => assert!(text.contains(want), "{text}"),
            (Ok(_), Err(want)) => panic!("taken, want {want}"),
            (Err(error), _) => panic!("{error}"),
        }
    }

    #[test]
    fn answers_are_checked() {
        check(made(200, &[("Content-Type", b"text/plain"), ("x-own", b"1")], 10, b"{}{}", &[0, 2, 4]), Ok(2));
        check(made(204, &[], 0, b"", &[0]), Ok(0));
        check(made(599, &[], 0, b"", &[]), Ok(0));
        for status in [0, 100, 101, 199, 600, u16::MAX] {
            check(made(status, &[], 0, b"", &[0]), Err("no final status"));
        }
        for status in [300, 302, 307, 308, 399] {
            check(made(status, &[], 0, b"", &[0]), Err("sends the message elsewhere"));
        }
        check(made(204, &[], 1, b"", &[0]), Err("a body with status 204"));
        check(made(200, &[], MAX_BODY + 1, b"", &[0]), Err("at most 1048576"));
        for name in HOST_OWNED {
            check(made(200, &[(&name.to_uppercase(), b"7")], 0, b"", &[0]), Err("belongs to the host"));
        }
        check(made(200, &[("", b"")], 0, b"", &[0]), Err("no header name"));
        check(made(200, &[("a b", b"")], 0, b"", &[0]), Err("no header name"));
        check(made(200, &[("x", b"a\r\nset-cookie: b")], 0, b"", &[0]), Err("bytes that no header carries"));
        check(made(200, &[("x", &b""[..]); MAX_FIELDS + 1], 0, b"", &[0]), Err("33 header fields"));
        check(made(200, &[("x", &[b'y'; MAX_FIELD_BYTES])], 0, b"", &[0]), Err("16385 bytes"));
        check(made(200, &[], 0, b"ab", &[0, 1]), Err("do not divide"));
        check(made(200, &[], 0, b"ab", &[]), Err("0 offsets for 0 records"));
        check(made(200, &[], 0, b"ab", &[1, 2]), Err("do not divide"));
        check(made(200, &[], 0, b"", &vec![0; MAX_EVENTS + 2]), Err("10001 events"));
    }

    #[test]
    fn pages_and_answers_are_checked() {
        let made = |cursor: usize, block: &[u8], offsets: &[u32]| {
            let events = types::RecordBatchResult { block: block.to_vec(), offsets: offsets.to_vec() };
            page(delivering::Page { events, cursor: vec![0; cursor], more: false })
        };
        assert!(made(MAX_CURSOR, b"{}{}", &[0, 2, 4]).is_ok_and(|page| page.events.len() == 2));
        assert!(made(0, b"", &[]).is_ok_and(|page| page.events.is_empty()));
        assert!(matches!(made(MAX_CURSOR + 1, b"", &[]), Err(GuestFault::Contract(text)) if text.contains("at most 65536")));
        assert!(matches!(made(0, b"ab", &[0, 1]), Err(GuestFault::Contract(text)) if text.contains("do not divide")));
        assert_eq!(answer("{\"a\": 1.10}".into()).expect("JSON"), "{\"a\": 1.10}");
        assert!(matches!(answer("{\"a\"".into()), Err(GuestFault::Contract(text)) if text.contains("no JSON: line 1")));
        let long = format!("\"{}\"", "x".repeat(MAX_ANSWER));
        assert!(matches!(answer(long), Err(GuestFault::Contract(text)) if text.contains("at most 4194304")));
    }
}
