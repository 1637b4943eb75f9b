//! What people do with a credential beside the requests that carry it: try whether it can be had, connect
//! it. On the host's own account, with the same decision about addresses.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use super::kept::Failure;
use super::oauth2::{Authorization, Verifier};
use super::refresh::Connection;
use super::{ApplyError, Credential, Kind, Means};
use crate::limits::{Limits, Watch};
use crate::sandbox::Sandbox;

/// What trying showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// It stands in the configuration: only a receiver can say more.
    Fixed,
    /// Its program printed something that can be used.
    Program,
    /// The endpoint gave a token that is good for so many seconds.
    Token { seconds: u64 },
}

/// Why a credential cannot be had. The text holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DeskError {
    /// Somebody must act.
    pub lasting: bool,
    pub text: String,
}

impl From<Failure> for DeskError {
    fn from(Failure { lasting, text, .. }: Failure) -> Self {
        Self { lasting, text }
    }
}

impl From<ApplyError> for DeskError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Invalid(text) | ApplyError::Denied(text) => Self { lasting: true, text },
            ApplyError::Unavailable(text) => Self { lasting: false, text },
        }
    }
}

impl Sandbox {
    /// Whether it can be had now. Tokens are asked for, programs run; nothing is handed out. Cancel safe.
    pub async fn try_credential(&self, credential: &Credential) -> Result<Tried, DeskError> {
        let means = self.means(credential);
        if let Kind::OAuth2(oauth2) = &credential.kind {
            return Ok(Tried::Token { seconds: oauth2.try_out(&means).await? });
        }
        credential.secrets(&means).await?;
        Ok(if credential.runs_commands() { Tried::Program } else { Tried::Fixed })
    }

    /// Where somebody agrees that the host uses it; nothing for one that nobody connects.
    pub fn authorization(&self, credential: &Credential, redirect: &Url, state: &str) -> Result<Option<Authorization>, DeskError> {
        let Kind::OAuth2(oauth2) = &credential.kind else { return Ok(None) };
        oauth2.authorization(redirect, state).map_err(|_| DeskError { lasting: false, text: "the system gives no random numbers".into() })
    }

    /// Exchanges what the browser brought back for a refresh token, which is kept. Not cancel safe: a code is good once.
    pub async fn connect(&self, credential: &Credential, code: SecretString, verifier: &Verifier, redirect: &Url) -> Result<(), DeskError> {
        let Kind::OAuth2(oauth2) = &credential.kind else {
            return Err(DeskError { lasting: true, text: format!("credential `{}` is not connected by people", credential.name) });
        };
        Ok(oauth2.connect(code, verifier, redirect, &self.means(credential)).await?)
    }

    /// Whether somebody has to connect it; nothing for one that nobody connects.
    pub fn connection(&self, credential: &Credential) -> Option<Connection> {
        let Kind::OAuth2(oauth2) = &credential.kind else { return None };
        oauth2.connection(self.refresh_tokens())
    }

    fn means(&self, credential: &Credential) -> Means {
        let (settings, metrics) = self.outside();
        let watch = Watch::new(Arc::new(Limits::default()), metrics.guest(&format!("credentials.{}", credential.name), "api"), Arc::clone(&settings.clock));
        Means {
            resolver: Arc::clone(&settings.resolver),
            metrics: metrics.clone(),
            clock: Arc::clone(&settings.clock),
            windows: Arc::default(),
            watch: Arc::new(watch),
            receipts: None,
            tokens: Arc::clone(&settings.refresh_tokens),
        }
    }
}
