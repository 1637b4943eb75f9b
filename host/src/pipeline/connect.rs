//! Credentials as people handle them: tried, and connected by somebody who agrees in a browser.
//!
//! Promises: a `state` is good once, for ten minutes, for the credential that it was made for as that was
//! then; once a credential is connected the instances that waited for it begin anew. Refuses: more flows
//! under way than [`MOST_PENDING`].

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_sandbox::{Connection, Credential, DeskError, Tried, Verifier};
use bulkhead_seal::random;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::stored::merged;
use super::{Control, ReloadError, Reloaded};

/// How long somebody may take to agree.
pub const PATIENCE: Duration = Duration::from_secs(600);
pub const MOST_PENDING: usize = 100;

/// Somebody was sent to agree.
struct Pending {
    /// The very one: what was changed meanwhile is not connected with what somebody agreed to before.
    credential: Arc<Credential>,
    verifier: Verifier,
    redirect: Url,
    by: String,
    until: Duration,
}

/// Flows under way, by the digest of their `state`.
#[derive(Default)]
pub struct PendingFlows(Mutex<BTreeMap<[u8; 32], Pending>>);

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("there is no credential of this name")]
    Unknown,
    #[error("nobody connects this credential: its grant is not `authorization_code`")]
    Unfit,
    #[error("{MOST_PENDING} flows are under way; one ends after ten minutes at the latest")]
    Busy,
    #[error("this `state` was not given out, was used, or is older than ten minutes; begin again")]
    State,
    #[error("the credential was changed since; begin again")]
    Changed,
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// A credential that somebody connected.
pub struct Connected {
    pub credential: String,
    /// Who began it.
    pub by: String,
    /// What became of the instances that use it.
    pub instances: Result<Reloaded, ReloadError>,
}

impl Control {
    /// Whether the credential can be had now.
    pub async fn try_credential(&self, name: &str) -> Result<Tried, ConnectError> {
        Ok(self.sandbox.try_credential(&*self.credential(name)?).await?)
    }

    /// Whether somebody has to connect the credential; nothing for one that nobody connects.
    pub fn connection(&self, name: &str) -> Option<Connection> {
        self.sandbox.connection(&*self.credential(name).ok()?)
    }

    /// Where somebody agrees.
    pub fn authorize(&self, name: &str, redirect: Url, by: &str) -> Result<Url, ConnectError> {
        let credential = self.credential(name)?;
        let state = URL_SAFE_NO_PAD.encode(random::<32>());
        let authorization = self.sandbox.authorization(&credential, &redirect, &state)?.ok_or(ConnectError::Unfit)?;
        let now = self.clock.monotonic();
        let mut flows = self.flows.0.lock().unwrap_or_else(PoisonError::into_inner);
        flows.retain(|_, pending| pending.until > now);
        if flows.len() >= MOST_PENDING {
            return Err(ConnectError::Busy);
        }
        let pending = Pending { credential, verifier: authorization.verifier, redirect, by: by.to_owned(), until: now + PATIENCE };
        flows.insert(Sha256::digest(&state).into(), pending);
        Ok(authorization.url)
    }

    /// The flow of this `state`, which is over with this.
    fn pending(&self, state: &str) -> Result<Pending, ConnectError> {
        let digest: [u8; 32] = Sha256::digest(state).into();
        let pending = self.flows.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        pending.filter(|pending| pending.until > self.clock.monotonic()).ok_or(ConnectError::State)
    }

    /// Somebody did not agree. Answers which credential it is about, and who began.
    pub fn not_agreed(&self, state: &str) -> Result<(String, String), ConnectError> {
        let pending = self.pending(state)?;
        Ok((pending.credential.name().to_owned(), pending.by))
    }

    /// Exchanges the code that the browser brought. Not cancel safe: let it end.
    pub async fn connected(&self, state: &str, code: SecretString) -> Result<Connected, ConnectError> {
        let Pending { credential, verifier, redirect, by, .. } = self.pending(state)?;
        let name = credential.name();
        // Which client, endpoint and scopes it is says its connection, and not whether it is the same object.
        let now = self.credential(name).map_err(|_| ConnectError::Changed)?;
        if !now.connects_like(&credential) {
            return Err(ConnectError::Changed);
        }
        self.sandbox.connect(&now, code, &verifier, &redirect).await?;
        Ok(Connected { credential: name.to_owned(), by, instances: self.begin_anew(name).await })
    }

    /// Builds the instances again that use a credential: they may have waited for it.
    async fn begin_anew(&self, credential: &str) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.change.lock().await;
        let current = self.current();
        let config = merged(&current.config, &self.stored.all()).map_err(ReloadError::Faults)?;
        let uses = |instance: &&crate::config::Instance| {
            instance.destinations.iter().filter_map(|destination| destination.credential()).any(|used| used.name() == credential)
        };
        let only: HashSet<Arc<str>> = config.instances.iter().filter(uses).map(|instance| Arc::from(instance.name.as_str())).collect();
        let plan = self.plan(&current, config, Some(&only)).await?;
        self.act(&current, plan).await
    }

    fn credential(&self, name: &str) -> Result<Arc<Credential>, ConnectError> {
        self.current().config.credentials.get(name).cloned().ok_or(ConnectError::Unknown)
    }
}
