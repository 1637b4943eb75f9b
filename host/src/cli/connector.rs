//! `bulkhead push` and `bulkhead connector`: components of a running host, through its API.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::print;
use super::http_client::{Server, authorised, block_on, client, refusal, unreachable};
use super::{Exit, Failure, Output};

/// Largest component that any host takes.
const MAX_COMPONENT: u64 = 64 << 20;

#[derive(Debug, Args)]
pub struct Host {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL", global = true)]
    api: String,
    /// Bearer token of the API.
    #[arg(long, env = "BULKHEAD_API_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// The component, a `.wasm` file.
    file: PathBuf,
    /// Its detached ed25519 signature: 64 bytes, raw or in base64.
    #[arg(long, value_name = "FILE")]
    sig: Option<PathBuf>,
    /// Approve what it asks for, in one go.
    #[arg(long)]
    approve: bool,
    /// Keep it beside the version that runs.
    #[arg(long)]
    no_activate: bool,
    /// Name, for a component without a manifest.
    #[arg(long, requires = "version")]
    name: Option<String>,
    /// Version, for a component without a manifest.
    #[arg(long, requires = "name")]
    version: Option<String>,
    #[command(flatten)]
    host: Host,
}

#[derive(Debug, Args)]
pub struct ConnectorArgs {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    verb: ConnectorVerb,
}

