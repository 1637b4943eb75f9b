//! People and their sessions: what is kept of each.
//!
//! Promises: a sign-in, with what it says of the user and the sessions that made room for it, is on disk as a whole
//! or not at all. The secret of codes is sealed with the newest key, as that of one user; a start without a key that
//! one needs is refused. Nobody overwrites what another host changed: a change is of what its host knew.

use bulkhead_access::{DirectoryName, Granted, PasswordHash, Person, Role, Session, SessionId, TokenHash, Totp, User, UserName};
use bulkhead_core::Tenant;
use bulkhead_seal::{Cipher, Key, KeyId, Keyring, NONCE, random};

use sqlx::AssertSqlSafe;

use crate::api_keys::tenant;
use crate::changes::{Topic, changed};
use crate::database::{Database, Row, Tx};
use crate::error::{StoreError, failed};
use crate::params;

const PURPOSE: &str = "one-time codes";

/// The tables of users and of sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct People {
    database: Database,
    keyring: Option<Keyring>,
}

const USERS: &str = "SELECT id, name, roles, password, enabled, totp, totp_key, totp_step, created_ms, created_by, changed_ms, changed_by, \
                     signed_in_ms, signed_in_from, tenant FROM users";
const SESSIONS: &str = "SELECT id, name, access, access_until_ms, previous, previous_until_ms, chain, turn, refresh_until_ms, ends_ms, \
                        created_ms, created_from, source, dn, roles FROM sessions";
/// Whose names they are in `sessions.source`.
const OF_USERS: &str = "users";
const OF_DIRECTORY: &str = "ldap";

/// What a change of people leaves behind.
#[derive(Debug, Default)]
pub struct PeopleChange<'a> {
    pub user: Option<&'a User>,
    /// The user as this host knew them; nothing: the user is new.
    pub before: Option<&'a User>,
    pub session: Option<&'a Session>,
    /// The turn of the session as this host knew it; nothing: the session is new.
    pub turn: Option<&'a TokenHash>,
    pub ended: &'a [SessionId],
}

impl People {
    /// Refused where a key is missing that some secret needs; the others are sealed with the newest.
    pub(crate) async fn open(database: Database, keyring: Option<Keyring>) -> Result<Self, StoreError> {
        let people = Self { database, keyring };
        let fail = || failed("reading the keys of users");
        let rows = people.database.fetch_all("SELECT DISTINCT totp_key FROM users WHERE totp_key IS NOT NULL", params![]).await.map_err(fail())?;
        let ids = rows.iter().map(key_id).collect::<Result<Vec<_>, _>>().map_err(fail())?;
        let missing: Vec<KeyId> = ids.into_iter().flatten().filter(|id| people.key(*id).is_none()).collect();
        if !missing.is_empty() {
            return Err(StoreError::KeyMissing { what: "codes of users", missing });
        }
        people.seal_anew().await?;
        Ok(people)
    }

    /// Whether there is a key to seal with; without one no secret is taken.
    pub fn seals(&self) -> bool {
        self.keyring.is_some()
    }

