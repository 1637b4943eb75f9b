//! `type: sigv4`: AWS Signature Version 4 over the request as it is sent, payload included.
//!
//! On the wire: `Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`,
//! `X-Amz-Date`, `X-Amz-Security-Token` with temporary keys, `X-Amz-Content-Sha256` for the services
//! that ask for it. Every header of the request is signed but `user-agent`, `transfer-encoding` and
//! `x-amzn-trace-id`. Region and service are the operator's: nothing is guessed from the host's name.
//! Source: AWS, "Create a signed AWS API request"; the signing itself is the crate `aws-sigv4`.

use std::time::UNIX_EPOCH;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign};
use aws_sigv4::sign::v4;
use http::HeaderName;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::{Position, Url};

use super::{Outgoing, secret_header};

/// Services that want the payload's digest in a header of its own.
const WITH_DIGEST: &[&str] = &["s3", "s3-object-lambda", "s3-outposts", "s3express", "aoss"];
/// Services that sign the path as it is on the wire; the others encode it once more.
const PLAIN_PATH: &[&str] = &["s3", "s3-object-lambda", "s3-outposts", "s3express"];

pub(super) struct SigV4 {
    region: String,
    service: String,
    keys: Keys,
}

/// What the secrets of the credential are.
enum Keys {
    /// The secret key, then the session token, if there is one.
    Apart { access_key: String },
    /// One document in the form of the AWS tools' `credential_process`.
    Process,
}

/// What signs one request.
struct Signer {
    access_key: String,
    secret_key: SecretString,
    session_token: Option<SecretString>,
}

impl SigV4 {
    /// Without an access key the one secret is a `credential_process` document.
    pub(super) fn new(region: &str, service: &str, access_key: Option<&str>) -> Result<Self, String> {
        let word = |text: &str| !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        for (name, text) in [("region", region), ("service", service)] {
            if !word(text) {
                return Err(format!("`{name}` is not made of letters, digits and -_."));
            }
        }
        let keys = match access_key {
            Some(key) if word(key) => Keys::Apart { access_key: key.into() },
            Some(_) => return Err("`access_key` is not made of letters, digits and -_.".into()),
            None => Keys::Process,
        };
        Ok(Self { region: region.into(), service: service.into(), keys })
    }

    pub(super) fn header_names(&self) -> Vec<&str> {
        vec!["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"]
    }

    pub(super) fn check(&self, secrets: &[&str]) -> Result<(), String> {
        self.signer(secrets).map(drop)
    }

    /// What the document of a `credential_process` holds.
    pub(super) fn sensitive(&self, secrets: &[&str]) -> Vec<Vec<u8>> {
        match (&self.keys, self.signer(secrets)) {
            (Keys::Process, Ok(signer)) => {
                let parts = [Some(&signer.secret_key), signer.session_token.as_ref()];
                parts.into_iter().flatten().map(|part| part.expose_secret().as_bytes().to_vec()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn signer(&self, secrets: &[&str]) -> Result<Signer, String> {
        let signer = match (&self.keys, secrets) {
            (Keys::Apart { access_key }, [secret_key, rest @ ..]) => Signer {
                access_key: access_key.clone(),
                secret_key: SecretString::from(*secret_key),
                session_token: rest.first().map(|token| SecretString::from(*token)),
            },
            (Keys::Process, [document]) => read_document(document)?,
            _ => return Err("has no secret key".into()),
        };
        // The token is a header; a key with a line break was cut out badly.
        let texts = [Some(&signer.secret_key), signer.session_token.as_ref()];
        if texts.into_iter().flatten().any(|text| !text.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err("secret key or session token has a character that is none of base64".into());
        }
        Ok(signer)
    }

    pub(super) fn apply(&self, secrets: &[&str], request: &mut Outgoing<'_>) -> Result<(), String> {
        let signer = self.signer(secrets)?;
        let failed = |what: &str| format!("the request cannot be signed for AWS: {what}");
        let url = Url::parse(&format!("{}{}", request.origin, request.target)).map_err(|_| failed("its path makes no URL"))?;
        // As the client writes it: without a default port.
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        let mut headers = vec![("host", host.as_str())];
        for (name, value) in request.headers.iter() {
            headers.push((name.as_str(), value.to_str().map_err(|_| failed("a header is not ASCII"))?));
        }
        let mut settings = SigningSettings::default();
        if WITH_DIGEST.contains(&self.service.as_str()) {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if PLAIN_PATH.contains(&self.service.as_str()) {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let token = signer.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let identity = Credentials::new(&signer.access_key, signer.secret_key.expose_secret(), token, None, "bulkhead").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(UNIX_EPOCH + request.now)
            .settings(settings)
            .build()
            .map_err(|_| failed("a parameter is missing"))?
            .into();
        let signable = SignableRequest::new(request.method.as_str(), url.as_str(), headers.into_iter(), SignableBody::Bytes(request.body))
            .map_err(|_| failed("it has no canonical form"))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|_| failed("it has no canonical form"))?.into_parts();
        for header in instructions.into_parts().0 {
            let value = secret_header(header.value())?;
            request.headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }
}

/// `{"Version": 1, "AccessKeyId": …, "SecretAccessKey": …, "SessionToken": …}`; more is left alone.
/// Source: AWS CLI, "Sourcing credentials with an external process".
fn read_document(text: &str) -> Result<Signer, String> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(rename = "Version")]
        version: u32,
        #[serde(rename = "AccessKeyId")]
        access_key: String,
        #[serde(rename = "SecretAccessKey")]
        secret_key: SecretText,
        #[serde(rename = "SessionToken")]
        session_token: Option<SecretText>,
    }
    // The parser's own words may repeat what it read.
    let document: Document = serde_json::from_str(text).map_err(|_| "what the command prints is no document of a credential_process (version 1)")?;
    if document.version != 1 {
        return Err("what the command prints is a document of another version than 1".into());
    }
    if document.access_key.is_empty() || !document.access_key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("what the command prints has no usable AccessKeyId".into());
    }
    super::check_length(document.secret_key.0.expose_secret())?;
    Ok(Signer { access_key: document.access_key, secret_key: document.secret_key.0, session_token: document.session_token.map(|token| token.0) })
}

/// Secrecy's own support for serde would be a feature for one place.
struct SecretText(SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(SecretString::from(String::deserialize(deserializer)?)))
    }
}

#[cfg(test)]
mod tests;
