//! People sign in with a password, stay signed in, and leave: over the API and by the command line.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::wait;
use serde_json::{Value, json};

use crate::access::{Guarded, HEALTH, err, out, problem};
use crate::story::{PATIENCE, Story, binary};

const USERS: &str = "/api/integration/users";
const LOGIN: &str = "/api/v2/auth/login";
const REFRESH: &str = "/api/v2/auth/refresh";
const LOGOUT: &str = "/api/v2/auth/logout";
const PASSWORD: &str = "seven oak trees";
const KEY: &str = "encryption: {key: 'qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM='}\n";

fn listening(more: &str) -> String {
    format!(r#"{{api: {{addr: "127.0.0.1:0", auth: [keys, users]{more}}}, http: "127.0.0.1:0"}}"#)
}

fn guarded() -> Guarded {
    Guarded::configured(&listening(""), KEY)
}

#[track_caller]
fn make(guarded: &Guarded, name: &str, roles: &[&str]) {
    let answer = guarded.with(&guarded.first, "POST", USERS, &json!({"name": name, "roles": roles, "password": PASSWORD}).to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn login(guarded: &Guarded, name: &str, password: &str) -> Response {
    guarded.send("POST", LOGIN, &[], &json!({"username": name, "password": password}).to_string())
}

/// Access token and refresh token.
#[track_caller]
fn pair(answer: &Response) -> (String, String) {
    assert_eq!((answer.status, answer.headers.get("cache-control")), (200, Some("no-store")), "{}", answer.text());
    let answer = answer.json().expect("JSON");
    let text = |name: &str| answer[name].as_str().expect("a token").to_owned();
    assert_eq!(answer["token_type"], "Bearer");
    (text("access_token"), text("refresh_token"))
}

fn refresh(guarded: &Guarded, token: &str) -> Response {
    guarded.send("POST", REFRESH, &[], &json!({"refresh_token": token}).to_string())
}

/// A verb of somebody whose sessions lie in `home`, with no token given.
pub fn verb(guarded: &Guarded, home: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = command(guarded, home).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("takes it");
    child.wait_with_output().expect("ends")
}

pub fn command(guarded: &Guarded, home: &Path) -> Command {
    let mut command = Command::new(binary());
    command.env("BULKHEAD_API_URL", format!("http://{}", guarded.story.host.api)).env("XDG_CONFIG_HOME", home).env_remove("BULKHEAD_API_TOKEN");
    command
}

/// Everything in the folders of the host, to look for secrets in.
fn on_disk(story: &Story) -> Vec<u8> {
    fn add(path: &Path, out: &mut Vec<u8>) {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.path().is_dir() { add(&entry.path(), out) } else { out.extend(fs::read(entry.path()).unwrap_or_default()) }
        }
    }
    let mut out = Vec::new();
    for name in ["data/bulkhead.db", "data/bulkhead.db-wal"] {
        out.extend(fs::read(story.path(name)).unwrap_or_default());
    }
    add(&story.path("data/receipts"), &mut out);
    add(&story.path("out"), &mut out);
    out.extend(story.host.log().into_bytes());
    out
}

#[test]
fn a_user_comes_and_goes_by_the_command_line() {
    let guarded = guarded();
    let home = tempfile::tempdir().expect("a folder");
    let admin = |args: &[&str], stdin: &str| {
        let mut child = command(&guarded, home.path());
        let child = child.args(args).env("BULKHEAD_API_TOKEN", &guarded.first).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("runs");
        child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("takes it");
        child.wait_with_output().expect("ends")
    };
    let own = |args: &[&str], stdin: &str| verb(&guarded, home.path(), args, stdin);
    let made = admin(&["user", "create", "Ada", "--role", "security_viewer"], &format!("{PASSWORD}\n"));
    assert!(made.status.success() && out(&made).contains("ada  enabled  security_viewer  password  never signed in"), "{}{}", out(&made), err(&made));
    assert_eq!(admin(&["user", "create", "ada", "--role", "auditor"], &format!("{PASSWORD}\n")).status.code(), Some(1), "there is one");
    assert_eq!(admin(&["user", "create", "eve", "--role", "auditor"], "").status.code(), Some(2), "no password");

    assert_eq!(own(&["key", "list"], "").status.code(), Some(4), "nobody yet");
    assert_eq!(own(&["login", "--user", "ada"], "another password\n").status.code(), Some(4));
    let signed_in = own(&["login", "--user", "ada"], &format!("{PASSWORD}\n"));
    assert!(signed_in.status.success(), "{}", err(&signed_in));
    let file = home.path().join("bulkhead/sessions.json");
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).expect("there").permissions()) & 0o777;
    assert_eq!((mode(&file), mode(&home.path().join("bulkhead"))), (0o600, 0o700));
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).expect("there")).expect("JSON");
    let token = kept[format!("http://{}", guarded.story.host.api)]["access_token"].as_str().expect("a token").to_owned();
    assert!(!out(&signed_in).contains(&token) && !err(&signed_in).contains(&token));

    let seen = own(&["sync", "schedules"], "");
    assert!(seen.status.success(), "{}", err(&seen));
    let refused = own(&["key", "list"], "");
    assert!(refused.status.code() == Some(4) && err(&refused).contains("system:admin"), "{}", err(&refused));
    // Roles count at once, in a session too; a token that is given goes before it.
    assert!(admin(&["user", "roles", "ada", "--role", "security_admin,auditor"], "").status.success());
    assert!(own(&["key", "list"], "").status.success());
    assert_eq!(own(&["key", "list", "--token", "nonsense"], "").status.code(), Some(4));
    let listed = out(&own(&["user", "list"], ""));
    assert!(listed.contains("ada") && listed.contains("from 127.0.0.1"), "{listed}");

    // Another password, and the session has ended; the verb says what to do.
    assert!(admin(&["user", "passwd", "ada"], "eight oak trees\n").status.success());
    assert_eq!(own(&["key", "list"], "").status.code(), Some(4));
    assert_eq!(own(&["login", "--user", "ada"], &format!("{PASSWORD}\n")).status.code(), Some(4));
    assert!(own(&["login", "--user", "ada"], "eight oak trees\n").status.success());
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).expect("there")).expect("JSON");
    let token = kept[format!("http://{}", guarded.story.host.api)]["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(guarded.status(&token), 200);
    assert!(own(&["logout"], "").status.success());
    assert_eq!((guarded.status(&token), own(&["logout"], "").status.code(), own(&["key", "list"], "").status.code()), (401, Some(5), Some(4)));

    assert!(admin(&["user", "disable", "ada"], "").status.success());
    assert_eq!(own(&["login", "--user", "ada"], "eight oak trees\n").status.code(), Some(4));
    assert!(admin(&["user", "enable", "ada"], "").status.success());
    assert!(own(&["login", "--user", "ada"], "eight oak trees\n").status.success());
    assert!(admin(&["user", "remove", "ada"], "").status.success());
    assert_eq!((own(&["key", "list"], "").status.code(), admin(&["user", "show", "ada"], "").status.code()), (Some(4), Some(5)));

    let entries = guarded.trail("limit=1000", 14);
    let of = |kind: &str, action: &str| entries.iter().filter(|entry| entry["kind"] == kind && entry["action"] == action).count();
    let changes = ["users.create", "users.put", "users.password", "users.disable", "users.enable", "users.remove", "auth.logout"];
    assert!(changes.iter().all(|action| of("change", action) >= 1), "{entries:#?}");
    let signed_in = entries.iter().filter(|entry| entry["kind"] == "sign_in" && entry["actor"] == "user:ada").count();
    assert!(signed_in >= 3, "{entries:#?}");
    let disk = on_disk(&guarded.story);
    for secret in [PASSWORD, "eight oak trees", "another password", &token[21..]] {
        assert!(!disk.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "a secret is on disk: {secret}");
    }
}

