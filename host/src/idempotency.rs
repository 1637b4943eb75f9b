//! `Idempotency-Key` on changes through the API (draft-ietf-httpapi-idempotency-key-header-07): a change that is sent
//! again under its key is not made again, and hears what the first one was told.
//!
//! Promises: a key counts for whoever sent it, for [`WINDOW`]; that a change begins is on disk before it does, its
//! answer before it is given. Only what was done is kept: what was refused may be tried again under its key. A change
//! that a crash cut off is neither made again nor passed off as made. Refuses to keep an answer that holds a secret:
//! it stays in the answer that made it, and nowhere else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulkhead_access::Principal;
use bulkhead_core::Clock;
use bulkhead_store::{ApiAnswers, KeptAnswer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::problem::{Chain, Problem};

const NAME: &str = "idempotency-key";
/// On an answer that was given before.
const AGAIN: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key.
const LONGEST_KEY: usize = 255;
/// For how long an answer is kept.
pub const WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// Longest answer that is kept.
const LONGEST: usize = 16 << 10;
/// Largest body of a change with a key; that of an import is the largest.
const MAX_BODY: usize = 32 << 20;
/// Header fields that belong to an answer.
const FIELDS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];
/// Changes whose answers hold a secret.
const SECRET: [&str; 6] = ["api_keys.create", "api_keys.rotate", "auth_configs.authorize", "users.totp", "webhooks.make", "webhooks.rotate_secret"];
/// How secrets of this host begin; an answer with one is never kept, whichever change it is of.
const MARKS: [&str; 5] = ["bha_", "bhk_", "bhr_", "otpauth:", "whsec_"];
/// Changes that take no key: a component goes to disk as it comes, and is one version anyway; bodies with passwords in
/// them leave no mark on disk by which one could be guessed. Those can be repeated as they are: what is there is 409.
const WITHOUT: [&str; 7] = ["connectors.upload", "connectors.put", "users.create", "users.password", "auth_configs.make", "auth_configs.put", "entries.import"];

/// Keys, and what was answered under them.
pub struct Idempotency {
    answers: ApiAnswers,
    clock: Arc<dyn Clock>,
    /// Changes of this process that are not answered yet; a row without an answer and without a place here was cut off.
    under_way: Mutex<HashSet<[u8; 32]>>,
}

/// A change that is made for the first time under its key.
pub struct Claim {
    of: Arc<Idempotency>,
    scope: [u8; 32],
    action: &'static str,
}

impl Idempotency {
    pub fn new(answers: ApiAnswers, clock: &Arc<dyn Clock>) -> Self {
        Self { answers, clock: Arc::clone(clock), under_way: Mutex::default() }
    }

