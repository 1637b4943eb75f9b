//! People of an LDAP directory sign in: a real one (OpenLDAP's `slapd`), over ldaps and StartTLS, that is changed, killed
//! and started again; and what somebody types who wants to be somebody else.

mod slapd;

use bulkhead_tests::http::Response;
use bulkhead_tests::wait;
use serde_json::{Value, json};

use self::slapd::{BIND_PASSWORD, ODD, PASSWORD, Slapd};
use crate::access::{Guarded, PATH, err, problem};
use crate::sign_in::verb;
use crate::story::PATIENCE;

const LOGIN: &str = "/api/v2/auth/login";
const REFRESH: &str = "/api/v2/auth/refresh";
const USERS: &str = "/api/integration/users";
/// Whom the host's own users are, in one of the two.
const OWN_PASSWORD: &str = "seven oak trees";
const SERVICE: &str = r#"bind_dn: "uid=bulkhead,ou=services,dc=example,dc=org", bind_password: what-the-host-says-3f9c, user_base: "dc=example,dc=org", user_filter: "(&(objectClass=inetOrgPerson)(uid={username}))""#;
const DIRECT: &str = r#"user_dn: "uid={username},ou=people,dc=example,dc=org", group_base: "ou=groups,dc=example,dc=org", group_filter: "(member={dn})""#;