    /// All users, by name, read once at a start. Cancel safe.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows = self.database.fetch_all(AssertSqlSafe(format!("{USERS} ORDER BY name")), params![]).await;
        rows.and_then(|rows| rows.iter().map(|row| self.user(row)).collect()).map_err(failed("reading users"))
    }

    /// All sessions, read once at a start. Cancel safe.
    pub async fn sessions(&self) -> Result<Vec<Session>, StoreError> {
        let rows = self.database.fetch_all(SESSIONS, params![]).await;
        rows.and_then(|rows| rows.iter().map(session).collect()).map_err(failed("reading sessions"))
    }

    /// One session, as another host may have left it. Cancel safe.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let row = self.database.fetch_optional(AssertSqlSafe(format!("{SESSIONS} WHERE id = $1")), params![id.as_str()]).await;
        row.and_then(|row| row.map(|row| session(&row)).transpose()).map_err(failed("reading a session"))
    }

    /// One user, the same way. Cancel safe.
    pub async fn user_named(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let row = self.database.fetch_optional(AssertSqlSafe(format!("{USERS} WHERE name = $1")), params![name.as_str()]).await;
        row.and_then(|row| row.map(|row| self.user(&row)).transpose()).map_err(failed("reading a user"))
    }

    /// Durable as a whole when it returns; false, and nothing of it, where another host was first: the user or the
    /// session is not what it was `before`. Cancel safe: all or nothing.
    pub async fn change(&self, change: PeopleChange<'_>) -> Result<bool, StoreError> {
        let fail = || failed("writing people");
        let mut tx = self.database.begin().await.map_err(fail())?;
        for id in change.ended {
            tx.execute("DELETE FROM sessions WHERE id = $1", params![id.as_str()]).await.map_err(fail())?;
        }
        let mut written = true;
        if let Some(user) = change.user {
            written &= self.put_user(&mut tx, user, change.before).await.map_err(fail())?;
        }
        if let Some(session) = change.session {
            written &= put_session(&mut tx, session, change.turn).await.map_err(fail())?;
        }
        if !written {
            tx.rollback().await.map_err(fail())?;
            return Ok(false);
        }
        changed(&mut tx, Topic::People).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// A user goes, with the sessions. Removing what is not there is no error. Cancel safe: all or nothing.
    pub async fn remove(&self, user: &User) -> Result<(), StoreError> {
        let fail = || failed("removing a user");
        let mut tx = self.database.begin().await.map_err(fail())?;
        tx.execute("DELETE FROM sessions WHERE name = $1 AND source = $2", params![user.name.as_str(), OF_USERS]).await.map_err(fail())?;
        tx.execute("DELETE FROM users WHERE id = $1", params![&user.id]).await.map_err(fail())?;
        changed(&mut tx, Topic::People).await.map_err(fail())?;
        tx.commit().await.map_err(fail())
    }

    async fn put_user(&self, tx: &mut Tx, user: &User, before: Option<&User>) -> Result<bool, sqlx::Error> {
        let (totp, key) = match &user.totp {
            None => (None, None),
            Some(totp) => {
                let keyring = self.keyring.as_ref().ok_or_else(|| sqlx::Error::Encode("there is no key to seal a secret with".into()))?;
                (Some(seal(keyring.current(), &user.id, totp.bytes())), Some(keyring.current().id()))
            }
        };
        let step = |user: &User| user.totp_step.and_then(|step| i64::try_from(step).ok());
        let mut values = params![
            &user.id,
            words(&user.roles),
            user.password.as_str(),
            user.enabled,
            totp,
            key.map(|key| key.0.to_vec()),
            step(user),
            user.changed_ms,
            &user.changed_by,
            user.signed_in.map(|(at_ms, _)| at_ms),
            user.signed_in.map(|(_, from)| from.to_string()),
        ];
        let sql = match before {
            Some(before) => {
                values.extend(params![words(&before.roles), before.password.as_str(), before.enabled, before.changed_ms, step(before)]);
                "UPDATE users SET roles = $2, password = $3, enabled = $4, totp = $5, totp_key = $6, totp_step = $7, changed_ms = $8, changed_by = $9, \
                 signed_in_ms = $10, signed_in_from = $11 \
                 WHERE id = $1 AND roles = $12 AND password = $13 AND enabled = $14 AND changed_ms = $15 AND totp_step IS NOT DISTINCT FROM $16"
            }
            None => {
                values.extend(params![user.name.as_str(), user.created_ms, &user.created_by, user.tenant.as_ref().map_or("", Tenant::as_str)]);
                "INSERT INTO users (id, roles, password, enabled, totp, totp_key, totp_step, changed_ms, changed_by, signed_in_ms, signed_in_from, \
                 name, created_ms, created_by, tenant) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING"
            }
        };
        Ok(tx.execute(sql, values).await? > 0)
    }

    /// What cannot be read is a fault of the store: a user who was read by half might get in too easily.
    fn user(&self, row: &Row) -> Result<User, sqlx::Error> {
        let id: String = row.get("id")?;
        let totp = match (row.get::<Option<Vec<u8>>>("totp")?, key_id(row)?) {
            (None, _) => None,
            (Some(sealed), Some(key)) => Some(self.open_totp(key, &id, sealed)?),
            (Some(_), None) => return Err(odd("totp_key")),
        };
        let signed_in: (Option<i64>, Option<String>) = (row.get("signed_in_ms")?, row.get("signed_in_from")?);
        Ok(User {
            id,
            name: name(row)?,
            roles: roles(row)?,
            tenant: tenant(row)?,
            password: PasswordHash::kept(&row.get::<String>("password")?).ok_or_else(|| odd("password"))?,
            enabled: row.get("enabled")?,
            totp,
            totp_step: row.get::<Option<i64>>("totp_step")?.and_then(|step| u64::try_from(step).ok()),
            created_ms: row.get("created_ms")?,
            created_by: row.get("created_by")?,
            changed_ms: row.get("changed_ms")?,
            changed_by: row.get("changed_by")?,
            signed_in: signed_in.0.zip(signed_in.1.and_then(|from| from.parse().ok())),
        })
    }

    fn open_totp(&self, key: KeyId, id: &str, mut sealed: Vec<u8>) -> Result<Totp, sqlx::Error> {
        let broken = || sqlx::Error::Decode(format!("the seal of the code of user {id} is broken: it was changed in the store").into());
        let key = self.key(key).ok_or_else(broken)?;
        let (nonce, text) = sealed.split_first_chunk_mut::<NONCE>().ok_or_else(broken)?;
        let text = cipher(key, id).open(*nonce, id.as_bytes(), text).map_err(|_| broken())?;
        Totp::kept(text).ok_or_else(broken)
    }

    fn key(&self, id: KeyId) -> Option<&Key> {
        self.keyring.as_ref()?.get(id)
    }

    /// There are few users: all in one transaction.
    async fn seal_anew(&self) -> Result<(), StoreError> {
        let Some(current) = self.keyring.as_ref().map(Keyring::current) else { return Ok(()) };
        let fail = || failed("sealing codes of users with another key");
        let mut tx = self.database.begin().await.map_err(fail())?;
        let sql = "SELECT id, totp, totp_key FROM users WHERE totp_key IS NOT NULL AND totp_key <> $1";
        for row in tx.fetch_all(sql, params![current.id().0.to_vec()]).await.map_err(fail())? {
            let read = || Ok::<_, sqlx::Error>((row.get::<String>("id")?, key_id(&row)?.ok_or_else(|| odd("totp_key"))?, row.get::<Vec<u8>>("totp")?));
            let (id, key, sealed) = read().map_err(fail())?;
            let totp = self.open_totp(key, &id, sealed).map_err(fail())?;
            let sealed = seal(current, &id, totp.bytes());
            let update = tx.execute("UPDATE users SET totp = $1, totp_key = $2 WHERE id = $3", params![sealed, current.id().0.to_vec(), &id]);
            update.await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }
}

/// Each user has a key of their own.
fn cipher(key: &Key, id: &str) -> Cipher {
    key.cipher(PURPOSE, id.as_bytes())
}

fn seal(key: &Key, id: &str, text: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = random();
    let mut out = nonce.to_vec();
    out.extend_from_slice(text);
    let tag = cipher(key, id).seal(nonce, id.as_bytes(), &mut out[NONCE..]);
    out.extend_from_slice(&tag);
    out
}

async fn put_session(tx: &mut Tx, session: &Session, turn: Option<&TokenHash>) -> Result<bool, sqlx::Error> {
    let dn = session.granted.as_ref().map(|granted| granted.dn.clone());
    let granted = session.granted.as_ref().map(|granted| words(&granted.roles));
    if let Some(turn) = turn {
        let sql = "UPDATE sessions SET access = $1, access_until_ms = $2, previous = $3, previous_until_ms = $4, turn = $5, refresh_until_ms = $6, \
                   dn = $7, roles = $8 WHERE id = $9 AND turn = $10";
        let params = params![
            session.access.bytes(),
            session.access_until_ms,
            session.previous.as_ref().map(|(hash, _)| hash.bytes()),
            session.previous.as_ref().map(|(_, until_ms)| *until_ms),
            session.turn.bytes(),
            session.refresh_until_ms,
            dn,
            granted,
            session.id.as_str(),
            turn.bytes(),
        ];
        return Ok(tx.execute(sql, params).await? > 0);
    }
    let sql = "INSERT INTO sessions (id, name, access, access_until_ms, previous, previous_until_ms, chain, turn, refresh_until_ms, ends_ms, \
               created_ms, created_from, source, dn, roles) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    let params = params![
        session.id.as_str(),
        session.person.name(),
        session.access.bytes(),
        session.access_until_ms,
        session.previous.as_ref().map(|(hash, _)| hash.bytes()),
        session.previous.as_ref().map(|(_, until_ms)| *until_ms),
        session.chain.bytes(),
        session.turn.bytes(),
        session.refresh_until_ms,
        session.ends_ms,
        session.created_ms,
        session.created_from.to_string(),
        match session.person {
            Person::User(_) => OF_USERS,
            Person::Directory(_) => OF_DIRECTORY,
        },
        dn,
        granted,
    ];
    Ok(tx.execute(sql, params).await? > 0)
}