/// The next pair comes once for each refresh token. Whoever shows an old one ends the session, which is told.
#[test]
fn a_refresh_token_that_is_shown_twice_ends_the_session() {
    let mut guarded = guarded();
    make(&guarded, "ada", &["security_viewer"]);
    let (access, first) = pair(&login(&guarded, "ADA", PASSWORD));
    let (next, second) = pair(&refresh(&guarded, &first));
    assert_eq!((guarded.status(&access), guarded.status(&next)), (200, 200), "the one before to its own end");
    // A crash takes nothing away, and brings nothing back.
    guarded.story = guarded.story.crash();
    assert_eq!((guarded.status(&access), guarded.status(&next)), (200, 200));
    // Another session of the same user is not concerned.
    let (elsewhere, _) = pair(&login(&guarded, "ada", PASSWORD));
    let refused = problem(&refresh(&guarded, &first), 401, "token_reused");
    assert_eq!((refused["error"].as_str(), refused["message"].is_string()), (Some("token_reused"), true), "{refused}");
    assert_eq!((guarded.status(&access), guarded.status(&next), guarded.status(&elsewhere)), (401, 401, 200));
    problem(&refresh(&guarded, &second), 401, "unauthorized");
    let told = wait::until("the own event", PATIENCE, || {
        Ok(guarded.story.records("archive.ndjson").into_iter().find(|event| event["type"] == "bulkhead.sign_in.token_reused"))
    });
    let told = told.unwrap_or_else(|error| panic!("{error:#}\n{}", guarded.story.host.log()));
    assert_eq!((told["subject"].as_str(), told["data"]["from"].as_str()), (Some("user:ada"), Some("127.0.0.1")), "{told}");
    let record = guarded.trail("kind=refusal&action=auth.refresh", 1);
    assert!(record.iter().any(|entry| entry["code"] == "token_reused" && entry["actor"] == "user:ada"), "{record:#?}");

    // Signing out ends one session, with everything that is of it.
    let (third, last) = pair(&login(&guarded, "ada", PASSWORD));
    assert_eq!(guarded.with(&third, "DELETE", LOGOUT, "").status, 204);
    assert_eq!((guarded.status(&third), guarded.status(&elsewhere)), (401, 200));
    problem(&refresh(&guarded, &last), 401, "unauthorized");
    problem(&guarded.with(&third, "DELETE", LOGOUT, ""), 401, "unauthorized");
    problem(&guarded.with(&guarded.first, "DELETE", LOGOUT, ""), 401, "unauthorized");
    // A refresh token lets nobody in.
    let (_, other) = pair(&login(&guarded, "ada", PASSWORD));
    assert_eq!(guarded.status(&other), 401);
}

