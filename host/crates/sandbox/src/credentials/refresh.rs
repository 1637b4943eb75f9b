//! The refresh tokens that servers gave, of all credentials. They outlive the configuration that they came
//! with: whoever asks next, after a reload or a restart, goes on with the newest one.
//!
//! Promises: of one credential one request for a token is under way, whatever number of configurations
//! still hold it, so that no server sees a replaced refresh token; a token is handed to the keeper before
//! the access token that came with it is used. Refuses: tokens of another client or endpoint under the same
//! name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_core::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};

/// What a credential was when it got its token: another client, endpoint or configured token is another one.
pub type GrantDigest = [u8; 32];

/// How things stand with one credential.
#[derive(Clone)]
pub struct KeptGrant {
    pub digest: GrantDigest,
    pub token: Option<Arc<SecretString>>,
    /// Why somebody has to connect it again.
    pub lost: Option<String>,
}

/// Keeps refresh tokens over a restart, and for other hosts of the same store. Errors are texts without secrets.
pub trait KeepGrants: Send + Sync {
    fn kept<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<KeptGrant>, String>>;

    /// On disk when it returns.
    fn keep<'a>(&'a self, credential: &'a str, grant: &'a KeptGrant) -> BoxFuture<'a, Result<(), String>>;
}

/// Whether a credential that people connect can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    Never,
    Connected,
    /// The server has taken the token out of service.
    Lost(String),
}

#[derive(Default)]
struct Known {
    grant: Option<KeptGrant>,
    /// It is here alone: what the keeper has is older.
    unsaved: bool,
    /// Counts connections by people: an instance that was built before one is built again.
    generation: u64,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// One of a host. The number of credentials bounds it.
#[derive(Default)]
pub struct RefreshTokens {
    known: Mutex<BTreeMap<String, Known>>,
    keeper: Option<Arc<dyn KeepGrants>>,
}

impl RefreshTokens {
    /// With what was kept.
    pub fn kept_by(keeper: Arc<dyn KeepGrants>, kept: impl IntoIterator<Item = (String, KeptGrant)>) -> Self {
        let known = kept.into_iter().map(|(name, grant)| (name, Known { grant: Some(grant), ..Known::default() })).collect();
        Self { known: Mutex::new(known), keeper: Some(keeper) }
    }

    pub fn generation(&self, credential: &str) -> u64 {
        self.known().get(credential).map_or(0, |known| known.generation)
    }

    pub(super) fn connection(&self, credential: &str, digest: &GrantDigest) -> Connection {
        match self.grant(credential, digest) {
            Some(KeptGrant { lost: Some(why), .. }) => Connection::Lost(why),
            Some(KeptGrant { token: Some(_), .. }) => Connection::Connected,
            _ => Connection::Never,
        }
    }

    /// Waits until nobody else asks for a token of this credential.
    pub(super) async fn turn(&self, credential: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = Arc::clone(&self.known().entry(credential.to_owned()).or_default().turn);
        turn.lock_owned().await
    }

    /// The newest one, whoever got it; with it, whether the server has refused it already.
    pub(super) async fn token(&self, credential: &str, digest: &GrantDigest) -> Option<(Arc<SecretString>, bool)> {
        self.look_again(credential).await;
        let grant = self.grant(credential, digest)?;
        Some((grant.token?, grant.lost.is_some()))
    }

    /// What the keeper has, where it is not older than what is here.
    async fn look_again(&self, credential: &str) {
        let Some(keeper) = &self.keeper else { return };
        let unsaved = self.known().get(credential).filter(|known| known.unsaved).and_then(|known| known.grant.clone());
        if let Some(grant) = unsaved {
            return self.put(credential, grant).await;
        }
        match keeper.kept(credential).await {
            Ok(Some(grant)) => self.known().entry(credential.to_owned()).or_default().grant = Some(grant),
            Ok(None) => {}
            Err(reason) => tracing::warn!(credential, reason, "refresh tokens cannot be read: the last one known here is used"),
        }
    }

    /// A token in the place of the one before.
    pub(super) async fn replaced(&self, credential: &str, digest: GrantDigest, token: SecretString) {
        self.put(credential, KeptGrant { digest, token: Some(Arc::new(token)), lost: None }).await;
    }

    /// Somebody connected it.
    pub(super) async fn connected(&self, credential: &str, digest: GrantDigest, token: SecretString) {
        self.known().entry(credential.to_owned()).or_default().generation += 1;
        self.replaced(credential, digest, token).await;
    }

    /// The server says that the token is none any more. One that another host got meanwhile is not concerned.
    pub(super) async fn lost(&self, credential: &str, digest: GrantDigest, sent: &SecretString, why: &str) {
        self.look_again(credential).await;
        let Some(KeptGrant { token: Some(token), lost: None, .. }) = self.grant(credential, &digest) else { return };
        if token.expose_secret() == sent.expose_secret() {
            tracing::warn!(credential, reason = why, "the refresh token is out of service: somebody has to connect the credential again");
            self.put(credential, KeptGrant { digest, token: Some(token), lost: Some(why.to_owned()) }).await;
        }
    }

    async fn put(&self, credential: &str, grant: KeptGrant) {
        // Here first: whatever becomes of the writing, this one is the newest.
        let set = |unsaved| {
            let mut all = self.known();
            let known = all.entry(credential.to_owned()).or_default();
            (known.grant, known.unsaved) = (Some(grant.clone()), unsaved);
        };
        set(self.keeper.is_some());
        let Some(keeper) = &self.keeper else { return };
        match keeper.keep(credential, &grant).await {
            Ok(()) => set(false),
            // It is written again at the next look.
            Err(reason) => {
                tracing::error!(credential, reason, "a refresh token is not on disk: after a restart somebody may have to connect the credential again");
            }
        }
    }

    fn grant(&self, credential: &str, digest: &GrantDigest) -> Option<KeptGrant> {
        self.known().get(credential)?.grant.clone().filter(|grant| grant.digest == *digest)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
