//! The keyring of a configuration: what stands in the file, or what commands print now.

use std::sync::Arc;

use bulkhead_core::Clock;
use bulkhead_sandbox::Value;
use bulkhead_seal::{AtRest, Key, Keyring};
use secrecy::ExposeSecret as _;

use crate::config::EncryptionSettings;

/// Why a key cannot be had. Says nothing of the key.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct KeysError {
    key: String,
    problem: String,
}

/// Runs commands; call it once, at the start.
pub async fn keyring(settings: &EncryptionSettings, clock: &Arc<dyn Clock>) -> Result<Option<Keyring>, KeysError> {
    let Some(current) = &settings.key else { return Ok(None) };
    let current = key(current, "encryption.key".into(), clock).await?;
    let mut older = Vec::new();
    for (at, value) in settings.older_keys.iter().enumerate() {
        older.push(key(value, format!("encryption.older_keys[{at}]"), clock).await?);
    }
    Ok(Some(Keyring::new(current, older)))
}

/// The same as the journal and the dead letters take it.
pub fn at_rest(settings: &EncryptionSettings, keyring: Option<&Keyring>) -> AtRest {
    AtRest { keyring: keyring.cloned(), seal: settings.at_rest }
}

async fn key(value: &Value, key: String, clock: &Arc<dyn Clock>) -> Result<Key, KeysError> {
    let failed = |key: String, problem: String| KeysError { key, problem };
    let secret = value.clone().resolve(&key, clock).await.map_err(|problem| failed(key.clone(), problem))?;
    Key::parse(secret.expose_secret()).map_err(|fault| failed(key, fault.to_string()))
}
