//! An OpenID provider that others wrote (`oidc-provider` of npm) vouches for people: its tokens, tokens it would never
//! hand out, a provider that is away, and the command line that signs in there.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use bulkhead_tests::http::Client;
use bulkhead_tests::skip::skip;
use bulkhead_tests::{host, port, wait};
use serde_json::{Value, json};

use crate::access::{Guarded, HEALTH, PATH, err, out, problem};
use crate::counterpart::Counterpart;
use crate::sign_in::{command, verb};
use crate::story::PATIENCE;

pub struct Provider {
    at: SocketAddr,
    _server: Counterpart,
}

pub fn provider(test: &str, at: SocketAddr, key: &str) -> Option<Provider> {
    let modules = host::root().join("target/node/node_modules");
    if !modules.join("oidc-provider").is_dir() {
        skip(test, "no oidc-provider in target/node; .ci/run installs it there");
        return None;
    }
    let mut command = Command::new("node");
    command.arg(host::root().join("tests/independent/serve_oidc.mjs")).arg(modules).args([at.port().to_string().as_str(), key]).stderr(Stdio::null());
    Some(Provider { at, _server: Counterpart::start(command) })
}

impl Provider {
    pub fn issuer(&self) -> String {
        format!("http://{}", self.at)
    }

    #[track_caller]
    fn mint(&self, key: &str, header: &Value, claims: &Value) -> String {
        let body = json!({"key": key, "header": header, "claims": claims}).to_string();
        let answer = Client::new(self.at).send("POST", "/test/mint", &[], body.as_bytes()).expect("answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Of somebody with these roles, good for an hour.
    fn claims(&self, roles: &[&str]) -> Value {
        json!({"iss": self.issuer(), "aud": "bulkhead", "sub": "7", "preferred_username": "ada", "exp": now() + 3_600, "realm_access": {"roles": roles}})
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn guarded(provider: &Provider) -> Guarded {
    let oidc = format!(
        r#"{{issuer: "{}", audience: [bulkhead], role_claims: [realm_access.roles, groups], roles: [{{value: team-admins, roles: [security_admin, auditor]}}, {{value: /viewers, roles: security_viewer}}], client_id: bulkhead-cli}}"#,
        provider.issuer()
    );
    Guarded::listening(&format!(r#"{{api: {{addr: "127.0.0.1:0", auth: [keys, oidc], oidc: {oidc}}}, http: "127.0.0.1:0"}}"#))
}

#[test]
fn a_providers_tokens_let_in_and_no_others() {
    let Some(provider) = provider("oidc::a_providers_tokens_let_in_and_no_others", port::free().expect("a port"), "one") else { return };
    let guarded = guarded(&provider);
    let header = json!({"alg": "RS256", "kid": "one", "typ": "at+jwt"});
    let claims = provider.claims(&["team-admins"]);
    let good = provider.mint("own", &header, &claims);
    assert_eq!(guarded.status(&good), 200, "{}", guarded.with(&good, "GET", HEALTH, "").text());
    assert_eq!(guarded.with(&good, "GET", PATH, "").status, 200, "the administrator's list of keys");
    // Roles are what the map says: a group, and none at all.
    let mut viewer = provider.claims(&["security_admin"]);
    viewer["groups"] = json!(["/viewers"]);
    let viewer = provider.mint("own", &header, &viewer);
    assert_eq!(guarded.status(&viewer), 200);
    problem(&guarded.with(&viewer, "GET", PATH, ""), 403, "forbidden");
    problem(&guarded.with(&provider.mint("own", &header, &provider.claims(&["security_admin"])), "GET", HEALTH, ""), 403, "forbidden");

    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        provider.mint("own", &header, &claims)
    };
    let signed = |key: &str, header: Value| provider.mint(key, &header, &claims);
    let cases = [
        ("expired", with("exp", json!(now() - 120)), "token_expired"),
        ("not yet valid", with("nbf", json!(now() + 600)), "token_not_yet"),
        ("of another issuer", with("iss", json!("https://evil.example")), "token_issuer"),
        ("for somebody else", with("aud", json!("another service")), "token_audience"),
        ("without an end", with("exp", Value::Null), "token_malformed"),
        ("huge", with("more", json!("x".repeat(20_000))), "token_too_large"),
        ("alg none", signed("none", json!({"alg": "none", "kid": "one"})), "token_algorithm"),
        ("alg swapped: the public key as a secret", signed("public", json!({"alg": "HS256", "kid": "one"})), "token_algorithm"),
        ("alg that is not allowed", signed("own", json!({"alg": "PS256", "kid": "one"})), "token_algorithm"),
        ("kid unknown", signed("other", json!({"alg": "RS256", "kid": "two"})), "token_key_unknown"),
        ("another key", signed("other", json!({"alg": "RS256", "kid": "one"})), "token_signature"),
        ("for something else", signed("own", json!({"alg": "RS256", "kid": "one", "typ": "logout+jwt"})), "token_malformed"),
        ("a signature cut off", good.rsplit_once('.').map(|(head, _)| format!("{head}.")).expect("three parts"), "token_signature"),
        ("no token at all", "a.b.c".to_owned(), "token_malformed"),
    ];
    for (name, token, code) in &cases {
        let answer = guarded.with(token, "GET", HEALTH, "");
        assert_eq!((answer.status, answer.json().expect("JSON")["code"].as_str()), (401, Some(*code)), "{name}");
    }
    assert_eq!(guarded.status(&good), 200, "and none of them is a guess that closes the address");
    let signed_in = guarded.trail("kind=sign_in&actor=oidc:ada", 1);
    assert_eq!((signed_in.len(), signed_in[0]["actor"].as_str()), (1, Some("oidc:ada")), "once: {signed_in:#?}");
    assert!(!guarded.story.host.log().contains(&good[good.len() - 40..]), "a token is in the log");
}

/// Whose somebody is stands in the rows of roles, or in a claim; who says two, or none where one is asked for, stays
/// outside.
#[test]
fn a_token_says_whose_somebody_is() {
    let Some(provider) = provider("oidc::a_token_says_whose_somebody_is", port::free().expect("a port"), "one") else { return };
    let listening = |more: &str| {
        let issuer = provider.issuer();
        let oidc = format!(r#"{{issuer: "{issuer}", audience: [bulkhead], role_claims: realm_access.roles, {more}}}"#);
        Guarded::listening(&format!(r#"{{api: {{addr: "127.0.0.1:0", auth: [keys, oidc], oidc: {oidc}}}, http: "127.0.0.1:0"}}"#))
    };
    let token = |roles: &[&str], tenant: Value| {
        let mut claims = provider.claims(roles);
        claims["org"] = json!({"tenant": tenant});
        provider.mint("own", &json!({"alg": "RS256", "kid": "one", "typ": "at+jwt"}), &claims)
    };
    let made_by = |guarded: &Guarded, token: &str| {
        let made = guarded.with(token, "POST", PATH, r#"{"name": "made", "roles": ["auditor"]}"#);
        assert_eq!(made.status, 201, "{}", made.text());
        made.json().expect("JSON")["data"]["tenant"].clone()
    };
    let by_roles = listening(
        "roles: [{value: all, roles: security_admin}, {value: acme, roles: [security_admin, integration_admin], tenant: acme}, {value: other, roles: auditor, tenant: other}]",
    );
    assert_eq!(made_by(&by_roles, &token(&["all"], Value::Null)), Value::Null);
    let acme = token(&["all", "acme"], json!("other"));
    assert_eq!(made_by(&by_roles, &acme), "acme", "a value of a tenant takes what is the host's, and no claim is asked");
    let keys = by_roles.with(&acme, "GET", PATH, "").text();
    assert!(keys.contains("\"made\"") && !keys.contains("\"first\""), "{keys}");
    problem(&by_roles.with(&acme, "GET", "/metrics", ""), 403, "host_only");
    problem(&by_roles.with(&token(&["acme", "other"], Value::Null), "GET", HEALTH, ""), 403, "token_tenant");
    let signed_in = by_roles.trail("kind=sign_in&actor=oidc:ada", 2);
    assert!(signed_in.iter().any(|one| one["tenant"] == "acme") && signed_in.iter().any(|one| one["tenant"].is_null()), "{signed_in:#?}");

    let by_claim = listening("tenant_claim: org.tenant");
    let acme = token(&["security_admin"], json!("acme"));
    assert_eq!(made_by(&by_claim, &acme), "acme");
    assert_eq!(made_by(&by_claim, &token(&["security_admin"], json!(["other"]))), "other");
    assert!(!by_claim.with(&acme, "GET", PATH, "").text().contains("other"));
    for none in [Value::Null, json!([]), json!(["acme", "other"]), json!("ACME"), json!(""), json!({"acme": true}), json!("*")] {
        problem(&by_claim.with(&token(&["security_admin"], none), "GET", HEALTH, ""), 403, "token_tenant");
    }
}

/// Known keys go on while the provider is away; a new key counts soon after it is back, and one that it dropped no more.
#[test]
fn keys_come_and_go_with_the_provider() {
    let test = "oidc::keys_come_and_go_with_the_provider";
    let at = port::free().expect("a port");
    let Some(first) = provider(test, at, "one") else { return };
    let guarded = guarded(&first);
    let header = |kid: &str| json!({"alg": "RS256", "kid": kid});
    let claims = first.claims(&["team-admins"]);
    let (good, odd) = (first.mint("own", &header("one"), &claims), first.mint("own", &header("odd"), &claims));
    assert_eq!(guarded.status(&good), 200);
    problem(&guarded.with(&odd, "GET", HEALTH, ""), 401, "token_key_unknown");
    drop(first);
    let until = |what: &str, token: &str, status: u16| {
        wait::until(what, PATIENCE, || Ok((guarded.status(token) == status).then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{}", guarded.story.host.log()));
    };
    until("the provider is missed", &odd, 503);
    let answer = guarded.with(&odd, "GET", HEALTH, "");
    problem(&answer, 503, "provider_unavailable");
    assert_eq!(answer.headers.get("retry-after"), Some("10"));
    assert_eq!(guarded.status(&good), 200, "its key is known");
    assert_eq!(guarded.status(&guarded.first), 200, "keys of the host are not concerned");
    let second = provider(test, at, "two").expect("it was there before");
    let fresh = second.mint("own", &header("two"), &claims);
    until("the new key is fetched", &fresh, 200);
    problem(&guarded.with(&good, "GET", HEALTH, ""), 401, "token_key_unknown");
}

/// What a verb says on standard error, line by line.
struct Saying {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Saying {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// The rest of the first line that begins so.
    #[track_caller]
    fn behind(&mut self, begin: &str) -> String {
        let found = self.lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix(begin).map(str::to_owned));
        found.unwrap_or_else(|| panic!("no line begins with `{begin}`"))
    }

    #[track_caller]
    fn ends_well(mut self) -> String {
        let status = self.child.wait().expect("ends");
        let mut said = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
        let rest: Vec<String> = self.lines.map_while(Result::ok).collect();
        assert!(status.success(), "{said}{rest:?}");
        said
    }
}

#[track_caller]
pub fn browse(url: &str) -> String {
    let output = Command::new("node").arg(host::root().join("tests/independent/oidc_browser.mjs")).args([url, "ada"]).output().expect("runs");
    assert!(output.status.success(), "{}", err(&output));
    out(&output)
}

#[test]
fn people_sign_in_there_by_the_command_line() {
    let Some(provider) = provider("oidc::people_sign_in_there_by_the_command_line", port::free().expect("a port"), "one") else { return };
    let guarded = guarded(&provider);
    let home = tempfile::tempdir().expect("a folder");
    let own = |args: &[&str]| verb(&guarded, home.path(), args, "");
    assert_eq!(own(&["key", "list"]).status.code(), Some(4));

    // A code that is entered in any browser (RFC 8628).
    let mut login = command(&guarded, home.path());
    login.arg("login");
    let mut login = Saying::start(login);
    let url = login.behind("or open ");
    let page = browse(&url);
    assert!(page.starts_with("200 ") && page.contains("success"), "{page}");
    assert!(login.ends_well().starts_with("signed in at "));
    let listed = own(&["key", "list"]);
    assert!(listed.status.success() && out(&listed).contains("first"), "{}", err(&listed));

    // Near its end the next token is fetched from the provider.
    let file = home.path().join("bulkhead/sessions.json");
    let api = format!("http://{}", guarded.story.host.api);
    let mut kept: Value = serde_json::from_str(&fs::read_to_string(&file).expect("there")).expect("JSON");
    let before = kept[&api]["access_token"].clone();
    kept[&api]["expires_ms"] = json!(0);
    fs::write(&file, kept.to_string()).expect("written");
    let listed = own(&["key", "list"]);
    assert!(listed.status.success(), "{}", err(&listed));
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).expect("there")).expect("JSON");
    assert_ne!(kept[&api]["access_token"], before);
    assert!(own(&["logout"]).status.success());
    assert_eq!(own(&["key", "list"]).status.code(), Some(4));

    // A browser on this machine, sent back to the loopback (RFC 8252, RFC 7636).
    let mut login = command(&guarded, home.path());
    login.args(["login", "--browser"]);
    let mut login = Saying::start(login);
    let url = format!("http://127.0.0.1{}", login.behind("http://127.0.0.1"));
    assert!(url.contains("code_challenge_method=S256"), "{url}");
    let page = browse(&url);
    assert!(page.contains("Signed in"), "{page}");
    login.ends_well();
    assert!(own(&["key", "list"]).status.success());
    let signed_in = guarded.trail("kind=sign_in&actor=oidc:ada", 1);
    assert_eq!(signed_in[0]["actor"], "oidc:ada");
    // Whoever refuses to sign in gets nothing.
    let none = Guarded::start();
    let refused = verb(&none, home.path(), &["login"], "");
    assert!(refused.status.code() == Some(1) && err(&refused).contains("trusts no OpenID provider"), "{}", err(&refused));
}
