use std::time::Duration;

use bulkhead_core::{EventRef, LaneId, Severity};
use bulkhead_deliver::{BatchSettings, BreakerSettings, ConcurrencySettings, Jitter, OnBacklogFull, Ordering, RateSettings, RetryPolicy, Strategy};
use bulkhead_ingest::{Framing, Proto, ShapeRule};
use bulkhead_journal::Durability;
use bulkhead_observe::LogFormat;
use bulkhead_route::{Condition, Filter, FilterSettings, LaneIndex, Name, OnExcess, RateLimit, Router, TypeName};
use bulkhead_sandbox::{FileAccess, Limit};
use bulkhead_store::OnFull;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{bad, good, instance};
use crate::config::schema;

/// The file of the documents, without the keys of later versions.
pub(super) const DOCUMENTED: &str = r#"
data_dir: ./data
listen:
  api: 127.0.0.1:8780            # REST API, console, /metrics, /livez, /readyz
  http: 127.0.0.1:8781
  metrics: null
  syslog: []
connectors_dir: ./connectors

instances:
  siem:
    connector: splunk-hec
    config: {index: audit, sourcetype: "copybook:audit"}
    destinations:
      primary: {url: "${URL}", methods: [POST, GET], credential: hec}
    limits: {fuel: 1G, cpu: 5s, memory: 64MiB, deadline: 30s}
    concurrency: 4
    ordering: none               # none | key | strict
    batch: {max_events: 500, max_bytes: 1MiB, max_age: 0ms}
    backlog: {max_bytes: 4GiB, max_age: 24h, on_full: dead_letter}
    retry: {strategy: exponential, initial: 1s, max: 60s, multiplier: 2, jitter: full, max_elapsed: 24h, max_attempts: null}
    circuit_breaker: {failure_threshold: 5, open_for: 60s, half_open_calls: 3}
    rate_limit: {events_per_second: 1000, burst: 5000}
    filters: [{type: severity_threshold, min_severity: low}]
  archive:
    connector: file
    config: {path: audit.ndjson, rotate: {max_bytes: 100MiB, keep: 10}}
    files: {primary: {dir: ./out, access: write}}

credentials:
  hec: {type: header, name: Authorization, prefix: "Splunk ", value: "${TOKEN}"}

filters: []                      # global
routes:
  - id: security_events
    name: Route security events
    when: {event_type: SecurityEvent}
    to: [{instance: siem, format: siem-cef}, {instance: archive, format: jsonl}]
    exclusive: false
    priority: 10                 # smaller first
default_route: [{instance: archive, format: jsonl}]

dead_letters: {max_bytes: 1GiB, retention: null, on_full: stop_lane}
journal: {max_bytes: 10GiB, dedup_window: 0s}
store: {url: null}
drain: 30s
upload: {require_signed: false, keys: []}
telemetry: {log: {format: json, level: info, output: stdout}, otlp_endpoint: null}
formatters:                      # a configured formatter; `format:` names a formatter or one of these
  siem-cef: {formatter: cef, config: {device_vendor: Copybook-rs, device_product: Enterprise Audit System}}
delivery: {max_concurrent: 100}
"#;

