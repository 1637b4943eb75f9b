//! `bulkhead replay`: a lane of a running host reads again what was accepted in a time. With a file, deliveries that
//! a host kept are run again here, without one (`author::replay`).

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::print;
use super::http_client::{authorised, block_on, client, refusal, unreachable};
use super::{Exit, Failure, Output, author};

/// Between two looks at a replay that is waited for.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL", global = true)]
    api: String,
    /// Bearer token of the API.
    #[arg(long, env = "BULKHEAD_API_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Deliveries that a host kept (`bulkhead instance captured NAME`): run again here, reaching nothing; exits 10
    /// where something comes out other than then.
    #[arg(value_name = "FILE", conflicts_with_all = ["lane", "since"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    again: author::replay::Again,
    #[command(flatten)]
    begin: Begin,
    #[command(subcommand)]
    verb: Option<ReplayVerb>,
}

#[derive(Debug, Args)]
struct Begin {
    /// `instance/format`.
    #[arg(long, requires = "since")]
    lane: Option<String>,
    /// RFC 3339: what was accepted at this time or later; `beginning`: all that is still there.
    #[arg(long, requires = "lane")]
    since: Option<String>,
    /// RFC 3339: only what was accepted before this time; now where absent.
    #[arg(long, requires = "lane")]
    until: Option<String>,
    /// Only count what would be handed over.
    #[arg(long, requires = "lane")]
    dry_run: bool,
    /// Wait until everything was handed to the lane.
    #[arg(long, requires = "lane", conflicts_with = "dry_run")]
    wait: bool,
}

#[derive(Debug, Subcommand)]
enum ReplayVerb {
    /// Replays, newest first.
    List {
        /// At most this many, 1 to 1000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// One replay: how far it is.
    Show { id: String },
    /// End a replay; what was handed over stays so.
    Cancel { id: String },
}

pub fn run(args: &ReplayArgs, output: Output) -> Result<Exit, Failure> {
    if let (Some(file), None) = (&args.file, &args.verb) {
        return author::replay::run(file, &args.again, output);
    }
    let answer = block_on(ask(args))?;
    let failed = answer["data"]["state"] == "failed";
    match output {
        Output::Json => {
            let mut answer = answer;
            answer["schema_version"] = 1.into();
            print(answer)?;
        }
        Output::Text if answer["dry_run"] == true => {
            let data = &answer["data"];
            print(format!("{} events, {} bytes, accepted from {} on and before {}", data["events"], data["bytes"], text(data, "since"), text(data, "until")))?;
            if data["counted_all"] == false {
                eprintln!("counted as far as {}; there are more", text(data, "counted_until"));
            }
            told_lost(data);
        }
        Output::Text => match answer["data"].as_array() {
            Some(replays) => replays.iter().try_for_each(|replay| print(line(replay)))?,
            None => {
                print(line(&answer["data"]))?;
                told_lost(&answer["data"]);
                if failed {
                    eprintln!("{}", text(&answer["data"], "reason"));
                }
            }
        },
    }
    Ok(if failed && args.verb.is_none() { Exit::Failed } else { Exit::Ok })
}

fn told_lost(data: &Value) {
    if data["lost"].as_u64().is_some_and(|lost| lost > 0) {
        eprintln!("{} events cannot be read from the journal any more", data["lost"]);
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn line(replay: &Value) -> String {
    format!(
        "{:>4}  {:<9}  {}  {} … {}  {} events handed over",
        replay["id"],
        text(replay, "state"),
        text(replay, "lane"),
        text(replay, "since"),
        text(replay, "until"),
        replay["events"]
    )
}

async fn ask(args: &ReplayArgs) -> Result<Value, Failure> {
    let client = client()?;
    let base = format!("{}/api/integration/replays", args.api.trim_end_matches('/'));
    let send = async |request: reqwest::RequestBuilder, url: &str| -> Result<Value, Failure> {
        let request = authorised(request, &args.api, args.token.as_deref()).await?;
        let response = request.send().await.map_err(|error| unreachable(url, &error))?;
        if !response.status().is_success() {
            return Err(refusal(url, response).await);
        }
        let body = response.bytes().await.map_err(|error| unreachable(url, &error))?;
        serde_json::from_slice(&body).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
    };
    match (&args.verb, &args.begin) {
        (Some(_), Begin { lane: Some(_), .. }) | (None, Begin { lane: None, .. }) => Err(Failure::new(
            Exit::Usage,
            "replay.what",
            "name a file of kept deliveries, or a lane with --lane and a time with --since, or use list, show or cancel",
        )),
        (Some(ReplayVerb::List { limit }), _) => {
            let url = format!("{base}?limit={limit}");
            send(client.get(&url), &url).await
        }
        (Some(ReplayVerb::Show { id }), _) => {
            let url = format!("{base}/{id}");
            send(client.get(&url), &url).await
        }
        (Some(ReplayVerb::Cancel { id }), _) => {
            let url = format!("{base}/{id}");
            send(client.delete(&url), &url).await
        }
        (None, begin) => {
            let body = json!({"lane": begin.lane, "since": begin.since, "until": begin.until, "dry_run": begin.dry_run});
            let mut answer = send(client.post(&base).header("content-type", "application/json").body(body.to_string()), &base).await?;
            let url = format!("{base}/{}", answer["data"]["id"]);
            while begin.wait && answer["data"]["state"] == "running" {
                tokio::time::sleep(LOOK).await;
                answer = send(client.get(&url), &url).await?;
            }
            Ok(answer)
        }
    }
}
