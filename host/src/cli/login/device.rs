//! A code that somebody enters in any browser (RFC 8628): for machines that have none.

use std::time::Duration;

use tokio::time::Instant;

use super::provider::{OpenId, refused};
use crate::cli::session::Kept;
use crate::cli::{Exit, Failure};

/// Longest time that a code is waited for, whatever the provider says.
const LONGEST: u64 = 1_800;
/// Between two questions where the provider names no time, and what `slow_down` adds (RFC 8628 §3.5).
const INTERVAL: u64 = 5;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub async fn sign_in(provider: &OpenId) -> Result<Kept, Failure> {
    let (status, answer) = provider.post("device_authorization_endpoint", &[("client_id", &provider.client_id), ("scope", &provider.scope)]).await?;
    let text = |name: &str| answer[name].as_str().map(|text| text.chars().filter(|c| !c.is_control()).collect::<String>());
    let (Some(device), Some(code), Some(url)) = (text("device_code"), text("user_code"), text("verification_uri")) else {
        return Err(refused(&text("error").unwrap_or_else(|| format!("status {status}"))));
    };
    eprintln!("open {url} in any browser and enter {code}");
    if let Some(whole) = text("verification_uri_complete") {
        eprintln!("or open {whole}");
    }
    let end = Instant::now() + Duration::from_secs(answer["expires_in"].as_u64().unwrap_or(LONGEST).min(LONGEST));
    let mut interval = answer["interval"].as_u64().unwrap_or(INTERVAL).clamp(1, 60);
    loop {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        if Instant::now() >= end {
            return Err(Failure::new(Exit::NotAllowed, "login.expired", "nobody entered the code in time"));
        }
        let fields = [("grant_type", GRANT), ("device_code", device.as_str()), ("client_id", provider.client_id.as_str())];
        match provider.token(&fields).await? {
            Ok(answer) => return provider.kept(&answer),
            Err(error) if error == "authorization_pending" => {}
            Err(error) if error == "slow_down" => interval += INTERVAL,
            Err(error) => return Err(refused(&error)),
        }
    }
}