#[derive(Debug, Subcommand)]
enum ConnectorVerb {
    /// Components at hand, with their versions.
    List,
    /// One component: by name, `name@1.2` or digest.
    Show { id: String },
    /// Approve what a version asks for, and activate it.
    #[command(alias = "grant")]
    Approve {
        #[command(flatten)]
        version: Version,
        /// Leave the version that runs alone.
        #[arg(long)]
        no_activate: bool,
    },
    /// Make a version the one that its name stands for.
    Activate(Version),
    /// Go back to the version before.
    Rollback { name: String },
    /// Never run this version again; what runs it stops at its next call.
    Revoke {
        #[command(flatten)]
        version: Version,
        /// Why, for whoever looks at the instances that stop.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Delete what was uploaded under a name and nothing uses: all versions, or one.
    Remove {
        name: String,
        /// `sha256:…`, as `show` prints it; all versions where absent.
        digest: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Version {
    name: String,
    /// `sha256:…`, as `show` prints it.
    digest: String,
}

pub fn push(args: &PushArgs, output: Output) -> Result<Exit, Failure> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|error| Failure::new(Exit::NotFound, "push.read", format!("cannot read {}: {error}", path.display())));
    let size = std::fs::metadata(&args.file).map_or(0, |metadata| metadata.len());
    if size > MAX_COMPONENT {
        return Err(Failure::new(
            Exit::Configuration,
            "push.too_large",
            format!("{} has {size} bytes; no host takes more than {MAX_COMPONENT}", args.file.display()),
        ));
    }
    let component = read(&args.file)?;
    let signature = args.sig.as_ref().map(read).transpose()?;
    let mut query = vec![("approve", args.approve.to_string()), ("activate", (!args.no_activate).to_string())];
    query.extend([("name", &args.name), ("version", &args.version)].into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
    let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", percent(value))).collect();
    let answer = block_on(async {
        let mut request = args.host.request("POST", &format!("?{}", query.join("&"))).await?.header("content-type", "application/wasm").body(component);
        if let Some(signature) = &signature {
            let text = match <[u8; 64]>::try_from(signature.as_slice()) {
                Ok(raw) => base64::Engine::encode(&base64::engine::general_purpose::STANDARD, raw),
                Err(_) => String::from_utf8_lossy(signature).split_ascii_whitespace().collect(),
            };
            request = request.header("x-bulkhead-signature", text);
        }
        args.host.answer(request).await
    })?;
    if output == Output::Json {
        return print_json(answer);
    }
    let data = &answer["data"];
    print(format!("{} {} {} is {}", text(data, "name"), text(data, "version"), text(data, "digest"), text(data, "state")))?;
    if data["state"] == "awaiting_approval" {
        eprintln!("it asks for more than was approved for its name:");
        for ask in data["waits_for"].as_array().into_iter().flatten() {
            eprintln!("  - {}", ask.as_str().unwrap_or_default());
        }
        eprintln!("  hint: `bulkhead connector approve {} {}` approves exactly these bytes", text(data, "name"), text(data, "digest"));
    }
    swapped(data);
    Ok(Exit::Ok)
}

pub fn run(args: &ConnectorArgs, output: Output) -> Result<Exit, Failure> {
    let version = |version: &Version, rest: &str| format!("/{}/versions/{}{rest}", percent(&version.name), percent(&version.digest));
    let (method, path) = match &args.verb {
        ConnectorVerb::List => ("GET", "?limit=1000".to_owned()),
        ConnectorVerb::Show { id } => ("GET", format!("/{}", percent(id))),
        ConnectorVerb::Approve { version: one, no_activate } => ("POST", version(one, &format!("/approve?activate={}", !no_activate))),
        ConnectorVerb::Activate(one) => ("POST", version(one, "/activate")),
        ConnectorVerb::Rollback { name } => ("POST", format!("/{}/rollback", percent(name))),
        ConnectorVerb::Revoke { version: one, reason } => {
            let reason = reason.as_ref().map(|reason| format!("?reason={}", percent(reason))).unwrap_or_default();
            ("POST", version(one, &format!("/revoke{reason}")))
        }
        ConnectorVerb::Remove { name, digest: None } => ("DELETE", format!("/{}", percent(name))),
        ConnectorVerb::Remove { name, digest: Some(digest) } => ("DELETE", format!("/{}/versions/{}", percent(name), percent(digest))),
    };
    let answer = block_on(async { args.host.answer(args.host.request(method, &path).await?).await })?;
    if output == Output::Json {
        return print_json(answer);
    }
    let data = &answer["data"];
    match &args.verb {
        ConnectorVerb::List => {
            for component in data.as_array().into_iter().flatten() {
                lines(component)?;
            }
        }
        ConnectorVerb::Show { .. } => {
            lines(data)?;
            for ask in data["asks"].as_array().into_iter().flatten() {
                print(format!("    asks for {}", clean(ask.as_str().unwrap_or_default())))?;
            }
        }
        ConnectorVerb::Approve { .. } | ConnectorVerb::Activate(_) | ConnectorVerb::Revoke { .. } => {
            print(format!("{} {} is {}", text(data, "name"), text(data, "digest"), text(data, "state")))?;
            swapped(data);
        }
        ConnectorVerb::Rollback { name } => {
            print(format!("{name} is {}", data["active"].as_str().unwrap_or("the component that was there before the uploads")))?;
            swapped(data);
        }
        ConnectorVerb::Remove { name, digest } => print(format!("{name} {} is gone", digest.as_deref().unwrap_or("with all its versions")))?,
    }
    Ok(Exit::Ok)
}

/// A component on one line, each version on one below it.
fn lines(component: &Value) -> Result<(), Failure> {
    let origin = component["origin"].as_str().unwrap_or("nothing active");
    print(format!("{:<24} {:<12} {:<10} {}", text(component, "name"), text(component, "version"), origin, text(component, "digest")))?;
    for version in component["versions"].as_array().into_iter().flatten() {
        let signature =
            if version["signature"]["state"] == "verified" { format!("signed by {}", text(&version["signature"], "key")) } else { "unsigned".into() };
        let fault = version["fault"]["reason"].as_str().map(|reason| format!("  failed: {}", clean(reason))).unwrap_or_default();
        print(format!("  {:<14} {:<18} {signature}  {}{fault}", text(version, "version"), text(version, "state"), text(version, "digest")))?;
        for ask in version["asks_more"].as_array().into_iter().flatten().filter(|_| version["state"] == "awaiting_approval") {
            print(format!("    waits for approval of {}", clean(ask.as_str().unwrap_or_default())))?;
        }
    }
    Ok(())
}

fn swapped(data: &Value) {
    let names: Vec<_> = data["instances_swapped"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !names.is_empty() {
        eprintln!("instances that run it now: {}", names.join(", "));
    }
}

fn print_json(mut answer: Value) -> Result<Exit, Failure> {
    answer["schema_version"] = json!(1);
    print(answer)?;
    Ok(Exit::Ok)
}

impl Host {
    /// The same for what is not about components.
    pub fn server(&self) -> Server {
        Server::new(self.api.clone(), self.token.clone())
    }

    async fn request(&self, method: &str, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let url = format!("{}/api/integration/connectors{path}", self.api.trim_end_matches('/'));
        let method = method.parse().map_err(|_| Failure::new(Exit::Usage, "request.method", "not a method"))?;
        // Compiling takes its time, and so does draining what ran before.
        let request = client()?.request(method, url).timeout(std::time::Duration::from_secs(300));
        authorised(request, &self.api, self.token.as_deref()).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let response = request.send().await.map_err(|error| unreachable(&self.api, &error))?;
        if !response.status().is_success() {
            let unfit = response.status().as_u16() == 422;
            let mut failure = refusal(&self.api, response).await;
            if unfit {
                failure.exit = Exit::Configuration;
            }
            return Err(failure);
        }
        let body = response.bytes().await.map_err(|error| unreachable(&self.api, &error))?;
        if body.is_empty() {
            return Ok(json!({"data": null}));
        }
        serde_json::from_slice(&body).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
    }
}

fn text<'a>(data: &'a Value, key: &str) -> &'a str {
    data[key].as_str().unwrap_or("-")
}

/// What a stranger wrote must not steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A path segment or query value (RFC 3986 §2.1).
fn percent(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~:@".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
