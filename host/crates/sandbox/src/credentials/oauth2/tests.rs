use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use bulkhead_core::receipt::{ExchangeEnd, Identity, Receipt, ReceiptRoom, ReceiptSink};

use super::super::ApplyError;
use super::super::tests::means;
use super::*;
use crate::attempt::Receipts;
use crate::credentials::{KeepGrants, KeptGrant, RefreshTokens};
use crate::egress::redact::Redactor;

/// A token endpoint: requests it saw, and what it answers to the nth.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicU32>,
}

async fn server(answer: impl Fn(u32) -> (u16, String) + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/oauth2/token", listener.local_addr().expect("bound"));
    let server = Server { url, seen: Arc::default(), count: Arc::default() };
    let (seen, count, answer) = (Arc::clone(&server.seen), Arc::clone(&server.count), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (seen, count, answer) = (Arc::clone(&seen), Arc::clone(&count), Arc::clone(&answer));
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                loop {
                    let whole = loop {
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse::<usize>().ok());
                        if let (Some(end), Some(length)) = (text.find("\r\n\r\n"), length)
                            && bytes.len() >= end + 4 + length
                        {
                            break end + 4 + length;
                        }
                        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                            return;
                        }
                    };
                    seen.lock().expect("lock").push(String::from_utf8_lossy(&bytes[..whole]).into_owned());
                    bytes.drain(..whole);
                    let (status, body) = answer(count.fetch_add(1, Ordering::SeqCst) + 1);
                    let reply = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    server
}