/// A host with this part of `ldap`; `url` is one or a list.
fn guarded(slapd: &Slapd, url: &str, ca: &str, more: &str) -> Guarded {
    let roles = r#"[{value: "CN=soc admins, OU=groups, DC=example, DC=org", roles: [security_admin, auditor]}, {value: Viewers, roles: security_viewer}]"#;
    let ldap = format!("{{url: {url}, ca: {}, roles: {roles}, {more}}}", slapd.file(ca));
    Guarded::listening(&format!(r#"{{api: {{addr: "127.0.0.1:0", auth: [keys, users, ldap], ldap: {ldap}}}, http: "127.0.0.1:0"}}"#))
}

fn login(guarded: &Guarded, name: &str, password: &str) -> Response {
    guarded.send("POST", LOGIN, &[], &json!({"username": name, "password": password}).to_string())
}

fn refresh(guarded: &Guarded, token: &str) -> Response {
    guarded.send("POST", REFRESH, &[], &json!({"refresh_token": token}).to_string())
}

#[track_caller]
fn pair(answer: &Response) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json().expect("JSON");
    let text = |name: &str| answer[name].as_str().expect("a token").to_owned();
    (text("access_token"), text("refresh_token"))
}

#[track_caller]
fn logged(guarded: &Guarded, what: &str) {
    let told = wait::until(what, PATIENCE, || Ok(guarded.story.host.log().contains(what).then_some(())));
    told.unwrap_or_else(|error| panic!("{error:#}\n{}", guarded.story.host.log()));
}

/// By a search, with roles by groups that are looked at again at each refresh, while the directory changes and goes.
#[test]
fn people_of_a_directory_have_the_roles_of_their_groups() {
    let Some(mut slapd) = Slapd::start("ldap::people_of_a_directory_have_the_roles_of_their_groups") else { return };
    let mut guarded = guarded(&slapd, &slapd.ldaps(), "ca.pem", SERVICE);
    // carl is somebody here as well: the name is his, whatever the directory says.
    let carl = json!({"name": "carl", "roles": ["security_viewer"], "password": OWN_PASSWORD}).to_string();
    assert_eq!(guarded.with(&guarded.first, "POST", USERS, &carl).status, 201);
    // A tenant's administrator keeps nobody of the directory out by a user's name; the host makes users of a tenant.
    let (tenants, _) = guarded.make(json!({"roles": ["security_admin"], "tenant": "acme"}));
    let mut user = json!({"name": "bob", "roles": ["security_viewer"], "password": OWN_PASSWORD});
    problem(&guarded.with(&tenants, "POST", USERS, &user.to_string()), 403, "directory_names");
    (user["name"], user["tenant"]) = ("dora".into(), "acme".into());
    assert_eq!(guarded.with(&guarded.first, "POST", USERS, &user.to_string()).status, 201);
    assert_eq!(guarded.send("GET", "/api/v2/auth/methods", &[], "").json().expect("JSON")["ldap"], true);

    let (ada, ada_next) = pair(&login(&guarded, " ADA ", PASSWORD));
    assert_eq!((guarded.status(&ada), guarded.with(&ada, "GET", PATH, "").status), (200, 200), "an administrator by the name of the group");
    let (bob, bob_next) = pair(&login(&guarded, "bob", PASSWORD));
    assert_eq!(guarded.status(&bob), 200, "by what the group is called");
    problem(&guarded.with(&bob, "GET", PATH, ""), 403, "forbidden");
    let (odd, _) = pair(&login(&guarded, ODD, PASSWORD));
    assert_eq!(guarded.status(&odd), 200);
    problem(&login(&guarded, "eve", PASSWORD), 403, "no_role");
    problem(&login(&guarded, "carl", PASSWORD), 401, "unauthorized");
    let (carl, _) = pair(&login(&guarded, "carl", OWN_PASSWORD));
    problem(&guarded.with(&carl, "GET", PATH, ""), 403, "forbidden");
    // The directory's password is not changed here.
    let change = json!({"current_password": PASSWORD, "new_password": "another oak tree"}).to_string();
    let refused = problem(&guarded.with(&bob, "POST", "/api/v2/auth/password", &change), 409, "directory_password");
    assert_eq!(refused["error"], "directory_password", "{refused}");
    // Sessions outlive a crash of the host; the command line knows no difference.
    guarded.story = guarded.story.crash();
    assert_eq!((guarded.status(&ada), guarded.status(&bob), guarded.status(&carl)), (200, 200, 200));
    let home = tempfile::tempdir().expect("a folder");
    let signed_in = verb(&guarded, home.path(), &["login", "--user", "bob"], &format!("{PASSWORD}\n"));
    assert!(signed_in.status.success(), "{}", err(&signed_in));
    assert!(verb(&guarded, home.path(), &["sync", "schedules"], "").status.success());

    // Other groups count at the next refresh. Without any that means something, the session ends there.
    slapd.member("add", "SOC Admins", "bob");
    problem(&guarded.with(&bob, "GET", PATH, ""), 403, "forbidden");
    let (bob, bob_next) = pair(&refresh(&guarded, &bob_next));
    assert_eq!(guarded.with(&bob, "GET", PATH, "").status, 200);
    slapd.member("delete", "SOC Admins", "ada");
    assert_eq!(guarded.with(&ada, "GET", PATH, "").status, 200, "as when she was asked for last");
    problem(&refresh(&guarded, &ada_next), 401, "unauthorized");
    assert_eq!(guarded.status(&ada), 401);

    // A directory that is away says nothing about anybody: nobody loses a token by it, and the host's own users go on.
    slapd.kill();
    let away = login(&guarded, "bob", PASSWORD);
    problem(&away, 503, "directory_unavailable");
    assert!(away.headers.get("retry-after").is_some());
    problem(&refresh(&guarded, &bob_next), 503, "directory_unavailable");
    assert_eq!(guarded.status(&bob), 200);
    pair(&login(&guarded, "carl", OWN_PASSWORD));
    logged(&guarded, "nobody signs in by the directory");
    slapd.run();
    let (bob, bob_next) = pair(&refresh(&guarded, &bob_next));
    assert_eq!(guarded.with(&bob, "GET", PATH, "").status, 200);
    // Another entry of the same name is somebody else.
    slapd.change(
        "ldapmodify",
        "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: moddn\nnewrdn: uid=bob\ndeleteoldrdn: 0\nnewsuperior: ou=contractors,dc=example,dc=org\n",
    );
    problem(&refresh(&guarded, &bob_next), 401, "unauthorized");

    let signed_in = guarded.trail("kind=sign_in&limit=1000", 6);
    let of = |actor: &str| signed_in.iter().filter(|entry| entry["actor"] == actor).collect::<Vec<&Value>>();
    assert_eq!((of("ldap:ada")[0]["by"].as_str(), of("ldap:ada")[0]["dn"].as_str()), (Some("directory"), Some("uid=ada,ou=people,dc=example,dc=org")));
    assert_eq!((of("user:carl").len(), of("ldap:carl").len(), of(&format!("ldap:{ODD}")).len()), (2, 0, 1), "{signed_in:#?}");
    let refusals = guarded.trail("kind=refusal&action=auth.login&limit=1000", 3);
    assert!(refusals.iter().any(|entry| entry["code"] == "no_role" && entry["actor"] == "ldap:eve"), "{refusals:#?}");
    let log = guarded.story.host.log();
    assert!(!log.contains(PASSWORD) && !log.contains(BIND_PASSWORD) && !log.contains(OWN_PASSWORD), "a password is in the log");
}

/// A name is a name, whatever is in it; who is not there looks like who has another password; an empty password is none.
#[test]
fn what_is_typed_stays_a_name_and_a_password() {
    let Some(slapd) = Slapd::start("ldap::what_is_typed_stays_a_name_and_a_password") else { return };
    let found = guarded(&slapd, &slapd.ldaps(), "ca.pem", SERVICE);
    // By StartTLS, a pattern of names, and a search for groups as whoever signs in.
    let named = guarded(&slapd, &slapd.ldap(), "ca.pem", &format!("{DIRECT}, session_for: 3s"));
    for (guarded, twice) in [(&found, true), (&named, false)] {
        let mut texts = Vec::new();
        for name in ["*", "ada)(uid=*", "*)(|(uid=*", "bob\\2a", "nobody", "ada,ou=people", "ada\0", "twin"] {
            // Two entries fit where people are found by a search: nobody is signed in, though the password is right.
            let password = if name == "twin" && !twice { "another password" } else { PASSWORD };
            let answer = login(guarded, name, password);
            problem(&answer, 401, "unauthorized");
            texts.push(answer.text());
        }
        let answer = login(guarded, "bob", "another password");
        problem(&answer, 401, "unauthorized");
        texts.push(answer.text());
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:#?}");
        // RFC 4513 §5.1.2: a server says yes to a name with an empty password.
        problem(&login(guarded, "bob", ""), 400, "bad_field");
        let (odd, _) = pair(&login(guarded, ODD, PASSWORD));
        assert_eq!(guarded.status(&odd), 200);
        // The tenth wrong one closes the door for a while, here as for the host's own users.
        problem(&login(guarded, "\u{1b}[2J", PASSWORD), 401, "unauthorized");
        problem(&login(guarded, "bob", PASSWORD), 429, "too_many_attempts");
    }
    logged(&found, "fits two entries");
    // The search finds another entry than the one that the pattern names: its password must be right as well.
    let base = r#"user_base: "ou=contractors,dc=example,dc=org", user_filter: "(uid={username})""#;
    let crossed = guarded(&slapd, &slapd.ldap(), "ca.pem", &format!("{DIRECT}, {base}"));
    problem(&login(&crossed, "twin", PASSWORD), 403, "no_role");
    let password = "dn: uid=twin,ou=contractors,dc=example,dc=org\nchangetype: modify\nreplace: userPassword\nuserPassword: contractors oak\n";
    slapd.change("ldapmodify", password);
    for password in [PASSWORD, "contractors oak"] {
        problem(&login(&crossed, "twin", password), 401, "unauthorized");
    }
    // Without somebody who may look, groups are those of the sign-in, and the session has an end of its own.
    let named = guarded(&slapd, &slapd.ldap(), "ca.pem", &format!("{DIRECT}, session_for: 3s"));
    let (bob, next) = pair(&login(&named, "bob", PASSWORD));
    slapd.member("delete", "viewers", "bob");
    let (next, last) = pair(&refresh(&named, &next));
    assert_eq!((named.status(&bob), named.status(&next)), (200, 200));
    problem(&login(&named, "bob", PASSWORD), 403, "no_role");
    wait::until("the session ends", PATIENCE, || Ok((named.status(&next) == 401).then_some(()))).expect("ends");
    problem(&refresh(&named, &last), 401, "unauthorized");
}

/// Who is not the directory by its certificate hears nothing; of several servers the next one answers.
#[test]
fn only_the_directory_itself_is_believed() {
    let Some(slapd) = Slapd::start("ldap::only_the_directory_itself_is_believed") else { return };
    let nobody = bulkhead_tests::port::free().expect("a port");
    for (url, ca, more, why) in [
        (slapd.ldaps(), "other-ca.pem", SERVICE.to_owned(), "UnknownIssuer"),
        (slapd.ldap(), "other-ca.pem", SERVICE.to_owned(), "UnknownIssuer"),
        (slapd.ldaps().replace("127.0.0.1", "localhost"), "ca.pem", SERVICE.to_owned(), "not valid for name"),
        (slapd.ldaps(), "ca.pem", SERVICE.replace(BIND_PASSWORD, "another-password"), "refuses the host itself (bind_dn, bind_password): result 49"),
        (slapd.ldaps(), "ca.pem", SERVICE.replace("user_base: \"dc=example", "user_base: \"dc=elsewhere"), "refuses the search for a user"),
        (format!("ldaps://{nobody}"), "ca.pem", SERVICE.to_owned(), "cannot be reached"),
        // TLS is spoken to a port that waits for StartTLS: no answer that makes sense, in time.
        (slapd.ldap().replace("ldap:", "ldaps:"), "ca.pem", format!("{SERVICE}, timeout: 500ms"), "ldaps://127.0.0.1"),
    ] {
        let guarded = guarded(&slapd, &url, ca, &more);
        problem(&login(&guarded, "bob", PASSWORD), 503, "directory_unavailable");
        logged(&guarded, why);
        // An answer that is none is no guess.
        assert_eq!(guarded.status(&guarded.first), 200);
    }
    let several = guarded(&slapd, &format!("[\"ldaps://{nobody}\", \"{}\"]", slapd.ldap()), "ca.pem", SERVICE);
    let (bob, _) = pair(&login(&several, "bob", PASSWORD));
    assert_eq!(several.status(&bob), 200);
}
