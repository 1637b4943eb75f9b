//! `bulkhead send`: posts events from a file, from standard input, or made ones.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::http_client::{block_on, client, refusal, unreachable};
use super::{Exit, Failure, Output};

/// Events in one request.
const BATCH: usize = 100;
/// Bytes in one request; below the intake's default limit of 8 MiB.
const BATCH_BYTES: usize = 4 << 20;
/// Tries of one request while the host answers 429 or 503.
const TRIES: u32 = 10;

#[derive(Debug, Args)]
pub struct SendArgs {
    /// Where to post: the intake's address, or a URL with a path of its own.
    #[arg(long, default_value = "http://127.0.0.1:8781/events", env = "BULKHEAD_URL")]
    to: String,
    /// Bearer token of the intake listener.
    #[arg(long, env = "BULKHEAD_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file of JSON lines, or one JSON array or object; `-` reads standard input.
    #[arg(conflicts_with_all = ["count", "template"])]
    file: Option<PathBuf>,
    /// Make this many events.
    #[arg(long, required_unless_present = "file")]
    count: Option<u64>,
    /// Events per second at most.
    #[arg(long)]
    rate: Option<u32>,
    /// A JSON object for made events; `{n}` becomes the event's number, `{id}` a fresh id, `{now}` the time.
    #[arg(long)]
    template: Option<String>,
}

const TEMPLATE: &str = r#"{"id":"{id}","timestamp":"{now}","event_type":"bulkhead.sample","severity":"info","user":"sample","message":"sample event {n}"}"#;

/// The URL to post to: without a path it is the intake's own.
fn target(to: &str) -> String {
    let (scheme, rest) = to.split_once("://").unwrap_or(("http", to));
    match rest.trim_end_matches('/') {
        host if !host.contains(['/', '?']) => format!("{scheme}://{host}/events"),
        _ => to.to_owned(),
    }
}

pub fn run(args: &SendArgs, output: Output) -> Result<Exit, Failure> {
    let events = source(args)?;
    if events.is_empty() {
        return Err(Failure::new(Exit::Usage, "send.empty", "there is no event to send"));
    }
    if args.rate == Some(0) {
        return Err(Failure::new(Exit::Usage, "send.rate", "--rate must be at least 1 event per second"));
    }
    let sent = block_on(post_all(args, &events))?;
    let seconds = sent.time.as_secs_f64();
    match output {
        Output::Json => super::failure::print(serde_json::json!({
            "schema_version": 1, "accepted": sent.accepted, "requests": sent.requests, "retried": sent.retried, "seconds": seconds
        }))?,
        Output::Text => super::failure::print(format!(
            "{} events accepted in {} requests, {seconds:.2} s, {:.0} events/s{}",
            sent.accepted,
            sent.requests,
            sent.accepted as f64 / seconds.max(0.001),
            if sent.retried > 0 { format!(", {} requests tried again", sent.retried) } else { String::new() }
        ))?,
    }
    Ok(Exit::Ok)
}

struct Sent {
    accepted: u64,
    requests: u64,
    retried: u64,
    time: Duration,
}

/// The events as lines of JSON.
fn source(args: &SendArgs) -> Result<Vec<String>, Failure> {
    if let Some(count) = args.count {
        let template = args.template.as_deref().unwrap_or(TEMPLATE);
        let now = time::OffsetDateTime::now_utc();
        let now = now.format(&time::format_description::well_known::Rfc3339).map_err(|error| Failure::from_error(Exit::Failed, "send.clock", &error))?;
        return Ok((1..=count)
            .map(|n| template.replace("{n}", &n.to_string()).replace("{id}", &uuid::Uuid::now_v7().to_string()).replace("{now}", &now))
            .collect());
    }
    let Some(file) = &args.file else { return Ok(Vec::new()) };
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut opened| opened.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::new(Exit::NotFound, "send.read", format!("cannot read {}: {error}", file.display())))?;
    // An array or a single (pretty-printed) object is one JSON text; anything else is lines, checked by the host.
    if let Ok(values) = serde_json::from_str::<Vec<Box<serde_json::value::RawValue>>>(&text) {
        return Ok(values.into_iter().map(|value| value.get().replace(['\n', '\r'], " ")).collect());
    }
    if serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok() {
        return Ok(vec![text.replace(['\n', '\r'], " ")]);
    }
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

async fn post_all(args: &SendArgs, events: &[String]) -> Result<Sent, Failure> {
    let (client, to) = (client()?, target(&args.to));
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(events.len() as u64) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    let start = Instant::now();
    let mut sent = Sent { accepted: 0, requests: 0, retried: 0, time: Duration::ZERO };
    let mut at = 0;
    // A limited rate goes out in slices of at most a tenth of a second.
    let most = args.rate.map_or(BATCH, |rate| (rate as usize / 10).clamp(1, BATCH));
    while at < events.len() {
        let mut body = String::new();
        let mut end = at;
        while end < events.len() && end - at < most && (end == at || body.len() + events[end].len() < BATCH_BYTES) {
            body.push_str(&events[end]);
            body.push('\n');
            end += 1;
        }
        if let Some(rate) = args.rate {
            let due = start + Duration::from_secs_f64(at as f64 / f64::from(rate));
            tokio::time::sleep_until(due.into()).await;
        }
        sent.retried += post(args, &to, &client, body).await?;
        sent.requests += 1;
        sent.accepted += (end - at) as u64;
        bar.set_position(end as u64);
        at = end;
    }
    bar.finish_and_clear();
    sent.time = start.elapsed();
    Ok(sent)
}

/// Posts one request until it is accepted or refused for good; answers how often it was tried again.
async fn post(args: &SendArgs, to: &str, client: &reqwest::Client, body: String) -> Result<u64, Failure> {
    for tried in 1..=TRIES {
        let mut request = client.post(to).header("content-type", "application/x-ndjson").body(body.clone());
        if let Some(token) = &args.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| unreachable(to, &error))?;
        match response.status().as_u16() {
            200..=299 => return Ok(u64::from(tried - 1)),
            429 | 503 if tried < TRIES => {
                let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
                tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1u64).min(30))).await;
            }
            _ => return Err(refusal(to, response).await),
        }
    }
    Err(Failure::new(Exit::Unreachable, "send.busy", format!("{to} stayed busy for {TRIES} tries")))
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn an_address_is_enough() {
        for (to, want) in [
            ("http://127.0.0.1:8781", "http://127.0.0.1:8781/events"),
            ("https://intake.acme/", "https://intake.acme/events"),
            ("127.0.0.1:8781", "http://127.0.0.1:8781/events"),
            ("http://127.0.0.1:8781/events", "http://127.0.0.1:8781/events"),
            ("http://proxy/audit/events?x=1", "http://proxy/audit/events?x=1"),
        ] {
            assert_eq!(target(to), want);
        }
    }
}
