use bulkhead_core::SystemClock;
use secrecy::SecretString;

use super::*;
use crate::egress::SystemResolver;
use crate::egress::redact::MARK;

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

pub(super) fn means() -> Means {
    let (metrics, clock): (_, Arc<dyn Clock>) = (Metrics::new(), Arc::new(SystemClock::default()));
    let watch = Watch::new(Arc::default(), metrics.guest("siem", "hec"), Arc::clone(&clock));
    Means { resolver: Arc::new(SystemResolver), metrics, clock, windows: Arc::default(), watch: Arc::new(watch), receipts: None, tokens: Arc::default() }
}

/// A request as it would go out, or the words of the refusal.
async fn applied(credential: &Credential, target: &str, body: &[u8], id: &str, now: u64) -> Result<(HeaderMap, String), String> {
    let (mut headers, mut target) = (HeaderMap::new(), target.to_owned());
    let mut outgoing = Outgoing {
        destination: "primary",
        method: &Method::POST,
        origin: "https://example.com",
        headers: &mut headers,
        target: &mut target,
        body,
        message_id: id,
        now: Duration::from_secs(now),
    };
    match credential.apply(&mut outgoing, &means()).await {
        Ok(_) => Ok((headers, target)),
        Err(ApplyError::Invalid(text) | ApplyError::Denied(text) | ApplyError::Unavailable(text)) => Err(text),
    }
}

#[track_caller]
fn header(headers: &HeaderMap, name: &str, want: &str) {
    assert_eq!(headers.get(name).and_then(|value| value.to_str().ok()), Some(want), "{name}");
}

#[tokio::test]
async fn simple_kinds() {
    let splunk = Credential::header("hec", "Authorization", "Splunk ", secret("12345678-1234")).expect("valid");
    header(&applied(&splunk, "/", b"", "", 0).await.expect("applies").0, "authorization", "Splunk 12345678-1234");
    let bearer = Credential::bearer("b", secret("token-value")).expect("valid");
    header(&applied(&bearer, "/", b"", "", 0).await.expect("applies").0, "authorization", "Bearer token-value");
    // RFC 7617 §2.
    let basic = Credential::basic("b", "Aladdin", secret("open sesame")).expect("valid");
    header(&applied(&basic, "/", b"", "", 0).await.expect("applies").0, "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    let query = Credential::query("q", "sig", secret("a/b+c=d e")).expect("valid");
    assert_eq!(applied(&query, "/x", b"", "", 0).await.expect("applies").1, "/x?sig=a%2Fb%2Bc%3Dd%20e");
    assert_eq!(applied(&query, "/x?y=1", b"", "", 0).await.expect("applies").1, "/x?y=1&sig=a%2Fb%2Bc%3Dd%20e");
}

#[tokio::test]
async fn published_signatures() {
    for (key, id, time, body, want) in [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ] {
        let credential = Credential::hmac("hook", Scheme::StandardWebhooks, vec![secret(key)]).expect("valid");
        let (headers, _) = applied(&credential, "/", body.as_bytes(), id, time).await.expect("applies");
        header(&headers, "webhook-id", id);
        header(&headers, "webhook-timestamp", &time.to_string());
        header(&headers, "webhook-signature", want);
    }
    let datavault = Credential::hmac("hook", Scheme::Datavault, vec![secret("test-secret")]).expect("valid");
    let (headers, _) = applied(&datavault, "/", br#"{"id":"evt-1","severity":"high"}"#, "evt-1", 0).await.expect("applies");
    header(&headers, "x-webhook-signature", "sha256=2609ea51e7b83f3a2b375e2beb53b85d932fe72ade93e3e96bc56e06176e2247");
    header(&headers, "x-webhook-id", "evt-1");
    let github = Credential::hmac("hook", Scheme::Datavault, vec![secret("It's a Secret to Everybody")]).expect("valid");
    header(
        &applied(&github, "/", b"Hello, World!", "", 0).await.expect("applies").0,
        "x-webhook-signature",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    );
}

#[tokio::test]
async fn both_secrets_sign_during_a_rotation() {
    let keys = vec![secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")];
    let credential = Credential::hmac("hook", Scheme::StandardWebhooks, keys).expect("valid");
    let (headers, _) = applied(&credential, "/", br#"{"test": 2432232314}"#, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330).await.expect("applies");
    let value = headers.get("webhook-signature").and_then(|value| value.to_str().ok()).expect("a signature");
    let both: Vec<&str> = value.split(' ').collect();
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn message_ids_are_checked() {
    let credential = Credential::hmac("hook", Scheme::StandardWebhooks, vec![secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).expect("valid");
    for (id, want) in [("", "`message-id` is empty"), ("a.b", "without `.`"), ("a\r\nb", "visible ASCII"), (&"a".repeat(129), "at most 128")] {
        let error = applied(&credential, "/", b"", id, 0).await.expect_err(id);
        assert!(error.contains(want), "{id:?}: {error}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_without_showing_it() {
    let check = |result: Result<Credential, CredentialError>, want: &str| {
        let error = result.map(|credential| format!("{credential:?}")).expect_err(want);
        assert!(error.problem.contains(want), "{error}");
        assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    };
    check(Credential::bearer("x", secret("")), "has 0 bytes");
    check(Credential::bearer("x", secret("hunte")), "has 5 bytes");
    check(Credential::bearer("x", secret("hunter2\r\nx: y")), "line break");
    check(Credential::header("x", "Host", "", secret("hunter22")), "belongs to the host");
    check(Credential::header("x", "content-length", "", secret("hunter22")), "belongs to the host");
    check(Credential::header("x", "a b", "", secret("hunter22")), "no header name");
    check(Credential::basic("x", "a:b", secret("hunter22")), "`:`");
    check(Credential::basic("x", "a", secret("hunter2\n2")), "control character");
    check(Credential::query("x", "a=b", secret("hunter22")), "parameter");
    check(Credential::hmac("x", Scheme::StandardWebhooks, vec![secret("hunter2222")]), "whsec_");
    check(Credential::hmac("x", Scheme::StandardWebhooks, vec![secret("whsec_hunter?")]), "not base64");
    check(Credential::hmac("x", Scheme::Datavault, Vec::<Value>::new()), "0 secrets");
}

#[tokio::test]
async fn nothing_prints_a_value_and_echoes_are_redacted() {
    let all = [
        Credential::header("a", "x-api-key", "Key ", secret("hunter2-header")).expect("valid"),
        Credential::bearer("b", secret("hunter2-bearer")).expect("valid"),
        Credential::basic("c", "user", secret("hunter2-basic")).expect("valid"),
        Credential::query("d", "sig", secret("hunter2/query")).expect("valid"),
        Credential::hmac("e", Scheme::Datavault, vec![secret("hunter2-hmac")]).expect("valid"),
    ];
    for credential in &all {
        assert!(!format!("{credential:?}").contains("hunter2"), "{credential:?}");
        let redactor = credential.guard(Redactor::default());
        let (headers, target) = applied(credential, "/x", b"", "id-1", 0).await.expect("applies");
        let mut echo = target;
        for (name, value) in &headers {
            echo.push_str(&format!("\n{name}: {}", value.to_str().expect("text")));
        }
        let redacted = redactor.text(&echo);
        assert!(!redacted.contains("hunter2"), "{redacted}");
        if !matches!(credential.kind, Kind::Hmac { .. }) {
            assert!(redacted.contains(MARK), "{redacted}");
        }
        assert!(!format!("{headers:?}").contains("hunter2"), "{headers:?}");
    }
}