fn session(row: &Row) -> Result<Session, sqlx::Error> {
    let hash = |column: &'static str| TokenHash::kept(&row.get::<Vec<u8>>(column)?).ok_or_else(|| odd(column));
    let previous = match (row.get::<Option<Vec<u8>>>("previous")?, row.get("previous_until_ms")?) {
        (Some(bytes), Some(until_ms)) => Some((TokenHash::kept(&bytes).ok_or_else(|| odd("previous"))?, until_ms)),
        _ => None,
    };
    let granted = match (row.get::<Option<String>>("dn")?, row.get::<Option<String>>("roles")?) {
        (Some(dn), Some(names)) => Some(Granted { dn, roles: named(&names)? }),
        _ => None,
    };
    Ok(Session {
        id: SessionId::parse(&row.get::<String>("id")?).ok_or_else(|| odd("id"))?,
        person: person(row)?,
        granted,
        access: hash("access")?,
        access_until_ms: row.get("access_until_ms")?,
        previous,
        chain: hash("chain")?,
        turn: hash("turn")?,
        refresh_until_ms: row.get("refresh_until_ms")?,
        ends_ms: row.get("ends_ms")?,
        created_ms: row.get("created_ms")?,
        created_from: row.get::<String>("created_from")?.parse().map_err(|_| odd("created_from"))?,
    })
}

