//! `bulkhead sync`: runs of pull connectors of a running host, and when the next ones are.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::Value;

use super::ask::value;
use super::failure::print;
use super::http_client::{Server, answered, block_on, percent};
use super::{Exit, Failure, Output};

#[derive(Debug, Args)]
pub struct SyncArgs {
    #[command(subcommand)]
    verb: SyncVerb,
}

#[derive(Debug, Subcommand)]
enum SyncVerb {
    /// The last runs, newest first.
    List {
        #[command(flatten)]
        to: Server,
        /// Only those of this instance.
        #[arg(long)]
        instance: Option<String>,
        #[arg(long, value_enum)]
        status: Option<Status>,
        /// At most so many, 1 to 1000.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// One run with all that is known of it.
    Show {
        #[command(flatten)]
        to: Server,
        id: String,
    },
    /// When each instance is asked, last and next.
    Schedules {
        #[command(flatten)]
        to: Server,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Running,
    Completed,
    Failed,
}

pub fn run(args: &SyncArgs, output: Output) -> Result<Exit, Failure> {
    let (to, path, query) = match &args.verb {
        SyncVerb::List { to, instance, status, limit } => {
            let status = status.and_then(|status| status.to_possible_value()).map(|word| ("status", word.get_name().to_owned()));
            let instance = instance.as_ref().map(|name| ("instance", name.clone()));
            (to, "sync-executions".to_owned(), [Some(("limit", limit.to_string())), instance, status].into_iter().flatten().collect())
        }
        SyncVerb::Show { to, id } => (to, format!("sync-executions/{id}"), Vec::new()),
        SyncVerb::Schedules { to } => (to, "schedules".to_owned(), Vec::new()),
    };
    let mut answer = value(&block_on(get(to, &path, &query))?)?;
    if output == Output::Json {
        answer["schema_version"] = 1.into();
        print(answer)?;
        return Ok(Exit::Ok);
    }
    match (&args.verb, &answer["data"]) {
        (SyncVerb::List { .. }, Value::Array(runs)) => {
            runs.iter().try_for_each(|run| print(line(run, &["id", "instance", "trigger", "status", "started_at", "records", "error"])))?;
        }
        (SyncVerb::Schedules { .. }, Value::Array(all)) => {
            all.iter().try_for_each(|one| print(line(one, &["instance", "type", "words", "timezone", "active", "last_execution", "next_execution"])))?;
        }
        (_, Value::Object(fields)) => fields.iter().try_for_each(|(name, value)| print(format!("{name}: {}", word(value))))?,
        _ => return Err(Failure::new(Exit::Failed, "host.answer", "the answer has no `data`")),
    }
    Ok(Exit::Ok)
}

async fn get(to: &Server, path: &str, query: &[(&str, String)]) -> Result<Vec<u8>, Failure> {
    let mut url = to.url(path);
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query.join("&"));
    }
    answered(&url, to.request(Method::GET, &url).await?).await
}

/// Fields that are there, with a tab between them.
fn line(data: &Value, fields: &[&str]) -> String {
    fields.iter().map(|name| &data[*name]).filter(|value| !value.is_null()).map(word).collect::<Vec<_>>().join("\t")
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
