use super::*;
use crate::allow::Allow;
use crate::record::Revoked;

const DAY: i64 = 86_400_000;
const START: i64 = 1_000 * DAY;

struct Bench {
    keys: Keys,
    key: ApiKey,
}

fn record(keys: &Keys, key: &ApiKey, change: impl FnOnce(&mut KeyRecord)) -> KeyRecord {
    let mut record = KeyRecord {
        id: key.id().clone(),
        name: "pipeline".into(),
        roles: vec![Role::ApiService, Role::Auditor],
        tenant: None,
        hash: keys.hash(key),
        previous: None,
        allow: Allow::default(),
        rate: 100,
        created_ms: START,
        created_by: "tests".into(),
        rotated_ms: None,
        expires_ms: START + 365 * DAY,
        revoked: None,
        used: None,
        reminded: false,
    };
    change(&mut record);
    record
}

impl Bench {
    fn new(change: impl FnOnce(&mut KeyRecord)) -> Self {
        let mut keys = Keys::new(Pepper::from_text("a pepper for tests, 32 bytes of it"), Vec::new());
        let key = ApiKey::mint().expect("random");
        keys.put(record(&keys, &key, change));
        Self { keys, key }
    }

    fn shown(&mut self, key: &ApiKey, from: &str, at_ms: i64) -> Result<Admitted, Denied> {
        let now = Now { unix_ms: at_ms, monotonic: Duration::from_millis((at_ms - START).unsigned_abs()) };
        self.keys.admit(key, from.parse().expect("an address"), now)
    }

    fn admit(&mut self, from: &str, at_ms: i64) -> Result<Admitted, Denied> {
        let key = again(&self.key);
        self.shown(&key, from, at_ms)
    }
}

/// The same key, as its owner sends it.
fn again(key: &ApiKey) -> ApiKey {
    ApiKey::parse(secrecy::ExposeSecret::expose_secret(&key.expose())).expect("a key")
}

#[track_caller]
fn check(change: impl FnOnce(&mut KeyRecord), from: &str, at_ms: i64, want: Result<(), Denied>) {
    assert_eq!(Bench::new(change).admit(from, at_ms).map(drop), want);
}

#[test]
fn a_key_lets_in_while_it_lives_and_from_where_it_may() {
    check(|_| {}, "127.0.0.1", START, Ok(()));
    check(|_| {}, "127.0.0.1", START + 365 * DAY - 1, Ok(()));
    check(|_| {}, "127.0.0.1", START + 365 * DAY, Err(Denied::Expired));
    check(|record| record.revoked = Some(Revoked { at_ms: START, by: "ada".into() }), "127.0.0.1", START, Err(Denied::Revoked));
    let inside = |record: &mut KeyRecord| record.allow = Allow::parse(["10.0.0.0/8"]).expect("a network");
    check(inside, "10.9.9.9", START, Ok(()));
    check(inside, "::ffff:10.9.9.9", START, Ok(()));
    check(inside, "127.0.0.1", START, Err(Denied::Address));
}

#[test]
fn it_may_do_what_its_roles_may() {
    let admitted = Bench::new(|_| {}).admit("127.0.0.1", START).expect("let in");
    assert!(admitted.principal.actor.starts_with("key:"));
    let allowed: Vec<&str> = admitted.principal.permissions.iter().map(Permission::name).collect();
    assert_eq!(allowed, ["events:read", "events:write", "alerts:write", "system:monitor", "integrations:read", "audit:read"]);
    let nothing = Bench::new(|record| record.roles.clear()).admit("127.0.0.1", START).expect("let in");
    assert_eq!(nothing.principal.permissions.iter().count(), 0);
}

/// Whatever its state, without the secret it is unknown.
#[test]
fn a_wrong_secret_learns_nothing() {
    for change in [
        (|_| {}) as fn(&mut KeyRecord),
        |record| record.expires_ms = START,
        |record| record.revoked = Some(Revoked { at_ms: START, by: "ada".into() }),
        |record| record.allow = Allow::parse(["10.0.0.0/8"]).expect("a network"),
        |record| record.rate = 1,
    ] {
        let mut bench = Bench::new(change);
        let wrong = ApiKey::renew(bench.key.id()).expect("random");
        for _ in 0..3 {
            assert_eq!(bench.shown(&wrong, "127.0.0.1", START), Err(Denied::Unknown));
        }
        assert_eq!(bench.keys.take_uses().len(), 0, "a guess is no use");
    }
    let mut bench = Bench::new(|_| {});
    assert_eq!(bench.shown(&ApiKey::mint().expect("random"), "127.0.0.1", START), Err(Denied::Unknown));
}

