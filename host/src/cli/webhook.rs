//! `bulkhead webhook`: managed webhooks of a running host, through its API. A new secret is printed once, alone on
//! standard output, so that it can go where it belongs without being seen.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::ask::value;
use super::connector::Host;
use super::failure::print;
use super::http_client::{block_on, percent};
use super::{Exit, Failure, Output, entries};

#[derive(Debug, Args)]
pub struct WebhookArgs {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    verb: WebhookVerb,
}

#[derive(Debug, Subcommand)]
enum WebhookVerb {
    /// All, with how they fare.
    List,
    /// One, with its definition; the secret is hidden.
    Show { name: String },
    /// Make one; its secret is printed once.
    Create(Create),
    /// Delete one that nothing needs.
    Remove { name: String },
    /// Send a signed test event now; exits 1 where the receiver did not take it.
    Test { name: String },
    /// Put another secret in the place of a webhook's; it is printed once.
    RotateSecret {
        name: String,
        /// Seconds for which the old secret signs as well, at most 2,592,000.
        #[arg(long, default_value_t = 86_400)]
        overlap: u32,
    },
    /// What was sent, newest first, and what became of it.
    Deliveries {
        name: String,
        #[arg(long, value_enum)]
        status: Option<Status>,
        /// At most so many, 1 to 1000.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Send the event of a delivery once more, signed with the secrets of now.
    Replay { name: String, id: i64 },
}

#[derive(Debug, Args)]
struct Create {
    name: String,
    /// Where events are sent.
    #[arg(long, required_unless_present = "definition")]
    url: Option<String>,
    /// A type that is sent; `some.namespace.*` for all below. Several times or with commas; every type where absent.
    #[arg(long = "event", value_name = "TYPE", value_delimiter = ',')]
    events: Vec<String>,
    /// Name of a formatter; cloudevents where absent.
    #[arg(long)]
    format: Option<String>,
    /// The whole definition instead: a YAML or JSON file, `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "events", "format"])]
    definition: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Pending,
    Delivered,
    Failed,
    Retrying,
}

pub fn run(args: &WebhookArgs, output: Output) -> Result<Exit, Failure> {
    let (method, path, body) = request(&args.verb, output)?;
    let mut answer = value(&block_on(args.host.server().send(method, &path, body.map(|body| body.to_string())))?)?;
    // What was sent and not taken is for scripts to see.
    let failed = matches!(args.verb, WebhookVerb::Test { .. }) && answer["data"]["status"] != "delivered";
    let exit = if failed { Exit::Failed } else { Exit::Ok };
    if output == Output::Json {
        answer["schema_version"] = json!(1);
        print(answer)?;
        return Ok(exit);
    }
    let data = &answer["data"];
    match &args.verb {
        WebhookVerb::List => data.as_array().into_iter().flatten().try_for_each(|webhook| print(line(webhook)))?,
        WebhookVerb::Show { .. } => print(format!("{data:#}"))?,
        WebhookVerb::Create(Create { name, .. }) | WebhookVerb::RotateSecret { name, .. } => match data["secret"].as_str() {
            Some(secret) => {
                print(secret)?;
                eprintln!("{name}: the secret is shown this once");
                if let Some(until) = data["definition"]["previous_until"].as_str() {
                    eprintln!("  the secret before signs beside it until {until}");
                }
            }
            None => print(line(data))?,
        },
        WebhookVerb::Remove { name } => print(format!("{name} is gone"))?,
        WebhookVerb::Deliveries { .. } => data.as_array().into_iter().flatten().try_for_each(|delivery| print(sent(delivery)))?,
        WebhookVerb::Test { .. } | WebhookVerb::Replay { .. } => print(sent(data))?,
    }
    Ok(exit)
}

fn request(verb: &WebhookVerb, output: Output) -> Result<(Method, String, Option<Value>), Failure> {
    let one = |name: &str, rest: &str| format!("webhooks/{}{rest}", percent(name));
    Ok(match verb {
        WebhookVerb::List => (Method::GET, "webhooks?limit=1000".to_owned(), None),
        WebhookVerb::Show { name } => (Method::GET, one(name, ""), None),
        WebhookVerb::Create(create) => (Method::POST, "webhooks".to_owned(), Some(json!({"name": create.name, "definition": create.definition(output)?}))),
        WebhookVerb::Remove { name } => (Method::DELETE, one(name, ""), None),
        WebhookVerb::Test { name } => (Method::POST, one(name, "/test"), None),
        WebhookVerb::RotateSecret { name, overlap } => (Method::POST, one(name, "/rotate-secret"), Some(json!({"overlap_seconds": overlap}))),
        WebhookVerb::Deliveries { name, status, limit } => {
            let status = status.and_then(|status| status.to_possible_value()).map(|word| format!("&status={}", word.get_name())).unwrap_or_default();
            (Method::GET, one(name, &format!("/deliveries?limit={limit}{status}")), None)
        }
        WebhookVerb::Replay { name, id } => (Method::POST, one(name, &format!("/deliveries/{id}/replay")), None),
    })
}

impl Create {
    fn definition(&self, output: Output) -> Result<Value, Failure> {
        if let Some(path) = &self.definition {
            return entries::read(path, output);
        }
        let mut definition = json!({"url": self.url, "events": self.events});
        if let Some(format) = &self.format {
            definition["format"] = json!(format);
        }
        Ok(definition)
    }
}

fn line(webhook: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let definition = &webhook["definition"];
    let events: Vec<&str> = definition["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let events = if events.is_empty() { "*".to_owned() } else { events.join(",") };
    format!("{}\t{}\t{}\t{events}\t{}", text(&webhook["name"]), text(&webhook["status"]), text(&definition["url"]), text(&webhook["origin"]))
}

/// A delivery on one line. What the receiver answered stays in `--json`: it is a stranger's text.
fn sent(delivery: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| if value.is_null() { "-".to_owned() } else { value.to_string() }, str::to_owned);
    let response = &delivery["response"];
    let fields = [&delivery["id"], &delivery["status"], &response["code"], &delivery["attempts"], &delivery["event"]["type"], &delivery["created_at"]];
    let line = fields.map(text).join("\t");
    let error = response["error"].as_str().map(|error| format!("\t{error}")).unwrap_or_default();
    format!("{line}{error}").chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
