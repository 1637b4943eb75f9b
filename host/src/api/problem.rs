//! Errors of the API as problem details (RFC 9457) with a stable code.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Longest text of a refusal that is not ours, in bytes.
const MOST_TEXT: usize = 4 << 10;

/// A refusal: what clients branch on (`code`), and words for people.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<serde_json::Value>,
    retry_after: Option<u32>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// What is wrong, one by one.
    pub fn errors(self, errors: Vec<serde_json::Value>) -> Self {
        Self { errors, ..self }
    }

    /// With the pointers of what is wrong as the request has them.
    pub fn pointers(mut self, own: impl Fn(&str, &serde_json::Value) -> Option<String>) -> Self {
        for error in &mut self.errors {
            if let Some(pointer) = error["pointer"].as_str().and_then(|pointer| own(pointer, error)) {
                error["pointer"] = pointer.into();
            }
        }
        self
    }

    /// Seconds after which it may work.
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// What a record says of it.
    pub fn parts(&self) -> (StatusCode, &'static str) {
        (self.status, self.code)
    }

    /// Works again by itself, or once somebody sees to what the log says.
    pub fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        if bulkhead_store::is_unavailable(error) {
            return Self::store(error);
        }
        tracing::error!(error = %Chain(error), "request failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string()).retry_after(5)
    }

    /// The database of the store is away. Delivery and intake go on; the log says so once, not for each request.
    fn store(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::debug!(error = %Chain(error), "request failed: no store");
        let detail = "the store cannot be reached or does not answer in time; events are taken in and delivered all the same";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(5)
    }

    /// The detail goes to the log, not outward. A store that is away is told as such: it may be back at the next try.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        if bulkhead_store::is_unavailable(error) {
            return Self::store(error);
        }
        tracing::error!(error = %Chain(error), "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed inside; the log says why")
    }
}

/// Refusals of the framework itself, such as a query that cannot be read or a body that is too large, as problem
/// documents like all others.
pub async fn uniform(response: Response) -> Response {
    let status = response.status();
    let plain = response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !status.is_client_error() || !plain {
        return response;
    }
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "content_type",
        _ => "bad_request",
    };
    let text = axum::body::to_bytes(response.into_body(), MOST_TEXT).await.unwrap_or_default();
    Problem::new(status, code, String::from_utf8_lossy(&text)).into_response()
}

/// An error with its causes, on one line.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "type": format!("urn:bulkhead:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            body["errors"] = self.errors.into();
        }
        let mut response = (self.status, body.to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
