//! `bulkhead tap`: what a running host accepts and what becomes of it, as it happens. A stream that ends is taken up
//! again behind the last thing that was seen.

mod sse;

use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::failure::print;
use super::http_client::{Server, block_on, percent, refusal, unreachable};
use super::{Exit, Failure, Output};
use sse::{Message, Parser};

/// Longer than a stream lasts.
const LONGEST: Duration = Duration::from_secs(900);
/// Longest time without a sign of life.
const SILENCE: Duration = Duration::from_secs(45);
/// Attempts in a row that brought nothing, and the pause between them.
const ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct TapArgs {
    #[command(flatten)]
    to: Server,
    /// Only events for this instance; several with commas.
    #[arg(long, value_delimiter = ',')]
    instance: Vec<String>,
    /// Only events that the route with this id matches.
    #[arg(long, value_delimiter = ',')]
    route: Vec<String>,
    /// Only events of this type; `app.*` for all below.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    event_type: Vec<String>,
    /// Only events of this severity: info, low, medium, high, critical.
    #[arg(long, value_delimiter = ',')]
    severity: Vec<String>,
    /// Only these: accepted, delivered, retried, unconfirmed, dead_letter.
    #[arg(long, value_delimiter = ',')]
    outcome: Vec<String>,
    /// Bodies too, as guests see them.
    #[arg(long)]
    body: bool,
    /// End after so many; gaps do not count.
    #[arg(long)]
    count: Option<u64>,
    /// Begin behind the event with this id.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

pub fn run(args: &TapArgs, output: Output) -> Result<Exit, Failure> {
    block_on(follow(args, output))
}

async fn follow(args: &TapArgs, output: Output) -> Result<Exit, Failure> {
    let url = url(args);
    let mut seen = Seen { last: args.after.clone(), left: args.count, output };
    let (mut heard, mut attempts) = (false, 0);
    loop {
        let mut request = args.to.request(Method::GET, &url).await?.timeout(LONGEST).header("accept", "text/event-stream");
        if let Some(last) = &seen.last {
            request = request.header("last-event-id", last);
        }
        let brought = match request.send().await {
            Ok(response) if response.status().is_success() => {
                heard = true;
                match seen.read(response).await? {
                    Ended::Enough => return Ok(Exit::Ok),
                    Ended::Cut { brought } => brought,
                }
            }
            // Who asks wrongly hears the same again.
            Ok(response) if response.status().is_client_error() || !heard => return Err(refusal(&url, response).await),
            Ok(_) => false,
            Err(error) if !heard => return Err(unreachable(&url, &error)),
            Err(error) => {
                if attempts + 1 >= ATTEMPTS {
                    return Err(unreachable(&url, &error));
                }
                false
            }
        };
        attempts = if brought { 0 } else { attempts + 1 };
        if attempts >= ATTEMPTS {
            return Err(Failure::new(Exit::Unreachable, "host.unreachable", format!("{url} says nothing any more")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn url(args: &TapArgs) -> String {
    let mut url = args.to.url("tap?");
    let lists = [("instance", &args.instance), ("route", &args.route), ("type", &args.event_type), ("severity", &args.severity), ("outcome", &args.outcome)];
    for (name, values) in lists {
        values.iter().for_each(|value| url.push_str(&format!("{name}={}&", percent(value))));
    }
    url.push_str(&format!("body={}", args.body));
    url
}

struct Seen {
    last: Option<String>,
    left: Option<u64>,
    output: Output,
}

enum Ended {
    Enough,
    /// The stream ended, or broke off; whether it brought anything.
    Cut {
        brought: bool,
    },
}

impl Seen {
    async fn read(&mut self, mut response: reqwest::Response) -> Result<Ended, Failure> {
        let mut parser = Parser::default();
        let mut brought = false;
        loop {
            let Ok(Ok(Some(bytes))) = tokio::time::timeout(SILENCE, response.chunk()).await else { return Ok(Ended::Cut { brought }) };
            brought = true;
            parser.push(&bytes);
            while let Some(message) = parser.message() {
                if let Some(id) = &message.id {
                    self.last = Some(id.clone());
                }
                if message.data.is_empty() {
                    continue;
                }
                print(self.words(&message))?;
                if message.event != "gap"
                    && let Some(left) = &mut self.left
                {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        return Ok(Ended::Enough);
                    }
                }
            }
            if parser.is_broken() {
                return Err(Failure::new(Exit::Failed, "host.answer", "the answer is no stream of events"));
            }
        }
    }

    fn words(&self, message: &Message) -> String {
        let data: Value = serde_json::from_str(&message.data).unwrap_or_default();
        if self.output == Output::Json {
            return json!({"schema_version": 1, "id": message.id, "event": message.event, "data": data}).to_string();
        }
        let word = |name: &str| match &data[name] {
            Value::Null => String::new(),
            Value::String(text) => harmless(text),
            other => harmless(&other.to_string()),
        };
        if message.event == "gap" {
            let missed = data["missed"].as_u64().map_or("an unknown number of".to_owned(), |missed| missed.to_string());
            return format!("-- {missed} not shown ({})", word("reason"));
        }
        let mut line: Vec<String> = ["received", "severity", "type", "source", "id"].into_iter().map(word).collect();
        if message.event == "outcome" {
            line.insert(1, format!("{} by {}/{}, attempt {}", word("outcome"), word("instance"), word("format"), word("attempt")));
            for (name, before) in [("next_attempt", "next "), ("code", ""), ("cause", ""), ("reason", "")] {
                let text = word(name);
                if !text.is_empty() {
                    line.push(format!("{before}{text}"));
                }
            }
        } else {
            line.insert(1, format!("accepted for {}", word("lanes")));
        }
        if !data["body"].is_null() {
            line.push(word("body"));
        }
        line.retain(|word| !word.is_empty());
        line.join("\t")
    }
}

/// Without what a terminal would obey, and what reorders what people read.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
        if c.is_control() || reorders { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(harmless("a\u{1b}[2J\u{202e}ä"), r"a\u{1b}[2J\u{202e}ä");
    }

    #[test]
    fn lines_say_what_became_of_an_event() {
        let seen = Seen { last: None, left: None, output: Output::Text };
        let message = |event: &str, data: Value| Message { id: Some("1-1".into()), event: event.into(), data: data.to_string() };
        let retried = json!({
            "received": "t", "severity": "high", "type": "x", "id": "e", "outcome": "retried", "instance": "siem", "format": "cef", "attempt": 2,
            "code": "unavailable", "next_attempt": "t2",
        });
        assert_eq!(seen.words(&message("outcome", retried)), "t\tretried by siem/cef, attempt 2\thigh\tx\te\tnext t2\tunavailable");
        assert_eq!(seen.words(&message("gap", json!({"missed": 7, "reason": "slow"}))), "-- 7 not shown (slow)");
        assert_eq!(seen.words(&message("gap", json!({"missed": null, "reason": "restarted"}))), "-- an unknown number of not shown (restarted)");
    }
}
