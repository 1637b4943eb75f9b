use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::{Config, Fault};

const FILE: &str = "
listen: {http: {addr: '127.0.0.1:0', tenant: home}}
credentials:
  a-key: {tenant: a, type: bearer, token: secret}
  own-key: {type: bearer, token: secret}
formatters: {cef: {tenant: a, formatter: cef, config: {device_vendor: a}}, mine: {formatter: cef}}
instances:
  a-one: {tenant: a, connector: webhook, destinations: {primary: {url: 'https://a.example', credential: a-key}}}
  b-one: {tenant: b, connector: webhook, destinations: {primary: 'https://b.example'}}
  own: {connector: webhook, destinations: {primary: {url: 'https://own.example', credential: own-key}}}
routes:
  - {id: all, when: {always: true}, to: [{instance: a-one, format: mine}, {instance: b-one, format: cef}, {instance: own, format: cef}]}
  - {id: a, tenant: a, when: {always: true}, to: [{instance: a-one, format: cef}]}
webhooks: {hook: {tenant: a, url: 'https://hook.example', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}
subscriptions: {wish: {tenant: a, when: {always: true}, action: {type: webhook, webhook: hook}}}
";

fn parse(text: &str) -> Result<Config, Vec<Fault>> {
    Config::parse(Path::new("bulkhead.yaml"), text, &|_| None)
}

/// The file with this in the place of that has one fault more than none.
#[track_caller]
fn check(this: &str, that: &str, want: &str) {
    assert!(FILE.contains(this), "{this}");
    let faults = parse(&FILE.replacen(this, that, 1)).expect_err("a fault");
    let said: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect();
    assert!(said.iter().any(|said| said.contains(want)), "{want}: {said:#?}");
}

#[test]
fn parts_are_whose_they_say_and_objects_parts_are_their_objects() {
    let config = parse(FILE).unwrap_or_else(|faults| panic!("{}", faults.iter().map(ToString::to_string).collect::<String>()));
    let of = |section, name: &str| config.owners.of(section, name).map(Tenant::as_str);
    for (section, name) in [(Section::Instances, "webhook.hook"), (Section::Credentials, "webhook.hook"), (Section::Routes, "subscription.wish")] {
        assert_eq!(of(section, name), Some("a"), "{name}");
    }
    assert_eq!((of(Section::Instances, "own"), of(Section::Instances, "nobody")), (None, None));
    let routes: Vec<_> = config.routes.iter().map(|route| (&*route.id, route.tenant.as_ref().map(Tenant::as_str))).collect();
    assert_eq!(routes, [("all", None), ("a", Some("a")), ("webhook.hook", Some("a")), ("subscription.wish", Some("a"))]);
    // State stays where it was for what is of nobody.
    let data: Vec<String> = config.instances[..3].iter().map(|instance| config.data_tenant(instance.tenant.as_ref()).to_string()).collect();
    assert_eq!(data, ["a", "b", "home"]);
    // An entry of a tenant is a format of its own lanes, and to others the name is what it always was.
    let vendor = |owner: Option<&str>| config.formatter_for("cef", owner.and_then(Tenant::new).as_ref()).config.json["device_vendor"].clone();
    assert_eq!((vendor(Some("a")), vendor(Some("b")), vendor(None)), (json!("a"), json!(null), json!(null)));
    let other = parse(&FILE.replacen("device_vendor: a", "device_vendor: z", 1)).expect("valid");
    for (name, same) in [("a-one", false), ("b-one", true), ("own", true)] {
        assert_eq!(config.fingerprint(name) == other.fingerprint(name), same, "{name}");
    }
}

#[test]
fn references_stay_within_a_tenant() {
    check(
        "tenant: a, when: {always: true}, to: [{instance: a-one",
        "tenant: a, when: {always: true}, to: [{instance: b-one",
        "there is no instance `b-one` of tenant `a`",
    );
    check(
        "tenant: a, when: {always: true}, to: [{instance: a-one",
        "tenant: a, when: {always: true}, to: [{instance: own",
        "there is no instance `own` of tenant `a`",
    );
    check("{instance: a-one, format: cef}", "{instance: a-one, format: mine}", "there is no formatter `mine` of tenant `a`");
    check("credential: a-key", "credential: own-key", "there is no credential `own-key` of tenant `a`");
    check("credential: own-key", "credential: a-key", "the credential `a-key` is of tenant `a`, and this instance of none");
    check("wish: {tenant: a", "wish: {tenant: b", "there is no instance `webhook.hook` of tenant `b`");
    check("hook: {tenant: a", "hook: {tenant: A", "is not a tenant");
    let inbound = "inbound: {in: {tenant: b, key: 0123456789abcdef0123456789, verify: {type: none}, instance: a-one}}\nwebhooks:";
    check("webhooks:", inbound, "the instance `a-one` is of tenant `a`, and what comes in here of `b`");
    // What the operator names may be anybody's.
    assert!(parse(&FILE.replacen("webhooks:", &inbound.replace("instance: a-one", "instance: own"), 1)).is_ok());
}

#[test]
fn a_token_says_whose_somebody_is_in_one_way() {
    let oidc = |more: &str| format!("listen: {{api: {{addr: '127.0.0.1:0', auth: oidc, oidc: {{issuer: 'http://127.0.0.1:1', audience: x, {more}}}}}}}");
    assert!(parse(&oidc("tenant_claim: org, roles: [{value: v, roles: auditor}]")).is_ok());
    assert!(parse(&oidc("roles: [{value: v, roles: auditor, tenant: acme}]")).is_ok());
    let faults = parse(&oidc("tenant_claim: org, roles: [{value: v, roles: auditor, tenant: acme}]")).expect_err("both");
    assert_eq!((faults.len(), faults[0].key.as_str()), (1, "listen.api.oidc.tenant_claim"));
}
