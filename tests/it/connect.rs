//! A credential that somebody connects in a browser, at a provider that others wrote (`oidc-provider` of npm): events
//! wait until then, go on by themselves, and after a kill nobody is asked again.

use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::port;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::oidc::{browse, provider};
use crate::story::{PATIENCE, Story, copybook, ids, receiver};

const KEY: &str = "qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM=";
const CREDENTIAL: &str = "/api/integration/auth-configs/c";

fn post(story: &Story, path: &str) -> Response {
    Client::new(story.host.api).send("POST", path, &[], b"").expect("answers")
}

fn state(story: &Story) -> Value {
    story.host.get(CREDENTIAL).expect("answers").json().expect("JSON")["data"]["connection"]["state"].clone()
}

/// The URL that somebody is to open, and the `state` in it.
#[track_caller]
fn authorize(story: &Story) -> (String, String) {
    let answer = post(story, &format!("{CREDENTIAL}/authorize"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let data = answer.json().expect("JSON")["data"].clone();
    assert_eq!(data["redirect_uri"], json!(format!("http://{}/api/integration/oauth/callback", story.host.api)));
    let url = data["authorize_url"].as_str().expect("a URL").to_owned();
    let state = url.split(['?', '&']).find_map(|pair| pair.strip_prefix("state=")).expect("a state").to_owned();
    assert!(url.contains("code_challenge_method=S256"), "{url}");
    (url, state)
}

/// Flows have a bound and a place is free again with each end; what was changed since is not connected.
#[test]
fn flows_have_a_bound_and_are_of_the_credential_as_it_was() {
    let api = port::free().expect("a port");
    let story = Story::listening(
        &format!(r#"{{api: {{addr: "{api}", public_url: "http://{api}"}}, http: "127.0.0.1:0"}}"#),
        &format!("encryption: {{key: \"{KEY}\"}}\n"),
    );
    let definition = |scope: &str| {
        json!({"definition": {
            "type": "oauth2", "grant": "authorization_code", "authorize_url": "http://127.0.0.1:9/auth", "token_url": "http://127.0.0.1:9/token",
            "client_id": "bulkhead", "scope": scope,
        }})
    };
    let put = |scope: &str| {
        let body = definition(scope).to_string();
        let answer = Client::new(story.host.api).send("PUT", CREDENTIAL, &[("Content-Type", "application/json")], body.as_bytes()).expect("answers");
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
    };
    put("one");
    let states: Vec<String> = (0..100).map(|_| authorize(&story).1).collect();
    let full = post(&story, &format!("{CREDENTIAL}/authorize"));
    assert_eq!((full.status, full.json().expect("JSON")["code"].clone()), (503, json!("too_many_flows")));
    assert!(full.headers.get("retry-after").is_some());
    let back = |query: &str| story.host.get(&format!("/api/integration/oauth/callback?{query}")).expect("answers");
    assert_eq!(back(&format!("error=access_denied&state={}", states[0])).status, 400);
    authorize(&story);

    put("another");
    let changed = back(&format!("code=x&state={}", states[1]));
    assert_eq!((changed.status, changed.json().expect("JSON")["code"].clone()), (409, json!("changed")), "{}", changed.text());
    // Nobody listens there: whether it works later is not known.
    let away = back(&format!("code=x&state={}", authorize_again(&story, &states[2])));
    assert_eq!((away.status, away.json().expect("JSON")["code"].clone()), (503, json!("credential_unavailable")), "{}", away.text());
}

/// Ends a flow and begins another.
fn authorize_again(story: &Story, ended: &str) -> String {
    story.host.get(&format!("/api/integration/oauth/callback?error=server_error&state={ended}")).expect("answers");
    authorize(story).1
}

#[test]
fn somebody_agrees_in_a_browser() {
    let (at, api) = (port::free().expect("a port"), port::free().expect("a port"));
    let Some(provider) = provider("connect::somebody_agrees_in_a_browser", at, "one") else { return };
    let receiver = receiver("");
    let story = Story::listening(
        &format!(r#"{{api: {{addr: "{api}", public_url: "http://{api}"}}, http: "127.0.0.1:0"}}"#),
        &format!(
            "encryption: {{key: \"{KEY}\"}}\ninstances:\n  hook:\n    connector: webhook\n    destinations: {{primary: {{url: \"{}\", methods: [POST], credential: c}}}}\ncredentials:\n  c: {{type: oauth2, grant: authorization_code, authorize_url: \"{issuer}/auth\", token_url: \"{issuer}/token\", client_id: bulkhead-cli, scope: \"openid offline_access\", authorize_parameters: {{prompt: consent}}}}\n  fixed: {{type: bearer, token: hunter2-fixed}}\ndefault_route: [{{instance: hook, format: json}}]\n",
            receiver.url(),
            issuer = provider.issuer(),
        ),
    );
    story.accept("application/x-ndjson", &copybook("before", 1));
    wait::until("the instance waits for somebody", PATIENCE, || {
        Ok((story.lane("hook")["held"].as_str() == Some("unauthorized") || story.host.log().contains("nobody has connected it yet")).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    assert_eq!(state(&story), "not_connected");
    let tried = post(&story, &format!("{CREDENTIAL}/test"));
    assert_eq!((tried.status, tried.json().expect("JSON")["code"].clone()), (422, json!("credential_refused")), "{}", tried.text());

    // Somebody does not agree, and somebody makes a state up.
    let (_, refused) = authorize(&story);
    let back = |query: &str| story.host.get(&format!("/api/integration/oauth/callback?{query}")).expect("answers");
    let answer = back(&format!("error=access_denied&error_description=%3Cscript%3E&state={refused}"));
    assert_eq!((answer.status, answer.json().expect("JSON")["code"].clone()), (400, json!("not_agreed")), "{}", answer.text());
    assert!(!answer.text().contains("script"));
    for query in [format!("code=x&state={refused}"), "code=x&state=made-up".to_owned(), "code=x".to_owned()] {
        assert_eq!(back(&query).json().expect("JSON")["code"], "bad_state", "{query}");
    }
    assert_eq!(state(&story), "not_connected");

    // Somebody agrees: what waited goes on.
    let (url, used) = authorize(&story);
    let page = browse(&url);
    assert!(page.contains("is connected"), "{page}\n{}", story.host.log());
    assert_eq!(state(&story), "connected");
    assert_eq!(back(&format!("code=x&state={used}")).json().expect("JSON")["code"], "bad_state", "a state is good once");
    story.settled();
    let kept = receiver.kept();
    assert_eq!(kept.iter().flat_map(|kept| ids(&kept.body, "before", 1)).count(), 1);
    let token = kept[0].head.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer ")).expect("a token").to_owned();
    assert_eq!(token.split('.').count(), 3, "the provider's own: {token}");
    let tried = post(&story, &format!("{CREDENTIAL}/refresh")).json().expect("JSON");
    assert_eq!(tried["data"]["checked"], "token", "{tried}");
    assert_eq!(post(&story, "/api/integration/auth-configs/fixed/test").json().expect("JSON")["data"]["checked"], "nothing");
    assert_eq!(post(&story, "/api/integration/auth-configs/fixed/authorize").json().expect("JSON")["code"], "not_connectable");

    // Nobody is asked again after a kill, although the refresh token was replaced; and it lies there sealed.
    let story = story.crash();
    story.accept("application/x-ndjson", &copybook("after", 1));
    story.settled();
    assert_eq!(receiver.kept().iter().flat_map(|kept| ids(&kept.body, "after", 1)).count(), 1);
    assert_eq!(state(&story), "connected");
    let trail = story.host.get("/api/integration/audit/trail?limit=1000").expect("answers").text();
    assert!(trail.contains("auth_configs.connect") && trail.contains("access_denied"), "{trail}");
    for text in [story.host.log(), trail] {
        assert!(!text.contains(&token) && !text.contains(&used), "{text}");
    }
    assert!(!story.host.log().contains("invalid_grant"), "{}", story.host.log());
}