#[test]
fn the_documented_file_is_read() {
    let config = good(DOCUMENTED);
    assert_eq!(config.instances.iter().map(|instance| instance.name.as_str()).collect::<Vec<_>>(), ["siem", "archive"]);
    let siem = &config.instances[0];
    assert_eq!((siem.connector.as_str(), siem.span.line, siem.connector_span.line), ("splunk-hec", 11, 12));
    assert_eq!(siem.config.json, json!({"index": "audit", "sourcetype": "copybook:audit"}));
    assert_eq!(siem.destinations[0].name(), "primary");
    assert_eq!(siem.destinations[0].credential().map(|credential| credential.name().to_owned()).as_deref(), Some("hec"));
    assert_eq!(siem.rate_limit, Some(RateSettings { events_per_second: 1000, burst: 5000 }));
    assert_eq!(siem.filters, [FilterSettings::Plain(Filter::SeverityThreshold(Severity::Low))]);
    let archive = &config.instances[1];
    assert_eq!(archive.config.json, json!({"path": "audit.ndjson", "rotate": {"max_bytes": "100MiB", "keep": 10}}));
    assert_eq!(archive.config.spans["/rotate/keep"].line, 27);
    assert_eq!((archive.files[0].name.as_str(), archive.files[0].dir.to_str(), archive.files[0].access), ("primary", Some("./out"), FileAccess::Write));
    assert_eq!(config.lanes.iter().map(|lane| lane.id.clone()).collect::<Vec<_>>(), [LaneId::new("siem", "siem-cef"), LaneId::new("archive", "jsonl")]);
    assert_eq!(config.lanes.iter().map(|lane| lane.instance).collect::<Vec<_>>(), [0, 1]);
    let route = &config.routes[0];
    assert_eq!((&*route.id, &*route.name, route.priority, route.exclusive), ("security_events", "Route security events", 10, false));
    assert_eq!((route.to.as_slice(), config.default_route.as_slice()), (&[LaneIndex(0), LaneIndex(1)][..], &[LaneIndex(1)][..]));
    let cef = config.formatter("siem-cef");
    assert_eq!((cef.formatter.as_str(), &cef.config.json["device_vendor"]), ("cef", &json!("Copybook-rs")));
    let jsonl = config.formatter("jsonl");
    assert_eq!((jsonl.formatter.as_str(), &jsonl.config.json, jsonl.span.line), ("jsonl", &json!({}), 38));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

/// What the example spells out is what the table would give.
#[test]
fn the_documented_values_are_the_defaults() {
    let config = good(&instance("config: {}"));
    let (bare, full) = (&config.instances[0], &good(DOCUMENTED).instances[0]);
    assert_eq!((bare.batch, bare.backlog, bare.retry, bare.breaker), (full.batch, full.backlog, full.retry, full.breaker));
    assert_eq!((bare.batch, bare.retry, bare.breaker), (BatchSettings::default(), RetryPolicy::default(), BreakerSettings::default()));
    assert_eq!((bare.concurrency, bare.ordering, bare.rate_limit, bare.limits.clone()), (4.into(), Ordering::None, None, full.limits.clone()));
    assert_eq!(
        (bare.backlog.max_bytes, bare.backlog.max_age, bare.backlog.on_full),
        (Some(4 << 30), Some(Duration::from_secs(86_400)), OnBacklogFull::DeadLetter)
    );
    let empty = good("");
    assert_eq!((empty.data_dir.to_str(), empty.connectors_dir.to_str(), empty.drain), (Some("./data"), Some("./connectors"), Duration::from_secs(30)));
    assert_eq!((empty.api.addr.to_string(), empty.http.addr.to_string()), ("127.0.0.1:8780".into(), "127.0.0.1:8781".into()));
    assert_eq!(
        (empty.http.max_body, empty.http.durability, empty.http.rules.shape, empty.http.rules.strict),
        (8 << 20, Durability::Fsync, ShapeRule::Auto, false)
    );
    assert!(empty.http.rules.tenant.is_default() && empty.api.tokens.is_empty());
    assert_eq!((empty.journal.dir.to_str(), empty.journal.max_bytes, empty.journal.segment_bytes), (Some("./data/journal"), 10 << 30, 64 << 20));
    assert_eq!((empty.dead_letters.max_bytes, empty.dead_letters.retention, empty.dead_letters.on_full), (1 << 30, None, OnFull::StopLane));
    assert_eq!((empty.delivery.max_concurrent, empty.delivery.pending_expiry), (100, Duration::from_secs(600)));
    assert_eq!((empty.log.format, empty.log.level.as_str(), empty.log.stderr), (LogFormat::Json, "info", false));
}

#[test]
fn every_choice_reaches_its_setting() {
    let config = good(
        "
listen:
  api: {addr: 0.0.0.0:1, tokens: [first-token, second-token], auth: keys, pepper: 0123456789abcdef0123456789abcdef, without_tls: true}
  syslog: [{addr: 127.0.0.1:3, proto: udp, framing: newline, tenant: acme, max_message: 8KiB, max_connections: 5, idle: 30s}, {addr: 0.0.0.0:4, allow: [10.1.0.0/16]}]
  http: {addr: 127.0.0.1:2, tenant: acme, max_body: 1MiB, durability: memory, shape: copybook, strict: true}
instances:
  one:
    connector: webhook
    concurrency: 9
    ordering: strict
    batch: {max_events: 3, max_bytes: 10KB, max_age: 250ms}
    backlog: {max_bytes: 2MiB, max_age: 30d, on_full: block}
    retry: {strategy: linear, initial: 2s, max: 5m, jitter: none, max_elapsed: 1h, max_attempts: 4}
    circuit_breaker: {failure_threshold: 1, open_for: 250ms, half_open_calls: 2}
    rate_limit: {events_per_second: 5}
    limits: {fuel: 500M, cpu: 250ms, memory: 8MiB, http_concurrent: 3, log_rate: 7, bytes_out: 5GiB, count_only: [fuel, bytes_out]}
    max_calls: 12
    grants: {clocks: true, plain_metrics: true, env: {TZ: UTC, EMPTY: ''}}
    files: {in: {dir: /in, access: read}}
  two: {connector: x, ordering: key, retry: {strategy: fixed}, concurrency: {min: 2, max: 30}}
  three: {connector: x, concurrency: {max: 30, adaptive: false}}
dead_letters: {retention: 30d, on_full: drop_oldest, max_bytes: 2MiB}
journal: {max_bytes: 1MiB, segment_bytes: 64KiB}
telemetry: {log: {format: pretty, level: 'warn,bulkhead_deliver=debug', output: stderr}}
delivery: {max_concurrent: 3, pending_expiry: 5s, max_egress: 77}
drain: 0s
",
    );
    assert_eq!(config.api.tokens.iter().map(|token| token.expose_secret().to_owned()).collect::<Vec<_>>(), ["first-token", "second-token"]);
    assert_eq!((config.api.keys, config.api.pepper.is_some(), config.api.tls.is_none()), (true, true, true));
    let several = good("listen: {api: {auth: [keys, users], sign_in: {access_for: 5m}}}").api;
    assert_eq!((several.keys, several.users, several.oidc.is_none(), several.is_open()), (true, true, true, false));
    let seconds = |seconds| Duration::from_secs(seconds);
    assert_eq!((several.sign_in.access, several.sign_in.refresh, several.sign_in.session), (seconds(300), seconds(86_400), seconds(30 * 86_400)));
    let vouched = good("listen: {api: {auth: oidc, oidc: {issuer: https://id.example, audience: bulkhead}}}").api;
    let oidc = vouched.oidc.expect("a provider");
    assert_eq!((oidc.rules.issuer.as_str(), oidc.rules.audience, oidc.rules.leeway), ("https://id.example", vec!["bulkhead".to_owned()], 30));
    assert_eq!((oidc.username_claim.as_str(), oidc.role_claims), ("preferred_username", vec!["roles".to_owned()]));
    assert!(good("listen: {api: {oidc: {issuer: https://id.example, audience: bulkhead}}}").api.is_open(), "named, and not wanted");
    let ldap = "url: [\"ldaps://dc1\", \"ldap://dc2\"], user_dn: \"uid={username},dc=x\", roles: [{value: soc, roles: auditor}]";
    let known = good(&format!("listen: {{api: {{auth: ldap, ldap: {{{ldap}}}}}}}")).api;
    assert_eq!((known.users, known.is_open(), known.is_only_users()), (false, false, false));
    let directory = known.ldap.expect("a directory");
    let servers: Vec<String> = directory.directory.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        (servers.join(" ").as_str(), directory.session_for, directory.directory.timeout),
        ("ldaps://dc1:636 ldap://dc2:389", seconds(43_200), seconds(5))
    );
    assert_eq!(directory.directory.groups.attribute.as_deref(), Some("memberOf"));
    assert!(good(&format!("listen: {{api: {{ldap: {{{ldap}}}}}}}")).api.is_open(), "named, and not wanted");
    let http = &config.http;
    assert_eq!(
        (http.rules.tenant.as_str(), http.max_body, http.durability, http.rules.shape, http.rules.strict),
        ("acme", 1 << 20, Durability::Memory, ShapeRule::Copybook, true)
    );
    let (udp, tcp) = (&config.syslog[0], &config.syslog[1]);
    assert_eq!((udp.proto, udp.framing, udp.tenant.as_str(), udp.max_message, udp.max_connections), (Proto::Udp, Framing::Newline, "acme", 8192, 5));
    assert_eq!((udp.idle, udp.allow.len(), tcp.proto, tcp.framing, tcp.allow.len()), (Duration::from_secs(30), 0, Proto::Tcp, Framing::Auto, 1));
    let one = &config.instances[0];
    assert_eq!((one.concurrency, one.ordering), (9.into(), Ordering::Strict));
    let others = [&config.instances[1], &config.instances[2]].map(|instance| instance.concurrency);
    assert_eq!(others, [ConcurrencySettings { min: 2, max: 30 }, ConcurrencySettings { min: 30, max: 30 }]);
    assert_eq!(one.batch, BatchSettings { max_events: 3, max_bytes: 10_000, max_age: Duration::from_millis(250) });
    assert_eq!((one.backlog.max_bytes, one.backlog.on_full), (Some(2 << 20), OnBacklogFull::Block));
    assert_eq!(
        one.retry,
        RetryPolicy {
            strategy: Strategy::Linear,
            initial: Duration::from_secs(2),
            max: Duration::from_secs(300),
            jitter: Jitter::None,
            max_elapsed: Duration::from_secs(3600),
            max_attempts: Some(4)
        }
    );
    assert_eq!(one.breaker, BreakerSettings { failure_threshold: 1, open_for: Duration::from_millis(250), half_open_calls: 2 });
    assert_eq!(one.rate_limit, Some(RateSettings { events_per_second: 5, burst: 5 }));
    for (limit, want) in
        [(Limit::Fuel, 500_000_000), (Limit::Cpu, 250), (Limit::Memory, 8 << 20), (Limit::HttpConcurrent, 3), (Limit::LogRate, 7), (Limit::Deadline, 30_000)]
    {
        assert_eq!(one.limits.get(limit), want, "{limit:?}");
    }
    assert_eq!(one.limits.counting().map(|row| row.name).collect::<Vec<_>>(), ["fuel", "bytes_out"]);
    assert_eq!(config.effective()["instances"]["one"]["limits"]["count_only"], json!(["fuel", "bytes_out"]));
    let env = vec![("TZ".to_owned(), "UTC".to_owned()), ("EMPTY".to_owned(), String::new())];
    assert_eq!(one.machine, bulkhead_sandbox::MachineGrants { clocks: true, plain_metrics: true, env, ..bulkhead_sandbox::MachineGrants::default() });
    assert_eq!(config.instances[1].machine, bulkhead_sandbox::MachineGrants::default());
    assert_eq!((one.max_calls, config.max_egress, config.instances[1].max_calls), (12, Some(77), 100_000));
    assert_eq!(one.files[0].access, FileAccess::Read);
    assert_eq!((config.instances[1].ordering, config.instances[1].retry.strategy), (Ordering::Key, Strategy::Fixed));
    assert_eq!((config.dead_letters.retention, config.dead_letters.on_full), (Some(Duration::from_secs(30 * 86_400)), OnFull::DropOldest));
    assert_eq!((config.log.format, config.log.stderr, config.drain, config.delivery.max_concurrent), (LogFormat::Pretty, true, Duration::ZERO, 3));
    assert_eq!((config.journal.max_bytes, config.journal.segment_bytes), (1 << 20, 64 << 10));
}