/// Tokens end by themselves; the command line has the next ones fetched in time.
#[test]
fn tokens_end_by_themselves() {
    let guarded = Guarded::configured(&listening(", sign_in: {access_for: 2s, refresh_for: 1h, session_for: 1h}"), "");
    make(&guarded, "ada", &["security_viewer"]);
    let (access, token) = pair(&login(&guarded, "ada", PASSWORD));
    wait::until("the access token ends", PATIENCE, || Ok((guarded.status(&access) == 401).then_some(()))).expect("ends");
    problem(&guarded.with(&access, "GET", HEALTH, ""), 401, "token_expired");
    pair(&refresh(&guarded, &token));
    let home = tempfile::tempdir().expect("a folder");
    assert!(verb(&guarded, home.path(), &["login", "--user", "ada"], PASSWORD).status.success());
    let file = home.path().join("bulkhead/sessions.json");
    let before = fs::read_to_string(&file).expect("there");
    wait::until("a verb has new tokens fetched", PATIENCE, || {
        let verb = verb(&guarded, home.path(), &["sync", "schedules"], "");
        assert!(verb.status.success(), "{}", err(&verb));
        Ok((fs::read_to_string(&file)? != before).then_some(()))
    })
    .expect("are fetched");
    // Ended at the host: the verb says so and forgets it.
    assert_eq!(guarded.with(&guarded.first, "POST", &format!("{USERS}/ada/disable"), "").status, 200);
    let ended = wait::until("the session has ended", PATIENCE, || {
        let verb = verb(&guarded, home.path(), &["sync", "schedules"], "");
        assert_eq!(verb.status.code(), Some(4));
        Ok(err(&verb).contains("session.ended").then(|| err(&verb)))
    });
    assert!(ended.expect("is told").contains("bulkhead login"));
}

