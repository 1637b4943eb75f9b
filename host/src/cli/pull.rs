//! `bulkhead pull`: a run of a pull connector by hand, and its end.

use std::time::Duration;

use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::ask::value;
use super::failure::print;
use super::http_client::{Server, answered, block_on, refusal, unreachable};
use super::{Exit, Failure, Output};

/// Between two looks at a run that is waited for.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub struct PullArgs {
    #[command(flatten)]
    to: Server,
    instance: String,
    /// Forget how far the pulling is: everything that the system still gives is brought again.
    #[arg(long)]
    anew: bool,
    /// Wait for the end of the run; exits 1 where it failed.
    #[arg(long)]
    wait: bool,
}

pub fn run(args: &PullArgs, output: Output) -> Result<Exit, Failure> {
    block_on(pull(args, output))
}

async fn pull(args: &PullArgs, output: Output) -> Result<Exit, Failure> {
    let (id, begun) = if args.anew { (anew(args).await?, true) } else { sync(args).await? };
    let words = match (args.anew, begun) {
        (true, _) => "is asked now, from the beginning",
        (false, true) => "is asked now",
        (false, false) => "is being asked already",
    };
    if output == Output::Text {
        print(format!("{id}\n{} {words}", args.instance))?;
    }
    let run = if args.wait { ended(args, &id).await? } else { serde_json::json!({"id": id, "instance": args.instance, "status": "running"}) };
    let failed = run["status"] == "failed";
    match output {
        Output::Json => {
            let mut run = run;
            run["schema_version"] = 1.into();
            run["anew"] = args.anew.into();
            print(run)?;
        }
        Output::Text if args.wait => {
            let left_out = if run["left_out"] == 0 { String::new() } else { format!(", {} left out", run["left_out"]) };
            let why = run["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
            print(format!("{}, {} records in {} pages{left_out}{why}", run["status"].as_str().unwrap_or_default(), run["records"], run["pages"]))?;
        }
        Output::Text => {}
    }
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

async fn anew(args: &PullArgs) -> Result<String, Failure> {
    let url = args.to.url(&format!("instances/{}/pull", args.instance));
    let answer = value(&answered(&url, args.to.request(Method::DELETE, &url).await?).await?)?;
    named(&answer["data"])
}

/// The run that begins, or the one that is under way: both bring what is new.
async fn sync(args: &PullArgs) -> Result<(String, bool), Failure> {
    let url = args.to.url(&format!("instances/{}/sync", args.instance));
    let response = args.to.request(Method::POST, &url).await?.send().await.map_err(|error| unreachable(&url, &error))?;
    let status = response.status();
    if !status.is_success() && status != StatusCode::CONFLICT {
        return Err(refusal(&url, response).await);
    }
    let answer = value(&response.bytes().await.map_err(|error| unreachable(&url, &error))?)?;
    let run = if status.is_success() { &answer["data"] } else { &answer["errors"][0] };
    Ok((named(run)?, status.is_success()))
}

fn named(run: &Value) -> Result<String, Failure> {
    run["id"].as_str().map(str::to_owned).ok_or_else(|| Failure::new(Exit::Failed, "host.answer", "the answer names no run"))
}

/// The run once it does not run any more.
async fn ended(args: &PullArgs, id: &str) -> Result<Value, Failure> {
    let url = args.to.url(&format!("sync-executions/{id}"));
    loop {
        let mut answer = value(&answered(&url, args.to.request(Method::GET, &url).await?).await?)?;
        let run = answer["data"].take();
        if run["status"] != "running" {
            return Ok(run);
        }
        tokio::time::sleep(LOOK).await;
    }
}
