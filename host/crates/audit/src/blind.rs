//! Digests of configurations without an oracle: a plain digest over a configuration with a weak secret
//! in it could be tried out against every guess.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::line::hex;

/// A key of this installation: 32 bytes in `<data_dir>/audit/key`, for the owner only.
pub struct Blind([u8; 32]);

impl std::fmt::Debug for Blind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blind")
    }
}

impl Blind {
    /// Reads the key, or makes one. A new one makes new digests of old configurations, nothing worse.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join("key");
        match fs::read(&path).map(|bytes| <[u8; 32]>::try_from(bytes.as_slice())) {
            Ok(Ok(key)) => return Ok(Self(key)),
            Ok(Err(_)) => tracing::warn!(file = %path.display(), "the key of the receipts' configuration digests is damaged; a new one is made"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
        let fresh = dir.join("key.new");
        let mut file = private(fs::OpenOptions::new().write(true).create(true).truncate(true)).open(&fresh)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(fresh, path)?;
        Ok(Self(key))
    }

    /// Hexadecimal HMAC-SHA-256: the same for the same bytes, and says nothing about them.
    pub fn digest(&self, bytes: &[u8]) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(bytes);
        hex(&mac.finalize().into_bytes())
    }
}

/// Readable by the owner only, where the system knows such a thing.
pub fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_installation_makes_the_same_digests_and_another_others() {
        let (a, b) = (tempfile::TempDir::new().expect("a folder"), tempfile::TempDir::new().expect("a folder"));
        let first = Blind::open(a.path()).expect("opens").digest(b"configuration");
        assert_eq!(first, Blind::open(a.path()).expect("opens").digest(b"configuration"));
        assert_ne!(first, Blind::open(b.path()).expect("opens").digest(b"configuration"));
        assert_eq!(first.len(), 64);
        fs::write(a.path().join("key"), b"short").expect("written");
        assert_ne!(first, Blind::open(a.path()).expect("opens").digest(b"configuration"));
    }
}