/// Whoever is not there, is switched off or has another password gets one answer, after the same work.
#[test]
fn guesses_learn_nothing_and_are_slowed() {
    let guarded = guarded();
    make(&guarded, "ada", &["security_viewer"]);
    make(&guarded, "off", &["security_viewer"]);
    assert_eq!(guarded.with(&guarded.first, "POST", &format!("{USERS}/off/disable"), "").status, 200);
    let mut texts = Vec::new();
    for (name, password) in [("ada", "wrong wrong wrong"), ("nobody", PASSWORD), ("off", PASSWORD), ("../etc/passwd", PASSWORD), ("' OR 1=1 --", "")] {
        let begun = Instant::now();
        let answer = guarded.send("POST", LOGIN, &[], &json!({"username": name, "password": if password.is_empty() { "x" } else { password }}).to_string());
        problem(&answer, 401, "unauthorized");
        texts.push(answer.text());
        // 19 MiB twice are not filled faster by any machine.
        assert!(begun.elapsed() > Duration::from_millis(3), "{name}: {:?}", begun.elapsed());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    (0..5).for_each(|_| drop(login(&guarded, "ada", "wrong wrong wrong")));
    let answer = login(&guarded, "ada", PASSWORD);
    problem(&answer, 429, "too_many_attempts");
    assert!(answer.headers.get("retry-after").and_then(|seconds| seconds.parse::<u64>().ok()).is_some_and(|seconds| (1..=60).contains(&seconds)));
    // The same for keys: whoever guesses does so at all doors together.
    assert_eq!(guarded.status(&guarded.first), 429);
    assert_eq!(guarded.send("GET", "/readyz", &[], "").status, 200);
    assert!(!guarded.story.host.log().contains("OR 1=1"), "what was typed is in the log");
}

/// Codes of an app: asked for, good once, and their secret is in one answer and nowhere else.
#[test]
fn a_code_is_good_once() {
    let guarded = guarded();
    make(&guarded, "ada", &["security_viewer"]);
    let (before, _) = pair(&login(&guarded, "ada", PASSWORD));
    // Under an idempotency key too: what is shown once is kept for nobody.
    let bearer = format!("Bearer {}", guarded.first);
    let enrol = || guarded.send("POST", &format!("{USERS}/ada/totp"), &[("Authorization", &bearer), ("Idempotency-Key", "enrol")], "");
    let answer = enrol();
    assert_eq!((answer.status, answer.headers.get("cache-control")), (200, Some("no-store")), "{}", answer.text());
    problem(&enrol(), 409, "idempotency_not_kept");
    let data = answer.json().expect("JSON")["data"].clone();
    let secret = data["secret"].as_str().expect("a secret").to_owned();
    assert!(data["url"].as_str().is_some_and(|url| url.starts_with("otpauth://totp/Bulkhead:ada?secret=") && url.contains(&secret)), "{data}");
    assert_eq!(guarded.status(&before), 401, "sessions from before have ended");
    let shown = guarded.with(&guarded.first, "GET", &format!("{USERS}/ada"), "");
    assert!(shown.json().expect("JSON")["data"]["totp"] == true && !shown.text().contains(&secret), "{}", shown.text());

    let step = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 30;
    let with = |code: &str| guarded.send("POST", LOGIN, &[], &json!({"username": "ada", "password": PASSWORD, "mfa_token": code}).to_string());
    problem(&login(&guarded, "ada", PASSWORD), 401, "mfa_required");
    problem(&login(&guarded, "ada", "wrong wrong wrong"), 401, "unauthorized");
    problem(&with(&code(&secret, step + 1_000)), 401, "unauthorized");
    pair(&with(&code(&secret, step)));
    problem(&with(&code(&secret, step)), 401, "unauthorized");
    pair(&with(&code(&secret, step + 1)));
    problem(&with(&code(&secret, step)), 401, "unauthorized");
    let home = tempfile::tempdir().expect("a folder");
    let mut removing = command(&guarded, home.path());
    let removed = removing.args(["user", "totp", "ada", "--remove"]).env("BULKHEAD_API_TOKEN", &guarded.first).stdin(Stdio::null()).output().expect("runs");
    assert!(removed.status.success(), "{}", err(&removed));
    pair(&login(&guarded, "ada", PASSWORD));
    let disk = on_disk(&guarded.story);
    assert!(!disk.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));

    // Without a key it could not be sealed.
    let open = Guarded::configured(&listening(""), "");
    make(&open, "ada", &["security_viewer"]);
    problem(&open.with(&open.first, "POST", &format!("{USERS}/ada/totp"), ""), 409, "no_key");
}

