use super::super::{Config, FaultKind};
use super::{bad, env, good, instance};

/// Everything that a person or a program could see of a configuration's faults.
fn seen(text: &str) -> String {
    bad(text).iter().map(|fault| format!("{fault}\n{}\n{fault:?}", fault.to_json())).collect()
}

#[test]
fn no_secret_is_ever_shown() {
    const SECRET: &str = "hunter2-hunter2";
    for text in [
        // A fault beside the secret, in the same line.
        format!("credentials: {{a: {{type: header, nam: X-Key, value: {SECRET}}}}}"),
        // The secret under a misspelt key, in a wrong shape, of a wrong type.
        format!("credentials: {{a: {{type: header, name: X-Key, vlaue: {SECRET}}}}}"),
        format!("credentials: {{a: {{type: header, name: X-Key, value: [{SECRET}]}}}}"),
        format!("credentials: {{a: {{type: oauth9, secret: {SECRET}}}}}"),
        format!("credentials: {{a: {{secret: {SECRET}}}}}"),
        format!("credentials: {{a: {SECRET}}}"),
        format!("credential: {{a: {{type: bearer, token: {SECRET}}}}}"),
        format!("credentials: {{a: {{type: hmac, scheme: standard-webhooks, secret: {SECRET}}}}}"),
        // Twice: the dropped one too.
        format!("credentials:\n  a: {{type: bearer, token: other-than-that}}\n  a: {{type: bearer, token: {SECRET}}}"),
        format!("listen: {{http: {{addr: 0.0.0.0:1, token: {SECRET}}}}}"),
        format!("listen: {{http: {{adr: 0.0.0.0:1, tokens: [{SECRET}]}}}}"),
        format!("listen: {{http: {{adr: 0.0.0.0:1, tokens: {SECRET}}}}}"),
        // In a URL, in a component's configuration, in several lines.
        instance(&format!("destinations: {{primary: {{url: \"https://u:{SECRET}@example.org\"}}}}")),
        instance(&format!("destinations: {{primary: {{url: \"ftp://example.org/?key={SECRET}\"}}}}")),
        instance(&format!("config: {{password: {SECRET}, x: .inf}}")),
        format!("credentials:\n  a:\n    type: bearer\n    tokn: |\n      {SECRET}\n      {SECRET}\n"),
        // Text that is no YAML at all.
        format!("credentials:\n  a: {{type: bearer, token: {SECRET}\n"),
        format!("credentials:\n  a:\n    token: \"{SECRET}\n    type: bearer\n"),
    ] {
        let seen = seen(&text);
        assert!(!seen.contains(SECRET), "{text}\n{seen}");
    }
}

#[test]
fn what_variables_hold_is_not_shown_in_faults() {
    let seen =
        seen("drain: \"${TOKEN}\"\nlisten: {http: \"x${TOKEN}\"}\njournal: {max_bytes: \"${TOKEN}\"}\ntelemetry: {log: {format: \"${TOKEN}\", level: info}}");
    assert!(!seen.contains("sesame"), "{seen}");
    assert!(seen.contains("the value of `${TOKEN}` is not a duration"), "{seen}");
}

#[test]
fn the_effective_configuration_hides_secrets() {
    let config = good(&format!(
        "{}listen: {{http: {{addr: 127.0.0.1:0, tokens: [\"${{TOKEN}}\"]}}}}\ncredentials: {{a: {{type: header, name: X-Key, prefix: \"k \", value: hunter2-hunter2}}}}\n",
        instance(
            "destinations: {primary: {url: \"https://example.org/?key=hunter2-hunter2\", credential: a}, other: \"${URL}\"}\n    config: {path: \"${TOKEN}\", keep: 5}"
        )
    ));
    let shown = config.effective();
    assert!(!shown.to_string().contains("hunter2") && !shown.to_string().contains("sesame"), "{shown:#}");
    let debug = format!("{:?} {:?} {:?}", config.http, config.instances[0].config, config.instances[0].destinations[0].credential());
    assert!(!debug.contains("hunter2") && !debug.contains("sesame"), "{debug}");
    assert_eq!(shown["credentials"]["a"], serde_json::json!({"type": "header", "name": "X-Key", "prefix": "k ", "value": "(hidden)"}));
    assert_eq!(shown["listen"]["http"]["tokens"], serde_json::json!(["(hidden)"]));
    assert_eq!(shown["instances"]["one"]["destinations"]["primary"]["url"], "https://example.org/?(hidden)");
    assert_eq!(shown["instances"]["one"]["destinations"]["other"]["url"], "${URL}");
    assert_eq!(shown["instances"]["one"]["config"], serde_json::json!({"path": "${TOKEN}", "keep": 5}));
    assert_eq!(shown["drain"], "30s");
}

