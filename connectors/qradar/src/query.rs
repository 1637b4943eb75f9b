//! Questions: searches, one offense, and what is done to one.

use bulkhead_sdk::{Config, Failure, Value, Writer, config, http, json};

use crate::{Qradar, text};

const OPERATIONS: &str = "search, results, offense, note, close, closing_reasons";
/// Rows of one answer where the question names no number.
const ROWS: u32 = 1_000;

/// `search`: AQL, which should say its own time (`LAST 10 MINUTES`, `START … STOP …`).
#[derive(Config)]
struct Search {
    #[config(min = 1, max = 10000)]
    aql: String,
    #[config(min = 1, max = 10000)]
    rows: Option<u32>,
}

/// `results`: of a search that was not done when it was asked.
#[derive(Config)]
struct Results {
    #[config(min = 1, max = 100)]
    search_id: String,
    #[config(min = 1, max = 10000)]
    rows: Option<u32>,
}

#[derive(Config)]
struct Offense {
    #[config(min = 0)]
    id: u64,
}

#[derive(Config)]
struct Note {
    #[config(min = 0)]
    id: u64,
    #[config(min = 1, max = 2000)]
    text: String,
}

#[derive(Config)]
struct Close {
    #[config(min = 0)]
    id: u64,
    /// One of `closing_reasons`.
    #[config(min = 0)]
    closing_reason_id: u64,
}

fn read<T: Config>(parameters: &str) -> Result<T, Failure> {
    config::read(parameters).map_err(|problem| Failure::Other(format!("parameters: {problem}")))
}

pub fn answer(qradar: &Qradar, operation: &str, parameters: &str) -> Result<String, Failure> {
    let ask = |method: &str, path: &str| Qradar::send(qradar.request(method, path)).and_then(|response| Ok(text(&response)?.to_owned()));
    match operation {
        "search" => {
            let Search { aql, rows } = read(parameters)?;
            search(qradar, &aql, rows.unwrap_or(ROWS))
        }
        "results" => {
            let Results { search_id, rows } = read(parameters)?;
            results(qradar, &search_id, rows.unwrap_or(ROWS))
        }
        "offense" => ask("GET", &format!("/api/siem/offenses/{}", read::<Offense>(parameters)?.id)),
        "note" => {
            let Note { id, text } = read(parameters)?;
            ask("POST", &format!("/api/siem/offenses/{id}/notes?note_text={}", http::percent(text.as_bytes())))
        }
        "close" => {
            let Close { id, closing_reason_id } = read(parameters)?;
            ask("POST", &format!("/api/siem/offenses/{id}?status=CLOSED&closing_reason_id={closing_reason_id}"))
        }
        "closing_reasons" => ask("GET", "/api/siem/offense_closing_reasons"),
        other => Err(Failure::Other(format!("there is no operation `{}`; there are {OPERATIONS}", other.escape_default()))),
    }
}

fn search(qradar: &Qradar, aql: &str, rows: u32) -> Result<String, Failure> {
    let started = Qradar::send(qradar.request("POST", &format!("/api/ariel/searches?query_expression={}", http::percent(aql.as_bytes()))))?;
    let (id, _) = status(text(&started)?)?;
    results(qradar, &id, rows)
}

/// The rows of a search that is done; otherwise how it stands, to be asked for again with `results`.
fn results(qradar: &Qradar, id: &str, rows: u32) -> Result<String, Failure> {
    let path = format!("/api/ariel/searches/{}", http::percent(id.as_bytes()));
    // The console answers when it is done, or after so many seconds.
    let standing = Qradar::send(qradar.request("GET", &path).header("prefer", "wait=5"))?;
    let (id, status) = status(text(&standing)?)?;
    let mut out = Writer::default();
    out.literal(b"{\"search_id\":");
    out.json_string(id.as_bytes());
    out.literal(b",\"status\":");
    out.json_string(status.as_bytes());
    match status.as_str() {
        "COMPLETED" => {
            let request = qradar.request("GET", &format!("{path}/results")).header("range", format!("items=0-{}", rows.max(1) - 1));
            let found = Qradar::send(request)?;
            out.literal(b",\"results\":");
            out.bytes(text(&found)?.trim().as_bytes());
        }
        "ERROR" | "CANCELED" => return Err(Failure::Other(format!("search {id} ended with {status}"))),
        _ => {}
    }
    out.byte(b'}');
    String::from_utf8(out.into_bytes()).map_err(|_| Failure::Other("the console answered what is not UTF-8".to_owned()))
}

fn status(answer: &str) -> Result<(String, String), Failure> {
    let told = json::value(answer);
    let word = |name: &str| told.and_then(|told: Value<'_>| Some(String::from_utf8_lossy(&told.member(name).text()?).into_owned()));
    match (word("search_id"), word("status")) {
        (Some(id), Some(status)) => Ok((id, status)),
        _ => Err(Failure::Other(format!("the console answered no search: {}", answer.chars().take(100).collect::<String>().escape_default()))),
    }
}
