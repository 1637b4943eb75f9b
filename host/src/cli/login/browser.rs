//! A browser on this machine, which the provider sends back to an address of it: authorization code with PKCE (RFC 7636,
//! S256) on the loopback (RFC 8252 §7.3).

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_seal::random;
use reqwest::Url;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::provider::{OpenId, refused};
use crate::cli::session::{Kept, form};
use crate::cli::{Exit, Failure};

/// Longest time that somebody has in the browser.
const LIMIT: Duration = Duration::from_secs(300);
/// Longest time of one request to the loopback, and its bytes.
const REQUEST: Duration = Duration::from_secs(5);
const MOST: usize = 16 << 10;
const PATH: &str = "/callback";

pub async fn sign_in(provider: &OpenId) -> Result<Kept, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, "login.listen", format!("cannot listen on the loopback: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let redirect = format!("http://127.0.0.1:{}{PATH}", listener.local_addr().map_err(failed)?.port());
    let secret = || URL_SAFE_NO_PAD.encode(random::<32>());
    let (state, verifier) = (secret(), secret());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let query = form(&[
        ("response_type", "code"),
        ("client_id", &provider.client_id),
        ("redirect_uri", &redirect),
        ("scope", &provider.scope),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        // Without it some providers hand out no refresh token.
        ("prompt", "consent"),
    ]);
    let authorize = provider.endpoint("authorization_endpoint")?;
    eprintln!("open in a browser on this machine:\n{authorize}{}{query}", if authorize.contains('?') { '&' } else { '?' });
    let late = |_| Failure::new(Exit::NotAllowed, "login.expired", "nobody came back from the browser in time");
    let code = tokio::time::timeout(LIMIT, code(&listener, &state, &provider.issuer)).await.map_err(late)??;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect.as_str()),
        ("client_id", provider.client_id.as_str()),
        ("code_verifier", verifier.as_str()),
    ];
    match provider.token(&fields).await? {
        Ok(answer) => provider.kept(&answer),
        Err(error) => Err(refused(&error)),
    }
}

/// The code that the browser brings back. What is not of this sign-in is turned away and waited on for.
async fn code(listener: &TcpListener, state: &str, issuer: &str) -> Result<String, Failure> {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Ok(Some(target)) = tokio::time::timeout(REQUEST, target(&mut stream)).await else { continue };
        let back = target.as_deref().and_then(|target| returned(target, state, issuer));
        let page = match &back {
            Some(Ok(_)) => ("200 OK", "Signed in. You can close this page."),
            Some(Err(_)) => ("200 OK", "Not signed in. The command line says why; you can close this page."),
            None => ("404 Not Found", "There is nothing here."),
        };
        let (status, text) = page;
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        // A browser that has gone needs no page.
        let _ = tokio::time::timeout(REQUEST, stream.write_all(answer.as_bytes())).await;
        match back {
            Some(Ok(code)) => return Ok(code),
            Some(Err(error)) => return Err(refused(&error)),
            None => {}
        }
    }
}

/// The target of a GET request; nothing inside for what is none.
async fn target(stream: &mut TcpStream) -> Option<Option<String>> {
    let (mut head, mut chunk) = (Vec::new(), [0; 1_024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&chunk[..read]);
        if head.len() > MOST {
            return Some(None);
        }
    }
    let line = String::from_utf8_lossy(&head);
    let mut words = line.lines().next().unwrap_or_default().split(' ');
    Some(if words.next() == Some("GET") { words.next().map(str::to_owned) } else { None })
}

/// The code, or the provider's refusal, in what came back; nothing for what has not our state or is of another issuer
/// (RFC 9207).
fn returned(target: &str, state: &str, issuer: &str) -> Option<Result<String, String>> {
    let url = Url::parse("http://127.0.0.1").ok()?.join(target).ok().filter(|url| url.path() == PATH)?;
    let field = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    if field("state").as_deref() != Some(state) || field("iss").is_some_and(|iss| iss != issuer) {
        return None;
    }
    match (field("code"), field("error")) {
        (_, Some(error)) => Some(Err(error.chars().filter(|c| !c.is_control()).take(200).collect())),
        (Some(code), None) => Some(Ok(code)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_of_this_sign_in_counts() {
        let issuer = "https://id.example";
        for (target, want) in [
            ("/callback?code=a%2Bb&state=s", Some(Ok("a+b".to_owned()))),
            ("/callback?code=c&state=s&iss=https%3A%2F%2Fid.example", Some(Ok("c".to_owned()))),
            ("/callback?error=access_denied&state=s", Some(Err("access_denied".to_owned()))),
            ("/callback?code=c&state=s&iss=https%3A%2F%2Fevil.example", None),
            ("/callback?code=c&state=other", None),
            ("/callback?code=c", None),
            ("/callback?state=s", None),
            ("/other?code=c&state=s", None),
            ("/favicon.ico", None),
            ("", None),
        ] {
            assert_eq!(returned(target, "s", issuer), want, "{target}");
        }
    }
}
