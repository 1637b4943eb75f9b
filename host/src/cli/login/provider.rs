//! The OpenID provider of a host, as the command line sees it.

use serde_json::Value;

use crate::cli::http_client::{answered, client, unreachable};
use crate::cli::session::{Kept, Provider, form};
use crate::cli::{Exit, Failure};
use crate::oidc::is_safe;

/// Where somebody signs in, and who the command line is there.
pub struct OpenId {
    pub issuer: String,
    pub client_id: String,
    pub scope: String,
    document: Value,
}

/// What the host says of its provider, and the provider of itself.
pub async fn of_host(api: &str) -> Result<OpenId, Failure> {
    let methods = get(&format!("{}/api/v2/auth/methods", api.trim_end_matches('/'))).await?;
    let oidc = &methods["oidc"];
    let none = |what: &str| Failure::new(Exit::Failed, "login.provider", format!("{api} {what}"));
    let issuer = oidc["issuer"].as_str().ok_or_else(|| none("trusts no OpenID provider").hint("`--user` signs in with a password of the host"))?;
    let client_id = oidc["client_id"].as_str().ok_or_else(|| none("names no client for the command line").hint("set `listen.api.oidc.client_id`"))?;
    let scopes: Vec<&str> = oidc["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !is_safe(issuer) {
        return Err(none("names a provider that does not speak https"));
    }
    let document = get(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))).await?;
    if document["issuer"].as_str() != Some(issuer) {
        return Err(none("names a provider that calls itself something else"));
    }
    Ok(OpenId { issuer: issuer.to_owned(), client_id: client_id.to_owned(), scope: scopes.join(" "), document })
}

impl OpenId {
    /// An address that the provider names; secrets go there.
    pub fn endpoint(&self, name: &str) -> Result<&str, Failure> {
        let missing = || Failure::new(Exit::Failed, "login.provider", format!("the provider {} names no `{name}` that speaks https", self.issuer));
        self.document[name].as_str().filter(|url| is_safe(url)).ok_or_else(missing)
    }

    /// Asks the token endpoint: what it answers, or the error that it names (RFC 6749 §5.2).
    pub async fn token(&self, fields: &[(&str, &str)]) -> Result<Result<Value, String>, Failure> {
        let (status, answer) = self.post("token_endpoint", fields).await?;
        if status == 200 {
            return Ok(Ok(answer));
        }
        Ok(Err(answer["error"].as_str().unwrap_or("no reason given").chars().filter(|c| !c.is_control()).take(200).collect()))
    }

    pub async fn post(&self, endpoint: &str, fields: &[(&str, &str)]) -> Result<(u16, Value), Failure> {
        let url = self.endpoint(endpoint)?;
        let request = client()?.post(url).header("content-type", "application/x-www-form-urlencoded").header("accept", "application/json").body(form(fields));
        let response = request.send().await.map_err(|error| unreachable(url, &error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| unreachable(url, &error))?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// What is kept of the tokens that came.
    pub fn kept(&self, answer: &Value) -> Result<Kept, Failure> {
        let provider = Provider { token_endpoint: self.endpoint("token_endpoint")?.to_owned(), client_id: self.client_id.clone() };
        Kept::of(answer, None, Some(provider)).ok_or_else(|| Failure::new(Exit::Failed, "login.provider", "the provider's answer has no token"))
    }
}

/// Why the provider lets nobody in.
pub fn refused(error: &str) -> Failure {
    Failure::new(Exit::NotAllowed, "login.refused", format!("the provider says: {error}"))
}

async fn get(url: &str) -> Result<Value, Failure> {
    let body = answered(url, client()?.get(url).header("accept", "application/json")).await?;
    serde_json::from_slice(&body).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
}
