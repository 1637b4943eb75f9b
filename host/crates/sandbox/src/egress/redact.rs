//! Takes secrets out of what receivers echo and guests log, in the forms in which they come back:
//! plain, base64 (both alphabets, any alignment), hex, percent-encoded, JSON-escaped.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem::Finder;

/// What stands in a secret's place.
pub const MARK: &str = "[redacted]";

/// Shortest secret that can be taken out without destroying ordinary text.
pub const MIN_SECRET: usize = 6;

/// Finds the secrets of one instance.
#[derive(Default)]
pub struct Redactor {
    finders: Vec<Finder<'static>>,
    longest: usize,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("patterns", &self.finders.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Builds the forms of each secret. Secrets shorter than [`MIN_SECRET`] are refused where
    /// credentials are made, so none arrives here.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut patterns: Vec<Vec<u8>> = secrets.into_iter().filter(|secret| secret.len() >= MIN_SECRET).flat_map(forms).collect();
        // Longest first, so that a form is not cut by a shorter one within it.
        patterns.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        patterns.dedup();
        Self { longest: patterns.first().map_or(0, Vec::len), finders: patterns.into_iter().map(|pattern| Finder::new(&pattern).into_owned()).collect() }
    }

    /// Bytes of the longest form: who cuts a text reads this many more first, so that a form on the
    /// edge is found.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The bytes without secrets; borrowed where there were none.
    pub fn bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let mut out = Cow::Borrowed(text);
        for finder in &self.finders {
            if finder.find(&out).is_none() {
                continue;
            }
            let mut replaced = Vec::with_capacity(out.len());
            let mut from = 0;
            for at in finder.find_iter(&out) {
                replaced.extend_from_slice(&out[from..at]);
                replaced.extend_from_slice(MARK.as_bytes());
                from = at + finder.needle().len();
            }
            replaced.extend_from_slice(&out[from..]);
            out = Cow::Owned(replaced);
        }
        out
    }

    /// The text without secrets. A form with bytes that are not ASCII is found as text, too.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec()];
    let mut lower = String::with_capacity(secret.len() * 2);
    for byte in secret {
        let _ = write!(lower, "{byte:02x}");
    }
    forms.push(lower.to_ascii_uppercase().into_bytes());
    forms.push(lower.into_bytes());
    for lower in [false, true] {
        forms.push(percent(secret, lower, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
        // Form encoding, and encoders that leave sub-delimiters alone.
        forms.push(percent(secret, lower, |byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte)).into_iter().collect());
        forms.push(percent(secret, lower, |byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte)));
        forms.push(percent(secret, lower, |_| false));
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        forms.extend(json(text));
    }
    for offset in 0..3 {
        // A secret inside a longer text that was encoded as a whole starts at any of three places; the
        // digits that also hold neighbouring bytes are left out.
        let mut padded = vec![0; offset];
        padded.extend_from_slice(secret);
        let skip = [0, 2, 3][offset];
        let whole = padded.len() * 8 / 6;
        for digits in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            if let Some(core) = digits.get(skip..whole).filter(|core| core.len() >= MIN_SECRET) {
                forms.push(core.as_bytes().to_vec());
            }
        }
    }
    forms
}

fn percent(secret: &[u8], lower: bool, keep: fn(u8) -> bool) -> Vec<u8> {
    let mut out = String::with_capacity(secret.len() * 3);
    for byte in secret {
        let _ = match (keep(*byte), lower) {
            (true, _) => write!(out, "{}", char::from(*byte)),
            (false, true) => write!(out, "%{byte:02x}"),
            (false, false) => write!(out, "%{byte:02X}"),
        };
    }
    out.into_bytes()
}

/// JSON string contents: as serialisers write them, with escaped slashes, and with everything outside
/// ASCII escaped.
fn json(text: &str) -> Vec<Vec<u8>> {
    let Ok(quoted) = serde_json::to_string(text) else { return Vec::new() };
    let plain = quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned();
    let ascii = |upper: bool, escape: &str| {
        let mut out = String::new();
        for character in plain.chars() {
            if character.is_ascii() && !escape.contains(character) {
                out.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
            }
        }
        out.into_bytes()
    };
    vec![
        plain.clone().into_bytes(),
        plain.replace('/', "\\/").into_bytes(),
        ascii(false, ""),
        ascii(true, ""),
        // HTML-safe serialisers (Go, .NET, Rails) escape these, too.
        ascii(false, "<>&"),
        ascii(false, "<>&'+`"),
        ascii(true, "<>&'+`"),
    ]
}

#[cfg(test)]
mod tests;
