//! `bulkhead dlq`: the dead letters of a running host, through its API.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::print;
use super::http_client::{block_on, client, refusal, unreachable};
use super::{Exit, Failure, Output};

#[derive(Debug, Args)]
pub struct DlqArgs {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL", global = true)]
    api: String,
    /// Bearer token of the API.
    #[arg(long, env = "BULKHEAD_API_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    #[command(subcommand)]
    verb: DlqVerb,
}

#[derive(Debug, Subcommand)]
enum DlqVerb {
    /// Letters, oldest first.
    List {
        #[command(flatten)]
        which: Which,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Behind the letter with this id.
        #[arg(long)]
        after: Option<i64>,
    },
    /// One letter with its attempts and the original event.
    Show { id: i64 },
    /// Hand letters to their lanes again, with their ids kept.
    Replay(Change),
    /// Delete letters for good.
    Purge(Change),
}

#[derive(Debug, Args)]
struct Change {
    #[command(flatten)]
    which: Which,
    /// Every letter there is.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct Which {
    #[arg(long)]
    id: Option<i64>,
    #[arg(long)]
    instance: Option<String>,
    #[arg(long)]
    format: Option<String>,
    /// For example `rejected` or `retries-exhausted`.
    #[arg(long)]
    cause: Option<String>,
    /// Event type.
    #[arg(long = "type")]
    event_type: Option<String>,
    #[arg(long)]
    event_id: Option<String>,
    /// RFC 3339: letters added since.
    #[arg(long)]
    since: Option<String>,
}

impl Which {
    fn pairs(&self) -> Map<String, Value> {
        let texts = [
            ("instance", &self.instance),
            ("format", &self.format),
            ("cause", &self.cause),
            ("type", &self.event_type),
            ("event_id", &self.event_id),
            ("since", &self.since),
        ];
        let mut pairs: Map<_, _> = texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?.into()))).collect();
        if let Some(id) = self.id {
            pairs.insert("id".into(), id.into());
        }
        pairs
    }
}

pub fn run(args: &DlqArgs, output: Output) -> Result<Exit, Failure> {
    let answer = block_on(ask(args))?;
    match (output, &args.verb) {
        (Output::Json, _) => {
            let mut answer = answer;
            answer["schema_version"] = 1.into();
            print(answer)?;
        }
        (Output::Text, DlqVerb::List { .. }) => {
            for letter in answer["data"].as_array().into_iter().flatten() {
                print(line(letter))?;
            }
            eprintln!("{} of {} letters", answer["meta"]["count"], answer["meta"]["total"]);
        }
        (Output::Text, DlqVerb::Show { .. }) => print(format!("{:#}", answer["data"]))?,
        (Output::Text, DlqVerb::Replay(_)) => {
            print(format!("{} events handed to their lanes", answer["replaying"]))?;
            for (key, words) in
                [("without_lane", "letters stay: their lane is not configured any more"), ("unreadable", "letters stay: their event cannot be read")]
            {
                if answer[key].as_u64().is_some_and(|count| count > 0) {
                    eprintln!("{} {words}", answer[key]);
                }
            }
        }
        (Output::Text, DlqVerb::Purge(_)) => print(format!("{} letters purged", answer["purged"]))?,
    }
    Ok(Exit::Ok)
}

fn line(letter: &Value) -> String {
    let text = |key: &str| letter[key].as_str().unwrap_or_default().to_owned();
    format!(
        "{:>6}  {}  {}/{}  {}  {} attempts  {}  {}",
        letter["id"],
        text("added"),
        text("instance"),
        text("format"),
        text("cause"),
        letter["attempts"],
        text("event_id"),
        text("reason").replace('\n', " ")
    )
}

async fn ask(args: &DlqArgs) -> Result<Value, Failure> {
    let client = client()?;
    let base = format!("{}/api/integration/dead-letters", args.api.trim_end_matches('/'));
    let change = |change: &Change| {
        let mut body = change.which.pairs();
        body.insert("all".into(), change.all.into());
        json!(body).to_string()
    };
    let (url, request) = match &args.verb {
        DlqVerb::List { which, limit, after } => {
            let mut pairs = which.pairs();
            pairs.insert("limit".into(), (*limit).into());
            if let Some(after) = after {
                pairs.insert("after".into(), (*after).into());
            }
            let query: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={}", percent(value))).collect();
            let url = format!("{base}?{}", query.join("&"));
            (url.clone(), client.get(url))
        }
        DlqVerb::Show { id } => (format!("{base}/{id}"), client.get(format!("{base}/{id}"))),
        DlqVerb::Replay(which) => (format!("{base}/replay"), client.post(format!("{base}/replay")).body(change(which))),
        DlqVerb::Purge(which) => (format!("{base}/purge"), client.post(format!("{base}/purge")).body(change(which))),
    };
    let mut request = request.header("content-type", "application/json");
    if let Some(token) = &args.token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(|error| unreachable(&url, &error))?;
    if !response.status().is_success() {
        return Err(refusal(&url, response).await);
    }
    let body = response.bytes().await.map_err(|error| unreachable(&url, &error))?;
    serde_json::from_slice(&body).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
}

/// A query value (RFC 3986 §2.1).
fn percent(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