#[test]
fn interpolation_takes_variables_defaults_and_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "from: a file\n").expect("written");
    let file = file.display();
    let level = |value: &str| {
        let text = instance(&format!("config: {{v: {value}}}"));
        Config::parse("x".as_ref(), &text, &env).map(|config| config.instances[0].config.json["v"].clone()).map_err(|faults| {
            assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::Interpolation], "{faults:?}");
            faults[0].message.clone()
        })
    };
    for (written, want) in [
        ("\"${NUMBER}\"", Ok("7".into())),
        ("\"a${NUMBER}b${NUMBER}\"", Ok("a7b7".into())),
        ("'${NO_SUCH:-fall: back}'", Ok("fall: back".into())),
        ("'${EMPTY:-fallback}'", Ok("fallback".into())),
        ("'${NUMBER:-9}'", Ok("7".into())),
        ("'${NO_SUCH:-}'", Ok(String::new())),
        ("'${EMPTY}'", Ok(String::new())),
        ("'$${NUMBER} $$ $ {NUMBER}'", Ok("${NUMBER} $$ $ {NUMBER}".into())),
        ("'$NUMBER'", Ok("$NUMBER".into())),
        (&format!("\"${{file:{file}}}\""), Ok("from: a file".into())),
        ("'${NO_SUCH}'", Err("the environment variable `NO_SUCH` is not set")),
        ("'${file:/no/such/file}'", Err("cannot read the file /no/such/file")),
        ("'${file:relative}'", Err("is not an absolute path")),
        ("'${file:/dev/zero}'", Err("cannot read the file /dev/zero")),
        ("'${NUMBER'", Err("without a `}`")),
        ("'${A B}'", Err("neither")),
        ("'${}'", Err("neither")),
        ("'${NO_SUCH:-${NUMBER}}'", Err("neither")),
    ] {
        match (level(written), want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want, "{written}"),
            (Err(found), Err(want)) => assert!(found.contains(want), "{written}: {found}"),
            (found, _) => panic!("{written}: {found:?}"),
        }
    }
    // Typed keys take what a variable holds, quoted or not; a component sees a number where it was not quoted.
    let config = good(&instance("concurrency: \"${NUMBER}\"\n    config:\n      a: ${NUMBER}\n      b: \"${NUMBER}\"\n      c: ${EMPTY}"));
    assert_eq!(config.instances[0].concurrency.max, 7);
    assert_eq!(config.instances[0].config.json, serde_json::json!({"a": 7, "b": "7", "c": ""}));
    assert_eq!(config.instances[0].config.interpolated.keys().collect::<Vec<_>>(), ["/a", "/b", "/c"]);
}

#[test]
fn credentials_of_every_kind_are_read_and_hidden() {
    let config = good(
        "credentials:
  a: {type: oauth2, token_url: \"https://login.example.com/token\", client_id: c, client_secret: hunter2-hunter2, parameters: {resource: r}}
  b: {type: oauth2, token_url: {url: \"https://login.example.com/token\", addresses: [10.0.0.0/8]}, grant: refresh_token, client_id: c, refresh_token: {command: [/bin/tok]}}
  c: {type: oauth2, token_url: \"https://login.example.com/token\", grant: password, client_id: c, client_secret: hunter2-hunter2, username: u, password: hunter2-hunter2}
  d: {type: sigv4, region: eu, service: s3, access_key: AKID, secret_key: hunter2-hunter2, session_token: hunter2-hunter2}
  e: {type: sigv4, region: eu, service: s3, process: {command: [aws, configure, export-credentials], refresh: 5m}}
  f: {type: sas, resource: \"https://a.servicebus.windows.net/q\", key_name: p, key: hunter2-hunter2}
  g: {type: shared_key, scheme: storage, account: a, key: aHVudGVyMi1odW50ZXIyLWh1bnRlcjI=}
  h: {type: hmac, scheme: custom, secret: [hunter2-hunter2, {command: [/bin/key]}], header: X-Sig, signs: timestamp.body}
  i: {type: basic, username: u, password: {command: [/bin/pass, \"${TOKEN}\"], timeout: 1s}}
",
    );
    let shown = config.effective();
    assert!(!shown.to_string().contains("hunter2") && !shown.to_string().contains("aHVud") && !shown.to_string().contains("sesame"), "{shown:#}");
    assert_eq!(config.commands, ["b", "e", "h", "i"]);
    assert_eq!(shown["credentials"]["i"]["password"], serde_json::json!({"command": ["/bin/pass", "${TOKEN}"], "timeout": "1s", "refresh": "15m"}));
    assert_eq!(shown["credentials"]["b"]["token_url"]["addresses"], serde_json::json!(["10.0.0.0/8"]));
}

#[test]
fn credentials_say_which_keys_go_together() {
    for (credential, want) in [
        (
            "type: oauth2, token_url: \"https://a.b/\", client_id: c",
            "credentials.x.client_secret: `client_secret` is missing: `grant: client_credentials` needs it",
        ),
        (
            "type: oauth2, token_url: \"https://a.b/\", client_id: c, client_secret: hunter2, refresh_token: hunter2",
            "credentials.x.refresh_token: `grant: client_credentials` has no use for `refresh_token`",
        ),
        (
            "type: oauth2, token_url: \"https://a.b/\", client_id: c, grant: refresh_token",
            "credentials.x.refresh_token: `refresh_token` is missing: `grant: refresh_token` needs it",
        ),
        (
            "type: oauth2, token_url: \"ftp://a.b/\", client_id: c, client_secret: hunter2",
            "credentials.x: `token_url`: its `url` has the scheme `ftp`; http and https can be used",
        ),
        ("type: sigv4, region: a, service: b, access_key: AKID", "credentials.x.secret_key: `secret_key` is missing: a credential without `process` needs it"),
        ("type: sigv4, region: a, service: b, access_key: AKID, process: {command: [a]}", "credentials.x.access_key: `process` has no use for `access_key`"),
        ("type: hmac, scheme: custom, secret: hunter2", "credentials.x.header: `header` is missing: `scheme: custom` needs it"),
        ("type: hmac, scheme: datavault, secret: hunter2, header: X", "credentials.x.header: `scheme: datavault` has no use for `header`"),
        ("type: hmac, scheme: custom, secret: hunter2, header: Host", "credentials.x: the header `host` belongs to the host"),
        ("type: bearer, token: {command: []}", "credentials.x.token.command: 0 entries; from 1 to 64 are possible"),
        ("type: bearer, token: {comand: [a]}", "credentials.x.token.comand: unknown key"),
    ] {
        let faults = bad(&format!("credentials: {{x: {{{credential}}}}}"));
        let said: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect();
        assert!(said.iter().any(|said| said == want), "{credential}: {said:?}");
    }
}
