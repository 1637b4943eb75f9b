//! People: who signs in with a password and perhaps a code, and the sessions that come of it.
//!
//! Promises: whoever is not there, is switched off, or has another password gets the same answer after the same work; a
//! sign-in, a refresh and an end of a session are on disk before they count; no request that shows an access token
//! waits for the store. A name that is a user's here is never asked of the directory: nobody there takes it over, and no
//! password of the host's users leaves it. Refuses: more than a few hashes at once ([`hashing`]), and guesses beyond
//! their number.

mod directory;
mod hashing;
mod own_password;
mod users;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_access::{
    AccessToken, DirectoryName, Granted, Guesses, Lives, Pair, PasswordHash, Person, Principal, RefreshToken, Refreshed, Role, Session, SessionId, Sessions,
    TokenDenied, User, UserName,
};
use bulkhead_core::{Clock, Tenant};
use bulkhead_seal::Keyring;
use bulkhead_store::{People as Table, PeopleChange, Store, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::access::SharedGuesses;
use crate::config::ApiListener;
use crate::directory::{Directory, NotAsked};
use crate::own_events::{Lifecycle, OwnEvents};
use crate::trail::Trail;
use hashing::{Busy, Hashing};
pub use own_password::{OwnPassword, OwnPasswordError};
pub use users::{NewUser, UserChange, UserError, shown};

/// Between two looks for sessions that are over.
const SWEEP: Duration = Duration::from_secs(60);

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("signing in is switched off; `listen.api.auth` names `users` or `ldap` where it is wanted")]
    Off,
    #[error("too many wrong attempts from this address or for this user; right ones are not looked at either")]
    Guessing(Duration),
    /// Which of the three is not told.
    #[error("the user name, the password or the code is wrong")]
    Wrong,
    #[error("the password is right, and a code of the app is needed as `mfa_token`")]
    CodeMissing,
    #[error("the refresh token is not known, or its session has ended; sign in again")]
    Unknown,
    #[error("the refresh token was used before: the session has ended; sign in again")]
    Reused { actor: String },
    #[error("the directory knows who you are, and none of your groups means a role here")]
    NoRole { actor: String },
    #[error(transparent)]
    Directory(#[from] NotAsked),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("the system gives no random numbers")]
    Random,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What somebody types in.
pub struct Login {
    pub name: String,
    pub password: SecretString,
    pub code: Option<SecretString>,
}

/// What a sign-in or a refresh hands out.
pub struct SignedIn {
    pub person: Person,
    pub session: SessionId,
    pub pair: Pair,
    pub access_for: Duration,
}

/// What a session begins with.
enum Begun<'a> {
    User { before: &'a User, after: &'a User },
    Directory { granted: Granted, session_for: Duration },
}

/// The tables that people are kept in, and how they may sign in.
pub struct People {
    /// Users of the host sign in, and people of the directory where there is one.
    accepts_users: bool,
    directory: Option<Arc<Directory>>,
    /// Nobody else could give rights: the last administrator among the users stays.
    keeps_admin: bool,
    lives: Lives,
    users: Mutex<BTreeMap<UserName, User>>,
    sessions: Mutex<Sessions>,
    by_address: SharedGuesses,
    by_name: Mutex<Guesses<Person>>,
    /// Changes of users and sessions go one after the other.
    change: tokio::sync::Mutex<()>,
    /// Other hosts may change the store as well.
    shared: bool,
    hashing: Hashing,
    table: Table,
    clock: Arc<dyn Clock>,
    trail: Trail,
    own_events: OwnEvents,
}

/// The rooms that people need.
pub struct Parts<'a> {
    pub store: &'a Store,
    pub keyring: Option<Keyring>,
    pub guesses: SharedGuesses,
    pub clock: &'a Arc<dyn Clock>,
    pub trail: &'a Trail,
    pub own_events: &'a OwnEvents,
}

impl People {
    /// Reads what there is.
    pub async fn open(listener: &ApiListener, parts: Parts<'_>) -> Result<Arc<Self>, StoreError> {
        let Parts { store, keyring, guesses, clock, trail, own_events } = parts;
        let table = store.with_room(async || store.people(keyring.clone()).await).await?;
        let users: BTreeMap<UserName, User> = table.users().await?.into_iter().map(|user| (user.name.clone(), user)).collect();
        let sessions = Sessions::new(table.sessions().await?);
        if listener.users && users.is_empty() && listener.is_only_users() {
            tracing::warn!("nobody can sign in: there is no user; `auth: [keys, users]` makes a first key, with which `bulkhead user create` makes users");
        }
        Ok(Arc::new(Self {
            accepts_users: listener.users,
            directory: listener.ldap.clone().map(|settings| Directory::new(settings, clock)),
            keeps_admin: listener.is_only_users(),
            lives: listener.sign_in,
            users: Mutex::new(users),
            sessions: Mutex::new(sessions),
            by_address: guesses,
            by_name: Mutex::default(),
            change: tokio::sync::Mutex::new(()),
            shared: store.shared().is_shared(),
            hashing: Hashing::default(),
            table,
            clock: Arc::clone(clock),
            trail: trail.clone(),
            own_events: own_events.clone(),
        }))
    }

