//! Passwords of people: what one must be, and the hash that is kept of it.
//!
//! Source: NIST SP 800-63B §3.1.1 (length, no rules of composition); RFC 9106 and the OWASP password storage
//! cheat sheet for the parameters of argon2id.

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::user::UserName;

/// Characters of a password.
pub const SHORTEST_PASSWORD: usize = 12;
pub const LONGEST_PASSWORD: usize = 128;
/// Memory of one hash in KiB, passes over it, lanes; some 20 ms of one core. A hash that was made with others is made
/// anew at the next sign-in.
const MEMORY: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT: usize = 16;
const OUTPUT: usize = 32;
/// What nobody's password makes: the check against it takes as long as one against a user's hash.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$QnVsa2hlYWREZWNveTE$7Yk8rB0Xh2pTnVq4sWm1zKc9LdEfGaJuRiOxQbNyS3U";

/// Why a text does not become a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    #[error("a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, this one has {0}; a few words make a good one")]
    Length(usize),
    #[error("the user's name is no password")]
    Name,
}

/// Whether a text may become this user's password.
pub fn check_password(name: &UserName, text: &str) -> Result<(), PasswordFault> {
    let length = text.chars().count();
    if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&length) {
        return Err(PasswordFault::Length(length));
    }
    if text.eq_ignore_ascii_case(name.as_str()) {
        return Err(PasswordFault::Name);
    }
    Ok(())
}

/// The hash of a password, in the PHC string form. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// No hash came out: no random numbers, or no memory.
#[derive(Debug, thiserror::Error)]
#[error("the password was not hashed: {0}")]
pub struct HashError(String);

impl PasswordHash {
    /// Takes time and memory: not for a thread that others wait for.
    pub fn of(password: &str) -> Result<Self, HashError> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(|error| HashError(error.to_string()))?;
        let hash = hasher().hash_password_with_salt(password.as_bytes(), &salt);
        hash.map(|hash| Self(hash.to_string().into())).map_err(|error| HashError(error.to_string()))
    }

    /// From what was kept; nothing for what is no hash of argon2id.
    pub fn kept(text: &str) -> Option<Self> {
        let phc = Phc::new(text).ok()?;
        (phc.algorithm.as_str() == Algorithm::Argon2id.as_str() && phc.hash.is_some() && Params::try_from(&phc).is_ok()).then(|| Self(text.into()))
    }

    /// One that no password fits, for users who are not there.
    pub fn decoy() -> Self {
        Self(DECOY.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes time and memory like [`of`](Self::of), with the parameters that the hash was made with.
    pub fn fits(&self, password: &str) -> bool {
        Phc::new(&self.0).is_ok_and(|phc| hasher().verify_password(password.as_bytes(), &phc).is_ok())
    }

    /// Whether it was made with the parameters of today.
    pub fn is_current(&self) -> bool {
        let params = Phc::new(&self.0).ok().and_then(|phc| Params::try_from(&phc).ok());
        params.is_some_and(|params| (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY, PASSES, LANES))
    }
}

fn hasher() -> Argon2<'static> {
    #[expect(clippy::expect_used, reason = "the parameters are constants; a test hashes with them")]
    let params = Params::new(MEMORY, PASSES, LANES, Some(OUTPUT)).expect("parameters within bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_alone_and_is_never_the_same() {
        let (one, other) = (PasswordHash::of("correct horse battery").expect("hashes"), PasswordHash::of("correct horse battery").expect("hashes"));
        assert_ne!(one, other);
        assert!(one.fits("correct horse battery") && !one.fits("correct horse batterz") && !one.fits(""));
        assert!(one.is_current() && one.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.as_str());
        assert_eq!(PasswordHash::kept(one.as_str()), Some(one.clone()));
        assert_eq!(format!("{one:?}"), "PasswordHash(…)");
    }

    /// Made by the reference implementation: `printf … | argon2 somesalt -id -t 2 -k 65536 -p 1` (its own test vector).
    #[test]
    fn a_hash_of_others_and_of_other_parameters_still_counts() {
        let kept = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let kept = PasswordHash::kept(kept).expect("a hash");
        assert!(kept.fits("password") && !kept.fits("Password") && !kept.is_current());
    }

    #[test]
    fn the_decoy_takes_as_long_and_fits_nothing() {
        let decoy = PasswordHash::decoy();
        assert!(decoy.is_current() && PasswordHash::kept(decoy.as_str()).is_some());
        assert!(!decoy.fits("") && !decoy.fits("password"));
    }

    #[test]
    fn what_is_no_hash_is_none() {
        for bad in ["", "password", "$argon2id$", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$2b$12$x"] {
            assert_eq!(PasswordHash::kept(bad), None, "{bad}");
        }
    }

    #[test]
    fn length_counts_and_nothing_else() {
        let name = UserName::parse("administrator").expect("a name");
        for (text, want) in [
            ("elevenchars", Err(PasswordFault::Length(11))),
            ("twelve chars", Ok(())),
            ("ääääääääääää", Ok(())),
            ("            ", Ok(())),
            ("Administrator", Err(PasswordFault::Name)),
            ("administrator1", Ok(())),
        ] {
            assert_eq!(check_password(&name, text), want, "{text}");
        }
        assert_eq!(check_password(&name, &"x".repeat(128)), Ok(()));
        assert_eq!(check_password(&name, &"x".repeat(129)), Err(PasswordFault::Length(129)));
    }
}