/// RFC 6238, by another library than the host's.
fn code(secret: &str, step: u64) -> String {
    let mut bits = 0_u64;
    let mut held = 0;
    let mut bytes = Vec::new();
    for letter in secret.bytes() {
        let value = if letter.is_ascii_digit() { letter - b'2' + 26 } else { letter - b'A' };
        bits = bits << 5 | u64::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let hash = ring::hmac::sign(&key, &step.to_be_bytes());
    let hash = hash.as_ref();
    let at = usize::from(hash[19] & 0xf);
    let number = u32::from_be_bytes(hash[at..at + 4].try_into().expect("four bytes")) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// Whoever is signed in gives themselves another password: with the one of before and the code, and nothing less.
#[test]
fn a_user_changes_their_own_password() {
    const PATH: &str = "/api/v2/auth/password";
    const NEXT: &str = "eight oak trees";
    let guarded = guarded();
    make(&guarded, "ada", &["security_viewer"]);
    let (here, next) = pair(&login(&guarded, "ada", PASSWORD));
    let (elsewhere, other) = pair(&login(&guarded, "ada", PASSWORD));
    let change = |token: &str, body: Value| guarded.with(token, "POST", PATH, &body.to_string());
    let whole = |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    problem(&change(&here, json!({"new_password": NEXT})), 400, "bad_field");
    problem(&change(&here, json!({"current_password": PASSWORD, "new_password": NEXT, "name": "eve"})), 400, "unknown_field");
    for new in ["elevenchars", "x".repeat(129).as_str(), PASSWORD] {
        assert_eq!(problem(&change(&here, whole(PASSWORD, new)), 400, "bad_field")["errors"][0]["pointer"], "/new_password", "{new}");
    }
    // A session alone takes nobody over, and a key, or nobody, has no password.
    problem(&change(&here, whole("wrong wrong wrong", NEXT)), 403, "wrong_password");
    problem(&change(&guarded.first, whole(PASSWORD, NEXT)), 401, "unauthorized");
    problem(&change("bha_nonsense", whole(PASSWORD, NEXT)), 401, "unauthorized");
    assert_eq!(change(&here, whole(PASSWORD, NEXT)).status, 204);
    assert_eq!((guarded.status(&here), guarded.status(&elsewhere)), (200, 401), "this session stays, the others end");
    problem(&refresh(&guarded, &other), 401, "unauthorized");
    pair(&refresh(&guarded, &next));
    problem(&login(&guarded, "ada", PASSWORD), 401, "unauthorized");
    pair(&login(&guarded, "ada", NEXT));

    // With a second factor its code is asked for, and is good once here as well.
    let secret = guarded.with(&guarded.first, "POST", &format!("{USERS}/ada/totp"), "").json().expect("JSON")["data"]["secret"].clone();
    let secret = secret.as_str().expect("a secret");
    let step = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 30;
    let signed_in = guarded.send("POST", LOGIN, &[], &json!({"username": "ada", "password": NEXT, "mfa_token": code(secret, step)}).to_string());
    let (here, _) = pair(&signed_in);
    let with = |code: &str| change(&here, json!({"current_password": NEXT, "new_password": PASSWORD, "mfa_token": code}));
    problem(&change(&here, whole(NEXT, PASSWORD)), 403, "mfa_required");
    problem(&with(&code(secret, step)), 403, "wrong_password");
    assert_eq!(with(&code(secret, step + 1)).status, 204);
    let on_record = guarded.trail("kind=change&action=auth.password", 2);
    assert!(on_record.iter().all(|entry| entry["actor"] == "user:ada" && entry["object"] == "users/ada"), "{on_record:#?}");
    let refused = guarded.trail("kind=refusal&action=auth.password", 4);
    assert!(refused.iter().any(|entry| entry["actor"] == "user:ada" && entry["code"] == "wrong_password"), "{refused:#?}");

    // By the command line, for whoever is signed in.
    make(&guarded, "bob", &["security_viewer"]);
    let home = tempfile::tempdir().expect("a folder");
    let own = |args: &[&str], stdin: &str| verb(&guarded, home.path(), args, stdin);
    assert_eq!(own(&["user", "passwd"], &format!("{PASSWORD}\n{NEXT}\n")).status.code(), Some(4), "nobody yet");
    assert!(own(&["login", "--user", "bob"], &format!("{PASSWORD}\n")).status.success());
    assert_eq!(own(&["user", "passwd"], &format!("{PASSWORD}\n")).status.code(), Some(2), "one line is not enough");
    let changed = own(&["user", "passwd"], &format!("{PASSWORD}\n{NEXT}\n"));
    assert!(changed.status.success() && out(&changed).contains("your password is another one"), "{}{}", out(&changed), err(&changed));
    assert!(own(&["sync", "schedules"], "").status.success(), "the session goes on");
    pair(&login(&guarded, "bob", NEXT));

    // Guesses are counted as at a sign-in; then right ones are not looked at either.
    let (bob, _) = pair(&login(&guarded, "bob", NEXT));
    let status = |current: &str| change(&bob, whole(current, "nine oak trees")).status;
    wait::until("the door is closed", PATIENCE, || Ok((status("wrong wrong wrong") == 429).then_some(()))).expect("closes");
    assert_eq!(status(NEXT), 429);
    let disk = on_disk(&guarded.story);
    for secret in [PASSWORD, NEXT, "wrong wrong wrong"] {
        assert!(!disk.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "a password is on disk: {secret}");
    }
}

/// Each answer names its version, another one is refused, what came before leads here, and what is not there is not there.
#[test]
fn the_api_has_versions() {
    let guarded = guarded();
    let bearer = format!("Bearer {}", guarded.first);
    let ask = |path: &str, version: &str| guarded.send("GET", path, &[("Authorization", &bearer), ("API-Version", version)], "");
    for (path, version, others) in [("/api/v2/auth/methods", "2.0", ["2", "2.0"]), (HEALTH, "1.0", ["1", "1.0"])] {
        let plain = guarded.with(&guarded.first, "GET", path, "");
        assert_eq!((plain.status, plain.headers.get("api-version")), (200, Some(version)));
        for asked in others {
            assert_eq!((ask(path, asked).status, ask(path, asked).headers.get("api-version")), (200, Some(version)), "{asked}");
        }
        for asked in ["3.0", "2.1", "v2", "latest", "", "2.0, 1.0"] {
            let refused = problem(&ask(path, asked), 400, "unsupported_version");
            assert_eq!(refused["errors"][0]["versions"][0], version, "{asked}: {refused}");
            assert_eq!(ask(path, asked).headers.get("api-version"), Some(version));
        }
    }
    // Nothing is done for a client that wants another version.
    let key = json!({"name": "x", "roles": ["auditor"]}).to_string();
    let answer = guarded.send("POST", "/api/integration/api-keys", &[("Authorization", &bearer), ("API-Version", "9")], &key);
    problem(&answer, 400, "unsupported_version");
    assert_eq!(guarded.with(&guarded.first, "GET", "/api/integration/api-keys", "").json().expect("JSON")["meta"]["total"], 1);
    for path in ["/api/v1", "/api/v1/", "/api/v1/events", "/api/v1/auth/login"] {
        let gone = guarded.send("POST", path, &[], "{}");
        assert!(problem(&gone, 410, "gone")["detail"].as_str().is_some_and(|detail| detail.contains("/api/v2")));
        assert_eq!(gone.headers.get("link"), Some("</api/v2>; rel=\"successor-version\""));
    }
    for path in ["/api/v3-beta", "/api/v3-beta/events", "/api/v10/events", "/api/v2x"] {
        let nowhere = guarded.with(&guarded.first, "GET", path, "");
        problem(&nowhere, 404, "not_found");
        assert_eq!(nowhere.headers.get("api-version"), None, "{path}");
    }
    // Whoever refuses: the endpoint, the guard before it, the router, the bound of bodies.
    for (answer, status, code) in [
        (guarded.send("POST", LOGIN, &[], "{}"), 400, "bad_field"),
        (guarded.send("GET", "/api/v2/events", &[], ""), 401, "unauthorized"),
        (guarded.with(&guarded.first, "GET", "/api/v2/nothing", ""), 404, "not_found"),
        (guarded.with(&guarded.first, "PUT", LOGIN, ""), 405, "method_not_allowed"),
        (guarded.send("POST", LOGIN, &[], &"x".repeat(100_000)), 413, "too_large"),
        (ask("/api/v2/events", "9"), 400, "unsupported_version"),
    ] {
        let refused = problem(&answer, status, code);
        assert_eq!((&refused["error"], &refused["message"]), (&refused["code"], &refused["detail"]), "{refused}");
    }
    let elsewhere = problem(&guarded.with(&guarded.first, "GET", "/api/integration/nothing", ""), 404, "not_found");
    assert!(elsewhere["error"].is_null(), "{elsewhere}");
}

#[test]
fn odd_users_are_not_made() {
    let guarded = guarded();
    let make = |body: Value| guarded.with(&guarded.first, "POST", USERS, &body.to_string());
    for (body, pointer) in [
        (json!({"roles": ["auditor"], "password": PASSWORD}), "/name"),
        (json!({"name": "a b", "roles": ["auditor"], "password": PASSWORD}), "/name"),
        (json!({"name": "../x", "roles": ["auditor"], "password": PASSWORD}), "/name"),
        (json!({"name": "a".repeat(65), "roles": ["auditor"], "password": PASSWORD}), "/name"),
        (json!({"name": "ada", "password": PASSWORD}), "/roles"),
        (json!({"name": "ada", "roles": ["root"], "password": PASSWORD}), "/roles"),
        (json!({"name": "ada", "roles": ["auditor"]}), "/password"),
        (json!({"name": "ada", "roles": ["auditor"], "password": "elevenchars"}), "/password"),
        (json!({"name": "ada", "roles": ["auditor"], "password": "x".repeat(129)}), "/password"),
        (json!({"name": "administrator", "roles": ["auditor"], "password": "Administrator"}), "/password"),
    ] {
        assert_eq!(problem(&make(body.clone()), 400, "bad_field")["errors"][0]["pointer"], pointer, "{body}");
    }
    problem(&make(json!({"name": "ada", "roles": ["auditor"], "password": PASSWORD, "enabled": true})), 400, "unknown_field");
    for (body, code) in [
        ("", "bad_field"),
        ("{}", "bad_field"),
        ("[]", "bad_body"),
        (r#"{"username": 7, "password": "x"}"#, "bad_field"),
        (r#"{"user": "x"}"#, "unknown_field"),
    ] {
        let problem = problem(&guarded.send("POST", LOGIN, &[], body), 400, code);
        assert_eq!(problem["error"], code, "{problem}");
    }
    assert_eq!(guarded.send("POST", LOGIN, &[], &"x".repeat(1 << 20)).status, 413);
    for token in ["", "x", "bhr_", &format!("bhr_0000000000000000_{}", "A".repeat(128)), "bha_' OR 1=1"] {
        assert!([400, 401].contains(&refresh(&guarded, token).status), "{token}");
    }
    let off = Guarded::start();
    problem(&off.send("POST", LOGIN, &[], r#"{"username": "a", "password": "b"}"#), 403, "sign_in_off");
    problem(&off.send("POST", REFRESH, &[], r#"{"refresh_token": "b"}"#), 403, "sign_in_off");
    let methods = off.send("GET", "/api/v2/auth/methods", &[], "").json().expect("JSON");
    assert_eq!(methods, json!({"open": false, "keys": true, "users": false, "ldap": false, "oidc": null}));
}

/// Where users alone get in, the last who may administer stays.
#[test]
fn the_last_administrator_stays() {
    let story = Story::listening(r#"{api: {addr: "127.0.0.1:0", auth: open}, http: "127.0.0.1:0"}"#, "");
    let body = |name: &str| json!({"name": name, "roles": ["security_admin"], "password": PASSWORD}).to_string();
    assert_eq!(Client::new(story.host.api).send("POST", USERS, &[], body("ada").as_bytes()).expect("answers").status, 201);
    let path = story.path("bulkhead.yaml");
    let text = fs::read_to_string(&path).expect("there");
    fs::write(&path, text.replace("auth: open", "auth: users")).expect("written");
    let guarded = Guarded { story: story.crash(), first: String::new() };
    let (ada, _) = pair(&login(&guarded, "ada", PASSWORD));
    let ask = |token: &str, method: &str, rest: &str, body: &str| guarded.with(token, method, &format!("{USERS}{rest}"), body);
    problem(&ask(&ada, "POST", "/ada/disable", ""), 409, "last_admin");
    problem(&ask(&ada, "DELETE", "/ada", ""), 409, "last_admin");
    problem(&ask(&ada, "PUT", "/ada", r#"{"roles": ["auditor"]}"#), 409, "last_admin");
    assert_eq!(ask(&ada, "POST", "", &body("eve")).status, 201);
    let (eve, _) = pair(&login(&guarded, "eve", PASSWORD));
    assert_eq!(ask(&ada, "POST", "/ada/disable", "").status, 200);
    assert_eq!((ask(&ada, "GET", "", "").status, ask(&eve, "GET", "", "").status), (401, 200));
}

/// A page of a named origin may ask from a browser, with a token; others may not, and nobody with cookies.
#[test]
fn web_pages_of_named_origins_may_ask() {
    let guarded = Guarded::configured(&listening(r#", cors: {origins: ["https://console.example"]}"#), "");
    let ask = |origin: &str, method: &str, headers: &[(&str, &str)]| {
        let mut headers = headers.to_vec();
        headers.push(("Origin", origin));
        guarded.send(method, HEALTH, &headers, "")
    };
    let preflight = [("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "authorization,content-type")];
    let answer = ask("https://console.example", "OPTIONS", &preflight);
    assert_eq!((answer.status, answer.headers.get("access-control-allow-origin")), (200, Some("https://console.example")), "{}", answer.text());
    assert!(answer.headers.get("access-control-allow-methods").is_some_and(|methods| methods.contains("PUT")));
    assert!(answer.headers.get("access-control-allow-headers").is_some_and(|headers| headers.contains("authorization")));
    let key = format!("Bearer {}", guarded.first);
    let answer = ask("https://console.example", "GET", &[("Authorization", &key)]);
    assert_eq!((answer.status, answer.headers.get("access-control-allow-origin")), (200, Some("https://console.example")));
    assert!(answer.headers.get("vary").is_some_and(|vary| vary.to_ascii_lowercase().contains("origin")));
    for origin in ["https://console.example.evil", "http://console.example", "https://console.example:8443", "null", "*"] {
        for method in ["OPTIONS", "GET"] {
            let answer = ask(origin, method, &[("Authorization", &key), preflight[0], preflight[1]]);
            assert_eq!(answer.headers.get("access-control-allow-origin"), None, "{origin} {method}");
        }
    }
    let answer = ask("https://console.example", "GET", &[]);
    assert_eq!((answer.status, answer.headers.get("access-control-allow-credentials")), (401, None), "a page has to bring a token");
    // Without the key there is none of it.
    let closed = Guarded::start();
    let answer = closed.send("OPTIONS", HEALTH, &[("Origin", "https://console.example"), preflight[0]], "");
    assert_eq!((answer.status, answer.headers.get("access-control-allow-origin")), (401, None));
}