    /// Whether users of the host sign in here.
    pub fn accepts_users(&self) -> bool {
        self.accepts_users
    }

    /// Whether people of a directory do.
    pub fn accepts_directory(&self) -> bool {
        self.directory.is_some()
    }

    fn accepts(&self) -> bool {
        self.accepts_users || self.directory.is_some()
    }

    /// Whose access token it is, with the rights of now. Cheap: nothing waits.
    pub fn admit(&self, token: &AccessToken) -> Result<Principal, TokenDenied> {
        if !self.accepts() {
            return Err(TokenDenied::Unknown);
        }
        let (person, granted) = self.sessions().admit(token, self.clock.unix_ms()).map(|session| (session.person.clone(), session.granted.clone()))?;
        let (roles, tenant) = self.standing(&person, granted.as_ref()).ok_or(TokenDenied::Unknown)?;
        Ok(Principal { actor: person.actor(), permissions: Role::union(&roles), tenant })
    }

    /// Checks name, password and code, and begins a session. Not cancel safe: let it end.
    pub async fn sign_in(&self, login: Login, from: IpAddr) -> Result<SignedIn, SignInError> {
        if !self.accepts() {
            return Err(SignInError::Off);
        }
        // First: an address at its limit costs no question to the store.
        self.not_guessing(None, from)?;
        let person = self.person(&login.name).await?;
        self.not_guessing(person.as_ref(), from)?;
        match (&self.directory, person) {
            (Some(directory), Some(Person::Directory(name))) => self.sign_in_by(directory, name, login, from).await,
            (_, Some(Person::User(name))) => self.sign_in_user(Some(name), login, from).await,
            _ => self.sign_in_user(None, login, from).await,
        }
    }

    /// Whose name that would be; nothing for a text that is nobody's.
    async fn person(&self, typed: &str) -> Result<Option<Person>, StoreError> {
        let user = UserName::parse(typed).filter(|_| self.accepts_users);
        if self.directory.is_none() {
            return Ok(user.map(Person::User));
        }
        if let Some(name) = user {
            // Another host may have made the user a moment ago.
            self.look_at_user(&name).await?;
            if self.users().contains_key(&name) {
                return Ok(Some(Person::User(name)));
            }
        }
        Ok(DirectoryName::parse(typed).map(Person::Directory))
    }

    async fn sign_in_user(&self, name: Option<UserName>, login: Login, from: IpAddr) -> Result<SignedIn, SignInError> {
        let Login { password, code, .. } = login;
        let person = name.clone().map(Person::User);
        let user = name.as_ref().and_then(|name| self.users().get(name).cloned());
        // The same work for a user who is not there.
        let hash = user.as_ref().map_or_else(PasswordHash::decoy, |user| user.password.clone());
        let kept = hash.clone();
        let (fits, password) = self.hashing.run(move || (kept.fits(password.expose_secret()), password)).await?;
        let Some(user) = user.filter(|user| fits && user.enabled) else { return Err(self.wrong(person.as_ref(), from)) };
        if user.totp.is_some() && code.is_none() {
            return Err(SignInError::CodeMissing);
        }
        let renewed = if hash.is_current() {
            None
        } else {
            // Another hash of the same password; where none comes out the one of before stays.
            self.hashing.run(move || PasswordHash::of(password.expose_secret())).await?.ok()
        };
        let _one = self.change.lock().await;
        self.look_at_user(&user.name).await?;
        // It may have been changed since: by an administrator, or by the same code a moment ago.
        let now = self.users().get(&user.name).filter(|now| now.id == user.id && now.enabled && now.password == user.password).cloned();
        let Some(now) = now else { return Err(self.wrong(person.as_ref(), from)) };
        let step = match (&now.totp, &code) {
            (None, _) => now.totp_step,
            (Some(_), None) => return Err(SignInError::CodeMissing),
            (Some(totp), Some(code)) => match totp.step(code.expose_secret(), self.unix_seconds(), now.totp_step) {
                Some(step) => Some(step),
                None => return Err(self.wrong(person.as_ref(), from)),
            },
        };
        let after =
            User { password: renewed.unwrap_or_else(|| now.password.clone()), totp_step: step, signed_in: Some((self.clock.unix_ms(), from)), ..now.clone() };
        let signed_in = self.begin(Person::User(user.name.clone()), Begun::User { before: &now, after: &after }, from).await?;
        let roles: Vec<&str> = after.roles.iter().map(|role| role.name()).collect();
        self.trail
            .signed_in(json!({
                "actor": signed_in.person.actor(), "tenant": after.tenant.as_ref().map(|tenant| tenant.as_str()), "name": after.name.as_str(),
                "roles": roles, "from": from, "session": signed_in.session.as_str(),
                "by": if after.totp.is_some() { "password and code" } else { "password" },
            }))
            .await;
        Ok(signed_in)
    }

