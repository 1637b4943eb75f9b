//! Connectors' state, cursors, and runs of pulls: the sandbox and the intake ask, the store keeps.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_core::{BoxFuture, Clock, SyncRun};
use bulkhead_ingest::{AskedRun, Cursors, Runs, Under};
use bulkhead_sandbox::{KeepGrants, KeptGrant, RefreshTokens, StateError, StateQuota, StateScope, StateStore};
use bulkhead_store::{ConnectorState, PullCursors, StateError as Refused, StateLimits, Store, StoreError, StoredTokens, SyncExecutions, WantedRuns};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use crate::lease::HostLeases;
use crate::observed::logs::Logs;

pub struct StoredState(pub ConnectorState);

impl StateStore for StoredState {
    fn get<'a>(&'a self, scope: &'a StateScope, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StateError>> {
        Box::pin(async move { self.0.get(&scope.tenant, &scope.instance, key).await.map_err(|error| unavailable(&error)) })
    }

    fn set<'a>(&'a self, scope: &'a StateScope, key: &'a str, value: Vec<u8>, quota: StateQuota) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            // Keys and values were bounded by the sandbox; the totals are the store's to check.
            let limits = StateLimits { max_value_bytes: usize::MAX, max_keys: quota.max_keys, max_bytes: quota.max_bytes, ..StateLimits::default() };
            self.0.set(&scope.tenant, &scope.instance, key, &value, &limits).await.map_err(|error| match error {
                Refused::Limit { what: "keys", wanted, .. } => StateError::Keys { keys: wanted },
                Refused::Limit { wanted, .. } => StateError::Bytes { bytes: wanted },
                Refused::Key { .. } | Refused::Store(_) => unavailable(&error),
            })
        })
    }

    fn delete<'a>(&'a self, scope: &'a StateScope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move { self.0.delete(&scope.tenant, &scope.instance, key).await.map_err(|error| unavailable(&error)) })
    }
}

/// How far pulls have come, in the store.
pub struct StoredCursors(pub PullCursors, pub Arc<HostLeases>);

impl Cursors for StoredCursors {
    fn get<'a>(&'a self, pull: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        Box::pin(async move { self.0.get(pull).await.map_err(|error| error.to_string()) })
    }

    fn set<'a>(&'a self, pull: &'a str, cursor: &'a [u8], under: &'a Under) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move { self.0.set(pull, cursor, &self.1.fence(&under.instance, under.term)).await.map_err(|error| error.to_string()) })
    }
}

/// Refresh tokens, in the store.
pub struct StoredGrants {
    table: StoredTokens,
    clock: Arc<dyn Clock>,
}

impl StoredGrants {
    /// Those that were kept, in memory. What cannot be read is none.
    pub async fn open(table: StoredTokens, clock: &Arc<dyn Clock>) -> Result<RefreshTokens, StoreError> {
        let kept = table.all().await?;
        let kept: Vec<_> = kept.into_iter().filter_map(|(credential, kept)| Some((credential, grant(&kept)?))).collect();
        Ok(RefreshTokens::kept_by(Arc::new(Self { table, clock: Arc::clone(clock) }), kept))
    }
}

impl KeepGrants for StoredGrants {
    fn kept<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<KeptGrant>, String>> {
        Box::pin(async move { self.table.get(credential).await.map(|kept| kept.as_ref().and_then(grant)).map_err(|error| error.to_string()) })
    }

    fn keep<'a>(&'a self, credential: &'a str, grant: &'a KeptGrant) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let now_ms = self.clock.unix_ms();
            let token = grant.token.as_ref().map(|token| token.expose_secret());
            let kept = json!({"grant": URL_SAFE_NO_PAD.encode(grant.digest), "token": token, "lost": grant.lost});
            self.table.put(credential, &kept, now_ms).await.map_err(|error| error.to_string())
        })
    }
}