#[test]
fn every_credential_type_is_made() {
    let config = good(
        "
credentials:
  a: {type: header, name: X-Key, value: \"${TOKEN}\"}
  b: {type: query, name: key, value: \"${TOKEN}\"}
  c: {type: basic, username: me, password: \"${TOKEN}\"}
  d: {type: bearer, token: \"${TOKEN}\"}
  e: {type: hmac, scheme: datavault, secret: \"${TOKEN}\"}
  f: {type: hmac, scheme: standard-webhooks, secret: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, whsec_AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]}
instances:
  one:
    connector: webhook
    destinations:
      a: {url: http://127.0.0.1:9/a, credential: a, paths: [/in]}
      b: {url: http://127.0.0.1:9/a, credential: b}
      c: {url: http://127.0.0.1:9/a, credential: c}
      d: {url: http://127.0.0.1:9/a, credential: d}
      e: {url: http://127.0.0.1:9/a, credential: e}
      f: {url: http://127.0.0.1:9/a, credential: f}
",
    );
    for destination in &config.instances[0].destinations {
        assert_eq!(destination.credential().map(|credential| credential.name().to_owned()).as_deref(), Some(destination.name()));
    }
}

#[test]
fn every_condition_and_filter_is_compiled() {
    let config = good(
        "
instances: {one: {connector: file, filters: [{type: severity_threshold, min_severity: HIGH}, {type: rate_limiting, max_events_per_second: 9}]}}
filters:
  - {type: event_type_filter, allowed_types: [AccessEvent]}
  - {type: data_classification_filter, allowed_classifications: [public]}
  - {type: compliance_required}
  - {type: exclude_performance_metrics}
  - {type: rate_limiting, max_events_per_second: 100, burst_capacity: 500, on_excess: drop}
routes:
  - id: all
    when:
      and:
        - or: [{event_type: [SecurityEvent, 'llm.data-vault.*']}, {severity: [low, high]}, {severity: medium}]
        - not: {min_severity: critical}
        - {security_classification: secret, compliance_profile: [SOX, GDPR]}
        - user_role: auditor
        - metadata_contains: {key: team, value: ''}
        - source: [a, b]
        - always: true
        - never: true
    to: [{instance: one, format: json}, {instance: one, format: json}]
",
    );
    use Severity::{High, Low, Medium};
    let types = |names: &[&str]| names.iter().map(|name| TypeName::new(name)).collect();
    let names = |names: &[&str]| names.iter().map(|name| Name::new(name)).collect();
    let want = Condition::And(vec![
        Condition::Or(vec![
            Condition::EventType(types(&["SecurityEvent", "llm.data-vault.*"])),
            Condition::Severity([Low, High].into_iter().collect()),
            Condition::Severity([Medium].into_iter().collect()),
        ]),
        Condition::Not(Box::new(Condition::MinSeverity(Severity::Critical))),
        Condition::And(vec![Condition::SecurityClassification(names(&["secret"])), Condition::ComplianceProfile(names(&["SOX", "GDPR"]))]),
        Condition::UserRole(vec!["auditor".into()]),
        Condition::MetadataContains { key: "team".into(), value: "".into() },
        Condition::Source(vec!["a".into(), "b".into()]),
        Condition::Always,
        Condition::Never,
    ]);
    assert_eq!(config.routes[0].when, want);
    assert_eq!(
        config.filters,
        [
            Filter::EventType(types(&["AccessEvent"])),
            Filter::DataClassification(names(&["public"])),
            Filter::ComplianceRequired,
            Filter::ExcludePerformanceMetrics
        ]
    );
    // Global rate limits hold for each lane and come first.
    let rate = |max_events_per_second, burst_capacity, on_excess| FilterSettings::RateLimiting(RateLimit { max_events_per_second, burst_capacity, on_excess });
    assert_eq!(
        config.instances[0].filters,
        [rate(100, 500, OnExcess::Drop), FilterSettings::Plain(Filter::SeverityThreshold(High)), rate(9, 9, OnExcess::Delay)]
    );
    let router = Router::new(config.routes.clone(), &config.default_route, Vec::new(), config.lanes.len()).expect("a checked configuration makes a router");
    let mut out = Vec::new();
    let mut builder = bulkhead_core::EventBuilder::new();
    builder.start();
    builder.finish(bulkhead_core::Shape::Plain, None, 0, b"{}", &mut out).expect("fits");
    let mut lanes = router.lane_set();
    router.route(&EventRef::new(&out).expect("stored event"), &mut lanes);
    assert!(lanes.is_empty());
}

#[test]
fn numbers_of_a_components_configuration_keep_their_digits() {
    let config = good(&instance(
        "config: {a: 18446744073709551615, b: -9223372036854775808, c: 1.25, d: '1.10', e: 1.10, f: 0x1F, g: true, h: ~, i: 123456789012345678901234567890, j: 1e3, k: 1.2.3, l: [1, {m: n}]}",
    ));
    assert_eq!(
        config.instances[0].config.json,
        json!({
            "a": 18_446_744_073_709_551_615_u64, "b": -9_223_372_036_854_775_808_i64, "c": 1.25, "d": "1.10", "e": 1.1, "f": 31, "g": true, "h": null,
            "i": "123456789012345678901234567890", "j": 1000.0, "k": "1.2.3", "l": [1, {"m": "n"}],
        })
    );
}

#[test]
fn what_leads_nowhere_is_a_warning() {
    let config = good(&instance("config: {}"));
    let warnings: Vec<_> = config.warnings.iter().map(|warning| (warning.span.line, warning.key.as_str())).collect();
    assert_eq!(warnings, [(2, "instances.one"), (0, "routes")]);
}

#[test]
fn the_quickstart_is_valid() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart.yaml"));
    let config = super::super::Config::parse("quickstart.yaml".as_ref(), text, &|_| None).unwrap_or_else(|faults| panic!("{}", faults[0]));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn the_schema_follows_the_table() {
    let schema = schema();
    let defs = schema["$defs"].as_object().expect("definitions");
    assert!(defs.values().all(|def| def["type"] == "object" && def["additionalProperties"] == false));
    // Every reference leads somewhere.
    fn references(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                found.extend(map.get("$ref").and_then(|reference| reference.as_str()).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            serde_json::Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&schema, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        assert!(reference.strip_prefix("#/$defs/").is_some_and(|name| defs.contains_key(name)), "{reference}");
    }
    assert_eq!(schema["$defs"]["batch"]["properties"]["max_events"]["default"], "500");
    assert_eq!(schema["$defs"]["instance"]["required"], json!(["connector"]));
    // Each limit with its default and its ceiling.
    let limits = &schema["$defs"]["instance"]["properties"]["limits"]["properties"];
    for row in bulkhead_sandbox::limits::TABLE {
        let shown = &limits[row.name];
        let (default, ceiling) = (shown["default"].as_str(), shown["x-ceiling"].as_str());
        match row.count_only {
            bulkhead_sandbox::limits::CountOnly::Fixed => assert_eq!(shown["const"], "512KiB", "{}", row.name),
            _ => {
                let (default, ceiling) = (default.expect("a default"), ceiling.expect("a ceiling"));
                for (text, want) in [(default, row.default), (ceiling, row.ceiling)] {
                    let config = good(&instance(&format!("limits: {{{}: {text}}}", row.name)));
                    assert_eq!(config.instances[0].limits.get(row.limit), want, "{}", row.name);
                }
            }
        }
        let counted = limits["count_only"]["items"]["enum"].as_array().expect("names").iter().any(|name| name == row.name);
        assert_eq!(counted, row.count_only == bulkhead_sandbox::limits::CountOnly::Yes, "{}", row.name);
    }
    // What the schema knows and what the reader knows is the same.
    let known: Vec<_> = schema["$defs"]["bulkhead"]["properties"].as_object().expect("properties").keys().cloned().collect();
    assert_eq!(bad("zzzzzzzzz: 1")[0].hint, Some(format!("possible are {}", known.join(", "))));
}

#[test]
fn schedules_of_pulls() {
    use bulkhead_ingest::{Cron, MissedRuns, PullSchedule};
    let cron = |zone, missed| PullSchedule::Cron(Cron::new("0 6 * * MON-FRI", zone).expect("an expression"), missed);
    for (pull, want) in [
        ("{}", PullSchedule::Interval(Duration::from_secs(60))),
        ("{interval: 5m}", PullSchedule::Interval(Duration::from_secs(300))),
        ("{interval: null, cron: \"0 6 * * MON-FRI\"}", cron("UTC", MissedRuns::Run)),
        ("{cron: \"0 6 * * MON-FRI\", timezone: europe/berlin, missed: skip}", cron("Europe/Berlin", MissedRuns::Skip)),
    ] {
        assert_eq!(good(&instance(&format!("pull: {pull}"))).instances[0].pull, Some(want), "{pull}");
    }
    assert_eq!(good(&instance("batch: {}")).instances[0].pull, None);
    let active = |pull: &str| good(&instance(&format!("pull: {pull}"))).pulls()[0].active;
    assert_eq!((active("{}"), active("{interval: 5m, enabled: false}")), (true, false));
}
