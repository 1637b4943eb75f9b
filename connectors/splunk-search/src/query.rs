//! Questions: a search whose results come at once, one whose results stream, and one that runs by itself and is looked
//! at later.

use bulkhead_sdk::{Config, Failure, Writer, config, http, json};

use crate::{JOBS, export, send, text};

const OPERATIONS: &str = "search, export, start, results, cancel";
const ROWS: u32 = 1_000;

#[derive(Config)]
pub struct Search {
    /// Begins with `search` or a pipe.
    #[config(min = 3, max = 20000)]
    pub spl: String,
    #[config(min = 1, max = 100)]
    earliest: Option<String>,
    #[config(min = 1, max = 100)]
    latest: Option<String>,
    #[config(min = 1, max = 50000)]
    rows: Option<u32>,
}

impl Search {
    pub fn most_rows(&self) -> u32 {
        self.rows.unwrap_or(ROWS)
    }

    /// Fields of the form for the times that are set.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let times = [("earliest_time", &self.earliest), ("latest_time", &self.latest)];
        times.into_iter().filter_map(|(name, time)| Some((name, time.as_deref()?)))
    }
}

#[derive(Config)]
struct Results {
    #[config(min = 1, max = 200)]
    sid: String,
    #[config(min = 1, max = 50000)]
    rows: Option<u32>,
    #[config(min = 0)]
    offset: Option<u64>,
}

#[derive(Config)]
struct Cancel {
    #[config(min = 1, max = 200)]
    sid: String,
}

fn read<T: Config>(parameters: &str) -> Result<T, Failure> {
    config::read(parameters).map_err(|problem| Failure::Other(format!("parameters: {problem}")))
}

pub fn answer(operation: &str, parameters: &str) -> Result<String, Failure> {
    match operation {
        "search" => run(&read(parameters)?, "oneshot"),
        "export" => export::answer(&read(parameters)?),
        "start" => run(&read(parameters)?, "normal"),
        "results" => results(&read(parameters)?),
        "cancel" => {
            let Cancel { sid } = read(parameters)?;
            let done = send("POST", &format!("{JOBS}/{}/control", http::percent(sid.as_bytes())), &[("action", "cancel")])?;
            Ok(text(&done)?.to_owned())
        }
        other => Err(Failure::Other(format!("there is no operation `{}`; there are {OPERATIONS}", other.escape_default()))),
    }
}

fn run(search: &Search, mode: &str) -> Result<String, Failure> {
    let rows = search.most_rows().to_string();
    let mut form = vec![("search", search.spl.as_str()), ("exec_mode", mode), ("count", &rows)];
    form.extend(search.times());
    Ok(text(&send("POST", JOBS, &form)?)?.to_owned())
}

/// How the search stands, with its results where it is done.
fn results(wanted: &Results) -> Result<String, Failure> {
    let job = format!("{JOBS}/{}", http::percent(wanted.sid.as_bytes()));
    let standing = send("GET", &format!("{job}?output_mode=json"), &[])?;
    let mut out = Writer::default();
    out.literal(b"{\"sid\":");
    out.json_string(wanted.sid.as_bytes());
    // 204: the job is too young to say anything.
    let state = if standing.status == 204 { None } else { state(text(&standing)?) };
    let state = state.unwrap_or_else(|| "QUEUED".to_owned());
    out.literal(b",\"state\":");
    out.json_string(state.as_bytes());
    match state.as_str() {
        "DONE" => {
            let (rows, offset) = (wanted.rows.unwrap_or(ROWS).to_string(), wanted.offset.unwrap_or_default().to_string());
            let found = send("POST", &format!("{job}/results"), &[("count", &rows), ("offset", &offset)])?;
            out.literal(b",\"results\":");
            // 204 here: done a moment ago and not ready yet.
            out.bytes(if found.status == 204 { b"null" } else { text(&found)?.trim().as_bytes() });
        }
        "FAILED" => return Err(Failure::Other(format!("search {} failed", wanted.sid))),
        _ => {}
    }
    out.byte(b'}');
    String::from_utf8(out.into_bytes()).map_err(|_| Failure::Other("Splunk answered what is not UTF-8".to_owned()))
}

fn state(answer: &str) -> Option<String> {
    let content = json::value(answer)?.member("entry").elements().next()?.member("content");
    Some(String::from_utf8_lossy(&content.member("dispatchState").text()?).into_owned())
}
