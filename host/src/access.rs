//! Who is let in at the API: keys, static tokens, or whoever is on this machine.
//!
//! Promises: a change of a key is on disk before it counts; no request waits for the store; a start is
//! refused where the pepper is missing that the keys need. Refuses: to print a key twice.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_access::{
    Admitted, Allow, ApiKey, Denied, Guesses, KeyId, KeyRecord, Keys, MOST_KEYS, MOST_OF_TENANT, Now, Pepper, PepperError, Permission, Permissions, Principal,
    Revoked, Role, Room, State, TokenDenied,
};
use bulkhead_core::{Clock, Tenant};
use bulkhead_store::{ApiKeys, Store, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use crate::config::ApiListener;
use crate::oidc::OidcDenied;
use crate::own_events::{Lifecycle, OwnEvents};
use crate::trail::Trail;

/// The pepper, below `data_dir`.
const PEPPER: &str = "pepper";
/// Requests a second of a key that names no other rate.
pub const RATE: u32 = 100;
/// How long a key lives that names no end.
pub const LIFE_MS: i64 = 365 * DAY_MS;
/// Longest life of a key.
pub const LONGEST_LIFE_MS: i64 = 3_650 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
/// Time before the end of a key at which somebody is told, where it was made to live for longer.
const REMIND_MS: i64 = 30 * DAY_MS;
/// Between two looks at what is due.
const TICK: Duration = Duration::from_secs(5);
/// Ticks between two writes of when keys were used.
const USES: u32 = 12;

/// Why nobody could be told apart at a start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Pepper(#[from] PepperError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "{} is missing, and {keys} API keys cannot be checked without it; restore it from a backup, or start once with `--discard-api-keys` to delete the keys",
        path.display()
    )]
    Gone { path: PathBuf, keys: usize },
    #[error(
        "the {keys} API keys were made with another pepper than the one in {origin}; restore that one, or start once with `--discard-api-keys` to delete the keys"
    )]
    Other { origin: String, keys: usize },
    #[error(transparent)]
    First(#[from] KeyError),
}

/// Why a key is not made, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("there is no API key of this id")]
    Unknown,
    #[error("the key is revoked")]
    Revoked,
    #[error("this is the last key that may give keys out; make another one first")]
    LastAdmin,
    #[error("{MOST_KEYS} keys are in use, the most of one host, or {MOST_OF_TENANT} of one tenant; revoke some")]
    Full,
    #[error("the key was changed through another host at the same time; look at it again")]
    Raced,
    #[error("the keys in the store were made with another pepper than this host has (listen.api.pepper must be the same on all hosts)")]
    OtherPepper,
    #[error("the system gives no random numbers")]
    Random,
    #[error(transparent)]
    Pepper(#[from] PepperError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    Nothing,
    Wrong,
    /// Too many wrong ones came from there.
    Guessing(Duration),
    Key(Denied),
    /// A token of a session.
    Session(TokenDenied),
    /// A token of the OpenID provider.
    Oidc(OidcDenied),
}

/// What a request brought along.
pub enum Credential<'a> {
    None,
    /// Text behind `Bearer`, or of `X-API-Key`.
    Text(&'a [u8]),
}

impl Credential<'_> {
    /// The id in it, right or wrong, where it has the form of a key.
    pub fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::None => None,
            Self::Text(text) => std::str::from_utf8(text).ok().and_then(ApiKey::parse).map(|key| key.id().clone()),
        }
    }
}

/// A key to be made.
#[derive(Debug)]
pub struct NewKey {
    pub name: String,
    pub roles: Vec<Role>,
    /// Whose it is to be; nothing: the host's.
    pub tenant: Option<Tenant>,
    pub allow: Allow,
    pub rate: u32,
    pub expires_ms: i64,
}

/// Wrong credentials by address, of whatever sort.
pub type SharedGuesses = Arc<Mutex<Guesses>>;

pub struct Access {
    /// No credentials are needed: a loopback listener that nobody closed.
    open: bool,
    tokens: Vec<SecretString>,
    accepts_keys: bool,
    /// Nothing before the first key, where no pepper is configured.
    keys: Mutex<Option<Keys>>,
    guesses: SharedGuesses,
    /// Changes of keys go one after the other.
    change: tokio::sync::Mutex<()>,
    table: ApiKeys,
    pepper: PathBuf,
    clock: Arc<dyn Clock>,
    trail: Trail,
}

