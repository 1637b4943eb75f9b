//! Codes of an app on somebody's phone, a new one every 30 seconds: TOTP with HMAC-SHA-1 and six digits, which is
//! what all such apps know.
//!
//! Source: RFC 6238, RFC 4226 §5.3; the URL: Google Authenticator's "Key Uri Format".

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::zeroize::Zeroizing;
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

use crate::user::UserName;

/// Bytes of a secret (RFC 4226 §4, R6 recommends 160 bits).
const LENGTH: usize = 20;
/// Seconds that a code is shown.
const STEP: u64 = 30;
/// Steps before and after now that count as well: clocks of phones are not exact (RFC 6238 §5.2).
const DRIFT: u64 = 1;

/// The secret that an app and this host share. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Totp(Zeroizing<[u8; LENGTH]>);

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Totp(…)")
    }
}

impl Totp {
    /// A new secret; fails only where the system has no random numbers.
    pub fn mint() -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; LENGTH]);
        getrandom::fill(&mut *secret)?;
        Ok(Self(secret))
    }

    /// From what was kept.
    pub fn kept(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    pub fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// The secret as it is typed into an app, to be shown once.
    pub fn text(&self) -> String {
        BASE32_NOPAD.encode(&*self.0)
    }

    /// The same for the app's camera.
    pub fn url(&self, name: &UserName) -> String {
        let name = name.as_str().replace('@', "%40");
        format!("otpauth://totp/Bulkhead:{name}?secret={}&issuer=Bulkhead&algorithm=SHA1&digits=6&period=30", self.text())
    }

    /// The step that a code is of, where it is one of now and later than the last that let in: a code that somebody
    /// saw is worth nothing (RFC 6238 §5.2).
    pub fn step(&self, code: &str, unix_seconds: u64, last: Option<u64>) -> Option<u64> {
        let now = unix_seconds / STEP;
        // Each is compared, so that the time does not tell which one came close.
        let fits = (now.saturating_sub(DRIFT)..=now + DRIFT).filter(|step| code.as_bytes().ct_eq(self.code(*step).as_bytes()).into());
        fits.fold(None, |_, step| Some(step)).filter(|step| last.is_none_or(|last| *step > last))
    }

    /// The code of a step.
    pub fn code(&self, step: u64) -> String {
        format!("{:06}", self.number(step) % 1_000_000)
    }

    /// Dynamic truncation (RFC 4226 §5.3).
    fn number(&self, step: u64) -> u32 {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha1>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(&step.to_be_bytes());
        let hash: [u8; 20] = mac.finalize().into_bytes().into();
        let at = usize::from(hash[19] & 0xf);
        u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc() -> Totp {
        Totp::kept(b"12345678901234567890").expect("20 bytes")
    }

    /// RFC 6238, appendix B, SHA-1: eight digits there, of which an app shows the last six.
    #[test]
    fn published_vectors() {
        for (seconds, want) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000_u64, 65_353_130),
        ] {
            assert_eq!(rfc().number(seconds / STEP) % 100_000_000, want, "{seconds}");
            assert_eq!(rfc().code(seconds / STEP), format!("{:06}", want % 1_000_000));
        }
        // RFC 4226, appendix D.
        let codes: Vec<String> = (0..10).map(|step| rfc().code(step)).collect();
        assert_eq!(codes, ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]);
    }

    #[test]
    fn a_step_before_and_after_counts_and_none_counts_twice() {
        let totp = rfc();
        let now = 100 * STEP + 7;
        for (step, want) in [(98, None), (99, Some(99)), (100, Some(100)), (101, Some(101)), (102, None)] {
            assert_eq!(totp.step(&totp.code(step), now, None), want, "{step}");
        }
        assert_eq!(totp.step(&totp.code(100), now, Some(99)), Some(100));
        assert_eq!(totp.step(&totp.code(100), now, Some(100)), None, "used");
        assert_eq!(totp.step(&totp.code(99), now, Some(100)), None, "older than what was used");
        for bad in ["", "12345", "1234567", "abcdef", " 55224", "\u{664}\u{665}\u{666}"] {
            assert_eq!(totp.step(bad, 0, None), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_once_is_what_apps_read() {
        let name = UserName::parse("ada@example.org").expect("a name");
        assert_eq!(rfc().text(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            rfc().url(&name),
            "otpauth://totp/Bulkhead:ada%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Bulkhead&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(format!("{:?}", rfc()), "Totp(…)");
        assert_ne!(Totp::mint().expect("random"), Totp::mint().expect("random"));
        assert_eq!(Totp::kept(&[1; 19]), None);
    }
}
