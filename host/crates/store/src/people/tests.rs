use std::time::Duration;

use bulkhead_access::Lives;

use super::*;
use crate::testing::{each_engine, meddle};

const HASH: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
const LIVES: Lives = Lives { access: Duration::from_secs(1), refresh: Duration::from_secs(2), session: Duration::from_secs(3) };

fn keyring(keys: &[&str]) -> Keyring {
    let mut keys = keys.iter().map(|text| Key::parse(text).expect("a key"));
    Keyring::new(keys.next().expect("one"), keys)
}

const ONE: &str = "qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM=";
const OTHER: &str = "aB3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM=";

fn ada() -> User {
    User {
        id: "0199-ada".into(),
        name: UserName::parse("ada").expect("a name"),
        roles: vec![Role::SecurityAdmin, Role::Auditor],
        tenant: bulkhead_core::Tenant::new("acme"),
        password: PasswordHash::kept(HASH).expect("a hash"),
        enabled: true,
        totp: Totp::kept(b"12345678901234567890"),
        totp_step: Some(7),
        created_ms: 1,
        created_by: "key:0123456789abcdef".into(),
        changed_ms: 2,
        changed_by: "user:eve'); DROP TABLE users; --".into(),
        signed_in: Some((3, "10.1.2.3".parse().expect("an address"))),
    }
}

fn shown(user: &User) -> String {
    format!("{user:?} {:?} {:?}", user.password.as_str(), user.totp.as_ref().map(Totp::bytes))
}

#[tokio::test]
async fn people_come_back_as_they_were() {
    each_engine("people_come_back_as_they_were", async |place| {
        let store = place.open().await;
        let people = store.people(Some(keyring(&[ONE]))).await.expect("opens");
        let mut ada = ada();
        let here = "127.0.0.1".parse().expect("an address");
        let (session, _) = Session::begin(Person::User(ada.name.clone()), None, here, 1, &LIVES).expect("random");
        let (other, _) = Session::begin(Person::User(ada.name.clone()), None, here, 1, &LIVES).expect("random");
        people.change(PeopleChange { user: Some(&ada), session: Some(&session), ..PeopleChange::default() }).await.expect("writes");
        people.change(PeopleChange { session: Some(&other), ..PeopleChange::default() }).await.expect("writes");
        let before = ada.clone();
        ada.enabled = false;
        ada.totp_step = Some(8);
        let change = || PeopleChange { user: Some(&ada), before: Some(&before), ..PeopleChange::default() };
        assert!(people.change(change()).await.expect("writes"));
        // Another host that knew only what was before is too late, and so is one that knew nothing.
        let stale = User { signed_in: Some((5, here)), ..before.clone() };
        let (late, _) = Session::begin(Person::User(ada.name.clone()), None, here, 1, &LIVES).expect("random");
        let signs_in = PeopleChange { user: Some(&stale), before: Some(&before), session: Some(&late), ..PeopleChange::default() };
        assert!(!people.change(signs_in).await.expect("writes nothing"));
        assert!(!people.change(PeopleChange { user: Some(&stale), ..PeopleChange::default() }).await.expect("writes nothing"));
        assert_eq!(people.session(&session.id).await.expect("reads").expect("there").id, session.id);
        assert!(people.user_named(&ada.name).await.expect("reads").is_some_and(|user| !user.enabled));
        assert!(people.session(&late.id).await.expect("reads").is_none());
        let renews = PeopleChange { session: Some(&session), turn: Some(&other.turn), ..PeopleChange::default() };
        assert!(!people.change(renews).await.expect("writes nothing"), "of a turn that is not its own");
        assert!(people.change(PeopleChange { session: Some(&session), turn: Some(&session.turn), ..PeopleChange::default() }).await.expect("writes"));
        store.close().await;

        // With another key: what the one before sealed is sealed anew, and then needs it no more.
        let store = place.open().await;
        let missing = store.people(None).await.expect_err("a key is missing");
        assert!(matches!(missing, StoreError::KeyMissing { what: "codes of users", .. }), "{missing}");
        store.people(Some(keyring(&[OTHER, ONE]))).await.expect("opens");
        let people = store.people(Some(keyring(&[OTHER]))).await.expect("opens without the older key");
        let users = people.users().await.expect("reads");
        assert_eq!(users.iter().map(shown).collect::<Vec<_>>(), [shown(&ada)]);
        let sessions = people.sessions().await.expect("reads");
        assert_eq!(sessions.len(), 2);
        for kept in [&session, &other] {
            let read = sessions.iter().find(|read| read.id == kept.id).expect("there");
            assert_eq!(format!("{read:?}"), format!("{kept:?}"));
            assert!(read.access.is(&kept.access) && read.chain.is(&kept.chain) && read.turn.is(&kept.turn));
        }
        people.change(PeopleChange { ended: std::slice::from_ref(&other.id), ..PeopleChange::default() }).await.expect("writes");
        people.remove(&ada).await.expect("removes");
        assert_eq!((people.users().await.expect("reads").len(), people.sessions().await.expect("reads").len()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn the_secret_of_codes_is_sealed_for_one_user() {
    each_engine("the_secret_of_codes_is_sealed_for_one_user", async |place| {
        let store = place.open().await;
        let people = store.people(Some(keyring(&[ONE]))).await.expect("opens");
        let other = User { id: "0199-eve".into(), name: UserName::parse("eve").expect("a name"), ..ada() };
        for user in [&ada(), &other] {
            people.change(PeopleChange { user: Some(user), ..PeopleChange::default() }).await.expect("writes");
        }
        let rows = people.database.fetch_all("SELECT totp FROM users", params![]).await.expect("reads");
        assert!(rows.iter().all(|row| !row.get::<Vec<u8>>("totp").expect("bytes").windows(20).any(|bytes| bytes == b"12345678901234567890")));
        // Somebody puts their own secret in the place of another's.
        let swap = "UPDATE users SET totp = (SELECT totp FROM users WHERE name = 'eve') WHERE name = 'ada'";
        meddle(store.shared(), swap.into()).await;
        let error = people.users().await.expect_err("a broken seal");
        assert!(matches!(error, StoreError::Query { doing: "reading users", .. }), "{error}");
        // Without a key nothing is written in the clear in its place.
        let clear = People { keyring: None, ..people };
        assert!(!clear.seals() && clear.change(PeopleChange { user: Some(&ada()), ..PeopleChange::default() }).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_user_who_cannot_be_read_is_a_fault() {
    each_engine("a_user_who_cannot_be_read_is_a_fault", async |place| {
        let store = place.open().await;
        let people = store.people(Some(keyring(&[ONE]))).await.expect("opens");
        for (column, value) in [("roles", "'root'"), ("password", "'plain'"), ("name", "'../x'"), ("totp_key", "totp")] {
            let user = ada();
            people.change(PeopleChange { user: Some(&user), ..PeopleChange::default() }).await.expect("writes");
            meddle(store.shared(), format!("UPDATE users SET {column} = {value}")).await;
            assert!(matches!(people.users().await, Err(StoreError::Query { doing: "reading users", .. })), "{column}");
            people.remove(&user).await.expect("removes");
        }
    })
    .await;
}