impl Access {
    /// Reads what there is. The first key of a host that wants keys is made here, and `show` is what shows it, once.
    pub async fn open(
        listener: &ApiListener,
        data_dir: &Path,
        store: &Store,
        discard: bool,
        clock: &Arc<dyn Clock>,
        trail: &Trail,
        show: impl FnOnce(&SecretString),
    ) -> Result<Arc<Self>, OpenError> {
        let (table, path) = (store.api_keys(), data_dir.join(PEPPER));
        if discard {
            let keys = store.with_room(async || table.discard().await).await?;
            // Whatever lies there, no key needs it any more.
            let pepper = std::fs::remove_file(&path).is_ok();
            tracing::warn!(keys, pepper, "API keys deleted, and the file of their pepper, as asked for with --discard-api-keys");
        }
        let records = table.all().await?;
        let (pepper, origin) = match &listener.pepper {
            Some(text) => (Some(Pepper::from_text(text.expose_secret())), "listen.api.pepper".to_owned()),
            None => (Pepper::read(&path)?, path.display().to_string()),
        };
        let keys = records.len();
        let keys = match pepper {
            None if keys > 0 => return Err(OpenError::Gone { path, keys }),
            Some(pepper) if keys > 0 && table.mark().await?.as_deref() != Some(&pepper.mark()[..]) => return Err(OpenError::Other { origin, keys }),
            pepper => pepper.map(|pepper| Keys::new(pepper, records)),
        };
        let access = Arc::new(Self {
            open: listener.is_open(),
            tokens: listener.tokens.clone(),
            accepts_keys: listener.keys,
            keys: Mutex::new(keys),
            guesses: SharedGuesses::default(),
            change: tokio::sync::Mutex::new(()),
            table,
            pepper: path,
            clock: Arc::clone(clock),
            trail: trail.clone(),
        });
        if access.accepts_keys && access.list().is_empty() {
            let first = NewKey {
                name: "first".into(),
                roles: Role::FIRST.to_vec(),
                tenant: None,
                allow: Allow::default(),
                rate: RATE,
                expires_ms: access.now().unix_ms + LIFE_MS,
            };
            let (record, key) = access.create(first, "the first start").await?;
            tracing::warn!(id = %record.id, "the first API key was made; it is shown once, on standard error");
            show(&key);
        }
        Ok(access)
    }

    /// For others who check credentials: whoever guesses does so at all doors together.
    pub fn shared_guesses(&self) -> SharedGuesses {
        Arc::clone(&self.guesses)
    }

    /// Whether everybody who reaches the listener is let in.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether API keys let in.
    pub fn accepts_keys(&self) -> bool {
        self.accepts_keys
    }

    /// Who sends this, from there.
    pub fn identify(&self, credential: &Credential<'_>, from: IpAddr) -> Result<Admitted, Stranger> {
        let known = |actor: String| Ok(Admitted { principal: Principal { actor, permissions: Permissions::all(), tenant: None }, sign_in: None });
        if self.open {
            return known("whoever is on this machine".into());
        }
        let Credential::Text(text) = credential else { return Err(Stranger::Nothing) };
        let now = self.now();
        self.guesses().check(from, now.monotonic).map_err(Stranger::Guessing)?;
        // Every token is compared, so that the time does not tell which one came close.
        let fits: Vec<subtle::Choice> = self.tokens.iter().map(|token| token.expose_secret().as_bytes().ct_eq(text)).collect();
        if let Some(at) = fits.iter().position(|fits| bool::from(*fits)) {
            return known(format!("token {} of listen.api.tokens", at + 1));
        }
        let key = if self.accepts_keys { std::str::from_utf8(text).ok().and_then(ApiKey::parse) } else { None };
        let judged = key.map_or(Err(Denied::Unknown), |key| self.keys().as_mut().map_or(Err(Denied::Unknown), |keys| keys.admit(&key, from, now)));
        judged.map_err(|denied| match denied {
            Denied::Unknown => {
                self.guesses().wrong(from, now.monotonic);
                Stranger::Wrong
            }
            denied => Stranger::Key(denied),
        })
    }

    /// All keys, the newest first.
    pub fn list(&self) -> Vec<KeyRecord> {
        self.keys().as_ref().map(|keys| keys.all().into_iter().cloned().collect()).unwrap_or_default()
    }

    pub fn get(&self, id: &KeyId) -> Option<KeyRecord> {
        self.keys().as_ref()?.get(id).cloned()
    }

    pub fn state(&self, key: &KeyRecord) -> State {
        key.state(self.now().unix_ms)
    }

