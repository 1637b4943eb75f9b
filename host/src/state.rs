//! Connectors' state: the sandbox asks, the store keeps.

use bulkhead_core::BoxFuture;
use bulkhead_sandbox::{StateError, StateQuota, StateScope, StateStore};
use bulkhead_store::{ConnectorState, StateError as Refused, StateLimits};

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

/// The guest learns that the store is not there; why stays in the log.
fn unavailable(error: &dyn std::error::Error) -> StateError {
    tracing::error!(error = %crate::api::problem::Chain(error), "connector state");
    StateError::Unavailable("the host's log says why".into())
}
