//! The client of the verbs that talk to a host: to the address that the person typed, so the egress
//! rules for guests do not apply.

use std::time::Duration;

use clap::Args;

use super::{Exit, Failure, session};

#[expect(clippy::disallowed_methods, reason = "the operator names the address on the command line; guests never get here")]
pub fn client() -> Result<reqwest::Client, Failure> {
    // A second verb in one process finds the provider installed; that is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder();
    // In place of the machine's authorities, as `ca` of a destination.
    if let Some(path) = std::env::var_os("BULKHEAD_API_CA") {
        let read = std::fs::read(&path).map_err(|error| error.to_string());
        let certificates = read.and_then(|pem| reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string()));
        let unusable = |why: String| Failure::new(Exit::Usage, "http.ca", format!("BULKHEAD_API_CA names {}, which cannot be used: {why}", path.display()));
        builder = builder.tls_certs_only(certificates.map_err(unusable)?);
    }
    builder
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Failure::from_error(Exit::Failed, "http.client", &error))
}

/// The host that a verb talks to.
#[derive(Debug, Args)]
pub struct Server {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL")]
    api: String,
    /// API key or token; that of `bulkhead login` where absent.
    #[arg(long, env = "BULKHEAD_API_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Server {
    pub fn new(api: String, token: Option<String>) -> Self {
        Self { api, token }
    }

    /// A place below `/api/integration`.
    pub fn url(&self, path: &str) -> String {
        format!("{}/api/integration/{path}", self.api.trim_end_matches('/'))
    }

    /// A place of the host itself.
    pub fn place(&self, path: &str) -> String {
        format!("{}{path}", self.api.trim_end_matches('/'))
    }

    /// A request that says who asks.
    pub async fn request(&self, method: reqwest::Method, url: &str) -> Result<reqwest::RequestBuilder, Failure> {
        authorised(client()?.request(method, url), &self.api, self.token.as_deref()).await
    }

    /// The body of an answer that is no refusal.
    pub async fn send(&self, method: reqwest::Method, path: &str, body: Option<String>) -> Result<Vec<u8>, Failure> {
        let url = self.url(path);
        let mut request = self.request(method, &url).await?;
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        answered(&url, request).await
    }
}

/// A request with the token that was given, or that of the session with the host.
pub async fn authorised(request: reqwest::RequestBuilder, api: &str, token: Option<&str>) -> Result<reqwest::RequestBuilder, Failure> {
    Ok(if let Some(token) = session::token(api, token).await? { request.bearer_auth(token) } else { request })
}

/// The body of an answer that is no refusal.
pub async fn answered(url: &str, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Failure> {
    let response = request.send().await.map_err(|error| unreachable(url, &error))?;
    if !response.status().is_success() {
        return Err(refusal(url, response).await);
    }
    Ok(response.bytes().await.map_err(|error| unreachable(url, &error))?.to_vec())
}

/// A segment of a path, or part of a query (RFC 3986 §2.1).
pub fn percent(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Runs one async verb on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::Failed, "runtime.start", &error))?
        .block_on(work)
}

/// Turns a failure to get an answer into words and exit code 6.
pub fn unreachable(url: &str, error: &reqwest::Error) -> Failure {
    let mut failure = Failure::from_error(Exit::Unreachable, "host.unreachable", error);
    failure.message = format!("no answer from {url}: {}", failure.message);
    failure.hint("is `bulkhead serve` running, and is this its address?")
}

/// Turns a refusal into words: the problem document's detail where there is one (RFC 9457).
pub async fn refusal(url: &str, response: reqwest::Response) -> Failure {
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    let problem: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem.get("detail").or_else(|| problem.get("title")))
        .and_then(serde_json::Value::as_str)
        .unwrap_or("no reason given");
    let exit = match status.as_u16() {
        401 | 403 => Exit::NotAllowed,
        404 => Exit::NotFound,
        429 | 503 => Exit::Unreachable,
        _ => Exit::Failed,
    };
    let mut failure = Failure::new(exit, "host.refused", format!("{url} answered {status}: {detail}"));
    if let Some(faults) = problem.as_ref().and_then(|problem| problem.get("errors")).and_then(serde_json::Value::as_array) {
        for fault in faults.iter().take(10) {
            failure.message.push_str(&format!("\n  {fault}"));
        }
    }
    failure
}