    /// Makes a key; its text is in the answer and nowhere else. Not cancel safe: let it end.
    pub async fn create(&self, new: NewKey, by: &str) -> Result<(KeyRecord, SecretString), KeyError> {
        let _one = self.change.lock().await;
        let key = ApiKey::mint().map_err(|_| KeyError::Random)?;
        self.pepper().await?;
        let now_ms = self.now().unix_ms;
        let (hash, mark, room) = {
            let keys = self.keys();
            // Just made where there was none.
            let keys = keys.as_ref().ok_or(KeyError::Random)?;
            (keys.hash(&key), keys.all().is_empty().then(|| keys.mark()), keys.room(new.tenant.as_ref(), now_ms))
        };
        if let Some(mark) = mark
            && !self.table.set_mark(&mark).await?
        {
            return Err(KeyError::OtherPepper);
        }
        match room {
            Room::Free => {}
            Room::Full => return Err(KeyError::Full),
            Room::After(oldest) => {
                self.table.remove(&oldest).await?;
                self.with_keys(|keys| keys.remove(&oldest));
            }
        }
        let NewKey { name, roles, tenant, allow, rate, expires_ms } = new;
        let record = KeyRecord {
            id: key.id().clone(),
            name,
            roles,
            tenant,
            hash,
            previous: None,
            allow,
            rate,
            created_ms: now_ms,
            created_by: by.to_owned(),
            rotated_ms: None,
            expires_ms,
            revoked: None,
            used: None,
            reminded: false,
        };
        self.put(&record, None).await?;
        Ok((record, key.expose()))
    }

    /// Puts another secret in the place of a key's; the old one is let in for `overlap`. Answers what the key was
    /// before, what it is, and its text. Not cancel safe: let it end.
    pub async fn rotate(&self, id: &KeyId, overlap: Duration, expires_ms: Option<i64>) -> Result<(KeyRecord, KeyRecord, SecretString), KeyError> {
        let _one = self.change.lock().await;
        let before = self.get(id).ok_or(KeyError::Unknown)?;
        if before.revoked.is_some() {
            return Err(KeyError::Revoked);
        }
        let key = ApiKey::renew(id).map_err(|_| KeyError::Random)?;
        let hash = self.keys().as_ref().map(|keys| keys.hash(&key)).ok_or(KeyError::Unknown)?;
        let now_ms = self.now().unix_ms;
        let mut after = before.clone();
        let overlap_ms = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
        after.rotate(hash, now_ms, overlap_ms, expires_ms.unwrap_or(now_ms + before.lifetime_ms()));
        self.put(&after, Some(&before)).await?;
        Ok((before, after, key.expose()))
    }

    /// Ends a key for good; it stays in the list. Answers what it was before and what it is. Not cancel safe: let it end.
    pub async fn revoke(&self, id: &KeyId, by: &str) -> Result<(KeyRecord, KeyRecord), KeyError> {
        let _one = self.change.lock().await;
        let before = self.get(id).ok_or(KeyError::Unknown)?;
        let now_ms = self.now().unix_ms;
        if before.revoked.is_some() {
            return Ok((before.clone(), before));
        }
        let admin = before.tenant.is_none() && before.state(now_ms) == State::Active && Role::union(&before.roles).has(Permission::SystemAdmin);
        let last = admin && self.keys().as_ref().is_some_and(|keys| !keys.another_admin(id, now_ms));
        if self.accepts_keys && self.tokens.is_empty() && last {
            return Err(KeyError::LastAdmin);
        }
        let after = KeyRecord { revoked: Some(Revoked { at_ms: now_ms, by: by.to_owned() }), previous: None, ..before.clone() };
        self.put(&after, Some(&before)).await?;
        Ok((before, after))
    }

    /// Keys as the store has them by now: another host may have changed some.
    pub async fn follow(&self) -> Result<(), StoreError> {
        let _one = self.change.lock().await;
        let (records, mark) = (self.table.all().await?, self.table.mark().await?);
        let mut keys = self.keys();
        let Some(keys) = keys.as_mut() else {
            if !records.is_empty() {
                tracing::error!(
                    keys = records.len(),
                    "another host made API keys, and this one has no pepper for them: set listen.api.pepper to the same on both"
                );
            }
            return Ok(());
        };
        if !records.is_empty() && mark.as_deref() != Some(&keys.mark()[..]) {
            tracing::error!("another host has another pepper: its API keys let nobody in here (listen.api.pepper)");
            return Ok(());
        }
        let gone: Vec<KeyId> = keys.all().iter().map(|key| key.id.clone()).filter(|id| !records.iter().any(|record| record.id == *id)).collect();
        gone.iter().for_each(|id| keys.remove(id));
        records.into_iter().for_each(|record| keys.put(record));
        Ok(())
    }

