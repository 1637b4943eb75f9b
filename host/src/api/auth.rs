//! Static bearer tokens for administration. Without tokens the listener stays on loopback, which the
//! configuration enforces; a page in a browser is kept out by its `Origin`.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::Api;
use super::problem::Problem;

/// Who asks, for the registry's memory and the log.
#[derive(Debug, Clone)]
pub struct Actor(pub String);

pub async fn require(State(api): State<Api>, mut request: Request, next: Next) -> Result<Response, Problem> {
    if api.tokens.is_empty() {
        // A page of another site can make a browser post to loopback; it cannot forge this header away.
        if request.headers().contains_key(header::ORIGIN) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "requests from web pages need a token; set `listen.api.tokens`"));
        }
        request.extensions_mut().insert(Actor("whoever is on this machine".into()));
        return Ok(next.run(request).await);
    }
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let Some(given) = given else {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "this needs `Authorization: Bearer <token>`, one of `listen.api.tokens`"));
    };
    // Every token is compared, so that the time does not tell which one came close.
    let fits: Vec<subtle::Choice> = api.tokens.iter().map(|token| secrecy::ExposeSecret::expose_secret(token).as_bytes().ct_eq(given.as_bytes())).collect();
    match fits.iter().position(|fits| bool::from(*fits)) {
        Some(at) => {
            request.extensions_mut().insert(Actor(format!("token {} of listen.api.tokens", at + 1)));
            Ok(next.run(request).await)
        }
        None => Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "the token is not known")),
    }
}
