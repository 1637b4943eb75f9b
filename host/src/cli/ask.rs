//! `bulkhead query` and `instance`: what instances of a running host are asked beside their lanes.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::failure::print;
use super::http_client::{Server, block_on, percent};
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
    /// Keep the next deliveries, as the connector sees them, in place of those that were kept.
    Capture(Capture),
    /// Print the deliveries that were kept, for `bulkhead replay FILE`.
    Captured(Named),
}

#[derive(Debug, Args)]
struct Capture {
    #[command(flatten)]
    named: Named,
    /// How many, 1 to 100; 0 forgets what was kept.
    #[arg(long, default_value_t = 1)]
    deliveries: u32,
    /// How long they are waited for, at most 3600.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
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
        InstanceVerb::Capture(args) => return capture(args, output),
        InstanceVerb::Captured(named) => return captured(named),
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

fn capture(args: &Capture, output: Output) -> Result<Exit, Failure> {
    let Capture { named, deliveries, seconds } = args;
    let path = format!("instances/{}/capture", percent(&named.instance));
    if *deliveries == 0 {
        block_on(named.to.send(reqwest::Method::DELETE, &path, None))?;
        return Ok(Exit::Ok);
    }
    let body = json!({"deliveries": deliveries, "seconds": seconds}).to_string();
    let mut answer = value(&block_on(named.to.send(reqwest::Method::POST, &path, Some(body)))?)?;
    match output {
        Output::Json => {
            answer["schema_version"] = 1.into();
            print(answer)?;
        }
        Output::Text => print(format!("{}: the next {} deliveries are kept", named.instance, answer["data"]["waiting"]))?,
    }
    Ok(Exit::Ok)
}

fn captured(named: &Named) -> Result<Exit, Failure> {
    let answer = block_on(named.to.send(reqwest::Method::GET, &format!("instances/{}/capture", percent(&named.instance)), None))?;
    let kept = value(&answer)?;
    let meta = &kept["meta"];
    eprintln!("{} deliveries kept, {} waited for, {} too large to be kept", meta["kept"], meta["waiting"], meta["too_large"]);
    // Numbers stay as they are: the file is read back.
    print(String::from_utf8_lossy(&answer))?;
    Ok(Exit::Ok)
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