    /// Writes what is due until cancelled: when keys were used, sums of refusals, reminders of keys that end.
    pub async fn keep(self: Arc<Self>, own_events: OwnEvents, stop: CancellationToken) {
        let mut ticks = 0_u32;
        loop {
            let stopped = tokio::time::timeout(TICK, stop.cancelled()).await.is_ok();
            ticks = ticks.wrapping_add(1);
            self.trail.sum_up((!stopped).then(|| self.clock.monotonic())).await;
            if stopped || ticks.is_multiple_of(USES) {
                self.keep_uses().await;
            }
            if stopped {
                return;
            }
            self.remind(&own_events).await;
        }
    }

    async fn keep_uses(&self) {
        let uses = self.keys().as_mut().map(Keys::take_uses).unwrap_or_default();
        if uses.is_empty() {
            return;
        }
        if let Err(error) = self.table.used(&uses).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "when API keys were used is not written, trying again");
            self.with_keys(|keys| keys.give_back_uses(&uses));
        }
    }

    async fn remind(&self, own_events: &OwnEvents) {
        let now_ms = self.now().unix_ms;
        let soon =
            |key: &KeyRecord| key.state(now_ms) == State::Active && !key.reminded && key.lifetime_ms() > REMIND_MS && key.expires_ms - now_ms < REMIND_MS;
        for key in self.list().into_iter().filter(soon) {
            let _one = self.change.lock().await;
            // It may have been changed since.
            let Some(key) = self.get(&key.id).filter(soon) else { continue };
            let before = key.clone();
            let key = KeyRecord { reminded: true, ..key };
            if let Err(error) = self.put(&key, Some(&before)).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the reminder of an API key is not noted, trying again");
                continue;
            }
            let expires = crate::api::rfc3339(key.expires_ms).unwrap_or_default();
            tracing::warn!(id = %key.id, name = key.name, expires, "an API key expires soon; `bulkhead key rotate` renews it");
            own_events.lifecycle(&Lifecycle::KeyExpires { id: key.id.to_string(), name: key.name, expires });
        }
    }

    async fn put(&self, record: &KeyRecord, before: Option<&KeyRecord>) -> Result<(), KeyError> {
        if !self.table.put(record, before).await? {
            return Err(KeyError::Raced);
        }
        self.with_keys(|keys| keys.put(record.clone()));
        Ok(())
    }

    /// Has a pepper made where there is none yet.
    async fn pepper(&self) -> Result<(), KeyError> {
        if self.keys().is_some() {
            return Ok(());
        }
        let path = self.pepper.clone();
        let made = tokio::task::spawn_blocking(move || Pepper::make(&path)).await.map_err(|_| KeyError::Random)??;
        self.keys().get_or_insert_with(|| Keys::new(made, Vec::new()));
        Ok(())
    }

    fn with_keys(&self, change: impl FnOnce(&mut Keys)) {
        self.keys().as_mut().map(change);
    }

    fn now(&self) -> Now {
        Now { unix_ms: self.clock.unix_ms(), monotonic: self.clock.monotonic() }
    }

    fn keys(&self) -> MutexGuard<'_, Option<Keys>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key for people and programs: everything but its hash.
pub fn shown(key: &KeyRecord, state: State) -> serde_json::Value {
    let time = |ms: Option<i64>| ms.and_then(crate::api::rfc3339);
    json!({
        "id": key.id.as_str(), "name": key.name, "state": state.name(), "roles": key.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
        "tenant": key.tenant.as_ref().map(Tenant::as_str), "ip_allow": key.allow.texts(), "rate": key.rate,
        "created_at": time(Some(key.created_ms)), "created_by": key.created_by, "rotated_at": time(key.rotated_ms), "expires_at": time(Some(key.expires_ms)),
        "previous_until": time(key.previous.map(|previous| previous.until_ms)),
        "revoked_at": time(key.revoked.as_ref().map(|revoked| revoked.at_ms)), "revoked_by": key.revoked.as_ref().map(|revoked| revoked.by.as_str()),
        "last_used_at": time(key.used.map(|(at_ms, _)| at_ms)), "last_used_from": key.used.map(|(_, from)| from),
    })
}
