use super::*;
use crate::testing::each_engine;

const LIMITS: StateLimits = StateLimits { max_key_bytes: 4, max_value_bytes: 8, max_keys: 2, max_bytes: 20 };

#[tokio::test]
async fn values_are_private_durable_and_limited() {
    each_engine("values_are_private_durable_and_limited", async |place| {
        let store = place.open().await;
        let state = store.connector_state();
        let (ours, other) = (Tenant::default(), Tenant::new("other").unwrap());
        state.set(&ours, "siem", "a", b"one", &LIMITS).await.unwrap();
        state.set(&ours, "siem", "a", b"two", &LIMITS).await.unwrap();
        state.set(&ours, "siem", "b", b"", &LIMITS).await.unwrap();
        assert_eq!(state.get(&ours, "siem", "a").await.unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(state.get(&other, "siem", "a").await.unwrap(), None);
        assert_eq!(state.get(&ours, "archive", "a").await.unwrap(), None);
        store.close().await;

        let state = place.open().await.connector_state();
        assert_eq!(state.get(&ours, "siem", "b").await.unwrap().as_deref(), Some(&b""[..]));
        state.delete(&ours, "siem", "b").await.unwrap();
        state.delete(&ours, "siem", "b").await.unwrap();
        assert_eq!(state.get(&ours, "siem", "b").await.unwrap(), None);
        assert_eq!(state.forget(&ours, "siem").await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn each_limit_has_its_error() {
    each_engine("each_limit_has_its_error", async |place| {
        let state = place.open().await.connector_state();
        let tenant = Tenant::default();
        for key in ["", "12345", "é", "\n"] {
            let error = state.set(&tenant, "i", key, b"", &LIMITS).await.unwrap_err();
            assert!(matches!(error, StateError::Key { .. }), "{key:?}: {error}");
        }
        let over = |error: StateError| match error {
            StateError::Limit { what, wanted, .. } => (what, wanted),
            other => panic!("{other}"),
        };
        assert_eq!(over(state.set(&tenant, "i", "k", &[0; 9], &LIMITS).await.unwrap_err()), ("value bytes", 9));
        state.set(&tenant, "i", "kkkk", &[0; 8], &LIMITS).await.unwrap();
        assert_eq!(over(state.set(&tenant, "i", "k", &[0; 8], &LIMITS).await.unwrap_err()), ("bytes", 21));
        state.set(&tenant, "i", "k", &[0; 7], &LIMITS).await.unwrap();
        assert_eq!(over(state.set(&tenant, "i", "x", b"", &LIMITS).await.unwrap_err()), ("keys", 3));
        // Replacing needs no new key.
        state.set(&tenant, "i", "k", &[1; 7], &LIMITS).await.unwrap();
    })
    .await;
}
