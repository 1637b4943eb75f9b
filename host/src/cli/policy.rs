//! `bulkhead policy explain`: what a connector may send, and which rule decides; offline, nothing is sent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bulkhead_sandbox::Destination;
use bulkhead_sandbox::egress::SystemResolver;
use bulkhead_sandbox::egress::explain::{Explained, LIMITS, Question, RULES, Verdict, explain};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::print;
use super::http_client::block_on;
use super::{DEFAULT_CONFIG, Exit, Failure, Output, validate};
use crate::config::Instance;

#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    verb: PolicyVerb,
}

#[derive(Debug, Subcommand)]
enum PolicyVerb {
    /// Which rule allows or refuses a request of an instance; exit code 0 allowed, 4 refused, 6 where the name does not resolve.
    Explain {
        #[arg(short, long, env = "BULKHEAD_CONFIG", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        #[arg(long)]
        instance: String,
        /// What the connector would ask: `POST primary /services/collector/event`, `tcp primary`, `tcp primary broker-1.acme:9092`, `udp primary`.
        #[arg(long)]
        request: String,
    },
}

pub fn run(args: &PolicyArgs, output: Output) -> Result<Exit, Failure> {
    let PolicyVerb::Explain { config: path, instance, request } = &args.verb;
    let config = match validate::load(path) {
        Ok(config) => config,
        Err(faults) => {
            validate::report(path, &faults, output)?;
            return Ok(Exit::Configuration);
        }
    };
    let Some(found) = config.instances.iter().find(|known| known.name == *instance) else {
        let known: Vec<&str> = config.instances.iter().map(|instance| instance.name.as_str()).collect();
        let failure = Failure::new(Exit::NotFound, "policy.no_instance", format!("there is no instance `{}`", instance.escape_default()));
        return Err(failure.hint(format!("the configuration has {}", if known.is_empty() { "none".into() } else { known.join(", ") })));
    };
    let mut words = request.splitn(3, ' ');
    let (Some(method), Some(destination)) = (words.next().filter(|word| !word.is_empty()), words.next().filter(|word| !word.is_empty())) else {
        let failure = Failure::new(Exit::Usage, "policy.request", "a request is a method, a destination and a path, or `tcp` or `udp` and a destination");
        return Err(failure.hint("for example --request \"POST primary /services/collector/event\""));
    };
    let below = words.next().unwrap_or_default();
    let question = match method {
        "tcp" => Question::Tcp { member: below },
        "udp" => Question::Udp,
        method => Question::Http { method, path: below },
    };
    let destinations: BTreeMap<String, Destination> = found.destinations.iter().map(|one| (one.name().to_owned(), one.clone())).collect();
    let told = block_on(async { Ok(explain(&destinations, &found.limits, &SystemResolver, destination, question).await) })?;
    match output {
        Output::Json => print(as_json(found, request, &told))?,
        Output::Text => print(as_text(found, request, &told))?,
    }
    Ok(match told.verdict {
        Verdict::Allowed => Exit::Ok,
        Verdict::Refused(_) => Exit::NotAllowed,
        Verdict::Unresolved(_) => Exit::Unreachable,
    })
}

/// Number and words of the rule that decided, and what it says here.
fn decision(told: &Explained) -> (u8, &'static str, String) {
    let words = |rule: u8| RULES.get(usize::from(rule).wrapping_sub(1)).copied().unwrap_or_default();
    match &told.verdict {
        Verdict::Allowed => (7, words(7), "all rules hold that can be asked without sending".into()),
        Verdict::Refused(refusal) => (refusal.rule, words(refusal.rule), refusal.text.clone()),
        Verdict::Unresolved(error) => (7, words(7), format!("the name does not resolve now: {error}")),
    }
}

fn verdict(told: &Explained) -> &'static str {
    match told.verdict {
        Verdict::Allowed => "allowed",
        Verdict::Refused(_) => "refused",
        Verdict::Unresolved(_) => "undecided",
    }
}

fn as_json(instance: &Instance, request: &str, told: &Explained) -> Value {
    let (rule, words, text) = decision(told);
    json!({
        "schema_version": 1, "instance": instance.name, "request": request, "verdict": verdict(told),
        "decided_by": {"rule": rule, "words": words, "text": text},
        "rules": RULES,
        "wire": told.wire.as_ref().map(|wire| json!({"origin": wire.origin, "method": wire.method, "target": wire.target})),
        "addresses": told.addresses.iter().map(|looked| json!({
            "address": looked.address, "class": looked.class, "allowed": looked.refused.is_none(), "text": looked.refused,
        })).collect::<Vec<_>>(),
        "credential": told.credential.as_ref().map(|(name, kind)| json!({"name": name, "kind": kind})),
        "limits": LIMITS.iter().map(|limit| (limit.row().name.to_owned(), Value::from(instance.limits.text(*limit)))).collect::<serde_json::Map<_, _>>(),
    })
}

fn as_text(instance: &Instance, request: &str, told: &Explained) -> String {
    let (rule, words, text) = decision(told);
    let mut out = format!("{}: {request} is {}\n", instance.name, verdict(told));
    for (place, words) in RULES.iter().enumerate() {
        let number = place + 1;
        let sign = match number.cmp(&usize::from(rule)) {
            std::cmp::Ordering::Less => "holds",
            std::cmp::Ordering::Equal => match told.verdict {
                Verdict::Allowed => "holds",
                Verdict::Refused(_) => "refuses",
                Verdict::Unresolved(_) => "open",
            },
            std::cmp::Ordering::Greater => "not asked",
        };
        out.push_str(&format!("  rule {number}  {sign:<9}  {words}\n"));
    }
    out.push_str(&format!("decided by rule {rule} ({words}):\n  {text}\n"));
    if let Some(wire) = &told.wire {
        out.push_str(&format!("on the wire: {} {} to {}\n", wire.method, wire.target, wire.origin));
    }
    for looked in &told.addresses {
        let sign = looked.refused.as_deref().map_or_else(|| "may be connected to".to_owned(), |text| format!("refused: {text}"));
        out.push_str(&format!("address {}: {}, {sign}\n", looked.address, looked.class));
    }
    match &told.credential {
        Some((name, kind)) => out.push_str(&format!("credential {name}: {kind}; the host puts it in, the connector does not see it\n")),
        None => out.push_str("credential: none\n"),
    }
    let limits: Vec<String> = LIMITS.iter().map(|limit| format!("{} {}", limit.row().name, instance.limits.text(*limit))).collect();
    out.push_str(&format!("limits: {}", limits.join(", ")));
    // A request typed by somebody else must not steer a terminal.
    out.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
