//! `bulkhead dlq`: the dead letters of a running host, through its API.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::print;
use super::http_client::{authorised, block_on, client, percent, refusal, unreachable};
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
        /// Letters of this state: open, replaying (on its way to its lane), delivered (kept because it was edited).
        #[arg(long, value_delimiter = ',')]
        state: Vec<String>,
        /// At most this many, 1 to 1000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Behind the letter with this id.
        #[arg(long)]
        after: Option<i64>,
    },
    /// One letter with its attempts and the original event.
    Show { id: String },
    /// Put another event in place of a letter's; both are kept.
    Edit(Edit),
    /// Hand letters to their lanes again, with their ids kept.
    Replay(Change),
    /// Delete letters for good.
    Purge(Change),
}

#[derive(Debug, Args)]
struct Edit {
    id: String,
    /// The whole event; `-` reads standard input.
    #[arg(long, required_unless_present = "patch", conflicts_with = "patch")]
    file: Option<PathBuf>,
    /// A JSON merge patch (RFC 7396); `-` reads standard input.
    #[arg(long, required_unless_present = "file")]
    patch: Option<PathBuf>,
    /// Hand it to its lane at once.
    #[arg(long)]
    replay: bool,
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
    /// One or several, with commas between them.
    #[arg(long, value_delimiter = ',')]
    id: Vec<String>,
    /// `instance/format`.
    #[arg(long)]
    lane: Option<String>,
    #[arg(long)]
    instance: Option<String>,
    #[arg(long)]
    format: Option<String>,
    /// For example `rejected`; or a class: `transient`, `permanent`, `guest`.
    #[arg(long, value_delimiter = ',')]
    cause: Vec<String>,
    /// Event type.
    #[arg(long = "type")]
    event_type: Option<String>,
    #[arg(long)]
    event_id: Option<String>,
    /// RFC 3339: letters that died at this time or later.
    #[arg(long)]
    since: Option<String>,
    /// RFC 3339: letters that died before this time.
    #[arg(long)]
    until: Option<String>,
}

impl Which {
    fn pairs(&self) -> Map<String, Value> {
        let texts = [
            ("lane", &self.lane),
            ("instance", &self.instance),
            ("format", &self.format),
            ("type", &self.event_type),
            ("event_id", &self.event_id),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let texts = texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?.into())));
        let lists = [("id", &self.id), ("cause", &self.cause)].into_iter().filter(|(_, list)| !list.is_empty());
        texts.chain(lists.map(|(key, list)| (key.to_owned(), list.join(",").into()))).collect()
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
            if !answer["links"]["next"].is_null() {
                eprintln!("  more: --after {}", answer["data"].as_array().and_then(|letters| letters.last()).map_or(&Value::Null, |last| &last["id"]));
            }
        }
        (Output::Text, DlqVerb::Show { .. } | DlqVerb::Edit(Edit { replay: false, .. })) => print(format!("{:#}", answer["data"]))?,
        (Output::Text, DlqVerb::Replay(_) | DlqVerb::Edit(_)) => {
            print(format!("{} events handed to their lanes", answer["replaying"]))?;
            for (key, words) in [
                ("under_way", "letters were handed over before and are not delivered yet"),
                ("without_lane", "letters stay: their lane is not configured any more"),
                ("unreadable", "letters stay: their event cannot be read"),
            ] {
                if answer[key].as_u64().is_some_and(|count| count > 0) {
                    eprintln!("{} {words}", answer[key]);
                }
            }
        }
        (Output::Text, DlqVerb::Purge(_)) => {
            print(format!("{} letters purged", answer["purged"]))?;
            if answer["replaying"].as_u64().is_some_and(|count| count > 0) {
                eprintln!("{} letters are on their way to their lanes and were left alone", answer["replaying"]);
            }
        }
    }
    Ok(Exit::Ok)
}

fn line(letter: &Value) -> String {
    let text = |key: &str| letter[key].as_str().unwrap_or_default().to_owned();
    format!(
        "{:>6}  {:<9}  {}  {}/{}  {}  {} attempts  {}  {}",
        letter["id"],
        text("state"),
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
    let send = async |request: reqwest::RequestBuilder, url: &str| -> Result<Value, Failure> {
        let request = authorised(request, &args.api, args.token.as_deref()).await?;
        let response = request.send().await.map_err(|error| unreachable(url, &error))?;
        if !response.status().is_success() {
            return Err(refusal(url, response).await);
        }
        let body = response.bytes().await.map_err(|error| unreachable(url, &error))?;
        serde_json::from_slice(&body).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
    };
    let post = async |verb: &str, body: &Map<String, Value>| {
        let url = format!("{base}/{verb}");
        send(client.post(&url).header("content-type", "application/json").body(json!(body).to_string()), &url).await
    };
    let change = |change: &Change| {
        let mut body = change.which.pairs();
        body.insert("all".into(), change.all.into());
        body
    };
    match &args.verb {
        DlqVerb::List { which, state, limit, after } => {
            let mut pairs = which.pairs();
            pairs.insert("limit".into(), (*limit).into());
            if !state.is_empty() {
                pairs.insert("state".into(), state.join(",").into());
            }
            if let Some(after) = after {
                pairs.insert("after".into(), (*after).into());
            }
            let query: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={}", part(value))).collect();
            let url = format!("{base}?{}", query.join("&"));
            send(client.get(&url), &url).await
        }
        DlqVerb::Show { id } => {
            let url = format!("{base}/{}", percent(id.as_str()));
            send(client.get(&url), &url).await
        }
        DlqVerb::Edit(edit) => {
            let url = format!("{base}/{}/event", percent(&edit.id));
            let request = match (&edit.file, &edit.patch) {
                (Some(file), _) => client.put(&url).header("content-type", "application/json").body(read(file)?),
                (None, Some(patch)) => client.patch(&url).header("content-type", "application/merge-patch+json").body(read(patch)?),
                (None, None) => return Err(Failure::new(Exit::Usage, "dlq.edit", "give the event with --file, or a change with --patch")),
            };
            let edited = send(request, &url).await?;
            if edit.replay { post("replay", &Map::from_iter([("id".to_owned(), edited["data"]["id"].clone())])).await } else { Ok(edited) }
        }
        DlqVerb::Replay(which) => {
            let mut body = change(which);
            let mut sum = post("replay", &body).await?;
            while sum["more"] == true {
                // Behind what was looked at: letters that die again meanwhile wait for the next replay.
                body.insert("after".to_owned(), sum["after"].clone());
                let next = post("replay", &body).await?;
                for key in ["replaying", "without_lane", "unreadable"] {
                    sum[key] = (sum[key].as_u64().unwrap_or(0) + next[key].as_u64().unwrap_or(0)).into();
                }
                (sum["more"], sum["after"]) = (next["more"].clone(), next["after"].clone());
            }
            Ok(sum)
        }
        DlqVerb::Purge(which) => post("purge", &change(which)).await,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::new(Exit::NotFound, "dlq.read", format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes)
}

/// A value of the query.
fn part(value: &Value) -> String {
    percent(value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str())
}
