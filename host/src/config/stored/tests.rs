use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::{Config, Fault};

const FILE: &str = "
stored: {directories: [./out], credentials: [shared]}
credentials:
  shared: {type: bearer, token: file-secret}
  own: {type: bearer, token: file-secret}
instances:
  filed: {connector: webhook, destinations: {primary: {url: 'https://siem.example', credential: own}}}
routes: [{id: first, when: {always: true}, to: [{instance: filed, format: json}]}]
";

fn entry(section: Section, name: &str, definition: Json) -> Entry {
    Entry { section, name: name.into(), definition }
}

fn with(file: &str, entries: &[Entry]) -> Result<Config, Vec<Fault>> {
    let env = |name: &str| (name == "SECRET").then(|| "of the environment".to_owned());
    Config::parse(Path::new("bulkhead.yaml"), file, &env).expect("the file alone").with_entries(entries, &env)
}

#[track_caller]
fn check(entries: &[Entry], want: &[(&str, &str)]) {
    let found: Vec<(String, String)> = match with(FILE, entries) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| (fault.key, fault.message)).collect(),
    };
    let shown: Vec<_> = found.iter().map(|(key, message)| (key.as_str(), message.as_str())).collect();
    assert_eq!(shown, want);
}

#[test]
fn entries_are_read_as_if_they_stood_in_the_file() {
    let entries = [
        entry(Section::Credentials, "hec", json!({"type": "header", "name": "Authorization", "value": "a-secret"})),
        entry(Section::Formatters, "mine", json!({"formatter": "cef", "config": {"device_vendor": "x"}})),
        entry(
            Section::Instances,
            "siem",
            json!({"connector": "webhook", "destinations": {"primary": {"url": "https://siem.example", "credential": "hec"}}, "concurrency": 2, "batch": {"max_age": "5s"}}),
        ),
        entry(
            Section::Routes,
            "second",
            json!({"when": {"min_severity": "high"}, "to": [{"instance": "siem", "format": "mine"}, {"instance": "filed", "format": "json"}]}),
        ),
    ];
    let config = with(FILE, &entries).expect("valid");
    let names: Vec<_> = config.instances.iter().map(|instance| instance.name.as_str()).collect();
    assert_eq!(names, ["filed", "siem"]);
    assert_eq!(config.instances[1].batch.max_age, std::time::Duration::from_secs(5));
    assert_eq!(config.routes.iter().map(|route| &*route.id).collect::<Vec<_>>(), ["first", "second"]);
    assert!(entries.iter().all(|entry| config.merged.in_force.contains(&(entry.section, entry.name.clone()))));
    assert_eq!(config.effective()["credentials"]["hec"]["value"], "(hidden)");
    // The same in the file and stored is the same instance.
    let file = format!("{FILE}  # more\n{}", r#"formatters: {mine: {formatter: cef, config: {device_vendor: x}}}"#);
    let in_file = with(&file, &[entries[0].clone(), entries[2].clone(), entries[3].clone()]).expect("valid");
    assert_eq!(in_file.fingerprint("siem"), config.fingerprint("siem"));
}

#[test]
fn an_empty_file_takes_entries_too() {
    let entries = [
        entry(Section::Instances, "one", json!({"connector": "webhook"})),
        entry(Section::Routes, "all", json!({"when": {"always": true}, "to": [{"instance": "one", "format": "json"}]})),
    ];
    for file in ["", "{}", "instances: {}\nroutes: []\n", "drain: 1s"] {
        let config = with(file, &entries).expect("valid");
        assert_eq!((config.instances.len(), config.routes.len()), (1, 1), "{file}");
    }
}

#[test]
fn the_file_goes_before_what_is_stored() {
    let entries = [entry(Section::Instances, "filed", json!({"connector": "nonsense"})), entry(Section::Routes, "first", json!({"nonsense": true}))];
    let config = with(FILE, &entries).expect("valid");
    assert_eq!((config.instances.len(), config.routes.len()), (1, 1));
    assert_eq!(config.merged.shadowed.len(), 2);
    assert!(config.merged.in_force.is_empty());
}

#[test]
fn faults_name_the_entry() {
    check(
        &[
            entry(Section::Instances, "siem", json!({"connector": "webhook", "batch": {"max_events": 0}, "retri": {}})),
            entry(
                Section::Routes,
                "second",
                json!({"when": {"always": true}, "to": [{"instance": "siem", "format": "json"}, {"instance": "gone", "format": "json"}]}),
            ),
            entry(Section::Routes, "third", json!({"id": "other", "when": {"always": true}, "to": [{"instance": "siem", "format": "json"}]})),
        ],
        &[
            ("routes.third.id", "a stored route has no `id` of its own"),
            ("instances.siem.retri", "unknown key"),
            ("instances.siem.batch.max_events", "`0` is out of range"),
            ("routes.second.to[1].instance", "there is no instance `gone`"),
        ],
    );
    check(&[entry(Section::Instances, "no name", json!({"connector": "webhook"}))], &[("instances.no name", "not a name")]);
    check(&[entry(Section::Instances, "text", json!("webhook"))], &[("instances.text", "expected a map, found a single value")]);
}

#[test]
fn variables_are_plain_text() {
    let config = with(FILE, &[entry(Section::Instances, "siem", json!({"connector": "webhook", "config": {"a": "${SECRET}", "b": "${file:/etc/passwd}"}}))]);
    let config = config.expect("valid");
    assert_eq!(config.instances[1].config.json, json!({"a": "${SECRET}", "b": "${file:/etc/passwd}"}));
}

/// What needs the machine, or a secret of the file, is not for whoever may change entries.
#[test]
fn the_machine_and_the_files_secrets_are_out_of_reach() {
    let instance = |more: Json| {
        let mut definition = json!({"connector": "webhook"});
        definition.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        entry(Section::Instances, "siem", definition)
    };
    let files = |dir: &str| instance(json!({"files": {"primary": {"dir": dir}}}));
    for dir in ["./out", "./out/deeper"] {
        check(&[files(dir)], &[]);
    }
    for dir in ["/etc", "./outside", "./out/../etc", "./out/x/../../etc", "out"] {
        let message = format!("`{dir}` is in no directory that stored entries may use");
        check(&[files(dir)], &[("instances.siem.files.primary.dir", &message)]);
    }
    let credential = |name: &str| instance(json!({"destinations": {"primary": {"url": "https://evil.example", "credential": name}}}));
    check(&[credential("shared")], &[]);
    check(
        &[credential("own")],
        &[("instances.siem.destinations.primary.credential", "the credential `own` of the configuration file is not for stored entries")],
    );
    let tls = instance(
        json!({"destinations": {"primary": {"url": "https://evil.example", "tls": {"client_cert": "/etc/ssl/a.pem", "client_key": "/etc/ssl/a.key"}}}}),
    );
    check(
        &[tls],
        &[
            ("instances.siem.destinations.primary.tls.client_cert", "`/etc/ssl/a.pem` is in no directory that stored entries may use"),
            ("instances.siem.destinations.primary.tls.client_key", "`/etc/ssl/a.key` is in no directory that stored entries may use"),
        ],
    );
    let runs = |key: &str, definition: Json| {
        check(&[entry(Section::Credentials, "c", definition)], &[(&format!("credentials.c.{key}"), "a stored entry runs no programs")]);
    };
    runs("token", json!({"type": "bearer", "token": {"command": ["id"]}}));
    runs("process", json!({"type": "sigv4", "service": "logs", "region": "eu-west-1", "process": {"command": ["id"]}}));
}

#[test]
fn secrets_are_hidden_and_found_again() {
    let definition = json!({
        "type": "oauth2", "grant": "client_credentials", "client_id": "me", "client_secret": "a-secret",
        "token_url": {"url": "https://idp.example/token?key=another-secret"},
    });
    let hidden = hide(Section::Credentials, &definition);
    assert!(!hidden.to_string().contains("a-secret") && !hidden.to_string().contains("another-secret"), "{hidden}");
    assert_eq!((&hidden["client_secret"], &hidden["token_url"]["url"], &hidden["client_id"]), (&json!(HIDDEN), &json!(HIDDEN), &json!("me")));
    let mut again = hidden.clone();
    assert_eq!(unhide(Section::Credentials, &mut again, Some(&definition)), Vec::<String>::new());
    assert_eq!(again, definition);
    assert_eq!(unhide(Section::Credentials, &mut hidden.clone(), None), ["/token_url/url", "/client_secret"]);
    let other = json!({"type": "bearer", "token": "x-secret"});
    assert_eq!(unhide(Section::Credentials, &mut hidden.clone(), Some(&other)), ["/token_url/url", "/client_secret"]);

    let instance = json!({"connector": "webhook", "destinations": {"a": "https://user:pass@host/", "b": {"url": "https://host/?t=1", "tls": {}}, "c": {"urls": ["https://x/", "https://y/?t=2"]}}});
    let hidden = hide(Section::Instances, &instance);
    assert_eq!(hidden["destinations"], json!({"a": HIDDEN, "b": {"url": HIDDEN, "tls": {}}, "c": {"urls": ["https://x/", HIDDEN]}}));
    let mut again = hidden;
    assert!(unhide(Section::Instances, &mut again, Some(&instance)).is_empty());
    assert_eq!(again, instance);
}

/// Every key of the table that holds a secret is hidden, whatever is added to it.
#[test]
fn every_kind_of_credential_hides_its_secrets() {
    let Kind::Tagged(variants) = Section::Credentials.kind() else { panic!("credentials have types") };
    for (name, section) in *variants {
        let mut definition = json!({"type": name});
        let secrets: Vec<_> = section.keys.iter().filter(|key| matches!(key.kind, Kind::Secret | Kind::SecretValue)).collect();
        for key in &secrets {
            definition[key.name] = "the-secret".into();
        }
        let hidden = hide(Section::Credentials, &definition);
        assert!(!hidden.to_string().contains("the-secret"), "{hidden}");
    }
    for section in Section::ALL {
        assert!(!matches!(section.kind(), Kind::Raw), "{section:?}");
    }
}

/// A tenant's entries use the folder and the networks that are theirs, and of lent credentials those of the same tenant.
#[test]
fn what_is_lent_to_a_tenant_is_its_own() {
    let file =
        FILE.replace("shared: {type", "shared: {tenant: a, type").replace("credentials: [shared]}", "credentials: [shared], webhooks: {allow: [10.1.0.0/16]}}");
    let instance = |more: Json| {
        let mut definition = json!({"connector": "webhook"});
        definition.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        entry(Section::Instances, "one", definition)
    };
    let destination = |destination: Json| json!({"tenant": "a", "destinations": {"primary": destination}});
    let files = |tenant: Option<&str>, dir: &str| {
        let mut more = json!({"files": {"primary": {"dir": dir}}});
        tenant.into_iter().for_each(|tenant| more["tenant"] = tenant.into());
        more
    };
    let url = "https://siem.example";
    for (more, want) in [
        (destination(json!({"url": url, "credential": "shared"})), None),
        (destination(json!({"url": url, "credential": "own"})), Some("there is no credential `own` of tenant `a`")),
        (json!({"destinations": {"primary": {"url": url, "credential": "shared"}}}), Some("is of tenant `a`, and this instance of none")),
        (json!({"tenant": "b", "destinations": {"primary": {"url": url, "credential": "shared"}}}), Some("there is no credential `shared` of tenant `b`")),
        (files(Some("a"), "./out/a/deeper"), None),
        (files(Some("a"), "./out/b"), Some("in no directory")),
        (files(Some("a"), "./out"), Some("in no directory")),
        (files(None, "./out/b"), None),
        (destination(json!("http://127.0.0.1:8780")), Some("`127.0.0.1` is no public address")),
        (destination(json!({"urls": ["https://[::ffff:169.254.169.254]/", url]})), Some("`169.254.169.254` is no public address")),
        (destination(json!({"url": "tcp://localhost:22"})), Some("`127.0.0.1` is no public address")),
        (destination(json!({"url": "tcp://kafka.example:9092", "members": ["192.168.1.1:9092"]})), Some("`192.168.1.1` is no public address")),
        (destination(json!({"url": "http://10.1.2.3"})), None),
        (destination(json!({"url": url, "addresses": ["10.1.7.0/24"]})), None),
        (destination(json!({"url": url, "addresses": ["10.0.0.0/8"]})), Some("`10.0.0.0/8` is not lent")),
        (destination(json!({"url": url, "allow_metadata": true})), Some("metadata services")),
        (json!({"destinations": {"primary": "http://127.0.0.1:8780"}}), None),
    ] {
        let said: Vec<String> = with(&file, &[instance(more.clone())]).err().into_iter().flatten().map(|fault| fault.message).collect();
        match want {
            None => assert!(said.is_empty(), "{more}: {said:?}"),
            Some(want) => assert!(said.iter().any(|said| said.contains(want)), "{more}: {said:?}"),
        }
    }
}
