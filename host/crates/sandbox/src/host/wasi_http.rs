//! `wasi:http` of WASI 0.2, outgoing, for libraries of other languages. There is one way out: the URL is
//! matched to a granted destination by origin and base, then decided, sent and limited as a request of
//! `bulkhead:connector/http`. Bodies are read whole before they leave; an answer beyond
//! `limits.http_response` is an error here, because these libraries take a cut body for a whole one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::bill::Bill;
use crate::capabilities::Capabilities;
use crate::egress::client::{Request, Response, SendError};
use crate::egress::{RefusalKind, host_owned};
use crate::limits::{Limit, Limits};
use crate::store::Guest;

/// Requests of one guest that are under way or whose answers it still holds: each takes memory of the
/// host, up to the limits of a request and an answer.
const AT_ONCE: usize = 4;

/// The state of `wasi:http` in one store.
pub struct WasiHttpState {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    capabilities: Option<Arc<Capabilities>>,
    at_once: Arc<Semaphore>,
    deadline: Instant,
    bill: Arc<Bill>,
}

impl WasiHttpState {
    pub fn new(capabilities: Option<Arc<Capabilities>>, limits: &Limits) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(limits.size(Limit::HttpHeaderBytes));
        let hooks = Hooks { capabilities, at_once: Arc::new(Semaphore::new(AT_ONCE)), deadline: Instant::now(), bill: Arc::default() };
        Self { context, hooks }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (deadline, bill) = (self.deadline, Arc::clone(&self.bill));
        let (state, table) = self.wasi_http_and_table();
        state.hooks.deadline = deadline;
        state.hooks.bill = bill;
        WasiHttpCtxView { hooks: &mut state.hooks, table, ctx: &mut state.context }
    }
}

/// What the host sets itself, except the length: libraries set it, the engine checks it against the
/// body, and the host frames the request by the body anyway.
fn forbidden(name: &http::HeaderName) -> bool {
    *name != http::header::CONTENT_LENGTH && host_owned(name.as_str())
}

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &http::HeaderName) -> bool {
        forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(forbidden)
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (capabilities, at_once, deadline, bill) = (self.capabilities.clone(), Arc::clone(&self.at_once), self.deadline, Arc::clone(&self.bill));
        Box::new(async move {
            let capabilities = capabilities.ok_or(Error::HttpRequestDenied)?;
            let place = match timeout_at(deadline, at_once.acquire_owned()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) | Err(_) => return Err(Error::ConnectionLimitReached),
            };
            let (parts, body) = request.into_parts();
            let body = timeout_at(deadline, collect(body, &capabilities)).await.map_err(|_| Error::ConnectionWriteTimeout)??;
            let fields = parts.headers.iter().filter(|(name, _)| **name != http::header::CONTENT_LENGTH);
            let request = Request {
                method: parts.method.as_str().to_owned(),
                headers: fields.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
                body,
                timeout: options.and_then(|options| options.first_byte_timeout.or(options.connect_timeout)),
                ..Request::default()
            };
            let url = absolute(&parts.uri).ok_or(Error::HttpRequestUriInvalid)?;
            let response = capabilities.egress.send_absolute(&bill, &url, request, deadline).await.map_err(error)?;
            let response = answer(response, place, &capabilities.limits)?;
            Ok((response, Box::new(std::future::ready(Ok(()))) as Box<dyn Future<Output = Result<(), Error>> + Send>))
        })
    }
}

/// The whole body. Trailers would pass the rules about header fields by: they are refused.
async fn collect(mut body: WasiBody, capabilities: &Capabilities) -> Result<Vec<u8>, Error> {
    let most = capabilities.limits.enforced(Limit::HttpRequest);
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { return Err(Error::HttpRequestTrailerSectionSize(Some(0))) };
        if (whole.len() + data.len()) as u64 > most {
            capabilities.watch.reached(Limit::HttpRequest);
            return Err(Error::HttpRequestBodySize(Some(most)));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

/// The URL in the form of an operator's: the host in lower case, no port where it is the scheme's own.
/// None for one with user information, which no destination has.
fn absolute(uri: &http::Uri) -> Option<String> {
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    if authority.as_str().contains('@') {
        return None;
    }
    let own = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != own).map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{}{port}{}", authority.host().to_ascii_lowercase(), uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)))
}

fn answer(response: Response, place: OwnedSemaphorePermit, limits: &Limits) -> Result<http::Response<WasiBody>, Error> {
    if response.truncated {
        return Err(Error::HttpResponseBodySize(Some(limits.enforced(Limit::HttpResponse))));
    }
    let mut made = http::Response::builder().status(response.status);
    // The body is here as a whole, perhaps with secrets taken out: these would speak of another one.
    let framing = [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION, http::header::TRAILER];
    for (name, value) in response.headers.iter().filter(|(name, _)| !framing.iter().any(|field| field == name.as_str())) {
        made = made.header(name, value.as_slice());
    }
    let body = Held { body: Full::new(Bytes::from(response.body)), _place: place };
    made.body(body.boxed_unsync()).map_err(|_| Error::HttpProtocolError)
}

/// An answer's body; its place is free for the next request once the guest lets it go.
struct Held {
    body: Full<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context).map_err(|never| match never {})
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The code that libraries know. Words are in the host's log, as for every refusal.
fn error(error: SendError) -> Error {
    match error {
        SendError::Refused(refusal) => match (refusal.kind, refusal.limit) {
            (RefusalKind::Denied, _) => Error::HttpRequestDenied,
            (_, Some(Limit::HttpRequest)) => Error::HttpRequestBodySize(None),
            (_, Some(Limit::HttpHeaderBytes | Limit::HttpHeaderFields)) => Error::HttpRequestHeaderSectionSize(None),
            _ => Error::InternalError(Some(refusal.to_string())),
        },
        SendError::Connect(_) => Error::DestinationUnavailable,
        SendError::Broken(_) => Error::ConnectionTerminated,
        SendError::Timeout => Error::HttpResponseTimeout,
        SendError::Limit(_) => Error::HttpResponseHeaderSectionSize(None),
        SendError::Busy(_) => Error::ConnectionLimitReached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, want: Option<&str>) {
        assert_eq!(uri.parse::<http::Uri>().ok().as_ref().and_then(absolute).as_deref(), want, "{uri}");
    }

    #[test]
    fn urls_take_the_form_of_an_operators() {
        check("https://SIEM.example/a?b=C", Some("https://siem.example/a?b=C"));
        check("https://siem.example:443/a", Some("https://siem.example/a"));
        check("http://siem.example:443/a", Some("http://siem.example:443/a"));
        check("http://127.0.0.1:80", Some("http://127.0.0.1/"));
        check("http://[::1]:8080/x/../y", Some("http://[::1]:8080/x/../y"));
        check("https://siem.example@evil.example/a", None);
        check("/relative", None);
    }

    #[test]
    fn what_the_host_sets_is_forbidden() {
        for (name, want) in [("host", true), ("authorization", true), ("te", true), ("proxy-authorization", true), ("content-length", false), ("accept", false)]
        {
            assert_eq!(forbidden(&http::HeaderName::from_static(name)), want, "{name}");
        }
    }
}