fn grant(kept: &serde_json::Value) -> Option<KeptGrant> {
    Some(KeptGrant {
        digest: URL_SAFE_NO_PAD.decode(kept["grant"].as_str()?).ok()?.try_into().ok()?,
        token: kept["token"].as_str().map(|token| Arc::new(SecretString::from(token.to_owned()))),
        lost: kept["lost"].as_str().map(str::to_owned),
    })
}

/// The runs of pulls, those that the end of the host cut off closed: for its start, when nothing runs.
pub async fn sync_executions(store: &Store, clock: &dyn Clock) -> Result<SyncExecutions, StoreError> {
    let executions = store.sync_executions();
    let now_ms = clock.unix_ms();
    let cut_off = store.with_room(async || executions.close_cut_off(now_ms).await).await?;
    if cut_off > 0 {
        tracing::warn!(cut_off, "runs of pull connectors were cut off when the host ended");
    }
    Ok(executions)
}

/// Runs of pulls, in the store, and their ends in the log of their instance.
pub struct StoredRuns {
    pub executions: SyncExecutions,
    pub wanted: WantedRuns,
    pub leases: Arc<HostLeases>,
    pub logs: Logs,
}

impl Runs for StoredRuns {
    fn begin<'a>(&'a self, run: &'a SyncRun) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.executions.begin(run).await.map_err(|error| error.to_string()) })
    }

    fn keep<'a>(&'a self, run: &'a SyncRun, under: &'a Under) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let kept = self.executions.keep(run, &self.leases.fence(&under.instance, under.term)).await.map_err(|error| error.to_string())?;
            // Without the lease it is another host's to tell.
            if kept {
                self.logs.run(run);
            }
            Ok(kept)
        })
    }

    fn cut_off<'a>(&'a self, under: &'a Under, now_ms: i64) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let cut_off = self.executions.close_cut_off_of(&under.instance, now_ms).await.map_err(|error| error.to_string())?;
            if cut_off > 0 {
                tracing::warn!(instance = &*under.instance, cut_off, "runs were cut off when the host that had the schedule ended");
            }
            Ok(())
        })
    }

    fn forget<'a>(&'a self, run: &'a SyncRun) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.executions.forget(run.id).await.map_err(|error| error.to_string()) })
    }

    fn ask<'a>(&'a self, instance: &'a str, by: &'a str, now_ms: i64) -> BoxFuture<'a, Result<Uuid, String>> {
        Box::pin(async move { self.wanted.ask(instance, by, now_ms).await.map_err(|error| error.to_string()) })
    }

    fn asked<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<Option<AskedRun>, String>> {
        Box::pin(async move {
            let wanted = self.wanted.begin(instance).await.map_err(|error| error.to_string())?;
            Ok(wanted.map(|wanted| AskedRun { id: wanted.id, by: wanted.initiated_by, begun: wanted.begun }))
        })
    }

    fn done<'a>(&'a self, id: Uuid, under: &'a Under) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move { self.wanted.done(&under.instance, id, &self.leases.fence(&under.instance, under.term)).await.map_err(|error| error.to_string()) })
    }

    fn last<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<Option<i64>, String>> {
        Box::pin(async move { self.executions.last(instance).await.map_err(|error| error.to_string()) })
    }

    fn settled<'a>(&'a self, instance: &'a str, schedule: &'a str) -> BoxFuture<'a, Result<Option<i64>, String>> {
        Box::pin(async move { self.executions.settled(instance, schedule).await.map_err(|error| error.to_string()) })
    }

    fn settle<'a>(&'a self, schedule: &'a str, settled_ms: i64, under: &'a Under) -> BoxFuture<'a, Result<bool, String>> {
        let fence = self.leases.fence(&under.instance, under.term);
        Box::pin(async move { self.executions.settle(&under.instance, schedule, settled_ms, &fence).await.map_err(|error| error.to_string()) })
    }
}

/// The guest learns that the store is not there; why stays in the log.
fn unavailable(error: &dyn std::error::Error) -> StateError {
    tracing::error!(error = %crate::api::problem::Chain(error), "connector state");
    StateError::Unavailable("the host's log says why".into())
}
