use super::super::FaultKind;
use super::{bad, good, instance};

/// Each fault as `line:column kind key`.
#[track_caller]
fn check(text: &str, want: &[(usize, usize, FaultKind, &str)]) {
    let faults = bad(text);
    let found: Vec<_> = faults.iter().map(|fault| (fault.span.line, fault.span.column, fault.kind, fault.key.as_str())).collect();
    assert_eq!(found, want, "{}", faults.iter().map(ToString::to_string).collect::<String>());
}

/// One fault with this message and hint.
#[track_caller]
fn check_words(text: &str, message: &str, hint: &str) {
    let faults = bad(text);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].message.contains(message), "{}", faults[0]);
    assert!(faults[0].hint.as_deref().unwrap_or_default().contains(hint), "{}", faults[0]);
}

#[test]
fn ten_faults_are_ten_messages_with_their_places() {
    use FaultKind::{Conflict, DuplicateKey, Interpolation, Missing, OutOfRange, UnknownKey, UnknownReference, Unsupported, WrongType};
    let text = "\
lisen: {}
listen:
  http: 0.0.0.0:8781
instances:
  siem:
    connector: splunk-hec
    batch: {max_events: 0, max_byts: 1MiB}
    retry: {initial: 5}
    destinations:
      primary: {url: \"http://10.0.0.1/\", credential: heck}
    limits: {fuel: 1000G}
  archive:
    config: {path: \"${NO_SUCH}\"}
  archive: {}
credentials:
  hec: {type: header, name: Authorization, value: \"a token of the test\"}
routes:
  - id: a
    when: {always: true}
    to: [{instance: seim, format: cef}]
alerts: {response_time: 5s}
";
    check(
        text,
        &[
            (1, 1, UnknownKey, "lisen"),
            (3, 9, Conflict, "listen.http"),
            (7, 25, OutOfRange, "instances.siem.batch.max_events"),
            (7, 28, UnknownKey, "instances.siem.batch.max_byts"),
            (8, 22, WrongType, "instances.siem.retry.initial"),
            (10, 54, UnknownReference, "instances.siem.destinations.primary.credential"),
            (11, 20, OutOfRange, "instances.siem.limits.fuel"),
            (13, 5, Missing, "instances.archive.connector"),
            (13, 20, Interpolation, "instances.archive.config.path"),
            (14, 3, DuplicateKey, "instances.archive"),
            (20, 21, UnknownReference, "routes[0].to[0].instance"),
            (21, 1, Unsupported, "alerts"),
        ],
    );
}

#[test]
fn a_fault_reads_well() {
    let faults = bad("data_dir: ./data\ndrain: 30\n");
    assert_eq!(
        faults[0].to_string(),
        "bulkhead.yaml:2:8: drain: `30` is not a duration such as 250ms, 30s, 5m, 24h or 30d\n 2 | drain: 30\n   |        ^^\n   = the unit is missing\n"
    );
    assert_eq!(
        faults[0].to_json(),
        serde_json::json!({
            "code": "config.wrong_type", "file": "bulkhead.yaml", "line": 2, "column": 8, "key": "drain",
            "message": "`30` is not a duration such as 250ms, 30s, 5m, 24h or 30d", "hint": "the unit is missing",
        })
    );
}

#[test]
fn columns_count_characters() {
    check(
        "instances: {\"é\u{1f600}\": {}}\n",
        &[(1, 13, FaultKind::WrongType, "instances.é\u{1f600}"), (1, 19, FaultKind::Missing, "instances.é\u{1f600}.connector")],
    );
}

#[test]
fn unknown_keys_name_the_nearest() {
    check_words("jornal: {}", "unknown key", "did you mean `journal`?");
    check_words("zzzzzzzzz: {}", "unknown key", "possible are data_dir, listen");
    check_words(&instance("concurency: 2"), "unknown key", "did you mean `concurrency`?");
    check_words(&instance("limits: {feul: 1G}"), "unknown limit", "did you mean `fuel`?");
    check_words("journal: {max_byes: 1GiB}", "unknown key", "did you mean `max_bytes`?");
    check_words("telemetry: {log: {format: jsno}}", "`jsno` is not possible", "did you mean `json`?");
    check_words("credentials: {a: {type: beerer, token: 12345678}}", "`beerer` is no type known here", "did you mean `bearer`?");
    check_words("credentials: {a: {type: kerberos, token: 12345678}}", "`kerberos` is no type known here", "possible are header, query, basic, bearer, hmac");
    check_words("filters: [{type: rate_limit, max_events_per_second: 1}]", "is no type", "did you mean `rate_limiting`?");
    check_words("filters: [{min_severity: low}]", "`type` is missing", "severity_threshold");
}

#[test]
fn types_and_ranges() {
    check_words("listen: []", "expected a map, found a list", "api, http");
    check_words("routes: {}", "expected a list, found a map", "- ");
    check_words("instances: 7", "expected a map of names, found a single value", "");
    check_words("drain: [30s]", "expected a duration such as", "");
    check_words("drain:", "has no value", "remove the key to have the default, 30s");
    check_words("drain: unlimited", "everything has a limit", "from 0ms to 1h");
    check_words("drain: 2h", "`2h` is out of range", "from 0ms to 1h");
    check_words("journal: {max_bytes: 0}", "`0` is out of range", "from 256KiB");
    check_words("journal: {max_bytes: 1000}", "`1000` is out of range", "from 256KiB");
    check_words("dead_letters: {max_bytes: none}", "everything has a limit", "from 1MiB");
    check_words("delivery: {max_concurrent: -1}", "everything has a limit", "from 1 to 10000");
    check_words(&instance("concurrency: 0"), "out of range", "from 1 to 1024");
    check_words(&instance("concurrency: 4.5"), "not a whole number", "");
    check_words(&instance("concurrency: {max: 2000}"), "out of range", "from 1 to 1024");
    check_words(&instance("concurrency: {min: 5}"), "`min` is more than `max`", "lower `min` or raise `max`");
    check_words(&instance("concurrency: {mix: 5}"), "unknown key", "did you mean `max`?");
    check_words(&instance("retry: {multiplier: 0.5}"), "out of range", "from 1 to 100");
    check_words(&instance("retry: {max_attempts: 0}"), "out of range", "from 1");
    check_words(&instance("retry: {max_elapsed: null}"), "has no value", "24h");
    check_words(&instance("retry: {initial: 2m}"), "`initial` is longer than `max`", "raise");
    check_words(&instance("limits: {memory: 1GiB}"), "out of range", "from 1B to 512MiB");
    check_words(&instance("limits: {deadline: 0s}"), "out of range", "");
    check_words(&instance("limits: {stack: 1KiB}"), "`limits.stack` is fixed at 512 KiB for all guests and cannot be set", "");
    check_words(&instance("limits: {count_only: [handles]}"), "`limits.handles` cannot be counted only, it is always enforced", "");
    check_words(&instance("limits: {count_only: [feul]}"), "unknown limit", "did you mean `fuel`?");
    check_words(&instance("limits: {count_only: fuel}"), "expected a list", "");
    check_words(&instance("rate_limit: {burst: 5}"), "`events_per_second` is missing", "");
    check_words(&instance("ordering: stric"), "not possible", "did you mean `strict`?");
    check_words(&instance("config: [1]"), "expected a map", "");
    check_words(&instance("config: {x: .nan}"), "no form in JSON", "");
    check_words(&instance("connector: splunk hec").replace("connector: file\n    ", ""), "is not a component such as splunk-hec", "");
    check_words("instances: {\"a b\": {connector: file}}", "not a name", "letters");
    check_words("listen: {http: {strict: yes}}", "`yes` is not true or false", "");
    check_words("listen: {http: {tenant: ACME}}", "is not a tenant", "");
    check_words("listen: {http: example.org:80}", "is not an address", "");
    check_words("listen: {http: 127.0.0.1}", "is not an address", "");
    check_words("telemetry: {log: {level: louder}}", "not a level", "possible are error");
    check_words("telemetry: {log: {level: inof}}", "not a level", "did you mean `info`?");
    check_words("telemetry: {log: {level: 'info,a=loud'}}", "telemetry.log.level", "");
}

#[test]
fn routes_are_checked() {
    let with = |when: &str| format!("{}routes: [{{id: a, when: {when}, to: [{{instance: one, format: json}}]}}]", instance("{}").replace("    {}\n", ""));
    good(&with("{always: true}"));
    check_words(&with("{}"), "says nothing", "always: true");
    check_words(&with("{not: {}}"), "says nothing", "");
    check_words(&with("{source: , event_type: AccessEvent}"), "`source` of the condition has no value", "leave the key out");
    check_words(&with("{or: [{always: true}, {}]}"), "says nothing", "");
    check_words(&with("{and: []}"), "0 entries; from 1", "");
    check_words(&with("{always: false}"), "is not true", "");
    check_words(&with("{severity: [low, grave]}"), "`grave` is not info, low", "");
    check_words(&with("{min_severity: 9}"), "`9` is not info", "");
    check_words(&with("{event_typ: x}"), "unknown key", "did you mean `event_type`?");
    check_words(&with("{metadata_contains: {key: a}}"), "`value` is missing", "");
    check_words(&with("{event_type: \"\"}"), "is empty", "");
    check_words(&with(&format!("{}{{always: true}}{}", "{not: ".repeat(40), "}".repeat(40))), "nested deeper than 32", "");
    let twice = "[{id: a, when: {always: true}, to: [{instance: one, format: json}]}, {id: a, when: {never: true}, to: [{instance: one, format: json}]}]";
    check_words(&format!("{}routes: {twice}", instance("config: {}")), "another route has the id `a`", "");
    check_words(&format!("{}default_route: [{{instance: two, format: json}}]", instance("config: {}")), "there is no instance `two`", "possible are one");
    // A faulty instance is one fault, not a second one where it is named.
    check_words("instances: {one: {}}\ndefault_route: [{instance: one, format: json}]", "`connector` is missing", "");
}

#[test]
fn credentials_and_destinations_are_held_to_the_sandbox() {
    check_words("credentials: {a: {type: basic, username: \"a:b\", password: 12345678}}", "has a `:`", "");
    check_words("credentials: {a: {type: header, name: Host, value: 12345678}}", "belongs to the host", "");
    check_words("credentials: {a: {type: hmac, scheme: standard-webhooks, secret: 12345678}}", "whsec_", "");
    check_words("credentials: {a: {type: bearer, token: \"\"}}", "the secret is empty", "");
    check_words("credentials: {a: {type: bearer, token: abc}}", "shorter than 6 bytes", "");
    let with = |part: &str| instance(&format!("destinations: {{primary: {part}}}"));
    good(&with("\"https://example.org/base\""));
    check_words(&with("{url: \"ftp://example.org\"}"), "scheme `ftp`", "");
    check_words(&with("{url: \"https://example.org\", methods: [post]}"), "upper-case", "");
    check_words(&with("{url: \"https://example.org\", methods: [TRACE]}"), "never allowed", "");
    check_words(&with("{url: \"https://example.org\", addresses: [10.0.0.0/40]}"), "no network", "");
    check_words(&with("{url: \"http://169.254.169.254\"}"), "allow_metadata", "");
    check_words(&instance("destinations: {Primary: \"https://example.org\"}"), "must be 1 to 64 of a-z", "");
}

#[test]
fn places_and_tls_of_destinations_are_faults_at_their_keys() {
    let with = |part: &str| instance(&format!("destinations: {{primary: {part}}}"));
    for part in [
        "\"tcp://127.0.0.1:9092\"",
        "\"udp://localhost:514\"",
        "{url: \"tls://broker.acme.example:9093\", tls: {min_version: 1.3}, members: [\"broker-*.acme.example:9093\"]}",
        "{urls: [\"https://a.example\", \"https://b.example\"]}",
        "{url: \"https://example.org\", verify: false, tls: {min_version: \"1.2\"}}",
    ] {
        good(&with(part));
    }
    for (part, column, key, words) in [
        ("{}", 20, "url", "is empty; write one URL here, or several under `urls`"),
        ("{url: \"tcp://example.org\"}", 35, "url", "has no port; write tcp://example.org:PORT"),
        ("{url: \"tcp://example.org:1/x\"}", 35, "url", "goes on after its port"),
        ("{url: \"tcp://2130706433:1\"}", 35, "url", "write tcp://127.0.0.1:1"),
        ("{url: \"tcp://EXAMPLE.org:1\"}", 35, "url", "write tcp://example.org:1"),
        ("{url: \"udp://224.0.0.1:1\"}", 35, "url", "multicast"),
        ("{url: \"https://a.example\", urls: [\"https://b.example\"]}", 62, "urls", "stands beside `url`"),
        ("{urls: [\"https://a.example\", \"http://b.example\"]}", 36, "urls", "has https:// and http://; all need the same scheme"),
        ("{urls: [\"udp://a.example:1\", \"udp://b.example:1\"]}", 36, "urls", "a datagram that does not arrive is not noticed"),
        ("{url: \"tcp://a.example:1\", members: [\"*:1\"]}", 65, "members", "last label"),
        ("{url: \"https://a.example\", members: [\"b.example:1\"]}", 65, "members", "has no meaning for https://; it is for tcp and tls"),
        ("{url: \"tcp://a.example:1\", methods: [GET]}", 65, "methods", "has no meaning for tcp://; it is for http and https"),
        ("{url: \"udp://a.example:1\", paths: [/x]}", 63, "paths", "has no meaning for udp://"),
        ("{url: \"tcp://a.example:1\", verify: false}", 64, "verify", "has no meaning for tcp://; it is for https and tls"),
        ("{url: \"http://a.example\", tls: {min_version: 1.3}}", 60, "tls", "has no meaning for http://; it is for https and tls"),
        ("{url: \"https://a.example\", tls: {ca: /no/such/file}}", 66, "tls.ca", "cannot be read"),
        ("{url: \"https://a.example\", tls: {client_key: /no/such/file}}", 74, "tls.client_key", "has no `tls.client_cert` beside it"),
    ] {
        let faults = bad(&with(part));
        assert_eq!(faults.len(), 1, "{part}: {faults:#?}");
        assert_eq!(faults[0].key, format!("instances.one.destinations.primary.{key}"), "{}", faults[0]);
        assert!(faults[0].message.contains(words), "{}", faults[0]);
        assert_eq!((faults[0].span.line, faults[0].span.column), (4, column), "{part}: {}", faults[0]);
    }
    check_words(&with("{url: \"https://a.example\", tls: {min_version: 1.1}}"), "`1.1` is not possible", "");
}

#[test]
fn listeners_beyond_this_machine_need_tokens() {
    check_words("listen: {http: 0.0.0.0:1}", "needs `tokens`", "http: {addr");
    check_words("listen: {api: {addr: \"[::]:1\", tokens: [], without_tls: true}}", "needs `auth: keys` or `tokens`", "auth: keys");
    check_words("listen: {api: {addr: \"[::]:1\", auth: keys}}", "needs `tls`", "without_tls: true");
    check_words("listen: {api: {addr: \"[::]:1\", tokens: [\"${TOKEN}\"]}}", "needs `tls`", "without_tls: true");
    good("listen: {api: {addr: \"[::]:1\", auth: keys, without_tls: true}}");
    good("listen: {api: {addr: 127.0.0.1:1, auth: keys}}");
    check_words("listen: {api: {auth: everybody}}", "`everybody` is not possible", "open");
    check_words("listen: {api: {auth: [open, keys]}}", "`open` stands alone", "leave `open` out");
    check_words("listen: {api: {auth: [keys, everybody]}}", "`everybody` is not possible", "users");
    check_words("listen: {api: {auth: []}}", "0 entries", "");
    good("listen: {api: {addr: \"[::]:1\", auth: [keys, users], without_tls: true}}");
    check_words("listen: {api: {auth: users, sign_in: {access_for: 1h, refresh_for: 30m}}}", "longer than refresh_for", "");
    check_words("listen: {api: {auth: users, sign_in: {refresh_for: 2d, session_for: 1d}}}", "longer than session_for", "");
    check_words("listen: {api: {auth: users, sign_in: {access_for: 2h}}}", "`2h` is out of range", "to 1h");
    let oidc = |more: &str| format!("listen: {{api: {{auth: oidc, oidc: {{issuer: https://id.example, audience: bulkhead{more}}}}}}}");
    good(&oidc(""));
    good(&oidc(
        ", algorithms: [ES256, EdDSA], role_claims: [realm_access.roles, groups], roles: [{value: /admins, roles: [security_admin, auditor]}], leeway: 0s",
    ));
    check_words("listen: {api: {auth: oidc}}", "`oidc` needs `listen.api.oidc`", "issuer");
    check_words("listen: {api: {auth: oidc, oidc: {issuer: http://id.example, audience: x}}}", "speaks https", "https://");
    check_words("listen: {api: {auth: oidc, oidc: {issuer: https://id.example}}}", "`audience` is missing", "");
    check_words(&oidc(", algorithms: [none]"), "`none` is not possible", "");
    check_words(&oidc(", algorithms: [HS256]"), "`HS256` is not possible", "S256");
    check_words(&oidc(", roles: [{value: x, roles: root}]"), "`root` is not possible", "auditor");
    check_words(&oidc(", ca: /missing.pem"), "/missing.pem cannot be used", "");
    directories();
    check_words("listen: {api: {auth: keys, cors: {origins: [\"*\"]}}}", "not an origin", "without `*`");
    check_words("listen: {api: {auth: keys, cors: {origins: [\"https://a.example/\"]}}}", "not an origin", "without a path");
    check_words("listen: {api: {cors: {origins: [\"https://a.example\"]}}}", "an open listener takes no web pages", "auth: keys");
    good("listen: {api: {auth: keys, cors: {origins: [\"https://a.example\", \"http://127.0.0.1:3000\"]}}}");
    check_words("listen: {api: {auth: keys, pepper: too-short}}", "shorter than 32 bytes", "openssl rand");
    check_words("listen: {api: {tls: {cert: server.pem}}}", "`key` is missing", "");
    check_words("listen: {api: {tls: {cert: /missing.pem, key: /missing.key}}}", "/missing.pem, which cannot be read", "");
    check_words("listen: {api: 127.0.0.1:5, http: 127.0.0.1:5}", "the same address", "port");
    check_words("listen: {syslog: [{addr: 0.0.0.0:514}]}", "needs `allow`", "10.1.0.0/16");
    check_words("listen: {syslog: [{addr: 0.0.0.0:514, allow: [10.0.0.0/8, 10.0.0.0/40]}]}", "not a network", "10.1.0.0/16");
    check_words("listen: {syslog: [{addr: 127.0.0.1:514, allow: [example.org]}]}", "not a network", "");
    check_words("listen: {syslog: [{proto: tcp}]}", "`addr` is missing", "");
    check_words("listen: {syslog: [{addr: 127.0.0.1:514, proto: tls}]}", "`tls` needs `cert` and `key`", "server.pem");
    good("listen: {api: 127.0.0.1:0, http: 127.0.0.1:0}");
    check_words("listen: {http: {tokens: [\"a b c d e\"]}}", "not a bearer token", "no spaces");
    good("listen: {http: {addr: 0.0.0.0:8781, tokens: [\"${TOKEN}\"]}}");
    good("listen: {http: \"[::1]:8781\", api: localhost:8780}");
}

/// Of `listen.api.ldap`: nothing in the clear, nobody without a password, filters and names that are some.
fn directories() {
    const ROLES: &str = "roles: [{value: \"cn=soc,dc=x\", roles: auditor}]";
    let ldap = |more: &str| format!("listen: {{api: {{auth: [users, ldap], ldap: {{{more}}}}}}}");
    let at = |url: &str, more: &str| ldap(&format!("url: \"{url}\", {ROLES}, {more}"));
    let service = |more: &str| at("ldaps://dc1", &format!("bind_dn: \"cn=s,dc=x\", bind_password: password, user_base: \"dc=x\", {more}"));
    let direct = |pattern: &str, more: &str| at("ldap://dc1", &format!("user_dn: \"{pattern}\"{more}"));
    good(&service("user_filter: \"(uid={username})\", group_base: \"dc=x\", group_filter: \"(member:1.2.840.113556.1.4.1941:={dn})\""));
    good(&direct("uid={username},dc=x", ""));
    good(&direct("{username}@corp.example", ", user_base: \"dc=x\", user_filter: \"(sAMAccountName={username})\""));
    check_words("listen: {api: {auth: ldap}}", "`ldap` needs `listen.api.ldap`", "ldaps://");
    for url in ["http://dc1", "dc1:389", "ldapi:///run/ldapi", "ldap+tls://dc1"] {
        check_words(&at(url, "user_dn: \"uid={username},dc=x\""), "is no address of a directory", "under TLS only");
    }
    check_words(&at("ldaps://dc1/dc=x?uid", "user_dn: \"uid={username},dc=x\""), "more than scheme, host and port", "");
    check_words(&ldap(&format!("url: [], {ROLES}, user_dn: \"uid={{username}},dc=x\"")), "0 entries", "");
    check_words(&ldap("url: \"ldaps://dc1\", user_dn: \"uid={username},dc=x\""), "`roles` is missing", "");
    check_words(&ldap("url: \"ldaps://dc1\", user_dn: \"uid={username},dc=x\", roles: [{value: \"cn=a,\", roles: auditor}]"), "no name of an entry", "cn=soc");
    check_words(&at("ldaps://dc1", "timeout: 5s"), "nothing says how people are found", "user_dn");
    check_words(&service("user_filter: \"(uid={username})\", user_dn: \"uid={username},dc=x\""), "there is `bind_dn` as well", "either");
    check_words(
        &at("ldaps://dc1", "bind_dn: \"cn=s\", user_base: \"dc=x\", user_filter: \"(uid={username})\""),
        "is missing beside `bind_dn`",
        "empty password",
    );
    check_words(&service("timeout: 5s"), "is missing beside `user_base`", "");
    check_words(&service("user_filter: \"uid={username}\""), "begins and ends with brackets", "");
    check_words(&service("user_filter: \"(uid=ada)\""), "fits everybody alike", "{username}");
    check_words(&service("user_filter: \"({username}=x)\""), "does not go on as a filter", "");
    check_words(&service("user_filter: \"(uid={user})\""), "`{user}`, which means nothing here", "");
    check_words(&service("user_filter: \"(uid={username})\", group_base: \"groups\", group_filter: \"(member={dn})\""), "no name of an entry", "");
    check_words(&service("user_filter: \"(uid={username})\", group_attribute: \"member of\""), "no name of an attribute", "memberOf");
    // Who may be found by a mail has groups by the entry, not by what was typed.
    let either =
        |groups: &str| service(&format!("user_filter: \"(|(uid={{username}})(mail={{username}}))\", group_base: \"dc=x\", group_filter: \"{groups}\""));
    good(&either("(member={dn})"));
    good(&service("user_filter: \"(uid={username})\", group_base: \"dc=x\", group_filter: \"(memberUid={username})\""));
    check_words(&either("(memberUid={username})"), "compares more than once", "use `{dn}` in `group_filter`");
    check_words(&either("(|(member={dn})(memberUid={username}))"), "compares more than once", "one comparison in `user_filter`");
    check_words(&direct("uid=ada,dc=x", ""), "no pattern of a name", "{username}");
    check_words(&direct("{username}@corp.example", ""), "names no entry", "");
    check_words(&direct("uid={username},dc=x", ", ca: /missing.pem"), "/missing.pem, which cannot be read", "");
}

#[test]
fn keys_of_later_versions_are_refused_unless_they_say_nothing() {
    for part in [
        "alerts: {error_rate: 5%}",
        "transports: {tcp: {connect: 10s}}",
        "listen: {metrics: {addr: 127.0.0.1:9}}",
        "listen: {http: {tls: {cert: /x}}}",
        "telemetry: {otlp_endpoint: http://x}",
        "instances: {one: {connector: file, health_check: {interval: 300s}}}",
    ] {
        let faults = bad(part);
        assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::Unsupported], "{part}: {faults:?}");
        assert!(faults[0].message.starts_with("not supported in this version: "), "{}", faults[0]);
    }
    good(
        "store: {url: null}\nupload: {require_signed: false, keys: []}\nlisten: {syslog: [], metrics: null}\njournal: {dedup_window: 0s}\ntelemetry: {otlp_endpoint: null}",
    );
}

#[test]
fn components_are_named_pinned_or_given_by_their_bytes() {
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for name in ["file", "file@1.2", "file@1.2.0-rc1", digest] {
        good(&format!("instances: {{one: {{connector: \"{name}\"}}}}\nformatters: {{two: {{formatter: \"{name}\"}}}}"));
    }
    for name in ["../file", "file@", "@1.2", "file@v1", "file@1@2", "sha256:", &digest.to_uppercase(), &digest[..70], "sha512:ab"] {
        let faults = bad(&format!("instances: {{one: {{connector: \"{name}\"}}}}"));
        assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::WrongType], "{name}: {faults:?}");
    }
    check_words("upload: {require_signed: true}", "signatures are required", "name a key that signs");
}

