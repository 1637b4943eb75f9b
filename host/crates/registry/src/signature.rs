//! Detached ed25519 signatures (RFC 8032) over a component's bytes, against keys that the operator pinned.
//! Made for example by `openssl pkeyutl -sign -rawin -inkey key.pem -in x.wasm -out x.sig`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

/// SubjectPublicKeyInfo of an ed25519 key up to the key itself (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Largest text of a key.
const MAX_KEY: usize = 4_096;

/// A pinned key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

/// Not a key that we check with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not an ed25519 public key; write `ed25519:` with the 32 bytes in base64, or name a PEM file with `-----BEGIN PUBLIC KEY-----`")]
    NoKey,
    #[error("this is a private key; pin the public one (`openssl pkey -in key.pem -pubout`)")]
    Private,
}

impl PublicKey {
    /// `ed25519:<base64>`, or the text of a PEM file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_KEY {
            return Err(KeyError::NoKey);
        }
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let raw = match text.trim().strip_prefix("ed25519:") {
            Some(inline) => STANDARD.decode(inline.trim()).map_err(|_| KeyError::NoKey)?,
            None => {
                let body = text.split_once("-----BEGIN PUBLIC KEY-----").and_then(|(_, rest)| rest.split_once("-----END PUBLIC KEY-----"));
                let body: String = body.ok_or(KeyError::NoKey)?.0.split_ascii_whitespace().collect();
                let der = STANDARD.decode(body).map_err(|_| KeyError::NoKey)?;
                der.strip_prefix(&SPKI).ok_or(KeyError::NoKey)?.to_vec()
            }
        };
        raw.try_into().map(Self).map_err(|_| KeyError::NoKey)
    }

    /// The first 16 digits of its SHA-256: enough to tell the operator's own keys apart.
    pub fn id(&self) -> String {
        crate::Digest::of(&self.0).hex()[..16].to_owned()
    }
}

/// 64 bytes that someone signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_base64())
    }
}

/// Why a component is not taken for what its signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the signature is no ed25519 signature: 64 bytes, raw or in base64")]
    Malformed,
    #[error("the component has a signature, and `upload.keys` names no key to check it with")]
    NoKeys,
    #[error("the signature does not fit the component under any of the {keys} keys in `upload.keys`")]
    Wrong { keys: usize },
    #[error("the component is not signed, and `upload.require_signed` is on; send its signature along (`bulkhead push --sig FILE`)")]
    Missing,
}

impl Signature {
    /// Raw bytes, or base64 with white space around it.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if let Ok(raw) = bytes.try_into() {
            return Ok(Self(raw));
        }
        if bytes.len() > 256 {
            return Err(SignatureError::Malformed);
        }
        let text: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        let raw = STANDARD.decode(text).map_err(|_| SignatureError::Malformed)?;
        raw.try_into().map(Self).map_err(|_| SignatureError::Malformed)
    }

    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Whose it is. Keys are tried in order: their number is the operator's, their time no secret.
    pub fn verify<'k>(&self, component: &[u8], keys: &'k [PublicKey]) -> Result<&'k PublicKey, SignatureError> {
        if keys.is_empty() {
            return Err(SignatureError::NoKeys);
        }
        let fits = |key: &&PublicKey| UnparsedPublicKey::new(&ED25519, key.0).verify(component, &self.0).is_ok();
        keys.iter().find(fits).ok_or(SignatureError::Wrong { keys: keys.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    /// RFC 8032 §7.1, test 3: two bytes of message.
    #[test]
    fn a_published_vector() {
        let raw = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
        let key = PublicKey::parse(&format!("ed25519:{}", STANDARD.encode(&raw))).expect("a key");
        let signed = hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
        let signature = Signature::parse(&signed).expect("64 bytes");
        let keys = [PublicKey([9; 32]), key.clone()];
        assert_eq!(signature.verify(&[0xaf, 0x82], &keys), Ok(&key));
        assert_eq!(signature.verify(&[0xaf, 0x83], &keys), Err(SignatureError::Wrong { keys: 2 }));
        assert_eq!(signature.verify(&[0xaf, 0x82], &keys[..1]), Err(SignatureError::Wrong { keys: 1 }));
        assert_eq!(signature.verify(&[0xaf, 0x82], &[]), Err(SignatureError::NoKeys));
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode([&SPKI[..], &raw].concat()));
        assert_eq!(PublicKey::parse(&pem), Ok(key));
        assert_eq!(Signature::parse(format!("{}\n", STANDARD.encode(&signed)).as_bytes()), Ok(signature));
    }

    #[test]
    fn what_is_no_key_and_no_signature() {
        for bad in ["", "ed25519:", "ed25519:AAAA", "ssh-ed25519 AAAA", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
            assert_eq!(PublicKey::parse(bad), Err(KeyError::NoKey), "{bad}");
        }
        assert_eq!(PublicKey::parse("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"), Err(KeyError::Private));
        for bad in [&b""[..], b"short", &[0; 63], &[0; 65], &[b'A'; 300]] {
            assert_eq!(Signature::parse(bad), Err(SignatureError::Malformed));
        }
    }
}