fn tokens(life: u32) -> impl Fn(u32) -> (u16, String) + Send + Sync + 'static {
    move |number| (200, format!(r#"{{"access_token":"hunter2-token-{number}","token_type":"Bearer","expires_in":{life}}}"#))
}

fn secret(text: &str) -> Value {
    SecretString::from(text.to_owned()).into()
}

fn settings(server: &Server) -> OAuth2Settings {
    OAuth2Settings {
        tenant: None,
        endpoint: DestinationSettings { url: server.url.clone(), ..DestinationSettings::default() },
        grant: Grant::ClientCredentials,
        client_id: "bulk:head".into(),
        client_secret: Some(secret("hunter2 secret/+")),
        client_auth: ClientAuth::Basic,
        scope: Some("a b".into()),
        audience: None,
        parameters: BTreeMap::from([("resource".into(), "https://x/?y=1&z".into())]),
    }
}

async fn applied(credential: &Credential, means: &Means) -> Result<(String, Option<Used>), ApplyError> {
    let mut headers = HeaderMap::new();
    let mut target = "/".to_owned();
    let mut outgoing = Outgoing {
        destination: "primary",
        method: &Method::POST,
        origin: "https://example.com",
        headers: &mut headers,
        target: &mut target,
        body: b"",
        message_id: "",
        now: Duration::ZERO,
    };
    let used = credential.apply(&mut outgoing, means).await?;
    assert!(!format!("{headers:?}").contains("hunter2"), "{headers:?}");
    Ok((headers["authorization"].to_str().expect("text").to_owned(), used))
}

#[tokio::test]
async fn a_hundred_requests_ask_for_one_token() {
    let server = server(tokens(3600)).await;
    let credential = Arc::new(Credential::oauth2("graph", settings(&server)).expect("valid"));
    let means = means();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let (credential, means) = (Arc::clone(&credential), means.clone());
            tokio::spawn(async move { applied(&credential, &means).await.map(|(header, _)| header) })
        })
        .collect();
    for one in asking {
        assert_eq!(one.await.expect("no panic"), Ok("Bearer hunter2-token-1".to_owned()));
    }
    let seen = server.seen.lock().expect("lock").clone();
    assert_eq!(seen.len(), 1);
    // Both parts form-encoded, then base64 (RFC 6749 §2.3.1): `bulk%3Ahead:hunter2+secret%2F%2B`.
    assert!(seen[0].starts_with("POST /oauth2/token HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("\r\nauthorization: Basic YnVsayUzQWhlYWQ6aHVudGVyMitzZWNyZXQlMkYlMkI=\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"), "{}", seen[0]);
    assert!(seen[0].ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b&resource=https%3A%2F%2Fx%2F%3Fy%3D1%26z"), "{}", seen[0]);
    let redactor = credential.guard(Redactor::default());
    assert_eq!(redactor.text("hunter2-token-1 aHVudGVyMi10b2tlbi0x hunter2 secret/+"), "[redacted] [redacted] [redacted]");
    assert!(!format!("{credential:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_client_may_say_who_it_is_in_the_body() {
    let server = server(tokens(3600)).await;
    let mut settings = settings(&server);
    (settings.client_auth, settings.scope, settings.audience, settings.parameters) = (ClientAuth::Body, None, Some("api".into()), BTreeMap::new());
    let credential = Credential::oauth2("graph", settings).expect("valid");
    applied(&credential, &means()).await.expect("a token");
    let seen = server.seen.lock().expect("lock")[0].clone();
    assert!(!seen.contains("authorization"), "{seen}");
    assert!(seen.ends_with("\r\n\r\ngrant_type=client_credentials&client_id=bulk%3Ahead&audience=api&client_secret=hunter2+secret%2F%2B"), "{seen}");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let server = server(tokens(3600)).await;
    let credential = Credential::oauth2("graph", settings(&server)).expect("valid");
    let means = means();
    let (first, used) = applied(&credential, &means).await.expect("a token");
    credential.answered(used.as_ref(), 200, means.clock.monotonic());
    assert_eq!(first, "Bearer hunter2-token-1");
    credential.answered(used.as_ref(), 401, means.clock.monotonic());
    let (second, used) = applied(&credential, &means).await.expect("a token");
    assert_eq!(second, "Bearer hunter2-token-2");
    // The receiver refuses everything: no third one for now.
    credential.answered(used.as_ref(), 401, means.clock.monotonic());
    assert_eq!(applied(&credential, &means).await.expect("a token").0, "Bearer hunter2-token-2");
    assert_eq!(server.count.load(Ordering::SeqCst), 2);
    // What is under way with the first one is redacted, too.
    let redactor = credential.guard(Redactor::default());
    assert_eq!(redactor.text("hunter2-token-1 hunter2-token-2"), "[redacted] [redacted]");
}

#[tokio::test]
async fn a_rotated_refresh_token_is_used_next() {
    let server = server(|number| {
        (200, format!(r#"{{"access_token":"hunter2-token-{number}","token_type":"Bearer","expires_in":1,"refresh_token":"hunter2-refresh-{number}"}}"#))
    })
    .await;
    let mut settings = settings(&server);
    (settings.grant, settings.client_secret) = (Grant::RefreshToken(secret("hunter2-refresh-0")), None);
    let credential = Credential::oauth2("graph", settings).expect("valid");
    let means = means();
    let until = Instant::now() + Duration::from_secs(20);
    while server.count.load(Ordering::SeqCst) < 2 {
        applied(&credential, &means).await.expect("a token");
        assert!(Instant::now() < until, "no second token");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = server.seen.lock().expect("lock").clone();
    assert!(
        seen[0].contains("grant_type=refresh_token&client_id=bulk%3Ahead&scope=a+b&resource=https%3A%2F%2Fx%2F%3Fy%3D1%26z&refresh_token=hunter2-refresh-0"),
        "{}",
        seen[0]
    );
    assert!(
        seen[1].contains("grant_type=refresh_token&client_id=bulk%3Ahead&scope=a+b&resource=https%3A%2F%2Fx%2F%3Fy%3D1%26z&refresh_token=hunter2-refresh-1"),
        "{}",
        seen[1]
    );
    let redactor = credential.guard(Redactor::default());
    assert_eq!(redactor.text("hunter2-refresh-0 hunter2-refresh-1"), "[redacted] [redacted]");
}

#[tokio::test]
async fn failures_are_told_apart_and_not_repeated() {
    for (status, body, want) in [
        (
            401,
            r#"{"error":"invalid_client","error_description":"no hunter2 secret/+"}"#,
            ApplyError::Denied("credential `graph`: the token endpoint answered 401 invalid_client".into()),
        ),
        (503, "hunter2", ApplyError::Unavailable("credential `graph`: the token endpoint answered 503".into())),
        (200, "hunter2", ApplyError::Unavailable("credential `graph`: the token endpoint answered 200 without an access token in JSON".into())),
    ] {
        let server = server(move |_| (status, body.to_owned())).await;
        let credential = Credential::oauth2("graph", settings(&server)).expect("valid");
        let means = means();
        for _ in 0..50 {
            assert_eq!(applied(&credential, &means).await.map(|(header, _)| header), Err(want.clone()));
        }
        assert_eq!(server.count.load(Ordering::SeqCst), 1, "{status}");
    }
}

/// The token endpoint passes the decision that guests' destinations pass.
#[tokio::test]
async fn the_endpoint_is_a_destination_like_any_other() {
    let server = server(tokens(3600)).await;
    let settings = |url: &str| OAuth2Settings { endpoint: DestinationSettings { url: url.into(), ..DestinationSettings::default() }, ..settings(&server) };
    for (url, want) in [
        (
            "http://169.254.169.254/token",
            "`token_url`: its `url` names the cloud metadata address 169.254.169.254; set `allow_metadata: true` if that is meant",
        ),
        ("https://u:p@login.example.com/token", "`token_url`: its `url` holds a user name; use a credential of type basic instead"),
        ("file:///etc/passwd", "`token_url`: its `url` has the scheme `file`; http and https can be used"),
    ] {
        let error = Credential::oauth2("graph", settings(url)).expect_err("refused");
        assert_eq!(error.problem, want);
    }
    struct Private;
    impl crate::egress::Resolve for Private {
        fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, std::io::Result<Vec<std::net::IpAddr>>> {
            Box::pin(std::future::ready(Ok(vec!["10.0.0.7".parse().expect("an address")])))
        }
    }
    let credential = Credential::oauth2("graph", settings("http://login.example.com/token")).expect("valid");
    let means = Means { resolver: Arc::new(Private), ..means() };
    let refused = applied(&credential, &means).await.map(|(header, _)| header);
    let text = "credential `graph`: the token endpoint gave no answer: destination `token` leads to 10.0.0.7, a private address; add its network to `addresses` to allow it (rule 7)";
    assert_eq!(refused, Err(ApplyError::Denied(text.into())));
    assert_eq!(server.count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let server = server(tokens(1)).await;
    let check = |change: &dyn Fn(&mut OAuth2Settings), want: &str| {
        let mut settings = settings(&server);
        change(&mut settings);
        assert_eq!(Credential::oauth2("graph", settings).map(drop).map_err(|error| error.problem), Err(want.to_owned()));
    };
    check(&|settings| settings.client_secret = None, "`client_secret` is missing: this grant needs it");
    check(&|settings| settings.client_id.clear(), "`client_id` is empty or has a control character");
    check(
        &|settings| {
            settings.parameters.insert("client_secret".into(), "x".into());
        },
        "`parameters` has `client_secret`, which has a key of its own or is the host's",
    );
    check(
        &|settings| settings.client_secret = Some(secret("short")),
        "the secret has 5 bytes; with fewer than 6 it could not be taken out of answers and logs without destroying them",
    );
}

/// Keeps receipts.
#[derive(Clone, Default)]
struct Drawer(Arc<Mutex<Vec<Receipt>>>);

impl ReceiptSink for Drawer {
    fn room(&self) -> BoxFuture<'_, Box<dyn ReceiptRoom>> {
        Box::pin(std::future::ready(Box::new(self.clone()) as Box<dyn ReceiptRoom>))
    }
}

impl ReceiptRoom for Drawer {
    fn put(self: Box<Self>, receipt: Receipt) {
        self.0.lock().expect("lock").push(receipt);
    }
}

#[tokio::test]
async fn a_token_is_on_the_account_of_the_instance_that_asks() {
    let asking = |server: &Server, bytes: u64| {
        let credential = Credential::oauth2("graph", settings(server)).expect("valid");
        let (sink, mut limits) = (Drawer::default(), Limits::default());
        limits.set(Limit::BytesOut, bytes).expect("within");
        let means = means();
        let watch = Arc::new(Watch::new(Arc::new(limits), means.metrics.guest("siem", "hec"), Arc::clone(&means.clock)));
        let identity = Arc::new(Identity { instance: "siem".into(), ..Identity::default() });
        let windows = Arc::new(crate::egress::window::Windows::new([&"primary".to_owned()].into_iter()));
        let receipts = Some(Arc::new(Receipts { sink: Arc::new(sink.clone()), identity }));
        (credential, Means { watch, windows, receipts, ..means }, sink)
    };
    let server = server(tokens(3600)).await;
    let (credential, means, sink) = asking(&server, 100);
    assert!(applied(&credential, &means).await.is_ok());
    let form = server.seen.lock().expect("lock")[0].split_once("\r\n\r\n").expect("a body").1.len() as u64;
    let receipts = std::mem::take(&mut *sink.0.lock().expect("lock"));
    let [receipt] = &receipts[..] else { panic!("{receipts:?}") };
    assert_eq!((receipt.call, &*receipt.identity.instance, receipt.end, receipt.sent), ("token", "siem", CallEnd::Answered, form));
    let [exchange] = &receipt.exchanges[..] else { panic!("{receipt:?}") };
    assert_eq!((exchange.destination.as_str(), exchange.method.as_str(), exchange.end), ("credentials.graph", "POST", ExchangeEnd::Status(200)));
    assert_eq!(exchange.address.map(|address| format!("http://{address}/oauth2/token")), Some(server.url.clone()));
    assert!(!format!("{receipt:?}").contains("hunter2"), "{receipt:?}");
    let costs = means.watch.costs();
    assert_eq!((costs.bytes_out.get(), costs.bytes_in.get()), (receipt.sent, receipt.received));
    let rest = means.windows.send("primary", 100 - form + 1, means.clock.monotonic(), &means.watch);
    assert!(rest.is_err_and(|text| text.starts_with("destination `primary`: bytes_out of 100 bytes reached: 101 bytes asked for")));

    let (credential, means, sink) = asking(&server, form - 1);
    let refused = applied(&credential, &means).await.map(|(header, _)| header);
    let Err(ApplyError::Unavailable(text)) = refused else { panic!("{refused:?}") };
    assert!(text.starts_with(&format!("destination `primary`: bytes_out of {} bytes reached: {form} bytes asked for", form - 1)), "{text}");
    assert_eq!((server.count.load(Ordering::SeqCst), sink.0.lock().expect("lock").len()), (1, 0), "nothing was asked for");
}

fn connectable(server: &Server) -> Credential {
    let grant = Grant::AuthorizationCode {
        url: "https://login.example.com/authorize?tenant=a".into(),
        parameters: BTreeMap::from([("access_type".into(), "offline".into())]),
    };
    Credential::oauth2("graph", OAuth2Settings { grant, client_secret: None, parameters: BTreeMap::new(), ..settings(server) }).expect("valid")
}

fn kind(credential: &Credential) -> &OAuth2 {
    let super::super::Kind::OAuth2(oauth2) = &credential.kind else { panic!("another kind") };
    oauth2
}

/// Nobody agreed: nothing is asked for. Somebody agrees: the code is exchanged, and the refresh token that came of it
/// and those that replace it are the ones to go on with, for whoever holds the credential.
#[tokio::test]
async fn somebody_connects_it() {
    let answers = |number: u32| match number {
        4 => (400, r#"{"error":"invalid_grant"}"#.to_owned()),
        _ => (200, format!(r#"{{"access_token":"hunter2-token-{number}","token_type":"Bearer","expires_in":1,"refresh_token":"hunter2-refresh-{number}"}}"#)),
    };
    let server = server(answers).await;
    let (credential, means) = (connectable(&server), means());
    assert!(matches!(applied(&credential, &means).await, Err(ApplyError::Denied(text)) if text.contains("nobody has connected it yet")));
    assert_eq!((kind(&credential).connection(&means.tokens), server.count.load(Ordering::SeqCst)), (Some(Connection::Never), 0));

    let redirect = Url::parse("https://bulkhead.example.com/back").expect("a URL");
    let Some(authorization) = kind(&credential).authorization(&redirect, "the state").expect("random") else { panic!("nothing to connect") };
    let asked: BTreeMap<String, String> = authorization.url.query_pairs().into_owned().collect();
    assert!(authorization.url.as_str().starts_with("https://login.example.com/authorize?tenant=a&"));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "bulk:head"),
        ("redirect_uri", redirect.as_str()),
        ("scope", "a b"),
        ("state", "the state"),
        ("code_challenge_method", "S256"),
        ("access_type", "offline"),
    ] {
        assert_eq!(asked.get(name).map(String::as_str), Some(value), "{name}");
    }
    kind(&credential).connect(SecretString::from("the-code"), &authorization.verifier, &redirect, &means).await.expect("connects");
    assert_eq!((kind(&credential).connection(&means.tokens), means.tokens.generation("graph")), (Some(Connection::Connected), 1));
    let exchange = server.seen.lock().expect("lock")[0].clone();
    for part in
        ["grant_type=authorization_code", "code=the-code", "client_id=bulk%3Ahead", "redirect_uri=https%3A%2F%2Fbulkhead.example.com%2Fback", "code_verifier="]
    {
        assert!(exchange.contains(part), "{part}: {exchange}");
    }

    // Other objects of the same credential, as after a reload, go on where the one before stopped.
    assert_eq!(applied(&connectable(&server), &means).await.expect("a token").0, "Bearer hunter2-token-2");
    let reloaded = connectable(&server);
    assert_eq!(applied(&reloaded, &means).await.expect("a token").0, "Bearer hunter2-token-3");
    let with = |number: usize| server.seen.lock().expect("lock")[number].rsplit_once("refresh_token=").map(|(_, token)| token.to_owned());
    assert_eq!((with(1).as_deref(), with(2).as_deref()), (Some("hunter2-refresh-1"), Some("hunter2-refresh-2")));

    // The server takes it out of service: somebody has to connect it again, and it says so.
    let another = connectable(&server);
    assert!(matches!(applied(&another, &means).await, Err(ApplyError::Denied(text)) if text.contains("invalid_grant")));
    assert!(matches!(kind(&another).connection(&means.tokens), Some(Connection::Lost(text)) if text.contains("invalid_grant")));
    let redactor = another.guard(Redactor::default());
    assert_eq!(redactor.text("hunter2-refresh-3"), "[redacted]");
    // What belongs to another client is none of its.
    let other = Credential::oauth2(
        "graph",
        OAuth2Settings {
            client_id: "other".into(),
            grant: Grant::AuthorizationCode { url: "https://login.example.com/authorize?tenant=a".into(), parameters: BTreeMap::new() },
            client_secret: None,
            parameters: BTreeMap::new(),
            ..settings(&server)
        },
    )
    .expect("valid");
    assert_eq!(kind(&other).connection(&means.tokens), Some(Connection::Never));
    assert!(!other.connects_like(&credential) && reloaded.connects_like(&credential));
}

/// Takes nothing while it is told so, and has what it took last.
#[derive(Default)]
struct Keeper {
    kept: Mutex<Option<KeptGrant>>,
    refuses: std::sync::atomic::AtomicBool,
}

impl KeepGrants for Keeper {
    fn kept<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<KeptGrant>, String>> {
        Box::pin(async { Ok(self.kept.lock().expect("lock").clone()) })
    }

    fn keep<'a>(&'a self, _: &'a str, grant: &'a KeptGrant) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            if self.refuses.load(Ordering::SeqCst) {
                return Err("the disk is full".to_owned());
            }
            *self.kept.lock().expect("lock") = Some(grant.clone());
            Ok(())
        })
    }
}

/// What could not be written is still the newest, and is written later; a token that another host got is not taken for
/// the one that was refused.
#[tokio::test]
async fn the_newest_token_wins_whatever_becomes_of_the_disk() {
    let keeper = Arc::new(Keeper::default());
    let tokens = RefreshTokens::kept_by(Arc::clone(&keeper) as _, []);
    let digest = [7; 32];
    let shown = async || tokens.token("graph", &digest).await.map(|(token, lost)| (token.expose_secret().to_owned(), lost));
    tokens.replaced("graph", digest, SecretString::from("token-0")).await;
    keeper.refuses.store(true, Ordering::SeqCst);
    tokens.replaced("graph", digest, SecretString::from("token-1")).await;
    assert_eq!(shown().await, Some(("token-1".to_owned(), false)));
    keeper.refuses.store(false, Ordering::SeqCst);
    assert_eq!(shown().await, Some(("token-1".to_owned(), false)));
    let on_disk = || keeper.kept.lock().expect("lock").clone().and_then(|grant| grant.token).map(|token| token.expose_secret().to_owned());
    assert_eq!(on_disk().as_deref(), Some("token-1"));

    // Another host replaces it; the refusal of the older one is none of the newer one.
    let newer = KeptGrant { digest, token: Some(Arc::new(SecretString::from("token-2"))), lost: None };
    *keeper.kept.lock().expect("lock") = Some(newer);
    tokens.lost("graph", digest, &SecretString::from("token-1"), "invalid_grant").await;
    assert_eq!(shown().await, Some(("token-2".to_owned(), false)));
    tokens.lost("graph", digest, &SecretString::from("token-2"), "invalid_grant").await;
    assert_eq!((shown().await, tokens.connection("graph", &digest)), (Some(("token-2".to_owned(), true)), Connection::Lost("invalid_grant".into())));
}
