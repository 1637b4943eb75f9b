//! `bulkhead subscription`: what events set off on a running host, through its API.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::ask::value;
use super::connector::Host;
use super::failure::print;
use super::http_client::{block_on, percent};
use super::{Exit, Failure, Output, entries};

#[derive(Debug, Args)]
pub struct SubscriptionArgs {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    verb: SubscriptionVerb,
}

#[derive(Debug, Subcommand)]
enum SubscriptionVerb {
    /// All, with what they set off.
    List,
    /// One, with its definition.
    Show { name: String },
    /// Make one: which events, and what they set off.
    Create(Create),
    /// Delete one that nothing needs.
    Remove { name: String },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").required(true).args(["sync", "webhook", "notify", "definition"]))]
struct Create {
    name: String,
    /// Events of this type; several times or with commas. Every event where neither this nor `--severity` is there.
    #[arg(long = "event", value_name = "TYPE", value_delimiter = ',')]
    events: Vec<String>,
    /// Events of this severity or a higher one: info, low, medium, high, critical.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,
    /// They begin a run of what this instance pulls.
    #[arg(long, value_name = "INSTANCE")]
    sync: Option<String>,
    /// From one run to the next at the least, as `5m`; with `--sync`.
    #[arg(long, requires = "sync", value_name = "TIME")]
    min_interval: Option<String>,
    /// They are sent to this webhook, beside its own.
    #[arg(long, value_name = "WEBHOOK")]
    webhook: Option<String>,
    /// They are handed to this instance in a format of its own.
    #[arg(long, value_name = "INSTANCE", requires = "format")]
    notify: Option<String>,
    /// With `--notify`: name of a formatter.
    #[arg(long, requires = "notify")]
    format: Option<String>,
    /// The whole definition instead: a YAML or JSON file, `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "severity"])]
    definition: Option<PathBuf>,
}

impl Create {
    fn definition(&self, output: Output) -> Result<Value, Failure> {
        if let Some(path) = &self.definition {
            return entries::read(path, output);
        }
        let mut when = serde_json::Map::new();
        if !self.events.is_empty() {
            when.insert("event_type".into(), json!(self.events));
        }
        when.extend(self.severity.as_ref().map(|severity| ("min_severity".to_owned(), json!(severity))));
        if when.is_empty() {
            when.insert("always".into(), true.into());
        }
        let mut action = match (&self.sync, &self.webhook, &self.notify) {
            (Some(instance), ..) => json!({"type": "sync", "instance": instance}),
            (None, Some(webhook), _) => json!({"type": "webhook", "webhook": webhook}),
            (None, None, instance) => json!({"type": "notification", "instance": instance, "format": self.format}),
        };
        if let Some(rest) = &self.min_interval {
            action["min_interval"] = json!(rest);
        }
        Ok(json!({"when": when, "action": action}))
    }
}

pub fn run(args: &SubscriptionArgs, output: Output) -> Result<Exit, Failure> {
    let one = |name: &str| format!("event-subscriptions/{}", percent(name));
    let (method, path, body) = match &args.verb {
        SubscriptionVerb::List => (Method::GET, "event-subscriptions?limit=1000".to_owned(), None),
        SubscriptionVerb::Show { name } => (Method::GET, one(name), None),
        SubscriptionVerb::Create(create) => {
            (Method::POST, "event-subscriptions".to_owned(), Some(json!({"name": create.name, "definition": create.definition(output)?})))
        }
        SubscriptionVerb::Remove { name } => (Method::DELETE, one(name), None),
    };
    let mut answer = value(&block_on(args.host.server().send(method, &path, body.map(|body| body.to_string())))?)?;
    if output == Output::Json {
        answer["schema_version"] = json!(1);
        print(answer)?;
        return Ok(Exit::Ok);
    }
    let data = &answer["data"];
    match &args.verb {
        SubscriptionVerb::List => data.as_array().into_iter().flatten().try_for_each(|subscription| print(line(subscription)))?,
        SubscriptionVerb::Show { .. } => print(format!("{data:#}"))?,
        SubscriptionVerb::Create(_) => print(line(data))?,
        SubscriptionVerb::Remove { name } => print(format!("{name} is gone"))?,
    }
    Ok(Exit::Ok)
}

fn line(subscription: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (definition, action) = (&subscription["definition"], &subscription["definition"]["action"]);
    let target = if action["webhook"].is_string() { &action["webhook"] } else { &action["instance"] };
    let enabled = if definition["enabled"] == false { "disabled" } else { "enabled" };
    format!(
        "{}\t{enabled}\t{}\t{}\t{}\t{}",
        text(&subscription["name"]),
        text(&action["type"]),
        text(target),
        definition["when"],
        text(&subscription["origin"])
    )
}