fn words(roles: &[Role]) -> String {
    roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" ")
}

fn roles(row: &Row) -> Result<Vec<Role>, sqlx::Error> {
    named(&row.get::<String>("roles")?)
}

fn named(names: &str) -> Result<Vec<Role>, sqlx::Error> {
    names.split_whitespace().map(|name| Role::named(name).ok_or_else(|| odd("roles"))).collect()
}

fn person(row: &Row) -> Result<Person, sqlx::Error> {
    match row.get::<String>("source")?.as_str() {
        OF_USERS => Ok(Person::User(name(row)?)),
        OF_DIRECTORY => DirectoryName::parse(&row.get::<String>("name")?).map(Person::Directory).ok_or_else(|| odd("name")),
        _ => Err(odd("source")),
    }
}

fn name(row: &Row) -> Result<UserName, sqlx::Error> {
    UserName::parse(&row.get::<String>("name")?).ok_or_else(|| odd("name"))
}

fn key_id(row: &Row) -> Result<Option<KeyId>, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.get("totp_key")?;
    bytes.map(|bytes| bytes.try_into().map(KeyId).map_err(|_| odd("totp_key"))).transpose()
}

fn odd(column: &'static str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.into(), source: "not what people have there".into() }
}

#[cfg(test)]
mod tests;
