//! Versions of the API: which there are, and what becomes of a request for another.
//!
//! Promises: every answer of a surface names the version it is of; a client that asks for one that is not there is told
//! which are, before anything is done; a problem of the security API carries `error` and `message` as well, whoever
//! refuses. The way to what came before leads to what there is.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::Problem;

/// What a client asks for, and what an answer is of.
pub const HEADER: &str = "api-version";
/// Largest problem document that is looked into.
const MOST_PROBLEM: usize = 256 << 10;

/// A part of the API that has versions of its own.
pub struct Surface {
    prefix: &'static str,
    /// What it is called in answers, then what else clients may call it.
    pub versions: &'static [&'static str],
}

const SURFACES: &[Surface] = &[Surface { prefix: "/api/v2", versions: &["2.0", "2"] }, Surface { prefix: "/api/integration", versions: &["1.0", "1"] }];

impl Surface {
    /// Whose path this is.
    pub fn of(path: &str) -> Option<&'static Self> {
        SURFACES.iter().find(|surface| is_below(path, surface.prefix))
    }
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Around every endpoint, and around what is none.
pub async fn around(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if is_below(path, "/api/v1") {
        return gone();
    }
    let Some(surface) = Surface::of(path) else { return next.run(request).await };
    let mut asked = request.headers().get_all(HEADER).iter();
    let known = |value: &HeaderValue| surface.versions.iter().any(|version| value.as_bytes() == version.as_bytes());
    let response = if asked.all(known) { next.run(request).await } else { unknown(surface).into_response() };
    let mut response = if surface.prefix == "/api/v2" { with_names(response).await } else { response };
    response.headers_mut().insert(HeaderName::from_static(HEADER), HeaderValue::from_static(surface.versions[0]));
    response
}

fn unknown(surface: &Surface) -> Problem {
    let detail = format!("`API-Version` names no version of {}; there is {}", surface.prefix, surface.versions[0]);
    Problem::bad_request("unsupported_version", detail).errors(vec![json!({"header": "API-Version", "versions": surface.versions})])
}

/// There was never more than a draft of it; clients of that draft are told where to go (RFC 9110 §15.5.11).
fn gone() -> Response {
    let mut response = Problem::new(StatusCode::GONE, "gone", "/api/v1 is no more; the same is at /api/v2, described in /api/openapi.json").into_response();
    // RFC 5829 §3.1.
    response.headers_mut().insert(header::LINK, HeaderValue::from_static("</api/v2>; rel=\"successor-version\""));
    response
}

/// The problem under the names that clients of the security API read.
async fn with_names(response: Response) -> Response {
    if response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/problem+json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MOST_PROBLEM).await else {
        return Problem::new(parts.status, "too_large", "the refusal is larger than can be shown").into_response();
    };
    let named = serde_json::from_slice(&bytes).ok().map(|mut problem: Value| {
        (problem["error"], problem["message"]) = (problem["code"].clone(), problem["detail"].clone());
        problem.to_string()
    });
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, named.map_or_else(|| Body::from(bytes), Body::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surface_is_what_its_path_is_below() {
        let version = |path: &str| Surface::of(path).map(|surface| surface.versions[0]);
        assert_eq!((version("/api/v2"), version("/api/v2/events")), (Some("2.0"), Some("2.0")));
        assert_eq!(version("/api/integration/users"), Some("1.0"));
        for none in ["/api/v20", "/api/v2.1/events", "/api/v3-beta", "/api", "/livez", "/api/integrations", "/v2"] {
            assert_eq!(version(none), None, "{none}");
        }
    }
}
