//! `bulkhead query` and `instance`: what instances of a running host are asked beside their lanes.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::failure::print;
use super::http_client::{block_on, client, refusal, unreachable};
use super::{Exit, Failure, Output};

#[derive(Debug, Args)]
pub(super) struct To {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL")]
    api: String,
    /// Bearer token of the API.
    #[arg(long, env = "BULKHEAD_API_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    to: To,
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
    to: To,
    instance: String,
}

pub fn instance(args: &InstanceArgs, output: Output) -> Result<Exit, Failure> {
    let (named, what) = match &args.verb {
        InstanceVerb::Test(named) => (named, "test"),
        InstanceVerb::Pause(named) => (named, "pause"),
        InstanceVerb::Resume(named) => (named, "resume"),
    };
    let mut answer = value(&block_on(send(&named.to, reqwest::Method::POST, &format!("{}/{what}", named.instance), None))?)?;
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
    let answer = block_on(send(&args.to, reqwest::Method::POST, &format!("{}/query", args.instance), Some(body)))?;
    let Answer { data } = serde_json::from_slice(&answer).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))?;
    print(if output == Output::Json { format!("{{\"schema_version\":1,\"data\":{data}}}") } else { data.to_string() })?;
    Ok(Exit::Ok)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// An answer that is not handed on as it is.
pub(super) fn value(answer: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(answer).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
}

async fn send(to: &To, method: reqwest::Method, path: &str, body: Option<String>) -> Result<Vec<u8>, Failure> {
    let url = to.url(&format!("instances/{path}"));
    let mut request = to.request(method, &url)?;
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body);
    }
    answered(&url, request).await
}

impl To {
    /// A place of the integration API.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/api/integration/{path}", self.api.trim_end_matches('/'))
    }

    pub(super) fn request(&self, method: reqwest::Method, url: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let request = client()?.request(method, url);
        Ok(if let Some(token) = &self.token { request.bearer_auth(token) } else { request })
    }
}

pub(super) async fn answered(url: &str, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Failure> {
    let response = request.send().await.map_err(|error| unreachable(url, &error))?;
    if !response.status().is_success() {
        return Err(refusal(url, response).await);
    }
    Ok(response.bytes().await.map_err(|error| unreachable(url, &error))?.to_vec())
}
