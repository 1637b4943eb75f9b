//! `bulkhead:connector/credentials`: secrets inside streams. The guest names a credential; it works only
//! on a connection to the destination that the operator bound it to (rule 5), and forms that show the
//! secret to who reads along only under TLS. What the guest learns is a length or a digest.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256, Sha512};
use tokio::time::{Instant, timeout_at};
use wasmtime::component::Resource;

use super::answer_by;
use super::tcp::bound;
use crate::bindings::credentials as wit;
use crate::credentials::{ApplyError, Credential, StreamSecret};
use crate::egress::Refusal;
use crate::egress::stream::{Stream, StreamError};
use crate::store::Guest;

/// Rule 5: the credential of a stream.
fn bound_to(stream: &Stream, name: &str) -> Result<Arc<Credential>, Refusal> {
    let bound = stream.credential().filter(|credential| credential.name() == name);
    bound.cloned().ok_or_else(|| {
        let shown: String = name.escape_default().take(64).collect();
        let text = format!("credential `{shown}` is not the `credential` of destination `{}`, to which this connection leads", stream.destination());
        Refusal::denied(5, text)
    })
}

impl Guest {
    /// The secret for a connection, by `until` at the latest: a command may have to be run for it.
    async fn secret(&mut self, connection: &Resource<Stream>, name: &str, until: Instant) -> wasmtime::Result<Result<StreamSecret, wit::Error>> {
        let stream = self.table().get(connection)?;
        let (destination, bound) = (stream.destination().to_owned(), bound_to(stream, name));
        let credential = match bound {
            Ok(credential) => credential,
            Err(refusal) => return Ok(Err(denied(refusal))),
        };
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let since = self.meter.wait();
        let secret = timeout_at(until, credential.in_stream(&destination, capabilities.egress.means())).await;
        self.meter.waited(since);
        Ok(match secret {
            Ok(Ok(secret)) => Ok(secret),
            Ok(Err(ApplyError::Invalid(text) | ApplyError::Denied(text))) => Err(denied(Refusal::denied(8, text))),
            Ok(Err(ApplyError::Unavailable(text))) => Err(wit::Error::Broken(text)),
            Err(_) => Err(wit::Error::Broken("the time was up".into())),
        })
    }
}

/// The secret as it is written.
fn encoded(secret: &StreamSecret, encoding: wit::Encoding) -> Result<SecretSlice<u8>, Refusal> {
    let value = secret.value.expose_secret();
    Ok(match encoding {
        wit::Encoding::Plain => value.to_vec(),
        wit::Encoding::Base64 => STANDARD.encode(value).into_bytes(),
        wit::Encoding::SaslPlainBase64 => {
            let user = secret.user.as_deref().ok_or_else(|| Refusal::denied(5, "SASL PLAIN carries a user name: it needs a credential of type basic"))?;
            // An empty authorization identity (RFC 4616 §2).
            let message: SecretSlice<u8> = [b"\0", user.as_bytes(), b"\0", value].concat().into();
            STANDARD.encode(message.expose_secret()).into_bytes()
        }
    }
    .into())
}

impl wit::Host for Guest {
    async fn write_secret(
        &mut self,
        connection: Resource<Stream>,
        name: String,
        encoding: wit::Encoding,
        timeout: u32,
    ) -> wasmtime::Result<Result<(), wit::Error>> {
        if let Err(refusal) = bound_to(self.table().get(&connection)?, &name) {
            return Ok(Err(denied(refusal)));
        }
        if !self.table().get(&connection)?.secure() {
            return Ok(Err(denied(Refusal::denied(5, "the secret itself is written only under TLS; use a tls:// destination"))));
        }
        let until = match bound(timeout, self.deadline) {
            Ok(until) => until,
            Err(refusal) => return Ok(Err(denied(refusal))),
        };
        let secret = match self.secret(&connection, &name, until).await? {
            Ok(secret) => secret,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = match encoded(&secret, encoding) {
            Ok(bytes) => bytes,
            Err(refusal) => return Ok(Err(denied(refusal))),
        };
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let (since, bill) = (self.meter.wait(), self.bill.clone());
        let written = self.table().get_mut(&connection)?.write(&capabilities.egress, &bill, bytes.expose_secret(), until).await;
        self.meter.waited(since);
        Ok(written.map_err(error))
    }

    async fn secret_length(&mut self, connection: Resource<Stream>, name: String, encoding: wit::Encoding) -> wasmtime::Result<Result<u32, wit::Error>> {
        let secret = self.secret(&connection, &name, answer_by(self.deadline)).await?;
        let bytes = secret.and_then(|secret| encoded(&secret, encoding).map_err(denied));
        Ok(bytes.map(|bytes| u32::try_from(bytes.expose_secret().len()).unwrap_or(u32::MAX)))
    }

    async fn hash_with(
        &mut self,
        connection: Resource<Stream>,
        name: String,
        algorithm: wit::Algorithm,
        before: Vec<u8>,
        after: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, wit::Error>> {
        Ok(self.secret(&connection, &name, answer_by(self.deadline)).await?.map(|secret| {
            let parts = [&before, secret.value.expose_secret(), &after];
            match algorithm {
                wit::Algorithm::Sha256 => parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().to_vec(),
                wit::Algorithm::Sha512 => parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part)).finalize().to_vec(),
            }
        }))
    }

    async fn hmac(
        &mut self,
        connection: Resource<Stream>,
        name: String,
        algorithm: wit::Algorithm,
        message: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, wit::Error>> {
        Ok(self.secret(&connection, &name, answer_by(self.deadline)).await?.map(|secret| {
            let key = secret.value.expose_secret();
            match algorithm {
                wit::Algorithm::Sha256 => hmac_sha256(key, &message),
                wit::Algorithm::Sha512 => hmac_sha512(key, &message),
            }
        }))
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length").chain_update(message).finalize().into_bytes().to_vec()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
fn hmac_sha512(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length").chain_update(message).finalize().into_bytes().to_vec()
}

fn denied(refusal: Refusal) -> wit::Error {
    wit::Error::Denied(refusal.to_string())
}

fn error(error: StreamError) -> wit::Error {
    match error {
        StreamError::Refused(refusal) => denied(refusal),
        other => wit::Error::Broken(other.to_string()),
    }
}
