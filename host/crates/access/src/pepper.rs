//! The pepper: what the server adds to each secret before it is hashed. Kept beside the store and not in
//! it, so that a copy of the table alone cannot be guessed against.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::key::ApiKey;

const LENGTH: usize = 32;
/// Shortest text that may serve as a pepper.
pub const SHORTEST_PEPPER: usize = 32;
/// Sets the pepper's own mark apart from every hash of a key, which begins with `bhk_`.
const MARK: &[u8] = b"bulkhead pepper 1";

/// Why there is no pepper.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    #[error("cannot read the pepper of the API keys, {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make the pepper of the API keys, {path}")]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is no pepper: it has {found} bytes, not {LENGTH}; restore it from a backup")]
    Form { path: PathBuf, found: usize },
}

/// The server's part of every hash. It cannot be printed.
pub struct Pepper([u8; LENGTH]);

/// The keyed hash of a key.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// In constant time.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper(…)")
    }
}

impl Pepper {
    /// Reads the file; nothing where there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, PepperError> {
        let mut bytes = Vec::new();
        // One byte more tells a longer file.
        match fs::File::open(path).and_then(|file| file.take(LENGTH as u64 + 1).read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PepperError::Read { path: path.into(), source }),
        };
        let found = bytes.len();
        <[u8; LENGTH]>::try_from(bytes).map(|bytes| Some(Self(bytes))).map_err(|_| PepperError::Form { path: path.into(), found })
    }

    /// Draws one and keeps it, for the owner only. On disk when it returns.
    pub fn make(path: &Path) -> Result<Self, PepperError> {
        let mut bytes = [0; LENGTH];
        let made = getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string())).and_then(|()| keep(path, &bytes));
        made.map(|()| Self(bytes)).map_err(|source| PepperError::Make { path: path.into(), source })
    }

    /// A pepper of the operator's own, at least [`SHORTEST_PEPPER`] bytes of text.
    pub fn from_text(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    pub fn hash(&self, key: &ApiKey) -> KeyHash {
        KeyHash(self.mac(key.expose().expose_secret().as_bytes()))
    }

    /// Tells this pepper from another and nothing else about it.
    pub fn mark(&self) -> [u8; 32] {
        self.mac(MARK)
    }

    fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

/// Whole or not at all: half a pepper would lock every key out.
fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(fresh, path)?;
    // The new name itself must survive a power cut.
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_for_the_owner_and_hashes_the_same_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("pepper");
        assert!(Pepper::read(&path).expect("reads").is_none());
        let key = ApiKey::mint().expect("random");
        let made = Pepper::make(&path).expect("made");
        let read = Pepper::read(&path).expect("reads").expect("there");
        assert!(made.hash(&key).is(&read.hash(&key)));
        assert_eq!(made.mark(), read.mark());
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("there").permissions()) & 0o777, 0o600);
        let other = Pepper::from_text("another pepper of at least 32 bytes");
        assert!(!made.hash(&key).is(&other.hash(&key)));
        assert_ne!(made.mark(), other.mark());
        assert_eq!(format!("{made:?} {:?}", made.hash(&key)), "Pepper(…) KeyHash(…)");
    }

    /// The hash as any program makes it: `printf … | openssl dgst -sha256 -mac HMAC -macopt hexkey:…`.
    #[test]
    fn the_hash_is_plain_hmac_sha_256_of_the_whole_key() {
        let text = format!("bhk_0123456789abcdef_{}", "a".repeat(64));
        let key = ApiKey::parse(&text).expect("a key");
        let hex: String = Pepper([0x42; LENGTH]).hash(&key).bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "f4666ba7066462f5555845ebe3529ce1cb5c7769b3a591676829249081922e52");
    }

    #[test]
    fn half_a_pepper_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("pepper");
        fs::write(&path, [1; 31]).expect("written");
        assert!(matches!(Pepper::read(&path), Err(PepperError::Form { found: 31, .. })));
        assert!(matches!(Pepper::read(dir.path()), Err(PepperError::Read { .. })));
        assert!(matches!(Pepper::make(&dir.path().join("no/such/folder")), Err(PepperError::Make { .. })));
    }
}
