//! `bulkhead key`: API keys of a running host, through its API. A new key is printed once, alone on standard
//! output, so that it can go where it belongs without being seen.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::failure::print;
use super::http_client::{authorised, block_on, client, percent, refusal, unreachable};
use super::{Exit, Failure, Output};

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL", global = true)]
    api: String,
    /// API key or token that this verb uses itself.
    #[arg(long, env = "BULKHEAD_API_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Make a key; it is printed once.
    Create {
        /// Whose key it is, for people.
        name: String,
        /// What it may do: security_admin, security_analyst, security_viewer, integration_admin, auditor, api_service.
        #[arg(long, required = true, value_delimiter = ',')]
        role: Vec<String>,
        /// The tenant whose things it sees and changes; everything where absent.
        #[arg(long)]
        tenant: Option<String>,
        /// Networks it may be used from; from everywhere where absent.
        #[arg(long, value_delimiter = ',', value_name = "NETWORK")]
        from: Vec<String>,
        /// Requests a second, 1 to 10,000; 100 where absent.
        #[arg(long)]
        rate: Option<u32>,
        #[command(flatten)]
        life: Life,
    },
    /// Keys, newest first.
    List,
    /// One key: what it may do, when it ends, when it was used last.
    Show { id: String },
    /// Put another secret in the place of a key's; it is printed once.
    Rotate {
        id: String,
        /// Seconds for which the old secret is let in as well, at most 604,800.
        #[arg(long, default_value_t = 3_600)]
        overlap: u32,
        #[command(flatten)]
        life: Life,
    },
    /// End a key for good.
    Revoke { id: String },
}

#[derive(Debug, Args)]
struct Life {
    /// Days that the secret lives; a year, or as long as the one before.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    days: Option<u16>,
    /// RFC 3339: when it ends.
    #[arg(long, conflicts_with = "days")]
    expires_at: Option<String>,
}

impl Life {
    fn into(&self, body: &mut Map<String, Value>) {
        // A minute less, in case this machine's clock is ahead of the host's.
        let days = self.days.map(|days| OffsetDateTime::now_utc() + Duration::days(days.into()) - Duration::minutes(1));
        if let Some(at) = self.expires_at.clone().or_else(|| days.and_then(|at| at.format(&Rfc3339).ok())) {
            body.insert("expires_at".into(), at.into());
        }
    }
}

pub fn run(args: &KeyArgs, output: Output) -> Result<Exit, Failure> {
    let mut body = Map::new();
    let (method, path) = match &args.verb {
        KeyVerb::Create { name, role, tenant, from, rate, life } => {
            body.extend([("name".to_owned(), json!(name)), ("roles".to_owned(), json!(role)), ("ip_allow".to_owned(), json!(from))]);
            body.extend(tenant.as_ref().map(|tenant| ("tenant".to_owned(), json!(tenant))));
            body.extend(rate.map(|rate| ("rate".to_owned(), json!(rate))));
            life.into(&mut body);
            ("POST", String::new())
        }
        KeyVerb::List => ("GET", "?limit=1000".to_owned()),
        KeyVerb::Show { id } => ("GET", format!("/{}", percent(id))),
        KeyVerb::Rotate { id, overlap, life } => {
            body.insert("overlap_seconds".into(), json!(overlap));
            life.into(&mut body);
            ("POST", format!("/{}/rotate", percent(id)))
        }
        KeyVerb::Revoke { id } => ("DELETE", format!("/{}", percent(id))),
    };
    let mut answer = block_on(ask(args, method, &path, (!body.is_empty()).then_some(body)))?;
    if output == Output::Json {
        answer["schema_version"] = json!(1);
        print(answer)?;
        return Ok(Exit::Ok);
    }
    let data = &answer["data"];
    match &args.verb {
        KeyVerb::Create { .. } | KeyVerb::Rotate { .. } => {
            print(data["key"].as_str().unwrap_or_default())?;
            eprintln!("{}", line(data));
            if let Some(until) = data["previous_until"].as_str() {
                eprintln!("  the secret before is let in until {until}");
            }
        }
        KeyVerb::List => data.as_array().into_iter().flatten().try_for_each(|key| print(line(key)))?,
        KeyVerb::Show { .. } => print(format!("{data:#}"))?,
        KeyVerb::Revoke { .. } => print(line(data))?,
    }
    Ok(Exit::Ok)
}

fn line(key: &Value) -> String {
    let text = |name: &str| key[name].as_str().unwrap_or("-");
    let roles: Vec<&str> = key["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let used = key["last_used_at"].as_str().map_or_else(|| "never used".to_owned(), |at| format!("used {at} from {}", text("last_used_from")));
    let tenant = key["tenant"].as_str().map(|tenant| format!("  tenant {tenant}")).unwrap_or_default();
    format!("{}  {:<8} {}{tenant}  expires {}  {used}  {}", text("id"), text("state"), roles.join(","), text("expires_at"), text("name"))
}

async fn ask(args: &KeyArgs, method: &str, path: &str, body: Option<Map<String, Value>>) -> Result<Value, Failure> {
    let url = format!("{}/api/integration/api-keys{path}", args.api.trim_end_matches('/'));
    let method = method.parse().map_err(|_| Failure::new(Exit::Usage, "request.method", "not a method"))?;
    let mut request = client()?.request(method, &url);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(Value::Object(body).to_string());
    }
    let request = authorised(request, &args.api, args.token.as_deref()).await?;
    let response = request.send().await.map_err(|error| unreachable(&url, &error))?;
    if !response.status().is_success() {
        return Err(refusal(&url, response).await);
    }
    let body = response.bytes().await.map_err(|error| unreachable(&url, &error))?;
    serde_json::from_slice(&body).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
}