#[test]
fn after_a_rotation_both_secrets_count_for_a_while() {
    let mut bench = Bench::new(|record| record.expires_ms = START + 10 * DAY);
    let fresh = ApiKey::renew(bench.key.id()).expect("random");
    let mut rotated = bench.keys.get(bench.key.id()).expect("there").clone();
    rotated.rotate(bench.keys.hash(&fresh), START + DAY, DAY, START + 11 * DAY);
    assert_eq!(rotated.lifetime_ms(), 10 * DAY);
    bench.keys.put(rotated);
    assert!(bench.shown(&fresh, "127.0.0.1", START + DAY).is_ok());
    assert!(bench.admit("127.0.0.1", START + 2 * DAY - 1).is_ok());
    assert_eq!(bench.admit("127.0.0.1", START + 2 * DAY), Err(Denied::Replaced));
    assert!(bench.shown(&fresh, "127.0.0.1", START + 10 * DAY).is_ok());
    // The next rotation ends the first secret for good, and an overlap of nothing the second at once.
    let mut rotated = bench.keys.get(bench.key.id()).expect("there").clone();
    let third = ApiKey::renew(bench.key.id()).expect("random");
    rotated.rotate(bench.keys.hash(&third), START + 3 * DAY, 0, START + 13 * DAY);
    bench.keys.put(rotated);
    assert_eq!(bench.admit("127.0.0.1", START + 3 * DAY), Err(Denied::Unknown));
    assert_eq!(bench.shown(&fresh, "127.0.0.1", START + 3 * DAY), Err(Denied::Unknown));
    assert!(bench.shown(&third, "127.0.0.1", START + 3 * DAY).is_ok());
}

#[test]
fn a_rotation_does_not_bring_an_expired_secret_back() {
    let mut bench = Bench::new(|record| record.expires_ms = START + DAY);
    let fresh = ApiKey::renew(bench.key.id()).expect("random");
    let mut rotated = bench.keys.get(bench.key.id()).expect("there").clone();
    rotated.rotate(bench.keys.hash(&fresh), START + 2 * DAY, 30 * DAY, START + 3 * DAY);
    assert!(rotated.previous.is_none());
    bench.keys.put(rotated);
    assert_eq!(bench.admit("127.0.0.1", START + 2 * DAY), Err(Denied::Unknown));
    assert!(bench.shown(&fresh, "127.0.0.1", START + 2 * DAY).is_ok());
}

#[test]
fn beyond_its_rate_a_key_waits() {
    let mut bench = Bench::new(|record| record.rate = 2);
    assert!(bench.admit("127.0.0.1", START).is_ok() && bench.admit("127.0.0.1", START).is_ok());
    assert_eq!(bench.admit("127.0.0.1", START), Err(Denied::Rate(Duration::from_millis(500))));
    assert!(bench.admit("127.0.0.1", START + 500).is_ok());
    // A change of the key does not fill its bucket.
    let same = bench.keys.get(bench.key.id()).expect("there").clone();
    bench.keys.put(same);
    assert!(matches!(bench.admit("127.0.0.1", START + 500), Err(Denied::Rate(_))));
}

