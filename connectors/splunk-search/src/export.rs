//! A search whose results stream while it runs: one JSON object a line, previews between them.
//! Protocol: Splunk Enterprise 10, "REST API Reference: search/v2/jobs/export".

use bulkhead_sdk::{Failure, Kind, Value, Writer, json, writer};

use crate::JOBS;
use crate::query::Search;
use crate::{send, text};

/// Runs the search and answers `{"results":[…],"more":…,"messages":[…]}`.
pub fn answer(search: &Search) -> Result<String, Failure> {
    let rows = search.most_rows();
    // `count` does not bound a stream. One row more tells whether there are more.
    let bounded = format!("{} | head {}", search.spl, rows + 1);
    let mut form = vec![("search", bounded.as_str()), ("preview", "false")];
    form.extend(search.times());
    read(text(&send("POST", &format!("{JOBS}/export"), &form)?)?, rows as usize)
}

fn read(stream: &str, rows: usize) -> Result<String, Failure> {
    let strange = |what: &str| Failure::Other(format!("Splunk answered {what}"));
    let (mut results, mut messages, mut found, mut last) = (Writer::default(), Writer::default(), 0, false);
    for line in stream.lines().filter(|line| !line.trim().is_empty()) {
        let told = json::value(line).filter(|told| told.kind() == Kind::Object).ok_or_else(|| strange("a line that is no JSON object"))?;
        for message in told.member("messages").elements() {
            if message.member("type").is("FATAL") || message.member("type").is("ERROR") {
                let words = message.member("text").text().unwrap_or_default();
                return Err(Failure::Other(format!("Splunk ended the search: {}", String::from_utf8_lossy(writer::cut(&words, 300)))));
            }
            listed(message, &mut messages);
        }
        // What a search shows on its way comes again, and other, with its results.
        if told.member("preview").raw() == b"true" {
            continue;
        }
        last |= told.member("lastrow").raw() == b"true";
        let result = told.member("result");
        if result.kind() == Kind::Object {
            found += 1;
            if found <= rows {
                listed(result, &mut results);
            }
        }
    }
    if found > 0 && !last {
        return Err(strange("a stream that ends before its last row"));
    }
    let mut out = Writer::with_capacity(results.len() + messages.len() + 64);
    out.literal(b"{\"results\":[");
    out.bytes(results.as_bytes());
    out.literal(b"],\"more\":");
    out.bytes(if found > rows { b"true" } else { b"false" });
    out.literal(b",\"messages\":[");
    out.bytes(messages.as_bytes());
    out.literal(b"]}");
    String::from_utf8(out.into_bytes()).map_err(|_| strange("what is not UTF-8"))
}

fn listed(value: Value<'_>, out: &mut Writer) {
    if !out.is_empty() {
        out.byte(b',');
    }
    out.json(value);
}