    /// Exchanges a refresh token for the next pair; one that was used before ends its session. Not cancel safe: let it end.
    pub async fn refresh(&self, text: &str, from: IpAddr) -> Result<SignedIn, SignInError> {
        if !self.accepts() {
            return Err(SignInError::Off);
        }
        self.not_guessing(None, from)?;
        let Some(shown) = RefreshToken::parse(text) else {
            self.by_address().wrong(from, self.clock.monotonic());
            return Err(SignInError::Unknown);
        };
        // Another host may have given out the next pair: what is not known here yet is no use for the second time. Not
        // under the lock, and this one session only: whoever makes tokens up holds nobody up.
        self.look_at(shown.id()).await?;
        if self.sessions().get(shown.id()).is_none() {
            return Err(SignInError::Unknown);
        }
        let granted = self.granted_now(&shown).await?;
        let _one = self.change.lock().await;
        let before = self.sessions().get(shown.id()).map(|session| session.turn);
        let now_ms = self.clock.unix_ms();
        let refreshed = self.sessions().refresh(&shown, now_ms, &self.lives).map_err(|_| SignInError::Random)?;
        match refreshed {
            Refreshed::Denied(_) => Err(SignInError::Unknown),
            Refreshed::Reused(session) => {
                let actor = session.person.actor();
                self.end(std::slice::from_ref(&session.id)).await?;
                tracing::warn!(actor, session = %session.id, %from, "a refresh token was shown twice: its session has ended");
                self.own_events.lifecycle(&Lifecycle::TokenReused { actor: actor.clone(), session: session.id.to_string(), from: from.to_string() });
                Err(SignInError::Reused { actor })
            }
            Refreshed::Renewed(mut session, pair) => {
                if granted.is_some() {
                    session.granted = granted;
                }
                if self.standing(&session.person, session.granted.as_ref()).is_none() {
                    return Err(SignInError::Unknown);
                }
                let change = PeopleChange { session: Some(&session), turn: before.as_ref(), ..PeopleChange::default() };
                if !self.table.change(change).await? {
                    // It ended, or went on, on another host a moment ago.
                    return Err(SignInError::Unknown);
                }
                let (person, id, access_for) = (session.person.clone(), session.id.clone(), session.access_for(now_ms));
                self.sessions().put(*session);
                Ok(SignedIn { person, session: id, pair, access_for })
            }
        }
    }

    /// Ends the session that an access token is of. Answers whose it was. Not cancel safe: let it end.
    pub async fn sign_out(&self, token: &AccessToken) -> Result<Option<Session>, StoreError> {
        let _one = self.change.lock().await;
        let session = self.sessions().admit(token, self.clock.unix_ms()).ok().cloned();
        if let Some(session) = &session {
            self.end(std::slice::from_ref(&session.id)).await?;
        }
        Ok(session)
    }

