//! The secret of a credential for protocols that carry it inside a stream. Who gets it is decided
//! before (rule 5 of [`decide`](crate::egress::decide)); it never leaves the host but on that stream.

use secrecy::{ExposeSecret as _, SecretSlice};

use super::{ApplyError, Credential, Kind, Means};

/// A secret, and for `type: basic` whose.
pub(crate) struct StreamSecret {
    pub user: Option<String>,
    pub value: SecretSlice<u8>,
}

impl Credential {
    /// A header's or query's value without what stands around it, a password, a token, the current key
    /// of a signature, an OAuth2 access token; known to the redactor. Cancel safe.
    pub(crate) async fn in_stream(&self, destination: &str, means: &Means) -> Result<StreamSecret, ApplyError> {
        if let Kind::OAuth2(oauth2) = &self.kind {
            return Ok(StreamSecret { user: None, value: oauth2.in_stream(destination, means).await?.into() });
        }
        let secrets = self.secrets(means).await?;
        let secret = secrets.first().map_or("", |secret| secret.expose_secret());
        let (user, value) = match &self.kind {
            Kind::Header(_) | Kind::Query(_) => (None, secret.as_bytes().to_vec()),
            Kind::Basic(basic) => (Some(basic.user().to_owned()), secret.as_bytes().to_vec()),
            Kind::Hmac(scheme) => (None, scheme.key(secret).map_err(ApplyError::Invalid)?),
            Kind::OAuth2(_) | Kind::SigV4(_) | Kind::Sas(_) | Kind::SharedKey(_) => {
                return Err(ApplyError::Denied(format!("credential `{}` is of a type that signs HTTP requests; it cannot be put into a stream", self.name)));
            }
        };
        Ok(StreamSecret { user, value: value.into() })
    }
}