    /// The request on its way to its handler, with a claim where it has a key; or the answer. Not cancel safe: it may
    /// have claimed its key.
    pub async fn begin(self: &Arc<Self>, caller: &Principal, action: &'static str, request: Request) -> Result<(Request, Option<Claim>), Response> {
        let key = match key(request.headers()) {
            Ok(None) => return Ok((request, None)),
            Ok(Some(key)) if !WITHOUT.contains(&action) => key.to_owned(),
            Ok(Some(_)) => {
                let detail =
                    "this change takes no key, for it can be sent again as it is: the same component is one version, what has been made is answered 409";
                return Err(refusal(StatusCode::BAD_REQUEST, "idempotency_key_unsupported", detail));
            }
            Err(problem) => return Err(problem.into_response()),
        };
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, MAX_BODY).await else {
            let detail = format!("the body of a change with an `Idempotency-Key` has at most {MAX_BODY} bytes");
            return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &detail));
        };
        let (actor, tenant) = (caller.actor.as_bytes(), caller.tenant.as_ref().map(|tenant| tenant.as_str().as_bytes()));
        // Two tenants may have people of one name.
        let scope = tenant.map_or_else(|| hash(&[actor, key.as_bytes()]), |tenant| hash(&[actor, key.as_bytes(), tenant]));
        let if_match = parts.headers.get(header::IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let fingerprint = hash(&[parts.method.as_str().as_bytes(), target.as_bytes(), if_match, &body]);
        if !self.lock().insert(scope) {
            return Err(under_way());
        }
        let claim = Claim { of: Arc::clone(self), scope, action };
        let now_ms = self.clock.unix_ms();
        let since_ms = now_ms.saturating_sub(i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX));
        match self.answers.begin(&scope, &fingerprint, now_ms, since_ms).await {
            Ok(None) => Ok((Request::from_parts(parts, Body::from(body)), Some(claim))),
            Ok(Some(kept)) => Err(known(&kept, &fingerprint)),
            Err(error) => Err(Problem::unavailable(&error).into_response()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Keeps the answer of what was done; what was refused leaves its key free. On disk when it returns, as far as the
    /// store takes it: where it does not, the key stands for a change of which it is not known what became.
    pub async fn answered(self, response: Response) -> Response {
        let status = response.status();
        if !status.is_success() {
            if let Err(error) = self.of.answers.forget(&self.scope).await {
                tracing::warn!(error = %Chain(&error), action = self.action, "the idempotency key of a refused change is still taken");
            }
            return response;
        }
        let (parts, body) = response.into_parts();
        // Whoever made the answer holds all of it in memory.
        let body = match to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(error) => return Problem::internal(&error).into_response(),
        };
        if let Err(error) = self.of.answers.keep(&self.scope, &kept(self.action, status, &parts.headers, &body)).await {
            tracing::warn!(error = %Chain(&error), action = self.action, "an answer is not kept for its idempotency key");
        }
        Response::from_parts(parts, Body::from(body))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.of.lock().remove(&self.scope);
    }
}