    /// Removes sessions that are over, until cancelled.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        while tokio::time::timeout(SWEEP, stop.cancelled()).await.is_err() {
            let _one = self.change.lock().await;
            let ended = async {
                self.look_again().await?;
                let over = self.sessions().over(self.clock.unix_ms());
                self.end(&over).await
            };
            if let Err(error) = ended.await {
                tracing::warn!(error = &error as &dyn std::error::Error, "sessions that are over are not removed, trying again");
            }
        }
    }

    /// What another host changed. Not cancel safe: let it end.
    pub async fn follow(&self) -> Result<(), StoreError> {
        let _one = self.change.lock().await;
        self.look_again().await
    }

    /// Reads everything again where others may have changed it. Under the lock of changes.
    async fn look_again(&self) -> Result<(), StoreError> {
        if !self.shared {
            return Ok(());
        }
        let (users, sessions) = (self.table.users().await?, self.table.sessions().await?);
        *self.users() = users.into_iter().map(|user| (user.name.clone(), user)).collect();
        *self.sessions() = Sessions::new(sessions);
        Ok(())
    }

    /// The same for one session and its user.
    async fn look_at(&self, id: &SessionId) -> Result<(), StoreError> {
        if !self.shared {
            return Ok(());
        }
        let Some(session) = self.table.session(id).await? else {
            self.sessions().remove(id);
            return Ok(());
        };
        if let Person::User(name) = &session.person {
            self.look_at_user(name).await?;
        }
        self.sessions().put(session);
        Ok(())
    }

    /// The same for one user.
    async fn look_at_user(&self, name: &UserName) -> Result<(), StoreError> {
        if self.shared {
            match self.table.user_named(name).await? {
                Some(user) => self.users().insert(name.clone(), user),
                None => self.users().remove(name),
            };
        }
        Ok(())
    }

    /// Under the lock of changes.
    async fn begin(&self, person: Person, begun: Begun<'_>, from: IpAddr) -> Result<SignedIn, SignInError> {
        let now_ms = self.clock.unix_ms();
        let (user, before, granted, lives) = match begun {
            Begun::User { before, after } => (Some(after), Some(before), None, self.lives),
            Begun::Directory { granted, session_for } => {
                let session = self.lives.session.min(session_for);
                (None, None, Some(granted), Lives { session, ..self.lives })
            }
        };
        let (session, pair) = Session::begin(person, granted, from, now_ms, &lives).map_err(|_| SignInError::Random)?;
        let ended = self.sessions().in_the_way(&session.person, now_ms);
        let change = PeopleChange { user, before, session: Some(&session), turn: None, ended: &ended };
        if !self.table.change(change).await? {
            // Another host changed the user a moment ago: it is not known what would count now.
            return Err(self.wrong(Some(&session.person), from));
        }
        if let Some(user) = user {
            self.users().insert(user.name.clone(), user.clone());
        }
        let (person, id, access_for) = (session.person.clone(), session.id.clone(), session.access_for(now_ms));
        let mut sessions = self.sessions();
        ended.iter().for_each(|id| drop(sessions.remove(id)));
        sessions.put(session);
        Ok(SignedIn { person, session: id, pair, access_for })
    }

    /// Under the lock of changes.
    async fn end(&self, ids: &[SessionId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.table.change(PeopleChange { ended: ids, ..PeopleChange::default() }).await?;
        let mut sessions = self.sessions();
        ids.iter().for_each(|id| drop(sessions.remove(id)));
        Ok(())
    }

    /// What somebody may do, and whose they are: by one look, for between two the user may go, and no tenant is the host.
    /// Nothing for somebody who may be signed in no more.
    fn standing(&self, person: &Person, granted: Option<&Granted>) -> Option<(Vec<Role>, Option<Tenant>)> {
        match person {
            Person::User(name) if self.accepts_users => {
                self.users().get(name).filter(|user| user.enabled).map(|user| (user.roles.clone(), user.tenant.clone()))
            }
            Person::Directory(_) if self.directory.is_some() => granted.map(|granted| (granted.roles.clone(), None)),
            _ => None,
        }
    }

    /// Whose somebody is, for records only: a user who has gone is nobody's. People of the directory are of the host.
    pub fn tenant(&self, person: &Person) -> Option<Tenant> {
        match person {
            Person::User(name) => self.users().get(name).and_then(|user| user.tenant.clone()),
            Person::Directory(_) => None,
        }
    }

    fn not_guessing(&self, person: Option<&Person>, from: IpAddr) -> Result<(), SignInError> {
        let now = self.clock.monotonic();
        self.by_address().check(from, now).map_err(SignInError::Guessing)?;
        person.map_or(Ok(()), |person| self.by_name().check(person.clone(), now)).map_err(SignInError::Guessing)
    }

    fn wrong(&self, person: Option<&Person>, from: IpAddr) -> SignInError {
        let now = self.clock.monotonic();
        self.by_address().wrong(from, now);
        if let Some(person) = person {
            self.by_name().wrong(person.clone(), now);
        }
        SignInError::Wrong
    }

    fn unix_seconds(&self) -> u64 {
        self.clock.unix_nanos() / 1_000_000_000
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<UserName, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_address(&self) -> MutexGuard<'_, Guesses> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_name(&self) -> MutexGuard<'_, Guesses<Person>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