#[test]
fn faults_are_bounded_and_sorted() {
    let text: String = (0..1000).map(|at| format!("key{at}: 1\n")).collect();
    let faults = bad(&text);
    assert_eq!(faults.len(), 200);
    assert!(faults.is_sorted_by_key(|fault| fault.span));
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let missing = super::super::Config::load(std::path::Path::new("/no/such/file.yaml"), &super::env).expect_err("no file");
    assert_eq!((missing.len(), missing[0].kind), (1, FaultKind::Unreadable));
    assert!(missing[0].to_string().starts_with("/no/such/file.yaml: cannot read the file"), "{}", missing[0]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("latin1.yaml");
    std::fs::write(&path, b"data_dir: caf\xe9").expect("written");
    let faults = super::super::Config::load(&path, &super::env).expect_err("not UTF-8");
    assert_eq!(faults[0].message, "the file is not UTF-8 text");
}

#[test]
fn a_schedule_is_an_interval_or_cron() {
    use FaultKind::{Conflict, OutOfRange, UnknownReference, WrongType};
    for (pull, kind, key) in [
        ("{interval: 60s, cron: \"0 6 * * *\"}", Conflict, "interval"),
        ("{interval: 60s, timezone: UTC}", Conflict, "timezone"),
        ("{missed: skip}", Conflict, "missed"),
        ("{interval: 10ms}", OutOfRange, "interval"),
        ("{cron: \"0 6 * *\"}", WrongType, "cron"),
        ("{cron: \"0 0 30 2 *\"}", WrongType, "cron"),
        ("{cron: \"@daily\", timezone: Europe/Berln}", UnknownReference, "timezone"),
        ("{cron: \"@daily\", missed: never}", WrongType, "missed"),
    ] {
        let faults = bad(&instance(&format!("pull: {pull}")));
        let found: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.key.as_str())).collect();
        assert_eq!(found, [(kind, &*format!("instances.one.pull.{key}"))], "{pull}: {faults:#?}");
    }
    let cron = |rest: &str| instance(&format!("pull: {{cron: {rest}}}"));
    check_words(&cron("\"0 6 * * *\", timezone: Europe/Berln"), "there is no time zone `Europe/Berln`", "did you mean `Europe/Berlin`?");
    check_words(&cron("\"0 6 * * *\", timezone: Mars"), "there is no time zone `Mars`", "as in the IANA database");
    check_words(&cron("\"0 25 * * *\""), "`0 25 * * *` is no cron expression: ", "`0 6 * * MON-FRI`");
    check_words(&cron("\"0 0 31 4 *\""), "names no time that ever comes", "minute, hour, day of the month");
    check_words(&cron("\"0 6 * * *\", interval: 5s"), "`interval` and `cron` exclude each other", "leave one of them out");
    check_words(&instance("pull: {missed: run}"), "`missed` goes with `cron`", "write `cron:");
}

#[test]
fn a_store_is_named_by_a_whole_url_and_its_tls_beside_it() {
    good("store: {url: null}");
    good("store: {url: \"postgres://u:p@db.example/bulkhead\", tls: {required: false}, connections: 4, timeout: 2s, start_timeout: 1m, lease: 5s}");
    check_words("store: {url: \"mysql://u:secret@h/d\"}", "must begin with postgres://", "");
    check_words("store: {url: \"postgres://u:secret@h\"}", "must name the database", "");
    check_words("store: {url: \"postgres://u:secret@h/d?sslmode=disable\"}", "store.tls", "required");
    check_words("store: {url: \"postgres://u:secret@h/d\", tls: {ca: /nowhere/ca.pem}}", "cannot read /nowhere/ca.pem", "");
    for fault in bad("store: {url: \"postgres://u:very-secret-word@h\"}") {
        assert!(!fault.to_string().contains("very-secret-word"), "{fault}");
    }
    assert_eq!(bad("store: {lease: 1s}").len(), 1);
}