/// An answer as it is kept: status and header fields in JSON, on a line of their own, and the body behind it; nothing
/// of a body that is not to be kept, and why.
fn kept(action: &str, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Vec<u8> {
    let fields: Vec<[&str; 2]> = FIELDS.iter().filter_map(|name| Some([name.as_str(), headers.get(name)?.to_str().ok()?])).collect();
    let marked = || MARKS.iter().any(|mark| body.windows(mark.len()).any(|part| part == mark.as_bytes()));
    let left_out = if SECRET.contains(&action) || marked() {
        Some("it held a secret, which is in no second one")
    } else if body.len() > LONGEST {
        Some("it was too long to be kept")
    } else {
        None
    };
    let mut kept = json!({"status": status.as_u16(), "fields": fields, "left_out": left_out}).to_string().into_bytes();
    kept.push(b'\n');
    if left_out.is_none() {
        kept.extend_from_slice(body);
    }
    kept
}

/// What stands under a key already.
fn known(kept: &KeptAnswer, fingerprint: &[u8; 32]) -> Response {
    if kept.fingerprint != fingerprint {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "this `Idempotency-Key` came with another request before");
    }
    let Some(answer) = &kept.answer else {
        let detail = "this change was begun and never answered: the host that made it ended, or is another one and still at it; look whether it was made, and use another key";
        return refusal(StatusCode::CONFLICT, "idempotency_unknown", detail);
    };
    let mut parts = answer.splitn(2, |byte| *byte == b'\n');
    let (head, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let head: Value = serde_json::from_slice(head).unwrap_or_default();
    let status = head["status"].as_u64().and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    let Some(status) = status else { return refusal(StatusCode::CONFLICT, "idempotency_unknown", "the answer that was kept cannot be read") };
    let mut response = match head["left_out"].as_str() {
        Some(why) => {
            let detail = format!("this change was made, and answered {}; {why}", status.as_u16());
            refusal(StatusCode::CONFLICT, "idempotency_not_kept", &detail)
        }
        None => (status, body.to_vec()).into_response(),
    };
    for field in head["fields"].as_array().into_iter().flatten() {
        let (Some(name), Some(value)) = (field[0].as_str(), field[1].as_str()) else { continue };
        let own = head["left_out"].is_string() && name == header::CONTENT_TYPE.as_str();
        if let (Ok(name), Ok(value), false) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>(), own) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(AGAIN, HeaderValue::from_static("true"));
    response
}

fn under_way() -> Response {
    Problem::new(StatusCode::CONFLICT, "idempotency_under_way", "the first request with this `Idempotency-Key` is not answered yet")
        .retry_after(1)
        .into_response()
}

fn refusal(status: StatusCode, code: &'static str, detail: &str) -> Response {
    Problem::new(status, code, detail).into_response()
}

/// The key of a request, where it has one, bare or in quotes as the draft has it.
fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = || {
        let detail = format!("`Idempotency-Key` must be one key of 1 to {LONGEST_KEY} visible ASCII characters, bare or in quotes");
        Problem::bad_request("invalid_idempotency_key", detail)
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none()).ok_or_else(wrong)?.trim();
    let key = text.strip_prefix('"').map_or(Some(text), |rest| rest.strip_suffix('"')).ok_or_else(wrong)?;
    let fits = (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if fits { Ok(Some(key)) } else { Err(wrong()) }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(action: &'static str, body: &str) -> KeptAnswer {
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::LOCATION, HeaderValue::from_static("/there")),
        ]);
        KeptAnswer { fingerprint: vec![1; 32], answer: Some(kept(action, StatusCode::CREATED, &headers, &Bytes::from(body.to_owned()))) }
    }

    async fn shown(response: Response) -> (u16, String, String) {
        let (status, again) = (response.status().as_u16(), response.headers().contains_key(AGAIN));
        let place = response.headers().get(header::LOCATION).and_then(|place| place.to_str().ok()).unwrap_or_default().to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, format!("{again} {place}"), String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn an_answer_is_given_again_but_for_its_secrets() {
        let again = shown(known(&response("routes.make", "{\n}"), &[1; 32])).await;
        assert_eq!(again, (201, "true /there".into(), "{\n}".into()));
        for (action, body) in [("webhooks.make", "{}"), ("any.other", "{\"secret\": \"whsec_abc\"}"), ("any.other", &"x".repeat(LONGEST + 1))] {
            let kept = response(action, body);
            assert!(!kept.answer.as_ref().expect("kept").windows(6).any(|part| part == b"whsec_"));
            let (status, place, text) = shown(known(&kept, &[1; 32])).await;
            assert_eq!((status, place.as_str()), (409, "true /there"), "{text}");
            assert!(text.contains("idempotency_not_kept"), "{text}");
        }
    }

    #[tokio::test]
    async fn another_request_under_the_same_key_and_one_that_was_cut_off_are_refused() {
        let (status, _, text) = shown(known(&response("a", "{}"), &[2; 32])).await;
        assert!(status == 422 && text.contains("idempotency_key_reused"), "{text}");
        let (status, _, text) = shown(known(&KeptAnswer { fingerprint: vec![1; 32], answer: None }, &[1; 32])).await;
        assert!(status == 409 && text.contains("idempotency_unknown"), "{text}");
    }

    #[test]
    fn a_key_is_one_short_word_with_or_without_quotes() {
        let of = |values: &[&str]| {
            let headers: HeaderMap = values.iter().map(|value| (HeaderName::from_static(NAME), HeaderValue::from_str(value).expect("a value"))).collect();
            key(&headers).map(|key| key.map(str::to_owned)).map_err(drop)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["\"8e03\""]), of(&["8e03"]));
        for wrong in [&["a b"][..], &["\"open"], &["one", "two"], &[""], &[&"k".repeat(256)]] {
            assert_eq!(of(wrong), Err(()), "{wrong:?}");
        }
    }
}
