//! People: who signs in with a password and perhaps a code, and the sessions that come of it.
//!
//! Promises: whoever is not there, is switched off, or has another password gets the same answer after the same work; a
//! sign-in, a refresh and an end of a session are on disk before they count; no request that shows an access token
//! waits for the store. Refuses: more than a few hashes at once ([`hashing`]), and guesses beyond their number.

mod hashing;
mod users;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_access::{
    AccessToken, Guesses, Lives, Pair, PasswordHash, Principal, RefreshToken, Refreshed, Role, Session, SessionId, Sessions, TokenDenied, User, UserName,
};
use bulkhead_core::Clock;
use bulkhead_seal::Keyring;
use bulkhead_store::{People as Table, PeopleChange, Store, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::access::SharedGuesses;
use crate::config::ApiListener;
use crate::own_events::{Lifecycle, OwnEvents};
use crate::trail::Trail;
use hashing::{Busy, Hashing};
pub use users::{NewUser, UserChange, UserError, shown};

/// Between two looks for sessions that are over.
const SWEEP: Duration = Duration::from_secs(60);

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("signing in is switched off; `listen.api.auth` names `users` where it is wanted")]
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
    pub user: UserName,
    pub session: SessionId,
    pub pair: Pair,
    pub access_for: Duration,
}

/// The tables that people are kept in, and how they may sign in.
pub struct People {
    accepts: bool,
    /// Nobody else could give rights: the last administrator among the users stays.
    keeps_admin: bool,
    lives: Lives,
    users: Mutex<BTreeMap<UserName, User>>,
    sessions: Mutex<Sessions>,
    by_address: SharedGuesses,
    by_name: Mutex<Guesses<UserName>>,
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
            accepts: listener.users,
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

    /// Whether people sign in here.
    pub fn accepts(&self) -> bool {
        self.accepts
    }

    /// Whose access token it is, with the rights of now. Cheap: nothing waits.
    pub fn admit(&self, token: &AccessToken) -> Result<Principal, TokenDenied> {
        if !self.accepts() {
            return Err(TokenDenied::Unknown);
        }
        let user = self.sessions().admit(token, self.clock.unix_ms()).map(|session| session.user.clone())?;
        let users = self.users();
        let known = users.get(&user).filter(|user| user.enabled).ok_or(TokenDenied::Unknown)?;
        Ok(Principal { actor: user.actor(), permissions: Role::union(&known.roles), tenant: known.tenant.clone() })
    }

    /// Checks name, password and code, and begins a session. Not cancel safe: let it end.
    pub async fn sign_in(&self, login: Login, from: IpAddr) -> Result<SignedIn, SignInError> {
        if !self.accepts() {
            return Err(SignInError::Off);
        }
        let Login { name, password, code } = login;
        let name = UserName::parse(&name);
        self.not_guessing(name.as_ref(), from)?;
        let user = name.as_ref().and_then(|name| self.users().get(name).cloned());
        // The same work for a user who is not there.
        let hash = user.as_ref().map_or_else(PasswordHash::decoy, |user| user.password.clone());
        let kept = hash.clone();
        let (fits, password) = self.hashing.run(move || (kept.fits(password.expose_secret()), password)).await?;
        let Some(user) = user.filter(|user| fits && user.enabled) else { return Err(self.wrong(name.as_ref(), from)) };
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
        let Some(now) = now else { return Err(self.wrong(Some(&user.name), from)) };
        let step = match (&now.totp, &code) {
            (None, _) => now.totp_step,
            (Some(_), None) => return Err(SignInError::CodeMissing),
            (Some(totp), Some(code)) => match totp.step(code.expose_secret(), self.unix_seconds(), now.totp_step) {
                Some(step) => Some(step),
                None => return Err(self.wrong(Some(&user.name), from)),
            },
        };
        let after =
            User { password: renewed.unwrap_or_else(|| now.password.clone()), totp_step: step, signed_in: Some((self.clock.unix_ms(), from)), ..now.clone() };
        let signed_in = self.begin(&now, &after, from).await?;
        let roles: Vec<&str> = after.roles.iter().map(|role| role.name()).collect();
        self.trail
            .signed_in(json!({
                "actor": signed_in.user.actor(), "tenant": after.tenant.as_ref().map(|tenant| tenant.as_str()), "name": after.name.as_str(), "roles": roles, "from": from, "session": signed_in.session.as_str(),
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
        let _one = self.change.lock().await;
        let before = self.sessions().get(shown.id()).map(|session| session.turn);
        let refreshed = self.sessions().refresh(&shown, self.clock.unix_ms(), &self.lives).map_err(|_| SignInError::Random)?;
        match refreshed {
            Refreshed::Denied(_) => Err(SignInError::Unknown),
            Refreshed::Reused(session) => {
                let actor = session.user.actor();
                self.end(std::slice::from_ref(&session.id)).await?;
                tracing::warn!(actor, session = %session.id, %from, "a refresh token was shown twice: its session has ended");
                self.own_events.lifecycle(&Lifecycle::TokenReused { actor: actor.clone(), session: session.id.to_string(), from: from.to_string() });
                Err(SignInError::Reused { actor })
            }
            Refreshed::Renewed(session, pair) => {
                if self.roles(&session.user).is_none() {
                    return Err(SignInError::Unknown);
                }
                let change = PeopleChange { session: Some(&session), turn: before.as_ref(), ..PeopleChange::default() };
                if !self.table.change(change).await? {
                    // It ended, or went on, on another host a moment ago.
                    return Err(SignInError::Unknown);
                }
                let (user, id) = (session.user.clone(), session.id.clone());
                self.sessions().put(*session);
                Ok(SignedIn { user, session: id, pair, access_for: self.lives.access })
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
        self.look_at_user(&session.user).await?;
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
    async fn begin(&self, before: &User, user: &User, from: IpAddr) -> Result<SignedIn, SignInError> {
        let now_ms = self.clock.unix_ms();
        let (session, pair) = Session::begin(user.name.clone(), from, now_ms, &self.lives).map_err(|_| SignInError::Random)?;
        let ended = self.sessions().in_the_way(&session.user, now_ms);
        let change = PeopleChange { user: Some(user), before: Some(before), session: Some(&session), turn: None, ended: &ended };
        if !self.table.change(change).await? {
            // Another host changed the user a moment ago: it is not known what would count now.
            return Err(self.wrong(Some(&user.name), from));
        }
        self.users().insert(user.name.clone(), user.clone());
        let (user, id) = (session.user.clone(), session.id.clone());
        let mut sessions = self.sessions();
        ended.iter().for_each(|id| drop(sessions.remove(id)));
        sessions.put(session);
        Ok(SignedIn { user, session: id, pair, access_for: self.lives.access })
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

    /// Nothing for somebody who may be signed in no more.
    fn roles(&self, name: &UserName) -> Option<Vec<Role>> {
        self.users().get(name).filter(|user| user.enabled).map(|user| user.roles.clone())
    }

    fn not_guessing(&self, name: Option<&UserName>, from: IpAddr) -> Result<(), SignInError> {
        let now = self.clock.monotonic();
        self.by_address().check(from, now).map_err(SignInError::Guessing)?;
        name.map_or(Ok(()), |name| self.by_name().check(name.clone(), now)).map_err(SignInError::Guessing)
    }

    fn wrong(&self, name: Option<&UserName>, from: IpAddr) -> SignInError {
        let now = self.clock.monotonic();
        self.by_address().wrong(from, now);
        if let Some(name) = name {
            self.by_name().wrong(name.clone(), now);
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

    fn by_name(&self) -> MutexGuard<'_, Guesses<UserName>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
