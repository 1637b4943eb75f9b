//! Where a secret comes from: the configuration (with `${NAME}` and `${file:…}` filled in when it is
//! read), or a command that is run when the secret is needed.

use std::sync::Arc;

use bulkhead_core::Clock;
use secrecy::{ExposeSecret as _, SecretString};

use super::command::{Command, CommandSettings};
use super::kept::Failure;

/// A secret, or the way to it.
#[derive(Clone)]
pub struct Value(Source);

#[derive(Clone)]
enum Source {
    Fixed(Arc<SecretString>),
    /// Not yet part of a credential.
    Settings(CommandSettings),
    Command(Arc<Command>),
}

impl From<SecretString> for Value {
    fn from(secret: SecretString) -> Self {
        Self(Source::Fixed(Arc::new(secret)))
    }
}

impl From<CommandSettings> for Value {
    fn from(settings: CommandSettings) -> Self {
        Self(Source::Settings(settings))
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self.0, Source::Fixed(_)) { "Value(fixed)" } else { "Value(command)" })
    }
}

impl Value {
    /// Names the credential that it is part of; the error says why its command cannot be run.
    pub(super) fn owned_by(&mut self, credential: &str) -> Result<(), String> {
        if let Source::Settings(settings) = &self.0 {
            self.0 = Source::Command(Arc::new(Command::new(credential, settings.clone())?));
        }
        Ok(())
    }

    /// The secret for something that is no credential, under the name of its key; its command is run once.
    pub async fn resolve(mut self, owner: &str, clock: &Arc<dyn Clock>) -> Result<Arc<SecretString>, String> {
        self.owned_by(owner)?;
        self.get(clock).await.map_err(|failure| failure.text)
    }

    /// The secret, where no command makes it.
    pub(super) fn fixed(&self) -> Option<&str> {
        match &self.0 {
            Source::Fixed(secret) => Some(secret.expose_secret()),
            _ => None,
        }
    }

    /// The secret as it is now. Cancel safe.
    pub(super) async fn get(&self, clock: &Arc<dyn Clock>) -> Result<Arc<SecretString>, Failure> {
        match &self.0 {
            Source::Fixed(secret) => Ok(Arc::clone(secret)),
            Source::Command(command) => command.value(clock).await,
            Source::Settings(_) => Err(Failure::lasting("the command belongs to no credential")),
        }
    }
}
