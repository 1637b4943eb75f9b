//! `bulkhead query` and `instance`: what instances of a running host are asked beside their lanes.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::failure::print;
use super::http_client::{Server, block_on};
use super::{Exit, Failure, Output};

#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    to: Server,
    instance: String,
    /// One of the connector's operations; its page lists them.
    operation: String,
    /// A JSON object.
    #[arg(default_value = "{}")]
    parameters: String,
}

#[derive(Debug, Args)]
pub struct InstanceArgs {
    #[command(subcommand)]
    verb: InstanceVerb,
}

#[derive(Debug, Subcommand)]
enum InstanceVerb {
    /// Whether the receiver can be reached and lets us in; no event is sent. Exits 1 where not.
    Test(Named),
    /// Send nothing more until it is resumed; its events wait.
    Pause(Named),
    /// End a pause or a hold, close the breaker.
    Resume(Named),
}

#[derive(Debug, Args)]
struct Named {
    #[command(flatten)]
    to: Server,
    instance: String,
}

pub fn instance(args: &InstanceArgs, output: Output) -> Result<Exit, Failure> {
    let (named, what) = match &args.verb {
        InstanceVerb::Test(named) => (named, "test"),
        InstanceVerb::Pause(named) => (named, "pause"),
        InstanceVerb::Resume(named) => (named, "resume"),
    };
    let mut answer = value(&block_on(named.to.send(reqwest::Method::POST, &format!("instances/{}/{what}", named.instance), None))?)?;
    let failed = answer["status"] == "failed";
    match output {
        Output::Json => {
            answer["schema_version"] = 1.into();
            print(answer)?;
        }
        Output::Text if what == "test" => {
            let word = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
            print(format!(
                "{}: connection {}, authentication {}, {} ms: {}",
                named.instance,
                word("connection"),
                word("authentication"),
                answer["latency_ms"],
                word("message")
            ))?;
        }
        Output::Text => print(format!("{} {what}d", named.instance))?,
    }
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

pub fn query(args: &QueryArgs, output: Output) -> Result<Exit, Failure> {
    // Digits stay as they are, there and back.
    let parameters: &RawValue = serde_json::from_str(&args.parameters)
        .map_err(|error| Failure::new(Exit::Usage, "query.parameters", format!("the parameters are no JSON: {error}")))?;
    let body = format!("{{\"operation\":{},\"parameters\":{parameters}}}", json!(args.operation));
    let answer = block_on(args.to.send(reqwest::Method::POST, &format!("instances/{}/query", args.instance), Some(body)))?;
    let Answer { data, stale, age_ms } = serde_json::from_slice(&answer).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))?;
    if stale {
        eprintln!("note: {} does not answer; this was answered {} s ago", args.instance, age_ms.unwrap_or_default() / 1_000);
    }
    print(if output == Output::Json { format!("{{\"schema_version\":1,\"stale\":{stale},\"data\":{data}}}") } else { data.to_string() })?;
    Ok(Exit::Ok)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    stale: bool,
    age_ms: Option<u64>,
}

/// An answer that is not handed on as it is.
pub(super) fn value(answer: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(answer).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
}