#[test]
fn uses_are_kept_once_and_signing_in_is_news_once() {
    let mut bench = Bench::new(|_| {});
    let first = bench.admit("127.0.0.1", START).expect("let in").sign_in.expect("news");
    assert_eq!((first.name.as_str(), first.before), ("pipeline", None));
    assert_eq!(bench.admit("127.0.0.1", START + DAY).expect("let in").sign_in, None);
    let elsewhere = bench.admit("127.0.0.2", START + DAY + 1).expect("let in").sign_in.expect("news");
    assert_eq!(elsewhere.before, Some("127.0.0.1".parse().expect("an address")));
    // Between two places, back and forth: not each time.
    assert_eq!(bench.admit("127.0.0.1", START + DAY + 2).expect("let in").sign_in, None);
    assert!(bench.admit("127.0.0.1", START + DAY + 61_000).expect("let in").sign_in.is_some());

    let uses = bench.keys.take_uses();
    assert_eq!(uses, [(bench.key.id().clone(), START + DAY + 61_000, "127.0.0.1".parse().expect("an address"))]);
    assert_eq!(bench.keys.take_uses(), []);
    bench.keys.give_back_uses(&uses);
    assert_eq!(bench.keys.take_uses(), uses);
}

#[test]
fn a_full_host_forgets_what_is_dead_longest_and_nothing_that_lives() {
    let mut keys = Keys::new(Pepper::from_text("a pepper for tests, 32 bytes of it"), Vec::new());
    let mut ids = Vec::new();
    for _ in 0..MOST_KEYS {
        assert_eq!(keys.room(None, START), Room::Free);
        let key = ApiKey::mint().expect("random");
        ids.push(key.id().clone());
        keys.put(record(&keys, &key, |_| {}));
    }
    assert_eq!(keys.room(None, START), Room::Full);
    for (id, at_ms) in [(&ids[3], START + 2), (&ids[5], START + 1)] {
        let mut dead = keys.get(id).expect("there").clone();
        dead.revoked = Some(Revoked { at_ms, by: "ada".into() });
        keys.put(dead);
    }
    assert_eq!(keys.room(None, START + 3), Room::After(ids[5].clone()));
    keys.remove(&ids[5]);
    assert_eq!((keys.room(None, START + 3), keys.all().len()), (Room::Free, MOST_KEYS - 1));
}

#[test]
fn the_last_administrator_is_known() {
    let mut bench = Bench::new(|record| record.roles = Role::FIRST.to_vec());
    let own = bench.key.id().clone();
    assert!(!bench.keys.another_admin(&own, START));
    let other = ApiKey::mint().expect("random");
    bench.keys.put(record(&bench.keys, &other, |record| record.roles = vec![Role::SecurityAdmin]));
    assert!(bench.keys.another_admin(&own, START) && !bench.keys.another_admin(&own, START + 400 * DAY));
}

/// A tenant fills what is its own, and takes neither room nor dead keys from others.
#[test]
fn a_tenant_has_room_of_its_own() {
    let tenant = Tenant::new("acme");
    let mut keys = Keys::new(Pepper::from_text("a pepper for tests, 32 bytes of it"), Vec::new());
    let mut put = |tenant: &Option<Tenant>, dead: bool| {
        let key = ApiKey::mint().expect("random");
        let made = record(&keys, &key, |record| {
            record.tenant = tenant.clone();
            if dead {
                record.revoked = Some(Revoked { at_ms: START, by: "tests".into() });
            }
        });
        keys.put(made);
        key.id().clone()
    };
    put(&None, true);
    let first = put(&tenant, false);
    (1..MOST_OF_TENANT).for_each(|_| drop(put(&tenant, false)));
    assert_eq!((keys.room(tenant.as_ref(), START), keys.room(None, START)), (Room::Full, Room::Free));
    assert_eq!(keys.room(Tenant::new("other").as_ref(), START), Room::Free);
    let mut ended = keys.get(&first).expect("there").clone();
    ended.revoked = Some(Revoked { at_ms: START, by: "tests".into() });
    keys.put(ended);
    assert_eq!(keys.room(tenant.as_ref(), START), Room::After(first.clone()));
    let admin = |keys: &Keys| keys.another_admin(&first, START);
    let key = ApiKey::mint().expect("random");
    keys.put(record(&keys, &key, |record| (record.tenant, record.roles) = (tenant.clone(), vec![Role::SecurityAdmin])));
    assert!(!admin(&keys), "a tenant's administrator gives out no keys of the host");
    let admitted = keys.admit(&key, "127.0.0.1".parse().expect("an address"), Now { unix_ms: START, monotonic: Duration::ZERO });
    assert_eq!(admitted.map(|admitted| admitted.principal.tenant), Ok(tenant));
}
