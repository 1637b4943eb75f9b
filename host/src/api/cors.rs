//! Web pages of others that may use the API from a browser (Fetch Standard, "CORS protocol"): those that the operator
//! names, and no others. Never with cookies, which the API knows nothing of: a page has to bring a token of its own.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::versions;

/// How long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Nothing where no page may.
pub fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static(versions::HEADER),
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER, HeaderName::from_static(versions::HEADER)])
        .max_age(MAX_AGE);
    (!origins.is_empty()).then_some(layer)
}
